"""Which values share a kernel, and the reasons given where they do not."""

import random

import networkx as nx

from graphc.compiler.passes import pipeline
from graphc.compiler.passes.fuse import _Before, fuse
from tests.codegen.graphs import Builder


def kernels(b):
    plan = fuse(pipeline.run(b.graph, check=True))
    return [[n.op.name for n in g.nodes if n.op.kind != "movement"] for g in plan.groups], plan


def test_a_chain_is_one_kernel():
    b = Builder()
    x, y = b.input((64, 32)), b.input((32,))
    b.graph.outputs = [b("tanh", b("mul", b("relu", b("add", x, y)), 0.5))]
    assert kernels(b)[0] == [["add", "relu", "mul", "tanh"]]


def test_softmax_is_one_kernel():
    b = Builder()
    x = b.input((64, 100))
    e = b("exp", b("sub", x, b("amax", x, (1,), True)))
    b.graph.outputs = [b("div", e, b("sum", e, (1,), True))]
    assert kernels(b)[0] == [["amax", "sub", "exp", "sum", "div"]]


def test_layer_norm_is_one_kernel():
    b = Builder()
    x, w, c = b.input((8, 16, 96)), b.input((96,)), b.input((96,))
    mean = b("div", b("sum", x, (2,), True), 96.0)
    d = b("sub", x, mean)
    var = b("div", b("sum", b("mul", d, d), (2,), True), 96.0)
    b.graph.outputs = [b("add", b("mul", b("mul", d, b("rsqrt", b("add", var, 1e-5))), w), c)]
    names, plan = kernels(b)
    assert len(names) == 1 and plan.groups[0].rank == 2


def test_bias_and_activation_run_in_the_product():
    b = Builder()
    x, w, c = b.input((64, 30)), b.input((30, 20)), b.input((20,))
    b.graph.outputs = [b("relu", b("add", b("mm", x, w), c))]
    names, plan = kernels(b)
    assert names == [["mm", "add", "relu"]] and plan.groups[0].kind == "gemm"


def test_a_sum_of_a_product_waits_and_says_why():
    b = Builder()
    x, w = b.input((64, 30)), b.input((30, 20))
    b.graph.outputs = [b("sum", b("mm", x, w), (1,), False)]
    names, plan = kernels(b)
    assert names == [["mm"], ["sum"]]
    assert plan.refused[0].reason == "a sum over the product's elements needs the finished product"


def test_sibling_column_sums_share_a_kernel():
    b = Builder()
    x, y = b.input((300, 40)), b.input((300, 40))
    b.graph.outputs = [b("sum", x, (0,), False), b("sum", b("mul", x, y), (0,), False)]
    assert kernels(b)[0] == [["sum", "mul", "sum"]]


def test_no_cycle_through_another_kernel():
    b = Builder()
    x = b.input((64, 64))
    a = b("exp", x)
    p = b("mm", a, x)
    b.graph.outputs = [b("add", a, p), a]
    names, plan = kernels(b)
    assert sum(map(len, names)) == 3
    order = {u.node.id: g.id for g in plan.groups for u in g.units}
    for g in plan.groups:
        for u in g.units:
            for r, _ in u.reads:
                assert r.is_input or order[r.id] <= g.id


def test_rows_too_few_to_share_are_not_fused():
    b = Builder()
    x = b.input((400, 100))
    s = b("sum", x, (0, 1), True)
    b.graph.outputs = [b("sub", x, s)]
    names, plan = kernels(b)
    assert len(names) == 2 and "too few rows" in plan.refused[0].reason


def test_an_epilogue_may_see_the_rows_split_into_axes():
    b = Builder()
    x, w, c, y = b.input((48, 30)), b.input((30, 20)), b.input((20,)), b.input((6, 8, 20))
    h = b("add", b("view", b("mm", x, w), (6, 8, 20)), c)
    b.graph.outputs = [b("add", b("tanh", h), y)]
    names, plan = kernels(b)
    assert names == [["mm", "add", "tanh", "add"]] and plan.groups[0].kind == "gemm"


def test_what_comes_before_a_group_is_what_paths_say():
    rng = random.Random(7)
    for _ in range(20):
        graph, before = nx.DiGraph(), _Before()
        for i in range(12):
            graph.add_node(i)
            before.add(i, [])
        for _ in range(25):
            first, then = rng.randrange(12), rng.randrange(12)
            if nx.has_path(graph, then, first):
                continue  # groups never wait for each other in a circle
            graph.add_edge(first, then)
            before.add(then, [first])
            assert all(
                before.path(i, j) == nx.has_path(graph, i, j) for i in range(12) for j in range(12)
            )
