"""Loop nests of typical groups, as text."""

import pytest

from graphc.base import dtypes
from graphc.compiler.driver import lower, size_slots
from graphc.compiler.passes import pipeline
from graphc.compiler.passes.fuse import fuse
from graphc.compiler.passes.memory import assign, schedule
from graphc.ir.index import size
from graphc.ir.text import stmt_text
from tests.codegen.graphs import Builder


def loops(b):
    """The loop text of every kernel of b's graph."""
    g = pipeline.run(b.graph, check=True)
    plan = fuse(g)
    schedule(g, plan)
    memory = assign(g, plan)
    assert size_slots(g) is not None
    segments, _ = lower(g, plan, memory)
    out = []
    for kernels in segments:
        for k in kernels:
            head = f"{k.name} [{k.form}]"
            if k.gemm:
                head += f" gemm_{k.gemm.code} {k.gemm.batch} x {k.gemm.m} x {k.gemm.n} x {k.gemm.k}"
            out.append(head + ("\n" + stmt_text(k.body, 1) if k.body else ""))
    return "\n\n".join(out)


def chain():
    b = Builder()
    x, y = b.input((64, 30)), b.input((30,))
    b.graph.outputs = [b("tanh", b("mul", b("add", x, y), 0.5)), b("neg", b("exp", x))]
    return b


def flat_chain():
    b = Builder()
    x, y = b.input((64, 30)), b.input((64, 30))
    b.graph.outputs = [b("mul", b("add", x, y), b("exp", x))]
    return b


def softmax():
    b = Builder()
    x = b.input((64, 100))
    e = b("exp", b("sub", x, b("amax", x, (1,), True)))
    b.graph.outputs = [b("div", e, b("sum", e, (1,), True))]
    return b


def column_sums():
    b = Builder()
    x, y = b.input((300, 40)), b.input((300, 40))
    b.graph.outputs = [
        b("sum", x, (0,), False),
        b("div", b("sum", b("mul", x, y), (0,), False), 300.0),
    ]
    return b


def product():
    b = Builder()
    x, w, c = b.input((64, 30)), b.input((20, 30)), b.input((20,))
    b.graph.outputs = [b("relu", b("add", b("mm", x, b("permute", w, (1, 0))), c))]
    return b


def long_sum():
    b = Builder()
    x = b.input((1000, 300))
    b.graph.outputs = [b("div", b("sum", b("mul", x, x), (0, 1), False), 300000.0)]
    return b


def two_axes():
    b = Builder()
    x = b.input((8, 5, 70))
    b.graph.outputs = [b("sum", x, (0, 2), False)]
    return b


def transposed():
    b = Builder()
    x, y = b.input((100, 80)), b.input((80, 100))
    b.graph.outputs = [b("add", b("permute", x, (1, 0)), y)]
    return b


def pad_and_cat():
    b = Builder()
    x = b.input((6, 5))
    b.graph.outputs = [b("pad_constant", x, ((0, 0), (1, 2)), 0.5), b("cat", [x, b("exp", x)], 1)]
    return b


def embedding_update():
    b = Builder()
    w, i, g = b.input((10, 4)), b.input((6,), dtypes.int64), b.input((6, 4))
    zeros = b("full", (10, 4), dtypes.float32, 0.0)
    b.graph.updates = {0: b("sub", w, b("mul", b("embedding_backward", zeros, i, g), 0.1))}
    return b


def symbolic():
    b = Builder()
    n = size("s0", 64)
    x = b.input((n, 30))
    b.graph.outputs = [b("sum", b("exp", x), (1,), False), b("view", b("neg", x), (n * 30,))]
    return b


def half():
    b = Builder()
    x = b.input((50,), dtypes.bfloat16)
    b.graph.outputs = [b("mul", b("add", x, 1.0), x)]
    return b


@pytest.mark.parametrize(
    "make",
    [
        chain,
        flat_chain,
        softmax,
        column_sums,
        product,
        long_sum,
        two_axes,
        transposed,
        pad_and_cat,
        embedding_update,
        symbolic,
        half,
    ],
    ids=lambda f: f.__name__,
)
def test_golden(make, golden):
    golden(f"{make.__name__}.txt", loops(make()))
