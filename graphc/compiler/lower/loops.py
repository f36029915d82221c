"""Groups to kernels: takes a fusion Plan and the place of every value in memory, gives loop nests.

Invariant: reductions and products follow the canonical order whatever was fused around them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...base import dtypes
from ...ir.graph import Node
from ...ir.index import Data, Div, Index, Mod, Symbol, as_index, flatten, from_expr, loop, unflatten
from ...ir.loop import (Address, Alloc, Apply, Buffer, Call, Cast, Checked, Const, Expr, For, If, IndexValue,
                        Let, Load, Ref, Require, Set, Stmt, Store, cast, walk)
from ...ir.types import numel
from ..passes.fuse import Group, Unit, draws, operand
from .kernel import Gemm, Kernel, Place
from .nest import Scope, place
from .reduce import ColumnReduce, RowReduce
from .values import Values, rounded, stored, stream

TILE = 256          # columns per tile of a column reduction
RUN = 256           # elements per run of a row reduction
SIDE, WIDE = 16, 64  # rows and columns of the tiles of maps that read across memory
SPLIT = 1 << 16     # a full reduction over more elements is shared among threads by chunks


def one_symbol(i: Index) -> Symbol:
    (m,), = i.terms
    return m


def counter(name: str, extent: Any) -> Index:
    """A loop counter that exists even for an extent of 1."""
    return Index({(Symbol(name, 0, extent),): 1})


class Lowering:
    """Lowers the groups of one program. `places`: node id -> [Place], the first one is read."""

    def __init__(self, places: dict[int, list[Place]], realised: set[int],
                 seeds: Callable[[int], tuple[Expr, Expr]], updated: frozenset = frozenset()):
        self.places, self.real, self.seeds = places, realised, seeds
        self.updated = updated          # names of input buffers that kernels overwrite

    def kernels(self, g: Group) -> list[Kernel]:
        """The kernels of a group: one, or two for long full sums and scatters."""
        name = kernel_name(g)
        if g.kind == "rows":
            found = Rows(self, g, name).kernels()
        elif g.kind == "columns":
            found = Columns(self, g, name).kernels()
        elif g.kind == "gemm":
            found = [_gemm(self, g, name)]
        elif g.kind == "scatter":
            found = _scatter(self, g, name)
        elif g.kind == "scan":
            found = [_scan(self, g, name)]
        else:
            raise TypeError(f"no lowering for a group of kind {g.kind}")
        for k in found:
            k.group = g
            k.fallible = any(isinstance(x, (Checked, Require)) for s in k.body for x in exprs_of(s))
        return found

    def pinned(self, g: Group) -> frozenset:
        """Names of the input buffers that the group overwrites: it reads each element just before it is
        written, and nowhere else."""
        return frozenset(p.buffer.name for u in g.units for p in self.places.get(u.node.id, ())
                         if p.buffer.name in self.updated)

    def written(self, g: Group) -> frozenset:
        """Names of all buffers that the group stores to."""
        return frozenset(p.buffer.name for u in g.units for p in self.places.get(u.node.id, ()))

    def load(self, node: Node, coords: tuple) -> Expr:
        buffer, strides = self.places[node.id][0]
        return Load(buffer, position(coords, strides))

    def stores(self, node: Node, coords: tuple) -> list[tuple[Buffer, Index]]:
        return [(p.buffer, position(coords, p.strides)) for p in self.places[node.id]]


def position(coords: tuple, strides: tuple) -> Index:
    total = as_index(0)
    for c, s in zip(coords, strides, strict=True):
        total = total + as_index(c) * s
    return total


def kernel_name(g: Group) -> str:
    """k<number>_<first>_<last operator>, readable in profiles."""
    names = []
    for u in g.units:
        for n in (*u.cone.values(), u.node):
            if n.op is not None and n.op.kind != "movement" and n.op.name not in names:
                names.append(n.op.name)
    if len(names) > 3:
        names = [names[0], names[1], names[-1]]
    return "_".join([f"k{g.id}", *(names or ["copy"])])


def exprs_of(s: Any) -> list[Expr]:
    """Every expression of a statement and of those inside it."""
    out: list[Expr] = []
    if isinstance(s, For):
        for x in s.body:
            out += exprs_of(x)
    elif isinstance(s, If):
        out += walk(s.cond)
        for x in (*s.then, *s.otherwise):
            out += exprs_of(x)
    elif isinstance(s, (Let, Set)):
        out += walk(s.expr)
    elif isinstance(s, Alloc) and s.init is not None:
        out += walk(s.init)
    elif isinstance(s, Store):
        out += walk(s.expr) + walk(IndexValue(s.index))
    elif isinstance(s, Call):
        for a in s.args:
            out += walk(a if isinstance(a, Expr) else IndexValue(a))
    return out


# ---------------------------------------------------------------- stages

class Stage:
    """Units that one loop computes. `space`: the extents inside the row; `reduced`: how many of them,
    from the right, are reduced (0 for maps)."""

    def __init__(self, space: tuple):
        self.space = space
        self.units: list[Unit] = []


def split_stages(g: Group, rank: int) -> list[tuple[str, Any]]:
    """("row", unit) for values per row and ("loop", Stage) for the others, in running order."""
    at: dict[int, float] = {}
    by_node = {u.node.id: u for u in g.units}
    stages: dict[float, list[Stage]] = {}
    row_units: dict[float, list[Unit]] = {}
    for u in g.units:
        level = 0.0
        inner = u.space[rank:]
        elementwise = bool(inner) or u.kind == "reduce" and len(u.space) > rank
        for r, coords in u.reads:
            v = by_node.get(r.id)
            if v is None:
                continue
            w = at[v.node.id]
            if not v.space[rank:]:                       # a value per row
                level = max(level, w if not elementwise else w + 0.5)
            elif not elementwise:
                level = max(level, w + 0.5)
            elif v.kind == "map" and _identity(u, v, coords) and _same_inner(u, v, rank):
                level = max(level, w)
            else:
                level = max(level, w + 1)
        if elementwise:
            level = float(int(level + 0.5))
            for s in stages.setdefault(level, []):
                if len(s.space) == len(inner) and all(
                        as_index(a).same(b) for a, b in zip(s.space, inner, strict=True)) and (
                        u.kept == rank or u.kind == "map") and all(
                        v.kind == "map" or v.kept == rank for v in s.units):
                    s.units.append(u)
                    break
            else:
                s = Stage(inner)
                s.units.append(u)
                stages[level].append(s)
            at[u.node.id] = level + (0.5 if u.kind == "reduce" and u.kept == rank else 0)
        else:
            level = level if level % 1 else level - 0.5
            row_units.setdefault(level, []).append(u)
            at[u.node.id] = level
    out: list[tuple[str, Any]] = []
    for level in sorted({*stages, *row_units}):
        out += [("row", u) for u in row_units.get(level, ())]
        out += [("loop", s) for s in stages.get(level, ())]
    return out


def _identity(u: Unit, v: Unit, coords: tuple) -> bool:
    """Whether u, which stands at its own loops, reads v at the same loops in the same order."""
    want = {one_symbol(s).name: as_index(u.symbols[i]) for i, s in enumerate(v.symbols)
            if i < len(u.symbols)}
    if len(u.symbols) != len(v.symbols):
        return False
    at = {c.key: i for i, c in enumerate(v.coords)}
    return all(coords[at[as_index(s).key]].same(want[one_symbol(s).name]) for s in v.symbols)


def _same_inner(u: Unit, v: Unit, rank: int) -> bool:
    a, b = u.space[rank:], v.space[rank:]
    return len(a) == len(b) and all(as_index(x).same(y) for x, y in zip(a, b, strict=True)) and (
        u.kind == "map" or u.kept == rank)


# ---------------------------------------------------------------- merging loops

def mergeable(units: list[Unit], low: int, high: int, lowering: Lowering) -> int:
    """The largest t such that loops [high - t, high) of the units can run as one counter without
    division in any address."""
    best = min(1, high - low)
    for t in range(2, high - low + 1):
        if not all(_merges(u, high - t, high, lowering) for u in units):
            break
        best = t
    return best


def _merges(u: Unit, a: int, b: int, lowering: Lowering) -> bool:
    flat = loop("flat", numel(u.space[a:b]))
    values = dict(zip([one_symbol(s) for s in u.symbols[a:b]], unflatten(flat, u.space[a:b]), strict=True))
    by_name = {s.name: v for s, v in values.items()}
    where = [(n, c) for n, c in u.reads]
    for n, coords in where:
        if n.id in lowering.places:
            at = position(coords, lowering.places[n.id][0].strides)
            if not _smooth(_rename(at, by_name)):
                return False
    if u.node.id in lowering.places and u.kind == "map":
        for p in lowering.places[u.node.id]:
            if not _smooth(_rename(position(u.coords, p.strides), by_name)):
                return False
    return True


def _rename(at: Index, by_name: dict) -> Index:
    return at.substitute({s: by_name[s.name] for s in at.symbols() if s.name in by_name and s.kind == "loop"})


def _smooth(at: Index) -> bool:
    return not any(isinstance(x, (Div, Mod, Data)) for m in at.terms for x in m)


# ---------------------------------------------------------------- rows

def _memory_order(g: Group, low: Lowering) -> None:
    """Turns the loops of a map so that its first stored result is written along memory."""
    u = next((u for u in g.units if u.node.id in low.places), None)
    if u is None:
        return
    at = position(u.coords, low.places[u.node.id][0].strides)
    steps = [at.coefficient(one_symbol(s)) for s in u.symbols]
    if not all(isinstance(s, int) and s > 0 for s in steps):
        return
    order = sorted(range(len(steps)), key=lambda d: -steps[d])
    if order != list(range(len(steps))):
        for v in g.units:
            v.symbols = tuple(v.symbols[d] for d in order)
            v.space = tuple(v.space[d] for d in order)


def _small(step: Any) -> bool:
    """Whether reading with this stride is as good as reading along memory."""
    return isinstance(step, int) and abs(step) <= 2


class Rows:
    """Lowers a group of kind "rows"."""

    def __init__(self, low: Lowering, g: Group, name: str):
        self.low, self.g, self.name = low, g, name
        self.rank = g.rank
        self.units = {u.node.id: u for u in g.units}
        self.pure = all(u.kind == "map" and len(u.space) == g.rank for u in g.units)
        if self.pure and g.rank:
            _memory_order(g, low)
            t = mergeable(g.units, 0, g.rank, low)
            self.rank = g.rank if t == g.rank else g.rank - t
        self.space = g.units[0].space[:self.rank]
        self.top = Scope(None)
        self.blocks: dict[int, Buffer] = {}
        if self.pure and any(draws(u) for u in g.units):
            self.rank = g.rank
            self.space = g.units[0].space
        self.row = counter("row", numel(self.space))
        self.row_coords = unflatten(self.row, self.space)
        self.scope = Scope(self.top, [one_symbol(self.row)])
        self.row_values: dict[int, Expr] = {}
        self.temps: dict[int, tuple[Buffer, tuple]] = {}
        self.current: set[int] = set()
        self.scratch: list[Buffer] = []
        self.waiting: list[Stmt] = []
        self.pinned = low.pinned(g)
        self.top.names.written = low.written(g)

    def kernels(self) -> list[Kernel]:
        if self.pure and any(draws(u) for u in self.g.units):
            return [self._drawing()]
        if self.pure and self.rank < self.g.rank:
            across = self._across()
            if across is not None:
                return [self._tiles(across)]
        steps = split_stages(self.g, self.rank)
        if self.rank == 0 and len(steps) and self._long(steps):
            return self._split(steps)
        last = self._last_reads(steps)
        for i, (kind, what) in enumerate(steps):
            if kind == "row":
                self._row_value(what)
            else:
                self._stage(what, i, last)
        return [self._kernel(self.name)]

    def _kernel(self, name: str) -> Kernel:
        extent = as_index(numel(self.space))
        self.scope.stmts += self.waiting
        body: list[Stmt] = [*self.top.stmts, For(one_symbol(self.row), extent, self.scope.stmts, "parallel")]
        work = max((numel(u.space[self.rank:]) for u in self.g.units), key=_hint)
        return Kernel(name, "rows", body, one_symbol(self.row), extent, work, scratch=self.scratch)

    # ---- maps that read some memory across their inner loop

    def _across(self) -> int | None:
        """The loop along which a large read runs that strides far along the innermost loop."""
        last = self.g.rank - 1
        if _hint(self.g.units[0].space[last]) < 16:
            return None
        for u in self.g.units:
            for n, coords in u.reads:
                if n.id not in self.low.places:
                    continue
                at = position(coords, self.low.places[n.id][0].strides)
                step = at.coefficient(one_symbol(u.symbols[last]))
                if step is None or _small(step):
                    continue
                for p in range(last):
                    if at.coefficient(one_symbol(u.symbols[p])) == 1 and _hint(u.space[p]) >= 8:
                        return p
        return None

    def _tiles(self, p: int) -> Kernel:
        """Tiles of SIDE rows by WIDE columns: what lies across is first copied, line by line, into a
        small array that the inner loop reads along."""
        space = self.g.units[0].space
        last = len(space) - 1
        outer = [d for d in range(last) if d != p]
        tiles = (as_index(space[p]) + (SIDE - 1)) // SIDE
        lead = tuple(space[d] for d in outer)
        extent = as_index(numel(lead)) * tiles
        self.row = counter("row", extent)
        self.scope = Scope(self.top, [one_symbol(self.row)])
        o, tile = unflatten(self.row, (numel(lead), tiles))
        j0 = counter("j0", space[last])
        in_tile = Scope(self.scope, [one_symbol(j0)])
        sides = [self._bound(self.scope, space[p] - tile * SIDE, SIDE),
                 self._bound(in_tile, space[last] - j0, WIDE)]
        i, j = counter("i", SIDE), counter("j", WIDE)
        rows = Scope(in_tile, [one_symbol(i)])
        inner = Scope(rows, [one_symbol(j)])
        at = dict(zip(outer, unflatten(o, lead), strict=True))
        at[p], at[last] = tile * SIDE + i, j0 + j
        self.row_coords, self.rank = [at[d] for d in range(len(space))], len(space)
        self.current = {u.node.id for u in self.g.units}
        gathered: dict[str, Buffer] = {}

        def leaf(node: Node, coords: tuple) -> Expr | None:
            e = self._leaf(node, coords)
            if not isinstance(e, Load) or e.buffer.name in self.pinned:
                return e
            along, across = (e.index.coefficient(one_symbol(x)) for x in (i, j))
            if along != 1 or across is None or _small(across):
                return e
            found = gathered.get(e.key)
            if found is None:
                found = gathered[e.key] = Buffer(self.top.names.fresh("tile"), e.dtype, SIDE * WIDE, "local",
                                                 frozenset(in_tile.symbols))
                copy = For(one_symbol(i), sides[0], [Store(found, i * WIDE + j, e)])
                in_tile.stmts += [Alloc(found), For(one_symbol(j), sides[1], [copy])]
            return Load(found, i * WIDE + j)

        self._map_body(self.g.units, [], inner, Values(leaf, self.low.seeds))
        rows.stmts.append(For(one_symbol(j), sides[1], inner.stmts, "vector"))
        in_tile.stmts.append(For(one_symbol(i), sides[0], rows.stmts))
        self.scope.stmts.append(For(one_symbol(j0), space[last], in_tile.stmts, step=WIDE))
        body: list[Stmt] = [*self.top.stmts, For(one_symbol(self.row), extent, self.scope.stmts, "parallel")]
        return Kernel(self.name, "rows", body, one_symbol(self.row), extent, space[last] * SIDE)

    @staticmethod
    def _bound(scope: Scope, left: Any, most: int) -> Index:
        """min(left, most) as a bound in scope; a constant when it always is `most`."""
        lo, _ = as_index(left).bounds()
        if lo is not None and lo >= most:
            return as_index(most)
        ref = Ref(scope.names.fresh("n"), dtypes.int64, frozenset(scope.symbols))
        scope.stmts.append(Let(ref.name, Apply("min", (IndexValue(left), IndexValue(most)), dtypes.int64)))
        return from_expr(ref, 0, most + 1)

    def _drawing(self) -> Kernel:
        """A map that draws random numbers: runs of RUN elements, each drawn by one call."""
        total = numel(self.space)
        runs = (as_index(total) + (RUN - 1)) // RUN
        self.row = counter("row", runs)
        self.scope = Scope(self.top, [one_symbol(self.row)])
        first = self.row * RUN
        w = Ref("w", dtypes.int64, frozenset(self.scope.symbols))
        self.scope.stmts.append(Let("w", Apply("min", (IndexValue(as_index(total) - first), IndexValue(RUN)),
                                               dtypes.int64)))
        length = from_expr(w, 0, RUN + 1)
        j = counter("j", RUN)
        inner = Scope(self.scope, [one_symbol(j)])
        self.row_coords = unflatten(first + j, self.space)
        self.current = {u.node.id for u in self.g.units}
        values = self._values()
        values.drawn = lambda node, coords: self._block(node, coords, first, j, length)
        self._map_body(self.g.units, [], inner, values)
        self.scope.stmts.append(For(one_symbol(j), length, inner.stmts, "vector"))
        body: list[Stmt] = [*self.top.stmts, For(one_symbol(self.row), runs, self.scope.stmts, "parallel")]
        return Kernel(self.name, "rows", body, one_symbol(self.row), as_index(runs), 8 * RUN)

    def _block(self, node: Node, coords: tuple, first: Index, j: Index, length: Index) -> Expr | None:
        """The number drawn for coords, from a block that is drawn before the loop; None when the
        elements of the loop are not neighbours in the stream."""
        op: Any = node.op
        per = op.extra.get("words")
        if per is None or not flatten(coords, node.shape).same(first + j):
            return None
        seed, start, rest = stream(node, self.low.seeds)
        e = op.lower(first + j, seed, start, *rest)
        if not isinstance(e, Apply):
            return None
        words = self.blocks.get(node.id)
        if words is None:
            words = Buffer(self.scope.names.fresh("words"), dtypes.int64, RUN * per, "local",
                           frozenset(self.scope.symbols))
            self.blocks[node.id] = words
            self.scope.stmts += [Alloc(words), Call("gcp_words", (
                seed, start, IndexValue(first * per), IndexValue(length * per), Address(words)))]
        # gc_<fn>(seed, offset, i, ...) is gc_word_<fn>(its words, ...)
        drawn = [Load(words, j * per + k) for k in range(per)]
        return rounded(Apply(f"word_{e.fn}", (*drawn, *e.args[3:]), e.dtype, e.code), node.dtype)

    # ---- values

    def _leaf(self, node: Node, coords: tuple) -> Expr | None:
        if node.id in self.row_values:
            return self.row_values[node.id]
        if node.id in self.current:
            return None
        if node.id in self.temps:
            buffer, dims = self.temps[node.id]
            return Load(buffer, position(tuple(coords[d] for d in dims), _row_major(
                tuple(node.shape[d] for d in dims))))
        if node.id in self.low.places:
            e = self.low.load(node, coords)
            if node.id in self.units and isinstance(e, Load):
                # written by an earlier loop of this row: not to be read before that
                b = e.buffer
                return Load(Buffer(b.name, b.dtype, b.count, b.space, frozenset([one_symbol(self.row)])), e.index)
            return e
        return None

    def _values(self) -> Values:
        return Values(self._leaf, self.low.seeds)

    def _coords(self, u: Unit, inner: dict) -> dict:
        """{symbol name of the unit: Index} for its row loops and the given inner ones."""
        out = {one_symbol(s).name: c for s, c in zip(u.symbols[:self.rank], self.row_coords, strict=True)}
        out.update(inner)
        return out

    def _row_value(self, u: Unit) -> None:
        if u.kind == "reduce":                      # over axes of size 1 only
            RowReduce(self, (), [u], []).emit()
            return
        at = self._coords(u, {})
        coords = tuple(_rename(c, at) for c in u.coords)
        self.current.add(u.node.id)
        e = self._values().value(u.node, coords)
        self._finish_row(u, e, coords)

    def _finish_row(self, u: Unit, e: Expr, coords: tuple) -> None:
        """Binds a value per row and stores it where it is wanted."""
        (short,) = place(self.scope, [e], self.pinned)
        if not isinstance(short, (Ref, Const)):
            ref = Ref(self.scope.names.fresh(), short.dtype, frozenset(self.scope.symbols))
            self.scope.stmts.append(Let(ref.name, short, u.node.op.name if u.node.op else ""))
            short = ref
        self.current.discard(u.node.id)
        self.row_values[u.node.id] = short
        # stores wait until the row's last load: one of them may overwrite what another value reads
        self.waiting += [Store(buffer, index, stored(short, u.node.dtype))
                         for buffer, index in self._targets(u, coords)]

    def _targets(self, u: Unit, coords: tuple) -> list[tuple[Buffer, Index]]:
        return self.low.stores(u.node, coords) if u.node.id in self.low.places else []

    # ---- loops inside a row

    def _last_reads(self, steps: list) -> dict[int, int]:
        """node id -> the last step that reads the value."""
        out: dict[int, int] = {}
        for i, (kind, what) in enumerate(steps):
            for u in [what] if kind == "row" else what.units:
                for r, _ in u.reads:
                    out[r.id] = i
        return out

    def _stage(self, s: Stage, i: int, last: dict[int, int]) -> None:
        self.current = {u.node.id for u in s.units if u.kind == "map"}
        maps = [u for u in s.units if u.kind == "map"]
        sums = [u for u in s.units if u.kind == "reduce"]
        for u in maps:
            if last.get(u.node.id, -1) > i and u.node.id not in self.low.places:
                self._temp(u)
        if sums:
            if sums[0].kept > self.rank:
                for u in sums:
                    self._inner_reduce(u)
            else:
                RowReduce(self, s.space, sums, maps).emit()
        else:
            self._map_loops(s, maps)
        self.current = set()

    def _temp(self, u: Unit) -> None:
        dims = tuple(u.rows[self.rank:])
        count = numel(tuple(u.node.shape[d] for d in dims))
        buffer = Buffer(self.scope.names.fresh("row_"), u.node.dtype, count,
                        "local" if isinstance(count, int) and count * u.node.dtype.itemsize <= 1 << 18
                        else "heap", frozenset(self.scope.symbols))
        self.temps[u.node.id] = (buffer, dims)
        self.scope.stmts.append(Alloc(buffer))

    def _map_loops(self, s: Stage, maps: list[Unit]) -> None:
        high = self.rank + len(s.space)
        t = mergeable(maps, self.rank, high, self.low) if not self._awkward(maps) else 1
        outer, inner = s.space[:len(s.space) - t], s.space[len(s.space) - t:]
        name = self.scope.names.fresh("j")
        j = counter(name, numel(inner))
        loops = [(j, numel(inner))]
        at = unflatten(j, inner)
        if outer:
            o = counter(self.scope.names.fresh("o"), numel(outer))
            loops.insert(0, (o, numel(outer)))
            at = unflatten(o, outer) + at
        scopes = [self.scope]
        for c, _ in loops:
            scopes.append(Scope(scopes[-1], [one_symbol(c)]))
        self._map_body(maps, at, scopes[-1])
        self._close(scopes, loops)

    def _awkward(self, maps: list[Unit]) -> bool:
        """Temporaries address rows by their own strides, which merging does not check."""
        return False

    def _map_body(self, maps: list[Unit], at: list, scope: Scope, values: Values | None = None) -> None:
        values = values or self._values()
        roots: list[Expr] = []
        targets: list[Any] = []
        for u in maps:
            sub = self._coords(u, dict(zip([one_symbol(x).name for x in u.symbols[self.rank:]], at,
                                           strict=True)))
            coords = tuple(_rename(c, sub) for c in u.coords)
            value = values.value(u.node, coords)
            places = self._store_targets(u, coords)
            if not places:
                roots.append(value)     # so that it gets a name, which keeps expressions shallow
                targets.append(None)
            for where in places:
                roots.append(stored(value, u.node.dtype))
                targets.append(where)
        for where, e in zip(targets, place(scope, roots, self.pinned), strict=True):
            if where is not None:
                scope.stmts.append(Store(*where, e))

    def _store_targets(self, u: Unit, coords: tuple) -> list[tuple[Buffer, Index]]:
        out = self._targets(u, coords)
        if u.node.id in self.temps:
            buffer, dims = self.temps[u.node.id]
            out.append((buffer, position(tuple(coords[d] for d in dims),
                                         _row_major(tuple(u.node.shape[d] for d in dims)))))
        return out

    def _close(self, scopes: list[Scope], loops: list) -> None:
        """Wraps the innermost scope's statements in its loops, inside out."""
        for scope, outer, (c, n) in zip(reversed(scopes[1:]), reversed(scopes[:-1]), reversed(loops),
                                        strict=True):
            mark = "vector" if scope is scopes[-1] else "serial"
            outer.stmts.append(For(one_symbol(c), n, scope.stmts, mark))

    def _inner_reduce(self, u: Unit) -> None:
        """A reduction inside the row that keeps some axes: a loop over them, each a row reduction."""
        kept = u.space[self.rank:u.kept]
        q = counter(self.scope.names.fresh("q"), numel(kept))
        if u.node.id not in self.low.places:
            self._temp(u)
        outer, row_coords, rank, waiting = self.scope, self.row_coords, self.rank, self.waiting
        inner = Scope(outer, [one_symbol(q)])
        self.scope, self.rank, self.waiting = inner, u.kept, []
        self.row_coords = row_coords + unflatten(q, kept)
        RowReduce(self, u.space[u.kept:], [u], []).emit()
        inner.stmts += self.waiting
        self.row_values.pop(u.node.id)          # a value per (row, q): read back from memory
        self.scope, self.rank, self.row_coords, self.waiting = outer, rank, row_coords, waiting
        outer.stmts.append(For(one_symbol(q), numel(kept), inner.stmts))

    def finish_reduce(self, u: Unit, e: Expr) -> None:
        """Called by RowReduce with the finished value of u."""
        sub = self._coords(u, {})
        coords = tuple(_rename(c, sub) for c in u.coords)
        self._finish_row(u, e, coords)
        if u.node.id in self.temps:
            buffer, dims = self.temps[u.node.id]
            index = position(tuple(coords[d] for d in dims), _row_major(tuple(u.node.shape[d] for d in dims)))
            self.scope.stmts.append(Store(buffer, index, stored(self.row_values[u.node.id], u.node.dtype)))

    # ---- one long reduction of everything, shared among threads by chunks

    def _long(self, steps: list) -> bool:
        loops = [w for k, w in steps if k == "loop"]
        return (len(loops) == 1 and len(loops[0].units) == 1 and loops[0].units[0].kind == "reduce"
                and loops[0].units[0].kept == 0 and RowReduce.chunked(loops[0].units[0])
                and _hint(numel(loops[0].space)) > SPLIT)

    def _split(self, steps: list) -> list[Kernel]:
        at = next(i for i, (k, _) in enumerate(steps) if k == "loop")
        (u,) = steps[at][1].units
        for _, w in steps[:at]:
            self._row_value(w)
        reduce = RowReduce(self, steps[at][1].space, [u], [])
        first = reduce.emit_chunks(f"{self.name}_chunks")
        rest = Rows(self.low, self.g, self.name)
        for _, w in steps[:at]:
            rest._row_value(w)
        reduce.owner = rest
        reduce.emit_combine()
        for _, w in steps[at + 1:]:
            rest._row_value(w)
        return [first, rest._kernel(self.name)]


