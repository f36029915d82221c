"""Elementwise ops. Each record: dtype rule, eager kernel (numpy where IEEE 754 fixes the result,
else the native library), VJPs in Tensor ops, lowering (by default the scalar function of the same
name), samples.
Source of semantics: https://pytorch.org/docs/stable/torch.html#pointwise-ops"""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from ..base import dtypes
from ..base.dtypes import DType
from ..core.tensor import Tensor
from ..ir.op import Make, Sample
from ..native import library
from . import complex_kernels as cx
from . import kernels
from .define import binary, pointwise, unary
from .kernels import cast as cast_kernel
from .kernels import empty_strided, native_pointwise

_INTS = ("int64", "int32", "uint8")
_BOTH = ("float32", "float64", "int64")
_TWO = ("input", "other")


def _is_tensor(x: Any) -> bool:
    return isinstance(x, Tensor)


# ---------------------------------------------------------------- lowering helpers


def _infix(name: str) -> Any:
    def lower(*args: Any) -> Any:
        from ..ir.loop import Apply

        return Apply(name, args, args[0].dtype)

    return lower


def _predicate(name: str) -> Any:
    def lower(*args: Any) -> Any:
        from ..ir.loop import Apply

        return Apply(name, args, dtypes.bool_)

    return lower


def zero(g: Tensor) -> Tensor:
    """The gradient of what is flat: zero whatever the cotangent, inf and nan included."""
    return g.new_zeros(tuple(g.shape))  # type: ignore[attr-defined]


# ---------------------------------------------------------------- arithmetic


def _sub_rule(keys: tuple) -> Any:
    d = dtypes.result_of_keys(keys)
    if d is dtypes.bool_:
        raise RuntimeError(
            "Subtraction, the `-` operator, with two bool tensors is not supported. Use the "
            "`^` or `logical_xor()` operator instead."
        )
    if any(k in (dtypes.bool_, dtypes.bool_.zero_dim, bool) for k in keys):
        raise RuntimeError(
            "Subtraction, the `-` operator, with a bool tensor is not supported. If you are trying "
            "to invert a mask, use the `~` or `logical_not()` operator instead."
        )
    return (d, d), d


def _refusing(name: str, last: int, suffix: str = "_cpu") -> Any:
    """The dtype rule "promote" for ops that PyTorch has no kernel of up to category `last`."""

    def rule(keys: tuple) -> Any:
        d = dtypes.result_of_keys(keys)
        if d.category <= last:
            raise NotImplementedError(f"\"{name}{suffix}\" not implemented for '{d.title}'")
        return (d,) * len(keys), d

    return rule


def _neg_rule(keys: tuple) -> Any:
    d = dtypes.result_of_keys(keys)
    if d is dtypes.bool_:
        raise RuntimeError(
            "Negation, the `-` operator, on a bool tensor is not supported. If you are trying "
            "to invert a mask, use the `~` or `logical_not()` operator instead."
        )
    return (d,), d


add = pointwise(
    "add",
    np.add,
    inputs=_TWO,
    complex=np.add,
    vjp=[lambda g: g, lambda g: g],
    samples=binary(),
)
sub = pointwise(
    "sub",
    np.subtract,
    complex=np.subtract,
    inputs=_TWO,
    out=_sub_rule,
    vjp=[lambda g: g, lambda g: -g],
    samples=binary(),
)
mul = pointwise(
    "mul",
    np.multiply,
    complex=cx.mul,
    inputs=_TWO,
    vjp=[lambda g, other: g * other, lambda g, input: g * input],
    samples=binary(),
)
div = pointwise(
    "div",
    np.true_divide,
    complex=cx.div,
    inputs=_TWO,
    out="float",
    vjp=[lambda g, other: g / other, lambda g, input, other: -g * ((input / other) / other)],
    samples=binary(other_lo=0.5),
)
neg = pointwise(
    "neg",
    np.negative,
    dense_out=True,  # numpy 2.4 reads wrongly where input and result have one of some strides
    out=_neg_rule,
    complex=np.negative,
    vjp=[lambda g: -g],
    samples=unary(dtypes=_BOTH),
)
def _abs_rule(keys: tuple) -> Any:
    d = dtypes.result_of_keys(keys)
    if d is dtypes.bool_:
        raise NotImplementedError(f"\"abs_cpu\" not implemented for '{d.title}'")
    return (d,), d.to_real()


