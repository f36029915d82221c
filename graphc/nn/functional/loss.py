"""Loss functions.

Takes predictions and targets, gives the reduced loss ("mean", "sum") or one loss per element
("none"). Invariant: gradients flow to every floating input, targets included.
https://docs.pytorch.org/docs/stable/nn.functional.html#loss-functions """

from __future__ import annotations

import math
import warnings
from typing import Any

from ...base import dtypes, entry
from ...base.errors import users_level
from ...core import autocast
from ...core.tensor import Tensor
from ...ops import pointwise as pw
from ...out import shown
from ._common import check_reduction, legacy_reduction, reduced
from .distance import cosine_similarity_terms, pairwise_distance


def _warn_sizes(input: Tensor, target: Tensor) -> None:
    if target.shape != input.shape:
        warnings.warn(
            f"Using a target size ({target.shape}) that is different to the input size "
            f"({input.shape}). This will likely lead to incorrect results due to broadcasting. "
            "Please ensure they have the same size.", stacklevel=users_level())


def _refuse_integers(name: str, input: Tensor, target: Tensor) -> None:
    d = dtypes.promote_types(input.dtype, target.dtype)
    if d.category <= dtypes.INT:
        raise NotImplementedError(f"\"{name}_cpu\" not implemented for '{d.title}'")


def _weighted(loss: Tensor, input: Tensor, weight: Tensor, reduction: str,
              by_count: bool = False) -> Tensor:
    """loss * weight, the mean over the weights (or over the count)."""
    if weight.shape != input.shape:
        raise ValueError("Weights and input must have the same size.")
    loss = loss * weight
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"Invalid reduction mode: {reduction}. Expected one of 'none', 'mean', "
                         "'sum'.")
    if reduction == "mean" and not by_count:
        return loss.sum() / weight.sum()
    return reduced(loss, reduction)


# ---------------------------------------------------------------- regression

@shown("MseLossBackward0")
def mse_loss(input: Tensor, target: Tensor, size_average: bool | None = None,
             reduce: bool | None = None, reduction: str = "mean",
             weight: Tensor | None = None) -> Tensor:
    """(input - target) ** 2. Different sizes broadcast, with a warning."""
    _warn_sizes(input, target)
    _refuse_integers("mse", input, target)
    reduction = legacy_reduction(size_average, reduce, reduction)
    loss = pw.square(input - target)
    return reduced(loss, reduction) if weight is None else _weighted(loss, input, weight, reduction)


def l1_loss(input: Tensor, target: Tensor, size_average: bool | None = None,
            reduce: bool | None = None, reduction: str = "mean",
            weight: Tensor | None = None) -> Tensor:
    """|input - target|."""
    _warn_sizes(input, target)
    reduction = legacy_reduction(size_average, reduce, reduction)
    loss = pw.abs(input - target)
    return reduced(loss, reduction) if weight is None else _weighted(loss, input, weight, reduction)


@shown("SmoothL1LossBackward0")
def smooth_l1_loss(input: Tensor, target: Tensor, size_average: bool | None = None,
                   reduce: bool | None = None, reduction: str = "mean",
                   beta: float = 1.0) -> Tensor:
    """0.5 * d**2 / beta where |d| < beta, else |d| - beta / 2. Girshick 2015."""
    _warn_sizes(input, target)
    reduction = legacy_reduction(size_average, reduce, reduction)
    _refuse_integers("smooth_l1", input, target)
    if beta < 0:
        raise RuntimeError("smooth_l1_loss does not support negative values for beta.")
    d = pw.abs(input - target)
    if beta == 0:
        return reduced(d, reduction)
    return reduced(pw.where(d < beta, 0.5 * d * d / beta, d - 0.5 * beta), reduction)


@shown("HuberLossBackward0")
def huber_loss(input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0,
               weight: Tensor | None = None) -> Tensor:
    """0.5 * d**2 where |d| <= delta, else delta * (|d| - delta / 2). Huber 1964."""
    _warn_sizes(input, target)
    _refuse_integers("huber", input, target)
    if delta <= 0:
        raise RuntimeError("huber_loss does not support non-positive values for delta.")
    d = pw.abs(input - target)
    loss = pw.where(d <= delta, 0.5 * d * d, delta * (d - 0.5 * delta))
    return (reduced(loss, reduction) if weight is None
            else _weighted(loss, input, weight, reduction, by_count=True))


