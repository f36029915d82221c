"""Checks that users call: `check_nan` says where NaN and Inf come from, `verify` whether compiled
code does what eager mode does. Takes user code, gives errors that start at the user's line.
Invariant: what is checked gives the results that it gives unchecked."""

from __future__ import annotations

import contextlib
import functools
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .base.errors import Origin
from .compile import CompiledFunction, build, compile, defined_at
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


# ---------------------------------------------------------------- verify


class VerifyError(AssertionError):
    """Compiled code does not do what eager mode does. `stage`: "capture", "pass", "memory",
    "fusion", "lowering", "compiler" (of C), "cache" or "build"; `name`: of the pass or the ops at
    fault; `origin`: the user's line of the first wrong value; `script`: a program that shows it, or
    None."""

    def __init__(
        self, message: str, stage: str, name: str, origin: Origin | None, script: Path | None
    ):
        super().__init__(message)
        self.stage, self.name, self.origin, self.script = stage, name, origin, script


@dataclass(frozen=True)
class Verified:
    """What agreed in `verify`; true. `refused`: why there was no compiled code to compare."""

    name: str
    outputs: int
    updates: int
    gradients: int
    programs: int
    nodes: int
    refused: str = ""

    def __bool__(self) -> bool:
        return True

    def __str__(self) -> str:
        parts = [
            f"{n} {word}{'' if n == 1 else 's'}"
            for n, word in (
                (self.outputs, "output"),
                (self.updates, "update"),
                (self.gradients, "gradient"),
            )
        ]
        what = (
            f"eager, interpreted and compiled ({self.programs} programs, {self.nodes} operations)"
            if not self.refused
            else "eager and with fallback"
        )
        text = f"{self.name}: {', '.join(parts)} agree in bits: {what}"
        return f"{text}\nnot compiled: {self.refused}" if self.refused else text


def verify(fn: Callable, /, *args: Any, repro_dir: str | Path | None = "", **kwargs: Any) -> Any:
    """Whether compiling `fn`, a function or a Module, changes anything: `Verified` or VerifyError.

    Runs fn(*args, **kwargs) eagerly, from the captured graph node by node, and compiled; when a
    result requires a gradient, also backward. Compares bits (NaNs are one value), shapes, strides,
    dtypes, requires_grad, what results share memory with, and everything that fn reaches:
    arguments, parameters, buffers, optimizer state, .grad, random state, Python numbers. All of it
    is put back afterwards. What fn raises itself, verify raises.

    The error names the first wrong value with the user's line and the stage at fault: capture, a
    pass (by name), the memory plan, fusion, lowering, or the C compiler; and it shrinks the graph
    and writes a script that shows the difference into repro_dir ("": a temporary folder, None: no
    script)."""
    from .compiler.verify.outcome import changed, compare, observe
    from .compiler.verify.state import World

    if isinstance(fn, CompiledFunction):
        fn = fn.fn
    world = World({"self": fn, "args": args, "kwargs": kwargs})
    call = functools.partial(fn, *args, **kwargs)
    before = observe(world, lambda: None)
    eager = observe(world, call)
    runs = [_Run(fn, args, kwargs, backend) for backend in ("interpret", "c")]
    refused = ""
    for run in runs:
        outcome = observe(world, run)
        if outcome.error is not None and eager.error is None and run.recorder.failed is None:
            refused = str(outcome.error)
            outcome = observe(world, run.falling_back)
        found = compare(eager, outcome)
        if found is not None:
            raise _error(run, found, world, repro_dir)
    if eager.error is not None:
        raise eager.error
    graphs = runs[1].recorder.graphs
    updates, gradients = changed(before, eager)
    name = getattr(fn, "__qualname__", type(fn).__qualname__)
    nodes = sum(map(len, graphs))
    return Verified(name, len(eager.results), updates, gradients, len(graphs), nodes, refused)


class _Run:
    """Runs fn compiled by a backend, and keeps what its programs did."""

    def __init__(self, fn: Callable, args: tuple, kwargs: dict, backend: str):
        from .compiler.verify.locate import Recorder

        self.fn, self.args, self.kwargs, self.backend = fn, args, kwargs, backend
        self.recorder = Recorder(build)
        self.compiled: Any = None

    def __call__(self, fullgraph: bool = True) -> Any:
        self.compiled = compile(self.fn, fullgraph=fullgraph, backend=self.backend)
        # shadow mode would stop at the difference before its cause can be looked for
        self.compiled.settings.update(build=self.recorder.build, shadow=False)
        return self.compiled(*self.args, **self.kwargs)

    def falling_back(self) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return self(False)


def _error(run: _Run, found: Any, world: Any, folder: str | Path | None) -> VerifyError:
    """The error for a mismatch of a run: finds what is at fault."""
    from .compiler.verify import locate
    from .compiler.verify.locate import Fault

    home = defined_at(run.fn)
    failed = run.recorder.failed
    if failed is not None:
        head = f"{home.describe()}\nverify: the program cannot be built: {found.text}"
        return VerifyError(head, "build", type(failed[1]).__name__, home, None)
    for call in run.recorder.calls if run.backend == "c" else ():
        if call.wrong():
            return _report(locate.locate(call, _fresh), found, home, folder)
    fault = _capture_fault(run, world) or Fault("capture", "")
    if fault.case is None and run.compiled.specialisations:
        captured = run.compiled.specialisations[-1].captured
        node = locate.captured_value(captured, found.key, world.look().tensors)
        home = (node and locate.first_origin(captured.graph, node)) or home
    return _report(fault, found, home, folder)


def _fresh(graph: Any, skip: Any = (), flags: Any = ()) -> Any:
    from .compiler import program

    return program.build(graph, skip=skip, more_flags=flags, store=False)


def _capture_fault(run: _Run, world: Any) -> Any:
    """The first eager operation whose captured form gives other bits, if it is one alone."""
    from .compiler.verify.trace import faulty_op, traced

    try:
        steps = traced(functools.partial(run.fn, *run.args, **run.kwargs))
    finally:
        world.restore()
    return faulty_op(steps, lambda f: compile(f, fullgraph=True, backend="interpret"))


def _report(fault: Any, found: Any, home: Origin, folder: str | Path | None) -> VerifyError:
    """The error with its message: the user's line, the fault, the smallest graph, the script."""
    from .compiler.verify import script

    origin = fault.origin or home
    lines = [origin.describe(), f"verify: {found.text}", fault.sentence]
    if fault.detail:
        lines.append(fault.detail)
    path = None
    if fault.case is not None:
        n = len(fault.case.graph)
        lines.append(f"the smallest graph that differs, {n} of {fault.nodes} operations:")
        lines += ["  " + line for line in script.lines_of(fault.case.graph, fault.case, 6)]
        if fault.wrong is not None:
            from .compiler.interpret.shadow import describe

            wrong = fault.wrong
            lines.append(f"  {wrong.what}: {describe(wrong.found, wrong.expected)}")
        if folder is not None:
            into = Path(folder or tempfile.mkdtemp(prefix="graphc-verify-"))
            into.mkdir(parents=True, exist_ok=True)
            title = f"{origin.describe()}\n{fault.sentence}"
            path = script.write(fault.case, into / "repro.py", title)
            lines.append(f"to see it again: python {path}")
    return VerifyError("\n".join(lines), fault.stage, fault.name, origin, path)


__all__ = ["NonFiniteError", "Verified", "VerifyError", "check_nan", "verify"]
