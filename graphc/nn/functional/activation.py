"""Activation functions.

Takes a tensor, gives one of its shape (glu halves an axis). `inplace=True` writes the result into
the input. Invariant: each function is one op or a composition of ops whose gradient is PyTorch's
for finite inputs.
https://docs.pytorch.org/docs/stable/nn.functional.html#non-linear-activation-functions """

from __future__ import annotations

import warnings
from typing import Any

from ...base import entry
from ...base.dtypes import bool_
from ...base.errors import users_level
from ...core.inplace import apply_inplace
from ...core.tensor import Tensor
from ...ops import pointwise as pw
from ...out import into, shown
from ._common import in_place

_SELU_ALPHA = 1.6732632423543772848170429916717
_SELU_SCALE = 1.0507009873554804934193349852946


def _float_input(name: str, input: Tensor) -> None:
    if not input.dtype.is_floating_point:
        raise NotImplementedError(f'"{name}" not implemented for \'{input.dtype.title}\'')


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """max(x, 0); nan stays nan."""
    if input.dtype is bool_:
        raise RuntimeError("Boolean inputs not supported for relu")
    return apply_inplace(pw.relu, (input,)) if inplace else pw.relu(input)


def relu_(input: Tensor) -> Tensor:
    """relu in place."""
    return relu(input, inplace=True)


def sigmoid(input: Tensor) -> Tensor:
    """1 / (1 + exp(-x))."""
    return pw.sigmoid(input)


def tanh(input: Tensor) -> Tensor:
    """The hyperbolic tangent."""
    return pw.tanh(input)


