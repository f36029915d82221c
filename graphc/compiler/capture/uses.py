"""How code uses a name: takes code objects, says whether they read what the name is bound to or
only write it. Invariant: a use that is not understood counts as a read.
"""

from __future__ import annotations

import dis
import types
import weakref
from typing import Any

from ...base.errors import Origin
from .kinds import internal_class
from .names import attribute_names, global_names, per_code


@per_code
def _known_uses(code: types.CodeType) -> dict[str, frozenset]:
    return {}


def uses(code: types.CodeType, name: str) -> frozenset:
    """How code (and the functions inside it) reads what `name` is bound to: the methods that it
    calls at once, "[]" for an assigned item, "read" for anything else."""
    known = _known_uses(code)
    if name not in known:
        known[name] = _find_uses(code, name)
    return known[name]


def _find_uses(code: types.CodeType, name: str) -> frozenset:
    found: set[str] = set()
    if attribute_names(code) is None:
        found.add("read")
    steps = [i for i in dis.get_instructions(code) if i.opname not in ("CACHE", "EXTENDED_ARG")]
    for at, step in enumerate(steps):
        if step.argval != name or not step.opname.startswith("LOAD_"):
            continue
        if step.opname.startswith(("LOAD_FAST", "LOAD_CLOSURE", "LOAD_CONST")):
            continue
        then = [s.opname for s in steps[at + 1 : at + 3]]
        if then and then[0] in ("LOAD_METHOD", "LOAD_ATTR"):
            found.add(steps[at + 1].argval)
        elif len(then) == 2 and then[0] in ("LOAD_CONST", "LOAD_FAST") and then[1] == _STORE_ITEM:
            found.add("[]")
        else:
            found.add("read")
    for c in code.co_consts:
        if isinstance(c, types.CodeType):
            found |= uses(c, name)
    return frozenset(found)


_STORE_ITEM = "STORE_SUBSCR"


def assigned(code: types.CodeType, name: str) -> Origin | None:
    """The line where code assigns `name`, or else uses it."""
    used: Origin | None = None
    for i in dis.get_instructions(code):
        line = i.positions.lineno if i.positions is not None else None
        if i.argval == name and line is not None:
            if i.opname in ("STORE_ATTR", "STORE_GLOBAL", "STORE_DEREF"):
                return Origin(code.co_filename, line)
            if i.opname in ("LOAD_ATTR", "LOAD_GLOBAL", "LOAD_DEREF", "LOAD_METHOD"):
                used = used or Origin(code.co_filename, line)
    return used


_LIBRARY: weakref.WeakKeyDictionary[type, frozenset] = weakref.WeakKeyDictionary()


def library_names(cls: type) -> frozenset:
    """The names that the library's own methods of a user's class use."""
    if cls in _LIBRARY:
        return _LIBRARY[cls]
    found: set[str] = set()
    for owner in cls.__mro__:
        if internal_class(owner):
            for f in vars(owner).values():
                f = getattr(f, "__func__", getattr(f, "fget", f))
                if isinstance(f, types.FunctionType):
                    found.update(global_names(f.__code__))
    _LIBRARY[cls] = frozenset(found)
    return _LIBRARY[cls]


def fields_of(x: Any) -> Any:
    """The dictionary of an object's attributes, None without."""
    try:
        return object.__getattribute__(x, "__dict__")
    except AttributeError:
        return None


def name_of(x: Any) -> str:
    """What code calls the variable of a Check or Place."""
    return x.what.partition(" (outside")[0] if x.key is None else x.key