def _row_major(shape: tuple) -> tuple:
    out: list = []
    step: Any = 1
    for s in reversed(shape):
        out.append(step)
        step = step * s
    return tuple(reversed(out))


def _hint(x: Any) -> int:
    return x if isinstance(x, int) else (1 << 20 if x.hint is None else x.hint)


# ---------------------------------------------------------------- columns

class Columns(Rows):
    """Lowers a group of kind "columns": tiles of neighbouring columns, reductions run down them."""

    def __init__(self, low: Lowering, g: Group, name: str):
        self.low, self.g, self.name = low, g, name
        self.kept = g.rank
        t = mergeable(g.units, 0, g.rank, low)
        space = g.units[0].space
        self.outer, self.inner = space[:g.rank - t], space[g.rank - t:g.rank]
        self.columns = numel(self.inner)
        self.width = min(self.columns, TILE) if isinstance(self.columns, int) else TILE
        tiles = (self.columns + self.width - 1) // self.width
        self.tiles = tiles
        self.extent = numel(self.outer) * tiles
        self.top = Scope(None)
        self.row = counter("row", self.extent)
        self.scope = Scope(self.top, [one_symbol(self.row)])
        o, tile = unflatten(self.row, (numel(self.outer), tiles))
        self.row_coords = unflatten(o, self.outer)
        self.first = tile * self.width
        self.w: Any = self._tile_width()
        self.rank = g.rank
        self.temps, self.row_values, self.current, self.scratch = {}, {}, set(), []
        self.arrays: dict[int, Buffer] = {}         # values per column of the tile
        self.pinned = low.pinned(g)
        self.top.names.written = low.written(g)

    def _tile_width(self) -> Any:
        if isinstance(self.columns, int) and self.columns % self.width == 0:
            return self.width
        left = IndexValue(as_index(self.columns) - self.first)
        e = Apply("min", (left, IndexValue(self.width)), dtypes.int64)
        self.scope.stmts.append(Let("w", e))
        ref = Ref("w", dtypes.int64, frozenset([one_symbol(self.row)]))
        return from_expr(ref, 0, self.width + 1)

    def kernels(self) -> list[Kernel]:
        for kind, what in split_stages(self.g, self.kept):
            units = [what] if kind == "row" else what.units
            for u in units:
                if u.kind == "map":
                    self._column_map(u)
            sums = [u for u in units if u.kind != "map"]
            if sums:
                ColumnReduce(self, sums).emit()
        body: list[Stmt] = [*self.top.stmts,
                            For(one_symbol(self.row), self.extent, self.scope.stmts, "parallel")]
        n = max((numel(u.space[self.kept:]) for u in self.g.units), key=_hint)
        return [Kernel(self.name, "rows", body, one_symbol(self.row), as_index(self.extent),
                       n * self.width)]

    def _leaf(self, node: Node, coords: tuple) -> Expr | None:
        if node.id in self.current:
            return None
        if node.id in self.arrays:
            u = self.units[node.id]
            flat = position(tuple(coords[d] for d in u.rows[len(self.outer):]), _row_major(self.inner))
            return Load(self.arrays[node.id], flat - self.first)
        if node.id in self.low.places:
            return self.low.load(node, coords)
        return None

    @property
    def units(self) -> dict[int, Unit]:         # type: ignore[override]
        return {u.node.id: u for u in self.g.units}

    def column_coords(self, jj: Index) -> list:
        """Coordinates of the kept loops at column jj of the tile."""
        return self.row_coords + unflatten(self.first + jj, self.inner)

    def array(self, u: Unit) -> Buffer:
        found = self.arrays.get(u.node.id)
        if found is None:
            found = Buffer(self.scope.names.fresh("col"), u.node.dtype, self.width, "local",
                           frozenset(self.scope.symbols))
            self.scope.stmts.append(Alloc(found))
            self.arrays[u.node.id] = found
        return found

    def _column_map(self, u: Unit) -> None:
        """A value per column, from sums that are finished."""
        jj = counter(self.scope.names.fresh("j"), self.width)
        scope = Scope(self.scope, [one_symbol(jj)])
        self.finish_columns(u, jj, scope, None)
        self.scope.stmts.append(For(one_symbol(jj), self.w, scope.stmts, "vector"))

    def finish_columns(self, u: Unit, jj: Index, scope: Scope, e: Expr | None) -> None:
        """Stores the value of u (computed from its cone when e is None) at column jj."""
        sub = {one_symbol(s).name: c for s, c in zip(u.symbols[:self.kept], self.column_coords(jj),
                                                     strict=True)}
        coords = tuple(_rename(c, sub) for c in u.coords)
        array = self.array(u) if self._read_inside(u) else None
        if e is None:
            self.current.add(u.node.id)
            e = self._values().value(u.node, coords)
            self.current.discard(u.node.id)
        (short,) = place(scope, [stored(e, u.node.dtype)], self.pinned)
        targets = self._targets(u, coords)
        if array is not None:
            targets.append((array, jj))
        if len(targets) > 1 and not isinstance(short, (Ref, Const)):
            ref = Ref(scope.names.fresh(), short.dtype, frozenset(scope.symbols))
            scope.stmts.append(Let(ref.name, short))
            short = ref
        for buffer, index in targets:
            scope.stmts.append(Store(buffer, index, short))

    def _read_inside(self, u: Unit) -> bool:
        return any(r.id == u.node.id for v in self.g.units for r, _ in v.reads)


