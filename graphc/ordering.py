"""Functions of order and count in the top-level namespace: sort, topk, median, quantile, unique,
scans, histograms. Thin over `ops/sort.py` and `ops/scan.py`. Source:
https://pytorch.org/docs/stable/torch.html#comparison-ops"""

from __future__ import annotations

import math
from typing import Any

from .base import dtypes, entry
from .base.dtypes import DType
from .core import autocast
from .core.tensor import Tensor
from .creation import arange, as_tensor
from .functional import _return_type, called, scattered
from .functional import scatter as _scatter
from .ir.index import Index
from .ir.types import dim_index
from .ops import gather as gather_ops
from .ops import movement, pointwise, reduce, scan
from .ops import sort as sort_ops
from .ops.pointwise import cast
from .out import SAME, into

return_sort = _return_type("sort", "values", "indices")
return_topk = _return_type("topk", "values", "indices")
return_median = _return_type("median", "values", "indices")
return_nanmedian = _return_type("nanmedian", "values", "indices")
return_kthvalue = _return_type("kthvalue", "values", "indices")
return_mode = _return_type("mode", "values", "indices")
return_cummax = _return_type("cummax", "values", "indices")
return_cummin = _return_type("cummin", "values", "indices")


def sort(
    input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False, *, out: Any = None
) -> Any:
    """(values, indices) in order along dim; always stable, nan last."""
    if input.dtype.is_complex:
        raise RuntimeError(" Sort does not support complex dtypes on CPU")
    found = sort_ops.sort(input, dim_index(dim, input.ndim), bool(descending))
    return into(out, return_sort(*found), SAME)


def argsort(
    input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False, *, out: Any = None
) -> Tensor:
    """The indices that sort input along dim."""
    return into(out, sort(input, dim, descending).indices, SAME)


def msort(input: Tensor) -> Tensor:
    """input sorted along the first axis."""
    return sort(input, 0).values


def topk(
    input: Tensor,
    k: int,
    dim: int = -1,
    largest: bool = True,
    sorted: bool = True,
    *,
    out: Any = None,
) -> Any:
    """The k largest (smallest) elements along dim, in order. RuntimeError when there are fewer."""
    d = dim_index(dim, input.ndim)
    if not 0 <= k <= (input.shape[d] if input.ndim else 1):
        raise RuntimeError("selected index k out of range")
    if input.dtype.is_complex:
        raise RuntimeError(" topk does not support complex dtypes on CPU")
    k = k if isinstance(k, Index) else int(k)  # a symbolic size stays one
    return into(out, return_topk(*sort_ops.topk(input, k, d, bool(largest))), SAME)


def kthvalue(
    input: Tensor, k: int, dim: int = -1, keepdim: bool = False, *, out: Any = None
) -> Any:
    """The k-th smallest element along dim."""
    d = dim_index(dim, input.ndim)
    n = input.shape[d] if input.ndim else 1
    if n == 0:
        raise IndexError(f"kthvalue(): Expected reduction dim {d} to have non-zero size.")
    if not 1 <= k <= n:
        raise RuntimeError(f"kthvalue(): selected number k out of range for dimension {d}")
    return into(out, return_kthvalue(*_pick(sort(input, d), d, k - 1, keepdim)), SAME)


def _pick(ordered: Any, d: int, at: Any, keepdim: bool) -> tuple:
    """Element `at` (a number, or a tensor with axis d kept) of sorted values and their indices."""
    if ordered.values.ndim == 0:
        return tuple(ordered)
    out = []
    for x in ordered:
        y = gather_ops.gather(x, at, d) if isinstance(at, Tensor) else x.narrow(d, at, 1)
        out.append(movement.contiguous(y if keepdim else y.squeeze(d)))
    return tuple(out)


