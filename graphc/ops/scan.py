"""Scans: running combinations along one axis, in plain order, as `gc_scan_*` of the native library
does.

Invariant: element r is the combination of elements 0..r, in sequence; integers accumulate in int64.
Source of semantics: https://pytorch.org/docs/stable/generated/torch.cumsum.html"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..base import dtypes
from ..base.dtypes import DType, from_numpy_dtype
from ..core.tensor import Tensor
from ..ir.op import Make, Sample
from ..ir.types import TensorType, numel
from ..native import library
from .define import opaque, scan
from .gather import cat, scatter_add
from .kernels import dense
from .pointwise import where

_SIGNATURE = "void(int64_t, int64_t, int64_t, void *, void *)"


def _wide(d: DType) -> DType:
    return dtypes.int64 if d.category <= dtypes.INT else d


def _kernel(name: str, spare: Any) -> Any:
    def run(a: np.ndarray, dim: int) -> np.ndarray:
        d = from_numpy_dtype(a.dtype)
        if a.ndim == 0:
            return a.astype(_wide(d).np)
        a = dense(a)
        if d.is_complex:
            return _complex_scan(name, a, dim)
        if not library.available():
            with np.errstate(all="ignore"):
                return spare(a, axis=dim, dtype=_wide(d).np)
        out = library.empty(a.shape, _wide(d).np)
        if out.size:
            library.fn(f"gc_scan_{name}_{d.code}", _SIGNATURE)(
                numel(a.shape[:dim]),
                a.shape[dim],
                numel(a.shape[dim + 1 :]),
                library.pointer(a),
                library.pointer(out),
            )
        return out

    return run


def _complex_scan(name: str, a: np.ndarray, dim: int) -> np.ndarray:
    from .complex_kernels import join, running_product

    if name == "prod":
        return running_product(a, dim)
    run = _kernel(name, np.cumsum)
    return join(run(np.ascontiguousarray(a.real), dim), run(np.ascontiguousarray(a.imag), dim))


def _infer(input: TensorType, dim: int) -> TensorType:
    return input.with_shape(input.shape, _wide(input.dtype))


def _samples(lo: float = -2.0, hi: float = 2.0, empty: bool = True) -> Any:
    def samples() -> list[Sample]:
        out = [
            Sample((Make(shape, d, lo, hi),), {"dim": dim}, grad=d.startswith("float"))
            for d in ("float32", "float64", "int64")
            for shape, dim in (((3, 5), 1), ((3, 5), 0), ((2, 4, 3), 1), ((6,), 0))
        ]
        out += [
            Sample((Make((6, 4), lo=lo, hi=hi, layout=k),), {"dim": 1}) for k in ("T", "strided")
        ]
        out += [
            Sample((Make((5,), d, lo, hi),), {"dim": 0}, grad=False)
            for d in ("float16", "int32", "bool")
        ]
        return out + ([Sample((Make((0, 3)),), {"dim": 0}, grad=False)] if empty else [])

    return samples


def _cumsum_vjp(g: Tensor, input_type: TensorType, dim: int) -> Tensor:
    if not input_type.shape:
        return g
    return cumsum(g.flip(dim), dim).flip(dim)


def _cumprod_vjp(g: Tensor, input: Tensor, dim: int) -> Tensor:
    # s[k] = g[k] + x[k+1] s[k+1]; the gradient is s[k] times the product before k: right at zeros
    # too
    if input.ndim == 0:
        return g
    n = int(input.shape[dim])
    if n == 0:
        return g
    ones = input.new_ones(tuple(1 if d == dim else m for d, m in enumerate(input.shape)))
    before, after = [ones], [g.narrow(dim, n - 1, 1)]
    for k in range(n - 1):
        before.append(before[-1] * input.narrow(dim, k, 1))
        after.append(g.narrow(dim, n - 2 - k, 1) + input.narrow(dim, n - 1 - k, 1) * after[-1])
    return cat(after[::-1], dim) * cat(before, dim)


cumsum = scan(
    "cumsum", _kernel("sum", np.cumsum), _infer, lower="sum", vjp=[_cumsum_vjp], samples=_samples()
)
cumprod = scan(
    "cumprod",
    _kernel("prod", np.cumprod),
    _infer,
    lower="prod",
    vjp=[_cumprod_vjp],
    samples=_samples(0.5, 2.0),
)


# ---------------------------------------------------------------- running extrema


def _extremum_kernel(best: Any) -> Any:
    def run(a: np.ndarray, dim: int) -> tuple:
        if a.ndim == 0:
            return a.copy(), np.zeros((), np.int64)
        values = best.accumulate(a, axis=dim)
        here = a == values
        if a.dtype.kind == "f":
            here |= np.isnan(a)
        at = np.arange(a.shape[dim]).reshape([-1 if d == dim else 1 for d in range(a.ndim)])
        at = dense(np.maximum.accumulate(np.where(here, at, 0), axis=dim))
        return dense(np.take_along_axis(a, at, dim)), at  # keeps the sign of zeros

    return run


def _extremum_infer(input: TensorType, dim: int) -> tuple:
    return input.with_shape(input.shape), input.with_shape(input.shape, dtypes.int64)


def _extremum_vjp(g: Tensor, input_type: TensorType, indices: Tensor, dim: int) -> Tensor:
    if not input_type.shape:
        return g
    return scatter_add(g.new_zeros(tuple(input_type.shape)), indices, g, dim)


cummax, cummin = [
    opaque(
        name,
        _extremum_kernel(best),
        _extremum_infer,
        inputs=("input",),
        outputs=("values", "indices"),
        auxiliary=(1,),
        batch="last",
        half="float32",
        vjp=[_extremum_vjp],
        samples=_samples(empty=False),
    )
    for name, best in (("cummax", np.maximum), ("cummin", np.minimum))
]


# ---------------------------------------------------------------- logarithms of running sums


def _logcumsumexp_kernel(a: np.ndarray, dim: int) -> np.ndarray:
    with np.errstate(all="ignore"):
        return dense(np.logaddexp.accumulate(a, axis=dim))


def _logcumsumexp_vjp(g: Tensor, input: Tensor, out: Tensor, dim: int) -> Tensor:
    """In logarithms, the positive and the negative part of g apart: nothing overflows."""

    def part(size: Tensor) -> Tensor:
        there = size > 0
        log = where(there, where(there, size, 1.0).log() - out, -float("inf"))
        return (logcumsumexp(log.flip(dim), dim).flip(dim) + input).exp()

    return part(g) - part(-g)


logcumsumexp = opaque(
    "logcumsumexp",
    _logcumsumexp_kernel,
    lambda input, dim: input.with_shape(input.shape),
    inputs=("input",),
    half="float32",
    vjp=[_logcumsumexp_vjp],
    samples=lambda: [
        Sample((Make(shape, d),), {"dim": dim})
        for d in ("float32", "float64")
        for shape, dim in (((3, 5), 1), ((4, 2), 0))
    ],
    doc="Running log(sum(exp(input))).",
)
