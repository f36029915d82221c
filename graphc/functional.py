"""The functions of the top-level namespace (graphc.add, graphc.sum ...) with PyTorch's parameter
names.

Each is thin: it settles arguments and calls ops. Methods of Tensor are made from these in
`methods.py`.
Source: https://pytorch.org/docs/stable/torch.html"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from .base import dtypes, entry
from .base.dtypes import DType
from .base.errors import no_combination, not_tensor, warn_user
from .core import autocast
from .core.modes import STATE
from .core.tape import entry_class
from .core.tensor import Tensor
from .creation import as_tensor
from .ir.types import broadcast_shapes, dim_index
from .ops import composite, contract, movement, pointwise, reduce
from .ops import gather as gather_ops
from .ops.pointwise import cast
from .out import SAME, apart, into, made_dtype, shown


def called(t: Tensor, name: str) -> Tensor:
    """t, whose tape entry (just recorded) shows under PyTorch's name of the whole function."""
    if t._fn is not None:
        t._fn.__class__ = entry_class(name)
    return t


def _unary(op: Any) -> Callable:
    def fn(input: Tensor, *, out: Any = None) -> Tensor:
        return op(input) if out is None else into(out, op(input))

    fn.__name__ = fn.__qualname__ = op.name
    fn.__doc__ = op.doc or f"Elementwise {op.name}; see torch.{op.name}."
    fn.direct = True  # type: ignore[attr-defined]
    return fn


# what operands may be: tensors alone, or numbers too once the first is a tensor
_OF_TENSORS = ("atan2", "maximum", "minimum", "fmax", "fmin") + (
    "logical_and",
    "logical_or",
    "logical_xor",
)
_TENSOR_FIRST = ("eq", "ne", "lt", "le", "gt", "ge", "fmod", "copysign")


def _binary(op: Any) -> Callable:
    name, tensors, first = op.name, op.name in _OF_TENSORS, op.name in _TENSOR_FIRST

    def fn(input: Any, other: Any, *, out: Any = None) -> Tensor:
        if not isinstance(input, Tensor):
            if tensors:
                raise not_tensor(name, "input", 1, input)
            if first:
                raise no_combination(name, input, other)
        elif tensors and not isinstance(other, Tensor):
            raise not_tensor(name, "other", 2, other)
        return op(input, other) if out is None else into(out, op(input, other))

    fn.__name__ = fn.__qualname__ = op.name
    fn.__doc__ = op.doc or f"Elementwise {op.name} with broadcasting; see torch.{op.name}."
    fn.direct = True  # type: ignore[attr-defined]
    return fn


UNARY = (
    "abs",
    "neg",
    "sign",
    "square",
    "reciprocal",
    "sqrt",
    "rsqrt",
    "exp",
    "exp2",
    "expm1",
    "log",
    "log2",
    "log10",
    "log1p",
    "sin",
    "cos",
    "tan",
    "asin",
    "acos",
    "atan",
    "sinh",
    "cosh",
    "tanh",
    "erf",
    "erfc",
    "sigmoid",
    "relu",
    "floor",
    "ceil",
    "trunc",
    "frac",
    "isnan",
    "isinf",
    "isfinite",
    "logical_not",
    "bitwise_not",
)
BINARY = (
    "mul",
    "floor_divide",
    "remainder",
    "fmod",
    "atan2",
    "maximum",
    "minimum",
    "fmax",
    "fmin",
    "eq",
    "ne",
    "lt",
    "le",
    "gt",
    "ge",
    "logical_and",
    "logical_or",
    "logical_xor",
    "bitwise_and",
    "bitwise_or",
    "bitwise_xor",
    "bitwise_left_shift",
    "bitwise_right_shift",
    "copysign",
)
for _name in UNARY:
    globals()[_name] = _unary(getattr(pointwise, _name))
for _name in BINARY:
    globals()[_name] = _binary(getattr(pointwise, _name))
globals().update(
    absolute=globals()["abs"],
    negative=globals()["neg"],
    arcsin=globals()["asin"],
    arccos=globals()["acos"],
    arctan=globals()["atan"],
    fix=globals()["trunc"],
    multiply=globals()["mul"],
    not_equal=globals()["ne"],
    less=globals()["lt"],
    less_equal=globals()["le"],
    greater=globals()["gt"],
    greater_equal=globals()["ge"],
    arctan2=globals()["atan2"],
)


def sign(input: Tensor, *, out: Any = None) -> Tensor:
    """-1, 0 or 1; of bools the input."""
    exact = "Found dtype {Got} but expected {Want}" if input.dtype is dtypes.bool_ else ""
    return into(out, pointwise.sign(input), exact)


# ---------------------------------------------------------------- arithmetic with options


def _check_alpha(alpha: Any, input: Any, other: Any) -> None:
    d = dtypes.result_of_keys(_keys(input, other))
    if isinstance(alpha, bool) and d is not dtypes.bool_:
        raise RuntimeError("Boolean alpha only supported for Boolean results.")
    if isinstance(alpha, float) and d.category < dtypes.FLOAT:
        raise RuntimeError(
            "For integral input tensors, argument alpha must not be a floating point number."
        )
    if isinstance(alpha, complex) and not d.is_complex:
        raise RuntimeError(
            "For non-complex input tensors, argument alpha must not be a complex number."
        )


def _scaled(other: Any, alpha: Any) -> Any:
    """alpha * other; bools stay bools."""
    if not isinstance(other, Tensor):
        return other * alpha
    return pointwise.mul(other, bool(alpha) if other.dtype is dtypes.bool_ else alpha)


def add(input: Any, other: Any, *, alpha: Any = 1, out: Any = None) -> Tensor:
    """input + alpha * other."""
    if type(alpha) is int and alpha == 1:
        return into(out, pointwise.add(input, other))
    _check_alpha(alpha, input, other)
    return into(out, pointwise.add(input, _scaled(other, alpha)))


def sub(input: Any, other: Any, *, alpha: Any = 1, out: Any = None) -> Tensor:
    """input - alpha * other."""
    if type(alpha) is int and alpha == 1:
        return into(out, pointwise.sub(input, other))
    _check_alpha(alpha, input, other)
    return into(out, pointwise.sub(input, _scaled(other, alpha)))


def rsub(input: Any, other: Any, *, alpha: Any = 1) -> Tensor:
    """other - alpha * input."""
    y = pointwise.sub(other, input if alpha == 1 else pointwise.mul(input, alpha))
    return called(y, "RsubBackward0" if isinstance(other, Tensor) else "RsubBackward1")


def div(input: Any, other: Any, *, rounding_mode: str | None = None, out: Any = None) -> Tensor:
    """input / other; rounding_mode "trunc" and "floor" keep integers."""
    if rounding_mode is None:
        return into(out, pointwise.div(input, other))
    if rounding_mode == "floor":
        return into(out, floor_divide(input, other))
    if rounding_mode != "trunc":
        raise RuntimeError(
            "div expected rounding_mode to be one of None, 'trunc', or 'floor' but found "
            f"'{rounding_mode}'"
        )
    q = pointwise.div(input, other)
    d = dtypes.result_of_keys(_keys(input, other))
    if d.category <= dtypes.INT:
        r = pointwise.fmod(input, other)
        return into(out, floor_divide(pointwise.sub(input, r), other))
    return into(out, pointwise.trunc(q))


def _keys(*xs: Any) -> tuple:
    from .core.dispatch import operand_keys

    return operand_keys(xs)


def floor_divide(input: Any, other: Any, *, out: Any = None) -> Tensor:  # type: ignore[no-redef]
    """Quotient rounded down. RuntimeError "ZeroDivisionError" for integer division by zero."""
    return into(out, pointwise.floor_divide(input, other))


def remainder(input: Any, other: Any, *, out: Any = None) -> Tensor:  # type: ignore[no-redef]
    """Remainder with the divisor's sign. RuntimeError "ZeroDivisionError" for integer zero
    divisors."""
    return into(out, pointwise.remainder(input, other))


def fmod(input: Any, other: Any, *, out: Any = None) -> Tensor:  # type: ignore[no-redef]
    """Remainder with the dividend's sign. RuntimeError "ZeroDivisionError" for integer zero
    divisors."""
    return into(out, pointwise.fmod(input, other))


def pow(input: Any, exponent: Any, *, out: Any = None) -> Tensor:
    """input ** exponent. RuntimeError for integers to negative integer powers."""
    if not isinstance(input, Tensor) and not isinstance(exponent, Tensor):
        raise no_combination("pow", input, exponent)
    if (
        isinstance(exponent, int)
        and not isinstance(exponent, bool)
        and exponent < 0
        and isinstance(input, Tensor)
        and input.dtype.category <= dtypes.INT
    ):
        raise RuntimeError("Integers to negative integer powers are not allowed.")
    if (
        isinstance(exponent, (int, float))
        and exponent == 2
        and isinstance(input, Tensor)
        and (input.dtype.category > dtypes.INT or isinstance(exponent, int))
        and input.dtype is not dtypes.bool_
    ):
        return into(out, pointwise.square(input))
    y = pointwise.pow(input, exponent)
    if isinstance(exponent, Tensor):
        called(y, "PowBackward1" if isinstance(input, Tensor) else "PowBackward2")
    return into(out, y)


