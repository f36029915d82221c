"""Pooling layers: maxima, means and power means of windows, fixed, adaptive or random; unpooling.

https://docs.pytorch.org/docs/stable/nn.html#pooling-layers
"""

from __future__ import annotations

from typing import Any

from ...core.tensor import Tensor
from .. import functional as F
from .module import Module
from .utils import _ntuple


class _MaxPoolNd(Module):
    axes: int

    def __init__(self, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
                 return_indices: bool = False, ceil_mode: bool = False) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = stride if stride is not None else kernel_size
        self.padding, self.dilation = padding, dilation
        self.return_indices, self.ceil_mode = return_indices, ceil_mode

    def forward(self, input: Tensor) -> Any:
        pool = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[self.axes - 1]
        return pool(input, self.kernel_size, self.stride, self.padding, self.dilation,
                    ceil_mode=self.ceil_mode, return_indices=self.return_indices)

    def extra_repr(self) -> str:
        return (f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
                f"dilation={self.dilation}, ceil_mode={self.ceil_mode}")


class MaxPool1d(_MaxPoolNd):
    """The largest element of each window of (N, C, L).
    https://docs.pytorch.org/docs/stable/generated/torch.nn.MaxPool1d.html"""

    axes = 1


class MaxPool2d(_MaxPoolNd):
    """The largest element of each window of (N, C, H, W).
    https://docs.pytorch.org/docs/stable/generated/torch.nn.MaxPool2d.html"""

    axes = 2


class MaxPool3d(_MaxPoolNd):
    """The largest element of each window of (N, C, D, H, W).
    https://docs.pytorch.org/docs/stable/generated/torch.nn.MaxPool3d.html"""

    axes = 3


class _MaxUnpoolNd(Module):
    axes: int

    def __init__(self, kernel_size: Any, stride: Any = None, padding: Any = 0) -> None:
        super().__init__()
        per_axis = _ntuple(self.axes)
        self.kernel_size = per_axis(kernel_size)
        self.stride = per_axis(stride if stride is not None else kernel_size)
        self.padding = per_axis(padding)

    def forward(self, input: Tensor, indices: Tensor, output_size: Any = None) -> Tensor:
        unpool = (F.max_unpool1d, F.max_unpool2d, F.max_unpool3d)[self.axes - 1]
        return unpool(input, indices, self.kernel_size, self.stride, self.padding, output_size)

    def extra_repr(self) -> str:
        return (f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}")


class MaxUnpool1d(_MaxUnpoolNd):
    """Zeros with the elements at the places that MaxPool1d gave.
    https://docs.pytorch.org/docs/stable/generated/torch.nn.MaxUnpool1d.html"""

    axes = 1


class MaxUnpool2d(_MaxUnpoolNd):
    """Zeros with the elements at the places that MaxPool2d gave.
    https://docs.pytorch.org/docs/stable/generated/torch.nn.MaxUnpool2d.html"""

    axes = 2


class MaxUnpool3d(_MaxUnpoolNd):
    """Zeros with the elements at the places that MaxPool3d gave.
    https://docs.pytorch.org/docs/stable/generated/torch.nn.MaxUnpool3d.html"""

    axes = 3


class AvgPool1d(Module):
    """The mean of each window of (N, C, L).
    https://docs.pytorch.org/docs/stable/generated/torch.nn.AvgPool1d.html"""

    def __init__(self, kernel_size: Any, stride: Any = None, padding: Any = 0,
                 ceil_mode: bool = False, count_include_pad: bool = True) -> None:
        super().__init__()
        single = _ntuple(1)
        self.kernel_size = single(kernel_size)
        self.stride = single(stride if stride is not None else kernel_size)
        self.padding = single(padding)
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad

    def forward(self, input: Tensor) -> Tensor:
        return F.avg_pool1d(input, self.kernel_size, self.stride, self.padding, self.ceil_mode,
                            self.count_include_pad)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class _AvgPoolNd(Module):
    axes: int

    def __init__(self, kernel_size: Any, stride: Any = None, padding: Any = 0,
                 ceil_mode: bool = False, count_include_pad: bool = True,
                 divisor_override: int | None = None) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = stride if stride is not None else kernel_size
        self.padding, self.ceil_mode = padding, ceil_mode
        self.count_include_pad, self.divisor_override = count_include_pad, divisor_override

    def forward(self, input: Tensor) -> Tensor:
        pool = F.avg_pool2d if self.axes == 2 else F.avg_pool3d
        return pool(input, self.kernel_size, self.stride, self.padding, self.ceil_mode,
                    self.count_include_pad, self.divisor_override)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool2d(_AvgPoolNd):
    """The mean of each window of (N, C, H, W).
    https://docs.pytorch.org/docs/stable/generated/torch.nn.AvgPool2d.html"""

    axes = 2


class AvgPool3d(_AvgPoolNd):
    """The mean of each window of (N, C, D, H, W).
    https://docs.pytorch.org/docs/stable/generated/torch.nn.AvgPool3d.html"""

    axes = 3


