"""Native products, bit for bit: shapes, strides, batches, epilogues, threads, compilers."""

import shutil
import subprocess

import numpy as np
import pytest

from graphc.base.resources import runtime_dir
from graphc.native import build, cpu, library, toolchain
from tests.native import spec_gemm

pytestmark = pytest.mark.skipif(not library.available(), reason="no native kernels")

FLOATS, INTS = ["f32", "f64"], ["i32", "i64"]
DTYPES = {"f32": np.float32, "f64": np.float64, "i32": np.int32, "i64": np.int64}
STRIDED = "void *, int64_t, int64_t, int64_t, "
GEMM = f"int(int64_t, int64_t, int64_t, int64_t, {STRIDED}{STRIDED}void *, int64_t, int64_t"
LAYOUTS = ["rows", "columns", "strided", "reversed"]
# (m, n, k): tile edges in m and n (tiles are 6 or 12 rows, 4 to 32 columns), blocks of 256 in k
SHAPES = [
    (1, 1, 1), (2, 3, 0), (5, 7, 9), (12, 32, 256), (13, 33, 257), (6, 16, 255), (16, 16, 16),
    (3, 65, 40), (25, 10, 128), (31, 97, 520), (70, 40, 300),
]  # fmt: skip
VECTOR_SHAPES = [
    (1, 5, 3), (1, 16, 256), (1, 67, 300), (1, 515, 70), (5, 1, 3), (67, 1, 300), (515, 1, 70),
    (130, 1, 17), (1, 40, 1030),
]  # fmt: skip


@pytest.fixture(params=[1, 2])
def threads(request):
    before = library.get_num_threads()
    library.set_num_threads(request.param)
    yield request.param
    library.set_num_threads(before)


def values(shape, code, layout="rows", seed=0):
    """Numbers of mixed sign and size, in one of the memory layouts."""
    rng = np.random.default_rng([seed, *shape])
    if code in INTS:
        info = np.iinfo(DTYPES[code])
        x = rng.integers(info.min, info.max, shape, DTYPES[code])
    else:
        x = rng.standard_normal(shape) * np.exp(2 * rng.standard_normal(shape))
    x = x.astype(DTYPES[code])
    *batch, rows, columns = shape
    if layout == "columns":
        return np.ascontiguousarray(x.swapaxes(-1, -2)).swapaxes(-1, -2)
    if layout == "strided":
        wide = np.zeros((*batch, 2 * rows + 1, 3 * columns + 1), x.dtype)
        wide[..., 1::2, 1::3] = x
        return wide[..., 1::2, 1::3]
    if layout == "reversed":
        return np.ascontiguousarray(x[..., ::-1, ::-1])[..., ::-1, ::-1]
    return x


def address(x):
    return cpu.ffi().cast("void *", x.__array_interface__["data"][0])


