"""torch.cuda.amp.autocast and its decorators, deprecated names of those in graphc.amp."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

from ...amp import autocast_mode
from ...base.dtypes import DType, float16


def _deprecated(name: str, instead: str) -> None:
    warnings.warn(
        f"`torch.cuda.amp.{name}(args...)` is deprecated. Please use `{instead}` instead.",
        FutureWarning,
        stacklevel=3,
    )


class autocast(autocast_mode.autocast):
    """graphc.autocast("cuda", ...), which is off without CUDA."""

    def __init__(
        self, enabled: bool = True, dtype: DType = float16, cache_enabled: bool = True
    ) -> None:
        _deprecated("autocast", "torch.amp.autocast('cuda', args...)")
        super().__init__("cuda", enabled=enabled, dtype=dtype, cache_enabled=cache_enabled)


def custom_fwd(fwd: Callable | None = None, *, cast_inputs: DType | None = None) -> Any:
    """graphc.amp.custom_fwd for "cuda"."""
    _deprecated("custom_fwd", "torch.amp.custom_fwd(args..., device_type='cuda')")
    make = functools.partial(autocast_mode.custom_fwd, device_type="cuda")
    return make(fwd, cast_inputs=cast_inputs)


def custom_bwd(bwd: Callable) -> Any:
    """graphc.amp.custom_bwd for "cuda"."""
    _deprecated("custom_bwd", "torch.amp.custom_bwd(args..., device_type='cuda')")
    return autocast_mode.custom_bwd(bwd, device_type="cuda")


__all__ = ["autocast", "custom_bwd", "custom_fwd"]
