"""Samples with symbolic sizes: takes a sample, gives types and attributes in which every size above
1 is a symbol, the graph of its forward and backward over them, and that graph at given sizes.

Invariant: an `Index` whose value is not known is never turned into an int; `strict` makes that an
error."""

from __future__ import annotations

import contextlib
from itertools import combinations_with_replacement

import numpy as np

import graphc
from graphc.base import dtypes
from graphc.compiler.capture.lift import Source
from graphc.compiler.capture.tracer import Tracer
from graphc.compiler.interpret import run
from graphc.compiler.interpret.sizes import at, bind
from graphc.core.modes import STATE
from graphc.core.tensor import Tensor, wrap
from graphc.ir import index as ix
from graphc.ir.graph import Graph
from graphc.ir.index import Index
from graphc.ir.loop import Apply, Const, Expr, IndexValue, Select
from graphc.ir.op import Make, Op, Sample
from graphc.ir.types import TensorType, contiguous_strides

from .harness import array, assert_same_bits, attr_values, describe, is_tensor, make_inputs

SIZE_ATTRS = ("shape", "strides", "stop")  # attributes that speak of sizes


class Sizes:
    """The symbols of one graph, by example value. `own`: the sizes of the sample at hand."""

    def __init__(self) -> None:
        self.symbols: dict[int, Index] = {}
        self.own: set[int] = set()

    @property
    def hints(self) -> dict[str, int]:
        """The example values by name."""
        return {f"s{n}": n for n in self.symbols}

    def of(self, n: int) -> Index | int:
        """The size n: a symbol, made at its first use; 0 and 1 stay."""
        if n < 2:
            return n
        self.own.add(n)
        if n not in self.symbols:
            self.symbols[n] = ix.size(f"s{n}", n)
        return self.symbols[n]

    def attribute(self, n: int, only_known: bool) -> Index | int:
        """n as a size that the inputs have, a product of two such sizes, or (if allowed) a new
        symbol."""
        if n in self.own:
            return self.symbols[n]
        for a, b in combinations_with_replacement(sorted(self.own), 2):
            if a * b == n:
                return self.symbols[a] * self.symbols[b]
        return n if only_known else self.of(n)


def symbolic(op: Op, s: Sample, sizes: Sizes) -> tuple[list, tuple]:
    """(types or numbers per input, attributes) with symbols for sizes."""
    sizes.own = set()
    inputs: list = []
    for m in s.inputs:
        if not isinstance(m, Make):
            inputs.append(m)
            continue
        shape = tuple(sizes.of(n) for n in m.shape)
        inputs.append(TensorType(shape, dtypes.dtype_named(m.dtype), _strides(shape, m.layout)))
    attrs = []
    for name, v in zip(op.attrs, attr_values(op, s), strict=True):
        if name in SIZE_ATTRS and v is not None:
            v = (
                tuple(sizes.attribute(n, name != "shape") for n in v)
                if isinstance(v, tuple)
                else sizes.attribute(v, True)
            )
        attrs.append(v)
    return inputs, tuple(attrs)


def _strides(shape: tuple, layout: str) -> tuple:
    st = contiguous_strides(shape)
    if layout == "T" and len(shape) > 1:
        swapped = contiguous_strides((*shape[:-2], shape[-1], shape[-2]))
        return (*swapped[:-2], swapped[-1], swapped[-2])
    if layout == "strided" and shape:
        return tuple(2 * x for x in st)
    if layout == "expanded" and shape:
        return (0, *st[1:])
    return st


@contextlib.contextmanager
def strict():
    """Inside, int(size) and range(size) raise for sizes that are not known."""

    def refuse(self: Index) -> int:
        if self.constant is None:
            raise AssertionError(f"the size {self.key} was turned into an int")
        return self.constant

    saved = Index.__index__, Index.__int__
    Index.__index__ = Index.__int__ = refuse  # type: ignore[method-assign]
    try:
        yield
    finally:
        Index.__index__, Index.__int__ = saved  # type: ignore[method-assign]


# ---------------------------------------------------------------- forward and backward as a graph


class Case:
    """One sample in a graph: its attributes there, and the types of its cotangents."""

    def __init__(self, op: Op, number: int, s: Sample, backward: bool):
        self.op, self.number, self.s, self.backward = op, number, s, backward
        self.attrs: tuple = ()
        self.cotangents: list[TensorType] = []

    def __repr__(self) -> str:
        return describe(self.op, self.number, self.s) + (" backward" if self.backward else "")

    def inputs_at(self, values: dict) -> list:
        """The sample's inputs at the sizes {symbol name: value}; a leaf each when gradients are
        asked for."""
        grown = [
            Make(
                tuple(values[f"s{n}"] if n > 1 else n for n in m.shape),
                m.dtype,
                m.lo,
                m.hi,
                m.layout,
                m.values,
            )
            if isinstance(m, Make)
            else m
            for m in self.s.inputs
        ]
        return make_inputs(self.op, Sample(tuple(grown), self.s.attrs), requires_grad=self.backward)

    def eager(self, values: dict) -> tuple[list, list]:
        """(arrays for the input slots, results) in eager mode at these sizes."""
        xs, attrs = self.inputs_at(values), at(self.attrs, values)
        outs = self.op(tuple(xs), *attrs) if self.op.variadic else self.op(*xs, *attrs)
        outs = [t for t in (outs if isinstance(outs, tuple) else (outs,)) if t is not None]
        gs = [
            wrap(array(Make(at(t.shape, values), t.dtype.name), j))
            for j, t in enumerate(self.cotangents)
        ]
        if self.backward:
            outs = gradients(outs, xs, gs)
        return [t._array for t in (*xs, *gs) if is_tensor(t)], outs


