"""Scans: running combinations along one axis, in plain order, as `gc_scan_*` of the native library
does (`runtime/src/scan`).

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
from .define import FLOATS, native, scan
from .gather import cat, scatter_add
from .kernels import call, dense, lines
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
    if not input.ndim:
        return g
    shape = input.type_.shape
    ones = input.new_ones(tuple(1 if d == dim else m for d, m in enumerate(shape)))
    before = cat([ones, cumprod(input, dim)], dim).narrow(dim, 0, shape[dim])
    return linear_scan(input, g, dim, True) * before


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


# ---------------------------------------------------------------- native scans


def _called(name: str, shapes: list, types: list, dim: int, *numbers: int) -> tuple | None:
    if types[0].is_half or types[0].is_complex:
        return None
    return f"gc_scan_{name}_{types[0].code}", [*lines(shapes[0], dim), *numbers]


def _run(name: str, arrays: list, dim: int, results: list, *numbers: int) -> Any:
    """The native function's results, as arrays of these dtypes; None where there is no function."""
    a = arrays[0]
    d = from_numpy_dtype(a.dtype)
    if d.is_half or d.is_complex or not library.available():
        return None
    out = [library.empty(a.shape, np.dtype(t)) for t in results]
    call(f"gc_scan_{name}_{d.code}", [*lines(a.shape, dim), *numbers], arrays, out)
    return tuple(out) if len(out) > 1 else out[0]


# ---------------------------------------------------------------- linear recurrences


def _linear_kernel(a: np.ndarray, b: np.ndarray, dim: int, reverse: bool) -> np.ndarray:
    from .complex_kernels import mul

    found = _run("linear", [a, b], dim, [a.dtype], int(reverse))
    if found is not None:
        return found
    out = np.array(b, order="C")
    if not out.ndim:
        return out
    rows, factors = np.moveaxis(out, dim, 0), np.moveaxis(a, dim, 0)
    times = mul if a.dtype.kind == "c" else np.multiply
    order = range(1, len(rows))
    for k in reversed(order) if reverse else order:
        to, before = (k - 1, k) if reverse else (k, k - 1)
        rows[to] = rows[to] + times(factors[k], rows[before])
    return out


def _linear_vjp(g: Tensor, a: Tensor, out: Tensor, dim: int, reverse: bool) -> tuple:
    # the two directions are each other's transposes
    back = linear_scan(a, g, dim, not reverse)
    if not a.ndim:
        return None, back
    shape = a.type_.shape
    zero = a.new_zeros(tuple(1 if d == dim else m for d, m in enumerate(shape)))
    first, last = (back, out) if reverse else (out, back)
    earlier = cat([zero, first], dim).narrow(dim, 0, shape[dim])  # moved on by one
    return earlier * last, back


linear_scan = native(
    "linear_scan",
    _linear_kernel,
    lambda a, b, dim, reverse=False: b.with_shape(b.shape),
    inputs=("a", "b"),
    lower=lambda shapes, types, dim, reverse: _called("linear", shapes, types, dim, int(reverse)),
    batch="last",
    half="float32",
    accepts=(dtypes.float16, dtypes.bfloat16, *FLOATS),
    vjp=_linear_vjp,
    samples=lambda: [
        Sample((Make(shape, d), Make(shape, d)), {"dim": dim, "reverse": r})
        for r in (False, True)
        for shape, dim, d in (
            ((3, 5), 1, "float32"),
            ((4, 2), 0, "float64"),
            ((2, 1, 3), 1, "float32"),
            ((), 0, "float32"),
        )
    ],
    doc="s[k] = b[k] + a[k] * s[k-1], or in reverse s[k] = b[k] + a[k+1] * s[k+1]; a[0] counts for "
    "nothing.",
)


# ---------------------------------------------------------------- running extrema


def _extremum_kernel(name: str, best: Any) -> Any:
    def run(a: np.ndarray, dim: int) -> tuple:
        found = _run(name, [a], dim, [a.dtype, np.int64])
        if found is not None:
            return found
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
    native(
        name,
        _extremum_kernel(name, best),
        _extremum_infer,
        inputs=("input",),
        lower=lambda shapes, types, dim, name=name: _called(name, shapes, types, dim),
        outputs=("values", "indices"),
        auxiliary=(1,),
        batch="last",
        half="float32",
        vjp=[_extremum_vjp],
        samples=_samples(),
    )
    for name, best in (("cummax", np.maximum), ("cummin", np.minimum))
]


# ---------------------------------------------------------------- logarithms of running sums


def _logcumsumexp_kernel(a: np.ndarray, dim: int) -> np.ndarray:
    found = _run("logcumsumexp", [a], dim, [a.dtype])
    if found is not None:
        return found
    with np.errstate(all="ignore"):  # sums in float64, as the native function
        return dense(np.logaddexp.accumulate(a, axis=dim, dtype=np.float64).astype(a.dtype))


def _logcumsumexp_vjp(g: Tensor, input: Tensor, out: Tensor, dim: int) -> Tensor:
    """In logarithms, the positive and the negative part of g apart: nothing overflows."""

    def part(size: Tensor) -> Tensor:
        there = size > 0
        log = where(there, where(there, size, 1.0).log() - out, -float("inf"))
        return (logcumsumexp(log.flip(dim), dim).flip(dim) + input).exp()

    return part(g) - part(-g)


logcumsumexp = native(
    "logcumsumexp",
    _logcumsumexp_kernel,
    lambda input, dim: input.with_shape(input.shape),
    inputs=("input",),
    lower=lambda shapes, types, dim: _called("logcumsumexp", shapes, types, dim),
    batch="last",
    half="float32",
    accepts=(dtypes.float16, dtypes.bfloat16, dtypes.float32, dtypes.float64),
    vjp=[_logcumsumexp_vjp],
    samples=lambda: [
        Sample((Make(shape, d),), {"dim": dim})
        for d in ("float32", "float64")
        for shape, dim in (((3, 5), 1), ((4, 2), 0))
    ],
    doc="Running log(sum(exp(input))).",
)
