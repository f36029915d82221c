"""Exponential families: distributions with density h(x) exp(t(x) . eta - F(eta))."""

from __future__ import annotations

from typing import Any

from ..autograd import grad
from .distribution import Distribution


class ExponentialFamily(Distribution):
    """A distribution with natural parameters, whose entropy follows from its log-normalizer's
    gradient (Nielsen & Nock 2010)."""

    @property
    def _natural_params(self) -> tuple:
        """eta."""
        raise NotImplementedError

    def _log_normalizer(self, *natural_params: Any) -> Any:
        """F(eta)."""
        raise NotImplementedError

    @property
    def _mean_carrier_measure(self) -> Any:
        """The mean of log h(x)."""
        raise NotImplementedError

    def entropy(self) -> Any:
        result = -self._mean_carrier_measure
        params = [p.detach().requires_grad_() for p in self._natural_params]
        normalizer = self._log_normalizer(*params)
        gradients = grad(normalizer.sum(), params, create_graph=True)
        result = result + normalizer
        for p, g in zip(params, gradients, strict=True):
            part = p * g
            if self.event_shape:
                part = part.reshape((*self._batch_shape, -1)).sum(-1)
            result = result - part
        return result


__all__ = ["ExponentialFamily"]
