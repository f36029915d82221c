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


def _over(cls: type, data: Any, requires_grad: bool) -> Any:
    """A tensor of class `cls` over data's memory, without history."""
    source = alias(data)
    if requires_grad and not (source.dtype.is_floating_point or source.dtype.is_complex):
        raise RuntimeError("Only Tensors of floating point and complex dtype can require gradients")
    out: Any = object.__new__(cls)
    out._array, out.dtype, out._storage = source._array, source.dtype, source._storage
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


def is_lazy(param: Any) -> bool:
    """Whether `param` still waits for its shape; graphc has no lazy parameters, so never."""
    return False


__all__ = ["Buffer", "Parameter", "is_lazy"]
