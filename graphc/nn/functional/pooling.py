"""Pooling over one to three spatial axes: maxima, means, power means, and back.

Inputs are (N, C, *spatial) or (C, *spatial). Invariant: every check raises PyTorch's error before
an op runs. https://docs.pytorch.org/docs/stable/nn.functional.html#pooling-functions
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from ...base import dtypes, entry
from ...core import autocast
from ...core.modes import is_grad_enabled
from ...core.observe import capturing
from ...core.tensor import Tensor
from ...creation import arange, rand
from ...ops import pool as ops
from ...ops.gather import cat, gather
from ...out import SAME, into, shown
from ._common import in_layout_of

_WORDS = {1: "one", 2: "two", 3: "three"}
_LETTERS = {1: "W", 2: "HW", 3: "TWH"}


# ---------------------------------------------------------------- maxima


def max_pool1d(input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0,
               dilation: Any = 1, ceil_mode: bool = False, return_indices: bool = False) -> Any:
    """The largest element of each window of (N, C, L) or (C, L), with return_indices also its
    place. https://docs.pytorch.org/docs/stable/generated/torch.nn.MaxPool1d.html"""
    if input.ndim not in (2, 3) or 0 in input.shape[1 if input.ndim == 3 else 0 :]:
        raise RuntimeError("max_pool1d: Expected 2D or 3D (batch mode) tensor with optional 0 dim "
                           f"batch size for input, but got:{list(input.shape)}")
    k = _numbers("max_pool1d", "kernel_size", kernel_size, 1)
    s = _stride("max_pool1d", stride, k)
    p, d = _numbers("max_pool1d", "padding", padding, 1), _numbers("max_pool1d", "dilation",
                                                                  dilation, 1)
    if input.requires_grad and is_grad_enabled():
        _check_padding(k, p, d)     # PyTorch takes another way there, with other texts
    for name, (value,) in (("kernel_size", k), ("stride", s), ("dilation", d)):
        if value <= 0 and not (name == "stride" and k[0] <= 0):
            raise RuntimeError(f"max_pool1d() {name} must be greater than zero, but got {value}")
    if p[0] < 0:
        raise RuntimeError(f"max_pool1d() padding must be non-negative, but got {p[0]}")
    if p[0] > k[0] // 2:
        raise RuntimeError("max_pool1d() padding should be at most half of kernel size, but got "
                           f"padding={p[0]} and kernel_size={k[0]}")
    size = ops.pooled_size(input.shape[-1], k[0], s[0], p[0], d[0], ceil_mode)
    if size <= 0:
        raise RuntimeError(f"max_pool1d() Invalid computed output size: {size}")
    if not input.dtype.is_floating_point:
        raise NotImplementedError(
            f"\"max_pool1d_impl\" not implemented for '{input.dtype.title}'")
    return _pooled(input, 1, return_indices, ops.max_pool, k, s, p, d, bool(ceil_mode))


@shown("MaxPool2DWithIndicesBackward0")
def max_pool2d(input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0,
               dilation: Any = 1, ceil_mode: bool = False, return_indices: bool = False) -> Any:
    """The largest element of each window of (N, C, H, W) or (C, H, W), with return_indices also its
    place in the flattened plane.
    https://docs.pytorch.org/docs/stable/generated/torch.nn.MaxPool2d.html"""
    return _max_pool("max_pool2d", 2, input, kernel_size, stride, padding, dilation, ceil_mode,
                     return_indices)


def max_pool3d(input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0,
               dilation: Any = 1, ceil_mode: bool = False, return_indices: bool = False) -> Any:
    """max_pool2d over (N, C, D, H, W) or (C, D, H, W).
    https://docs.pytorch.org/docs/stable/generated/torch.nn.MaxPool3d.html"""
    return _max_pool("max_pool3d", 3, input, kernel_size, stride, padding, dilation, ceil_mode,
                     return_indices)


def max_pool1d_with_indices(input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0,
                            dilation: Any = 1, ceil_mode: bool = False,
                            return_indices: bool = False) -> Any:
    """max_pool1d with return_indices=True."""
    return max_pool1d(input, kernel_size, stride, padding, dilation, ceil_mode, True)


