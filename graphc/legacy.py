"""Tensor types by their old names (torch.FloatTensor ...): constructors that isinstance()
understands. Source: https://pytorch.org/docs/stable/tensors.html#data-types"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import creation
from .base import dtypes
from .base.dtypes import DType
from .core.tensor import Tensor


class _TensorType(type):
    """A tensor type: calling makes a tensor of its dtype, isinstance asks for it."""

    dtype: DType

    def __call__(cls, *args: Any) -> Tensor:
        if (
            len(args) == 1
            and not isinstance(args[0], (int, np.integer))
            and type(args[0]).__name__ != "Size"
        ):
            return creation.tensor(args[0], dtype=cls.dtype)
        return creation.empty(*(args or (0,)), dtype=cls.dtype)

    def __instancecheck__(cls, x: Any) -> bool:
        return isinstance(x, Tensor) and x.dtype is cls.dtype


def _make(d: DType) -> Any:
    return _TensorType(
        d.title + "Tensor", (), {"dtype": d, "__module__": "torch", "__doc__": f"Tensors of {d!r}."}
    )


TYPES: dict[str, Any] = {d.title + "Tensor": _make(d) for d in dtypes.REAL}