def arguments(a, b, c):
    """The arguments up to C's strides; 2-d operands are shared by the whole batch."""
    batch = len(c) if c.ndim == 3 else 1
    out = [batch, c.shape[-2], c.shape[-1], a.shape[-1]]
    for x in (a, b):
        strides = [s // x.itemsize for s in x.strides]
        out += [address(x), strides[0] if x.ndim == 3 else 0, *strides[-2:]]
    strides = [s // c.itemsize for s in c.strides]
    return [*out, address(c), strides[0] if c.ndim == 3 else 0, strides[-2]]


def gemm(a, b, code, find=library.fn, pad=3):
    """A @ B; C's rows lie `pad` elements apart, and the padding must survive."""
    batch = [x.shape[0] for x in (a, b) if x.ndim == 3][:1]
    marker = 77
    wide = np.full((*batch, a.shape[-2], b.shape[-1] + pad), marker, DTYPES[code])
    c = wide[..., : b.shape[-1]]
    args = arguments(a, b, c)
    if code in FLOATS:
        status = find(f"gc_gemm_{code}", GEMM + ", void *)")(*args, cpu.ffi().NULL)
    else:
        status = find(f"gc_gemm_{code}", GEMM + ")")(*args)
    assert status == 0
    assert (wide[..., b.shape[-1] :] == marker).all()
    return c


def check(a, b, code, **kwargs):
    same_bits(gemm(a, b, code, **kwargs), spec_gemm.product(a, b))


def same_bits(got, want):
    """Equal bits, NaNs being one class."""
    got, want = np.ascontiguousarray(got), np.ascontiguousarray(want)
    if got.dtype.kind == "f":
        assert np.array_equal(np.isnan(got), np.isnan(want))
        got, want = np.nan_to_num(got, nan=0), np.nan_to_num(want, nan=0)
    assert np.array_equal(got.view(f"u{got.itemsize}"), want.view(f"u{want.itemsize}"))


@pytest.mark.parametrize("b_layout", LAYOUTS)
@pytest.mark.parametrize("a_layout", LAYOUTS)
@pytest.mark.parametrize("shape", [*SHAPES, *VECTOR_SHAPES])
def test_f32_layouts(shape, a_layout, b_layout):
    m, n, k = shape
    check(values((m, k), "f32", a_layout), values((k, n), "f32", b_layout, 1), "f32")


@pytest.mark.parametrize("layouts", [("rows", "columns"), ("columns", "rows"), ("strided",) * 2])
@pytest.mark.parametrize(
    "shape", [(5, 7, 9), (13, 18, 5), (7, 5, 300), (1, 19, 260), (19, 1, 260), (25, 33, 4)]
)
def test_f64_layouts(shape, layouts):
    m, n, k = shape
    check(values((m, k), "f64", layouts[0]), values((k, n), "f64", layouts[1], 1), "f64")


@pytest.mark.parametrize("code", INTS)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(2, 3, 0), (1, 9, 5), (5, 7, 9), (13, 140, 131), (40, 530, 6)])
def test_integers_wrap(shape, layout, code, threads):
    m, n, k = shape
    check(values((m, k), code, layout), values((k, n), code, layout, 1), code)


@pytest.mark.parametrize("code", [*FLOATS, *INTS])
@pytest.mark.parametrize("shared", [None, "a", "b"])
def test_batches(code, shared, threads):
    count, m, n, k = 7, 9, 11, 20
    a = values((m, k) if shared == "a" else (count, m, k), code, "columns")
    b = values((k, n) if shared == "b" else (count, k, n), code, "columns", 1)
    got = gemm(a, b, code)
    for i in range(count):
        want = spec_gemm.product(a if a.ndim == 2 else a[i], b if b.ndim == 2 else b[i])
        same_bits(got[i], want)


@pytest.mark.parametrize("code", FLOATS)
def test_batches_of_vectors(code, threads):
    a, b = values((5, 1, 300), code), values((5, 300, 40), code, "columns", 1)
    got, turned = gemm(a, b, code), gemm(b.swapaxes(1, 2), a.swapaxes(1, 2), code)
    same_bits(turned, got.swapaxes(1, 2))
    if code == "f32":
        same_bits(got, np.stack([spec_gemm.product(x, y) for x, y in zip(a, b, strict=True)]))


LARGE = [(64, 256, 784), (300, 200, 513), (700, 70, 300), (40, 2100, 260), (1, 4000, 300)]


@pytest.mark.parametrize("shape", LARGE)
def test_size_layout_and_threads_change_no_bit(shape):
    """Large products (packed, cut into tasks) agree with rows of them and columns of them."""
    m, n, k = shape
    before = library.get_num_threads()
    try:
        results = []
        for count in (1, 2, 3):
            library.set_num_threads(count)
            for a_layout, b_layout in [("rows", "columns"), ("columns", "rows")]:
                a, b = values((m, k), "f32", a_layout), values((k, n), "f32", b_layout, 1)
                results.append(gemm(a, b, "f32").tobytes())
        assert len(set(results)) == 1
    finally:
        library.set_num_threads(before)
    whole = np.frombuffer(results[0], np.float32).reshape(m, n)
    same_bits(whole[:3], spec_gemm.product(a[:3], b))
    same_bits(whole[:, -5:], spec_gemm.product(a, b[:, -5:]))
    same_bits(whole[:, -1:], gemm(a, b[:, -1:], "f32"))
    same_bits(whole[-1:], gemm(a[-1:], b, "f32"))


