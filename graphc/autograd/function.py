"""autograd.Function: a user's own forward and backward as one tape entry.
https://pytorch.org/docs/stable/autograd.html#torch.autograd.Function"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from typing import Any

from ..core import tape
from ..core.modes import STATE, no_grad
from ..core.tensor import Tensor, alias
from ..ir.op import Op


class FunctionCtx:
    """What forward and backward share: saved tensors, flags, the user's own attributes."""

    def __init__(self) -> None:
        self._saved: tuple = ()
        self._versions: tuple = ()
        self._dirty: tuple = ()
        self._non_differentiable: tuple = ()
        self._materialize = True
        self.needs_input_grad: tuple = ()

    def save_for_backward(self, *tensors: Any) -> None:
        """Keeps tensors for backward, checked against later in-place writes."""
        self._saved = tensors

    save_for_forward = save_for_backward

    def mark_dirty(self, *args: Tensor) -> None:
        """Says which inputs forward changed in place."""
        self._dirty = args

    def mark_non_differentiable(self, *args: Tensor) -> None:
        """Says which outputs have no gradient."""
        self._non_differentiable = args

    def set_materialize_grads(self, value: bool) -> None:
        """False: backward sees None instead of zeros for outputs that got no gradient."""
        self._materialize = value

    @property
    def saved_tensors(self) -> tuple:
        if self._saved is _FREED:
            raise RuntimeError(_FREED_TEXT)
        for t, version in zip(self._saved, self._versions, strict=False):
            if isinstance(t, Tensor) and t._storage.version != version:
                raise RuntimeError(tape.modified(t, version))
        return self._saved


_FREED: Any = ("freed",)
_FREED_TEXT = (
    "Trying to backward through the graph a second time (or directly access saved tensors after "
    "they have "
    "already been freed). Saved intermediate values of the graph are freed when you call "
    ".backward() or "
    "autograd.grad(). Specify retain_graph=True if you need to backward through the graph a second "
    "time or if "
    "you need to access saved tensors after calling backward."
)


class _FunctionEntry(tape.TapeEntry):
    """A tape entry whose VJP is the user's backward."""

    __slots__ = ("ctx", "function")
    ctx: Any
    function: Any

    def run(self, grads: list) -> Any:
        if self.saved is tape._FREED:
            raise RuntimeError(_FREED_TEXT)
        ctx = self.ctx
        if ctx._materialize:
            grads = [_zeros(self, i) if g is None else g for i, g in enumerate(grads)]
        found = self.function.backward(ctx, *grads)
        found = found if isinstance(found, (tuple, list)) else (found,)
        n = len(self.edges)
        if len(found) > n and all(g is None for g in found[n:]):
            found = found[:n]
        if len(found) != n:
            raise RuntimeError(
                f"function {self.name()} returned an incorrect number of gradients (expected {n}, "
                f"got {len(found)})"
            )
        return found

    def held(self) -> list:
        return [*self.ctx._saved, *vars(self.ctx).values()]

    def adopt(self, old: Any, real: Any, inputs: Any) -> None:
        def now(x: Any) -> Any:
            return real(x) if isinstance(x, Tensor) else x

        was, ctx = old.ctx, FunctionCtx()
        vars(ctx).update({k: now(v) for k, v in vars(was).items()})
        ctx._saved, ctx._dirty = tuple([now(t) for t in was._saved]), ()
        ctx._versions = tuple(
            [
                t._storage.version if id(before) in inputs else version
                for t, before, version in zip(ctx._saved, was._saved, was._versions, strict=False)
            ]
        )
        self.ctx, self.function = ctx, old.function

    def release(self) -> None:
        if self.ctx._saved:
            self.saved = tape._FREED
            self.ctx._saved = _FREED


def _zeros(entry: Any, i: int) -> Tensor:
    from ..creation import zeros

    shape, dtype = entry.out_types[i]
    return zeros(tuple(shape), dtype=dtype)


class Function:
    """Base of custom operations: define static forward(ctx, ...) and backward(ctx, *grads), or
    forward without ctx and setup_context(ctx, inputs, output). Call with apply()."""

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(
            "You must implement the forward function for custom autograd.Function."
        )

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        raise NotImplementedError(
            "You must implement either the backward or vjp method for your custom "
            "autograd.Function to use it with backward mode AD."
        )

    setup_context: Any = None

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Runs forward without recording it and puts one entry on the tape."""
        ctx = FunctionCtx()
        ctx.needs_input_grad = tuple(
            isinstance(a, Tensor) and a.requires_grad for a in (*args, *kwargs.values())
        )
        needs = STATE.grad and any(ctx.needs_input_grad)
        with no_grad():
            if cls.setup_context is not None:
                out = cls.forward(*args, **kwargs)
                cls.setup_context(ctx, args, out)
            else:
                out = cls.forward(ctx, *args, **kwargs)
        outs = out if isinstance(out, tuple) else (out,)
        # forward may return an input: it gets a history of its own unless marked dirty
        outs = tuple(
            alias(o)
            if isinstance(o, Tensor)
            and not any(o is d for d in ctx._dirty)
            and any(o is a for a in args)
            else o
            for o in outs
        )
        for t in ctx._dirty:
            if needs and t._needs and t.grad_fn is None:
                raise RuntimeError(
                    "a leaf Variable that requires grad has been used in an in-place operation."
                )
            t._storage.version += 1
        ctx._versions = tuple(
            t._storage.version if isinstance(t, Tensor) else 0 for t in ctx._saved
        )
        if needs:
            _record(cls, ctx, args, outs)
        return outs if isinstance(out, tuple) else outs[0]


def _record(cls: Any, ctx: FunctionCtx, args: tuple, outs: tuple) -> None:
    op = Op(
        cls.__name__,
        "opaque",
        inputs=tuple(f"x{i}" for i in range(len(args))),
        infer=lambda *a: None,
        eager=cls.forward,
        samples=tuple,
    )
    entry_type = _ENTRIES.get(cls)
    if entry_type is None:
        entry_type = _ENTRIES[cls] = type(
            cls.__name__ + "Backward", (_FunctionEntry,), {"__slots__": ()}
        )
    entry = entry_type()
    entry.op, entry.ctx, entry.function, entry.attrs, entry.types = op, ctx, cls, (), None
    entry.edges = tuple(tape.edge_of(a) for a in args)
    entry.metas = tuple(
        None if e is None else (a.shape, a.dtype) for e, a in zip(entry.edges, args, strict=True)
    )
    entry.out_types = tuple(
        (o.shape, o.dtype) if isinstance(o, Tensor) else ((), None) for o in outs
    )
    entry.seq = next(tape._COUNTER)
    entry.pre_hooks = entry.post_hooks = entry.metadata = None
    entry.origin, entry.saved = None, None
    for i, o in enumerate(outs):
        if (
            isinstance(o, Tensor)
            and o.dtype.is_floating_point
            and not any(o is x for x in ctx._non_differentiable)
        ):
            o._fn, o._output_nr, o._needs = entry, i, True


_ENTRIES: weakref.WeakKeyDictionary[type, type] = weakref.WeakKeyDictionary()


def once_differentiable(fn: Callable) -> Callable:
    """Marks a backward whose result must not be differentiated again."""

    @functools.wraps(fn)
    def wrapped(ctx: Any, *grads: Any) -> Any:
        with no_grad():
            return fn(ctx, *grads)

    return wrapped
