"""flex_attention against PyTorch, and against attention with the mask written out.

Tolerance: float64 on both sides; 1e-10 separates rounding from errors."""

import warnings

import numpy as np
import pytest

import graphc
import graphc.nn.functional as F
from graphc.nn.attention import flex_attention as flex

try:
    import torch
    import torch.nn.attention.flex_attention as theirs
except ImportError:
    torch = None
needs_torch = pytest.mark.skipif(torch is None, reason="PyTorch is not installed")

RNG = np.random.RandomState(4)
Q, K, V = RNG.randn(2, 4, 6, 8), RNG.randn(2, 2, 6, 8), RNG.randn(2, 2, 6, 8)
TOL = {"rtol": 1e-10, "atol": 1e-12}


def causal(b, h, q, kv):
    return q >= kv


def window(b, h, q, kv):
    return q - kv < 3


def relative(score, b, h, q, kv):
    return score + (q - kv) * 0.1 * (h + 1)


@needs_torch
@pytest.mark.parametrize("score", [None, relative])
@pytest.mark.parametrize("masked", [False, True])
def test_against_torch(score, masked):
    found = []
    for lib, room in ((torch, theirs), (graphc, flex)):
        q, k, v = (lib.from_numpy(a.copy()).requires_grad_(lib is graphc) for a in (Q, K, V))
        mask = None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if masked:
                mod = room.and_masks(causal, window)
                mask = room.create_block_mask(mod, None, None, 6, 6, device="cpu")
            out = room.flex_attention(q, k, v, score, mask, scale=0.3, enable_gqa=True)
            made = room.create_mask(room.or_masks(causal, window), 1, 1, 6, 6, device="cpu")
        found.append([out, made])
        if lib is graphc:
            out.square().sum().backward()
            assert q.grad is not None and k.grad is not None
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(b.detach().numpy(), a.detach().numpy(), **TOL)


def test_is_attention_with_the_mask():
    q, k, v = (graphc.from_numpy(a[:, :2].copy()) for a in (Q, K, V))
    mask = flex.create_block_mask(causal, 1, 1, 6, 6, BLOCK_SIZE=2)
    out, lse = flex.flex_attention(q, k, v, block_mask=mask, return_lse=True)
    plain = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    np.testing.assert_allclose(out.numpy(), plain.numpy(), **TOL)
    assert tuple(lse.shape) == (2, 2, 6)
    assert mask.to_dense()[0, 0].tolist() == [[1, 0, 0], [1, 1, 0], [1, 1, 1]]
    assert mask.shape == (1, 1, 6, 6) and abs(mask.sparsity() - 100 / 3) < 1e-9
    assert bool(flex.create_mask(flex.noop_mask, 1, 1, 3, 3).all())
    blind = flex.create_block_mask(lambda b, h, q, kv: q > kv, 1, 1, 6, 6)
    assert bool((flex.flex_attention(q, k, v, block_mask=blind)[:, :, 0] == 0).all())
    with pytest.raises(ValueError, match="Try setting enable_gqa=True"):
        flex.flex_attention(graphc.from_numpy(Q), k, v)
    small = flex.create_block_mask(causal, 1, 1, 4, 4)
    with pytest.raises(ValueError, match="you likely need to create a new block mask"):
        flex.flex_attention(q, k, v, block_mask=small)


def test_compiled():
    q, k, v = (graphc.from_numpy(a[:, :2].copy()) for a in (Q, K, V))

    def fn(q, k, v):
        return flex.flex_attention(q, k, v, relative)

    assert graphc.equal(graphc.compile(fn, fullgraph=True)(q, k, v), fn(q, k, v))