abs = pointwise(
    "abs",
    np.abs,
    out=_abs_rule,
    complex=cx.modulus,
    complex_inplace=(RuntimeError, "In-place abs is not supported for complex tensors."),
    holomorphic=False,
    vjp=[lambda g, input: g * (input.sgn() if input.dtype.is_complex else input.sign())],
    samples=unary(dtypes=_BOTH),
)
_native_sign = native_pointwise("sign", 1)
sign = pointwise(
    "sign",
    lambda a: a.copy(order="K") if a.dtype == np.bool_ else _native_sign(a),
    complex=(
        NotImplementedError,
        "Unlike NumPy, torch.sign is not intended to support complex numbers. Please use "
        "torch.sgn instead.",
    ),
    vjp=[zero],
    lower=lambda x: x if x.dtype is dtypes.bool_ else _infix("sign")(x),
    samples=unary(dtypes=(*_BOTH, "bool"), grad=False),
    doc="-1, 0 or 1; nan gives 0, as PyTorch's sgn on floats does",
)


def _square_rule(keys: tuple) -> Any:
    d = dtypes.result_of_keys(keys)
    d = dtypes.int64 if d is dtypes.bool_ else d
    return (d,), d


square = pointwise(
    "square",
    lambda a: np.multiply(a, a),
    complex=cx.square,
    out=_square_rule,
    vjp=[lambda g, input: g * (2.0 * input)],
    lower=lambda x: _infix("mul")(x, x),
    samples=unary(dtypes=_BOTH),
    backward_name="PowBackward0",
)
reciprocal = pointwise(
    "reciprocal",
    lambda a: np.true_divide(a.dtype.type(1), a),
    complex=cx.one_over,
    out="float",
    vjp=[lambda g, out: -g * (out * out)],
    samples=unary(0.5, 2),
)
sqrt = pointwise(
    "sqrt",
    np.sqrt,
    complex=cx.sqrt, out="float", vjp=[lambda g, out: g / (2 * out)], samples=unary(0.1, 4)
)
rsqrt = pointwise(
    "rsqrt",
    lambda a: np.true_divide(a.dtype.type(1), np.sqrt(a)),
    complex=cx.rsqrt,
    out="float",
    vjp=[lambda g, out: -0.5 * g * (out * out * out)],
    samples=unary(0.1, 4),
)


def _pow_base(g: Tensor, input: Any, exponent: Any) -> Any:
    if _is_tensor(exponent):
        return g * (exponent * input.pow(exponent - 1)).masked_fill(exponent == 0, 0.0)
    if exponent == 0:
        return zero(g)
    if exponent == 2:
        return g * (2 * input)
    return g * (exponent * input.pow(exponent - 1))


def _pow_exponent(g: Tensor, input: Any, exponent: Any, out: Tensor) -> Any:
    base = input if _is_tensor(input) else out.new_full((), float(input))
    if out.dtype.is_complex:
        base = cast(base, out.dtype)
        exponent = exponent.real
    zero = (base == 0) & (exponent >= 0)
    return g * (out * base.log()).masked_fill(zero, 0.0)


pow = pointwise(
    "pow",
    complex=cx.power,
    out=_refusing("pow", dtypes.BOOL, ""),
    inputs=("input", "exponent"),
    vjp=[_pow_base, _pow_exponent],
    samples=binary(0.3, 2, dtypes=("float32", "float64"), other_lo=-1.5, scalar=3.0),
)


