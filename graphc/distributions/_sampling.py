"""Random tensors like a distribution's parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..base.dtypes import finfo
from ..creation import rand


def drawn(make: Callable, shape: Any, like: Any) -> Any:
    """make(shape) (rand or randn) in the dtype of `like`."""
    return make(tuple(shape), dtype=like.dtype)


def open_uniform(shape: Any, like: Any) -> Any:
    """Uniform numbers in (0, 1), kept away from 0 so that their logarithm is finite."""
    u = rand(tuple(shape), dtype=like.dtype)
    return u.clamp(min=finfo(like.dtype).tiny)
