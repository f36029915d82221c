"""make_tensor: takes a shape, a dtype and a range, gives a tensor of uniform random values."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

from ..base.dtypes import DType, bool_, finfo, iinfo, int64
from ..core.tensor import Tensor
from ..creation import empty, randint


def make_tensor(
    *shape: Any,
    dtype: DType,
    device: Any,
    low: float | None = None,
    high: float | None = None,
    requires_grad: bool = False,
    noncontiguous: bool = False,
    exclude_zero: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """Values uniformly from [low, high): by default -9 to 9 for floating dtypes, -9 to 10 (0 to 10)
    for signed (unsigned) integers, 0 to 2 for bool.

    noncontiguous: every second element of a larger tensor; exclude_zero: zeros become the smallest
    positive value. ValueError for a bad range or options that exclude each other, TypeError for
    other dtypes. https://docs.pytorch.org/docs/stable/testing.html#torch.testing.make_tensor"""
    if len(shape) == 1 and isinstance(shape[0], Sequence):
        shape = tuple(shape[0])
    floating = dtype.is_floating_point or dtype.is_complex
    if noncontiguous and memory_format is not None:
        raise ValueError(
            "The parameters `noncontiguous` and `memory_format` are mutually exclusive, but got "
            f"noncontiguous={noncontiguous!r} and memory_format={memory_format!r}"
        )
    if requires_grad and not floating:
        raise ValueError(
            "`requires_grad=True` is not supported for boolean and integral dtypes, but got "
            f"dtype={dtype!r}"
        )
    noncontiguous = noncontiguous and math.prod(shape) > 1
    drawn = (*shape[:-1], 2 * shape[-1]) if noncontiguous else shape
    low, high = _range(low, high, dtype)
    out: Any
    if floating:
        out = empty(drawn, dtype=dtype, device=device)
        parts = out.view_as_real() if dtype.is_complex else out
        parts.uniform_(low, high)
    else:
        out = randint(int(low), int(high), drawn, dtype=dtype, device=device)
    if noncontiguous:
        out = out[..., 1::2]
    elif memory_format is not None:
        out = out.clone(memory_format=memory_format)
    if exclude_zero:
        out[out == 0] = finfo(dtype).tiny if floating else 1
    return out.requires_grad_() if requires_grad else out


def _range(low: Any, high: Any, dtype: DType) -> tuple[float, float]:
    """The bounds of the values, within what the dtype holds."""
    floating = dtype.is_floating_point or dtype.is_complex
    least: float
    most: float
    if dtype is bool_:
        least, most, default = 0, 2, (0, 2)
    elif floating:
        least, most, default = finfo(dtype).min, finfo(dtype).max, (-9, 9)
    else:
        least, most, default = iinfo(dtype).min, iinfo(dtype).max, (-9, 10)
        most += dtype is not int64
    low, high = (default[0] if low is None else low), (default[1] if high is None else high)
    if low != low or high != high:
        raise ValueError(f"`low` and `high` cannot be NaN, but got low={low!r} and high={high!r}")
    if low == high and floating:
        warnings.warn(
            "Passing `low==high` to `torch.testing.make_tensor` for floating or complex types is "
            "deprecated since 2.1 and will be removed in 2.3. Use `torch.full(...)` instead.",
            FutureWarning,
            stacklevel=3,
        )
    elif low >= high:
        raise ValueError(f"`low` must be less than `high`, but got {low} >= {high}")
    elif high < least or low >= most:
        raise ValueError(
            f"The value interval specified by `low` and `high` is [{low}, {high}), but {dtype} "
            f"only supports [{least}, {most})"
        )
    low, high = min(max(low, least), most), min(max(high, least), most)
    return (low, high) if floating else (math.ceil(low), math.ceil(high))