@pytest.mark.parametrize("code", FLOATS)
def test_special_values(code):
    """Infinities, NaN, signed zeros, subnormals; underflow to -0, which the first block keeps."""
    dtype = DTYPES[code]
    tiny = np.finfo(dtype).smallest_subnormal
    special = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, tiny, -tiny, 1, -1.5], dtype)
    special = np.append(special, [np.finfo(dtype).max, np.finfo(dtype).tiny]).astype(dtype)
    rng = np.random.default_rng(5)
    for k in (1, 2, 5):
        check(rng.choice(special, (14, k)), rng.choice(special, (k, 35)), code)
        check(rng.choice(special, (1, k)), rng.choice(special, (k, 35)), code)
        check(rng.choice(special, (35, k)), rng.choice(special, (k, 1)), code)
    a, b = np.full((2, 1), -tiny), np.full((1, 3), tiny)
    assert np.signbit(gemm(a, b, code)).all()


def test_flush_to_zero_set_by_the_caller_does_not_matter():
    x86 = library.has("gc_gemm_f32") and toolchain.find_compiler() is not None
    if not x86 or "sse" not in toolchain.cpu_identity():
        pytest.skip("needs an x86 CPU")
    # what a foreign library does to the thread: FTZ and DAZ on, call, back
    text = """
    #include "gc_api.h"
    GC_EXPORT int
    run(const gc_api *api, void **buffers, const int64_t *s, const double *scalars)
    {
        unsigned before = __builtin_ia32_stmxcsr();
        (void)scalars;
        __builtin_ia32_ldmxcsr(before | 0x8040);
        api->gemm_f32(1, s[0], s[1], s[2], buffers[0], 0, s[2], 1, buffers[1], 0, s[1], 1,
                      buffers[2], 0, s[1], 0);
        unsigned kept = __builtin_ia32_stmxcsr();
        __builtin_ia32_ldmxcsr(before);
        return (kept & 0x8040) == 0x8040 ? 0 : 1;
    }
    """
    tiny = np.float32(np.finfo(np.float32).tiny)
    for m, n, k in [(3, 5, 4), (1, 5, 4), (200, 200, 100)]:
        a = np.full((m, k), tiny / 4, np.float32)
        b, c = np.full((k, n), 0.5, np.float32), np.zeros((m, n), np.float32)
        assert program(text)(*run_arguments([a, b, c], [m, n, k])) == 0
        same_bits(c, spec_gemm.product(a, b))
        assert (c > 0).all()


EPILOGUE = """
#include "gc_api.h"
typedef struct { const double *bias; double scale; int64_t n, *calls; } context;
static void tile(void *ctx, int64_t batch, int64_t i0, int64_t i1, int64_t j0, int64_t j1,
                 TYPE *c, int64_t ldc)
{
    const context *x = (const context *)ctx;
    for (int64_t i = 0; i < i1 - i0; i++)
        for (int64_t j = 0; j < j1 - j0; j++) {
            c[i * ldc + j] = c[i * ldc + j] * (TYPE)x->scale + (TYPE)x->bias[j0 + j];
            x->calls[batch * 1000000 + (i0 + i) * x->n + j0 + j]++;
        }
}
GC_EXPORT int run(const gc_api *api, void **buffers, const int64_t *s, const double *scalars)
{
    context x = {(const double *)buffers[3], scalars[0], s[2], (int64_t *)buffers[4]};
    EPILOGUE_TYPE epi = {tile, &x};
    if (api->size_version >> 32 < 1 || (api->size_version & 0xffffffff) < (int64_t)sizeof *api)
        return 2;
    return api->GEMM(s[0], s[1], s[2], s[3], (const TYPE *)buffers[0], s[1] * s[3], s[3], 1,
                     (const TYPE *)buffers[1], s[3] * s[2], 1, s[3],
                     (TYPE *)buffers[2], s[1] * s[2], s[2], &epi);
}
"""


def program(text, flags=()):
    return library.program(build.shared_object({"test.c": text}, flags=flags).path(build.LIBRARY))


