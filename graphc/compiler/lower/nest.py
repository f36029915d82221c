"""Places expressions in a nest of scopes: what is shared is computed once, what does not change in
a loop is computed before it.

Takes root expressions per scope, gives statements in which they are short. Invariant: nothing that
may fault (a load, a check) is moved out of the side of a Select that guards it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ...ir.index import Data, Index
from ...ir.loop import (
    Apply,
    Cast,
    Checked,
    Const,
    Expr,
    IndexValue,
    Let,
    Load,
    Ref,
    Require,
    ScalarRef,
    Select,
    Stmt,
    index_exprs,
)


class Scope:
    """The inside of one loop (or of the function): `symbols` are those bound here and outside."""

    __slots__ = ("parent", "symbols", "stmts", "bound", "names")

    def __init__(self, parent: Scope | None, symbols: Iterable[Any] = ()):
        self.parent = parent
        self.symbols = set(symbols) | (parent.symbols if parent else set())
        self.stmts: list[Stmt] = []
        self.bound: dict[str, Ref] = {}
        self.names: Names = parent.names if parent else Names()

    def find(self, key: str) -> Ref | None:
        s: Scope | None = self
        while s is not None:
            found = s.bound.get(key)
            if found is not None:
                return found
            s = s.parent
        return None

    def outermost(self, e: Expr) -> Scope:
        """The outermost scope in which e can be computed."""
        need = {s for s in e.symbols() if getattr(s, "kind", "") == "loop"}
        best = s = self
        while s.parent is not None and need <= s.parent.symbols:
            s = s.parent
            best = s
        return best


class Names:
    """Fresh names t0, t1, ... of one kernel; `written`: names of the buffers that it stores to."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.written: frozenset = frozenset()

    def fresh(self, prefix: str = "t") -> str:
        n = self.counts.get(prefix, 0)
        self.counts[prefix] = n + 1
        return f"{prefix}{n}"


def place(scope: Scope, roots: list[Expr], pinned: frozenset = frozenset()) -> list[Expr]:
    """The roots with shared and movable parts replaced by references to Lets, which are added to
    scope and to the scopes around it. Loads of buffers named in `pinned` (overwritten by this
    scope) are always bound, so that they happen before any store that follows."""
    return _Placer(scope, roots, pinned).run()