def _median(name: str, kind: Any, skip_nan: bool) -> Any:
    def fn(input: Tensor, dim: Any = None, keepdim: bool = False, *, out: Any = None) -> Any:
        if input.dtype.is_complex:
            raise NotImplementedError(f"\"{name}_cpu\" not implemented for '{input.dtype.title}'")
        x = input if dim is not None else input.reshape((-1,))
        d = dim_index(-1 if dim is None else dim, x.ndim)
        n = x.shape[d] if x.ndim else 1
        if n == 0:
            if dim is None:
                return x.new_full((), float("nan") if x.dtype.is_floating_point else 0)
            raise IndexError(f"{name}(): Expected reduction dim {d} to have non-zero size.")
        ordered = sort(x, d)
        at: Any = (n - 1) // 2
        if x.dtype.is_floating_point and x.ndim:
            good = n - reduce.sum(pointwise.isnan(x), (d,), True)
            if skip_nan:
                at = pointwise.clamp_min(good - 1, 0).div(2, rounding_mode="floor")
            else:  # the first nan, when there is one
                at = pointwise.where(good < n, good, at)
        values, indices = _pick(ordered, d, at, keepdim)
        if dim is None:
            if x._needs:  # the gradient is shared evenly among ties, as amax does
                value = values.detach()
                same = (x == value) | pointwise.isnan(x) & pointwise.isnan(value)
                values = reduce.amax(pointwise.where(same, x, -math.inf), (0,), False)
            return into(out, called(values, "MedianBackward0"))
        return into(out, kind(called(values, "MedianBackward1"), indices), SAME)

    fn.__name__ = name
    fn.__doc__ = "The lower middle element, of all or along dim" + (
        ", nan left out." if skip_nan else "; nan wins."
    )
    return fn


median = _median("median", return_median, False)
nanmedian = _median("nanmedian", return_nanmedian, True)


def mode(input: Tensor, dim: int = -1, keepdim: bool = False, *, out: Any = None) -> Any:
    """The most frequent value along dim (the smallest of several) and a place of it."""
    d = dim_index(dim, input.ndim)
    _real_only("mode", input)
    if input.ndim:
        reduce.check_nonempty("mode", tuple(input.type_.shape), (d,))
    values, at = sort_ops.mode(input, d)
    if keepdim:
        values, at = values.unsqueeze(d), at.unsqueeze(d)
    return into(out, return_mode(values, at), SAME)


def quantile(
    input: Tensor,
    q: Any,
    dim: Any = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
    out: Any = None,
) -> Tensor:
    """The q-quantiles along dim (all elements by default), between neighbours as interpolation
    says. RuntimeError for q outside of [0, 1]."""
    if not input.dtype.is_floating_point or input.dtype.is_half:
        raise RuntimeError("quantile() input tensor must be either float or double dtype")
    if input.numel() == 0:  # type: ignore[attr-defined]
        raise RuntimeError("quantile() input tensor must be non-empty")
    if isinstance(q, Tensor):
        many, qs = q.ndim == 1, q.detach().reshape((-1,)).tolist()
    else:
        many, qs = False, [float(q)]
    if any(not 0 <= v <= 1 for v in qs):
        raise RuntimeError("quantile() q must be in the range [0, 1] but got " + str(qs[0]))
    kept = (
        tuple(1 for _ in input.shape)
        if dim is None
        else tuple(1 if i == dim_index(dim, input.ndim) else n for i, n in enumerate(input.shape))
    )
    x = input.reshape((-1,)) if dim is None or input.ndim == 0 else movement.swap(input, dim, -1)
    ordered = sort(x, -1).values
    n = ordered.shape[-1]
    bad = pointwise.isnan(x).any(-1)
    found = []
    for v in qs:
        at = v * (n - 1)
        low = int(at) if interpolation != "nearest" else round(at)
        high = low if interpolation in ("lower", "nearest") or low == at else low + 1
        low = high if interpolation == "higher" else low
        weight = 0.5 if interpolation == "midpoint" and low != high else at - low
        y = ordered.select(-1, low)
        y = y if high == low else y + (ordered.select(-1, high) - y) * weight
        y = pointwise.where(bad, float("nan"), y)
        if dim is not None and input.ndim:
            y = movement.swap(y.unsqueeze(-1), dim, -1)
            y = y if keepdim else y.squeeze(dim_index(dim, input.ndim))
        found.append(y.reshape(kept) if dim is None and keepdim else y)
    return into(out, gather_ops.cat([y.unsqueeze(0) for y in found], 0) if many else found[0])


