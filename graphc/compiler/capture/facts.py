"""Facts about Python values: takes a value, gives a frozen picture of it and says later whether
it still holds.

Numbers, strings and containers are compared by content, everything else by identity. Invariant:
`unchanged` says yes only if code that reads the value again finds what it found before.
"""

from __future__ import annotations

import array
import collections
import types
import weakref
from collections.abc import Callable
from operator import is_
from typing import Any

import numpy as np

from ...base.dtypes import DType
from ...base.errors import CaptureBreak
from ...core.tensor import Tensor
from .symbols import Sym, same_number

MISSING: Any = type("Missing", (), {"__repr__": lambda self: "nothing"})()
NUMBERS = (int, float, bool, complex)
_ATOMS = (
    type(None),
    DType,
    type,
    types.ModuleType,
    types.BuiltinFunctionType,
    type(Ellipsis),
)
_TEXTS = (str, bytes)
_MAPPINGS = (dict, types.MappingProxyType)
SEQUENCES = (list, tuple, set, frozenset, collections.deque)
_BUFFERS = (bytearray, array.array, memoryview)
# classes of Python whose content lies in their fields
WRAPPERS = (
    collections.ChainMap,
    collections.UserDict,
    collections.UserList,
    collections.UserString,
)
MAX_LEAVES = 1000
_MAX_FLAT = 100_000
_MAX_BYTES = 1 << 26
FIXED = frozenset(("is", "number", "equal", "fixed"))  # kinds where the same object says it all


def freeze(x: Any, budget: list[int] | None = None) -> tuple:
    """What has to stay the same of a Python value: numbers and strings by value, containers by
    content, the rest by identity. Raises CaptureBreak for containers that are too large to check
    on every call."""
    t = type(x)
    if t in NUMBERS:
        return ("number", x)
    if t in _TEXTS:
        return ("equal", x)
    if isinstance(x, _ATOMS):
        return ("is", x)
    if isinstance(x, (*SEQUENCES, *_MAPPINGS)):
        return _freeze_container(x, [MAX_LEAVES] if budget is None else budget)
    if isinstance(x, np.generic):
        return ("bytes", x, x.tobytes())
    if isinstance(x, _BUFFERS):
        _check_size(x, memoryview(x).nbytes)
        return ("bytes", x, bytes(x))
    if isinstance(x, np.ndarray):
        _check_size(x, x.nbytes)
        return ("array", x, (x.dtype, x.shape, x.strides), x.tobytes())
    if isinstance(x, WRAPPERS):
        return ("fields", x, freeze(x.__dict__, budget))
    if t is weakref.ref:
        return ("reference", x, freeze(x(), budget))
    return ("is", x)


def _freeze_container(x: Any, budget: list[int]) -> tuple:
    t = type(x)
    budget[0] -= len(x)
    if budget[0] < 0:
        if len(x) > _MAX_FLAT:
            raise CaptureBreak(
                f"a {t.__name__} of {len(x)} entries is read by compiled code",
                "pass what is needed of it as an argument",
                kind="size",
            )
        values = tuple(x.values()) if isinstance(x, _MAPPINGS) else tuple(x)
        keys = tuple(x) if isinstance(x, _MAPPINGS) else ()
        return ("flat", x, values, keys)
    if isinstance(x, _MAPPINGS):
        items = dict.items(x) if isinstance(x, dict) else x.items()
        return ("dict", x, tuple([(k, freeze(v, budget)) for k, v in items]))
    parts = tuple([freeze(v, budget) for v in x])
    if isinstance(x, (tuple, frozenset)) and all(p[0] in FIXED for p in parts):
        return ("fixed", x, parts)
    return ("sequence", x, parts)


def _check_size(x: Any, n: int) -> None:
    if n > _MAX_BYTES:
        raise CaptureBreak(
            f"a {type(x).__name__} of {n} bytes is read by compiled code",
            "pass a tensor of it as an argument",
            kind="size",
        )


def unchanged(x: Any, frozen: tuple) -> bool:
    """Whether x still is what `freeze` saw."""
    kind, seen = frozen[0], frozen[1]
    if x is seen and kind in FIXED:
        return True
    if kind == "is":
        return x is seen
    if kind == "number":
        return same_number(x, seen)
    if type(x) is not type(seen):
        return False
    if kind == "equal":
        return x == seen
    if kind == "fields":
        return unchanged(x.__dict__, frozen[2])
    if kind == "items":  # a large mapping, each key and value by identity
        return (
            x is seen
            and len(x) == len(frozen[2])
            and all(map(is_, x, frozen[2]))
            and all(map(is_, x.values(), frozen[3]))
        )
    if kind == "reference":
        return x is seen and unchanged(x(), frozen[2])
    if kind == "bytes":
        return (x.tobytes() if isinstance(x, np.generic) else bytes(x)) == frozen[2]
    if kind == "array":
        # another array may be shown by a tensor of the program: the very same memory only
        return x is seen and (x.dtype, x.shape, x.strides) == frozen[2] and x.tobytes() == frozen[3]
    parts = frozen[2]
    if len(x) != len(parts):
        return False
    if kind == "flat":
        values = x.values() if isinstance(x, _MAPPINGS) else x
        return (not frozen[3] or all(map(_same_key, x, frozen[3]))) and (
            all(map(is_, values, parts))
            or all(unchanged(a, freeze(p)) for a, p in zip(values, parts, strict=True))
        )
    if kind == "dict":
        return all(
            _same_key(a, k) and unchanged(b, v)
            for (a, b), (k, v) in zip(x.items(), parts, strict=True)
        )
    return all(unchanged(a, p) for a, p in zip(x, parts, strict=True))


