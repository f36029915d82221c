"""Linear, bilinear, embedding and attention functions.

Invariant: products run in the canonical order of graphc's matrix products, so that a row's result
does not depend on the batch it is in.
https://docs.pytorch.org/docs/stable/nn.functional.html#linear-functions """

from __future__ import annotations

import math
from typing import Any

from ...base import dtypes
from ...core.modes import is_grad_enabled, no_grad
from ...core.tensor import Tensor
from ...ops import contract, gather
from ...ops import pointwise as pw
from ...out import SAME, into
from .._names import typename
from .dropout import dropout


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None, *,
           out: Tensor | None = None) -> Tensor:
    """input @ weight.T + bias; input (*, in), weight (out, in) or (in), bias (out)."""
    return into(out, contract.linear(input, weight, bias), SAME)


def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """y[o] = x1 @ weight[o] @ x2 + bias[o]; weight (out, in1, in2)."""
    if tuple(input1.shape[:-1]) != tuple(input2.shape[:-1]):
        raise RuntimeError("bilinear(): input batch dimensions do not match: got "
                           f"{list(input1.shape[:-1])} and {list(input2.shape[:-1])}")
    out, in1, in2 = weight.shape
    for k, (x, n) in enumerate(((input1, in1), (input2, in2)), 1):
        if x.shape[-1] != n:
            raise RuntimeError(f"bilinear(): input{k} size does not match weight size: got "
                               f"{x.shape[-1]} but expected {n}")
    lead = tuple(input1.shape[:-1])
    rows = input1.reshape(-1, in1) @ weight.permute(1, 0, 2).reshape(in1, out * in2)
    rows = rows.view(-1, out, in2) @ input2.reshape(-1, in2, 1)
    y = rows.view(*lead, out)
    return y if bias is None else y + bias


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


def scaled_dot_product_attention(query: Tensor, key: Tensor, value: Tensor,
                                 attn_mask: Tensor | None = None, dropout_p: float = 0.0,
                                 is_causal: bool = False, scale: float | None = None,
                                 enable_gqa: bool = False) -> Tensor:
    """softmax(query @ key.T * scale + mask) @ value; (..., L, E), (..., S, E), (..., S, Ev).

    attn_mask: bool (True takes part) or added to the scores; rows that see nothing give 0.
    is_causal: the lower triangle; scale: 1 / sqrt(E); enable_gqa repeats key and value heads.
    Vaswani et al. 2017."""
    scale = 1.0 / math.sqrt(query.shape[-1]) if scale is None else scale
    if enable_gqa:
        key, value = (_repeat_heads(t, query.shape[-3]) for t in (key, value))
    if is_causal:
        if attn_mask is not None:
            raise RuntimeError("scaled_dot_product_attention: Explicit attn_mask should not be set "
                               "when is_causal=True")
        attn_mask = _lower_triangle(query.shape[-2], key.shape[-2])
    scores = (query * scale) @ key.transpose(-2, -1)
    visible = None
    if attn_mask is not None:
        if attn_mask.dtype is dtypes.bool_:
            visible = attn_mask
            scores = pw.where(attn_mask, scores, -math.inf)
        else:
            scores = scores + attn_mask
            visible = scores > -math.inf
    weights = _masked_softmax(scores, visible)
    if dropout_p > 0.0:
        weights = dropout(weights, dropout_p)
    return weights @ value


def _repeat_heads(t: Tensor, heads: int) -> Tensor:
    """(..., H, S, E) -> (..., heads, S, E), each head repeated in place."""
    *lead, own, s, e = t.shape
    if heads % own:
        raise RuntimeError(f"Number of heads in key and value must divide the number of heads in "
                           f"query, got {own} and {heads}")
    t = t.unsqueeze(-3).expand(*lead, own, heads // own, s, e)
    return t.reshape(*lead, heads, s, e)


def _lower_triangle(rows: Any, cols: Any) -> Tensor:
    from ...creation import arange
    return arange(rows).unsqueeze(1) >= arange(cols)


def _masked_softmax(scores: Tensor, visible: Tensor | None) -> Tensor:
    if visible is None:
        return scores.softmax(-1)
    blind = ~visible.any(-1, keepdim=True)
    return pw.where(blind, 0.0, pw.where(blind, 0.0, scores).softmax(-1))
