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
from .fuse import in_rows, loops_over, row_major

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


def widen_calls(graph: Graph) -> Graph:
    """Native functions on half types run in float32; their results are cast back once."""

    def widen(out: Graph, n: Node, args: tuple) -> Node:
        half = _half_of(n)
        up, back = op_table.get("to_float32"), op_table.get(f"to_{half.name}")

        def wide(t: TensorType) -> TensorType:
            return _typed(t, dtypes.float32) if t.dtype is half else t

        args = tuple(
            out.add(up, (a,), (), wide(a.type), n.origin)
            if isinstance(a, Node) and a.dtype is half
            else a
            for a in args
        )
        several = type(n.type) is tuple
        types = tuple(wide(t) for t in n.type) if several else wide(n.type)
        y = out.add(n.op, args, n.attrs, types, n.origin)
        return y if several else _back(out, y, n.type, back, n.origin)

    def pick(out: Graph, n: Node, args: tuple) -> Node:
        wide = args[0].type[n.attrs[1]]
        y = out.add(n.op, args, n.attrs, wide, n.origin)
        return _back(out, y, n.type, op_table.get(f"to_{n.dtype.name}"), n.origin)

    which: dict[int, Any] = {}
    for n in graph.nodes:
        if n.is_output_of and n.args[0].id in which:
            which[n.id] = pick
        elif n.op is not None and n.op.extra.get("half") == "float32" and n.op.kind == "native":
            if _half_of(n) is not None:
                which[n.id] = widen
    return rebuild(graph, which) if which else graph


def _half_of(n: Node) -> Any:
    return next((a.dtype for a in n.node_args if a.dtype.is_half), None)


def _back(out: Graph, y: Node, want: TensorType, cast: Op, origin: Any) -> Node:
    return y if y.dtype is want.dtype else out.add(cast, (y,), (), want, origin)


def lay_out_arguments(graph: Graph) -> Graph:
    """Inputs that native functions read get a row-major copy where they do not lie so."""
    clone = op_table.get("clone")

    def laid_out(out: Graph, n: Node, args: tuple) -> Node:
        args = tuple(
            out.add(clone, (a,), (row_major(a.shape),), _rows(a.type), n.origin)
            if isinstance(a, Node) and _scattered(a)
            else a
            for a in args
        )
        return out.add(n.op, args, n.attrs, n.type, n.origin)

    which = {
        n.id: laid_out
        for n in graph.nodes
        if n.op is not None and n.op.kind == "native" and any(_scattered(a) for a in n.node_args)
    }
    return rebuild(graph, which) if which else graph


def _scattered(a: Node) -> bool:
    return a.is_input and in_rows(a, ()) is None


def _rows(t: TensorType) -> TensorType:
    return TensorType(t.shape, t.dtype, row_major(t.shape), t.device)


def _typed(t: TensorType, d: Any) -> TensorType:
    return TensorType(t.shape, d, t.strides, t.device)


PASSES = (
    ("drop_dead", drop_dead),
    ("widen_products", widen_products),
    ("widen_calls", widen_calls),
    ("drop_casts", drop_casts),
    ("drop_moves", drop_moves),
    ("own_results", own_results),
    ("lay_out_arguments", lay_out_arguments),
)
