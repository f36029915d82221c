"""Tensors of one value, and arithmetic progressions. Eager mode fills memory directly; these
records are what captured programs hold.
Invariant: a value is rounded to the dtype once, as everywhere."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..base import dtypes
from ..base.dtypes import DType
from ..core import dispatch
from ..ir.op import Make, Sample
from ..ir.types import TensorType, pointwise_strides, tensor_type
from .define import gather, pointwise
from .kernels import empty_strided
from .pointwise import zero


def _full_kernel(shape: tuple, dtype: DType, value: Any) -> np.ndarray:
    d = dtype.compute
    a = np.full(shape, dispatch.number_array(value, dtype), d.np)
    return dispatch.cast_array(a, d, dtype)


def _full_infer(shape: tuple, dtype: DType, value: Any) -> TensorType:
    return tensor_type(shape, dtype)


def _full_lower(ix: list, loads: list, types: list, shape: tuple, dtype: DType, value: Any) -> Any:
    from ..ir.loop import Const

    x = dispatch.number_array(value, dtype)
    return Const(x.item() if hasattr(x, "item") else x, dtype.compute)


full = gather(
    "full",
    _full_kernel,
    _full_infer,
    inputs=(),
    vjp=None,
    lower=_full_lower,
    samples=lambda: [
        Sample((), {"shape": s, "dtype": dtypes.dtype_named(d), "value": v}, grad=False)
        for s in ((3, 4), (), (0, 2))
        for d, v in (
            ("float32", 0.1),
            ("float64", -0.0),
            ("int64", 7),
            ("bool", True),
            ("float16", 0.1),
            ("bfloat16", 3),
        )
    ],
    doc="A tensor of one value.",
)


def arange_kernel(shape: tuple, start: Any, step: Any, dtype: DType) -> np.ndarray:
    """start + i * step, in int64 or float64, as dtype."""
    if isinstance(start, float) or isinstance(step, float):
        steps = np.arange(shape[0], dtype=np.float64)
        return dispatch.cast_array(start + steps * step, dtypes.float64, dtype)
    whole = np.arange(shape[0], dtype=np.int64) * int(step) + int(start)
    return dispatch.cast_array(whole, dtypes.int64, dtype)


def _arange_lower(
    ix: list, loads: list, types: list, shape: tuple, start: Any, step: Any, dtype: DType
) -> Any:
    from ..ir.loop import Apply, Const, IndexValue, cast

    if not (isinstance(start, float) or isinstance(step, float)):
        return cast(IndexValue(ix[0] * step + start), dtype.compute)
    f64 = dtypes.float64
    moved = Apply("mul", (cast(IndexValue(ix[0]), f64), Const(float(step), f64)), f64)
    return cast(Apply("add", (Const(float(start), f64), moved), f64), dtype.compute)


arange = gather(
    "arange",
    arange_kernel,
    lambda shape, start, step, dtype: tensor_type(shape, dtype),
    inputs=(),
    vjp=None,
    lower=_arange_lower,
    samples=lambda: [
        Sample(
            (),
            {"shape": (n,), "start": start, "step": step, "dtype": dtypes.dtype_named(d)},
            grad=False,
        )
        for n, start, step, d in (
            (5, 0, 1, "int64"),
            (4, 7, -3, "int32"),
            (6, 250, 3, "uint8"),
            (5, 0, 1, "float32"),
            (7, 0.1, 0.3, "float32"),
            (7, 1.0, -0.7, "float64"),
            (3, 0.1, 0.3, "float16"),
            (0, 0, 1, "int64"),
        )
    ],
    doc="start + i * step.",
)


def _fill_rule(keys: tuple) -> Any:
    d = keys[0][0] if isinstance(keys[0], tuple) else keys[0]
    return (d, d), d


def _filled(a: Any, value: Any) -> np.ndarray:
    a, value = np.asarray(a), np.asarray(value)
    strides = pointwise_strides(a.shape, [(a.shape, tuple(s // a.itemsize for s in a.strides))])
    out = empty_strided(a.shape, strides, a.dtype)
    np.copyto(out, value)
    return out


fill = pointwise(
    "fill",
    _filled,
    inputs=("input", "value"),
    out=_fill_rule,
    complex=_filled,
    vjp=[zero, lambda g: g],
    lower=lambda x, v: v,
    samples=lambda: (
        [Sample((Make((3, 4), d), 0.1), grad=False) for d in ("float32", "float64")]
        + [Sample((Make((4, 6), layout="T"), -1.5), grad=False)]
    ),
    doc="A tensor like input, all of one value.",
)
