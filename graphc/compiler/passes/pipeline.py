"""The passes in their order: takes a captured Graph, gives the canonical one. Each pass is a pure
function with a name; `check` verifies the graph after each of them."""

from __future__ import annotations

import sys

from ...base.config import config
from ...ir.graph import Graph
from ...ir.verify import verify
from .canonical import PASSES


def run(graph: Graph, check: bool = False) -> Graph:
    """The canonical form of graph. GRAPHC_DEBUG=3 prints the graph after each pass that changes
    it."""
    for name, function in PASSES:
        before = graph
        graph = function(graph)
        if check:
            verify(graph, name)
        if config.debug >= 3 and graph is not before:
            print(f"-- after {name}\n{graph}", file=sys.stderr)
    return graph
