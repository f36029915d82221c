"""The generalized Pareto distribution."""

from __future__ import annotations

from typing import Any

from ..core.tensor import Size
from ..creation import rand
from ..functional import where
from . import constraints
from ._sampling import drawn
from .distribution import Distribution
from .utils import broadcast_all


class GeneralizedPareto(Distribution):
    """GeneralizedPareto(loc, scale, concentration): the law of exceedances over a threshold;
    exponential where the concentration is 0."""

    arg_constraints = {
        "loc": constraints.real,
        "scale": constraints.positive,
        "concentration": constraints.real,
    }
    has_rsample = True
    _parameters = {"loc": 0, "scale": 0, "concentration": 0}

    def __init__(
        self, loc: Any, scale: Any, concentration: Any, validate_args: bool | None = None
    ) -> None:
        self.loc, self.scale, self.concentration = broadcast_all(loc, scale, concentration)
        super().__init__(self.loc.shape, validate_args=validate_args)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> Any:
        c = self.concentration
        upper = where(c < 0, self.loc - self.scale / c, float("inf"))
        return constraints.interval(self.loc, upper)

    def _flat(self) -> tuple:
        """(where the concentration is 0, the concentration with 1 there)."""
        flat = self.concentration.abs() <= 1e-8
        return flat, where(flat, 1.0, self.concentration)

    @property
    def mean(self) -> Any:
        c = where(self.concentration < 1, self.concentration, 0.5)
        result = self.loc + self.scale / (1 - c)
        return where(self.concentration < 1, result, float("nan"))

    @property
    def mode(self) -> Any:
        return self.loc

    @property
    def variance(self) -> Any:
        c = where(self.concentration < 0.5, self.concentration, 0.25)
        result = self.scale**2 / ((1 - c) ** 2 * (1 - 2 * c))
        return where(self.concentration < 0.5, result, float("nan"))

    def rsample(self, sample_shape: Any = Size()) -> Any:
        return self.icdf(drawn(rand, self._extended_shape(sample_shape), self.loc))

    def log_prob(self, value: Any) -> Any:
        if self._validate_args:
            self._validate_sample(value)
        z = (value - self.loc) / self.scale
        flat, c = self._flat()
        y = 1 / c + 1
        rest = where(y == 0, 0.0 * z, y * (c * z).log1p())
        return -self.scale.log() - where(flat, z, rest)

    def log_survival_function(self, value: Any) -> Any:
        """log(1 - cdf(value))."""
        if self._validate_args:
            self._validate_sample(value)
        z = (value - self.loc) / self.scale
        flat, c = self._flat()
        return where(flat, -z, -(c * z).log1p() / c)

    def log_cdf(self, value: Any) -> Any:
        """log(cdf(value))."""
        return (-self.log_survival_function(value).exp()).log1p()

    def cdf(self, value: Any) -> Any:
        return self.log_cdf(value).exp()

    def icdf(self, value: Any) -> Any:
        flat, c = self._flat()
        logu = (-value).log1p()
        rest = self.loc + self.scale / c * (-c * logu).expm1()
        return where(flat, self.loc - self.scale * logu, rest)

    def entropy(self) -> Any:
        return self.scale.log() + self.concentration + 1


__all__ = ["GeneralizedPareto"]
