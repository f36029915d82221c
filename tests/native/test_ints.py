"""Integer functions of gc_int.h, scalar and in arrays, against plain-Python integers."""

import numpy as np
import pytest

from graphc.native import library
from tests.native import math_kernels as kernels
from tests.native import spec_math as spec

pytestmark = pytest.mark.skipif(not library.available(), reason="no native kernels")
UNARY = ["abs", "neg", "sign", "square", "relu", "bitwise_not"]
DIVIDING = ["floor_divide", "trunc_divide", "remainder", "fmod"]
BINARY = [
    "add",
    "sub",
    "mul",
    "pow",
    "maximum",
    "minimum",
    "fmax",
    "fmin",
    "bitwise_and",
    "bitwise_or",
    "bitwise_xor",
    "bitwise_left_shift",
    "bitwise_right_shift",
    *DIVIDING,
]
COMPARE = ["eq", "ne", "lt", "le", "gt", "ge"]
KERNELS = [
    "sign",
    "relu",
    "maximum",
    "minimum",
    "fmax",
    "fmin",
    "pow",
    "bitwise_left_shift",
    "bitwise_right_shift",
    *DIVIDING,
]


def operands(code):
    """All pairs of edge values, and random ones."""
    info = np.iinfo(kernels.DTYPE[code])
    bits, _ = spec.INT[code]
    edges = {
        info.min,
        info.min + 1,
        info.max,
        info.max - 1,
        *range(-4, 6),
        bits - 1,
        bits,
        bits + 1,
        1 << (bits // 2),
        100,
        -100,
    }
    edges = [e for e in sorted(edges) if info.min <= e <= info.max]
    a, b = (x.ravel() for x in np.meshgrid(edges, edges))
    rng = np.random.default_rng(2)
    wide = rng.integers(info.min, info.max, (2, 200), kernels.DTYPE[code], endpoint=True)
    small = rng.integers(max(info.min, -9), 10, 200).astype(kernels.DTYPE[code])
    return (
        np.concatenate([a, wide[0], wide[0]]).astype(kernels.DTYPE[code]),
        np.concatenate([b, wide[1], small]).astype(kernels.DTYPE[code]),
    )


@pytest.fixture(scope="module")
def scalar(tmp_path_factory):
    wanted = []
    for code in spec.INT:
        wanted += [(fn, code, 1, code) for fn in UNARY] + [(fn, code, 2, code) for fn in BINARY]
        wanted += [(fn, code, 2, "b8") for fn in COMPARE] + [("clamp", code, 3, code)]
    two = ["and", "or", "xor"]
    wanted += [(f"{kind}_{fn}", "b8", 2, "b8") for kind in ("logical", "bitwise") for fn in two]
    wanted += [(fn, "b8", 1, "b8") for fn in ("logical_not", "bitwise_not")]
    wanted += [(fn, "b8", 2, "b8") for fn in (*COMPARE, "maximum", "minimum", "fmax", "fmin")]
    return kernels.HeaderFunctions(tmp_path_factory.mktemp("ints"), wanted)


@pytest.mark.parametrize("code", spec.INT)
@pytest.mark.parametrize("fn", [*UNARY, *BINARY, *COMPARE])
def test_scalar_functions(scalar, fn, code):
    a, b = operands(code)
    if fn in UNARY:
        got = scalar(fn, code, a)
        want = [spec.integer(fn, code, x) for x in a.tolist()]
    else:
        got = scalar(fn, code, a, b, result="b8" if fn in COMPARE else code)
        want = [spec.integer(fn, code, x, y) for x, y in zip(a.tolist(), b.tolist())]
        want = [int(w != 0) for w in want] if fn in COMPARE else want
    assert got.tolist() == want


@pytest.mark.parametrize("code", spec.INT)
def test_array_kernels_equal_scalar_functions(scalar, code):
    a, b = operands(code)
    for fn in KERNELS:
        arrays = (a,) if fn in UNARY else (a, b)
        want = scalar(fn, code, *arrays)
        assert np.array_equal(kernels.call(fn, code, *arrays), want), fn
        assert np.array_equal(kernels.call(fn, code, *arrays, out=a.copy()), want), fn
    low, high = np.minimum(a, 3), np.maximum(b, 2)
    assert np.array_equal(
        kernels.call("clamp", code, a, low, high), scalar("clamp", code, a, low, high)
    )
    one = np.full_like(a, 3)
    assert np.array_equal(
        kernels.call("floor_divide", code, a, a.dtype.type(3)), scalar("floor_divide", code, a, one)
    )
    assert np.array_equal(
        kernels.call("pow", code, a.dtype.type(3), b), scalar("pow", code, one, b)
    )


def test_bool(scalar):
    a, b = np.array([0, 0, 1, 1], np.uint8), np.array([0, 1, 0, 1], np.uint8)
    x, y = a.astype(bool), b.astype(bool)
    table = {"and": x & y, "or": x | y, "xor": x ^ y}
    for fn, want in table.items():
        for kind in ("logical", "bitwise"):
            assert np.array_equal(scalar(f"{kind}_{fn}", "b8", a, b), want)
    for fn in ("logical_not", "bitwise_not"):
        assert np.array_equal(scalar(fn, "b8", a), ~x)
    for fn, numpy_fn in zip(
        COMPARE, ["equal", "not_equal", "less", "less_equal", "greater", "greater_equal"]
    ):
        assert np.array_equal(scalar(fn, "b8", a, b), getattr(np, numpy_fn)(x, y))
    for fn, want in {"maximum": x | y, "minimum": x & y, "fmax": x | y, "fmin": x & y}.items():
        assert np.array_equal(scalar(fn, "b8", a, b), want)
        assert np.array_equal(kernels.call(fn, "b8", a, b), want)


def test_agrees_with_torch(scalar):
    torch = pytest.importorskip("torch")
    pairs = {
        "remainder": torch.remainder,
        "fmod": torch.fmod,
        "bitwise_left_shift": torch.bitwise_left_shift,
        "bitwise_right_shift": torch.bitwise_right_shift,
        "floor_divide": torch.floor_divide,
    }
    for code in spec.INT:
        a, b = operands(code)
        keep = (b != 0) & ~(
            (a == np.iinfo(a.dtype).min) & (b == a.dtype.type(-1 if code != "u8" else 255))
        )
        a, b = a[keep], b[keep]
        for fn, reference in pairs.items():
            want = reference(torch.from_numpy(a), torch.from_numpy(b)).numpy()
            assert np.array_equal(scalar(fn, code, a, b), want), (fn, code)
