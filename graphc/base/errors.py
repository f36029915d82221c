"""Errors and the user's line: takes the running frames, gives the first file:line outside graphc.
Invariant: the message keeps PyTorch's text; the user's line travels as an exception note."""

from __future__ import annotations

import linecache
import os
import sys
import warnings
from typing import Any, NamedTuple

PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_DEMO = PACKAGE + "demo.py"


def internal(file: str) -> bool:
    """Whether code of this file is the library's own; the demo counts as a user's program."""
    return file.startswith(PACKAGE) and file != _DEMO


class Origin(NamedTuple):
    """A place in the user's program; `backward`: not the line itself runs, but its backward."""

    file: str
    line: int
    backward: bool = False

    @property
    def text(self) -> str:
        """The source text of the line, stripped; empty when the source is not to be had."""
        return linecache.getline(self.file, self.line).strip()

    def __str__(self) -> str:
        return f"{os.path.basename(self.file)}:{self.line}"

    def describe(self) -> str:
        """`path:line: source text` for messages and notes."""
        return f"{self.file}:{self.line}: {self.text}".rstrip(": ")


def user_origin(depth: int = 1) -> Origin | None:
    """The innermost frame outside the package, or None when called from nowhere else."""
    frame = sys._getframe(depth)
    while frame is not None:
        name = frame.f_code.co_filename
        if not internal(name):
            return Origin(name, frame.f_lineno)
        frame = frame.f_back  # type: ignore[assignment]
    return None


def users_level() -> int:
    """The `stacklevel` with which a warning of the calling function shows the user's line."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and internal(frame.f_code.co_filename):
        level, frame = level + 1, frame.f_back
    return level


def warn_user(text: str) -> None:
    """A UserWarning at the user's line."""
    warnings.warn(text, UserWarning, stacklevel=users_level())


class GraphcError(RuntimeError):
    """Base of the errors that only graphc raises."""


# All that `compile` refuses: kind -> the constructs. The README's table is this one, and each
# CaptureBreak names its kind.
REFUSALS = {
    "value": "reading a tensor's value: `if t:`, `.item()`, `.tolist()`, `.numpy()`, `print(t)`, "
    "`t.data_ptr()`",
    "shape": "results whose shape depends on values: `nonzero`, `x[mask]`, `unique`",
    "io": "printing, warnings, log records, files, the network, other processes",
    "clock": "`time`, `datetime`",
    "random": "`random`, `numpy.random`, `secrets`, `uuid`; seeding, `randperm`, a DataLoader",
    "environment": "`os.environ` and calls of `os`",
    "iterator": "`next()` of an iterator that lives outside",
    "thread": "starting a thread, giving work to another one",
    "state": "storing modules, functions or parameters made inside; changing a container that "
    "lies inside another one, or taking entries out of a dictionary; a variable that the function "
    "changes itself and that decides something else on every call; Python code in the backward "
    "that changes variables, or reads what the forward changes; `deepcopy` of tensors",
    "tensor": "changing what a tensor from outside is: `.data = `, attributes, hooks, "
    "`unsqueeze_()`; writing a result that requires a gradient into it",
    "mode": "leaving the gradient mode or the default dtype changed",
    "history": "`backward()` through what was computed outside",
    "aliasing": "writing memory that is shared under two dtypes",
    "size": "reading a container of more than 100,000 entries",
    "complex": "writing complex numbers that are also seen as their parts",
    "limit": "more programs than `recompile_limit` allows",
    "disabled": "calling what is marked with `compiler.disable`",
    "internal": "an error of graphc's own (please report it)",
}


class CaptureBreak(GraphcError):
    """Something that compiled code cannot do was met while capturing. `origin` is the user's
    line, `kind` a key of REFUSALS."""

    def __init__(
        self, what: str, fix: str = "", origin: Origin | None = None, *, kind: str = "internal"
    ):
        self.what, self.fix, self.kind = what, fix, kind
        self.origin = origin or user_origin(2)
        where = f"{self.origin.describe()}\n" if self.origin else ""
        super().__init__(f"{where}{what}" + (f"\nFix: {fix}" if fix else ""))


class GuardError(GraphcError):
    """A compiled function was asked for something that its guards exclude."""


class NativeBuildError(GraphcError):
    """No C compiler was found, or it refused a text; `output` is all that it printed."""

    def __init__(self, message: str, output: str = ""):
        super().__init__(message)
        self.output = output


def with_user_line(error: BaseException) -> BaseException:
    """Adds the user's line to an exception as a note, once; the message stays as it is."""
    notes = getattr(error, "__notes__", ())
    if not any(n.startswith("at ") for n in notes):
        origin = user_origin(2)
        if origin is not None:
            error.add_note(f"at {origin.describe()}")
    return error


def with_raisers_line(error: BaseException) -> None:
    """Adds the note of `with_user_line` to an exception on its way out of the library, when the
    library itself raised it: the line is the last one of the user's that led there."""
    place, trace = None, error.__traceback__
    if trace is None or any(n.startswith("at ") for n in getattr(error, "__notes__", ())):
        return
    while trace is not None:
        code = trace.tb_frame.f_code
        if not internal(code.co_filename):
            place = Origin(code.co_filename, trace.tb_lineno)
            ours = False
        else:
            ours = True
        trace = trace.tb_next
    if not ours:  # the user's code raised it, or another library that the user's code called
        return
    place = place or user_origin(2)
    if place is not None:
        error.add_note(f"at {place.describe()}")


def not_tensor(name: str, argument: str, position: int, x: Any) -> TypeError:
    text = (
        f"{name}(): argument '{argument}' (position {position}) must be Tensor, not "
        f"{type(x).__name__}"
    )
    return with_user_line(TypeError(text))  # type: ignore[return-value]


def no_combination(name: str, *args: Any) -> TypeError:
    """The error for arguments that fit none of a function's signatures."""
    got = ", ".join(type(a).__name__ for a in args)
    text = (
        f"{name}() received an invalid combination of arguments - got ({got}), but expected one "
        f"of:\n      see torch.{name}"
    )
    return with_user_line(TypeError(text))  # type: ignore[return-value]
