"""autograd.Function: a user's own forward and backward as one tape entry.
https://pytorch.org/docs/stable/autograd.html#torch.autograd.Function"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

from ..base.errors import user_origin
from ..core import tape
from ..core.layer import Layer, to_last
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
        self._packed: Any = None
        self.needs_input_grad: tuple = ()

    def save_for_backward(self, *tensors: Any) -> None:
        """Keeps tensors for backward, checked against later in-place writes."""
        for i, t in enumerate(tensors):
            if t is not None and not isinstance(t, Tensor):
                raise TypeError(
                    f"save_for_backward can only save variables, but argument {i} is of type "
                    f"{type(t).__name__}"
                )
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

    def _pack(self, args: tuple) -> None:
        """Hands what was saved to the hooks that are in force."""
        if not tape.saved_hooks:
            return
        pack, unpack = tape.saved_hooks[-1]
        packed = []
        for t in self._saved:
            edge = tape.edge_of(t) if any(t is a for a in args) else None
            packed.append((t, None) if not isinstance(t, Tensor) else (pack(t), edge))
        self._packed = (tuple(packed), unpack)
        self._saved, self._versions = tuple([None] * len(packed)), ()

    @property
    def saved_tensors(self) -> tuple:
        if self._saved is _FREED:
            raise RuntimeError(_FREED_TEXT)
        if self._packed is not None:
            packed, unpack = self._packed
            found = [None if p is None else unpack(p) for p, _ in packed]
            return tuple(
                [tape.at_edge(t, e) if STATE.grad else t for t, (_, e) in zip(found, packed)]
            )
        for t, version in zip(self._saved, self._versions, strict=False):
            if isinstance(t, Tensor) and t._storage.version != version:
                raise RuntimeError(tape.modified(t, version))
        return self._saved


_FREED: Any = ("freed",)
_FREED_TEXT = tape._FREED_TEXT


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
        found = self.function._backward(ctx, grads)
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
            self.ctx._saved, self.ctx._packed = _FREED, None


def _zeros(entry: Any, i: int) -> Any:
    from ..creation import zeros

    shape, dtype = entry.out_types[i]
    if dtype is None:  # the output is no tensor
        return None
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

    @staticmethod
    def vjp(ctx: Any, *grad_outputs: Any) -> Any:
        """Another name for backward."""
        raise NotImplementedError(
            "You must implement either the backward or vjp method for your custom "
            "autograd.Function to use it with backward mode AD."
        )

    @staticmethod
    def vmap(info: Any, in_dims: tuple, *args: Any) -> Any:
        """(outputs, out_dims) on whole batches; info has batch_size and randomness."""
        raise NotImplementedError(
            "To use autograd.Function with vmap, you must either override the vmap staticmethod "
            "or set generate_vmap_rule=True."
        )

    setup_context: Any = None
    generate_vmap_rule = False

    @classmethod
    def _backward(cls, ctx: Any, grads: Any) -> Any:
        own = cls.vjp if cls.vjp is not Function.vjp else cls.backward
        return own(ctx, *grads)

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Runs forward without recording it and puts one entry on the tape."""
        layer = STATE.tracer
        if layer is not None and layer.transforms and any(layer.batches(a) for a in args):
            return _apply_mapped(cls, layer, args)
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
            ctx._pack(args)
            _record(cls, ctx, args, outs)
        return outs if isinstance(out, tuple) else outs[0]


def _record(
    cls: Any, ctx: FunctionCtx, args: tuple, outs: tuple, needs: tuple | None = None
) -> None:
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
            cls.__name__ + "Backward",
            (_FunctionEntry,),
            {"__slots__": (), "__module__": "torch.autograd.function"},
        )
    entry = entry_type()
    entry.op, entry.ctx, entry.function, entry.attrs, entry.types = op, ctx, cls, (), None
    entry.edges = tuple(
        [tape.edge_of(a) if needs is None or needs[i] else None for i, a in enumerate(args)]
    )
    entry.metas = tuple(
        None if e is None else (a.shape, a.dtype) for e, a in zip(entry.edges, args, strict=True)
    )
    entry.out_types = tuple(
        (o.shape, o.dtype) if isinstance(o, Tensor) else ((), None) for o in outs
    )
    entry.seq = next(tape._COUNTER)
    entry.pre_hooks = entry.post_hooks = entry.notes = None
    entry.origin, entry.saved = None, None
    if STATE.tracer is None and (tape.anomaly[0] or tape.origins[0]):
        entry.origin = user_origin(2)
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
            out = fn(ctx, *grads)
        if not STATE.grad or not any(isinstance(g, Tensor) and g.requires_grad for g in grads):
            return out
        outs = out if isinstance(out, tuple) else (out,)
        outs = tuple([alias(t) if isinstance(t, Tensor) else t for t in outs])
        given = tuple([g for g in grads if isinstance(g, Tensor)])
        live = tuple([t for t in outs if isinstance(t, Tensor)])
        _record(_Once, FunctionCtx(), given, live)
        return outs if isinstance(out, tuple) else outs[0]

    return wrapped


class _Once(Function):
    """What follows the results of a backward that must not be differentiated."""

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        raise RuntimeError(
            "trying to differentiate twice a function that was marked with @once_differentiable"
        )


# ---------------------------------------------------------------- under vmap


class VmapInfo(NamedTuple):
    """What a vmap staticmethod is told."""

    batch_size: Any
    randomness: str


_DOCS = "For more details, please see https://pytorch.org/docs/main/notes/extending.func.html"


