"""NumPy's names of arguments, which PyTorch's functions take beside their own: `axis` for `dim`,
`keepdims` for `keepdim`. Takes the names of a module, gives its functions that rename them.

Invariant: a call with PyTorch's own names does what it did."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from types import FunctionType
from typing import Any

NAMES = {"axis": "dim", "keepdims": "keepdim"}


def spelled(fn: Callable) -> Callable:
    """fn under both spellings of its arguments; fn itself where it has none of them."""
    own = inspect.signature(fn).parameters
    if any(p.kind is p.VAR_KEYWORD for p in own.values()):
        return fn
    names = {other: name for other, name in NAMES.items() if name in own and other not in own}
    if not names:
        return fn

    @functools.wraps(fn)
    def call(*args: Any, **named: Any) -> Any:
        if named:
            for other, name in names.items():
                if other in named and name not in named:
                    named[name] = named.pop(other)
        return fn(*args, **named)

    return call


def wrap(room: str, names: dict[str, Any]) -> None:
    """Puts the renaming functions in place of those that `names`, the globals of module `room`,
    define."""
    done: dict[Any, Any] = {}
    for key, fn in names.items():
        if isinstance(fn, FunctionType) and fn.__module__ == room and not key.startswith("_"):
            if fn not in done:
                done[fn] = spelled(fn)
            names[key] = done[fn]
