"""Special functions against published values and identities, their derivatives against finite
differences; the functions that cut and count against small cases worked by hand."""

import math

import numpy as np
import pytest

import graphc as torch
from graphc.autograd import gradcheck, gradgradcheck

S = torch.special


def at(fn, *xs):
    return fn(*[torch.tensor(x, dtype=torch.float64) for x in xs]).item()


# Abramowitz and Stegun (1964), and the constants that the functions define
VALUES = [
    (S.zeta, (2.0, 1.0), math.pi**2 / 6),
    (S.zeta, (4.0, 1.0), math.pi**4 / 90),
    (S.psi, (1.0,), -0.57721566490153286),
    (lambda x: S.polygamma(1, x), (1.0,), math.pi**2 / 6),
    (lambda x: S.polygamma(2, x), (1.0,), -2.4041138063191886),
    (S.gammaln, (0.5,), math.log(math.pi) / 2),
    (S.i0, (1.0,), 1.2660658777520084),
    (S.i1, (1.0,), 0.56515910399248503),
    (S.erfinv, (0.5,), 0.47693627620446987),
    (S.ndtri, (0.975,), 1.9599639845400545),
    (S.ndtr, (1.9599639845400545,), 0.975),
    (S.log_ndtr, (-40.0,), -804.60844201375379),
    (S.erfcx, (10.0,), 0.056140992743822586),
    (S.gammainc, (1.0, 2.0), 1 - math.exp(-2)),
    (S.gammaincc, (3.0, 2.0), 5 * math.exp(-2)),
    (S.entr, (0.5,), math.log(2) / 2),
    (torch.sinc, (0.5,), 2 / math.pi),
    (torch.logaddexp2, (3.0, 3.0), 4.0),
    (torch.asinh, (1.0,), math.log(1 + math.sqrt(2))),
    (lambda x: torch.mvlgamma(x, 2), (2.0,), math.log(math.pi / 2)),
]


@pytest.mark.parametrize("k", range(len(VALUES)))
def test_values(k):
    fn, xs, want = VALUES[k]
    assert math.isclose(at(fn, *xs), want, rel_tol=1e-14), (at(fn, *xs), want)


CASES = {
    "erfcx": (S.erfcx, (-1.5, 0.3, 2.0)),
    "log_ndtr": (S.log_ndtr, (-5.0, 0.3, 2.0)),
    "entr": (S.entr, (0.2, 1.5)),
    "polygamma": (lambda a: torch.polygamma(2, a), (0.7, 1.5)),
    "mvlgamma": (lambda a: torch.mvlgamma(a, 2), (1.7, 2.5)),
    "i0e": (S.i0e, (0.7, 2.5)),
    "ndtri": (S.ndtri, (0.2, 0.7)),
    "sinc": (torch.sinc, (0.2, 0.7)),
    "logaddexp2": (lambda a: torch.logaddexp2(a, a * a), (0.2, 0.7)),
    "gammainc": (lambda a: S.gammainc(torch.full_like(a, 2.0), a), (0.2, 1.7)),
    "renorm": (lambda a: torch.renorm(a.reshape(2, 2), 2, 0, 1.0), (0.2, 1.7, 3.0, 0.1)),
    "cov": (lambda a: torch.cov(a.reshape(2, 3)), (0.2, 1.7, 3.0, 0.1, 0.5, 0.9)),
    "gradient": (lambda a: torch.gradient(a, spacing=0.5), (0.2, 1.7, 3.0, 0.1)),
    "trapezoid": (lambda a: torch.trapezoid(a, a * 2), (0.2, 1.7, 3.0)),
    "logcumsumexp": (lambda a: torch.logcumsumexp(a, 0), (0.2, 1.7, -3.0)),
    "slice_scatter": (lambda a: torch.slice_scatter(a, a[:2] * 3, 0, 1, 3), (0.2, 1.7, -3.0)),
    "put": (lambda a: torch.put(a, torch.tensor([0, 2]), a[:2] * 2), (0.2, 1.7, -3.0)),
    "nanquantile": (lambda a: torch.nanquantile(a, 0.3), (0.2, 1.7, -3.0)),
}


@pytest.mark.parametrize("name", CASES)
def test_derivatives(name):
    fn, xs = CASES[name]
    a = torch.tensor(xs, dtype=torch.float64).requires_grad_()
    assert gradcheck(fn, (a,))
    assert gradgradcheck(fn, (a,), atol=1e-4)


def test_compiled_as_other_pointwise_functions():
    def f(x):
        return (S.i1(x) * torch.lgamma(x) + S.ndtri(x / 4) + S.zeta(x + 1, x)).sum()

    x = torch.rand(50) + 0.5
    compiled = torch.compile(f, fullgraph=True)
    assert torch.equal(compiled(x), f(x))
    assert len(compiled.kernels) == 1  # fused: nothing runs through Python


def test_small_cases():
    x = torch.arange(6.0).reshape(2, 3)
    assert torch.histogram(x, 3).hist.tolist() == [2, 2, 2]
    assert torch.histogramdd(x[:, :2], [2, 2]).hist.tolist() == [[1, 0], [0, 1]]
    assert torch.trapezoid(x).tolist() == [2, 8]
    assert torch.combinations(torch.arange(3)).tolist() == [[0, 1], [0, 2], [1, 2]]
    assert [t.tolist() for t in torch.unravel_index(torch.tensor([3, 5]), (2, 3))] == [
        [1, 1],
        [0, 2],
    ]
    assert torch.gcd(torch.tensor([12, -8]), torch.tensor([18, 12])).tolist() == [6, 4]
    m, e = torch.frexp(torch.tensor([10.0, -0.75]))
    assert m.tolist() == [0.625, -0.75] and e.tolist() == [4, 0] and e.dtype is torch.int32
    assert torch.index_reduce(x, 0, torch.tensor([0, 0]), x, "amax")[0].tolist() == [3, 4, 5]
    assert np.allclose(torch.cov(x).numpy(), np.cov(x.numpy()))
    assert torch.ones(4, 2).fill_diagonal_(5, wrap=True).tolist() == [
        [5, 1],
        [1, 5],
        [1, 1],
        [5, 1],
    ]