def max_pool2d_with_indices(input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0,
                            dilation: Any = 1, ceil_mode: bool = False,
                            return_indices: bool = False) -> Any:
    """max_pool2d with return_indices=True."""
    return max_pool2d(input, kernel_size, stride, padding, dilation, ceil_mode, True)


def max_pool3d_with_indices(input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0,
                            dilation: Any = 1, ceil_mode: bool = False,
                            return_indices: bool = False) -> Any:
    """max_pool3d with return_indices=True."""
    return max_pool3d(input, kernel_size, stride, padding, dilation, ceil_mode, True)


def _max_pool(name: str, axes: int, input: Tensor, kernel_size: Any, stride: Any, padding: Any,
              dilation: Any, ceil_mode: bool, return_indices: bool) -> Any:
    k = _numbers(name, "kernel_size", kernel_size, axes)
    s = _stride(name, stride, k)
    p, d = _numbers(name, "padding", padding, axes), _numbers(name, "dilation", dilation, axes)
    _check(axes, input, k, s, p, d, ceil_mode)
    return _pooled(input, axes, return_indices, ops.max_pool, k, s, p, d, bool(ceil_mode))


def adaptive_max_pool1d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """Maxima of output_size windows that cover (N, C, L) or (C, L).
    https://docs.pytorch.org/docs/stable/generated/torch.nn.AdaptiveMaxPool1d.html"""
    return _adaptive_max(1, input, output_size, return_indices)


def adaptive_max_pool2d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """Maxima of windows that cover (N, C, H, W) or (C, H, W); None keeps an axis' size.
    https://docs.pytorch.org/docs/stable/generated/torch.nn.AdaptiveMaxPool2d.html"""
    return _adaptive_max(2, input, output_size, return_indices)


def adaptive_max_pool3d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """Maxima of windows that cover (N, C, D, H, W) or (C, D, H, W); None keeps an axis' size.
    https://docs.pytorch.org/docs/stable/generated/torch.nn.AdaptiveMaxPool3d.html"""
    return _adaptive_max(3, input, output_size, return_indices)


def adaptive_max_pool1d_with_indices(input: Tensor, output_size: Any,
                                     return_indices: bool = False) -> Any:
    """adaptive_max_pool1d with return_indices=True."""
    return _adaptive_max(1, input, output_size, True)


def adaptive_max_pool2d_with_indices(input: Tensor, output_size: Any,
                                     return_indices: bool = False) -> Any:
    """adaptive_max_pool2d with return_indices=True."""
    return _adaptive_max(2, input, output_size, True)


def adaptive_max_pool3d_with_indices(input: Tensor, output_size: Any,
                                     return_indices: bool = False) -> Any:
    """adaptive_max_pool3d with return_indices=True."""
    return _adaptive_max(3, input, output_size, True)


def _adaptive_max(axes: int, input: Tensor, output_size: Any, return_indices: bool) -> Any:
    name = f"adaptive_max_pool{axes}d"
    size = _adaptive_size(name, axes, input, output_size, ": ")
    if any(n < 0 for n in size):
        shape = [*input.shape[: input.ndim - axes], *([1] if axes == 1 else []), *size]
        bad = next(n for n in size if n < 0)
        raise RuntimeError(f"Trying to create tensor with negative dimension {bad}: {shape}")
    if not input.dtype.is_floating_point:
        raise NotImplementedError(
            f"\"adaptive_max_pool{max(axes, 2)}d\" not implemented for '{input.dtype.title}'")
    return _pooled(input, axes, return_indices, ops.max_pool, size, None, None, None, False)


# ---------------------------------------------------------------- means


def avg_pool1d(input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0,
               ceil_mode: bool = False, count_include_pad: bool = True) -> Tensor:
    """The mean of each window of (N, C, L) or (C, L).
    https://docs.pytorch.org/docs/stable/generated/torch.nn.AvgPool1d.html"""
    if input.ndim not in (2, 3):
        raise _dimensions("avg_pool1d", input)
    return _avg_pool("avg_pool1d", 1, input, kernel_size, stride, padding, ceil_mode,
                     count_include_pad, None)


