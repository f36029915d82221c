"""gradcheck in all its ways: right derivatives pass, a wrong one fails in the way that sees it."""

import pytest

import graphc
from graphc.autograd import gradcheck, gradgradcheck

EVERY = {
    "check_batched_grad": True,
    "check_forward_ad": True,
    "check_batched_forward_grad": True,
}


class Wrong(graphc.autograd.Function):
    """x * x with a gradient that is off by a factor, linear in the cotangent or not."""

    @staticmethod
    def forward(ctx, x, linear):
        ctx.save_for_backward(x)
        ctx.linear = linear
        return x * x

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return 2 * x * (1.5 * g if ctx.linear else g + 0.5 * (g * g - g)), None


def values(*shape, dtype=graphc.float64):
    graphc.manual_seed(0)
    return graphc.randn(*shape, dtype=dtype).requires_grad_()


@pytest.mark.parametrize(
    "fn,args",
    [
        (lambda x, y: (x @ y).tanh(), (values(2, 3), values(3, 2))),
        (lambda x: (x.exp().sum(), graphc.ones(2, dtype=graphc.float64)), (values(3),)),
        (lambda x: x * x.conj() + x.sin(), (values(3, dtype=graphc.complex128),)),
        (lambda x: x.sum(0), (values(0, 2),)),
    ],
)
def test_right_derivatives(fn, args):
    assert gradcheck(fn, args, **EVERY)
    assert gradcheck(fn, args, check_backward_ad=False, check_forward_ad=True)


def test_second_derivatives():
    x = values(3)
    ways = {"check_fwd_over_rev": True, "check_batched_grad": True}
    assert gradgradcheck(lambda x: (x**3).sum(), x, **ways)


def test_wrong_derivatives():
    x = values(3)
    wrong = {True: lambda x: Wrong.apply(x, True), False: lambda x: Wrong.apply(x, False)}
    for linear in wrong:
        # a gradient that is not linear in its cotangent is right for units, and wrong as a map
        for ways in ({}, {"check_backward_ad": False, "check_forward_ad": True}):
            expected = not linear and not ways
            found = gradcheck(wrong[linear], x, raise_exception=False, **ways)
            assert found is expected


def test_checks_that_exclude_each_other():
    x = values(2)
    for ways, text in (
        ({"check_backward_ad": False}, "at least one of check_forward_ad or check_backward_ad"),
        ({"check_backward_ad": False, "check_forward_ad": True, "check_batched_grad": True},
         "check_batched_grad=True requires check_backward_ad"),
        ({"check_batched_forward_grad": True}, "requires check_forward_ad"),
    ):  # fmt: skip
        with pytest.raises(AssertionError, match=text):
            gradcheck(lambda x: x * 2, x, **ways)