def _division(name: str, vjp: Any, samples: Any, shown: str = "") -> Any:
    """A division that fails for integer divisors of zero, also inside compiled code."""
    kernel = native_pointwise(name, 2)

    def eager(a: Any, b: Any) -> np.ndarray:
        if b.dtype.kind in "iu" and not np.all(b):
            raise RuntimeError("ZeroDivisionError")
        return kernel(a, b)

    def lower(a: Any, b: Any) -> Any:
        from ..ir.loop import Const, Require

        if b.dtype.category <= dtypes.INT and not (isinstance(b, Const) and b.value):
            b = Require(b, _predicate("ne")(b, Const(0, b.dtype)), "ZeroDivisionError")
        return _infix(name)(a, b)

    def all_samples() -> list[Sample]:
        sevens = Make((4,), "int64", values=[7, -7, 7, -7])
        return [
            *samples(),
            Sample((sevens, Make((4,), "int64", values=[2, 2, -2, -2])), grad=False),
            Sample((sevens, 3), grad=False),
            Sample((Make((2, 3), "uint8", 0, 9), Make((3,), "uint8", 1, 9)), grad=False),
            Sample(
                (sevens, Make((4,), "int64", values=[1, 0, 2, 3])),
                grad=False,
                name="zero",
                error=(RuntimeError, "ZeroDivisionError"),
            ),
        ]

    rule = _refusing(shown or name, dtypes.BOOL)
    return pointwise(name, eager, inputs=_TWO, out=rule, vjp=vjp, lower=lower, samples=all_samples)


_DIVISORS = binary(0.6, 0.9, other_lo=0.2, dtypes=("float32", "float64"), scalar=0.7)
floor_divide = _division(
    "floor_divide",
    [zero, zero],
    binary(grad=False, other_lo=1.0, scalar=0.7),
    "div_floor",
)
remainder = _division(
    "remainder", [lambda g: g, lambda g, input, other: -g * input.div(other).floor()], _DIVISORS
)
fmod = _division(
    "fmod", [lambda g: g, lambda g, input, other: -g * input.div(other).trunc()], _DIVISORS
)


# ---------------------------------------------------------------- transcendental

exp = pointwise(
    "exp",
    complex=cx.exp,
    out="float", vjp=[lambda g, out: g * out], samples=unary(-3, 3))
exp2 = pointwise(
    "exp2",
    complex=cx.exp2,
    out="float", vjp=[lambda g, out: g * (out * math.log(2))], samples=unary(-3, 3)
)
expm1 = pointwise(
    "expm1",
    complex=cx.expm1,
    out="float", vjp=[lambda g, out: g * (out + 1)], samples=unary(-2, 2))
log = pointwise(
    "log",
    complex=cx.log,
    out="float", vjp=[lambda g, input: g / input], samples=unary(0.1, 4))
log2 = pointwise(
    "log2",
    complex=cx.log2,
    out="float", vjp=[lambda g, input: g / (input * math.log(2))], samples=unary(0.1, 4)
)
log10 = pointwise(
    "log10",
    complex=cx.log10,
    out="float", vjp=[lambda g, input: g / (input * math.log(10))], samples=unary(0.1, 4)
)
log1p = pointwise(
    "log1p",
    complex=cx.log1p,
    out="float", vjp=[lambda g, input: g / (input + 1)], samples=unary(-0.5, 3)
)
sin = pointwise(
    "sin",
    complex=cx.sin,
    out="float", vjp=[lambda g, input: g * input.cos()], samples=unary(-4, 4))
cos = pointwise(
    "cos",
    complex=cx.cos,
    out="float", vjp=[lambda g, input: -g * input.sin()], samples=unary(-4, 4))
tan = pointwise(
    "tan",
    complex=cx.tan,
    out="float", vjp=[lambda g, out: g * (1 + out * out)], samples=unary(-1, 1))
asin = pointwise(
    "asin",
    complex=np.arcsin,
    out="float",
    vjp=[lambda g, input: g * (1 - input * input).rsqrt()],
    samples=unary(-0.8, 0.8),
)
acos = pointwise(
    "acos",
    complex=np.arccos,
    out="float",
    vjp=[lambda g, input: -g * (1 - input * input).rsqrt()],
    samples=unary(-0.8, 0.8),
)
atan = pointwise(
    "atan",
    complex=np.arctan,
    out="float", vjp=[lambda g, input: g / (input * input + 1)], samples=unary()
)
sinh = pointwise(
    "sinh",
    complex=cx.sinh,
    out="float", vjp=[lambda g, input: g * input.cosh()], samples=unary())
