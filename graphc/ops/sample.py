"""Samples of distributions whose methods reject: gamma, Poisson, binomial.

Takes parameters and one random word per element, gives samples. A word names a stream of its own
for its element, so that samples do not depend on order, tiling or threads; the words themselves
are an ordinary draw, which capture sees. Gamma samples have the gradient of a fixed quantile
(Figurnov et al., "Implicit reparameterization gradients", 2018).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..base import dtypes
from ..base.dtypes import from_numpy_dtype
from ..core.tensor import Tensor
from ..ir.op import Make, Sample
from ..ir.types import TensorType, numel
from ..native import library
from .define import native
from .kernels import call
from .random import randint_in


def _check(first: Any, *rest: Any) -> None:
    """Parameters are floating and of one dtype, words int64, all of one shape."""
    for t in (first, *rest):
        if t.shape != first.shape:
            raise RuntimeError(
                f"a sample's parameters have shapes {list(first.shape)} and {list(t.shape)}"
            )
    if not _is_float(first) or any(_is_float(t) and t.dtype != first.dtype for t in rest):
        raise RuntimeError(
            f"a sample's parameters must be floating and of one dtype, not {first.dtype}"
        )


def _is_float(t: Any) -> bool:
    d = t.dtype if hasattr(t.dtype, "is_floating_point") else from_numpy_dtype(t.dtype)
    return d.is_floating_point


def _infer(first: TensorType, *rest: TensorType) -> TensorType:
    _check(first, *rest)
    return first.with_shape(first.shape)


def _kernel(name: str, spare: Callable, count: int = 1, least: bool = False) -> Callable:
    """The kernel over arrays of one shape, `count` of them parameters; computes in float64. least:
    what underflows becomes the dtype's smallest normal number."""

    def run(*arrays: Any) -> np.ndarray:
        _check(*arrays)
        d = from_numpy_dtype(arrays[0].dtype)
        parameters = [a for a in arrays if a.dtype.kind == "f"]
        words = arrays[len(parameters) :]
        if len(parameters) != count or any(w.dtype != np.int64 for w in words):
            raise RuntimeError("a sample's parameters must be floating, its words int64")
        if library.available():
            out = library.empty(arrays[0].shape, d.np)
            call(f"gc_sample_{name}_{d.code}", [out.size], arrays, [out])
            return out
        wide = np.empty(arrays[0].shape, np.float64)
        for i in np.ndindex(wide.shape):
            wide[i] = spare(*[float(a[i]) for a in parameters], *[int(w[i]) for w in words])
        if least:
            tiny = float(np.finfo(d.np).tiny)
            wide = np.where((wide < tiny) & (wide >= 0), tiny, wide)
        return wide.astype(d.np)

    return run


def _lower(name: str) -> Callable:
    def lower(shapes: list, types: list) -> tuple | None:
        if types[0].code not in ("f32", "f64"):
            return None
        return f"gc_sample_{name}_{types[0].code}", [numel(shapes[0])]

    return lower


def _stream(word: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=[word, 0]))


def _spare_gamma(a: float, word: int) -> float:
    return float(_stream(word).standard_gamma(a)) if a >= 0 else math.nan


def _spare_poisson(rate: float, word: int) -> float:
    return float(_stream(word).poisson(rate)) if rate >= 0 else math.nan


def _spare_binomial(n: float, p: float, word: int) -> float:
    ok = n >= 0 and 0 <= p <= 1
    return float(_stream(word).binomial(int(n), p)) if ok else math.nan


def _lower_gamma(a: float, x: float) -> float:
    """The distribution function of gamma(a) at x, by its series."""
    term = total = 1 / a
    for n in range(1, 100_000):
        term *= x / (a + n)
        total += term
        if term < 1e-17 * total:
            break
    return total * math.exp(a * math.log(x) - x - math.lgamma(a))


def _spare_gamma_grad(a: float, x: float) -> float:
    if not (a > 0 and x >= 0):
        return math.nan
    if x == 0:
        return 0.0
    h = 1e-5 * a
    density = math.exp((a - 1) * math.log(x) - x - math.lgamma(a))
    return -(_lower_gamma(a + h, x) - _lower_gamma(a - h, x)) / (2 * h) / density


def _samples(*inputs: tuple) -> Callable[[], list[Sample]]:
    def make() -> list[Sample]:
        words = Make((3, 4), "int64", 0, 1 << 20)
        return [
            Sample((*[Make((3, 4), d, lo, hi) for lo, hi in inputs], words), grad=False)
            for d in ("float32", "float64")
        ]

    return make


def _no_second(g: Tensor) -> Any:
    raise RuntimeError("derivative for aten::_standard_gamma_grad is not implemented")


standard_gamma_grad = native(
    "standard_gamma_grad",
    _kernel("gamma_grad", _spare_gamma_grad, 2),
    _infer,
    inputs=("concentration", "output"),
    lower=_lower("gamma_grad"),
    half="float32",
    vjp=[_no_second, _no_second],
    samples=lambda: [
        Sample((Make((3, 4), d, 0.3, 4.0), Make((3, 4), d, 0.1, 6.0)), grad=False)
        for d in ("float32", "float64")
    ],
)
standard_gamma = native(
    "standard_gamma",
    _kernel("gamma", _spare_gamma, least=True),
    _infer,
    inputs=("concentration", "word"),
    lower=_lower("gamma"),
    half="float32",
    vjp=[
        lambda g, concentration, out: g * standard_gamma_grad(concentration, out),
        None,
    ],
    samples=_samples((0.1, 5.0)),
)
poisson = native(
    "poisson",
    _kernel("poisson", _spare_poisson),
    _infer,
    inputs=("rate", "word"),
    lower=_lower("poisson"),
    half="float32",
    samples=_samples((0.0, 30.0)),
)
binomial = native(
    "binomial",
    _kernel("binomial", _spare_binomial, 2),
    _infer,
    inputs=("count", "prob", "word"),
    lower=_lower("binomial"),
    half="float32",
    samples=_samples((0.0, 40.0), (0.0, 1.0)),
)


def words(shape: tuple, generator: Any = None) -> Tensor:
    """One random word per element, to be given to the ops above."""
    return randint_in(0, 1 << 62, shape, dtypes.int64, generator)