def gradients(outs: list, xs: list, gs: list) -> list:
    """outs and the gradients of every input that has one."""
    wrt = [x for x in xs if is_tensor(x) and x.requires_grad]
    got = graphc.autograd.grad([t for t in outs if t.requires_grad], wrt, gs, allow_unused=True)
    return [t.detach() for t in outs] + [t for t in got if t is not None]


def graph_of(cases: list[Case], sizes: Sizes) -> Graph:
    """One graph of all cases over symbolic types. A case's input slots are its inputs, then the
    cotangents."""
    tracer = Tracer({})
    STATE.tracer = tracer
    try:
        for c in cases:
            types, c.attrs = symbolic(c.op, c.s, sizes)
            xs = [_slot(tracer, t, c.backward) if isinstance(t, TensorType) else t for t in types]
            outs = c.op(tuple(xs), *c.attrs) if c.op.variadic else c.op(*xs, *c.attrs)
            outs = [t for t in (outs if isinstance(outs, tuple) else (outs,)) if t is not None]
            if c.backward:
                c.cotangents = [t.type_.with_shape(t.type_.shape) for t in outs if t.requires_grad]
                outs = gradients(outs, xs, [_slot(tracer, t, False) for t in c.cotangents])
            tracer.graph.outputs += [tracer.node(t) for t in outs]
    finally:
        STATE.tracer = None
    return tracer.graph


def _slot(tracer: Tracer, t: TensorType, needs: bool) -> Tensor:
    cell = tracer.lifter.slot(t, Source("arg", len(tracer.graph.inputs)))
    x = tracer.fresh(cell.node, t)
    if needs and t.dtype.is_floating_point:
        x._needs = True
    return x


def check_graphs(cases: list[Case]) -> None:
    """The symbolic graph at the example sizes gives eager mode's bits."""
    sizes = Sizes()
    with strict():
        graph = graph_of(cases, sizes)
    compare(cases, sizes.hints, lambda arrays: run(bind(graph, sizes.hints), arrays)[0])


def compare(cases: list[Case], values: dict, results) -> None:
    """Asserts that results(arrays) are the cases' eager results at these sizes, in bits."""
    arrays: list = []
    wanted: list = []
    with np.errstate(all="ignore"):
        for c in cases:
            a, w = c.eager(values)
            arrays += a
            wanted += [(c, t) for t in w]
        for got, (c, want) in zip(results(arrays), wanted, strict=True):
            assert_same_bits(got, want, repr(c))


# ---------------------------------------------------------------- lowerings at one point


def lowered(op: Op, types: list, attrs: tuple, coords: list) -> list:
    """What an op's lowering says of one element, as a list of expressions and coordinates over
    leaves that name the input and its coordinates."""
    loads = [
        (lambda c, i=i, t=t: Apply(f"in{i}", [IndexValue(x) for x in c], t.dtype.compute))
        for i, t in enumerate(types)
    ]
    if op.kind == "movement":
        return list(op.lower(coords, types[0], *attrs))
    if op.kind == "gather":
        return [op.lower(coords, loads, types, *attrs)]
    if op.kind == "scatter":
        where, value = op.lower(coords, loads, types, *attrs)
        return [*where, value]
    seed, start = Const(1, dtypes.int64), Const(2, dtypes.int64)
    rest = tuple(a for n, a in zip(op.attrs, attrs, strict=True) if n != "draw")
    return [op.lower(ix.flatten(coords, attrs[0]), seed, start, *rest)]


def folded(x, values: dict) -> str:
    """The key of an expression or coordinate with all symbols replaced and decided conditions
    folded."""
    if not isinstance(x, Expr):
        return ix.as_index(x).substitute(values).key
    return _fold(x.substitute(values)).key


_RELATIONS = {
    "lt": int.__lt__,
    "le": int.__le__,
    "gt": int.__gt__,
    "ge": int.__ge__,
    "eq": int.__eq__,
    "ne": int.__ne__,
}


def _fold(e: Expr) -> Expr:
    args = tuple(_fold(a) for a in e.args)
    if isinstance(e, Select) and isinstance(args[0], Const):
        return args[1] if args[0].value else args[2]
    if (
        isinstance(e, Apply)
        and e.fn in _RELATIONS
        and all(isinstance(a, IndexValue) and a.index.is_constant for a in args)
    ):
        return Const(_RELATIONS[e.fn](args[0].index.constant, args[1].index.constant), dtypes.bool_)
    if isinstance(e, Apply) and e.fn == "logical_and":
        if any(isinstance(a, Const) and not a.value for a in args):
            return Const(False, dtypes.bool_)
        rest = [a for a in args if not isinstance(a, Const)]
        if len(rest) < 2:
            return rest[0] if rest else Const(True, dtypes.bool_)
    return e.with_args(args) if args else e


def points(shape: tuple, most: int = 24) -> list:
    """Up to `most` coordinates spread over a shape, first and last among them."""
    total = int(np.prod(shape))
    chosen = np.unique(np.linspace(0, total - 1, min(total, most)).astype(int)) if total else []
    return [tuple(int(c) for c in np.unravel_index(p, shape)) for p in chosen]
