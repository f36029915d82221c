"""Watching the frames that run during capture: takes a ReadSet, tells it of every user frame that
starts, and refuses what no program can do again (printing, files, clocks, foreign randomness,
changes of outer lists).

A C function is seen before it runs, so a refused call has no effect yet. Invariant: watching
changes nothing.
"""

from __future__ import annotations

import sys
import types
from typing import Any

from ...base.errors import CaptureBreak, Origin, internal
from .guards import ReadSet
from .kinds import foreign
from .names import attribute_names
from .watch import fresh_count, watch

_MUTATORS = frozenset(
    (
        "append",
        "extend",
        "insert",
        "pop",
        "remove",
        "clear",
        "sort",
        "reverse",
        "update",
        "setdefault",
        "popitem",
        "add",
        "discard",
        "appendleft",
        "popleft",
        "extendleft",
        "rotate",
        "difference_update",
        "intersection_update",
        "symmetric_difference_update",
    )
)
_CLOCKS = frozenset(
    (
        "time",
        "perf_counter",
        "monotonic",
        "process_time",
        "time_ns",
        "perf_counter_ns",
        "monotonic_ns",
        "process_time_ns",
        "sleep",
        "localtime",
        "gmtime",
        "ctime",
        "strftime",
    )
)
_HARMLESS = ("fspath", "getpid")  # of os
_FIX = "do it outside of the compiled function"
_NUMPY_RANDOM = (
    "rand",
    "randn",
    "random",
    "randint",
    "uniform",
    "normal",
    "choice",
    "permutation",
    "shuffle",
    "standard_normal",
    "random_sample",
    "default_rng",
    "binomial",
    "seed",
)
_MODULES = {  # whose Python functions are not run: (kind of refusal, what they do)
    "random": ("random", "reads Python's random numbers"),
    "secrets": ("random", "reads random numbers of the system"),
    "subprocess": ("io", "starts another process"),
    "socket": ("io", "uses the network"),
    "datetime": ("clock", "reads the clock"),
    "uuid": ("random", "reads random numbers of the system"),
}
_THREADS = (("threading", "start"), ("concurrent.futures.thread", "submit"))


class Recorder:
    """Context manager around the user's code. `self.error` is what it refused, for when user code
    swallows the exception."""

    def __init__(self, reads: ReadSet, writes_back: bool = True, arguments: Any = ()):
        self.reads = reads
        self.arguments = arguments  # ids of the lists and dicts among the arguments
        self.writes_back = writes_back  # changes of outer containers are found and done again
        self.users: dict[Any, bool] = {}
        self.error: CaptureBreak | None = None
        self.fresh = fresh_count()
        self.watch = watch(self.event)

    def __enter__(self) -> Recorder:
        self.watch.__enter__()
        return self

    def __exit__(self, *exc: Any) -> None:
        self.watch.__exit__(*exc)

    def event(self, frame: types.FrameType, kind: str, arg: Any) -> None:
        """What `watch` tells."""
        if kind == "call":
            code = frame.f_code
            mine = self.users.get(code)
            if mine is None:
                mine = self.users[code] = self._is_user(frame)
            if mine:
                self.reads.enter(code, frame.f_globals, frame.f_locals)
                if self.reads.foreign or self._numpy_random(code, frame.f_globals):
                    self.refuse(frame, "random", "draws foreign random numbers")
        elif kind == "return":
            if self.users.get(frame.f_code, False):
                caller = frame.f_back
                while caller is not None and not self.users.get(caller.f_code, False):
                    caller = caller.f_back
                if caller is not None and sys.getrefcount(arg) > self.fresh:
                    self.reads.returned(arg, caller.f_code)
        elif kind == "c_call":
            if self.users.get(frame.f_code, False):
                effect = self._effect(arg)
                if effect is not None:
                    self.refuse(frame, *effect)

    def _numpy_random(self, code: types.CodeType, globals_: dict) -> bool:
        """Whether code names numpy.random's functions (which no profile function sees)."""
        names = attribute_names(code) or ()
        if "random" not in names:
            return False
        return any(getattr(globals_.get(n), "__name__", "") == "numpy" for n in names) and any(
            n in names for n in _NUMPY_RANDOM
        )

    def _is_user(self, frame: types.FrameType) -> bool:
        name = frame.f_code.co_filename
        if internal(name) or foreign(frame.f_globals):
            return False
        module = frame.f_globals.get("__name__", "")
        if module in _MODULES and frame.f_back is not None and self.users.get(frame.f_back.f_code):
            self.refuse(frame.f_back, *_MODULES[module])
        if module == "logging" and frame.f_code.co_name == "_log":
            self.refuse(frame, "io", "writes a log record")
        if (module, frame.f_code.co_name) in _THREADS:
            self.refuse(frame, "thread", "gives work to another thread")
        if module == "os" and "Environ" in getattr(
            frame.f_code, "co_qualname", frame.f_code.co_name
        ):
            self.refuse(frame.f_back, "environment", "reads the environment")
        return not (
            name.startswith(("<frozen", _STDLIB))
            and "site-packages" not in name
            or _importing(frame)
        )

    def _effect(self, f: Any) -> tuple[str, str] | None:
        """What a C function does that cannot be done again on every call: (kind of refusal,
        words)."""
        name, owner = getattr(f, "__name__", ""), getattr(f, "__self__", None)
        if isinstance(owner, types.ModuleType):
            module = owner.__name__
            if module == "builtins" and name in ("print", "input", "open", "exec"):
                return "io", f"calls {name}()"
            if module == "builtins" and name == "next" and self.reads.iterators:
                return "iterator", "takes from an iterator that lives outside"
            if module in ("io", "_io") and name == "open":
                return "io", "opens a file"
            if module == "time" and name in _CLOCKS:
                return "clock", "reads the clock"
            if module in ("posix", "nt", "os"):
                return ("environment", f"calls os.{name}()") if name not in _HARMLESS else None
            if module == "_warnings" and name == "warn":
                return "io", "issues a warning"
            return None
        if owner is None:
            return None
        if (
            id(owner) in self.reads.containers
            and name in _MUTATORS
            and not (self.writes_back and (id(owner) in self.arguments or self.reads.bound(owner)))
        ):
            return "state", f"changes a {type(owner).__name__} from outside ({name}())"
        kind = type(owner)
        if kind.__module__ in ("random", "_random") or kind.__module__.startswith("numpy.random"):
            return "random", "draws foreign random numbers"
        if kind.__module__ in ("_io", "io"):
            if name in ("write", "read", "readline", "writelines", "flush", "getvalue"):
                return "io", f"writes or reads a file ({name}())"
        if kind is type and owner.__module__ == "datetime" and name in ("now", "today", "utcnow"):
            return "clock", "reads the clock"
        return None

    def refuse(self, frame: Any, kind: str, what: str) -> None:
        while not self.users.get(frame.f_code) and frame.f_back is not None:
            frame = frame.f_back
        origin = Origin(frame.f_code.co_filename, frame.f_lineno)
        self.error = CaptureBreak(
            f"compiled code {what}, which would happen once and not on every call",
            _FIX,
            origin,
            kind=kind,
        )
        raise self.error


def _importing(frame: Any) -> bool:
    """Whether the frame runs because something is being imported for the first time."""
    for _ in range(8):
        frame = frame.f_back
        if frame is None:
            return False
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
    return False


def _stdlib() -> str:
    import os

    return os.path.dirname(os.__file__) + os.sep


_STDLIB = _stdlib()
