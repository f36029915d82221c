"""The Wishart distribution over positive definite matrices."""

from __future__ import annotations

import math
from typing import Any

from ..base.dtypes import finfo
from ..core.tensor import Size
from ..creation import arange, randn
from ..ir.types import broadcast_shapes
from ..linalg import cholesky, solve_triangular
from . import constraints
from ._sampling import drawn
from .chi2 import Chi2
from .exp_family import ExponentialFamily
from .multivariate_normal import _inverse_of, precision_to_scale_tril
from .utils import lazy_property


class Wishart(ExponentialFamily):
    """Wishart(df, covariance_matrix), or by precision_matrix or scale_tril: sums of df outer
    products of normal vectors, by Bartlett's decomposition. df > dimension - 1."""

    support = constraints.positive_definite
    has_rsample = True
    _mean_carrier_measure = 0
    _parameters = {
        "df": 0,
        "covariance_matrix": 2,
        "precision_matrix": 2,
        "scale_tril": 2,
        "_unbroadcasted_scale_tril": 2,
    }

    @property
    def arg_constraints(self) -> Any:
        return {
            "covariance_matrix": constraints.positive_definite,
            "precision_matrix": constraints.positive_definite,
            "scale_tril": constraints.lower_cholesky,
            "df": constraints.greater_than(self.event_shape[-1] - 1),
        }

    def __init__(
        self,
        df: Any,
        covariance_matrix: Any = None,
        precision_matrix: Any = None,
        scale_tril: Any = None,
        validate_args: bool | None = None,
    ) -> None:
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
                "scale_tril must be at least two-dimensional, with optional leading batch "
                "dimensions"
            )
        df = matrix.new_full((), df) if isinstance(df, (int, float)) else df
        batch = broadcast_shapes(tuple(df.shape), tuple(matrix.shape[:-2]))
        n = matrix.shape[-1]
        self.df = df.expand(batch)
        setattr(self, name, matrix.expand((*batch, n, n)))
        if bool((self.df <= n - 1).any()):
            raise ValueError(f"Value of df={df} expected to be greater than ndim - 1 = {n - 1}.")
        super().__init__(batch, (n, n), validate_args=validate_args)
        if name == "scale_tril":
            self._unbroadcasted_scale_tril = scale_tril
        elif name == "covariance_matrix":
            self._unbroadcasted_scale_tril = cholesky(covariance_matrix)
        else:
            self._unbroadcasted_scale_tril = precision_to_scale_tril(precision_matrix)
        self._chi2 = self._make_chi2()

    def _make_chi2(self) -> Any:
        n = self._event_shape[-1]
        return Chi2(self.df.unsqueeze(-1) - arange(n, dtype=self.df.dtype))

    def _expand_more(self, new: Any, batch_shape: Size) -> None:
        new._chi2 = self._chi2.expand((*batch_shape, self._event_shape[-1]))

    @lazy_property
    def scale_tril(self) -> Any:  # type: ignore[no-redef]
        return self._whole(self._unbroadcasted_scale_tril)

    @lazy_property
    def covariance_matrix(self) -> Any:  # type: ignore[no-redef]
        factor = self._unbroadcasted_scale_tril
        return self._whole(factor @ factor.mT)

    @lazy_property
    def precision_matrix(self) -> Any:  # type: ignore[no-redef]
        inverse = _inverse_of(self._unbroadcasted_scale_tril)
        return self._whole(inverse.mT @ inverse)

    def _whole(self, x: Any) -> Any:
        return x.expand((*self._batch_shape, *self._event_shape))

    @property
    def mean(self) -> Any:
        return self.df.reshape((*self._batch_shape, 1, 1)) * self.covariance_matrix

    @property
    def mode(self) -> Any:
        factor = self.df - self.covariance_matrix.shape[-1] - 1
        factor = factor.masked_fill(factor <= 0, float("nan"))
        return factor.reshape((*self._batch_shape, 1, 1)) * self.covariance_matrix

    @property
    def variance(self) -> Any:
        v = self.covariance_matrix
        diagonal = v.diagonal(dim1=-2, dim2=-1)
        outer = diagonal.unsqueeze(-1) * diagonal.unsqueeze(-2)
        return self.df.reshape((*self._batch_shape, 1, 1)) * (v.pow(2) + outer)

    def rsample(self, sample_shape: Any = Size(), max_try_correction: Any = None) -> Any:
        chi = self._chi2.rsample(sample_shape).clamp(min=finfo(self.df.dtype).tiny).sqrt()
        noise = drawn(randn, self._extended_shape(sample_shape), self.df).tril(-1)
        factor = self._unbroadcasted_scale_tril @ (noise + chi.diag_embed())
        return factor @ factor.mT

    def log_prob(self, value: Any) -> Any:
        if self._validate_args:
            self._validate_sample(value)
        nu, p = self.df, self._event_shape[-1]
        scale = self._unbroadcasted_scale_tril
        batch = broadcast_shapes(tuple(scale.shape[:-2]), tuple(value.shape[:-2]))
        left = scale.expand((*batch, p, p))
        half = solve_triangular(left, value.expand((*batch, p, p)), upper=False)
        inner = solve_triangular(left, half.mT, upper=False)
        log_det = 2 * cholesky(value).diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return (
            -nu * (p * math.log(2) / 2 + scale.diagonal(dim1=-2, dim2=-1).log().sum(-1))
            - (nu / 2).mvlgamma(p)
            + (nu - p - 1) / 2 * log_det
            - inner.diagonal(dim1=-2, dim2=-1).sum(-1) / 2
        )

    def entropy(self) -> Any:
        nu, p = self.df, self._event_shape[-1]
        steps: Any = arange(p, dtype=nu.dtype)
        digammas = ((nu.unsqueeze(-1) - steps) / 2).digamma().sum(-1)
        scale = self._unbroadcasted_scale_tril
        return (
            (p + 1) * (p * math.log(2) / 2 + scale.diagonal(dim1=-2, dim2=-1).log().sum(-1))
            + (nu / 2).mvlgamma(p)
            - (nu - p - 1) / 2 * digammas
            + nu * p / 2
        )

    @property
    def _natural_params(self) -> tuple:
        return (-self.precision_matrix / 2, (self.df - self._event_shape[-1] - 1) / 2)

    def _log_normalizer(self, x: Any, y: Any) -> Any:  # type: ignore[override]
        p = self._event_shape[-1]
        log_det = 2 * cholesky(-2 * x).diagonal(dim1=-2, dim2=-1).log().sum(-1)
        k = y + (p + 1) / 2
        return k * (-log_det + math.log(2) * p) + k.mvlgamma(p)


__all__ = ["Wishart"]
