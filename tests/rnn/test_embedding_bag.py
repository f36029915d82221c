"""embedding_bag against PyTorch and against a loop over bags, errors, and compiled in bits.

Tolerance: float64 on both sides; 1e-10 separates rounding from errors."""

import numpy as np
import pytest

import graphc
import graphc.nn.functional as F
from graphc import nn

try:
    import torch
except ImportError:
    torch = None
needs_torch = pytest.mark.skipif(torch is None, reason="PyTorch is not installed")

RNG = np.random.RandomState(11)
W = RNG.randn(10, 3)
# only the greatest index repeats: with scale_grad_by_freq PyTorch's CPU kernel divides what follows
# a repeated index by its count, too
FLAT = np.array([1, 2, 9, 5, 9, 3, 4, 9])
GRID = np.array([[1, 2, 9], [9, 9, 3]])
TOL = {"rtol": 1e-10, "atol": 1e-12}
CASES = {
    "offsets": (FLAT, [0, 3], {}),
    "empty bags": (FLAT, [0, 0, 3, 8], {}),
    "padding": (FLAT, [0, 2, 5], {"padding_idx": 9}),
    "last": (FLAT, [0, 3, 8], {"include_last_offset": True}),
    "grid": (GRID, None, {}),
    "grid padding": (GRID, None, {"padding_idx": -1}),
    "capped": (FLAT, [0, 3], {"max_norm": 0.8, "norm_type": 1.0}),
    "nothing": (FLAT[:0], [0, 0], {}),
}


@needs_torch
@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
@pytest.mark.parametrize("case", CASES)
def test_against_torch(mode, case):
    index, offsets, kwargs = CASES[case]
    for extra in ({}, {"scale_grad_by_freq": mode != "max"}, {"weighted": mode == "sum"}):
        extra = dict(extra)
        weighted = extra.pop("weighted", False)
        found = []
        for lib in (torch, graphc):
            w = lib.from_numpy(W.copy()).requires_grad_()
            scale = None
            if weighted:
                scale = lib.from_numpy(np.linspace(0.5, 2, index.size).reshape(index.shape))
                scale.requires_grad_()
            out = lib.nn.functional.embedding_bag(
                lib.from_numpy(index.copy()), w,
                None if offsets is None else lib.tensor(offsets),
                mode=mode, per_sample_weights=scale, **kwargs, **extra)  # fmt: skip
            out.square().sum().backward()
            grads = [w.grad, *([] if scale is None else [scale.grad])]
            found.append([out, w, *grads])
        for a, b in zip(*found, strict=True):
            np.testing.assert_allclose(b.detach().numpy(), a.detach().numpy(), **TOL)


def test_is_a_loop_over_bags():
    w = graphc.from_numpy(W)
    for mode, fn in (("sum", np.sum), ("mean", np.mean), ("max", np.max)):
        out = F.embedding_bag(graphc.from_numpy(FLAT), w, graphc.tensor([0, 3, 4]), mode=mode)
        want = [fn(W[FLAT[a:b]], axis=0) for a, b in ((0, 3), (3, 4), (4, 8))]
        np.testing.assert_allclose(out.numpy(), want, **TOL)


@needs_torch
def test_module():
    for args in ((), (1.0, 1.0, True, "sum")):
        assert repr(nn.EmbeddingBag(10, 3, *args)) == repr(torch.nn.EmbeddingBag(10, 3, *args))
    bag = nn.EmbeddingBag(10, 3, padding_idx=-1)
    assert bag.padding_idx == 9 and (bag.weight[9] == 0).all()
    frozen = nn.EmbeddingBag.from_pretrained(graphc.from_numpy(W), mode="max")
    assert not frozen.weight.requires_grad
    assert graphc.equal(frozen(graphc.tensor([[1, 2]])), graphc.from_numpy(W[1:3].max(0)[None]))


def told(fn):
    try:
        fn()
    except Exception as e:  # noqa: BLE001
        return type(e), str(e).splitlines()[0].replace("graphc.core.tensor", "torch")
    return None, ""


@needs_torch
def test_errors():
    calls = [
        lambda f, t, w: f(t([1, 2]), w),
        lambda f, t, w: f(t([[1, 2]]), w, t([0])),
        lambda f, t, w: f(t([1, 2]), w, t([1])),
        lambda f, t, w: f(t([1, 2]), w, t([0, 3])),
        lambda f, t, w: f(t([1, 2]), w, t([[0]])),
        lambda f, t, w: f(t([1.0, 2.0]), w, t([0])),
        lambda f, t, w: f(t([1, 2]), w, t([0]), mode="x"),
        lambda f, t, w: f(t([1, 2]), w, t([0]), per_sample_weights=t([1.0, 2.0])),
        lambda f, t, w: f(t([1, 2]), w, t([0]), mode="sum", per_sample_weights=t([1.0])),
        lambda f, t, w: f(t([1, 2]), w.double(), t([0]), mode="sum",
                          per_sample_weights=t([1.0, 2.0])),
        lambda f, t, w: f(t([1, 10]), w, t([0])),
        lambda f, t, w: f(t([1, 2]), w, t([0]), padding_idx=10),
        lambda f, t, w: f(t([1, 2]), w, t([0]), mode="max", scale_grad_by_freq=True),
        lambda f, t, w: f(t([1, 2]), w, t([0]), mode="max", sparse=True),
        lambda f, t, w: f(t([[[1, 2]]]), w),
    ]  # fmt: skip
    for call in calls:
        ours = told(lambda call=call: call(F.embedding_bag, graphc.tensor, graphc.zeros(10, 3)))
        assert ours[0] is not None
        assert ours == told(
            lambda call=call: call(
                torch.nn.functional.embedding_bag, torch.tensor, torch.zeros(10, 3)
            )
        )
    with pytest.raises(RuntimeError, match="no sparse gradients"):
        F.embedding_bag(graphc.tensor([[1]]), graphc.zeros(10, 3), sparse=True)


def test_compiled():
    bag = nn.EmbeddingBag(10, 3, mode="mean", padding_idx=9)
    compiled = graphc.compile(bag, fullgraph=True)
    grads = []
    for fn in (bag, compiled):
        bag.zero_grad()
        out = fn(graphc.from_numpy(FLAT), graphc.tensor([0, 0, 3]))
        out.square().sum().backward()
        grads.append([out, bag.weight.grad])
    assert all(graphc.equal(a, b) for a, b in zip(*grads, strict=True))
