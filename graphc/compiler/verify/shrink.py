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


def extract(case: Case, values: dict[int, Any], keep: dict[Key, Node], cut: set[int]) -> Case:
    """The case with the results `keep` alone, nodes in `cut` (ids) being inputs."""
    graph = case.graph
    live: set[int] = set()
    todo = [*keep.values(), *(graph.inputs[slot] for kind, slot in keep if kind == "update")]
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
    for (kind, i), n in keep.items():
        if kind == "out":
            out.outputs.append(new[n.id])
        else:
            out.updates[slots[new[graph.inputs[i].id].id]] = new[n.id]
    return Case(out, arrays, case.scalars, case.rng)


def _laid_out(type: TensorType, a: np.ndarray) -> tuple[TensorType, np.ndarray]:
    """An input's type and array for a value of that type: windows that show memory twice become
    plain arrays."""
    from ...ops.movement import _restride_kernel

    if not is_dense(type.shape, type.strides) or overlaps(type.shape, type.strides):
        type = type.with_shape(type.shape)
    return type, _restride_kernel(a, type.strides if a.size else None)


def shrink(case: Case, fails: Callable[[Case], Sequence[Key]], budget: int) -> Case:
    """The smallest failing case found with at most `budget` tests. `fails` gives the keys of the
    results that are wrong; `case` itself has some."""
    left = [budget]

    def test(c: Case) -> Sequence[Key]:
        left[0] -= 1
        return fails(c) if left[0] >= 0 else ()

    case = _earlier(_fewer_results(case, test), test)
    smaller = True
    while smaller and left[0] > 0:
        smaller = False
        values, keep = case.values(), results_of(case.graph)
        ends = {n.id for n in keep.values()}
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


def _fewer_results(case: Case, test: Callable[[Case], Sequence[Key]]) -> Case:
    """One wrong result, when one alone fails; else as few as found."""
    values, results = case.values(), results_of(case.graph)
    wrong = [k for k in results if k in set(test(case))]
    for key in wrong:
        found = extract(case, values, {key: results[key]}, set())
        if test(found):
            return found
    for key in list(results):
        fewer = {k: n for k, n in results.items() if k != key}
        if fewer and test(extract(case, values, fewer, set())):
            results = fewer
    return extract(case, values, results, set())


def _earlier(case: Case, test: Callable[[Case], Sequence[Key]]) -> Case:
    """The case with an earlier value as its only result, when that fails too: half of the nodes
    first, then operand by operand."""
    keep = results_of(case.graph)
    if len(keep) != 1:
        return case
    values = case.values()

    def only(n: Node) -> Case:
        return extract(case, values, {("out", 0): n}, set())

    nodes = [n for n in case.graph.nodes if type(n.type) is not tuple]
    low, high, best = 0, len(nodes) - 1, None
    while low <= high:
        middle = (low + high) // 2
        if test(only(nodes[middle])):
            best, high = nodes[middle], middle - 1
        else:
            low = middle + 1
    best = best or next(iter(keep.values()))
    moved = True
    while moved:
        moved = False
        for a in best.node_args:
            if not a.is_input and type(a.type) is not tuple and test(only(a)):
                best, moved = a, True
                break
    found = only(best)
    return found if test(found) else case
