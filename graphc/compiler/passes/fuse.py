"""Fusion: takes a canonical Graph, gives `Plan(groups, refused)`.

Every value is either realised (computed once by a unit) or recomputed where it is read. Units over
the same rows become one group, that is one kernel. Invariants: groups are in an order that can
run; inside a group a value is read at the same row coordinates as it is computed at; `refused`
says why for the rest.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ...base import dtypes
from ...ir.graph import Graph, Node
from ...ir.index import Index, alike, as_index, loop, unflatten
from ...ir.loop import Checked, Const, Expr, IndexValue, Ref, Require
from ...ir.types import numel
from ..lower.values import INLINE, Values

CHEAP = 2  # a cone of this cost is recomputed by every reader
LARGEST_CONE = 64  # a larger one is realised even for a single reader
ROW_BYTES = 1 << 17  # a row value kept between the loops of a kernel fits in the second-level cache


class WhyNotFused(NamedTuple):
    """Two neighbouring values and the reason why they are computed by different kernels."""

    producer: str
    consumer: str
    reason: str
    origin: Any = None


@dataclass(slots=True, eq=False)
class Unit:
    """One realised value. `kind`: map, reduce, column, gemm, scatter, scan, native or opaque;
    `symbols` and `space`: its loops without those of extent 1; `kept`: how many leading loops may
    be rows; `coords`: where in the value's shape the loops stand; `reads`: (node in memory,
    coordinates) pairs;
    `cone`: the nodes that are recomputed inside."""

    node: Node
    kind: str
    space: tuple = ()
    symbols: tuple = ()
    kept: int = 0
    coords: tuple = ()
    source: tuple = ()  # reduce: coordinates of the input element
    reads: list = field(default_factory=list)
    cone: dict = field(default_factory=dict)
    group: Any = None
    fallible: bool = False  # may stop the program with a status

    @property
    def rows(self) -> list[int]:
        """Position in `coords` of each kept loop."""
        at = {c.key: i for i, c in enumerate(self.coords)}
        return [at[as_index(s).key] for s in self.symbols[: self.kept]]


@dataclass(slots=True, eq=False)
class Group:
    """Units computed by one kernel. `rank`: how many leading loops are rows; `stored`: the units
    whose values are read outside (set by `fuse`)."""

    kind: str
    units: list
    rank: int
    id: int = 0
    stored: list = field(default_factory=list)

    @property
    def space(self) -> tuple:
        """The row extents."""
        return self.units[0].space[: self.rank]

    @property
    def nodes(self) -> list[Node]:
        seen: dict[int, Node] = {}
        for u in self.units:
            seen.update(u.cone)
            seen[u.node.id] = u.node
        return [seen[i] for i in sorted(seen)]


@dataclass(slots=True)
class Plan:
    groups: list
    refused: list
    units: dict  # node id -> Unit


# ---------------------------------------------------------------- which values are realised


def realised(graph: Graph) -> set[int]:
    """Ids of the values that get a unit of their own."""
    must = {n.id for n in graph.outputs if isinstance(n, Node)}
    must |= {n.id for n in graph.updates.values()}
    uses = graph.uses()
    readers = _readers(graph, uses)
    cost: dict[int, int] = {}
    out: set[int] = set()
    for n in graph.nodes:
        if n.is_output_of or n.op.kind not in INLINE:  # type: ignore[union-attr]
            out.add(n.id)
            continue
        own = _own_cost(n) + sum(
            0 if a.is_input or a.id in out else cost[a.id] for a in n.node_args
        )
        cost[n.id] = own
        if n.id in must:
            out.add(n.id)
        elif n.op.kind == "movement":  # type: ignore[union-attr]
            pass
        elif _single(n) and own <= LARGEST_CONE:
            pass  # one number: cheap wherever it is read, and hoisted out of the loops
        elif own > LARGEST_CONE or (own > CHEAP and (readers[n.id] > 1 or _broadcast(n, uses))):
            out.add(n.id)
    return out


def _own_cost(n: Node) -> int:
    op: Any = n.op
    if op.kind == "movement":
        return 0
    if op.kind == "random":
        return 20
    if op.kind == "pointwise":
        return op.extra.get("cost", 4 if op.dtype_rule == "float" else 1)
    return 1


def _single(n: Node) -> bool:
    return all(isinstance(s, int) and s == 1 for s in n.shape)


def _readers(graph: Graph, uses: dict[int, list[Node]]) -> dict[int, int]:
    """node id -> how many distinct values read it, seen through movements."""
    through: dict[int, set[int]] = {}
    for n in reversed(graph.nodes):
        found: set[int] = set()
        for u in uses[n.id]:
            if u.op is not None and u.op.kind == "movement":
                found |= through[u.id] or {u.id}
            else:
                found.add(u.id)
        through[n.id] = found
    return {i: len(s) for i, s in through.items()}


def _broadcast(n: Node, uses: dict[int, list[Node]]) -> bool:
    """Whether some reader repeats the value along a new or stretched axis."""
    todo, seen = [n], {n.id}
    while todo:
        for u in uses[todo.pop().id]:
            if u.op is None or u.op.kind != "movement" or u.id in seen:
                continue
            if u.op.extra.get("broadcasts"):
                return True
            seen.add(u.id)
            todo.append(u)
    return False


# ---------------------------------------------------------------- units


class _Reader:
    """The leaf function of analysis: notes what is read where."""

    def __init__(self, real: set[int]):
        self.real, self.reads = real, []  # type: ignore[var-annotated]

    def __call__(self, node: Node, coords: tuple) -> Expr | None:
        if not node.is_input and node.id not in self.real:
            return None
        self.reads.append((node, coords))
        where = frozenset(s for c in coords for s in c.symbols())
        return Ref(f"v{node.id}_{len(self.reads)}", node.dtype, where)


_SEED = (Const(0, dtypes.int64), Const(0, dtypes.int64))


def make_unit(n: Node, real: set[int]) -> Unit:
    """The unit of a realised node, with its loops and what it reads."""
    op: Any = n.op
    if n.is_output_of:
        kind = "opaque" if native_call(n.node_args[0]) is None else "native"
        return Unit(n, kind, reads=[(a, ()) for a in n.node_args])
    called = native_call(n)
    if called is None and op.kind in ("native", "opaque", "composite"):
        return Unit(n, "opaque", reads=[(a, ()) for a in n.node_args])
    reader = _Reader(real - {n.id})
    values = Values(reader, lambda slot: _SEED)
    if op.kind == "reduce":
        u = _reduce_unit(n, values, reader)
    elif op.kind == "contract":
        u = _gemm_unit(n, values, reader)
    elif called is not None:
        u = Unit(n, "native")
        for a in n.node_args:
            values.value(a, loops_over(a.shape, "k")[0])
    elif op.kind == "scatter":
        u = _scatter_unit(n, values, reader)
    elif op.kind == "scan":
        u = _scan_unit(n, values, reader)
    else:
        u = Unit(n, "map")
        u.coords, u.symbols, u.space = loops_over(n.shape)
        u.kept = len(u.space)
        values.value(n, u.coords)
    values.roots += [
        IndexValue(c) for _, coords in reader.reads for c in coords if not c.is_constant
    ]
    u.fallible = any(isinstance(e, (Checked, Require)) for e in values.checks())
    u.reads, u.cone = reader.reads, {i: m for i, m in values.nodes.items() if i != n.id}
    return u


def native_call(n: Node) -> tuple[str, list] | None:
    """What a node of kind "native" calls, (function, numbers); None for other nodes, and where no
    function serves its dtypes."""
    op = n.op
    if op is None or op.kind != "native":
        return None
    shapes = [a.shape if isinstance(a, Node) else None for a in n.args]
    return op.lower(shapes, [a.dtype if isinstance(a, Node) else None for a in n.args], *n.attrs)


def loops_over(shape: tuple, prefix: str = "i") -> tuple[tuple, tuple, tuple]:
    """(coordinates, symbols, extents) of loops over a shape; axes of size 1 get no loop."""
    coords = tuple(loop(f"{prefix}{d}", s) for d, s in enumerate(shape))
    kept = [(next(iter(c.terms))[0], s) for c, s in zip(coords, shape, strict=True) if c.terms]
    return coords, tuple(as_index_symbol(s) for s, _ in kept), tuple(e for _, e in kept)


def as_index_symbol(s: Any) -> Index:
    return Index({(s,): 1})


def _reduce_unit(n: Node, values: Values, reader: _Reader) -> Unit:
    arg: Any = n.args[0]
    dims, keepdim = n.attrs[0], n.attrs[1]
    coords, symbols, space = loops_over(arg.shape)
    order = [i for i, c in enumerate(coords) if c.terms]
    kept = [j for j, d in enumerate(order) if d not in dims]
    inner = [j for j, d in enumerate(order) if d in dims]
    values.value(arg, coords)
    out = tuple(
        as_index(0) if d in dims else c for d, c in enumerate(coords) if keepdim or d not in dims
    )
    column = (
        bool(kept)
        and bool(inner)
        and _prefers_columns(symbols[kept[-1]], symbols[inner[-1]], reader)
    )
    u = Unit(
        n,
        "column" if column else "reduce",
        tuple(space[j] for j in kept + inner),
        tuple(symbols[j] for j in kept + inner),
        len(kept),
        out,
        coords,
    )
    return u


def _prefers_columns(kept: Index, inner: Index, reader: _Reader) -> bool:
    """Whether neighbouring kept elements, rather than reduced ones, are neighbours in memory."""
    score = 0
    for node, coords in reader.reads:
        at = memory_index(node, coords)
        a, b = stride_along(at, kept), stride_along(at, inner)
        score += (a == 1) - (b == 1)
    return score > 0


def memory_index(node: Node, coords: tuple, strides: Any = None) -> Index:
    """Position in memory, in elements: inputs as they lie, everything else row-major, unless other
    strides are given."""
    if strides is None:
        strides = node.type.strides if node.is_input else row_major(node.shape)
    total = as_index(0)
    for c, s in zip(coords, strides, strict=True):
        total = total + c * s
    return total


def row_major(shape: tuple) -> tuple:
    out: list = []
    step: Any = 1
    for s in reversed(shape):
        out.append(step)
        step = step * s
    return tuple(reversed(out))


def stride_along(at: Index, symbol: Index) -> Any:
    return at.coefficient(next(iter(symbol.terms))[0])


def _gemm_unit(n: Node, values: Values, reader: _Reader) -> Unit:
    coords, symbols, space = loops_over(n.shape)
    for a in n.node_args:
        own = loops_over(a.shape, "k")[0]
        values.value(a, own)
    return Unit(n, "gemm", space, symbols, len(space), coords)


def _scatter_unit(n: Node, values: Values, reader: _Reader) -> Unit:
    op: Any = n.op
    types = [a.type for a in n.node_args]
    space = tuple(op.extra["space"](types, *n.attrs))
    at, _, _ = loops_over(space, "u")
    loads = [(lambda c, a=a: values.value(a, c)) for a in n.node_args]
    target, update = op.lower(list(at), loads, types, *n.attrs)
    values.roots += [update, *(IndexValue(c) for c in target)]
    coords, symbols, extents = loops_over(n.shape)
    values.value(n.node_args[0], coords)
    return Unit(n, "scatter", extents, symbols, 0, coords)


def _scan_unit(n: Node, values: Values, reader: _Reader) -> Unit:
    coords, symbols, space = loops_over(n.shape)
    values.value(n.node_args[0], coords)
    return Unit(n, "scan", space, symbols, 0, coords)


# ---------------------------------------------------------------- joining


def fuse(graph: Graph, join: bool = True) -> Plan:
    """Groups in running order, and every refused neighbourhood with its reason. join=False: every
    value is computed by a kernel of its own."""
    import networkx as nx

    real = _fold_operands(graph, realised(graph) if join else {n.id for n in graph.nodes})
    units = {n.id: make_unit(n, real) for n in graph.nodes if n.id in real}
    updates = {n.id for n in graph.updates.values()}
    number = {n.id: i for i, n in enumerate(graph.nodes)}  # as the graph's text counts
    deps = nx.DiGraph()
    before = _Before()
    groups: list[Group] = []
    refused: list[WhyNotFused] = []
    for u in units.values():
        near = {r.id: units[r.id] for r, _ in u.reads if r.id in units}
        sources = list(dict.fromkeys(v.group for v in near.values()))
        siblings = _siblings(u, groups, sources)
        reasons: dict[int, str] = {}
        for g in sorted(sources, key=lambda g: -g.id) + siblings:
            reason, rank = _can_join(g, u, updates) if join else ("fusion is switched off", 0)
            if not reason and any(h is not g and before.path(g.id, h.id) for h in sources):
                reason = (
                    "the consumer also needs a value that is computed from this kernel's result"
                )
            if reason:
                reasons[g.id] = reason
                continue
            g.units.append(u)
            g.rank, u.group = rank, g
            break
        else:
            u.group = Group(_group_kind(u), [u], u.kept, len(groups))
            groups.append(u.group)
            deps.add_node(u.group.id)
        needed = [h.id for h in sources if h is not u.group]
        deps.add_edges_from((h, u.group.id) for h in needed)
        before.add(u.group.id, needed)
        for v in near.values():
            if v.group is not u.group:
                refused.append(
                    WhyNotFused(
                        _label(v.node, number),
                        _label(u.node, number),
                        reasons.get(v.group.id, "the consumer joined another kernel"),
                        u.node.origin,
                    )
                )
    order = list(nx.lexicographical_topological_sort(deps))
    ordered = [groups[i] for i in order]
    for i, g in enumerate(ordered):
        g.id = i
    _mark_stored(graph, ordered, units)
    return Plan(ordered, refused, units)


class _Before:
    """Which groups have to run before which, kept as bits: those that group i needs, itself
    included, are the ones of sets[i]."""

    def __init__(self) -> None:
        self.sets: list[int] = []

    def add(self, group: int, needed: list[int]) -> None:
        if group == len(self.sets):
            self.sets.append(1 << group)
        new = 0
        for h in needed:
            new |= self.sets[h]
        if new & ~self.sets[group]:
            for i in range(len(self.sets)):
                if self.path(group, i):
                    self.sets[i] |= new

    def path(self, first: int, then: int) -> bool:
        return bool(self.sets[then] >> first & 1)


def _label(n: Node, number: dict[int, int]) -> str:
    name = n.op.name if n.op else f"{n.args[0].op.name}[{n.attrs[1]}]"  # type: ignore
    return f"{name} %{number[n.id]}"


def _group_kind(u: Unit) -> str:
    return {"map": "rows", "reduce": "rows", "column": "columns"}.get(u.kind, u.kind)


def _siblings(u: Unit, groups: list, sources: list) -> list:
    """Groups over the same loops that read something that u reads, latest first."""
    if u.kind not in ("map", "reduce", "column"):
        return []
    if u.kind == "reduce" and u.kept == 0 and _hint(numel(u.space)) > 1024:
        return []  # `_join_rows` would refuse each: no rows in common
    mine = {r.id for r, _ in u.reads}
    found = []
    for g in reversed(groups):
        if g in sources or g.kind != _group_kind(u) or not g.units[0].space[:1]:
            continue
        if alike(g.units[0].space, u.space) and any(
            r.id in mine for v in g.units for r, _ in v.reads
        ):
            found.append(g)
    return found


def _can_join(g: Group, u: Unit, updates: set[int]) -> tuple[str, int]:
    """("", rank) when u can be computed in g's kernel, else (reason, 0)."""
    if u.kind in ("gemm", "scatter", "scan", "native", "opaque"):
        return f"{_kind_words(u)} is a kernel of its own", 0
    if u.node.id in updates and (g.kind != "rows" or any(v.kind != "map" for v in g.units)):
        return "updates of parameters run together in one kernel", 0
    if g.kind == "rows":
        return _join_rows(g, u)
    if g.kind == "columns":
        return _join_columns(g, u)
    if g.kind == "gemm":
        return _join_gemm(g, u)
    return f"{_kind_words(g.units[0])} takes no further work", 0


