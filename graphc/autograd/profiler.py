"""record_function and profile with PyTorch's names: wall-clock times of labelled regions.
Source: https://pytorch.org/docs/stable/autograd.html#profiler"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable
from typing import Any

__all__ = ["FunctionEvent", "profile", "record_function"]

_active: list[profile] = []
_lock = threading.Lock()


class FunctionEvent:
    """One labelled region that ran: its name and how long it took, in microseconds."""

    def __init__(self, name: str, start: float, end: float):
        self.name = self.key = name
        self.cpu_time_total = self.cpu_time = (end - start) * 1e6
        self.count = 1

    def __repr__(self) -> str:
        return f"<FunctionEvent {self.name} cpu_time={self.cpu_time:.3f}us>"


class record_function:
    """Labels a region for `profile`; a context manager and a decorator."""

    def __init__(self, name: str, args: str | None = None):
        self.name, self.args = name, args
        self.starts: list[float] = []

    def __enter__(self) -> record_function:
        self.starts.append(time.perf_counter())
        return self

    def __exit__(self, *exc: Any) -> None:
        event = FunctionEvent(self.name, self.starts.pop(), time.perf_counter())
        with _lock:
            for p in _active:
                p.events.append(event)

    def __call__(self, fn: Callable) -> Callable:
        @functools.wraps(fn)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with record_function(self.name, self.args):
                return fn(*args, **kwargs)

        return wrapped


class profile:
    """Collects the regions that run inside it: `function_events`, `key_averages()`, `table()`.
    Single operators are not timed."""

    def __init__(self, enabled: bool = True, **options: Any):
        self.enabled, self.options = enabled, options
        self.events: list[FunctionEvent] = []

    def __enter__(self) -> profile:
        if self.enabled:
            with _lock:
                _active.append(self)
        return self

    def __exit__(self, *exc: Any) -> None:
        with _lock:
            if self in _active:
                _active.remove(self)

    @property
    def function_events(self) -> list[FunctionEvent]:
        return self.events

    def key_averages(self, group_by_input_shape: bool = False) -> list[FunctionEvent]:
        """One event per name: total time, count and mean."""
        found: dict[str, FunctionEvent] = {}
        for e in self.events:
            if e.name not in found:
                found[e.name] = FunctionEvent(e.name, 0.0, 0.0)
                found[e.name].count = 0
            sum_ = found[e.name]
            sum_.cpu_time_total += e.cpu_time_total
            sum_.count += 1
            sum_.cpu_time = sum_.cpu_time_total / sum_.count
        return list(found.values())

    def table(self, sort_by: str | None = None, row_limit: int = 100, **options: Any) -> str:
        """The averages as text."""
        rows = self.key_averages()
        if sort_by is not None:
            rows = sorted(rows, key=lambda e: -getattr(e, sort_by, e.cpu_time_total))
        lines = [f"{'Name':<40}{'CPU total (us)':>16}{'CPU mean (us)':>16}{'# of Calls':>12}"]
        for e in rows[:row_limit]:
            lines.append(f"{e.name:<40}{e.cpu_time_total:>16.3f}{e.cpu_time:>16.3f}{e.count:>12}")
        return "\n".join(lines)