def float_power(input: Any, exponent: Any, *, out: Any = None) -> Tensor:
    """pow in float64 (complex128, when a number is complex)."""
    wide = (
        dtypes.complex128
        if dtypes.result_of_keys(_keys(input, exponent)).is_complex
        else dtypes.float64
    )
    up = [cast(x, wide) if isinstance(x, Tensor) else x for x in (input, exponent)]
    return into(out, pointwise.pow(*up))


def clamp(input: Tensor, min: Any = None, max: Any = None, *, out: Any = None) -> Tensor:
    """input limited to [min, max]; nan stays. RuntimeError when both bounds are missing."""
    if min is None and max is None:
        raise RuntimeError("torch.clamp: At least one of 'min' or 'max' must not be None")
    y = input
    if min is not None:
        y = pointwise.clamp_min(y, min)
    if max is not None:
        y = pointwise.clamp_max(y, max)
    return into(
        out,
        called(
            y,
            "ClampBackward0"
            if isinstance(min, Tensor) or isinstance(max, Tensor)
            else "ClampBackward1",
        ),
    )


clip = clamp


def clamp_min(input: Tensor, min: Any, *, out: Any = None) -> Tensor:
    """input, at least min."""
    if not isinstance(input, Tensor):
        raise no_combination("clamp_min", input, min)
    return into(out, pointwise.clamp_min(input, min))


def clamp_max(input: Tensor, max: Any, *, out: Any = None) -> Tensor:
    """input, at most max."""
    if not isinstance(input, Tensor):
        raise no_combination("clamp_max", input, max)
    return into(out, pointwise.clamp_max(input, max))


def round(input: Tensor, *, decimals: int = 0, out: Any = None) -> Tensor:
    """Nearest integer, halves to even; with decimals, of input * 10**decimals."""
    if decimals == 0:
        return into(out, pointwise.round(input))
    if input.dtype.category <= dtypes.INT:
        raise NotImplementedError(f"\"round_cpu\" not implemented for '{input.dtype.title}'")
    scale = 10.0 ** abs_int(decimals)
    y = (
        pointwise.round(input * scale) / scale
        if decimals > 0
        else pointwise.round(input / scale) * scale
    )
    return into(out, y)


def all_ints(xs: list) -> bool:
    return not [x for x in xs if not isinstance(x, int)]


def abs_int(n: int) -> int:
    return n if n >= 0 else -n


def where(condition: Tensor, input: Any = None, other: Any = None, *, out: Any = None) -> Any:
    """input where condition, else other; with condition alone, the coordinates where it holds."""
    if input is None and other is None:
        return nonzero(condition, as_tuple=True)
    if not isinstance(condition, Tensor):
        raise TypeError(
            "where(): argument 'condition' (position 1) must be Tensor, not "
            f"{type(condition).__name__}"
        )
    y = pointwise.where(condition, input, other)
    return into(out, y, "Expected out type to be {Want} but got {Got}")


@shown("LerpBackward0")
def lerp(input: Tensor, end: Tensor, weight: Any, *, out: Any = None) -> Tensor:
    """input + weight * (end - input), computed from the nearer end as PyTorch does."""
    for name, x in (("end", end), ("weight", weight)):
        if isinstance(x, Tensor) and x.dtype is not input.dtype and (x is end or x.ndim):
            raise RuntimeError(
                f"expected dtype {dtypes.c_name(input.dtype)} for `{name}` but got dtype "
                f"{dtypes.c_name(x.dtype)}"
            )
    if input.dtype.category <= dtypes.INT:
        kind = "tensor" if isinstance(weight, Tensor) else "scalar"
        _floating(f"lerp_kernel_{kind}", input)
    d = end - input
    if isinstance(weight, Tensor):
        near = pointwise.abs(weight) < 0.5
        return into(out, pointwise.where(near, input + weight * d, end - d * (1 - weight)))
    return into(out, input + weight * d if -0.5 < weight < 0.5 else end - d * (1 - weight))


@shown("AddcmulBackward0")
def addcmul(
    input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Any = 1, out: Any = None
) -> Tensor:
    """input + value * tensor1 * tensor2."""
    p = tensor1 * tensor2
    return into(out, input + (p if isinstance(value, int) and value == 1 else p * value))


@shown("AddcdivBackward0")
def addcdiv(
    input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Any = 1, out: Any = None
) -> Tensor:
    """input + value * (tensor1 / tensor2)."""
    q = tensor1 / tensor2
    return into(out, input + (q if isinstance(value, int) and value == 1 else q * value))


def filled_value(value: Any, dtype: DType) -> Any:
    """A number as one of `dtype`'s category. RuntimeError when the dtype cannot hold it."""
    if not isinstance(value, (int, float, complex)):
        return value
    if isinstance(value, complex):
        if dtype.is_complex:
            return value
        if value.imag != 0:
            raise RuntimeError(
                f"value cannot be converted to type {_VALUE_NAMES.get(dtype.name, dtype.name)} "
                "without overflow"
            )
        value = value.real
    if dtype.category <= dtypes.INT:
        if dtype is dtypes.bool_:
            return bool(value)
        if isinstance(value, float) and not math.isfinite(value):
            low, high = 1, 0
        else:
            value = int(value)
            info = dtypes.iinfo(dtype)
            # -1 and the like wrap in unsigned types, as they do in PyTorch
            low, high = info.min if info.min else -info.max, info.max
        if not low <= value <= high:
            raise RuntimeError(
                f"value cannot be converted to type {_VALUE_NAMES.get(dtype.name, dtype.name)} "
                "without overflow"
            )
        return value
    if isinstance(value, (int, float)) and not dtype.is_complex:
        top = dtypes.finfo(dtype).max
        if math.isfinite(value) and not -top <= value <= top:
            raise RuntimeError(
                f"value cannot be converted to type {_VALUE_NAMES.get(dtype.name, dtype.name)} "
                "without overflow"
            )
    return value


_VALUE_NAMES = {
    "float32": "float",
    "float64": "double",
    "int64": "int64_t",
    "int32": "int",
    "int16": "int16_t",
    "int8": "int8_t",
    "uint8": "uint8_t",
    "bool": "bool",
    "float16": "at::Half",
    "bfloat16": "at::BFloat16",
}


def masked_fill(input: Tensor, mask: Tensor, value: Any) -> Tensor:
    """value where mask, else input; input's dtype."""
    if mask.dtype is not dtypes.bool_:
        raise RuntimeError(
            "masked_fill_ only supports boolean masks, but got mask with dtype "
            f"{dtypes.c_name(mask.dtype)}"
        )
    if isinstance(value, Tensor):
        if value.ndim:
            raise RuntimeError(
                "masked_fill_ only supports a 0-dimensional value tensor, but got tensor with "
                f"{value.ndim} dimension(s)."
            )
        if value.dtype.is_complex and not input.dtype.is_complex:
            filled_value(1j, input.dtype)
        value = cast(value, input.dtype)
    else:
        value = filled_value(value, input.dtype)
    # row-major whatever the layouts were, as PyTorch's clone before the fill
    mask, input = movement.contiguous(mask), movement.contiguous(input)
    return called(pointwise.where(mask, value, input), "MaskedFillBackward0")


# ---------------------------------------------------------------- softmax, losses


def softmax(input: Tensor, dim: int, *, dtype: DType | None = None, out: Any = None) -> Tensor:
    """exp(input) normalised along dim. NotImplementedError for integers."""
    x = input if dtype is None else cast(input, dtype)
    _floating(
        "softmax_lastdim_kernel_impl"
        if x.ndim == 0 or dim_index(dim, x.ndim) == x.ndim - 1
        else "softmax_kernel_impl",
        x,
    )
    return into(out, composite.softmax(x, dim_index(dim, x.ndim)))


def log_softmax(input: Tensor, dim: int, *, dtype: DType | None = None, out: Any = None) -> Tensor:
    """log(softmax(input, dim)), computed stably."""
    x = input if dtype is None else cast(input, dtype)
    _floating(
        "log_softmax_lastdim_kernel_impl"
        if x.ndim == 0 or dim_index(dim, x.ndim) == x.ndim - 1
        else "log_softmax_kernel_impl",
        x,
    )
    return into(out, composite.log_softmax(x, dim_index(dim, x.ndim)))


def _floating(name: str, x: Tensor) -> None:
    if not x.dtype.is_floating_point:
        raise NotImplementedError(f"\"{name}\" not implemented for '{x.dtype.title}'")


# ---------------------------------------------------------------- reductions


def _axes(dim: Any, named: dict) -> Any:
    return named.pop("axis") if dim is None and "axis" in named else dim


def _keep(keepdim: bool, named: dict) -> bool:
    keep = named.pop("keepdims", keepdim)
    if named:
        raise TypeError(
            f"received an invalid combination of arguments - got ({next(iter(named))}=...)"
        )
    return bool(keep)


