"""What compiled code needs to hear of the Python side: state changes, run-time scalars, eager
islands.

The user library calls these; the compiler listens. Invariant: outside capture each call costs one
check.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from .modes import STATE

# One epoch for all module state. It moves only when a name that some compiled program read
# changes, so
# counters that nobody read cost nothing.
epoch: list[int] = [0]
watched: set[str] = set()

# What the top of the house lends to lower rooms, by name ("compile"); it loads when first called.
lent: dict[str, Any] = {}


def changed(obj: Any, name: str) -> None:
    """Says that attribute or dictionary entry `name` of `obj` changed. Entries of a module's
    dictionaries (parameters, buffers, children) always count: code that goes through all of them
    names none."""
    if name in watched or isinstance(obj, dict):
        epoch[0] += 1


def watch(names: Any) -> None:
    """Makes changes of these names move the epoch from now on."""
    watched.update(names)


def scalar(mapping: Any, key: Any) -> Any:
    """mapping[key] for a float hyper-parameter: under capture a run-time scalar that is read again
    on every call of the program, so a learning-rate schedule never recompiles."""
    value = mapping[key]
    tracer = STATE.tracer
    if tracer is not None and isinstance(value, (int, float)) and not isinstance(value, bool):
        return tracer.scalar(mapping, key, value)
    return value


@contextlib.contextmanager
def eagerly() -> Iterator[None]:
    """Runs its body outside capture: what it makes becomes an input of the program."""
    tracer, STATE.tracer = STATE.tracer, None
    grad, STATE.grad = STATE.grad, False
    try:
        yield
    finally:
        STATE.tracer, STATE.grad = tracer, grad


def capturing() -> bool:
    """True while a program is being captured in this thread."""
    return STATE.tracer is not None
