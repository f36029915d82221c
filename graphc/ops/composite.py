"""Composites: functions written in ops, with one native kernel where speed asks for it. The body
is what capture records; the kernel gives the same bits (tested), so eager mode may use either."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..base import dtypes
from ..core.modes import STATE
from ..core.tensor import Tensor
from ..ir.op import Make, Sample
from ..ir.types import TensorType, numel
from ..native import library
from . import reduce
from .define import composite
from .gather import gather
from .kernels import dense, native
from .pointwise import cast, where

# ---------------------------------------------------------------- softmax family

_ROWS2 = "void(int64_t, int64_t, void *, void *)"
_ROWS3 = "void(int64_t, int64_t, void *, void *, void *)"


def _rows(a: np.ndarray, dim: int) -> np.ndarray:
    """a with `dim` last, contiguous."""
    return dense(a if dim == a.ndim - 1 or a.ndim == 0 else np.moveaxis(a, dim, -1))


def _row_kernel(name: str, spare: Any) -> Any:
    """Eager function of gc_row_<name>_<code> over rows along `dim`: (arrays..., dim) -> array."""

    def run(*args: Any) -> np.ndarray:
        arrays, dim = args[:-1], args[-1]
        if not library.available():
            with np.errstate(all="ignore"):
                return spare(*arrays, dim)
        rows = [_rows(a, dim) for a in arrays]
        shape = rows[0].shape
        out = library.empty(shape, rows[0].dtype)
        if out.size:
            n = shape[-1] if shape else 1
            f = native("row", name, out.dtype, _ROWS2 if len(rows) == 1 else _ROWS3)
            f(out.size // n, n, *[library.pointer(r) for r in rows], library.pointer(out))
        return (
            out
            if dim == out.ndim - 1 or out.ndim == 0
            else dense(np.moveaxis(out, -1, dim))
        )

    return run


def check_floating(name: str, t: TensorType) -> None:
    """PyTorch's NotImplementedError for dtypes that the kernel of `name` does not take."""
    if not t.dtype.is_floating_point:
        raise NotImplementedError(f"\"{name}_cpu\" not implemented for '{t.dtype.title}'")


def _rows_infer(name: str) -> Any:
    """Type rule of the row functions: like the last tensor, row-major."""

    def infer(*args: Any) -> TensorType:
        check_floating(name, args[-2])
        return args[-2].with_shape(args[-2].shape)

    return infer


def _axis(x: Tensor, dim: int) -> tuple:
    return (dim,) if x.ndim else ()


def _softmax_body(input: Tensor, dim: int) -> Tensor:
    dims = _axis(input, dim)
    e = (input - reduce.amax(input, dims, True)).exp()
    return (e / reduce.sum(e, dims, True)).contiguous()


def _log_softmax_body(input: Tensor, dim: int) -> Tensor:
    dims = _axis(input, dim)
    centred = input - reduce.amax(input, dims, True)
    return (centred - reduce.sum(centred.exp(), dims, True).log()).contiguous()


def _softmax_backward_body(grad: Tensor, output: Tensor, dim: int) -> Tensor:
    s = reduce.sum(grad * output, _axis(output, dim), True)
    return (output * (grad - s)).contiguous()


def _log_softmax_backward_body(grad: Tensor, output: Tensor, dim: int) -> Tensor:
    s = reduce.sum(grad, _axis(output, dim), True)
    return (grad - output.exp() * s).contiguous()


def _softmax_spare(a: Any, dim: int) -> Any:
    e = np.exp(a - a.max(axis=dim, keepdims=True)) if a.ndim else np.exp(a - a)
    return e / (e.sum(axis=dim, keepdims=True) if a.ndim else e)


def _row_samples(n: int = 1) -> Any:
    def samples() -> list[Sample]:
        out = [
            Sample((Make(s, d),) * n, {"dim": k}, grad=0 not in s)
            for d in ("float32", "float64")
            for s, k in (((3, 5), 1), ((3, 5), 0), ((2, 3, 4), 1), ((4,), 0), ((2, 300), 1))
        ]
        out += [Sample((Make((4, 6), layout="T"),) * n, {"dim": 1})]
        out += [
            Sample((Make((3, 5), d),) * n, {"dim": 1}, grad=False) for d in ("float16", "bfloat16")
        ]
        return out

    return samples


