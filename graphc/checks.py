"""Checks that users call: `check_nan` says where NaN and Inf come from, `verify` whether compiled
code does what eager mode does. Takes user code, gives errors that start at the user's line.
Invariant: what is checked gives the results that it gives unchecked."""

from __future__ import annotations

import contextlib
from typing import Any

from .core import tape
from .core.modes import STATE
from .core.nonfinite import NonFiniteError, Watch


class _Watch(Watch):
    """Eager operations and compiled programs."""

    def program(self, graph: Any, program: Any) -> Any:
        from .compiler.interpret.nonfinite import Watched

        return Watched(graph, program, self.nan, self.inf)


class check_nan(contextlib.ContextDecorator):
    """Names the operation that makes the first NaN or Inf, as context manager or decorator.

    Inside, `NonFiniteError` (a FloatingPointError) is raised by the first operation, forward or
    backward, whose result has a NaN when no operand has one, or an Inf when no operand is NaN or
    Inf. It gives the user's line, shapes and ranges. Infinities written on purpose, as a number
    (`full(inf)`, `masked_fill(mask, -inf)`), are no culprits, nor is what was there before; a NaN
    computed from them is one. A composite such as softmax, and the backward of one operation, count
    as one.

    Compiled code runs natively, and once more node by node when a result, an update or a value kept
    for the backward is not finite; a NaN that no result shows is not seen there. An error leaves
    everything as before the compiled call.

    nan, inf: what to look for. Backward errors name the forward's line when the forward ran inside,
    too. One thread. https://docs.pytorch.org/docs/stable/autograd.html#anomaly-detection"""

    def __init__(self, nan: bool = True, inf: bool = True):
        self.watch, self.previous = _Watch(nan, inf), []  # type: ignore[var-annotated]

    def __enter__(self) -> check_nan:
        self.previous.append(STATE.watch)
        STATE.watch = self.watch
        tape.origins[0] += 1
        return self

    def __exit__(self, *exc: Any) -> None:
        tape.origins[0] -= 1
        STATE.watch = self.previous.pop()


__all__ = ["NonFiniteError", "check_nan"]