def nanquantile(
    input: Tensor,
    q: Any,
    dim: Any = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
    out: Any = None,
) -> Tensor:
    """quantile of the elements that are not nan; nan where there are none."""
    if not input.dtype.is_floating_point or input.dtype.is_half:
        raise RuntimeError("nanquantile() input tensor must be either float or double dtype")
    many = isinstance(q, Tensor) and q.ndim == 1
    qs = q.detach().reshape((-1,)).tolist() if isinstance(q, Tensor) else [float(q)]
    if any(not 0 <= v <= 1 for v in qs):
        raise RuntimeError("nanquantile() q must be in the range [0, 1] but got " + str(qs[0]))
    x = input.reshape((-1,)) if dim is None or input.ndim == 0 else input
    d = 0 if x is not input or dim is None else dim_index(dim, input.ndim)
    ordered = sort(x, d).values
    count = reduce.sum(pointwise.logical_not(pointwise.isnan(x)), (d,), True)
    top = cast(pointwise.clamp_min(count - 1, 0), x.dtype)
    found = [_between(ordered, top * v, d, interpolation) for v in qs]
    if dim is None and keepdim:
        found = [y.reshape((1,) * input.ndim) for y in found]
    elif not keepdim or input.ndim == 0:
        found = [y.squeeze(d) for y in found]
    return into(out, gather_ops.cat([y.unsqueeze(0) for y in found], 0) if many else found[0])


def _between(ordered: Tensor, at: Tensor, d: int, interpolation: str) -> Tensor:
    """The values at fractional places of sorted rows."""
    low, high = pointwise.floor(at), pointwise.ceil(at)
    if interpolation == "nearest":
        low = high = pointwise.round(at)
    elif interpolation == "lower":
        high = low
    elif interpolation == "higher":
        low = high
    elif interpolation not in ("linear", "midpoint"):
        raise RuntimeError(
            "quantile() interpolation must be one of linear, lower, higher, midpoint or nearest, "
            f"but got {interpolation}"
        )
    a = gather_ops.gather(ordered, cast(low, dtypes.int64), d)
    b = gather_ops.gather(ordered, cast(high, dtypes.int64), d)
    weight = at - low
    if interpolation == "midpoint":
        weight = pointwise.where(low == high, 0.0, weight * 0 + 0.5)
    return a + pointwise.where(low == high, 0.0, (b - a) * weight)


def unique(
    input: Tensor,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: Any = None,
) -> Any:
    """The distinct elements (slices along dim) in order; optionally where each went and how
    often."""
    return _unique(input, return_inverse, return_counts, dim, False)


def unique_consecutive(
    input: Tensor, return_inverse: bool = False, return_counts: bool = False, dim: Any = None
) -> Any:
    """The first of every run of equal elements."""
    return _unique(input, return_inverse, return_counts, dim, True)


def _unique(x: Tensor, inverse: bool, counts: bool, dim: Any, consecutive: bool) -> Any:
    d = None if dim is None else dim_index(dim, x.ndim)
    found, where, many = sort_ops.unique(x.detach(), d, consecutive)
    out = (found, *((where,) if inverse else ()), *((many,) if counts else ()))
    return out if len(out) > 1 else found


def searchsorted(
    sorted_sequence: Tensor,
    input: Any,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Any = None,
    out: Any = None,
) -> Tensor:
    """Where values would be inserted into sorted rows to keep them sorted."""
    values = input if isinstance(input, Tensor) else as_tensor(input)
    rows = sorted_sequence if sorter is None else gather_ops.gather(sorted_sequence, sorter, -1)
    common = (
        dtypes.promote_types(rows.dtype, values.dtype) if isinstance(input, Tensor) else rows.dtype
    )
    at = sort_ops.searchsorted(
        cast(rows, common), cast(values, common), side == "right" if side else bool(right)
    )
    return into(out, cast(at, dtypes.int32) if out_int32 else at)


