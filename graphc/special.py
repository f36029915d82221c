"""`graphc.special`: error functions, gamma, zeta and Bessel functions, the normal distribution.
Functions of reals take integers as the default floating dtype. Source:
https://pytorch.org/docs/stable/special.html"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from . import algebra, functional
from .base import dtypes, entry
from .core.tensor import Tensor
from .creation import as_tensor
from .ops import pointwise
from .ops import special as ops
from .ops.pointwise import cast
from .out import into


def _float(x: Any) -> Tensor:
    """x as a tensor of a floating or complex dtype."""
    t = x if isinstance(x, Tensor) else as_tensor(x)
    return t if t.dtype.category >= dtypes.FLOAT else cast(t, dtypes.get_default_dtype())


def _unary(op: Any, name: str = "") -> Callable:
    def fn(input: Tensor, *, out: Any = None) -> Tensor:
        return into(out, op(input))

    fn.__name__ = fn.__qualname__ = name or op.name
    fn.__doc__ = op.doc or f"Elementwise {fn.__name__}; see torch.special.{fn.__name__}."
    return fn


def _one_tensor(name: str, *xs: Any) -> None:
    if not any(isinstance(x, Tensor) for x in xs):
        kinds = ", ".join(type(x).__name__ for x in xs)
        raise TypeError(
            f"special_{name}() received an invalid combination of arguments - got ({kinds}), but "
            "expected one of:\n * (Tensor input, Tensor other, *, Tensor out = None)\n * (Number "
            "self, Tensor other, *, Tensor out = None)\n * (Tensor input, Number other, *, Tensor "
            "out = None)\n"
        )


def _check_tensors(name: str, **given: Any) -> None:
    for at, (word, x) in enumerate(given.items(), 1):
        if not isinstance(x, Tensor):
            raise TypeError(
                f"{name}(): argument '{word}' (position {at}) must be Tensor, not "
                f"{type(x).__name__}"
            )


def _binary(op: Any, numbers: bool = False) -> Callable:
    def fn(input: Any, other: Any, *, out: Any = None) -> Tensor:
        if numbers:
            _one_tensor(op.name, input, other)
        else:
            _check_tensors(op.name, input=input, other=other)
        return into(out, op(input, other))

    fn.__name__ = fn.__qualname__ = op.name
    fn.__doc__ = op.doc or f"Elementwise {op.name} with broadcasting."
    return fn


asinh, acosh, atanh = _unary(ops.asinh), _unary(ops.acosh), _unary(ops.atanh)
erfinv, erfcx, ndtri = _unary(ops.erfinv), _unary(ops.erfcx), _unary(ops.ndtri)
lgamma, digamma = _unary(ops.lgamma), _unary(ops.digamma)
gammaln, psi = _unary(ops.lgamma, "gammaln"), _unary(ops.digamma, "psi")
i0, i0e, i1, i1e = _unary(ops.i0), _unary(ops.i0e), _unary(ops.i1), _unary(ops.i1e)
erf, erfc = _unary(pointwise.erf), _unary(pointwise.erfc)
exp2, expm1, log1p = _unary(pointwise.exp2), _unary(pointwise.expm1), _unary(pointwise.log1p)
expit = _unary(pointwise.sigmoid, "expit")
igamma, igammac = _binary(ops.igamma), _binary(ops.igammac)
gammainc, gammaincc = igamma, igammac
zeta, nextafter = _binary(ops.zeta, numbers=True), _binary(ops.nextafter)
gcd, lcm = _binary(ops.gcd), _binary(ops.lcm)
arcsinh, arccosh, arctanh = asinh, acosh, atanh
softmax, log_softmax = functional.softmax, functional.log_softmax
logsumexp, xlogy = functional.logsumexp, algebra.xlogy


def round(input: Tensor, *, decimals: int = 0, out: Any = None) -> Tensor:
    """Nearest number with so many decimals, halves to even."""
    if decimals == 0 and input.dtype.category <= dtypes.INT:
        raise NotImplementedError(f"\"round_vml_cpu\" not implemented for '{input.dtype.title}'")
    return functional.round(input, decimals=decimals, out=out)


def logit(input: Tensor, eps: float | None = None, *, out: Any = None) -> Tensor:
    """log(x / (1 - x)), of x limited to [eps, 1 - eps] when eps is given."""
    return algebra.logit(_float(input), eps, out=out)


def polygamma(n: int, input: Tensor, *, out: Any = None) -> Tensor:
    """The n-th derivative of digamma. RuntimeError for negative n."""
    if n < 0:
        raise RuntimeError("polygamma(n, x) does not support negative n.")
    return into(out, ops.polygamma(int(n), _float(input)))


def multigammaln(input: Tensor, p: int, *, out: Any = None) -> Tensor:
    """The logarithm of the multivariate gamma function of dimension p."""
    if p < 1:
        raise RuntimeError("p has to be greater than or equal to 1")
    x = _float(input)
    y = ops.lgamma(x)
    for j in range(1, p):
        y = y + ops.lgamma(x - j / 2)
    return into(out, y + p * (p - 1) / 4 * math.log(math.pi))


mvlgamma = multigammaln


def entr(input: Tensor, *, out: Any = None) -> Tensor:
    """-x log x; 0 at 0 and -inf below."""
    x = _float(input)
    good = x > 0
    y = -x * pointwise.log(pointwise.where(good, x, 1.0))
    y = pointwise.where(x == 0, 0.0, pointwise.where(x < 0, -math.inf, y))
    return into(out, y)


def xlog1py(input: Any, other: Any, *, out: Any = None) -> Tensor:
    """input * log1p(other); 0 where input is 0 (nan where other is nan)."""
    _one_tensor("xlog1py", input, other)
    x, y = _float(input), _float(other)
    zero = pointwise.logical_and(x == 0, pointwise.logical_not(pointwise.isnan(y)))
    return into(out, pointwise.where(zero, 0.0, x * pointwise.log1p(pointwise.where(zero, 0.0, y))))


def ndtr(input: Tensor, *, out: Any = None) -> Tensor:
    """The normal distribution function."""
    return into(out, pointwise.erfc(_float(input) * -math.sqrt(0.5)) * 0.5)


def log_ndtr(input: Tensor, *, out: Any = None) -> Tensor:
    """The logarithm of ndtr, right in the far left tail, too."""
    x = _float(input)
    left = x < -1
    t = pointwise.where(left, x, -1.0) * -math.sqrt(0.5)
    tail = pointwise.log(ops.erfcx(t) * 0.5) - t * t
    rest = pointwise.where(left, 0.0, x)
    return into(
        out,
        pointwise.where(left, tail, pointwise.log1p(pointwise.erfc(rest * math.sqrt(0.5)) * -0.5)),
    )


def sinc(input: Tensor, *, out: Any = None) -> Tensor:
    """sin(pi x) / (pi x); 1 at 0."""
    x = _float(input) * math.pi
    zero = x == 0
    safe = pointwise.where(zero, 1.0, x)
    return into(out, pointwise.where(zero, 1.0, pointwise.sin(safe) / safe))


def logaddexp2(input: Tensor, other: Tensor, *, out: Any = None) -> Tensor:
    """log2(2 ** input + 2 ** other), computed stably."""
    x, y = _float(input), _float(other)
    top = pointwise.maximum(x, y)
    same = x == y  # also both inf: their difference would be nan
    gap = pointwise.where(same, 0.0, pointwise.abs(x - y))
    return into(out, top + pointwise.log1p(pointwise.exp2(-gap)) * (1 / math.log(2)))


def ldexp(input: Tensor, other: Tensor, *, out: Any = None) -> Tensor:
    """input * 2 ** other."""
    _check_tensors("ldexp", input=input, other=other)
    return into(out, input * pointwise.exp2(_float(other)))


return_frexp = functional._return_type("frexp", "mantissa", "exponent")


def frexp(input: Tensor, *, out: Any = None) -> Any:
    """(mantissa, int32 exponent) with input = mantissa * 2 ** exponent."""
    m = ops.frexp_mantissa(input)
    e = cast(ops.frexp_exponent(input.detach()), dtypes.int32)  # type: ignore[attr-defined]
    if out is not None:
        return return_frexp(into(out[0], m), into(out[1], e))
    return return_frexp(m, e)


def isposinf(input: Tensor, *, out: Any = None) -> Tensor:
    """Whether elements are inf."""
    return into(out, _infinite("isposinf", input, math.inf))


def isneginf(input: Tensor, *, out: Any = None) -> Tensor:
    """Whether elements are -inf."""
    return into(out, _infinite("isneginf", input, -math.inf))


def _infinite(name: str, x: Tensor, what: float) -> Tensor:
    if x.dtype.is_complex:
        raise RuntimeError(f"{name} does not support complex inputs.")
    if not x.dtype.is_floating_point:
        return pointwise.ne(x, x)
    return x == what


FUNCTIONS = (
    "asinh",
    "acosh",
    "atanh",
    "arcsinh",
    "arccosh",
    "arctanh",
    "erfinv",
    "lgamma",
    "digamma",
    "polygamma",
    "mvlgamma",
    "i0",
    "igamma",
    "igammac",
    "logit",
    "sinc",
    "logaddexp2",
    "ldexp",
    "frexp",
    "nextafter",
    "gcd",
    "lcm",
    "isposinf",
    "isneginf",
)
METHODS = tuple(n for n in FUNCTIONS if n != "polygamma")
INPLACE = tuple(n for n in METHODS if n not in ("frexp", "isposinf", "isneginf"))


entry.wrap(__name__, globals())
