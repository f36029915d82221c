"""Convolutions and transposed convolutions over one to three spatial axes.

Inputs are (N, C, *spatial) or (C, *spatial). Invariant: every check raises PyTorch's error before
an op runs. https://docs.pytorch.org/docs/stable/nn.functional.html#convolution-functions
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from ...base import dtypes, entry
from ...base.errors import users_level
from ...core import autocast
from ...core.tensor import Tensor
from ...ops import conv as ops
from ...ops import gather
from ._common import in_layout_of

_AXES = ("depth", "height", "width")
_WORDS = {"int64_t": "long int", "int32_t": "int", "int16_t": "short", "int8_t": "signed char",
          "uint8_t": "unsigned char", "double _Complex": "c10::complex<double>",
          "float _Complex": "c10::complex<float>"}


def conv1d(input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1,
           padding: Any = 0, dilation: Any = 1, groups: int = 1) -> Tensor:
    """input (N, C, L) or (C, L), weight (O, C / groups, K): (N, O, L') or (O, L').

    padding: numbers, "valid" or "same" (stride 1 only). RuntimeError, with PyTorch's text, for
    shapes that do not fit. https://docs.pytorch.org/docs/stable/generated/torch.nn.Conv1d.html"""
    return _conv("conv1d", 1, input, weight, bias, stride, padding, dilation, groups)


def conv2d(input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1,
           padding: Any = 0, dilation: Any = 1, groups: int = 1) -> Tensor:
    """input (N, C, H, W) or (C, H, W), weight (O, C / groups, KH, KW); else as conv1d.
    https://docs.pytorch.org/docs/stable/generated/torch.nn.Conv2d.html"""
    return _conv("conv2d", 2, input, weight, bias, stride, padding, dilation, groups)


def conv3d(input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1,
           padding: Any = 0, dilation: Any = 1, groups: int = 1) -> Tensor:
    """input (N, C, D, H, W) or (C, D, H, W), weight (O, C / groups, KD, KH, KW); else as conv1d.
    https://docs.pytorch.org/docs/stable/generated/torch.nn.Conv3d.html"""
    return _conv("conv3d", 3, input, weight, bias, stride, padding, dilation, groups)


def conv_transpose1d(input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1,
                     padding: Any = 0, output_padding: Any = 0, groups: int = 1,
                     dilation: Any = 1) -> Tensor:
    """input (N, C, L) or (C, L), weight (C, O / groups, K): the gradient of a conv1d with that
    weight. https://docs.pytorch.org/docs/stable/generated/torch.nn.ConvTranspose1d.html"""
    return _transposed("conv_transpose1d", 1, input, weight, bias, stride, padding, output_padding,
                       groups, dilation)


def conv_transpose2d(input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1,
                     padding: Any = 0, output_padding: Any = 0, groups: int = 1,
                     dilation: Any = 1) -> Tensor:
    """input (N, C, H, W) or (C, H, W), weight (C, O / groups, KH, KW).
    https://docs.pytorch.org/docs/stable/generated/torch.nn.ConvTranspose2d.html"""
    return _transposed("conv_transpose2d", 2, input, weight, bias, stride, padding, output_padding,
                       groups, dilation)


def conv_transpose3d(input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1,
                     padding: Any = 0, output_padding: Any = 0, groups: int = 1,
                     dilation: Any = 1) -> Tensor:
    """input (N, C, D, H, W) or (C, D, H, W), weight (C, O / groups, KD, KH, KW).
    https://docs.pytorch.org/docs/stable/generated/torch.nn.ConvTranspose3d.html"""
    return _transposed("conv_transpose3d", 3, input, weight, bias, stride, padding, output_padding,
                       groups, dilation)


