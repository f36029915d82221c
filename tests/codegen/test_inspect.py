"""What a compiled program shows of itself, as stable text."""

from graphc.base.errors import Origin
from graphc.compiler import program
from graphc.compiler.driver import compile_graph
from graphc.ir.graph import Node, Scalar

from .graphs import Builder


def small_step():
    """One linear layer with its update; every node carries a line of this file."""
    b = Builder()
    g = b.graph
    x, w, c, lr = b.input((64, 50)), b.input((40, 50)), b.input((40,)), Scalar(0, 0.1)
    h = b("relu", b("add", b("mm", x, b("permute", w, (1, 0))), c))
    loss = b("div", b("sum", b("mul", h, h), (0, 1), False), 64)
    gh = b("threshold_backward", b("mul", h, 2.0 / 64), h)
    gw = b("mm", b("permute", gh, (1, 0)), x)
    g.updates = {
        1: b("sub", w, b("mul", gw, lr)),
        2: b("sub", c, b("mul", b("sum", gh, (0,), False), lr)),
    }
    g.outputs = [loss]
    for n in g.nodes:
        n.origin = Origin(__file__, 14 + n.id % 3)
    return g


def test_views(golden):
    record, *_ = compile_graph(small_step(), "small_step")
    golden("graph_after.txt", record["after"])
    golden("memory.txt", record["memory"])
    golden("why_not_fused.txt", "\n".join(" | ".join(r) for r in record["refused"]))
    kernels = [
        f"{k['name']}: {', '.join(k['ops'])}; {', '.join(k['shapes'])}; {k['bytes']} bytes, "
        f"{k['flops']} flops; lines {[n for _, n, _ in k['lines']]}"
        for k in record["kernels"]
    ]
    golden("kernels.txt", "\n".join(kernels))


def test_source(golden):
    _, source, *_ = compile_graph(small_step(), "small_step")
    golden("small_step.c", source)


def test_kernels_carry_source_and_the_user_s_lines():
    p = program.build(small_step())
    assert all(k.source and k.lines and k.bytes for k in p.kernels)
    first = p.kernels[0]
    assert first.name in first.source and "test_inspect.py:" in first.source
    assert first.flops >= 2 * 64 * 40 * 50 and first.lines[0][0] == __file__
    assert str(first).startswith(f"{first.name}: mm, add, relu")
    assert isinstance(p.why_not_fused, str) and "->" in p.why_not_fused
    assert all(isinstance(n, Node) for n in small_step().nodes)


def test_calls_of_the_library_name_the_users_line():
    import graphc
    from graphc.nn import functional as F

    compiled = graphc.compile(lambda x, w: F.conv2d(x, w).sort(-1)[0], fullgraph=True)
    compiled(graphc.randn(1, 2, 5, 5), graphc.randn(3, 2, 3, 3))
    calls = [k for k in compiled.kernels if "gc_conv" in k.source or "gc_sort" in k.source]
    assert len(calls) == 2
    for k in calls:
        assert "test_inspect.py" in k.source and "F.conv2d(x, w).sort(-1)" in k.source
        assert k.source.splitlines()[1].strip() in compiled.source and "FLOP" not in k.source