@shown("AvgPool2DBackward0")
def avg_pool2d(input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0,
               ceil_mode: bool = False, count_include_pad: bool = True,
               divisor_override: int | None = None, *, out: Tensor | None = None) -> Tensor:
    """The mean of each window of (N, C, H, W) or (C, H, W): its sum over the number of its places
    (with or without those in the padding), or over divisor_override.
    https://docs.pytorch.org/docs/stable/generated/torch.nn.AvgPool2d.html"""
    found = _avg_pool("avg_pool2d", 2, input, kernel_size, stride, padding, ceil_mode,
                      count_include_pad, divisor_override)
    return into(out, found, SAME)


def avg_pool3d(input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0,
               ceil_mode: bool = False, count_include_pad: bool = True,
               divisor_override: int | None = None, *, out: Tensor | None = None) -> Tensor:
    """avg_pool2d over (N, C, D, H, W) or (C, D, H, W).
    https://docs.pytorch.org/docs/stable/generated/torch.nn.AvgPool3d.html"""
    found = _avg_pool("avg_pool3d", 3, input, kernel_size, stride, padding, ceil_mode,
                      count_include_pad, divisor_override)
    return into(out, found, SAME)


def _avg_pool(name: str, axes: int, input: Tensor, kernel_size: Any, stride: Any, padding: Any,
              ceil_mode: bool, count_include_pad: bool, divisor_override: int | None) -> Tensor:
    k = _numbers(name, "kernel_size", kernel_size, axes)
    s, p = _stride(name, stride, k), _numbers(name, "padding", padding, axes)
    if divisor_override == 0:
        raise RuntimeError("divisor must be not zero")
    if input.dtype is not dtypes.int64 and not input.dtype.is_floating_point:
        raise NotImplementedError(
            f"\"avg_pool{max(axes, 2)}d\" not implemented for '{input.dtype.title}'")
    _check(axes, input, k, s, p, (1,) * axes, ceil_mode, False)
    return _pooled(input, axes, False, ops.avg_pool, k, s, p, bool(ceil_mode),
                   bool(count_include_pad), int(divisor_override or 0))


def adaptive_avg_pool1d(input: Tensor, output_size: Any) -> Tensor:
    """Means of output_size windows that cover (N, C, L) or (C, L).
    https://docs.pytorch.org/docs/stable/generated/torch.nn.AdaptiveAvgPool1d.html"""
    return _adaptive_avg(1, input, output_size)


def adaptive_avg_pool2d(input: Tensor, output_size: Any) -> Tensor:
    """Means of windows that cover (N, C, H, W) or (C, H, W); None keeps an axis' size.
    https://docs.pytorch.org/docs/stable/generated/torch.nn.AdaptiveAvgPool2d.html"""
    return _adaptive_avg(2, input, output_size)


def adaptive_avg_pool3d(input: Tensor, output_size: Any) -> Tensor:
    """Means of windows that cover (N, C, D, H, W) or (C, D, H, W); None keeps an axis' size.
    https://docs.pytorch.org/docs/stable/generated/torch.nn.AdaptiveAvgPool3d.html"""
    return _adaptive_avg(3, input, output_size)


def _adaptive_avg(axes: int, input: Tensor, output_size: Any) -> Tensor:
    name = f"adaptive_avg_pool{axes}d"
    size = _adaptive_size(name, axes, input, output_size, " ")
    if any(n < 0 for n in size):
        found = ("{1, %d}" if axes == 1 else "{%d, %d}" if axes == 2 else "{%d, %d,%d}") % size
        raise RuntimeError(f"adaptive_avg_pool{max(axes, 2)}d: elements of output_size must be "
                           f"greater than or equal to 0 but received {found}")
    if all(n == 1 for n in size):  # one window: the mean of everything
        return input.mean(tuple(range(input.ndim - axes, input.ndim)), True)
    if not input.dtype.is_floating_point:
        raise NotImplementedError(
            f"\"adaptive_avg_pool{max(axes, 2)}d\" not implemented for '{input.dtype.title}'")
    return _pooled(input, axes, False, ops.avg_pool, size, None, None, False, True, 0)


