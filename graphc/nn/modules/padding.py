"""Padding layers: constants, reflections, repeated edges, wrapped ends, in 1 to 3 spatial axes.

`padding` is one int for all sides, or (left, right, top, bottom, ...) from the last axis backwards.
https://docs.pytorch.org/docs/stable/nn.html#padding-layers
"""

from __future__ import annotations

from typing import Any

from ...core.tensor import Tensor
from .. import functional as F
from .module import Module
from .utils import _ntuple


class _PadNd(Module):
    """Pads the last `axes` axes."""

    axes: int
    mode: str

    def __init__(self, padding: Any) -> None:
        super().__init__()
        self.padding = _ntuple(2 * self.axes)(padding)

    def _check_input_dim(self, input: Tensor) -> None:
        if self.mode == "circular" and input.ndim not in (self.axes + 1, self.axes + 2):
            raise ValueError(f"expected {self.axes + 1}D or {self.axes + 2}D input (got "
                             f"{input.ndim}D input)")

    def forward(self, input: Tensor) -> Tensor:
        self._check_input_dim(input)
        return F.pad(input, self.padding, self.mode)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class _ConstantPadNd(_PadNd):
    mode = "constant"

    def __init__(self, padding: Any, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        return F.pad(input, self.padding, "constant", self.value)

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class ConstantPad1d(_ConstantPadNd):
    """Pads the last axis with a value."""

    axes = 1


class ConstantPad2d(_ConstantPadNd):
    """Pads the last two axes with a value."""

    axes = 2


class ConstantPad3d(_ConstantPadNd):
    """Pads the last three axes with a value."""

    axes = 3


class _ZeroPadNd(_ConstantPadNd):
    def __init__(self, padding: Any) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class ZeroPad1d(_ZeroPadNd):
    """Pads the last axis with zeros."""

    axes = 1


class ZeroPad2d(_ZeroPadNd):
    """Pads the last two axes with zeros."""

    axes = 2


class ZeroPad3d(_ZeroPadNd):
    """Pads the last three axes with zeros."""

    axes = 3


class ReflectionPad1d(_PadNd):
    """Pads the last axis by reflection at the edge elements."""

    axes, mode = 1, "reflect"


class ReflectionPad2d(_PadNd):
    """Pads the last two axes by reflection at the edge elements."""

    axes, mode = 2, "reflect"


class ReflectionPad3d(_PadNd):
    """Pads the last three axes by reflection at the edge elements."""

    axes, mode = 3, "reflect"


class ReplicationPad1d(_PadNd):
    """Pads the last axis with the edge elements."""

    axes, mode = 1, "replicate"


class ReplicationPad2d(_PadNd):
    """Pads the last two axes with the edge elements."""

    axes, mode = 2, "replicate"


class ReplicationPad3d(_PadNd):
    """Pads the last three axes with the edge elements."""

    axes, mode = 3, "replicate"


class CircularPad1d(_PadNd):
    """Pads the last axis with the opposite end."""

    axes, mode = 1, "circular"


class CircularPad2d(_PadNd):
    """Pads the last two axes with the opposite ends."""

    axes, mode = 2, "circular"


class CircularPad3d(_PadNd):
    """Pads the last three axes with the opposite ends."""

    axes, mode = 3, "circular"