cosh = pointwise(
    "cosh",
    complex=cx.cosh,
    out="float", vjp=[lambda g, input: g * input.sinh()], samples=unary())
tanh = pointwise(
    "tanh",
    complex=cx.tanh,
    out="float", vjp=[lambda g, out: g * (1 - out * out)], samples=unary(-3, 3)
)
def _radius(input: Tensor, other: Tensor) -> Tensor:
    """The squared distance from the origin, where it is 1: PyTorch's gradient there is zero."""
    square = input * input + other * other
    return where(square == 0, 1.0, square)


atan2 = pointwise(
    "atan2",
    inputs=_TWO,
    out="float",
    vjp=[
        lambda g, input, other: g * (other / _radius(input, other)),
        lambda g, input, other: g * (-input / _radius(input, other)),
    ],
    samples=binary(0.2, 2, dtypes=("float32", "float64"), scalar=None),
)
erf = pointwise(
    "erf",
    out="float",
    vjp=[lambda g, input: g * ((-(input * input)).exp() * (2 / math.sqrt(math.pi)))],
    samples=unary(),
)
erfc = pointwise(
    "erfc",
    out="float",
    vjp=[lambda g, input: g * ((-(input * input)).exp() * (-2 / math.sqrt(math.pi)))],
    samples=unary(),
)


# ---------------------------------------------------------------- activations


def _silu_vjp(g: Tensor, input: Tensor) -> Tensor:
    s = input.sigmoid()
    return g * (s * (1 + input * (1 - s)))


def _gelu_vjp(g: Tensor, input: Tensor) -> Tensor:
    cdf = 0.5 * (1 + (input * math.sqrt(0.5)).erf())
    pdf = (input * input * -0.5).exp() * (1 / math.sqrt(2 * math.pi))
    return g * (cdf + input * pdf)


def _gelu_tanh_vjp(g: Tensor, input: Tensor) -> Tensor:
    k = math.sqrt(2 / math.pi)
    square = input * input
    t = (k * (input + 0.044715 * (square * input))).tanh()
    slope = k * (1 + (3 * 0.044715) * square)
    return g * (0.5 * (1 + t) + 0.5 * input * ((1 - t * t) * slope))


sigmoid = pointwise(
    "sigmoid",
    complex=cx.sigmoid,
    out="float", vjp=[lambda g, out: g * ((1 - out) * out)], samples=unary(-4, 4)
)
log_sigmoid = pointwise(
    "log_sigmoid", out="float", vjp=[lambda g, input: g * (-input).sigmoid()], samples=unary(-4, 4)
)
threshold_backward = pointwise(
    "threshold_backward",
    inputs=("grad_output", "output"),
    vjp=[lambda g, output: threshold_backward(g, output), None],
    samples=binary(dtypes=("float32", "float64"), special=True, scalar=None),
)
def _relu_rule(keys: tuple) -> Any:
    d = dtypes.result_of_keys(keys)
    if d is dtypes.bool_:
        raise RuntimeError("Boolean inputs not supported for relu")
    return (d,), d


relu = pointwise(
    "relu",
    out=_relu_rule,
    complex=(NotImplementedError, "clamp is not supported for complex types"),
    vjp=[lambda g, out: threshold_backward(g, out)],
    samples=unary(dtypes=_BOTH),
)
silu = pointwise("silu", out="float", vjp=[_silu_vjp], samples=unary(-4, 4))
gelu = pointwise("gelu", out="float", vjp=[_gelu_vjp], samples=unary(-4, 4))
gelu_tanh = pointwise(
    "gelu_tanh",
    out="float",
    vjp=[_gelu_tanh_vjp],
    samples=unary(-4, 4),
    backward_name="GeluBackward0",
)


# ---------------------------------------------------------------- rounding and parts