def poisson_nll_loss(input: Tensor, target: Tensor, log_input: bool = True, full: bool = False,
                     size_average: bool | None = None, eps: float = 1e-8,
                     reduce: bool | None = None, reduction: str = "mean") -> Tensor:
    """exp(input) - target * input, or input - target * log(input + eps); `full` adds Stirling's
    term."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    if log_input:
        loss = pw.exp(input) - target * input
    else:
        loss = input - target * pw.log(input + eps)
    if full:
        safe = pw.where(target > 1, target, 1.0)
        stirling = safe * pw.log(safe) - safe + 0.5 * pw.log(2 * math.pi * safe)
        loss = loss + pw.where(target > 1, stirling, 0.0)
    return reduced(loss, reduction)


def gaussian_nll_loss(input: Tensor, target: Tensor, var: Any, full: bool = False,
                      eps: float = 1e-6, reduction: str = "mean") -> Tensor:
    """0.5 * (log(var) + (input - target)**2 / var) with var clamped to at least eps; the clamp is
    invisible to the gradient. `full` adds the constant."""
    if isinstance(var, float):
        if var < 0:
            raise ValueError("var has negative entry/entries")
        var = input.detach() * 0 + var
    elif not _all_hold(lambda: ~(var < 0)):
        raise ValueError("var has negative entry/entries")
    if var.shape != input.shape:
        if input.shape[:-1] == var.shape:
            var = var.unsqueeze(-1)
        elif not (input.ndim == var.ndim
                  and sum(v for n, v in zip(input.shape, var.shape, strict=True) if n != v) == 1):
            raise ValueError("var is of incorrect size")
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(reduction + " is not valid")
    var = var + (var.detach().clamp(min=eps) - var.detach())
    loss = 0.5 * (pw.log(var) + pw.square(input - target) / var)
    if full:
        loss = loss + 0.5 * math.log(2 * math.pi)
    return reduced(loss, reduction)


# ---------------------------------------------------------------- probabilities

def kl_div(input: Tensor, target: Tensor, size_average: bool | None = None,
           reduce: bool | None = None, reduction: str = "mean", log_target: bool = False) -> Tensor:
    """target * (log(target) - input), with 0 * log(0) = 0; `input` (and with log_target the target)
    are log-probabilities. reduction="batchmean" divides the sum by the first axis."""
    if size_average is not None or reduce is not None:
        reduction = legacy_reduction(size_average, reduce, reduction)
    elif reduction == "mean":
        warnings.warn("reduction: 'mean' divides the total loss by both the batch size and the "
                      "support size.'batchmean' divides only by the batch size, and aligns with "
                      "the KL div math definition.'mean' will be changed to behave the same as "
                      "'batchmean' in the next major release.", stacklevel=users_level())
    if log_target:
        loss = pw.exp(target) * (target - input)
    else:
        safe = pw.where(target == 0, 1.0, target)  # below 0 the loss is nan
        loss = safe * pw.log(safe) - target * input
    if reduction == "batchmean":
        loss = loss.sum()
        return loss / input.shape[0] if input.ndim else loss
    return reduced(loss, reduction)


@shown("BinaryCrossEntropyBackward0")
def binary_cross_entropy(input: Tensor, target: Tensor, weight: Tensor | None = None,
                         size_average: bool | None = None, reduce: bool | None = None,
                         reduction: str = "mean") -> Tensor:
    """-(t * log(x) + (1 - t) * log(1 - x)), the logarithms bounded below by -100.

    ValueError for different sizes, RuntimeError for input outside [0, 1]. Where a logarithm is at
    its bound its gradient is 0 (PyTorch gives +-1e12 there)."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    if target.shape != input.shape:
        raise ValueError(f"Using a target size ({target.shape}) that is different to the input "
                         f"size ({input.shape}) is deprecated. Please ensure they have the same "
                         "size.")
    if target.dtype is not input.dtype:
        raise RuntimeError(
            f"Found dtype {target.dtype.title} but expected {input.dtype.title}")
    if not _all_hold(lambda: (input >= 0) & (input <= 1)):
        raise RuntimeError("all elements of input should be between 0 and 1")
    log_x = _bounded_log(input)
    log_1_x = _bounded_log(1 - input)
    loss = (target - 1) * log_1_x - target * log_x
    if weight is not None:
        loss = loss * weight
    return reduced(loss, reduction)


def _all_hold(condition: Any) -> bool:
    """Whether a condition on values holds everywhere; True under capture, where values are
    unknown."""
    from ...core.observe import capturing
    return capturing() or bool(condition().all())


def _bounded_log(p: Tensor) -> Tensor:
    """max(log(p), -100) with gradient 0, not nan, at p = 0."""
    low = p <= 0
    return pw.where(low, -100.0, pw.clamp_min(pw.log(pw.where(low, 1.0, p)), -100.0))


