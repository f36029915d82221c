"""Memory formats of the weights of convolutions.

Invariant: values stay; only where they lie in memory changes.
https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.convert_conv2d_weight_memory_format.html
"""

from __future__ import annotations

from typing import Any

from ..modules.conv import Conv2d, Conv3d, ConvTranspose2d, ConvTranspose3d
from ..modules.module import Module


def _convert(module: Any, memory_format: Any, kinds: tuple) -> Any:
    for m in module.modules():
        if isinstance(m, kinds):
            weight: Any = m.weight
            weight.data = weight.detach().clone().contiguous(memory_format=memory_format)
    return module


def convert_conv2d_weight_memory_format(module: Module, memory_format: Any) -> Module:
    """Lays the weights of all 2-d convolutions out in `memory_format`; returns the module."""
    return _convert(module, memory_format, (Conv2d, ConvTranspose2d))


def convert_conv3d_weight_memory_format(module: Module, memory_format: Any) -> Module:
    """Lays the weights of all 3-d convolutions out in `memory_format`; returns the module."""
    return _convert(module, memory_format, (Conv3d, ConvTranspose3d))