def convolution(input: Tensor, weight: Tensor, bias: Tensor | None, stride: Sequence[int],
                padding: Sequence[int], dilation: Sequence[int], transposed: bool,
                output_padding: Sequence[int], groups: int) -> Tensor:
    """The general form of all of these; the number of axes is the weight's. Batched input only."""
    axes = weight.ndim - 2
    if transposed:
        return _transposed("convolution", axes, input, weight, bias, stride, padding,
                           output_padding, groups, dilation)
    return _conv("convolution", axes, input, weight, bias, stride, padding, dilation, groups)


def conv_tbc(input: Tensor, weight: Tensor, bias: Tensor, pad: int = 0) -> Tensor:
    """A 1-d convolution of time x batch x channels: input (T, N, C), weight (K, C, O), bias (O).
    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.conv_tbc.html"""
    if input.ndim != 3:
        raise RuntimeError("Input must have 3 dims: time, batch, in_channel")
    if weight.ndim != 3:
        raise RuntimeError("Weight tensor must have 3 dims: kernel_width, in_channels, "
                           "out_channels.")
    if bias.ndim != 1:
        raise RuntimeError("Bias must be 1-D")
    if input.shape[2] != weight.shape[1]:
        raise RuntimeError("Input dim 2 (input channels) is not == dim 1 in the weight tensor")
    if bias.shape[0] != weight.shape[2]:
        raise RuntimeError("Bias size must equal dim 2 in the weight tensor (output channels).")
    out = conv1d(input.permute(1, 2, 0), weight.permute(2, 1, 0), bias, 1, pad)
    return out.permute(2, 0, 1).contiguous()


# ---------------------------------------------------------------- what they share


def _conv(name: str, axes: int, input: Tensor, weight: Tensor, bias: Tensor | None, stride: Any,
          padding: Any, dilation: Any, groups: int) -> Tensor:
    batched = _batched(name, axes, input, weight)
    stride, dilation = _numbers("stride", stride, axes), _numbers("dilation", dilation, axes)
    x = input if batched else input.unsqueeze(0)
    if groups <= 0:
        raise RuntimeError("non-positive groups is not supported")
    if isinstance(padding, str):
        x, padding = _named_padding(x, weight, padding, stride, dilation)
    padding = _numbers("padding", padding, axes)
    _check_window(axes, weight, stride, padding, dilation, groups)
    o, c = weight.shape[0], weight.shape[1]
    if x.shape[1] != c * groups:
        raise RuntimeError(
            f"Given groups={groups}, weight of size {_sizes(weight)}, expected input{_sizes(x)} to "
            f"have {c * groups} channels, but got {x.shape[1]} channels instead")
    _check_bias(f"Given weight of size {_sizes(weight)}", bias, o)
    seen = [n + 2 * p for n, p in zip(x.shape[2:], padding, strict=True)]
    taps = [d * (k - 1) + 1 for d, k in zip(dilation, weight.shape[2:], strict=True)]
    if any(n < k for n, k in zip(seen, taps, strict=True)):
        raise RuntimeError(
            f"Calculated padded input size per channel: ({_product(seen)}). Kernel size: "
            f"({_product(taps)}). Kernel size can't be greater than actual input size")
    _check_dtypes(x, weight, bias)
    window = (stride, padding, dilation, groups)
    if x.dtype.is_complex:
        out = _complex(lambda a, b: ops.convolution(a, b, *window), x, weight, bias)
    else:
        out = (ops.convolution(x, weight, *window) if bias is None
               else ops.convolution_biased(x, weight, bias, *window))
    if axes == 2 or axes == 3 and x.dtype is not dtypes.float64:
        out = in_layout_of(out, x, weight)
    return out if batched else out.squeeze(0)


