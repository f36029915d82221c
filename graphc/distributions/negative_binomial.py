"""The negative binomial distribution: successes before a number of failures."""

from __future__ import annotations

from typing import Any

from ..core.modes import no_grad
from ..core.tensor import Size
from ..nn.functional import logsigmoid
from ..ops import sample as samplers
from . import constraints
from .distribution import Distribution
from .gamma import Gamma
from .utils import broadcast_all, exactly_one, lazy_property, logits_to_probs, probs_to_logits


class NegativeBinomial(Distribution):
    """NegativeBinomial(total_count, probs) or (total_count, logits=...): how many successes of
    probability probs come before total_count failures."""

    arg_constraints = {
        "total_count": constraints.greater_than_eq(0),
        "probs": constraints.half_open_interval(0.0, 1.0),
        "logits": constraints.real,
    }
    support = constraints.nonnegative_integer
    _parameters = {"total_count": 0, "probs": 0, "logits": 0}

    def __init__(
        self,
        total_count: Any,
        probs: Any = None,
        logits: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        exactly_one(probs, logits)
        if probs is not None:
            self.total_count, self.probs = broadcast_all(total_count, probs)
            self.total_count = self.total_count.type_as(self.probs)
            self._param = self.probs
        else:
            self.total_count, self.logits = broadcast_all(total_count, logits)
            self.total_count = self.total_count.type_as(self.logits)
            self._param = self.logits
        super().__init__(self._param.shape, validate_args=validate_args)

    def _expand_more(self, new: Any, batch_shape: Size) -> None:
        new._param = self._param.expand(batch_shape)

    @property
    def mean(self) -> Any:
        return self.total_count * self.logits.exp()

    @property
    def mode(self) -> Any:
        return ((self.total_count - 1) * self.logits.exp()).floor().clamp(min=0.0)

    @property
    def variance(self) -> Any:
        return self.mean / (-self.logits).sigmoid()

    @lazy_property
    def logits(self) -> Any:  # type: ignore[no-redef]
        return probs_to_logits(self.probs, is_binary=True)

    @lazy_property
    def probs(self) -> Any:  # type: ignore[no-redef]
        return logits_to_probs(self.logits, is_binary=True)

    @property
    def param_shape(self) -> Any:
        return self._param.size()

    @lazy_property
    def _gamma(self) -> Any:
        return Gamma(self.total_count, (-self.logits).exp(), validate_args=False)

    def sample(self, sample_shape: Any = Size()) -> Any:
        with no_grad():
            rate = self._gamma.sample(sample_shape)
            return samplers.poisson(rate, samplers.words(rate.shape))

    def log_prob(self, value: Any) -> Any:
        if self._validate_args:
            self._validate_sample(value)
        n = self.total_count
        unnormalized = n * logsigmoid(-self.logits) + value * logsigmoid(self.logits)
        ways = -(n + value).lgamma() + (1.0 + value).lgamma() + n.lgamma()
        ways = ways.masked_fill(n + value == 0.0, 0.0)
        return unnormalized - ways


__all__ = ["NegativeBinomial"]
