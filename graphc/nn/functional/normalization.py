"""Normalisation functions: over the last axes, over groups of channels, over the batch.

Takes (N, C, ...) or (..., features), gives the same shape. Invariant: statistics are two-pass
(mean, then the mean of squared deviations), in the canonical reduction order.
https://docs.pytorch.org/docs/stable/nn.functional.html#normalization-functions """

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...base import entry
from ...base.dtypes import finfo, float32, float64
from ...core.modes import no_grad
from ...core.tensor import Tensor
from ...ops import composite, movement, norm
from ...ops import pointwise as pw
from ...out import shown


def _check_normalized_shape(input: Tensor, normalized_shape: tuple, star: str) -> None:
    n = len(normalized_shape)
    if n < 1:
        raise RuntimeError("Expected normalized_shape to be at least 1-dimensional, i.e., "
                           "containing at least one element, but got normalized_shape = []")
    if tuple(input.shape[max(0, input.ndim - n):]) != normalized_shape:
        sizes = ", ".join(str(s) for s in normalized_shape)
        raise RuntimeError(f"Given normalized_shape={list(normalized_shape)}, expected input with "
                           f"shape [*{star}{sizes}], but got input of size{list(input.shape)}")


def _check_affine(name: str, t: Tensor | None, normalized_shape: tuple) -> None:
    if t is not None and tuple(t.shape) != normalized_shape:
        raise RuntimeError(f"Expected {name} to be of same shape as normalized_shape, but got "
                           f"{name} of shape {list(t.shape)} and normalized_shape = "
                           f"{list(normalized_shape)}")


def layer_norm(input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None,
               bias: Tensor | None = None, eps: float = 1e-5) -> Tensor:
    """(x - mean) / sqrt(var + eps) * weight + bias over the last axes `normalized_shape`. Ba et al.
    2016."""
    normalized_shape = tuple(normalized_shape)
    _check_normalized_shape(input, normalized_shape, ", ")
    _check_affine("weight", weight, normalized_shape)
    _check_affine("bias", bias, normalized_shape)
    if not input.dtype.is_floating_point:
        raise NotImplementedError('"LayerNormKernelImpl" not implemented for '
                                  f"'{input.dtype.title}'")
    return composite.layer_norm(input, weight, bias, len(normalized_shape), eps)[0]


def rms_norm(input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None,
             eps: float | None = None) -> Tensor:
    """x / sqrt(mean(x**2) + eps) * weight over the last axes; eps None is the dtype's own. Zhang
    and Sennrich 2019."""
    normalized_shape = tuple(normalized_shape)
    _check_normalized_shape(input, normalized_shape, "")
    _check_affine("weight", weight, normalized_shape)
    dims = tuple(range(-len(normalized_shape), 0))
    wide = input.float() if input.dtype.is_half else input
    eps = finfo(wide.dtype).eps if eps is None else eps
    out = wide * pw.rsqrt((wide * wide).mean(dims, keepdim=True) + eps)
    if weight is not None:
        out = out * weight
    return out.to(input.dtype) if input.dtype.is_half else out


def _per_channel(t: Tensor, ndim: int) -> Tensor:
    return t.view(-1, *(1,) * (ndim - 2))


