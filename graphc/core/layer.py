"""vmap's layer of the funnel: takes one op call on tensors that hide a batch axis, gives the same
call on whole batches.

A layer is a tracer that stands above whatever was running: a tensor that belongs to it has the type
of one element, its `_trace` holds the value of all of them, with the batch as the last axis. The
tape records calls on elements above the layer, and calls on batches below it. How an op is batched
follows from its kind, or from `batch` in its record; the rest runs element by element, with a
warning. Invariants: element i of a result has the bits of the call on element i alone; a batched
tensor never passes for an unbatched one: outside its layer it has no value.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from ..base.errors import user_origin, with_user_line
from ..ir import op as op_module
from ..ir.op import Op
from ..ir.types import TensorType
from . import dispatch, inplace, rng, tape
from .modes import STATE
from .tensor import Tensor, alias, link_view, set_grad

_INPLACE = (
    "vmap: inplace arithmetic(self, *extra_args) is not possible because there exists a Tensor "
    "`other` in extra_args that has more elements than `self`. This happened due to `other` being "
    "vmapped over but `self` not being vmapped over in a vmap. Please try to use out-of-place "
    "operators instead of inplace arithmetic. If said operator is being called inside the PyTorch "
    "framework, please file a bug report instead."
)
_CAPTURED = (
    "During a grad (vjp, jvp, grad, etc) transform, the function provided attempted to call "
    "in-place operation (aten::copy_) that would mutate a captured Tensor. This is not supported; "
    "please rewrite the function being transformed to explicitly accept the mutated Tensor(s) as "
    "inputs."
)
_CONTROL = (
    "vmap: It looks like you're attempting to use a Tensor in some data-dependent control flow. "
    "We don't support that yet, please file an issue at "
    "https://github.com/pytorch/pytorch/issues ."
)
_ITEM = (
    "vmap: It looks like you're calling .item() on a Tensor. We don't support vmap over calling "
    ".item() on a Tensor, please try to rewrite what you're doing with other operations. If error "
    "is occurring somewhere inside PyTorch internals, please file a bug report."
)
_RANDOM = (
    "vmap: called random operation while in randomness error mode. Please either use the 'same' "
    "or 'different' randomness flags on vmap or perform the randomness operation out of vmap"
)
_DYNAMIC = (
    "vmap: We do not support batching operators that can output dynamic shape. Attempted to vmap "
    "over aten::{}. Please file an issue at https://github.com/pytorch/pytorch/issues if you need "
    "this feature."
)
_WINDOW = (
    "vmap: Calling Tensor.as_strided is not supported unless the batch dims being vmapped over are "
    "at the front of the tensor (in memory layout). When they are not at the front of the tensor "
    "this operation can be error prone so we actively discourage it; please file us a bug report "
    "and/or try to express the as_strided operation in terms of PyTorch view operations"
)
_looped: set[str] = set()  # ops that have been warned about


class Element:
    """What a tensor of a layer stands for: `value`, whose last axis is the batch if `batched`."""

    __slots__ = ("layer", "value", "batched")

    def __init__(self, layer: Layer, value: Tensor, batched: bool):
        self.layer, self.value, self.batched = layer, value, batched


class Draws(tuple):
    """(seed, offset) of a draw per element: element i's begins i * blocks further."""

    blocks: int
    whole: Any

    def of(self, i: int) -> tuple:
        return (self[0], self[1] + i * self.blocks)


