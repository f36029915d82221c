"""Thread-local modes: gradient recording, inference, the active tracer (None outside capture), and
who is asked before a module is called (None, but while a function that cannot be captured runs).
Invariant: every context manager restores what it found, also after exceptions."""

from __future__ import annotations

import functools
import inspect
import sys
import threading
from collections.abc import Callable
from typing import Any

from ..base.dtypes import bfloat16
from ..base.errors import internal


class State(threading.local):
    """The modes of one thread."""

    grad: bool = True
    inference: bool = False
    tracer: Any = None
    stand_in: Any = None  # module -> a callable to call in its place, or None
    autocast: Any = None  # the dtype that products are cast to, None: off; see core.autocast
    autocast_dtype: Any = bfloat16  # what autocast casts to where no dtype is given
    watch: Any = None  # sees what is computed, see core.nonfinite
    run: Any = None  # the backward that is running, see core.tape
    forward_ad: bool = False  # a dual level is open: tangents are found by what is recorded


STATE = State()


def is_grad_enabled() -> bool:
    return STATE.grad


def is_inference_mode_enabled() -> bool:
    return STATE.inference


def _keep_recording(mode: _Mode, file: str) -> None:
    """RuntimeError for a user's file that stops recording inside a dual level."""
    if not mode._records() and not internal(file):
        raise RuntimeError(
            "gradients are switched off inside autograd.forward_ad.dual_level(); graphc finds "
            "tangents through what is recorded. Leave no_grad out: nothing requires a gradient "
            "after the level"
        )


class _Mode:
    """A mode usable as context manager and as decorator, as in PyTorch."""

    __slots__ = ("mode", "previous")

    def __init__(self) -> None:
        self.previous: list = []

    def __call__(self, fn: Callable) -> Callable:
        file = getattr(getattr(fn, "__code__", None), "co_filename", "")

        def make() -> _Mode:
            mode = self._clone()
            if STATE.forward_ad:
                _keep_recording(mode, file)
            return mode

        if inspect.isgeneratorfunction(fn):
            @functools.wraps(fn)
            def generator(*args: Any, **kwargs: Any) -> Any:
                it = fn(*args, **kwargs)
                sent: Any = None
                try:
                    while True:
                        with make():
                            item = it.send(sent)
                        sent = yield item
                except StopIteration as stop:
                    return stop.value
            return generator

        @functools.wraps(fn)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with make():
                return fn(*args, **kwargs)
        return wrapped

    def _clone(self) -> _Mode:
        return type(self)()

    def _records(self) -> bool:
        return bool(self.mode)  # type: ignore[attr-defined]

    def _set(self) -> None:
        STATE.grad = self.mode      # type: ignore[attr-defined]

    def __enter__(self) -> None:
        if STATE.forward_ad:
            _keep_recording(self, sys._getframe(1).f_code.co_filename)
        self.previous.append((STATE.grad, STATE.inference))
        self._set()

    def __exit__(self, *exc: Any) -> None:
        STATE.grad, STATE.inference = self.previous.pop()


class no_grad(_Mode):
    """Results inside do not require gradients. https://pytorch.org/docs/stable/generated/torch.no_grad.html"""

    mode = False

    def __new__(cls, orig_func: Callable | None = None) -> Any:
        self = super().__new__(cls)
        if orig_func is None:
            return self
        self.previous = []
        return self(orig_func)

    def __init__(self, orig_func: Callable | None = None) -> None:
        super().__init__()


class enable_grad(no_grad):
    """Gradients are recorded inside, also within no_grad."""

    mode = True


class set_grad_enabled(_Mode):
    """Sets gradient recording at once; as a context manager it is restored at the end."""

    def __repr__(self) -> str:
        return f"torch.autograd.grad_mode.set_grad_enabled(mode={self.mode})"

    def __init__(self, mode: bool) -> None:
        super().__init__()
        self.mode = bool(mode)
        if STATE.forward_ad:
            _keep_recording(self, sys._getframe(1).f_code.co_filename)
        self.previous.append((STATE.grad, STATE.inference))
        self._set()

    def _clone(self) -> _Mode:
        return set_grad_enabled(self.mode)

    def __call__(self, fn: Callable) -> Callable:
        STATE.grad, STATE.inference = self.previous.pop()
        return super().__call__(fn)

    def __enter__(self) -> None:
        STATE.grad = self.mode
        if not self.previous:
            self.previous.append((STATE.grad, STATE.inference))


class inference_mode(_Mode):
    """Like no_grad; results are marked so that a later backward that saved one raises."""

    def __new__(cls, mode: Any = True) -> Any:
        self = super().__new__(cls)
        if callable(mode):
            self.previous, self.mode = [], True
            return self(mode)
        return self

    def __init__(self, mode: bool = True) -> None:
        super().__init__()
        self.mode = mode

    def _clone(self) -> _Mode:
        return inference_mode(self.mode)

    def _records(self) -> bool:
        return not self.mode

    def _set(self) -> None:
        STATE.inference = self.mode
        if self.mode:
            STATE.grad = False