def _check_mappable(cls: Any) -> bool:
    """Whether cls has a vmap of its own. RuntimeError when it can't be mapped over."""
    if cls.setup_context is None:
        raise RuntimeError(
            "In order to use an autograd.Function with functorch transforms (vmap, grad, jvp, "
            "jacrev, ...), it must override the setup_context staticmethod. " + _DOCS
        )
    own = cls.vmap is not Function.vmap
    if own and cls.generate_vmap_rule:
        raise RuntimeError(
            f"You tried to vmap over {cls.__name__}, but it has both generate_vmap_rule=True and "
            "an overridden vmap staticmethod. Please set generate_vmap_rule=False or delete the "
            "overridden vmap staticmethod to avoid ambiguity. " + _DOCS
        )
    if not own and not cls.generate_vmap_rule:
        raise RuntimeError(
            f"You tried to vmap over {cls.__name__}, but it does not have vmap support. Please "
            "override and implement the vmap staticmethod or set generate_vmap_rule=True. " + _DOCS
        )
    return own


def _apply_mapped(cls: Any, layer: Layer, args: tuple) -> Any:
    """apply() on elements of a vmap: one call on whole batches below, one entry above."""
    values = [a._trace.value if layer.owns(a) else a for a in args]
    flags = tuple([layer.batches(a) for a in args])
    if _check_mappable(cls):
        dims = tuple([v.ndim - 1 if f else None for v, f in zip(values, flags, strict=True)])
        with layer.below():
            info = VmapInfo(layer.size, layer.randomness)
            out, out_dims = cls.vmap(info, dims, *values)
        several = isinstance(out, tuple)
        outs = out if several else (out,)
        places = out_dims if isinstance(out_dims, tuple) else (out_dims,) * len(outs)
        with layer.below():
            elements = tuple(
                [
                    layer.element(t if d is None else to_last(t, d), d is not None)
                    if isinstance(t, Tensor)
                    else t
                    for t, d in zip(outs, places, strict=True)
                ]
            )
    else:
        whole = _mapped_function(cls, flags, layer.size, layer.randomness)
        with layer.below():
            out = whole.apply(*values)
            several = isinstance(out, tuple)
            elements = tuple(
                [
                    layer.element(t, f) if isinstance(t, Tensor) else t
                    for t, f in zip(out if several else (out,), whole.out_flags, strict=True)
                ]
            )
    ctx = FunctionCtx()
    ctx.needs_input_grad = tuple([layer.owns(a) and a.requires_grad for a in args])
    result = elements if several else elements[0]
    if STATE.grad and any(ctx.needs_input_grad):
        with no_grad():
            bare = tuple([alias(a) if layer.owns(a) else a for a in args])
            cls.setup_context(ctx, bare, result)
        ctx._versions = tuple(
            [t._storage.version if isinstance(t, Tensor) else 0 for t in ctx._saved]
        )
        _record(cls, ctx, args, elements, needs=ctx.needs_input_grad)
    return result


def _mapped_function(cls: Any, flags: tuple, size: Any, randomness: str) -> Any:
    """cls on whole batches, as a Function of its own: forward and backward run under a vmap."""

    def entered(layer: Layer, ts: Any, batched: Any) -> tuple:
        return tuple(
            [
                layer.element(t, f) if isinstance(t, Tensor) else t
                for t, f in zip(ts, batched, strict=True)
            ]
        )

    def left(layer: Layer, ts: Any) -> tuple:
        return tuple([t._trace.value if layer.owns(t) else t for t in ts])

    class Mapped(Function):
        generate_vmap_rule = True
        out_flags: tuple = ()

        @staticmethod
        def forward(*values: Any) -> Any:
            layer = Layer(size, randomness)
            with layer.running():
                out = cls.forward(*entered(layer, values, flags))
            outs = out if isinstance(out, tuple) else (out,)
            Mapped.out_flags = tuple([layer.batches(t) for t in outs])
            found = left(layer, outs)
            return found if isinstance(out, tuple) else found[0]

        @staticmethod
        def setup_context(ctx: Any, inputs: tuple, output: Any) -> None:
            layer = Layer(size, randomness)
            inner = ctx.inner = FunctionCtx()
            inner.needs_input_grad = ctx.needs_input_grad
            outs = output if isinstance(output, tuple) else (output,)
            mine = entered(layer, outs, Mapped.out_flags)
            with layer.running():
                given = mine if isinstance(output, tuple) else mine[0]
                cls.setup_context(inner, entered(layer, inputs, flags), given)
            ctx.batched = tuple([layer.batches(t) for t in inner._saved])
            ctx.save_for_backward(*left(layer, inner._saved))
            ctx.flags = Mapped.out_flags
            at = [i for i, t in enumerate(mine) if any(t is x for x in inner._non_differentiable)]
            ctx.mark_non_differentiable(*[outs[i] for i in at])
            ctx.set_materialize_grads(inner._materialize)

        @staticmethod
        def backward(ctx: Any, *grads: Any) -> Any:
            layer = Layer(size, randomness)
            inner = ctx.inner
            inner._saved = entered(layer, ctx.saved_tensors, ctx.batched)
            inner._versions = tuple(
                [t._storage.version if isinstance(t, Tensor) else 0 for t in inner._saved]
            )
            with layer.running():
                found = cls._backward(inner, entered(layer, grads, ctx.flags))
            found = found if isinstance(found, tuple) else (found,)
            sums = [
                g._trace.value.sum(-1)
                if layer.batches(g) and not f
                else layer.whole(g)
                if f and isinstance(g, Tensor)
                else g._trace.value * size
                if layer.owns(g)
                else g * size
                if isinstance(g, Tensor)
                else None
                for g, f in zip(found, flags, strict=True)
            ]
            return tuple(sums)

    Mapped.__name__ = Mapped.__qualname__ = cls.__name__
    return Mapped
