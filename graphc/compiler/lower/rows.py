"""Rows: takes a group whose units share their leading loops, gives the kernel that runs row by row.

Inside a row come values per row, loops over its elements and reductions, in the order of their
needs.
Invariant: what one loop of a row leaves for a later one stays in a small array of that row.
"""

from __future__ import annotations

from typing import Any

from ...ir.graph import Node
from ...ir.index import Index, as_index, unflatten
from ...ir.loop import Alloc, Buffer, Const, Expr, For, Let, Load, Ref, Stmt, Store
from ...ir.types import numel
from ..passes.fuse import Group, Unit
from .coords import counter, hint, mergeable, one_symbol, position, rename, row_major
from .kernel import Kernel
from .nest import Scope, place
from .row_reduce import RowReduce
from .stages import Stage, split_stages
from .values import Values, stored

SPLIT = 1 << 16  # a full reduction over more elements is shared among threads by chunks


class Rows:
    """Lowers a group of kind "rows"."""

    def __init__(self, low: Any, g: Group, name: str):
        self.low, self.g, self.name = low, g, name
        self.rank = self._rows()
        self.units = {u.node.id: u for u in g.units}
        self.space = g.units[0].space[: self.rank]
        self.top = Scope(None)
        self.blocks: dict[int, Buffer] = {}
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

    def _rows(self) -> int:
        """How many leading loops are rows."""
        return self.g.rank

    def kernels(self) -> list[Kernel]:
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
        body: list[Stmt] = [
            *self.top.stmts,
            For(one_symbol(self.row), extent, self.scope.stmts, "parallel"),
        ]
        work = max((numel(u.space[self.rank :]) for u in self.g.units), key=hint)
        return Kernel(name, "rows", body, one_symbol(self.row), extent, work, scratch=self.scratch)

    # ---- values

    def _leaf(self, node: Node, coords: tuple) -> Expr | None:
        if node.id in self.row_values:
            return self.row_values[node.id]
        if node.id in self.current:
            return None
        if node.id in self.temps:
            buffer, dims = self.temps[node.id]
            return Load(
                buffer,
                position(
                    tuple(coords[d] for d in dims), row_major(tuple(node.shape[d] for d in dims))
                ),
            )
        if node.id in self.low.places:
            e = self.low.load(node, coords)
            if node.id in self.units and isinstance(e, Load):
                # written by an earlier loop of this row: not to be read before that
                b = e.buffer
                return Load(
                    Buffer(b.name, b.dtype, b.count, b.space, frozenset([one_symbol(self.row)])),
                    e.index,
                )
            return e
        return None

    def _values(self) -> Values:
        return Values(self._leaf, self.low.seeds)

    def _coords(self, u: Unit, inner: dict) -> dict:
        """{symbol name of the unit: Index} for its row loops and the given inner ones."""
        out = {
            one_symbol(s).name: c
            for s, c in zip(u.symbols[: self.rank], self.row_coords, strict=True)
        }
        out.update(inner)
        return out

    def _row_value(self, u: Unit) -> None:
        if u.kind == "reduce":  # over axes of size 1 only
            RowReduce(self, (), [u], []).emit()
            return
        at = self._coords(u, {})
        coords = tuple(rename(c, at) for c in u.coords)
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
        self.waiting += [
            Store(buffer, index, stored(short, u.node.dtype))
            for buffer, index in self._targets(u, coords)
        ]

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
        dims = tuple(u.rows[self.rank :])
        count = numel(tuple(u.node.shape[d] for d in dims))
        buffer = Buffer(
            self.scope.names.fresh("row_"),
            u.node.dtype,
            count,
            "local"
            if isinstance(count, int) and count * u.node.dtype.itemsize <= 1 << 18
            else "heap",
            frozenset(self.scope.symbols),
        )
        self.temps[u.node.id] = (buffer, dims)
        self.scope.stmts.append(Alloc(buffer))

    def _map_loops(self, s: Stage, maps: list[Unit]) -> None:
        high = self.rank + len(s.space)
        t = mergeable(maps, self.rank, high, self.low) if not self._awkward(maps) else 1
        outer, inner = s.space[: len(s.space) - t], s.space[len(s.space) - t :]
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

    def _map_body(
        self, maps: list[Unit], at: list, scope: Scope, values: Values | None = None
    ) -> None:
        values = values or self._values()
        roots: list[Expr] = []
        targets: list[Any] = []
        for u in maps:
            sub = self._coords(
                u, dict(zip([one_symbol(x).name for x in u.symbols[self.rank :]], at, strict=True))
            )
            coords = tuple(rename(c, sub) for c in u.coords)
            value = values.value(u.node, coords)
            places = self._store_targets(u, coords)
            if not places:
                roots.append(value)  # so that it gets a name, which keeps expressions shallow
                targets.append(None)
            for where in places:
                roots.append(stored(value, u.node.dtype))
                targets.append(where)
        for where, e in zip(targets, place(scope, roots, self.pinned), strict=True):
            if where is not None:
                scope.stmts.append(Store(where[0], where[1], e))

    def _store_targets(self, u: Unit, coords: tuple) -> list[tuple[Buffer, Index]]:
        out = self._targets(u, coords)
        if u.node.id in self.temps:
            buffer, dims = self.temps[u.node.id]
            out.append(
                (
                    buffer,
                    position(
                        tuple(coords[d] for d in dims),
                        row_major(tuple(u.node.shape[d] for d in dims)),
                    ),
                )
            )
        return out

    def _close(self, scopes: list[Scope], loops: list) -> None:
        """Wraps the innermost scope's statements in its loops, inside out."""
        for scope, outer, (c, n) in zip(
            reversed(scopes[1:]), reversed(scopes[:-1]), reversed(loops), strict=True
        ):
            mark = "vector" if scope is scopes[-1] else "serial"
            outer.stmts.append(For(one_symbol(c), n, scope.stmts, mark))

    def _inner_reduce(self, u: Unit) -> None:
        """A reduction inside the row that keeps some axes: a loop over them, each a row
        reduction."""
        kept = u.space[self.rank : u.kept]
        q = counter(self.scope.names.fresh("q"), numel(kept))
        if u.node.id not in self.low.places:
            self._temp(u)
        outer, row_coords, rank, waiting = self.scope, self.row_coords, self.rank, self.waiting
        inner = Scope(outer, [one_symbol(q)])
        self.scope, self.rank, self.waiting = inner, u.kept, []
        self.row_coords = row_coords + unflatten(q, kept)
        RowReduce(self, u.space[u.kept :], [u], []).emit()
        inner.stmts += self.waiting
        self.row_values.pop(u.node.id)  # a value per (row, q): read back from memory
        self.scope, self.rank, self.row_coords, self.waiting = outer, rank, row_coords, waiting
        outer.stmts.append(For(one_symbol(q), numel(kept), inner.stmts))

    def finish_reduce(self, u: Unit, e: Expr) -> None:
        """Called by RowReduce with the finished value of u."""
        sub = self._coords(u, {})
        coords = tuple(rename(c, sub) for c in u.coords)
        self._finish_row(u, e, coords)
        if u.node.id in self.temps:
            buffer, dims = self.temps[u.node.id]
            index = position(
                tuple(coords[d] for d in dims), row_major(tuple(u.node.shape[d] for d in dims))
            )
            self.scope.stmts.append(
                Store(buffer, index, stored(self.row_values[u.node.id], u.node.dtype))
            )

    # ---- one long reduction of everything, shared among threads by chunks

    def _long(self, steps: list) -> bool:
        loops = [w for k, w in steps if k == "loop"]
        return (
            len(loops) == 1
            and len(loops[0].units) == 1
            and loops[0].units[0].kind == "reduce"
            and loops[0].units[0].kept == 0
            and RowReduce.chunked(loops[0].units[0])
            and hint(numel(loops[0].space)) > SPLIT
        )

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
        for _, w in steps[at + 1 :]:
            rest._row_value(w)
        return [first, rest._kernel(self.name)]
