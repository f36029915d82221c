"""Attention with scores and masks given as functions of the position.

Takes score_mod(score, b, h, q_idx, kv_idx) and mask_mod(b, h, q_idx, kv_idx), gives attention with
them. The functions are called once, with tensors that broadcast to (B, H, Q, KV), and so have to be
elementwise; PyTorch maps them over single positions. Invariant: a row that may see nothing gives 0.
https://docs.pytorch.org/docs/stable/nn.attention.flex_attention.html
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ...base import dtypes
from ...core.tensor import Tensor
from ...creation import arange
from ...ops import pointwise as pw

__all__ = [
    "BlockMask",
    "and_masks",
    "create_block_mask",
    "create_mask",
    "flex_attention",
    "noop_mask",
    "or_masks",
]


def noop_mask(batch: Any, head: Any, token_q: Any, token_kv: Any) -> Tensor:
    """A mask_mod that hides nothing."""
    return (batch * 0 + head * 0 + token_q * 0 + token_kv * 0) == 0


def and_masks(*mask_mods: Callable) -> Callable:
    """The mask_mod that shows what all of them show."""
    if not all(callable(m) for m in mask_mods):
        raise RuntimeError(f"All inputs should be callable mask_mods: {mask_mods}")

    def both(b: Any, h: Any, q: Any, kv: Any) -> Any:
        seen: Any = True
        for m in mask_mods:
            seen = m(b, h, q, kv) & seen
        return seen

    return both


def or_masks(*mask_mods: Callable) -> Callable:
    """The mask_mod that shows what any of them shows."""
    if not all(callable(m) for m in mask_mods):
        raise RuntimeError(f"All inputs should be callable mask_mods: {mask_mods}")

    def either(b: Any, h: Any, q: Any, kv: Any) -> Any:
        seen: Any = False
        for m in mask_mods:
            seen = m(b, h, q, kv) | seen
        return seen

    return either


def _positions(b: Any, h: Any, q: Any, kv: Any) -> tuple:
    """Index tensors of the four axes, each along its own."""
    sizes = (b, h, q, kv)
    return tuple(
        [
            arange(n).reshape((1,) * i + (-1,) + (1,) * (3 - i))  # type: ignore[attr-defined]
            for i, n in enumerate(sizes)
        ]
    )


def create_mask(
    mod_fn: Callable,
    B: int | None,
    H: int | None,
    Q_LEN: int,
    KV_LEN: int,
    device: Any = None,
) -> Tensor:
    """The bool mask (B, H, Q_LEN, KV_LEN) of a mask_mod; None for B or H stands for 1."""
    shape = (1 if B is None else B, 1 if H is None else H, Q_LEN, KV_LEN)
    seen = mod_fn(*_positions(*shape))
    return pw.cast(seen, dtypes.bool_).expand(shape).contiguous()  # type: ignore[attr-defined]


class BlockMask:
    """A mask_mod with the sizes it is for. `to_dense` shows which blocks of BLOCK_SIZE positions
    have something to see; graphc's attention computes all of them."""

    def __init__(self, mask: Tensor, mask_mod: Callable, block_size: tuple[int, int]) -> None:
        self.mask, self.mask_mod, self.BLOCK_SIZE = mask, mask_mod, block_size
        self.seq_lengths = (mask.shape[2], mask.shape[3])

    @property
    def shape(self) -> tuple:
        """(B, H, Q_LEN, KV_LEN)."""
        return tuple(self.mask.shape)

    def numel(self) -> int:
        """The number of places."""
        return self.mask.numel()

    def to_dense(self) -> Tensor:
        """int32 (B, H, blocks of queries, blocks of keys): 1 where something is seen."""
        from ..functional.shape import pad

        (q, kv), (rows, cols) = self.BLOCK_SIZE, self.seq_lengths
        seen: Any = pad(pw.cast(self.mask, dtypes.int32), (0, -cols % kv, 0, -rows % q))
        b, h, rows, cols = seen.shape
        return seen.reshape(b, h, rows // q, q, cols // kv, kv).amax((3, 5))

    def sparsity(self) -> float:
        """The share of blocks, in percent, in which nothing is seen."""
        blocks: Any = self.to_dense()
        return 100.0 * (1.0 - int(blocks.sum()) / max(blocks.numel(), 1))

    def to(self, device: Any) -> BlockMask:
        """The mask on a device; there is only the CPU."""
        return BlockMask(self.mask.to(device), self.mask_mod, self.BLOCK_SIZE)

    def __repr__(self) -> str:
        return f"BlockMask(shape={self.shape}, sparsity={self.sparsity():.2f}%)"


def create_block_mask(
    mask_mod: Callable,
    B: int | None,
    H: int | None,
    Q_LEN: int,
    KV_LEN: int,
    device: Any = None,
    BLOCK_SIZE: int | tuple[int, int] = 128,
    _compile: bool = False,
) -> BlockMask:
    """The BlockMask of a mask_mod for these sizes; None for B or H: the same for all."""
    size = (BLOCK_SIZE, BLOCK_SIZE) if isinstance(BLOCK_SIZE, int) else BLOCK_SIZE
    return BlockMask(create_mask(mask_mod, B, H, Q_LEN, KV_LEN, device), mask_mod, size)


def flex_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    score_mod: Callable | None = None,
    block_mask: BlockMask | None = None,
    scale: float | None = None,
    enable_gqa: bool = False,
    return_lse: bool = False,
    kernel_options: Any = None,
) -> Any:
    """softmax(score_mod(query @ key.T * scale)) @ value over what block_mask shows.

    query (B, Hq, L, E), key (B, Hkv, S, E), value (B, Hkv, S, Ev). return_lse: also the logarithm
    of each row's sum of exponentials, (B, Hq, L). kernel_options choose nothing here. ValueError
    for shapes that do not fit."""
    for t in (query, key, value):
        if t.ndim != 4:
            raise NotImplementedError("NYI: query, key, and value must be 4D tensors")
    if not enable_gqa and query.shape[1] != key.shape[1]:
        raise ValueError(
            "Expect query and key/value to have the same number of heads but got "
            f"Hq={query.shape[1]} and Hkv={key.shape[1]}. Try setting enable_gqa=True for GQA."
        )
    if enable_gqa and query.shape[1] % key.shape[1]:
        raise ValueError(
            "Expect number of query heads to be a multiple of kv heads for GQA but got "
            f"Hq={query.shape[1]} and Hkv={key.shape[1]}."
        )
    if query.shape[1] != key.shape[1]:
        n = query.shape[1] // key.shape[1]
        key, value = (t.repeat_interleave(n, 1) for t in (key, value))
    scale = 1.0 / math.sqrt(query.shape[-1]) if scale is None else scale
    scores = (query @ key.transpose(-2, -1)) * scale
    if score_mod is not None:
        scores = score_mod(scores, *_positions(*scores.shape))
    if block_mask is not None:
        rows, cols = block_mask.seq_lengths
        if rows < scores.shape[2] or cols < scores.shape[3]:
            raise ValueError(
                f"block_mask was created for block_mask.shape={block_mask.shape} but got "
                f"q_len={scores.shape[2]} and kv_len={scores.shape[3]}. As the block mask was "
                "created for a smaller length than you're using it for, you likely need to "
                "create a new block mask."
            )
        seen = block_mask.mask[:, :, : scores.shape[2], : scores.shape[3]]
        scores = pw.where(seen, scores, -math.inf)
    blind = ~(scores != -math.inf).any(-1, keepdim=True)
    weights = pw.where(blind, 0.0, pw.where(blind, 0.0, scores).softmax(-1))
    out = weights @ value
    return (out, scores.logsumexp(-1)) if return_lse else out  # type: ignore[attr-defined]
