"""What the kinds of reductions are: accumulators, identities, combination. Takes a reduced unit,
gives dtypes and expressions. The canonical order itself is stated and implemented in
runtime/include/gc_reduce.h; row_reduce and column_reduce arrange the loops around it.
"""

from __future__ import annotations

from typing import Any

from ...base import dtypes
from ...base.dtypes import DType
from ...ir.loop import Apply, Const, Expr, IndexValue, cast

RUN = 256
CHUNK = 4096
LEVELS = 52
SUMS = ("sum", "prod")
EXTREMA = ("max", "min")


def kind_of(u: Any) -> str:
    return u.node.op.lower


def accumulator(u: Any) -> DType:
    """The dtype that a reduction runs in."""
    d = u.node.args[0].dtype
    if kind_of(u) in SUMS and not d.is_floating_point:
        return dtypes.int64
    if kind_of(u) in ("any", "all"):
        return dtypes.bool_
    return d.compute


def in_lanes(u: Any) -> bool:
    """Whether the order matters, that is whether the lanes are used."""
    return kind_of(u) in SUMS and accumulator(u).is_floating_point


def in_runs(u: Any) -> bool:
    """Whether the runtime's run functions do the inner loop."""
    return accumulator(u).is_floating_point


def identity(u: Any) -> Const:
    """What an accumulator starts from."""
    d, kind = accumulator(u), kind_of(u)
    if kind in ("sum", "any"):
        return Const(0, d)
    if kind in ("prod", "all"):
        return Const(1, d)
    if d.is_floating_point:
        return Const(float("-inf") if kind in ("max", "argmax") else float("inf"), d)
    if d is dtypes.bool_:
        return Const(0 if kind in ("max", "argmax") else 1, d)
    bits = d.itemsize * 8
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if d.is_signed else (0, (1 << bits) - 1)
    return Const(low if kind in ("max", "argmax") else high, d)


def combine(u: Any, acc: Expr, x: Expr) -> Expr:
    """acc combined with one element, for reductions whose order does not matter."""
    d, kind = accumulator(u), kind_of(u)
    if kind in ("any", "all"):
        fn = "bitwise_or" if kind == "any" else "bitwise_and"
        return Apply(fn, (acc, cast(x, dtypes.bool_)), d)
    if kind in EXTREMA:
        if d.is_floating_point:
            return Apply(f"{kind}_pick", (acc, x), d)
        return Apply("maximum" if kind == "max" else "minimum", (acc, x), d)
    return Apply("add" if kind == "sum" else "mul", (acc, cast(x, d)), d)


def wins(u: Any, best: Expr, x: Expr) -> Expr:
    """Whether x takes the place of the best so far (argmax, argmin): greater, or the first nan."""
    beats = Apply("gt" if kind_of(u) == "argmax" else "lt", (x, best), dtypes.bool_)
    if not x.dtype.is_floating_point:
        return beats
    fresh = Apply(
        "bitwise_and",
        (Apply("ne", (x, x), dtypes.bool_), Apply("eq", (best, best), dtypes.bool_)),
        dtypes.bool_,
    )
    return Apply("bitwise_or", (beats, fresh), dtypes.bool_)


def least(a: Any, b: Any) -> Expr:
    return Apply("min", (IndexValue(a), IndexValue(b)), dtypes.int64)


def routine(u: Any, what: str) -> str:
    return f"gc_{kind_of(u)}_{what}_{accumulator(u).code}"
