"""What stands between a user's call and the library's function. Takes the globals of a module,
puts in place of its public functions ones that take NumPy's names of arguments beside PyTorch's
(`axis` for `dim`, `keepdims` for `keepdim`) and that put the user's line on the errors they raise.

Invariant: a call that raises nothing, with PyTorch's names, does what it did."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from types import FunctionType
from typing import Any

from .errors import with_raisers_line

NAMES = {"axis": "dim", "keepdims": "keepdim"}


def public(fn: Callable) -> Callable:
    """fn as users call it."""
    code = inspect.unwrap(fn).__code__  # inspect.signature is too slow for all of them
    count = code.co_argcount + code.co_kwonlyargcount
    own = code.co_varnames[:count]
    open_ended = bool(code.co_flags & inspect.CO_VARKEYWORDS)
    names = (
        {}
        if open_ended
        else {other: n for other, n in NAMES.items() if n in own and other not in own}
    )
    # a size or an order of axes given one by one may also come whole, by name
    whole = code.co_varnames[count] if code.co_flags & inspect.CO_VARARGS else ""

    @functools.wraps(fn)
    def call(*args: Any, **named: Any) -> Any:
        if named:
            for other, name in names.items():
                if other in named and name not in named:
                    named[name] = named.pop(other)
            if whole in named and not open_ended:
                args = (*args, named.pop(whole))
        try:
            return fn(*args, **named)
        except Exception as e:
            with_raisers_line(e)
            raise

    return call


def wrap(room: str, names: dict[str, Any]) -> None:
    """Puts `public` functions in place of those that `names`, the globals of module `room`,
    define. Functions marked `direct` go straight to an operator, which does all this itself."""
    done: dict[Any, Any] = {}
    for key, fn in names.items():
        if (
            isinstance(fn, FunctionType)
            and fn.__module__ == room
            and not key.startswith("_")
            and not hasattr(fn, "direct")
        ):
            if fn not in done:
                done[fn] = public(fn)
            names[key] = done[fn]
