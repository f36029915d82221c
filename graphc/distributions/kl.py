"""Kullback-Leibler divergences: takes two distributions, gives E_p[log p - log q].

Pairs of one family have a closed form each; pairs of two families follow from p's entropy and the
mean of log q under p. Invariant: where p reaches beyond q's support the divergence is inf.
https://docs.pytorch.org/docs/stable/distributions.html#module-torch.distributions.kl
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

from ..autograd import grad
from ..functional import where
from ..ir.types import broadcast_shapes
from ..linalg import solve_triangular
from ..nn.functional import softplus
from .bernoulli import Bernoulli
from .beta import Beta
from .binomial import Binomial
from .categorical import Categorical
from .cauchy import Cauchy
from .continuous_bernoulli import ContinuousBernoulli
from .dirichlet import Dirichlet
from .distribution import Distribution
from .exp_family import ExponentialFamily
from .exponential import Exponential
from .gamma import Gamma
from .geometric import Geometric
from .gumbel import Gumbel
from .half_normal import HalfNormal
from .independent import Independent
from .laplace import Laplace
from .lowrank_multivariate_normal import LowRankMultivariateNormal
from .multivariate_normal import MultivariateNormal, mahalanobis
from .normal import Normal
from .one_hot_categorical import OneHotCategorical
from .pareto import Pareto
from .poisson import Poisson
from .transformed_distribution import TransformedDistribution
from .uniform import Uniform
from .utils import euler_constant, sum_rightmost

_registry: dict[tuple[type, type], Callable] = {}
_found: dict[tuple[type, type], Callable | None] = {}


def register_kl(type_p: type, type_q: type) -> Callable:
    """A decorator for the function that computes the divergence of two classes of distributions.
    TypeError for what are none."""
    for name, kind in (("type_p", type_p), ("type_q", type_q)):
        if not isinstance(kind, type) or not issubclass(kind, Distribution):
            raise TypeError(f"Expected {name} to be a Distribution subclass but got {kind}")

    def register(fun: Callable) -> Callable:
        _registry[type_p, type_q] = fun
        _found.clear()
        return fun

    return register


def _dispatch(type_p: type, type_q: type) -> Callable | None:
    """The function of the closest classes, by p first; a warning where q would choose another."""
    matches = [(a, b) for a, b in _registry if issubclass(type_p, a) and issubclass(type_q, b)]
    if not matches:
        return None

    def far(pair: tuple) -> tuple:
        return type_p.__mro__.index(pair[0]), type_q.__mro__.index(pair[1])

    left = min(matches, key=far)
    right = min(matches, key=lambda pair: far(pair)[::-1])
    if _registry[left] is not _registry[right]:
        warnings.warn(
            f"Ambiguous kl_divergence({type_p.__name__}, {type_q.__name__}). Please register_kl("
            f"{left[0].__name__}, {right[1].__name__})",
            RuntimeWarning,
            stacklevel=3,
        )
    return _registry[left]


def kl_divergence(p: Distribution, q: Distribution) -> Any:
    """The divergence of p from q, of batch shape. NotImplementedError for pairs without a form."""
    key = type(p), type(q)
    if key not in _found:
        _found[key] = _dispatch(*key)
    fun = _found[key]
    if fun is None:
        raise NotImplementedError(
            f"No KL(p || q) is implemented for p type {p.__class__.__name__} and q type "
            f"{q.__class__.__name__}"
        )
    return fun(p, q)


def _several(kinds: tuple, q: type) -> Callable:
    """A decorator that registers one function for several classes of p."""

    def register(fun: Callable) -> Callable:
        for kind in kinds:
            register_kl(kind, q)(fun)
        return fun

    return register


# ---------------------------------------------------------------- one family


@register_kl(Bernoulli, Bernoulli)
def _bernoulli(p: Any, q: Any) -> Any:
    one = p.probs * (softplus(-q.logits) - softplus(-p.logits))
    one = where(p.probs == 0, 0.0, where(q.probs == 0, math.inf, one))
    zero = (1 - p.probs) * (softplus(q.logits) - softplus(p.logits))
    return one + where(p.probs == 1, 0.0, where(q.probs == 1, math.inf, zero))


@register_kl(Beta, Beta)
def _beta(p: Any, q: Any) -> Any:
    return _dirichlet(p._dirichlet, q._dirichlet)


@register_kl(Binomial, Binomial)
def _binomial(p: Any, q: Any) -> Any:
    if bool((p.total_count < q.total_count).any()):
        raise NotImplementedError(
            "KL between Binomials where q.total_count > p.total_count is not implemented"
        )
    kl = p.total_count * (p.probs * (p.logits - q.logits) + (-p.probs).log1p() - (-q.probs).log1p())
    return where(p.total_count > q.total_count, math.inf, kl)


@register_kl(Categorical, Categorical)
def _categorical(p: Any, q: Any) -> Any:
    t = p.probs * (p.logits - q.logits)
    return where(p.probs == 0, 0.0, where(q.probs == 0, math.inf, t)).sum(-1)


@register_kl(OneHotCategorical, OneHotCategorical)
def _one_hot(p: Any, q: Any) -> Any:
    return _categorical(p._categorical, q._categorical)


@register_kl(Dirichlet, Dirichlet)
def _dirichlet(p: Any, q: Any) -> Any:
    a, b = p.concentration, q.concentration
    sum_a, sum_b = a.sum(-1), b.sum(-1)
    spread = a.digamma() - sum_a.digamma().unsqueeze(-1)
    return (
        sum_a.lgamma() - sum_b.lgamma() - (a.lgamma() - b.lgamma()).sum(-1)
        + ((a - b) * spread).sum(-1)
    )  # fmt: skip


@register_kl(Exponential, Exponential)
def _exponential(p: Any, q: Any) -> Any:
    ratio = q.rate / p.rate
    return -ratio.log() + ratio - 1


@register_kl(ExponentialFamily, ExponentialFamily)
def _family(p: Any, q: Any) -> Any:
    """The Bregman divergence of the log-normalizer (Nielsen & Nock 2010)."""
    if type(p) is not type(q):
        raise NotImplementedError(
            "The cross KL-divergence between different exponential families cannot "
            + " " * 28
            + "be computed using Bregman divergences"
        )
    mine = [x.detach().requires_grad_() for x in p._natural_params]
    normalizer = p._log_normalizer(*mine)
    gradients = grad(normalizer.sum(), mine, create_graph=True)
    result = q._log_normalizer(*q._natural_params) - normalizer
    for a, b, g in zip(mine, q._natural_params, gradients, strict=True):
        result = result - sum_rightmost((b - a) * g, len(q.event_shape))
    return result


@register_kl(Gamma, Gamma)
def _gamma(p: Any, q: Any) -> Any:
    return (
        q.concentration * (p.rate / q.rate).log()
        + q.concentration.lgamma()
        - p.concentration.lgamma()
        + (p.concentration - q.concentration) * p.concentration.digamma()
        + (q.rate - p.rate) * (p.concentration / p.rate)
    )


@register_kl(Gumbel, Gumbel)
def _gumbel(p: Any, q: Any) -> Any:
    ct1, ct2 = p.scale / q.scale, q.loc / q.scale
    ct3 = p.loc / q.scale
    t3 = (ct2 + (1 + ct1).lgamma() - ct3).exp()
    return -ct1.log() - ct2 + ct3 + ct1 * euler_constant + t3 - (1 + euler_constant)


@register_kl(Geometric, Geometric)
def _geometric(p: Any, q: Any) -> Any:
    return -p.entropy() - (-q.probs).log1p() / p.probs - q.logits


@register_kl(HalfNormal, HalfNormal)
def _half_normal(p: Any, q: Any) -> Any:
    return _normal(p.base_dist, q.base_dist)


@register_kl(Laplace, Laplace)
def _laplace(p: Any, q: Any) -> Any:
    ratio, off = p.scale / q.scale, (p.loc - q.loc).abs()
    return -ratio.log() + off / q.scale + ratio * (-off / p.scale).exp() - 1


@register_kl(Normal, Normal)
def _normal(p: Any, q: Any) -> Any:
    ratio = (p.scale / q.scale).pow(2)
    return 0.5 * (ratio + ((p.loc - q.loc) / q.scale).pow(2) - 1 - ratio.log())


@register_kl(Cauchy, Cauchy)
def _cauchy(p: Any, q: Any) -> Any:
    wide = ((p.scale + q.scale).pow(2) + (p.loc - q.loc).pow(2)).log()
    return wide - (4 * p.scale * q.scale).log()


@register_kl(Pareto, Pareto)
def _pareto(p: Any, q: Any) -> Any:
    ratio = q.alpha / p.alpha
    result = q.alpha * (p.scale / q.scale).log() - ratio.log() + ratio - 1
    return where(p.scale < q.scale, math.inf, result)


@register_kl(Poisson, Poisson)
def _poisson(p: Any, q: Any) -> Any:
    return p.rate * (p.rate.log() - q.rate.log()) - (p.rate - q.rate)


@register_kl(Uniform, Uniform)
def _uniform(p: Any, q: Any) -> Any:
    result = ((q.high - q.low) / (p.high - p.low)).log()
    return where((q.low > p.low) | (q.high < p.high), math.inf, result)


@register_kl(ContinuousBernoulli, ContinuousBernoulli)
def _continuous_bernoulli(p: Any, q: Any) -> Any:
    mine = p._log_norm() + (-p.probs).log1p()
    return p.mean * (p.logits - q.logits) + mine - q._log_norm() - (-q.probs).log1p()


@register_kl(TransformedDistribution, TransformedDistribution)
def _transformed(p: Any, q: Any) -> Any:
    if p.transforms != q.transforms or p.event_shape != q.event_shape:
        raise NotImplementedError
    return kl_divergence(p.base_dist, q.base_dist)


@register_kl(Independent, Independent)
def _independent(p: Any, q: Any) -> Any:
    if p.reinterpreted_batch_ndims != q.reinterpreted_batch_ndims:
        raise NotImplementedError
    return sum_rightmost(kl_divergence(p.base_dist, q.base_dist), p.reinterpreted_batch_ndims)


_NORMALS = (MultivariateNormal, LowRankMultivariateNormal)


@_several(_NORMALS, LowRankMultivariateNormal)
@_several(_NORMALS, MultivariateNormal)
def _multivariate(p: Any, q: Any) -> Any:
    if p.event_shape != q.event_shape:
        raise ValueError(
            "KL-divergence between two (Low Rank) Multivariate Normals with different event "
            "shapes cannot be computed"
        )
    a, b = p.scale_tril, q.scale_tril
    n = p.event_shape[0]
    batch = broadcast_shapes(tuple(a.shape[:-2]), tuple(b.shape[:-2]))
    inner = solve_triangular(b.expand((*batch, n, n)), a.expand((*batch, n, n)), upper=False)
    half_log_dets = [x.diagonal(dim1=-2, dim2=-1).log().sum(-1) for x in (a, b)]
    trace = inner.pow(2).sum((-2, -1))
    distance = mahalanobis(b, q.loc - p.loc)
    return half_log_dets[1] - half_log_dets[0] + 0.5 * (trace + distance - n)


# ---------------------------------------------------------------- two families
# -H(p) - E_p[log q], with the means of x, x**2, log x and exp(-x / s) under p


def _mean_log(p: Any) -> Any:
    """E[log x]."""
    if isinstance(p, Beta):
        return p.concentration1.digamma() - (p.concentration1 + p.concentration0).digamma()
    if isinstance(p, Exponential):
        return -euler_constant - p.rate.log()
    if isinstance(p, Pareto):
        return p.scale.log() + p.alpha.reciprocal()
    return (_x_log_x(p.high) - _x_log_x(p.low)) / (p.high - p.low) - 1


def _mean_exp(p: Any, s: Any) -> Any:
    """E[exp(-x / s)]."""
    if isinstance(p, Exponential):
        return p.rate * s / (p.rate * s + 1)
    if isinstance(p, Gamma):
        return (1 + (p.rate * s).reciprocal()).pow(-p.concentration)
    if isinstance(p, Normal):
        return (-p.loc / s + 0.5 * (p.scale / s).pow(2)).exp()
    return s / (p.high - p.low) * ((-p.low / s).exp() - (-p.high / s).exp())


def _x_log_x(x: Any) -> Any:
    return where(x == 0, 0.0, x * where(x == 0, 1.0, x).log())


def _beyond(p: Any, low: Any, high: Any = None) -> Any:
    """Where p's support reaches below low or above high."""
    support = p.support
    out = support.lower_bound < low
    return out if high is None else out | (support.upper_bound > high)


