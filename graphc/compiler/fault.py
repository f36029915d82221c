"""Errors of graphc's own: takes an exception that passes, lowering, codegen or the C compiler
raised for a graph, gives a `CaptureBreak` that starts with the user's line.

The line is that of the node that was worked on, or of the kernel that the C compiler refused.
Invariant: the message has four lines at most, and nothing here raises.
"""

from __future__ import annotations

import re
from typing import Any

from ..base.errors import CaptureBreak, NativeBuildError, Origin
from ..ir.graph import Graph, Node

_FIX = "graphc is at fault, please report it; GRAPHC_DEBUG=1 shows all of it"


def fault(error: BaseException, graph: Graph) -> CaptureBreak:
    """What to tell the user of an error while `graph` was being compiled."""
    text = str(error).strip().splitlines() or [""]
    if isinstance(error, NativeBuildError):
        refused = next((x for x in text[1:] if "error" in x.lower()), "")
        what = f"{text[0]} {refused}"
    else:
        what = f"compiling failed with {type(error).__name__}: {text[0]}"
    origin = _origin_in_source(error, graph) or _origin_in_frames(error) or _first(graph.nodes)
    return CaptureBreak(what[:300].rstrip(), _FIX, origin, kind="internal")


def _first(nodes: Any) -> Origin | None:
    return next((n.origin for n in nodes if isinstance(n, Node) and n.origin), None)


def _origin_in_frames(error: BaseException) -> Origin | None:
    """The line of the innermost node (or group of nodes) that a frame was working on."""
    found: Origin | None = None
    tb = error.__traceback__
    while tb is not None:
        for x in tb.tb_frame.f_locals.values():
            nodes = [x] if isinstance(x, Node) else getattr(x, "nodes", None)
            if isinstance(nodes, (list, tuple)) and not isinstance(x, Graph):
                found = _first(nodes) or found
        tb = tb.tb_next
    return found


def _origin_in_source(error: BaseException, graph: Graph) -> Origin | None:
    """The line that the comment above the refused C text names."""
    source, tb = "", error.__traceback__
    while tb is not None:
        value = tb.tb_frame.f_locals.get("source")
        source = value if isinstance(value, str) else source
        tb = tb.tb_next
    text = getattr(error, "output", "") or str(error)
    at = re.search(r"\.c:(\d+):\d+: (?:fatal )?error", text)
    symbol = re.search(r"undefined symbol: (\w+)", text)
    lines = source.splitlines()
    if at is not None:
        end = int(at[1])
    elif symbol is not None:
        end = next((i for i, x in enumerate(lines) if symbol[1] in x), 0)
    else:
        return None
    for line in reversed(lines[:end]):
        named = re.search(r"(\S+):(\d+): ", line)
        if named is not None:
            for n in graph.nodes:
                if n.origin and n.origin.line == int(named[2]) and n.origin.file.endswith(named[1]):
                    return n.origin
    return None