floor = pointwise(
    "floor",
    np.floor,
    complex=(NotImplementedError, "floor is not supported for complex inputs"),
    out=_refusing("floor_vml", dtypes.BOOL),
    vjp=[zero],
    samples=unary(dtypes=_BOTH, grad=False),
)
ceil = pointwise(
    "ceil",
    np.ceil,
    complex=(NotImplementedError, "ceil is not supported for complex inputs"),
    out=_refusing("ceil_vml", dtypes.BOOL),
    vjp=[zero],
    samples=unary(dtypes=_BOTH, grad=False),
)
trunc = pointwise(
    "trunc",
    np.trunc,
    complex=(NotImplementedError, "trunc is not supported for complex inputs"),
    out=_refusing("trunc_vml", dtypes.BOOL),
    vjp=[zero],
    samples=unary(dtypes=_BOTH, grad=False),
)
round = pointwise(
    "round",
    np.rint,
    native="rint",
    out=_refusing("round_vml", dtypes.BOOL),
    vjp=[zero],
    samples=unary(dtypes=_BOTH, grad=False),
)
for _op in (floor, ceil, trunc, round):  # integers are their own floor; numpy would make floats
    _float_kernel: Any = _op.eager
    _op.eager = lambda a, k=_float_kernel: k(a) if a.dtype.kind == "f" else a.copy(order="K")
    _op.lower = lambda x, n=_op.native_name: _infix(n)(x) if x.dtype.is_floating_point else x
frac = pointwise(
    "frac",
    lambda a: np.subtract(a, np.trunc(a)),
    out=_refusing("frac", dtypes.INT),
    vjp=[lambda g: g],
    lower=lambda x: _infix("sub")(x, _infix("trunc")(x)),
    samples=unary(0.1, 0.9),
)


# ---------------------------------------------------------------- extrema


def _extremum(name: str, loses: str) -> Any:
    def first(g: Tensor, input: Any, other: Any) -> Any:
        return where(input == other, g / 2, where(getattr(operator, loses)(input, other), 0.0, g))

    def second(g: Tensor, input: Any, other: Any) -> Any:
        return where(input == other, g / 2, where(getattr(operator, loses)(other, input), 0.0, g))

    return pointwise(
        name,
        inputs=_TWO,
        complex=(RuntimeError, f"{name} not implemented for complex tensors."),
        vjp=[first, second],
        samples=binary(scalar=None),
    )


import operator  # noqa: E402  (named like a module on purpose: `loses` is one of its functions)

maximum = _extremum("maximum", "lt")
minimum = _extremum("minimum", "gt")
def _extremum_but_nan(name: str, wins: str) -> Any:
    """fmax and fmin: the whole gradient goes to the first of two that are alike."""

    def kept(input: Any, other: Any) -> Any:
        return getattr(operator, wins)(input, other) | (other != other)

    return pointwise(
        name,
        inputs=_TWO,
        complex=(RuntimeError, f"{name} not implemented for complex tensors."),
        vjp=[
            lambda g, input, other: where(kept(input, other), g, 0.0),
            lambda g, input, other: where(kept(input, other), 0.0, g),
        ],
        samples=binary(scalar=None),
    )


fmax = _extremum_but_nan("fmax", "ge")
fmin = _extremum_but_nan("fmin", "le")
clamp_min = pointwise(
    "clamp_min",
    complex=(NotImplementedError, "clamp is not supported for complex types"),
    inputs=("input", "min"),
    native="maximum",
    vjp=[
        lambda g, input, min: where(input >= min, g, 0.0),
        lambda g, input, min: where(input < min, g, 0.0),
    ],
    samples=binary(scalar=0.3),
    backward_name="ClampMinBackward0",
)
clamp_max = pointwise(
    "clamp_max",
    complex=(NotImplementedError, "clamp is not supported for complex types"),
    inputs=("input", "max"),
    native="minimum",
    vjp=[
        lambda g, input, max: where(input <= max, g, 0.0),
        lambda g, input, max: where(input > max, g, 0.0),
    ],
    samples=binary(scalar=0.3),
    backward_name="ClampMaxBackward0",
)


# ---------------------------------------------------------------- comparisons, logic, bits


