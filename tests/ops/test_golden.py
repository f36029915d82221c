"""The loops of every op as text: its first sample compiled by itself, one golden file per kind of
op."""

from __future__ import annotations

import pytest

from graphc.compiler.driver import lower
from graphc.compiler.interpret.sizes import bind
from graphc.compiler.passes import pipeline
from graphc.compiler.passes.fuse import fuse
from graphc.compiler.passes.memory import assign, schedule
from graphc.ir.text import stmt_text

from .harness import capturable, describe, ops
from .symbolic import Case, Sizes, graph_of

KINDS = sorted({op.kind for op in ops()})


def loop_text(graph) -> str:
    """The loops of every kernel of a graph."""
    graph = pipeline.run(graph, check=True)
    plan = fuse(graph)
    schedule(graph, plan)
    segments, _ = lower(graph, plan, assign(graph, plan))
    out = []
    for k in [k for kernels in segments for k in kernels]:
        out.append(f"{k.name} [{k.form}]")
        if k.gemm:
            out[-1] += f" gemm_{k.gemm.code} {k.gemm.batch} x {k.gemm.m} x {k.gemm.n} x {k.gemm.k}"
        if k.body:
            out.append(stmt_text(k.body, 1))
    return "\n".join(out) or "no kernel"


@pytest.mark.parametrize("kind", KINDS)
def test_loops(kind, golden):
    blocks = []
    for op in ops():
        if op.kind != kind or not capturable(op):
            continue
        number, s = next((i, s) for i, s in enumerate(op.samples()) if s.error is None)
        sizes = Sizes()
        graph = bind(graph_of([Case(op, number, s, False)], sizes), sizes.hints)
        blocks.append(f"# {describe(op, number, s)}\n{loop_text(graph)}")
    golden(f"{kind}.txt", "\n\n".join(blocks))