def _check_reduced(name: str, dim: Any, named: dict) -> None:
    """TypeError for a `dim` of another kind, or for names that nobody knows."""
    unknown = [k for k in named if k not in ("axis", "keepdims")]
    if dim is not None and "axis" in named:
        raise TypeError(f"{name}() got an unexpected keyword argument 'axis'")
    if unknown or isinstance(dim, (float, str)):
        got = [type(dim).__name__] if dim is not None else []
        got += [f"{k}={type(named[k]).__name__}, " for k in unknown]
        raise TypeError(
            f"{name}() received an invalid combination of arguments - got ({', '.join(got)}), but "
            "expected one of:\n * (*, torch.dtype dtype = None)\n * (tuple of ints dim, bool "
            "keepdim = False, *, torch.dtype dtype = None)\n"
        )


def sum(
    input: Tensor,
    dim: Any = None,
    keepdim: bool = False,
    *,
    dtype: DType | None = None,
    out: Any = None,
    **named: Any,
) -> Tensor:
    """Sum over dim (all axes by default); ints and bools sum to int64."""
    if named or isinstance(dim, (float, str)):
        _check_reduced("sum", dim, named)
    dim = _axes(dim, named)
    x = input if dtype is None else cast(input, dtype)
    y = reduce.sum(x, reduce.dims_of(x, dim), _keep(keepdim, named) if named else keepdim)
    if dtype is not None and y.dtype is not dtype:  # ints are summed as int64
        y = cast(y, dtype)
    return into(out, y if dim is None or y._fn is None else called(y, "SumBackward1"))


def nansum(
    input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: DType | None = None
) -> Tensor:
    """Sum with nan as zero."""
    return sum(pointwise.where(pointwise.isnan(input), 0, input), dim, keepdim, dtype=dtype)


def mean(
    input: Tensor,
    dim: Any = None,
    keepdim: bool = False,
    *,
    dtype: DType | None = None,
    out: Any = None,
    **named: Any,
) -> Tensor:
    """Mean over dim. RuntimeError for integers."""
    if named or isinstance(dim, (float, str)):
        _check_reduced("mean", dim, named)
    dim = _axes(dim, named)
    x = input if dtype is None else cast(input, dtype)
    if not (x.dtype.is_floating_point or x.dtype.is_complex):
        if dtype is not None:
            raise RuntimeError(
                "mean(): could not infer output dtype. Optional dtype must be either a floating "
                f"point or complex dtype. Got: {dtype.title}"
            )
        reduce._mean_infer(x.type_, ())
    y = reduce.mean(x, reduce.dims_of(x, dim), _keep(keepdim, named) if named else keepdim)
    return into(out, y if dim is None or y._fn is None else called(y, "MeanBackward1"))


def prod(
    input: Tensor,
    dim: Any = None,
    keepdim: bool = False,
    *,
    dtype: DType | None = None,
    out: Any = None,
    **named: Any,
) -> Tensor:
    """Product over one axis or all."""
    dim = _axes(dim, named)
    x = input if dtype is None else cast(input, dtype)
    y = reduce.prod(x, reduce.dims_of(x, dim), _keep(keepdim, named))
    if dim is not None:
        called(y, "ProdBackward1")
    return into(out, y if dtype is None else cast(y, dtype))


def _check_moment(name: str, input: Tensor) -> None:
    if not (input.dtype.is_floating_point or input.dtype.is_complex):
        raise RuntimeError(f"{name} only support floating point and complex dtypes")


def _warn_degrees(name: str, input: Tensor, dim: Any, correction: Any) -> None:
    shape = input.type_.shape
    n: Any = 1
    for d in reduce.dims_of(input, dim):
        n = n * shape[d]
    if isinstance(n, int) and n <= correction and input.type_.numel:
        warn_user(
            f"{name}(): degrees of freedom is <= 0. Correction should be strictly less than the "
            "reduction factor (input numel divided by output numel)."
        )


def _moment(op: Any) -> Callable:
    def fn(
        input: Tensor,
        dim: Any = None,
        unbiased: bool | None = None,
        keepdim: bool = False,
        *,
        correction: Any = None,
        out: Any = None,
        **named: Any,
    ) -> Tensor:
        if isinstance(dim, bool):
            dim, unbiased = None, dim
        dim = _axes(dim, named)
        _check_moment("std and var", input)
        if correction is None:
            correction = 1 if unbiased is None else int(unbiased)
        _warn_degrees(op.name, input, dim, correction)
        if input.dtype.is_complex:
            parts = (input.real, input.imag)  # type: ignore[attr-defined]
            re, im = [reduce.var(x, reduce.dims_of(x, dim), correction, False) for x in parts]
            y = re + im if op is reduce.var else pointwise.sqrt(re + im)
            shape = reduce.reduced_shape(
                tuple(input.shape), reduce.dims_of(input, dim), _keep(keepdim, named)
            )
            return into(out, movement.reshape(y, shape))
        return into(
            out,
            called(
                op(input, reduce.dims_of(input, dim), correction, _keep(keepdim, named)),
                op.name.capitalize() + "Backward0",
            ),
        )

    fn.__name__ = op.name
    fn.__doc__ = f"{op.name} over dim, divided by max(0, N - correction)."
    return fn


var = _moment(reduce.var)
std = _moment(composite.std)


def var_mean(
    input: Tensor,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: Any = None,
) -> tuple:
    """(var, mean) over dim."""
    _check_moment("var_mean", input)
    return (
        var(input, dim, unbiased, keepdim, correction=correction),
        mean(input, None if isinstance(dim, bool) else dim, keepdim),
    )


def std_mean(
    input: Tensor,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: Any = None,
) -> tuple:
    """(std, mean) over dim."""
    _check_moment("std_mean", input)
    return (
        std(input, dim, unbiased, keepdim, correction=correction),
        mean(input, None if isinstance(dim, bool) else dim, keepdim),
    )


RETURN_TYPES: dict[str, type] = {}  # what torch.return_types holds


def _return_type(name: str, *fields: str) -> Any:
    base = NamedTuple(name, [(f, Any) for f in fields])  # type: ignore[misc]

    def show(self: Any) -> str:
        inner = ",\n".join(f"{f}={getattr(self, f)!r}" for f in fields)
        return f"torch.return_types.{name}(\n{inner})"

    kind = type(
        name, (base,), {"__repr__": show, "__slots__": (), "__module__": "torch.return_types"}
    )
    RETURN_TYPES[name] = kind
    return kind


return_max = _return_type("max", "values", "indices")
return_min = _return_type("min", "values", "indices")


def _extremum(name: str, arg: Any, full_op: Any, pair: Any, kind: Any) -> Callable:
    def fn(
        input: Tensor, dim: Any = None, keepdim: bool = False, *, out: Any = None, **named: Any
    ) -> Any:
        dim = _axes(dim, named)
        if "other" in named:
            dim = named.pop("other")
        if not isinstance(input, Tensor):
            raise no_combination(name, input, dim)
        if isinstance(dim, Tensor):
            return into(out, pair(input, dim))
        if dim is None:
            if input.dtype.is_complex:
                raise NotImplementedError(
                    f"\"{name}_all\" not implemented for '{input.dtype.title}'"
                )
            if input.numel() == 0:  # type: ignore[attr-defined]
                raise RuntimeError(
                    f"{name}(): Expected reduction dim to be specified for input.numel() == 0. "
                    "Specify the reduction dim with the 'dim' argument."
                )
            y = full_op(input, reduce.dims_of(input, None), False)
            return into(out, called(y, name.capitalize() + "Backward1"))
        keep = _keep(keepdim, named)
        dims = reduce.one_dim(dim, input.ndim)
        reduce.check_nonempty(name, tuple(input.shape), dims)
        at = arg(input, dims, True)
        if input.ndim == 0:
            return into(out, kind(input.clone(), at), SAME)  # type: ignore[attr-defined]
        values = gather_ops.gather(input, at, dims[0])
        if not keep:
            values, at = movement.squeeze(values, dims), movement.squeeze(at, dims)
        return into(out, kind(called(values, name.capitalize() + "Backward0"), at), SAME)

    fn.__name__ = name
    fn.__doc__ = (
        f"{name} of all elements, along dim as (values, indices), or elementwise of two tensors."
    )
    return fn


max = _extremum("max", reduce.argmax, reduce.amax, pointwise.maximum, return_max)
min = _extremum("min", reduce.argmin, reduce.amin, pointwise.minimum, return_min)


_AS_INPUT = (
    "Expected the dtype for input and out to match, but got {Want} for input's dtype and {Got} for "
    "out's dtype."
)


def _extreme(name: str, input: Tensor, dim: Any, keepdim: bool) -> Tensor:
    dims = reduce.dims_of(input, dim)
    if input.numel() == 0:  # type: ignore[attr-defined]
        if dim == () or dim is None:
            raise RuntimeError(
                f"{name}(): Expected reduction dim to be specified for input.numel() == 0. Specify "
                "the reduction dim with the 'dim' argument."
            )
        reduce.check_nonempty(name, tuple(input.shape), dims)
    return (reduce.amax if name == "amax" else reduce.amin)(input, dims, keepdim)


def amax(input: Tensor, dim: Any = (), keepdim: bool = False, *, out: Any = None) -> Tensor:
    """Maximum over dim; gradients are shared evenly among ties."""
    return into(out, _extreme("amax", input, dim, keepdim), _AS_INPUT)


