"""Parameter and Buffer: tensors that a Module registers when they are assigned to it.

Takes a tensor, gives one over the same memory. Invariant: a Parameter is a leaf, and it stays a
Parameter through deepcopy and pickle; results of operations on it are plain tensors. """

from __future__ import annotations

from typing import Any

from ..core.tensor import Tensor, alias


class _ParameterMeta(type):
    """`isinstance(t, Parameter)` also holds for tensors of other classes that carry `_is_param`."""

    def __instancecheck__(cls, instance: Any) -> bool:
        if type(instance) is cls or super().__instancecheck__(instance):
            return True
        marked = isinstance(instance, Tensor) and getattr(instance, "_is_param", False)
        return cls is Parameter and marked


class _BufferMeta(type):
    def __instancecheck__(cls, instance: Any) -> bool:
        if super().__instancecheck__(instance):
            return True
        marked = isinstance(instance, Tensor) and getattr(instance, "_is_buffer", False)
        return cls is Buffer and marked


_ARRAY: Any = Tensor.__dict__["_array"]


def _over(cls: type, data: Any, requires_grad: bool) -> Any:
    """A tensor of class `cls` over data's memory, without history."""
    source = alias(data)
    if requires_grad and not (source.dtype.is_floating_point or source.dtype.is_complex):
        raise RuntimeError("Only Tensors of floating point and complex dtype can require gradients")
    out: Any = object.__new__(cls)
    _ARRAY.__set__(out, source._array)      # which uninitialised ones do not show
    out.dtype, out._storage = source.dtype, source._storage
    out._needs, out._fn = bool(requires_grad), None
    if source._array is None:
        out._meta, out._trace, out._offset = source._meta, source._trace, source._offset
    return out


def _empty() -> Tensor:
    from ..creation import empty
    return empty(0)


class Parameter(Tensor, metaclass=_ParameterMeta):
    """A tensor that is a parameter of the Module it is assigned to.

    data: a tensor (its memory is shared); requires_grad: whether gradients are recorded, also when
    made inside no_grad. RuntimeError for integer data with requires_grad=True.
    https://docs.pytorch.org/docs/stable/generated/torch.nn.parameter.Parameter.html
    """

    __slots__ = ()

    def __new__(cls, data: Any = None, requires_grad: bool = True) -> Any:
        if data is None:
            data = _empty()
        if not isinstance(data, Tensor):
            raise TypeError(f"Parameter data must be a Tensor, got {type(data).__name__}")
        if type(data) is Tensor or isinstance(data, cls):
            return _over(cls, data, requires_grad)
        kept: Any = data.detach().requires_grad_(requires_grad)
        if type(kept) is not type(data):
            raise RuntimeError(
                f"Creating a Parameter from an instance of type {type(data).__name__} requires "
                "that detach() returns an instance of the same type, but return type "
                f"{type(kept).__name__} was found instead. To use the type as a Parameter, please "
                "correct the detach() semantics.")
        kept.__dict__["_is_param"] = True
        return kept

    def __init__(self, data: Any = None, requires_grad: bool = True):
        """Everything happens in __new__."""

    def __deepcopy__(self, memo: dict) -> Parameter:
        if id(self) in memo:
            return memo[id(self)]
        result = type(self)(self.detach().clone(), self.requires_grad)
        memo[id(self)] = result
        return result

    def __reduce_ex__(self, protocol: Any) -> tuple:
        return (_rebuild, (type(self), self.detach(), self.requires_grad, _extra_attributes(self)))


class Buffer(Tensor, metaclass=_BufferMeta):
    """A tensor that is a buffer of the Module it is assigned to; `persistent` puts it into
    state_dict.
    https://docs.pytorch.org/docs/stable/generated/torch.nn.parameter.Buffer.html"""

    __slots__ = ()

    def __new__(cls, data: Any = None, *, persistent: bool = True) -> Any:
        out: Any = (_empty() if data is None else data).detach().requires_grad_(
            False if data is None else data.requires_grad)
        out.persistent = persistent
        out._is_buffer = True
        return out


# Fields of a tensor's __dict__ that belong to autograd and tracing, not to the user.
_INTERNAL = frozenset(k for k in vars(Tensor) if k.startswith("_"))


def _extra_attributes(t: Tensor) -> dict:
    """What the user hung on a tensor (`p.tag = ...`)."""
    return {k: v for k, v in t.__dict__.items() if k not in _INTERNAL}


