"""Columns: takes a group of reductions that run across memory, gives the kernel that does a tile of
neighbouring results at a time. Invariant: as in rows, values stay within their own column.
"""

from __future__ import annotations

from typing import Any

from ...base import dtypes
from ...ir.graph import Node
from ...ir.index import Index, as_index, from_expr, unflatten
from ...ir.loop import (
    Alloc,
    Apply,
    Buffer,
    Const,
    Expr,
    For,
    IndexValue,
    Let,
    Load,
    Ref,
    Stmt,
    Store,
)
from ...ir.types import numel
from ..passes.fuse import Group, Unit
from .column_reduce import ColumnReduce
from .coords import counter, hint, mergeable, one_symbol, position, rename, row_major
from .kernel import Kernel
from .nest import Scope, place
from .rows import Rows
from .stages import split_stages
from .values import stored

TILE = 256  # columns per tile


class Columns(Rows):
    """Lowers a group of kind "columns": tiles of neighbouring columns, reductions run down them."""

    def __init__(self, low: Any, g: Group, name: str):
        self.low, self.g, self.name = low, g, name
        self.kept = g.rank
        t = mergeable(g.units, 0, g.rank, low)
        space = g.units[0].space
        self.outer, self.inner = space[: g.rank - t], space[g.rank - t : g.rank]
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
        self.arrays: dict[int, Buffer] = {}  # values per column of the tile
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
        body: list[Stmt] = [
            *self.top.stmts,
            For(one_symbol(self.row), self.extent, self.scope.stmts, "parallel"),
        ]
        n = max((numel(u.space[self.kept :]) for u in self.g.units), key=hint)
        return [
            Kernel(
                self.name, "rows", body, one_symbol(self.row), as_index(self.extent), n * self.width
            )
        ]

    def _leaf(self, node: Node, coords: tuple) -> Expr | None:
        if node.id in self.current:
            return None
        if node.id in self.arrays:
            u = self.units[node.id]
            flat = position(
                tuple(coords[d] for d in u.rows[len(self.outer) :]), row_major(self.inner)
            )
            return Load(self.arrays[node.id], flat - self.first)
        if node.id in self.low.places:
            return self.low.load(node, coords)
        return None

    @property
    def units(self) -> dict[int, Unit]:  # type: ignore[override]
        return {u.node.id: u for u in self.g.units}

    def column_coords(self, jj: Index) -> list:
        """Coordinates of the kept loops at column jj of the tile."""
        return self.row_coords + unflatten(self.first + jj, self.inner)

    def array(self, u: Unit) -> Buffer:
        found = self.arrays.get(u.node.id)
        if found is None:
            found = Buffer(
                self.scope.names.fresh("col"),
                u.node.dtype,
                self.width,
                "local",
                frozenset(self.scope.symbols),
            )
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
        sub = {
            one_symbol(s).name: c
            for s, c in zip(u.symbols[: self.kept], self.column_coords(jj), strict=True)
        }
        coords = tuple(rename(c, sub) for c in u.coords)
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
