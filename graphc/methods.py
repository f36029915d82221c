"""Tensor's methods and operators, attached to the core class when the library is imported. Most
are the top-level functions of the same name; in-place forms write through the storage.
Source: https://pytorch.org/docs/stable/tensors.html"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from types import FunctionType
from typing import Any

import numpy as np

from . import (
    algebra,
    complex_numbers,
    creation,
    functional,
    indexing,
    interop,
    linalg_names,
    ordering,
    pieces,
    printing,
    special,
    spectral,
    statistics,
    tensor_facts,
)
from .base import dtypes, entry, formats
from .base.dtypes import DType
from .base.errors import warn_user
from .core import dispatch, inplace, tape
from .core.modes import STATE
from .core.rng import Generator
from .core.storage import Storage
from .core.tensor import Tensor, address, alias, link_view, own_class, wrap
from .creation import size_of
from .device import CPU, check_device, known_device
from .ir.index import alike, visible
from .ir.op import Op
from .ir.types import dim_index, is_dense
from .ops import movement, pointwise, reduce
from .ops import random as random_ops

METHODS = (
    *functional.UNARY,
    *functional.BINARY,
    "add",
    "sub",
    "div",
    "pow",
    "float_power",
    "clamp",
    "clip",
    "clamp_min",
    "clamp_max",
    "round",
    "lerp",
    "addcmul",
    "addcdiv",
    "masked_fill",
    "softmax",
    "log_softmax",
    "sum",
    "nansum",
    "mean",
    "prod",
    "var",
    "std",
    "max",
    "min",
    "amax",
    "amin",
    "aminmax",
    "argmax",
    "argmin",
    "any",
    "all",
    "logsumexp",
    "norm",
    "count_nonzero",
    "matmul",
    "mm",
    "bmm",
    "mv",
    "dot",
    "outer",
    "addmm",
    "baddbmm",
    "transpose",
    "swapaxes",
    "swapdims",
    "movedim",
    "moveaxis",
    "t",
    "squeeze",
    "unsqueeze",
    "flatten",
    "ravel",
    "unflatten",
    "narrow",
    "select",
    "split",
    "chunk",
    "tensor_split",
    "unbind",
    "diagonal",
    "diag",
    "tril",
    "triu",
    "clone",
    "gather",
    "index_select",
    "take_along_dim",
    "scatter",
    "scatter_add",
    "index_add",
    "nonzero",
    "masked_select",
    "equal",
    "allclose",
    "isclose",
    "roll",
    "is_floating_point",
    "is_complex",
    "absolute",
    "negative",
    "arcsin",
    "arccos",
    "arctan",
    "fix",
    "multiply",
    "not_equal",
    "less",
    "less_equal",
    "greater",
    "greater_equal",
    "subtract",
    "divide",
    "true_divide",
    "ger",
    "multinomial",
    "bernoulli",
)

INPLACE = (
    *[n for n in functional.UNARY if n not in ("isnan", "isinf", "isfinite")],
    "mul",
    "floor_divide",
    "remainder",
    "fmod",
    "atan2",
    "eq",
    "ne",
    "lt",
    "le",
    "gt",
    "ge",
    "logical_and",
    "logical_or",
    "logical_xor",
    "bitwise_and",
    "bitwise_or",
    "bitwise_xor",
    "add",
    "sub",
    "div",
    "pow",
    "clamp",
    "clip",
    "clamp_min",
    "clamp_max",
    "round",
    "lerp",
    "addcmul",
    "addcdiv",
    "masked_fill",
    "tril",
    "triu",
    "scatter",
    "scatter_add",
    "index_add",
    "copysign",
    "baddbmm",
    "addmm",
    "absolute",
    "negative",
    "multiply",
    "bitwise_left_shift",
    "bitwise_right_shift",
    "float_power",
    "arctan2",
    "arcsin",
    "arccos",
    "arctan",
    "fix",
    "subtract",
    "divide",
    "true_divide",
    "logical_not",
    "not_equal",
    "less",
    "less_equal",
    "greater",
    "greater_equal",
)
_DIRECT = {"add": pointwise.add, "sub": pointwise.sub, "mul": pointwise.mul, "div": pointwise.div}


def _inplace(name: str, room: Any = functional) -> Callable:
    fn = getattr(room, name)
    op = getattr(pointwise, name, None) if name in functional.UNARY else None
    if op is not None:

        def method(self: Tensor, *args: Any) -> Tensor:
            return inplace.apply_inplace(op, (self, *args))
    else:
        direct = _DIRECT.get(name)

        def method(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:  # type: ignore[misc]
            if direct is not None and not kwargs:
                return inplace.apply_inplace(direct, (self, *args))
            return inplace.apply_function(fn, self, args, kwargs)

    method.__name__ = name + "_"
    method.__doc__ = f"In-place version of {name}()."
    return method


# ---------------------------------------------------------------- operators


def _operand(x: Any) -> bool:
    return isinstance(x, (Tensor, int, float, bool, complex, np.number, np.bool_)) or hasattr(
        x, "number_type"
    )


_PLAIN = (int, float)


def _no_descriptor(fn: Any, x: Any) -> TypeError:
    name = getattr(fn, "name", getattr(fn, "__name__", "")).removeprefix("bitwise_")
    return TypeError(
        f"descriptor '__r{name}__' for 'torch._C.TensorBase' objects doesn't apply to a "
        f"'{type(x).__name__}' object"
    )


def _operator(fn: Callable, swap: bool = False) -> Callable:
    if isinstance(fn, Op):  # straight to the funnel: these are the hottest calls of all
        apply = dispatch.apply
        if swap:
            from_number = "RsubBackward1" if fn is pointwise.sub else ""

            def fast(self: Tensor, other: Any) -> Any:
                if not isinstance(self, Tensor):
                    raise _no_descriptor(fn, self)
                if type(other) in _PLAIN or _operand(other):
                    out = apply(fn, (other, self))
                    return functional.called(out, from_number) if from_number else out
                if isinstance(other, np.ndarray):
                    return apply(fn, (creation.as_tensor(other), self))
                return NotImplemented

            return fast

        def fast(self: Tensor, other: Any) -> Any:
            if isinstance(other, Tensor) or type(other) in _PLAIN or _operand(other):
                return apply(fn, (self, other))
            return (
                fn(self, creation.as_tensor(other))
                if isinstance(other, np.ndarray)
                else NotImplemented
            )

        return fast
    if swap:

        def method(self: Tensor, other: Any) -> Any:
            if isinstance(other, np.ndarray):
                other = creation.as_tensor(other)
            return fn(other, self) if _operand(other) else NotImplemented
    else:

        def method(self: Tensor, other: Any) -> Any:
            if _operand(other):
                return fn(self, other)
            if isinstance(other, np.ndarray):
                return fn(self, creation.as_tensor(other))
            return NotImplemented

    return method


def _inplace_operator(name: str) -> Callable:
    def method(self: Tensor, other: Any) -> Any:
        return getattr(self, name)(other) if _operand(other) else NotImplemented

    return method


def _equality(fn: Callable, default: bool) -> Callable:
    def method(self: Tensor, other: Any) -> Any:
        if _operand(other):
            return fn(self, other)
        if isinstance(other, np.ndarray):
            return fn(self, creation.as_tensor(other))
        return default

    return method


_OPERATORS = {
    "add": pointwise.add,
    "sub": pointwise.sub,
    "mul": pointwise.mul,
    "truediv": pointwise.div,
    "floordiv": functional.floor_divide,
    "mod": functional.remainder,
    "pow": functional.pow,
    "and": pointwise.bitwise_and,
    "or": pointwise.bitwise_or,
    "xor": pointwise.bitwise_xor,
    "lshift": pointwise.bitwise_left_shift,
    "rshift": pointwise.bitwise_right_shift,
}


def _matmul(self: Tensor, other: Any) -> Any:
    if isinstance(other, np.ndarray):
        other = creation.as_tensor(other)
    return functional.matmul(self, other) if isinstance(other, Tensor) else NotImplemented


def _rmatmul(self: Tensor, other: Any) -> Any:
    if isinstance(other, np.ndarray):
        other = creation.as_tensor(other)
    return functional.matmul(other, self) if isinstance(other, Tensor) else NotImplemented


_COMPARE = {"lt": pointwise.lt, "le": pointwise.le, "gt": pointwise.gt, "ge": pointwise.ge}
_IOPS = {
    "add": "add_",
    "sub": "sub_",
    "mul": "mul_",
    "truediv": "div_",
    "floordiv": "floor_divide_",
    "mod": "remainder_",
    "pow": "pow_",
    "and": "bitwise_and_",
    "or": "bitwise_or_",
    "xor": "bitwise_xor_",
}


# ---------------------------------------------------------------- methods of their own


class _Methods:
    """Bodies of the methods that are not top-level functions; copied onto Tensor."""

    # shapes
    def size(self: Any, dim: int | None = None) -> Any:
        shape = self.shape
        if dim is None:
            return shape
        functional._no_axis_of_none(self, dim)
        return shape[dim_index(dim, len(shape))]

    def numel(self: Any) -> Any:
        return visible(self.type_.numel)

    nelement = numel

    def __len__(self: Any) -> int:
        if self.ndim == 0:
            raise TypeError("len() of a 0-d tensor")
        return int(self.shape[0])

    def ndimension(self: Any) -> int:
        return self.ndim

    def element_size(self: Any) -> int:
        return self.dtype.itemsize

    def is_contiguous(self: Any, memory_format: Any = None) -> bool:
        chosen = formats.check("is_contiguous", memory_format)
        if chosen is None or not chosen.axes:
            return self.type_.is_contiguous
        shape = self.type_.shape
        if len(shape) != chosen.axes:
            return False
        return movement.laid_out(self, movement.format_strides(shape, chosen))

    def contiguous(self: Any, memory_format: Any = None) -> Any:
        chosen = formats.check("contiguous", memory_format)
        if chosen is formats.preserve_format and self.type_.is_contiguous:
            return self
        if chosen is formats.preserve_format:
            raise RuntimeError("preserve memory format is unsupported by the contiguous operator")
        if chosen is None or not chosen.axes:
            return movement.contiguous(self)
        return movement.in_format(self, chosen)

    def view(self: Any, *shape: Any, size: Any = None, dtype: DType | None = None) -> Any:
        if not shape:
            shape = (size if dtype is None else dtype,)
        if len(shape) == 1 and isinstance(shape[0], DType):
            return _view_dtype(self, shape[0])
        return movement.view(self, movement.resolve_shape(size_args(shape), self.type_.numel))

    def view_as(self: Any, other: Any) -> Any:
        return self.view(tuple(other.shape))

    def reshape(self: Any, *shape: Any) -> Any:
        return movement.reshape(self, size_args(shape))

    def reshape_as(self: Any, other: Any) -> Any:
        return movement.reshape(self, tuple(other.type_.shape))

    def expand(self: Any, *sizes: Any, size: Any = None, implicit: bool = False) -> Any:
        shape = size_args(sizes if size is None else (size,))
        own = self.type_.shape
        lead = len(shape) - len(own)
        if any(isinstance(s, int) and s < 0 for s in shape[: max(lead, 0)]):
            bad = next(i for i, s in enumerate(shape) if isinstance(s, int) and s < 0)
            raise RuntimeError(
                f"The expanded size of the tensor ({shape[bad]}) isn't allowed in a leading, "
                f"non-existing dimension {bad}"
            )
        if lead < 0:
            raise RuntimeError(
                f"expand(torch.{self.dtype.title}Tensor{{{list(own)}}}, size={list(shape)}): the "
                f"number of sizes provided ({len(shape)}) must be greater or equal to the number "
                f"of dimensions in the tensor ({len(own)})"
            )
        full = tuple(
            own[i - lead] if i >= lead and isinstance(s, int) and s == -1 else s
            for i, s in enumerate(shape)
        )
        return movement.expand(self, full)

    def expand_as(self: Any, other: Any) -> Any:
        return movement.expand(self, tuple(other.type_.shape))

    def permute(self: Any, *dims: Any) -> Any:
        return functional.permute(self, size_args(dims))

    def repeat(self: Any, *sizes: Any, repeats: Any = None) -> Any:
        sizes = sizes if repeats is None else (repeats,)
        if not sizes:
            raise TypeError('repeat() missing 1 required positional arguments: "repeats"')
        counts = size_args(sizes)
        own = self.type_.shape
        lead = len(counts) - len(own)
        if lead < 0:
            raise RuntimeError(
                "Number of dimensions of repeat dims can not be smaller than number of dimensions "
                "of tensor"
            )
        x = movement.reshape(self, (1,) * lead + tuple(own))
        mixed: list = []
        split: list = []
        for r, n in zip(counts, x.type_.shape, strict=True):
            split += [1, n]
            mixed += [r, n]
        y = movement.expand(movement.reshape(x, tuple(split)), tuple(mixed))
        out = movement.reshape(y, tuple(r * n for r, n in zip(counts, x.type_.shape, strict=True)))
        return functional.called(
            out if out._storage is not self._storage else movement.clone(out, None),
            "RepeatBackward0",
        )

    def sum_to_size(self: Any, *size: Any) -> Any:
        shape = size_args(size)
        own = self.type_.shape
        if alike(own, shape):
            return self
        lead = len(own) - len(shape)
        dims = tuple(range(lead)) + tuple(
            i + lead for i, n in enumerate(shape) if n == 1 and own[i + lead] != 1
        )
        y = reduce.sum(self, dims, True) if dims else self
        return movement.reshape(y, shape)

    def as_strided(self: Any, size: Any, stride: Any, storage_offset: int | None = None) -> Any:
        own = self._start() if storage_offset is None else self.storage_offset()
        at = own if storage_offset is None else storage_offset
        _check_window(self, tuple(size), tuple(stride), at)
        return movement.as_strided(self, tuple(size), tuple(stride), at - own)

    def unfold(self: Any, dimension: int, size: int, step: int) -> Any:
        d = dim_index(dimension, self.ndim)
        if self.ndim == 0:
            return self.unsqueeze(0).narrow(0, 0, size)
        meta = self.type_
        if size > meta.shape[d]:
            raise RuntimeError(
                f"maximum size for tensor at dimension {d} is {meta.shape[d]} but size is {size}"
            )
        if step <= 0:
            raise RuntimeError(f"step is {step} but must be > 0")
        n = (meta.shape[d] - size) // step + 1
        shape = (*meta.shape[:d], n, *meta.shape[d + 1 :], size)
        strides = (
            *meta.strides[:d],
            meta.strides[d] * step,
            *meta.strides[d + 1 :],
            meta.strides[d],
        )
        return functional.called(
            movement.as_strided(self, shape, strides, 0), "UnfoldBackward0"
        )

    def flip(self: Any, *axes: Any, dims: Any = None) -> Any:
        return functional.flip(self, size_args(axes) if dims is None else dims)

    def tile(self: Any, *dims: Any) -> Any:
        return functional.tile(self, size_args(dims))

    # values
    def item(self: Any) -> Any:
        a = self.concrete(".item()")
        if a.size != 1:
            raise RuntimeError(f"a Tensor with {a.size} elements cannot be converted to Scalar")
        return (
            dispatch.cast_array(a, self.dtype, dtypes.float32) if self.dtype.is_half else a
        ).item()

    def tolist(self: Any) -> Any:
        a = self.concrete(".tolist()")
        return (
            dispatch.cast_array(a, self.dtype, dtypes.float32) if self.dtype.is_half else a
        ).tolist()

    def numpy(self: Any, *, force: bool = False) -> np.ndarray:
        a = self.concrete(".numpy()").view()  # an object of its own: its shape may be assigned
        if force:
            return a
        if self._needs:
            raise RuntimeError(
                "Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() "
                "instead."
            )
        if self.dtype is dtypes.bfloat16:
            raise TypeError("Got unsupported ScalarType BFloat16")
        return a

    def __array__(self: Any, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        a = self.numpy()
        if dtype is not None and a.dtype != dtype:
            if copy is False:
                raise ValueError("Unable to avoid copy while creating an array as requested.")
            return a.astype(dtype)
        return np.array(a) if copy else a

    def __array_wrap__(
        self: Any, array: Any, context: Any = None, return_scalar: bool = False
    ) -> Any:
        a = np.asarray(array)
        return creation.from_numpy(np.ascontiguousarray(a).reshape(a.shape))

    def __array_namespace__(self: Any, *, api_version: str | None = None) -> Any:
        from . import array_api

        return array_api.namespace(api_version)  # type: ignore[attr-defined]

    def to_device(self: Any, device: Any, /, *, stream: Any = None) -> Any:
        check_device(device)
        return self

    __dlpack__ = interop.export
    __dlpack_device__ = interop.device_of

    def __bool__(self: Any) -> bool:
        a = self.concrete("bool(tensor), as in `if tensor:`,")
        if a.size > 1:
            raise RuntimeError("Boolean value of Tensor with more than one value is ambiguous")
        if a.size == 0:
            raise RuntimeError("Boolean value of Tensor with no values is ambiguous")
        return bool(a.item() != 0)

    def __int__(self: Any) -> int:
        return int(self._real_item("int64_t"))

    def __float__(self: Any) -> float:
        return float(self._real_item("double"))

    def __complex__(self: Any) -> complex:
        _check_one(self)
        return complex(self.item())

    def _real_item(self: Any, what: str) -> Any:
        _check_one(self)
        x = self.item()
        if type(x) is complex:
            if x.imag != 0:
                raise RuntimeError(f"value cannot be converted to type {what} without overflow")
            x = x.real
        return x

    def __index__(self: Any) -> int:
        if self.dtype.category > dtypes.INT or self.numel() != 1:
            raise TypeError("only integer tensors of a single element can be converted to an index")
        return int(self.item())

    def __iter__(self: Any) -> Iterator:
        if self.ndim == 0:
            raise TypeError("iteration over a 0-d tensor")
        return iter(functional.unbind(self, 0))

    def __reversed__(self: Any) -> Any:
        return self.flip(0) if self.ndim else self

    def where(self: Any, condition: Any, other: Any) -> Any:
        """self where condition, else other."""
        return functional.where(condition, self, other)

    def __contains__(self: Any, value: Any) -> bool:
        if not _operand(value):
            raise RuntimeError(
                "Tensor.__contains__ only supports Tensor or scalar, but you passed in a "
                f"{type(value)}."
            )
        return bool(functional.any(pointwise.eq(self, value)))

    def __format__(self: Any, spec: str) -> str:
        if self.ndim == 0:
            return format(self.item(), spec)
        if spec:
            raise TypeError("unsupported format string passed to Tensor.__format__")
        return repr(self)

    def __repr__(self: Any, *, tensor_contents: Any = None) -> str:
        if STATE.tracer is not None:
            return STATE.tracer.shown(self)
        return printing.tensor_repr(self)

    __str__ = __repr__

    # dtypes and devices
    def to(
        self: Any,
        *args: Any,
        dtype: DType | None = None,
        device: Any = None,
        non_blocking: bool = False,
        copy: bool = False,
        memory_format: Any = None,
    ) -> Any:
        for a in args:
            if isinstance(a, DType):
                dtype = a
            elif isinstance(a, Tensor):
                dtype = a.dtype
            elif isinstance(a, bool):
                pass
            elif a is not None:
                device = a
        if isinstance(device, str) and device and not known_device(device):
            raise RuntimeError(f"Invalid device string: '{device}'")
        check_device(device)
        flags = [a for a in args if isinstance(a, bool)]  # non_blocking, copy
        copy = copy or len(flags) > 1 and flags[1]
        if dtype is None or dtype is self.dtype:
            if copy:
                return functional.clone(self, memory_format=memory_format)
            return movement.suggested(self, memory_format)
        return movement.in_format(pointwise.cast(self, dtype), memory_format)

    def type(self: Any, dtype: Any = None, non_blocking: bool = False) -> Any:
        if dtype is None:
            return f"torch.{self.dtype.title}Tensor"
        if isinstance(dtype, str):
            name = dtype.rsplit(".", 1)[-1].removesuffix("Tensor")
            dtype = next(d for d in dtypes.ALL if d.title == name)
        return self.to(getattr(dtype, "dtype", dtype))

    def type_as(self: Any, other: Any) -> Any:
        return self.to(other.dtype)

    def cpu(self: Any, memory_format: Any = None) -> Any:
        return self

    def cuda(self: Any, device: Any = None, non_blocking: bool = False) -> Any:
        check_device("cuda" if device is None else device)
        return self

    @property
    def device(self: Any) -> Any:
        return CPU

    @property
    def is_cuda(self: Any) -> bool:
        return False

    def get_device(self: Any) -> int:
        return -1

    @property
    def itemsize(self: Any) -> int:
        return self.dtype.itemsize

    @property
    def nbytes(self: Any) -> int:
        return self.numel() * self.dtype.itemsize

    @property
    def T(self: Any) -> Any:
        if self.ndim not in (0, 2) and STATE.tracer is None:
            warn_user(
                "The use of `x.T` on tensors of dimension other than 2 to reverse their shape is "
                "deprecated and it will throw an error in a future release. Consider `x.mT` to "
                "transpose batches of matrices or `x.permute(*torch.arange(x.ndim - 1, -1, -1))` "
                "to reverse the dimensions of a tensor."
            )
        return movement.permute(self, tuple(reversed(range(self.ndim))))

    @property
    def mT(self: Any) -> Any:
        return movement.swap(self, -2, -1)

    # autograd
    @property
    def data(self: Any) -> Any:
        return _detached_copy_of_version(self)

    @data.setter
    def data(self: Any, value: Any) -> None:
        if STATE.tracer is not None:
            if not STATE.tracer.same_place(
                self, value
            ):  # x.data -= y assigns what is there already
                STATE.tracer.refuse(
                    "assigning .data while compiling", "use copy_() under no_grad", "tensor"
                )
            return
        if self._needs and value.dtype.category < dtypes.FLOAT:
            raise RuntimeError(
                "data set to a tensor that requires gradients must be floating point or complex "
                "dtype"
            )
        self._array, self.dtype, self._storage = value._array, value.dtype, value._storage
        from .core import observe

        observe.changed(self, "data")

    def detach(self: Any) -> Any:
        tracer = STATE.tracer
        return tracer.detach(self) if tracer is not None and tracer.transforms else alias(self)

    def detach_(self: Any) -> Any:
        if self._base is not None:
            raise RuntimeError(
                "Can't detach views in-place. Use detach() instead. If you are using "
                "DistributedDataParallel (DDP) for training, and gradient_as_bucket_view is set as "
                "True, gradients are views of DDP buckets, and hence detach_() cannot be called "
                "on these gradients. To fix this error, please refer to the Optimizer.zero_grad() "
                "function in torch/optim/optimizer.py as the solution."
            )
        self._fn, self._needs = None, False
        return self

    def backward(
        self: Any,
        gradient: Any = None,
        retain_graph: bool | None = None,
        create_graph: bool = False,
        inputs: Any = None,
    ) -> None:
        from .autograd import backward

        backward(self, gradient, retain_graph, create_graph, inputs=inputs)

    def retain_grad(self: Any) -> None:
        if not self._needs:
            raise RuntimeError("can't retain_grad on Tensor that has requires_grad=False")
        if self.grad_fn is None or self._retains_grad:
            return
        self._retains_grad = True

        def keep(g: Any) -> None:
            old = self._grad
            self._grad = g if old is None else old + g

        setattr(keep, "last", True)  # noqa: B010  (after the hooks that change the gradient)
        tape.register_tensor_hook(self, keep)

    @property
    def retains_grad(self: Any) -> bool:
        return self._retains_grad

    def register_hook(self: Any, hook: Callable) -> Any:
        return tape.register_tensor_hook(self, hook)

    def register_post_accumulate_grad_hook(self: Any, hook: Callable) -> Any:
        if self.grad_fn is not None:
            raise RuntimeError(
                "post accumulate grad hooks cannot be registered on non-leaf tensors"
            )
        return tape.RemovableHandle(self.__dict__.setdefault("_post_accumulate_hooks", {}), hook)

    def is_inference(self: Any) -> bool:
        return self._inference

    def share_memory_(self: Any) -> Any:
        return self

    def is_shared(self: Any) -> bool:
        return False

    def pin_memory(self: Any, device: Any = None) -> Any:
        return self

    def untyped_storage(self: Any) -> Any:
        return self._storage

    def _is_view(self: Any) -> bool:
        return self._base is not None

    def set_(self: Any, source: Any = None) -> Any:
        """self over the memory of another tensor, with its shape; without one, empty."""
        if STATE.tracer is not None:
            STATE.tracer.refuse("set_() while compiling", "use copy_()", "tensor")
        inplace.check_inplace(self)
        other = creation.empty(0, dtype=self.dtype) if source is None else source
        if other.dtype is not self.dtype:
            raise RuntimeError(
                f"Could not set tensor of type {dtypes.c_name(other.dtype)} to a tensor of type "
                f"{dtypes.c_name(self.dtype)}"
            )
        self._array, self._storage = other._array, other._storage
        self._storage.version += 1
        return self

    # making others
    def new_zeros(
        self: Any,
        *size: Any,
        dtype: DType | None = None,
        device: Any = None,
        requires_grad: bool = False,
    ) -> Any:
        return creation.beside(
            self,
            creation.zeros(
                size_of(size), dtype=dtype or self.dtype, device=device, requires_grad=requires_grad
            ),
        )

    def new_ones(
        self: Any,
        *size: Any,
        dtype: DType | None = None,
        device: Any = None,
        requires_grad: bool = False,
    ) -> Any:
        return creation.beside(
            self,
            creation.ones(
                size_of(size), dtype=dtype or self.dtype, device=device, requires_grad=requires_grad
            ),
        )

    def new_empty(
        self: Any,
        *size: Any,
        dtype: DType | None = None,
        device: Any = None,
        requires_grad: bool = False,
    ) -> Any:
        return creation.beside(
            self,
            creation.empty(
                size_of(size), dtype=dtype or self.dtype, device=device, requires_grad=requires_grad
            ),
        )

    def new_full(
        self: Any,
        size: Any,
        fill_value: Any,
        dtype: DType | None = None,
        device: Any = None,
        requires_grad: bool = False,
    ) -> Any:
        return creation.beside(
            self,
            creation.full(
                size,
                fill_value,
                dtype=dtype or self.dtype,
                device=device,
                requires_grad=requires_grad,
            ),
        )

    def new_tensor(
        self: Any,
        data: Any,
        dtype: DType | None = None,
        device: Any = None,
        requires_grad: bool = False,
    ) -> Any:
        return creation.tensor(
            data, dtype=dtype or self.dtype, device=device, requires_grad=requires_grad
        )

    # writes
    def copy_(self: Any, other: Any, non_blocking: bool = False) -> Any:
        src = other if isinstance(other, Tensor) else creation.as_tensor(other)
        if src.ndim > self.ndim or any(
            n != m and n != 1 for n, m in zip(src.shape[::-1], self.shape[::-1], strict=False)
        ):
            raise RuntimeError(
                f"The size of tensor a ({self.shape[-1] if self.ndim else 1}) must match the size "
                f"of tensor b ({src.shape[-1]}) at non-singleton dimension "
                f"{self.ndim - 1 if self.ndim else 0}"
            )
        return _overwrite(self, src)

    def fill_(self: Any, value: Any) -> Any:
        if 0 in self.stride():  # one value fits an expanded tensor
            base = self.as_strided(
                [1 if s == 0 else n for n, s in zip(self.shape, self.stride(), strict=True)],
                self.stride(),
            )
            if base.shape != self.shape:
                base.fill_(value)
                return self
        if isinstance(value, Tensor) and value.ndim:
            raise RuntimeError(
                "fill_ only supports 0-dimension value tensor but got tensor with "
                f"{value.ndim} dimensions."
            )
        return _overwrite(self, value)

    def zero_(self: Any) -> Any:
        return self.fill_(0)

    def index_fill_(self: Any, dim: int, index: Any, value: Any) -> Any:
        key = (slice(None),) * dim_index(dim, self.ndim) + (index,)
        indexing.setitem(self, key, value)
        return self

    def index_copy_(self: Any, dim: int, index: Any, source: Any) -> Any:
        d = dim_index(dim, self.ndim)
        _check_index_copy(self, d, index, source)
        if self.ndim:
            indexing.setitem(self, (slice(None),) * d + (index.reshape(-1),), source)
        else:
            indexing.setitem(self, (), source.reshape(()))
        return self

    def index_put_(self: Any, indices: Any, values: Any, accumulate: bool = False) -> Any:
        if not accumulate:
            indexing.setitem(self, tuple(indices), values)
            return self
        from .ops import gather

        view, places = indexing._basic(self, tuple(indices))
        target, at, _, _ = indexing._advanced(view, places)
        shape = (*at[0].shape, *target.shape[len(at) :])
        src = indexing._fit(pointwise.cast(values, self.dtype), shape)
        inplace.check_inplace(target)
        inplace.store(target, gather.index_add_at((target, src, *at)))
        return self

    def uniform_(
        self: Any, from_: float = 0, to: float = 1, *, generator: Any = None, **named: Any
    ) -> Any:
        low, high = named.get("a", named.get("from", from_)), named.get("b", to)
        if low > high:
            raise RuntimeError(
                f"uniform_ expects to return a [from, to) range, but found from={low:g} > "
                f"to={high:g}"
            )
        return _overwrite(self, self._drawn(random_ops.rand, generator) * (high - low) + low)

    def normal_(self: Any, mean: float = 0, std: float = 1, *, generator: Any = None) -> Any:
        functional.check_std(std)
        return _overwrite(self, self._drawn(random_ops.randn, generator) * std + mean)

    def _drawn(self: Any, op: Any, generator: Any) -> Any:
        """Random numbers of self's shape; of complex ones both parts are drawn."""
        if self.dtype.is_complex:
            return creation.complex_random(op, tuple(self.shape), self.dtype.to_real(), generator)
        return op(tuple(self.shape), self.dtype, generator)

    def random_(self: Any, from_: int = 0, to: int | None = None, *, generator: Any = None) -> Any:
        if to is None:
            low, high = (
                (0, from_) if from_ else (0, 1 << (24 if self.dtype is dtypes.float32 else 53))
            )
        else:
            low, high = from_, to
        return _overwrite(
            self, random_ops.randint_in(low, high, tuple(self.shape), dtypes.int64, generator)
        )

    def bernoulli_(self: Any, p: Any = 0.5, *, generator: Any = None) -> Any:
        u = random_ops.rand(tuple(self.shape), dtypes.float32, generator)
        return _overwrite(self, u < p)

    def exponential_(self: Any, lambd: float = 1, *, generator: Any = None) -> Any:
        u = random_ops.rand(tuple(self.shape), self.dtype, generator)
        return _overwrite(self, pointwise.log1p(-u) / -lambd)

    def squeeze_(self: Any, dim: Any = None) -> Any:
        return _reshape_in_place(self, functional.squeeze(self, dim))

    def unsqueeze_(self: Any, dim: int) -> Any:
        return _reshape_in_place(self, functional.unsqueeze(self, dim))

    def resize_(self: Any, *size: Any, memory_format: Any = None) -> Any:
        """Another shape over the same memory, or over new memory that starts with the old
        values."""
        shape = size_of(size)
        n = int(np.prod(shape, dtype=np.int64))
        if self._needs:
            raise RuntimeError("cannot resize variables that require grad")
        flat = self.concrete("resize_()").reshape(-1)
        if n > flat.size or not self.is_contiguous():
            new = creation.empty(n, dtype=self.dtype)
            new._array[: min(n, flat.size)] = flat[:n]
            self._storage, flat = new._storage, new._array
        self._array = flat[:n].reshape(shape)
        self._storage.version += 1
        return self

    def t_(self: Any) -> Any:
        return _reshape_in_place(self, functional.t(self))

    def transpose_(self: Any, dim0: int, dim1: int) -> Any:
        return _reshape_in_place(self, functional.transpose(self, dim0, dim1))

    swapaxes_ = swapdims_ = transpose_

    # subclasses
    @staticmethod
    def _make_subclass(cls: Any, data: Any, require_grad: bool = False, **options: Any) -> Any:
        out = alias(data, bool(require_grad))
        out.__class__ = cls
        return out

    @classmethod
    def __torch_function__(
        cls: Any, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        from .overrides import default_torch_function

        return default_torch_function(cls, func, types, args, kwargs)

    def abs_(self: Any) -> Any:
        """In-place version of abs()."""
        if self.dtype.is_complex:
            raise RuntimeError("In-place abs is not supported for complex tensors.")
        return inplace.apply_inplace(pointwise.abs, (self,))

    absolute_ = abs_

    # copies of the object
    def __deepcopy__(self: Any, memo: dict) -> Any:
        if self.grad_fn is not None:
            raise RuntimeError(
                "Only Tensors created explicitly by the user (graph leaves) support the deepcopy "
                "protocol at the moment.  If you were attempting to deepcopy a module, this may "
                "be because of a torch.nn.utils.weight_norm usage, see "
                "https://github.com/pytorch/pytorch/pull/103001"
            )
        if id(self) in memo:
            return memo[id(self)]
        if STATE.tracer is not None:
            STATE.tracer.refuse("deepcopy of a tensor while compiling", "use clone()", "state")
        key = ("storage", id(self._storage))
        copied = memo.get(key)
        if copied is None:
            whole: Any = self._storage.value
            strides = tuple(s // whole.itemsize for s in whole.strides)
            copied = memo[key] = Storage(movement._restride_kernel(whole, strides))
            memo[id(copied)] = self._storage  # keeps the key alive
        out = _window(
            copied,
            self.dtype,
            tuple(self.shape),
            self.stride(),
            address(self._array) - address(self._storage.value),
        )
        out.__class__ = self.__class__
        out._needs = self._needs
        memo[id(self)] = out
        for k, v in self.__dict__.items():
            if k == "_grad" and v is not None:
                out._grad = copy.deepcopy(v, memo)
            elif not k.startswith("_"):
                out.__dict__[k] = copy.deepcopy(v, memo)
        return out

    def __setstate__(self: Any, state: Any) -> None:
        """Takes the attributes that a subclass pickled, or the state of old pickles:
        (requires_grad, None, hooks), (data, grad, hooks, requires_grad, None), or (storage,
        offset, size, stride)."""
        if isinstance(state, dict):
            for name, value in state.items():
                setattr(self, name, value)
            return
        if not self.is_leaf:
            raise RuntimeError("__setstate__ can be only called on leaf Tensors")
        if len(state) == 4:
            storage, at, size, stride = state
            self.data = _window(storage, self.dtype, tuple(size), tuple(stride), at)
            return
        if len(state) == 5:
            self.data = state[0]
            state = (state[3], state[4], state[2])
        needs, _, _ = state
        self.requires_grad = needs

    def __reduce_ex__(self: Any, protocol: Any) -> tuple:
        extra = {k: v for k, v in self.__dict__.items() if not k.startswith("_")}
        a = self.concrete("pickling a tensor")
        whole = self._storage.value
        strides = tuple(s // whole.itemsize for s in whole.strides)
        storage, at = self._storage, address(a) - address(whole)
        if (
            whole.dtype != a.dtype
            or 2 * a.nbytes < whole.nbytes
            or not is_dense(whole.shape, strides)
        ):
            dense = movement._restride_kernel(a, None)  # a window of much larger memory goes alone
            storage, at, a = Storage(dense), 0, dense
        elements = tuple(s // a.itemsize for s in a.strides) if a.size else self.stride()
        return (
            _rebuild,
            (
                self.__class__,
                storage,
                self.dtype,
                a.shape,
                elements,
                at,
                self._needs and self.grad_fn is None,
                extra,
            ),
        )

    def clone_preserving(self: Any) -> Any:
        return movement.clone(self, None)

    def apply_(self: Any, fn: Callable) -> Any:
        a = self.concrete("apply_()")
        for i in np.ndindex(a.shape):
            a[i] = fn(a[i].item())
        self._storage.version += 1
        return self


def _window(storage: Storage, dtype: DType, shape: tuple, strides: tuple, at: int) -> Tensor:
    """A tensor over storage's memory: strides in elements, the start in bytes from the storage's
    value."""
    whole: Any = storage.value
    if whole.dtype != dtype.np:
        whole = whole.view(dtype.np)
    size = dtype.itemsize
    a = (
        movement.strided(whole, shape, tuple(s * size for s in strides), at)
        if 0 not in shape
        else np.empty(shape, dtype.np)
    )
    t = wrap(a, dtype)
    t._storage = storage
    return t


def _rebuild(
    cls: type,
    storage: Storage,
    dtype: DType,
    shape: tuple,
    strides: tuple,
    at: int,
    needs: bool,
    extra: dict,
) -> Any:
    out: Any = _window(storage, dtype, shape, strides, at)
    if cls is not Tensor:
        out.__class__ = cls
    out._needs = needs
    out.__dict__.update(extra)
    return out


def _check_one(t: Tensor) -> None:
    n = t.type_.numel
    if isinstance(n, int) and n != 1:
        raise ValueError("only one element tensors can be converted to Python scalars")


def size_args(args: tuple) -> tuple:
    """Shape arguments given one by one or as one sequence; -1 stays."""
    if len(args) == 1 and isinstance(args[0], (tuple, list)):
        args = tuple(args[0])
    return tuple(
        int(a) if isinstance(a, np.integer) else a.item() if isinstance(a, Tensor) else a  # type: ignore
        for a in args
    )


def _overwrite(target: Tensor, value: Any) -> Tensor:
    needs = STATE.grad and (target._needs or isinstance(value, Tensor) and value._needs)
    if needs or STATE.tracer is not None:
        return inplace.apply_inplace(pointwise.copy, (target, value))
    inplace.check_inplace(target)
    a: Any = target._array
    if isinstance(value, Tensor):
        v = pointwise.cast(value, target.dtype)._array
        np.copyto(a, v)
    else:
        if target.dtype.category <= dtypes.INT and isinstance(value, float):
            value = int(value)
        a[...] = (
            creation._half_value(value, target.dtype)
            if target.dtype.is_half
            else dispatch.number_array(value, target.dtype)
        )
    target._storage.version += 1
    return target


def _detached_copy_of_version(t: Tensor) -> Tensor:
    """.data: the same memory under a version counter of its own, so writes go unnoticed by
    autograd."""
    if STATE.tracer is not None and STATE.tracer.transforms:
        return t.detach()  # type: ignore[attr-defined]
    out = alias(t)
    out._storage = Storage(t._storage.value)
    return out


def _check_index_copy(t: Any, d: int, index: Any, source: Any) -> None:
    """Raises index_copy_'s errors."""
    if index.ndim > 1:
        raise IndexError(f"index_copy_(): Index should have dimension 1 or 0 (got {index.ndim})")
    if t.dtype is not source.dtype:
        raise RuntimeError(
            "index_copy_(): self and source expected to have the same dtype, but got (self) "
            f"{t.dtype.title} and (source) {source.dtype.title}"
        )
    if index.dtype is not dtypes.int64:
        raise RuntimeError(
            f"index_copy_(): Expected a long tensor for index, but got {index.dtype.title}"
        )
    own, given = list(t.shape), list(source.shape)
    here, there = own[:d] + own[d + 1 :], given[:d] + given[d + 1 :]
    if here != there:
        raise RuntimeError(
            "index_copy_(): Source/destination tensor must have same slice shapes. Destination "
            f"slice shape: {' '.join(map(str, here))} at dimension {d} and source slice shape: "
            f"{' '.join(map(str, there))} at dimension {d if given else 0}."
        )
    n = given[d] if given else 1
    if index.numel() != n:
        raise IndexError(
            f"index_copy_(): Number of indices ({index.numel()}) should be equal to "
            f"source.size(dim) ({n})"
        )


def _check_window(t: Tensor, size: tuple, stride: tuple, offset: int) -> None:
    """Raises PyTorch's errors for windows outside of t's memory."""
    if len(size) != len(stride):
        raise RuntimeError("mismatch in length of strides and shape")
    if any(s < 0 for s in stride):
        raise RuntimeError(
            "as_strided: Negative strides are not supported at the moment, got strides: "
            f"{list(stride)}"
        )
    if offset < 0:
        raise RuntimeError(f"Tensor: invalid storage offset {offset}")
    if 0 in size:
        return
    needed = (offset + 1 + sum((n - 1) * s for n, s in zip(size, stride, strict=True))) * t.itemsize
    there = t._storage.root().nbytes if t._array is not None else STATE.tracer.storage_bytes(t)
    if needed > there:
        raise RuntimeError(
            f"setStorage: sizes {list(size)}, strides {list(stride)}, storage offset {offset}, and "
            f"itemsize {t.itemsize} requiring a storage size of {needed} are out of bounds for "
            f"storage of size {there}"
        )


def _reshape_in_place(t: Tensor, view: Tensor) -> Tensor:
    t._array, t._fn, t._needs = view._array, view._fn, view._needs
    t._meta, t._trace, t._offset = view._meta, view._trace, view._offset
    return t


def _view_dtype(t: Tensor, d: DType) -> Tensor:
    a = t.concrete(".view(dtype)")
    if d.itemsize != t.dtype.itemsize:
        what = f" to view {t.dtype.title} as {d.title} (different element sizes)"
        if t.ndim == 0:
            raise RuntimeError(f"self.dim() cannot be 0{what}")
        if t.stride(-1) != 1:
            raise RuntimeError(f"self.stride(-1) must be 1{what}, but got {t.stride(-1)}")
        k = d.itemsize // t.dtype.itemsize
        if k and t.shape[-1] % k:
            raise RuntimeError(
                f"self.size(-1) must be divisible by {k}{what}, but got {t.shape[-1]}"
            )
    out = wrap(a.view(d.np), d)
    out._storage = t._storage
    link_view(out, t)
    return out


def _cast_method(name: str, d: DType) -> Callable:
    def method(self: Tensor, memory_format: Any = None) -> Tensor:
        if memory_format is None:
            return pointwise.cast(self, d)
        return self.to(d, memory_format=memory_format)  # type: ignore[attr-defined]

    method.__name__ = name
    method.__doc__ = f"self as {d}."
    return method


def _invert(self: Tensor) -> Tensor:
    if self.dtype.category > dtypes.INT:
        raise TypeError(
            "~ (operator.invert) is only implemented on integer and Boolean-type tensors"
        )
    return functional.bitwise_not(self)  # type: ignore[attr-defined]


def _construct(cls: Any, *args: Any, device: Any = None) -> Any:
    """torch.Tensor(...): data as the default dtype, or uninitialised memory of a size."""
    if cls is not Tensor:
        if own_class(cls) or not args:
            return object.__new__(cls)
        out = _construct(Tensor, *args, device=device)
        out.__class__ = cls
        return out
    if device is not None and not args:
        return object.__new__(cls)
    if len(args) == 1 and isinstance(args[0], Tensor):
        return alias(args[0])
    if (
        len(args) == 1
        and not isinstance(args[0], (int, np.integer))
        and type(args[0]).__name__ != "Size"
    ):
        return creation.tensor(args[0], dtype=dtypes.get_default_dtype())
    return creation.empty(*args) if args else creation.empty(0)


_ROOMS = (
    ordering,
    algebra,
    complex_numbers,
    pieces,
    statistics,
    special,
    linalg_names,
    spectral,
)
_ALIASES = {
    "absolute_": "abs_",
    "divide": "div",
    "divide_": "div_",
    "true_divide": "div",
    "true_divide_": "div_",
    "subtract": "sub",
    "subtract_": "sub_",
    "arctan2": "atan2",
    "swapaxes_": "transpose_",
    "swapdims_": "transpose_",
}
_CLASS_ONLY = (
    "__module__",
    "__dict__",
    "__weakref__",
    "__doc__",
    "__annotations__",
    "__firstlineno__",
    "__static_attributes__",
)


# called all the time, and without errors to speak of
_CHEAP = ("numel", "nelement", "ndimension", "element_size", "is_contiguous", "cpu", "get_device")


def attach() -> None:
    """Puts everything onto Tensor; called once by the package."""
    for name in METHODS:
        setattr(Tensor, name, getattr(functional, name))
    for name in INPLACE:
        setattr(Tensor, name + "_", _inplace(name))
    for room in _ROOMS:
        for name in room.METHODS:
            setattr(Tensor, name, getattr(room, name))
        for name in room.INPLACE:
            setattr(Tensor, name + "_", _inplace(name, room))
    for name, fn in _OPERATORS.items():
        for dunder, swap in ((f"__{name}__", False), (f"__r{name}__", True)):
            method = _operator(fn, swap)
            method.__name__ = dunder
            setattr(Tensor, dunder, method)
    for name, fn in _COMPARE.items():
        setattr(Tensor, f"__{name}__", _operator(fn))
    for name, target in _IOPS.items():
        setattr(Tensor, f"__i{name}__", _inplace_operator(target))
    Tensor.__eq__ = _equality(pointwise.eq, False)  # type: ignore[method-assign, assignment]
    Tensor.__ne__ = _equality(pointwise.ne, True)  # type: ignore[method-assign, assignment]
    methods: dict[str, Any] = {
        "__matmul__": _matmul,
        "__rmatmul__": _rmatmul,
        "__neg__": functional.neg,  # type: ignore[attr-defined]
        "__pos__": lambda self: self,
        "__abs__": functional.abs,  # type: ignore
        "__invert__": _invert,
        "__getitem__": indexing.getitem,  # type: ignore
        "__setitem__": indexing.setitem,
        "__array_priority__": 1000,
    }
    for bodies in (_Methods, complex_numbers.Properties, tensor_facts.Facts):
        for k, v in vars(bodies).items():
            if k not in _CLASS_ONLY:
                plain = k in _CHEAP or not isinstance(v, FunctionType)
                methods[k] = v if plain else entry.public(v)
    for name, d in (
        ("cfloat", dtypes.complex64),
        ("cdouble", dtypes.complex128),
        ("float", dtypes.float32),
        ("double", dtypes.float64),
        ("half", dtypes.float16),
        ("bfloat16", dtypes.bfloat16),
        ("int", dtypes.int32),
        ("long", dtypes.int64),
        ("short", dtypes.int16),
        ("char", dtypes.int8),
        ("byte", dtypes.uint8),
        ("bool", dtypes.bool_),
    ):
        methods[name] = _cast_method(name, d)
    for name, value in methods.items():
        setattr(Tensor, name, value)
    for name, same in _ALIASES.items():
        setattr(Tensor, name, getattr(Tensor, same))
    Tensor.__new__ = _construct  # type: ignore[method-assign, assignment]
    Generator.device = property(lambda self: CPU)


attach()
