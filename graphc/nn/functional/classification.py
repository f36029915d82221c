"""Cross entropy and negative log likelihood, with all of PyTorch's options.

Takes scores or log-probabilities with the classes on axis 1 (axis 0 for one unbatched row) and
class indices or class probabilities. Invariant: every case is brought to rows [M, C] and the same
ops, so that a batch, an image and a single row of equal numbers give equal bits.
https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.cross_entropy.html """

from __future__ import annotations

import math
from typing import Any

from ...base import dtypes, entry
from ...core import autocast
from ...core.tensor import Tensor
from ...functional import called
from ...ops import composite
from ...ops import pointwise as pw
from ...ops.gather import gather
from ...out import shown
from ._common import check_reduction, legacy_reduction
from .linear import linear


def cross_entropy(input: Tensor, target: Tensor, weight: Tensor | None = None,
                  size_average: bool | None = None, ignore_index: int = -100,
                  reduce: bool | None = None, reduction: str = "mean",
                  label_smoothing: float = 0.0) -> Tensor:
    """The cross entropy between softmax(input) and the target.

    input: (C), (N, C) or (N, C, d1, ...) scores; target: int64 class indices of the shape without
    C, or floating probabilities of input's shape. weight: (C) per class; rows whose index is
    ignore_index count nothing. "mean" divides by the weights of the rows that count (nan when there
    are none). IndexError for a class out of range, ValueError for different batch sizes."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    check_reduction(reduction)
    if not 0.0 <= label_smoothing <= 1.0:
        raise RuntimeError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing:g}")
    if target.shape == input.shape:
        return _with_probabilities(input, target, weight, ignore_index, reduction, label_smoothing)
    if not input.dtype.is_floating_point:
        raise NotImplementedError('"log_softmax_lastdim_kernel_impl" not implemented for '
                                  f"'{input.dtype.title}'")
    rows, labels = _as_rows(input, target, weight)
    if weight is None and label_smoothing == 0.0 and reduction == "mean":
        return called(composite.cross_entropy(rows, labels, ignore_index), "NllLossBackward0")
    log_p = composite.log_softmax(rows, 1)
    total = _nll_rows(log_p, labels, weight, ignore_index, reduction, target)
    if label_smoothing == 0.0:
        return called(total, "NllLossBackward0")
    smooth = _smooth_rows(log_p, labels, weight, ignore_index, reduction, target)
    return total * (1 - label_smoothing) + smooth * (label_smoothing / rows.shape[1])


def linear_cross_entropy(input: Tensor, linear_weight: Tensor, target: Tensor, *,
                         linear_bias: Tensor | None = None, weight: Tensor | None = None,
                         reduction: str = "mean", ignore_index: int | None = None,
                         label_smoothing: float = 0.0, options: Any = None) -> Tensor:
    """cross_entropy of linear(input, linear_weight, linear_bias).

    input (N, in) or (in); linear_weight (C, in) or (C, d1, ..., in), linear_bias (C, d1, ...).
    `options` (how PyTorch cuts the logits into chunks) changes nothing here. RuntimeError for
    shapes that do not fit."""
    if input.ndim not in (1, 2):
        raise RuntimeError(f"expected input with dimensionality 1 or 2, got {input.ndim}")
    if linear_weight.ndim < 2:
        raise RuntimeError("expected linear_weight with dimensionality at least 2, got "
                           f"{linear_weight.ndim}")
    if input.shape[-1] != linear_weight.shape[-1]:
        raise RuntimeError("expected equal input and linear_weight last dimensions (in_features), "
                           f"got {input.shape[-1]} and {linear_weight.shape[-1]}, respectively")
    classes = tuple(linear_weight.shape[:-1])
    if linear_bias is not None and tuple(linear_bias.shape) != classes:
        raise RuntimeError(f"expected linear_bias shape {classes}, got {tuple(linear_bias.shape)}")
    if len(classes) > 1 and input.ndim == 1:
        raise RuntimeError(
            f"K-dimensional loss defined by linear_weight shape {tuple(linear_weight.shape)} "
            f"requires batched input, (N, {input.shape[-1]}), got unbatched input with shape "
            f"{tuple(input.shape)}")
    bias = None if linear_bias is None else linear_bias.reshape(-1)
    rows = linear_weight.reshape(-1, linear_weight.shape[-1])
    logits = linear(input, rows, bias)
    logits = logits.reshape(*input.shape[:-1], *classes)
    if target.shape == logits.shape and ignore_index is not None:
        raise RuntimeError("ignore_index cannot be specified when target contains probabilities")
    ignored = -100 if ignore_index is None else ignore_index
    return cross_entropy(
        logits, target, weight, reduction=reduction, ignore_index=ignored,
        label_smoothing=label_smoothing)


@shown("NllLossBackward0")
def nll_loss(input: Tensor, target: Tensor, weight: Tensor | None = None,
             size_average: bool | None = None, ignore_index: int = -100, reduce: bool | None = None,
             reduction: str = "mean") -> Tensor:
    """-input[target] of log-probabilities; shapes, weights and errors as for cross_entropy."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    check_reduction(reduction)
    rows, labels = _as_rows(input, target, weight)
    return _nll_rows(rows, labels, weight, ignore_index, reduction, target)


