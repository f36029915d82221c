"""What user code says to the compiler: whether it is being compiled, and what is to stay eager.

Invariant: outside capture these functions cost a call and change nothing.
https://docs.pytorch.org/docs/stable/torch.compiler_api.html
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from ..core import observe
from ..core.modes import STATE


def is_compiling() -> bool:
    """Whether the running code is being captured."""
    return STATE.tracer is not None


def is_dynamo_compiling() -> bool:
    """As is_compiling()."""
    return STATE.tracer is not None


def is_exporting() -> bool:
    """False: graphc does not export programs."""
    return False


def disable(fn: Any = None, recursive: bool = True, *, reason: str | None = None) -> Any:
    """fn (a function, a class or a Module), which is never compiled; also a decorator.

    A compiled function that calls it runs eagerly as a whole, with the modules that it calls
    compiled; under fullgraph=True it raises CaptureBreak with `reason`. recursive: modules called
    inside stay eager, too. Of a Module, forward() is marked, of a class, its call."""
    if fn is None:
        return functools.partial(disable, recursive=recursive, reason=reason)
    if inspect.isclass(fn):
        setattr(fn, "__call__", disable(fn.__call__, recursive, reason=reason))  # noqa: B010
        return fn
    if hasattr(fn, "children") and hasattr(fn, "forward"):
        fn.forward = disable(fn.forward, recursive, reason=reason)
        return fn
    if not callable(fn):
        raise RuntimeError(f"torch.compiler.disable() needs a callable, not {type(fn).__name__}")

    @functools.wraps(fn)
    def eager(*args: Any, **kwargs: Any) -> Any:
        if STATE.tracer is not None:
            name = getattr(fn, "__qualname__", type(fn).__name__)
            STATE.tracer.refuse(
                f"{name} is marked with compiler.disable" + (f": {reason}" if reason else ""),
                "compile the functions around it instead",
                "disabled",
            )
        if not recursive or STATE.stand_in is None:
            return fn(*args, **kwargs)
        stand_in, STATE.stand_in = STATE.stand_in, None
        try:
            return fn(*args, **kwargs)
        finally:
            STATE.stand_in = stand_in

    return eager


def compile(*args: Any, **kwargs: Any) -> Any:
    """graphc.compile."""
    return observe.lent["compile"](*args, **kwargs)


def reset() -> None:
    """Forgets the programs of all compiled functions: each call captures anew. The disk cache
    stays."""
    observe.lent["reset"]()


def allow_in_graph(fn: Any) -> Any:
    """fn (or each of a list): every function that graphc captures is in the graph already."""
    return fn


def assume_constant_result(fn: Callable) -> Callable:
    """fn: what it returns is captured as it is for any function."""
    return fn


def cudagraph_mark_step_begin() -> None:
    """Nothing to mark: there are no CUDA graphs."""


def list_backends(exclude_tags: Any = ("debug", "experimental")) -> list[str]:
    """The names that graphc.compile takes as backend."""
    return ["c", "interpret"]


__all__ = [
    "allow_in_graph",
    "assume_constant_result",
    "compile",
    "cudagraph_mark_step_begin",
    "disable",
    "is_compiling",
    "is_dynamo_compiling",
    "is_exporting",
    "list_backends",
    "reset",
]
