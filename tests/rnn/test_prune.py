"""nn.utils.prune against PyTorch (methods that draw nothing) and against what it says."""

import numpy as np
import pytest

import graphc
from graphc import nn
from graphc.nn.utils import prune

try:
    import torch
    import torch.nn.utils.prune
except ImportError:
    torch = None
needs_torch = pytest.mark.skipif(torch is None, reason="PyTorch is not installed")

W = np.random.RandomState(2).randn(6, 4)


def made(lib):
    m = lib.nn.Linear(4, 6, bias=False).double()
    m.weight.data = lib.from_numpy(W.copy())
    return m


def steps(lib):
    p = lib.nn.utils.prune
    scores = lib.from_numpy(np.random.RandomState(3).rand(6, 4))
    mask = lib.from_numpy((np.arange(24).reshape(6, 4) % 5 != 0).astype(float))
    return [
        lambda m: p.l1_unstructured(m, "weight", amount=0.3),
        lambda m: p.l1_unstructured(m, "weight", amount=4, importance_scores=scores),
        lambda m: p.ln_structured(m, "weight", amount=0.5, n=2, dim=0),
        lambda m: p.ln_structured(m, "weight", 1, float("inf"), -1),
        lambda m: p.custom_from_mask(m, "weight", mask),
        lambda m: p.identity(m, "weight"),
    ]


@needs_torch
@pytest.mark.parametrize("order", [(0,), (2,), (0, 2), (2, 0, 3), (4, 1), (5, 0), (1, 4, 3)])
def test_against_torch(order):
    found = []
    for lib in (torch, graphc):
        m, all_steps = made(lib), steps(lib)
        for i in order:
            all_steps[i](m)
        m(lib.ones(2, 4).double()).sum().backward()
        seen = [m.weight, m.weight_mask, m.weight_orig, m.weight_orig.grad]
        assert lib.nn.utils.prune.is_pruned(m) and sorted(m.state_dict()) == [
            "weight_mask", "weight_orig"]  # fmt: skip
        lib.nn.utils.prune.remove(m, "weight")
        assert not lib.nn.utils.prune.is_pruned(m) and list(m.state_dict()) == ["weight"]
        found.append([*seen, m.weight])
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(b.detach().numpy(), a.detach().numpy())


@needs_torch
def test_global():
    found = []
    for lib in (torch, graphc):
        a, b, p = made(lib), made(lib), lib.nn.utils.prune
        b.weight.data = b.weight.data * 0.5
        p.l1_unstructured(a, "weight", 2)
        p.global_unstructured([(a, "weight"), (b, "weight")], pruning_method=p.L1Unstructured,
                              amount=0.4)  # fmt: skip
        found.append([a.weight, b.weight])
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(b.detach().numpy(), a.detach().numpy())


def test_random_methods_prune_what_they_say():
    m = made(graphc)
    prune.random_unstructured(m, "weight", amount=7)
    assert int((m.weight_mask == 0).sum()) == 7
    prune.random_structured(m, "weight", amount=0.5, dim=0)
    rows = m.weight_mask.sum(1) == 0
    assert int(rows.sum()) >= 3 and len(m._forward_pre_hooks) == 1
    assert graphc.equal(m.weight, m.weight_mask * m.weight_orig)
    t = prune.L1Unstructured(2).prune(graphc.tensor([3.0, -1.0, 2.0, -5.0]))
    assert t.tolist() == [3.0, 0.0, 0.0, -5.0]


def told(fn):
    try:
        fn()
    except Exception as e:  # noqa: BLE001
        return type(e), str(e)
    return None, ""


@needs_torch
def test_errors():
    calls = [
        lambda lib, p: p.l1_unstructured(made(lib), "weight", "x"),
        lambda lib, p: p.l1_unstructured(made(lib), "weight", 1.5),
        lambda lib, p: p.l1_unstructured(made(lib), "weight", -1),
        lambda lib, p: p.l1_unstructured(made(lib), "weight", 25),
        lambda lib, p: p.ln_structured(made(lib), "weight", 1, 2, 5),
        lambda lib, p: p.remove(made(lib), "weight"),
        lambda lib, p: p.global_unstructured([(made(lib), "weight")], p.LnStructured, n=2,
                                             amount=1),
        lambda lib, p: p.custom_from_mask(made(lib), "weight", lib.ones(2)),
    ]  # fmt: skip
    for call in calls:
        ours = told(lambda call=call: call(graphc, prune))
        assert ours[0] is not None
        theirs = told(lambda call=call: call(torch, torch.nn.utils.prune))
        assert (ours[0], ours[1].replace("graphc.nn", "torch.nn")) == theirs
    m = nn.Linear(4, 6)
    with pytest.raises(ValueError, match="should be smaller than"):
        prune.l1_unstructured(m, "weight", 25)
    assert "weight" in m._parameters and not prune.is_pruned(m)
