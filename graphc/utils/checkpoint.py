"""Activation checkpointing: takes a function and its inputs, gives its outputs, and keeps of the
forward only what is needed to run it again in the backward.

Invariant: gradients are those of the plain call, in bits; dropout draws the same numbers again.
While a program is captured the function is simply called: the compiler decides what a backward
keeps and what it computes again.
Source: https://pytorch.org/docs/stable/checkpoint.html"""

from __future__ import annotations

import contextlib
import itertools
import warnings
import weakref
from collections.abc import Callable, Iterator
from typing import Any

from ..autograd import Function, backward
from ..autograd.graph import saved_tensors_hooks
from ..base import pytree
from ..base.errors import user_origin
from ..core import rng, tape
from ..core.modes import STATE, enable_grad, no_grad
from ..core.tensor import Size, Tensor

__all__ = [
    "CheckpointError",
    "CheckpointFunction",
    "check_backward_validity",
    "checkpoint",
    "checkpoint_sequential",
    "detach_variable",
    "noop_context_fn",
    "set_checkpoint_debug_enabled",
    "set_checkpoint_early_stop",
]

_early_stop: list[bool] = []  # what set_checkpoint_early_stop asked for, innermost last
_debug: list[bool] = []


class CheckpointError(RuntimeError):
    """The function did something else when it ran again."""


_TIP = (
    "\n\nTip: To see a more detailed error message, either pass `debug=True` to\n"
    "`torch.utils.checkpoint.checkpoint(...)` or wrap the code block\n"
    "with `with torch.utils.checkpoint.set_checkpoint_debug_enabled(True):` to\n"
    "enable checkpoint\u2011debug mode globally.\n"
)


def noop_context_fn() -> tuple:
    """Two contexts that do nothing."""
    return contextlib.nullcontext(), contextlib.nullcontext()


@contextlib.contextmanager
def set_checkpoint_early_stop(enable: bool) -> Iterator[None]:
    """Whether calls of checkpoint inside stop running again once they have what they need."""
    _early_stop.append(bool(enable))
    try:
        yield
    finally:
        _early_stop.pop()


@contextlib.contextmanager
def set_checkpoint_debug_enabled(enabled: bool | None) -> Iterator[None]:
    """Whether errors inside say where each tensor was saved; None leaves it to the calls."""
    if enabled is not None:
        _debug.append(bool(enabled))
    try:
        yield
    finally:
        if enabled is not None:
            _debug.pop()


def check_backward_validity(inputs: Any) -> None:
    """Warns when no input requires a gradient."""
    if not any(t.requires_grad for t in inputs if isinstance(t, Tensor)):
        warnings.warn(
            "None of the inputs have requires_grad=True. Gradients will be None", stacklevel=2
        )


def detach_variable(inputs: tuple) -> tuple:
    """The inputs without history; tensors keep their requires_grad."""
    if not isinstance(inputs, tuple):
        raise RuntimeError(
            "Only tuple of tensors is supported. Got Unsupported input type: ",
            type(inputs).__name__,
        )
    return tuple(
        [
            t.detach().requires_grad_(t.requires_grad) if isinstance(t, Tensor) else t  # type: ignore
            for t in inputs
        ]
    )


@contextlib.contextmanager
def _random_state(state: tuple | None) -> Iterator[None]:
    """The default generator as it was at `state`, put back afterwards."""
    if state is None:
        yield
        return
    g = rng.default_generator
    before = g.state_words()
    g.set_state_words(*state)
    try:
        yield
    finally:
        g.set_state_words(*before)