class _LPPoolNd(Module):
    axes: int

    def __init__(self, norm_type: float, kernel_size: Any, stride: Any = None,
                 ceil_mode: bool = False) -> None:
        super().__init__()
        self.norm_type, self.kernel_size = norm_type, kernel_size
        self.stride, self.ceil_mode = stride, ceil_mode

    def forward(self, input: Tensor) -> Tensor:
        pool = (F.lp_pool1d, F.lp_pool2d, F.lp_pool3d)[self.axes - 1]
        return pool(input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode)

    def extra_repr(self) -> str:
        return (f"norm_type={self.norm_type}, kernel_size={self.kernel_size}, "
                f"stride={self.stride}, ceil_mode={self.ceil_mode}")


class LPPool1d(_LPPoolNd):
    """The power mean, without its division, of each window of (N, C, L).
    https://docs.pytorch.org/docs/stable/generated/torch.nn.LPPool1d.html"""

    axes = 1


class LPPool2d(_LPPoolNd):
    """LPPool1d over two axes.
    https://docs.pytorch.org/docs/stable/generated/torch.nn.LPPool2d.html"""

    axes = 2


class LPPool3d(_LPPoolNd):
    """LPPool1d over three axes.
    https://docs.pytorch.org/docs/stable/generated/torch.nn.LPPool3d.html"""

    axes = 3


class _AdaptiveMaxPoolNd(Module):
    axes: int

    def __init__(self, output_size: Any, return_indices: bool = False) -> None:
        super().__init__()
        self.output_size, self.return_indices = output_size, return_indices

    def forward(self, input: Tensor) -> Any:
        pool = (F.adaptive_max_pool1d, F.adaptive_max_pool2d, F.adaptive_max_pool3d)[self.axes - 1]
        return pool(input, self.output_size, self.return_indices)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveMaxPool1d(_AdaptiveMaxPoolNd):
    """Maxima of windows that cover (N, C, L).
    https://docs.pytorch.org/docs/stable/generated/torch.nn.AdaptiveMaxPool1d.html"""

    axes = 1


class AdaptiveMaxPool2d(_AdaptiveMaxPoolNd):
    """Maxima of windows that cover (N, C, H, W).
    https://docs.pytorch.org/docs/stable/generated/torch.nn.AdaptiveMaxPool2d.html"""

    axes = 2


class AdaptiveMaxPool3d(_AdaptiveMaxPoolNd):
    """Maxima of windows that cover (N, C, D, H, W).
    https://docs.pytorch.org/docs/stable/generated/torch.nn.AdaptiveMaxPool3d.html"""

    axes = 3


class _AdaptiveAvgPoolNd(Module):
    axes: int

    def __init__(self, output_size: Any) -> None:
        super().__init__()
        self.output_size = output_size

    def forward(self, input: Tensor) -> Tensor:
        pool = (F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, F.adaptive_avg_pool3d)[self.axes - 1]
        return pool(input, self.output_size)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveAvgPool1d(_AdaptiveAvgPoolNd):
    """Means of windows that cover (N, C, L).
    https://docs.pytorch.org/docs/stable/generated/torch.nn.AdaptiveAvgPool1d.html"""

    axes = 1


class AdaptiveAvgPool2d(_AdaptiveAvgPoolNd):
    """Means of windows that cover (N, C, H, W).
    https://docs.pytorch.org/docs/stable/generated/torch.nn.AdaptiveAvgPool2d.html"""

    axes = 2


class AdaptiveAvgPool3d(_AdaptiveAvgPoolNd):
    """Means of windows that cover (N, C, D, H, W).
    https://docs.pytorch.org/docs/stable/generated/torch.nn.AdaptiveAvgPool3d.html"""

    axes = 3


class _FractionalMaxPoolNd(Module):
    axes: int

    def __init__(self, kernel_size: Any, output_size: Any = None, output_ratio: Any = None,
                 return_indices: bool = False, _random_samples: Tensor | None = None) -> None:
        super().__init__()
        per_axis = _ntuple(self.axes)
        self.kernel_size, self.return_indices = per_axis(kernel_size), return_indices
        self.register_buffer("_random_samples", _random_samples)
        self.output_size = per_axis(output_size) if output_size is not None else None
        self.output_ratio = per_axis(output_ratio) if output_ratio is not None else None
        name = type(self).__name__
        if output_size is None and output_ratio is None:
            raise ValueError(f"{name} requires specifying either an output size, or a pooling "
                             "ratio")
        if output_size is not None and output_ratio is not None:
            raise ValueError("only one of output_size and output_ratio may be specified")
        if self.output_ratio is not None and not all(0 < r < 1 for r in self.output_ratio):
            raise ValueError(f"output_ratio must be between 0 and 1 (got {output_ratio})")

    def forward(self, input: Tensor) -> Any:
        pool = F.fractional_max_pool2d if self.axes == 2 else F.fractional_max_pool3d
        return pool(input, self.kernel_size, self.output_size, self.output_ratio,
                    self.return_indices, _random_samples=self._random_samples)


class FractionalMaxPool2d(_FractionalMaxPoolNd):
    """Maxima of windows at pseudo-random places of (N, C, H, W).
    https://docs.pytorch.org/docs/stable/generated/torch.nn.FractionalMaxPool2d.html"""

    axes = 2


class FractionalMaxPool3d(_FractionalMaxPoolNd):
    """Maxima of windows at pseudo-random places of (N, C, D, H, W).
    https://docs.pytorch.org/docs/stable/generated/torch.nn.FractionalMaxPool3d.html"""

    axes = 3
