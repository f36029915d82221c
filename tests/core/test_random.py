"""Random numbers against a plain-Python Philox4x64-10 (Salmon et al., SC 2011)."""

from __future__ import annotations

import math

import numpy as np
import pytest

import graphc as torch

M = (1 << 64) - 1


def philox(counter: list[int], key: list[int]) -> list[int]:
    """One block of four words."""
    c, k = list(counter), list(key)
    for _ in range(10):
        p0, p1 = 0xD2E7470EE14C6C93 * c[0], 0xCA5A826395121157 * c[2]
        c = [(p1 >> 64) ^ c[1] ^ k[0], p1 & M, (p0 >> 64) ^ c[3] ^ k[1], p0 & M]
        k = [(k[0] + 0x9E3779B97F4A7C15) & M, (k[1] + 0xBB67AE8584CAA73B) & M]
    return c


def words(seed: int, offset: int, n: int) -> list[int]:
    """n words of the stream, from a block offset; counters start at 1 more than numpy's
    `counter`."""
    out: list[int] = []
    block = offset
    while len(out) < n:
        block += 1
        out += philox([block & M, block >> 64, 0, 0], [seed, 0])
    return out[:n]


def test_the_stream_is_numpys_philox():
    want = np.random.Philox(key=[5, 0], counter=[3, 0, 0, 0]).random_raw(10).tolist()
    assert words(5, 3, 10) == want


@pytest.mark.parametrize("seed", [0, 1, 123456789, 2**63 + 5])
def test_uniform(seed):
    torch.manual_seed(seed)
    got = torch.rand(2, 5)
    then = torch.rand(3, dtype=torch.float64)
    w = words(seed, 0, 10)
    assert (
        got.tolist()
        == np.array([(x >> 40) * 2.0**-24 for x in w], np.float32).reshape(2, 5).tolist()
    )
    # the first draw took ceil(10 / 4) blocks
    assert then.tolist() == [(x >> 11) * 2.0**-53 for x in words(seed, 3, 3)]


def test_randint():
    torch.manual_seed(7)
    assert torch.randint(-3, 10, (9,)).tolist() == [-3 + (x * 13 >> 64) for x in words(7, 0, 9)]
    assert torch.randint(5, (2, 2)).shape == (2, 2)


def test_normal():
    torch.manual_seed(7)
    got = torch.randn(6, dtype=torch.float64).tolist()
    w = words(7, 0, 12)
    for i, x in enumerate(got):
        u, v = 1.0 - (w[2 * i] >> 11) * 2.0**-53, (w[2 * i + 1] >> 11) * 2.0**-53
        want = math.sqrt(-2 * math.log(u)) * math.cos(2 * math.pi * v)
        # three functions of at most 1 ULP each, on values up to 8.6
        assert abs(x - want) <= 1e-14 * max(1.0, abs(want))


def test_permutation():
    torch.manual_seed(3)
    w = words(3, 0, 10)
    assert torch.randperm(10).tolist() == sorted(range(10), key=lambda i: (w[i], i))


def test_generators_are_streams_of_their_own():
    g = torch.Generator().manual_seed(11)
    torch.manual_seed(11)
    a = torch.rand(5)
    assert torch.equal(torch.rand(5, generator=g), a)
    assert not torch.equal(torch.rand(5), a)
    assert g.initial_seed() == 11 and torch.initial_seed() == 11
    state = torch.get_rng_state()
    b = torch.randn(4)
    torch.set_rng_state(state)
    assert torch.equal(torch.randn(4), b)


def test_in_place_and_shaped():
    torch.manual_seed(1)
    x = torch.empty(3, 4).uniform_(-1, 1)
    assert -1 <= float(x.min()) and float(x.max()) < 1
    assert torch.empty(1000).bernoulli_(0.25).mean() < 0.35
    assert torch.bernoulli(torch.tensor([0.0, 1.0])).tolist() == [0.0, 1.0]
    assert abs(float(torch.empty(4000).normal_(3, 0.5).mean()) - 3) < 0.05  # 6 standard errors
    assert set(torch.multinomial(torch.tensor([0.0, 1.0, 1.0]), 2).tolist()) == {1, 2}
    assert torch.rand_like(x).shape == x.shape and torch.randn_like(x).dtype is x.dtype