def amin(input: Tensor, dim: Any = (), keepdim: bool = False, *, out: Any = None) -> Tensor:
    """Minimum over dim; gradients are shared evenly among ties."""
    return into(out, _extreme("amin", input, dim, keepdim), _AS_INPUT)


return_aminmax = _return_type("aminmax", "min", "max")


def aminmax(input: Tensor, *, dim: Any = None, keepdim: bool = False) -> tuple:
    """(amin, amax)."""
    dims = reduce.dims_of(input, dim)
    if input.numel() == 0:  # type: ignore[attr-defined]
        if dim is None:
            raise RuntimeError(
                "aminmax(): cannot compute aminmax over an empty dimension as the operation has no "
                "identity."
            )
        for d in dims:
            if input.shape[d] == 0:
                raise IndexError(f"aminmax: Expected reduction dim {d} to have non-zero size.")
    return return_aminmax(reduce.amin(input, dims, keepdim), reduce.amax(input, dims, keepdim))


def _arg(op: Any) -> Callable:
    def fn(input: Tensor, dim: Any = None, keepdim: bool = False, *, out: Any = None) -> Tensor:
        if input.dtype is dtypes.bool_:
            raise RuntimeError(f"{op.name}(): does not support bool input")
        if dim is None:
            if input.numel() == 0:  # type: ignore[attr-defined]
                raise IndexError(
                    f"{op.name}(): Expected reduction dim to be specified for input.numel() == 0."
                )
            return into(out, op(input, reduce.dims_of(input, None), keepdim))
        dims = reduce.one_dim(dim, input.ndim)
        reduce.check_nonempty(op.name, tuple(input.shape), dims)
        return into(out, op(input, dims, keepdim))

    fn.__name__ = op.name
    fn.__doc__ = f"Index of the first {op.name[3:]} over all elements or along dim; nan wins."
    return fn


argmax = _arg(reduce.argmax)
argmin = _arg(reduce.argmin)


def any(
    input: Tensor, dim: Any = None, keepdim: bool = False, *, out: Any = None, **named: Any
) -> Tensor:
    """Whether any element along dim is true."""
    y = reduce.any(input, reduce.dims_of(input, _axes(dim, named)), _keep(keepdim, named))
    if input.dtype is dtypes.uint8:  # where PyTorch's bools once were
        y = cast(y, dtypes.uint8)
    return into(out, y, "any only supports bool tensor for result, got: {Got}")


def all(
    input: Tensor, dim: Any = None, keepdim: bool = False, *, out: Any = None, **named: Any
) -> Tensor:
    """Whether all elements along dim are true."""
    y = reduce.all(input, reduce.dims_of(input, _axes(dim, named)), _keep(keepdim, named))
    if input.dtype is dtypes.uint8:  # where PyTorch's bools once were
        y = cast(y, dtypes.uint8)
    return into(out, y, "all only supports bool tensor for result, got: {Got}")


@shown("LogsumexpBackward0")
def logsumexp(input: Tensor, dim: Any, keepdim: bool = False, *, out: Any = None) -> Tensor:
    """log(sum(exp(input))) along dim, computed stably."""
    x = input if input.dtype.category >= dtypes.FLOAT else cast(input, dtypes.get_default_dtype())
    return into(out, reduce.logsumexp(x, reduce.dims_of(x, dim), keepdim))


def norm(
    input: Tensor,
    p: Any = "fro",
    dim: Any = None,
    keepdim: bool = False,
    out: Any = None,
    dtype: DType | None = None,
) -> Tensor:
    """Vector norm over dim (all axes by default): p a number, inf, -inf or "fro" (2)."""
    x = input if dtype is None else cast(input, dtype)
    if not (x.dtype.is_floating_point or x.dtype.is_complex):
        raise RuntimeError(
            "linalg.vector_norm: Expected a floating point or complex tensor as input. Got "
            f"{x.dtype.title}"
        )
    return into(out, called(_norm(x, p, dim, keepdim), "LinalgVectorNormBackward0"))


def _norm(x: Tensor, p: Any, dim: Any, keepdim: bool) -> Tensor:
    p = 2.0 if p in ("fro", None) else float(p)
    dims = reduce.dims_of(x, dim)
    a = pointwise.abs(x)
    if p < 0 or p == math.inf:
        _check_norm(x, p, dims, dim is None)
    if p == math.inf:
        return reduce.amax(a, dims, keepdim)
    if p == -math.inf:
        return reduce.amin(a, dims, keepdim)
    if p == 0:
        # ones and zeros that take a gradient of zero
        return reduce.sum(pointwise.floor(pointwise.where(a == 0, a, 1.0)), dims, keepdim)
    if p == 1:
        return reduce.sum(a, dims, keepdim)
    if p == 2:
        if x.dtype.is_complex:
            s = reduce.sum(x.real * x.real + x.imag * x.imag, dims, keepdim)  # type: ignore
        else:
            s = reduce.sum(x * x, dims, keepdim)
        root = pointwise.sqrt(s)
        # sqrt'(0) is inf, but the norm's gradient at 0 is 0
        return _safe_sqrt(s, root) if x._needs else root
    return pointwise.pow(reduce.sum(pointwise.pow(a, p), dims, keepdim), 1.0 / p)


def _check_norm(x: Tensor, p: float, dims: tuple, whole: bool) -> None:
    """RuntimeError for a norm that nothing has."""
    text = f"linalg.vector_norm cannot compute the {p:g} norm on "
    for d in dims:
        if x.type_.shape[d] == 0:
            raise RuntimeError(
                f"{text}an empty tensor because the operation does not have an identity"
                if whole
                else f"{text}the dimension {d}because this dimension is empty and the operation "
                "does not have an identity"
            )


def _safe_sqrt(s: Tensor, root: Tensor) -> Tensor:
    zero = s == 0
    return pointwise.where(zero, 0.0, pointwise.sqrt(pointwise.where(zero, 1.0, s)))


def count_nonzero(input: Tensor, dim: Any = None) -> Tensor:
    """How many elements are not zero."""
    return reduce.sum(input != 0, reduce.dims_of(input, dim), False)


# ---------------------------------------------------------------- products


def matmul(input: Tensor, other: Tensor, *, out: Any = None) -> Tensor:
    """Matrix product with batch broadcasting; vectors as in PyTorch."""
    if not isinstance(input, Tensor) and hasattr(input, "_product"):  # a sparse matrix
        return into(out, input._product(other))
    y = contract.matmul(input, other)
    if y._fn is not None:
        n, m = input.ndim, other.ndim
        if n < 3 and m == 1:
            called(y, "MvBackward0" if n == 2 else "DotBackward0")
        elif n > 2 and m > 1 or m > 2:
            called(y, "UnsafeViewBackward0")
    return into(out, y)


def _no_out_dtype(name: str, out_dtype: Any) -> None:
    if out_dtype is not None:
        raise NotImplementedError(
            f"Could not run 'aten::{name}.dtype' with arguments from the 'CPU' backend."
        )


def mm(input: Tensor, mat2: Tensor, out_dtype: DType | None = None, *, out: Any = None) -> Tensor:
    """[M, K] x [K, N] -> [M, N]. NotImplementedError for an out_dtype, which CUDA alone has."""
    _no_out_dtype("mm", out_dtype)
    if not isinstance(input, Tensor) and hasattr(input, "_product"):  # a sparse matrix
        return into(out, input._product(mat2))
    return into(out, contract.mm(input, mat2))


def bmm(input: Tensor, mat2: Tensor, out_dtype: DType | None = None, *, out: Any = None) -> Tensor:
    """[B, M, K] x [B, K, N] -> [B, M, N]. NotImplementedError for an out_dtype, which CUDA alone
    has."""
    _no_out_dtype("bmm", out_dtype)
    return into(out, contract.bmm(input, mat2))


@shown("MvBackward0")
def mv(input: Tensor, vec: Tensor, *, out: Any = None) -> Tensor:
    """[M, K] x [K] -> [M]."""
    return into(out, contract.matmul(input, vec))


@shown("DotBackward0")
def dot(input: Tensor, tensor: Tensor, *, out: Any = None) -> Tensor:
    """Sum of products of two vectors."""
    if input.ndim == tensor.ndim == 1 and input.dtype is not tensor.dtype:
        raise RuntimeError(
            "dot : expected both vectors to have same dtype, but found "
            f"{input.dtype.title} and {tensor.dtype.title}"
        )
    if input.ndim != 1 or tensor.ndim != 1:
        raise RuntimeError(f"1D tensors expected, but got {input.ndim}D and {tensor.ndim}D tensors")
    return into(out, contract.matmul(input, tensor))


subtract, divide, true_divide = sub, div, div


def outer(input: Tensor, vec2: Tensor, *, out: Any = None) -> Tensor:
    """Products of every pair of two vectors' elements."""
    for name, x in (("self", input), ("vec2", vec2)):
        if x.ndim != 1:
            raise RuntimeError(f"outer: Expected 1-D argument {name}, but got {x.ndim}-D")
    return into(out, input.unsqueeze(1) * vec2.unsqueeze(0))  # type: ignore[attr-defined]


ger = outer


