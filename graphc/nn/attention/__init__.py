"""Which attention kernel to use: accepted as PyTorch spells it, and choosing nothing.

graphc has one attention (nn.functional.scaled_dot_product_attention); a choice of backends changes
neither its results nor its speed. Invariant: the choice is kept and restored, so code that reads it
back finds what it set. https://docs.pytorch.org/docs/stable/nn.attention.html
"""

from __future__ import annotations

import contextlib
import enum
from collections.abc import Iterator
from typing import Any

from . import flex_attention

__all__ = ["SDPBackend", "flex_attention", "sdpa_kernel"]


class SDPBackend(enum.Enum):
    """Names of PyTorch's attention kernels."""

    ERROR = -1
    MATH = 0
    FLASH_ATTENTION = 1
    EFFICIENT_ATTENTION = 2
    CUDNN_ATTENTION = 3
    OVERRIDEABLE = 4


_chosen: list[list[SDPBackend]] = []


def _cur_sdpa_kernel_backends(with_priority: bool = False) -> list[SDPBackend]:
    """The innermost choice; all kernels outside every sdpa_kernel."""
    return list(_chosen[-1]) if _chosen else [b for b in SDPBackend if b.value >= 0]


@contextlib.contextmanager
def sdpa_kernel(
    backends: list[SDPBackend] | SDPBackend, set_priority: bool = False
) -> Iterator[dict[Any, Any]]:
    """Names the kernels that attention may use inside. graphc has only one, which it uses.

    AssertionError for anything but an SDPBackend or a list of them."""
    if not isinstance(backends, (list, SDPBackend)):
        raise AssertionError(
            "Backend must be an instance of SDPBackend or a list of SDPBackend instances, got "
            f"{type(backends).__name__}"
        )
    _chosen.append([backends] if isinstance(backends, SDPBackend) else list(backends))
    try:
        yield {}
    finally:
        _chosen.pop()