def draws(u: Unit) -> bool:
    """Whether the unit draws random numbers itself."""
    return any(n.op is not None and n.op.kind == "random" for n in (*u.cone.values(), u.node))


def _kind_words(u: Unit) -> str:
    return {
        "gemm": "a matrix product",
        "scatter": "a scatter",
        "scan": "a scan",
        "native": "a call of the native library",
        "opaque": "an operator without generated code",
    }.get(u.kind, "a " + u.kind)


def _same_size(a: Any, b: Any) -> bool:
    return as_index(a).same(b)


def _inside(g: Group, u: Unit) -> list[tuple[Unit, tuple]]:
    own = {v.node.id: v for v in g.units}
    return [(own[r.id], c) for r, c in u.reads if r.id in own]


def _join_rows(g: Group, u: Unit) -> tuple[str, int]:
    if u.kind == "column":
        return "it sums over the axis that the producer's rows run along", 0
    rank = min(g.rank, u.kept)
    first = g.units[0].space
    for i in range(rank):
        if not _same_size(first[i], u.space[i]):
            rank = i
            break
    for v, coords in _inside(g, u):
        rows = v.rows
        for i in range(min(rank, len(rows))):
            if not coords[rows[i]].same(u.symbols[i]):
                rank = i
                break
    if (
        u.kind == "map"
        and len(u.space) > 0
        and all(v.kind == "map" and not v.space for v in g.units)
    ):
        return "one number, computed before the loops", 0
    work = max(_hint(numel(v.space)) for v in [*g.units, u])
    rows_left = _hint(numel(u.space[:rank]))
    if rank < max(g.rank, 1) and work > 4096 and rows_left < 8:
        return "their loops have too few rows in common", 0
    if rank == 0 and work > 1024 and not (u.kind == "map" and _hint(numel(u.space)) == 1):
        return "their loops have no rows in common", 0
    for v in g.units:
        inner = _hint(numel(v.space[rank:]))
        if (
            v.kind == "map"
            and inner * v.node.dtype.itemsize > ROW_BYTES
            and rank < len(v.space)
            and work > 1024
        ):
            if any(x is v for x, _ in _inside(g, u)) and u.kind != "map":
                return "a row of the value does not fit in the cache", 0
    if (
        rank < g.rank
        and work > 65536
        and rows_left * 4 < _hint(numel(first[: g.rank]))
        and rows_left < 16
    ):
        return "fusing would leave too few rows to share among threads", 0
    return "", rank