def _comparison(name: str, kernel: Any) -> Any:
    return pointwise(
        name,
        kernel,
        complex=kernel if name in ("eq", "ne") else None,
        inputs=_TWO,
        out="bool",
        lower=_predicate(name),
        samples=binary(grad=False, dtypes=("float32", "float64", "int64", "bool")),
    )


eq = _comparison("eq", np.equal)
ne = _comparison("ne", np.not_equal)
lt = _comparison("lt", np.less)
le = _comparison("le", np.less_equal)
gt = _comparison("gt", np.greater)
ge = _comparison("ge", np.greater_equal)


def _to_bool(x: Any) -> Any:
    from ..ir.loop import Cast

    return Cast(x, dtypes.bool_)


def _logical(name: str, kernel: Any, bits: str) -> Any:
    def lower(*args: Any) -> Any:
        return _predicate(bits)(*[_to_bool(a) for a in args])

    inputs: tuple = ("input",) if name == "logical_not" else _TWO
    make = unary if len(inputs) == 1 else binary
    return pointwise(
        name,
        kernel,
        inputs=inputs,
        out="bool",
        complex=kernel,
        lower=lower,
        samples=make(grad=False, dtypes=("float32", "int64", "bool")),
    )


logical_and = _logical("logical_and", np.logical_and, "bitwise_and")
logical_or = _logical("logical_or", np.logical_or, "bitwise_or")
logical_xor = _logical("logical_xor", np.logical_xor, "bitwise_xor")
logical_not = _logical("logical_not", np.logical_not, "logical_not")


def _int_rule(name: str, n: int, allow_bool: bool = True) -> Any:
    def rule(keys: tuple) -> Any:
        d = dtypes.result_of_keys(keys)
        if d.category >= dtypes.FLOAT or (d is dtypes.bool_ and not allow_bool):
            raise NotImplementedError(f"\"{name}_cpu\" not implemented for '{d.title}'")
        return (d,) * n, d

    return rule


def _bits(
    name: str,
    kernel: Any,
    n: int = 2,
    allow_bool: bool = True,
    lo: float = -9,
    shown: str = "",
) -> Any:
    make = unary if n == 1 else binary
    kinds = (*_INTS, "bool") if allow_bool else ("int64", "int32")
    extra = {} if n == 1 else {"scalar": None}

    def samples() -> list[Sample]:
        return [
            s
            for s in make(lo, 9, grad=False, dtypes=kinds, special=False, **extra)()
            if all(m.dtype in kinds for m in s.inputs)
        ]

    rule = _int_rule(shown or name, n, allow_bool)
    return pointwise(name, kernel, inputs=_TWO[:n], out=rule, samples=samples)


bitwise_and = _bits("bitwise_and", np.bitwise_and)
bitwise_or = _bits("bitwise_or", np.bitwise_or)
bitwise_xor = _bits("bitwise_xor", np.bitwise_xor)
bitwise_not = _bits("bitwise_not", np.invert, 1)
bitwise_left_shift = _bits("bitwise_left_shift", None, allow_bool=False, lo=0, shown="lshift")
bitwise_right_shift = _bits("bitwise_right_shift", None, allow_bool=False, lo=0, shown="rshift")


def _float_predicate(name: str, kernel: Any, of_int: bool) -> Any:
    def eager(a: Any) -> Any:
        return kernel(a) if np.asarray(a).dtype.kind in "fc" else np.full(np.shape(a), of_int)

    def lower(x: Any) -> Any:
        from ..ir.loop import Const

        return _predicate(name)(x) if x.dtype.is_floating_point else Const(of_int, dtypes.bool_)

    return pointwise(
        name,
        eager,
        out="bool",
        complex=eager,
        lower=lower,
        samples=unary(grad=False, dtypes=_BOTH),
    )


isnan = _float_predicate("isnan", np.isnan, False)
isinf = _float_predicate("isinf", np.isinf, False)
isfinite = _float_predicate("isfinite", np.isfinite, True)


# ---------------------------------------------------------------- selection and casts


