"""Scatters and scans: what has to run in sequence. Takes their groups, gives kernels.

Invariant: updates are applied in ascending order of their index, as in eager mode.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...base import dtypes
from ...ir.graph import Node
from ...ir.index import as_index, from_expr, unflatten
from ...ir.loop import (
    Alloc,
    Apply,
    Buffer,
    Cast,
    Const,
    Expr,
    For,
    IndexValue,
    Let,
    Load,
    Ref,
    Set,
    Store,
    cast,
    select,
)
from ...ir.types import numel
from ..passes.fuse import Group
from .coords import counter, one_symbol, position
from .kernel import Kernel
from .nest import Scope, place
from .values import Values, stored


def _plain_leaf(low: Any, own: set[int]) -> Callable:
    def leaf(node: Node, coords: tuple) -> Expr | None:
        if node.id in own or node.id not in low.places:
            return None
        return low.load(node, coords)

    return leaf


def _combined(how: str, old: Expr, new: Expr) -> Expr:
    """old with the update in it. "max" and "min": of equal ones old stays, and nan wins."""
    if how == "set":
        return new
    if how in ("add", "mul"):
        return Apply(how, (old, new), new.dtype)
    takes: Expr = Apply("lt" if how == "max" else "gt", (old, new), dtypes.bool_)
    if new.dtype.is_floating_point:
        takes = Apply("logical_or", (takes, Apply("ne", (new, new), dtypes.bool_)), dtypes.bool_)
    return select(takes, new, old)


def scatter_kernels(low: Any, g: Group, name: str) -> list[Kernel]:
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
    copy = Kernel(
        f"{name}_base",
        "rows",
        [*copy_top.stmts, For(one_symbol(row), n, scope.stmts, "parallel")],
        one_symbol(row),
        as_index(n),
        1,
    )

    types = [a.type for a in node.node_args]
    space = tuple(op.extra["space"](types, *node.attrs))  # type: ignore[union-attr]
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
    where, value = op.lower(list(at), loads, types, *node.attrs)  # type: ignore[union-attr]
    index = position(tuple(as_index(c) for c in where), target.strides)
    slot, value = place(inner, [IndexValue(index), value])
    spot = Ref(inner.names.fresh("at"), dtypes.int64, frozenset(inner.symbols))
    inner.stmts.append(Let(spot.name, slot))
    old: Expr = Load(target.buffer, from_expr(spot))
    old = Cast(old, dtypes.float32) if node.dtype.is_half else old
    how = op.extra["combine"]  # type: ignore[union-attr]
    value = _combined(how, old, cast(value, node.dtype.compute))
    inner.stmts.append(Store(target.buffer, from_expr(spot), stored(value, node.dtype)))
    for c, n, scope, outer in reversed(list(zip(at, space, scopes[1:], scopes[:-1], strict=True))):
        outer.stmts.append(For(one_symbol(c), n, scope.stmts))
    kernels = [
        copy,
        Kernel(
            name,
            "rows",
            [*top.stmts, For(one_symbol(one), 1, body.stmts, "parallel")],
            one_symbol(one),
            as_index(1),
            m,
        ),
    ]
    return kernels + _extra_places(low, node, name)


def _extra_places(low: Any, node: Node, name: str) -> list[Kernel]:
    """Copies to the further places of a value that a kernel could store once only."""
    out = []
    first, *rest = low.places[node.id]
    for i, p in enumerate(rest):
        n = numel(node.shape)
        row = counter("row", n)
        coords = tuple(unflatten(row, node.shape))
        s = Store(
            p.buffer,
            position(coords, p.strides),
            Load(first.buffer, position(coords, first.strides)),
        )
        out.append(
            Kernel(
                f"{name}_copy{i}",
                "rows",
                [For(one_symbol(row), n, [s], "parallel")],
                one_symbol(row),
                as_index(n),
                1,
            )
        )
    return out


def scan_kernel(low: Any, g: Group, name: str) -> Kernel:
    """A running combination along one axis, in sequence; lines run in parallel."""
    u = g.units[0]
    node = u.node
    dim = node.attrs[0]
    length = node.shape[dim] if node.shape else 1
    rest = tuple(s for d, s in enumerate(node.shape) if d != dim)
    top = Scope(None)
    row = counter("row", numel(rest))
    scope = Scope(top, [one_symbol(row)])
    others = unflatten(row, rest)
    t = counter("t", length)
    coords = tuple([*others[:dim], t, *others[dim:]]) if node.shape else ()
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
    scope.stmts.append(For(one_symbol(t), length, inner.stmts))
    return Kernel(
        name,
        "rows",
        [*top.stmts, For(one_symbol(row), numel(rest), scope.stmts, "parallel")],
        one_symbol(row),
        as_index(numel(rest)),
        length,
    )
