"""CUDA's libraries: not built; their settings are kept and change nothing.
https://docs.pytorch.org/docs/stable/backends.html#module-torch.backends.cuda"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from ._flags import region


class _Matmul:
    """Settings of cuBLAS."""

    def __init__(self) -> None:
        self.allow_tf32 = False
        self.allow_fp16_reduced_precision_reduction = True
        self.allow_bf16_reduced_precision_reduction = True
        self.allow_fp16_accumulation = False
        self.fp32_precision = "none"


matmul = _Matmul()
_sdp = {"flash": True, "math": True, "mem_efficient": True, "cudnn": True, "reduced": False}


def is_built() -> bool:
    """False."""
    return False


def flash_sdp_enabled() -> bool:
    """The setting of enable_flash_sdp()."""
    return _sdp["flash"]


def enable_flash_sdp(enabled: bool) -> None:
    """Keeps the setting; graphc has one attention kernel."""
    _sdp["flash"] = bool(enabled)


def math_sdp_enabled() -> bool:
    """The setting of enable_math_sdp()."""
    return _sdp["math"]


def enable_math_sdp(enabled: bool) -> None:
    """Keeps the setting; graphc has one attention kernel."""
    _sdp["math"] = bool(enabled)


def mem_efficient_sdp_enabled() -> bool:
    """The setting of enable_mem_efficient_sdp()."""
    return _sdp["mem_efficient"]


def enable_mem_efficient_sdp(enabled: bool) -> None:
    """Keeps the setting; graphc has one attention kernel."""
    _sdp["mem_efficient"] = bool(enabled)


def cudnn_sdp_enabled() -> bool:
    """The setting of enable_cudnn_sdp()."""
    return _sdp["cudnn"]


def enable_cudnn_sdp(enabled: bool) -> None:
    """Keeps the setting; graphc has one attention kernel."""
    _sdp["cudnn"] = bool(enabled)


def fp16_bf16_reduction_math_sdp_allowed() -> bool:
    """The setting of allow_fp16_bf16_reduction_math_sdp()."""
    return _sdp["reduced"]


def allow_fp16_bf16_reduction_math_sdp(enabled: bool) -> None:
    """Keeps the setting; graphc sums half products in float32."""
    _sdp["reduced"] = bool(enabled)


def is_flash_attention_available() -> bool:
    """False."""
    return False


def is_ck_sdpa_available() -> bool:
    """False."""
    return False


@contextlib.contextmanager
def sdp_kernel(
    enable_flash: bool = True,
    enable_math: bool = True,
    enable_mem_efficient: bool = True,
    enable_cudnn: bool = True,
) -> Iterator[dict]:
    """A region with these settings."""
    values = {
        "flash": enable_flash,
        "math": enable_math,
        "mem_efficient": enable_mem_efficient,
        "cudnn": enable_cudnn,
    }
    with region(_sdp, values):
        yield {}
