"""Coordinates of loops: counters, positions in memory, and which loops can run as one.

Takes Indexes over the symbols of a unit's loops; gives Indexes over those of a kernel. Invariant:
loop symbols are matched by name, since every unit has symbols of its own.
"""

from __future__ import annotations

from typing import Any

from ...ir.index import Data, Div, Index, Mod, Symbol, as_index, loop, unflatten
from ...ir.types import numel
from ..passes.fuse import Unit


def one_symbol(i: Index) -> Symbol:
    ((m,),) = i.terms
    return m


def counter(name: str, extent: Any) -> Index:
    """A loop counter that exists even for an extent of 1."""
    return Index({(Symbol(name, 0, extent),): 1})


def position(coords: tuple, strides: tuple) -> Index:
    total = as_index(0)
    for c, s in zip(coords, strides, strict=True):
        total = total + as_index(c) * s
    return total


def row_major(shape: tuple) -> tuple:
    out: list = []
    step: Any = 1
    for s in reversed(shape):
        out.append(step)
        step = step * s
    return tuple(reversed(out))


def hint(x: Any) -> int:
    return x if isinstance(x, int) else (1 << 20 if x.hint is None else x.hint)


def small(step: Any) -> bool:
    """Whether reading with this stride is as good as reading along memory."""
    return isinstance(step, int) and abs(step) <= 2


def mergeable(units: list[Unit], low: int, high: int, lowering: Any) -> int:
    """The largest t such that loops [high - t, high) of the units can run as one counter without
    division in any address."""
    best = min(1, high - low)
    for t in range(2, high - low + 1):
        if not all(_merges(u, high - t, high, lowering) for u in units):
            break
        best = t
    return best


def _merges(u: Unit, a: int, b: int, lowering: Any) -> bool:
    flat = loop("flat", numel(u.space[a:b]))
    values = dict(
        zip([one_symbol(s) for s in u.symbols[a:b]], unflatten(flat, u.space[a:b]), strict=True)
    )
    by_name = {s.name: v for s, v in values.items()}
    where = [(n, c) for n, c in u.reads]
    for n, coords in where:
        if n.id in lowering.places:
            at = position(coords, lowering.places[n.id][0].strides)
            if not smooth(rename(at, by_name)):
                return False
    if u.node.id in lowering.places and u.kind == "map":
        for p in lowering.places[u.node.id]:
            if not smooth(rename(position(u.coords, p.strides), by_name)):
                return False
    return True


def rename(at: Index, by_name: dict) -> Index:
    return at.substitute(
        {s: by_name[s.name] for s in at.symbols() if s.name in by_name and s.kind == "loop"}
    )


def smooth(at: Index) -> bool:
    return not any(isinstance(x, (Div, Mod, Data)) for m in at.terms for x in m)
