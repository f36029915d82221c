"""What eager mode computes with when there is no C compiler: plain numpy. The bitwise contract is
off then, which `graphc.info()` says; results are right to the usual rounding."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..base import dtypes
from ..base.dtypes import DType


def _f(fn: Callable) -> Callable:
    return np.vectorize(fn, otypes=[np.float64])


def _like(fn: Callable) -> Callable:
    def run(a: Any, *rest: Any) -> Any:
        return np.asarray(fn(np.asarray(a, np.float64), *rest)).astype(np.asarray(a).dtype)

    return run


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


_erf = _f(math.erf)


def _softplus(x: Any, beta: Any, threshold: Any) -> Any:
    return np.where(
        x * beta > threshold, x, np.log1p(np.exp(np.minimum(x * beta, threshold))) / beta
    )


def _remainder(a: Any, b: Any) -> Any:
    with np.errstate(all="ignore"):
        return np.remainder(a, b)


def _relu(x: Any) -> np.ndarray:
    x = np.asarray(x)
    nan = np.isnan(x) if x.dtype.kind == "f" else np.zeros(x.shape, bool)
    return np.asarray(np.where(nan, x, np.maximum(x, 0))).astype(x.dtype)


_TABLE: dict[str, Callable] = {
    "threshold_backward": lambda g, out: np.where(np.less_equal(out, 0), g.dtype.type(0), g),
    "erf": _like(_erf),
    "erfc": _like(_f(math.erfc)),
    "sigmoid": _like(_sigmoid),
    "log_sigmoid": _like(lambda x: np.minimum(x, 0) - np.log1p(np.exp(-np.abs(x)))),
    "softplus": _like(_softplus),
    "elu": _like(lambda x, alpha: np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))),
    "silu": _like(lambda x: x * _sigmoid(x)),
    "gelu": _like(lambda x: 0.5 * x * (1 + _erf(x * math.sqrt(0.5)))),
    "gelu_tanh": _like(
        lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    ),
    "rsqrt": _like(lambda x: 1 / np.sqrt(x)),
    "reciprocal": _like(lambda x: 1 / x),
    "relu": _relu,
    "frac": _like(lambda x: x - np.trunc(x)),
    "lgamma": _like(_f(math.lgamma)),
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "atan2": np.arctan2,
    "rint": np.rint,
    "abs": np.abs,
    "neg": np.negative,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "fmax": np.fmax,
    "fmin": np.fmin,
    "pow": lambda a, b: np.power(a, b),
    "floor_divide": np.floor_divide,
    "remainder": _remainder,
    "fmod": np.fmod,
    "lshift": np.left_shift,
    "rshift": np.right_shift,
    "bitwise_left_shift": np.left_shift,
    "bitwise_right_shift": np.right_shift,
}


def pointwise(name: str) -> Callable:
    """The numpy version of a native pointwise kernel."""

    def run(*arrays: Any) -> Any:
        fn = _TABLE.get(name) or getattr(np, name, None)
        if fn is None:
            raise RuntimeError(
                f"{name} needs graphc's native kernels, and there is no C compiler; install "
                "gcc or clang (or `pip install ziglang`)"
            )
        with np.errstate(all="ignore"):
            return fn(*arrays)

    return run


def cast(a: np.ndarray, from_: DType, to: DType) -> np.ndarray:
    """astype with the contract's rules for values out of range."""
    if to is dtypes.bool_:
        return a != 0
    if from_.is_floating_point and to.category == dtypes.INT:
        wide = a.astype(np.float64)
        bad = ~(np.abs(wide) < 2.0**63)
        out = np.where(bad, 0, wide).astype(np.int64)
        out[np.logical_and(bad, ~np.isnan(wide))] = np.iinfo(np.int64).min
        return out.astype(to.np)
    return a.astype(to.np)


def reduce(name: str) -> Callable:
    """The numpy version of a native reduction: (array, dims, keepdim)."""

    def run(a: np.ndarray, dims: tuple, keepdim: bool) -> Any:
        with np.errstate(all="ignore"):
            if name in ("argmax", "argmin"):
                kept = [i for i in range(a.ndim) if i not in dims]
                flat = a.transpose(kept + list(dims)).reshape([a.shape[i] for i in kept] + [-1])
                return getattr(np, name)(flat, axis=-1)
            axis = tuple(dims)
            fn = getattr(np, name)
            if name in ("sum", "prod") and a.dtype.kind in "biu":
                return fn(a, axis=axis, keepdims=keepdim, dtype=np.int64)
            return fn(a, axis=axis, keepdims=keepdim)

    return run


def gemm(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.matmul(a, b)
