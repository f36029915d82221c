"""Attention: softmax(query @ key.T * scale + mask) @ value, and the multi-head function around it.

Takes (..., L, E) queries and (..., S, E) keys; masks are bool or added to the scores. Invariant: a
row that may see nothing gives 0, not nan, in scaled_dot_product_attention (in the explicit form
with need_weights it gives nan, as in PyTorch). Source: Vaswani et al. 2017.
https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.scaled_dot_product_attention.html
"""

from __future__ import annotations

import math
import warnings
from typing import Any

from ...base import dtypes, entry
from ...base.errors import users_level
from ...core import autocast
from ...core.tensor import Tensor
from ...creation import arange, zeros
from ...ir.types import broadcast_shapes
from ...ops import pointwise as pw
from ...ops.gather import cat
from ...out import shown
from .dropout import dropout
from .linear import linear
from .shape import pad


@shown("ScaledDotProductFlashAttentionForCpuBackward0")
def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """softmax(query @ key.T * scale + mask) @ value; (..., L, E), (..., S, E), (..., S, Ev).

    attn_mask: bool (True takes part) or added to the scores; rows that see nothing give 0.
    is_causal: the lower triangle; scale: 1 / sqrt(E); enable_gqa repeats key and value heads.
    RuntimeError for mixed dtypes, fewer than two axes, or a mask beside is_causal."""
    _check(query, key, value, attn_mask, dropout_p)
    if attn_mask is not None and is_causal:
        raise RuntimeError(
            "_scaled_dot_product_attention: Explicit attn_mask should not be set when "
            "is_causal=True"
        )
    scale = 1.0 / math.sqrt(query.shape[-1]) if scale is None else scale
    if enable_gqa:
        key, value = (_repeat_heads(t, query) for t in (key, value))
    scores = (query * scale) @ key.transpose(-2, -1)
    if is_causal:  # every row sees the first column
        scores = pw.where(_lower_triangle(query.shape[-2], key.shape[-2]), scores, -math.inf)
        weights = scores.softmax(-1)
    elif attn_mask is not None:
        if attn_mask.dtype is dtypes.bool_:
            scores = pw.where(attn_mask, scores, -math.inf)
        else:
            scores = scores + attn_mask
        weights = _softmax_of_seen(scores)
    else:
        weights = scores.softmax(-1)
    if dropout_p > 0.0:
        weights = dropout(weights, dropout_p)
    return weights @ value


def _check(query: Tensor, key: Tensor, value: Tensor, mask: Any, dropout_p: float) -> None:
    if query.ndim < 2 or key.ndim < 2 or value.ndim < 2:
        raise RuntimeError(
            "Expected query, key, and value to all be  at least 2 dimensional, but got query.dim: "
            f"{query.ndim} key.dim: {key.ndim} and value.dim: {value.ndim} instead."
        )
    if not query.dtype is key.dtype is value.dtype:
        q, k, v = (_word(t) for t in (query, key, value))
        raise RuntimeError(
            "Expected query, key, and value to have the same dtype, but got query.dtype: "
            f"{q} key.dtype: {k} and value.dtype: {v} instead."
        )
    if not query.dtype.is_floating_point:
        raise RuntimeError(f"expected scalar type Float but found {query.dtype.title}")
    if mask is not None and mask.dtype not in (dtypes.bool_, dtypes.float32, query.dtype):
        raise RuntimeError(
            "Expected attn_mask dtype to be bool or float or to match query dtype, but got "
            f"attn_mask.dtype: {_word(mask)} and  query.dtype: "
            f"{_word(query)} instead."
        )
    if mask is not None:
        broadcast_shapes((*query.type_.shape[:-1], key.type_.shape[-2]), mask.type_.shape)
    if not 0.0 <= dropout_p <= 1.0:
        raise RuntimeError(f"dropout probability has to be between 0 and 1, but got {dropout_p:g}")


def _word(t: Tensor) -> str:
    return dtypes.c_name(t.dtype)


