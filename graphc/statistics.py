"""Statistics and calculus on samples, in the top-level namespace: covariances, histograms,
trapezoids, gradients, log-cumulative sums. Source: https://pytorch.org/docs/stable/torch.html"""

from __future__ import annotations

import math
from typing import Any

from . import functional
from .base import dtypes, entry
from .core.tensor import Tensor
from .creation import linspace
from .functional import _return_type
from .ir.types import dim_index
from .ops import contract, movement, pointwise, reduce, scan
from .ops import sort as sort_ops
from .ops.pointwise import cast
from .out import into, into_each

return_histogram = _return_type("histogram", "hist", "bin_edges")
return_histogramdd = _return_type("histogramdd", "hist", "bin_edges")


# ---------------------------------------------------------------- covariance


def cov(
    input: Tensor, *, correction: int = 1, fweights: Any = None, aweights: Any = None
) -> Tensor:
    """The covariance matrix of variables in rows with observations in columns.

    fweights: how often each observation counts (integers); aweights: how much."""
    if input.ndim > 2:
        raise RuntimeError(
            "cov(): expected input to have two or fewer dimensions but got an input with "
            f"{input.ndim} dimensions"
        )
    if input.dtype is dtypes.bool_:
        raise RuntimeError("cov(): bool dtype is not supported for input")
    x = input.reshape((1, -1)) if input.ndim < 2 else input  # type: ignore[attr-defined]
    if x.dtype.category < dtypes.FLOAT:
        x = cast(x, dtypes.get_default_dtype())
    n: Any = x.shape[1]
    w = None
    for name, one in (("fweights", fweights), ("aweights", aweights)):
        if one is None:
            continue
        _check_weights(name, one, n)
        w = one if w is None else w * one
    if w is None:
        total, mean = n, reduce.mean(x, (1,), True)
    else:
        total = reduce.sum(w, (0,), False)
        mean = reduce.sum(x * w, (1,), True) / total
    norm = total - correction
    if aweights is not None and correction:
        scaled = reduce.sum(w * aweights, (0,), False) / total
        norm = total - correction * scaled
    centred = x - mean
    weighted = centred if w is None else centred * w
    norm = norm.clamp_min(0) if isinstance(norm, Tensor) else max(norm, 0)  # type: ignore
    c = contract.mm(weighted, movement.swap(centred, 0, 1).conj())  # type: ignore[attr-defined]
    c = c / norm
    return c.reshape(()) if c.shape[0] == 1 else c  # type: ignore[attr-defined]


def _check_weights(name: str, w: Tensor, n: Any) -> None:
    if w.ndim > 1:
        raise RuntimeError(
            f"cov(): expected {name} to have one or fewer dimensions but got {name} with {w.ndim} "
            "dimensions"
        )
    if name == "fweights" and w.dtype.category != dtypes.INT:
        raise RuntimeError(
            f"cov(): expected fweights to have integral dtype but got fweights with "
            f"{w.dtype.title} dtype"
        )
    if name == "aweights" and not w.dtype.is_floating_point:
        raise RuntimeError(
            f"cov(): expected aweights to have floating point dtype but got aweights with "
            f"{w.dtype.title} dtype"
        )
    if w.numel() != n:  # type: ignore[attr-defined]
        raise RuntimeError(
            f"cov(): expected {name} to have the same numel as there are observations in the "
            f"input but got {w.numel()} != {n}"  # type: ignore[attr-defined]
        )
    if w._array is not None and w._array.size and w._array.min() < 0:
        raise RuntimeError(f"cov(): {name} cannot be negative")


def corrcoef(input: Tensor) -> Tensor:
    """Pearson's correlation coefficients of variables in rows."""
    if input.ndim > 2:
        raise RuntimeError(
            "corrcoef(): expected input to have two or fewer dimensions but got an input with "
            f"{input.ndim} dimensions"
        )
    c = cov(input)
    if c.ndim == 0:
        return c / c
    d = functional.diagonal(c)
    spread = pointwise.sqrt(d.real if d.dtype.is_complex else d)  # type: ignore[attr-defined]
    c = c / spread.unsqueeze(1) / spread.unsqueeze(0)  # type: ignore[attr-defined]
    if c.dtype.is_complex:
        return c
    return pointwise.clamp_max(pointwise.clamp_min(c, -1.0), 1.0)


# ---------------------------------------------------------------- integrals, derivatives


def _spans(name: str, y: Tensor, x: Any, dx: Any, d: int) -> Any:
    """The widths of the trapezoids: a number, or a tensor that broadcasts with them."""
    if x is None:
        return 1.0 if dx is None else dx
    if x.ndim == 1:
        if x.shape[0] != y.shape[d]:
            raise RuntimeError(f"{name}: There must be one `x` value for each sample point")
        x = x.reshape(tuple(-1 if i == d else 1 for i in range(y.ndim)))
        at = d
    else:
        at = d - y.ndim + x.ndim
    n = x.shape[at]
    return x.narrow(at, 1, n - 1) - x.narrow(at, 0, n - 1)


