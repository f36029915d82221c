"""Casts between all pairs of element types against the plain-Python rules, and against numpy."""

import itertools

import numpy as np
import pytest

from graphc.native import build, cpu, library
from tests.native import math_kernels as kernels
from tests.native import spec_math as spec

pytestmark = pytest.mark.skipif(not library.available(), reason="no native kernels")
PAIRS = list(itertools.product(spec.CODES, spec.CODES))


def inputs(code):
    """Special values and random bits, as the element type's array."""
    rng = np.random.default_rng(1)
    t = kernels.DTYPE[code]
    if code == "b8":
        return np.array([0, 1, 1, 0, 1], t)
    if code in spec.INT:
        info = np.iinfo(t)
        edges = [
            info.min,
            info.min + 1,
            info.max - 1,
            info.max,
            0,
            1,
            2,
            127,
            128 % info.max,
            255 % info.max,
        ]
        if info.max > 2**24:  # ties of the conversion to float32 and of the detour to f16
            edges += [2**24 + 1, 2**24 + 3, 65519, 65520, 65535, 65536, 2**31 - 129]
        edges += [-e for e in edges if info.min < 0 and e > 0]
        return np.concatenate([np.array(edges, t), rng.integers(info.min, info.max, 200, t, True)])
    if code in ("f16", "bf16"):
        digits, _ = spec.FLOAT[code]
        special = [
            0,
            1,
            2,
            (1 << (digits - 1)) - 1,
            1 << (digits - 1),
            0x7BFF,
            0x7C00,
            0x7C01,
            0x7E00,
            0x7F7F,
            0x7F80,
            0x7F81,
            0x7FFF,
            0x3C00,
            0x3F80,
        ]
        bits = np.concatenate([np.array(special, t), rng.integers(0, 0x8000, 200, t)])
        return np.concatenate([bits, bits | 0x8000])
    ties = [
        2.0**-24,
        2.0**-25,
        2.0**-25 * 1.0001,
        3 * 2.0**-25,
        2.0**-14 - 2.0**-25,
        65519.0,
        65519.999,
        65520.0,
        1 + 2.0**-11,
        1 + 3 * 2.0**-11,
        1 + 2.0**-11 + 2.0**-30,
        1 + 2.0**-8,
        3.3895e38,
        3.4e38,
        1e-45,
        1e-46,
        0.5,
        0.99,
        1.5,
        127.5,
        128.0,
        255.9,
        256.0,
        32767.9,
        32768.0,
        2.0**31,
        2.0**31 - 1,
        2.0**32 + 5,
        2.0**52 + 1,
        2.0**53 + 2,
        2.0**62,
        2.0**63 - 1024,
        1e19,
    ]
    ints = rng.uniform(-(2.0**40), 2.0**40, 60)
    with np.errstate(over="ignore"):
        x = np.concatenate([ties, -np.array(ties), ints, ints * 2.0**-32, ints * 2.0**23]).astype(t)
    return np.concatenate([x, kernels.sweep(code, 1)[:: 1 if code == "f32" else 7]])


def numbers(code, x):
    """Python's view: bits of floats, values of integers."""
    return x.view(f"u{x.itemsize}").tolist() if code in spec.FLOAT else x.tolist()


def canonical(code, bits):
    """All NaN as one."""
    return (
        "nan"
        if code in spec.FLOAT and spec.decode(code, bits)[1] != spec.decode(code, bits)[1]
        else bits
    )


@pytest.mark.parametrize("source, target", PAIRS)
def test_every_pair_is_the_specified_function(source, target):
    x = inputs(source)
    got = numbers(target, kernels.cast(x, source, target))
    for bits, y in zip(numbers(source, x), got):
        want = spec.cast(source, target, bits)
        assert canonical(target, y) == canonical(target, want), (source, target, hex(bits))


def test_scalar_functions_equal_the_kernels(tmp_path):
    """Kernels pass through f32 or i32 where they have no loop of their own."""
    text = ['#include "gc_cast.h"', '#define OUT __attribute__((visibility("default")))']
    for s, t in PAIRS:
        text.append(
            f"OUT void t_{s}_{t}(int64_t n, const {kernels.C_TYPE[s]} *x, {kernels.C_TYPE[t]} *y) "
            f"{{ for (int64_t i = 0; i < n; i++) y[i] = gc_cast_{s}_{t}(x[i]); }}"
        )
    (tmp_path / "casts.c").write_text("\n".join(text))
    build.compile_files([tmp_path / "casts.c"], tmp_path / "casts.so", flags=["-O1"])
    handle = cpu.load(str(tmp_path / "casts.so"))
    for s, t in PAIRS:
        x = inputs(s)
        out = np.empty(x.size, kernels.DTYPE[t])
        f = cpu.function(handle, f"t_{s}_{t}", "void(int64_t, void *, void *)")
        f(x.size, library.pointer(x), library.pointer(out))
        got = kernels.cast(x, s, t)
        if t in ("f16", "bf16"):
            out, got = (kernels.cast(y, t, "f32") for y in (out, got))
        assert kernels.same_bits(out, got), (s, t)


def test_half_formats_exhaustively():
    bits = np.arange(65536, dtype=np.uint16)
    as_numpy = bits.view(np.float16)
    assert kernels.same_bits(kernels.cast(bits, "f16", "f32"), as_numpy.astype(np.float32))
    bf = (bits.astype(np.uint32) << 16).view(np.float32)
    assert kernels.same_bits(kernels.cast(bits, "bf16", "f32"), bf)
    finite = bits[~np.isnan(as_numpy)]
    assert np.array_equal(kernels.cast(kernels.cast(finite, "f16", "f32"), "f32", "f16"), finite)
    finite = bits[~np.isnan(bf)]
    assert np.array_equal(kernels.cast(kernels.cast(finite, "bf16", "f32"), "f32", "bf16"), finite)


def test_float32_to_half_equals_numpy_and_ml_dtypes():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    rng = np.random.default_rng(5)
    x = np.concatenate(
        [
            rng.integers(0, 2**32, 300_000, np.uint32).view(np.float32),
            rng.uniform(-70000, 70000, 100_000).astype(np.float32),
            rng.uniform(-7e-5, 7e-5, 100_000).astype(np.float32),
        ]
    )
    x = x[~np.isnan(x)]
    with np.errstate(over="ignore"):
        assert np.array_equal(kernels.cast(x, "f32", "f16"), x.astype(np.float16).view(np.uint16))
        assert np.array_equal(
            kernels.cast(x, "f32", "bf16"), x.astype(ml_dtypes.bfloat16).view(np.uint16)
        )


@pytest.mark.parametrize("code", ["f16", "bf16"])
def test_float64_rounds_twice_as_in_torch(code):
    torch = pytest.importorskip("torch")
    x = inputs("f64")
    half = {"f16": torch.float16, "bf16": torch.bfloat16}[code]
    want = torch.from_numpy(x).to(half).view(torch.int16).numpy().view(np.uint16)
    keep = ~np.isnan(x)
    assert np.array_equal(kernels.cast(x, "f64", code)[keep], want[keep])


@pytest.mark.parametrize("n", [0, 1, 2, 15, 16, 17, 511, 512, 513, 70_000, 200_001])
def test_any_length_and_thread_count(n):
    x = (np.arange(n) * 37 % 251 - 100).astype(np.int8)
    for target in ("i64", "f16", "u8", "f64"):
        want = np.concatenate(
            [kernels.cast(part, "i8", target) for part in np.array_split(x, 7)]
            + [np.empty(0, kernels.DTYPE[target])]
        )
        assert np.array_equal(kernels.cast(x, "i8", target), want)