class Layer:
    """One running vmap over `size` elements; a tracer for `STATE.tracer`."""

    transforms = True

    def __init__(self, size: Any, randomness: str = "error"):
        self.size, self.randomness = size, randomness
        self.outer: Any = STATE.tracer
        self.open = True

    @property
    def level(self) -> int:
        return 1 + (self.outer.level if isinstance(self.outer, Layer) else 0)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Makes this layer the one that calls come to."""
        before, STATE.tracer = STATE.tracer, self
        try:
            yield
        finally:
            STATE.tracer = before

    @contextlib.contextmanager
    def below(self) -> Iterator[None]:
        """Calls go to what was running before this layer."""
        before, STATE.tracer = STATE.tracer, self.outer
        try:
            yield
        finally:
            STATE.tracer = before

    # ---- tensors

    def owns(self, t: Any) -> bool:
        """Whether t is one of this layer's."""
        return isinstance(t, Tensor) and type(t._trace) is Element and t._trace.layer is self

    def batches(self, t: Any) -> bool:
        """Whether t differs from element to element."""
        return self.owns(t) and t._trace.batched

    def element(self, value: Tensor, batched: bool = True) -> Tensor:
        """A tensor of this layer for `value`, whose last axis is the batch."""
        t = object.__new__(Tensor)
        meta = value.type_
        if batched:
            meta = TensorType(meta.shape[:-1], meta.dtype, meta.strides[:-1], meta.device)
        t._array, t.dtype, t._storage = None, value.dtype, value._storage
        t._needs, t._fn = False, None
        t._meta, t._trace, t._offset = meta, Element(self, value, batched), value._start()
        return t

    def whole(self, t: Tensor) -> Tensor:
        """The value of t for all elements, batch last (stride 0 where they do not differ); to be
        called below."""
        value = t._trace.value if self.owns(t) else t
        if self.batches(t):
            return value
        return value.unsqueeze(-1).expand((*value.type_.shape, self.size))  # type: ignore[attr-defined]

    def made(self, t: Tensor) -> Tensor:
        """A tensor that was made under this layer, the same for every element."""
        out = self.element(t, False)
        out._needs = t._needs and t._fn is None
        return out

    # ---- what the funnel asks

    def run(self, op: Op, inputs: tuple, attrs: tuple) -> Any:
        """One op call under this layer."""
        if op.kind == "random" and self.randomness == "different" and _draws_of(attrs) is not None:
            return self._random(op, attrs)
        if not any(self.owns(t) for t in inputs):
            with self.below():
                out = dispatch.apply(op, inputs, attrs)
            return out if inputs else self.made(out)
        try:
            needs = STATE.grad and any(self.owns(t) and t.requires_grad for t in inputs)
            through = op.eager is None or "batch" not in op.extra or needs and op.vjp is None
            if op.body is not None and through:
                half = dispatch._half_of(inputs) if op.extra.get("half") == "wide" else None
                if half is not None:
                    return dispatch._widen(op, inputs, attrs, half)
                whole = needs and op.vjp is not None  # one entry, as without vmap
                xs = tuple([self._bare(t) for t in inputs]) if whole else inputs
                out = op.body(*(xs if not op.variadic else (xs,)), *attrs)
                if not whole:
                    return out
                out = tuple(map(self._own, out)) if type(out) is tuple else self._own(out)
            else:
                out = self._apply(op, inputs, attrs)
        except (RuntimeError, IndexError, TypeError, ValueError, NotImplementedError) as e:
            raise with_user_line(e) from None
        if needs and op.vjp is not None:
            edges = tuple([tape.edge_of(t) if self.owns(t) else None for t in inputs])
            tape.record(op, inputs, attrs, out, edges=edges)
        elif not STATE.grad:
            dispatch._made_without_grad(op, out)
        return out

    def _bare(self, t: Any) -> Any:
        """t without history above this layer."""
        return alias(t) if self.owns(t) else t

    def _own(self, t: Any) -> Any:
        """A tensor of this layer that nobody else holds."""
        if t is None:
            return None
        return alias(t) if self.owns(t) else self.element(t, False)

    def _apply(self, op: Op, inputs: tuple, attrs: tuple) -> Any:
        values = [t._trace.value if self.owns(t) else t for t in inputs]
        flags = [self.batches(t) for t in inputs]
        with self.below():
            if any(flags):
                out = batch(op, inputs, values, flags, attrs, self.size)
            else:
                out = dispatch.apply(op, tuple(values), attrs)
            if type(out) is tuple:
                outs = tuple([None if t is None else self.element(t, any(flags)) for t in out])
            else:
                outs = (self.element(out, any(flags)),)
        if op.view:
            for t in outs:
                if t is not None and t._storage is inputs[0]._storage:
                    link_view(t, inputs[0])
        return outs if type(out) is tuple else outs[0]

    def _random(self, op: Op, attrs: tuple) -> Tensor:
        """Fresh numbers for every element: one draw over all of them."""
        at = next(i for i, a in enumerate(attrs) if type(a) is Draws)
        shape = (self.size, *attrs[0])
        with self.below():
            out: Any = dispatch.apply(
                op, (), (shape, *attrs[1:at], attrs[at].whole, *attrs[at + 1 :])
            )
            return self.element(to_last(out, 0))

    def draw(self, generator: Any, words: Any) -> Any:
        """Random words for one element, as `randomness` says."""
        if self.randomness == "error":
            raise RuntimeError(_RANDOM)
        with self.below():
            if self.randomness == "same":
                return rng.draw(words, generator)
            blocks = -(-words // 4)  # a draw begins with a block of four words
            whole = rng.draw(blocks * 4 * self.size, generator)
        draws = Draws(whole if isinstance(whole, tuple) else (whole, 0))
        draws.whole, draws.blocks = whole, blocks
        return draws

    def each_draw(self, make: Callable[[], Tensor]) -> Tensor:
        """make()'s random result, as `randomness` says: once, or once per element."""
        if self.randomness == "error":
            raise RuntimeError(_RANDOM)
        with self.below():
            if self.randomness == "same":
                return self.made(make())
            return self.element(stack_last([make() for _ in range(int(self.size))]))

    def beside(self, like: Tensor, t: Tensor) -> Tensor:
        """A new tensor t as one that can be written for every element, if `like` is mapped over."""
        lower = self.outer if isinstance(self.outer, Layer) else None
        if lower is not None:
            plain = t._trace.value if self.owns(t) else t
            with self.below():
                other = lower.beside(like._trace.value if self.owns(like) else like, plain)
            if other is not plain:
                t = self.element(other, False)
        if not self.batches(like) or self.batches(t):
            return t
        with self.below():
            plain = t._trace.value if self.owns(t) else t
            n, strides = plain.type_.shape, plain.type_.strides
            reach = 1 + sum([(m - 1) * s for m, s in zip(n, strides, strict=True)])
            clone = op_module.get("clone")
            whole = dispatch.apply(clone, (self.whole(plain),), ((*strides, reach),))
        out = self.element(whole)
        out._needs = t._needs and t._fn is None
        return out

    def store_outside(self, target: Tensor, value: Tensor) -> None:
        """An in-place write into a tensor that is not of this layer."""
        if self.batches(value):
            raise RuntimeError(_INPLACE)
        if self.owns(value) and value.requires_grad:
            raise RuntimeError(_CAPTURED)
        with self.below():
            inplace.store(target, value._trace.value if self.owns(value) else value)

    def write(self, target: Tensor, value: Tensor) -> None:
        """target's memory = value, for every element."""
        if not self.owns(target):
            self.store_outside(target, value)
            return
        if self.batches(value) and not self.batches(target):
            raise RuntimeError(_INPLACE)
        to = target._trace.value
        with self.below():
            v = self.whole(value) if self.batches(target) else value
            if self.owns(v):
                v = v._trace.value
            inplace.check_inplace(to)
            if STATE.grad and v is to:
                v = alias(v)
            cast = op_module.get("copy")
            inplace.store(to, v if v.dtype is to.dtype else dispatch.apply(cast, (to, v), ()))

    def snapshot(self, t: Tensor) -> Tensor:
        """A copy of t's present value, without history above this layer."""
        clone = op_module.get("clone")
        with self.below():
            if not self.owns(t):
                return alias(dispatch.apply(clone, (t,), (None,)))
            meta = t._trace.value.type_
            strides = meta.strides if _places(meta) else None
            copy = dispatch.apply(clone, (t._trace.value,), (strides,))
            return self.element(copy, t._trace.batched)

    def detach(self, t: Tensor) -> Tensor:
        """t without history, above this layer and below."""
        if not self.owns(t):
            with self.below():
                return t.detach()  # type: ignore[attr-defined]
        out = alias(t)
        with self.below():
            value = t._trace.value.detach()
        out._trace = Element(self, value, t._trace.batched)
        return out

    def concrete(self, t: Tensor, what: str) -> Any:
        """t's memory; RuntimeError with PyTorch's text when it differs from element to element."""
        if self.batches(t):
            if what.startswith("bool("):
                raise RuntimeError(_CONTROL)
            if what == ".item()":
                raise RuntimeError(_ITEM)
            raise RuntimeError(
                "Cannot access data pointer of Tensor that doesn't have storage"
                f" ({what} under vmap)"
            )
        with self.below():
            return (t._trace.value if self.owns(t) else t).concrete(what)

    def shown(self, t: Tensor) -> str:
        """repr of t."""
        with self.below():
            if not self.owns(t):
                return repr(t)
            value = t._trace.value
            if not t._trace.batched:
                return repr(value)
            text = repr(value.movedim(-1, 0)).replace("\n", "\n    ")
        return f"BatchedTensor(lvl={self.level}, bdim=0, value=\n    {text}\n)"

    # ---- what only a capture below has to hear of

    def _ask(self, name: str, default: Any, *args: Any) -> Any:
        if self.outer is None:
            return default() if callable(default) else default
        with self.below():
            return getattr(self.outer, name)(*args)

    def constant(self, t: Tensor) -> Tensor:
        return self.made(self._ask("constant", t, t))

    def full(self, shape: tuple, value: Any, dtype: Any) -> Tensor:
        with self.below():
            if self.outer is not None:
                return self.made(self.outer.full(shape, value, dtype))
            full = op_module.get("full")
            return self.made(dispatch.apply(full, (), (tuple(shape), dtype, value)))

    def get_grad(self, t: Tensor) -> Any:
        return t._grad if self.owns(t) else self._ask("get_grad", t._grad, t)

    def set_grad(self, t: Tensor, value: Any) -> None:
        if self.owns(t):
            t._grad = value
        elif self.batches(value):
            raise RuntimeError(
                "vmap: .grad of a tensor that is not mapped over would differ from element to "
                "element; use graphc.func.grad inside vmap"
            )
        else:
            with self.below():
                set_grad(t, value)

    def set_requires_grad(self, t: Tensor, value: bool) -> None:
        if not self.owns(t):
            self._ask("set_requires_grad", None, t, value)

    def read_offset(self, t: Tensor) -> None:
        if not self.owns(t):
            self._ask("read_offset", None, t)

    def same_place(self, a: Tensor, b: Tensor) -> bool:
        return False

    def storage_bytes(self, t: Tensor) -> int:
        """The size of t's memory, for users' own windows of it."""
        if self.batches(t):
            shape, _, strides, _ = t._trace.value.type_
            if any(s > strides[-1] for n, s in zip(shape, strides, strict=True) if n != 1):
                raise RuntimeError(_WINDOW)
        value = t._trace.value if self.owns(t) else t
        if value._array is not None:
            return value._storage.root().nbytes
        with self.below():
            return STATE.tracer.storage_bytes(value)

    def origin(self) -> Any:
        wanted = tape.anomaly[0] or tape.origins[0]
        return self._ask("origin", lambda: user_origin(3) if wanted else None)

    def entering(self, entry: Any) -> None:
        self._ask("entering", None, entry)

    def scalar(self, mapping: Any, key: Any, value: Any) -> Any:
        return self._ask("scalar", value, mapping, key, value)

    def refuse(self, what: str, fix: str, kind: str) -> None:
        """Seeding is left to what runs below; other things have no meaning for one element."""
        if kind == "random":
            self._ask("refuse", None, what, fix, kind)
            return
        raise RuntimeError(f"vmap: {what.replace('while compiling', 'under vmap')}: {fix}")


def _draws_of(attrs: tuple) -> Any:
    return next((a for a in attrs if type(a) is Draws), None)


def _places(meta: TensorType) -> bool:
    """Whether every element has a place of its own in memory."""
    return all(s != 0 or isinstance(n, int) and n <= 1 for n, s in zip(*meta[0:3:2], strict=True))


# ---------------------------------------------------------------- batching by kind


def to_last(t: Any, dim: int) -> Tensor:
    """t with axis `dim` moved to the end (a view)."""
    n = t.ndim
    if dim in (n - 1, -1):
        return t
    d = dim % n
    return dispatch.apply(op_module.get("permute"), (t,), ((*range(d), *range(d + 1, n), d),))


def to_first(t: Any) -> Tensor:
    """t with its last axis moved to the front (a view)."""
    n = t.ndim
    if n == 1:
        return t
    return dispatch.apply(op_module.get("permute"), (t,), ((n - 1, *range(n - 1)),))


def stack_last(values: list) -> Tensor:
    """The values of all elements as one batch: its axis is last, and outermost in memory."""
    cat = op_module.get("cat")
    rows = [v.unsqueeze(0) for v in values]
    return to_last(dispatch.apply(cat, tuple(rows), (0,)), 0)


def spread(t: Any, size: Any) -> Tensor:
    """An unbatched value as a batch of equal ones."""
    return t.unsqueeze(-1).expand((*t.type_.shape, size))


def batch(op: Op, inputs: tuple, values: list, flags: list, attrs: tuple, size: Any) -> Any:
    """op on batches. inputs: what one element's call got; values: the same tensors with the batch
    last where flags says so. Results have the batch last."""
    rule = op.extra.get("batch")
    if op.extra.get("data_shape"):
        raise RuntimeError(_DYNAMIC.format(op.name))
    if _draws_of(attrs) is not None:
        return _one_by_one(op, values, flags, attrs, size)
    if callable(rule):
        found = rule(values, flags, size, *attrs)
        if found is not None:
            return found
        return _one_by_one(op, values, flags, attrs, size)
    if op.kind == "pointwise":
        return _pointwise(op, inputs, values, flags, attrs, size)
    if op.extra.get("windowed"):
        return _windowed(op, values, flags, attrs, size)
    if "dims" in op.attrs and (op.kind == "reduce" or rule == "dims"):
        return _reduce(op, values[0], attrs)
    if rule == "first":
        return _first(op, inputs, values, flags, attrs, size)
    if rule == "rows":
        return _rows(op, values, flags, attrs, size)
    if rule == "last" or op.kind == "scan" or "lift" in op.extra:
        return _last(op, inputs, values, flags, attrs, size)
    return _one_by_one(op, values, flags, attrs, size)


def _pointwise(op: Op, inputs: tuple, values: list, flags: list, attrs: tuple, size: Any) -> Any:
    """Batch last lines the other axes up for broadcasting; promotion is that of the elements."""
    plan = dispatch.plan_of(op, dispatch.operand_keys(inputs))
    operands: list = []
    for v, batched in zip(values, flags, strict=True):
        if isinstance(v, Tensor) and not batched and (v.ndim or not operands):
            v = v.unsqueeze(-1) if operands else spread(v, size)  # ops may take input 0's shape
        operands.append(v)
    other = dispatch.plan_of(op, dispatch.operand_keys(tuple(operands)))
    if other.inputs != plan.inputs or other.out is not plan.out:  # 0-d elements give way
        operands = [
            v.to(d) if isinstance(v, Tensor) else v
            for v, d in zip(operands, plan.inputs, strict=True)
        ]
        if dispatch.plan_of(op, dispatch.operand_keys(tuple(operands))).out is not plan.out:
            raise RuntimeError(f"vmap: {op.name} of these dtypes cannot be mapped over")
    return dispatch.apply(op, tuple(operands), attrs)


def _reduce(op: Op, value: Tensor, attrs: tuple) -> Any:
    """The batch goes to the front, where rows stay together in memory."""
    at = op.attrs.index("dims")
    dims = tuple([d + 1 for d in attrs[at]])
    out = dispatch.apply(op, (to_first(value),), (*attrs[:at], dims, *attrs[at + 1 :]))
    return tuple([to_last(t, 0) for t in out]) if type(out) is tuple else to_last(out, 0)


def _last(op: Op, inputs: tuple, values: list, flags: list, attrs: tuple, size: Any) -> Any:
    """An op along axes that its attributes name: one more axis at the end passes through."""
    values = [
        v if f or not isinstance(v, Tensor) else spread(v, size)
        for v, f in zip(values, flags, strict=True)
    ]
    lift = op.extra.get("lift")
    point = lift is None and all(t.ndim == 0 for t in inputs if isinstance(t, Tensor))
    point = point and op.kind != "movement"
    if point:  # the batch must not pass for the axis that a 0-d tensor lends
        values = [v.unsqueeze(0) if isinstance(v, Tensor) else v for v in values]  # type: ignore
    if lift is not None:
        attrs = lift(size, inputs[0].type_, *attrs)
    out = dispatch.apply(op, tuple(values), attrs)
    if point:
        return (
            tuple([t.squeeze(0) for t in out]) if type(out) is tuple else out.squeeze(0)  # type: ignore
        )
    return out


def _whole(values: list, flags: list, size: Any) -> list:
    """The values as batches with the batch first."""
    return [
        to_first(v if f else spread(v, size)) if isinstance(v, Tensor) else v
        for v, f in zip(values, flags, strict=True)
    ]


def _all_last(out: Any) -> Any:
    if type(out) is tuple:
        return tuple([None if t is None else to_last(t, 0) for t in out])
    return to_last(out, 0)


def _first(op: Op, inputs: tuple, values: list, flags: list, attrs: tuple, size: Any) -> Any:
    """An op on the last axes, for which all others are a batch: one more of them."""
    rank = max([t.ndim for t in inputs if isinstance(t, Tensor)])
    whole = []
    for v, t in zip(_whole(values, flags, size), inputs, strict=True):
        if isinstance(t, Tensor) and t.ndim < rank:  # batches broadcast: they have to line up
            n, *rest = v.type_.shape
            v = v.reshape((n, *(1,) * (rank - t.ndim), *rest))
        whole.append(v)
    return _all_last(dispatch.apply(op, tuple(whole), attrs))


def _rows(op: Op, values: list, flags: list, attrs: tuple, size: Any) -> Any:
    """An op whose first axis is a batch: the two become one. An attribute `shape` has it, too."""
    whole = [
        v.reshape((size * v.type_.shape[1], *v.type_.shape[2:])) if isinstance(v, Tensor) else v
        for v in _whole(values, flags, size)
    ]
    if "shape" in op.attrs and attrs[op.attrs.index("shape")] is not None:
        at = op.attrs.index("shape")
        n, *rest = attrs[at]
        attrs = (*attrs[:at], (size * n, *rest), *attrs[at + 1 :])
    out = dispatch.apply(op, tuple(whole), attrs)

    def apart(t: Any) -> Tensor:
        n, *rest = t.type_.shape
        return to_last(t.reshape((size, n // size, *rest)), 0)

    return tuple([apart(t) for t in out]) if type(out) is tuple else apart(out)


def _windowed(op: Op, values: list, flags: list, attrs: tuple, size: Any) -> Any:
    """Windows of memory: every element has the same one, `step` apart."""
    shape, strides, offset = attrs
    value = values[0]
    if len(values) > 1 or not flags[0]:
        own = value.type_
        inner = own.strides[:-1] if flags[0] else own.strides
        sizes = own.shape[:-1] if flags[0] else own.shape
        reach = 1 + max(
            sum([(n - 1) * s for n, s in zip(sizes, inner, strict=True)]),
            offset + sum([(n - 1) * s for n, s in zip(shape, strides, strict=True)]),
        )
        value = value if flags[0] else spread(value, size)
        clone = op_module.get("clone")
        value = dispatch.apply(clone, (value,), ((*inner, reach),))
    step = value.type_.strides[-1]
    rest = [v if f else spread(v, size) for v, f in zip(values[1:], flags[1:], strict=True)]
    attrs = ((*shape, size), (*strides, step), offset)
    return dispatch.apply(op, (value, *rest), attrs)


def _one_by_one(op: Op, values: list, flags: list, attrs: tuple, size: Any) -> Any:
    """op on every element in turn, the results stacked. Warns once per op."""
    n = int(size)
    if op.name not in _looped:
        _looped.add(op.name)
        warnings.warn(
            "There is a performance drop because we have not yet implemented the batching rule "
            f"for graphc::{op.name}: vmap runs it once per element.",
            UserWarning,
            stacklevel=2,
        )
    if n == 0:
        raise RuntimeError(f"vmap: {op.name} cannot be mapped over an axis of size 0")
    outs = []
    for i in range(n):
        each = [v.select(-1, i) if f else v for v, f in zip(values, flags, strict=True)]
        own = tuple([a.of(i) if type(a) is Draws else a for a in attrs])
        outs.append(dispatch.apply(op, tuple(each), own))
    if type(outs[0]) is tuple:
        return tuple(
            [None if c[0] is None else stack_last(list(c)) for c in zip(*outs, strict=True)]
        )
    return stack_last(outs)