# ---------------------------------------------------------------- products

def _gemm(low: Lowering, g: Group, name: str) -> Kernel:
    u = g.units[0]
    node = u.node
    a, b = node.node_args
    ops = []
    for x in (a, b):
        found = operand(x, low.real)
        assert found is not None, f"operand {x} of {node} has no strides"
        source, _, _ = found
        ops.append(_strides_in(x, low))
    batch: Any = 1 if len(node.shape) == 2 else node.shape[0]
    m, n = node.shape[-2], node.shape[-1]
    k = a.shape[-1]
    c = Buffer("c", node.dtype, 1, "tile")
    rest = [v for v in g.units[1:]]
    place_c = low.places.get(node.id, [None])[0]
    kernel = Kernel(name, "tile" if rest or len(low.places.get(node.id, ())) > 1 else "gemm", c=c)
    target = place_c.buffer if place_c is not None else None
    reuse = None
    if target is None:
        reuse = next((v for v in rest if v.node.id in low.places and v.node.dtype is node.dtype
                      and _is_row_major(low.places[v.node.id][0], v.node)
                      and low.places[v.node.id][0].buffer.name not in low.updated), None)
        if reuse is not None:
            target = low.places[reuse.node.id][0].buffer
        else:
            target = Buffer(f"product{g.id}", node.dtype, numel(node.shape), "heap")
            kernel.scratch.append(target)
    kernel.gemm = Gemm(batch, m, n, k, ops[0], ops[1], target, node.dtype.code)
    kernel.extent = as_index(batch * m)
    kernel.work = k * n
    if kernel.form == "tile":
        kernel.body = _epilogue(low, g, kernel, c, reuse)
    return kernel