def bucketize(
    input: Any, boundaries: Tensor, *, out_int32: bool = False, right: bool = False, out: Any = None
) -> Tensor:
    """Indices of the buckets, between sorted boundaries, that the values fall into."""
    if boundaries.ndim != 1:
        raise RuntimeError(f"boundaries tensor must be 1 dimension, but got dim({boundaries.ndim})")
    return searchsorted(boundaries, input, out_int32=out_int32, right=right, out=out)


def bincount(input: Tensor, weights: Any = None, minlength: int = 0) -> Tensor:
    """How often (by weights: how much) each non-negative integer occurs."""
    return sort_ops.bincount(input, weights, minlength)


def histc(input: Tensor, bins: int = 100, min: Any = 0, max: Any = 0, *, out: Any = None) -> Tensor:
    """Counts in `bins` equal bins between min and max (of the data, when both are equal)."""
    low, high = float(min), float(max)
    if not input.dtype.is_floating_point:
        raise NotImplementedError(f"\"histogram_cpu\" not implemented for '{input.dtype.title}'")
    if bins <= 0:
        raise RuntimeError(f"torch.histogram(): bins must be > 0, but got {bins} for dimension 0")
    if not (math.isfinite(low) and math.isfinite(high)):
        raise RuntimeError(f"torch.histc: range of [{low:g}, {high:g}] is not finite")
    if low > high:
        raise RuntimeError("torch.histc: max must be larger than min")
    return into(out, sort_ops.histc(input, bins, low, high))


def isin(
    elements: Any, test_elements: Any, *, assume_unique: bool = False, invert: bool = False
) -> Tensor:
    """Whether each element is among test_elements."""
    a, b = [x if isinstance(x, Tensor) else as_tensor(x) for x in (elements, test_elements)]
    found = sort_ops.isin(a, b)
    return pointwise.logical_not(found) if invert else found


def cumsum(input: Tensor, dim: int, *, dtype: DType | None = None, out: Any = None) -> Tensor:
    """Running sums along dim; ints and bools sum to int64."""
    x = input if dtype is None else cast(input, dtype)
    y = scan.cumsum(x, dim_index(dim, x.ndim))
    return _scanned_into("cumsum", y, dtype, out)


def cumprod(input: Tensor, dim: int, *, dtype: DType | None = None, out: Any = None) -> Tensor:
    """Running products along dim; ints and bools multiply to int64."""
    x = input if dtype is None else cast(input, dtype)
    y = scan.cumprod(x, dim_index(dim, x.ndim))
    return _scanned_into("cumprod", y, dtype, out)


def _scanned_into(name: str, y: Tensor, dtype: DType | None, out: Any) -> Tensor:
    if dtype is not None:
        return into(out, cast(y, dtype), SAME)
    if out is not None and out.dtype is not y.dtype:
        if y.ndim == 0 or not y.type_.numel:
            y = cast(y, out.dtype)
        elif out.dtype is dtypes.bool_:
            raise NotImplementedError(f"\"{name}_out_cpu\" not implemented for 'Bool'")
    return into(out, y)


def _real_only(name: str, x: Tensor) -> None:
    if x.dtype.is_complex:
        raise NotImplementedError(f"\"{name}_cpu\" not implemented for '{x.dtype.title}'")


def cummax(input: Tensor, dim: int, *, out: Any = None) -> Any:
    """(running maxima, their places) along dim."""
    _real_only("cummax", input)
    return into(out, return_cummax(*scan.cummax(input, dim_index(dim, input.ndim))), SAME)


def cummin(input: Tensor, dim: int, *, out: Any = None) -> Any:
    """(running minima, their places) along dim."""
    _real_only("cummin", input)
    return into(out, return_cummin(*scan.cummin(input, dim_index(dim, input.ndim))), SAME)


