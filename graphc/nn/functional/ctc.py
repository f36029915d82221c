"""Connectionist temporal classification: the loss of all alignments of a label sequence.

Takes log-probabilities (T, N, C) and labels, gives -log of the summed probability of every way to
write the labels, with repeats and blanks, along T steps. Invariant: the forward recursion stays
finite (an impossible place has the log-probability -1e30), so its gradients do, too.
Source: Graves et al. 2006.
https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.ctc_loss.html
"""

from __future__ import annotations

import math
from typing import Any

from ...base import dtypes, entry
from ...core import autocast
from ...core.observe import capturing
from ...core.tensor import Tensor
from ...creation import arange, as_tensor, full
from ...ops import pointwise as pw
from ...ops.gather import cat, gather
from ._common import check_reduction

_IMPOSSIBLE = -1e30


def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """-log p(targets | log_probs); "mean" divides each by its target length, then averages.

    log_probs (T, N, C) or (T, C); targets (N, S) padded or the concatenation of all; lengths: (N)
    tensors or sequences. Where labels cannot be aligned the loss is inf, or 0 with zero_infinity.
    As in PyTorch the gradient takes log_probs for the output of log_softmax: exp(log_probs) is
    added to it, which log_softmax's own gradient takes away again."""
    check_reduction(reduction)
    if not log_probs.dtype.is_floating_point:
        raise NotImplementedError(f"\"ctc_loss_cpu\" not implemented for '{log_probs.dtype.title}'")
    batched = log_probs.ndim == 3
    lp = log_probs if batched else log_probs.unsqueeze(1)
    steps, batch, classes = lp.shape
    n_in = _lengths(input_lengths, "input_lengths", batch)
    n_out = _lengths(target_lengths, "target_lengths", batch)
    if not 0 <= blank < classes:
        raise RuntimeError("blank must be in label range")
    if targets.dtype not in (dtypes.int64, dtypes.int32):
        raise RuntimeError(
            "Expected tensor for argument #2 'targets' to have one of the following scalar types: "
            f"Long, Int; but got torch.{targets.dtype.title}Tensor instead (while checking "
            "arguments for ctc_loss_allocate_outputs)"
        )
    if not capturing():
        _check_range(n_in, "input_lengths", steps)
        _check_range(n_out, "target_lengths", None)
    labels = _padded(targets if batched or targets.ndim == 1 else targets.reshape(-1), n_out, blank)
    loss = _losses(lp, labels, n_in, n_out, blank)
    impossible = loss > -_IMPOSSIBLE / 2
    if zero_infinity:
        loss = pw.where(impossible, 0.0, loss)
    else:
        loss = loss * pw.where(impossible, math.inf, full((), 1.0, dtype=loss.dtype))
    if log_probs.requires_grad:
        seen = arange(steps).unsqueeze(1) < n_in
        if zero_infinity:
            seen = seen & ~impossible
        mass = pw.where(seen, lp.exp().sum(2), 0.0).sum(0)
        loss = loss + (mass - mass.detach())  # 0, with the gradient of the mass
    if reduction == "mean":
        return (loss / pw.cast(n_out.clamp(min=1), loss.dtype)).mean()
    if reduction == "sum":
        return loss.sum()
    return loss if batched else loss.squeeze(0)


def _lengths(lengths: Any, name: str, batch: Any) -> Tensor:
    t = lengths if isinstance(lengths, Tensor) else as_tensor(lengths, dtype=dtypes.int64)
    if t.dtype.category != dtypes.INT:
        raise RuntimeError(f"{name} must be integral")
    t = pw.cast(t.reshape(-1), dtypes.int64)
    if t.shape[0] != batch:
        raise RuntimeError(f"{name} must be of size batch_size")
    return t


def _check_range(lengths: Tensor, name: str, most: Any) -> None:
    for n in lengths.tolist():
        side = "least 0" if n < 0 else f"most {most}"
        if n < 0 or (most is not None and n > most):
            raise RuntimeError(
                f"Expected {name} to have value at {side}, but got value {n} (while checking "
                "arguments for ctc_loss_allocate_outputs)"
            )


