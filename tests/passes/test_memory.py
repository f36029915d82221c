"""The memory plan: no two live buffers overlap, and inputs are overwritten only when nobody needs
them."""

import random

from graphc.base import dtypes
from graphc.compiler.passes import pipeline
from graphc.compiler.passes.fuse import fuse
from graphc.compiler.passes.memory import assign, layout, schedule
from graphc.ir.loop import Buffer
from tests.codegen.graphs import Builder


def test_live_buffers_never_overlap():
    r = random.Random(1)
    for _ in range(50):
        buffers = {}
        for i in range(r.randint(1, 30)):
            first = r.randrange(20)
            b = Buffer(f"t{i}", r.choice((dtypes.float32, dtypes.int8)), r.randrange(1, 1000))
            buffers[b.name] = (b, first, first + r.randrange(8))
        plan = layout(buffers)
        spans = [
            (plan.offsets[n], plan.offsets[n] + b.count * b.dtype.itemsize, f, l)
            for n, (b, f, l) in buffers.items()
        ]
        for i, (o, e, f, l) in enumerate(spans):
            assert o % 64 == 0 and e <= plan.size
            for o2, e2, f2, l2 in spans[:i]:
                assert e <= o2 or e2 <= o or l < f2 or l2 < f


def _assign(b):
    g = pipeline.run(b.graph, check=True)
    plan = fuse(g)
    schedule(g, plan)
    return assign(g, plan)


def test_an_elementwise_update_is_in_place():
    b = Builder()
    p, g = b.input((100,)), b.input((100,))
    b.graph.updates = {0: b("sub", p, b("mul", g, 0.1))}
    assert list(_assign(b).in_place) == [0]


def test_an_update_waits_for_readers_of_the_old_value():
    b = Builder()
    w, x = b.input((30, 30)), b.input((30, 30))
    new = b("sub", w, x)
    y = b("mm", x, w)
    b.graph.outputs = [b("mm", y, w)]
    b.graph.updates = {0: new}
    a = _assign(b)
    assert list(a.in_place) == [0]  # scheduled after both products


def test_a_permuted_read_forbids_writing_in_place():
    b = Builder()
    w = b.input((30, 30))
    b.graph.updates = {0: b("add", w, b("permute", w, (1, 0)))}
    a = _assign(b)
    assert not a.in_place and "other places" in a.notes[0]


def test_updates_wait_for_the_last_check():
    b = Builder()
    p, i, x = b.input((30,)), b.input((5,), dtypes.int64), b.input((30,))
    new = b("add", p, x)
    b.graph.updates = {0: new}
    b.graph.outputs = [b("index_select", new, i, dim=0) if False else b("gather", new, i, 0)]
    a = _assign(b)
    assert not a.in_place and "may fail" in a.notes[0]


def test_all_results_of_an_opaque_operator_live_from_its_run_on():
    """It stores them together; what is kept over it may not lie where a later one is taken."""
    b = Builder()
    x = b.input((8, 8))
    kept = b("sum", b("exp", x), (0,), False)
    both = b("sort", b("mul", x, 2.0), 1, False)
    values, places = (b.graph.output_of(both, i) for i in range(2))
    total = b("sum", b("add", values, kept), (0, 1), False)
    b.graph.outputs = [total, b("to_float32", b("sum", places, (0, 1), False))]
    g = pipeline.run(b.graph, check=True)
    plan = fuse(g)
    schedule(g, plan)
    a = assign(g, plan)
    (run,) = [h.id for h in plan.groups if any(type(u.node.type) is tuple for u in h.units)]
    taken = [u.node for h in plan.groups for u in h.stored if u.node.is_output_of]
    assert len(taken) == 2
    for n in taken:
        (place,) = a.places[n.id]
        assert a.arena[place.buffer.name][1] == run