@_several((Beta, ContinuousBernoulli, Exponential, Gamma, Gumbel, Laplace, Pareto, Uniform), Normal)
def _to_normal(p: Any, q: Any) -> Any:
    square = p.variance + (p.mean - q.loc).pow(2)
    result = -p.entropy() + 0.5 * math.log(2 * math.pi) + q.scale.log()
    result = result + square / (2 * q.scale.pow(2))
    return where(p.alpha <= 2, math.inf, result) if isinstance(p, Pareto) else result


@_several((Beta, ContinuousBernoulli, Gamma, Pareto, Uniform), Exponential)
def _to_exponential(p: Any, q: Any) -> Any:
    result = -p.entropy() - q.rate.log() + q.rate * p.mean
    if isinstance(p, Pareto):
        return where(p.alpha <= 1, math.inf, result)
    return where(_beyond(p, 0.0), math.inf, result) if isinstance(p, Uniform) else result


@_several((Beta, Exponential, Pareto, Uniform), Gamma)
def _to_gamma(p: Any, q: Any) -> Any:
    own = q.concentration.lgamma() - q.concentration * q.rate.log()
    result = -p.entropy() + own - (q.concentration - 1) * _mean_log(p) + q.rate * p.mean
    if isinstance(p, Pareto):
        return where(p.alpha <= 1, math.inf, result)
    return where(_beyond(p, 0.0), math.inf, result) if isinstance(p, Uniform) else result