class _Placer:
    def __init__(self, scope: Scope, roots: list[Expr], pinned: frozenset):
        self.scope, self.roots, self.pinned = scope, roots, pinned
        self.uses: dict[str, int] = {}
        self.unsafe: dict[str, bool] = {}
        self.wild: dict[str, bool] = {}  # may be out of bounds where it is not chosen
        self.late: dict[str, bool] = {}  # reads what this kernel writes: stays where it stands
        self.done: dict[tuple[str, bool], Expr] = {}
        self._count()

    def _count(self) -> None:
        seen: set[str] = set()
        order: list[Expr] = []
        stack: list[tuple[Expr, bool]] = [(r, False) for r in reversed(self.roots)]
        for r in self.roots:
            self.uses[r.key] = self.uses.get(r.key, 0) + 1
        while stack:
            e, finished = stack.pop()
            if finished:
                order.append(e)
                continue
            if e.key in seen:
                continue
            seen.add(e.key)
            stack.append((e, True))
            for a in (*e.args, *index_exprs(e)):
                self.uses[a.key] = self.uses.get(a.key, 0) + 1
                stack.append((a, False))
        for e in order:
            own = isinstance(e, (Checked, Require)) or (
                isinstance(e, Load) and e.buffer.name not in self.pinned
            )
            inner = (*e.args, *index_exprs(e))
            self.unsafe[e.key] = own or any(self.unsafe[a.key] for a in inner)
            self.wild[e.key] = (
                isinstance(e, (Checked, Require))
                or (isinstance(e, Load) and bool(index_exprs(e)))
                or any(self.wild[a.key] for a in inner)
            )
            self.late[e.key] = (
                isinstance(e, Load) and e.buffer.name in self.scope.names.written
            ) or any(self.late[a.key] for a in inner)

    def run(self) -> list[Expr]:
        return [self.process(r, False) for r in self.roots]

    def process(self, e: Expr, guarded: bool) -> Expr:
        found = self.scope.find(e.key)
        if found is not None:
            return found
        guarded = guarded and self.unsafe[e.key]
        key = (e.key, guarded)
        out = self.done.get(key)
        if out is None:
            out = self.done[key] = self._process(e, guarded)
        return out

    def _process(self, e: Expr, guarded: bool) -> Expr:
        if isinstance(e, (Const, Ref)):
            return e
        if isinstance(e, Select):
            c, *arms = e.args
            # where coordinates decide, only the chosen arm is in bounds; where values do, both are
            # computed, and read before the choice: guarded loads vectorise badly, and gcc 12 has
            # given those of several columns one mask
            decided = not self.unsafe[c.key]
            short: Expr = Select(
                self.process(c, guarded),
                *[self._arm(a, guarded or decided or self.wild[a.key]) for a in arms],
            )
        else:
            short = e
            inner = index_exprs(e)
            if inner:
                short = _with_data(short, {x.key: self.process(x, guarded) for x in inner})
            if e.args:
                args = tuple(self.process(a, guarded) for a in e.args)
                if any(x is not y for x, y in zip(args, e.args, strict=True)):
                    short = short.with_args(args)
        if guarded or not self._worth(e):
            return short
        target = self.scope if self.late[e.key] else self.scope.outermost(e)
        if target is self.scope and self.uses[e.key] < 2 and not self._pinned(e):
            return short
        return self._bound(e, short, target)

    def _arm(self, e: Expr, guarded: bool) -> Expr:
        short = self.process(e, guarded)
        if guarded or isinstance(short, (Const, Ref)) or not self.unsafe[e.key]:
            return short
        return self._bound(e, short, self.scope)

    def _bound(self, e: Expr, short: Expr, target: Scope) -> Ref:
        over = e.symbols()
        if self.late[e.key]:  # what is made of it stays in this scope as well
            over = over | frozenset(self.scope.symbols)
        ref = Ref(target.names.fresh(), e.dtype, over)
        target.stmts.append(Let(ref.name, short))
        target.bound[e.key] = ref
        return ref

    def _pinned(self, e: Expr) -> bool:
        return isinstance(e, Load) and e.buffer.name in self.pinned

    def _worth(self, e: Expr) -> bool:
        """Whether naming it saves anything."""
        if isinstance(e, IndexValue):
            return bool(index_exprs(e))
        if isinstance(e, Cast):
            return not isinstance(e.args[0], (Const, IndexValue))
        if isinstance(e, Apply) and all(isinstance(a, (Const, IndexValue)) for a in e.args):
            return e.fn not in ("lt", "le", "gt", "ge", "eq", "ne")
        return isinstance(e, (Apply, Load, Select, Checked, Require, ScalarRef))


def _with_data(e: Expr, short: dict[str, Expr]) -> Expr:
    """e with the run-time values in its coordinates replaced."""
    index: Index = e.index  # type: ignore[attr-defined]
    new = _replace(index, short)
    if isinstance(e, Load):
        return Load(e.buffer, new)
    if isinstance(e, IndexValue):
        return IndexValue(new, e.dtype)
    return type(e)(e.buffer, new)  # type: ignore[attr-defined, call-arg]


def _replace(index: Index, short: dict[str, Expr]) -> Index:
    from ...ir.index import Div, Mod, as_index

    total = as_index(0)
    for m, c in index.terms.items():
        term = as_index(c)
        for a in m:
            if isinstance(a, Data):
                x = short[a.expr.key]
                term = term * (
                    x.index if isinstance(x, IndexValue) else Index({(Data(x, a.lo, a.extent),): 1})
                )
            elif isinstance(a, (Div, Mod)):
                p, q = _replace(a.a, short), _replace(a.b, short)
                term = term * (p // q if isinstance(a, Div) else p % q)
            else:
                term = term * Index({(a,): 1})
        total = total + term
    return total
