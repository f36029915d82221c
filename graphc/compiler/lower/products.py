"""Products: takes a group that begins with a matrix product, gives the call of the native routine
and the epilogue that runs on its finished tiles. Invariant: operands are strides over memory (see
passes.fuse).
"""

from __future__ import annotations

from typing import Any

from ...ir.graph import Node
from ...ir.index import Index, Symbol, as_index
from ...ir.loop import Buffer, Expr, For, Load, Stmt, Store
from ...ir.types import numel
from ..passes.fuse import Group, Unit, by_name, operand, product_coords
from .coords import counter, one_symbol, position, row_major
from .kernel import Gemm, Kernel, Place
from .nest import Scope, place
from .values import Values, stored


def product_kernel(low: Any, g: Group, name: str) -> Kernel:
    u = g.units[0]
    node = u.node
    a, b = node.node_args
    ops = [_strides_in(x, low) for x in (a, b)]
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
        reuse = next(
            (
                v
                for v in rest
                if v.node.id in low.places
                and v.node.dtype is node.dtype
                and _is_row_major(low.places[v.node.id][0], v.node)
                and low.places[v.node.id][0].buffer.name not in low.updated
            ),
            None,
        )
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
    want = row_major(node.shape)
    return all(
        as_index(a).same(b) or as_index(s).same(1)
        for a, b, s in zip(p.strides, want, node.shape, strict=True)
    )


def _strides_in(x: Node, low: Any) -> tuple:
    """(buffer, strides, offset) of an operand over the memory it is a window of: the first place of
    a value that has several which can be seen so (`passes.memory` sees to it that there is one)."""
    n = x
    while n.id not in low.places:
        n = n.node_args[0]
    for p in low.places[n.id]:
        found = operand(x, low.places, p.strides)
        if found is not None:
            return p.buffer, found[1], found[2]
    raise ValueError(f"operand {x} has no strides")


def _epilogue(low: Any, g: Group, kernel: Kernel, c: Buffer, reuse: Unit | None) -> list[Stmt]:
    """The body run on each finished tile of the product."""
    u = g.units[0]
    top = Scope(None)
    i0, j0 = (Index({(Symbol(s, 0, None, None, "tile"),): 1}) for s in ("i0", "j0"))
    i1, j1, ldc, batch = (
        Index({(Symbol(s, 0, None, None, "tile"),): 1}) for s in ("i1", "j1", "ldc", "batch")
    )
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
        own = product_coords(v.node.shape, u.node.shape)
        assert own is not None
        at = tuple(by_name(c, {f"i{d}": x for d, x in enumerate(coords)}) for c in own)
        e = stored(values.value(v.node, at), v.node.dtype)
        for p in places:
            roots.append(e)
            if v is reuse and p is places[0]:
                targets.append((c, at_c))
            else:
                targets.append((p.buffer, position(at, p.strides)))
    for (buffer, index), e in zip(
        targets, place(inner, roots, low.pinned(g) | {c.name}), strict=True
    ):
        inner.stmts.append(Store(buffer, index, e))
    outer.stmts.append(For(one_symbol(j), j1, inner.stmts, "vector", begin=j0))
    return [*top.stmts, For(one_symbol(i), i1, outer.stmts, begin=i0)]