softmax_backward = composite(
    "softmax_backward",
    _softmax_backward_body,
    inputs=("grad", "output"),
    infer=_rows_infer("softmax_backward"),
    half="wide",
    batch="last",
    eager=_row_kernel(
        "softmax_backward", lambda g, y, dim: y * (g - (g * y).sum(axis=dim, keepdims=True))
    ),
    samples=_row_samples(2),
)
log_softmax_backward = composite(
    "log_softmax_backward",
    _log_softmax_backward_body,
    inputs=("grad", "output"),
    infer=_rows_infer("log_softmax_backward"),
    half="wide",
    samples=_row_samples(2),
    batch="last",
    eager=_row_kernel(
        "log_softmax_backward", lambda g, y, dim: g - np.exp(y) * g.sum(axis=dim, keepdims=True)
    ),
)
softmax = composite(
    "softmax",
    _softmax_body,
    inputs=("input",),
    infer=_rows_infer("softmax"),
    half="wide",
    batch="last",
    eager=_row_kernel("softmax", _softmax_spare),
    samples=_row_samples(),
    vjp=[lambda g, out, dim: softmax_backward(g, out, dim)],
)
log_softmax = composite(
    "log_softmax",
    _log_softmax_body,
    inputs=("input",),
    infer=_rows_infer("log_softmax"),
    half="wide",
    batch="last",
    eager=_row_kernel("log_softmax", lambda a, dim: np.log(_softmax_spare(a, dim))),
    vjp=[lambda g, out, dim: log_softmax_backward(g, out, dim)],
    samples=_row_samples(),
)


# ---------------------------------------------------------------- layer norm


def _norm_parts(input: Tensor, n: int, eps: float) -> tuple[Tensor, Tensor]:
    dims = tuple(range(input.ndim - n, input.ndim))
    mean = reduce.mean(input, dims, True)
    return mean, 1.0 / (reduce.var(input, dims, 0, True) + eps).sqrt()


def _layer_norm_body(input: Tensor, weight: Any, bias: Any, n: int, eps: float) -> tuple:
    mean, rstd = _norm_parts(input, n, eps)
    y = (input - mean) * rstd
    if weight is not None:
        y = y * weight
    if bias is not None:
        y = y + bias
    return y.contiguous(), mean, rstd


def _layer_norm_kernel(a: np.ndarray, w: Any, b: Any, n: int, eps: float) -> tuple:
    a = dense(a)
    lead, width = a.shape[: a.ndim - n], numel(a.shape[a.ndim - n :])
    small = lead + (1,) * n
    if not library.available():
        return _layer_norm_spare(a, w, b, n, eps)
    y, mean, rstd = (
        library.empty(a.shape, a.dtype),
        library.empty(small, a.dtype),
        library.empty(small, a.dtype),
    )
    if a.size:
        p = library.pointer
        # the arrays must outlive the call, so contiguous copies keep their names
        w = None if w is None else dense(w)
        b = None if b is None else dense(b)
        native(
            "row",
            "layer_norm",
            a.dtype,
            "void(int64_t, int64_t, double, void *, void *, void *, void *, void *, void *)",
        )(
            mean.size,
            width,
            eps,
            p(a),
            library.null() if w is None else p(w),
            library.null() if b is None else p(b),
            p(y),
            p(mean),
            p(rstd),
        )
    return y, mean, rstd


def _layer_norm_spare(a: np.ndarray, w: Any, b: Any, n: int, eps: float) -> tuple:
    ax = tuple(range(a.ndim - n, a.ndim))
    mean = a.mean(axis=ax, keepdims=True)
    rstd = 1 / np.sqrt(a.var(axis=ax, keepdims=True) + a.dtype.type(eps))
    y = (a - mean) * rstd
    y = y if w is None else y * w
    return (y if b is None else y + b), mean, rstd


def _layer_norm_infer(input: TensorType, weight: Any, bias: Any, n: int, eps: float) -> tuple:
    check_floating("layer_norm", input)
    small = input.with_shape(input.shape[: len(input.shape) - n] + (1,) * n)
    return input.with_shape(input.shape), small, small


