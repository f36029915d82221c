"""Scenarios: takes a function that makes calls and changes state, runs it eagerly, compiled, and
compiled with fullgraph=True, gives what the three runs saw.

A scenario is `fn(compile, see)`: it builds everything anew, compiles with `compile(f)` and shows
values with `see(...)`. Invariant: whatever a user can observe of a shown value is in the record,
tensors in bits."""

import contextlib
import dataclasses
import enum
import io
import threading
import warnings
from collections.abc import Callable

import numpy as np

import graphc
from graphc import nn
from graphc.base.errors import CaptureBreak
from graphc.core.tensor import Tensor


def bits(t):
    """A tensor's bits, every nan as one class."""
    a = np.array(t.detach()._array, order="C")
    if a.dtype.kind == "f":
        a[np.isnan(a)] = np.nan
    elif a.dtype.kind == "V":
        a = a.view(np.uint16)
    return a.tobytes()


def describe(x, tensors):
    """A comparable description of a value; tensors met are appended to `tensors`."""
    if isinstance(x, Tensor):
        tensors.append(x)
        grad = None if x.grad is None or not x.is_leaf else describe(x.grad, [])
        return (
            "tensor",
            type(x).__name__,
            x.dtype,
            tuple(x.shape),
            x.stride(),
            x.storage_offset(),
            x.requires_grad,
            x.is_leaf,
            x._base is None,
            bits(x),
            grad,
        )
    if isinstance(x, nn.Module):
        return (
            "module",
            type(x).__name__,
            [(k, describe(v, tensors)) for k, v in x.named_parameters()],
            [(k, describe(v, tensors)) for k, v in x.named_buffers()],
            [
                (k, describe(v, tensors))
                for m in x.modules()
                for k, v in vars(m).items()
                if not k.startswith("_") and not callable(v)
            ],
        )
    if isinstance(x, graphc.optim.Optimizer):
        return ("optimizer", describe(x.state_dict(), tensors))
    if isinstance(x, graphc.Generator):
        return ("generator", x.state_words())
    if isinstance(x, enum.Enum):
        return x
    if dataclasses.is_dataclass(x) and not isinstance(x, type):
        return (
            type(x).__name__,
            [(f.name, describe(getattr(x, f.name), tensors)) for f in dataclasses.fields(x)],
        )
    if isinstance(x, dict):
        return (type(x).__name__, [(k, describe(v, tensors)) for k, v in x.items()])
    if isinstance(x, (list, tuple)):
        return (type(x).__name__, [describe(v, tensors) for v in x])
    if isinstance(x, (float, complex)):
        return (type(x).__name__, np.array(x).tobytes())
    return (type(x).__name__, x)


def ramp(*shape, start=1.0):
    n = 1
    for s in shape:
        n *= s
    return (graphc.arange(n).float() + start).view(*shape)


def mlp():
    graphc.manual_seed(1)
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))


class Recorder:
    """What one run showed."""

    def __init__(self):
        self.events, self.text, self.warnings, self.compiled = [], "", [], []

    def __call__(self, *values):
        tensors = []
        shown = [describe(v, tensors) for v in values]
        alike = [[(a is b, np.shares_memory(a._array, b._array)) for b in tensors] for a in tensors]
        self.events.append(
            (shown, alike, graphc.default_generator.state_words(), graphc.is_grad_enabled())
        )

    def error(self, call: Callable):
        """Shows the result of call(), or the kind and text of the error that it raises."""
        try:
            value = call()
        except CaptureBreak:
            raise
        except Exception as e:  # noqa: BLE001
            self.events.append(("error", type(e).__name__, str(e).split("\n")[0]))
        else:
            self(value)


def run(fn, **settings):
    """One run; settings None: eagerly."""
    record = Recorder()
    lock = threading.Lock()

    def compiled(f, **more):
        made = graphc.compile(f, **settings, **more) if settings else f
        with lock:
            record.compiled.append(made)
        return made

    graphc.manual_seed(0)
    out = io.StringIO()
    with warnings.catch_warnings(record=True) as seen, contextlib.redirect_stdout(out):
        warnings.simplefilter("always")
        fn(compiled, record)
    record.text, record.warnings = out.getvalue(), [str(w.message) for w in seen]
    return record


def difference(a, b):
    """Where two records differ, in words; empty when nowhere."""
    if a.text != b.text:
        return f"printed {a.text!r}, compiled {b.text!r}"
    for i, (x, y) in enumerate(zip(a.events, b.events, strict=False)):
        if x != y:
            return f"at see() number {i}: {_first(x, y)}"
    return "" if len(a.events) == len(b.events) else "fewer values shown"


def _first(x, y, path=""):
    if isinstance(x, (list, tuple)) and type(x) is type(y) and len(x) == len(y):
        for i, (a, b) in enumerate(zip(x, y, strict=True)):
            if a != b:
                return _first(a, b, f"{path}.{i}")
    if isinstance(x, bytes) and isinstance(y, bytes):
        for kind in (np.float32, np.int64):
            with contextlib.suppress(ValueError):
                was, now = np.frombuffer(x, kind), np.frombuffer(y, kind)
                return f"{path}: {was} compiled {now} (as {kind.__name__})"
    return f"{path}: {x!r} compiled {y!r}"


CASES: dict[str, tuple] = {}


def case(fn=None, *, refused=None, programs=None):
    """Registers a scenario. refused: the construct is on the list of what compile refuses (part of
    the message); programs: how many programs it may take at most."""

    def register(f):
        assert f.__name__ not in CASES, f.__name__
        CASES[f.__name__] = (f, refused, programs)
        return f

    return register if fn is None else register(fn)


def check(name):
    """Asserts that the three runs of a case agree, or that the refusal is a visible one."""
    fn, refused, programs = CASES[name]
    eager = run(fn)
    default = run(fn, backend="c")
    found = difference(eager, default)
    assert not found, f"compiled differs: {found}\nwarnings: {default.warnings}"
    loud = [w for w in default.warnings if "not compiled" in w or "compiled code" in w]
    if refused is None:
        assert not loud, "\n".join(loud)
    else:
        assert loud and any(refused in w for w in loud), (
            f"refused without a warning: {default.warnings}"
        )
    try:
        full = run(fn, backend="interpret", fullgraph=True)
    except CaptureBreak as e:
        assert refused is not None, f"refused: {e}"
        assert refused in str(e), str(e)
        assert e.origin is not None and "footguns" in e.origin.file, f"no user line: {e.origin}"
        return
    assert refused is None, "fullgraph=True did not refuse"
    found = difference(eager, full)
    assert not found, f"interpreted differs: {found}"
    for record in (default, full):
        made = sum(len(getattr(c, "specialisations", ())) for c in record.compiled)
        assert made > 0 or not record.compiled, "nothing was compiled"
        assert programs is None or made <= programs, record.compiled[0].explain()