@_several((Exponential, Gamma, Normal, Uniform), Gumbel)
def _to_gumbel(p: Any, q: Any) -> Any:
    scaled = (q.loc / q.scale).exp() * _mean_exp(p, q.scale)
    return -p.entropy() + q.scale.log() - (q.loc - p.mean) / q.scale + scaled


@register_kl(Beta, Uniform)
@register_kl(ContinuousBernoulli, Uniform)
def _to_uniform(p: Any, q: Any) -> Any:
    result = -p.entropy() + (q.high - q.low).log()
    return where(_beyond(p, q.low, q.high), math.inf, result)


@register_kl(Beta, ContinuousBernoulli)
@register_kl(Uniform, ContinuousBernoulli)
def _to_continuous_bernoulli(p: Any, q: Any) -> Any:
    result = -p.entropy() - p.mean * q.logits - (-q.probs).log1p() - q._log_norm()
    return where(_beyond(p, 0.0, 1.0), math.inf, result)


@register_kl(Uniform, Beta)
def _uniform_beta(p: Any, q: Any) -> Any:
    mirrored = Uniform(1 - p.high, 1 - p.low, validate_args=False)
    a, b = q.concentration1, q.concentration0
    own = a.lgamma() + b.lgamma() - (a + b).lgamma()
    result = -p.entropy() + own - (a - 1) * _mean_log(p) - (b - 1) * _mean_log(mirrored)
    return where(_beyond(p, 0.0, 1.0), math.inf, result)


