"""Help for distributions: parameters broadcast together, probabilities and log-odds, lazy
values."""

from __future__ import annotations

import functools
from collections.abc import Callable
from numbers import Number
from typing import Any

from ..base.dtypes import finfo, get_default_dtype
from ..core.modes import enable_grad
from ..core.tensor import Tensor
from ..creation import tensor
from ..functional import broadcast_tensors, cat, stack

euler_constant = 0.57721566490153286060


def broadcast_all(*values: Any) -> list:
    """Tensors and numbers as tensors of one shape; numbers take the first tensor's dtype, or the
    default one. ValueError for anything else."""
    for v in values:
        if not isinstance(v, (Tensor, Number)):
            raise ValueError(
                "Input arguments must all be instances of Number, torch.Tensor or objects "
                "implementing __torch_function__."
            )
    dtype = next((v.dtype for v in values if isinstance(v, Tensor)), get_default_dtype())
    if not dtype.is_floating_point and not all(isinstance(v, Tensor) for v in values):
        if any(isinstance(v, float) for v in values):
            dtype = get_default_dtype()
    made: Any = [v if isinstance(v, Tensor) else tensor(v, dtype=dtype) for v in values]
    return list(broadcast_tensors(*made))


def clamp_probs(probs: Any) -> Any:
    """Probabilities kept an epsilon of their dtype away from 0 and 1."""
    eps = finfo(probs.dtype).eps
    return probs.clamp(min=eps, max=1 - eps)


def logits_to_probs(logits: Any, is_binary: bool = False) -> Any:
    """Probabilities of log-odds (is_binary) or of unnormalised log-probabilities over the last
    dimension."""
    return logits.sigmoid() if is_binary else logits.softmax(dim=-1)


def probs_to_logits(probs: Any, is_binary: bool = False) -> Any:
    """The other way; finite also for probabilities of 0 and 1."""
    p = clamp_probs(probs)
    return p.log() - (-p).log1p() if is_binary else p.log()


def exactly_one(probs: Any, logits: Any) -> None:
    """ValueError unless one of the two is given."""
    if (probs is None) == (logits is None):
        raise ValueError("Either `probs` or `logits` must be specified, but not both.")


class lazy_property:
    """A property that is computed when first asked for, and kept."""

    def __init__(self, wrapped: Callable) -> None:
        self.wrapped = wrapped
        functools.update_wrapper(self, wrapped)  # type: ignore[arg-type]

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None:
            return self
        with enable_grad():
            value = self.wrapped(instance)
        setattr(instance, self.wrapped.__name__, value)
        return value


def tril_matrix_to_vec(mat: Any, diag: int = 0) -> Any:
    """The lower triangles (up to a diagonal) of matrices, row by row."""
    n = mat.shape[-1]
    if not -n <= diag < n:
        raise ValueError(f"diag ({diag}) provided is outside [{-n}, {n - 1}].")
    rows = [mat[..., i, : min(max(i + 1 + diag, 0), n)] for i in range(n)]
    return cat(rows, -1)


def _in_triangle(n: int, diag: int) -> int:
    """How many numbers n x n matrices have up to a diagonal."""
    return sum(min(max(i + 1 + diag, 0), n) for i in range(n))


def vec_to_tril_matrix(vec: Any, diag: int = 0) -> Any:
    """Matrices whose lower triangles (up to a diagonal) are the given rows of numbers."""
    count, n = vec.shape[-1], 1
    while _in_triangle(n, diag) < count:
        n += 1
    if _in_triangle(n, diag) != count:
        raise ValueError(
            f"The size of last dimension is {count} which cannot be expressed as the lower "
            "triangular part of a square D x D matrix."
        )
    rows, at = [], 0
    for i in range(n):
        width = min(max(i + 1 + diag, 0), n)
        part = vec[..., at : at + width]
        rest = vec.new_zeros((*vec.shape[:-1], n - width))
        rows.append(cat([part, rest], -1))
        at += width
    return stack(rows, -2)


def sum_rightmost(value: Any, dims: int) -> Any:
    """Sum over the last dims dimensions."""
    if dims == 0:
        return value
    return value.reshape((*value.shape[:-dims], -1)).sum(-1)