def _affine(out: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    if weight is not None:
        out = out * _per_channel(weight, out.ndim)
    if bias is not None:
        out = out + _per_channel(bias, out.ndim)
    return out


@shown("NativeGroupNormBackward0")
def group_norm(input: Tensor, num_groups: int, weight: Tensor | None = None,
               bias: Tensor | None = None, eps: float = 1e-5) -> Tensor:
    """Normalises each of `num_groups` groups of channels of each sample. Wu and He 2018."""
    if input.ndim < 2:
        raise RuntimeError("Expected at least 2 dimensions for input tensor but received "
                           f"{input.ndim}")
    n, c = input.shape[:2]
    if c % num_groups:
        raise RuntimeError("Expected number of channels in input to be divisible by num_groups, "
                           f"but got input of shape {list(input.shape)} and "
                           f"num_groups={num_groups}")
    grouped = input.reshape(n, num_groups, -1)
    out = composite.layer_norm(grouped, None, None, 1, eps)[0].view(input.shape)
    return _affine(movement.like_layout(out, input), weight, bias)


def _check_batch(shape: Sequence[int]) -> None:
    values = shape[0]
    for s in shape[2:]:
        values *= s
    if values == 1:
        raise ValueError("Expected more than 1 value per channel when training, got input size "
                         f"{shape}")


def _update(running: Tensor | None, batch: Tensor, momentum: Any) -> None:
    if running is not None:
        with no_grad():
            running.copy_(batch.detach() * momentum + running * (1 - momentum))


@shown("NativeBatchNormBackward0")
def batch_norm(input: Tensor, running_mean: Tensor | None, running_var: Tensor | None,
               weight: Tensor | None = None, bias: Tensor | None = None, training: bool = False,
               momentum: float = 0.1, eps: float = 1e-5) -> Tensor:
    """Normalises each channel over the batch; in training the running statistics are updated in
    place (running_var with the unbiased variance). Ioffe and Szegedy 2015.

    ValueError when training with one value per channel."""
    for name, x in (("running_mean", running_mean), ("running_var", running_var),
                    ("weight", weight), ("bias", bias)):
        n = None if x is None else x.type_.numel
        if isinstance(n, int) and input.ndim > 1 and isinstance(input.type_.shape[1], int):
            if n != input.type_.shape[1]:
                raise RuntimeError(
                    f"{name} should contain {input.type_.shape[1]} elements not {n}")
    if not training:
        if running_mean is None or running_var is None:
            raise RuntimeError("Expected running_mean and running_var to be defined when "
                               "training=False")
        scale = pw.rsqrt(running_var + eps)
        out = (input - _per_channel(running_mean, input.ndim)) * _per_channel(scale, input.ndim)
        return _affine(out, weight, bias)
    _check_batch(input.shape)
    if 0 in input.shape:  # nothing to learn from
        return _affine(input.clone(), weight, bias)
    count = input.numel() // input.shape[1] if input.ndim > 1 and input.shape[1] else 0
    if input.dtype in (float32, float64) and all(
        p is None or (p.dtype is input.dtype and p.numel() == input.shape[1])
        for p in (weight, bias)
    ):
        out, mean, var = norm.batch_norm(input, weight, bias, eps)
    else:
        dims = (0, *range(2, input.ndim))
        mean = input.mean(dims, keepdim=True)
        centred = input - mean
        var = (centred * centred).mean(dims, keepdim=True)
        out = _affine(centred * pw.rsqrt(var + eps), weight, bias)
    _update(running_mean, mean.reshape(-1), momentum)
    _update(running_var, var.reshape(-1) * (count / max(count - 1, 1)), momentum)
    return out


def instance_norm(input: Tensor, running_mean: Tensor | None = None,
                  running_var: Tensor | None = None, weight: Tensor | None = None,
                  bias: Tensor | None = None, use_input_stats: bool = True, momentum: float = 0.1,
                  eps: float = 1e-5) -> Tensor:
    """Normalises each channel of each sample. Ulyanov et al. 2016.

    Running statistics, where given, take the batch mean of the samples' statistics."""
    if not use_input_stats:
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    size = input.numel() // (input.shape[0] * input.shape[1]) if 0 not in input.shape[:2] else 0
    if size == 1:
        raise ValueError("Expected more than 1 spatial element when training, got input size "
                         f"{input.shape}")
    dims = tuple(range(2, input.ndim))
    input = movement.contiguous(input)
    mean = input.mean(dims, keepdim=True)
    centred = input - mean
    var = (centred * centred).mean(dims, keepdim=True)
    _update(running_mean, mean.mean(0).reshape(-1), momentum)
    _update(running_var, var.mean(0).reshape(-1) * (size / max(size - 1, 1)), momentum)
    return _affine(centred * pw.rsqrt(var + eps), weight, bias)


def local_response_norm(input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75,
                        k: float = 1.0) -> Tensor:
    """x / (k + alpha * mean of x**2 over `size` neighbouring channels) ** beta. Krizhevsky et al.
    2012."""
    if input.ndim < 3:
        raise ValueError("Expected 3D or higher dimensionality                          input "
                         f"(got {input.ndim} dimensions)")
    if 0 in input.shape:
        return input
    from .shape import pad
    channels = input.shape[1]
    padding = [0, 0] * (input.ndim - 2) + [size // 2, (size - 1) // 2]
    square: Any = pad(input * input, padding)
    total = square.narrow(1, 0, channels)
    for i in range(1, size):
        total = total + square.narrow(1, i, channels)
    return input / (total / size * alpha + k).pow(beta)


entry.wrap(__name__, globals())
