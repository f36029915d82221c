"""Sizes put in: takes a graph over symbolic sizes and their values, gives the graph at those sizes.

Invariant: a graph without symbols is returned as it is, and no value of an op's result changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...ir.graph import Draw, Graph, Node
from ...ir.index import Index
from ...ir.types import TensorType


def at(x: Any, values: Mapping[str, int]) -> Any:
    """x (an Index, a type, an attribute; tuples are entered) at the sizes {symbol name: value}."""
    if isinstance(x, Index):
        return x.evaluate(values)
    if isinstance(x, TensorType):
        return TensorType(at(x.shape, values), x.dtype, at(x.strides, values), x.device)
    if isinstance(x, tuple) and not hasattr(x, "_fields"):  # an Origin is a record
        return tuple([at(v, values) for v in x])
    return Draw(x.slot, at(x.offset, values)) if isinstance(x, Draw) else x


def bind(graph: Graph, values: Mapping[str, int]) -> Graph:
    """The graph at the sizes {symbol name: value}."""
    if not values:
        return graph
    out = Graph()
    new: dict[int, Node] = {}
    for n in graph.inputs:
        new[n.id] = out.input(at(n.type, values), n.name)
    for n in graph.live():
        args = tuple([new[a.id] if isinstance(a, Node) else at(a, values) for a in n.args])
        new[n.id] = out.add(n.op, args, at(n.attrs, values), at(n.type, values), n.origin)
    out.outputs = [new[o.id] if isinstance(o, Node) else o for o in graph.outputs]
    out.updates = {slot: new[n.id] for slot, n in graph.updates.items()}
    out.draws = {slot: at(n, values) for slot, n in graph.draws.items()}
    return out


def symbols_of(graph: Graph) -> dict[str, int]:
    """The sizes that a graph speaks of, by name, with their example values, in the order of the
    `sizes` argument of programs. Raises ValueError for symbols that are named otherwise."""
    found: dict[str, int] = {}
    for n in [*graph.inputs, *graph.nodes]:
        for x in (n.type, n.args, n.attrs):
            _add_symbols(x, found)
    _add_symbols(tuple(graph.draws.values()), found)
    if any(s[0] != "s" or not s[1:].isdigit() for s in found):
        raise ValueError(f"sizes of programs are named s<number>, unlike {sorted(found)}")
    return {s: found[s] for s in sorted(found, key=lambda s: (len(s), s))}


def _add_symbols(x: Any, found: dict[str, int]) -> None:
    if isinstance(x, Index):
        for s in x.symbols():
            found[s.name] = s.hint  # type: ignore[assignment]
    elif isinstance(x, tuple):  # types are tuples, too
        for v in x:
            if isinstance(v, (Index, tuple, Draw)):
                _add_symbols(v, found)
    elif isinstance(x, Draw):
        _add_symbols(x.offset, found)
