"""Mixtures of distributions of one family."""

from __future__ import annotations

from typing import Any

from ..core.modes import no_grad
from ..core.tensor import Size
from . import constraints
from .categorical import Categorical
from .distribution import Distribution


class MixtureSameFamily(Distribution):
    """A Categorical chooses among the components, which are the last batch dimension of another
    distribution. ValueError when the two do not fit."""

    arg_constraints: dict = {}  # type: ignore[assignment]

    def __init__(
        self,
        mixture_distribution: Any,
        component_distribution: Any,
        validate_args: bool | None = None,
    ) -> None:
        self._mixture_distribution = mixture_distribution
        self._component_distribution = component_distribution
        if not isinstance(mixture_distribution, Categorical):
            raise ValueError(
                " The Mixture distribution needs to be an  instance of "
                "torch.distributions.Categorical"
            )
        if not isinstance(component_distribution, Distribution):
            raise ValueError(
                "The Component distribution need to be an instance of "
                "torch.distributions.Distribution"
            )
        mixing = mixture_distribution.batch_shape
        own = component_distribution.batch_shape[:-1]
        for a, b in zip(reversed(mixing), reversed(own), strict=False):
            if a != 1 and b != 1 and a != b:
                raise ValueError(
                    f"`mixture_distribution.batch_shape` ({mixing}) is not compatible with "
                    f"`component_distribution.batch_shape`({own})"
                )
        km = mixture_distribution.logits.shape[-1]
        kc = component_distribution.batch_shape[-1]
        if km is not None and kc is not None and km != kc:
            raise ValueError(
                f"`mixture_distribution component` ({km}) does not equal "
                f"`component_distribution.batch_shape[-1]` ({kc})"
            )
        self._num_component = km
        event = component_distribution.event_shape
        self._event_ndims = len(event)
        super().__init__(own, event, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        batch_shape = Size(batch_shape)
        new = self._get_checked_instance(MixtureSameFamily, _instance)
        new._component_distribution = self._component_distribution.expand(
            Size((*batch_shape, self._num_component))
        )
        new._mixture_distribution = self._mixture_distribution.expand(batch_shape)
        new._num_component = self._num_component
        new._event_ndims = self._event_ndims
        Distribution.__init__(new, batch_shape, self._event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    @constraints.dependent_property
    def support(self) -> Any:
        return constraints.MixtureSameFamilyConstraint(self._component_distribution.support)

    @property
    def mixture_distribution(self) -> Any:
        """What chooses the component."""
        return self._mixture_distribution

    @property
    def component_distribution(self) -> Any:
        """The components."""
        return self._component_distribution

    def _pad_mixture(self, x: Any) -> Any:
        more = len(self.batch_shape) - len(self.mixture_distribution.batch_shape)
        shape = x.shape
        return x.reshape((*shape[:-1], *[1] * more, *shape[-1:], *[1] * self._event_ndims))

    @property
    def mean(self) -> Any:
        probs = self._pad_mixture(self.mixture_distribution.probs)
        return (probs * self.component_distribution.mean).sum(-1 - self._event_ndims)

    @property
    def variance(self) -> Any:
        probs = self._pad_mixture(self.mixture_distribution.probs)
        axis = -1 - self._event_ndims
        within = (probs * self.component_distribution.variance).sum(axis)
        off = self.component_distribution.mean - self.mean.unsqueeze(axis)
        return within + (probs * off.pow(2)).sum(axis)

    def cdf(self, x: Any) -> Any:
        below = self.component_distribution.cdf(self._pad(x))
        return (below * self.mixture_distribution.probs).sum(-1)

    def log_prob(self, x: Any) -> Any:
        if self._validate_args:
            self._validate_sample(x)
        own = self.component_distribution.log_prob(self._pad(x))
        mixing = self.mixture_distribution.logits.log_softmax(dim=-1)
        return (own + mixing).logsumexp(dim=-1)

    def sample(self, sample_shape: Any = Size()) -> Any:
        with no_grad():
            n, batch = len(Size(sample_shape)), len(self.batch_shape)
            axis, event = n + batch, self.event_shape
            chosen = self.mixture_distribution.sample(sample_shape)
            comp = self.component_distribution.sample(sample_shape)
            shape = (*chosen.shape, *[1] * (len(event) + 1))
            chosen = chosen.reshape(shape)
            chosen = chosen.expand((*comp.shape[:axis], 1, *event))
            return comp.gather(axis, chosen).squeeze(axis)

    def _pad(self, x: Any) -> Any:
        return x.unsqueeze(-1 - self._event_ndims)

    def __repr__(self) -> str:
        return (
            f"MixtureSameFamily(\n  {self.mixture_distribution},\n  {self.component_distribution})"
        )


__all__ = ["MixtureSameFamily"]