def _layer_norm_vjp(
    gs: list,
    input: Tensor,
    weight: Any,
    bias_type: Any,
    mean: Tensor,
    rstd: Tensor,
    n: int,
    eps: float,
    needs: tuple,
) -> tuple:
    g = gs[0]
    if g is None:
        return None, None, None
    if STATE.grad:  # the gradient is differentiated again: mean and rstd depend on input
        mean, rstd = _norm_parts(input, n, eps)
    dims = tuple(range(input.ndim - n, input.ndim))
    xh = (input - mean) * rstd
    dx = dw = db = None
    if needs[0]:
        gw = g if weight is None else g * weight
        a = reduce.mean(gw, dims, True)
        b = reduce.mean(gw * xh, dims, True)
        dx = ((gw - a) - xh * b) * rstd
    lead = tuple(range(input.ndim - n))
    if needs[1]:
        dw = reduce.sum(g * xh, lead, False) if lead else g * xh
    if needs[2]:
        db = reduce.sum(g, lead, False) if lead else g
    return dx, dw, db


def _layer_norm_samples() -> list[Sample]:
    out = []
    for d in ("float32", "float64"):
        for shape, n in (((3, 8), 1), ((2, 3, 4), 2), ((2, 300), 1)):
            w = Make(shape[len(shape) - n :], d)
            out += [
                Sample((Make(shape, d), w, w), {"n": n, "eps": 1e-5}),
                Sample((Make(shape, d), None, None), {"n": n, "eps": 1e-5}),
            ]
    return out


layer_norm = composite(
    "layer_norm",
    _layer_norm_body,
    inputs=("input", "weight", "bias"),
    outputs=("out", "mean", "rstd"),
    infer=_layer_norm_infer,
    eager=_layer_norm_kernel,
    vjp=_layer_norm_vjp,
    half="wide",
    samples=_layer_norm_samples,
    auxiliary=(1, 2),
    backward_name="NativeLayerNormBackward0",
)


# ---------------------------------------------------------------- losses


def _check_targets(target: np.ndarray, classes: int, ignore: int) -> None:
    bad = (target != ignore) & ((target < 0) | (target >= classes))
    if bad.any():
        raise IndexError(f"Target {int(target[bad].flat[0])} is out of bounds.")


def nll(log_probs: Tensor, target: Tensor, ignore_index: int = -100) -> Tensor:
    """Per-row negative log likelihood: [N, C] and [N] -> [N]; ignored rows give 0.
    Raises IndexError "Target t is out of bounds." """
    ignored = target == ignore_index
    safe = where(ignored, 0, target)
    if target._array is not None and log_probs._array is not None:
        _check_targets(target._array, log_probs.shape[1], ignore_index)
    picked = gather(log_probs, safe.unsqueeze(1), 1).squeeze(1)
    return where(ignored, 0.0, -picked)


def _cross_entropy_body(input: Tensor, target: Tensor, ignore_index: int) -> Tensor:
    losses = nll(log_softmax(input, 1), target, ignore_index)
    count = reduce.sum(target != ignore_index, (0,), False)
    return reduce.sum(losses, (0,), False) / cast(count, losses.dtype)


cross_entropy = composite(
    "cross_entropy",
    _cross_entropy_body,
    inputs=("input", "target"),
    samples=lambda: (
        [
            Sample((Make((5, 4), d), Make((5,), "int64", 0, 4)), {"ignore_index": -100})
            for d in ("float32", "float64")
        ]
        + [
            Sample((Make((4, 3)), Make((4,), "int64", values=[0, 2, 1, 2])), {"ignore_index": 1}),
            Sample(
                (Make((2, 3)), Make((2,), "int64", values=[0, 3])),
                {"ignore_index": -100},
                grad=False,
                error=(IndexError, "Target 3 is out of bounds."),
            ),
        ]
    ),
)


# ---------------------------------------------------------------- dropout and norms


def dropout(input: Tensor, p: float, generator: Any = None) -> Tensor:
    """input scaled by 1 / (1 - p) where a uniform number is at least p, else 0."""
    from .random import rand

    if p == 1:
        return input * 0.0
    d = input.dtype.compute if input.dtype.is_half else input.dtype
    keep = rand(tuple(input.shape), d if d is dtypes.float64 else dtypes.float32, generator) >= p
    return input * (cast(keep, input.dtype) * (1.0 / (1.0 - p)))


def _std_body(input: Tensor, dims: tuple, correction: float = 1, keepdim: bool = False) -> Tensor:
    v = reduce.var(input, dims, correction, keepdim)
    if not v._needs:
        return v.sqrt()
    zero = v == 0  # sqrt'(0) is inf, but the gradient of std at 0 is 0
    return where(zero, 0.0, where(zero, 1.0, v).sqrt())


std = composite("std", _std_body, inputs=("input",), samples=reduce._var_samples)
