"""The LKJ distribution over Cholesky factors of correlation matrices."""

from __future__ import annotations

import math
from typing import Any

from ..base.dtypes import finfo
from ..core.modes import no_grad
from ..core.tensor import Size
from ..creation import arange, randn
from ..functional import cat
from . import constraints
from ._sampling import drawn
from .beta import Beta
from .distribution import Distribution
from .utils import broadcast_all


class LKJCholesky(Distribution):
    """LKJCholesky(dim, concentration): factors L of correlation matrices with probability ~
    det(L L^T)**(concentration - 1), by the onion method (Lewandowski, Kurowicka & Joe 2009).
    ValueError for dim below 2."""

    arg_constraints = {"concentration": constraints.positive}
    support = constraints.corr_cholesky
    _parameters = {"concentration": 0}

    def __init__(
        self, dim: int, concentration: Any = 1.0, validate_args: bool | None = None
    ) -> None:
        if dim < 2:
            raise ValueError(
                f"Expected dim to be an integer greater than or equal to 2. Found dim={dim}."
            )
        self.dim = dim
        (self.concentration,) = broadcast_all(concentration)
        marginal = self.concentration + 0.5 * (dim - 2)
        offset: Any = arange(dim - 1, dtype=self.concentration.dtype)
        offset = cat([offset.new_zeros((1,)), offset])
        self._beta = Beta(offset + 0.5, marginal.unsqueeze(-1) - 0.5 * offset)
        super().__init__(self.concentration.shape, (dim, dim), validate_args=validate_args)

    def _expand_more(self, new: Any, batch_shape: Size) -> None:
        new.dim = self.dim
        new._beta = self._beta.expand((*batch_shape, self.dim))

    def sample(self, sample_shape: Any = Size()) -> Any:
        with no_grad():
            y = self._beta.sample(sample_shape).unsqueeze(-1)
            n = drawn(randn, self._extended_shape(sample_shape), y).tril(-1)
            length = n.norm(dim=-1, keepdim=True)
            direction = (n / length).masked_fill(length == 0, 0.0)  # the first row has none
            w = y.sqrt() * direction
            tiny = finfo(w.dtype).tiny
            diagonal = (1 - (w * w).sum(-1)).clamp(min=tiny).sqrt()
            return w + diagonal.diag_embed()

    def log_prob(self, value: Any) -> Any:
        if self._validate_args:
            self._validate_sample(value)
        diagonal = value.diagonal(dim1=-1, dim2=-2)[..., 1:]
        order: Any = arange(2, self.dim + 1, dtype=self.concentration.dtype)
        order = 2 * (self.concentration - 1).unsqueeze(-1) + self.dim - order
        unnormalized = (order * diagonal.log()).sum(-1)
        d = self.dim - 1
        alpha = self.concentration + 0.5 * d
        log_norm = 0.5 * d * math.log(math.pi) + (alpha - 0.5).mvlgamma(d) - alpha.lgamma() * d
        return unnormalized - log_norm


__all__ = ["LKJCholesky"]