def _as_rows(input: Tensor, target: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor]:
    """(input as [M, C], target as int64 [M]) after PyTorch's checks."""
    shape = input.shape
    if len(shape) == 0:
        raise ValueError("Expected 1 or more dimensions (got 0)")
    classes = shape[0] if len(shape) == 1 else shape[1]
    if len(shape) > 1:
        _check_target_shape(shape, target.shape)
    if target.dtype not in (dtypes.int64, dtypes.uint8):
        raise RuntimeError("expected target dtype to be Long or Byte, but got "
                           f"{target.dtype.title}")
    if weight is not None and weight.shape != (classes,):
        raise RuntimeError(f"weight tensor should be defined either for all {classes} classes or "
                           f"no classes but got weight tensor of shape: {list(weight.shape)}")
    rows = input
    if len(shape) == 1:
        rows = input.unsqueeze(0)
    elif len(shape) > 2:
        rows = input.movedim(1, -1).reshape(-1, classes)
    labels = target if target.ndim == 1 else target.reshape(-1)
    return rows, pw.cast(labels, dtypes.int64)


def _check_target_shape(shape: tuple, target: tuple) -> None:
    batch = target[0] if target else 1
    if shape[0] != batch:
        raise ValueError(f"Expected input batch_size ({shape[0]}) to match target batch_size "
                         f"({batch}).")
    expected = (shape[0], *shape[2:])
    if tuple(target) == expected:
        return
    if len(shape) == 2:
        raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
    if len(shape) != 4:
        raise RuntimeError(f"Expected target size {list(expected)}, got {list(target)}")
    if len(target) != 3:
        raise RuntimeError("only batches of spatial targets supported (3D tensors) but got targets "
                           f"of dimension: {len(target)}")
    raise RuntimeError(f"size mismatch (got input: {list(shape)} , target: {list(target)}")


def _class_weights(labels: Tensor, weight: Tensor, ignore_index: int) -> Tensor:
    """weight[label] per row, 0 for ignored rows."""
    ignored = labels == ignore_index
    return pw.where(ignored, 0.0, gather(weight, pw.where(ignored, 0, labels), 0))


def _nll_rows(log_p: Tensor, labels: Tensor, weight: Tensor | None, ignore_index: int,
              reduction: str, target: Tensor) -> Tensor:
    losses = composite.nll(log_p, labels, ignore_index)
    w = None
    if weight is not None:
        w = _class_weights(labels, weight, ignore_index)
        losses = losses * w
    return _reduce_rows(losses, w, labels, ignore_index, reduction, target)


def _smooth_rows(log_p: Tensor, labels: Tensor, weight: Tensor | None, ignore_index: int,
                 reduction: str, target: Tensor) -> Tensor:
    """The loss against the uniform distribution, times C."""
    losses = -(log_p if weight is None else log_p * weight).sum(1)
    losses = pw.where(labels == ignore_index, 0.0, losses)
    w = None if weight is None else _class_weights(labels, weight, ignore_index)
    return _reduce_rows(losses, w, labels, ignore_index, reduction, target)


def _reduce_rows(losses: Tensor, w: Tensor | None, labels: Tensor, ignore_index: int,
                 reduction: str, target: Tensor) -> Tensor:
    if reduction == "none":
        return losses if target.ndim == 1 else losses.reshape(target.shape)
    total = losses.sum()
    if reduction == "sum":
        return total
    count = w.sum() if w is not None else pw.cast((labels != ignore_index).sum(), losses.dtype)
    return total / count


def _with_probabilities(input: Tensor, target: Tensor, weight: Tensor | None, ignore_index: int,
                        reduction: str, label_smoothing: float) -> Tensor:
    if not target.dtype.is_floating_point:
        raise RuntimeError("Expected floating point type for target with class probabilities, got "
                           f"{target.dtype.title}")
    if ignore_index >= 0:
        raise RuntimeError("ignore_index is not supported for floating point target")
    dim = 0 if input.ndim == 1 else 1
    classes = input.shape[dim]
    if weight is not None and weight.shape != (classes,):
        raise RuntimeError("cross_entropy: weight tensor should be defined either for all "
                           f"{classes} classes or no classes but got weight tensor of shape: "
                           f"{list(weight.shape)}")
    if label_smoothing:
        target = target * (1 - label_smoothing) + label_smoothing / classes
    product = input.log_softmax(dim) * target
    if weight is not None:
        product = product * weight.view(classes, *(1,) * (input.ndim - dim - 1))
    if reduction == "none":
        return -product.sum(dim)
    total = -product.sum()
    if reduction == "sum":
        return total
    rows = math.prod(input.shape) // classes if classes else 0
    return total / rows if rows else total * math.nan

entry.wrap(__name__, globals())
autocast.wrap("functional", globals())
