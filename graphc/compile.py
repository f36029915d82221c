"""`graphc.compile`: takes a function or a Module, gives a callable that runs it as compiled
programs.

A call tries the known specialisations (guards first), else captures and builds a new one.
Invariant: a compiled call does exactly what the eager call does, or the eager call is made
instead, visibly.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import os
import sys
import threading
import types
import warnings
import weakref
from collections.abc import Callable, Iterator
from typing import Any

from .base import pytree
from .base.config import config
from .base.errors import CaptureBreak, Origin, internal, user_origin
from .compiler.capture.entry import MISS, Entry
from .compiler.capture.guards import ReadSet
from .compiler.capture.program import Captured, capture
from .compiler.capture.reasons import brief, leaf_names, mismatch
from .compiler.capture.sizes import merged, typed, varying
from .compiler.capture.symbols import evaluator, same_number
from .core.modes import STATE
from .core.tensor import Tensor
from .fallback import Parts, standing_in
from .ir.index import SizesEqual

_MANY = 8  # specialisations before a warning
_EVERY: weakref.WeakSet = weakref.WeakSet()  # the compiled functions that are alive


def reset() -> None:
    """Forgets the programs of all compiled functions."""
    for compiled in list(_EVERY):
        CompiledFunction.reset(compiled)


# PyTorch's names of backends, and what they are here
_BACKENDS = {"c": "c", "interpret": "interpret", "inductor": "c", "eager": "interpret"}
_MODES = (None, "default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs")


def compile(
    model: Any = None,
    *,
    fullgraph: bool = False,
    dynamic: bool | None = None,
    backend: str = "c",
    mode: str | None = None,
    options: dict | None = None,
    name: str | None = None,
    disable: bool = False,
    recompile_limit: int | None = None,
    isolate_recompiles: bool = False,
    shapes_spec: Any = None,
    fast_math: bool = False,
) -> Any:
    """A compiled version of `model`, a function or a Module; also a decorator, with or without
    arguments.

    fullgraph: raise `CaptureBreak` with the user's line instead of running eagerly where capture is
    impossible. dynamic: None: sizes that change between calls become symbols of the next program;
    True: all sizes above 1 are symbols from the first call on; False: none. backend: "c" (native
    code; "inductor" means the same) or "interpret" (every node through the eager kernels; also
    "eager"). name: what the programs are called in their source. recompile_limit: once so many
    programs were made after the first, calls that none of them serves run eagerly. fast_math: allow
    results that differ in the last bits. options: {"skip": names of passes to leave out}, to find a
    wrong one.

    `mode`, other options and `isolate_recompiles` are taken for PyTorch's sake and choose nothing:
    there is one mode, and no two calls of `compile` share programs. Raises RuntimeError for an
    unknown backend or mode, ValueError for a `shapes_spec`, which is not supported.
    https://docs.pytorch.org/docs/stable/generated/torch.compile.html"""
    if backend not in _BACKENDS:
        raise RuntimeError(f"Invalid backend: {backend!r}, should be one of {sorted(_BACKENDS)}")
    if mode not in _MODES:
        raise RuntimeError(f"Unrecognized mode={mode}, should be one of: {list(_MODES[1:])}")
    if mode is not None and options:
        raise RuntimeError("Either mode or options can be specified, but both can't be specified")
    if shapes_spec is not None:
        raise ValueError("compile() takes no shapes_spec: `dynamic` says which sizes may change")
    settings: dict[str, Any] = {
        "fullgraph": fullgraph,
        "dynamic": dynamic,
        "fast_math": fast_math,
        "backend": _BACKENDS[backend],
        "name": name,
        "recompile_limit": recompile_limit,
        "skip": (),
    }
    if options and options.get("skip"):
        from .compiler.passes import pipeline

        settings["skip"] = pipeline.names(options["skip"])
    if model is None:
        return functools.partial(_compiled, settings=settings, disable=disable)
    return _compiled(model, settings, disable)


def _compiled(model: Any, settings: dict, disable: bool) -> Any:
    if disable:
        return model
    if isinstance(model, CompiledFunction):
        model = model.fn
    if hasattr(model, "children") and hasattr(model, "_parameters"):
        return CompiledModule(model, settings)
    if not callable(model):
        raise TypeError(f"compile() needs a function or a Module, not {type(model).__name__}")
    return CompiledFunction(model, settings)


