"""What the functions share: writing a result into the input, and loss reductions."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from ...base import formats
from ...base.errors import users_level
from ...core.inplace import check_inplace, store
from ...core.modes import is_grad_enabled
from ...core.tensor import Tensor
from ...ops.movement import clone


def in_place(fn: Callable, input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """input = fn(input, ...), in place and with fn's history. The function's ops save a copy of the
    old value, so the write does not spoil their gradients."""
    check_inplace(input)
    old = input.clone() if input.requires_grad and is_grad_enabled() else input
    store(input, fn(old, *args, **kwargs))
    return input


def check_probability(p: float, name: str = "dropout") -> None:
    """ValueError unless 0 <= p <= 1."""
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"{name} probability has to be between 0 and 1, but got {p}")


def legacy_reduction(size_average: bool | None, reduce: bool | None, reduction: str) -> str:
    """The reduction that the old flags (None: not given) ask for, with PyTorch's warning."""
    if size_average is None and reduce is None:
        return reduction
    found = "none" if reduce is False else "sum" if size_average is False else "mean"
    warnings.warn("size_average and reduce args will be deprecated, please use "
                  f"reduction='{found}' instead.", stacklevel=users_level())
    return found


def check_reduction(reduction: str) -> None:
    """ValueError unless `reduction` is "none", "mean" or "sum"."""
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not a valid value for reduction")


def reduced(loss: Tensor, reduction: str) -> Tensor:
    """loss by reduction "none", "mean" or "sum"; ValueError for other names."""
    if reduction == "mean":
        return loss.mean()
    if reduction == "sum":
        return loss.sum()
    if reduction == "none":
        return loss
    raise ValueError(f"{reduction} is not a valid value for reduction")


def in_layout_of(out: Tensor, *inputs: Tensor) -> Tensor:
    """out with the channels innermost in memory if one of the inputs, all 4-D or 5-D, is so."""
    for t in inputs:
        meta = t.type_  # type: ignore[attr-defined]
        if meta.is_contiguous:
            continue
        chosen = formats.suggested(meta.shape, meta.strides)
        if chosen is not None:
            return clone(out, formats.channel_strides(out.type_.shape, chosen))  # type: ignore
    return out
