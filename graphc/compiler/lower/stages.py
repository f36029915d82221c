"""The loops inside a row: takes the units of a group, gives the order in which loops compute them.

Invariant: a loop reads what earlier loops finished, or what it computes at the very same element.
"""

from __future__ import annotations

from typing import Any

from ...ir.index import as_index
from ..passes.fuse import Group, Unit
from .coords import one_symbol


class Stage:
    """Units that one loop computes. `space`: the extents inside the row; `reduced`: how many of
    them, from the right, are reduced (0 for maps)."""

    def __init__(self, space: tuple):
        self.space = space
        self.units: list[Unit] = []


def split_stages(g: Group, rank: int) -> list[tuple[str, Any]]:
    """("row", unit) for values per row and ("loop", Stage) for the others, in running order."""
    at: dict[int, float] = {}
    by_node = {u.node.id: u for u in g.units}
    stages: dict[float, list[Stage]] = {}
    row_units: dict[float, list[Unit]] = {}
    for u in g.units:
        level = 0.0
        inner = u.space[rank:]
        elementwise = bool(inner) or u.kind == "reduce" and len(u.space) > rank
        for r, coords in u.reads:
            v = by_node.get(r.id)
            if v is None:
                continue
            w = at[v.node.id]
            if not v.space[rank:]:  # a value per row
                level = max(level, w if not elementwise else w + 0.5)
            elif not elementwise:
                level = max(level, w + 0.5)
            elif v.kind == "map" and _identity(u, v, coords) and _same_inner(u, v, rank):
                level = max(level, w)
            else:
                level = max(level, w + 1)
        if elementwise:
            level = float(int(level + 0.5))
            for s in stages.setdefault(level, []):
                if (
                    len(s.space) == len(inner)
                    and all(as_index(a).same(b) for a, b in zip(s.space, inner, strict=True))
                    and (u.kept == rank or u.kind == "map")
                    and all(v.kind == "map" or v.kept == rank for v in s.units)
                ):
                    s.units.append(u)
                    break
            else:
                s = Stage(inner)
                s.units.append(u)
                stages[level].append(s)
            at[u.node.id] = level + (0.5 if u.kind == "reduce" and u.kept == rank else 0)
        else:
            level = level if level % 1 else level - 0.5
            row_units.setdefault(level, []).append(u)
            at[u.node.id] = level
    out: list[tuple[str, Any]] = []
    for level in sorted({*stages, *row_units}):
        out += [("row", u) for u in row_units.get(level, ())]
        out += [("loop", s) for s in stages.get(level, ())]
    return out


def _identity(u: Unit, v: Unit, coords: tuple) -> bool:
    """Whether u, which stands at its own loops, reads v at the same loops in the same order."""
    want = {
        one_symbol(s).name: as_index(u.symbols[i])
        for i, s in enumerate(v.symbols)
        if i < len(u.symbols)
    }
    if len(u.symbols) != len(v.symbols):
        return False
    at = {c.key: i for i, c in enumerate(v.coords)}
    return all(coords[at[as_index(s).key]].same(want[one_symbol(s).name]) for s in v.symbols)


def _same_inner(u: Unit, v: Unit, rank: int) -> bool:
    a, b = u.space[rank:], v.space[rank:]
    return (
        len(a) == len(b)
        and all(as_index(x).same(y) for x, y in zip(a, b, strict=True))
        and (u.kind == "map" or u.kept == rank)
    )
