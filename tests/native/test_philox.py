"""Random kernels: numpy's Philox stream, the rules from words to numbers, independence of length
and threads, and the moments of the normal ones."""

import math

import numpy as np
import pytest

from graphc.native import build, cpu, library
from tests.native import spec_math as spec

pytestmark = pytest.mark.skipif(not library.available(), reason="no native kernels")
SIGNATURE = "void(int64_t, uint64_t, uint64_t, void *)"
RUN_SIGNATURE = "void(int64_t, int64_t, uint64_t, uint64_t, void *)"
DRAWS = [(0, 0), (1, 0), (123456789, 77), (2**64 - 1, 2**63), (42, 2**64 - 2)]


def draw(kind, n, seed, offset, dtype):
    out = np.empty(n, dtype)
    library.fn(f"gc_random_{kind}", SIGNATURE)(n, seed, offset, library.pointer(out))
    return out


def words(n, seed, offset):
    return draw("bits", n, seed, offset, np.uint64)


@pytest.mark.parametrize("seed, offset", DRAWS)
def test_words_are_numpys_stream(seed, offset):
    state = [np.array(v, np.uint64) for v in ([seed, 0], [offset, 0, 0, 0])]
    want = np.random.Philox(key=state[0], counter=state[1]).random_raw(1001)
    got = words(1001, seed, offset)
    assert np.array_equal(got, want)
    assert [spec.word(seed, offset, i) for i in range(9)] == got[:9].tolist()


def test_numbers_from_words():
    w = words(1000, 5, 9).tolist()
    assert draw("uniform_f32", 1000, 5, 9, np.float32).tolist() == [
        spec.uniform("f32", x) for x in w
    ]
    assert draw("uniform_f64", 1000, 5, 9, np.float64).tolist() == [
        spec.uniform("f64", x) for x in w
    ]
    randint = library.fn(
        "gc_random_randint_i64", "void(int64_t, uint64_t, uint64_t, int64_t, uint64_t, void *)"
    )
    for low, count in ((0, 10), (-7, 1), (-(2**63), 2**63 + 5), (-(2**63), 0), (3, 2**64 - 1)):
        out = np.empty(1000, np.int64)
        randint(1000, 5, 9, low, count, library.pointer(out))
        assert out.tolist() == [spec.randint(x, low, count) for x in w], (low, count)


@pytest.mark.parametrize("code, dtype", [("f32", np.float32), ("f64", np.float64)])
def test_normal_is_box_muller(code, dtype):
    n = 4000
    w = words(2 * n, 8, 3).reshape(n, 2).tolist()
    want = np.array(
        [
            math.sqrt(-2 * math.log(1 - spec.uniform(code, a)))
            * math.cos(2 * math.pi * spec.uniform(code, b))
            for a, b in w
        ]
    )
    got = draw(f"normal_{code}", n, 8, 3, dtype)
    # radius (at most 9) and cosine are within an eps each, absolutely where the cosine is small
    assert np.max(np.abs(got - want)) < 18 * np.finfo(dtype).eps
    big = draw(f"normal_{code}", 400_000, 11, 0, dtype).astype(np.float64)
    # standard errors: mean 1/sqrt(n), variance sqrt(2/n), kurtosis sqrt(24/n); five of each
    assert abs(big.mean()) < 5 / math.sqrt(big.size)
    assert abs(big.var() - 1) < 5 * math.sqrt(2 / big.size)
    assert abs((big**4).mean() - 3) < 5 * math.sqrt(96 / big.size)
    assert np.all(np.isfinite(big))


KINDS = [
    ("bits", np.uint64),
    ("uniform_f32", np.float32),
    ("uniform_f64", np.float64),
    ("normal_f32", np.float32),
    ("normal_f64", np.float64),
]


@pytest.mark.parametrize("kind, dtype", KINDS)
def test_element_depends_on_its_index_alone(kind, dtype):
    before = library.get_num_threads()
    try:
        library.set_num_threads(1)
        one = draw(kind, 100_003, 3, 1, dtype)
        library.set_num_threads(2)
        assert np.array_equal(draw(kind, 100_003, 3, 1, dtype), one)
    finally:
        library.set_num_threads(before)
    for n in (0, 1, 2, 3, 4, 5, 255, 256, 257, 511, 512, 513):
        assert np.array_equal(draw(kind, n, 3, 1, dtype), one[:n])


def test_scalar_functions_equal_the_kernels(tmp_path):
    functions = {
        "uniform_f32": "float",
        "uniform_f64": "double",
        "normal_f32": "float",
        "normal_f64": "double",
    }
    text = ['#include "gc_philox.h"', '#define OUT __attribute__((visibility("default")))']
    for name, t in functions.items():
        text.append(
            f"OUT void t_{name}(int64_t n, uint64_t s, uint64_t o, {t} *y) {{ for (int64_t i = 0; "
            f"i < n; i++) y[i] = gc_{name}(s, o, (uint64_t)i); }}"
        )
    text.append(
        "OUT void t_bits(int64_t n, uint64_t s, uint64_t o, uint64_t *y) { for (int64_t i = 0; "
        "i < n; i++) y[i] = gc_random_word(s, o, (uint64_t)i); }"
    )
    text.append(
        "OUT void t_randint(int64_t n, uint64_t s, uint64_t o, int64_t *y) { for (int64_t i = 0; "
        "i < n; i++) y[i] = gc_randint_i64(s, o, (uint64_t)i, -5, 1000); }"
    )
    for name, t in {**functions, "bits": "uint64_t"}.items():
        called = f"gc_{name.replace('_', '_run_')}" if name != "bits" else "gc_random_words"
        text.append(
            f"OUT void t_{name}_run(int64_t i, int64_t n, uint64_t s, uint64_t o, {t} *y) "
            f"{{ {called}(s, o, i, n, y); }}"
        )
    (tmp_path / "r.c").write_text("\n".join(text))
    build.compile_files([tmp_path / "r.c"], tmp_path / "r.so")
    handle = cpu.load(str(tmp_path / "r.so"))
    for kind, dtype in [*KINDS, ("randint", np.int64)]:
        out = np.empty(1003, dtype)
        cpu.function(handle, f"t_{kind}", SIGNATURE)(1003, 7, 2**64 - 9, library.pointer(out))
        if kind == "randint":
            assert out.tolist() == [
                spec.randint(w, -5, 1000) for w in words(1003, 7, 2**64 - 9).tolist()
            ]
            continue
        want = draw(kind, 1003, 7, 2**64 - 9, dtype)
        assert np.array_equal(out, want), kind
        run = cpu.function(handle, f"t_{kind}_run", RUN_SIGNATURE)
        for first, n in ((0, 1003), (1, 1), (2, 5), (3, 600), (7, 0), (511, 300), (64, 256)):
            out = np.zeros(n, dtype)
            run(first, n, 7, 2**64 - 9, library.pointer(out))
            assert np.array_equal(out, want[first : first + n]), (kind, first, n)