def _fits(input: Tensor, product: Tensor) -> None:
    """RuntimeError where the added tensor cannot be expanded to the product."""
    if tuple(input.type_.shape) != tuple(product.type_.shape):
        movement.expand(input, tuple(product.type_.shape))


def _check_added(input: Tensor, mat2: Tensor) -> None:
    if input.dtype is not mat2.dtype:
        raise RuntimeError(
            f"self and mat2 must have the same dtype, but got {input.dtype.title} and "
            f"{mat2.dtype.title}"
        )


@shown("AddmmBackward0")
def addmm(
    input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: Any = 1, alpha: Any = 1, out: Any = None
) -> Tensor:
    """beta * input + alpha * (mat1 @ mat2)."""
    _check_added(input, mat2)
    p = contract.mm(mat1, mat2)
    _fits(input, p)
    p = p if alpha == 1 else p * alpha
    return into(out, p if beta == 0 else (input if beta == 1 else input * beta) + p)


@shown("BaddbmmBackward0")
def baddbmm(
    input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Any = 1, alpha: Any = 1, out: Any = None
) -> Tensor:
    """beta * input + alpha * (batch1 @ batch2)."""
    p = contract.bmm(batch1, batch2)
    _fits(input, p)
    p = p if alpha == 1 else p * alpha
    return into(out, p if beta == 0 else (input if beta == 1 else input * beta) + p)


# ---------------------------------------------------------------- shapes


def reshape(input: Tensor, shape: Any) -> Tensor:
    """input under another shape; a view when possible."""
    return movement.reshape(input, tuple(shape))


def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """input with two axes exchanged (a view)."""
    return movement.swap(input, dim0, dim1)


swapdims = transpose


def swapaxes(input: Tensor, axis0: int, axis1: int) -> Tensor:
    """input with two axes exchanged (a view)."""
    return movement.swap(input, axis0, axis1)


def permute(input: Tensor, dims: Any) -> Tensor:
    """input with its axes in the order of dims (a view)."""
    n = input.ndim
    order = tuple(dim_index(d, n) for d in dims)
    if len(order) != n:
        raise RuntimeError(
            "permute(sparse_coo): number of dimensions in the tensor input does not match the "
            f"length of the desired ordering of dimensions i.e. input.dim() = {n} is not equal "
            f"to len(dims) = {len(order)}"
        )
    if len(set(order)) != n:
        raise RuntimeError("permute(): duplicate dims are not allowed.")
    return movement.permute(input, order)


def movedim(input: Tensor, source: Any, destination: Any) -> Tensor:
    """input with the axes of source at the places of destination."""
    n = input.ndim
    source = [source] if isinstance(source, int) else list(source)
    destination = [destination] if isinstance(destination, int) else list(destination)
    if len(source) != len(destination):
        raise RuntimeError(
            f"movedim: Invalid source or destination dims: source ({source} dims) should contain "
            f"the same number of dims as destination ({destination} dims)"
        )
    s, t = [dim_index(d, n) for d in source], [dim_index(d, n) for d in destination]
    for what, given, found in (("source", source, s), ("destination", destination, t)):
        if len(set(found)) < len(found):
            raise RuntimeError(f"movedim: repeated dim in `{what}` ({given})")
    if n == 0:
        return movement.permute(input, ())
    order = [d for d in range(n) if d not in s]
    for to, d in sorted(zip(t, s, strict=True)):
        order.insert(to, d)
    return movement.permute(input, tuple(order))


moveaxis = movedim


def t(input: Tensor) -> Tensor:
    """The transpose of a matrix; vectors stay."""
    if input.ndim > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {input.ndim}D")
    return movement.t(input, tuple(reversed(range(input.ndim))))


def squeeze(input: Tensor, dim: Any = None) -> Tensor:
    """input without axes of size 1 (all, or those of dim)."""
    shape = input.type_.shape
    if dim is None:
        dims = tuple(i for i, n in enumerate(shape) if n == 1)
    else:
        wanted = [dim_index(d, input.ndim) for d in ((dim,) if isinstance(dim, int) else dim)]
        dims = tuple(sorted(d for d in wanted if input.ndim and shape[d] == 1))
        name = "SqueezeBackward1" if isinstance(dim, int) else "SqueezeBackward2"
        return called(movement.squeeze(input, dims), name)
    return movement.squeeze(input, dims)


def unsqueeze(input: Tensor, dim: int) -> Tensor:
    """input with an axis of size 1 inserted at dim."""
    return movement.unsqueeze(input, dim_index(dim, input.ndim + 1))


