"""Tensor: a mutable name for a value. Fields and laws only; arithmetic, methods and printing are
attached from above (`graphc/methods.py`), because `core` does not know the ops.

Invariants: `_array` is a numpy view of the storage's memory, or None while traced, when `_meta`
describes the value; `dtype` always agrees with it.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from ..base.dtypes import FLOAT, DType, c_name, from_numpy_dtype
from ..ir.index import visible
from ..ir.types import TensorType, contiguous_strides
from .modes import STATE
from .storage import INFERENCE, Storage


class Size(tuple):
    """A shape, printed as torch.Size([...])."""

    __slots__ = ()

    def numel(self) -> int:
        n = 1
        for s in self:
            n *= s
        return n

    def __repr__(self) -> str:
        return f"torch.Size({list(self)})"

    def __getitem__(self, i: Any) -> Any:
        got = tuple.__getitem__(self, i)
        return Size(got) if isinstance(i, slice) else got

    def __add__(self, other: Any) -> Size:  # type: ignore[override]
        return Size(tuple.__add__(self, tuple(other)))

    def __radd__(self, other: Any) -> Size:
        return Size(tuple(other) + tuple(self))

    def __mul__(self, n: Any) -> Size:  # type: ignore[override]
        return Size(tuple.__mul__(self, n))

    __rmul__ = __mul__  # type: ignore[assignment]

    def __reduce__(self) -> tuple:
        return (Size, (tuple(self),))


subclassed: list[Any] = []  # told of every subclass that a user defines


def own_class(cls: type) -> bool:
    """Whether a class is the library's own."""
    return cls.__module__.partition(".")[0] == __name__.partition(".")[0]