def _same_key(a: Any, b: Any) -> bool:
    return a is b or type(a) is type(b) and a == b


def thaw(frozen: tuple) -> Any:
    """The value that `freeze` saw, with the content of its containers put back."""
    kind, seen = frozen[0], frozen[1]
    if kind == "dict":
        values = [(k, thaw(v)) for k, v in frozen[2]]
        if isinstance(seen, dict) and not unchanged(seen, frozen):
            dict.clear(seen)
            dict.update(seen, values)
    elif kind == "sequence":
        values = [thaw(p) for p in frozen[2]]
        if not isinstance(seen, (tuple, frozenset)) and not unchanged(seen, frozen):
            _refill(seen, values)
    elif kind == "flat" and isinstance(seen, list):
        seen[:] = frozen[2]
    elif kind == "bytes" and not isinstance(seen, np.generic) and not unchanged(seen, frozen):
        if isinstance(seen, array.array):
            del seen[:]
            seen.frombytes(frozen[2])
        else:
            seen[:] = frozen[2]
    elif kind == "array" and not unchanged(seen, frozen):
        seen[...] = np.frombuffer(frozen[3], frozen[2][0]).reshape(frozen[2][1])
    elif kind in ("fields", "reference"):
        thaw(frozen[2])
    return seen


def _refill(x: Any, values: list) -> None:
    if isinstance(x, list):
        list.__setitem__(x, slice(None), values)
    else:
        x.clear()
        (x.update if isinstance(x, set) else x.extend)(values)


class Check:
    """One fact: `read()` must give what `frozen` saw. `what` says it in the user's words; `holder`
    and `key` tell the entry code a shorter way to read it, and how it is put back; `origin` is the
    user's line that read it."""

    __slots__ = ("what", "read", "frozen", "holder", "key", "origin")

    def __init__(
        self,
        what: str,
        read: Callable[[], Any],
        holder: Any = None,
        key: Any = None,
        frozen: tuple | None = None,
        origin: Any = None,
    ):
        self.what, self.read, self.holder, self.key = what, read, holder, key
        self.origin = origin
        self.frozen = freeze(read()) if frozen is None else frozen

    def holds(self) -> bool:
        return unchanged(self.read(), self.frozen)

    def __str__(self) -> str:
        return self.what + (f" ({self.origin})" if self.origin else "")

    def difference(self) -> str:
        """`what` was this, now is that."""
        now = self.read()
        at = f" ({self.origin})" if self.origin else ""
        if now is self.frozen[1]:
            return f"the content of {self.what} changed, now {brief(now)}{at}"
        return f"{self.what} was {brief(self.frozen[1])}, now {brief(now)}{at}"

    def restore(self) -> None:
        """Puts the state back; only for what capturing changed."""
        value = thaw(self.frozen)
        holder, key = self.holder, self.key
        if isinstance(holder, dict) and key is not None:
            if value is MISSING:
                holder.pop(key, None)
            elif holder.get(key, MISSING) is not value:
                dict.__setitem__(holder, key, value)
        elif isinstance(holder, types.CellType) and value is not MISSING:
            holder.cell_contents = value
        elif (
            isinstance(key, str)
            and holder is not None
            and getattr(holder, key, MISSING) is not value
        ):
            if value is MISSING:
                delattr(holder, key)
            else:
                setattr(holder, key, value)


class Fields(Check):
    """The fact that an object has the fields that it has; restoring removes what capture added.
    cls: the class whose own dictionary `fields` shows."""

    __slots__ = ("fields", "keys", "cls")

    def __init__(self, what: str, fields: dict, origin: Any = None, cls: type | None = None):
        super().__init__(f"the number of attributes of {what}", fields.__len__, origin=origin)
        self.fields, self.keys, self.cls = fields, frozenset(fields), cls

    def restore(self) -> None:
        for name in [k for k in self.fields if k not in self.keys]:
            if self.cls is not None:
                delattr(self.cls, name)
            else:
                dict.pop(self.fields, name)


def brief(x: Any) -> str:
    """A value in at most 60 characters."""
    if isinstance(x, Tensor):
        return f"a tensor {list(x.shape)}"
    if isinstance(x, Sym):
        return "a run-time number"
    text = repr(x)
    return text if len(text) <= 60 else text[:57] + "..."


def cell_reader(cell: Any) -> Callable[[], Any]:
    def read() -> Any:
        try:
            return cell.cell_contents
        except ValueError:
            return MISSING

    return read


def item_reader(holder: dict, name: Any) -> Callable[[], Any]:
    return lambda: holder.get(name, MISSING)


def attribute_reader(x: Any, name: str) -> Callable[[], Any]:
    return lambda: getattr(x, name, MISSING)


def class_reader(owner: type, name: str) -> Callable[[], Any]:
    return lambda: owner.__dict__.get(name, MISSING)