class Specialisation:
    """One compiled program with its guards."""

    def __init__(self, captured: Captured, program: Any, fn: Callable):
        self.captured, self.program, self.fn = captured, program, fn
        self.call = Entry(captured, program).build()
        self.calls = 0
        self._looked_into = False

    def look_into(self) -> None:
        """From now on calls under `check_nan` ask its watch for the program to run."""
        if self._looked_into:
            return
        self._looked_into = True
        graph, program = self.captured.graph, self.program

        def run(*args: Any) -> list:
            watch = STATE.watch
            return (program if watch is None else watch.program(graph, program)).call(*args)

        self.call.__globals__["run"] = run

    def mismatch(self, leaves: list, spec: Any) -> str:
        """Why this specialisation did not serve a call, in words."""
        return mismatch(self.captured, self.fn, leaves, spec)

    def own_change(self) -> bool:
        """Whether what this program wrote itself is why it does not serve the next call."""
        c = self.captured
        marks = {w.mark for w in c.writes}
        if any(
            (id(x.holder), x.key) in marks or (id(x.frozen[1]), "content") in marks
            for x in (c.reads.changed() if marks else ())
        ):
            return True
        numbers = c.numbers_now()
        return numbers is not None and any(
            "s[" in text and not same_number(evaluator([text])(numbers)[0], outcome)
            for text, (outcome, _) in c.scalar_guards.items()
        )


