"""cuDNN: not available; its settings are kept and change nothing. graphc is deterministic always.
https://docs.pytorch.org/docs/stable/backends.html#module-torch.backends.cudnn"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from ._flags import assign, region

enabled = True
deterministic = False
benchmark = False
benchmark_limit = 10
allow_tf32 = True
fp32_precision = "none"


def is_available() -> bool:
    """False."""
    return False


def version() -> None:
    """None: there is no cuDNN."""
    return None


def is_acceptable(tensor: Any) -> bool:
    """False: no tensor is computed by cuDNN."""
    return False


def set_flags(
    _enabled: bool | None = None,
    _benchmark: bool | None = None,
    _benchmark_limit: int | None = None,
    _deterministic: bool | None = None,
    _allow_tf32: bool | None = None,
    _fp32_precision: str = "none",
) -> tuple:
    """Makes settings, None leaves one as it is; gives what they were."""
    values = {
        "enabled": _enabled,
        "benchmark": _benchmark,
        "benchmark_limit": _benchmark_limit,
        "deterministic": _deterministic,
        "allow_tf32": _allow_tf32,
        "fp32_precision": _fp32_precision,
    }
    return assign(globals(), values)


def flags(
    enabled: bool = False,
    benchmark: bool = False,
    benchmark_limit: int = 10,
    deterministic: bool = False,
    allow_tf32: bool = True,
    fp32_precision: str = "none",
) -> AbstractContextManager:
    """A region with these settings."""
    return region(globals(), dict(locals()))
