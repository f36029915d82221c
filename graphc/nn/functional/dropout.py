"""Dropout functions: each zeroes random parts of its input in training and returns it unchanged
otherwise.

Invariant: the mask comes from the default generator's counter-based stream, the same eager and
compiled.
https://docs.pytorch.org/docs/stable/nn.functional.html#dropout-functions """

from __future__ import annotations

from ...base import entry
from ...base.errors import warn_user
from ...core.tensor import Tensor
from ...ops import composite
from ...ops import pointwise as pw
from ...ops.random import rand
from ._common import check_probability, in_place

_ALPHA = 1.7580993408473766     # -selu(-infinity)


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Zeroes elements with probability p and scales the others by 1 / (1 - p). Hinton et al.
    2012."""
    check_probability(p)
    if not training or p == 0 or 0 in input.shape:
        return input
    _check_floating(input)
    if inplace:
        return in_place(composite.dropout, input, p)
    return composite.dropout(input, p)


def _check_floating(input: Tensor) -> None:
    if not input.dtype.is_floating_point:
        raise RuntimeError("result type Float can't be cast to the desired output type "
                           f"{input.dtype.title}")


def _feature_mask(input: Tensor, p: float) -> Tensor:
    """True where a whole channel is kept: shape (N, C, 1, ...)."""
    shape = tuple(input.shape[:2]) + (1,) * (input.ndim - 2)
    return rand(shape, input.dtype.compute) >= p


def _drop_channels(input: Tensor, p: float) -> Tensor:
    if p == 1:
        return input * 0.0
    return input * (_feature_mask(input, p).to(input.dtype) * (1.0 / (1.0 - p)))


def _warn_dimensions(name: str, ndim: int) -> None:
    axes = int(name[-2])
    if ndim == 3 and axes == 2:
        warn_user(
            "dropout2d: Received a 3D input to dropout2d and assuming that channel-wise 1D dropout "
            "behavior is desired - input is interpreted as shape (N, C, L), where C is the channel "
            "dim. This behavior will change in a future release to interpret the input as one "
            "without a batch dimension, i.e. shape (C, H, W). To maintain the 1D channel-wise "
            "dropout behavior, please switch to using dropout1d instead.")
    elif ndim not in (axes + 1, axes + 2):
        warn_user(
            f"{name}: Received a {ndim}-D input to {name}, which is deprecated and will result in "
            "an error in a future release. To retain the behavior and silence this warning, please "
            f"use dropout instead. Note that {name} exists to provide channel-wise dropout on "
            f"inputs with {axes} spatial dimensions, a channel dimension, and an optional batch "
            f"dimension (i.e. {axes + 1}D or {axes + 2}D inputs).")


def _feature_dropout(name: str, input: Tensor, p: float, training: bool, inplace: bool,
                     single: int | None) -> Tensor:
    check_probability(p)
    if name != "dropout1d":
        _warn_dimensions(name, input.ndim)
    if not training or p == 0 or 0 in input.shape:
        return input
    _check_floating(input)

    def run(x: Tensor) -> Tensor:
        if x.ndim == single:
            return _drop_channels(x.unsqueeze(0), p).squeeze(0)
        return _drop_channels(x, p)
    return in_place(run, input) if inplace else run(input)


def dropout1d(input: Tensor, p: float = 0.5, training: bool = True,
              inplace: bool = False) -> Tensor:
    """Zeroes whole channels of (N, C, L) or (C, L)."""
    check_probability(p)
    if input.ndim not in (2, 3):
        raise RuntimeError("dropout1d: Expected 2D or 3D input, but received a "
                           f"{input.ndim}D input. Note that dropout1d exists to provide "
                           "channel-wise dropout on inputs with 1 spatial dimension, a channel "
                           "dimension, and an optional batch dimension (i.e. 2D or 3D inputs).")
    return _feature_dropout("dropout1d", input, p, training, inplace, 2)


def dropout2d(input: Tensor, p: float = 0.5, training: bool = True,
              inplace: bool = False) -> Tensor:
    """Zeroes whole channels of (N, C, H, W); a 3-d input is (N, C, L)."""
    return _feature_dropout("dropout2d", input, p, training, inplace, None)


def dropout3d(input: Tensor, p: float = 0.5, training: bool = True,
              inplace: bool = False) -> Tensor:
    """Zeroes whole channels of (N, C, D, H, W) or (C, D, H, W)."""
    return _feature_dropout("dropout3d", input, p, training, inplace, 4)


def _alpha_drop(input: Tensor, keep: Tensor, p: float) -> Tensor:
    # Affine constants that keep mean and variance, Klambauer et al. 2017.
    a = 1.0 / ((_ALPHA * _ALPHA * p + 1) * (1 - p)) ** 0.5
    b = a * _ALPHA * p
    return pw.where(keep, input * a + b, b - a * _ALPHA)


def alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False,
                  inplace: bool = False) -> Tensor:
    """Dropout that keeps mean 0 and variance 1 through SELU networks. Klambauer et al. 2017."""
    check_probability(p)
    if not training or p == 0 or 0 in input.shape:
        return input
    if p == 1:
        return in_place(lambda x: x * 0.0, input) if inplace else input * 0.0

    def run(x: Tensor) -> Tensor:
        return _alpha_drop(x, rand(tuple(x.shape), x.dtype.compute) >= p, p)
    return in_place(run, input) if inplace else run(input)


def feature_alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False,
                          inplace: bool = False) -> Tensor:
    """alpha_dropout of whole channels."""
    check_probability(p)
    if not training or p == 0 or 0 in input.shape:
        return input
    if p == 1:
        return in_place(lambda x: x * 0.0, input) if inplace else input * 0.0

    def run(x: Tensor) -> Tensor:
        return _alpha_drop(x, _feature_mask(x, p), p)
    return in_place(run, input) if inplace else run(input)


entry.wrap(__name__, globals())
