"""Samples follow their distributions: moments and Kolmogorov's distance with derived bounds;
gradients of samples; determinism; compiled code."""

import math

import numpy as np
import pytest

import graphc
import graphc.distributions as D
from graphc.native import library
from graphc.ops import sample as samplers

from .cases import CASES

N = 20_000


def _p(x):
    return graphc.tensor(np.asarray(x, "float64"))


HEAVY = {"Cauchy", "HalfCauchy", "StudentT", "Pareto", "FisherSnedecor", "InverseGamma",
         "GeneralizedPareto"}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_moments(name):
    graphc.manual_seed(11)
    d = CASES[name](D, _p)
    x = d.sample((N,))
    assert x.shape == (N, *d.batch_shape, *d.event_shape) and not x.requires_grad
    assert d.support.check(x).all()
    try:
        mean, variance = d.mean, d.variance
    except NotImplementedError:
        return
    if name in HEAVY or name in ("VonMises", "Categorical", "Categorical-logits"):
        return  # moments that are not there, or not of the numbers themselves
    a = x.numpy()
    # six standard errors: a false alarm once in 5e8 numbers
    bound = 6 * np.sqrt(variance.numpy() / N) + 1e-12
    assert (np.abs(a.mean(0) - mean.numpy()) <= bound).all()
    # the standard error of a variance is sqrt((kurtosis - 1) / N); the sample's own stands in
    spread = a - a.mean(0)
    fourth = (spread**4).mean(0) / np.maximum((spread**2).mean(0) ** 2, 1e-300)
    error = np.sqrt(np.maximum(fourth - 1, 0) / N) * variance.numpy()
    assert (np.abs(a.var(0) - variance.numpy()) <= 8 * error + 1e-9).all()


CONTINUOUS = [
    "Normal", "LogNormal", "HalfNormal", "Uniform", "Gamma", "Chi2", "Exponential", "Laplace",
    "Cauchy", "HalfCauchy", "Gumbel", "Weibull", "Pareto", "GeneralizedPareto", "Kumaraswamy",
    "InverseGamma", "ContinuousBernoulli", "Mixture", "Transformed",
]  # fmt: skip


@pytest.mark.parametrize("name", CONTINUOUS)
def test_kolmogorovs_distance(name):
    graphc.manual_seed(12)
    d = CASES[name](D, _p)
    x = d.sample((N,))
    u = np.sort(d.cdf(x).numpy().reshape(N, -1), axis=0)
    ranks = np.arange(1, N + 1)[:, None] / N
    distance = np.maximum(np.abs(ranks - u), np.abs(ranks - 1 / N - u)).max(0)
    # P(sqrt(N) distance > t) < 2 exp(-2 t^2): 1e-9 at t = 3.28
    assert (distance * math.sqrt(N) < 3.28).all()


def test_discrete_frequencies():
    graphc.manual_seed(13)
    for name, top in (
        ("Poisson", 60),
        ("Binomial", 10),
        ("Geometric", 60),
        ("NegativeBinomial", 120),
    ):
        d = CASES[name](D, _p)
        x = d.sample((N,)).numpy()
        k = np.arange(top + 1.0)
        probs = np.exp(d.log_prob(_p(np.repeat(k[:, None], 2, 1))).numpy())
        for j in range(2):
            seen = np.array([(x[:, j] == i).sum() for i in k]) / N
            # six standard errors of a frequency, and one draw
            bound = 6 * np.sqrt(probs[:, j] * (1 - probs[:, j]) / N) + 1.5 / N
            assert (np.abs(seen - probs[:, j]) <= bound).all(), name
    d = D.Categorical(_p([0.2, 0.3, 0.5]))
    seen = np.bincount(d.sample((N,)).numpy(), minlength=3) / N
    assert (np.abs(seen - [0.2, 0.3, 0.5]) <= 6 * np.sqrt(0.25 / N)).all()


@pytest.mark.parametrize(
    "name", ["Gamma", "Beta", "Dirichlet", "Chi2", "StudentT", "InverseGamma", "FisherSnedecor"]
)
def test_gradients_through_gamma_samples(name):
    """E[dx/dp] = dE[x]/dp for the means that are known in closed form."""
    graphc.manual_seed(14)
    leaves = []

    def leaf(x):
        leaves.append(_p(x).requires_grad_())
        return leaves[-1]

    makers = {
        "Gamma": lambda: D.Gamma(leaf([0.5, 3.0]), leaf([1.0, 2.0])),
        "Beta": lambda: D.Beta(leaf([0.5, 2.0]), leaf([1.5, 3.0])),
        "Dirichlet": lambda: D.Dirichlet(leaf([0.5, 2.0, 1.0])),
        "Chi2": lambda: D.Chi2(leaf([1.0, 5.0])),
        "StudentT": lambda: D.StudentT(leaf([9.0, 7.0]), leaf([0.0, 1.0]), leaf([1.0, 0.4])),
        "InverseGamma": lambda: D.InverseGamma(leaf([5.0, 6.0]), leaf([1.0, 2.0])),
        "FisherSnedecor": lambda: D.FisherSnedecor(leaf([3.0, 5.0]), leaf([12.0, 14.0])),
    }
    d = makers[name]()
    weights = _p(np.arange(1.0, 1 + np.prod([*d.batch_shape, *d.event_shape]))).reshape(
        d.mean.shape
    )
    exact = graphc.autograd.grad(
        (d.mean * weights).sum(), leaves, allow_unused=True, retain_graph=True
    )
    batches = []
    for _ in range(40):
        x = d.rsample((500,)).mean(0)
        found = graphc.autograd.grad(
            (x * weights).sum(), leaves, allow_unused=True, retain_graph=True
        )
        batches.append([0 * e if f is None else f for e, f in zip(leaves, found)])
    for k, want in enumerate(exact):
        seen = np.stack([b[k].detach().numpy() for b in batches])
        want = np.zeros(seen.shape[1:]) if want is None else want.numpy()
        error = seen.std(0, ddof=1) / math.sqrt(len(batches))
        # t of 39 degrees of freedom: beyond 7 once in 5e7
        assert (np.abs(seen.mean(0) - want) <= 7 * error + 1e-9).all(), (name, k)


