"""Window functions of M points, symmetric by default; computed in float64 and rounded once.
Source of the formulas: F. Harris, "On the use of windows for harmonic analysis" (1978), and
https://pytorch.org/docs/stable/signal.html"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..base import dtypes
from ..core import dispatch
from ..core.tensor import Tensor, wrap
from ..creation import _finish, _traced
from ..device import check_device


def _points(M: int, sym: bool) -> tuple[np.ndarray, float]:
    """0, 1 ... M - 1, and the length of the period that they are part of."""
    return np.arange(M, dtype=np.float64), float(M - 1 if sym else M)


def made(a: np.ndarray, dtype: Any, device: Any, requires_grad: bool) -> Tensor:
    """The values a as a tensor."""
    check_device(device)
    d = dtype or dtypes.get_default_dtype()
    t = wrap(dispatch.cast_array(np.ascontiguousarray(a), dtypes.float64, d), d)
    return _finish(_traced(t), requires_grad)


def _checked(name: str, M: int, dtype: Any) -> None:
    if M < 0:
        raise ValueError(f"{name} requires non-negative window length, got M={M}")
    if dtype is not None and dtype not in (dtypes.float32, dtypes.float64):
        raise ValueError(f"{name} expects float32 or float64 dtypes, got: {dtype}")


def _window(fn: Callable) -> Callable:
    """Around fn(M, sym, *parameters): the checks, the short windows, the tensor."""

    @functools.wraps(fn)
    def window(
        M: int,
        *,
        sym: bool = True,
        dtype: Any = None,
        layout: Any = None,
        device: Any = None,
        requires_grad: bool = False,
        **parameters: Any,
    ) -> Tensor:
        _checked(fn.__name__, M, dtype)
        a = np.ones(M) if M < 2 else fn(M, sym, **parameters)
        return made(a, dtype, device, requires_grad)

    del window.__wrapped__  # type: ignore[attr-defined]
    return window


def cosines(M: int, sym: bool, a: Any) -> np.ndarray:
    """a[0] - a[1] cos(t) + a[2] cos(2 t) - ... over one period."""
    k, n = _points(M, sym)
    t = 2 * math.pi * k / n
    total = np.zeros(M)
    for i, x in enumerate(a):
        total += (-1) ** i * x * np.cos(i * t)
    return total


def kaiser_values(M: int, sym: bool, beta: float) -> np.ndarray:
    """I0(beta sqrt(1 - x^2)) / I0(beta) for x from -1 to 1."""
    k, n = _points(M, sym)
    x = 2 * k / n - 1
    return np.i0(beta * np.sqrt(np.maximum(1 - x * x, 0))) / np.i0(beta)


@_window
def bartlett(M: int, sym: bool) -> np.ndarray:
    """A triangle from 0 to 1 and back."""
    k, n = _points(M, sym)
    return 1 - np.abs(2 * k / n - 1)


@_window
def blackman(M: int, sym: bool) -> np.ndarray:
    """0.42 - 0.5 cos t + 0.08 cos 2t."""
    return np.maximum(cosines(M, sym, (0.42, 0.5, 0.08)), 0)


@_window
def cosine(M: int, sym: bool) -> np.ndarray:
    """Half a period of the sine."""
    k, _ = _points(M, sym)
    return np.sin(math.pi / (M if sym else M + 1) * (k + 0.5))


@_window
def hann(M: int, sym: bool) -> np.ndarray:
    """0.5 - 0.5 cos t."""
    return cosines(M, sym, (0.5, 0.5))


@_window
def hamming(M: int, sym: bool) -> np.ndarray:
    """0.54 - 0.46 cos t."""
    return cosines(M, sym, (0.54, 0.46))


@_window
def nuttall(M: int, sym: bool) -> np.ndarray:
    """The minimal four-term window of Blackman, Harris and Nuttall."""
    return cosines(M, sym, (0.3635819, 0.4891775, 0.1365995, 0.0106411))


def kaiser(
    M: int,
    *,
    beta: float = 12.0,
    sym: bool = True,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Kaiser's window of shape beta."""
    _checked("kaiser", M, dtype)
    if beta < 0:
        raise ValueError(f"beta must be non-negative, got: {beta} instead.")
    a = np.ones(M) if M < 2 else kaiser_values(M, sym, float(beta))
    return made(a, dtype, device, requires_grad)


def gaussian(
    M: int,
    *,
    std: float = 1.0,
    sym: bool = True,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """exp(-(k / std)^2 / 2) about the middle."""
    _checked("gaussian", M, dtype)
    if std <= 0:
        raise ValueError(f"Standard deviation must be positive, got: {std} instead.")
    k = np.arange(M) - ((M - 1) if sym else M) / 2
    return made(np.exp(-((k / std) ** 2) / 2), dtype, device, requires_grad)


def exponential(
    M: int,
    *,
    center: float | None = None,
    tau: float = 1.0,
    sym: bool = True,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """exp(-|k - center| / tau)."""
    _checked("exponential", M, dtype)
    if tau <= 0:
        raise ValueError(f"Tau must be positive, got: {tau} instead.")
    if sym and center is not None:
        raise ValueError("Center must be None for symmetric windows")
    middle = ((M - 1) if sym else M) / 2 if center is None else center
    return made(np.exp(-np.abs(np.arange(M) - middle) / tau), dtype, device, requires_grad)


def general_cosine(
    M: int,
    *,
    a: Any,
    sym: bool = True,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """a[0] - a[1] cos t + a[2] cos 2t - ..."""
    _checked("general_cosine", M, dtype)
    if not isinstance(a, (list, tuple)):
        raise TypeError("Coefficients must be a list/tuple")
    if not a:
        raise ValueError("Coefficients cannot be empty")
    return made(np.ones(M) if M < 2 else cosines(M, sym, a), dtype, device, requires_grad)


def general_hamming(
    M: int,
    *,
    alpha: float = 0.54,
    sym: bool = True,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """alpha - (1 - alpha) cos t."""
    return general_cosine(
        M,
        a=[alpha, 1.0 - alpha],
        sym=sym,
        dtype=dtype,
        device=device,
        requires_grad=requires_grad,
    )


__all__ = [
    "bartlett",
    "blackman",
    "cosine",
    "exponential",
    "gaussian",
    "general_cosine",
    "general_hamming",
    "hamming",
    "hann",
    "kaiser",
    "nuttall",
]