def diff(
    input: Tensor,
    n: int = 1,
    dim: int = -1,
    prepend: Any = None,
    append: Any = None,
    *,
    out: Any = None,
) -> Tensor:
    """Differences of neighbours along dim, n times."""
    x = gather_ops.cat([t for t in (prepend, input, append) if t is not None], dim)
    for _ in range(n):
        size = x.shape[dim]
        step = 1 if size else 0
        a, b = x.narrow(dim, step, size - step), x.narrow(dim, 0, size - step)
        x = pointwise.logical_xor(a, b) if x.dtype is dtypes.bool_ else a - b
    return into(out, x)


def nanmean(
    input: Tensor,
    dim: Any = None,
    keepdim: bool = False,
    *,
    dtype: DType | None = None,
    out: Any = None,
) -> Tensor:
    """Mean of the elements that are not nan."""
    if not (input.dtype.is_floating_point or input.dtype.is_complex):
        raise RuntimeError(
            "nanmean(): expected input to have floating point or complex dtype but got "
            f"{input.dtype.title}"
        )
    x = input if dtype is None else cast(input, dtype)
    dims = reduce.dims_of(x, dim)
    good = pointwise.logical_not(pointwise.isnan(x))
    total = reduce.sum(pointwise.where(good, x, 0), dims, keepdim)
    return into(out, total / reduce.sum(good, dims, keepdim))


# ---------------------------------------------------------------- by index


def repeat_interleave(
    input: Tensor, repeats: Any = None, dim: Any = None, *, output_size: Any = None
) -> Tensor:
    """Each element (slice along dim) repeated; repeats is a number or one number per slice."""
    if repeats is None:  # repeat_interleave(counts): the index of each count, that often
        return _repeated(arange(input.numel()), input, 0)  # type: ignore[attr-defined]
    x = input.reshape((-1,)) if dim is None else input
    d = dim_index(0 if dim is None else dim, x.ndim)
    if isinstance(repeats, Tensor) and repeats.numel() != 1:  # type: ignore[attr-defined]
        return _repeated(x, repeats, d)
    r = repeats.item() if isinstance(repeats, Tensor) else repeats  # type: ignore[attr-defined]
    if r < 0:
        raise RuntimeError("Repeats must be non-negative")
    shape = tuple(x.type_.shape)
    y = movement.expand(movement.unsqueeze(x, d + 1), (*shape[: d + 1], r, *shape[d + 1 :]))
    out = movement.reshape(y, (*shape[:d], shape[d] * r, *shape[d + 1 :]))
    return out if out._storage is not x._storage else movement.clone(out, None)


def _repeated(x: Tensor, counts: Tensor, d: int) -> Tensor:
    import numpy as np

    from .core.tensor import wrap

    n = counts.concrete("repeat_interleave() with a tensor of counts")
    if n.ndim != 1 or n.size != x.shape[d]:
        raise RuntimeError(
            "repeats must have the same size as input along dim, but got repeats.size(0) = "
            f"{n.size} and input.size({d}) = {x.shape[d]}"
        )
    return gather_ops.index_select(x, d, wrap(np.repeat(np.arange(n.size), n)))


