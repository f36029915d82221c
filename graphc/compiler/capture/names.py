"""What a code object names: takes code, gives the globals and attributes that it and the functions
inside it read, assign or compute.

Names are taken from `dis`, never from raw opcodes. Invariant: a name too many is allowed, one too
few is not.
"""

from __future__ import annotations

import dis
import functools
import types
import weakref
from collections.abc import Callable
from typing import Any

from .facts import MISSING


def per_code(compute: Callable[[types.CodeType], Any]) -> Callable[[types.CodeType], Any]:
    """Remembers what is computed of a code object for as long as the code lives."""
    known: weakref.WeakKeyDictionary[types.CodeType, Any] = weakref.WeakKeyDictionary()

    @functools.wraps(compute)
    def find(code: types.CodeType) -> Any:
        found = known.get(code, MISSING)
        if found is MISSING:
            found = known[code] = compute(code)
        return found

    return find


@per_code
def global_names(code: types.CodeType) -> tuple[str, ...]:
    """The names that code and the functions inside it load as globals (or as attributes: more is
    safe)."""
    names = dict.fromkeys(code.co_names)
    for c in code.co_consts:
        if isinstance(c, types.CodeType):
            names.update(dict.fromkeys(global_names(c)))
    return tuple(names)


@per_code
def stored_names(code: types.CodeType) -> tuple[frozenset, frozenset]:
    """The names that code and the functions inside it assign, as attributes and as globals."""
    steps = list(dis.get_instructions(code))
    attributes = {i.argval for i in steps if i.opname == "STORE_ATTR"}
    globals_ = {i.argval for i in steps if i.opname == "STORE_GLOBAL"}
    for c in code.co_consts:
        if isinstance(c, types.CodeType):
            inner = stored_names(c)
            attributes |= inner[0]
            globals_ |= inner[1]
    return frozenset(attributes), frozenset(globals_)


@per_code
def lines_of(code: types.CodeType) -> dict[str, int]:
    """The first line of code (or of a function inside it) that uses each name."""
    lines: dict[str, int] = {}
    line = code.co_firstlineno
    for i in dis.get_instructions(code):
        if i.positions is not None and i.positions.lineno is not None:
            line = i.positions.lineno
        if isinstance(i.argval, str) and i.opname != "LOAD_CONST":
            lines.setdefault(i.argval, line)
    for c in code.co_consts:
        if isinstance(c, types.CodeType):
            lines = {**lines_of(c), **lines}
    return lines


@per_code
def indexed_globals(code: types.CodeType) -> tuple[str, ...] | None:
    """The names in `globals()["name"]`; None when code does anything else with globals()."""
    names: list[str] = []
    for c in code.co_consts:
        if isinstance(c, types.CodeType):
            inner = indexed_globals(c)
            if inner is None:
                return None
            names.extend(inner)
    skipped = ("CACHE", "PRECALL", "RESUME", "PUSH_NULL", "EXTENDED_ARG")
    steps = [i for i in dis.get_instructions(code) if i.opname not in skipped]
    for at, i in enumerate(steps):
        if i.argval == "globals" and i.opname.startswith("LOAD_"):
            rest = steps[at + 1 : at + 4]
            if len(rest) < 3 or rest[1].opname != "LOAD_CONST" or "[" not in _shown(rest[2]):
                return None
            names.append(rest[1].argval)
    return tuple(names)


def _shown(i: dis.Instruction) -> str:
    return "[]" if i.opname == "BINARY_SUBSCR" else i.argrepr


_DYNAMIC = frozenset(
    ("getattr", "hasattr", "vars", "__dict__", "asdict", "astuple", "replace", "dir", "attrgetter")
)


@per_code
def attribute_names(code: types.CodeType) -> frozenset | None:
    """The attribute names that code uses; None when it computes names."""
    names = frozenset(global_names(code))
    return None if names & _DYNAMIC else names