def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Axes start_dim to end_dim joined into one."""
    n = input.ndim
    if n == 0:
        return movement.reshape(input, (1,))
    a, b = dim_index(start_dim, n), dim_index(end_dim, n)
    if a > b:
        raise RuntimeError("flatten() has invalid args: start_dim cannot come after end_dim")
    if a == b:
        return input
    shape = tuple(input.type_.shape)
    size: Any = 1
    for s in shape[a : b + 1]:
        size = size * s
    return movement.reshape(input, (*shape[:a], size, *shape[b + 1 :]))


def ravel(input: Tensor) -> Tensor:
    """input as one row-major axis."""
    return movement.contiguous(movement.reshape(input, (-1,)))


def unflatten(input: Tensor, dim: int, sizes: Any) -> Tensor:
    """Axis dim split into sizes (one may be -1)."""
    d = dim_index(dim, input.ndim)
    shape = tuple(input.type_.shape)
    sizes = tuple(sizes)
    if not sizes:
        raise RuntimeError("unflatten: sizes must be non-empty")
    known = [s for s in sizes if not (isinstance(s, int) and s == -1)]
    if all_ints(known) and isinstance(shape[d], int) and len(sizes) - len(known) <= 1:
        size = math.prod(known)
        if size != shape[d] if len(known) == len(sizes) else not size or shape[d] % size:
            raise RuntimeError(
                f"unflatten: Provided sizes {list(sizes)} don't multiply up to the size of dim {d} "
                f"({shape[d]}) in the input tensor"
            )
    inner = movement.resolve_shape(sizes, shape[d])
    return movement.reshape(input, (*shape[:d], *inner, *shape[d + 1 :]))


def broadcast_to(input: Tensor, size: Any) -> Tensor:
    """input expanded to size."""
    return input.expand(size)  # type: ignore[attr-defined]


def broadcast_tensors(*tensors: Tensor) -> tuple:
    """The tensors expanded to their common shape."""
    shape = broadcast_shapes(*[tuple(x.type_.shape) for x in tensors])
    return tuple(x.expand(shape) for x in tensors)  # type: ignore[attr-defined]


def narrow(input: Tensor, dim: int, start: Any, length: int) -> Tensor:
    """length elements of axis dim from start (a view)."""
    if input.ndim == 0:
        raise RuntimeError("narrow() cannot be applied to a 0-dim tensor.")
    d = dim_index(dim, input.ndim)
    n = input.type_.shape[d]
    if isinstance(start, Tensor):
        if start.ndim or start.dtype.category != dtypes.INT:
            raise RuntimeError("start must be an 0-dim integral Tensor.")
        start = start.item()  # type: ignore[attr-defined]
    if isinstance(length, int) and length < 0:
        raise RuntimeError("narrow(): length must be non-negative.")
    if not -n <= start <= n:
        raise IndexError(
            f"start out of range (expected to be in range of [{-n}, {n}], but got {start})"
        )
    start = start + n if start < 0 else start
    if length < 0 or start + length > n:
        raise RuntimeError(f"start ({start}) + length ({length}) exceeds dimension size ({n}).")
    return movement.slice_(input, d, start, start + length, 1)


def select(input: Tensor, dim: int, index: Any) -> Tensor:
    """input[:, ..., index] at axis dim (a view)."""
    from .indexing import _in_range

    if input.ndim == 0:
        raise IndexError("select() cannot be applied to a 0-dim tensor.")
    d = dim_index(dim, input.ndim)
    n = input.type_.shape[d]
    if not -n <= index < n:
        raise IndexError(
            f"select(): index {index} out of range for tensor of size {list(input.shape)} at "
            f"dimension {d}"
        )
    return movement.select(input, d, _in_range(index, n, d))


def _check_has_axes(t: Tensor, what: str) -> None:
    if t.ndim == 0:
        raise RuntimeError(f"{what} expects at least a 1-dimensional tensor")


def _no_axis_of_none(t: Tensor, dim: int = 0) -> None:
    if t.ndim == 0:
        raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")


def split(
    tensor: Tensor, split_size_or_sections: Any = None, dim: int = 0, *, split_size: Any = None
) -> tuple:
    """Views of pieces along dim: of one size (the last may be smaller) or of the given sizes."""
    if split_size_or_sections is None:
        split_size_or_sections = split_size
    _check_has_axes(tensor, "split")
    d = dim_index(dim, tensor.ndim)
    n = tensor.type_.shape[d]
    if isinstance(split_size_or_sections, int):
        size = split_size_or_sections
        if size <= 0 and n != 0:
            raise RuntimeError(
                f"split_size can only be 0 if dimension size is 0, but got dimension size of {n}"
                if size == 0
                else f"split expects split_size be non-negative, but got split_size={size}"
            )
        sizes = [size] * (n // size) + ([n % size] if n % size else []) if n else [0]
    else:
        sizes = list(split_size_or_sections)
        total: Any = 0
        for s in sizes:
            total = total + s
        if total != n:
            raise RuntimeError(
                f"split_with_sizes expects split_sizes to sum exactly to {n} (input tensor's size "
                f"at dimension {d}), but got split_sizes={sizes}"
            )
    return _pieces(
        tensor, d, sizes, "Split" if isinstance(split_size_or_sections, int) else "SplitWithSizes"
    )


def _pieces(x: Tensor, dim: int, sizes: list, what: str) -> tuple:
    out = []
    start: Any = 0
    for i, s in enumerate(sizes):
        piece = movement.slice_(x, dim, start, start + s, 1)
        if what:
            called(piece, what + "Backward0")._multi_view = (what, i)
        start = start + s
        out.append(piece)
    return tuple(out)


def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple:
    """At most `chunks` pieces of equal size along dim."""
    _check_has_axes(input, "chunk")
    d = dim_index(dim, input.ndim)
    n = input.type_.shape[d]
    if chunks <= 0:
        raise RuntimeError("chunk expects `chunks` to be greater than 0, got: " + str(chunks))
    size = -(-n // chunks)
    return split(input, size if size else 1, d) if n else (input,) * chunks


def tensor_split(
    input: Tensor,
    indices_or_sections: Any = None,
    dim: int = 0,
    *,
    tensor_indices_or_sections: Any = None,
    sections: int | None = None,
    indices: Any = None,
) -> tuple:
    """Pieces along dim: cut at indices, or into sections that differ by at most one."""
    for named in (tensor_indices_or_sections, sections, indices):
        indices_or_sections = named if indices_or_sections is None else indices_or_sections
    if indices_or_sections is None:
        raise no_combination("tensor_split", input)
    if input.ndim == 0:
        raise RuntimeError(
            "tensor_split expected at least a 1-dimensional tensor, but got a tensor with 0 dims"
        )
    d = dim_index(dim, input.ndim)
    n = input.type_.shape[d]
    if isinstance(indices_or_sections, Tensor) and indices_or_sections.ndim == 0:
        indices_or_sections = int(indices_or_sections)
    if isinstance(indices_or_sections, int):
        k = indices_or_sections
        if k <= 0:
            raise RuntimeError(f"number of sections must be larger than 0, got {k}")
        sizes = [n // k + (1 if i < n % k else 0) for i in range(k)]
    else:
        cuts = [0, *(int(i) for i in indices_or_sections), n]
        cuts = [c + n if c < 0 else (c if c < n else n) for c in cuts]
        sizes = [b - a if b > a else 0 for a, b in zip(cuts, cuts[1:], strict=False)]
    return _pieces(input, d, sizes, "")


def unbind(input: Tensor, dim: int = 0) -> tuple:
    """The slices along dim, as views."""
    _no_axis_of_none(input)
    d = dim_index(dim, input.ndim)
    out = tuple(movement.select(input, d, i) for i in range(int(input.type_.shape[d])))
    for i, x in enumerate(out):
        called(x, "UnbindBackward0")._multi_view = ("Unbind", i)
    return out


def _several(name: str, tensors: Any) -> None:
    if isinstance(tensors, Tensor):
        raise TypeError(
            f"{name}(): argument 'tensors' (position 1) must be tuple of Tensors, not Tensor"
        )


def cat(tensors: Any, dim: int = 0, *, out: Any = None, **named: Any) -> Tensor:
    """Tensors joined along an existing axis."""
    _several("cat", tensors)
    y = gather_ops.cat(tensors, named.get("axis", dim))
    if out is not None:
        _check_cat_out(y, out)
        apart(out, *tensors)
    return into(out, y)


def _check_cat_out(y: Tensor, out: Tensor) -> None:
    if not dtypes.can_cast(y.dtype, out.dtype):
        raise TypeError(
            f"torch.cat(): input types can't be cast to the desired output type {out.dtype.title}"
        )


concat = concatenate = cat


def stack(tensors: Any, dim: int = 0, *, out: Any = None) -> Tensor:
    """Tensors joined along a new axis."""
    _several("stack", tensors)
    xs = list(tensors)
    if not xs:
        raise RuntimeError("stack expects a non-empty TensorList")
    for i, x in enumerate(xs):
        if x.shape != xs[0].shape:
            raise RuntimeError(
                f"stack expects each tensor to be equal size, but got {list(xs[0].shape)} at entry "
                f"0 and {list(x.shape)} at entry {i}"
            )
    d = dim_index(dim, xs[0].ndim + 1)
    if d < xs[0].ndim in (4, 5):  # joined, then split: so channels-last images stay so
        joined = gather_ops.cat(xs, d)
        shape = tuple(joined.type_.shape)
        joined = movement.reshape(joined, (*shape[:d], len(xs), *xs[0].type_.shape[d:]))
        if STATE.tracer is None:
            joined._base = None  # nobody else has what it shows
        y = called(joined, "StackBackward0")
    else:
        y = called(gather_ops.cat([movement.unsqueeze(x, d) for x in xs], d), "StackBackward0")
    if out is not None:
        _check_cat_out(y, out)
    return into(out, y)


def hstack(tensors: Any, *, out: Any = None) -> Tensor:
    """Joined along the second axis (the first, for vectors)."""
    _several("hstack", tensors)
    xs = [movement.reshape(x, (1,)) if x.ndim == 0 else x for x in tensors]
    return into(out, gather_ops.cat(xs, 0 if xs[0].ndim == 1 else 1))


def vstack(tensors: Any, *, out: Any = None) -> Tensor:
    """Joined along the first axis; vectors are rows."""
    _several("vstack", tensors)
    return into(
        out, gather_ops.cat([movement.reshape(x, (1, -1)) if x.ndim < 2 else x for x in tensors], 0)
    )


def flip(input: Tensor, dims: Any) -> Tensor:
    """input reversed along dims (a copy)."""
    ds = (dims,) if isinstance(dims, int) else tuple(dims)
    at = tuple(dim_index(d, input.ndim) for d in ds)
    for d in at:
        if at.count(d) > 1:
            raise RuntimeError(f"dim {d} appears multiple times in the list of dims")
    return movement.flip(input, at if input.ndim else ())


@shown("RollBackward0")
def roll(input: Tensor, shifts: Any, dims: Any = None) -> Tensor:
    """input rolled along dims; without dims, flattened first."""
    if isinstance(shifts, (tuple, list)) and not shifts:
        raise RuntimeError("`shifts` required")
    if dims is None or dims == ():
        if isinstance(shifts, (tuple, list)):
            if len(shifts) != 1:
                raise RuntimeError(
                    f"shifts and dimensions must align. shifts: {len(shifts)}, dims:0"
                )
            shifts = shifts[0]
        flat: Any = movement.roll(ravel(input), (int(shifts),), (0,))
        return movement.like_layout(flat.reshape(tuple(input.shape)), input)
    s = (shifts,) if isinstance(shifts, int) else tuple(shifts)
    d = (dims,) if isinstance(dims, int) else tuple(dims)
    if len(s) != len(d):
        raise RuntimeError(f"shifts and dimensions must align. shifts: {len(s)}, dims:{len(d)}")
    _no_axis_of_none(input)
    out = movement.roll(input, s, tuple(dim_index(k, input.ndim) for k in d))
    return movement.like_layout(out, input)


def diagonal(input: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """The diagonal of two axes as a new last axis (a view)."""
    n = input.ndim
    a, b = dim_index(dim1, n), dim_index(dim2, n)
    if a == b:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    return movement.diagonal(input, offset, a, b)


def diag(input: Tensor, diagonal: int = 0, *, out: Any = None) -> Tensor:
    """The diagonal of a matrix, or a matrix with the given diagonal."""
    if input.ndim == 2:
        y = movement.diagonal(input, diagonal, 0, 1).clone()  # type: ignore[attr-defined]
        called(y, "DiagonalBackward0_copy")
        return into(out, y, SAME)
    if input.ndim != 1:
        raise RuntimeError(f"diag(): Supports 1D or 2D tensors. Got {input.ndim}D")
    n = input.shape[0] + abs_int(diagonal)
    z = input.new_zeros((n, n))  # type: ignore[attr-defined]
    start = diagonal if diagonal >= 0 else -diagonal * n
    y = gather_ops.as_strided_scatter(z, input, tuple(input.shape), (n + 1,), start)
    return into(out, y, SAME)


def _triangle(name: str, keep: str) -> Callable:
    def fn(input: Tensor, diagonal: int = 0, *, out: Any = None) -> Tensor:
        from .creation import arange

        if input.ndim < 2:
            raise RuntimeError(f"{name}: input tensor must have at least 2 dimensions")
        r, c = input.shape[-2], input.shape[-1]
        rows, cols = arange(r).unsqueeze(1), arange(c).unsqueeze(0)  # type: ignore[attr-defined]
        ahead = cols - rows
        mask = ahead <= diagonal if keep == "low" else ahead >= diagonal
        input = movement.contiguous(input)
        return into(
            out,
            called(
                pointwise.where(mask, input, False if input.dtype is dtypes.bool_ else 0),
                name.capitalize() + "Backward0",
            ),
            SAME,
        )

    fn.__name__ = name
    fn.__doc__ = (
        f"The {'lower' if keep == 'low' else 'upper'} triangle of the last two axes, the rest zero."
    )
    return fn


tril = _triangle("tril", "low")
triu = _triangle("triu", "high")


def tile(input: Tensor, dims: Any) -> Tensor:
    """repeat with missing leading dims taken as 1."""
    dims = tuple(dims)
    return input.repeat((1,) * (input.ndim - len(dims)) + dims)  # type: ignore[attr-defined]


def clone(input: Tensor, *, memory_format: Any = None) -> Tensor:
    """A copy; keeps the axis order of dense layouts unless memory_format names another."""
    return movement.clone(input, movement.format_strides(tuple(input.type_.shape), memory_format))


def meshgrid(*tensors: Any, indexing: str | None = None) -> tuple:
    """Coordinate grids of vectors of one dtype; a warning where `indexing` is left out."""
    if indexing is None:
        warn_user(
            "torch.meshgrid: in an upcoming release, it will be required to pass the indexing "
            "argument."
        )
    elif indexing not in ("ij", "xy"):
        raise RuntimeError(
            'torch.meshgrid: indexing must be one of "xy" or "ij", but received: ' + indexing
        )
    several = len(tensors) == 1 and isinstance(tensors[0], (list, tuple))
    xs = list(tensors[0]) if several else list(tensors)
    for x in xs:
        if x.dtype is not xs[0].dtype:
            raise RuntimeError("meshgrid expects all tensors to have the same dtype")
    return grids(xs, indexing == "xy")


def grids(xs: list, swapped: bool) -> tuple:
    """The grids of meshgrid, of vectors of any dtypes; swapped: the first two axes exchanged."""
    for x in xs:
        if x.ndim > 1:
            raise RuntimeError(
                "torch.meshgrid: Expected 0D or 1D tensor in the tensor list but got a tensor of "
                f"{x.ndim} dimensions"
            )
    shape = tuple(x.numel() for x in xs)
    out = [
        x.reshape(tuple(-1 if i == k else 1 for k in range(len(xs)))).expand(shape)
        for i, x in enumerate(xs)
    ]
    return tuple([g.transpose(0, 1) for g in out] if swapped and len(xs) > 1 else out)


# ---------------------------------------------------------------- gathers


def gather(
    input: Tensor, dim: int, index: Tensor, *, sparse_grad: bool = False, out: Any = None
) -> Tensor:
    """out[i][j] = input[index[i][j]][j] (along dim 0), and so on."""
    d = dim_index(dim, input.ndim)
    if out is not None:
        apart(out, input, index)
    if not index.type_.numel:
        none = movement.slice_(ravel(input), 0, 0, 0, 1)
        return into(out, movement.reshape(none, tuple(index.type_.shape)), SAME)
    if index.dtype is not dtypes.int64 and index.dtype is not dtypes.int32:
        raise RuntimeError("gather(): Expected dtype int32/int64 for index")
    if input.ndim == 0 or index.ndim == 0:  # a 0-d tensor is a vector of one element here
        if input.ndim > 1 or index.ndim > 1:
            raise RuntimeError(
                "Index tensor must have the same number of dimensions as input tensor"
            )
        y = gather_ops.gather(input.reshape(-1), index.reshape(-1), 0)  # type: ignore[attr-defined]
        return into(out, y.reshape(tuple(index.shape)), SAME)
    return into(out, gather_ops.gather(input, index, d), SAME)


def index_select(input: Tensor, dim: int, index: Tensor, *, out: Any = None) -> Tensor:
    """The rows of `input` along dim that index names; a 0-d input is its one row."""
    if input.ndim == 0:
        row = index_select(input.reshape(1), dim, index.reshape(-1))
        return into(out, row.reshape(()), _ONE_TYPE)
    if index.dtype not in (dtypes.int32, dtypes.int64):
        raise RuntimeError("index_select(): Expected dtype int32 or int64 for index")
    y = called(gather_ops.index_select(input, dim, index), "IndexSelectBackward0")
    apart(out, input, index)
    return into(out, y, _ONE_TYPE)


_ONE_TYPE = "index_select(): self and result must have the same scalar type"


def take_along_dim(input: Tensor, indices: Tensor, dim: Any = None, *, out: Any = None) -> Tensor:
    """gather with broadcasting."""
    if dim is None:
        return into(out, gather_ops.gather(ravel(input), ravel(indices), 0))
    d = dim_index(dim, input.ndim)
    a, b = list(input.shape), list(indices.shape)
    lead = broadcast_shapes(
        tuple(1 if i == d else n for i, n in enumerate(a)),
        tuple(1 if i == d else n for i, n in enumerate(b)),
    )
    x = input.expand(tuple(a[d] if i == d else n for i, n in enumerate(lead)))  # type: ignore[attr-defined]
    at = indices.expand(tuple(b[d] if i == d else n for i, n in enumerate(lead)))  # type: ignore[attr-defined]
    return into(out, gather_ops.gather(x, at, d))


def scattered(op: Any, input: Tensor, dim: int, index: Tensor, src: Any, *options: Any) -> Tensor:
    """op (a scatter) after PyTorch's checks; a 0-d tensor counts as a vector of one element."""
    d = dim_index(dim, input.ndim)
    given = src if isinstance(src, Tensor) else None
    if index.dtype is not dtypes.int64 and index.dtype is not dtypes.int32:
        if index.type_.numel:
            raise RuntimeError("scatter(): Expected dtype int32/int64 for index")
        index = cast(index, dtypes.int64)
    if given is not None and given.dtype is not input.dtype:
        raise RuntimeError("scatter(): Expected self.dtype to be equal to src.dtype")
    if not index.type_.numel:
        return input.clone()  # type: ignore[attr-defined]
    for t, what in ((input, "self"), (given, "src")):
        if t is not None and (t.ndim or 1) != (index.ndim or 1):
            raise RuntimeError(
                f"Index tensor must have the same number of dimensions as {what} tensor"
            )
    if src is not given:
        src = input.new_full(tuple(index.shape), src)  # type: ignore[attr-defined]
    if input.ndim == 0 or index.ndim == 0 or src.ndim == 0:
        y = op(input.reshape(-1), index.reshape(-1), src.reshape(-1), 0, *options)  # type: ignore
        return y.reshape(tuple(input.shape))
    big = [n for i, n in enumerate(index.shape) if i != d and n > input.shape[i]]
    big += [n for n, m in zip(index.shape, given.shape) if n > m] if given is not None else []
    if big:
        also = (
            f" and to be no larger size than src {list(given.shape)}" if given is not None else ""
        )
        raise RuntimeError(
            f"Expected index {list(index.shape)} to be no larger than self {list(input.shape)} "
            f"apart from dimension {d}{also}"
        )
    return op(input, index, src, d, *options)