def masked_scatter(input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """input with the elements where mask is true taken from source, in order."""
    if mask.dtype is not dtypes.bool_:
        raise RuntimeError(
            "masked_scatter_ only supports boolean masks, but got mask with dtype "
            f"{dtypes.c_name(mask.dtype)}"
        )
    if source.dtype is not input.dtype:
        raise RuntimeError(
            "masked_scatter: expected self and source to have same dtypes but got"
            f"{input.dtype.title} and {source.dtype.title}"
        )
    mask = mask.expand(tuple(input.shape))  # type: ignore[attr-defined]
    at = scan.cumsum(mask.reshape((-1,)), 0) - 1  # type: ignore[attr-defined]
    at = pointwise.clamp_min(at, 0).reshape(tuple(input.shape))
    return pointwise.where(mask, gather_ops.index((source.reshape((-1,)), at)), input)  # type: ignore


def take(input: Tensor, index: Tensor) -> Tensor:
    """Elements of input, seen as a vector. IndexError for places outside of it."""
    places, n = index._array, input.numel()  # type: ignore[attr-defined]
    if places is not None and places.size and not (-n <= places.min() and places.max() < n):
        bad = places[(places < -n) | (places >= n)].reshape(-1)[0]
        raise IndexError(
            f"out of range: tried to access index {int(bad)} on a tensor of {n} elements."
        )
    return gather_ops.index((input.reshape((-1,)), index))  # type: ignore[attr-defined]


def _copied(name: str) -> Any:
    def fn(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return getattr(input.clone(), name + "_")(*args, **kwargs)  # type: ignore[attr-defined]

    fn.__name__ = name
    fn.__doc__ = f"A copy of input after {name}_()."
    return fn


index_fill, index_copy, index_put = (
    _copied("index_fill"),
    _copied("index_copy"),
    _copied("index_put"),
)


def scatter_reduce(
    input: Tensor,
    dim: int,
    index: Tensor,
    src: Tensor,
    reduce: str,
    *,
    include_self: bool = True,
    out: Any = None,
) -> Tensor:
    """src combined into a copy of input at index along dim: "sum", "prod", "mean", "amax" or
    "amin"."""
    d = dim_index(dim, input.ndim)
    if reduce in ("amax", "amin"):
        op = sort_ops.scatter_amax if reduce == "amax" else sort_ops.scatter_amin
        return into(out, scattered(op, input, dim, index, src, include_self), SAME)
    if reduce == "prod":
        if src._needs or input._needs:
            raise RuntimeError(
                "scatter_reduce(): the gradient of reduce='prod' is not available; write the "
                "product as the exponential of a sum of logarithms"
            )
        y = scattered(sort_ops.scatter_prod, input, dim, index, src, include_self)
        return into(out, y, SAME)
    if reduce not in ("sum", "mean"):
        raise RuntimeError(
            "reduce argument must be either sum, prod, mean, amax or amin, got " + reduce + "."
        )
    ones = src.new_ones(tuple(src.shape))  # type: ignore[attr-defined]
    none = input.new_zeros(tuple(input.shape))  # type: ignore[attr-defined]
    count = scattered(gather_ops.scatter_add, none, d, index, ones)
    start = input if include_self else pointwise.where(count > 0, 0, input)
    total = scattered(gather_ops.scatter_add, start, d, index, src)
    if reduce == "sum":
        return into(out, total, SAME)
    n = pointwise.clamp_min(count + 1 if include_self else count, 1)
    return into(out, total / n if input.dtype.is_floating_point else total // n, SAME)


def scatter(
    input: Tensor,
    dim: int,
    index: Tensor,
    src: Any = None,
    *,
    value: Any = None,
    reduce: str | None = None,
    out: Any = None,
) -> Tensor:
    """A copy of input with src (or value) written at index along dim, or combined with what is
    there when reduce is "add" or "multiply"."""
    src = value if src is None else src
    if reduce is None:
        return into(out, _scatter(input, dim, index, src), SAME)
    src = src if isinstance(src, Tensor) else input.new_full(tuple(index.shape), src)  # type: ignore
    if reduce not in ("add", "multiply"):
        raise RuntimeError("reduce argument must be either add or multiply.")
    y = scatter_reduce(input, dim, index, src, {"add": "sum", "multiply": "prod"}[reduce])
    return into(out, y, SAME)


FUNCTIONS = (
    "sort",
    "argsort",
    "msort",
    "topk",
    "kthvalue",
    "median",
    "nanmedian",
    "mode",
    "quantile",
    "nanquantile",
    "unique",
    "unique_consecutive",
    "searchsorted",
    "bucketize",
    "bincount",
    "histc",
    "isin",
    "cumsum",
    "cumprod",
    "cummax",
    "cummin",
    "diff",
    "nanmean",
    "repeat_interleave",
    "masked_scatter",
    "take",
    "index_fill",
    "index_copy",
    "index_put",
    "scatter",
    "scatter_reduce",
)
METHODS = tuple(n for n in FUNCTIONS if n not in ("searchsorted", "bucketize", "isin"))
INPLACE = ("cumsum", "cumprod", "masked_scatter", "scatter", "scatter_reduce")

entry.wrap(__name__, globals())
autocast.wrap("", globals())