def _is_row_major(p: Place, node: Node) -> bool:
    want = _row_major(node.shape)
    return all(as_index(a).same(b) or as_index(s).same(1)
               for a, b, s in zip(p.strides, want, node.shape, strict=True))


def _strides_in(x: Node, low: Lowering) -> tuple:
    """(buffer, strides, offset) of an operand over the memory it is a window of."""
    coords = tuple(counter(f"k{d}", s) for d, s in enumerate(x.shape))
    at: tuple = coords
    n = x
    while n.id not in low.places:
        op: Any = n.op
        at = tuple(as_index(c) for c in op.lower(list(at), n.args[0].type, *n.attrs))
        n = n.args[0]
    p = low.places[n.id][0]
    flat = position(at, p.strides)
    strides = []
    for c in coords:
        s = one_symbol(c)
        strides.append(flat.coefficient(s))
        flat = flat.substitute({s: 0})
    return p.buffer, tuple(strides), flat


def _epilogue(low: Lowering, g: Group, kernel: Kernel, c: Buffer, reuse: Unit | None) -> list[Stmt]:
    """The body run on each finished tile of the product."""
    u = g.units[0]
    top = Scope(None)
    i0, j0 = (Index({(Symbol(s, 0, None, None, "tile"),): 1}) for s in ("i0", "j0"))
    i1, j1, ldc, batch = (Index({(Symbol(s, 0, None, None, "tile"),): 1}) for s in
                          ("i1", "j1", "ldc", "batch"))
    i, j = counter("i", u.node.shape[-2]), counter("j", u.node.shape[-1])
    outer = Scope(top, [one_symbol(i)])
    inner = Scope(outer, [one_symbol(j)])
    lead = [batch] if len(u.node.shape) == 3 else []
    coords = tuple([*lead, i, j])
    at_c = (i - i0) * ldc + (j - j0)
    current = {v.node.id for v in g.units[1:]}

    def leaf(node: Node, where: tuple) -> Expr | None:
        if node.id == u.node.id:
            return Load(c, at_c)
        if node.id in current:
            return None
        return low.load(node, where) if node.id in low.places else None

    values = Values(leaf, low.seeds)
    roots, targets = [], []
    for v in g.units:
        places = low.places.get(v.node.id, [])
        if v is u:
            places = places[1:]
        if not places:
            continue
        e = stored(values.value(v.node, coords), v.node.dtype)
        for p in places:
            roots.append(e)
            if v is reuse and p is places[0]:
                targets.append((c, at_c))
            else:
                targets.append((p.buffer, position(coords, p.strides)))
    for (buffer, index), e in zip(targets, place(inner, roots, low.pinned(g) | {c.name}),
                                  strict=True):
        inner.stmts.append(Store(buffer, index, e))
    outer.stmts.append(For(one_symbol(j), j1, inner.stmts, "vector", begin=j0))
    return [*top.stmts, For(one_symbol(i), i1, outer.stmts, begin=i0)]


