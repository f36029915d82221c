"""Storage: the memory that tensors share. `value` is the owning ndarray, or a graph Node while traced;
`version` counts in-place writes and is what saved tensors are checked against."""

from __future__ import annotations

from typing import Any


class Storage:
    """One block of memory. Two tensors alias each other exactly when they have the same Storage."""

    __slots__ = ("value", "version", "device", "__weakref__")

    def __init__(self, value: Any, device: str = "cpu"):
        self.value = value
        self.version = 0
        self.device = device

    @property
    def traced(self) -> bool:
        """True when the value is a graph node and not memory."""
        return not hasattr(self.value, "__array_interface__")

    def root(self) -> Any:
        """The ndarray that owns the memory."""
        a = self.value
        while getattr(a, "base", None) is not None and hasattr(a.base, "__array_interface__"):
            a = a.base
        return a
