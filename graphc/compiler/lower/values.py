"""Graph values as loop expressions: asks `Op.lower` from a value back to the values in memory.

Takes a `leaf` function (node, coordinates) -> Expr or None that says what is already computed;
gives `value(node, coords)`. Invariant: an expression of a half dtype is float32 already rounded to
it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...base import dtypes
from ...base.dtypes import DType
from ...core.dispatch import number_array, number_type, plan_of
from ...ir.graph import Node, Scalar
from ...ir.index import Index, as_index, flatten
from ...ir.loop import Apply, Cast, Checked, Const, Expr, IndexValue, Require, ScalarRef, cast, walk

Leaf = Callable[[Node, tuple], "Expr | None"]
Seeds = Callable[[int], "tuple[Expr, Expr]"]
INLINE = ("pointwise", "movement", "gather", "random")


class Values:
    """Builds expressions over one set of loops; equal (node, coordinates) are built once."""

    def __init__(self, leaf: Leaf, seed: Seeds | None = None):
        self.leaf, self.seed = leaf, seed
        self.drawn: Leaf | None = None  # random numbers that were drawn in a block before
        self._memo: dict[tuple, Expr] = {}
        self._checked: set[int] = set()
        self.nodes: dict[int, Node] = {}  # what was computed here, for comments
        self.roots: list[Expr] = []  # expressions that are no value of a node

    def value(self, node: Node, coords: Any) -> Expr:
        """The value of node at coords, in its compute dtype."""
        coords = tuple([c if type(c) is Index else as_index(c) for c in coords])
        key = (node.id, *[c.key for c in coords])
        found = self._memo.get(key)
        if found is None:
            found = self.leaf(node, coords)
            if found is None:
                self.nodes[node.id] = node
                found = self._compute(node, coords)
            elif found.dtype.is_half:
                found = Cast(found, dtypes.float32)
            found.key, found.symbols()  # while it is shallow: both walk down to what is known
            self._memo[key] = found
        return found

    def checks(self) -> list[Expr]:
        """The expressions that may stop the program."""
        found: dict[int, Expr] = {}
        for e in [*self._memo.values(), *self.roots]:
            if id(e) not in self._checked:
                for x in walk(e, self._checked):
                    if isinstance(x, (Checked, Require)):
                        found[id(x)] = x
        return list(found.values())

    def _compute(self, node: Node, coords: tuple) -> Expr:
        op: Any = node.op
        if op.kind == "pointwise":
            return self._pointwise(node, coords)
        if op.kind == "movement":
            arg: Any = node.args[0]
            return self.value(arg, op.lower(list(coords), arg.type, *node.attrs))
        if op.kind == "gather":
            return self._gather(node, coords)
        if op.kind == "random":
            return self._random(node, coords)
        raise TypeError(f"{op.name} ({op.kind}) cannot be computed inside another kernel")

    def _pointwise(self, node: Node, coords: tuple) -> Expr:
        op: Any = node.op
        wanted = None
        xs: list[Expr] = []
        for i, a in enumerate(node.args):
            if isinstance(a, Node):
                xs.append(self.value(a, coords))
            else:
                if wanted is None:
                    wanted = input_dtypes(node)
                xs.append(immediate(a, wanted[i]))
        return rounded(op.lower(*xs, *node.attrs), node.dtype)

    def _gather(self, node: Node, coords: tuple) -> Expr:
        op: Any = node.op
        loads = [(lambda c, a=a: self.value(a, c)) for a in node.node_args]
        types = [a.type for a in node.node_args]
        return rounded(op.lower(list(coords), loads, types, *node.attrs), node.dtype)

    def _random(self, node: Node, coords: tuple) -> Expr:
        op: Any = node.op
        if self.drawn is not None:
            found = self.drawn(node, coords)
            if found is not None:
                return found
        seed, start, rest = stream(node, self.seed)  # type: ignore[arg-type]
        flat = flatten(coords, node.shape)
        return rounded(op.lower(flat, seed, start, *rest), node.dtype)


def stream(node: Node, seeds: Seeds) -> tuple[Expr, Expr, tuple]:
    """Seed and first block of a random node's stream, and its attributes but the draw. A draw is a
    position after a generator's, or a fixed (seed, block)."""
    at = node.op.attrs.index("draw")  # type: ignore[union-attr]
    draw = node.attrs[at]
    rest = node.attrs[:at] + node.attrs[at + 1 :]
    if type(draw) is tuple:
        seed, start = (Const((x + (1 << 63)) % (1 << 64) - (1 << 63), dtypes.int64) for x in draw)
        return seed, start, rest
    first, offset = seeds(draw.slot)
    return first, Apply("add", (offset, IndexValue(draw.offset)), dtypes.int64), rest


def rounded(e: Expr, dtype: DType) -> Expr:
    """e as a value of dtype: half types are rounded once and widened again."""
    if dtype.is_half:
        return Cast(cast(e, dtype), dtypes.float32)
    return cast(e, dtype)


def stored(e: Expr, dtype: DType) -> Expr:
    """The expression to store for a value of dtype."""
    if dtype.is_half and isinstance(e, Cast) and e.args[0].dtype is dtype:
        return e.args[0]
    return cast(e, dtype)


def input_dtypes(node: Node) -> tuple[DType, ...]:
    """The dtype that each operand of a pointwise node is computed in (half stays half)."""
    keys = []
    for a in node.args:
        if isinstance(a, Node):
            keys.append(a.dtype)
        elif isinstance(a, Scalar):
            keys.append(type(a.hint) if isinstance(a.hint, (bool, int, float)) else float)
        else:
            keys.append(number_type(a))
    return plan_of(node.op, tuple(keys)).inputs  # type: ignore[arg-type]


def immediate(x: Any, dtype: DType) -> Expr:
    """A Python number, symbolic size or run-time scalar as a constant of dtype."""
    if isinstance(x, Scalar):
        if dtype.is_half:
            return Cast(Cast(ScalarRef(x.index, dtypes.float32), dtype), dtypes.float32)
        return ScalarRef(x.index, dtype)
    if isinstance(x, Index):
        return rounded(cast(IndexValue(x), dtype.compute), dtype)
    v = number_array(x, dtype)
    return Const(np.asarray(v).item(), dtype.compute)
