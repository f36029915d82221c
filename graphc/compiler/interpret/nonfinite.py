"""NaN and Inf in compiled code: takes a program and its graph, gives a program that runs natively
and, when a result or an update is not finite, once more node by node to name the node at fault.

What only an inner value has and no result shows is not seen: native code does not show inner
values. Invariant: when the error is raised, the inputs are what they were on entry.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...core import nonfinite
from ...ir.graph import Graph, Node, Scalar
from . import run
from .sizes import bind, symbols_of


class Watched:
    """A program whose every call is looked at. Everything but `call` is the program's own."""

    def __init__(self, graph: Graph, program: Any, nan: bool, inf: bool):
        self.graph, self.program, self.nan, self.inf = graph, program, nan, inf

    def __getattr__(self, name: str) -> Any:
        return getattr(self.program, name)

    def call(
        self,
        arrays: Sequence[np.ndarray],
        scalars: Sequence[float] = (),
        rng: Sequence[tuple[int, int]] = (),
        sizes: Sequence[int] = (),
    ) -> list:
        """The program's results. Raises NonFiniteError for the node that made the first NaN or
        Inf that a result has; there is none when the inputs had it already."""
        before = {slot: arrays[slot].copy() for slot in self.graph.updates}
        results = self.program.call(arrays, scalars, rng, sizes)
        bad = [
            n
            for n, a in zip(self.graph.outputs, results, strict=True)
            if isinstance(n, Node) and not nonfinite.finite(a)
        ]
        bad += [n for slot, n in self.graph.updates.items() if not nonfinite.finite(arrays[slot])]
        if bad:
            entry = [before.get(i, a) for i, a in enumerate(arrays)]
            graph, wrong = self.graph, [n.id for n in bad]
            if sizes:
                graph = bind(graph, dict(zip(symbols_of(graph), sizes, strict=True)))
                wrong = _same(self.graph, graph, wrong)
            found = culprit(graph, entry, scalars, rng, wrong, self.nan, self.inf)
            if found is not None:
                for slot, a in before.items():
                    np.copyto(arrays[slot], a)
                raise found
        return results


def culprit(
    graph: Graph,
    arrays: Sequence[np.ndarray],
    scalars: Sequence[float],
    rng: Sequence[tuple[int, int]],
    bad: list[int],
    nan: bool = True,
    inf: bool = True,
) -> nonfinite.NonFiniteError | None:
    """The error for the first node that made a NaN or Inf which reaches one of the nodes `bad`
    (ids) through values that are not finite (what a `where` hides is not at fault)."""
    values: dict[int, Any] = {n.id: a for n, a in zip(graph.inputs, arrays, strict=True)}

    def keep(n: Node, t: Any) -> None:
        if type(t) is not tuple:
            values[n.id] = t._array

    run(graph, arrays, scalars, rng, keep)
    for n in _bad_chain(graph, values, bad):
        op: Any = n.args[0].op if n.is_output_of else n.op
        source = n.args[0] if n.is_output_of else n
        if op is None or op.kind == "movement":
            continue
        operands = [
            values[a.id] if isinstance(a, Node)
            else float(scalars[a.index]) if isinstance(a, Scalar)
            else a
            for a in source.args
        ]  # fmt: skip
        what = nonfinite.made([*operands, *source.attrs], [values[n.id]], nan, inf)
        if what:
            names = [*nonfinite.operand_names(op, len(operands)), *op.attrs]
            named = [*zip(names, (*operands, *source.attrs), strict=False)]
            backward = n.origin is not None and n.origin.backward
            name = f"{op.name} (in the backward of this line)" if backward else op.name
            return nonfinite.error(what, name, n.origin, named, [("result", values[n.id])])
    return None


def _same(symbolic: Graph, bound: Graph, ids: list[int]) -> list[int]:
    """The ids that results of a graph have once its sizes are put in."""
    pairs = [*zip(symbolic.outputs, bound.outputs, strict=True)]
    pairs += [(n, bound.updates[slot]) for slot, n in symbolic.updates.items()]
    return [b.id for a, b in pairs if isinstance(a, Node) and a.id in ids]


def _bad_chain(graph: Graph, values: dict[int, Any], bad: list[int]) -> list[Node]:
    """The nodes, in order, from which a chain of values that are not finite leads to one of
    `bad`."""
    seen: dict[int, Node] = {}
    todo = [n for n in graph.nodes if n.id in set(bad)]
    while todo:
        n = todo.pop()
        if n.id in seen or n.is_input:
            continue
        seen[n.id] = n
        args = n.args[0].node_args if n.is_output_of else n.node_args
        todo += [a for a in args if not nonfinite.finite(values[a.id])]
    return [n for n in graph.nodes if n.id in seen]
