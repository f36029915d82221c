"""The canonical reduction order in plain Python: the oracle of the native kernels' bits.

Takes a one-dimensional array (numpy's scalars do the single IEEE 754 operations), gives the value
every kernel must give. Written for reading, one operation at a time; invariant: it shares no code
with the kernels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

CHUNK, BLOCK, LANES = 4096, 64, 8


def add(a: Any, b: Any) -> Any:
    return a + b


def mul(a: Any, b: Any) -> Any:
    return a * b


def tree(items: list[Any], op: Callable[[Any, Any], Any]) -> Any:
    """Pairwise combination; an odd last item is carried unchanged to the end of the next level."""
    while len(items) > 1:
        pairs = [op(items[i], items[i + 1]) for i in range(0, len(items) - 1, 2)]
        items = pairs + items[len(pairs) * 2 :]
    return items[0]


def chunk_lanes(x: Sequence[Any], op: Callable[[Any, Any], Any], identity: Any) -> list[Any]:
    """The eight lane values of one chunk."""
    lanes = [identity] * LANES
    for start in range(0, len(x), BLOCK):
        block = list(x[start : start + BLOCK])
        block += [identity] * (BLOCK - len(block))
        for lane in range(LANES):
            e = block[lane::LANES]
            even = op(op(e[0], e[2]), op(e[4], e[6]))
            odd = op(op(e[1], e[3]), op(e[5], e[7]))
            lanes[lane] = op(lanes[lane], op(even, odd))
    return lanes


def reduce(x: Sequence[Any], op: Callable[[Any, Any], Any], identity: Any) -> Any:
    chunks = [chunk_lanes(x[c : c + CHUNK], op, identity) for c in range(0, len(x), CHUNK)]
    if not chunks:
        return identity
    lanes = [tree([chunk[lane] for chunk in chunks], op) for lane in range(LANES)]
    lanes = [op(lanes[i], lanes[i + 4]) for i in range(4)]
    lanes = [op(lanes[i], lanes[i + 2]) for i in range(2)]
    return op(lanes[0], lanes[1])


def sum_(x: np.ndarray) -> Any:
    """Canonical sum of a float vector; integers and bool wrap in int64."""
    if x.dtype.kind != "f":
        return np.int64((sum(int(v) for v in x) + 2**63) % 2**64 - 2**63)
    with np.errstate(all="ignore"):
        return reduce(list(x), add, x.dtype.type(0))


def prod(x: np.ndarray) -> Any:
    """Canonical product of a float vector; integers and bool wrap in int64."""
    if x.dtype.kind != "f":
        return np.int64((math.prod(int(v) for v in x) + 2**63) % 2**64 - 2**63)
    with np.errstate(all="ignore"):
        return reduce(list(x), mul, x.dtype.type(1))


def mean(x: np.ndarray) -> Any:
    with np.errstate(all="ignore"):
        return sum_(x) / x.dtype.type(len(x))


def var(x: np.ndarray, correction: float) -> Any:
    """Two passes: m = mean; the canonical sum of (x - m) * (x - m) over max(n - correction, 0)."""
    with np.errstate(all="ignore"):
        m = mean(x)
        squares = np.array([(v - m) * (v - m) for v in x], x.dtype)
        return sum_(squares) / x.dtype.type(max(len(x) - correction, 0))


def _order(v: Any) -> tuple[bool, float, bool]:
    """A total order for max: NaN above all, -0.0 below +0.0."""
    nan = bool(v != v)
    return nan, 0.0 if nan else v, not np.signbit(v)


def maximum(x: np.ndarray) -> Any:
    return max(x, key=_order) if x.dtype.kind == "f" else max(x)


def minimum(x: np.ndarray) -> Any:
    if x.dtype.kind != "f":
        return min(x)
    nans = [v for v in x if v != v]
    return nans[0] if nans else min(x, key=_order)


def argmax(x: np.ndarray) -> int:
    """First index of the winner: the first NaN if there is one; -0.0 and +0.0 are equal."""
    best = 0
    for i, v in enumerate(x):
        if x[best] != x[best]:
            break
        if v > x[best] or v != v:
            best = i
    return best


def argmin(x: np.ndarray) -> int:
    best = 0
    for i, v in enumerate(x):
        if x[best] != x[best]:
            break
        if v < x[best] or v != v:
            best = i
    return best


def scan(x: np.ndarray, op: Callable[[Any, Any], Any], identity: Any) -> np.ndarray:
    """Sequential running sum or product: s = identity, then s = op(s, x[r]) for r ascending."""
    out = np.empty(len(x), type(identity))
    s = identity
    with np.errstate(all="ignore"):
        for i, v in enumerate(x):
            s = out[i] = op(s, type(identity)(v))
    return out
