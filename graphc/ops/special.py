"""Special functions, one record each; the scalar functions are the runtime's (gc_math_special.h,
gc_math_gamma.h, which state their errors). Source of semantics:
https://pytorch.org/docs/stable/special.html"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..base import dtypes
from ..core.tensor import Tensor
from ..ir.op import Make, Sample
from .define import binary, pointwise, unary
from .pointwise import _int_rule, where, zero

_TWO = ("input", "other")


def _few(lo: float, hi: float) -> Any:
    """A handful of samples: both dtypes, a layout, special values."""
    return lambda: [
        s for i, s in enumerate(unary(lo, hi)()) if i in (0, 1, 2, 6, 10) or s.inputs[0].values
    ]


def _pairs(lo: float, hi: float, other_lo: float, grad: bool = True) -> Any:
    kinds = ("float32", "float64")
    return lambda: [
        s
        for i, s in enumerate(binary(lo, hi, kinds, grad, False, other_lo, None)())
        if i in (0, 1, 5, 10)
    ]


asinh = pointwise(
    "asinh",
    out="float",
    complex=np.arcsinh,
    vjp=[lambda g, input: g * (input * input + 1).rsqrt()],
    samples=_few(-3, 3),
)
acosh = pointwise(
    "acosh",
    out="float",
    complex=np.arccosh,
    vjp=[lambda g, input: g / ((input - 1).sqrt() * (input + 1).sqrt())],
    samples=_few(1.2, 4),
)
atanh = pointwise(
    "atanh",
    out="float",
    complex=np.arctanh,
    vjp=[lambda g, input: g / (1 - input * input)],
    samples=_few(-0.9, 0.9),
)
erfinv = pointwise(
    "erfinv",
    out="float",
    vjp=[lambda g, out: g * ((out * out).exp() * (math.sqrt(math.pi) / 2))],
    samples=_few(-0.9, 0.9),
)
lgamma = pointwise(
    "lgamma",
    out="float",
    vjp=[lambda g, input: g * digamma(input)],
    samples=_few(0.3, 4),
    doc="log |gamma(x)|",
)
digamma = pointwise(
    "digamma",
    out="float",
    vjp=[lambda g, input: g * polygamma(1, input)],
    samples=_few(0.3, 4),
    doc="The derivative of log gamma.",
)
i0 = pointwise("i0", out="float", vjp=[lambda g, input: g * i1(input)], samples=_few(-3, 3))
i0e = pointwise(
    "i0e",
    out="float",
    vjp=[lambda g, input, out: g * (i1e(input) - input.sign() * out)],
    samples=_few(-3, 3),
)


def _over(y: Tensor, x: Tensor) -> Tensor:
    """i1(x) / x, 1/2 at 0."""
    zero = x == 0
    return where(zero, 0.5, y / where(zero, 1.0, x))


i1 = pointwise(
    "i1",
    out="float",
    vjp=[lambda g, input, out: g * (i0(input) - _over(out, input))],
    samples=_few(0.2, 3),
)
i1e = pointwise(
    "i1e",
    out="float",
    vjp=[
        lambda g, input, out: g * (i0e(input) - input.sign() * out - _over(out, input)),
    ],
    samples=_few(0.2, 3),
)
erfcx = pointwise(
    "erfcx",
    out="float",
    vjp=[lambda g, input, out: g * (2 * input * out - 2 / math.sqrt(math.pi))],
    samples=_few(-2, 3),
    doc="exp(x * x) * erfc(x)",
)
ndtri = pointwise(
    "ndtri",
    out="float",
    vjp=[lambda g, out: g * ((out * out / 2).exp() * math.sqrt(2 * math.pi))],
    samples=_few(0.1, 0.9),
    doc="The inverse of the normal distribution function.",
)


def _missing(name: str) -> Any:
    def vjp(g: Tensor) -> Tensor:
        raise NotImplementedError(f"the derivative for '{name}' is not implemented.")

    return vjp


zeta = pointwise(
    "zeta",
    inputs=_TWO,
    out="float",
    vjp=[
        _missing("zeta"),
        lambda g, input, other: g * -(input * zeta(input + 1, other)),
    ],
    samples=_pairs(1.5, 6, 0.5, grad=False),
    doc="Hurwitz' zeta function: the sum of (other + k) ** -input over k >= 0.",
)


def polygamma(n: int, x: Tensor) -> Tensor:
    """The n-th derivative of digamma."""
    if n == 0:
        return digamma(x)
    sign = -1.0 if n % 2 == 0 else 1.0
    return zeta(float(n + 1), x) * (sign * math.factorial(n))


def _gamma_slope(g: Tensor, input: Any, other: Any) -> Tensor:
    return g * ((input - 1) * other.log() - other - lgamma(input)).exp()


igamma = pointwise(
    "igamma",
    inputs=_TWO,
    out="float",
    vjp=[_missing("igamma: input"), _gamma_slope],
    samples=_pairs(0.5, 6, 0.5, grad=False),
    doc="The lower incomplete gamma function of order input, over gamma(input).",
)
igammac = pointwise(
    "igammac",
    inputs=_TWO,
    out="float",
    vjp=[_missing("igammac: input"), lambda g, input, other: -_gamma_slope(g, input, other)],
    samples=_pairs(0.5, 6, 0.5, grad=False),
    doc="1 - igamma, computed where that would cancel.",
)


def _nextafter_rule(keys: tuple) -> Any:
    d = dtypes.result_of_keys(keys)
    if not d.is_floating_point:
        raise NotImplementedError(f"\"nextafter_cpu\" not implemented for '{d.title}'")
    return (d, d), d


nextafter = pointwise(
    "nextafter",
    inputs=_TWO,
    out=_nextafter_rule,
    vjp=None,
    samples=_pairs(-2, 2, -2, grad=False),
    doc="The next number from input towards other.",
)


def _divisors(name: str) -> Any:
    kinds = ("int64", "int32", "uint8")
    return pointwise(
        name,
        inputs=_TWO,
        out=_int_rule(name, 2, False),
        samples=lambda: [
            Sample((Make((3, 4), d, 0, 40), Make((4,), d, 0, 40)), grad=False) for d in kinds
        ],
    )


gcd, lcm = _divisors("gcd"), _divisors("lcm")


def _frexp_samples() -> list[Sample]:
    return [Sample(s.inputs, s.attrs, grad=False) for s in _few(-30, 30)()]


def _frexp_rule(keys: tuple) -> Any:
    d = dtypes.result_of_keys(keys)
    if not d.is_floating_point:
        raise RuntimeError("torch.frexp() only supports floating-point dtypes")
    return (d,), d


frexp_mantissa = pointwise(
    "frexp_mantissa",
    out=_frexp_rule,
    vjp=[lambda g, input: g / ldexp_factor(input)],
    samples=_frexp_samples,
    backward_name="FrexpBackward0",
)
frexp_exponent = pointwise(
    "frexp_exponent", out=_frexp_rule, vjp=[zero], samples=_frexp_samples
)


def ldexp_factor(x: Tensor) -> Tensor:
    """2 to the power of x's binary exponent."""
    return frexp_exponent(x).exp2()