def checkpoint(
    function: Callable,
    *args: Any,
    use_reentrant: bool | None = None,
    context_fn: Callable[[], tuple] = noop_context_fn,
    determinism_check: str = "default",
    debug: bool = False,
    early_stop: bool = True,
    **kwargs: Any,
) -> Any:
    """function(*args, **kwargs); its intermediate results are computed again in the backward.

    use_reentrant=False: recomputes when the backward first asks for a saved tensor, stops when it
    has all (early_stop), checks their shapes and dtypes (determinism_check="none": does not).
    use_reentrant=True, PyTorch's default: the whole backward runs inside one node; no keyword
    arguments, no autograd.grad. preserve_rng_state=True: random numbers are the same again.
    context_fn gives contexts of the forward and of the recomputation. Raises CheckpointError when
    the second run saves something else, ValueError for bad arguments."""
    if use_reentrant is None:
        warnings.warn(
            "torch.utils.checkpoint: the use_reentrant parameter should be passed explicitly. "
            "Starting in PyTorch 2.9, calling checkpoint without use_reentrant will raise an "
            "exception. use_reentrant=False is recommended, but if you need to preserve the "
            "current default behavior, you can pass use_reentrant=True. Refer to docs for more "
            "details on the differences between the two variants.",
            stacklevel=2,
        )
        use_reentrant = True
    preserve = kwargs.pop("preserve_rng_state", True)
    if use_reentrant:
        if kwargs:
            raise ValueError("Unexpected keyword arguments: " + ",".join(kwargs))
        if context_fn is not noop_context_fn or debug:
            raise ValueError(
                "Passing `context_fn` or `debug` is only supported when use_reentrant=False."
            )
    elif determinism_check not in ("default", "none"):
        raise ValueError(
            f"determinism_check should be one of ['default', 'none'], but got {determinism_check}"
        )
    tracer = STATE.tracer
    if tracer is not None and not tracer.transforms:
        with context_fn()[0]:
            return function(*args, **kwargs)
    if use_reentrant:
        return CheckpointFunction.apply(function, preserve, *args)
    forward_context, again_context = context_fn()
    if not STATE.grad:
        with forward_context:
            return function(*args, **kwargs)
    frame = _Frame(
        function,
        args,
        kwargs,
        again_context,
        rng.default_generator.state_words() if preserve else None,
        _early_stop[-1] if _early_stop else early_stop,
        determinism_check == "default",
        _debug[-1] if _debug else debug,
    )
    with saved_tensors_hooks(frame.pack, frame.unpack), forward_context:
        return function(*args, **kwargs)


class _Holder:
    """Stands for one saved tensor."""

    __slots__ = ("__weakref__", "number")

    def __init__(self, number: int):
        self.number = number


class _Enough(Exception):  # noqa: N818  (no error: the recomputation has all it needs)
    pass


class _Frame:
    """One checkpointed call: how to run it again, and what it saved."""

    def __init__(
        self,
        function: Callable,
        args: tuple,
        kwargs: dict,
        context: Any,
        state: tuple | None,
        early_stop: bool,
        check: bool,
        debug: bool,
    ):
        self.function, self.args, self.kwargs, self.context = function, args, kwargs, context
        self.state, self.early_stop, self.check, self.debug = state, early_stop, check, debug
        self.holders: list = []  # weak references, in the order of saving
        self.saved: list[tuple] = []  # (shape, dtype, place) of each
        self.again: list[tuple] = []
        self.runs: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()
        self.alone = _Run()
        self.tensors = [t for t in pytree.flatten((args, kwargs))[0] if isinstance(t, Tensor)]
        self.versions = [t._storage.version for t in self.tensors]

    def _facts(self, t: Tensor) -> tuple:
        origin = user_origin(2) if self.debug else None
        return tuple(t.shape), t.dtype, origin

    def pack(self, t: Tensor) -> _Holder:
        holder = _Holder(len(self.holders))
        self.holders.append(weakref.ref(holder))
        self.saved.append(self._facts(t))
        return holder

    def unpack(self, holder: _Holder) -> Any:
        run = STATE.run or self.alone
        found = self.runs.get(run)
        if found is None or holder not in found:
            found = self.runs[run] = weakref.WeakKeyDictionary()
            self._run_again(found)
        return found[holder]

    def _run_again(self, found: Any) -> None:
        now = [t._storage.version for t in self.tensors]
        for t, a, b in zip(self.tensors, self.versions, now, strict=True):
            if a != b:
                raise RuntimeError(tape.modified(t, a))
        count = itertools.count()
        self.again = []

        def pack(t: Tensor) -> Tensor:
            i = next(count)
            self.again.append(self._facts(t))
            if i < len(self.holders):
                holder = self.holders[i]()
                if holder is not None:
                    found[holder] = t.detach()  # type: ignore[attr-defined]
                if self.early_stop and i == len(self.holders) - 1:
                    raise _Enough
            return t.detach()  # type: ignore[attr-defined]

        with (
            contextlib.suppress(_Enough),
            enable_grad(),
            _random_state(self.state),
            saved_tensors_hooks(pack, lambda t: t),
            self.context,
        ):
            self.function(*self.args, **self.kwargs)
        self._compare()

    def _compare(self) -> None:
        if len(self.again) != len(self.saved):
            raise CheckpointError(
                "torch.utils.checkpoint: A different number of tensors was saved during the "
                "original forward and recomputation.\nNumber of tensors saved during forward: "
                f"{len(self.saved)}\nNumber of tensors saved during recomputation: "
                f"{len(self.again)}.{_TIP}"
            )
        if not self.check:
            return
        text = ""
        for i, (a, b) in enumerate(zip(self.saved, self.again, strict=True)):
            if a[:2] != b[:2]:
                text += (
                    f"tensor at position {i}:\nsaved metadata: {_shown(a)}\n"
                    f"recomputed metadata: {_shown(b)}\n"
                )
        if text:
            raise CheckpointError(
                "torch.utils.checkpoint: Recomputed values for the following tensors have "
                f"different metadata than during the forward pass.\n{text}.{_TIP}"
            )


