"""Reductions of one row, one result at a time. Takes the reduced units of a stage, appends
statements to the owner's scope. Invariant: element r of the logical order enters lane r mod 8 of
block r div 64 of chunk r div 4096, whatever the loops look like.
"""

from __future__ import annotations

from typing import Any

from ...base import dtypes
from ...ir.index import Data, Div, Index, Mod, as_index, from_expr, unflatten
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
    Set,
    Stmt,
    Store,
    cast,
)
from ...ir.types import numel
from .coords import counter, mergeable, one_symbol, rename
from .kernel import Kernel
from .nest import Scope, place
from .reduce import (
    CHUNK,
    LEVELS,
    RUN,
    accumulator,
    combine,
    identity,
    in_lanes,
    in_runs,
    kind_of,
    least,
    routine,
    wins,
)
from .values import rounded, stored


class RowReduce:
    """One loop over the reduced elements of a row that computes `sums`, and stores the `maps` on
    the way.

    Values in run functions are first computed into a buffer of RUN elements; a sum over plain
    memory needs no buffer."""

    def __init__(self, owner: Any, space: tuple, sums: list, maps: list):
        self.owner, self.space, self.sums, self.maps = owner, space, sums, maps
        self.n = numel(space)
        self.names = owner.scope.names
        self.lines: tuple | None = None
        if len(space) > 1:
            k = len(space)
            t = min(
                mergeable([u], len(u.space) - k, len(u.space), owner.low) for u in [*sums, *maps]
            )
            if t < k:
                self.lines = space[: k - t], space[k - t :]

    @staticmethod
    def chunked(u: Any) -> bool:
        return in_lanes(u)

    # ---- whole rows

    def emit(self) -> None:
        """The accumulators, the loops and the finished values in the owner's scope."""
        scope = self.owner.scope
        state = {u.node.id: self._begin(u, scope) for u in self.sums}
        if not self.space:
            self._element(as_index(0), scope, state)
        elif isinstance(self.n, int) and self.n <= CHUNK:
            self._runs(scope, as_index(0), as_index(self.n), state)
        else:
            c = counter(self.names.fresh("c"), None)
            inner = Scope(scope, [one_symbol(c)])
            chunks = (as_index(self.n) + (CHUNK - 1)) // CHUNK
            for u in self.sums:
                if in_lanes(u):
                    inner.stmts.append(
                        Call(routine(u, "begin"), (Address(state[u.node.id][0]), IndexValue(8)))
                    )
            length = self._let(inner, least(CHUNK, self.n - c * CHUNK), CHUNK + 1)
            self._runs(inner, c * CHUNK, length, state)
            for u in self.sums:
                if in_lanes(u):
                    lanes, stack = state[u.node.id]
                    inner.stmts.append(
                        Call(
                            routine(u, "push"),
                            (Address(stack), IndexValue(c), Address(lanes), IndexValue(8)),
                        )
                    )
            scope.stmts.append(For(one_symbol(c), chunks, inner.stmts))
        for u in self.sums:
            self._finish(u, state[u.node.id])

    def _let(self, scope: Scope, e: Expr, extent: Any) -> Index:
        ref = Ref(scope.names.fresh("n"), dtypes.int64, frozenset(scope.symbols))
        scope.stmts.append(Let(ref.name, e))
        return from_expr(ref, 0, extent)

    def _short(self) -> bool:
        """At most one element per lane: element r is the whole of lane r."""
        return isinstance(self.n, int) and self.n <= 8

    def _long(self) -> bool:
        return not (isinstance(self.n, int) and self.n <= CHUNK)

    def _begin(self, u: Any, scope: Scope) -> tuple:
        d = accumulator(u)
        if not self.space:
            return ()
        if in_lanes(u):
            lanes = Buffer(scope.names.fresh("lanes"), d, 8, "local")
            scope.stmts.append(Alloc(lanes))
            if not self._long():
                scope.stmts.append(Call(routine(u, "begin"), (Address(lanes), IndexValue(8))))
                return lanes, None
            stack = Buffer(scope.names.fresh("stack"), d, 8 * LEVELS, "local")
            scope.stmts.append(Alloc(stack))
            return lanes, stack
        acc = Buffer(scope.names.fresh("acc"), d, 1, "local")
        scope.stmts.append(Alloc(acc, identity(u)))
        if kind_of(u).startswith("arg"):
            at = Buffer(scope.names.fresh("where"), dtypes.int64, 1, "local")
            scope.stmts.append(Alloc(at, Const(-1, dtypes.int64)))
            return acc, at
        return (acc,)

    def _runs(self, scope: Scope, start: Index, length: Index, state: dict) -> None:
        """Elements start .. start + length - 1, at most one chunk of them."""
        self.offset = start  # position of the run's first element, for argmax
        direct = {u.node.id: self._direct(u, start) for u in self.sums}
        if self._short():
            direct = dict.fromkeys(direct)
        for u in self.sums:
            where = direct[u.node.id]
            if where is not None:
                self._call_run(u, scope, where, length, state[u.node.id])
        if all(direct[u.node.id] is not None for u in self.sums) and not self.maps:
            return
        buffered = [u for u in self.sums if direct[u.node.id] is None]
        known = length.constant
        if self._short():
            self._run(scope, start, length, buffered, state, known or 0)
            return
        if known is not None and known <= RUN or not any(in_runs(u) for u in buffered):
            self._run(scope, start, length, buffered, state, known if known is not None else 0)
            return
        s = counter(self.names.fresh("run"), length)
        inner = Scope(scope, [one_symbol(s)])
        m: Index = (
            as_index(RUN)
            if known is not None and known % RUN == 0
            else self._let(inner, least(RUN, length - s), RUN + 1)
        )
        self._run(inner, start + s, m, buffered, state, RUN)
        scope.stmts.append(For(one_symbol(s), length, inner.stmts, step=RUN))

    def _run(
        self, scope: Scope, start: Index, m: Index, sums: list, state: dict, room: int
    ) -> None:
        self.offset = start
        q = counter(self.names.fresh("r"), m)
        inner = Scope(scope, [one_symbol(q)])
        buffers: dict[int, Buffer] = {}
        for u in sums:
            if self._short() and in_lanes(u):
                buffers[u.node.id] = state[u.node.id][0]
            elif in_runs(u):
                e = buffers[u.node.id] = Buffer(
                    scope.names.fresh("e"), accumulator(u), max(room, 1), "local"
                )
                scope.stmts.append(Alloc(e))
        if self.lines is None:
            self._body(unflatten(start + q, self.space), start + q, q, inner, sums, buffers, state)
            scope.stmts.append(For(one_symbol(q), m, inner.stmts, "vector"))
        else:
            self._run_lines(scope, start, m, q, sums, buffers, state)
        for u in sums:
            if in_runs(u) and not (self._short() and in_lanes(u)):
                self._call_run(u, scope, Address(buffers[u.node.id]), m, state[u.node.id])

    def _run_lines(
        self, scope: Scope, start: Index, m: Index, q: Index, sums: list, buffers: dict, state: dict
    ) -> None:
        """The same where the elements lie in lines that no single stride joins: line by line, so
        that the inner loop has no division."""
        outer, inner_space = self.lines  # type: ignore[misc]
        length = numel(inner_space)
        o = counter(self.names.fresh("line"), None)
        in_line = Scope(scope, [one_symbol(o)])
        low = self._let(
            in_line,
            Apply("max", (IndexValue(0), IndexValue(o * length - start)), dtypes.int64),
            None,
        )
        high = self._let(in_line, least(m, (o + 1) * length - start), None)
        inner = Scope(in_line, [one_symbol(q)])
        at = unflatten(o, outer) + unflatten(start + q - o * length, inner_space)
        self._body(at, start + q, q, inner, sums, buffers, state)
        in_line.stmts.append(For(one_symbol(q), high, inner.stmts, "vector", begin=low))
        first, last = start // length, (start + m - 1) // length + 1
        scope.stmts.append(For(one_symbol(o), last, in_line.stmts, begin=first))

    def _body(
        self, at: list, r: Index, q: Index, scope: Scope, sums: list, buffers: dict, state: dict
    ) -> None:
        """One element: values of the sums' arguments and of the maps, then stores and
        combinations."""
        values = self.owner._values()
        roots: list[Expr] = []
        sinks: list[Any] = []
        for u in self.maps:
            sub = self.owner._coords(
                u,
                dict(
                    zip([one_symbol(x).name for x in u.symbols[self.owner.rank :]], at, strict=True)
                ),
            )
            coords = tuple(rename(c, sub) for c in u.coords)
            e = values.value(u.node, coords)
            places = self.owner._store_targets(u, coords)
            if not places:
                roots.append(e)  # so that it gets a name, which keeps expressions shallow
                sinks.append(None)
            for where in places:
                roots.append(stored(e, u.node.dtype))
                sinks.append(where)
        for u in sums:
            roots.append(
                cast(self._argument(u, at, values), accumulator(u))
                if in_runs(u)
                else self._argument(u, at, values)
            )
            sinks.append(u)
        for short, sink in zip(place(scope, roots, self.owner.pinned), sinks, strict=True):
            if sink is None:
                continue
            if isinstance(sink, tuple):
                scope.stmts.append(Store(sink[0], sink[1], short))
            elif self._short() and in_lanes(sink):
                fn, start = ("add", 0) if kind_of(sink) == "sum" else ("mul", 1)
                d = accumulator(sink)
                scope.stmts.append(
                    Store(buffers[sink.node.id], q, Apply(fn, (Const(start, d), short), d))
                )
            elif in_runs(sink):
                scope.stmts.append(Store(buffers[sink.node.id], q, short))
            else:
                scope.stmts += _accumulate(sink, short, r, state[sink.node.id], scope)

    def _argument(self, u: Any, at: list, values: Any) -> Expr:
        """The input element of u at reduced coordinates `at`."""
        sub = {
            one_symbol(s).name: c
            for s, c in zip(u.symbols[: u.kept], self.owner.row_coords, strict=True)
        }
        sub.update({one_symbol(s).name: c for s, c in zip(u.symbols[u.kept :], at, strict=True)})
        return values.value(u.node.args[0], tuple(rename(c, sub) for c in u.source))

    def _direct(self, u: Any, start: Index) -> Address | None:
        """Where the elements lie, when they are neighbours in memory and of the accumulator's
        dtype."""
        if not in_runs(u) or kind_of(u).startswith(
            "arg"
        ):  # short runs: a winner is soon found in one
            return None
        if any(n.id in self.owner.current for n, _ in u.reads):
            return None
        r = counter("direct", self.n)
        e = self._argument(u, unflatten(start + r, self.space), self.owner._values())
        if not isinstance(e, Load) or e.dtype is not accumulator(u):
            return None
        if e.index.coefficient(one_symbol(r)) != 1 or any(
            isinstance(a, (Div, Mod, Data)) and one_symbol(r) in Index({(a,): 1}).symbols()
            for m in e.index.terms
            for a in m
        ):
            return None
        return Address(e.buffer, e.index.substitute({one_symbol(r): 0}))

    def _call_run(self, u: Any, scope: Scope, where: Address, m: Index, state: tuple) -> None:
        acc = state[0]
        if in_lanes(u):
            scope.stmts.append(Call(routine(u, "run"), (Address(acc), where, IndexValue(m))))
        elif kind_of(u).startswith("arg"):
            self._search(u, scope, where, m, state)
        else:
            ref = Ref(acc.name, acc.dtype, frozenset(scope.symbols))
            scope.stmts.append(
                Set(
                    acc.name,
                    Apply(
                        f"{kind_of(u)}_run", (ref, where, IndexValue(m)), acc.dtype, acc.dtype.code
                    ),
                )
            )

    def _search(self, u: Any, scope: Scope, where: Address, m: Index, state: tuple) -> None:
        """argmax of a run: its extremum first; only when that wins is its position looked for."""
        acc, at = state
        d, over = acc.dtype, frozenset(scope.symbols)
        best, top = Ref(acc.name, d, over), Ref(self.names.fresh("top"), d, over)
        scope.stmts.append(
            Let(
                top.name,
                Apply(f"{kind_of(u)[3:]}_run", (identity(u), where, IndexValue(m)), d, d.code),
            )
        )
        q = counter(self.names.fresh("r"), m)
        inner = Scope(scope, [one_symbol(q)])
        x = Load(where.buffer, where.index + q)
        hit = Apply(
            "bitwise_or",
            (Apply("eq", (x, top), dtypes.bool_), Apply("ne", (x, x), dtypes.bool_)),
            dtypes.bool_,
        )
        first = Ref(at.name, at.dtype, frozenset(inner.symbols))
        found = Apply("min", (first, IndexValue(self.offset + q)), dtypes.int64)
        scope.stmts.append(
            If(
                wins(u, best, top),
                [
                    Set(acc.name, top),
                    Set(at.name, Const((1 << 62), dtypes.int64)),
                    For(one_symbol(q), m, [Set(at.name, Select(hit, found, first))]),
                ],
            )
        )

    def _element(self, r: Index, scope: Scope, state: dict) -> None:
        """A row of one element: no loop. A sum starts from +0, so that -0 becomes +0."""
        values = self.owner._values()
        for u in self.sums:
            x = self._argument(u, [], values)
            kind, d = kind_of(u), accumulator(u)
            if kind.startswith("arg"):
                e: Expr = Const(0, dtypes.int64)
            elif kind == "sum" and d.is_floating_point:
                e = Apply("add", (Const(0, d), x), d)
            else:
                e = cast(x, d)
            state[u.node.id] = (e,)

    def _finish(self, u: Any, state: tuple) -> None:
        if not self.space:
            e = state[0]
        elif in_lanes(u):
            lanes, stack = state
            if stack is not None:
                chunks = (as_index(self.n) + (CHUNK - 1)) // CHUNK
                self.owner.scope.stmts.append(
                    Call(routine(u, "finish"), (Address(stack), IndexValue(chunks), IndexValue(8)))
                )
            e = self._fold(u, stack if stack is not None else lanes)
        else:
            acc = state[-1]
            e = Ref(acc.name, acc.dtype, frozenset(self.owner.scope.symbols))
            if kind_of(u).startswith("arg"):  # nothing beat the start value: the first element
                e = Apply("maximum", (e, Const(0, dtypes.int64)), dtypes.int64)
        self.owner.finish_reduce(u, rounded(e, u.node.dtype))

    def _fold(self, u: Any, lanes: Buffer) -> Expr:
        """The value of eight lanes, bound where it stands: it reads memory that changes."""
        scope, d = self.owner.scope, accumulator(u)
        ref = Ref(scope.names.fresh(kind_of(u)), d, frozenset(scope.symbols))
        scope.stmts.append(Let(ref.name, Apply(f"{kind_of(u)}_fold", (Address(lanes),), d, d.code)))
        return ref

    # ---- one long sum by many threads

    def emit_chunks(self, name: str) -> Kernel:
        """A kernel that leaves 8 lanes per chunk in scratch memory."""
        (u,) = self.sums
        chunks = (as_index(self.n) + (CHUNK - 1)) // CHUNK
        d = accumulator(u)
        self.parts = Buffer(f"{self.owner.name}_parts", d, chunks * 8, "heap")
        top = self.owner.top
        c = self.owner.row = counter("row", chunks)
        scope = self.owner.scope = Scope(top, [one_symbol(c)])
        lanes = Buffer("lanes", d, 8, "local")
        scope.stmts += [Alloc(lanes), Call(routine(u, "begin"), (Address(lanes), IndexValue(8)))]
        length = self._let(scope, least(CHUNK, self.n - c * CHUNK), CHUNK + 1)
        self._runs(scope, c * CHUNK, length, {u.node.id: (lanes, None)})
        l = counter("l", 8)
        scope.stmts.append(For(one_symbol(l), 8, [Store(self.parts, c * 8 + l, Load(lanes, l))]))
        body: list[Stmt] = [*top.stmts, For(one_symbol(c), chunks, scope.stmts, "parallel")]
        kernel = Kernel(name, "rows", body, one_symbol(c), chunks, CHUNK)
        kernel.scratch = [self.parts]
        return kernel

    def emit_combine(self) -> None:
        """The tree over the chunks, in the owner's scope."""
        (u,) = self.sums
        chunks = (as_index(self.n) + (CHUNK - 1)) // CHUNK
        self.owner.scope.stmts.append(
            Call(routine(u, "tree"), (Address(self.parts), IndexValue(chunks), IndexValue(8)))
        )
        e = self._fold(u, self.parts)
        self.owner.finish_reduce(u, rounded(e, u.node.dtype))


def _accumulate(u: Any, x: Expr, r: Index, state: tuple, scope: Scope) -> list[Stmt]:
    acc = state[0]
    ref = Ref(acc.name, acc.dtype, frozenset(scope.symbols))
    if not kind_of(u).startswith("arg"):
        return [Set(acc.name, combine(u, ref, x))]
    at = state[1]
    x_ref = Ref(scope.names.fresh("x"), x.dtype, frozenset(scope.symbols))
    take = Ref(scope.names.fresh("take"), dtypes.bool_, frozenset(scope.symbols))
    where = Ref(at.name, at.dtype, frozenset(scope.symbols))
    return [
        Let(x_ref.name, x),
        Let(take.name, wins(u, ref, x_ref)),
        Set(acc.name, Select(take, x_ref, ref)),
        Set(at.name, Select(take, IndexValue(r), where)),
    ]
