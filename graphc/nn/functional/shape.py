"""Functions that move elements: padding, one-hot coding, pixel and channel shuffles.

Invariant: no arithmetic, so results are exact.
https://docs.pytorch.org/docs/stable/nn.functional.html#vision-functions
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...base import dtypes, entry
from ...core import autocast
from ...core.tensor import Tensor, wrap
from ...ops import gather, movement
from ...ops import pointwise as pw
from ...out import shown


def pad(input: Tensor, pad: Sequence[int], mode: str = "constant",
        value: float | None = None) -> Tensor:
    """input with `pad` = (left, right, top, bottom, ...) added from the last axis backwards.

    mode: "constant" (with `value`; negative numbers crop), "reflect", "replicate" or "circular"."""
    pad = tuple(int(p) for p in pad)
    if len(pad) % 2:
        raise RuntimeError("Padding length must be divisible by 2")
    if len(pad) // 2 > input.ndim:
        raise RuntimeError("Padding length should be less than or equal to two times the input "
                           f"dimension but got padding length {len(pad)} and input of dimension "
                           f"{input.ndim}")
    if mode == "constant":
        pads = [(0, 0)] * input.ndim
        for i in range(len(pad) // 2):
            pads[input.ndim - 1 - i] = (pad[2 * i], pad[2 * i + 1])
        out = gather.pad_constant(input, tuple(pads), float(value or 0.0))
        return movement.like_layout(out, input)
    if value:
        raise ValueError(f'Padding mode "{mode}" doesn\'t take in value argument')
    if mode not in _SOURCE:
        raise NotImplementedError(f"Unrecognised padding mode {mode}")
    _check_border(input, mode, len(pad) // 2)
    out = input
    for i in range(len(pad) // 2):
        dim = input.ndim - 1 - i
        places = _SOURCE[mode](input.shape[dim], pad[2 * i], pad[2 * i + 1], i)
        out = gather.index_select(out, dim, wrap(places))
    return out if mode == "circular" else movement.like_layout(out, input)


_RANKS = (
    "Padding size {} is not supported for {}D input tensor.\nSupported combinations for "
    "non-constant padding:\n  - 2D or 3D input: padding size = 2 (pads last dimension)\n  - 3D or "
    "4D input: padding size = 4 (pads last 2 dimensions)\n  - 4D or 5D input: padding size = 6 "
    "(pads last 3 dimensions)"
)


def _check_border(input: Tensor, mode: str, axes: int) -> None:
    """NotImplementedError for other ranks than PyTorch pads, RuntimeError for empty images; an
    empty batch is none of them."""
    batch = input.ndim - axes - 1
    if batch not in (0, 1) or axes > 3:
        raise NotImplementedError(_RANKS.format(2 * axes, input.ndim))
    if mode != "circular" and 0 in input.shape[batch:]:
        raise RuntimeError(f"Expected {axes + 1}D or {axes + 2}D (batch mode) tensor with possibly "
                           "0 batch size and other non-zero dimensions for input, but got: "
                           f"{list(input.shape)}")


def _positions(n: int, lo: int, hi: int) -> np.ndarray:
    return np.arange(-lo, n + hi, dtype=np.int64)


def _reflect(n: int, lo: int, hi: int, i: int) -> np.ndarray:
    if lo >= n or hi >= n:
        raise RuntimeError("Padding size should be less than the corresponding input dimension, "
                           f"but got: padding ({lo}, {hi}) at dimension {-1 - i} of input of size "
                           f"{n}")
    at = np.abs(_positions(n, lo, hi))
    return np.where(at >= n, 2 * (n - 1) - at, at)


def _replicate(n: int, lo: int, hi: int, i: int) -> np.ndarray:
    return np.minimum(np.maximum(_positions(n, lo, hi), 0), n - 1)


def _circular(n: int, lo: int, hi: int, i: int) -> np.ndarray:
    # after a crop PyTorch wraps what is left
    kept = np.arange(max(-lo, 0), n - max(-hi, 0), dtype=np.int64)
    lo, hi = max(lo, 0), max(hi, 0)
    if lo > n or hi > n:
        raise RuntimeError("Padding value causes wrapping around more than once.")
    at = np.arange(-lo, len(kept) + hi, dtype=np.int64)
    return kept[at % len(kept)] if len(kept) else kept


_SOURCE = {"reflect": _reflect, "replicate": _replicate, "circular": _circular}


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """int64 0/1 with a new last axis of `num_classes` (default: the largest value plus one).

    RuntimeError for values below 0 or not below num_classes."""
    from ...core.observe import capturing
    from ...creation import arange
    if tensor.dtype is not dtypes.int64:
        raise RuntimeError("one_hot is only applicable to index tensor of type LongTensor.")
    if num_classes == -1 or not capturing():
        empty = 0 in tensor.shape
        if empty and num_classes <= 0:
            raise RuntimeError("Can not infer total number of classes from empty tensor.")
        if not empty and int(tensor.min()) < 0:
            raise RuntimeError("Class values must be non-negative.")
        largest = -1 if empty else int(tensor.max())
        if num_classes == -1:
            num_classes = largest + 1
        elif num_classes < 1:
            raise RuntimeError("num_classes should be positive")
        elif largest >= num_classes:
            raise RuntimeError("Class values must be smaller than num_classes.")
    return pw.cast(tensor.unsqueeze(-1) == arange(num_classes), dtypes.int64)


@shown("PixelShuffleBackward0")
def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """(*, C * r * r, H, W) -> (*, C, H * r, W * r). Shi et al. 2016."""
    r = upscale_factor
    *lead, c, h, w = input.shape
    if c % (r * r):
        raise RuntimeError("pixel_shuffle expects its input's 'channel' dimension to be divisible "
                           f"by the square of upscale_factor, but input.size(-3)={c} is not "
                           f"divisible by {r * r}")
    n = len(lead)
    x = input.reshape(*lead, c // (r * r), r, r, h, w)
    x = x.permute(*range(n), n, n + 3, n + 1, n + 4, n + 2)
    return x.reshape(*lead, c // (r * r), h * r, w * r)


def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """(*, C, H * r, W * r) -> (*, C * r * r, H, W): the inverse of pixel_shuffle."""
    r = downscale_factor
    *lead, c, h, w = input.shape
    for size, name in ((h, "height"), (w, "width")):
        if size % r:
            raise RuntimeError(f"pixel_unshuffle expects {name} to be divisible by "
                               "downscale_factor, but "
                               f"input.size({-2 if name == 'height' else -1})={size} is not "
                               f"divisible by {r}")
    n = len(lead)
    x = input.reshape(*lead, c, h // r, r, w // r, r)
    x = x.permute(*range(n), n, n + 2, n + 4, n + 1, n + 3)
    return movement.like_layout(x.reshape(*lead, c * r * r, h // r, w // r), input)


def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """Channels dealt out from `groups` groups in turn. Zhang et al. 2017."""
    n, c, *rest = input.shape
    if c % groups:
        raise RuntimeError(f"Number of channels must be divisible by groups. Got {c} channels and "
                           f"{groups} groups.")
    dealt = input.reshape(n, groups, c // groups, *rest).transpose(1, 2).reshape(n, c, *rest)
    return movement.like_layout(dealt, input)

entry.wrap(__name__, globals())
autocast.wrap("functional", globals())
