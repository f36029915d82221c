"""Variable: what tensors were called before PyTorch 0.4. A Variable is a tensor."""

from __future__ import annotations

from typing import Any

from ..core.tensor import Tensor


class _VariableMeta(type):
    def __instancecheck__(cls, x: Any) -> bool:
        return isinstance(x, Tensor)


class Variable(metaclass=_VariableMeta):
    """Variable(tensor, requires_grad=False) gives a tensor over the same memory."""

    def __new__(cls, data: Any = None, requires_grad: bool = False, volatile: Any = None) -> Any:
        if data is None:
            return Tensor()
        if not isinstance(data, Tensor):
            raise TypeError(f"Variable data has to be a tensor, but got {type(data).__name__}")
        return data.detach().requires_grad_(requires_grad)  # type: ignore[attr-defined]