def _join_columns(g: Group, u: Unit) -> tuple[str, int]:
    kept = g.units[0].space[: g.rank]
    if u.kind == "column":
        if not (u.kept == g.rank and _equal(u.space, _column_space(g))):
            return "the two sums run over different axes", 0
    elif u.kind == "map":
        if not _equal(u.space, kept):
            return "it needs whole columns of sums, and its own loops run along the columns", 0
    else:
        return "one sums along rows, the other along columns", 0
    for v, coords in _inside(g, u):
        for i, d in enumerate(v.rows):
            if not coords[d].same(u.symbols[i]):
                return "it reads sums of other columns", 0
    return "", g.rank


def _column_space(g: Group) -> tuple:
    return next(v.space for v in g.units if v.kind == "column")


def _join_gemm(g: Group, u: Unit) -> tuple[str, int]:
    product = g.units[0].node
    if u.kind != "map":
        return "a sum over the product's elements needs the finished product", 0
    if draws(u):
        return "random numbers are drawn in blocks, not in tiles of a product", 0
    mine = product_coords(u.node.shape, product.shape)
    if mine is None:
        return "the consumer has another shape than the product", 0
    inside = _inside(g, u)
    if not inside:
        return "nothing of the product is read", 0
    for v, coords in inside:
        own = product_coords(v.node.shape, product.shape)
        assert own is not None
        at = {f"i{d}": c for d, c in enumerate(mine)}
        for c, want in zip(coords, own, strict=True):
            if not by_name(c, at).same(want):
                return "the consumer reads the product at other coordinates", 0
    if product.dtype not in (dtypes.float32, dtypes.float64):
        return "integer products have no epilogue", 0
    return "", g.rank