@shown("BinaryCrossEntropyWithLogitsBackward0")
def binary_cross_entropy_with_logits(input: Tensor, target: Tensor, weight: Tensor | None = None,
                                     size_average: bool | None = None, reduce: bool | None = None,
                                     reduction: str = "mean",
                                     pos_weight: Tensor | None = None) -> Tensor:
    """binary_cross_entropy of sigmoid(input), without overflow; pos_weight scales the positive
    term."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    if target.shape != input.shape:
        raise ValueError(f"Target size ({target.shape}) must be the same as input size "
                         f"({input.shape})")
    if target.dtype.category < input.dtype.category:
        raise RuntimeError(
            f"result type {input.dtype.title} can't be cast to the desired output type "
            f"{target.dtype.title}")
    log_s = pw.log_sigmoid(input)
    if pos_weight is None:
        loss = (1 - target) * input - log_s
    else:
        loss = (1 - target) * input - ((pos_weight - 1) * target + 1) * log_s
    if weight is not None:
        loss = loss * weight
    return reduced(loss, reduction)


# ---------------------------------------------------------------- margins

def margin_ranking_loss(input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0,
                        size_average: bool | None = None, reduce: bool | None = None,
                        reduction: str = "mean") -> Tensor:
    """max(0, -target * (input1 - input2) + margin)."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    if not input1.ndim == input2.ndim == target.ndim:
        raise RuntimeError(
            "margin_ranking_loss : All input tensors should have same dimension but got sizes: "
            f"input1: {input1.shape}, input2: {input2.shape}, target: {target.shape} ")
    return reduced(pw.clamp_min(-target * (input1 - input2) + margin, 0.0), reduction)


def hinge_embedding_loss(input: Tensor, target: Tensor, margin: float = 1.0,
                         size_average: bool | None = None, reduce: bool | None = None,
                         reduction: str = "mean") -> Tensor:
    """input where target is 1, max(0, margin - input) where it is -1."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    positive = pw.where(target != -1, input, 0.0)
    negative = pw.where(target != 1, pw.clamp_min(margin - input, 0.0), 0.0)
    return reduced(positive + negative, reduction)


def soft_margin_loss(input: Tensor, target: Tensor, size_average: bool | None = None,
                     reduce: bool | None = None, reduction: str = "mean") -> Tensor:
    """log(1 + exp(-target * input))."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    return reduced(-pw.log_sigmoid(target * input), reduction)


def multilabel_soft_margin_loss(input: Tensor, target: Tensor, weight: Tensor | None = None,
                                size_average: bool | None = None, reduce: bool | None = None,
                                reduction: str = "mean") -> Tensor:
    """The mean over classes of binary_cross_entropy_with_logits."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    loss = -(target * pw.log_sigmoid(input) + (1 - target) * pw.log_sigmoid(-input))
    if weight is not None:
        loss = loss * weight
    return reduced(loss.sum(-1) / input.shape[-1], reduction)


@shown("MultiMarginLossBackward0")
def multi_margin_loss(input: Tensor, target: Tensor, p: int = 1, margin: float = 1.0,
                      weight: Tensor | None = None, size_average: bool | None = None,
                      reduce: bool | None = None, reduction: str = "mean") -> Tensor:
    """sum over i != y of max(0, margin - x[y] + x[i]) ** p, divided by the number of classes."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    if p not in (1, 2):
        raise ValueError("only p == 1 and p == 2 supported")
    if weight is not None and weight.ndim != 1:
        raise ValueError("weight must be one-dimensional")
    check_reduction(reduction)
    if input.ndim > 2 or (input.ndim and input.shape[-1] == 0):
        raise RuntimeError("Expected non-empty vector or matrix with optional 0-dim batch size, "
                           f"but got: {list(input.shape)}")
    rows = input if input.ndim == 2 else input.reshape(1, -1)
    batch, n = rows.shape
    if target.ndim > 1 or (target.shape[0] if target.ndim else 1) != batch:
        raise RuntimeError(
            "multi_margin_loss: target tensor should be 1-D with size equal to the number of input "
            f"samples (batch size). Expected target size [{batch}], but got {list(target.shape)}. "
            f"Input has shape {list(input.shape)}.")
    if weight is not None and weight.shape != (n,):
        raise RuntimeError(f"inconsistent weight size, expected {n} but got {list(weight.shape)}")
    if target.dtype is not dtypes.int64:
        raise RuntimeError(f"expected scalar type Long but found {target.dtype.title}")
    if not _all_hold(lambda: (target >= 0) & (target < n)):
        raise RuntimeError("target out of range")
    label = target.reshape((-1, 1))
    gap = pw.clamp_min(margin - rows.gather(1, label) + rows, 0.0)
    gap = gap if p == 1 else gap * gap
    if weight is not None:
        gap = gap * weight[label]
    own = label == _class_numbers(n)
    loss = pw.where(own, 0.0, gap).sum(1) / n
    return reduced(loss if target.ndim else loss.squeeze(0), reduction)


