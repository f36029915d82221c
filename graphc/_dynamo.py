"""torch._dynamo's names for what graphc.compile can be told and asked.

Invariant: settings of `config` are kept and change nothing, as graphc has no such limits."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

from .compile import compile as _compile
from .compiler.control import allow_in_graph, disable, is_compiling, reset
from .core.modes import STATE

config = types.SimpleNamespace(
    suppress_errors=False,
    cache_size_limit=8,
    recompile_limit=8,
    accumulated_cache_size_limit=256,
    verbose=False,
    automatic_dynamic_shapes=True,
    assume_static_by_default=True,
    capture_scalar_outputs=False,
    capture_dynamic_output_shape_ops=False,
    optimize_ddp=True,
)


class Explanation:
    """What explain() found: `graph_count`, `graph_break_count`, `break_reasons`; str() of it is the
    compiled function's own report."""

    def __init__(self, compiled: Any):
        self.graph_count = len(compiled.specialisations)
        self.break_reasons = list(compiled.refused)
        self.graph_break_count = len(self.break_reasons)
        self.text = compiled.explain()

    def __str__(self) -> str:
        return self.text


def explain(f: Callable, *extra_args: Any, **extra_kwargs: Any) -> Any:
    """explain(f)(*args): compiles and runs f, and gives the Explanation."""

    def inner(*args: Any, **kwargs: Any) -> Explanation:
        compiled = _compile(f)
        compiled(*args, **kwargs)
        return Explanation(compiled)

    return inner(*extra_args, **extra_kwargs) if extra_args or extra_kwargs else inner


def graph_break(msg: str = "") -> None:
    """While compiling: what calls this runs eagerly."""
    if STATE.tracer is not None:
        STATE.tracer.refuse(
            "graph_break() was called" + (f": {msg}" if msg else ""), "remove it", "disabled"
        )


def mark_dynamic(t: Any, index: Any, **kwargs: Any) -> None:
    """Nothing to mark: sizes that vary become symbols by themselves."""


def mark_static(t: Any, index: Any = None) -> None:
    """Nothing to mark; compile(dynamic=False) keeps all sizes constant."""


def maybe_mark_dynamic(t: Any, index: Any) -> None:
    """As mark_dynamic."""


__all__ = [
    "allow_in_graph",
    "config",
    "disable",
    "explain",
    "graph_break",
    "is_compiling",
    "mark_dynamic",
    "mark_static",
    "maybe_mark_dynamic",
    "reset",
]
