"""Compiled programs against eager kernels, in bits; what is called, cached and written."""

import json
import os
import re
import subprocess
import sys
import textwrap

import numpy as np
import pytest

import graphc
from graphc.base import dtypes
from graphc.compiler import program
from graphc.compiler.driver import compile_graph
from graphc.ir.graph import Draw, Scalar
from graphc.ir.index import size
from graphc.native import library
from graphc.native.toolchain import find_compiler

from .graphs import Builder, interpret, same_bits
from .random_graphs import Maker

pytestmark = pytest.mark.skipif(find_compiler() is None, reason="no C compiler")


def check(b, arrays, scalars=(), rng=()):
    """Builds and runs b's graph; everything equal to eager in bits, strides included."""
    with np.errstate(all="ignore"):
        want, updates = interpret(b.graph, [a.copy() for a in arrays], scalars, rng)
    p = program.build(b.graph)
    got = p.call(arrays, scalars, rng)
    for a, r in zip(got, want, strict=True):
        assert same_bits(a, r)
    for slot, r in updates.items():
        assert same_bits(arrays[slot], r)
    return p


def normal(*shape, seed=0, dtype=np.float32):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


@pytest.mark.parametrize(
    "shape", [(1, 1), (3, 7), (64, 10), (5, 4097), (2, 9000), (1, 70000), (300, 65)]
)
def test_row_and_column_chains(shape):
    b = Builder()
    x = b.input(shape)
    e = b("exp", b("sub", x, b("amax", x, (1,), True)))
    soft = b("div", e, b("sum", e, (1,), True))
    centred = b("sub", x, b("div", b("sum", x, (0,), True), float(shape[0])))
    b.graph.outputs = [
        soft,
        b("sum", soft, (0,), False),
        b("sum", b("mul", centred, centred), (0,), False),
        b("sum", x, (0, 1), False),
        b("argmax", x, (1,), False),
        b("amin", x, (0,), False),
    ]
    check(b, [normal(*shape)])


def test_train_step_updates_in_place_with_a_run_time_scalar():
    b = Builder()
    g = b.graph
    x, w, c, lr = b.input((64, 50)), b.input((40, 50)), b.input((40,)), Scalar(0, 0.1)
    h = b("relu", b("add", b("mm", x, b("permute", w, (1, 0))), c))
    loss = b("div", b("sum", b("mul", h, h), (0, 1), False), 64)
    gh = b("threshold_backward", b("mul", h, 2.0 / 64), h)
    gw = b("permute", b("mm", b("permute", x, (1, 0)), gh), (1, 0))
    g.updates = {
        1: b("sub", w, b("mul", gw, lr)),
        2: b("sub", c, b("mul", b("sum", gh, (0,), False), lr)),
    }
    g.outputs = [loss]
    arrays = [normal(64, 50), normal(40, 50, seed=1), normal(40, seed=2)]
    p = check(b, arrays, [0.1])
    losses = [float(p.call(arrays, [0.05])[0]) for _ in range(5)]
    assert losses == sorted(losses, reverse=True)
    assert "updated in place: 2" in p.memory


def test_epilogues_over_split_rows_and_batches():
    b = Builder()
    x, w, c, y = b.input((48, 30)), b.input((30, 20)), b.input((20,)), b.input((6, 8, 20))
    q, k = b.input((12, 9, 16)), b.input((12, 16, 7))
    h = b("add", b("view", b("mm", x, w), (6, 8, 20)), c)
    p = b("view", b("bmm", q, k), (3, 4, 9, 7))
    b.graph.outputs = [
        b("add", b("tanh", h), y),
        b("mul", p, 0.125),
        b("exp", b("view", p, (12, 9, 7))),
    ]
    check(
        b,
        [
            normal(48, 30),
            normal(30, 20),
            normal(20),
            normal(6, 8, 20),
            normal(12, 9, 16),
            normal(12, 16, 7),
        ],
    )


def test_swapped_inputs():
    b = Builder()
    x, y = b.input((5,)), b.input((5,))
    b.graph.updates = {0: y, 1: x}
    arrays = [normal(5), normal(5, seed=1)]
    old = [a.copy() for a in arrays]
    program.build(b.graph).call(arrays)
    assert same_bits(arrays[0], old[1]) and same_bits(arrays[1], old[0])