# ---------------------------------------------------------------- power means


def lp_pool1d(input: Tensor, norm_type: float, kernel_size: int, stride: Any = None,
              ceil_mode: bool = False) -> Tensor:
    """(the sum of x ** norm_type over each window) ** (1 / norm_type).
    https://docs.pytorch.org/docs/stable/generated/torch.nn.LPPool1d.html"""
    return _lp_pool(avg_pool1d, 1, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool2d(input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None,
              ceil_mode: bool = False) -> Tensor:
    """lp_pool1d over two axes.
    https://docs.pytorch.org/docs/stable/generated/torch.nn.LPPool2d.html"""
    return _lp_pool(avg_pool2d, 2, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool3d(input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None,
              ceil_mode: bool = False) -> Tensor:
    """lp_pool1d over three axes.
    https://docs.pytorch.org/docs/stable/generated/torch.nn.LPPool3d.html"""
    return _lp_pool(avg_pool3d, 3, input, norm_type, kernel_size, stride, ceil_mode)


def _lp_pool(pool: Any, axes: int, input: Tensor, norm_type: float, kernel_size: Any, stride: Any,
             ceil_mode: bool) -> Tensor:
    out = pool(input.pow(norm_type), kernel_size, stride, 0, ceil_mode)
    places = prod(_numbers(f"lp_pool{axes}d", "kernel_size", kernel_size, axes))
    return (out.sign().detach() * out.abs().relu()).mul(places).pow(1.0 / norm_type)


# ---------------------------------------------------------------- back from maxima


def max_unpool1d(input: Tensor, indices: Tensor, kernel_size: Any, stride: Any = None,
                 padding: Any = 0, output_size: Any = None) -> Tensor:
    """Zeros with the elements of input at `indices`, as max_pool1d gave them.
    https://docs.pytorch.org/docs/stable/generated/torch.nn.MaxUnpool1d.html"""
    return _unpool(1, input, indices, kernel_size, stride, padding, output_size)


def max_unpool2d(input: Tensor, indices: Tensor, kernel_size: Any, stride: Any = None,
                 padding: Any = 0, output_size: Any = None) -> Tensor:
    """max_unpool1d over two axes.
    https://docs.pytorch.org/docs/stable/generated/torch.nn.MaxUnpool2d.html"""
    return _unpool(2, input, indices, kernel_size, stride, padding, output_size)


def max_unpool3d(input: Tensor, indices: Tensor, kernel_size: Any, stride: Any = None,
                 padding: Any = 0, output_size: Any = None) -> Tensor:
    """max_unpool1d over three axes.
    https://docs.pytorch.org/docs/stable/generated/torch.nn.MaxUnpool3d.html"""
    return _unpool(3, input, indices, kernel_size, stride, padding, output_size)


def _unpool(axes: int, input: Tensor, indices: Tensor, kernel_size: Any, stride: Any, padding: Any,
            output_size: Any) -> Tensor:
    name = f"max_unpool{axes}d"
    k = _numbers(name, "kernel_size", kernel_size, axes)
    s, p = _stride(name, stride, k), _numbers(name, "padding", padding, axes)
    size = _unpool_output_size(input, k, s, p, output_size)
    if indices.dtype is not dtypes.int64:
        raise RuntimeError(f"elements in indices should be type int64 but got: "
                           f"{indices.dtype.title}")
    if input.ndim not in (axes + 1, axes + 2):
        raise RuntimeError(f"Input to max_unpooling{max(axes, 2)}d should be a {axes + 1}d or "
                           f"{axes + 2}d Tensor, but got a tensor with {input.ndim} dimensions.")
    one = [1] if axes == 1 else []      # lines are pictures of width 1
    if tuple(input.shape) != tuple(indices.shape):
        raise RuntimeError(
            "Expected shape of indices to be same as that of the input tensor "
            f"({[*input.shape, *one]}) but got indices tensor with shape: "
            f"{[*indices.shape, *one]}")
    lead, places = tuple(input.shape[:-axes]), prod(size)
    if not capturing() and indices.numel() and int(indices.max()) >= places:
        raise RuntimeError(f"Found an invalid max index: {int(indices.max())} (output volumes are "
                           f"of size {'x'.join(map(str, size))})")
    flat = input.new_zeros((*lead, places))
    out = flat.scatter(-1, indices.flatten(-axes), input.flatten(-axes)).reshape(*lead, *size)
    return in_layout_of(out, input) if axes == 2 else out


def _unpool_output_size(input: Tensor, kernel_size: Sequence[int], stride: Sequence[int],
                        padding: Sequence[int], output_size: Any) -> list:
    """The spatial sizes that output_size asks for, or the smallest that fit. ValueError for sizes
    that are further away than a stride."""
    axes = len(kernel_size)
    default = [(input.shape[input.ndim - axes + d] - 1) * stride[d] + kernel_size[d]
               - 2 * padding[d] for d in range(axes)]
    if output_size is None:
        return default
    if len(output_size) == axes + 2:
        output_size = output_size[2:]
    if len(output_size) != axes:
        raise ValueError("output_size should be a sequence containing "
                         f"{axes} or {axes + 2} elements, but it has a length of "
                         f"'{len(output_size)}'")
    for d in range(axes):
        least, most = default[d] - stride[d], default[d] + stride[d]
        if not least < output_size[d] < most:
            raise ValueError(f'invalid output_size "{output_size}" (dim {d} must be between '
                             f"{least} and {most})")
    return list(output_size)


# ---------------------------------------------------------------- random windows


def fractional_max_pool2d(input: Tensor, kernel_size: Any, output_size: Any = None,
                          output_ratio: Any = None, return_indices: bool = False,
                          _random_samples: Tensor | None = None) -> Any:
    """Maxima of windows at pseudo-random places: Graham 2014. The places follow from one uniform
    number per image, channel and axis (_random_samples: (N, C, 2)).
    https://docs.pytorch.org/docs/stable/generated/torch.nn.FractionalMaxPool2d.html"""
    return _fractional(2, input, kernel_size, output_size, output_ratio, return_indices,
                       _random_samples)


def fractional_max_pool3d(input: Tensor, kernel_size: Any, output_size: Any = None,
                          output_ratio: Any = None, return_indices: bool = False,
                          _random_samples: Tensor | None = None) -> Any:
    """fractional_max_pool2d over three axes (_random_samples: (N, C, 3)).
    https://docs.pytorch.org/docs/stable/generated/torch.nn.FractionalMaxPool3d.html"""
    return _fractional(3, input, kernel_size, output_size, output_ratio, return_indices,
                       _random_samples)


def fractional_max_pool2d_with_indices(input: Tensor, kernel_size: Any, output_size: Any = None,
                                       output_ratio: Any = None, return_indices: bool = False,
                                       _random_samples: Tensor | None = None) -> Any:
    """fractional_max_pool2d with return_indices=True."""
    return _fractional(2, input, kernel_size, output_size, output_ratio, True, _random_samples)


def fractional_max_pool3d_with_indices(input: Tensor, kernel_size: Any, output_size: Any = None,
                                       output_ratio: Any = None, return_indices: bool = False,
                                       _random_samples: Tensor | None = None) -> Any:
    """fractional_max_pool3d with return_indices=True."""
    return _fractional(3, input, kernel_size, output_size, output_ratio, True, _random_samples)


def _fractional(axes: int, input: Tensor, kernel_size: Any, output_size: Any, output_ratio: Any,
                return_indices: bool, samples: Tensor | None) -> Any:
    name = f"fractional_max_pool{axes}d"
    if output_size is None and output_ratio is None:
        raise ValueError(f"{name} requires specifying either an output_size or an output_ratio")
    spatial = tuple(input.shape[input.ndim - axes:])
    if output_size is None:
        if len(output_ratio) > axes:
            raise ValueError(f"{name} requires output_ratio to either be a single Int or tuple of "
                             "Ints.")
        output_size = [int(n * r) for n, r in zip(spatial, output_ratio, strict=True)]
    k = _numbers(name, "kernel_size", kernel_size, axes)
    out = _numbers(name, "output_size", output_size, axes)
    for axis, n, w, o in zip(("time", "height", "width")[3 - axes:], spatial, k, out, strict=True):
        if o + w - 1 > n - (axes == 3):     # PyTorch's bound in three dimensions is tighter
            raise RuntimeError(f"{name}(): pool {axis} {w} too large relative to input {axis} {n}")
    x = input if input.ndim == axes + 2 else input.unsqueeze(0)
    lead = tuple(x.shape[:2])
    if samples is None:
        samples = rand(*lead, axes, dtype=input.dtype)
    # PyTorch's two-dimensional kernel takes the width's number first
    order = range(axes) if axes == 3 else (1, 0)
    place: Any = 0
    for d, which in enumerate(order):
        starts = _intervals(samples[..., which], spatial[d], out[d], k[d])
        at = starts.unsqueeze(-1) + arange(k[d])  # (N, C, out, window)
        shape = [1] * (2 * axes)
        shape[d], shape[axes + d] = out[d], k[d]
        place = place * spatial[d] + at.reshape(*lead, *shape)
    flat = place.expand(*lead, *out, *k).reshape(*lead, prod(out), prod(k))
    columns = flat.reshape(*lead, prod(out) * prod(k))
    seen = gather(x.reshape(*lead, prod(spatial)), columns, 2).reshape(flat.shape)
    best = seen.detach().argmax(-1, keepdim=True)
    y = gather(seen, best, 3).reshape(*lead, *out)
    where = gather(flat, best, 3).reshape(*lead, *out)
    if input.ndim == axes + 1:
        y, where = y.squeeze(0), where.squeeze(0)
    return (y, where) if return_indices else y


def _intervals(sample: Tensor, n: int, out: int, window: int) -> Tensor:
    """The first places of `out` windows along an axis of n, from a number in [0, 1)."""
    u = sample.detach().unsqueeze(-1)
    last = (u * 0).to(dtypes.int64) + (n - window)
    if out == 1:
        return last
    alpha = (n - window) / (out - 1)
    steps = ((arange(out - 1, dtype=sample.dtype) + u) * alpha).to(dtypes.int64)
    return cat([steps - (u * alpha).to(dtypes.int64), last], -1)


# ---------------------------------------------------------------- what they share


def _pooled(input: Tensor, axes: int, indices: bool, op: Any, *attrs: Any) -> Any:
    """op on a batch, or on one image as a batch of one."""
    batched = input.ndim == axes + 2
    x = input if batched else input.unsqueeze(0)
    out = op(x, *attrs)
    if axes == 2 or axes == 3 and op is ops.max_pool and attrs[1] is not None:
        out = (tuple([in_layout_of(t, x) for t in out]) if isinstance(out, tuple)
               else in_layout_of(out, x))
    if not isinstance(out, tuple):
        return out if batched else out.squeeze(0)
    y, places = out if batched else (out[0].squeeze(0), out[1].squeeze(0))
    return (y, places) if indices else y


def _numbers(name: str, what: str, value: Any, axes: int) -> tuple[int, ...]:
    values = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    if len(values) not in (1, axes):
        omitted = "be omitted, a single int" if what == "stride" else "be a single int"
        raise RuntimeError(f"{name}: {what} must either {omitted}, or a tuple of {_WORDS[axes]} "
                           "ints")
    for v in values:
        if isinstance(v, (float, bool)) or not hasattr(v, "__index__"):
            raise TypeError(f"{name}(): argument '{what}' must be tuple of ints, not "
                            f"{type(v).__name__}")
    return tuple(int(v) for v in values) * (axes // len(values))


def _stride(name: str, stride: Any, kernel: tuple) -> tuple[int, ...]:
    if stride is None or (isinstance(stride, (tuple, list)) and not stride):
        return kernel
    return _numbers(name, "stride", stride, len(kernel))


def _check(axes: int, input: Tensor, k: tuple, s: tuple, p: tuple, d: tuple,
           ceil_mode: bool, max_pool: bool = True) -> None:
    flat = max(axes, 2)
    if input.ndim not in (axes + 1, axes + 2):
        raise RuntimeError(f"non-empty {flat + 1}D or {flat + 2}D (batch mode) tensor expected for "
                           "input")
    if any(n == 0 for n in s):
        raise RuntimeError("stride should not be zero")
    _check_padding(k, p, d)
    for what, letter, values in (("kernel size", "k", k), ("stride", "d", s),
                                 ("dilation", "dilation", d)):
        if any(n <= 0 for n in values):
            named = zip(_LETTERS[axes], values, strict=True)
            raise RuntimeError(f"{what} should be greater than zero, but got "
                               + " ".join(f"{letter}{a}: {n}" for a, n in named))
    spatial = tuple(input.shape[input.ndim - axes:])
    sizes = tuple(input.shape[input.ndim - axes - 1:])
    if 0 in sizes and axes == 3 and max_pool:
        raise RuntimeError(
            "max_pool3d_with_indices_out_cpu_template(): Expected input's non-batch dimensions to "
            f"have positive length, but input has a shape of {list(input.shape)} and non-batch "
            "dimension 0 has length zero!")
    if 0 in sizes:
        raise RuntimeError(f"Expected {flat + 1}D or {flat + 2}D (batch mode) tensor with optional "
                           f"0 dim batch size for input, but got:{list(input.shape)}")
    out = ops.pooled_shape(spatial, k, s, p, d, ceil_mode)
    if any(n < 1 for n in out):
        one = ("1",) if axes == 1 else ()
        before, after = ("x".join((str(sizes[0]), *one, *map(str, a))) for a in (spatial, out))
        raise RuntimeError(f"Given input size: ({before}). Calculated output size: ({after}). "
                           "Output size is too small")


def _check_padding(k: tuple, p: tuple, d: tuple) -> None:
    for n in p:
        if n < 0:
            raise RuntimeError(f"pad must be non-negative, but got pad: {n}")
    for pad, n, dil in zip(p, k, d, strict=True):
        if pad > (dil * (n - 1) + 1) // 2:
            raise RuntimeError("pad should be at most half of effective kernel size, but got "
                               f"pad={pad}, kernel_size={n} and dilation={dil}")


def _dimensions(name: str, input: Tensor) -> RuntimeError:
    return RuntimeError(f"Expected 2 to 3 dimensions, but got {input.ndim}-dimensional tensor for "
                        f"argument #1 'self' (while checking arguments for {name})")


def _adaptive_size(name: str, axes: int, input: Tensor, output_size: Any, but_got: str) -> tuple:
    """The output's spatial sizes; None takes the input's."""
    size = tuple(output_size) if isinstance(output_size, (tuple, list)) else (output_size,)
    if len(size) == 1:
        size *= axes
    elif axes > 1 and input.ndim <= len(size):
        raise ValueError(f"Input dimension should be at least {len(size) + 1}")
    if axes == 1 and input.ndim not in (2, 3):
        raise _dimensions(name, input)
    if input.ndim not in (axes + 1, axes + 2):
        raise RuntimeError(f"{name}(): Expected {axes + 1}D or {axes + 2}D tensor, but "
                           f"got{but_got}{list(input.shape)}")
    if len(size) != axes:
        if axes == 1:
            raise RuntimeError(f"{name}() argument 'output_size' should contain one int (got "
                               f"{len(size)})")
        if "max" in name:
            raise RuntimeError(f"{name}(): internal error: output_size.size() must be {axes}")
        raise RuntimeError(f"{name}: output_size must be {axes}")
    spatial = tuple(input.shape[input.ndim - axes:])
    for d in range(input.ndim - axes, input.ndim):
        if input.shape[d] == 0:
            raise RuntimeError(
                f"{name}(): Expected input to have non-zero size for non-batch dimensions, but "
                f"input has sizes {list(input.shape)} with dimension {d} being empty")
    return tuple(n if s is None else s for s, n in zip(size, spatial, strict=True))

entry.wrap(__name__, globals())
autocast.wrap("functional", globals())
