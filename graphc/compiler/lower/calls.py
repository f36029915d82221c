"""Calls: takes a group that is one call of the native library, gives that call and the copies of
its results that have to lie elsewhere too. Invariant: the function sees row-major memory (see
passes.fuse, passes.memory).
"""

from __future__ import annotations

from typing import Any

from ...ir.graph import Node
from ...ir.index import as_index, unflatten
from ...ir.loop import Buffer, For, Load, Store
from ...ir.types import numel
from ..passes.fuse import Group, are_rows, in_rows, native_call
from .coords import counter, one_symbol, position
from .kernel import Kernel, NativeCall, Place


def call_kernels(low: Any, g: Group, name: str, results: list[Node | None]) -> list[Kernel]:
    """results: the nodes that stand for the call's results, None for those that nothing reads."""
    node = g.units[0].node
    found = native_call(node)
    assert found is not None
    types = node.type if type(node.type) is tuple else (node.type,)
    kernel = Kernel(name, "call", extent=as_index(1))
    buffers: list[Buffer] = []
    copies: list[Kernel] = []
    for i, (n, t) in enumerate(zip(results, types, strict=True)):
        if n is None:
            b = Buffer(f"unread{g.id}_{i}", t.dtype, numel(t.shape), "heap")
            kernel.scratch.append(b)
        else:
            places = low.places[n.id]
            own = next(p for p in places if are_rows(p.strides, n.shape))
            b = own.buffer
            copies += [
                copy_kernel(f"{name}_copy{len(copies) + j}", n.shape, own, p)
                for j, p in enumerate(p for p in places if p is not own)
            ]
        buffers.append(b)
    arguments = [_argument(a, low) if isinstance(a, Node) else None for a in node.args]
    kernel.call = NativeCall(found[0], arguments, buffers, list(found[1]))
    return [kernel, *copies]


def _argument(a: Node, low: Any) -> tuple:
    n = a
    while n.id not in low.places:
        n = n.node_args[0]
    for p in low.places[n.id]:
        found = in_rows(a, low.places, p.strides)
        if found is not None:
            return p.buffer, found[1]
    raise ValueError(f"argument {a} does not lie in rows")


def copy_kernel(name: str, shape: tuple, source: Place, target: Place) -> Kernel:
    """Copies a value from one of its places to another."""
    n = numel(shape)
    row = counter("row", n)
    at = tuple(unflatten(row, shape))
    s = Store(
        target.buffer,
        position(at, target.strides),
        Load(source.buffer, position(at, source.strides)),
    )
    symbol = one_symbol(row)
    return Kernel(name, "rows", [For(symbol, n, [s], "parallel")], symbol, as_index(n), 1)
