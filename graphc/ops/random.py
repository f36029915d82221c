"""Random ops. A draw reserves a range of the generator's stream before the op runs, so that
element i depends on (seed, offset, i) alone: eager, compiled, fused and threaded runs give the
same bits.
Generator: Philox4x64-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011)."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..base import dtypes
from ..base.dtypes import DType
from ..core import rng
from ..core.tensor import Tensor
from ..ir.op import Sample
from ..ir.types import TensorType, numel, tensor_type
from ..native import library
from .define import random
from .pointwise import cast


def _infer(shape: tuple, dtype: DType, draw: Any) -> TensorType:
    return tensor_type(shape, dtype)


def _kernel(name: str, words: int, spare: Any) -> Any:
    def run(shape: tuple, dtype: DType, draw: tuple) -> np.ndarray:
        seed, offset = draw
        n = numel(shape)
        if not library.available():
            bits = np.random.Philox(key=[seed, 0], counter=[offset, 0, 0, 0]).random_raw(n * words)
            return spare(np.asarray(bits, np.uint64).reshape(n, words), dtype).reshape(shape)
        out = library.empty(shape, dtype.np)
        library.fn(f"gc_random_{name}_{dtype.code}", "void(int64_t, uint64_t, uint64_t, void *)")(
            n, seed, offset, library.pointer(out)
        )
        return out

    return run


def _spare_uniform(bits: np.ndarray, dtype: DType) -> np.ndarray:
    if dtype is dtypes.float32:
        return (bits[:, 0] >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24)
    return (bits[:, 0] >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _spare_normal(bits: np.ndarray, dtype: DType) -> np.ndarray:
    u = 1.0 - _spare_uniform(bits[:, :1], dtype).astype(np.float64)
    v = _spare_uniform(bits[:, 1:], dtype).astype(np.float64)
    return (np.sqrt(-2 * np.log(u)) * np.cos(2 * np.pi * v)).astype(dtype.np)


def _lower(name: str) -> Any:
    def lower(i: Any, seed: Any, offset: Any, shape: tuple, dtype: DType) -> Any:
        from ..ir.loop import Apply, value

        return Apply(name, (seed, offset, value(i)), dtype, code=dtype.code)

    return lower


def _samples() -> list[Sample]:
    return [
        Sample((), {"shape": s, "dtype": dtypes.dtype_named(d), "draw": (123, 5)}, grad=False)
        for s in ((3, 4), (), (0, 2), (1000,))
        for d in ("float32", "float64")
    ]


uniform = random(
    "uniform",
    _kernel("uniform", 1, _spare_uniform),
    _infer,
    lower=_lower("uniform"),
    samples=_samples,
    words=1,
    doc="Numbers in [0, 1): 24 bits of one word for float32, 53 for float64.",
)
normal = random(
    "normal",
    _kernel("normal", 2, _spare_normal),
    _infer,
    lower=_lower("normal"),
    samples=_samples,
    words=2,
    doc="Standard normal numbers (Box-Muller, two words each).",
)


def _randint_infer(shape: tuple, dtype: DType, draw: Any, low: int, count: int) -> TensorType:
    return tensor_type(shape, dtypes.int64)


def _randint_kernel(shape: tuple, dtype: DType, draw: tuple, low: int, count: int) -> np.ndarray:
    seed, offset = draw
    n = numel(shape)
    if not library.available():
        bits = np.random.Philox(key=[seed, 0], counter=[offset, 0, 0, 0]).random_raw(n)
        high = [(int(b) * count) >> 64 for b in np.atleast_1d(bits)]
        return (np.array(high, dtype=np.int64) + low).reshape(shape)
    out = library.empty(shape, np.dtype(np.int64))
    library.fn(
        "gc_random_randint_i64", "void(int64_t, uint64_t, uint64_t, int64_t, uint64_t, void *)"
    )(n, seed, offset, low, count, library.pointer(out))
    return out


def _randint_lower(
    i: Any, seed: Any, offset: Any, shape: tuple, dtype: DType, low: int, count: int
) -> Any:
    from ..ir.loop import Apply, Const, value

    return Apply(
        "randint",
        (seed, offset, value(i), Const(low, dtypes.int64), Const(count, dtypes.int64)),
        dtypes.int64,
        code="i64",
    )


randint = random(
    "randint",
    _randint_kernel,
    _randint_infer,
    lower=_randint_lower,
    words=1,
    samples=lambda: [
        Sample(
            (),
            {"shape": (3, 4), "dtype": dtypes.int64, "draw": (7, 0), "low": -3, "count": 10},
            grad=False,
        )
    ],
    doc="Integers in [low, low + count): the high half of word x count.",
)


def _make(op: Any, shape: tuple, dtype: DType, generator: Any, *rest: Any) -> Tensor:
    words = op.extra["words"]
    draw = rng.draw(numel(shape) * words, generator)
    if dtype.is_half:
        return cast(op(tuple(shape), dtypes.float32, draw, *rest), dtype)
    return op(tuple(shape), dtype, draw, *rest)


def rand(shape: tuple, dtype: DType, generator: Any = None) -> Tensor:
    """Uniform numbers in [0, 1) of a floating dtype."""
    return _make(uniform, shape, dtype, generator)


def randn(shape: tuple, dtype: DType, generator: Any = None) -> Tensor:
    """Standard normal numbers of a floating dtype."""
    return _make(normal, shape, dtype, generator)


def randint_in(low: int, high: int, shape: tuple, dtype: DType, generator: Any = None) -> Tensor:
    """Integers in [low, high). Raises PyTorch's RuntimeError for an empty range."""
    if low >= high:
        raise RuntimeError(
            f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}"
        )
    return cast(_make(randint, shape, dtypes.int64, generator, low, high - low), dtype)


def permutation(n: int, generator: Any = None) -> np.ndarray:
    """A random permutation of 0..n-1: the order of n random words (ties by position)."""
    seed, offset = rng.draw(n, generator)
    if library.available():
        out = library.empty((n,), np.dtype(np.uint64))
        library.fn("gc_random_bits", "void(int64_t, uint64_t, uint64_t, void *)")(
            n, seed, offset, library.pointer(out)
        )
    else:
        out = np.asarray(np.random.Philox(key=[seed, 0], counter=[offset, 0, 0, 0]).random_raw(n))
    return np.argsort(out, kind="stable").astype(np.int64)
