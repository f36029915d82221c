"""Memory: takes a fusion Plan, gives every stored value its place, and the arena its layout.

`assign` decides which buffer a value lives in (an output, an input that it updates, or the arena);
`layout` puts arena buffers with known lifetimes at offsets. Invariant: a buffer is never
overwritten before its last reader has run, and no input before the last kernel that may fail.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ...ir.graph import Graph, Node
from ...ir.index import Index, as_index
from ...ir.loop import Buffer
from ...ir.types import numel
from ..lower.kernel import Place
from .fuse import Group, Plan, are_rows, in_rows, native_call, operand, row_major

ALIGN = 64


@dataclass(slots=True)
class Assignment:
    """places: node id -> [Place]; inputs, outputs: the program's buffers; arena: the buffers to
    lay out with (first, last) group; commits: (from buffer, slot, node) copies that end the
    program; in_place: slots that kernels overwrite directly."""

    places: dict
    inputs: list
    outputs: list
    arena: dict = field(default_factory=dict)
    commits: list = field(default_factory=list)
    in_place: dict = field(default_factory=dict)
    notes: list = field(default_factory=list)


def schedule(graph: Graph, plan: Plan) -> None:
    """Reorders the groups so that those which write updates, and what follows from them, come
    last."""
    import networkx as nx

    deps = nx.DiGraph()
    deps.add_nodes_from(range(len(plan.groups)))
    for g in plan.groups:
        for u in g.units:
            for r, _ in u.reads:
                v = plan.units.get(r.id)
                if v is not None and v.group is not g:
                    deps.add_edge(v.group.id, g.id)
    late: set[int] = set()
    updates = {n.id for n in graph.updates.values()}
    for g in plan.groups:
        if any(u.node.id in updates for u in g.units) and not deps.out_degree(g.id):
            late.add(g.id)
    order = nx.lexicographical_topological_sort(deps, key=lambda i: (i in late, i))
    plan.groups = [plan.groups[i] for i in list(order)]
    for i, g in enumerate(plan.groups):
        g.id = i


def assign(graph: Graph, plan: Plan, share: bool = True) -> Assignment:
    """Places of all stored values. share=False: nothing is written in place, and no two values of
    the arena share memory."""
    inputs = [Buffer(f"in{i}", n.dtype, numel(n.shape)) for i, n in enumerate(graph.inputs)]
    places: dict[int, list[Place]] = {
        n.id: [Place(b, n.type.strides)] for n, b in zip(graph.inputs, inputs, strict=True)
    }
    a = Assignment(places, inputs, [])
    wanted: dict[int, list[Place]] = {}
    for i, o in enumerate(graph.outputs):
        if isinstance(o, Node):
            b = Buffer(f"out{len(a.outputs)}", o.dtype, numel(o.shape))
            a.outputs.append((i, b, o))
            wanted.setdefault(o.id, []).append(Place(b, o.type.strides))
    last = _last_reader(plan)
    fallible = max((g.id for g in plan.groups if _may_fail(g)), default=-1)
    for slot, n in sorted(graph.updates.items()):
        g = _writer(plan, n)
        why = _not_in_place(graph, plan, slot, n, g, fallible) if share else "switched off"
        if not why:
            a.in_place[slot] = n.id
            wanted.setdefault(n.id, []).insert(
                0, Place(inputs[slot], graph.inputs[slot].type.strides)
            )
        else:
            a.notes.append(f"in{slot}: {why}; written at the end")
            a.commits.append((n.id, slot))
    number = {n.id: i for i, n in enumerate(graph.nodes)}  # as the graph's text counts
    products, arguments = _operands(graph, plan), _arguments(graph, plan)
    for g in plan.groups:
        for u in g.stored:
            n = u.node
            if type(n.type) is tuple:
                continue
            own = wanted.get(n.id, [])
            ok = all(_fits(a, own, plan) for a in products.get(n.id, ()))
            ok = ok and all(_lies(a, own, plan) for a in arguments.get(n.id, ()))
            if u.kind == "native":
                ok = ok and any(are_rows(p.strides, n.shape) for p in own)
            if not own or not ok:
                b = Buffer(f"t{number[n.id]}", n.dtype, numel(n.shape))
                own = [*own, Place(b, row_major(n.shape))]
                end = (
                    len(plan.groups)
                    if any(n.id == i for i, _ in a.commits)
                    else last.get(n.id, g.id)
                )
                start = _writer(plan, n).id
                a.arena[b.name] = (b, start, end) if share else (b, 0, len(plan.groups))
            places[n.id] = own
    return a


def _writer(plan: Plan, n: Node) -> Group:
    """The group that writes a value: an opaque operator stores all its results when it runs, also
    those that are asked for later."""
    return plan.units[n.node_args[0].id if n.is_output_of else n.id].group


def _operands(graph: Graph, plan: Plan) -> dict[int, list[Node]]:
    """Value -> the operands of matrix products that are windows of it."""
    out: dict[int, list[Node]] = {}
    for n in graph.nodes:
        if n.op is not None and n.op.kind == "contract":
            for a in n.node_args:
                found = operand(a, plan.units)
                if found is not None:
                    out.setdefault(found[0].id, []).append(a)
    return out


def _arguments(graph: Graph, plan: Plan) -> dict[int, list[Node]]:
    """Value -> the arguments of native functions that are pieces of it."""
    out: dict[int, list[Node]] = {}
    for n in graph.nodes:
        if native_call(n) is not None:
            for a in n.node_args:
                b = a
                while not b.is_input and b.id not in plan.units:
                    b = b.node_args[0]
                out.setdefault(b.id, []).append(a)
    return out


def _lies(a: Node, own: list[Place], plan: Plan) -> bool:
    """Whether argument a lies row-major in one of the places of the value that it is a piece of."""
    return any(in_rows(a, plan.units, p.strides) is not None for p in own)


def _fits(a: Node, own: list[Place], plan: Plan) -> bool:
    """Whether operand a is strides over one of the places of the value that it is a window of."""
    return any(operand(a, plan.units, p.strides) is not None for p in own)


def _last_reader(plan: Plan) -> dict[int, int]:
    out: dict[int, int] = {}
    for g in plan.groups:
        for u in g.units:
            for r, _ in u.reads:
                out[r.id] = max(out.get(r.id, 0), g.id)
    return out


def _may_fail(g: Group) -> bool:
    """Whether a kernel of the group may stop with a status (data-dependent coordinates, opaque
    ops)."""
    return g.kind == "opaque" or any(u.fallible for u in g.units)


def _not_in_place(graph: Graph, plan: Plan, slot: int, n: Node, g: Group, fallible: int) -> str:
    """Why the update cannot be written where it belongs by its own kernel; "" when it can."""
    if fallible >= g.id:
        return "a later kernel may fail"
    source = graph.inputs[slot]
    strides = source.type.strides
    if any(
        isinstance(s, int) and s == 0 and not (isinstance(m, int) and m == 1)
        for s, m in zip(strides, source.shape, strict=True)
    ):
        return "its elements overlap in memory"
    for h in plan.groups:
        for u in h.units:
            for r, coords in u.reads:
                if r.id != source.id or h.id < g.id:
                    continue
                if h.id > g.id:
                    return "the old value is still read later"
                pure = g.kind == "rows" and all(
                    v.kind == "map" and len(v.space) == g.rank for v in g.units
                )
                alone = u.node is n and u.kind == "map" and g.kind in ("rows", "columns")
                if not pure and not alone:
                    return "another part of its kernel reads the old value"
                if not _same_place(coords, u, n, plan, strides):
                    return "its kernel reads the old value at other places"
    return ""


def _same_place(coords: tuple, u: Any, n: Node, plan: Plan, strides: tuple) -> bool:
    own = plan.units[n.id]
    mine = {s.key: as_index(t) for s, t in zip(u.symbols, own.symbols, strict=True)}
    a: Any = as_index(0)
    b: Any = as_index(0)
    for c, d, s in zip(coords, own.coords, strides, strict=True):
        c = c.substitute({x: mine[x.name] for x in c.symbols() if x.name in mine})
        a, b = a + c * s, b + d * s
    return a.same(b)


# ---------------------------------------------------------------- the arena


@dataclass(slots=True)
class Layout:
    """offsets: buffer name -> bytes from the arena's start (int, or Index over size symbols); size:
    bytes in all; rows: (name, bytes, first, last, offset) for people."""

    offsets: dict
    size: Any
    rows: list


def layout(buffers: dict[str, tuple[Buffer, int, int]]) -> Layout:
    """Best-fit offsets: the largest buffers first, each at the smallest gap that its lifetime
    leaves."""
    if any(isinstance(b.count, Index) and not b.count.is_constant for b, _, _ in buffers.values()):
        return _symbolic_layout(buffers)
    items = [
        (int(as_index(b.count)) * b.dtype.itemsize, name, first, last)
        for name, (b, first, last) in buffers.items()
    ]
    placed: list[tuple[int, int, int, int]] = []  # offset, end, first, last
    offsets: dict[str, int] = {}
    for size, name, first, last in sorted(items, key=lambda t: (-t[0], t[2], t[1])):
        size = _aligned(max(size, 1))
        busy = sorted((o, e) for o, e, f, l in placed if not (l < first or last < f))
        best, at = None, 0
        for o, e in busy:
            if o - at >= size and (best is None or o - at < best[0]):
                best = (o - at, at)
            at = max(at, e)
        offsets[name] = best[1] if best else at
        placed.append((offsets[name], offsets[name] + size, first, last))
    total = max((e for _, e, _, _ in placed), default=0)
    rows = [
        (name, size, first, last, offsets[name])
        for size, name, first, last in sorted(items, key=lambda t: (t[2], t[1]))
    ]
    return Layout(offsets, total, rows)


def _symbolic_layout(buffers: dict) -> Layout:
    """With symbolic sizes: buffers of equal size and disjoint lifetimes share, the rest lies in a
    row."""
    slots: list[list] = []  # [key, size, last]
    where: dict[str, int] = {}
    for name, (b, first, last) in sorted(buffers.items(), key=lambda t: (t[1][1], t[0])):
        size = as_index(b.count) * b.dtype.itemsize
        for i, s in enumerate(slots):
            if s[0] == size.key and s[2] < first:
                s[2] = last
                where[name] = i
                break
        else:
            where[name] = len(slots)
            slots.append([size.key, size, last])
    starts: list[Any] = []
    at: Any = as_index(0)
    for _, size, _ in slots:
        starts.append(at)
        at = at + ((size + (ALIGN - 1)) // ALIGN) * ALIGN + ALIGN
    rows = [
        (name, as_index(b.count) * b.dtype.itemsize, first, last, starts[where[name]])
        for name, (b, first, last) in buffers.items()
    ]
    return Layout({name: starts[i] for name, i in where.items()}, at, rows)


def _aligned(n: int) -> int:
    return (n + ALIGN - 1) // ALIGN * ALIGN
