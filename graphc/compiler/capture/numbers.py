"""Floats that the user's code reads by name: takes where the name is bound, gives a run-time number
of the program in its place while capturing, and its value on every call.

Invariant: after `put_back` the name is bound as the captured code left it.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

from .facts import Check


class Number:
    """A float that a name is bound to in a dictionary or a closure cell."""

    __slots__ = ("what", "read", "holder", "key", "value", "sym", "origin")

    def __init__(self, what: str, read: Callable[[], Any], holder: Any, key: Any, origin: Any):
        self.what, self.read, self.holder, self.key = what, read, holder, key
        self.value, self.sym, self.origin = read(), None, origin

    def __str__(self) -> str:
        at = f" ({self.origin})" if self.origin else ""
        return f"{self.what}: read on every call{at}"

    def check(self) -> Check:
        return Check(
            self.what, self.read, self.holder, self.key, ("number", self.value), self.origin
        )

    def write(self, value: Any) -> None:
        if isinstance(self.holder, dict):
            dict.__setitem__(self.holder, self.key, value)
        else:
            self.holder.cell_contents = value

    def stand_in(self, tracer: Any) -> None:
        place = (self.holder, self.key)
        if not isinstance(self.holder, dict):
            place = (CellItem(self.holder), 0)
        self.sym = tracer.leaf("item", ("item", id(self.holder), self.key), place, self.value)
        self.write(self.sym)

    def put_back(self) -> bool:
        """False when the captured code bound the name to something else."""
        sym, self.sym = self.sym, None
        if sym is None or self.read() is sym:
            if sym is not None:
                self.write(self.value)
            return True
        return False


class CellItem:
    """A closure cell as a mapping of one item, None when it is empty."""

    __slots__ = ("cell",)

    def __init__(self, cell: types.CellType):
        self.cell = cell

    def __getitem__(self, key: int) -> Any:
        try:
            return self.cell.cell_contents
        except ValueError:
            return None