def _trapezoids(name: str, y: Tensor, x: Any, dx: Any, dim: int) -> tuple[Tensor, int]:
    d = dim_index(dim, y.ndim)
    if y.dtype.category < dtypes.FLOAT and not isinstance(x, Tensor):
        y = cast(y, dtypes.get_default_dtype())
    n = y.shape[d]
    if n == 0:
        return y * 0, d
    both = functional.narrow(y, d, 1, n - 1) + functional.narrow(y, d, 0, n - 1)
    return both * _spans(name, y, x, dx, d) / 2.0, d


def trapezoid(y: Tensor, x: Any = None, *, dx: Any = None, dim: int = -1) -> Tensor:
    """The integral of samples y along dim by the trapezoidal rule, at places x or dx apart."""
    areas, d = _trapezoids("trapezoid", y, x, dx, dim)
    return reduce.sum(areas, (d,), False)


def trapz(y: Tensor, x: Any = None, *, dx: Any = None, dim: int = -1) -> Tensor:
    """trapezoid() under its older name."""
    return trapezoid(y, x, dx=dx, dim=dim)


def cumulative_trapezoid(y: Tensor, x: Any = None, *, dx: Any = None, dim: int = -1) -> Tensor:
    """The running integral of samples y along dim by the trapezoidal rule."""
    areas, d = _trapezoids("cumulative_trapezoid", y, x, dx, dim)
    return scan.cumsum(areas, d)


def gradient(input: Tensor, *, spacing: Any = None, dim: Any = None, edge_order: int = 1) -> tuple:
    """Derivatives of samples along each of dim by central differences.

    spacing: a step, a step per axis, or the places of the samples per axis."""
    if edge_order not in (1, 2):
        raise RuntimeError("torch.gradient only supports edge_order=1 and edge_order=2.")
    if dim is None:
        many = isinstance(spacing, (list, tuple))
        axes = tuple(range(len(spacing) if many and len(spacing) > 1 else input.ndim))
        if many and len(spacing) == 1:
            axes = (0,) if input.ndim == 1 else tuple(range(input.ndim))
    else:
        axes = tuple(
            dim_index(d, input.ndim) for d in ((dim,) if isinstance(dim, int) else tuple(dim))
        )
    if len(set(axes)) != len(axes):
        twice = next(d for d in axes if axes.count(d) > 1)
        raise RuntimeError(f"dim {twice} appears multiple times in the list of dims")
    steps = list(spacing) if isinstance(spacing, (list, tuple)) else [spacing] * len(axes)
    if len(steps) != len(axes):
        raise RuntimeError(
            f"torch.gradient expected spacing to be unspecified, a scalar, or it's spacing and dim "
            f"arguments to have the same length, but got a spacing argument of length "
            f"{len(steps)} and a dim argument of length {len(axes)}."
        )
    x = input if input.dtype.category >= dtypes.FLOAT else cast(input, dtypes.get_default_dtype())
    return tuple(_slope(x, d, h, edge_order) for d, h in zip(axes, steps, strict=True))


def _slope(x: Tensor, d: int, spacing: Any, edge_order: int) -> Tensor:
    n = x.shape[d]
    if n < edge_order + 1:
        raise RuntimeError(
            "torch.gradient expected each dimension size to be at least edge_order+1"
        )

    def cut(t: Any, at: int, k: int) -> Tensor:
        return functional.narrow(t, d, at, k)

    if isinstance(spacing, Tensor) and spacing.ndim:
        at = spacing.reshape(tuple(-1 if i == d else 1 for i in range(x.ndim)))  # type: ignore
        h = cut(at, 1, n - 1) - cut(at, 0, n - 1)
    else:
        step = 1.0 if spacing is None else spacing
        h = x.new_full(tuple(n - 1 if i == d else 1 for i in range(x.ndim)), 1.0) * step  # type: ignore
    a, b = cut(h, 0, n - 2), cut(h, 1, n - 2)
    inner = (
        cut(x, 0, n - 2) * (-b / (a * (a + b)))
        + cut(x, 1, n - 2) * ((b - a) / (a * b))
        + cut(x, 2, n - 2) * (a / (b * (a + b)))
    )
    first, last = _edges(x, h, n, cut, edge_order)
    return functional.cat([first, inner, last], d)


def _edges(x: Tensor, h: Tensor, n: int, cut: Any, order: int) -> tuple[Tensor, Tensor]:
    if order == 1:
        return (
            (cut(x, 1, 1) - cut(x, 0, 1)) / cut(h, 0, 1),
            (cut(x, n - 1, 1) - cut(x, n - 2, 1)) / cut(h, n - 2, 1),
        )

    def end(f: list, u: Tensor, v: Tensor) -> Tensor:  # f[0] at the edge, then inwards
        return (
            f[0] * (-(2 * u + v) / (u * (u + v)))
            + f[1] * ((u + v) / (u * v))
            - f[2] * (u / (v * (u + v)))
        )

    first = end([cut(x, i, 1) for i in (0, 1, 2)], cut(h, 0, 1), cut(h, 1, 1))
    last = end([cut(x, n - i, 1) for i in (1, 2, 3)], cut(h, n - 2, 1), cut(h, n - 3, 1))
    return first, -last


