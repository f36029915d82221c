"""The multivariate normal distribution."""

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
from .utils import lazy_property


class MultivariateNormal(Distribution):
    """MultivariateNormal(loc, covariance_matrix), or by its inverse, precision_matrix, or its
    Cholesky factor, scale_tril; exactly one of them (ValueError)."""

    arg_constraints = {
        "loc": constraints.real_vector,
        "covariance_matrix": constraints.positive_definite,
        "precision_matrix": constraints.positive_definite,
        "scale_tril": constraints.lower_cholesky,
    }
    support = constraints.real_vector
    has_rsample = True
    _parameters = {
        "loc": 1,
        "covariance_matrix": 2,
        "precision_matrix": 2,
        "scale_tril": 2,
        "_unbroadcasted_scale_tril": 2,
    }

    def __init__(
        self,
        loc: Any,
        covariance_matrix: Any = None,
        precision_matrix: Any = None,
        scale_tril: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        if loc.dim() < 1:
            raise ValueError("loc must be at least one-dimensional.")
        given = {
            "scale_tril": scale_tril,
            "covariance_matrix": covariance_matrix,
            "precision_matrix": precision_matrix,
        }
        given = {k: v for k, v in given.items() if v is not None}
        if len(given) != 1:
            raise ValueError(
                "Exactly one of covariance_matrix or precision_matrix or scale_tril may be "
                "specified."
            )
        ((name, matrix),) = given.items()
        if matrix.dim() < 2:
            raise ValueError(
                f"{name} must be at least two-dimensional, with optional leading batch dimensions"
            )
        batch = broadcast_shapes(tuple(matrix.shape[:-2]), tuple(loc.shape[:-1]))
        setattr(self, name, matrix.expand((*batch, *matrix.shape[-2:])))
        self.loc = loc.expand((*batch, loc.shape[-1]))
        super().__init__(batch, self.loc.shape[-1:], validate_args=validate_args)
        if name == "scale_tril":
            self._unbroadcasted_scale_tril = scale_tril
        elif name == "covariance_matrix":
            self._unbroadcasted_scale_tril = cholesky(covariance_matrix)
        else:
            self._unbroadcasted_scale_tril = precision_to_scale_tril(precision_matrix)

    @lazy_property
    def scale_tril(self) -> Any:  # type: ignore[no-redef]
        n = self._event_shape[0]
        return self._unbroadcasted_scale_tril.expand((*self._batch_shape, n, n))

    @lazy_property
    def covariance_matrix(self) -> Any:  # type: ignore[no-redef]
        factor, n = self._unbroadcasted_scale_tril, self._event_shape[0]
        return (factor @ factor.mT).expand((*self._batch_shape, n, n))

    @lazy_property
    def precision_matrix(self) -> Any:  # type: ignore[no-redef]
        factor, n = self._unbroadcasted_scale_tril, self._event_shape[0]
        inverse = _inverse_of(factor)
        return (inverse.mT @ inverse).expand((*self._batch_shape, n, n))

    @property
    def mean(self) -> Any:
        return self.loc

    @property
    def mode(self) -> Any:
        return self.loc

    @property
    def variance(self) -> Any:
        squares = self._unbroadcasted_scale_tril.pow(2).sum(-1)
        return squares.expand((*self._batch_shape, *self._event_shape))

    def rsample(self, sample_shape: Any = Size()) -> Any:
        eps = drawn(randn, self._extended_shape(sample_shape), self.loc)
        return self.loc + (self._unbroadcasted_scale_tril @ eps.unsqueeze(-1)).squeeze(-1)

    def log_prob(self, value: Any) -> Any:
        if self._validate_args:
            self._validate_sample(value)
        distance = mahalanobis(self._unbroadcasted_scale_tril, value - self.loc)
        half_log_det = self._unbroadcasted_scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        n = self._event_shape[0]
        return -0.5 * (n * math.log(2 * math.pi) + distance) - half_log_det

    def entropy(self) -> Any:
        half_log_det = self._unbroadcasted_scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        result = 0.5 * self._event_shape[0] * (1.0 + math.log(2 * math.pi)) + half_log_det
        return result.expand(self._batch_shape) if self._batch_shape else result


def _inverse_of(factor: Any) -> Any:
    """The inverse of lower triangular matrices."""
    one = eye(factor.shape[-1], dtype=factor.dtype).expand(factor.shape)
    return solve_triangular(factor, one, upper=False)


def precision_to_scale_tril(precision: Any) -> Any:
    """The Cholesky factor of the inverse of positive definite matrices."""
    flipped = cholesky(precision.flip((-2, -1)))
    upper = flipped.flip((-2, -1)).mT
    return _inverse_of(upper)


def mahalanobis(factor: Any, x: Any) -> Any:
    """x^T M^-1 x with M = factor factor^T, batches broadcast."""
    batch = broadcast_shapes(tuple(factor.shape[:-2]), tuple(x.shape[:-1]))
    n = x.shape[-1]
    factor, x = factor.expand((*batch, n, n)), x.expand((*batch, n))
    return solve_triangular(factor, x.unsqueeze(-1), upper=False).squeeze(-1).pow(2).sum(-1)


__all__ = ["MultivariateNormal", "mahalanobis", "precision_to_scale_tril"]
