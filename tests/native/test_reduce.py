"""Native reductions and scans against the plain-Python order, bit for bit, over any split."""

import shutil
import subprocess

import numpy as np
import pytest

from graphc.base.resources import runtime_dir
from graphc.native import cpu, library
from tests.native import spec_reduce as spec

pytestmark = pytest.mark.skipif(not library.available(), reason="no native kernels")

CODES = {
    "f32": np.float32, "f64": np.float64, "i64": np.int64, "i32": np.int32,
    "i16": np.int16, "i8": np.int8, "u8": np.uint8, "b8": np.bool_,
}  # fmt: skip
FLOATS, INTS = ["f32", "f64"], ["i64", "i32", "i16", "i8", "u8", "b8"]
REDUCE = "void(int64_t, int64_t, int64_t, void *, void *)"
LENGTHS = [*range(0, 20), 31, 33, 63, 64, 65, 100, 127, 128, 129, 4095, 4096, 4097, 4100]


@pytest.fixture(params=[1, 2])
def threads(request):
    before = library.get_num_threads()
    library.set_num_threads(request.param)
    yield request.param
    library.set_num_threads(before)


def values(shape, code, seed=0):
    """Numbers of mixed sign and size: every order of their sum has its own bits."""
    rng = np.random.default_rng(seed)
    if code in FLOATS:
        return (rng.standard_normal(shape) * np.exp(rng.standard_normal(shape))).astype(CODES[code])
    info = np.iinfo(CODES[code]) if code != "b8" else np.iinfo(np.uint8)
    raw = rng.integers(info.min, info.max, shape, np.int64, endpoint=True)
    return (raw & 1).astype(bool) if code == "b8" else raw.astype(CODES[code])


def special(shape, seed=0):
    """Doubles drawn from the special values, so that ties, NaN and signed zeros are frequent."""
    pool = [0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, 5e-324, -5e-324, 2.5]
    rng = np.random.default_rng(seed)
    x = rng.choice(pool, shape)
    x[rng.random(shape) < 0.02] = np.nan
    return x


def reduce(op, x, dtype=None, extra=()):
    """The native kernel over the middle axis of x[outer, n, inner]."""
    x = np.ascontiguousarray(x)
    code = next(c for c, t in CODES.items() if x.dtype == t)
    outer, n, inner = x.shape
    out = np.zeros((outer, inner), dtype or x.dtype)
    kernel = library.fn(f"gc_{op}_{code}", REDUCE)
    kernel(outer, n, inner, library.pointer(x), library.pointer(out))
    return out


def expect(function, x, dtype=None):
    outer, _, inner = x.shape
    out = [[function(x[o, :, j]) for j in range(inner)] for o in range(outer)]
    return np.array(out, dtype or x.dtype).reshape(outer, inner)


def assert_bits(got, want):
    """Equal bits; every NaN is one value."""
    assert got.dtype == want.dtype and got.shape == want.shape
    if got.dtype.kind == "f":
        got, want = (np.where(np.isnan(a), np.nan, a).astype(a.dtype) for a in (got, want))
    assert got.tobytes() == want.tobytes()


@pytest.mark.parametrize("code", FLOATS)
@pytest.mark.parametrize("op", ["sum", "prod", "mean"])
def test_order_of_sums_and_products(op, code):
    function = {"sum": spec.sum_, "prod": spec.prod, "mean": spec.mean}[op]
    for n in LENGTHS:
        for outer, inner in [(1, 1), (3, 1), (1, 2), (2, 5)] if n < 200 else [(1, 1), (1, 2)]:
            x = values((outer, n, inner), code, n)
            if op == "prod" and n > 100:  # keep products in range
                x = np.exp(x / 100).astype(x.dtype)
            assert_bits(reduce(f"reduce_{op}", x), expect(function, x))


@pytest.mark.parametrize("code", FLOATS)
def test_many_chunks_and_odd_trees(code, threads):
    for chunks in (2, 3, 5, 6, 7):
        n = (chunks - 1) * 4096 + 77
        x = values((n, 3), code, chunks)
        want = expect(spec.sum_, x[None])
        assert_bits(reduce("reduce_sum", x[None]), want)
        assert_bits(reduce("reduce_sum", x.T[:, :, None]), want.T)
        assert_bits(reduce("reduce_mean", x[None]), expect(spec.mean, x[None]))


