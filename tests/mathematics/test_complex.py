"""Complex numbers against definitions: arithmetic of Python's complex, PyTorch's convention of
gradients, finite differences, compiled programs, views of parts."""

import cmath

import numpy as np
import pytest

import graphc as torch
from graphc.autograd import gradcheck, gradgradcheck

POINTS = [1 + 2j, -0.5 + 0.25j, 3 - 4j, -2 - 1e-3j, 0.3j, 1e-4 + 1e-4j, 0.9 - 0.1j]


def numbers(*shape, seed=0):
    rng = np.random.default_rng(seed)
    return torch.tensor(rng.standard_normal(shape) + 1j * rng.standard_normal(shape))


@pytest.mark.parametrize(
    "name",
    "exp log sqrt sin cos tan sinh cosh tanh asin acos atan asinh acosh atanh log10".split(),
)
def test_functions_are_those_of_cmath(name):
    got = getattr(torch, name)(torch.tensor(POINTS, dtype=torch.complex128)).numpy()
    want = np.array([getattr(cmath, name)(z) for z in POINTS])
    # a few roundings of each part, relative to the whole
    assert np.all(np.abs(got - want) <= 2e-15 * np.abs(want) + 1e-17), (got, want)


def test_arithmetic():
    for a in POINTS:
        for b in POINTS:
            x, y = torch.tensor([a]), torch.tensor([b])
            x, y = x.to(torch.complex128), y.to(torch.complex128)
            for op in ("__add__", "__sub__", "__mul__", "__truediv__", "__pow__"):
                got, want = getattr(x, op)(y).item(), getattr(complex(x), op)(complex(y))
                assert abs(got - want) <= 4e-14 * abs(want), (op, a, b, got, want)


def test_large_and_small_quotients_do_not_overflow():
    z = torch.tensor([1e200 + 1e200j], dtype=torch.complex128)
    assert (z / z).item() == 1
    assert torch.sqrt(z * 1e100).isfinite().all()
    assert abs((z * 1e-300).abs().item() - abs(1e-100 + 1e-100j)) <= 1e-115


def test_products_are_sums_of_products():
    a, b = numbers(3, 40), numbers(40, 2, seed=1)
    want = (a.numpy()[:, :, None] * b.numpy()[None]).sum(1)
    assert np.allclose((a @ b).numpy(), want, rtol=1e-13)


def test_gradients_follow_the_conjugate_convention():
    z = torch.tensor([3 + 4j], dtype=torch.complex128).requires_grad_()
    # the gradient of a real loss is dL/d(re) + i dL/d(im)
    for loss, want in (
        (lambda z: z.abs() ** 2, 2 * (3 + 4j)),
        (lambda z: z.real, 1),
        (lambda z: z.imag, 1j),
        (lambda z: (z * (2 - 1j)).real, (2 + 1j)),
        (lambda z: z.abs(), (3 + 4j) / 5),
        (lambda z: z.angle(), 1j * (3 + 4j) / 25),
        (lambda z: (z**2).real, 2 * (3 - 4j)),
    ):
        (g,) = torch.autograd.grad(loss(z).sum(), z)
        assert abs(g.item() - want) < 1e-12, (g, want)


def test_finite_differences():
    z, w = numbers(2, 2).requires_grad_(), numbers(2, 2, seed=2).requires_grad_()
    r = torch.tensor([[0.7, -1.2], [2.0, 0.4]], dtype=torch.float64).requires_grad_()
    for f in (
        lambda z, w, r: z * w + r,
        lambda z, w, r: (z / w) ** 3,
        lambda z, w, r: torch.polar(r.abs(), r) * z.sgn(),
        lambda z, w, r: (z @ w.mH).abs().log() + torch.view_as_real(z * w).sum(-1),
        lambda z, w, r: torch.complex(r, z.imag).cumsum(0).prod() * w.conj(),
        lambda z, w, r: torch.where(r > 0, z.sin(), w.tanh()).norm(dim=0),
    ):
        assert gradcheck(f, (z, w, r))
        assert gradgradcheck(f, (z, w, r), atol=1e-4)


def test_parts_are_views():
    z = numbers(2, 3).clone()
    z.real.fill_(1.0)
    z.imag[0] = 2.0
    assert torch.equal(z[0], torch.full((3,), 1 + 2j, dtype=torch.complex128))
    torch.view_as_real(z)[1, 1] = 7.0
    assert z[1, 1].item() == 7 + 7j
    pairs = torch.zeros(2, 2)
    torch.view_as_complex(pairs).fill_(3 - 1j)
    assert pairs.tolist() == [[3, -1], [3, -1]]


def test_a_compiled_program_gives_eager_bits():
    def step(x, y):
        z = torch.complex(x, y)
        w = (z * z.conj() + 1j).sqrt() @ z.t()
        return w.abs().sum() + torch.fft.rfft(x).imag.sum()

    compiled = torch.compile(step, fullgraph=True)
    for n in (3, 3, 5):
        x = torch.randn(n, 4, requires_grad=True)
        y = torch.randn(n, 4)
        got, want = compiled(x, y), step(x, y)
        assert torch.equal(got, want)
        (a,) = torch.autograd.grad(got, x)
        (b,) = torch.autograd.grad(want, x)
        assert torch.equal(a, b)


def test_casts_warn_where_something_is_lost():
    z = numbers(2)
    with pytest.warns(UserWarning, match="discards the imaginary part"):
        assert torch.equal(z.to(torch.float64), z.real)
    with pytest.warns(UserWarning, match="discards the imaginary part"):
        torch.zeros(2).copy_(z)
    with pytest.raises(RuntimeError, match="can't be cast to the desired output type Float"):
        torch.zeros(2).add_(z)