def _where_rule(keys: tuple) -> Any:
    c = keys[0][0] if isinstance(keys[0], tuple) else keys[0]
    if c is not dtypes.bool_ and c is not bool and c is not dtypes.uint8:
        title = c.title if isinstance(c, DType) else c.__name__
        raise RuntimeError(
            f"where expected condition to be a boolean tensor, but got a tensor with dtype {title}"
        )
    d = dtypes.result_of_keys(keys[1:])
    return (dtypes.bool_, d, d), d


def _where_kernel(c: Any, a: Any, b: Any) -> np.ndarray:
    from ..ir.types import pointwise_strides
    from .kernels import _layout

    c, a, b = np.asarray(c), np.asarray(a), np.asarray(b)
    shape = np.broadcast_shapes(c.shape, a.shape, b.shape)
    if b.itemsize <= 8 and a.dtype == b.dtype and library.available():
        return kernels.select(c, a, b, shape)
    out = empty_strided(shape, pointwise_strides(shape, [_layout(x) for x in (c, a, b)]), b.dtype)
    np.copyto(out, b)
    np.copyto(out, a, where=c)
    return out


def _where_lower(c: Any, a: Any, b: Any) -> Any:
    from ..ir.loop import Select

    return Select(c, a, b)


def _where_samples() -> list[Sample]:
    m = Make((3, 4), "bool", 0, 2)
    return [
        Sample((m, Make((3, 4)), Make((3, 4)))),
        Sample((m, Make((4,)), Make((3, 1)))),
        Sample((m, Make((3, 4)), 0.5)),
        Sample((m, 1.0, Make((3, 4)))),
        Sample(
            (Make((2, 3), "bool", 0, 2), Make((2, 3), "int64", -5, 5), Make((2, 3))), grad=False
        ),
        Sample((m, Make((3, 4), layout="T"), Make((3, 4), "float64"))),
        Sample(
            (Make((5,), "bool", 0, 2), Make((5,), "bfloat16"), Make((5,), "bfloat16")), grad=False
        ),
    ]


where = pointwise(
    "where",
    _where_kernel,
    inputs=("condition", "input", "other"),
    out=_where_rule,
    complex=_where_kernel,
    lower=_where_lower,
    samples=_where_samples,
    vjp=[
        None,
        lambda g, condition: where(condition, g, 0.0),
        lambda g, condition: where(condition, 0.0, g),
    ],
)


def _cast_op(to: DType) -> Any:
    def rule(keys: tuple) -> Any:
        k = keys[0]
        return (k[0] if isinstance(k, tuple) else k,), to

    def eager(a: Any) -> np.ndarray:
        a = np.asarray(a)
        return cast_kernel(a, dtypes.from_numpy_dtype(a.dtype), to.compute)

    def from_complex(a: Any) -> np.ndarray:
        a = np.asarray(a)
        return cast_kernel(a, dtypes.from_numpy_dtype(a.dtype), to)

    def lower(x: Any) -> Any:
        from ..ir.loop import Cast

        return Cast(x, to.compute)

    def samples() -> list[Sample]:
        kinds = (
            "bool",
            "uint8",
            "int8",
            "int16",
            "int32",
            "int64",
            "float16",
            "bfloat16",
            "float32",
            "float64",
        )
        out = [
            Sample(
                (Make((3, 4), d, 0 if d in ("bool", "uint8") else -5, 2 if d == "bool" else 5),),
                grad=to is dtypes.float64 and d in ("float32", "float64"),
            )
            for d in kinds
        ]
        return out + [
            Sample((Make((3, 4), layout="T"),), grad=False),
            Sample((Make((40,), values="special"),), grad=False),
            Sample((Make((40,), "float64", values="special"),), grad=False),
        ]

    def complex_samples() -> list[Sample]:
        kinds = ("float32", "int64", "complex64", "complex128")
        return [Sample((Make((3, 4), d, -5, 5),), grad=False) for d in kinds] + [
            Sample((Make((3, 4), layout="T"),), grad=False)
        ]

    vjp: Any = [lambda g: g] if to.category >= dtypes.FLOAT else None
    return pointwise(
        f"to_{to.name}",
        eager,
        out=rule,
        complex=from_complex,
        lower=lower,
        samples=samples if not to.is_complex else complex_samples,
        vjp=vjp,
        backward_name="ToCopyBackward0",
    )


