"""Embedding functions: rows of a table by index, one by one or summed by bags.

Takes int indices and a table (num_embeddings, dim). Invariant: rows of a bag add up in the order of
their indices. https://docs.pytorch.org/docs/stable/nn.functional.html#sparse-functions
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...base import dtypes, entry
from ...core.modes import is_grad_enabled, no_grad
from ...core.observe import capturing
from ...core.tensor import Tensor
from ...creation import arange, from_numpy, zeros
from ...ops import gather
from ...ops import pointwise as pw
from .._names import typename


def embedding(input: Tensor, weight: Tensor, padding_idx: int | None = None,
              max_norm: float | None = None, norm_type: float = 2.0,
              scale_grad_by_freq: bool = False, sparse: bool = False) -> Tensor:
    """weight[input]: rows of a table by index.

    padding_idx: a row that gets no gradient; max_norm: longer rows that are looked up are shortened
    in place first; scale_grad_by_freq divides gradients by how often the index occurs. IndexError
    "index out of range in self". graphc has no sparse gradients: RuntimeError for sparse=True
    where a gradient is wanted."""
    if not isinstance(input, Tensor):
        raise TypeError(f"embedding(): argument 'indices' (position 2) must be Tensor, not "
                        f"{type(input).__name__}")
    if input.dtype not in (dtypes.int64, dtypes.int32):
        raise RuntimeError("Expected tensor for argument #1 'indices' to have one of the following "
                           f"scalar types: Long, Int; but got {typename(input)} instead (while "
                           "checking arguments for embedding)")
    if weight.ndim != 2:
        raise RuntimeError("'weight' must be 2-D")
    if sparse and weight.requires_grad and is_grad_enabled():
        raise RuntimeError("embedding(sparse=True): graphc has no sparse gradients; use "
                           "sparse=False")
    if padding_idx is not None:
        rows = weight.shape[0]
        if not -rows <= padding_idx < rows:
            raise AssertionError("Padding_idx must be within num_embeddings")
        padding_idx %= rows
    index = pw.cast(input, dtypes.int64)
    if max_norm is not None:
        _renorm(weight, index, max_norm, norm_type)
    out = gather.embedding(weight, index)
    if weight.requires_grad and is_grad_enabled():
        if padding_idx is not None:
            out = pw.where((index == padding_idx).unsqueeze(-1), out.detach(), out)
        if scale_grad_by_freq:
            same = index.reshape(-1, 1) == index.reshape(1, -1)
            counts = same.sum(1).reshape(input.shape).unsqueeze(-1).to(weight.dtype)
            out.register_hook(lambda g: g / counts)
    return out


def _renorm(weight: Tensor, index: Tensor, max_norm: float, norm_type: float) -> None:
    """Shortens the rows that `index` names to a norm of at most max_norm, in place."""
    from .distance import _vector_norm
    with no_grad():
        if 0 in index.shape:
            return
        flat = index.reshape(-1)
        rows = gather.embedding(weight, flat)
        norm = _vector_norm(rows, norm_type, -1, True)
        weight[flat] = pw.where(norm > max_norm, rows * (max_norm / (norm + 1e-7)), rows)


def embedding_bag(
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | None = None,
    max_norm: float | None = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor:
    """The sum, mean or max of the rows of each bag: (bags, dim); an empty bag gives 0.

    input (bags, n), or (n) with offsets (bags) where each bag begins (and, with
    include_last_offset, one more where the last ends). per_sample_weights, for "sum", scale the
    rows; padding_idx is left out. graphc has no sparse gradients: RuntimeError for sparse=True."""
    _check_bag(input, weight, offsets, mode, scale_grad_by_freq, sparse, per_sample_weights)
    rows = weight.shape[0]
    if padding_idx is not None:
        if not -rows <= padding_idx < rows:
            raise RuntimeError(
                f"padding_idx must be within the number of embeddings, {-rows} through "
                f"{rows - 1}, but got {padding_idx}"
            )
        padding_idx %= rows
    index = pw.cast(input, dtypes.int64)
    if input.ndim == 2:
        return _of_rows(index, weight, max_norm, norm_type, scale_grad_by_freq, mode,
                        per_sample_weights, padding_idx)  # fmt: skip
    starts, ends = _bounds(offsets, input.shape[0], include_last_offset)
    if mode == "max":  # as a matrix of places, bags filled up with a place that does not count
        index, filler = _as_matrix(index, starts, ends)
        return _of_rows(index, weight, max_norm, norm_type, False, mode, None, padding_idx, filler)
    looked = _rows(index, weight, max_norm, norm_type, scale_grad_by_freq)
    if per_sample_weights is not None:
        looked = looked * per_sample_weights.unsqueeze(1)
    place = arange(index.shape[0])
    bag = pw.cast((place.unsqueeze(1) >= starts).sum(1), dtypes.int64) - 1
    counted = place < ends[-1] if include_last_offset else place >= 0
    if padding_idx is not None:
        counted = counted & (index != padding_idx)
    looked = pw.where(counted.unsqueeze(1), looked, 0.0)
    bags = starts.shape[0]
    total = zeros((bags, weight.shape[1]), dtype=weight.dtype).index_add(0, bag, looked)
    if mode == "mean":
        ones = pw.cast(counted, weight.dtype)
        counts = zeros((bags,), dtype=weight.dtype).index_add(0, bag, ones)
        total = total / counts.clamp(min=1).unsqueeze(1)
    return total


def _check_bag(input: Tensor, weight: Tensor, offsets: Any, mode: str, by_freq: bool,
               sparse: bool, samples: Any) -> None:  # fmt: skip
    if samples is not None and samples.shape != input.shape:
        raise ValueError(
            f"embedding_bag: If per_sample_weights ({samples.shape}) is not None, then it must "
            f"have the same shape as the input ({input.shape})"
        )
    if weight.ndim != 2:
        raise ValueError(f"weight has to be a 2D Tensor, but got Tensor of dimension {weight.ndim}")
    if input.ndim == 2:
        if offsets is not None:
            raise ValueError(
                "if input is 2D, then offsets has to be None, as input is treated is a mini-batch "
                "of fixed length sequences. However, found offsets of type "
                "<class 'torch.Tensor'>"
            )
    elif input.ndim == 1:
        if not isinstance(offsets, Tensor):
            raise ValueError("offsets has to be a 1D Tensor but got None")
        if offsets.ndim != 1:
            raise ValueError("offsets has to be a 1D Tensor")
    else:
        raise ValueError(
            f"input has to be 1D or 2D Tensor, but got Tensor of dimension {input.ndim}"
        )
    if mode not in ("sum", "mean", "max"):
        raise ValueError("mode has to be one of sum, mean or max")
    if mode == "max":
        if by_freq:
            raise ValueError("max mode does not support scaling the gradient by the frequency")
        if sparse:
            raise ValueError("max mode does not support sparse weights")
    if samples is not None and mode != "sum":
        raise NotImplementedError(
            "embedding_bag: per_sample_weights was not None. per_sample_weights is only supported "
            f"for mode='sum' (got mode='{mode}'). Please open a feature request on GitHub."
        )
    if sparse:
        raise RuntimeError(
            "embedding_bag(sparse=True): graphc has no sparse gradients; use sparse=False"
        )
    for t in (input, offsets):
        if t is not None and t.dtype not in (dtypes.int64, dtypes.int32):
            raise RuntimeError(
                "Expected tensor for argument #1 'indices' to have one of the following scalar "
                f"types: Long, Int; but got {typename(t)} instead (while checking arguments for "
                "embedding_bag)"
            )
    if samples is not None and samples.dtype is not weight.dtype:
        raise RuntimeError(
            "Expected tensor for argument #1 'weight' to have the same type as tensor for argument "
            f"#1 'per_sample_weights'; but type {typename(weight)} does not equal "
            f"{typename(samples)} (while checking arguments for embedding_bag)"
        )
    if not capturing():
        bad = ((input < 0) | (input >= weight.shape[0])).reshape(-1)
        if bool(bad.any()):
            at = bad.tolist().index(True)
            raise RuntimeError(
                f"Index {at} of input takes value {input.reshape(-1)[at].item()} which is not in "
                f"the valid range [0, {weight.shape[0]})"
            )


def _bounds(offsets: Any, n: Any, last: bool) -> tuple[Tensor, Tensor]:
    """Where each bag begins and ends."""
    offsets = pw.cast(offsets, dtypes.int64)
    if not capturing() and offsets.shape[0]:
        found = offsets.tolist()
        if found[0] != 0:
            raise RuntimeError(
                "offsets[0] has to be 0, i.e., the first sequence in the mini-batch has to start "
                f"from position 0. However, got {found[0]}"
            )
        if found[-1] > n:
            raise RuntimeError(
                f"offsets[-1] can not be greater than input's length {n} but got offsets[-1] of "
                f"{found[-1]}"
            )
        if any(a > b for a, b in zip(found, found[1:], strict=False)):
            raise RuntimeError(f"offsets have to be in ascending order, but got {found}")
    if last:
        return offsets[:-1], offsets[1:]
    return offsets, gather.cat([offsets[1:], zeros((1,), dtype=dtypes.int64) + n], 0)


def _as_matrix(index: Tensor, starts: Tensor, ends: Tensor) -> tuple[Tensor, Tensor]:
    """(indices as (bags, longest), where they are filled up)."""
    first, stop = (np.asarray(t.tolist(), np.int64).reshape(-1, 1) for t in (starts, ends))
    place = first + np.arange(max(int((stop - first).max(initial=0)), 1))
    filled = place >= stop
    if not index.shape[0]:
        index = zeros((1,), dtype=dtypes.int64)
    flat = np.where(filled, 0, place).reshape(-1)
    return index.index_select(0, from_numpy(flat)).reshape(filled.shape), from_numpy(filled)


def _rows(index: Tensor, weight: Tensor, max_norm: Any, norm_type: float, by_freq: bool) -> Tensor:
    return embedding(index, weight, None, max_norm, norm_type, by_freq)


def _of_rows(index: Tensor, weight: Tensor, max_norm: Any, norm_type: float, by_freq: bool,
             mode: str, samples: Any, padding_idx: Any, filler: Any = None) -> Tensor:  # fmt: skip
    """Bags of equal size, (bags, n); `filler` marks places that do not count."""
    looked = _rows(index, weight, max_norm, norm_type, by_freq)
    if samples is not None:
        looked = looked * samples.unsqueeze(2)
    if padding_idx is not None:
        padded = index == padding_idx
        filler = padded if filler is None else filler | padded
    if mode == "max":
        if 0 in index.shape:
            return zeros((index.shape[0], weight.shape[1]), dtype=weight.dtype)
        if filler is None:
            return looked.max(1).values
        out = pw.where(filler.unsqueeze(2), -math.inf, looked).max(1).values
        return pw.where(filler.all(1).unsqueeze(1), 0.0, out)
    if filler is not None:
        looked = pw.where(filler.unsqueeze(2), 0.0, looked)
    total = looked.sum(1)
    if mode == "sum":
        return total
    if filler is None:
        return total / max(index.shape[1], 1)
    counts = pw.cast((~filler).sum(1), weight.dtype).clamp(min=1)
    return total / counts.unsqueeze(1)


entry.wrap(__name__, globals())