@pytest.mark.parametrize(
    "op", ["reduce_sum", "reduce_prod", "reduce_mean", "reduce_max", "reduce_any"]
)
@pytest.mark.parametrize(
    "shape", [(1, 4096 * 9 + 5, 2), (3, 700, 130), (1, 40, 5000), (200, 64, 9)]
)
def test_every_layout_and_thread_count_gives_the_same_bits(op, shape):
    """Rows, columns (wide, narrow, tiled), one thread or more: the same numbers, the same bits."""
    outer, n, inner = shape
    x = values(shape, "f32", 1)
    x = np.exp(x / 100).astype(np.float32) if op == "reduce_prod" else x
    rows = np.ascontiguousarray(x.transpose(0, 2, 1)).reshape(outer * inner, n, 1)
    dtype = np.bool_ if op == "reduce_any" else None
    before, results = library.get_num_threads(), []
    for count in (1, 2, 3):
        library.set_num_threads(count)
        results += [reduce(op, x, dtype), reduce(op, rows, dtype).reshape(outer, inner)]
    library.set_num_threads(before)
    for other in results[1:]:
        assert_bits(other, results[0])


@pytest.mark.parametrize("code", FLOATS)
def test_var_is_two_canonical_passes(code, threads):
    signature = "void(int64_t, int64_t, int64_t, double, void *, void *, void *)"
    kernel = library.fn(f"gc_reduce_var_{code}", signature)
    for shape in [(2, 1, 3), (1, 0, 2), (3, 10, 1), (2, 70, 3), (1, 9000, 1), (1, 5000, 2)]:
        for correction in (1.0, 0.0, 12.5):
            x = values(shape, code) + 3
            var, mean = np.zeros((2, shape[0], shape[2]), x.dtype)
            arrays = [library.pointer(a) for a in (x, var, mean)]
            kernel(*shape, correction, *arrays)
            assert_bits(var, expect(lambda v, c=correction: spec.var(v, c), x))
            assert_bits(mean, expect(spec.mean, x))
            again = np.zeros_like(var)
            null = cpu.ffi().NULL
            kernel(*shape, correction, arrays[0], library.pointer(again), null)
            assert_bits(again, var)


def test_identity_of_signed_zeros_and_empty():
    negative = np.full((2, 5, 3), -0.0, np.float32)
    assert_bits(reduce("reduce_sum", negative), np.zeros((2, 3), np.float32))
    assert_bits(reduce("reduce_prod", negative[:, :1]), np.full((2, 3), -0.0, np.float32))
    for shape in [(2, 0, 3), (2, 0, 1), (1, 0, 1)]:
        empty, out = np.zeros(shape, np.float32), (shape[0], shape[2])
        assert_bits(reduce("reduce_sum", empty), np.zeros(out, np.float32))
        assert_bits(reduce("reduce_prod", empty), np.ones(out, np.float32))
        assert np.isnan(reduce("reduce_mean", empty)).all()
        assert (reduce("reduce_max", empty) == -np.inf).all()
        assert (reduce("reduce_min", empty) == np.inf).all()
        assert (
            not reduce("reduce_any", empty, bool).any() and reduce("reduce_all", empty, bool).all()
        )
        for code in INTS:
            narrow = empty.astype(CODES[code])
            info = np.iinfo(CODES[code]) if code != "b8" else None
            assert (reduce("reduce_max", narrow) == (info.min if info else False)).all()
            assert (reduce("reduce_min", narrow) == (info.max if info else True)).all()
            assert (reduce("reduce_prod", narrow, np.int64) == 1).all()
    for shape in [(0, 3, 4), (3, 4, 0), (0, 0, 0)]:
        for op in ("sum", "max", "argmax"):
            dtype = np.int64 if op == "argmax" else None
            assert reduce(f"reduce_{op}", np.zeros(shape, np.float32), dtype).size == 0


@pytest.mark.parametrize("code", list(CODES))
@pytest.mark.parametrize("shape", [(3, 7, 1), (5, 1, 1), (2, 33, 5), (1, 300, 70), (2, 2000, 1)])
def test_order_free(code, shape):
    x = values(shape, code, 2)
    if code in FLOATS:
        x = special(shape, 3).astype(CODES[code])
    assert_bits(reduce("reduce_max", x), expect(spec.maximum, x))
    assert_bits(reduce("reduce_min", x), expect(spec.minimum, x))
    assert_bits(reduce("reduce_argmax", x, np.int64), expect(spec.argmax, x, np.int64))
    assert_bits(reduce("reduce_argmin", x, np.int64), expect(spec.argmin, x, np.int64))
    sparse = np.where(np.random.default_rng(5).random(shape) < 0.02, x, np.zeros_like(x))
    for y in (x, sparse, np.ones_like(x)):
        assert_bits(reduce("reduce_any", y, bool), (y != 0).any(1))
        assert_bits(reduce("reduce_all", y, bool), (y != 0).all(1))
    if code in INTS:
        assert_bits(reduce("reduce_sum", x, np.int64), expect(spec.sum_, x, np.int64))
        odd = (x | np.array(1, x.dtype)).astype(x.dtype)  # odd products never vanish modulo 2^64
        assert_bits(reduce("reduce_prod", odd, np.int64), expect(spec.prod, odd, np.int64))