def logsigmoid(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """log(sigmoid(x)), without overflow."""
    _float_input("log_sigmoid_cpu", input)
    return into(out, pw.log_sigmoid(input), "expected scalar type {Want} but found {Got}")


_FOUND = "Found dtype {Got} but expected {Want}"


def gelu(input: Tensor, *, approximate: str = "none", out: Tensor | None = None) -> Tensor:
    """x * Phi(x); approximate="tanh" uses the tanh formula. Hendrycks and Gimpel 2016."""
    _float_input("GeluKernelImpl", input)
    if approximate == "none":
        return into(out, pw.gelu(input), _FOUND)
    if approximate == "tanh":
        return into(out, pw.gelu_tanh(input), _FOUND)
    raise RuntimeError("approximate argument must be either none or tanh.")


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """x * sigmoid(x)."""
    if not input.dtype.is_complex:
        _float_input("silu_cpu", input)
    if inplace:
        return in_place(silu, input)
    if input.dtype.is_complex:
        return input * pw.sigmoid(input)
    return pw.silu(input)


@shown("MishBackward0")
def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """x * tanh(softplus(x)). Misra 2019."""
    _float_input("mish_cpu", input)
    if inplace:
        return in_place(mish, input)
    return input * pw.tanh(softplus(input))


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """x where x > 0, else negative_slope * x."""
    _float_input("leaky_relu_cpu", input)
    if inplace:
        return in_place(leaky_relu, input, negative_slope)
    return pw.leaky_relu(input, float(negative_slope))


def leaky_relu_(input: Tensor, negative_slope: float = 0.01) -> Tensor:
    """leaky_relu in place."""
    return leaky_relu(input, negative_slope, inplace=True)


@shown("PreluKernelBackward0")
def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """leaky_relu with learned slopes: one, or one per channel (axis 1)."""
    if weight.ndim > 1:
        raise RuntimeError("prelu: Expected `weight` to be a scalar or 1D tensor, but got: ndim = "
                           f"{weight.ndim}")
    if weight.numel() != 1:
        channels = input.shape[1] if input.ndim > 1 else 1
        if channels != weight.numel():
            raise RuntimeError("Mismatch of parameter numbers and input channel size. Found "
                               f"parameter numbers = {weight.numel()} and channel size = "
                               f"{channels}.")
        weight = weight.view(1, channels, *(1,) * (input.ndim - 2))
    elif input.ndim == 0:
        weight = weight.reshape(())
    return pw.where(input > 0, input, weight * input)


def rrelu(input: Tensor, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False,
          inplace: bool = False) -> Tensor:
    """leaky_relu with slopes drawn from U(lower, upper) in training, their mean otherwise. Xu et
    al. 2015."""
    _float_input("leaky_relu_cpu", input)
    if lower > upper:
        raise RuntimeError("Lower bound should be less than or equal to the upper bound")
    if inplace:
        return in_place(rrelu, input, lower, upper, training)
    if not training:
        return pw.leaky_relu(input, (lower + upper) / 2)
    slope = input.detach().clone().uniform_(lower, upper)
    return pw.where(input <= 0, input * slope, input)


def rrelu_(input: Tensor, lower: float = 1.0 / 8, upper: float = 1.0 / 3,
           training: bool = False) -> Tensor:
    """rrelu in place."""
    return rrelu(input, lower, upper, training, inplace=True)


def _elu(input: Tensor, alpha: float, scale: float = 1.0, input_scale: float = 1.0) -> Tensor:
    _float_input("elu_cpu", input)
    # The exponential sees non-positive values only: no overflow, so no 0 * inf in the gradient.
    low = pw.clamp_max(input, 0.0)
    low = pw.expm1(low if input_scale == 1.0 else low * input_scale) * (alpha * scale)
    return pw.where(input > 0, input if scale == 1.0 else input * scale, low)


@shown("EluBackward0")
def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x where x > 0, else alpha * (exp(x) - 1). Clevert et al. 2015."""
    if inplace:
        return in_place(elu, input, alpha)
    return _elu(input, alpha)


def elu_(input: Tensor, alpha: float = 1.0) -> Tensor:
    """elu in place."""
    return elu(input, alpha, inplace=True)


@shown("EluBackward0")
def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """The scaled elu of self-normalising networks. Klambauer et al. 2017."""
    if inplace:
        return in_place(selu, input)
    return _elu(input, _SELU_ALPHA, _SELU_SCALE)


def selu_(input: Tensor) -> Tensor:
    """selu in place."""
    return selu(input, inplace=True)


@shown("CeluBackward0")
def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """max(0, x) + min(0, alpha * (exp(x / alpha) - 1)). Barron 2017."""
    if inplace:
        return in_place(celu, input, alpha)
    if alpha == 0:
        raise RuntimeError("ZeroDivisionError: alpha cannot be 0 for CELU")
    return _elu(input, alpha, 1.0, 1.0 / alpha)


def celu_(input: Tensor, alpha: float = 1.0) -> Tensor:
    """celu in place."""
    return celu(input, alpha, inplace=True)


@shown("HardtanhBackward0")
def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0,
             inplace: bool = False) -> Tensor:
    """x clamped to [min_val, max_val]; the gradient is 0 at the bounds and beyond."""
    if inplace:
        return in_place(hardtanh, input, min_val, max_val)
    if min_val > max_val:
        raise ValueError("min_val cannot be greater than max_val")
    if input.dtype is bool_:
        raise RuntimeError("Bool inputs not supported for hardtanh")
    if not input.dtype.is_floating_point:
        return input.clamp(int(min_val), int(max_val))
    inside = (input > min_val) & (input < max_val) | pw.isnan(input)
    return pw.where(inside, input, input.detach().clamp(min_val, max_val))


def hardtanh_(input: Tensor, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """hardtanh in place."""
    return hardtanh(input, min_val, max_val, inplace=True)


@shown("HardtanhBackward0")
def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """min(max(x, 0), 6)."""
    return hardtanh(input, 0.0, 6.0, inplace)


@shown("HardsigmoidBackward0")
def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """relu6(x + 3) / 6."""
    _float_input("hardsigmoid_cpu", input)
    if inplace:
        return in_place(hardsigmoid, input)
    return hardtanh(input + 3, 0.0, 6.0) / 6


@shown("HardswishBackward0")
def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """x * relu6(x + 3) / 6. Howard et al. 2019."""
    _float_input("hardswish_cpu", input)
    if inplace:
        return in_place(hardswish, input)
    y = input * hardtanh(input + 3, 0.0, 6.0) / 6
    return pw.where(input <= -3, y.detach(), y)  # flat there, whatever the cotangent


def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """x where x > threshold, else value."""
    if inplace:
        return in_place(_threshold, input, threshold, value)
    if not input.dtype.is_floating_point:
        value = int(value)
    return pw.where(input <= threshold, value, input)


def threshold_(input: Tensor, threshold: float, value: float) -> Tensor:
    """threshold in place."""
    return _threshold(input, threshold, value, True)


_threshold = threshold      # the parameter of that name hides the function


@shown("SoftplusBackward0")
def softplus(
    input: Tensor, beta: float = 1.0, threshold: float = 20.0, *, out: Tensor | None = None
) -> Tensor:
    """log(1 + exp(beta * x)) / beta; x itself where beta * x > threshold."""
    _float_input("softplus_cpu", input)
    scaled = input if beta == 1 else input * beta
    soft = -pw.log_sigmoid(-scaled)
    y = pw.where(scaled > threshold, input, soft if beta == 1 else soft / beta)
    return into(out, y, _FOUND)


def softsign(input: Tensor) -> Tensor:
    """x / (1 + |x|)."""
    return input / (pw.abs(input) + 1)


def tanhshrink(input: Tensor) -> Tensor:
    """x - tanh(x)."""
    return input - pw.tanh(input)


def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """x moved towards 0 by lambd, and 0 within [-lambd, lambd]."""
    _float_input("softshrink_check", input)
    if lambd < 0:
        raise RuntimeError(f"lambda must be greater or equal to 0, but found to be {lambd:g}.")
    return pw.where(input > lambd, input - lambd,
                    pw.where(input < -lambd, input + lambd, input.detach() * 0.0))


def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """x outside [-lambd, lambd], 0 inside."""
    _float_input("hardshrink_cpu", input)
    return pw.where((input >= -lambd) & (input <= lambd), 0.0, input)


@shown("GluBackward0")
def glu(input: Tensor, dim: int = -1) -> Tensor:
    """a * sigmoid(b) of the two halves of axis `dim`. Dauphin et al. 2016."""
    _float_input("glu_cpu", input)
    if input.ndim == 0:
        raise RuntimeError("glu does not support scalars because halving size must be even")
    size = input.shape[dim]
    if size % 2:
        raise RuntimeError(f"Halving dimension must be even, but dimension {dim % input.ndim} is "
                           f"size {size}")
    a, b = input.chunk(2, dim)
    return a * pw.sigmoid(b)


# ---------------------------------------------------------------- softmax family

def _implicit_dim(name: str, ndim: int) -> int:
    warnings.warn(f"Implicit dimension choice for {name} has been deprecated. Change the call to "
                  "include dim=X as an argument.", stacklevel=users_level())
    return 0 if ndim in (0, 1, 3) else 1


def softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3,
            dtype: Any = None) -> Tensor:
    """exp(x) / sum(exp(x)) along `dim`; `dtype` casts first. Without dim a warning and a guess."""
    if dim is None:
        dim = _implicit_dim("softmax", input.ndim)
    return input.softmax(dim) if dtype is None else input.softmax(dim, dtype=dtype)


def log_softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3,
                dtype: Any = None) -> Tensor:
    """log(softmax(x)) along `dim`, computed without underflow."""
    if dim is None:
        dim = _implicit_dim("log_softmax", input.ndim)
    return input.log_softmax(dim) if dtype is None else input.log_softmax(dim, dtype=dtype)


def softmin(input: Tensor, dim: int | None = None, _stacklevel: int = 3,
            dtype: Any = None) -> Tensor:
    """softmax(-x)."""
    if dim is None:
        dim = _implicit_dim("softmin", input.ndim)
    return softmax(-input, dim, dtype=dtype)


def gumbel_softmax(logits: Tensor, tau: float = 1, hard: bool = False, eps: float = 1e-10,
                   dim: int = -1) -> Tensor:
    """A sample of the Gumbel-softmax distribution; `hard` gives one-hot values with the soft
    gradient. Jang et al. 2016, Maddison et al. 2016."""
    if eps != 1e-10:
        warnings.warn("`eps` parameter is deprecated and has no effect.", stacklevel=users_level())
    # -log(-log(u)) is Gumbel distributed; the uniform numbers are kept off 0 and 1.
    u = logits.detach().clone().uniform_(1e-38, 1.0).clamp(max=1 - 2.0**-24)
    gumbels = -pw.log(-pw.log(u))
    soft = ((logits + gumbels) / tau).softmax(dim)
    if not hard:
        return soft
    index = soft.argmax(dim, keepdim=True)
    one_hot = soft.detach().clone().zero_().scatter(dim, index, 1.0)
    return one_hot - soft.detach() + soft


entry.wrap(__name__, globals())
