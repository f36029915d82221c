"""How a written value is made on each call: takes a value that the traced code left in a variable,
gives a form of it.

Forms: ("scalar", text) and ("size", Index) for run-time numbers, ("constant", x), a Made or
("real", Source) for a tensor, ("container", expression) for a container of the arguments, ("build",
type, parts) for a container or plain object that the code made. Invariant: what is one object in
eager mode is one object, else CaptureBreak.
"""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Any

from ...base.dtypes import DType
from ...base.errors import CaptureBreak
from ...core.tensor import Tensor
from ...ir.index import Index, plain
from .facts import MISSING
from .guards import ReadSet
from .kinds import is_module
from .symbols import Sym
from .uses import fields_of

PLAIN = (
    int,
    float,
    bool,
    complex,
    str,
    bytes,
    type(None),
    DType,
    type,
    types.ModuleType,
    types.BuiltinFunctionType,
    type(Ellipsis),
)
FIX = "return the value instead, and store it outside of the compiled function"


class Forms:
    """How the value of a write is made on each call: ("scalar", text), ("constant", x), a Made or
    ("real", Source) for a tensor, ("build", type, [forms]) for a container made inside."""

    def __init__(self, reads: ReadSet, delivery: Any, result: Any, arguments: dict[int, str]):
        self.reads, self.delivery, self.arguments = reads, delivery, arguments
        self._seen: set[int] = set()
        self._outside = {id(x) for x in reads._alive} | set(reads.modules) | set(reads.containers)
        self._outside -= set(reads._young)
        self._delivered = set(_containers_in(result))
        self._keep: list = []

    def of(self, x: Any, what: str) -> Any:
        if isinstance(x, Sym):
            return ("scalar", x.text)
        if isinstance(x, Index):
            return ("size", plain(x))
        if isinstance(x, Tensor):
            return self.delivery.tensor(x)
        if id(x) in self.arguments:
            return ("container", self.arguments[id(x)])
        if isinstance(x, PLAIN) or id(x) in self._outside or x is MISSING:
            return ("constant", x)
        if isinstance(x, types.MethodType) and id(x.__self__) in self._outside:
            return ("constant", x)
        if type(x) in (list, tuple, set):
            self._once(x, what)
            return ("build", type(x), [self.of(v, what) for v in x])
        if type(x) is dict:
            return self.of_dict(x, what)
        if _plain_object(x):
            self._once(x, what)
            return ("build", type(x), [(k, self.of(v, what)) for k, v in vars(x).items()])
        if isinstance(x, (types.FunctionType, types.MethodType)) or is_module(x):
            kind = "a module" if is_module(x) else "a function"
        else:
            kind = f"an object ({type(x).__name__})"
        raise CaptureBreak(
            f"compiled code stores {kind} that it made itself in {what}", FIX, kind="state"
        )

    def of_result(self, x: Any) -> Any:
        """A leaf of the result that is neither a tensor nor a number."""
        made = id(x) in self.reads._young or (
            id(x) not in self._outside and _plain_object(x) and _holds_traced(x)
        )
        if not made:
            return ("constant", x)
        return self.of(x, "the result")

    def of_list(self, values: list, what: str, entry: Any = ()) -> Any:
        known = {id(x) for x in entry}
        return (
            "build",
            list,
            [("constant", v) if id(v) in known else self.of(v, what) for v in values],
        )

    def of_dict(self, x: dict, what: str) -> Any:
        self._once(x, what)
        for k in x:
            if not isinstance(k, (*PLAIN, tuple)):
                raise CaptureBreak(
                    f"compiled code makes a dictionary key for {what}", FIX, kind="state"
                )
        return ("build", dict, [(k, self.of(v, what)) for k, v in x.items()])

    def _once(self, x: Any, what: str) -> None:
        """A container that is delivered twice would have to be one object."""
        if type(x) is tuple:
            return
        if id(x) in self._seen or id(x) in self._delivered:
            raise CaptureBreak(
                f"compiled code stores one {type(x).__name__} in {what} and elsewhere",
                "store copies of it",
                kind="state",
            )
        self._seen.add(id(x))
        self._keep.append(x)


def _plain_object(x: Any) -> bool:
    """An object that is its class and its fields, and can be made again from them."""
    cls = type(x)
    return (
        type(fields_of(x)) is dict
        and cls.__new__ in (object.__new__, types.SimpleNamespace.__new__)
        and not any("__slots__" in vars(c) for c in cls.__mro__)
        and not is_module(x)
        and not isinstance(x, types.FunctionType)
    )


def remade(cls: type, fields: dict) -> Any:
    """An object of cls with these fields; no code of the class runs."""
    x: Any = cls.__new__(cls)  # type: ignore[call-overload]
    vars(x).update(fields)
    return x


def _holds_traced(x: Any, depth: int = 0) -> bool:
    """Whether a value made of containers and plain objects has a traced tensor or number in it."""
    if isinstance(x, Tensor):
        return x._array is None
    if isinstance(x, (Sym, Index)):
        return True
    if depth > 8:
        return False
    parts: Any = ()
    if isinstance(x, (list, tuple, set)):
        parts = x
    elif isinstance(x, dict):
        parts = x.values()
    elif _plain_object(x):
        parts = vars(x).values()
    return any(_holds_traced(v, depth + 1) for v in parts)


def _containers_in(x: Any) -> Iterator[int]:
    if isinstance(x, (list, tuple, set)):
        yield id(x)
        for v in x:
            yield from _containers_in(v)
    elif isinstance(x, dict):
        yield id(x)
        for v in x.values():
            yield from _containers_in(v)