# ---------------------------------------------------------------- histograms


def histogram(
    input: Tensor,
    bins: Any,
    *,
    range: Any = None,
    weight: Any = None,
    density: bool = False,
    out: Any = None,
) -> Any:
    """(hist, bin_edges): how many elements (how much weight) fall between neighbouring edges.

    bins: a number of equal bins over range (of the data by default), or the edges."""
    flat = input.reshape((-1, 1))  # type: ignore[attr-defined]
    w = None if weight is None else weight.reshape((-1,))
    if isinstance(bins, Tensor) and range is not None:
        raise TypeError("histogram() received an invalid combination of arguments")
    edges = [bins if isinstance(bins, Tensor) else _bin_edges(flat, 0, int(bins), range)]
    hist = _counts(flat, edges, w, density)
    return into_each(out, return_histogram, (hist, edges[0]))


def histogramdd(
    input: Tensor,
    bins: Any,
    *,
    range: Any = None,
    weight: Any = None,
    density: bool = False,
) -> Any:
    """(hist, bin_edges): counts of points [..., D] in a grid of bins, and the edges per axis."""
    if input.ndim < 2:
        raise RuntimeError(
            "torch.histogramdd: input tensor should have at least 2 dimensions, but got "
            f"{input.ndim}"
        )
    k = int(input.shape[-1])
    points = input.reshape((-1, k))  # type: ignore[attr-defined]
    each = [bins] * k if isinstance(bins, int) else list(bins)
    if len(each) != k:
        raise RuntimeError(
            f"torch.histogramdd: expected {k} sequences of bin edges for a {k}-dimensional "
            f"histogram but got {len(each)}"
        )
    limits = [None] * k if range is None else [range[2 * i : 2 * i + 2] for i in _numbers(k)]
    edges = [
        b if isinstance(b, Tensor) else _bin_edges(points, i, int(b), limits[i])
        for i, b in enumerate(each)
    ]
    w = None if weight is None else weight.reshape((-1,))
    return return_histogramdd(_counts(points, edges, w, density), tuple(edges))


_numbers = range


def _bin_edges(points: Tensor, d: int, bins: int, limits: Any) -> Tensor:
    if bins < 1:
        raise RuntimeError(f"torch.histogram(): bins must be > 0, but got {bins} for dimension {d}")
    if limits is None:
        column = points.select(1, d)  # type: ignore[attr-defined]
        if column.numel():
            low, high = float(column.min()), float(column.max())
        else:
            low, high = 0.0, 1.0
    else:
        low, high = float(limits[0]), float(limits[1])
        if low > high:
            raise RuntimeError("torch.histogram(): max must be larger than min")
    if not (math.isfinite(low) and math.isfinite(high)):
        raise RuntimeError(f"torch.histogram(): range of [{low}, {high}] is not finite")
    if low == high:
        low, high = low - 0.5, high + 0.5
    return linspace(low, high, bins + 1, dtype=points.dtype)


def _counts(points: Tensor, edges: list, weight: Any, density: bool) -> Tensor:
    if not points.dtype.is_floating_point:
        raise NotImplementedError(f"\"histogramdd\" not implemented for '{points.dtype.title}'")
    if weight is None:
        weight = points.new_ones((points.shape[0],))  # type: ignore[attr-defined]
    hist = sort_ops.histogram((points.detach(), weight.detach(), *edges))  # type: ignore
    if not density:
        return hist
    hist = hist / reduce.sum(hist, tuple(_numbers(hist.ndim)), False)
    for i, e in enumerate(edges):
        width = e.narrow(0, 1, e.shape[0] - 1) - e.narrow(0, 0, e.shape[0] - 1)
        hist = hist / width.reshape(tuple(-1 if i == j else 1 for j in _numbers(hist.ndim)))
    return hist


def logcumsumexp(input: Tensor, dim: int, *, out: Any = None) -> Tensor:
    """Running log(sum(exp(input))) along dim, computed stably."""
    if not input.dtype.is_floating_point:
        raise NotImplementedError(
            f"\"logcumsumexp_out_cpu\" not implemented for '{input.dtype.title}'"
        )
    d = dim_index(dim, input.ndim)
    if input.ndim == 0:
        return into(out, input.clone())  # type: ignore[attr-defined]
    return into(out, scan.logcumsumexp(input, d))


FUNCTIONS = (
    "cov",
    "corrcoef",
    "trapezoid",
    "trapz",
    "cumulative_trapezoid",
    "gradient",
    "histogram",
    "histogramdd",
    "logcumsumexp",
)
METHODS = ("cov", "corrcoef", "histogram", "logcumsumexp")
INPLACE = ()


entry.wrap(__name__, globals())
