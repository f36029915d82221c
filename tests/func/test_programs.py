# ruff: noqa: B023  (the lambdas of a step are called within it)
"""Random programs with in-place writes, views and transforms inside: every nesting of derivatives
and vmap gives what plain backward passes of single elements give."""

import random

import pytest

import graphc as torch
from graphc.func import grad, hessian, jacfwd, jacrev, jvp, vmap

D = torch.float64


def program(seed: int):
    """A function of four numbers, made of two to six steps."""
    r = random.Random(seed)
    steps = [r.randrange(18) for _ in range(r.randrange(2, 7))]
    places = [r.randrange(4) for _ in range(60)]
    torch.manual_seed(seed)
    w, c = torch.randn(4, 4, dtype=D), torch.randn(4, dtype=D)

    def put(y, a, i, j, k):
        y = y * 1
        y[i] = a[j] * (y[k] * 1)
        return y

    def scaled(y, a):
        y = y.clone()
        y[1:3].mul_(a[:2])
        return y

    def copied(y, a):
        z = torch.zeros_like(y)
        z.copy_(y)
        return z * a

    def diagonal(y, a):
        m = torch.outer(y, a)
        m.diagonal().add_(y)
        return m.sum(0)

    def through_a_view(y, a):
        v = y * 1
        v.view(2, 2)[0].mul_(a[:2])
        return v

    def f(a):
        y, at = a * 1, iter(places)
        for s in steps:
            i, j, k = next(at), next(at), next(at)
            y = (
                lambda y: y * a,
                lambda y: (y @ w).tanh(),
                lambda y: y.sin() + c,
                lambda y: put(y, a, i, j, k),
                lambda y: scaled(y, a),
                lambda y: copied(y, a),
                lambda y: torch.stack([torch.zeros(4, dtype=D), y]).sum(0) * a[i],
                lambda y: y.softmax(0),
                lambda y: y.flip(0).cumsum(0),
                lambda y: y[torch.tensor([i, j, 0, 1])] * a,
                lambda y: y + grad(lambda b: (b * y).sum().sin())(a),
                lambda y: y + jvp(lambda b: (b * a).exp(), (a * 0.1,), (y,))[1],
                lambda y: vmap(lambda b: b * y.sum() + a[i])(y),
                lambda y: torch.where(y > 0, y, a * y),
                lambda y: y.view(2, 2).t().reshape(4) * y,
                lambda y: diagonal(y, a),
                lambda y: (y - y.mean()) / (y.square().sum() + 1).sqrt(),
                lambda y: through_a_view(y, a),
            )[s](y)
        return y.tanh().sum() * y[0].cos()

    return f


def check(seed: int) -> None:
    f = program(seed)
    xs, c = torch.randn(3, 4, dtype=D), torch.randn(4, dtype=D)
    gradients, hessians = [], []
    for x in xs:
        y = x.clone().requires_grad_()
        (g,) = torch.autograd.grad(f(y), y, create_graph=True)
        rows = [
            torch.autograd.grad(e, y, retain_graph=True, materialize_grads=True)[0]
            if e.requires_grad
            else torch.zeros(4, dtype=D)
            for e in g
        ]
        gradients.append(g.detach())
        hessians.append(torch.stack(rows))
    g, h = torch.stack(gradients), torch.stack(hessians)
    for name, got, want in (
        ("vmap grad", vmap(grad(f))(xs), g),
        ("grad vmap", grad(lambda xs: vmap(f)(xs).sum())(xs), g),
        ("other axes", vmap(grad(f), 1, 1)(xs.t().contiguous()).t(), g),
        ("vmap jacfwd grad", vmap(jacfwd(grad(f)))(xs), h),
        ("vmap jacrev grad", vmap(jacrev(grad(f)))(xs), h),
        ("vmap hessian", vmap(hessian(f))(xs), h),
        ("grad vmap grad", grad(lambda xs: (vmap(grad(f))(xs) * c).sum())(xs), (h.mT @ c)),
    ):
        # float64; sums in other orders, of numbers up to the largest
        error = (got - want).abs().max().item()
        assert error <= 1e-8 * (1 + want.abs().max().item()), (seed, name, error)


@pytest.mark.parametrize("seed", range(6))
def test_programs(seed):
    check(seed)


@pytest.mark.fuzz
@pytest.mark.parametrize("seed", range(100, 250))
def test_more_programs(seed):
    check(seed)


def test_writes_into_views_keep_gradients_below_vmap():
    def scaled(a):
        v = a * 1
        v[:2].mul_(a[:2])
        return v.sum()

    def squared(a):
        v = a * 1
        v.mul_(a)
        return v.sum()

    xs = torch.randn(3, 4, dtype=D)
    for f in (scaled, squared):
        want = torch.stack([grad(f)(x) for x in xs])
        assert (grad(lambda xs, f=f: vmap(f)(xs).sum())(xs) == want).all()


def test_writes_into_tensors_from_outside_are_refused():
    kept = torch.zeros(4, dtype=D)
    with pytest.raises(RuntimeError, match="vmap: inplace arithmetic"):
        vmap(lambda a: kept.add_(a))(torch.ones(2, 4, dtype=D))
    w = torch.ones(4, dtype=D)
    with pytest.raises(RuntimeError, match="would mutate a captured Tensor"):
        vmap(lambda a: grad(lambda v: kept.copy_(v * 2).sum())(w) + a)(torch.ones(2, 4, dtype=D))