def test_strided_inputs_and_recorded_strides():
    b = Builder()
    x = b.input((6, 4), strides=(1, 6))
    y = b.input((6, 4), strides=(8, 2))
    b.graph.outputs = [b("permute", b("add", x, 1.0), (1, 0)), b("add", y, 1.0), b("add", x, x), x]
    arrays = [np.asfortranarray(normal(6, 4)), normal(6, 8)[:, ::2]]
    p = check(b, arrays)
    out = p.call(arrays)
    assert out[2].strides == arrays[0].strides and out[0].flags.c_contiguous


def test_results_are_fresh_and_separate():
    b = Builder()
    x = b.input((3,))
    y = b("neg", x)
    b.graph.outputs = [y, y, 7]
    p = program.build(b.graph)
    a, c, k = p.call([normal(3)])
    assert k == 7 and not np.shares_memory(a, c) and same_bits(a, c)
    assert not np.shares_memory(a, p.call([normal(3)])[0])


def test_random_numbers_are_eager_mode_s():
    b = Builder()
    x = b.input((33, 50))
    u = b("uniform", (33, 50), dtypes.float32, Draw(0, 3))
    v = b("normal", (33, 50), dtypes.float32, Draw(0, 500))
    b.graph.draws = {0: 2000}
    b.graph.outputs = [
        b("mul", x, b("to_float32", b("ge", u, 0.3))),
        b("add", v, x),
        b("sum", b("uniform", (70, 5), dtypes.float64, Draw(0, 7)), (1,), False),
    ]
    check(b, [normal(33, 50)], (), [((1 << 64) - 3, 5)])


def test_bad_index_stops_the_program_before_anything_is_written():
    b = Builder()
    w, i, x = b.input((10, 4)), b.input((6,), dtypes.int64), b.input((10, 4))
    b.graph.outputs = [b("embedding", w, i)]
    b.graph.updates = {0: b("add", w, x), 2: b("neg", x)}
    arrays = [normal(10, 4), np.arange(6), normal(10, 4, seed=3)]
    check(b, [a.copy() for a in arrays])
    before = [a.copy() for a in arrays]
    arrays[1][3] = 10
    with pytest.raises(program.ProgramError, match="index out of range"):
        program.build(b.graph).call(arrays)
    assert same_bits(arrays[0], before[0]) and same_bits(arrays[2], before[2])


def test_half_types():
    for d in (dtypes.float16, dtypes.bfloat16):
        b = Builder()
        x, y = b.input((20, 30), d), b.input((30, 8), d)
        m = b("mm", b("mul", x, 0.3), y)
        b.graph.outputs = [m, b("sum", b("exp", m), (1,), False), b("amax", x, (0,), False)]
        check(b, [normal(20, 30).astype(d.np), normal(30, 8, seed=1).astype(d.np)])


def test_integers():
    b = Builder()
    x, y = b.input((7, 9), dtypes.int32), b.input((9, 4), dtypes.int32)
    u = b.input((7, 9), dtypes.uint8)
    b.graph.outputs = [
        b("mm", x, y),
        b("sum", x, (1,), False),
        b("amax", u, (0,), False),
        b("floor_divide", x, 3),
        b("add", u, 250),
        b("any", u, (1,), False),
    ]
    rng = np.random.default_rng(0)
    check(
        b,
        [
            rng.integers(-99, 99, (7, 9), np.int32),
            rng.integers(-9, 9, (9, 4), np.int32),
            rng.integers(0, 255, (7, 9), np.uint8),
        ],
    )


def _symbolic(n):
    b = Builder()
    x, w, c = b.input((n, 48)), b.input((48, 33)), b.input((33,))
    h = b("relu", b("add", b("mm", x, w), c))
    e = b("exp", b("sub", h, b("amax", h, (1,), True)))
    soft = b("div", e, b("sum", e, (1,), True))
    both = b("cat", [h, soft], 0)
    b.graph.outputs = [
        soft,
        b("sum", soft, (0, 1), False),
        b("sum", h, (0,), False),
        b("sum", b("view", h, (n * 33,)), (0,), False),
        b("permute", h, (1, 0)),
        b("sum", b("permute", h, (1, 0)), (1,), False),
        b("slice", both, 0, 1, 2 * n, 1),
        b("pad_constant", soft, ((1, 1), (0, 2)), 0.5),
    ]
    b.graph.updates = {1: b("sub", w, b("mul", b("mm", b("permute", x, (1, 0)), h), 0.01))}
    return b


