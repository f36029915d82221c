"""Distances and normalisation along an axis.

Takes tensors that broadcast, gives a tensor without the compared axis (normalize keeps it).
https://docs.pytorch.org/docs/stable/nn.functional.html#distance-functions
"""

from __future__ import annotations

import math

import numpy as np

from ...base import entry
from ...core.tensor import Tensor
from ...creation import from_numpy
from ...ir.types import broadcast_shapes
from ...ops import pointwise as pw
from ...out import into


def _vector_norm(x: Tensor, p: float, dim: int, keepdim: bool) -> Tensor:
    """The p-norm along `dim`, with gradient 0 at the zero vector."""
    if x.dtype.is_complex:
        x = pw.abs(x)
    if p == 0:
        return pw.floor(pw.where(x == 0, x, 1.0)).sum(dim, keepdim=keepdim)
    if p == 1:
        return pw.abs(x).sum(dim, keepdim=keepdim)
    if p == math.inf:
        return pw.abs(x).amax(dim, keepdim=keepdim)
    if p == -math.inf:
        return pw.abs(x).amin(dim, keepdim=keepdim)
    total = (x * x if p == 2 else pw.abs(x).pow(p)).sum(dim, keepdim=keepdim)
    zero = total == 0       # the root's slope is infinite there
    safe = pw.where(zero, 1.0, total)
    root = pw.sqrt(safe) if p == 2 else safe.pow(1.0 / p)
    return pw.where(zero, 0.0, root)


def normalize(input: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12,
              out: Tensor | None = None) -> Tensor:
    """input / max(p-norm along dim, eps)."""
    result = input / pw.clamp_min(_vector_norm(input, p, dim, True), eps)
    return into(out, result)


def pairwise_distance(x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6,
                      keepdim: bool = False) -> Tensor:
    """The p-norm of x1 - x2 + eps along the last axis."""
    return _vector_norm(x1 - x2 + eps, p, -1, keepdim)


def pdist(input: Tensor, p: float = 2.0) -> Tensor:
    """The p-norms of the differences of all pairs of rows of (N, M): (N * (N - 1) / 2).

    Pairs come in the order (0, 1), (0, 2), ..., (1, 2), ...; the gradient at distance 0 is 0.
    RuntimeError for other shapes, p < 0 and integers."""
    if input.ndim != 2:
        raise RuntimeError(f"pdist only supports 2D tensors, got: {input.ndim}D")
    if not input.dtype.is_floating_point:
        raise RuntimeError("pdist only supports floating-point dtypes")
    if p < 0:
        raise RuntimeError("pdist only supports non-negative p values")
    first, second = (from_numpy(at) for at in np.triu_indices(int(input.shape[0]), 1))
    return _vector_norm(input.index_select(0, first) - input.index_select(0, second), p, -1, False)


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """x1 . x2 / (max(|x1|, eps) * max(|x2|, eps)) along `dim`."""
    if x1.ndim != x2.ndim or x1.shape != x2.shape:
        shape = broadcast_shapes(tuple(x1.shape), tuple(x2.shape))
        x1, x2 = x1.expand(shape), x2.expand(shape)
    n1 = pw.clamp_min(_vector_norm(x1, 2, dim, True), eps)
    n2 = pw.clamp_min(_vector_norm(x2, 2, dim, True), eps)
    return ((x1 / n1) * (x2 / n2)).sum(dim)


def cosine_similarity_terms(x1: Tensor, x2: Tensor) -> Tensor:
    """The cosine that cosine_embedding_loss uses: squared norms plus 1e-12 under one root."""
    products = (x1 * x2).sum(-1)
    return products / pw.sqrt(((x1 * x1).sum(-1) + 1e-12) * ((x2 * x2).sum(-1) + 1e-12))


entry.wrap(__name__, globals())