def test_the_gradient_of_a_gamma_quantile():
    """d sample / d concentration against differences of the distribution function's inverse."""
    rng = np.random.default_rng(0)
    a = rng.uniform(0.2, 20, 40)
    x = rng.gamma(a)
    got = samplers.standard_gamma_grad(graphc.tensor(a), graphc.tensor(x)).numpy()
    for i in range(40):
        want = samplers._spare_gamma_grad(a[i], x[i])
        # central differences of a step of 1e-5 a, and a density that divides their rounding
        assert got[i] == pytest.approx(want, rel=2e-5)
    # both forms agree where they meet, and the far form where it begins
    for a in (0.3, 5.0, 300.0):
        edge = a + 1
        pair = np.array([np.nextafter(edge, 0), np.nextafter(edge, 1e9)])
        y = samplers.standard_gamma_grad(
            graphc.tensor([a, a], dtype=graphc.float64), graphc.tensor(pair)
        ).numpy()
        assert y[0] == pytest.approx(y[1], rel=1e-9)
    near = graphc.tensor([0.999e6, 1.001e6], dtype=graphc.float64)
    y = samplers.standard_gamma_grad(near, near + 2 * near.sqrt()).numpy()
    assert y[0] == pytest.approx(y[1], rel=1e-5)
    # at concentration 1 and x = 1, by parts: e E1(1) + Euler's constant
    y = samplers.standard_gamma_grad(_p([1.0]), _p([1.0])).item()
    assert y == pytest.approx(math.e * 0.21938393439552029 + 0.57721566490153286, rel=1e-13)
    assert samplers.standard_gamma_grad(_p([2.0]), _p([0.0])).item() == 0
    w = graphc.tensor([2.0], requires_grad=True)
    s = samplers.standard_gamma(w, samplers.words((1,)))
    (g,) = graphc.autograd.grad(s.sum(), [w], create_graph=True)
    with pytest.raises(RuntimeError, match="_standard_gamma_grad is not implemented"):
        g.sum().backward()


def test_samples_are_deterministic():
    for name in ("Gamma", "Poisson", "Binomial", "Beta", "Multinomial"):
        runs = []
        for threads in (1, 2):
            graphc.set_num_threads(threads)
            graphc.manual_seed(7)
            runs.append(CASES[name](D, _p).sample((3000,)).numpy().tobytes())
        graphc.set_num_threads(2)
        assert runs[0] == runs[1], name
    assert (
        samplers.standard_gamma(_p([math.nan, -1.0, 0.0]), samplers.words((3,)))[:2].isnan().all()
    )
    tiny = samplers.standard_gamma(graphc.full((100,), 1e-3), samplers.words((100,)))
    assert (tiny > 0).all()
    with pytest.raises(RuntimeError, match="must be floating and of one dtype"):
        samplers.binomial(graphc.ones(2), _p([0.5, 0.5]), samplers.words((2,)))


def test_compiled():
    """With validation off, densities and samples compile, in eager's bits."""
    if not library.available():
        pytest.skip("needs a C compiler")

    def step(loc, scale, c):
        n = D.Normal(loc, scale, validate_args=False)
        g = D.Gamma(c, 1.0, validate_args=False)
        x, y = n.rsample(), g.rsample()
        kl = D.kl_divergence(n, D.Normal(0.0, 1.0, validate_args=False))
        return n.log_prob(x) + g.log_prob(y) + kl + n.entropy()

    args = [graphc.tensor(v) for v in ([0.1, 0.2], [1.0, 2.0], [0.7, 3.0])]
    runs = []
    for f in (step, graphc.compile(step, fullgraph=True)):
        graphc.manual_seed(5)
        runs.append([f(*args).numpy().tobytes() for _ in range(2)])
    assert runs[0] == runs[1]


def test_a_vae_step_and_a_policy_gradient():
    mu = graphc.zeros(4, requires_grad=True)
    log_std = graphc.zeros(4, requires_grad=True)
    q = D.Independent(D.Normal(mu, log_std.exp()), 1)
    p = D.Independent(D.Normal(graphc.zeros(4), graphc.ones(4)), 1)
    z = q.rsample()
    loss = (z**2).sum() + D.kl_divergence(q, p)
    loss.backward()
    # dz/dmu = 1: 2 z; at mu = 0, sigma = 1 the divergence is at its minimum
    assert graphc.allclose(mu.grad, 2 * z.detach())
    logits = graphc.zeros(3, requires_grad=True)
    m = D.Categorical(logits=logits)
    action = m.sample()
    (-m.log_prob(action) * 2.0).backward()
    want = graphc.full((3,), 2 / 3)
    want[action] -= 2.0
    assert graphc.allclose(logits.grad, want)