def scatter(input: Tensor, dim: int, index: Tensor, src: Any) -> Tensor:
    """A copy of input with src written at index along dim."""
    return scattered(gather_ops.scatter_set, input, dim, index, src)


def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor, *, out: Any = None) -> Tensor:
    """A copy of input with src added at index along dim."""
    apart(out, index, src)
    return into(out, scattered(gather_ops.scatter_add, input, dim, index, src), SAME)


def _check_index_add(input: Tensor, dim: int, index: Tensor, source: Tensor) -> None:
    if index.ndim > 1:
        raise IndexError(
            f"index_add_(): Index is supposed to be a vector, but got dim: {index.ndim} with type: "
            f"{index.dtype.title} and size: {list(index.shape)}"
        )
    if index.dtype not in (dtypes.int32, dtypes.int64):
        raise RuntimeError(
            f"index_add_(): Expected dtype int32/int64 for index but got: {index.dtype.title}"
        )
    if input.dtype is not source.dtype:
        raise RuntimeError(
            f"index_add_(): self ({input.dtype.title}) and source ({source.dtype.title}) must have "
            "the same scalar type"
        )
    if dim != 0 and dim >= source.ndim:
        raise RuntimeError(
            f"index_add_(): Indexing dim {dim} is out of bounds of the source tensor with dim "
            f"{source.ndim}"
        )
    mine, other = list(input.shape), list(source.shape)
    if len(mine) != len(other) or mine[:dim] + mine[dim + 1 :] != other[:dim] + other[dim + 1 :]:
        raise RuntimeError(
            "source tensor shape must match self tensor shape, excluding the specified dimension. "
            f"Got self.shape = {mine} source.shape = {other}"
        )
    given = other[dim] if other else 1
    if index.numel() != given:
        raise RuntimeError(
            f"index_add_(): Number of indices ({index.numel()}) should be equal to "
            f"source.size(dim): ({given}), for dim: {dim}"
        )


