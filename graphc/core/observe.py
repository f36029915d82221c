"""What compiled code needs to hear of the Python side: state changes, run-time scalars, eager
islands.

The user library calls these; the compiler listens. Invariant: outside capture each call costs one
check.
"""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from collections.abc import Iterator
from typing import Any

from .modes import STATE

# One epoch for all module state. It moves only when a name that some compiled program read
# changes, so counters that nobody read cost nothing.
epoch: list[int] = [0]
watched: set[str] = set()
_readers: list[tuple[weakref.ref, set[str]]] = []  # who read them
_FEW = 8
_room = [_FEW]  # how many there may be before those that are gone are left out
_lock = threading.Lock()

# What the top of the house lends to lower rooms, by name ("compile"); it loads when first called.
lent: dict[str, Any] = {}


def changed(obj: Any, name: str) -> None:
    """Says that attribute or dictionary entry `name` of `obj` changed. Entries of a module's
    dictionaries (parameters, buffers, children) always count: code that goes through all of them
    names none."""
    if name in watched or isinstance(obj, dict):
        epoch[0] += 1


def watch(names: set[str], reader: Any) -> None:
    """Makes changes of these names move the epoch from now on, at least while `reader` lives."""
    with _lock:
        watched.update(names)
        _readers.append((weakref.ref(reader), names))
        if len(_readers) >= _room[0]:
            _readers[:] = [r for r in _readers if r[0]() is not None]
            _room[0] = 2 * len(_readers) + _FEW
            watched.intersection_update(set().union(*(names for _, names in _readers)))


def _after_fork() -> None:
    """The thread that was in `watch` does not exist in the child."""
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


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