def product_coords(shape: tuple, product: tuple) -> list[Index] | None:
    """Where the element of a value of `shape` stands that belongs to element (i0, i1[, i2]) of a
    product:
    at the same coordinates, or with the product's rows (or batch) split into several axes."""
    at = loops_over(product)[0]
    if len(shape) == len(product) and _equal(shape, product):
        return list(at)
    inner = len(product) - 1  # axes that have to agree
    if len(shape) < inner or not _equal(shape[len(shape) - inner :], product[1:]):
        return None
    lead = shape[: len(shape) - inner]
    if not _same_size(numel(lead), product[0]):
        return None
    return [*unflatten(at[0], lead), *at[1:]]


def by_name(c: Index, values: dict[str, Index]) -> Index:
    """c with loop symbols replaced by name."""
    return c.substitute(
        {s: values[s.name] for s in c.symbols() if s.kind == "loop" and s.name in values}
    )


def _equal(a: tuple, b: tuple) -> bool:
    return len(a) == len(b) and all(_same_size(x, y) for x, y in zip(a, b, strict=True))


def _hint(x: Any) -> int:
    if isinstance(x, int):
        return x
    h = x.hint
    return 1 << 20 if h is None else h


# ---------------------------------------------------------------- operands and results


def _fold_operands(graph: Graph, real: set[int]) -> set[int]:
    """Adds the operands of products (and of calls) that no strides over memory describe."""
    real = set(real)
    while True:
        known = len(real)
        _fold_once(graph, real)
        if len(real) == known:
            return real
        # what was added may stand between an operand that was looked at before and its memory


