"""Resampling along one axis: every output place is a weighted sum of a few input places.

Takes (input, axis, new size, mode, align_corners, scale, antialias), gives the input with that axis
resampled; several axes are resampled one after another, the last first. Weights are computed in the
input's dtype, float32 for half types. Invariant: forward and backward use one table of places and
weights, in ascending order of the place.
Source of semantics: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.interpolate.html;
cubic weights: Keys 1981.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from math import ceil
from typing import Any

import numpy as np

from ..base.dtypes import DType, from_numpy_dtype
from ..core.tensor import Tensor
from ..ir.op import Make, Sample
from ..ir.types import TensorType, numel
from ..native import library
from .define import native
from .kernels import call, dense

_MODES = ("nearest", "nearest-exact", "linear", "cubic", "lanczos")
_KEYS, _KEYS_AA = -0.75, -0.5  # Keys' parameter as PyTorch sets it, without and with antialiasing


def _near(x: Any, a: float) -> Any:
    """The cubic's weight at distances up to 1."""
    k = x.dtype.type
    return (k(a + 2) * x - k(a + 3)) * x * x + k(1)


def _far(x: Any, a: float) -> Any:
    """The cubic's weight at distances from 1 to 2."""
    k = x.dtype.type
    return ((k(a) * x - k(5 * a)) * x + k(8 * a)) * x - k(4 * a)


def _step(n: int, out: int, align_corners: bool, scale: float | None, k: Any) -> Any:
    """Input places per output place."""
    if align_corners:
        return k(n - 1) / k(out - 1) if out > 1 else k(0)
    if scale is not None and scale > 0:
        return k(1.0 / scale)
    return k(n) / k(out)


@lru_cache(maxsize=128)
def table(
    n: int, out: int, mode: str, align_corners: bool, scale: float | None, antialias: bool,
    code: str,
) -> tuple:  # fmt: skip
    """(start, places, weights): output place o reads places[start[o]:start[o + 1]]."""
    k: Any = np.float64 if code == "d" else np.float32
    step = _step(n, out, align_corners, scale, k)
    o = np.arange(out).astype(k)
    if antialias:
        return _antialiased(n, o, mode, step, k)
    if mode in ("nearest", "nearest-exact"):
        if mode == "nearest" and out == n:
            at = np.arange(n)
        else:
            at = np.floor((o + k(0.5) if mode == "nearest-exact" else o) * step)
        places = np.minimum(at.astype(np.int64), n - 1)[:, None]
        weights = np.ones((out, 1), k)
    else:
        source = o * step if align_corners else (o + k(0.5)) * step - k(0.5)
        if mode == "linear":
            if out == n:
                source = o
            source = np.maximum(source, k(0))
        first = np.minimum(np.floor(source).astype(np.int64), n - 1)
        t = np.minimum(np.maximum(source - first.astype(k), k(0)), k(1))
        if mode == "linear":
            places = np.stack([first, np.minimum(first + 1, n - 1)], 1)
            weights = np.stack([k(1) - t, t], 1)
        else:
            places = np.clip(first[:, None] + np.arange(-1, 3), 0, n - 1)
            u = k(1) - t
            weights = np.stack(
                [_far(t + k(1), _KEYS), _near(t, _KEYS), _near(u, _KEYS), _far(u + k(1), _KEYS)], 1
            )
    taps = places.shape[1]
    return np.arange(0, out * taps + 1, taps), places.reshape(-1), weights.reshape(-1).astype(k)


