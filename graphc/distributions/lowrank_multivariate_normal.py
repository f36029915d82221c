"""Multivariate normal distributions with covariance W W^T + D."""

from __future__ import annotations

import math
from typing import Any

from ..core.tensor import Size
from ..creation import eye, randn
from ..ir.types import broadcast_shapes
from ..linalg import cholesky, solve_triangular
from . import constraints
from ._sampling import drawn
from .distribution import Distribution
from .multivariate_normal import mahalanobis
from .utils import lazy_property


class LowRankMultivariateNormal(Distribution):
    """Normal vectors with mean loc and covariance cov_factor cov_factor^T + diag(cov_diag), whose
    inverse and determinant need only matrices of the factor's rank (Woodbury's identity)."""

    arg_constraints = {
        "loc": constraints.real_vector,
        "cov_factor": constraints.independent(constraints.real, 2),
        "cov_diag": constraints.independent(constraints.positive, 1),
    }
    support = constraints.real_vector
    has_rsample = True
    _parameters = {"loc": 1, "cov_factor": 2, "cov_diag": 1}

    def __init__(
        self, loc: Any, cov_factor: Any, cov_diag: Any, validate_args: bool | None = None
    ) -> None:
        if loc.dim() < 1:
            raise ValueError("loc must be at least one-dimensional.")
        event = loc.shape[-1:]
        if cov_factor.dim() < 2:
            raise ValueError(
                "cov_factor must be at least two-dimensional, with optional leading batch "
                "dimensions"
            )
        if cov_factor.shape[-2:-1] != event:
            raise ValueError(f"cov_factor must be a batch of matrices with shape {event[0]} x m")
        if cov_diag.shape[-1:] != event:
            raise ValueError(f"cov_diag must be a batch of vectors with shape {event}")
        n, rank = cov_factor.shape[-2:]
        batch = broadcast_shapes(
            tuple(loc.shape[:-1]), tuple(cov_factor.shape[:-2]), tuple(cov_diag.shape[:-1])
        )
        self.loc = loc.expand((*batch, n))
        self.cov_diag = cov_diag.expand((*batch, n))
        self.cov_factor = cov_factor.expand((*batch, n, rank))
        super().__init__(batch, event, validate_args=validate_args)

    @lazy_property
    def _capacitance_tril(self) -> Any:
        """Cholesky factor of I + W^T D^-1 W."""
        scaled = self.cov_factor.mT / self.cov_diag.unsqueeze(-2)
        m = self.cov_factor.shape[-1]
        return cholesky(scaled @ self.cov_factor + eye(m, dtype=self.loc.dtype))

    @property
    def mean(self) -> Any:
        return self.loc

    @property
    def mode(self) -> Any:
        return self.loc

    @lazy_property
    def variance(self) -> Any:  # type: ignore[override]
        return self.cov_factor.pow(2).sum(-1) + self.cov_diag

    @lazy_property
    def scale_tril(self) -> Any:
        return cholesky(self.covariance_matrix)

    @lazy_property
    def covariance_matrix(self) -> Any:
        return self.cov_factor @ self.cov_factor.mT + self.cov_diag.diag_embed()

    @lazy_property
    def precision_matrix(self) -> Any:
        scaled = self.cov_factor.mT / self.cov_diag.unsqueeze(-2)
        a = solve_triangular(self._capacitance_tril, scaled, upper=False)
        return self.cov_diag.reciprocal().diag_embed() - a.mT @ a

    def rsample(self, sample_shape: Any = Size()) -> Any:
        shape = self._extended_shape(sample_shape)
        rank = self.cov_factor.shape[-1]
        eps_w = drawn(randn, (*shape[:-1], rank), self.loc)
        eps_d = drawn(randn, shape, self.loc)
        low = (self.cov_factor @ eps_w.unsqueeze(-1)).squeeze(-1)
        return self.loc + low + self.cov_diag.sqrt() * eps_d

    def _log_det(self) -> Any:
        return 2 * self._capacitance_tril.diagonal(dim1=-2, dim2=-1).log().sum(
            -1
        ) + self.cov_diag.log().sum(-1)

    def log_prob(self, value: Any) -> Any:
        if self._validate_args:
            self._validate_sample(value)
        diff = value - self.loc
        scaled = self.cov_factor.mT / self.cov_diag.unsqueeze(-2)
        inner = (scaled @ diff.unsqueeze(-1)).squeeze(-1)
        distance = (diff.pow(2) / self.cov_diag).sum(-1) - mahalanobis(
            self._capacitance_tril, inner
        )
        n = self._event_shape[0]
        return -0.5 * (n * math.log(2 * math.pi) + self._log_det() + distance)

    def entropy(self) -> Any:
        result = 0.5 * (self._event_shape[0] * (1.0 + math.log(2 * math.pi)) + self._log_det())
        return result.expand(self._batch_shape) if self._batch_shape else result


__all__ = ["LowRankMultivariateNormal"]