def _fold_once(graph: Graph, real: set[int]) -> None:
    for n in graph.nodes:
        op = n.op
        if op is not None and op.kind == "contract":
            for a in n.node_args:
                while operand(a, real) is None:
                    real.add(a.id if op.kind == "contract" and not _moved(a) else _base(a, real))
        elif op is not None and native_call(n) is not None:
            real |= {a.id for a in n.node_args if not (a.is_input or in_rows(a, real))}
        elif op is not None and op.kind in ("native", "opaque"):
            real |= {a.id for a in n.node_args if not a.is_input}
        elif n.is_output_of:
            real.add(n.args[0].id)


def _moved(a: Node) -> bool:
    return a.op is not None and a.op.kind == "movement"


def _base(a: Node, real: set[int]) -> int:
    """What to realise so that `a` becomes strides over memory: the value below its movements when
    that is enough, else `a` itself."""
    b = a
    while _moved(b) and b.id not in real:
        b = b.node_args[0]
    if b.is_input or b.id in real:
        return a.id
    return b.id if operand(a, real | {b.id}) is not None else a.id


def operand(a: Node, real: Any, strides: Any = None) -> tuple[Node, tuple, Index] | None:
    """(node in memory, stride per axis of a, offset) when `a` is a strided window of that memory,
    which lies as `memory_index` says or under the given strides."""
    coords = loops_over(a.shape, "k")[0]
    at: tuple = coords
    n = a
    while not n.is_input and n.id not in real:
        if not _moved(n):
            return None
        op: Any = n.op
        at = tuple(as_index(c) for c in op.lower(list(at), n.args[0].type, *n.attrs))
        n = n.args[0]
    flat = memory_index(n, at, strides)
    found: list = []
    for c in coords:
        if not c.terms:
            found.append(0)
            continue
        s = next(iter(c.terms))[0]
        k = flat.coefficient(s)
        if k is None:
            return None
        found.append(k)
        flat = flat.substitute({s: 0})
    return n, tuple(found), flat


def in_rows(a: Node, real: Any, strides: Any = None) -> tuple[Node, Index] | None:
    """(node in memory, offset) when `a` lies row-major in that memory: see `operand`."""
    found = operand(a, real, strides)
    return (found[0], found[2]) if found and are_rows(found[1], a.shape) else None


def are_rows(strides: tuple, shape: tuple) -> bool:
    """Whether these are the strides of row-major memory."""
    return all(
        as_index(s).same(want) or as_index(n).same(1)
        for s, want, n in zip(strides, row_major(shape), shape, strict=True)
    )


def _mark_stored(graph: Graph, groups: list, units: dict) -> None:
    """Which values leave their kernel: results, and what another kernel reads."""
    wanted = {n.id for n in graph.outputs if isinstance(n, Node)} | {
        n.id for n in graph.updates.values()
    }
    for g in groups:
        for u in g.units:
            wanted |= {r.id for r, _ in u.reads if r.id in units and units[r.id].group is not g}
    for g in groups:
        g.stored = [
            u
            for u in g.units
            if u.node.id in wanted or u.kind in ("scatter", "scan", "native", "opaque")
        ]