def test_one_program_serves_every_size():
    p = program.build(_symbolic(size("s0", 64)).graph)
    for n in (2, 3, 64, 65, 500, 5000):
        arrays = [normal(n, 48), normal(48, 33, seed=1), normal(33, seed=2)]
        want, updates = interpret(_symbolic(n).graph, [a.copy() for a in arrays])
        got = p.call(arrays, (), (), [n])
        assert all(
            same_bits(a, r) and a.strides == r.strides for a, r in zip(got, want, strict=True)
        )
        assert same_bits(arrays[1], updates[1])


def test_threads_do_not_change_bits():
    b = Builder()
    x, w = b.input((700, 300)), b.input((300, 200))
    h = b("tanh", b("mm", x, w))
    b.graph.outputs = [
        h,
        b("sum", h, (0,), False),
        b("sum", h, (1,), False),
        b("sum", x, (0, 1), False),
        b("exp", x),
    ]
    arrays = [normal(700, 300), normal(300, 200, seed=1)]
    p = program.build(b.graph)
    before = library.get_num_threads()
    try:
        results = []
        for n in (1, 2, 3):
            library.set_num_threads(n)
            results.append(p.call(arrays))
    finally:
        library.set_num_threads(before)
    for r in results[1:]:
        assert all(same_bits(a, c) for a, c in zip(results[0], r, strict=True))


@pytest.fixture(scope="module")
def opaque_sort():
    from graphc.ir.op import Op, Sample

    return Op(
        "test_sort",
        "opaque",
        inputs=("input",),
        infer=lambda t: t.with_shape(t.shape),
        eager=lambda a: np.sort(a, axis=-1),
        samples=lambda: [Sample()],
    )


def test_opaque_operators_run_between_segments(opaque_sort):
    b = Builder()
    x = b.input((6, 9))
    y = b.graph.add(opaque_sort, (b("neg", x),), (), x.type)
    b.graph.outputs = [b("add", y, x), y]
    a = normal(6, 9)
    got = program.build(b.graph).call([a])
    assert same_bits(got[1], np.sort(-a, -1)) and same_bits(got[0], np.sort(-a, -1) + a)


def test_the_library_of_another_plan_is_not_taken(monkeypatch, opaque_sort):
    """Plans of one graph may differ; a record with opaque operators is made anew each time and has
    to meet its own source's library."""
    b = Builder()
    x = b.input((6, 9))
    total = b("sum", b("abs", x), (1,), True)
    y = b.graph.add(opaque_sort, (b("neg", x),), (), x.type)
    z = b.graph.add(opaque_sort, (b("mul", y, total),), (), x.type)
    b.graph.outputs = [b("add", b("mul", z, y), total)]
    a = normal(6, 9)
    want = interpret(b.graph, [a])[0][0]
    as_planned = compile_graph
    for skip in ((), ("fuse",), ("memory",), ()):
        monkeypatch.setattr(
            "graphc.compiler.driver.compile_graph",
            lambda graph, name, _, skip=skip: as_planned(graph, name, skip),
        )
        assert same_bits(program.build(b.graph).call([a])[0], want)


def test_equal_kernels_are_one_function():
    b = Builder()
    ps = [b.input(s) for s in ((100,), (30, 20), (5,))]
    b.graph.updates = {i: b("mul", p, 0.5) for i, p in enumerate(ps)}
    _, source, *_ = compile_graph(b.graph)
    assert source.count("* 0.5f") == 1 and source.count("_all(jobs") == 1
    check(b, [normal(100), normal(30, 20), normal(5)])


def test_a_large_program_is_compiled_in_pieces(monkeypatch):
    """Same text, several files: the kernels of each are called from the first."""
    monkeypatch.setattr("graphc.compiler.codegen.program.ALIKE", 1000)
    b = Builder()
    x = b.input((40, 30))
    y = x
    outs = []
    for i in range(60):
        y = b("exp", b("mul", b("sub", y, b("sum", y, (i % 2,), True)), 0.01 + i / 1000))
        outs.append(b("sum", y, (0,), False))
    b.graph.outputs = outs
    _, source, _, pieces = compile_graph(b.graph)
    assert len(pieces) > 2 and all(len(p) < len(source) for p in pieces)
    check(b, [normal(40, 30)])


