"""Checks of a Graph: takes one, raises AssertionError naming the node that breaks an invariant.
Run after every pass in tests."""

from __future__ import annotations

from typing import Any

from .graph import Graph, Node, Scalar
from .op import KINDS
from .types import TensorType


def verify(graph: Graph, where: str = "") -> Graph:
    """The graph itself, after checking order, arity, types and the ids of updates."""
    seen = {n.id for n in graph.inputs}
    for n in graph.nodes:
        _check(n, seen, where)
        assert n.id not in seen, f"{where}: node {n} occurs twice"
        seen.add(n.id)
    for o in graph.outputs:
        if isinstance(o, Node):
            assert o.id in seen, f"{where}: output {o} is not in the graph"
            assert isinstance(o.type, TensorType), f"{where}: output {o} is no single value"
    for slot, n in graph.updates.items():
        assert n.id in seen, f"{where}: update {n} is not in the graph"
        into = graph.inputs[slot].type
        same = len(into.shape) == len(n.type.shape) and all(
            a == b for a, b in zip(into.shape, n.type.shape, strict=True)
        )
        assert same and into.dtype is n.type.dtype, (
            f"{where}: update of in{slot}: {into} <- {n.type}"
        )
    return graph


def _check(n: Node, seen: set[int], where: str) -> None:
    for a in n.node_args:
        assert a.id in seen, f"{where}: {n} reads {a} before it is computed"
    if n.is_output_of:
        assert type(n.args[0].type) is tuple, f"{where}: {n} picks from a single value"
        return
    op: Any = n.op
    assert op is not None and op.kind in KINDS, f"{where}: {n} has no operator"
    assert op.kind != "composite", f"{where}: composite {op.name} was not inlined"
    if not op.variadic:
        assert len(n.args) == len(op.inputs), f"{where}: {op.name} takes {len(op.inputs)} inputs"
    if op.kind == "pointwise":
        for a in n.args:
            if isinstance(a, Node):
                assert len(a.shape) == len(n.shape) and all(
                    x is y or x == y for x, y in zip(a.shape, n.shape, strict=True)
                ), (
                    f"{where}: pointwise {n} = {op.name} of shape {n.shape} reads {a} of shape "
                    f"{a.shape}"
                )
            else:
                assert isinstance(a, (int, float, complex, Scalar)) or hasattr(a, "number_type"), (
                    f"{where}: {op.name} has argument {a!r}"
                )
