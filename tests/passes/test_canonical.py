"""Canonical form: fewer nodes, same bits."""

from graphc.base import dtypes
from graphc.compiler.passes import pipeline
from tests.codegen.graphs import Builder


def ops(graph):
    return [n.op.name for n in graph.nodes]


def test_equal_nodes_merge_and_dead_ones_go():
    b = Builder()
    x = b.input((4, 5))
    b("exp", x)
    y, z = b("neg", x), b("neg", x)
    b.graph.outputs = [b("add", y, z)]
    assert ops(pipeline.run(b.graph, check=True)) == ["neg", "add"]


def test_moves_that_cancel_vanish():
    b = Builder()
    x = b.input((4, 5))
    t = b("permute", b("permute", x, (1, 0)), (1, 0))
    v = b("view", b("view", t, (20,)), (4, 5))
    b.graph.outputs = [b("neg", v)]
    assert ops(pipeline.run(b.graph, check=True)) == ["neg"]


def test_a_result_that_is_an_input_is_copied():
    b = Builder()
    x, y = b.input((3,)), b.input((3,))
    b.graph.outputs = [x]
    b.graph.updates = {0: y, 1: x}
    g = pipeline.run(b.graph, check=True)
    assert ops(g) == ["copy", "copy"] or len(g.nodes) == 2
    assert all(not n.is_input for n in (*g.outputs, *g.updates.values()))


def test_an_update_to_itself_is_none():
    b = Builder()
    x = b.input((3,))
    b.graph.outputs = [b("neg", x)]
    b.graph.updates = {0: x}
    assert not pipeline.run(b.graph, check=True).updates


def test_casts_to_the_same_dtype_vanish_but_half_rounds():
    b = Builder()
    x, h = b.input((3,)), b.input((3,), dtypes.float16)
    b.graph.outputs = [b("neg", b("to_float32", x)), b("neg", b("to_float32", h))]
    assert ops(pipeline.run(b.graph, check=True)) == ["neg", "to_float32", "neg"]


def test_half_products_run_in_float32():
    b = Builder()
    x, w = b.input((3, 4), dtypes.float16), b.input((4, 5), dtypes.float16)
    b.graph.outputs = [b("mm", x, w)]
    g = pipeline.run(b.graph, check=True)
    assert ops(g) == ["to_float32", "to_float32", "mm", "to_float16"]
    assert g.nodes[2].dtype is dtypes.float32