def _transposed(name: str, axes: int, input: Tensor, weight: Tensor, bias: Tensor | None,
                stride: Any, padding: Any, output_padding: Any, groups: int,
                dilation: Any) -> Tensor:
    batched = _batched(name, axes, input, weight)
    stride, dilation = _numbers("stride", stride, axes), _numbers("dilation", dilation, axes)
    padding = _numbers("padding", padding, axes)
    extra = _numbers("output_padding", output_padding, axes)
    if any(n < 0 for n in extra) and all(n >= 0 for n in padding):
        raise RuntimeError("negative output_padding is not supported")
    _check_window(axes, weight, stride, padding, dilation, groups)
    x = input if batched else input.unsqueeze(0)
    if x.shape[1] != weight.shape[0]:
        raise RuntimeError(
            f"Given transposed=1, weight of size {_sizes(weight)}, expected input{_sizes(x)} to "
            f"have {weight.shape[0]} channels, but got {x.shape[1]} channels instead")
    channels = weight.shape[1] * groups
    _check_bias(f"Given transposed=1, weight of size {_sizes(weight)}", bias, channels)
    if any(e >= s and e >= d for e, s, d in zip(extra, stride, dilation, strict=True)):
        raise RuntimeError("output padding must be smaller than either stride or dilation, but got "
                           + " ".join(_named_axes(n, v) for n, v in (
                               ("output_padding", extra), ("stride", stride),
                               ("dilation", dilation))))
    size = tuple((n - 1) * s - 2 * p + d * (k - 1) + e + 1 for n, s, p, d, k, e in zip(
        x.shape[2:], stride, padding, dilation, weight.shape[2:], extra, strict=True))
    if any(n < 1 for n in size):
        raise RuntimeError(
            f"Given input size per channel: ({_product(x.shape[2:])}). Calculated output size per "
            f"channel: ({_product(size)}). Output size is too small")
    _check_dtypes(x, weight, bias)
    shape = (x.shape[0], channels, *size)
    window = (shape, stride, padding, dilation, groups)
    if x.dtype.is_complex:
        out = _complex(lambda a, b: ops.convolution_input(a, b, *window), x, weight, bias)
    else:
        out = (ops.convolution_input(x, weight, *window) if bias is None
               else ops.transposed_biased(x, weight, bias, *window))
    if axes == 2 or axes == 3 and x.dtype is not dtypes.float64:
        out = in_layout_of(out, x, weight)
    return out if batched else out.squeeze(0)


