"""The random stream: forks, generators' states."""

import pytest

import graphc


def test_fork_rng():
    graphc.random.manual_seed(3)
    assert graphc.random.initial_seed() == 3
    want = graphc.rand(4)
    graphc.manual_seed(3)
    with graphc.random.fork_rng():
        graphc.manual_seed(7)
        graphc.rand(5)
    assert (graphc.rand(4) == want).all()
    graphc.manual_seed(3)
    with graphc.random.fork_rng(enabled=False):
        graphc.rand(4)
    assert (graphc.rand(4) != want).any()
    with pytest.raises(AssertionError), graphc.random.fork_rng(devices=[0]):
        pass
    state = graphc.random.get_rng_state()
    a = graphc.randn(3)
    graphc.random.set_rng_state(state)
    assert (graphc.randn(3) == a).all()


def test_generators():
    g = graphc.Generator()
    assert g.manual_seed(5) is g and g.initial_seed() == 5 and g.device == graphc.device("cpu")
    graphc.rand(3, generator=g)
    state = g.get_state()
    assert state.dtype is graphc.uint8
    a = graphc.rand(3, generator=g)
    other = g.clone_state()
    g.set_state(state)
    assert (graphc.rand(3, generator=g) == a).all()
    assert (graphc.rand(3, generator=g) == graphc.rand(3, generator=other)).all()
    at = g.get_offset()
    b = graphc.rand(3, generator=g)
    g.set_offset(at)
    assert (graphc.rand(3, generator=g) == b).all()
    fresh = graphc.Generator(device="cpu")
    fresh.set_state(state)
    assert (graphc.rand(3, generator=fresh) == a).all()
    with pytest.raises(TypeError, match="RNG state must be a torch.ByteTensor"):
        g.set_state(graphc.zeros(16))
    with pytest.raises(RuntimeError, match="size to be 3"):
        g.set_state(graphc.zeros(3, dtype=graphc.uint8))
    assert 0 <= g.seed() < 2**64