class CompiledFunction:
    """A compiled function. Inspect it: `.graph`, `.kernels`, `.source`, `.memory`,
    `.why_not_fused`, `.explain()` speak of the program that ran last."""

    def __init__(self, fn: Callable, settings: dict, warned: set | None = None):
        self.fn, self.settings = fn, settings
        self.specialisations: list[Specialisation] = []
        self._calls: list[Callable] = []
        self._breaks: dict[Any, CaptureBreak] = {}
        self._warned: set = set() if warned is None else warned  # lines that were spoken of
        self._parts: Parts | None = None  # what runs where this function cannot be captured
        self.history: list[str] = []
        self._repatterned = 0
        self._own_changes = 0
        functools.update_wrapper(self, fn, updated=())
        _EVERY.add(self)

    def reset(self) -> None:
        """Forgets all programs and refusals: the next call captures anew."""
        self.specialisations, self._calls, self.history = [], [], []
        self._breaks, self._parts = {}, None
        self._repatterned = self._own_changes = 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if STATE.tracer is not None:
            return self.fn(*args, **kwargs)
        if STATE.watch is not None:
            for made in self.specialisations:
                made.look_into()
        try:
            for call in self._calls:
                result = call(args, kwargs)
                if result is not MISS:
                    return result
            stopped = None
        except _program_error() as e:
            stopped = e
        try:
            if stopped is not None:
                return self._replay(stopped, args, kwargs)
            return self._miss(args, kwargs)
        except Exception as e:  # noqa: BLE001
            if config.debug:
                raise
            error = e
        raise error.with_traceback(_users_frames(error))

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else types.MethodType(self, instance)

    # ---- misses

    def _miss(self, args: tuple, kwargs: dict) -> Any:
        with _one_capture():  # what another thread captures with is stood in for meanwhile
            pass
        leaves, spec = pytree.flatten((args, kwargs))
        key = _key(self.fn, leaves, spec)
        if key in self._breaks:
            return self._in_parts(args, kwargs)
        failed: Exception | None = None
        stopped: Exception | None = None
        try:
            with _one_capture(), standing_in(None):
                try:
                    for call in tuple(self._calls):  # another thread may have made it meanwhile
                        result = call(args, kwargs)
                        if result is not MISS:
                            return result
                except _program_error() as e:
                    stopped = e
                if stopped is None:
                    original = args, kwargs
                    pattern, gone = self._other_pattern(spec)
                    made = self._any_size(
                        leaves, spec, original, pattern, gone
                    ) or self._specialise(leaves, spec, pattern, original)
        except CaptureBreak as e:
            if self.settings["fullgraph"] or (e.kind == "internal" and config.check):
                raise
            self._breaks[key] = failed = e
            self._warn(e)
        except Exception as e:  # noqa: BLE001  (the user's own error: eager raises it, too)
            failed = e
        if stopped is not None:
            return self._replay(stopped, args, kwargs)
        if isinstance(failed, CaptureBreak):
            return self._in_parts(args, kwargs)
        if failed is not None:
            return self._eagerly(failed, key, args, kwargs)
        if STATE.watch is not None:
            made.look_into()
        try:
            result = made.call(args, kwargs)
        except _program_error() as e:
            stopped = e
        if stopped is not None:
            return self._replay(stopped, args, kwargs)
        if result is MISS:
            raise RuntimeError(
                "a program was just captured for this call, but its guards exclude it:\n"
                + made.mismatch(leaves, spec)
            )
        return result

    def _any_size(
        self,
        leaves: list,
        spec: Any,
        original: tuple,
        pattern: tuple | None,
        gone: Captured | None,
    ) -> Specialisation | None:
        """A program over symbolic sizes, if sizes are what no earlier one serves and the function
        can be captured so; gone: what this one is to replace."""
        dynamic = self.settings.get("dynamic")
        sizes: dict = {}
        if gone is not None:
            sizes = varying(gone, leaves, spec, bool(gone.sizes))
        elif dynamic is None:
            for s in self.specialisations:
                sizes = varying(s.captured, leaves, spec)
                if sizes:
                    break
        elif dynamic:
            every = [
                (i, d) for i, x in enumerate(leaves) if isinstance(x, Tensor) for d in range(x.ndim)
            ]
            sizes = typed(leaves, every)
        while sizes:
            try:
                return self._specialise(leaves, spec, pattern, original, sizes)
            except SizesEqual as e:
                sizes = merged(sizes, e.difference)
            except Exception as e:  # noqa: BLE001  (what is wrong with the call shows again below)
                if config.debug >= 1:
                    print(f"graphc: sizes stay constants: {type(e).__name__}: {e}", file=sys.stderr)
                break
        return None

    def _other_pattern(self, spec: Any) -> tuple[tuple | None, Captured | None]:
        """The cotangents that backwards had instead of those expected, and the capture for those:
        another program replaces it. Twice at most, so that alternating patterns do not
        recompile."""
        for at, s in enumerate(self.specialisations):
            joint = s.captured.joint
            if joint is not None and joint.wanted is not None and s.captured.arg_spec == spec:
                del self.specialisations[at], self._calls[at], self.history[-1 - at]
                self._repatterned += 1
                return joint.wanted, s.captured
        return None, None

    def _specialise(
        self,
        leaves: list,
        spec: Any,
        pattern: tuple | None = None,
        original: tuple | None = None,
        sizes: dict | None = None,
    ) -> Specialisation:
        reasons = [s.mismatch(leaves, spec) for s in self.specialisations[:1]]
        if reasons and not sizes and self.specialisations[0].own_change():
            self._own_changes += 1
            if self._own_changes >= _MANY:
                raise CaptureBreak(
                    "a variable that the function changes itself decides what is computed, and is "
                    f"different on every call ({reasons[0]})",
                    "count outside of the compiled function, or keep the number in a tensor",
                    _where(self.fn),
                    kind="state",
                )
        limit = self.settings["recompile_limit"]
        if limit is not None and len(self.specialisations) > limit:
            raise CaptureBreak(
                f"{_named(self.fn)} was recompiled {limit} times, which is its recompile_limit; "
                f"now {reasons[0]}",
                "raise the limit, or keep what changes in a tensor",
                _where(self.fn),
                kind="limit",
            )
        captured = self._capture(leaves, spec, pattern, original, sizes)
        try:
            program = self._build(captured.graph)
            if captured.joint is not None:
                captured.joint.build = self._build
                captured.joint.fixed = self._repatterned >= 2
                if sizes:  # now, while what it takes for granted of the sizes can be made a guard
                    captured.joint.prepare()
                captured.joint.build = self._build_backward
        except BaseException:
            self._reachable_parts().reach(captured.reads.modules.values())
            raise
        made = Specialisation(captured, program, self.fn)
        self.specialisations.insert(0, made)
        self._calls.insert(0, made.call)
        self.history.append(reasons[0] if reasons else "first call")
        if config.debug >= 1:
            print(
                f"graphc: compiled {getattr(self.fn, '__name__', self.fn)}: {self.history[-1]}",
                file=sys.stderr,
            )
        if config.debug >= 2:
            print("\n".join(map(str, made.program.kernels)), file=sys.stderr)
        if len(self.specialisations) == _MANY:
            _tell(
                f"{_named(self.fn)} has been compiled {_MANY} times; last reason: "
                f"{self.history[-1]}"
            )
        return made

    def _capture(
        self,
        leaves: list,
        spec: Any,
        pattern: tuple | None,
        original: tuple | None,
        sizes: dict | None,
    ) -> Captured:
        reads = ReadSet()
        reads.function(self.fn, getattr(self.fn, "__name__", "the function"))
        for x in (*leaves, *(original or ())):
            if not isinstance(x, Tensor):
                reads.examine(x, frozenset(), "an argument")
        try:
            captured = capture(self.fn, leaves, spec, reads, pattern, original, sizes)
            late = {
                (id(m), k)
                for kind, what, _ in captured.scalar_leaves
                if kind == "item"
                for m, k in [what]
            }
            # a pair of numbers (an optimizer's betas) is read through an object that names its
            # owner
            late |= {
                (id(what[0].group), what[0].name)
                for kind, what, _ in captured.scalar_leaves
                if kind == "item" and hasattr(what[0], "group")
            }
            reads.settle(late)
            changed = reads.changed()
            if changed:
                raise CaptureBreak(
                    "Python state changes while the function runs: " + changed[0].difference(),
                    "change it outside of the compiled function",
                    _where(self.fn),
                    kind="state",
                )
        except BaseException:
            reads.restore()
            self._reachable_parts().reach(reads.modules.values())
            raise
        return captured

    def _build(self, graph: Any) -> Any:
        try:
            name = self.settings["name"] or getattr(self.fn, "__name__", "program")
            return build(graph, self.settings, name)
        except (CaptureBreak, SizesEqual):
            raise
        except Exception as error:
            from .compiler.fault import fault

            raise fault(error, graph) from error

    def _build_backward(self, graph: Any) -> Any:
        """The program of a backward; it is interpreted where none can be made."""
        try:
            return self._build(graph)
        except CaptureBreak as e:
            if self.settings["fullgraph"] or config.check:
                raise
            self._warn(e)
        from .compiler.interpret import InterpretedProgram

        return InterpretedProgram(graph)

    def _reachable_parts(self) -> Parts:
        if self._parts is None:
            self._parts = Parts(self._part)
        return self._parts

    def _part(self, module: Any) -> Any:
        """A module that is called while this function runs eagerly, compiled."""
        if module is self.fn:
            return self
        return CompiledModule(module, self.settings, self._warned)

    def _in_parts(self, args: tuple, kwargs: dict) -> Any:
        """A call that cannot be captured: in Python, and the modules that it calls compiled."""
        return self._reachable_parts().run(self.fn, args, kwargs)

    def _eager(self, args: tuple, kwargs: dict) -> Any:
        """The call with nothing compiled in it."""
        with standing_in(None):
            return self.fn(*args, **kwargs)

    def _replay(self, error: Any, args: tuple, kwargs: dict) -> Any:
        """The program stopped at a run-time error and changed nothing: eager mode raises its
        own."""
        result = self._eager(args, kwargs)
        _tell(f"compiled code reported an error that eager mode did not: {error}")
        return result

    def _eagerly(self, error: BaseException, key: Any, args: tuple, kwargs: dict) -> Any:
        """Capturing raised: eager mode raises the same, with its own state; else the error is
        ours."""
        result = self._eager(args, kwargs)
        from .compiler.fault import fault
        from .ir.graph import Graph

        found = fault(error, Graph())
        found.__cause__ = error
        if self.settings["fullgraph"] or config.check:
            raise found
        self._warn(found)
        self._breaks[key] = found
        return result

    def _warn(self, e: CaptureBreak) -> None:
        if e.origin not in self._warned:
            self._warned.add(e.origin)
            _tell(f"not compiled, runs eagerly: {e}")

    # ---- inspection

    @property
    def _last(self) -> Specialisation:
        if not self.specialisations:
            raise RuntimeError("nothing is compiled yet: call the function first")
        return self.specialisations[0]

    @property
    def graph(self) -> Any:
        """The captured Graph, before passes and fusion; `str()` of it is text with the user's
        lines."""
        from .ir import text  # noqa: F401  (gives Graph its text form)

        return self._last.captured.graph

    @property
    def graph_after(self) -> Any:
        """The graph after passes and fusion, as text."""
        return str(self._last.program.graph_after)

    @property
    def program(self) -> Any:
        return self._last.program

    @property
    def kernels(self) -> Any:
        return self._last.program.kernels

    @property
    def source(self) -> str:
        return self._last.program.source

    @property
    def memory(self) -> Any:
        return self._last.program.memory

    @property
    def why_not_fused(self) -> Any:
        return self._last.program.why_not_fused

    @property
    def refused(self) -> list[CaptureBreak]:
        """Why calls run eagerly, one error for each kind of call that could not be captured."""
        return list(self._breaks.values())

    def explain(self) -> str:
        """What was compiled, what it depends on, why it was compiled again, and what runs
        eagerly."""
        lines = [f"{_named(self.fn)}: {len(self.specialisations)} program(s)"]
        for i, reason in enumerate(self.history):
            s = self.specialisations[len(self.specialisations) - 1 - i]
            c = s.captured
            lines.append(
                f"  {i + 1}. {reason}: {len(c.graph.nodes)} nodes, {len(c.sources)} inputs, "
                f"{len(c.graph.outputs)} outputs, {len(c.graph.updates)} updates"
            )
            names = leaf_names(self.fn, c.arg_spec)
            for k, (argument, x) in enumerate(zip(names, c.leaves, strict=True)):
                shown = c.sizes.get(k) or (x.type_ if isinstance(x, Tensor) else brief(x))
                lines.append(f"     argument {argument}: {shown}")
            lines += [f"     {check}" for check in c.reads.every_call]
            lines += [f"     {number}" for number in c.reads.numbers.values()]
            if c.reads.modules:
                lines.append(f"     the state of {len(c.reads.modules)} module(s)")
            lines += [
                f"     {text} is {outcome!r}" + (f" ({origin})" if origin else "")
                for text, (outcome, origin) in (c.size_guards | c.scalar_guards).items()
            ]
        said = dict.fromkeys(str(e) for e in self._breaks.values())
        lines += ["  eager: " + text.replace("\n", "\n    ") for text in said]
        for name, part in self._parts.named() if self._breaks and self._parts else ():
            if part is not self:
                inner = part.explain()[len(_named(part.fn)) :]
                lines.append(f"  {name}" + inner.replace("\n", "\n  "))
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<compiled {getattr(self.fn, '__qualname__', self.fn)}>"