def _rebuild(cls: type, data: Tensor, requires_grad: bool, extra: dict) -> Any:
    out = cls(data, requires_grad)
    if extra:
        out.__dict__.update(extra)
    return out


_NOT_YET = (
    "Can't access the shape of an uninitialized parameter or buffer. This error usually happens in "
    "`load_state_dict` when trying to load an uninitialized parameter into an initialized one. "
    "Call `forward` to initialize the parameters before accessing their attributes.")


class UninitializedTensorMixin:
    """A parameter or buffer that still waits for its shape: it has a dtype and a device, and every
    use of its contents is a ValueError."""

    __slots__ = ()

    cls_to_become: type

    def materialize(self: Any, shape: Any, device: Any = None, dtype: Any = None) -> None:
        """Turns this very object into a Parameter or plain tensor of a shape, uninitialised."""
        from ..creation import empty
        dtype = dtype or self.dtype
        object.__setattr__(self, "__class__", self.cls_to_become)
        self.data = empty(tuple(shape), dtype=dtype, device=device)

    @property
    def _array(self) -> Any:
        word = "parameter" if isinstance(self, UninitializedParameter) else "buffer"
        raise ValueError(
            f"Attempted to use an uninitialized {word} in a tensor operation. This error happens "
            "when you are using a `LazyModule` or explicitly manipulating "
            f"`torch.nn.parameter.{type(self).__name__}` objects. When using LazyModules Call "
            "`forward` with a dummy batch to initialize the parameters before calling torch "
            "functions")

    @property
    def shape(self) -> Any:
        raise RuntimeError(_NOT_YET)

    def share_memory_(self) -> Any:
        raise RuntimeError("Can't share memory on an uninitialized parameter or buffer. Call "
                           "`forward` to initialize the parameters before calling "
                           "`module.share_memory()`.")

    def detach(self: Any) -> Any:
        """Itself: there is no history, and a state dict keeps it as it is."""
        return self

    def converted(self: Any, fn: Any) -> None:
        """Applies a conversion of a module's tensors: all that can change is the dtype."""
        from ..creation import empty
        self.dtype = fn(empty(0, dtype=self.dtype)).dtype

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    __str__ = __repr__

    def __deepcopy__(self: Any, memo: dict) -> Any:
        if id(self) not in memo:
            memo[id(self)] = type(self)(self.requires_grad, dtype=self.dtype)
        return memo[id(self)]

    def __reduce_ex__(self: Any, protocol: Any) -> tuple:
        return (_rebuild_uninitialized, (type(self), self.requires_grad, self.dtype))


class UninitializedParameter(UninitializedTensorMixin, Parameter):
    """A Parameter whose shape is found at the first forward of a lazy module.
    https://docs.pytorch.org/docs/stable/generated/torch.nn.parameter.UninitializedParameter.html"""

    __slots__ = ()

    cls_to_become = Parameter

    def __new__(cls, requires_grad: bool = True, device: Any = None, dtype: Any = None) -> Any:
        from ..creation import empty
        return _over(cls, empty(0, device=device, dtype=dtype), requires_grad)

    def __init__(self, requires_grad: bool = True, device: Any = None, dtype: Any = None) -> None:
        """Everything happens in __new__."""


class UninitializedBuffer(UninitializedTensorMixin, Tensor):
    """A buffer whose shape is found at the first forward of a lazy module.
    https://docs.pytorch.org/docs/stable/generated/torch.nn.parameter.UninitializedBuffer.html"""

    __slots__ = ()

    cls_to_become = Tensor

    def __new__(cls, requires_grad: bool = False, device: Any = None, dtype: Any = None,
                persistent: bool = True) -> Any:
        from ..creation import empty
        out = _over(cls, empty(0, device=device, dtype=dtype), requires_grad)
        out.persistent = persistent
        return out

    def __init__(self, requires_grad: bool = False, device: Any = None, dtype: Any = None,
                 persistent: bool = True) -> None:
        """Everything happens in __new__."""


def _rebuild_uninitialized(cls: type, requires_grad: bool, dtype: Any) -> Any:
    return cls(requires_grad, dtype=dtype)


def is_lazy(param: Any) -> bool:
    """Whether `param` still waits for its shape."""
    return isinstance(param, UninitializedTensorMixin)


__all__ = [
    "Buffer",
    "Parameter",
    "UninitializedBuffer",
    "UninitializedParameter",
    "UninitializedTensorMixin",
    "is_lazy",
]
