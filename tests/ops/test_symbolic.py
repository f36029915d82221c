"""Every op with symbols in place of the sizes above 1: type rule, lowering, and forward and
backward as a graph, each compared with the same at the example sizes, and compiled code at other
sizes with eager mode.

No op may turn a size into an int: `strict` raises where one does. EXCEPTIONS lists those that have
to."""

from __future__ import annotations

import numpy as np
import pytest

from graphc.compiler import program
from graphc.ir import index as ix
from graphc.ir.types import TensorType
from graphc.native.toolchain import find_compiler

from .harness import attr_values, backward_cases, forward_cases, is_tensor, make_inputs
from .symbolic import (
    Case,
    Sizes,
    at,
    check_graphs,
    compare,
    folded,
    graph_of,
    lowered,
    points,
    strict,
    symbolic,
)

# (op, what): why
EXCEPTIONS = {("cumprod", "backward"): "a recurrence that is written out step by step"}

# Windows of memory, with strides that fit the example sizes only: out of bounds at others.
WINDOWS = ("as_strided", "as_strided_scatter", "as_strided_accumulate", "as_strided_put")

FORWARD = forward_cases()
BACKWARD = [(op, i, s) for op, i, s in backward_cases() if (op.name, "backward") not in EXCEPTIONS]


def _by_op(cases: list) -> list:
    """pytest parameters: (op, its cases)."""
    out: dict = {}
    for op, i, s in cases:
        out.setdefault(op.name, (op, []))[1].append((i, s))
    return [pytest.param(op, found, id=name) for name, (op, found) in out.items()]


def _plain(t):
    """A type, or a tuple of them, without the strides that mean nothing."""
    if not isinstance(t, TensorType):
        return tuple(None if x is None else _plain(x) for x in t)
    return (
        t.shape,
        t.dtype,
        ()
        if 0 in t.shape
        else tuple(st for st, n in zip(t.strides, t.shape, strict=True) if n != 1),
    )


@pytest.mark.parametrize("op,cases", _by_op([c for c in FORWARD if c[0].infer is not None]))
def test_infer(op, cases):
    for i, s in cases:
        sizes = Sizes()
        with strict():
            types, attrs = symbolic(op, s, sizes)
            inferred = op.infer(tuple(types), *attrs) if op.variadic else op.infer(*types, *attrs)
        known = [t.type_ if is_tensor(t) else t for t in make_inputs(op, s)]
        values = attr_values(op, s)
        wanted = op.infer(tuple(known), *values) if op.variadic else op.infer(*known, *values)
        assert _plain(at(inferred, sizes.hints)) == _plain(wanted), f"sample {i}"


@pytest.mark.parametrize(
    "op,cases",
    _by_op([c for c in FORWARD if c[0].kind in ("movement", "gather", "scatter", "random")]),
)
def test_lower(op, cases):
    for i, s in cases:
        sizes = Sizes()
        with strict():
            types, attrs = symbolic(op, s, sizes)
            types = [t for t in types if isinstance(t, TensorType)]
            shape = (
                op.infer(tuple(types), *attrs).shape
                if op.variadic
                else op.infer(*types, *attrs).shape
            )
            space = tuple(op.extra["space"](types, *attrs)) if op.kind == "scatter" else shape
            coords = [ix.loop(f"i{d}", n) for d, n in enumerate(space)]
            found = lowered(op, types, attrs, coords)
        known = [t.type_ for t in make_inputs(op, s)]
        for point in points(at(space, sizes.hints)):
            values = {s: sizes.hints[s.name] for n in sizes.symbols.values() for s in n.symbols()}
            values |= {s: p for c, p in zip(coords, point, strict=True) for s in c.symbols()}
            wanted = lowered(op, known, attr_values(op, s), [ix.as_index(p) for p in point])
            assert [folded(e, values) for e in found] == [folded(e, {}) for e in wanted], (
                f"sample {i} at {point}"
            )


@pytest.mark.parametrize("op,cases", _by_op(FORWARD))
def test_forward(op, cases):
    check_graphs([Case(op, i, s, False) for i, s in cases])


@pytest.mark.parametrize("op,cases", _by_op(BACKWARD))
def test_backward(op, cases):
    check_graphs([Case(op, i, s, True) for i, s in cases])


# ---------------------------------------------------------------- compiled code serves other sizes


def _chosen() -> list:
    """Batches of cases: the first samples of an op in each memory layout, forward and backward."""
    out: list = []
    for cases, backward in ((FORWARD, False), (BACKWARD, True)):
        seen = set()
        for op, i, s in cases:
            key = (
                op.name,
                *[(getattr(m, "layout", ""), len(getattr(m, "shape", ()))) for m in s.inputs],
            )
            if key not in seen and any(n > 1 for m in s.inputs for n in getattr(m, "shape", ())):
                seen.add(key)
                out.append(Case(op, i, s, backward))
    return [
        pytest.param(out[i : i + 60], id=f"{out[i].op.name}-{i}") for i in range(0, len(out), 60)
    ]


@pytest.mark.skipif(find_compiler() is None, reason="no C compiler")
@pytest.mark.parametrize("cases", _chosen())
def test_one_program_for_all_sizes(cases):
    def grown(c: Case, by: int) -> bool:
        sizes = Sizes()
        graph = graph_of([c], sizes)
        if graph.holds_complex():
            return False  # interpreted, which the tests above do
        if any(n.op.kind in ("opaque", "native") for n in graph.nodes):
            return False  # no generated code; windows do not fit images that grow by themselves
        values = {k: n + by for k, n in sizes.hints.items()}
        if c.op.name in WINDOWS:
            return False
        try:
            c.eager(values)
        except (RuntimeError, IndexError, ValueError):
            return False  # sizes that do not fit together any more, as in view
        return True

    with np.errstate(all="ignore"):
        cases = [c for c in cases if all(grown(c, by) for by in (3, 64))]
    sizes = Sizes()
    graph = graph_of(cases, sizes)
    p = program.build(graph)
    for by in (0, 3, 64):
        values = {k: n + by for k, n in sizes.hints.items()}
        compare(
            cases,
            values,
            lambda arrays, values=values: p.call(arrays, (), (), [values[k] for k in p.symbols]),
        )
