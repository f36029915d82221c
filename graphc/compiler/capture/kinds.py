"""What an object is to capture: a module or an optimizer by protocol, or something that is taken as
fixed because the library, Python or numpy made it.

Invariant: no question here runs code of the object's class.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from typing import Any

from ...core.tensor import Tensor
from .facts import MISSING

TENSOR_FIELDS = frozenset(vars(Tensor))
LIBRARY = __name__.partition(".")[0]


def is_module(x: Any) -> bool:
    """By protocol: compiled code knows nothing of graphc.nn."""
    return _has(x, "children") and _has(x, "_parameters") and _has(x, "_modules")


def is_optimizer(x: Any) -> bool:
    return not isinstance(x, type) and _has(x, "param_groups") and _has(x, "state")


def _has(x: Any, name: str) -> bool:
    """hasattr without running any code of x's class."""
    fields = getattr(type(x), "__dictoffset__", 0) and object.__getattribute__(x, "__dict__")
    return (isinstance(fields, dict) and name in fields) or in_classes(type(x), name) is not MISSING


def walk_modules(root: Any) -> Iterator[Any]:
    """A module and all below it."""
    seen: set[int] = set()
    stack = [root]
    while stack:
        m = stack.pop()
        if m is not None and id(m) not in seen:
            seen.add(id(m))
            yield m
            stack.extend(reversed(list(m._modules.values())))


def all_names(cls: type, fields: dict) -> list[str]:
    """Every attribute that an object of a class has without the library's help."""
    names = dict.fromkeys(fields)
    for owner in cls.__mro__:
        if owner is not object and not internal_class(owner):
            names.update((n, None) for n in owner.__dict__ if n[:2] != "__")
    return list(names)


def methods_of(cls: type) -> tuple:
    """The names of the functions that a class and its user-defined bases define."""
    kinds = (types.FunctionType, staticmethod, classmethod)
    own = [c for c in cls.__mro__ if not internal_class(c)]
    return tuple({k: 0 for c in own for k, v in vars(c).items() if isinstance(v, kinds)})


def own_fields(t: Tensor) -> list[str]:
    return [k for k in t.__dict__ if k not in TENSOR_FIELDS]


def foreign(globals_: dict) -> bool:
    """Whether code with these globals is numpy's, pytest's (which rewrites asserts) or what makes a
    named tuple: taken as fixed."""
    name = str(globals_.get("__name__", ""))
    return name.partition(".")[0] in ("numpy", "_pytest") or name.startswith("namedtuple_")


def internal_class(cls: type) -> bool:
    """Classes of the library, of Python and of numpy: taken as fixed."""
    return fixed(getattr(cls, "__module__", "") or "")


def fixed(module: str) -> bool:
    return module.partition(".")[0] in _FIXED_ROOTS


_FIXED_ROOTS = frozenset(
    (
        LIBRARY,
        "builtins",
        "numpy",
        "_pytest",
        "types",
        "collections",
        "functools",
        "dataclasses",
        "enum",
        "typing",
        "abc",
        "pathlib",
        "threading",
        "logging",
    )
)


def python_module(m: types.ModuleType) -> bool:
    """Modules of Python itself: taken as fixed."""
    return m.__name__.partition(".")[0] in sys.stdlib_module_names


def in_classes(cls: type, name: str) -> Any:
    for owner in cls.__mro__:
        if name in owner.__dict__:
            return owner.__dict__[name]
    return MISSING
