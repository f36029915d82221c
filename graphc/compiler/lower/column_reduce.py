"""Reductions down the columns of a tile. Takes the reduced units of a stage, appends statements to
the owner's scope. Invariant: the order of additions of each column is that of row_reduce, so that
a row sum and a column sum of the same numbers have the same bits.
"""

from __future__ import annotations

from typing import Any

from ...base import dtypes
from ...ir.index import Index, as_index, from_expr, unflatten
from ...ir.loop import (
    Address,
    Alloc,
    Apply,
    Buffer,
    Call,
    Const,
    Expr,
    For,
    If,
    IndexValue,
    Let,
    Load,
    Ref,
    Select,
    Stmt,
    Store,
    cast,
)
from ...ir.types import numel
from .coords import counter, one_symbol, rename
from .nest import Scope, place
from .reduce import (
    CHUNK,
    LEVELS,
    accumulator,
    combine,
    identity,
    in_lanes,
    kind_of,
    least,
    routine,
    wins,
)
from .values import rounded


class ColumnReduce:
    """Reductions down the columns of one tile: eight rows of a lane at a time."""

    def __init__(self, owner: Any, sums: list):
        self.owner, self.sums = owner, sums
        self.space = sums[0].space[owner.kept :]
        self.n = numel(self.space)
        self.names = owner.scope.names

    def emit(self) -> None:
        lanes = [u for u in self.sums if in_lanes(u)]
        plain = [u for u in self.sums if not in_lanes(u)]
        if lanes:
            self._lanes(lanes)
        if plain:
            self._plain(plain)

    def _argument(self, u: Any, r: Index, jj: Index, values: Any) -> Expr:
        o = self.owner
        sub = {
            one_symbol(s).name: c
            for s, c in zip(u.symbols[: u.kept], o.column_coords(jj), strict=True)
        }
        sub.update(
            {
                one_symbol(s).name: c
                for s, c in zip(u.symbols[u.kept :], unflatten(r, self.space), strict=True)
            }
        )
        return values.value(u.node.args[0], tuple(rename(c, sub) for c in u.source))

    def _lanes(self, sums: list) -> None:
        o, scope = self.owner, self.owner.scope
        w = o.w
        long = not (isinstance(self.n, int) and self.n <= CHUNK)
        lanes = {}
        stacks = {}
        for u in sums:
            d = accumulator(u)
            lanes[u.node.id] = Buffer(self.names.fresh("lanes"), d, 8 * o.width, "local")
            scope.stmts.append(Alloc(lanes[u.node.id]))
            if long:
                # one entry per binary digit of the chunk count
                levels = (
                    LEVELS
                    if not isinstance(self.n, int)
                    else (self.n // CHUNK + 1).bit_length() + 1
                )
                count = levels * 8 * o.width
                stacks[u.node.id] = Buffer(
                    self.names.fresh("stack"),
                    d,
                    count,
                    "local" if count * d.itemsize <= 1 << 18 else "heap",
                )
                scope.stmts.append(Alloc(stacks[u.node.id]))
        if not long:
            self._chunk(scope, as_index(0), as_index(self.n), sums, lanes)
            ends = lanes
        else:
            c = counter(self.names.fresh("c"), None)
            inner = Scope(scope, [one_symbol(c)])
            ref = Ref(scope.names.fresh("n"), dtypes.int64, frozenset(inner.symbols))
            inner.stmts.append(Let(ref.name, least(CHUNK, self.n - c * CHUNK)))
            self._chunk(inner, c * CHUNK, from_expr(ref, 0, CHUNK + 1), sums, lanes)
            for u in sums:
                inner.stmts.append(
                    Call(
                        routine(u, "push"),
                        (
                            Address(stacks[u.node.id]),
                            IndexValue(c),
                            Address(lanes[u.node.id]),
                            IndexValue(w * 8),
                        ),
                    )
                )
            chunks = (as_index(self.n) + (CHUNK - 1)) // CHUNK
            scope.stmts.append(For(one_symbol(c), chunks, inner.stmts))
            for u in sums:
                scope.stmts.append(
                    Call(
                        routine(u, "finish"),
                        (Address(stacks[u.node.id]), IndexValue(chunks), IndexValue(w * 8)),
                    )
                )
            ends = stacks
        over = frozenset(scope.symbols)
        for u in sums:
            out = Buffer(self.names.fresh("sum"), accumulator(u), o.width, "local", over)
            scope.stmts += [
                Alloc(out),
                Call(
                    routine(u, "fold_rows"), (Address(ends[u.node.id]), IndexValue(w), Address(out))
                ),
            ]
            self._finish(u, out)

    def _chunk(self, scope: Scope, start: Index, length: Index, sums: list, lanes: dict) -> None:
        """Adds rows start .. start + length - 1 (one chunk) to fresh lanes."""
        o, w = self.owner, self.owner.w
        for u in sums:
            scope.stmts.append(
                Call(routine(u, "begin"), (Address(lanes[u.node.id]), IndexValue(w * 8)))
            )
        b = counter(self.names.fresh("b"), length)
        in_block = Scope(scope, [one_symbol(b)])
        l = counter(self.names.fresh("l"), 8)
        in_lane = Scope(in_block, [one_symbol(l)])
        # rows of this lane in this block: b + l, b + l + 8, ... below length
        left = length - b - l + 7
        count = Ref(scope.names.fresh("rows"), dtypes.int64, frozenset(in_lane.symbols))
        known = length.constant
        if known is not None and known % 64 == 0:
            k_end: Any = as_index(8)
        else:
            in_lane.stmts.append(
                Let(count.name, Apply("lane_rows", (IndexValue(left),), dtypes.int64, ""))
            )
            k_end = from_expr(count, 0, 9)
        inside: list[Stmt] = []
        buffered = []
        for u in sums:
            where = self._direct(u, start + b + l, w)
            if where is None:
                buffered.append(u)
                continue
            address, ld = where
            inside.append(
                Call(
                    routine(u, "rows"),
                    (
                        Address(lanes[u.node.id], l * w),
                        address,
                        IndexValue(ld * 8),
                        IndexValue(k_end),
                        IndexValue(w),
                    ),
                )
            )
        if buffered:
            k = counter(self.names.fresh("k"), k_end)
            in_rows = Scope(in_lane, [one_symbol(k)])
            jj = counter(self.names.fresh("j"), o.width)
            in_cols = Scope(in_rows, [one_symbol(jj)])
            values = o._values()
            roots = [
                cast(self._argument(u, start + b + l + k * 8, jj, values), accumulator(u))
                for u in buffered
            ]
            es = [
                Buffer(self.names.fresh("e"), accumulator(u), 8 * o.width, "local")
                for u in buffered
            ]
            for e, short in zip(es, place(in_cols, roots, o.pinned), strict=True):
                in_cols.stmts.append(Store(e, k * o.width + jj, short))
            in_rows.stmts.append(For(one_symbol(jj), w, in_cols.stmts, "vector"))
            inside += [Alloc(e) for e in es]
            inside.append(For(one_symbol(k), k_end, in_rows.stmts))
            for u, e in zip(buffered, es, strict=True):
                inside.append(
                    Call(
                        routine(u, "rows"),
                        (
                            Address(lanes[u.node.id], l * w),
                            Address(e),
                            IndexValue(o.width),
                            IndexValue(k_end),
                            IndexValue(w),
                        ),
                    )
                )
        if k_end.is_constant:
            in_lane.stmts += inside
        else:
            in_lane.stmts.append(
                If(Apply("gt", (count, Const(0, dtypes.int64)), dtypes.bool_), inside)
            )
        in_block.stmts.append(For(one_symbol(l), 8, in_lane.stmts))
        scope.stmts.append(For(one_symbol(b), length, in_block.stmts, step=64))

    def _direct(self, u: Any, r: Index, w: Any) -> tuple[Address, Any] | None:
        """(first element, distance between rows) when the tile's rows lie in memory as they are."""
        if len(self.space) != 1:
            return None
        k, jj = counter("direct_k", None), counter("direct_j", self.owner.width)
        e = self._argument(u, r + k, jj, self.owner._values())
        if not isinstance(e, Load) or e.dtype is not accumulator(u):
            return None
        ld = e.index.coefficient(one_symbol(k))
        if ld is None or e.index.coefficient(one_symbol(jj)) != 1:
            return None
        return Address(
            e.buffer, e.index.substitute({one_symbol(k): 0, one_symbol(jj): 0})
        ), as_index(ld)

    def _plain(self, sums: list) -> None:
        """Order-free reductions: one accumulator per column."""
        o, scope = self.owner, self.owner.scope
        state: dict[int, list[Buffer]] = {}
        for u in sums:
            acc = Buffer(
                self.names.fresh("acc"), accumulator(u), o.width, "local", frozenset(scope.symbols)
            )
            state[u.node.id] = [acc]
            scope.stmts.append(Alloc(acc))
            if kind_of(u).startswith("arg"):
                at = Buffer(
                    self.names.fresh("where"),
                    dtypes.int64,
                    o.width,
                    "local",
                    frozenset(scope.symbols),
                )
                state[u.node.id].append(at)
                scope.stmts.append(Alloc(at))
        jj = counter(self.names.fresh("j"), o.width)
        start = [
            Store(b, jj, identity(u) if i == 0 else Const(0, dtypes.int64))
            for u in sums
            for i, b in enumerate(state[u.node.id])
        ]
        scope.stmts.append(For(one_symbol(jj), o.w, list(start), "vector"))
        r = counter(self.names.fresh("r"), self.n)
        in_rows = Scope(scope, [one_symbol(r)])
        jj = counter(self.names.fresh("j"), o.width)
        in_cols = Scope(in_rows, [one_symbol(jj)])
        values = o._values()
        shorts = place(in_cols, [self._argument(u, r, jj, values) for u in sums], o.pinned)
        for u, x in zip(sums, shorts, strict=True):
            acc = state[u.node.id][0]
            if not kind_of(u).startswith("arg"):
                in_cols.stmts.append(Store(acc, jj, combine(u, Load(acc, jj), x)))
                continue
            at = state[u.node.id][1]
            x_ref = Ref(scope.names.fresh("x"), x.dtype, frozenset(in_cols.symbols))
            take = Ref(scope.names.fresh("take"), dtypes.bool_, frozenset(in_cols.symbols))
            in_cols.stmts += [
                Let(x_ref.name, x),
                Let(take.name, wins(u, Load(acc, jj), x_ref)),
                Store(acc, jj, Select(take, x_ref, Load(acc, jj))),
                Store(at, jj, Select(take, IndexValue(r), Load(at, jj))),
            ]
        in_rows.stmts.append(For(one_symbol(jj), o.w, in_cols.stmts, "vector"))
        scope.stmts.append(For(one_symbol(r), self.n, in_rows.stmts))
        for u in sums:
            self._finish(u, state[u.node.id][-1])

    def _finish(self, u: Any, out: Buffer) -> None:
        o = self.owner
        jj = counter(self.names.fresh("j"), o.width)
        scope = Scope(o.scope, [one_symbol(jj)])
        o.finish_columns(u, jj, scope, rounded(Load(out, jj), u.node.dtype))
        o.scope.stmts.append(For(one_symbol(jj), o.w, scope.stmts, "vector"))
