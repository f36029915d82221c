"""The CPU as a device module, for code that is written for any device: one device, whose work is
done when a call returns. https://docs.pytorch.org/docs/stable/cpu.html"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from . import amp


class Stream:
    """The CPU's only order of work."""

    def __init__(self, priority: int = -1) -> None:
        pass

    def wait_stream(self, stream: Any) -> None:
        """Nothing to wait for."""

    def record_event(self) -> None:
        """Nothing to record."""

    def wait_event(self, event: Any) -> None:
        """Nothing to wait for."""


class Event:
    """A point in the CPU's work, which is always passed."""

    def query(self) -> bool:
        return True

    def record(self, stream: Any = None) -> None:
        """Nothing to record."""

    def synchronize(self) -> None:
        """Nothing to wait for."""

    def wait(self, stream: Any = None) -> None:
        """Nothing to wait for."""


_current = [Stream()]


def current_stream(device: Any = None) -> Stream:
    """The stream that was selected last."""
    return _current[-1]


@contextlib.contextmanager
def stream(stream: Stream) -> Iterator[None]:
    """Makes current_stream() give this stream inside."""
    _current.append(stream)
    try:
        yield
    finally:
        _current.pop()


StreamContext = stream


def is_available() -> bool:
    """True."""
    return True


def is_initialized() -> bool:
    """True."""
    return True


def synchronize(device: Any = None) -> None:
    """Returns at once: work is done when its call returns."""


def device_count() -> int:
    """1."""
    return 1


def set_device(device: Any) -> None:
    """Nothing to select."""


def current_device() -> str:
    """ "cpu"."""
    return "cpu"


__all__ = [
    "Event",
    "Stream",
    "StreamContext",
    "amp",
    "current_device",
    "current_stream",
    "device_count",
    "is_available",
    "is_initialized",
    "set_device",
    "stream",
    "synchronize",
]