def test_a_warm_process_compiles_nothing(tmp_path):
    script = textwrap.dedent("""
        import sys, numpy as np
        from tests.codegen.graphs import Builder
        from graphc.compiler import program
        from graphc.native import build, library
        library.available()
        runs = build.runs
        b = Builder()
        x = b.input((40, 30))
        b.graph.outputs = [b("sum", b("exp", x), (1,), False)]
        p = program.build(b.graph)
        out = p.call([np.ones((40, 30), np.float32)])[0]
        print(p.cached, build.runs - runs, "networkx" in sys.modules, "jinja2" in sys.modules,
              float(out[0]).hex())
        print(p.kernels[0].ops, "gc_exp_f32" in p.source, "arena" in p.memory)
    """)
    name = f"warm_{os.getpid()}"
    script = script.replace(
        "(40, 30)", f"(40, {30 + os.getpid() % 1000})"
    )  # a program nobody built before
    lines = [
        subprocess.run(
            [sys.executable, "-c", script],
            capture_output=True,
            text=True,
            check=True,
            cwd=os.path.dirname(os.path.dirname(os.path.dirname(__file__))),
        ).stdout.split("\n")
        for _ in range(2)
    ]
    assert name and lines[1][0].split()[:4] == ["True", "0", "False", "False"]
    assert lines[0][0].split()[-1] == lines[1][0].split()[-1] and lines[0][1] == lines[1][1]


def test_record_is_json():
    b = Builder()
    x = b.input((4,))
    b.graph.outputs = [b("neg", x)]
    p = program.build(b.graph)
    again = program.load(json.loads(json.dumps(p.record())), p._path, p.source)
    assert same_bits(again.call([normal(4)])[0], -normal(4))


@pytest.mark.parametrize("seed", [*range(16), 367])
def test_random_graphs(seed):
    _fuzz(seed)


@pytest.mark.fuzz
def test_many_random_graphs(fuzz_seed, fuzz_count):
    for i in range(fuzz_count):
        _fuzz(fuzz_seed + i, 10 + i % 20)


def _fuzz(seed, nodes=14):
    d = (dtypes.float32, dtypes.float32, dtypes.float64, dtypes.float16, dtypes.bfloat16)[seed % 5]
    m = Maker(seed, nodes, d)
    with np.errstate(all="ignore"):
        check(m.b, m.arrays(), (), [(1234, 5)] * len(m.b.graph.draws))


@pytest.mark.parametrize("shape", [(6, 7), (6, 5), (9, 7), (4, 3)])
def test_choices_in_short_rows(shape):
    """gcc 12 took one mask for the guarded loads of all columns, once it had unrolled the rows:
    both arms are computed before the choice. (Forbidding it to unroll made it write programs that
    crash.)"""
    b = Builder()
    a, m, x, g, y = (b.input(s) for s in (shape, shape, shape, shape, (shape[0], 5)))
    scaled = b("mul", b("add", x, b("div", b("sum", a, (0,), True), 6.0)), g)
    masked = b("threshold_backward", scaled, m)
    b.graph.outputs = [b("mm", b("permute", masked, (1, 0)), y)]
    check(b, [normal(*n.shape, seed=i) for i, n in enumerate(b.graph.inputs)])


@pytest.mark.parametrize("columns", (2, 3, 5, 6, 7, 12))
def test_a_choice_by_column_in_short_rows(columns):
    """The same fault of gcc 12 without a reduction: every column has a mask of its own."""
    shape = (21, columns)
    b = Builder()
    a, limit, x, y, u, v = (b.input(s) for s in (shape, shape[1:], shape, shape, shape, shape))
    chosen = b("where", b("gt", a, b("expand", limit, shape)), x, 0.0)
    z = b("add", 0.5, b("mul", chosen, 2.0))
    w = b("sub", u, v)
    b.graph.outputs = [
        z,
        b("where", b("eq", y, w), b("div", z, 2.0), b("where", b("lt", w, y), 0.0, z)),
    ]
    check(b, [np.rint(2 * normal(*n.shape, seed=i)) for i, n in enumerate(b.graph.inputs)])


def test_graphc_is_importable():
    assert graphc.__version__


def test_many_kernels_that_differ_in_numbers_share_a_function():
    numbers = [0.0, -0.0, 1.5, -1.5, float("inf"), float("-inf"), float("nan"), 1e-45, 3e38, 7.0]
    for count, functions in ((3, 3), (len(numbers), 1)):
        b = Builder()
        x = b.input((64, 64))
        b.graph.outputs = [b("sum", b("mul", x, c), (0, 1), False) for c in numbers[:count]]
        check(b, [normal(64, 64)])
        names = set(re.findall(r"static void (\w+_sum)\(", compile_graph(b.graph)[1]))
        assert len(names) == functions
