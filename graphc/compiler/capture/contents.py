"""Containers that the traced code changed: takes what one held on entry and what it holds now,
gives the writes that do so on every call.

Invariant: a container is changed in place; what lies inside an inner one is not followed.
"""

from __future__ import annotations

import array
import collections
import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ...base.errors import CaptureBreak
from ...core.tensor import Tensor
from .facts import MISSING, Check, unchanged
from .forms import FIX, Forms
from .uses import name_of

CONTAINERS = ("dict", "sequence", "flat", "bytes", "array")  # what `freeze` calls them
_ELEMENTS = ("dict", "sequence", "flat")
# per container: how code may use one whose content is no fact
ADDING: dict[type, tuple] = {
    list: ("append", "extend"),
    dict: ("__setitem__", "[]"),
    collections.deque: ("append",),
}


class Write:
    """One write of a call: `do(value)`, or a statement with {} for the value. `form` says how the
    value is made (see `Forms`); names: what code calls the variable."""

    __slots__ = ("do", "form", "mark", "names")

    def __init__(self, do: Callable[[Any], None] | str, form: Any, mark: tuple, names: list[str]):
        self.do, self.form, self.mark, self.names = do, form, mark, names


class ItemCheck(Check):
    """The fact about one entry of a dictionary; `name` is what code calls the dictionary."""

    __slots__ = ("name",)

    def __init__(
        self, what: str, read: Callable[[], Any], holder: Any, key: Any, frozen: tuple, of: Check
    ):
        super().__init__(what, read, holder, key, frozen)
        self.name = name_of(of)


class Content:
    """A container that a variable holds, and what it held on entry."""

    __slots__ = ("what", "frozen", "names", "guarded")

    def __init__(self, what: str, frozen: tuple, names: list[str]):
        self.what, self.frozen, self.names = what, frozen, names
        self.guarded = True

    def was(self) -> list[tuple]:
        """(key, value, what `freeze` saw of the value or None) on entry."""
        kind, x, parts = self.frozen[:3]
        if kind == "flat":
            keys = self.frozen[3] or range(len(parts))
            return [(k, v, None) for k, v in zip(keys, parts, strict=True)]
        if kind == "dict":
            return [(k, part[1], part) for k, part in parts]
        return [(i, part[1], part) for i, part in enumerate(parts)]

    def added(self) -> Any:
        """The elements that were added at the end, or the entries that were set; None when more
        than that happened."""
        x = self.frozen[1]
        was = [(k, v) for k, v, _ in self.was()] if self.frozen[0] in _ELEMENTS else []
        if isinstance(x, dict):
            if list(x)[: len(was)] != [k for k, _ in was]:
                return None
            before = dict(was)
            return {k: v for k, v in x.items() if before.get(k, MISSING) is not v}
        if isinstance(x, list):
            return x[len(was) :] if alike(x[: len(was)], [v for _, v in was]) else None
        if isinstance(x, collections.deque):
            new = [t for t in x if isinstance(t, Tensor) and t._array is None]
            return new if new and alike(list(x)[-len(new) :], new) else None
        return None

    def check_inner(self) -> None:
        """Refuses changes of containers that lie inside this one."""
        x = self.frozen[1]
        now = {id(v) for v in (x.values() if isinstance(x, dict) else x)}
        for _, value, part in self.was():
            if part is not None and id(value) in now and not unchanged(value, part):
                raise CaptureBreak(
                    f"compiled code changes a {type(value).__name__} that lies inside {self.what}",
                    FIX,
                    kind="state",
                )

    def writes(self, forms: Forms) -> Iterator[Write]:
        """The writes that give it its new content."""
        x, mark = self.frozen[1], (id(self.frozen[1]), "content")
        if self.frozen[0] not in _ELEMENTS:  # numbers of Python's or numpy's arrays
            yield Write(functools.partial(_fill, x), ("constant", _filling(x)), mark, self.names)
            return
        self.check_inner()
        added = self.added()
        if isinstance(x, dict):
            if added is None:
                raise CaptureBreak(
                    f"compiled code takes entries out of {self.what}", FIX, kind="state"
                )
            do: Any = functools.partial(_update, x)
            form = forms.of_dict(added, self.what)
        elif not self.guarded:
            do, form = x.extend, forms.of_list(added, self.what)
        else:
            before = [v for _, v, _ in self.was()]
            do, form = functools.partial(_refill, x), forms.of_list(list(x), self.what, before)
        if self.guarded or added:
            yield Write(do, form, mark, self.names)


def _update(x: dict, new: dict) -> None:
    for k, v in new.items():
        x[k] = v


def _filling(x: Any) -> Any:
    """A copy of the numbers in an array."""
    return x.copy() if isinstance(x, np.ndarray) else bytes(x)


def _fill(x: Any, content: Any) -> None:
    if isinstance(x, np.ndarray):
        x[...] = content
    elif isinstance(x, array.array):
        del x[:]
        x.frombytes(content)
    else:
        x[:] = content


def _refill(x: Any, content: list) -> None:
    if isinstance(x, list):
        x[:] = content
        return
    x.clear()
    (x.update if isinstance(x, set) else x.extend)(content)


def alike(a: list, b: list) -> bool:
    """Whether two lists hold the same objects (or pairs of them)."""
    return len(a) == len(b) and all(
        x is y or (type(x) is type(y) is tuple and x[0] == y[0] and x[1] is y[1])
        for x, y in zip(a, b, strict=True)
    )