class _Run:
    """Stands for "no backward is running"."""


def _shown(facts: tuple) -> str:
    place = f" saved at {facts[2].describe()}" if facts[2] is not None else ""
    return (
        f"{{'shape': {Size(facts[0])}, 'dtype': {facts[1]}, 'device': device(type='cpu')}}{place}"
    )


class CheckpointFunction(Function):
    """The re-entrant variant: one node, whose backward runs the function and a backward of it."""

    @staticmethod
    def forward(ctx: Any, run_function: Callable, preserve_rng_state: bool, *args: Any) -> Any:
        check_backward_validity(args)
        ctx.run_function = run_function
        ctx.state = rng.default_generator.state_words() if preserve_rng_state else None
        ctx.inputs = [None if isinstance(a, Tensor) else a for a in args]
        ctx.places = [i for i, a in enumerate(args) if isinstance(a, Tensor)]
        ctx.save_for_backward(*[args[i] for i in ctx.places])
        with no_grad():
            return run_function(*args)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        if STATE.run is None or STATE.run.partial:
            raise RuntimeError(
                "When use_reentrant=True, torch.utils.checkpoint is incompatible with .grad() or "
                "passing an `inputs` parameter to .backward(). To resolve this error, you can "
                "either set use_reentrant=False, or call .backward() without passing the `inputs` "
                "argument."
            )
        inputs = list(ctx.inputs)
        for i, t in zip(ctx.places, ctx.saved_tensors, strict=True):
            inputs[i] = t
        detached = detach_variable(tuple(inputs))
        with _random_state(ctx.state), enable_grad():
            outs = ctx.run_function(*detached)
        outs = (outs,) if isinstance(outs, Tensor) else outs
        pairs = [
            (o, g)
            for o, g in zip(outs, grads, strict=True)
            if isinstance(o, Tensor) and o.requires_grad
        ]
        if not pairs:
            raise RuntimeError(
                "none of output has requires_grad=True, this checkpoint() is not necessary"
            )
        backward([o for o, _ in pairs], [g for _, g in pairs])
        return (None, None, *[t.grad if isinstance(t, Tensor) else None for t in detached])


def checkpoint_sequential(
    functions: Any, segments: int, input: Any, use_reentrant: bool | None = None, **kwargs: Any
) -> Any:
    """A chain of functions (or a Sequential) in `segments` parts; all but the last are
    checkpointed."""
    if use_reentrant is None:
        warnings.warn(
            "torch.utils.checkpoint.checkpoint_sequential: the use_reentrant parameter should be "
            "passed explicitly. In version 2.9 we will raise an exception if use_reentrant is not "
            "passed. use_reentrant=False is recommended, but if you need to preserve the current "
            "default behavior, you can pass use_reentrant=True. Refer to docs for more details on "
            "the differences between the two variants.",
            stacklevel=2,
        )
        use_reentrant = True
    preserve = kwargs.pop("preserve_rng_state", True)
    if kwargs:
        raise ValueError("Unexpected keyword arguments: " + ",".join(kwargs))
    chain = list(functions.children()) if hasattr(functions, "children") else list(functions)

    def part(start: int, end: int) -> Callable:
        def run(x: Any) -> Any:
            for f in chain[start:end]:
                x = f(x)
            return x

        return run

    size, end = len(chain) // segments, 0
    for start in range(0, size * (segments - 1), size):
        end = start + size
        input = checkpoint(
            part(start, end), input, use_reentrant=use_reentrant, preserve_rng_state=preserve
        )
    return part(end, len(chain))(input)
