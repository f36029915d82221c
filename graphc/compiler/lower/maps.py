"""Maps: elementwise groups, all of whose loops are rows. Takes one, gives one kernel.

Loops that memory lets run as one are merged; reads across memory run in tiles; random numbers are
drawn in runs. Invariant: the order of elements is free, so whatever suits memory is taken.
"""

from __future__ import annotations

from typing import Any

from ...base import dtypes
from ...ir.graph import Node
from ...ir.index import Index, as_index, flatten, from_expr, unflatten
from ...ir.loop import (
    Address,
    Alloc,
    Apply,
    Buffer,
    Call,
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
from ..passes.fuse import Group, draws
from .coords import counter, hint, mergeable, one_symbol, position, small
from .kernel import Kernel
from .nest import Scope
from .rows import Rows
from .values import Values, rounded, stream

RUN = 256  # elements whose random numbers are drawn by one call
SIDE, WIDE = 16, 64  # rows and columns of the tiles of maps that read across memory


def _memory_order(g: Group, low: Any) -> None:
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


class Maps(Rows):
    """Lowers a group of kind "rows" that has maps only, with as many rows as loops."""

    def __init__(self, low: Any, g: Group, name: str):
        self.blocks: dict[int, Buffer] = {}  # random words drawn for a run
        super().__init__(low, g, name)

    def _rows(self) -> int:
        g = self.g
        if not g.rank or any(draws(u) for u in g.units):
            return g.rank
        _memory_order(g, self.low)
        t = mergeable(g.units, 0, g.rank, self.low)
        return g.rank if t == g.rank else g.rank - t

    def kernels(self) -> list[Kernel]:
        if any(draws(u) for u in self.g.units):
            return [self._drawing()]
        if self.rank < self.g.rank:
            across = self._across()
            if across is not None:
                return [self._tiles(across)]
        return super().kernels()

    # ---- maps that read some memory across their inner loop

    def _across(self) -> int | None:
        """The loop along which a large read runs that strides far along the innermost loop."""
        last = self.g.rank - 1
        if hint(self.g.units[0].space[last]) < 16:
            return None
        for u in self.g.units:
            for n, coords in u.reads:
                if n.id not in self.low.places:
                    continue
                at = position(coords, self.low.places[n.id][0].strides)
                step = at.coefficient(one_symbol(u.symbols[last]))
                if step is None or small(step):
                    continue
                for p in range(last):
                    if at.coefficient(one_symbol(u.symbols[p])) == 1 and hint(u.space[p]) >= 8:
                        return p
        return None

    def _tiles(self, p: int) -> Kernel:
        """Tiles of SIDE rows by WIDE columns: what lies across is first copied, line by line, into
        a small array that the inner loop reads along."""
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
        sides = [
            self._bound(self.scope, space[p] - tile * SIDE, SIDE),
            self._bound(in_tile, space[last] - j0, WIDE),
        ]
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
            if along != 1 or across is None or small(across):
                return e
            found = gathered.get(e.key)
            if found is None:
                found = gathered[e.key] = Buffer(
                    self.top.names.fresh("tile"),
                    e.dtype,
                    SIDE * WIDE,
                    "local",
                    frozenset(in_tile.symbols),
                )
                copy = For(one_symbol(i), sides[0], [Store(found, i * WIDE + j, e)])
                in_tile.stmts += [Alloc(found), For(one_symbol(j), sides[1], [copy])]
            return Load(found, i * WIDE + j)

        self._map_body(self.g.units, [], inner, Values(leaf, self.low.seeds))
        rows.stmts.append(For(one_symbol(j), sides[1], inner.stmts, "vector"))
        in_tile.stmts.append(For(one_symbol(i), sides[0], rows.stmts))
        self.scope.stmts.append(For(one_symbol(j0), space[last], in_tile.stmts, step=WIDE))
        body: list[Stmt] = [
            *self.top.stmts,
            For(one_symbol(self.row), extent, self.scope.stmts, "parallel"),
        ]
        return Kernel(self.name, "rows", body, one_symbol(self.row), extent, space[last] * SIDE)

    @staticmethod
    def _bound(scope: Scope, left: Any, most: int) -> Index:
        """min(left, most) as a bound in scope; a constant when it always is `most`."""
        lo, _ = as_index(left).bounds()
        if lo is not None and lo >= most:
            return as_index(most)
        ref = Ref(scope.names.fresh("n"), dtypes.int64, frozenset(scope.symbols))
        scope.stmts.append(
            Let(ref.name, Apply("min", (IndexValue(left), IndexValue(most)), dtypes.int64))
        )
        return from_expr(ref, 0, most + 1)

    def _drawing(self) -> Kernel:
        """A map that draws random numbers: runs of RUN elements, each drawn by one call."""
        total = numel(self.space)
        runs = (as_index(total) + (RUN - 1)) // RUN
        self.row = counter("row", runs)
        self.scope = Scope(self.top, [one_symbol(self.row)])
        first = self.row * RUN
        w = Ref("w", dtypes.int64, frozenset(self.scope.symbols))
        self.scope.stmts.append(
            Let(
                "w",
                Apply("min", (IndexValue(as_index(total) - first), IndexValue(RUN)), dtypes.int64),
            )
        )
        length = from_expr(w, 0, RUN + 1)
        j = counter("j", RUN)
        inner = Scope(self.scope, [one_symbol(j)])
        self.row_coords = unflatten(first + j, self.space)
        self.current = {u.node.id for u in self.g.units}
        values = self._values()
        values.drawn = lambda node, coords: self._block(node, coords, first, j, length)
        self._map_body(self.g.units, [], inner, values)
        self.scope.stmts.append(For(one_symbol(j), length, inner.stmts, "vector"))
        body: list[Stmt] = [
            *self.top.stmts,
            For(one_symbol(self.row), runs, self.scope.stmts, "parallel"),
        ]
        return Kernel(self.name, "rows", body, one_symbol(self.row), as_index(runs), 8 * RUN)

    def _block(
        self, node: Node, coords: tuple, first: Index, j: Index, length: Index
    ) -> Expr | None:
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
            words = Buffer(
                self.scope.names.fresh("words"),
                dtypes.int64,
                RUN * per,
                "local",
                frozenset(self.scope.symbols),
            )
            self.blocks[node.id] = words
            self.scope.stmts += [
                Alloc(words),
                Call(
                    "gcp_words",
                    (
                        seed,
                        start,
                        IndexValue(first * per),
                        IndexValue(length * per),
                        Address(words),
                    ),
                ),
            ]
        # gc_<fn>(seed, offset, i, ...) is gc_word_<fn>(its words, ...)
        drawn = [Load(words, j * per + k) for k in range(per)]
        return rounded(Apply(f"word_{e.fn}", (*drawn, *e.args[3:]), e.dtype, e.code), node.dtype)