def _repeat_heads(t: Tensor, query: Tensor) -> Tensor:
    """(..., H, S, E) -> (..., heads of query, S, E), each head repeated in place."""
    for x in (t, query):
        if x.ndim < 3:
            raise IndexError(
                f"Dimension out of range (expected to be in range of [{-x.ndim}, {x.ndim - 1}], "
                "but got -3)"
            )
    heads = query.shape[-3]
    *lead, own, s, e = t.shape
    if heads % own:
        raise RuntimeError("Number of heads in key and value must divide the number of heads in ")
    t = t.unsqueeze(-3).expand(*lead, own, heads // own, s, e)
    return t.reshape(*lead, heads, s, e)


def _lower_triangle(rows: Any, cols: Any) -> Tensor:
    return arange(rows).unsqueeze(1) >= arange(cols)


def _softmax_of_seen(scores: Tensor) -> Tensor:
    """softmax over the last axis; rows of -inf only give 0."""
    blind = ~(scores != -math.inf).any(-1, keepdim=True)
    return pw.where(blind, 0.0, pw.where(blind, 0.0, scores).softmax(-1))


# ---------------------------------------------------------------- many heads

# as the public functions of these names, with autocast's casts
_linear = autocast.lower(linear)
_attention = autocast.lower(scaled_dot_product_attention)


def multi_head_attention_forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Tensor | None,
    in_proj_bias: Tensor | None,
    bias_k: Tensor | None,
    bias_v: Tensor | None,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor | None,
    training: bool = True,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Tensor | None = None,
    k_proj_weight: Tensor | None = None,
    v_proj_weight: Tensor | None = None,
    static_k: Tensor | None = None,
    static_v: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """(output, weights): query (L, N, E), key and value (S, N, ...), or without the batch axis N.

    Projects to num_heads heads, attends, projects back. Masks: True (or -inf) is left out;
    key_padding_mask (N, S), attn_mask (L, S) or (N * num_heads, L, S). weights are (N, L, S), per
    head (N, num_heads, L, S), or None without need_weights. AssertionError and RuntimeError of
    PyTorch for shapes that do not fit."""
    batched = _check_ranks(query, key, value, key_padding_mask, attn_mask, num_heads)
    if not batched:
        query, key, value = (t.unsqueeze(1) for t in (query, key, value))
        if key_padding_mask is not None:
            key_padding_mask = key_padding_mask.unsqueeze(0)
    length, batch, width = query.shape
    key_padding_mask = added_mask(key_padding_mask, "key_padding_mask", query.dtype, attn_mask)
    if is_causal and attn_mask is None:
        raise RuntimeError(
            "Need attn_mask if specifying the is_causal hint. You may use the Transformer module "
            "method `generate_square_subsequent_mask` to create this mask."
        )
    if is_causal and key_padding_mask is None and not need_weights:
        attn_mask = None  # the hint says the same
    else:
        attn_mask = added_mask(attn_mask, "attn_mask", query.dtype)
        is_causal = False
    if width != embed_dim_to_check:
        raise AssertionError(
            f"was expecting embedding dimension of {embed_dim_to_check}, but got {width}"
        )
    head = width // num_heads
    if head * num_heads != width:
        raise AssertionError(f"embed_dim {width} not divisible by num_heads {num_heads}")
    if use_separate_proj_weight:
        if key.shape[:2] != value.shape[:2]:
            raise AssertionError(
                f"key's sequence and batch dims {key.shape[:2]} do not match value's "
                f"{value.shape[:2]}"
            )
        q, k, v = _separate(query, key, value, q_proj_weight, k_proj_weight, v_proj_weight,
                            in_proj_bias)  # fmt: skip
    else:
        if key.shape != value.shape:
            raise AssertionError(f"key shape {key.shape} does not match value shape {value.shape}")
        q, k, v = _packed(query, key, value, in_proj_weight, in_proj_bias)
    attn_mask = _with_heads(attn_mask, (length, key.shape[0]), batch * num_heads)
    if bias_k is not None and bias_v is not None:
        if static_k is not None or static_v is not None:
            raise AssertionError("bias cannot be added to static key or value.")
        k = cat([k, bias_k.repeat(1, batch, 1)], 0)
        v = cat([v, bias_v.repeat(1, batch, 1)], 0)
        attn_mask, key_padding_mask = (_wider(m) for m in (attn_mask, key_padding_mask))
    q = q.reshape(length, batch * num_heads, head).transpose(0, 1)
    k = _heads_of(k, static_k, "static_k", batch * num_heads, head)
    v = _heads_of(v, static_v, "static_v", batch * num_heads, head)
    if add_zero_attn:
        zero = zeros((batch * num_heads, 1, head), dtype=k.dtype)
        k, v = cat([k, zero], 1), cat([v, zero], 1)
        attn_mask, key_padding_mask = (_wider(m) for m in (attn_mask, key_padding_mask))
    source = k.shape[1]
    if key_padding_mask is not None:
        attn_mask = _merged(attn_mask, key_padding_mask, batch, num_heads, source)
    if not training:
        dropout_p = 0.0
    weights = None
    if need_weights:
        scores = (q * math.sqrt(1.0 / head)) @ k.transpose(-2, -1)
        if attn_mask is not None:
            scores = scores + attn_mask.to(scores.dtype)  # type: ignore[attr-defined]
        weights = scores.softmax(-1)
        if dropout_p > 0.0:
            weights = dropout(weights, dropout_p)
        out = weights @ v
        weights = weights.reshape(batch, num_heads, length, source)
        if average_attn_weights:
            weights = weights.mean(1)
    else:
        q, k, v = (t.reshape(batch, num_heads, t.shape[1], head) for t in (q, k, v))
        if attn_mask is not None:
            shared = attn_mask.shape[0] == 1 and batch * num_heads != 1
            lead = (1, 1) if shared else (batch, num_heads)
            attn_mask = attn_mask.reshape(*lead, *attn_mask.shape[-2:])
        out = _attention(q, k, v, attn_mask, dropout_p, is_causal)
        out = out.reshape(batch * num_heads, length, head)
    out = out.transpose(0, 1).reshape(length * batch, width)
    out = _linear(out, out_proj_weight, out_proj_bias).reshape(length, batch, -1)
    if not batched:
        out = out.squeeze(1)
        weights = None if weights is None else weights.squeeze(0)
    return out, weights


def _check_ranks(query: Tensor, key: Tensor, value: Tensor, padding: Any, mask: Any,
                 num_heads: int) -> bool:  # fmt: skip
    """Whether there is a batch axis; AssertionError for ranks that do not go together."""
    if query.ndim not in (2, 3):
        raise AssertionError(
            f"query should be unbatched 2D or batched 3D tensor but received {query.ndim}-D query "
            "tensor"
        )
    n = query.ndim
    word = "batched (3-D)" if n == 3 else "unbatched (2-D)"
    if key.ndim != n or value.ndim != n:
        raise AssertionError(
            f"For {word} `query`, expected `key` and `value` to be {n}-D but found {key.ndim}-D "
            f"and {value.ndim}-D tensors respectively"
        )
    if padding is not None and padding.ndim != n - 1:
        raise AssertionError(
            f"For {word} `query`, expected `key_padding_mask` to be `None` or {n - 1}-D but found "
            f"{padding.ndim}-D tensor instead"
        )
    if mask is not None and mask.ndim not in (2, 3):
        raise AssertionError(
            f"For {word} `query`, expected `attn_mask` to be `None`, 2-D or 3-D but found "
            f"{mask.ndim}-D tensor instead"
        )
    if n == 2 and mask is not None and mask.ndim == 3:
        wanted = (num_heads, query.shape[0], key.shape[0])
        if tuple(mask.shape) != wanted:
            raise AssertionError(f"Expected `attn_mask` shape to be {wanted} but got {mask.shape}")
    return n == 3


def added_mask(mask: Any, name: str, dtype: Any, other: Any = None, other_name: str = "attn_mask",
           check_other: bool = True) -> Any:  # fmt: skip
    """A mask as numbers to add to the scores: 0, and -inf where a bool mask is True."""
    if mask is None:
        return None
    if mask.dtype is not dtypes.bool_ and not mask.dtype.is_floating_point:
        raise AssertionError(f"only bool and floating types of {name} are supported")
    if check_other and other is not None and mask.dtype is not other.dtype:
        warnings.warn(
            f"Support for mismatched {name} and {other_name} is deprecated. Use same type for "
            "both instead.",
            stacklevel=users_level(),
        )
    if mask.dtype is dtypes.bool_:
        return pw.where(mask, -math.inf, zeros((), dtype=dtype))
    return mask


def _with_heads(mask: Any, size: tuple, heads: int) -> Any:
    """attn_mask as (1, L, S) or (N * heads, L, S)."""
    if mask is None:
        return None
    if mask.ndim == 2:
        if tuple(mask.shape) != size:
            raise RuntimeError(
                f"The shape of the 2D attn_mask is {mask.shape}, but should be {size}."
            )
        return mask.unsqueeze(0)
    if tuple(mask.shape) != (heads, *size):
        raise RuntimeError(
            f"The shape of the 3D attn_mask is {mask.shape}, but should be {(heads, *size)}."
        )
    return mask


def _wider(mask: Any) -> Any:
    """A mask with one more column, of zeros."""
    return None if mask is None else pad(mask, (0, 1))


def _merged(mask: Any, padding: Tensor, batch: Any, num_heads: int, source: Any) -> Tensor:
    """The sum of both masks, (N * heads, 1 or L, S)."""
    if padding.shape[0] != batch:
        raise AssertionError(
            f"Expected key_padded_mask.shape[0] to be {batch}, but got {padding.shape[0]}"
        )
    if padding.shape[1] != source:
        raise AssertionError(
            f"Expected key_padded_mask.shape[1] to be {source}, but got {padding.shape[1]}"
        )
    padding = padding.view(batch, 1, 1, source).expand(batch, num_heads, 1, source)
    padding = padding.reshape(batch * num_heads, 1, source)
    return padding if mask is None else mask + padding


def _heads_of(t: Tensor, static: Any, name: str, heads: Any, head: Any) -> Tensor:
    """(S, N, E) as (N * heads, S, head), or the static tensor of that form."""
    if static is None:
        return t.reshape(t.shape[0], heads, head).transpose(0, 1)
    if static.shape[0] != heads or static.shape[2] != head:
        raise AssertionError(
            f"expecting {name}.size(0) of {heads} and {name}.size(2) of {head}, but got "
            f"{static.shape[0]} and {static.shape[2]}"
        )
    return static


def _packed(query: Tensor, key: Tensor, value: Tensor, weight: Any, bias: Any) -> tuple:
    """The three projections by one weight (3 E, E): in as few products as there are tensors."""
    if weight is None:
        raise AssertionError("use_separate_proj_weight is False but in_proj_weight is None")
    width = query.shape[-1]
    if key is value:
        if query is key:
            return _linear(query, weight, bias).chunk(3, -1)
        rest = None if bias is None else bias[width:]
        first = None if bias is None else bias[:width]
        return (
            _linear(query, weight[:width], first),
            *_linear(key, weight[width:], rest).chunk(2, -1),
        )
    weights = weight.chunk(3)
    biases = (None,) * 3 if bias is None else bias.chunk(3)
    return tuple(
        [_linear(t, w, b) for t, w, b in zip((query, key, value), weights, biases, strict=True)]
    )


def _separate(query: Tensor, key: Tensor, value: Tensor, wq: Any, wk: Any, wv: Any,
              bias: Any) -> tuple:  # fmt: skip
    """The three projections by weights of their own."""
    biases = (None,) * 3 if bias is None else bias.chunk(3)
    for name, w in (("q_proj_weight", wq), ("k_proj_weight", wk), ("v_proj_weight", wv)):
        if w is None:
            raise AssertionError(f"use_separate_proj_weight is True but {name} is None")
    pairs = zip((query, key, value), (wq, wk, wv), biases, strict=True)
    return tuple([_linear(t, w, b) for t, w, b in pairs])


entry.wrap(__name__, globals())
autocast.wrap("functional", globals())