def _padded(targets: Tensor, lengths: Tensor, blank: int) -> Tensor:
    """The labels as (N, S) int64, blank after each row's end."""
    where = "for argument #2 'targets' (while checking arguments for ctc_loss_allocate_outputs)"
    targets = pw.cast(targets, dtypes.int64)
    if targets.ndim == 2:
        if not capturing() and (longest := max(lengths.tolist(), default=0)) > targets.shape[1]:
            raise RuntimeError(
                f"Expected tensor to have size at least {longest} at dimension 1, but got size "
                f"{targets.shape[1]} {where}"
            )
    else:
        counts = lengths.tolist()
        if sum(counts) != targets.shape[0]:
            raise RuntimeError(
                f"Expected tensor to have size {sum(counts)} at dimension 0, but got size "
                f"{targets.shape[0]} {where}"
            )
        width = max(counts, default=0)
        starts = pw.cast(lengths.cumsum(0), dtypes.int64) - lengths
        at = starts.unsqueeze(1) + arange(width)
        at = at.clamp(max=max(targets.shape[0] - 1, 0))
        if not targets.shape[0]:
            return full((len(counts), 0), blank, dtype=dtypes.int64)
        targets = gather(targets, at.reshape(-1), 0).reshape(at.shape)
    return pw.where(arange(targets.shape[1]) < lengths.unsqueeze(1), targets, blank)


def _losses(lp: Tensor, labels: Tensor, n_in: Tensor, n_out: Tensor, blank: int) -> Tensor:
    """The loss of each row; 1e30 and above where there is no alignment."""
    steps, batch = lp.shape[:2]
    width = labels.shape[1]
    # blank, l1, blank, l2, ..., blank: alpha[s] is the log-probability of having come to place s
    blanks = full((batch, width), blank, dtype=dtypes.int64)
    places = cat([cat([blanks.unsqueeze(2), labels.unsqueeze(2)], 2).reshape(batch, 2 * width),
                  full((batch, 1), blank, dtype=dtypes.int64)], 1)  # fmt: skip
    scores = gather(lp, places.unsqueeze(0).expand(steps, batch, 2 * width + 1), 2)

    def impossible(n: Any) -> Tensor:
        return full((batch, n), _IMPOSSIBLE, dtype=lp.dtype)

    if steps == 0:
        alpha = impossible(2 * width + 1)
    elif width:
        alpha = cat([scores[0][:, :2], impossible(2 * width - 1)], 1)
        skips = places[:, 2:] != places[:, :-2]  # a blank between equal labels cannot be skipped
    else:
        alpha = scores[0]
    for t, score in enumerate(scores.unbind(0)):
        if t == 0:
            continue
        came = [alpha]
        if width:
            came.append(cat([impossible(1), alpha[:, :-1]], 1))
            came.append(cat([impossible(2), pw.where(skips, alpha[:, :-2], _IMPOSSIBLE)], 1))
        alpha = pw.where((t < n_in).unsqueeze(1), _log_sum(came) + score, alpha)
    end = (2 * n_out).unsqueeze(1)
    last = gather(alpha, end, 1)
    before = gather(alpha, (end - 1).clamp(min=0), 1)
    before = pw.where(end > 0, before, _IMPOSSIBLE)
    total = _log_sum([last, before]).squeeze(1)
    empty = pw.where(n_out == 0, 0.0, _IMPOSSIBLE)  # no steps: only the empty sequence
    return -pw.where(n_in == 0, pw.cast(empty, lp.dtype), total)


def _log_sum(xs: list) -> Tensor:
    """log(sum(exp(x))) of finite tensors."""
    if len(xs) == 1:
        return xs[0]
    top = xs[0].detach()
    for x in xs[1:]:
        top = pw.maximum(top, x.detach())
    total = (xs[0] - top).exp()
    for x in xs[1:]:
        total = total + (x - top).exp()
    return top + total.log()

entry.wrap(__name__, globals())
autocast.wrap("functional", globals())
