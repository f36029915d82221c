"""Convolution layers: Conv1d to Conv3d and their transposes.

Weights start as U(-b, b) with b = 1 / sqrt(fan in), biases likewise.
https://docs.pytorch.org/docs/stable/nn.html#convolution-layers
"""

from __future__ import annotations

import math
from typing import Any

from ...core.tensor import Tensor
from ...creation import empty
from .. import functional as F
from .. import init
from ..parameter import Parameter
from .module import Module
from .utils import _ntuple, _reverse_repeat_tuple

_MODES = {"zeros", "reflect", "replicate", "circular"}


class _ConvNd(Module):
    """What all of them hold: channels, window, weight and bias."""

    axes: int
    in_channels: int
    out_channels: int
    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]
    padding: str | tuple[int, ...]
    dilation: tuple[int, ...]
    transposed: bool
    output_padding: tuple[int, ...]
    groups: int
    padding_mode: str
    weight: Tensor

    def __init__(self, in_channels: int, out_channels: int, kernel_size: tuple, stride: tuple,
                 padding: Any, dilation: tuple, transposed: bool, output_padding: tuple,
                 groups: int, bias: bool, padding_mode: str, device: Any = None,
                 dtype: Any = None) -> None:
        super().__init__()
        if groups <= 0:
            raise ValueError("groups must be a positive integer")
        if in_channels % groups != 0:
            raise ValueError("in_channels must be divisible by groups")
        if out_channels % groups != 0:
            raise ValueError("out_channels must be divisible by groups")
        if isinstance(padding, str):
            valid = {"same", "valid"}
            if padding not in valid:
                raise ValueError(f"Invalid padding string {padding!r}, should be one of {valid}")
            if padding == "same" and any(s != 1 for s in stride):
                raise ValueError("padding='same' is not supported for strided convolutions")
        if padding_mode not in _MODES:
            raise ValueError(f"padding_mode must be one of {_MODES}, but got "
                             f"padding_mode='{padding_mode}'")
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding
        self.dilation, self.transposed, self.output_padding = dilation, transposed, output_padding
        self.groups, self.padding_mode = groups, padding_mode
        self._reversed_padding_repeated_twice = self._both_sides()
        channels = ((in_channels, out_channels // groups) if transposed
                    else (out_channels, in_channels // groups))
        self.weight = Parameter(empty((*channels, *kernel_size), device=device, dtype=dtype))
        if bias:
            self.bias = Parameter(empty(out_channels, device=device, dtype=dtype))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def _both_sides(self) -> list:
        """Zeros before and after each axis, last axis first, as F.pad takes them."""
        if not isinstance(self.padding, str):
            return list(_reverse_repeat_tuple(self.padding, 2))
        out = [0, 0] * len(self.kernel_size)
        if self.padding == "same":
            for i, (d, k) in enumerate(zip(reversed(self.dilation), reversed(self.kernel_size),
                                           strict=True)):
                total = d * (k - 1)
                out[2 * i], out[2 * i + 1] = total // 2, total - total // 2
        return out

    def reset_parameters(self) -> None:
        """Draws weight and bias anew."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            fan_in, _ = init._calculate_fan_in_and_fan_out(self.weight)
            if fan_in != 0:
                bound = 1 / math.sqrt(fan_in)
                init.uniform_(self.bias, -bound, bound)

    def extra_repr(self) -> str:
        out = (f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, "
               f"stride={self.stride}")
        if self.padding != (0,) * len(self.stride):
            out += f", padding={self.padding}"
        if self.dilation != (1,) * len(self.dilation):
            out += f", dilation={self.dilation}"
        if self.output_padding != (0,) * len(self.output_padding):
            out += f", output_padding={self.output_padding}"
        if self.groups != 1:
            out += f", groups={self.groups}"
        if self.bias is None:
            out += ", bias=False"
        if self.padding_mode != "zeros":
            out += f", padding_mode={self.padding_mode}"
        return out

    def __setstate__(self, state: dict) -> None:
        super().__setstate__(state)
        if not hasattr(self, "padding_mode"):
            self.padding_mode = "zeros"


class _Conv(_ConvNd):
    """The layers from input to fewer places: one constructor for all numbers of axes."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1,
                 padding: Any = 0, dilation: Any = 1, groups: int = 1, bias: bool = True,
                 padding_mode: str = "zeros", device: Any = None, dtype: Any = None) -> None:
        per_axis = _ntuple(self.axes)
        super().__init__(in_channels, out_channels, per_axis(kernel_size), per_axis(stride),
                         padding if isinstance(padding, str) else per_axis(padding),
                         per_axis(dilation), False, per_axis(0), groups, bias, padding_mode,
                         device, dtype)

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        padding: Any = self.padding
        if self.padding_mode != "zeros":
            input = F.pad(input, self._reversed_padding_repeated_twice, mode=self.padding_mode)
            padding = (0,) * self.axes
        conv = (F.conv1d, F.conv2d, F.conv3d)[self.axes - 1]
        return conv(input, weight, bias, self.stride, padding, self.dilation, self.groups)

    def forward(self, input: Tensor) -> Tensor:
        return self._conv_forward(input, self.weight, self.bias)


class Conv1d(_Conv):
    """(N, C, L) -> (N, O, L'); weight (O, C / groups, K).
    https://docs.pytorch.org/docs/stable/generated/torch.nn.Conv1d.html"""

    axes = 1


class Conv2d(_Conv):
    """(N, C, H, W) -> (N, O, H', W'); weight (O, C / groups, KH, KW).
    https://docs.pytorch.org/docs/stable/generated/torch.nn.Conv2d.html"""

    axes = 2


class Conv3d(_Conv):
    """(N, C, D, H, W) -> (N, O, D', H', W'); weight (O, C / groups, KD, KH, KW).
    https://docs.pytorch.org/docs/stable/generated/torch.nn.Conv3d.html"""

    axes = 3


class _ConvTransposeNd(_ConvNd):
    """The layers from input to more places."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1,
                 padding: Any = 0, output_padding: Any = 0, groups: int = 1, bias: bool = True,
                 dilation: Any = 1, padding_mode: str = "zeros", device: Any = None,
                 dtype: Any = None) -> None:
        if padding_mode != "zeros":
            raise ValueError(f'Only "zeros" padding mode is supported for {type(self).__name__}')
        per_axis = _ntuple(self.axes)
        super().__init__(in_channels, out_channels, per_axis(kernel_size), per_axis(stride),
                         per_axis(padding), per_axis(dilation), True, per_axis(output_padding),
                         groups, bias, padding_mode, device, dtype)

    def _output_padding(self, input: Tensor, output_size: Any, stride: tuple, padding: tuple,
                        kernel_size: tuple, num_spatial_dims: int, dilation: Any = None) -> tuple:
        """What has to be added at the ends to get `output_size` places. ValueError for sizes that
        no padding below the stride gives."""
        if output_size is None:
            return self.output_padding
        lead = 2 if input.ndim == num_spatial_dims + 2 else 1
        wanted = output_size
        if len(wanted) == lead + num_spatial_dims:
            wanted = wanted[lead:]
        if len(wanted) != num_spatial_dims:
            raise ValueError(
                f"ConvTranspose{num_spatial_dims}D: for {input.dim()}D input, output_size must "
                f"have {num_spatial_dims} or {lead + num_spatial_dims} elements (got "
                f"{len(output_size)})")
        dilation = dilation or (1,) * num_spatial_dims
        least = [(input.shape[lead + d] - 1) * stride[d] - 2 * padding[d]
                 + dilation[d] * (kernel_size[d] - 1) + 1 for d in range(num_spatial_dims)]
        most = [n + s - 1 for n, s in zip(least, stride, strict=True)]
        if any(n < lo or n > hi for n, lo, hi in zip(wanted, least, most, strict=True)):
            raise ValueError(
                f"requested an output size of {wanted}, but valid sizes range from {least} to "
                f"{most} (for an input of {input.shape[lead:]})")
        return tuple(n - lo for n, lo in zip(wanted, least, strict=True))

    def forward(self, input: Tensor, output_size: Any = None) -> Tensor:
        padding: Any = self.padding
        extra = self._output_padding(input, output_size, self.stride, padding, self.kernel_size,
                                     self.axes, self.dilation)
        conv = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[self.axes - 1]
        return conv(input, self.weight, self.bias, self.stride, padding, extra, self.groups,
                    self.dilation)


class ConvTranspose1d(_ConvTransposeNd):
    """(N, C, L) -> (N, O, L'); weight (C, O / groups, K).
    https://docs.pytorch.org/docs/stable/generated/torch.nn.ConvTranspose1d.html"""

    axes = 1


class ConvTranspose2d(_ConvTransposeNd):
    """(N, C, H, W) -> (N, O, H', W'); weight (C, O / groups, KH, KW).
    https://docs.pytorch.org/docs/stable/generated/torch.nn.ConvTranspose2d.html"""

    axes = 2


class ConvTranspose3d(_ConvTransposeNd):
    """(N, C, D, H, W) -> (N, O, D', H', W'); weight (C, O / groups, KD, KH, KW).
    https://docs.pytorch.org/docs/stable/generated/torch.nn.ConvTranspose3d.html"""

    axes = 3
