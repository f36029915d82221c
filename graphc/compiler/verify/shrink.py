"""Shrinking: takes a graph with input values and a test that it fails, gives the smallest graph
found that still fails it, with its input values.

First all but one result is dropped, then stretches of nodes are replaced by fresh inputs that hold
the values that they had. Invariant: every graph that is kept was tested.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ...ir.graph import Graph, Node
from ...ir.types import TensorType, is_dense, overlaps
from ..interpret import run


class Case(NamedTuple):
    """A graph with what it is run on."""

    graph: Graph
    arrays: list[np.ndarray]
    scalars: Sequence[float]
    rng: Sequence[tuple[int, int]]

    def expected(self) -> tuple[list, dict[int, np.ndarray]]:
        """What the interpreter gives: (outputs, updates)."""
        return run(self.graph, self.arrays, self.scalars, self.rng)

    def values(self) -> dict[int, Any]:
        """Node id -> the array of every node that is one value."""
        found = {n.id: a for n, a in zip(self.graph.inputs, self.arrays, strict=True)}

        def keep(n: Node, t: Any) -> None:
            if type(t) is not tuple:
                found[n.id] = t._array

        run(self.graph, self.arrays, self.scalars, self.rng, keep)
        return found


Key = tuple[str, int]  # ("out", number) or ("update", slot)


def results_of(graph: Graph) -> dict[Key, Node]:
    """The results of a graph that are values, those of earlier nodes first."""
    found: dict[Key, Node] = {
        ("out", i): n for i, n in enumerate(graph.outputs) if isinstance(n, Node)
    }
    found |= {("update", slot): n for slot, n in graph.updates.items()}
    return dict(sorted(found.items(), key=lambda item: item[1].id))


def extract(case: Case, values: dict[int, Any], keep: Sequence[Key], cut: set[int]) -> Case:
    """The case with the results `keep` alone, nodes in `cut` (ids) being inputs."""
    graph, results = case.graph, results_of(case.graph)
    live: set[int] = set()
    todo = [results[k] for k in keep] + [graph.inputs[s] for kind, s in keep if kind == "update"]
    while todo:
        n = todo.pop()
        if n.id not in live:
            live.add(n.id)
            todo += [] if n.id in cut else n.node_args
    out, arrays, new = Graph(), [], {}
    out.draws = dict(graph.draws)
    for n in [*graph.inputs, *graph.nodes]:
        if n.id in live and (n.is_input or n.id in cut):
            type, array = _laid_out(n.type, values[n.id])
            new[n.id] = out.input(type)
            arrays.append(array)
    for n in graph.nodes:
        if n.id in live and n.id not in new:
            args = tuple(new[a.id] if isinstance(a, Node) else a for a in n.args)
            new[n.id] = out.add(n.op, args, n.attrs, n.type, n.origin)
    slots = {n.id: i for i, n in enumerate(out.inputs)}
    for kind, i in keep:
        n = new[results[kind, i].id]
        if kind == "out":
            out.outputs.append(n)
        else:
            out.updates[slots[new[graph.inputs[i].id].id]] = n
    return Case(out, arrays, case.scalars, case.rng)


def _laid_out(type: TensorType, a: np.ndarray) -> tuple[TensorType, np.ndarray]:
    """An input's type and array for a value of that type: windows that show memory twice become
    plain arrays."""
    from ...ops.movement import _restride_kernel

    if not is_dense(type.shape, type.strides) or overlaps(type.shape, type.strides):
        type = type.with_shape(type.shape)
    return type, _restride_kernel(a, type.strides if a.size else None)


def shrink(case: Case, fails: Callable[[Case], bool], budget: int) -> Case:
    """The smallest failing case found with at most `budget` tests; `case` itself fails."""
    left = [budget]

    def test(c: Case) -> bool:
        left[0] -= 1
        return left[0] >= 0 and fails(c)

    case = _fewer_results(case, test)
    smaller = True
    while smaller and left[0] > 0:
        smaller = False
        values = case.values()
        keep = list(results_of(case.graph))
        ends = {n.id for n in results_of(case.graph).values()}
        nodes = [
            n for n in case.graph.nodes if type(n.type) is not tuple and n.id not in ends and n.args
        ]
        size = len(nodes)
        while size >= 1 and not smaller and left[0] > 0:
            for at in range(max(len(nodes) - size, 0), -size, -size):
                found = extract(case, values, keep, {n.id for n in nodes[max(at, 0) : at + size]})
                if len(found.graph.nodes) < len(case.graph.nodes) and test(found):
                    case, smaller = found, True
                    break
            size //= 2
    return case


def _fewer_results(case: Case, test: Callable[[Case], bool]) -> Case:
    """One result, when one alone fails; else as few as found."""
    values = case.values()
    keys = list(results_of(case.graph))
    if len(keys) <= 1:
        return extract(case, values, keys, set())
    for key in keys:
        found = extract(case, values, [key], set())
        if test(found):
            return found
    for key in list(keys):
        fewer = [k for k in keys if k != key]
        if fewer and test(extract(case, values, fewer, set())):
            keys = fewer
    return extract(case, values, keys, set())