@register_kl(Uniform, Pareto)
def _uniform_pareto(p: Any, q: Any) -> Any:
    log_q = q.alpha.log() + q.alpha * q.scale.log() - (q.alpha + 1) * _mean_log(p)
    return where(_beyond(p, q.scale), math.inf, -p.entropy() - log_q)


@register_kl(Normal, Laplace)
def _normal_laplace(p: Any, q: Any) -> Any:
    off = p.loc - q.loc
    scaled = off / p.scale
    mean_off = (
        math.sqrt(2 / math.pi) * p.scale * (-0.5 * scaled.pow(2)).exp()
        + off * (math.sqrt(0.5) * scaled).erf()
    )
    return -p.entropy() + (2 * q.scale).log() + mean_off / q.scale


@register_kl(Bernoulli, Poisson)
def _bernoulli_poisson(p: Any, q: Any) -> Any:
    return -p.entropy() - (p.probs * q.rate.log() - q.rate)


def _infinite(p: Any, q: Any) -> Any:
    """p reaches beyond q's support, whatever the parameters."""
    return p.mean * 0 + math.inf if not isinstance(p, Pareto) else p.scale * 0 + math.inf


_LINE = (Gumbel, Laplace, Normal)
_several((Beta, ContinuousBernoulli, Exponential, Gamma, *_LINE), Pareto)(_infinite)
for _q in (Beta, ContinuousBernoulli, Uniform):
    _several((Exponential, Gamma, Pareto, *_LINE), _q)(_infinite)
_several(_LINE, Exponential)(_infinite)
_several(_LINE, Gamma)(_infinite)
register_kl(Poisson, Bernoulli)(_infinite)
register_kl(Poisson, Binomial)(_infinite)

__all__ = ["kl_divergence", "register_kl"]