def multilabel_margin_loss(input: Tensor, target: Tensor, size_average: bool | None = None,
                           reduce: bool | None = None, reduction: str = "mean") -> Tensor:
    """sum over labels y of a row and i that is none of max(0, 1 - (x[y] - x[i])), divided by the
    number of classes. target: int64 of input's shape, labels up to the first -1. RuntimeError for
    labels out of range."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    check_reduction(reduction)
    if input.ndim > 2 or (input.ndim and input.shape[-1] == 0):
        raise RuntimeError("Expected non-empty vector or matrix with optional 0-dim batch size, "
                           f"but got: {list(input.shape)}")
    if target.shape != input.shape and not (input.ndim == 0 and target.numel() == 1):
        raise RuntimeError(f"inconsistent target size: {list(target.shape)} for input of size: "
                           f"{list(input.shape)}")
    if target.dtype is not dtypes.int64:
        raise RuntimeError(f"expected scalar type Long but found {target.dtype.title}")
    rows, labels = (t if t.ndim == 2 else t.reshape(1, -1) for t in (input, target))
    n = rows.shape[1]
    if not _all_hold(lambda: (target >= -1) & (target < n)):
        raise RuntimeError("argument #2 'target' is out of range")
    ended = pw.cast(labels < 0, dtypes.int64).cumsum(1) > 0
    numbers = _class_numbers(n)
    own = ((labels.unsqueeze(2) == numbers) & ~ended.unsqueeze(2)).any(1)  # classes that are labels
    picked = rows.gather(1, pw.where(ended, 0, labels))
    gap = pw.clamp_min(1 - picked.unsqueeze(2) + rows.unsqueeze(1), 0.0)
    counted = ~ended.unsqueeze(2) & ~own.unsqueeze(1)
    loss = pw.where(counted, gap, 0.0).sum((1, 2)) / n
    return reduced(loss if input.ndim == 2 else loss.squeeze(0), reduction)


def _class_numbers(n: int) -> Tensor:
    from ...creation import arange
    return arange(n)


def cosine_embedding_loss(input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0,
                          size_average: bool | None = None, reduce: bool | None = None,
                          reduction: str = "mean") -> Tensor:
    """1 - cos where target is 1, max(0, cos - margin) where it is -1."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    if target.ndim not in (0, 1):
        raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
    if target.ndim == 1 and input1.ndim != 2:
        raise RuntimeError("1D target tensor expects 2D input tensors, but found inputs with sizes "
                           f"{list(input1.shape)} and {list(input2.shape)}.")
    cos = cosine_similarity_terms(input1, input2)
    apart = pw.where(target == -1, pw.clamp_min(cos - margin, 0.0), 0.0)
    loss = pw.where(target == 1, 1 - cos, apart)
    return reduced(loss, reduction)


def triplet_margin_loss(anchor: Tensor, positive: Tensor, negative: Tensor, margin: float = 1.0,
                        p: float = 2, eps: float = 1e-6, swap: bool = False,
                        size_average: bool | None = None, reduce: bool | None = None,
                        reduction: str = "mean") -> Tensor:
    """max(0, d(a, p) - d(a, n) + margin) with the p-norm distance. Balntas et al. 2016."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    return _triplet(lambda a, b: pairwise_distance(a, b, p, eps), anchor, positive, negative,
                    margin, swap, reduction)


def triplet_margin_with_distance_loss(anchor: Tensor, positive: Tensor, negative: Tensor, *,
                                      distance_function: Any = None, margin: float = 1.0,
                                      swap: bool = False, reduction: str = "mean") -> Tensor:
    """triplet_margin_loss with any distance function (default: pairwise_distance)."""
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"{reduction} is not a valid value for reduction")
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    return _triplet(distance_function or pairwise_distance, anchor, positive, negative, margin,
                    swap, reduction)


def _triplet(distance: Any, anchor: Tensor, positive: Tensor, negative: Tensor, margin: float,
             swap: bool, reduction: str) -> Tensor:
    if not anchor.ndim == positive.ndim == negative.ndim:
        raise RuntimeError(
            "The anchor, positive, and negative tensors are expected to have the same number of "
            f"dimensions, but got: anchor {anchor.ndim}D, positive {positive.ndim}D, and negative "
            f"{negative.ndim}D inputs")
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = pw.minimum(far, distance(positive, negative))
    return reduced(pw.clamp_min(margin + near - far, 0.0), reduction)

entry.wrap(__name__, globals())
autocast.wrap("functional", globals())
