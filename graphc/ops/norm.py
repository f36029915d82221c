"""Batch normalisation by the statistics of the batch, and its gradient.

Both are composites whose native kernels (runtime/src/rows_float.inc) give the bits of the bodies;
statistics have the shape (1, C, 1, ...). Source: Ioffe and Szegedy 2015.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from ..base.dtypes import from_numpy_dtype
from ..core.modes import STATE
from ..core.tensor import Tensor
from ..ir.op import Make, Sample
from ..ir.types import TensorType, numel, pointwise_strides
from ..native import library
from . import pointwise as pw
from . import reduce
from .composite import check_floating
from .define import composite
from .kernels import call, empty_strided


def _axes(ndim: int) -> tuple[int, ...]:
    return (0, *range(2, ndim))


def _channel(t: Tensor, ndim: int) -> Tensor:
    return t.view(-1, *(1,) * (ndim - 2))


def _statistics(input: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    dims = _axes(input.ndim)
    mean = reduce.mean(input, dims, True)
    centred = input - mean
    return mean, centred, reduce.mean(centred * centred, dims, True)


def _body(input: Tensor, weight: Any, bias: Any, eps: float) -> tuple:
    mean, centred, var = _statistics(input)
    out = centred * pw.rsqrt(var + eps)
    if weight is not None:
        out = out * _channel(weight, out.ndim)
    if bias is not None:
        out = out + _channel(bias, out.ndim)
    return out, mean, var


def _backward_body(
    grad: Tensor, input: Tensor, weight: Any, mean: Tensor, var: Tensor, eps: float
) -> tuple:
    dims = _axes(input.ndim)
    rstd = pw.rsqrt(var + eps)
    xh = (input - mean) * rstd
    gw = grad if weight is None else grad * _channel(weight, input.ndim)
    a, c = reduce.mean(gw, dims, True), reduce.mean(gw * xh, dims, True)
    dx = ((gw - a) - xh * c) * rstd
    return dx, reduce.sum(grad * xh, dims, False), reduce.sum(grad, dims, False)


def _like(t: TensorType) -> TensorType:
    strides = pointwise_strides(t.shape, [(t.shape, t.strides)])
    return TensorType(t.shape, t.dtype, strides, t.device)


def _infer(input: TensorType, weight: Any, bias: Any, eps: float) -> tuple:
    check_floating("batch_norm", input)
    small = input.with_shape((1, input.shape[1], *(1,) * (len(input.shape) - 2)))
    return _like(input), small, small


def _backward_infer(
    grad: TensorType, input: TensorType, weight: Any, mean: Any, var: Any, eps: float
) -> tuple:
    check_floating("batch_norm_backward", input)
    per_channel = input.with_shape((input.shape[1],))
    return _like(input), per_channel, per_channel


def _run(name: str, x: np.ndarray, arrays: list, eps: float, small: tuple) -> tuple:
    out = library.empty(x.shape, x.dtype)
    found = [library.empty(small, x.dtype) for _ in range(2)]
    bits = struct.unpack("q", struct.pack("d", eps))[0]
    numbers = [x.shape[0], x.shape[1], numel(x.shape[2:]), bits]
    call(f"gc_row_{name}_{from_numpy_dtype(x.dtype).code}", numbers, arrays, [out, *found])
    if not x.flags.c_contiguous:  # as an elementwise op would lay it out
        size = x.itemsize
        strides = pointwise_strides(x.shape, [(x.shape, tuple(s // size for s in x.strides))])
        laid_out = empty_strided(x.shape, strides, x.dtype)
        np.copyto(laid_out, out)
        out = laid_out
    return (out, *found)


def _spare(x: np.ndarray) -> tuple:
    dims = _axes(x.ndim)
    mean = x.mean(axis=dims, keepdims=True)
    centred = x - mean
    return mean, centred, (centred * centred).mean(axis=dims, keepdims=True)


def _per_channel(a: np.ndarray, ndim: int) -> np.ndarray:
    return a.reshape(-1, *(1,) * (ndim - 2))


def _kernel(x: np.ndarray, w: Any, b: Any, eps: float) -> tuple:
    if library.available():
        return _run("batch_norm", x, [x, w, b], eps, (1, x.shape[1], *(1,) * (x.ndim - 2)))
    mean, centred, var = _spare(x)
    y = centred / np.sqrt(var + x.dtype.type(eps))
    y = y if w is None else y * _per_channel(w, x.ndim)
    return (y if b is None else y + _per_channel(b, x.ndim)), mean, var


def _backward_kernel(
    g: np.ndarray, x: np.ndarray, w: Any, mean: np.ndarray, var: np.ndarray, eps: float
) -> tuple:
    if library.available():
        return _run("batch_norm_backward", x, [g, x, w, mean, var], eps, (x.shape[1],))
    dims = _axes(x.ndim)
    rstd = 1 / np.sqrt(var + x.dtype.type(eps))
    xh = (x - mean) * rstd
    gw = g if w is None else g * _per_channel(w, x.ndim)
    a, c = gw.mean(axis=dims, keepdims=True), (gw * xh).mean(axis=dims, keepdims=True)
    return ((gw - a) - xh * c) * rstd, (g * xh).sum(axis=dims), g.sum(axis=dims)


def _vjp(
    gs: list,
    input: Tensor,
    weight: Any,
    bias_type: Any,
    mean: Tensor,
    var: Tensor,
    eps: float,
    needs: tuple,
) -> tuple:
    g = gs[0]
    if g is None:
        return None, None, None
    if STATE.grad:  # the gradient is differentiated again: mean and var depend on input
        mean, _, var = _statistics(input)
        found = _backward_body(g, input, weight, mean, var, eps)
    else:
        found = batch_norm_backward(g, input, weight, mean, var, eps)
    return tuple(t if n else None for t, n in zip(found, needs, strict=True))


_SHAPES = ((4, 3), (2, 3, 5), (2, 3, 4, 5), (2, 2, 33))


def _samples() -> list[Sample]:
    out = []
    for d in ("float32", "float64"):
        for shape in _SHAPES:
            w = Make((shape[1],), d)
            out += [Sample((Make(shape, d), w, w), {"eps": 1e-5}),
                    Sample((Make(shape, d), None, None), {"eps": 1e-3})]  # fmt: skip
    w = Make((3,))
    return [
        *out,
        Sample((Make((2, 3, 4), layout="T"), w, None), {"eps": 1e-5}),
        Sample((Make((2, 3, 4), layout="strided"), None, w), {"eps": 1e-5}),
    ]


def _backward_samples() -> list[Sample]:
    out = []
    for d in ("float32", "float64"):
        for shape in _SHAPES:
            small = (1, shape[1], *(1,) * (len(shape) - 2))
            given = (Make(shape, d), Make(shape, d))
            kept = (Make(small, d), Make(small, d, 0.5, 2.0))
            out += [Sample((*given, Make((shape[1],), d), *kept), {"eps": 1e-5}, grad=False),
                    Sample((*given, None, *kept), {"eps": 1e-5}, grad=False)]  # fmt: skip
    return out


batch_norm_backward = composite(
    "batch_norm_backward",
    _backward_body,
    inputs=("grad", "input", "weight", "mean", "var"),
    outputs=("out", "dw", "db"),
    infer=_backward_infer,
    eager=_backward_kernel,
    half="wide",
    samples=_backward_samples,
)
batch_norm = composite(
    "batch_norm",
    _body,
    inputs=("input", "weight", "bias"),
    outputs=("out", "mean", "var"),
    infer=_infer,
    eager=_kernel,
    half="wide",
    vjp=_vjp,
    samples=_samples,
    auxiliary=(1, 2),
    backward_name="NativeBatchNormBackward0",
)