def _antialiased(n: int, o: np.ndarray, mode: str, step: Any, k: Any) -> tuple:
    """Triangle, cubic or Lanczos windows as wide as an output place, their weights summing to 1."""
    half = k({"linear": 1, "cubic": 2, "lanczos": 3}[mode])
    wide = step if step >= 1 else k(1)
    support = half * wide
    most = ceil(support) * 2 + 1
    centre = (o + k(0.5)) * step
    lo = np.maximum((centre - support + k(0.5)).astype(np.int64), 0)
    count = np.minimum((centre + support + k(0.5)).astype(np.int64), n) - lo
    count = np.clip(count, 0, most)
    j = np.arange(most)
    x = np.abs(((j + lo[:, None]).astype(k) - centre[:, None] + k(0.5)) * (k(1) / wide))
    if mode == "linear":
        w = np.maximum(k(1) - x, k(0))
    elif mode == "lanczos":
        w = np.where(x < 3, np.sinc(x) * np.sinc(x / k(3)), k(0)).astype(k)
    else:
        w = np.where(x < 1, _near(x, _KEYS_AA), np.where(x < 2, _far(x, _KEYS_AA), k(0)))
    inside = j < count[:, None]
    w = np.where(inside, w, k(0))
    total = np.zeros(len(o), k)
    for tap in range(most):  # one after another: the order of the sum
        total = total + w[:, tap]
    w = np.where(total[:, None] != 0, w / np.where(total == 0, k(1), total)[:, None], w)
    start = np.concatenate([[0], np.cumsum(count)]).astype(np.int64)
    return start, (j + lo[:, None])[inside].astype(np.int64), w[inside].astype(k)


@lru_cache(maxsize=128)
def transposed_table(n: int, *rest: Any) -> tuple:
    """The same weights by input place, output places ascending."""
    start, places, weights = table(n, *rest)
    outputs = np.repeat(np.arange(len(start) - 1), np.diff(start))
    order = np.argsort(places, kind="stable")
    counts = np.bincount(places, minlength=n)
    return np.concatenate([[0], np.cumsum(counts)]), outputs[order], weights[order]


def _numbers(
    shape: tuple, dim: int, n: Any, out: Any, mode: str, align_corners: bool, scale: float | None,
    antialias: bool,
) -> list:  # fmt: skip
    """What the native kernels read: [planes, n, inner] to [planes, out, inner], and how."""
    how = _how(mode, align_corners, scale, antialias)
    return [numel(shape[:dim]), n, out, numel(shape[dim + 1 :]), *how]


@lru_cache(maxsize=128)
def _how(mode: str, align_corners: bool, scale: float | None, antialias: bool) -> tuple:
    (bits,) = struct.unpack("<q", struct.pack("<d", scale if scale is not None else 0.0))
    return _MODES.index(mode), int(align_corners), int(antialias), bits


def _called(name: str, d: DType, numbers: list) -> tuple | None:
    return (f"gc_window_{name}_{d.code}", numbers) if d.code in ("f32", "f64") else None


def _apply(x: np.ndarray, dim: int, to: int, found: tuple) -> np.ndarray:
    start, places, weights = found
    y = np.zeros((*x.shape[:dim], to, *x.shape[dim + 1 :]), x.dtype)
    if not x.size:
        return y
    wide = (1,) * (x.ndim - dim - 1)
    for tap in range(int(np.diff(start).max(initial=0))):
        rows = np.nonzero(start[:-1] + tap < start[1:])[0]
        at = start[rows] + tap
        some: Any = (slice(None),) * dim + (rows,)
        y[some] += np.take(x, places[at], dim) * weights[at].astype(x.dtype).reshape(-1, *wide)
    return y


def _run(name: str, x: np.ndarray, dim: int, to: int, numbers: list) -> np.ndarray:
    y = library.empty((*x.shape[:dim], to, *x.shape[dim + 1 :]), x.dtype)
    call(f"gc_window_{name}_{from_numpy_dtype(x.dtype).code}", numbers, [x], [y])
    return y


def _is_native(x: np.ndarray) -> bool:
    return x.dtype.char in "fd" and library.available()


def _kernel(
    x: np.ndarray, dim: int, size: int, mode: str, align_corners: bool, scale: float | None,
    antialias: bool, shape: Any = None,
) -> np.ndarray:  # fmt: skip
    to, how = int(size), (mode, align_corners, scale, antialias)
    if _is_native(x):
        return _run("resample", x, dim, to, _numbers(x.shape, dim, x.shape[dim], to, *how))
    found = table(x.shape[dim], to, *how, x.dtype.char)
    if mode.startswith("nearest"):
        return dense(np.take(x, found[1], dim))
    return _apply(x, dim, to, found)


