"""Groups to kernels: takes a fusion Plan and the place of every value in memory, gives loop nests.

Invariant: reductions and products follow the canonical order whatever was fused around them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...ir.graph import Node
from ...ir.index import Index
from ...ir.loop import (
    Alloc,
    Buffer,
    Call,
    Checked,
    Expr,
    For,
    If,
    IndexValue,
    Let,
    Load,
    Require,
    Set,
    Store,
    walk,
)
from ..passes.fuse import Group
from .calls import call_kernels
from .columns import Columns
from .coords import position
from .kernel import Kernel, Place
from .maps import Maps
from .products import product_kernel
from .rows import Rows
from .scatter import scan_kernel, scatter_kernels


class Lowering:
    """Lowers the groups of one program. `places`: node id -> [Place], the first one is read."""

    def __init__(
        self,
        places: dict[int, list[Place]],
        realised: set[int],
        seeds: Callable[[int], tuple[Expr, Expr]],
        updated: frozenset = frozenset(),
        results: dict[int, dict[int, Node]] | None = None,
    ):
        self.places, self.real, self.seeds = places, realised, seeds
        self.updated = updated  # names of input buffers that kernels overwrite
        self.results = results or {}  # node with several results -> {which: node}

    def kernels(self, g: Group) -> list[Kernel]:
        """The kernels of a group: one, or two for long full sums and scatters."""
        name = kernel_name(g)
        if g.kind == "rows":
            found = self._rows(g, name)
        elif g.kind == "columns":
            found = Columns(self, g, name).kernels()
        elif g.kind == "gemm":
            found = [product_kernel(self, g, name)]
        elif g.kind == "scatter":
            found = scatter_kernels(self, g, name)
        elif g.kind == "scan":
            found = [scan_kernel(self, g, name)]
        elif g.kind == "native":
            found = call_kernels(self, g, name, self._results(g.units[0].node))
        else:
            raise TypeError(f"no lowering for a group of kind {g.kind}")
        for k in found:
            k.group = g
            k.fallible = any(isinstance(x, (Checked, Require)) for s in k.body for x in exprs_of(s))
        return found

    def _results(self, n: Node) -> list[Node | None]:
        if type(n.type) is not tuple:
            return [n]
        picked = self.results.get(n.id, {})
        return [picked.get(i) for i in range(len(n.type))]

    def _rows(self, g: Group, name: str) -> list[Kernel]:
        maps = all(u.kind == "map" and len(u.space) == g.rank for u in g.units)
        return (Maps if maps else Rows)(self, g, name).kernels()

    def pinned(self, g: Group) -> frozenset:
        """Names of the input buffers that the group overwrites: it reads each element just before
        it is written, and nowhere else."""
        return frozenset(
            p.buffer.name
            for u in g.units
            for p in self.places.get(u.node.id, ())
            if p.buffer.name in self.updated
        )

    def written(self, g: Group) -> frozenset:
        """Names of all buffers that the group stores to."""
        return frozenset(p.buffer.name for u in g.units for p in self.places.get(u.node.id, ()))

    def load(self, node: Node, coords: tuple) -> Expr:
        buffer, strides = self.places[node.id][0]
        return Load(buffer, position(coords, strides))

    def stores(self, node: Node, coords: tuple) -> list[tuple[Buffer, Index]]:
        return [(p.buffer, position(coords, p.strides)) for p in self.places[node.id]]


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