class Tensor:
    """An n-dimensional array with PyTorch's semantics. Made by `graphc.tensor`, `graphc.zeros`
    ..."""

    __slots__ = ("_array", "dtype", "_storage", "_needs", "_fn", "__dict__", "__weakref__")

    # Rare fields live in __dict__ and default here.
    _grad: Any = None
    _base: Any = None  # the tensor this one is a differentiable view of
    _output_nr: int = 0
    _hooks: Any = None
    _leaf: Any = None  # the leaf that this one stands for
    _done: bool = False  # a leaf of a derivative that has been taken: nobody asks for its gradient
    _retains_grad: bool = False
    _meta: Any = None  # TensorType while traced
    _trace: Any = None  # the tracer's own record
    _rebased: int = 0  # how often in-place writes to views rewrote the history
    _rebase_seen: int = 0
    _multi_view: Any = None  # (op, number) of a view that came with others
    _no_grad_view: bool = False  # a view taken while gradients were off
    _offset: int = 0  # storage offset while traced
    _regenerate: Any  # attached by core.inplace

    if TYPE_CHECKING:  # `graphc/methods.py` attaches operators and methods
        dtype: DType
        _needs: bool
        _array: Any
        _storage: Any
        _fn: Any
        data: Any
        _any: Any
        __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __matmul__ = _any  # noqa: F821
        __truediv__ = __rtruediv__ = __floordiv__ = __mod__ = __pow__ = __rpow__ = _any  # noqa: F821
        __neg__ = __invert__ = __and__ = __or__ = __xor__ = __eq__ = __ne__ = _any  # noqa: F821
        __lt__ = __le__ = __gt__ = __ge__ = __getitem__ = __setitem__ = __len__ = _any  # noqa: F821
        __iter__ = __float__ = __int__ = __index__ = __bool__ = _any  # noqa: F821

        def __getattr__(self, name: str) -> Any: ...

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        return object.__new__(cls)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not own_class(cls):
            for hook in subclassed:
                hook(cls)

    # ---- facts

    @property
    def shape(self) -> Size:
        a = self._array
        return Size(a.shape) if a is not None else Size(visible(self._meta.shape))

    @property
    def ndim(self) -> int:
        a = self._array
        return a.ndim if a is not None else len(self._meta.shape)

    def dim(self) -> int:
        return self.ndim

    @property
    def type_(self) -> TensorType:
        """Shape, dtype and strides (in elements) as a TensorType."""
        a = self._array
        if a is None:
            return self._meta
        size = a.itemsize
        if not a.size:
            return TensorType(a.shape, self.dtype, contiguous_strides(a.shape))
        return TensorType(a.shape, self.dtype, tuple([s // size for s in a.strides]))

    def stride(self, dim: int | None = None) -> Any:
        st = visible(self.type_.strides)
        return st if dim is None else st[dim]

    def storage_offset(self) -> int:
        """Where the tensor starts in its storage, in elements."""
        if STATE.tracer is not None:
            STATE.tracer.read_offset(self)
        return visible(self._start())

    def _start(self) -> int:
        if self._array is None:
            return self._offset
        root = self._storage.root()
        return (
            (address(self._array) - address(root)) // self._array.itemsize
            if self._array.size
            else 0
        )

    def data_ptr(self) -> int:
        return address(self.concrete("data_ptr()"))

    @property
    def is_leaf(self) -> bool:
        return not self._needs or self.grad_fn is None

    @property
    def requires_grad(self) -> bool:
        if self._base is not None and self._rebase_seen != self._base._rebased:
            self._regenerate()
        return self._needs

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if value and self.dtype.category < FLOAT:
            raise RuntimeError(
                "only Tensors of floating point and complex dtype can require gradients"
            )
        self.requires_grad_(value)

    @property
    def _inference(self) -> bool:
        return self._storage.flags & INFERENCE != 0

    def requires_grad_(self, requires_grad: bool = True, mode: bool | None = None) -> Tensor:
        """Marks a leaf as requiring gradients (`mode` is another name of the flag). RuntimeError
        for non-leaves and integer dtypes."""
        if mode is not None:
            requires_grad = mode
        if requires_grad == self._needs:
            return self
        if not requires_grad and self.grad_fn is not None:
            raise RuntimeError(
                "you can only change requires_grad flags of leaf variables. If you want to "
                "use a computed variable in a subgraph that doesn't require differentiation "
                "use var_no_grad = var.detach()."
            )
        if requires_grad and not (self.dtype.is_floating_point or self.dtype.is_complex):
            raise RuntimeError("only Tensors of floating point dtype can require gradients")
        if requires_grad and self._inference and not STATE.inference:
            raise RuntimeError(
                "Setting requires_grad=True on inference tensor outside InferenceMode is "
                "not allowed."
            )
        if STATE.tracer is not None:
            STATE.tracer.set_requires_grad(self, bool(requires_grad))
        self._needs = bool(requires_grad)
        return self

    @property
    def grad_fn(self) -> Any:
        if self._base is not None and self._rebase_seen != self._base._rebased:
            self._regenerate()
        return self._fn

    @property
    def output_nr(self) -> int:
        return self._output_nr

    @property
    def grad(self) -> Any:
        if self._fn is not None and self._grad is None and not self._retains_grad:
            warnings.warn(_NO_LEAF, UserWarning, stacklevel=2)
        return get_grad(self)

    @grad.setter
    def grad(self, value: Any) -> None:
        if value is not None:
            _check_grad(self, value)
        set_grad(self, value)

    @grad.deleter
    def grad(self) -> None:
        set_grad(self, None)

    @property
    def _version(self) -> int:
        if self._inference:
            raise RuntimeError("Inference tensors do not track version counter.")
        return self._storage.version

    def concrete(self, what: str) -> np.ndarray:
        """The memory of this tensor as an ndarray; CaptureBreak, naming `what`, inside capture,
        RuntimeError under vmap."""
        if STATE.tracer is not None:
            return STATE.tracer.concrete(self, what)
        if self._array is None:
            raise RuntimeError(
                f"{what}: this tensor was made while compiling or under vmap and has no value; it "
                "must not be kept after the function was captured or mapped"
            )
        return self._array

    def __hash__(self) -> int:
        return id(self)


_NO_LEAF = (
    "The .grad attribute of a Tensor that is not a leaf Tensor is being accessed. Its .grad "
    "attribute won't be populated during autograd.backward(). If you indeed want the .grad field "
    "to be populated for a non-leaf Tensor, use .retain_grad() on the non-leaf Tensor. If you "
    "access the non-leaf Tensor by mistake, make sure you access the leaf Tensor instead. See "
    "github.com/pytorch/pytorch/pull/30531 for more information."
)


def get_grad(t: Tensor) -> Any:
    """t.grad without the warning for non-leaves, recorded under capture."""
    tracer = STATE.tracer
    return t._grad if tracer is None else tracer.get_grad(t)


def set_grad(t: Tensor, value: Any) -> None:
    """t.grad = value without checks, recorded under capture."""
    tracer = STATE.tracer
    if tracer is None:
        t._grad = value
    else:
        tracer.set_grad(t, value)


def _check_grad(t: Tensor, g: Any) -> None:
    if not isinstance(g, Tensor):
        raise TypeError(
            f"assigned grad expected to be a Tensor or None but got grad of type {type(g).__name__}"
        )
    if g is t:
        raise RuntimeError("can't assign Variable as its own grad")
    if g.dtype is not t.dtype:
        raise RuntimeError(
            f"attempting to assign a gradient with dtype '{c_name(g.dtype)}' to a tensor "
            f"with grad_dtype '{t.dtype.title}'. The gradient must match the tensor's "
            "grad_dtype (defaults to the tensor's dtype). You can set the tensor's grad_dtype "
            "attribute with a specific dtype, or None to allow any dtype. Set grad_dtype with "
            "caution. Diverging the dtypes of a tensor and its gradient may break downstream "
            "systems that assume they match."
        )
    if g.shape != t.shape:
        raise RuntimeError(
            f"attempting to assign a gradient of size '{list(g.shape)}' to a tensor of size "
            f"'{list(t.shape)}'. Please ensure that the gradient and the tensor are the "
            "same size"
        )


def address(a: np.ndarray) -> int:
    return a.__array_interface__["data"][0]


def wrap(array: Any, dtype: DType | None = None) -> Tensor:
    """A new tensor that owns `array` (an ndarray, or a numpy scalar)."""
    t = _new(Tensor)
    if type(array) is not np.ndarray:
        array = np.asarray(array)
    t._array = array
    t.dtype = dtype if dtype is not None else from_numpy_dtype(array.dtype)
    t._storage = Storage(array)
    t._needs = False
    t._fn = None
    return t


def view_of(parent: Tensor, array: np.ndarray, dtype: DType | None = None) -> Tensor:
    """A new tensor over memory of `parent`'s storage. Tracks the base for in-place history."""
    t = _new(Tensor)
    t._array = array
    t.dtype = dtype if dtype is not None else parent.dtype
    t._storage = parent._storage
    t._needs = False
    t._fn = None
    link_view(t, parent)
    return t


def link_view(t: Tensor, parent: Tensor) -> None:
    """Makes t a differentiable view of parent's base."""
    base = parent._base if parent._base is not None else parent
    t._base = base
    t._rebase_seen = base._rebased


def alias(t: Tensor, needs: bool = False) -> Tensor:
    """A tensor over the same memory with no history; not a view for autograd (detach)."""
    out = _new(Tensor)
    out._array, out.dtype, out._storage = t._array, t.dtype, t._storage
    out._needs, out._fn = needs, None
    if t._array is None:
        out._meta, out._trace, out._offset = t._meta, t._trace, t._offset
    return out


_new = object.__new__
