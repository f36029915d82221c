"""The passes in their order: takes a captured Graph, gives the canonical one. Each pass is a pure
function with a name; `check` verifies the graph after each of them."""

from __future__ import annotations

import sys
from collections.abc import Collection

from ...base.config import config
from ...ir.graph import Graph
from ...ir.verify import verify
from .canonical import PASSES

# What may be left out, by name, with the same results: "fuse" computes every value by a kernel of
# its own, "memory" shares no memory and writes no update in place.
OPTIONAL = ("drop_dead", "drop_casts", "drop_moves", "fuse", "memory")


def names(skip: Collection[str]) -> tuple[str, ...]:
    """The names of passes to leave out. Raises ValueError for one that there is not."""
    unknown = sorted(set(skip).difference(OPTIONAL))
    if unknown:
        raise ValueError(f"no pass {unknown[0]!r} to leave out; there are {', '.join(OPTIONAL)}")
    return tuple(skip)


def run(graph: Graph, check: bool = False, skip: Collection[str] = ()) -> Graph:
    """The canonical form of graph, without the passes named in `skip`. GRAPHC_DEBUG=3 prints the
    graph after each pass that changes it."""
    for name, function in PASSES:
        if name in skip:
            continue
        before = graph
        graph = function(graph)
        if check:
            verify(graph, name)
        if config.debug >= 3 and graph is not before:
            print(f"-- after {name}\n{graph}", file=sys.stderr)
    return graph