def test_large_order_free_over_threads(threads):
    """Long rows and narrow columns are cut into runs; ties go to the first index all the same."""
    x = np.random.default_rng(0).integers(0, 50, 300_001).astype(np.int16)
    x[[200_000, 250_000]] = 60
    x[[100_000, 290_000]] = -7
    for shape in [(1, -1, 1), (1, -1, 3)]:
        y = x[: len(x) // 3 * 3].reshape(shape)
        for op, best in [("argmax", y.argmax(1)), ("argmin", y.argmin(1))]:
            assert_bits(reduce(f"reduce_{op}", y, np.int64), best)
            assert_bits(reduce(f"reduce_{op}", y.astype(np.float32), np.int64), best)
        assert_bits(reduce("reduce_sum", y, np.int64), y.sum(1, dtype=np.int64))
        assert_bits(reduce("reduce_max", y), y.max(1))


@pytest.mark.parametrize("code", list(CODES))
@pytest.mark.parametrize("shape", [(1, 1, 1), (7, 9, 1), (2, 40, 3), (1, 3, 1500), (4, 0, 2)])
def test_scans(code, shape):
    dtype = CODES[code] if code in FLOATS else np.int64
    x = values(shape, code, 4)
    for op, step, identity in [("sum", spec.add, 0), ("prod", spec.mul, 1)]:
        got = np.zeros(shape, dtype)
        kernel = library.fn(f"gc_scan_{op}_{code}", REDUCE)
        kernel(*shape, library.pointer(x), library.pointer(got))
        want = np.zeros(shape, dtype)
        for o in range(shape[0]):
            for j in range(shape[2]):
                want[o, :, j] = spec.scan(x[o, :, j], step, dtype(identity))
        assert_bits(got, want)


@pytest.mark.parametrize("op", ["sum", "mean", "amax", "argmin", "var"])
def test_against_pytorch(op):
    torch = pytest.importorskip("torch")
    x = values((6, 200, 4), "f64", 8)
    want = getattr(torch, op)(torch.from_numpy(x), 1).numpy()
    if op == "var":
        kernel = library.fn(
            "gc_reduce_var_f64", "void(int64_t, int64_t, int64_t, double, void *, void *, void *)"
        )
        got = np.zeros((6, 4))
        kernel(6, 200, 4, 1.0, library.pointer(x), library.pointer(got), cpu.ffi().NULL)
    else:
        name = "max" if op == "amax" else op
        got = reduce(f"reduce_{name}", x, np.int64 if op == "argmin" else None)
    # each sum of 200 terms of size below 100 errs by less than 200 * 100 * 2^-53 in either order
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-11)


# What a generated program writes: the fused row and column forms, from the header alone.
GENERATED = """
#include "gc_reduce.h"
EXPORT void row_dot(int64_t n, const float *x, const float *y, float *out) {
  float stack[GC_LEVELS * 8], lanes[8], e[GC_RUN];
  int64_t c, b, k, chunks = gc_chunks(n);
  for (c = 0; c < chunks; c++) {
    int64_t begin = c * GC_CHUNK, len = n - begin < GC_CHUNK ? n - begin : GC_CHUNK;
    gc_sum_begin_f32(lanes, 8);
    for (b = 0; b < len; b += GC_RUN) {
      int64_t run = len - b < GC_RUN ? len - b : GC_RUN;
      for (k = 0; k < run; k++) e[k] = x[begin + b + k] * y[begin + b + k];
      gc_sum_run_f32(lanes, e, run);
    }
    gc_sum_push_f32(stack, c, lanes, 8);
  }
  gc_sum_finish_f32(stack, chunks, 8);
  *out = gc_sum_fold_f32(stack);
}
EXPORT void column_dot(int64_t n, const float *x, const float *y, float *out) {
  float parts[8 * 8 * 5];
  int64_t c, b, l, chunks = gc_chunks(n);
  for (c = 0; c < chunks; c++) {
    float *lanes = parts + c * 8 * 5;
    gc_sum_begin_f32(lanes, 8 * 5);
    for (b = c * GC_CHUNK; b < n && b < (c + 1) * GC_CHUNK; b += GC_BLOCK)
      for (l = 0; l < 8 && b + l < n; l++) {
#define VALUE(k, j) (x[(b + l + 8 * (k)) * 5 + (j)] * y[(b + l + 8 * (k)) * 5 + (j)])
        int count = n - b >= GC_BLOCK ? 8 : (int)((n - b - l + 7) / 8);
        GC_ROWS(float, GC_ADD, VALUE, lanes + l * 5, count, 5);
      }
  }
  gc_sum_tree_f32(parts, chunks, 8 * 5);
  gc_sum_fold_rows_f32(parts, 5, out);
}
EXPORT float most(const float *x, int64_t n) { return gc_max_run_f32(gc_max_begin_f32(), x, n); }
"""


