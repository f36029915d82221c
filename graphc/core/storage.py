"""Storage: the memory that tensors share. `value` is the owning ndarray, or a graph Node while
traced; `version` counts in-place writes and is what saved tensors are checked against; `flags`
hold what all tensors over the memory share."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..base.dtypes import dtype_named


def _loaded(flat: np.ndarray, name: str) -> Storage:
    return Storage(flat.view(dtype_named(name).np))


TRACKED = 1  # a write gave a base a history, so views without one may have one now
INFERENCE = 2  # made in inference mode


class Storage:
    """One block of memory. Two tensors alias each other exactly when they have the same Storage."""

    __slots__ = ("value", "version", "device", "flags", "__weakref__")

    def __init__(self, value: Any, device: str = "cpu"):
        self.value = value
        self.version = 0
        self.device = device
        self.flags = 0

    @property
    def traced(self) -> bool:
        """True when the value is a graph node and not memory."""
        return not hasattr(self.value, "__array_interface__")

    def nbytes(self) -> int:
        """Bytes of the whole memory."""
        return self.root().nbytes

    size = __len__ = nbytes  # an untyped storage counts in bytes

    def data_ptr(self) -> int:
        """Where the memory starts."""
        return self.root().__array_interface__["data"][0]

    def __bool__(self) -> bool:
        return True

    def __reduce__(self) -> tuple:
        a = self.value
        flat = a.transpose(sorted(range(a.ndim), key=lambda i: -a.strides[i])).reshape(-1)
        return _loaded, (flat.view(np.uint16) if a.dtype.name == "bfloat16" else flat, a.dtype.name)

    def root(self) -> Any:
        """The ndarray that owns the memory."""
        a = self.value
        while getattr(a, "base", None) is not None and hasattr(a.base, "__array_interface__"):
            a = a.base
        return a
