"""GradScaler: the scale's course and skipped steps as PyTorch's, its state, misuse."""

import pickle

import pytest

import graphc


def _libraries():
    try:
        import torch
    except ImportError:
        return [graphc]
    return [graphc, torch]


def _course(lib):
    p = lib.tensor([1.0, 2.0], requires_grad=True)
    o = lib.optim.SGD([p], lr=0.1)
    s = lib.amp.GradScaler("cpu", init_scale=8.0, growth_interval=2)
    seen = []
    for i, factor in enumerate([1, 1, 1, float("inf"), 1, 1, float("nan"), 1]):
        o.zero_grad()
        s.scale((p * p).sum() * factor).backward()
        if i % 2:
            s.unscale_(o)
        s.step(o)
        s.update()
        seen.append((s.get_scale(), s.state_dict()["_growth_tracker"], p.tolist()))
    s.update(4.0)
    seen.append(s.get_scale())
    s.update(lib.tensor(2.0))
    seen.append((s.get_scale(), s.state_dict()))
    return seen


def test_the_scales_course():
    runs = [_course(lib) for lib in _libraries()]
    assert all(repr(r) == repr(runs[0]) for r in runs)
    scales = [x[0] for x in runs[0][:8]]
    assert scales == [8, 16, 16, 8, 8, 16, 8, 8]
    # p = p - 0.1 * 2p in each step that is not skipped
    assert runs[0][7][2][0] == pytest.approx(0.8**6, rel=1e-6)


def test_outputs_and_states():
    s = graphc.amp.GradScaler(device="cpu", init_scale=4.0)
    assert s.get_scale() == 4.0 and s.is_enabled()
    a, (b, c) = s.scale([graphc.ones(1), (graphc.ones(1) * 2, graphc.ones(1))])
    assert [t.item() for t in (a, b, c)] == [4, 8, 4]
    with pytest.raises(ValueError, match="must be a Tensor or an iterable"):
        s.scale(3)
    s.set_growth_factor(3.0)
    s.set_backoff_factor(0.25)
    s.set_growth_interval(7)
    again = graphc.amp.GradScaler("cpu")
    again.load_state_dict(s.state_dict())
    assert again.state_dict() == s.state_dict() == {
        "scale": 4.0, "growth_factor": 3.0, "backoff_factor": 0.25, "growth_interval": 7,
        "_growth_tracker": 0,
    }  # fmt: skip
    assert pickle.loads(pickle.dumps(s)).state_dict() == s.state_dict()
    assert (again.get_growth_factor(), again.get_backoff_factor()) == (3.0, 0.25)
    with pytest.raises(RuntimeError, match="The source state dict is empty"):
        again.load_state_dict({})


def test_misuse():
    p = graphc.ones(2, requires_grad=True)
    o = graphc.optim.SGD([p], lr=0.1)
    s = graphc.amp.GradScaler("cpu")
    with pytest.raises(AssertionError, match="Attempted step but _scale is None"):
        s.step(o)
    s.scale(p.sum()).backward()
    with pytest.raises(AssertionError, match="No inf checks were recorded prior to update"):
        s.update()
    s.unscale_(o)
    with pytest.raises(RuntimeError, match="already been called on this optimizer"):
        s.unscale_(o)
    assert p.grad.tolist() == [1.0, 1.0]
    with pytest.raises(RuntimeError, match="Closure use is not currently supported"):
        s.step(o, closure=lambda: None)
    s.step(o)
    with pytest.raises(RuntimeError, match=r"step\(\) has already been called"):
        s.step(o)
    with pytest.raises(RuntimeError, match=r"unscale_\(\) is being called after step"):
        s.unscale_(o)
    with pytest.raises(AssertionError, match="may only be pickled"):
        pickle.dumps(s)
    s.update()
    q = graphc.ones(2, dtype=graphc.float16, requires_grad=True)
    q.grad = graphc.ones(2, dtype=graphc.float16)
    with pytest.raises(ValueError, match="Attempting to unscale FP16 gradients"):
        s.unscale_(graphc.optim.SGD([q], lr=0.1))
    with pytest.raises(AssertionError, match="growth factor must be > 1.0"):
        graphc.amp.GradScaler("cpu", growth_factor=1.0)


def test_disabled_scalers_pass_through():
    with pytest.warns(UserWarning, match="GradScaler is enabled, but CUDA is not available"):
        s = graphc.amp.GradScaler()
    x = graphc.ones(2)
    assert s.scale(x) is x and s.get_scale() == 1.0 and s.state_dict() == {}
    p = graphc.ones(1, requires_grad=True)
    p.grad = graphc.ones(1)
    o = graphc.optim.SGD([p], lr=1.0)
    s.unscale_(o)
    s.step(o)
    s.update()
    s.load_state_dict({})
    assert p.item() == 0.0
    with pytest.warns(FutureWarning, match="cuda.amp.GradScaler"):
        assert not graphc.cuda.amp.GradScaler(enabled=False).is_enabled()
