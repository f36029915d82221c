"""Canonical form: takes a Graph, gives one that computes the same bits with fewer nodes.

Dead nodes go, equal nodes merge, movements that change nothing vanish, casts to the same dtype
vanish, products of half and small integer types are written with casts, permuted products become
products.
Invariant: no arithmetic is reordered.
"""

from __future__ import annotations

from typing import Any

from ...base import dtypes
from ...ir import op as op_table
from ...ir.graph import Graph, Node, rebuild
from ...ir.index import alike, as_index
from ...ir.loop import Cast, Ref
from ...ir.op import Op, Sample
from ...ir.types import TensorType
from .fuse import loops_over

COPY = Op(
    "copy",
    "movement",
    inputs=("input",),
    infer=lambda t: t,
    lower=lambda ix, input: ix,
    samples=lambda: [Sample()],
    doc="The same values in memory of their own.",
)


def drop_dead(graph: Graph) -> Graph:
    """Removes nodes that nothing needs and merges equal ones."""
    return rebuild(graph)


def own_results(graph: Graph) -> Graph:
    """Outputs and updates that are inputs become copies, so that every result is computed."""
    out = rebuild(graph)
    for i, o in enumerate(out.outputs):
        if isinstance(o, Node) and o.is_input:
            out.outputs[i] = out.add(COPY, (o,), (), o.type, o.origin)
    for slot, n in list(out.updates.items()):
        if n is out.inputs[slot]:
            del out.updates[slot]
        elif n.is_input:
            out.updates[slot] = out.add(COPY, (n,), (), n.type, n.origin)
    return out


def drop_moves(graph: Graph) -> Graph:
    """Chains of movements that lead back to the same coordinates of a value of the same shape
    become that value."""
    results = {n.id for n in graph.outputs if isinstance(n, Node)} | {
        n.id for n in graph.updates.values()
    }
    # ops whose attributes are memory positions read the strides of their first operand
    windowed = {
        n.args[0].id for n in graph.nodes if n.op is not None and n.op.extra.get("windowed")
    }
    same: dict[int, Node] = {}
    for n in graph.nodes:
        if n.op is None or n.op.kind != "movement" or n.op is COPY:
            continue
        coords, _, _ = loops_over(n.shape)
        at: list = list(coords)
        m = n
        while m.op is not None and m.op.kind == "movement":
            at = [as_index(c) for c in m.op.lower(at, m.args[0].type, *m.attrs)]
            m = m.args[0]
            if n.id in results and (
                m.is_input
                or (m.op is not None and m.op.kind == "movement")  # it may go itself
                or not alike(m.type.strides, n.type.strides)
            ):
                continue  # a result keeps its own memory and strides
            if n.id in windowed and not alike(m.type.strides, n.type.strides):
                continue
            if (
                len(m.shape) == len(n.shape)
                and all(c.same(d) for c, d in zip(at, coords, strict=True))
                and all(as_index(a).same(b) for a, b in zip(m.shape, n.shape, strict=True))
            ):
                same[n.id] = m
    return _substitute(graph, same) if same else graph


def drop_casts(graph: Graph) -> Graph:
    """Elementwise ops whose lowering is their argument (casts to the same dtype) vanish."""
    results = {n.id for n in graph.outputs if isinstance(n, Node)} | {
        n.id for n in graph.updates.values()
    }
    same: dict[int, Node] = {}
    for n in graph.nodes:
        if (
            n.op is None
            or n.op.kind != "pointwise"
            or len(n.args) != 1
            or n.id in results
            or not isinstance(n.args[0], Node)
            or n.args[0].dtype is not n.dtype
            or n.dtype.is_half
        ):
            continue
        x = Ref("x", n.dtype)
        e = n.op.lower(x, *n.attrs)
        if e is x or isinstance(e, Cast) and e.args[0] is x and e.dtype is x.dtype:
            same[n.id] = n.args[0]
    return _substitute(graph, same) if same else graph


def _substitute(graph: Graph, same: dict[int, Node]) -> Graph:
    """The graph with nodes replaced by earlier ones."""

    def find(n: Node) -> Node:
        while n.id in same:
            n = same[n.id]
        return n

    out = Graph()
    out.draws = dict(graph.draws)
    new: dict[int, Node] = {n.id: out.input(n.type, n.name) for n in graph.inputs}
    for n in graph.nodes:
        if n.id not in same:
            args = tuple(new[find(a).id] if isinstance(a, Node) else a for a in n.args)
            new[n.id] = out.add(n.op, args, n.attrs, n.type, n.origin)
    out.outputs = [new[find(o).id] if isinstance(o, Node) else o for o in graph.outputs]
    out.updates = {s: new[find(n).id] for s, n in graph.updates.items()}
    return rebuild(out)


_WIDE = {
    dtypes.float16: dtypes.float32,
    dtypes.bfloat16: dtypes.float32,
    dtypes.uint8: dtypes.int32,
    dtypes.int8: dtypes.int32,
    dtypes.int16: dtypes.int32,
    dtypes.bool_: dtypes.int32,
}


def widen_products(graph: Graph) -> Graph:
    """Products of half and small integer types run in float32 and int32 and are cast back once."""

    def widen(out: Graph, n: Node, args: tuple) -> Node:
        wide = _WIDE[n.dtype]
        cast_in, cast_out = op_table.get(f"to_{wide.name}"), op_table.get(f"to_{n.dtype.name}")
        args = tuple(out.add(cast_in, (a,), (), _typed(a.type, wide), n.origin) for a in args)
        p = out.add(n.op, args, n.attrs, _typed(n.type, wide), n.origin)
        return out.add(cast_out, (p,), (), n.type, n.origin)

    which = {
        n.id: widen
        for n in graph.nodes
        if n.op is not None and n.op.kind == "contract" and n.dtype in _WIDE
    }
    return rebuild(graph, which) if which else graph


def _typed(t: TensorType, d: Any) -> TensorType:
    return TensorType(t.shape, d, t.strides, t.device)


PASSES = (
    ("drop_dead", drop_dead),
    ("widen_products", widen_products),
    ("drop_casts", drop_casts),
    ("drop_moves", drop_moves),
    ("own_results", own_results),
)