CASTS = {d: _cast_op(d) for d in dtypes.ALL}


def cast(t: Tensor, dtype: DType) -> Tensor:
    """t in another dtype; t itself when it has it already. Warns where imaginary parts get
    lost."""
    if t.dtype is dtype:
        return t
    if t.dtype.is_complex and not dtype.is_complex and dtype is not dtypes.bool_:
        warnings.warn(
            "Casting complex values to real discards the imaginary part", UserWarning, stacklevel=3
        )
    return CASTS[dtype](t)


# ---------------------------------------------------------------- parametrised activations


def _leaky_kernel(a: Any, slope: float) -> np.ndarray:
    a = np.asarray(a)
    return _where_kernel(a > 0, a, a * a.dtype.type(slope))


def _const(x: float, like: Any) -> Any:
    from ..ir.loop import Const

    return Const(x, like.dtype)


leaky_relu = pointwise(
    "leaky_relu",
    _leaky_kernel,
    attrs=("negative_slope",),
    defaults=(0.01,),
    vjp=[lambda g, input, negative_slope: where(input > 0, g, g * negative_slope)],
    lower=lambda x, s: _where_lower(
        _predicate("gt")(x, _const(0, x)), x, _infix("mul")(x, _const(s, x))
    ),
    samples=unary(dtypes=("float32", "float64")),
)


def _softplus_samples() -> list[Sample]:
    return [
        Sample((*x.inputs, beta, threshold), grad=x.grad)
        for x in unary(-4, 4)()
        for beta, threshold in ((1.0, 20.0), (2.0, 1.5))
    ]


softplus = pointwise(
    "softplus",
    inputs=("input", "beta", "threshold"),
    out="float",
    samples=_softplus_samples,
    vjp=[
        lambda g, input, beta, threshold: where(
            input * beta > threshold, g, g * (input * beta).sigmoid()
        ),
        None,
        None,
    ],
    doc="log(1 + exp(beta * x)) / beta; x itself where beta * x is above threshold",
)
elu = pointwise(
    "elu",
    inputs=("input", "alpha"),
    out="float",
    vjp=[lambda g, input, alpha: where(input > 0, g, g * (alpha * input.exp())), None],
    samples=lambda: [Sample((*x.inputs, 1.3), grad=x.grad) for x in unary(-3, 3)()],
)
copysign = pointwise(
    "copysign",
    np.copysign,
    inputs=_TWO,
    out="float",
    vjp=[lambda g, input, out: g * (input.sign() * out.sign()), None],
    samples=binary(0.2, 2, dtypes=("float32", "float64")),
)


# ---------------------------------------------------------------- copies into tensors


def _copy_rule(keys: tuple) -> Any:
    k = keys[0]
    d = k[0] if isinstance(k, tuple) else k
    return (d, d), d


def _copy_kernel(a: Any, b: Any) -> np.ndarray:
    a = np.asarray(a)
    out = empty_strided(a.shape, _kernel_strides(a), a.dtype)
    np.copyto(out, b)
    return out


def _kernel_strides(a: np.ndarray) -> tuple:
    from ..ir.types import pointwise_strides
    from .kernels import _layout

    return pointwise_strides(a.shape, [_layout(a)])


copy = pointwise(
    "copy",
    _copy_kernel,
    inputs=("input", "src"),
    out=_copy_rule,
    complex=_copy_kernel,
    lower=lambda a, b: b,
    vjp=[zero, lambda g: g],
    backward_name="CopyBackwards",
    samples=lambda: [
        Sample((Make((3, 4)), Make((4,)))),
        Sample((Make((3, 4)), Make((3, 4), "int64", -5, 5)), grad=False),
        Sample((Make((3,), "int64", -5, 5), Make((3,))), grad=False),
        Sample((Make((3, 4), layout="T"), 2.5), grad=True),
    ],
)