class CompiledModule(CompiledFunction):
    """A compiled Module: calls run compiled, everything else is the module's own."""

    def __init__(self, module: Any, settings: dict, warned: set | None = None):
        object.__setattr__(self, "_orig_mod", module)
        super().__init__(module, settings, warned)

    @property  # type: ignore[misc]
    def __class__(self) -> Any:  # isinstance(compiled, nn.Linear) holds
        return type(object.__getattribute__(self, "_orig_mod"))

    def __getattr__(self, name: str) -> Any:
        return getattr(object.__getattribute__(self, "_orig_mod"), name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _OWN:
            object.__setattr__(self, name, value)
        else:
            setattr(self._orig_mod, name, value)

    def train(self, mode: bool = True) -> Any:
        self._orig_mod.train(mode)
        return self

    def eval(self) -> Any:
        self._orig_mod.eval()
        return self

    def __deepcopy__(self, memo: dict) -> Any:
        return CompiledModule(copy.deepcopy(self._orig_mod, memo), dict(self.settings))

    def __reduce_ex__(self, protocol: Any) -> tuple:
        return (CompiledModule, (self._orig_mod, dict(self.settings)))

    def __repr__(self) -> str:
        return f"Compiled({self._orig_mod!r})"


_OWN = {
    "fn",
    "settings",
    "specialisations",
    "_calls",
    "_breaks",
    "_warned",
    "_parts",
    "_repatterned",
    "_own_changes",
    "history",
    "__wrapped__",
    "__dict__",
    *functools.WRAPPER_ASSIGNMENTS,
}


def build(graph: Any, settings: dict, name: str) -> Any:
    """A runnable program for a graph: native code, or the interpreter where nothing can be
    compiled."""
    from .compiler.interpret import InterpretedProgram

    if settings.get("build") is not None:
        return settings["build"](graph, {**settings, "build": None}, name)
    if settings["backend"] == "interpret":
        return InterpretedProgram(graph)
    try:
        from .compiler import program
    except ImportError:
        return InterpretedProgram(graph)
    from .native import library

    if not library.available() or graph.holds_complex():
        return InterpretedProgram(graph)
    skip = settings.get("skip", ())
    made = program.build(graph, fast_math=settings["fast_math"], name=name, skip=skip)
    if config.check and settings.get("shadow", True) and not settings["fast_math"]:
        from .compiler.interpret.shadow import Shadow

        return Shadow(graph, made)
    return made


def _tell(text: str) -> None:
    """A warning at the user's line that called."""
    at = user_origin(2) or Origin("graphc", 0)
    warnings.warn_explicit(text, UserWarning, at.file, at.line)


def _users_frames(error: BaseException) -> Any:
    """The traceback of an error without the frames of the library; and without the error that led
    to a refusal. GRAPHC_DEBUG=1 leaves everything."""
    if isinstance(error, CaptureBreak):  # its message starts with the user's line
        error.__cause__, error.__suppress_context__ = None, True
        return None
    frames, tb = [], error.__traceback__
    while tb is not None:
        if not internal(tb.tb_frame.f_code.co_filename):
            frames.append(tb)
        tb = tb.tb_next
    kept = None
    for tb in reversed(frames):
        kept = types.TracebackType(kept, tb.tb_frame, tb.tb_lasti, tb.tb_lineno)
    return kept


_CAPTURING: list = [threading.RLock()]
_WAIT = 120.0  # seconds; a captured function may itself wait for a thread that wants to capture


@contextlib.contextmanager
def _one_capture() -> Iterator[None]:
    """One thread captures at a time: captures touch fields of real tensors and put stand-ins where
    code reads numbers, and threads that call one function for the first time compile it once."""
    lock = _CAPTURING[0]
    held = lock.acquire(timeout=_WAIT)
    try:
        yield
    finally:
        if held:
            lock.release()


def _after_fork() -> None:
    """The thread that was capturing does not exist in the child."""
    _CAPTURING[0] = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


_ERRORS: list = []


def _program_error() -> Any:
    """The exception class of programs that stopped at run time (found once)."""
    if not _ERRORS:
        try:
            from .compiler.program import ProgramError

            _ERRORS.append((ProgramError, IndexError))
        except ImportError:
            _ERRORS.append((IndexError,))
    return _ERRORS[0]


def _key(fn: Any, leaves: list, spec: Any) -> Any:
    """What tells calls apart that capture refused before."""
    parts: list[Any] = []
    for x in leaves:
        if isinstance(x, Tensor):
            parts.append((tuple(x.shape), x.dtype, x._needs))
        elif isinstance(x, (int, str, bool, type(None))):
            parts.append((type(x), x))
        else:
            parts.append(id(x) if type(x) is not float else float)
    return (repr(spec), tuple(parts), STATE.grad, STATE.autocast, getattr(fn, "training", None))


def _home(fn: Any) -> tuple[str, int]:
    """Where a function (or the forward of a module) is defined."""
    cls = type(fn)
    for f in (fn, getattr(cls, "forward", None), vars(cls).get("__call__")):
        code = getattr(getattr(f, "__func__", f), "__code__", None)
        if code is not None:
            return code.co_filename, code.co_firstlineno
    return "", 0


def defined_at(fn: Any) -> Origin:
    """Where a function (or the forward of a module) is defined."""
    return Origin(*_home(fn))


def _named(fn: Any) -> str:
    """A function's name and where it is defined."""
    home = defined_at(fn)
    name = getattr(fn, "__name__", type(fn).__name__)
    return f"{name} ({home})" if home.file and not internal(home.file) else name


def _where(fn: Any) -> Origin:
    """The user's line that a refusal without one speaks of: the function, else the call."""
    home = defined_at(fn)
    return user_origin(3) or home if not home.file or internal(home.file) else home
