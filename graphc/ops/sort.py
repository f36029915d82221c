"""Sorting and what rests on it, by `gc_sort_*` of the native library or numpy's stable sort; what
depends on values in its shape stays with numpy. nan counts as the largest value.

Invariant: equal elements keep their order, ascending or descending, so results are unique.
Source of semantics: https://pytorch.org/docs/stable/generated/torch.sort.html"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..base import dtypes
from ..base.dtypes import DType, from_numpy_dtype
from ..core.tensor import Tensor
from ..ir.op import Make, Sample
from ..ir.types import TensorType, numel, pointwise_strides
from ..native import library
from .define import FLOATS, REALS, composite, native, opaque, scatter
from .gather import (
    _along,
    _at,
    _base_infer,
    _no_static_shape,
    _scatter_dim_lower,
    scatter_add,
    scatter_set,
)
from .kernels import call, dense, empty_strided, lines

_WHOLE = tuple(d for d in dtypes.REAL if not d.is_floating_point)
_CODES = ("f32", "f64", "u8", "i8", "i16", "i32", "i64", "b8")


def _native(what: str, *arrays: np.ndarray) -> str:
    """The native function for arrays of one dtype; empty where there is none."""
    code = from_numpy_dtype(arrays[0].dtype).code
    served = code in _CODES and all(a.dtype == arrays[0].dtype for a in arrays)
    return f"gc_sort_{what}_{code}" if served and library.available() else ""


def _called(what: str, types: list, numbers: list) -> tuple | None:
    served = types[0].code in _CODES and all(d is types[0] for d in types)
    return (f"gc_sort_{what}_{types[0].code}", numbers) if served else None


def _along_lines(what: str, a: np.ndarray, dim: int, shape: tuple, *numbers: int) -> tuple | None:
    """(values, places) that a native function finds along axis dim."""
    name = _native(what, a)
    if not name:
        return None
    found = library.empty(shape, a.dtype), library.empty(shape, np.dtype(np.int64))
    call(name, [*lines(a.shape, dim), *numbers], [a], found)
    return found


def _order(a: np.ndarray, dim: int, descending: bool) -> np.ndarray:
    if not descending:
        return np.argsort(a, axis=dim, kind="stable")
    n = a.shape[dim]
    return n - 1 - np.flip(np.argsort(np.flip(a, dim), axis=dim, kind="stable"), dim)


def _sort_kernel(a: np.ndarray, dim: int, descending: bool) -> tuple:
    found = _along_lines("all", a, dim, a.shape, int(descending))
    if found is None:
        if a.ndim == 0:
            return a.copy(), np.zeros((), np.int64)
        at = dense(_order(a, dim, descending))
        found = dense(np.take_along_axis(a, at, dim)), at
    if a.flags.c_contiguous:
        return found
    strides = pointwise_strides(a.shape, [(a.shape, tuple([s // a.itemsize for s in a.strides]))])
    return tuple([_laid_out(r, strides) for r in found])


def _laid_out(a: np.ndarray, strides: tuple) -> np.ndarray:
    """a with these strides (in elements)."""
    if 0 in a.shape:
        return dense(a)
    out = empty_strided(a.shape, strides, a.dtype)
    np.copyto(out, a)
    return out


def _sort_infer(input: TensorType, dim: int, descending: bool = False) -> tuple:
    strides = pointwise_strides(input.shape, [(input.shape, input.strides)])
    return (
        TensorType(input.shape, input.dtype, strides, input.device),
        TensorType(input.shape, dtypes.int64, strides, input.device),
    )


def _back(g: Tensor, input_type: TensorType, indices: Tensor, dim: int) -> Tensor:
    if not input_type.shape:
        return g
    return scatter_add(g.new_zeros(tuple(input_type.shape)), indices, g, dim)


def _samples(**attrs: Any) -> Any:
    def samples() -> list[Sample]:
        out = [
            Sample((Make(shape, d, -50, 50),), {"dim": dim, **attrs}, grad=d.startswith("float"))
            for d in ("float32", "float64", "int64")
            for shape, dim in (((3, 5), 1), ((4, 3), 0), ((2, 4, 3), 1))
        ]
        out += [
            Sample((Make((6, 4), layout="T"),), {"dim": 1, **attrs}),
            Sample((Make((5, 6), values="special"),), {"dim": 1, **attrs}, grad=False),
            Sample((Make((9,), "int64", 0, 3),), {"dim": 0, **attrs}, grad=False),
            Sample((Make((5,), "bfloat16", -50, 50),), {"dim": 0, **attrs}, grad=False),
        ]
        return out

    return samples


sort = native(
    "sort",
    _sort_kernel,
    _sort_infer,
    inputs=("input",),
    lower=lambda shapes, types, dim, descending: _called(
        "all", types, [*lines(shapes[0], dim), int(descending)]
    ),
    batch="last",
    outputs=("values", "indices"),
    auxiliary=(1,),
    half="float32",
    vjp=[_back],
    samples=lambda: [*_samples(descending=False)(), *_samples(descending=True)()],
)


def _topk_kernel(a: np.ndarray, k: int, dim: int, largest: bool) -> tuple:
    shape = (*a.shape[:dim], k, *a.shape[dim + 1 :]) if a.ndim else ()
    found = _along_lines("top", a, dim, shape, int(largest), k if a.ndim else 1)
    if found is not None:
        return found
    if a.ndim == 0:
        return a.copy(), np.zeros((), np.int64)
    first = (slice(None),) * dim + (slice(0, k),)
    at = dense(_order(a, dim, largest)[first])
    return dense(np.take_along_axis(a, at, dim)), at


def _topk_infer(input: TensorType, k: int, dim: int, largest: bool = True) -> tuple:
    shape = (*input.shape[:dim], k, *input.shape[dim + 1 :]) if input.shape else ()
    return input.with_shape(shape), input.with_shape(shape, dtypes.int64)


topk = native(
    "topk",
    _topk_kernel,
    _topk_infer,
    inputs=("input",),
    lower=lambda shapes, types, k, dim, largest: _called(
        "top", types, [*lines(shapes[0], dim), int(largest), k if shapes[0] else 1]
    ),
    batch="last",
    outputs=("values", "indices"),
    auxiliary=(1,),
    half="float32",
    vjp=[_back],
    samples=lambda: (
        [
            Sample((Make((3, 7)),), {"k": k, "dim": 1, "largest": large})
            for k in (1, 3, 7)
            for large in (True, False)
        ]
        + [Sample((Make((4, 3), "float64"),), {"k": 2, "dim": 0, "largest": True})]
    ),
)


def _mode_kernel(a: np.ndarray, dim: int) -> tuple:
    """The smallest of the most frequent values, at its last place; nan is equal to nothing."""
    found = _along_lines("mode", a, dim, a.shape[:dim] + a.shape[dim + 1 :])
    if found is not None:
        return found
    rows = np.moveaxis(a.reshape(a.shape or (1,)), dim, -1)
    values, at = np.empty(rows.shape[:-1], a.dtype), np.empty(rows.shape[:-1], np.int64)
    for i in np.ndindex(rows.shape[:-1]):
        distinct, counts = np.unique(rows[i], return_counts=True, equal_nan=False)
        same = np.flatnonzero(rows[i] == distinct[np.argmax(counts)])
        at[i] = same[-1] if same.size else 0
        values[i] = rows[i][at[i]]
    return values, at


def _mode_infer(input: TensorType, dim: int) -> tuple:
    shape = input.shape[:dim] + input.shape[dim + 1 :]
    return input.with_shape(shape), input.with_shape(shape, dtypes.int64)


def _mode_vjp(g: Tensor, input_type: TensorType, indices: Tensor, dim: int) -> Tensor:
    return _back(g.unsqueeze(dim), input_type, indices.unsqueeze(dim), dim)


mode = native(
    "mode",
    _mode_kernel,
    _mode_infer,
    inputs=("input",),
    lower=lambda shapes, types, dim: _called("mode", types, lines(shapes[0], dim)),
    batch="last",
    outputs=("values", "indices"),
    auxiliary=(1,),
    half="float32",
    vjp=[_mode_vjp],
    samples=lambda: [
        Sample((Make((4, 9), "int64", 0, 4),), {"dim": 1}, grad=False),
        Sample((Make((6, 2), values=[1.0, 2.0, 2.0, 5.0, 5.0]),), {"dim": 0}, grad=False),
    ],
)


# ---------------------------------------------------------------- places in sorted sequences


def _rows(sequence: tuple, values: tuple) -> list:
    """[rows, length of a row, values per row]: one row serves all values, or a row each."""
    if len(sequence) == 1:
        return [1, sequence[0], numel(values)]
    return [numel(sequence[:-1]), sequence[-1], values[-1]]


def _search_kernel(sequence: np.ndarray, values: np.ndarray, right: bool) -> np.ndarray:
    name = _native("search", sequence, values)
    if name:
        found = library.empty(values.shape, np.dtype(np.int64))
        call(name, [*_rows(sequence.shape, values.shape), int(right)], [sequence, values], [found])
        return found
    side: Any = "right" if right else "left"
    if sequence.ndim == 1:
        return np.asarray(np.searchsorted(sequence, values, side)).astype(np.int64)
    out = np.empty(values.shape, np.int64)
    for i in np.ndindex(sequence.shape[:-1]):
        out[i] = np.searchsorted(sequence[i], values[i], side)
    return out


searchsorted = native(
    "searchsorted",
    _search_kernel,
    lambda sequence, values, right=False: values.with_shape(values.shape, dtypes.int64),
    inputs=("sequence", "values"),
    lower=lambda shapes, types, right: _called("search", types, [*_rows(*shapes), int(right)]),
    half="float32",
    samples=lambda: (
        [
            Sample(
                (Make((5,), "int64", values=[1, 3, 3, 5, 9]), Make((2, 6), "int64", 0, 11)),
                {"right": r},
                grad=False,
            )
            for r in (False, True)
        ]
        + [
            Sample(
                (Make((2, 3), values=[0.0, 1.0, 2.0, -1.0, 0.5, 3.0]), Make((2, 4))),
                {"right": False},
                grad=False,
            )
        ]
    ),
)


# ---------------------------------------------------------------- sets and counts


def _unique_kernel(a: np.ndarray, dim: int | None, consecutive: bool) -> tuple:
    if consecutive:
        return _runs(
            a.reshape(-1) if dim is None else np.moveaxis(a, dim, 0),
            a.shape if dim is None else None,
            dim,
        )
    found, inverse, counts = np.unique(
        a, return_inverse=True, return_counts=True, axis=dim, equal_nan=False
    )
    return (
        found,
        np.asarray(inverse).reshape(a.shape if dim is None else -1).astype(np.int64),
        counts.astype(np.int64),
    )


def _runs(rows: np.ndarray, shape: Any, dim: int | None) -> tuple:
    n = len(rows)
    new = np.ones(n, bool)
    if n > 1:
        new[1:] = (rows[1:] != rows[:-1]).reshape(n - 1, -1).any(1)
    starts = np.flatnonzero(new)
    counts = np.diff(np.append(starts, n)).astype(np.int64)
    inverse = (np.cumsum(new) - 1).astype(np.int64)
    found = rows[starts] if dim is None else dense(np.moveaxis(rows[starts], 0, dim))
    return found, inverse if shape is None else inverse.reshape(shape), counts


unique = opaque(
    "unique",
    _unique_kernel,
    lambda input, dim=None, consecutive=False: _no_static_shape(input),
    inputs=("input",),
    outputs=("values", "inverse", "counts"),
    data_shape=True,
    half="float32",
    samples=lambda: [
        Sample((Make((3, 4), "int64", 0, 5),), {"dim": d, "consecutive": c}, grad=False)
        for d in (None, 0)
        for c in (False, True)
    ],
)


def _bincount_kernel(a: np.ndarray, weights: Any, minlength: int) -> np.ndarray:
    if a.ndim != 1 or a.dtype.kind not in "iu" or a.size and int(a.min()) < 0:
        raise RuntimeError("bincount only supports 1-d non-negative integral inputs.")
    out = np.bincount(a, weights, minlength)
    if weights is None:
        return out.astype(np.int64)
    return out.astype(np.float32 if weights.dtype == np.float32 else np.float64)


bincount = opaque(
    "bincount",
    _bincount_kernel,
    lambda input, weights, minlength=0: _no_static_shape(input),
    inputs=("input", "weights"),
    data_shape=True,
    samples=lambda: (
        [Sample((Make((20,), "int64", 0, 6), None), {"minlength": m}, grad=False) for m in (0, 9)]
        + [
            Sample(
                (Make((4,), "int64", values=[0, 1, 1, 3]), Make((4,))), {"minlength": 0}, grad=False
            )
        ]
    ),
)


def _bits(*numbers: float) -> list[int]:
    """Floats as native functions read them among whole numbers."""
    return [int(np.float64(x).view(np.int64)) for x in numbers]


def _histc_kernel(a: np.ndarray, bins: int, low: float, high: float) -> np.ndarray:
    if low == high and a.size:
        low, high = float(a.min()), float(a.max())
        if not (math.isfinite(low) and math.isfinite(high)):
            raise RuntimeError(f"torch.histc: range of [{low:g}, {high:g}] is not finite")
    if low == high:
        low, high = low - 1, high + 1
    name = _native("histc", a) if a.dtype.char in "fd" else ""
    if name:
        out = library.empty((bins,), a.dtype)
        call(name, [a.size, bins, *_bits(low, high)], [a], [out])
        return out
    inside = a[(a >= low) & (a <= high)].astype(np.float64)
    at = np.minimum(((inside - low) * (bins / (high - low))).astype(np.int64), bins - 1)
    return np.bincount(at, minlength=bins).astype(a.dtype)


def _histc_lower(shapes: list, types: list, bins: int, low: float, high: float) -> tuple | None:
    if low == high or not types[0].is_floating_point:  # the range depends on the data
        return None
    return _called("histc", types, [numel(shapes[0]), bins, *_bits(low, high)])


histc = native(
    "histc",
    _histc_kernel,
    lambda input, bins=100, low=0, high=0: input.with_shape((bins,)),
    inputs=("input",),
    lower=_histc_lower,
    half="float32",
    samples=lambda: [
        Sample((Make((50,)),), {"bins": 8, "low": lo, "high": hi}, grad=False)
        for lo, hi in ((-1.0, 1.5), (0, 0))
    ],
)


def _histogram_kernel(arrays: list) -> np.ndarray:
    points, weight, *edges = arrays
    shape = tuple(len(e) - 1 for e in edges)
    inside = np.ones(len(points), bool)
    places = []
    for x, e in zip(points.T, edges, strict=True):
        at = np.searchsorted(e, x, "right") - 1
        at = np.where(x == e[-1], len(e) - 2, at)  # the last bin has its right edge
        inside &= (at >= 0) & (at < len(e) - 1) & ~np.isnan(x)
        places.append(at)
    flat = np.zeros(len(points), np.int64)
    for at, n in zip(places, shape, strict=True):
        flat = flat * n + at
    w = weight[inside].astype(np.float64)
    return np.bincount(flat[inside], w, int(np.prod(shape))).astype(points.dtype).reshape(shape)


histogram = opaque(
    "histogram",
    _histogram_kernel,
    lambda arrays: arrays[0].with_shape(tuple(e.shape[0] - 1 for e in arrays[2:])),
    inputs=("*arrays",),
    samples=lambda: [
        Sample((Make((20, 1)), Make((20,)), Make((4,), values=[-1.0, 0.0, 0.5, 1.5])), grad=False),
        Sample(
            (
                Make((20, 2)),
                Make((20,)),
                Make((4,), values=[-1.0, 0.0, 0.5, 1.5]),
                Make((3,), values=[-2.0, 0.0, 2.0]),
            ),
            grad=False,
        ),
    ],
    doc="How much weight [N] of points [N, D] lies in each cell of a grid of edges.",
)


def _isin_kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    name = _native("isin", a, b)
    if not name:
        return np.isin(a, b)
    found = library.empty(a.shape, np.dtype(bool))
    call(name, [a.size, b.size], [a, b], [found])
    return found


isin = native(
    "isin",
    _isin_kernel,
    lambda elements, test_elements: elements.with_shape(elements.shape, dtypes.bool_),
    inputs=("elements", "test_elements"),
    lower=lambda shapes, types: _called("isin", types, [numel(s) for s in shapes]),
    samples=lambda: [Sample((Make((3, 4), "int64", 0, 6), Make((3,), "int64", 0, 6)), grad=False)],
)


# ---------------------------------------------------------------- scatters that keep one value


def _reduce_samples() -> list[Sample]:
    at = Make((4, 3), "int64", values=[0, 1, 2, 0, 0, 1, 1, 2, 0, 3, 3, 3])
    return [
        Sample((Make((4, 3)), at, Make((4, 3))), {"dim": 0, "include_self": s})
        for s in (True, False)
    ]


def _extremum_at(op: Any) -> Any:
    plain = _at(op)

    def run(a: np.ndarray, index: np.ndarray, src: np.ndarray, dim: int) -> np.ndarray:
        with np.errstate(invalid="ignore"):  # numpy would warn of nan
            out = plain(a, index, src, dim)
        if a.dtype.kind == "f" and (out == 0).any():  # numpy may take the later of two zeros
            rows = src[tuple(slice(0, n) for n in index.shape)].reshape(-1)
            zeros = np.flatnonzero(rows == 0)[::-1]  # the first is written last
            at = [np.broadcast_to(p, index.shape).reshape(-1) for p in _along(index, dim)]
            first = np.zeros(out.shape, out.dtype)
            first[tuple(p[zeros] for p in at)] = rows[zeros]
            out = np.where(out == 0, np.where(a == 0, a, first), out)
        return out

    return run


scatter_max, scatter_min, scatter_mul = [
    scatter(
        f"scatter_{how}",
        kernel,
        _base_infer,
        inputs=("input", "index", "src"),
        lower=_scatter_dim_lower,
        combine=how,
        space=lambda types, dim: types[1].shape,
        batch="last",
        accepts=(*_WHOLE, *(FLOATS if how == "mul" else REALS)),
        vjp=None,
        samples=lambda: [Sample(s.inputs, {"dim": 0}, grad=False) for s in _reduce_samples()[:1]],
        doc="Updates in ascending order; of equal ones the earlier stays, and nan wins.",
    )
    for how, kernel in (
        ("max", _extremum_at(np.maximum)),
        ("min", _extremum_at(np.minimum)),
        ("mul", _at(np.multiply)),
    )
]


def _worst(how: str, d: DType) -> Any:
    """What every update takes the place of."""
    if how == "mul":
        return 1
    if d.is_floating_point:
        return -math.inf if how == "max" else math.inf
    if d is dtypes.bool_:
        return how == "min"
    info = np.iinfo(d.np)
    return int(info.min if how == "max" else info.max)


def _reduction(how: str) -> dict:
    """Body and kernel of an op that combines src into input at index."""
    of: Any = {"max": scatter_max, "min": scatter_min, "mul": scatter_mul}[how]
    kernel = of.eager

    def body(
        input: Tensor, index: Tensor, src: Tensor, dim: int, include_self: bool = True
    ) -> Tensor:
        if not include_self:
            worst = input.new_full(tuple(index.type_.shape), _worst(how, input.dtype))
            input = scatter_set(input, index, worst, dim)
        return of(input, index, src, dim)

    def eager(
        a: np.ndarray, index: np.ndarray, src: np.ndarray, dim: int, include_self: bool
    ) -> np.ndarray:
        if not include_self:
            worst = np.full(index.shape, _worst(how, from_numpy_dtype(a.dtype)), a.dtype)
            a = scatter_set.eager(a, index, worst, dim)  # type: ignore[misc]
        return kernel(a, index, src, dim)

    return {"body": body, "eager": eager}


def _reduce_infer(
    input: TensorType, index: TensorType, src: TensorType, dim: int, include_self: bool = True
) -> TensorType:
    return input.with_shape(input.shape)


def _reduce_vjp(
    g: Tensor, input: Tensor, index: Tensor, src: Tensor, out: Tensor, dim: int, include_self: bool
) -> tuple:
    """Shares the gradient evenly among all that equal the result."""
    from .gather import gather

    mine = (input == out).to(g.dtype)
    taken = (src == gather(out, index, dim)).to(g.dtype)
    if not include_self:
        mine = mine * scatter_add(g.new_zeros(tuple(g.shape)), index, taken * 0 + 1, dim).eq(0).to(
            g.dtype
        )
    share = g / scatter_add(mine, index, taken, dim).clamp_min(1)
    return share * mine, None, gather(share, index, dim) * taken


scatter_amax, scatter_amin = [
    composite(
        name,
        **_reduction(how),
        infer=_reduce_infer,
        inputs=("input", "index", "src"),
        vjp=_reduce_vjp,
        half="wide",
        samples=_reduce_samples,
        backward_name="ScatterReduceBackward0",
    )
    for name, how in (("scatter_amax", "max"), ("scatter_amin", "min"))
]
scatter_prod = composite(
    "scatter_prod",
    **_reduction("mul"),
    infer=_reduce_infer,
    inputs=("input", "index", "src"),
    half="wide",
    samples=lambda: [Sample(s.inputs, s.attrs, grad=False) for s in _reduce_samples()],
)