def build(out, compiler, flags, sources):
    """A shared object of C files, loaded; the test is skipped where there is no such compiler."""
    if shutil.which(compiler) is None:
        pytest.skip(f"no {compiler}")
    include = f"-I{runtime_dir() / 'include'}"
    command = [compiler, *flags, "-ffp-contract=off", "-fwrapv", "-fPIC", "-shared", "-pthread"]
    subprocess.run([*command, include, *sources, "-o", out, "-lm"], check=True, timeout=60)
    return cpu.load(str(out))


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("flags", ["-O3 -march=native", "-O1", "-O3 -DGC_NO_VECTOR"])
def test_header_in_generated_code(tmp_path, compiler, flags):
    """The header is clean C99 and gives the canonical bits, fused, in both forms, at any level."""
    strict = ["-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror"]
    source = tmp_path / "program.c"
    export = '__attribute__((visibility("default")))'
    source.write_text(GENERATED.replace("EXPORT", export), encoding="utf-8")
    program = build(tmp_path / "program.so", compiler, [*strict, *flags.split()], [source])
    signature = "void(int64_t, void *, void *, void *)"
    row_dot = cpu.function(program, "row_dot", signature)
    column_dot = cpu.function(program, "column_dot", signature)
    for n in [0, 1, 7, 10, 64, 100, 1000, 4096, 5000, 3 * 4096 + 1]:
        x, y = values((2, n, 5), "f32", n)
        got, rows = np.zeros((2, 1, 5), np.float32)
        column_dot(n, library.pointer(x), library.pointer(y), library.pointer(got))
        for j in range(5):
            a, b, out = (
                np.ascontiguousarray(x[:, j]),
                np.ascontiguousarray(y[:, j]),
                rows[:, j : j + 1],
            )
            row_dot(n, library.pointer(a), library.pointer(b), library.pointer(out))
        want = expect(spec.sum_, (x * y)[None])
        assert_bits(got, want)
        assert_bits(rows, want)
    most = cpu.function(program, "most", "float(void *, int64_t)")
    x = special(100, 1).astype(np.float32)
    for part in (x, x[~np.isnan(x)], x[x == 0], -np.abs(x[x == 0])):
        part = np.ascontiguousarray(part)
        got = np.float32(most(library.pointer(part), len(part)))
        assert_bits(np.array(got), np.array(spec.maximum(part)))


def test_another_compiler_gives_the_same_bits(tmp_path):
    names = ["reduce_f32.c", "rows_f32.c", "pool.c", "alloc.c", "cpu.c"]
    sources = [runtime_dir() / "src" / name for name in names]
    flags = ["-std=gnu11", "-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math"]
    other = build(tmp_path / "other.so", "clang", flags, sources)
    x = values((37, 300, 1), "f32", 6)
    for name in ("gc_reduce_sum_f32", "gc_reduce_prod_f32", "gc_reduce_mean_f32"):
        for shape in [(37, 300, 1), (1, 37, 300), (1, 3700, 3), (1, 11100, 1)]:
            results = np.zeros((2, shape[0], shape[2]), np.float32)
            library.fn(name, REDUCE)(*shape, library.pointer(x), library.pointer(results[0]))
            cpu.function(other, name, REDUCE)(
                *shape, library.pointer(x), library.pointer(results[1])
            )
            assert_bits(results[1], results[0])
    for name in ("gc_row_softmax_f32", "gc_row_log_softmax_f32"):
        signature, results = (
            "void(int64_t, int64_t, void *, void *)",
            np.zeros((2, 37, 300), np.float32),
        )
        library.fn(name, signature)(37, 300, library.pointer(x), library.pointer(results[0]))
        cpu.function(other, name, signature)(
            37, 300, library.pointer(x), library.pointer(results[1])
        )
        assert_bits(results[1], results[0])