def run_arguments(arrays, sizes, scalars=()):
    return (
        cpu.pointers([address(x) for x in arrays]),
        cpu.sizes(sizes),
        cpu.scalars(list(scalars)),
    )


@pytest.mark.parametrize("code", FLOATS)
@pytest.mark.parametrize(
    "shape",
    [(1, 5, 7, 9), (3, 13, 33, 260), (1, 300, 300, 40), (2, 1, 300, 20), (2, 300, 1, 20),
     (1, 700, 40, 200), (2, 4, 5, 0), (1, 1, 2000, 300)],
)  # fmt: skip
def test_epilogue_sees_every_finished_element_once(code, shape, threads):
    """From a generated program, through the table, compiled as strict C99."""
    ctype = {"f32": "float", "f64": "double"}[code]
    text = EPILOGUE.replace("EPILOGUE_TYPE", f"gc_epilogue_{code}").replace("TYPE", ctype)
    text = text.replace("GEMM", f"gemm_{code}")
    run = program(text, ("-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror"))
    batch, m, n, k = shape
    a, b = values((batch, m, k), code), values((batch, k, n), code, "columns", 1)
    c, bias = np.full((batch, m, n), np.nan, DTYPES[code]), np.linspace(-1, 1, n)
    calls = np.zeros((batch, 1000000), np.int64)
    assert run(*run_arguments([a, b, c, bias, calls], shape, [0.5])) == 0
    assert (calls[:, : m * n] == 1).all() and calls.sum() == batch * m * n
    plain = gemm(a, b, code, pad=0)
    same_bits(c, plain * DTYPES[code](0.5) + bias.astype(DTYPES[code]))


def test_nothing_to_do():
    for shape in [(0, 3, 4), (3, 0, 4), (0, 0, 0)]:
        m, n, k = shape
        assert gemm(np.ones((m, k)), np.ones((k, n)), "f64").shape == (m, n)
    assert gemm(np.ones((0, 2, 3)), np.ones((0, 3, 4)), "f64").shape == (0, 2, 4)


@pytest.mark.parametrize(
    ("command", "arch"),
    [("clang", "native"), ("clang", "haswell"), ("gcc", "haswell"), ("gcc", "x86-64")],
)
def test_compilers_and_instruction_sets_give_the_same_bits(command, arch, tmp_path):
    """This CPU's own, AVX2, and one with no fused multiply-add at all."""
    if shutil.which(command) is None:
        pytest.skip(f"no {command}")
    if arch != "native" and "avx2" not in toolchain.cpu_identity():
        pytest.skip("needs an x86 CPU with AVX2")
    names = ["gemm_f32", "gemm_f64", "pool", "cpu", "alloc"]
    sources = [str(runtime_dir() / "src" / f"{name}.c") for name in names]
    subprocess.run(
        [command, *toolchain.FLAGS, f"-march={arch}", *toolchain.LINK_FLAGS, "-Werror", "-Wall"]
        + ["-Wextra", "-I", runtime_dir() / "include", *sources]
        + ["-o", tmp_path / "other.so", "-lm"],
        check=True,
    )
    other = cpu.load(str(tmp_path / "other.so"))

    def find(name, signature):
        return cpu.function(other, name, signature)

    for code in FLOATS:
        for m, n, k in [(13, 45, 300), (1, 45, 300), (45, 1, 300), (16, 16, 16), (70, 10, 520)]:
            for a_layout, b_layout in [("rows", "columns"), ("columns", "rows")]:
                a, b = values((m, k), code, a_layout), values((k, n), code, b_layout, 1)
                same_bits(gemm(a, b, code, find=find), gemm(a, b, code))


def test_close_to_a_wider_product():
    """The chain's error: at most k roundings of partial sums of at most sum |a| |b|."""
    a, b = values((30, 900), "f32"), values((900, 30), "f32", "columns", 1)
    exact = a.astype(np.float64) @ b.astype(np.float64)
    bound = 900 * 2.0**-24 * (abs(a).astype(np.float64) @ abs(b).astype(np.float64))
    assert (abs(gemm(a, b, "f32") - exact) <= bound).all()