def index_add(
    input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: Any = 1, out: Any = None
) -> Tensor:
    """A copy of input with alpha * source added to the rows that index names.

    index: int32 or int64 [n]; source: input's dtype, and its shape with n at dim. Raises
    RuntimeError or IndexError for others.
    https://docs.pytorch.org/docs/stable/generated/torch.Tensor.index_add_.html"""
    d = dim_index(dim, input.ndim)
    _check_index_add(input, d, index, source)
    source = source if alpha == 1 else cast(source * alpha, source.dtype)
    if input.ndim == 0:
        y = index_add(input.reshape(1), 0, index, source.reshape(1))
        return into(out, y.reshape(()), SAME)
    index = index.reshape(-1) if index.ndim == 0 else index
    if d == 0:
        y = called(gather_ops.embedding_backward(input, index, source), "IndexAddBackward0")
        return into(out, y, SAME)
    y = gather_ops.embedding_backward(
        movement.swap(input, 0, d), index, movement.swap(source, 0, d)
    )
    y = called(movement.contiguous(movement.swap(y, 0, d)), "IndexAddBackward0")
    return into(out, y, SAME)


def nonzero(input: Tensor, *, out: Any = None, as_tuple: bool = False) -> Any:
    """Coordinates of the elements that are not zero: [count, ndim], or a tuple per axis."""
    if out is not None and not isinstance(out, Tensor):
        raise not_tensor("nonzero", "out", 0, out)
    if as_tuple:
        x = input.reshape(1) if input.ndim == 0 else input  # type: ignore[attr-defined]
        at = gather_ops.nonzero(x)
        return tuple(movement.select(at, 1, d).contiguous() for d in range(x.ndim))  # type: ignore
    text = "nonzero: Expected out tensor to have scalar type Long but got scalar type{Got}"
    return into(out, gather_ops.nonzero(input), text)


@shown("MaskedSelectBackward0")
def masked_select(input: Tensor, mask: Tensor, *, out: Any = None) -> Tensor:
    """The elements where mask is true, as a vector."""
    m, x = broadcast_tensors(mask, input)
    text = "masked_select(): self and result must have the same scalar type"
    apart(out, input, mask)
    return into(out, x[m], text)  # type: ignore[index]


# ---------------------------------------------------------------- questions


def is_tensor(obj: Any) -> bool:
    return isinstance(obj, Tensor)


def numel(input: Tensor) -> Any:
    """The number of elements."""
    return input.numel()  # type: ignore[attr-defined]


def is_floating_point(input: Tensor) -> bool:
    return input.dtype.is_floating_point


def is_complex(input: Tensor) -> bool:
    return input.dtype.is_complex


def equal(input: Tensor, other: Tensor) -> bool:
    """Whether shapes and all elements agree."""
    return input.shape == other.shape and bool(
        reduce.all(input == other, reduce.dims_of(input, None), False)
    )


def allclose(
    input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> bool:
    """Whether |input - other| <= atol + rtol * |other| everywhere."""
    return bool(isclose(input, other, rtol, atol, equal_nan).all())  # type: ignore[attr-defined]


def isclose(
    input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> Tensor:
    """Elementwise |input - other| <= atol + rtol * |other|."""
    for position, (name, x) in enumerate((("input", input), ("other", other)), 1):
        if not isinstance(x, Tensor):
            raise not_tensor("isclose", name, position, x)
    if input.dtype is not other.dtype:
        raise RuntimeError(f"{input.dtype.title} did not match {other.dtype.title}")
    for name, tolerance in (("rtol", rtol), ("atol", atol)):
        if tolerance < 0:
            raise RuntimeError(
                f"{name} must be greater than or equal to zero, but got {tolerance:g}"
            )
    close = input == other
    if equal_nan and input.dtype.is_floating_point:
        close = close | (pointwise.isnan(input) & pointwise.isnan(other))
    if rtol == 0 and atol == 0:
        return close
    if input.dtype is dtypes.bool_:
        input, other = cast(input, dtypes.int64), cast(other, dtypes.int64)
    d = pointwise.abs(input - other)
    return close | (pointwise.isfinite(d) & (d <= atol + pointwise.abs(other * rtol)))


def result_type(
    tensor: Any = None,
    other: Any = None,
    *,
    scalar: Any = None,
    scalar1: Any = None,
    scalar2: Any = None,
) -> DType:
    """The dtype that arithmetic on the two gives: tensors or numbers, by place or by name."""
    pair = [x for x in (scalar1, scalar, tensor, other, scalar2) if x is not None]
    if len(pair) != 2:
        raise no_combination("result_type", *pair)
    return dtypes.result_of_keys(_keys(*pair))


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """Rows of zeros with a one at the class."""
    from .creation import arange

    n = int(tensor.max().item()) + 1 if num_classes < 0 else num_classes  # type: ignore[attr-defined]
    return cast(tensor.unsqueeze(-1) == arange(n), dtypes.int64)  # type: ignore[attr-defined]


def bernoulli(input: Tensor, *, generator: Any = None, out: Any = None) -> Tensor:
    """1 with probability input, else 0."""
    from .ops.random import rand

    u = rand(
        tuple(input.shape),
        dtypes.float64 if input.dtype is dtypes.float64 else dtypes.float32,
        generator,
    )
    y = cast(u < input, input.dtype)
    return into(out, y if out is None else cast(y, out.dtype))


def check_std(std: float) -> None:
    if std < 0:
        raise RuntimeError(f"normal expects std >= 0.0, but found std {std:g}")


def normal(
    mean: Any,
    std: Any = 1.0,
    size: Any = None,
    *,
    generator: Any = None,
    out: Any = None,
    dtype: DType | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """mean + std * a standard normal number, elementwise."""
    from .ops.random import randn

    if not isinstance(std, Tensor):
        check_std(std)
    elif STATE.tracer is None and std.type_.numel and bool((std < 0).any()):  # type: ignore
        raise RuntimeError("normal expects all elements of std >= 0.0")
    if size is not None:
        dtype = made_dtype(dtype, out, dtypes.get_default_dtype())
    if out is not None and not (out.dtype.is_floating_point or out.dtype.is_complex):
        raise NotImplementedError(f"\"normal_kernel_cpu\" not implemented for '{out.dtype.title}'")
    if size is not None:
        y = randn(tuple(size), dtype, generator) * std + mean  # type: ignore[arg-type]
        return into(out, y.requires_grad_() if requires_grad else y)
    like = mean if isinstance(mean, Tensor) else std
    shape = broadcast_shapes(*[tuple(x.shape) for x in (mean, std) if isinstance(x, Tensor)])
    return into(out, randn(shape, like.dtype, generator) * std + mean)


def multinomial(
    input: Tensor,
    num_samples: int,
    replacement: bool = False,
    *,
    generator: Any = None,
    out: Any = None,
) -> Tensor:
    """Indices drawn by the weights of each row."""
    import numpy as np

    from .core.tensor import wrap
    from .ops.random import rand

    if input.ndim not in (1, 2):
        raise RuntimeError("prob_dist must be 1 or 2 dim")
    if not input.dtype.is_floating_point:
        raise RuntimeError(
            "multinomial only supports floating-point dtypes for input, got: " + input.dtype.title
        )
    if num_samples <= 0:
        raise RuntimeError("cannot sample n_sample <= 0 samples")
    if input.shape[-1] > 1 << 24:
        raise RuntimeError("number of categories cannot exceed 2^24")
    w = np.atleast_2d(input.concrete("multinomial()").astype(np.float64))
    if replacement and num_samples > 1:
        said = "invalid multinomial distribution (encountering probability entry "
        if not (w >= 0).all():
            raise RuntimeError(said + "< 0)")
        if not np.isfinite(w).all():
            raise RuntimeError(said + "= infinity or NaN)")
    if not np.isfinite(w).all() or (w < 0).any():
        raise RuntimeError("probability tensor contains either `inf`, `nan` or element < 0")
    if (w.sum(1) <= 0).any():
        raise RuntimeError("invalid multinomial distribution (sum of probabilities <= 0)")
    if not replacement and num_samples > w.shape[1]:
        raise RuntimeError(
            "cannot sample n_sample > prob_dist.size(-1) samples without replacement"
        )
    if replacement:
        u = rand((w.shape[0], num_samples), dtypes.float64, generator)._array
        edges = np.cumsum(w, axis=1)
        rows = [np.searchsorted(e, x * e[-1], side="right") for e, x in zip(edges, u, strict=True)]
        at = np.minimum(np.stack(rows), w.shape[1] - 1)
    else:
        u = rand(w.shape, dtypes.float64, generator)._array
        with np.errstate(divide="ignore"):
            keys = np.log1p(-u) / w  # exponential races: the smallest |key| is drawn first
        at = np.argsort(-keys, axis=1, kind="stable")[:, :num_samples]
    at = at.astype(np.int64)
    text = "multinomial expects Long tensor out, got: {Got}"
    return into(out, wrap(np.ascontiguousarray(at if input.ndim == 2 else at[0])), text)


def scalar_tensor(s: Any, *, dtype: DType | None = None) -> Tensor:
    """A 0-d tensor."""
    return as_tensor(s, dtype or dtypes.get_default_dtype())


entry.wrap(__name__, globals())
autocast.wrap("", globals())


def detach(input: Tensor) -> Tensor:
    """input without history, over the same memory."""
    return input.detach()  # type: ignore[attr-defined]


def fill_(input: Tensor, value: Any) -> Tensor:
    """Sets every element of input."""
    return input.fill_(value)  # type: ignore[attr-defined]


def zero_(input: Tensor) -> Tensor:
    """Sets every element of input to zero."""
    return input.zero_()  # type: ignore[attr-defined]
