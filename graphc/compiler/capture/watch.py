"""Watching frames: takes a listener `event(frame, kind, argument)`, tells it of every Python
function that starts ("call") and returns ("return", its value) and of every C function before it
is called ("c_call").

`sys.setprofile` up to Python 3.11, `sys.monitoring` from 3.12, where a profile function would see
no more than this but slow every instruction's specialisation. An exception of the listener goes to
the code that is watched. Invariant: a tool that was installed before is put back, and other
threads are not watched.
"""

from __future__ import annotations

import sys
import threading
import types
from collections.abc import Callable
from typing import Any

Listener = Callable[[Any, str, Any], None]
_TOOL = "graphc capture"


class ProfileWatch:
    """By `sys.setprofile`, which is per thread."""

    def __init__(self, listener: Listener):
        self.listener = listener
        self.previous: Any = None

    def __enter__(self) -> ProfileWatch:
        self.previous = sys.getprofile()
        sys.setprofile(self.listener)
        return self

    def __exit__(self, *exc: Any) -> None:
        if self.previous is None or callable(self.previous):
            sys.setprofile(self.previous)
        else:  # cProfile's object is no function: it installs itself
            sys.setprofile(None)
            self.previous.enable()


class MonitoringWatch:
    """By `sys.monitoring`, which is for all threads: events of others are passed over."""

    def __init__(self, listener: Listener, monitoring: Any = None):
        self.listener = listener
        self.monitoring = monitoring or sys.monitoring  # type: ignore[attr-defined]
        self.thread = threading.get_ident()
        self.tool = -1

    def __enter__(self) -> MonitoringWatch:
        m = self.monitoring
        e = m.events
        for tool in (3, 4, 5, 1, 0, 2):  # ids that no standard tool has, first
            if m.get_tool(tool) is None:
                break
        else:
            raise RuntimeError("all tools of sys.monitoring are in use: stop one to compile")
        self.tool = tool
        m.use_tool_id(tool, _TOOL)
        m.register_callback(tool, e.PY_START, self._start)
        m.register_callback(tool, e.PY_RESUME, self._start)
        m.register_callback(tool, e.PY_RETURN, self._return)
        m.register_callback(tool, e.PY_YIELD, self._return)
        m.register_callback(tool, e.CALL, self._call)
        m.set_events(tool, e.PY_START | e.PY_RESUME | e.PY_RETURN | e.PY_YIELD | e.CALL)
        return self

    def __exit__(self, *exc: Any) -> None:
        m, e = self.monitoring, self.monitoring.events
        m.set_events(self.tool, 0)
        for event in (e.PY_START, e.PY_RESUME, e.PY_RETURN, e.PY_YIELD, e.CALL):
            m.register_callback(self.tool, event, None)
        m.free_tool_id(self.tool)

    def _start(self, code: types.CodeType, offset: int) -> None:
        if threading.get_ident() == self.thread:
            self.listener(_frame_of(code), "call", None)

    def _return(self, code: types.CodeType, offset: int, value: Any) -> None:
        if threading.get_ident() == self.thread:
            self.listener(_frame_of(code), "return", value)

    def _call(self, code: types.CodeType, offset: int, f: Any, first: Any) -> None:
        if threading.get_ident() != self.thread:
            return
        if isinstance(f, types.MethodDescriptorType) and first is not self.monitoring.MISSING:
            # `list.append` with the list as the first argument: bound, as a profile function
            # sees it
            f = f.__get__(first)
        if isinstance(f, types.BuiltinFunctionType):
            self.listener(_frame_of(code), "c_call", f)


def _frame_of(code: types.CodeType) -> Any:
    """The innermost frame that runs code."""
    frame: Any = sys._getframe(1)
    while frame is not None and frame.f_code is not code:
        frame = frame.f_back
    return frame


def watch(listener: Listener) -> Any:
    """A context manager that tells the listener of the frames of this thread."""
    return (MonitoringWatch if sys.version_info >= (3, 12) else ProfileWatch)(listener)


_FRESH: list[int] = []


def _make() -> object:
    return object()


def fresh_count() -> int:
    """What `sys.getrefcount` says, inside a listener that stands two calls below, of a returned
    object that nothing else holds."""
    if not _FRESH:

        def listener(frame: Any, kind: str, value: Any) -> None:
            if kind == "return" and frame.f_code is _make.__code__:
                _FRESH.append(sys.getrefcount(value))

        with watch(listener):
            _make()
    return _FRESH[0]