# ---------------------------------------------------------------- scatters and scans

def _plain_leaf(low: Lowering, own: set[int]) -> Callable:
    def leaf(node: Node, coords: tuple) -> Expr | None:
        if node.id in own or node.id not in low.places:
            return None
        return low.load(node, coords)
    return leaf


_COMBINE = {"add": "add", "mul": "mul", "max": "maximum", "min": "minimum", "set": ""}


def _scatter(low: Lowering, g: Group, name: str) -> list[Kernel]:
    """A copy of the base, then the updates one after the other."""
    u = g.units[0]
    node, op = u.node, u.node.op
    first = node.args[0]
    target = low.places[node.id][0]
    copy_top = Scope(None)
    n = numel(node.shape)
    row = counter("row", n)
    scope = Scope(copy_top, [one_symbol(row)])
    coords = tuple(unflatten(row, node.shape))
    e = Values(_plain_leaf(low, set()), low.seeds).value(first, coords)
    (e,) = place(scope, [stored(e, node.dtype)])
    scope.stmts.append(Store(target.buffer, position(coords, target.strides), e))
    copy = Kernel(f"{name}_base", "rows", [*copy_top.stmts, For(one_symbol(row), n, scope.stmts, "parallel")],
                  one_symbol(row), as_index(n), 1)

    types = [a.type for a in node.node_args]
    space = tuple(op.extra["space"](types, *node.attrs))        # type: ignore[union-attr]
    top = Scope(None)
    one = counter("row", 1)
    body = Scope(top, [one_symbol(one)])
    m = numel(space)
    at = [counter(f"u{d}", n) for d, n in enumerate(space)]
    scopes = [body]
    for c in at:
        scopes.append(Scope(scopes[-1], [one_symbol(c)]))
    inner = scopes[-1]
    values = Values(_plain_leaf(low, {node.id}), low.seeds)
    loads = [(lambda c, a=a: values.value(a, c)) for a in node.node_args]
    where, value = op.lower(list(at), loads, types, *node.attrs)     # type: ignore[union-attr]
    index = position(tuple(as_index(c) for c in where), target.strides)
    slot, value = place(inner, [IndexValue(index), value])
    spot = Ref(inner.names.fresh("at"), dtypes.int64, frozenset(inner.symbols))
    inner.stmts.append(Let(spot.name, slot))
    old: Expr = Load(target.buffer, from_expr(spot))
    combine = _COMBINE[op.extra["combine"]]         # type: ignore[union-attr]
    value = cast(value, node.dtype.compute)
    if combine:
        old = Cast(old, dtypes.float32) if node.dtype.is_half else old
        value = Apply(combine, (old, value), node.dtype.compute)
    inner.stmts.append(Store(target.buffer, from_expr(spot), stored(value, node.dtype)))
    for c, n, scope, outer in reversed(list(zip(at, space, scopes[1:], scopes[:-1], strict=True))):
        outer.stmts.append(For(one_symbol(c), n, scope.stmts))
    kernels = [copy, Kernel(name, "rows", [*top.stmts, For(one_symbol(one), 1, body.stmts, "parallel")],
                            one_symbol(one), as_index(1), m)]
    return kernels + _extra_places(low, node, name)