def _backward_kernel(
    g: np.ndarray, dim: int, shape: tuple, mode: str, align_corners: bool, scale: float | None,
    antialias: bool,
) -> np.ndarray:  # fmt: skip
    n, how = int(shape[dim]), (mode, align_corners, scale, antialias)
    if _is_native(g):
        return _run("resample_back", g, dim, n, _numbers(g.shape, dim, n, g.shape[dim], *how))
    return _apply(g, dim, n, transposed_table(n, g.shape[dim], *how, g.dtype.char))


def _lower(
    shapes: list, dtypes: list, dim: int, size: Any, mode: str, align_corners: bool,
    scale: float | None, antialias: bool, shape: Any,
) -> tuple | None:  # fmt: skip
    numbers = _numbers(shapes[0], dim, shapes[0][dim], size, mode, align_corners, scale, antialias)
    return _called("resample", dtypes[0], numbers)


def _backward_lower(
    shapes: list, dtypes: list, dim: int, shape: tuple, mode: str, align_corners: bool,
    scale: float | None, antialias: bool,
) -> tuple | None:  # fmt: skip
    numbers = _numbers(
        shapes[0], dim, shape[dim], shapes[0][dim], mode, align_corners, scale, antialias
    )
    return _called("resample_back", dtypes[0], numbers)


def _infer(
    input: TensorType, dim: int, size: Any, mode: str, align_corners: bool, scale: float | None,
    antialias: bool, shape: Any = None,
) -> TensorType:  # fmt: skip
    if shape is not None:
        return input.with_shape(shape)
    return input.with_shape((*input.shape[:dim], size, *input.shape[dim + 1 :]))


def _cases() -> list[tuple]:
    """(input, output, attributes) that the samples of both records share."""
    plain = {"align_corners": False, "scale": None, "antialias": False}
    return [
        ((2, 3, 5), (2, 3, 8), {"dim": 2, "mode": "linear", **plain}),
        ((2, 4, 3), (2, 7, 3), {"dim": 1, "mode": "linear", **plain, "align_corners": True}),
        ((2, 3, 5), (2, 3, 7), {"dim": 2, "mode": "cubic", **plain, "scale": 1.5}),
        ((2, 8, 3), (2, 3, 3), {"dim": 1, "mode": "cubic", **plain, "antialias": True}),
        ((2, 3, 5), (2, 3, 8), {"dim": 2, "mode": "nearest", **plain}),
        ((4, 5), (2, 5), {"dim": 0, "mode": "nearest-exact", **plain}),
    ]


resample = native(
    "resample",
    _kernel,
    _infer,
    inputs=("input",),
    lower=_lower,
    lift=lambda n, type, dim, size, mode, align_corners, scale, antialias, shape: (
        dim,
        size,
        mode,
        align_corners,
        scale,
        antialias,
        shape and (*shape, n),
    ),
    half="float32",
    backward_name="UpsampleBackward0",
    vjp=[
        lambda g, input_type, dim, mode, align_corners, scale, antialias: resample_backward(
            g, dim, tuple(input_type.shape), mode, align_corners, scale, antialias
        )
    ],
    samples=lambda: [Sample((Make(x),), {"size": y[a["dim"]], **a}) for x, y, a in _cases()],
)

resample_backward = native(
    "resample_backward",
    _backward_kernel,
    lambda grad, dim, shape, mode, align_corners, scale, antialias: grad.with_shape(shape),
    inputs=("grad",),
    lower=_backward_lower,
    lift=lambda n, type, dim, shape, *rest: (dim, (*shape, n), *rest),
    half="float32",
    backward_name="UpsampleBackwardBackward0",
    vjp=[
        lambda g, grad_type, dim, mode, align_corners, scale, antialias: resample(
            g, dim, grad_type.shape[dim], mode, align_corners, scale, antialias,
            tuple(grad_type.shape),
        )
    ],
    samples=lambda: [Sample((Make(y),), {"shape": x, **a}) for x, y, a in _cases()],
)  # fmt: skip


def resampled(
    input: Tensor, sizes: tuple, mode: str, align_corners: bool, scales: tuple, antialias: bool
) -> Tensor:
    """(N, C, *spatial) with the spatial axes resampled to `sizes`, the last first."""
    out = input
    for i in range(len(sizes) - 1, -1, -1):
        out = resample(out, 2 + i, sizes[i], mode, align_corners, scales[i], antialias)
    return out