def _complex(conv: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """A convolution of complex tensors, from four of their parts."""
    from ...complex_numbers import complex

    (a, b), (c, d) = ((t.real, t.imag) for t in (x, weight))
    out = complex(conv(a, c) - conv(b, d), conv(a, d) + conv(b, c))
    return out if bias is None else out + bias.reshape(1, -1, *[1] * (out.ndim - 2))


def _batched(name: str, axes: int, input: Tensor, weight: Tensor) -> bool:
    for position, (what, t) in enumerate((("input", input), ("weight", weight))):
        if not isinstance(t, Tensor):
            raise TypeError(f"{name}(): argument '{what}' (position {position + 1}) must be "
                            f"Tensor, not {type(t).__name__}")
    if weight.ndim < 3:
        raise RuntimeError("weight should have at least three dimensions")
    if input.ndim not in (axes + 1, axes + 2):
        raise RuntimeError(f"Expected {axes + 1}D (unbatched) or {axes + 2}D (batched) input to "
                           f"{name}, but got input of size: {_sizes(input)}")
    return input.ndim == axes + 2


def _numbers(name: str, value: Any, axes: int) -> tuple[int, ...]:
    """One int per axis."""
    values = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    for v in values:
        if isinstance(v, (float, bool)) or not hasattr(v, "__index__"):
            raise TypeError(f"argument '{name}' must be tuple of ints, not {type(v).__name__}")
    if len(values) == 1:
        values *= axes
    if len(values) != axes:
        raise RuntimeError(
            f"expected {name} to be a single integer value or a list of {axes} values to match the "
            f"convolution dimensions, but got {name}={list(values)}")
    return tuple(int(v) for v in values)


def _named_padding(x: Tensor, weight: Tensor, padding: str, stride: tuple,
                   dilation: tuple) -> tuple:
    """(input, padding) for "valid" and "same"; an odd number of zeros leaves one for the end."""
    if padding == "valid":
        return x, (0,) * len(stride)
    if padding != "same":
        raise RuntimeError(f"Invalid padding string: '{padding}'")
    if any(s != 1 for s in stride):
        raise RuntimeError("padding='same' is not supported for strided convolutions")
    if weight.ndim != x.ndim:
        raise RuntimeError(
            f"Expected {weight.ndim}-dimensional input for {weight.ndim}-dimensional "
            f"weight{_sizes(weight)}, but got {x.ndim}-dimensional input of size {_sizes(x)} "
            "instead")
    total = [d * (k - 1) for d, k in zip(dilation, weight.shape[2:], strict=True)]
    if any(n % 2 for n in total):
        warnings.warn("Using padding='same' with even kernel lengths and odd dilation may require "
                      "a zero-padded copy of the input be created", stacklevel=users_level())
        x = gather.pad_constant(x, ((0, 0), (0, 0), *[(0, n % 2) for n in total]), 0.0)
    return x, tuple(n // 2 for n in total)


def _check_window(axes: int, weight: Tensor, stride: tuple, padding: tuple, dilation: tuple,
                  groups: int) -> None:
    if groups <= 0:
        raise RuntimeError("non-positive groups is not supported")
    if any(n < 0 for n in padding):
        raise RuntimeError("negative padding is not supported")
    if any(n <= 0 for n in stride):
        raise RuntimeError("non-positive stride is not supported")
    if any(n < 0 for n in dilation):
        raise RuntimeError("dilation should be greater than zero")
    if any(n == 0 for n in dilation):
        raise RuntimeError(f"dilation should be greater than zero, but got {list(dilation)}")
    if weight.ndim != axes + 2:
        raise RuntimeError(
            f"expected stride to be a single integer value or a list of {weight.ndim - 2} values "
            f"to match the convolution dimensions, but got stride={list(stride)}")
    if weight.shape[0] < groups:
        raise RuntimeError(
            f"Given groups={groups}, expected weight to be at least {groups} at dimension 0, but "
            f"got weight of size {_sizes(weight)} instead")
    if weight.shape[0] % groups:
        raise RuntimeError(
            f"Given groups={groups}, expected weight to be divisible by {groups} at dimension 0, "
            f"but got weight of size [{_sizes(weight)}] instead")


def _check_bias(given: str, bias: Tensor | None, channels: Any) -> None:
    if bias is not None and (bias.ndim != 1 or bias.shape[0] != channels):
        raise RuntimeError(f"{given}, expected bias to be 1-dimensional with {channels} elements, "
                           f"but got bias of size {_sizes(bias)} instead")


def _check_dtypes(x: Tensor, weight: Tensor, bias: Tensor | None) -> None:
    if bias is not None and bias.dtype is not x.dtype:
        ours, theirs = (_WORDS.get(d.ctype, d.ctype) for d in (x.dtype, bias.dtype))
        raise RuntimeError(f"Input type ({ours}) and bias type ({theirs}) should be the same")
    if weight.dtype is not x.dtype:
        raise RuntimeError(f"expected scalar type {x.dtype.title} but found {weight.dtype.title}")
    if x.dtype is dtypes.bool_:
        raise NotImplementedError(f"\"slow_conv2d_cpu\" not implemented for '{x.dtype.title}'")


def _named_axes(name: str, values: tuple) -> str:
    """name_height: 1 name_width: 2; one axis counts as the width of a picture of height 1."""
    if len(values) == 1:
        values = (0 if name == "output_padding" else 1, *values)
    named = zip(_AXES[3 - len(values):], values, strict=True)
    return " ".join(f"{name}_{axis}: {v}" for axis, v in named)


def _sizes(t: Tensor) -> list:
    return list(t.shape)


def _product(sizes: Any) -> str:
    return " x ".join(map(str, sizes))

entry.wrap(__name__, globals())
autocast.wrap("functional", globals())