def _extra_places(low: Lowering, node: Node, name: str) -> list[Kernel]:
    """Copies to the further places of a value that a kernel could store once only."""
    out = []
    first, *rest = low.places[node.id]
    for i, p in enumerate(rest):
        n = numel(node.shape)
        row = counter("row", n)
        coords = tuple(unflatten(row, node.shape))
        s = Store(p.buffer, position(coords, p.strides), Load(first.buffer, position(coords, first.strides)))
        out.append(Kernel(f"{name}_copy{i}", "rows", [For(one_symbol(row), n, [s], "parallel")],
                          one_symbol(row), as_index(n), 1))
    return out


def _scan(low: Lowering, g: Group, name: str) -> Kernel:
    """A running combination along one axis, in sequence; lines run in parallel."""
    u = g.units[0]
    node = u.node
    dim = node.attrs[0]
    rest = tuple(s for d, s in enumerate(node.shape) if d != dim)
    top = Scope(None)
    row = counter("row", numel(rest))
    scope = Scope(top, [one_symbol(row)])
    others = unflatten(row, rest)
    t = counter("t", node.shape[dim])
    coords = tuple([*others[:dim], t, *others[dim:]])
    inner = Scope(scope, [one_symbol(t)])
    d = node.dtype.compute
    e = Values(_plain_leaf(low, {node.id}), low.seeds).value(node.args[0], coords)
    (e,) = place(inner, [cast(e, d)])
    op: Any = node.op
    fn, start = {"sum": ("add", 0), "prod": ("mul", 1)}[op.lower]
    acc = Buffer("acc", d, 1, "local")
    scope.stmts.append(Alloc(acc, Const(start, d)))
    ref = Ref("acc", d, frozenset(inner.symbols))
    inner.stmts.append(Set("acc", Apply(fn, (ref, e), d)))
    for p in low.places[node.id]:
        inner.stmts.append(Store(p.buffer, position(coords, p.strides), stored(ref, node.dtype)))
    scope.stmts.append(For(one_symbol(t), node.shape[dim], inner.stmts))
    return Kernel(name, "rows", [*top.stmts, For(one_symbol(row), numel(rest), scope.stmts, "parallel")],
                  one_symbol(row), as_index(numel(rest)), node.shape[dim])


__all__ = ["Lowering", "Address", "RUN"]
