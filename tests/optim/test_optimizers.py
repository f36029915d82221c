"""Optimizers: native updates, tensor ops and numpy give the same bits; PyTorch gives the same
numbers."""

import copy
import pickle
import weakref

import numpy as np
import pytest

import graphc
from graphc.native import library
from graphc.ops import optim_steps

CASES = [
    ("SGD", {"lr": 0.01}),
    ("SGD", {"lr": 0.01, "momentum": 0.9}),
    ("SGD", {"lr": 0.01, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.01, "momentum": 0.9, "dampening": 0.3, "maximize": True}),
    ("Adagrad", {"lr": 0.1}),
    (
        "Adagrad",
        {
            "lr": 0.1,
            "lr_decay": 0.1,
            "weight_decay": 0.01,
            "initial_accumulator_value": 0.1,
            "maximize": True,
        },
    ),
    ("Adam", {}),
    ("Adam", {"lr": 0.05, "betas": (0.8, 0.99), "eps": 1e-4, "weight_decay": 0.1, "amsgrad": True}),
    ("AdamW", {"lr": 0.1}),
    ("AdamW", {"lr": 0.1, "amsgrad": True, "maximize": True}),
]
IDS = [f"{name}-{'-'.join(kw)}" for name, kw in CASES]
SHAPES = [(3, 4), (), (300,), (70, 11), (0, 3)]


def _params(lib, dtype="float32", shapes=SHAPES):
    rng = np.random.default_rng(0)
    return [
        lib.from_numpy(np.array(rng.standard_normal(s), dtype)).requires_grad_() for s in shapes
    ]


def _train(lib, name, options, dtype="float32", steps=6, params=None, optimizer=None):
    ps = _params(lib, dtype) if params is None else params
    o = optimizer or getattr(lib.optim, name)(ps, **options)
    for i in range(steps):
        o.zero_grad()
        rng = np.random.default_rng(i)
        for p in ps:
            p.grad = lib.from_numpy(np.array(rng.standard_normal(tuple(p.shape)), dtype))
        o.step()
    return o, ps


def _bits(o, ps):
    out = [p.detach().numpy().tobytes() for p in ps]
    return out + [v.detach().numpy().tobytes() for s in o.state.values() for v in s.values()]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name,options", CASES, ids=IDS)
def test_native_and_tensor_ops_give_the_same_bits(name, options, dtype, monkeypatch):
    native = _bits(*_train(graphc, name, options, dtype))
    monkeypatch.setattr(optim_steps, "update_rows", lambda *a: False)
    assert _bits(*_train(graphc, name, options, dtype)) == native  # the records' kernels
    for op in (optim_steps.sgd_step, optim_steps.adagrad_step, optim_steps.adam_step):
        monkeypatch.setattr(op, "eager", None)
    assert (
        _bits(*_train(graphc, name, options, dtype)) == native
    )  # the bodies, as capture sees them


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sample", range(6))
def test_numpy_gives_the_kernels_bits(sample, dtype, monkeypatch):
    if not library.available():
        pytest.skip("no native code")
    for op in (optim_steps.sgd_step, optim_steps.adagrad_step, optim_steps.adam_step):
        s = [s for s in op.samples() if s.inputs[0].dtype == dtype][sample]
        rng = np.random.default_rng(sample)
        arrays = [
            None if m is None else np.array(rng.uniform(0.3, 0.9, m.shape), dtype) for m in s.inputs
        ]
        attrs = [s.attrs[a] for a in op.attrs]
        native = op.eager(*arrays, *attrs)
        with monkeypatch.context() as m:
            m.setattr(library, "available", lambda: False)
            spare = op.eager(*arrays, *attrs)
        assert len(native) == len(spare)
        for a, b in zip(native, spare, strict=True):
            assert a.shape == b.shape and a.tobytes() == b.tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name,options", CASES, ids=IDS)
def test_numbers_are_pytorchs(name, options, dtype):
    torch = pytest.importorskip("torch")
    o, ps = _train(graphc, name, options, dtype)
    o2, qs = _train(torch, name, options, dtype)
    # six steps of about ten roundings each, of numbers around 1
    tolerance = 60 * np.finfo(dtype).eps
    for p, q in zip(ps, qs, strict=True):
        np.testing.assert_allclose(
            p.detach().numpy(), q.detach().numpy(), rtol=tolerance, atol=tolerance
        )
    a, b = o.state_dict(), o2.state_dict()
    assert a["param_groups"] == b["param_groups"]
    assert {k: list(v) for k, v in a["state"].items()} == {
        k: list(v) for k, v in b["state"].items()
    }
    for k, state in b["state"].items():
        for field, value in state.items():
            assert a["state"][k][field].shape == value.shape
            assert str(a["state"][k][field].dtype) == str(value.dtype)
            np.testing.assert_allclose(
                a["state"][k][field].numpy(), value.numpy(), rtol=tolerance, atol=tolerance
            )


@pytest.mark.parametrize("name,options", CASES, ids=IDS)
def test_state_goes_from_pytorch_and_back(name, options):
    torch = pytest.importorskip("torch")
    o, _ = _train(torch, name, options, steps=3)
    saved = o.state_dict()
    as_graphc = {
        "state": {
            k: {f: graphc.from_numpy(v.numpy().copy()) for f, v in s.items()}
            for k, s in saved["state"].items()
        },
        "param_groups": saved["param_groups"],
    }
    mine = getattr(graphc.optim, name)(_params(graphc), **options)
    mine.load_state_dict(as_graphc)
    back = mine.state_dict()
    again = getattr(torch.optim, name)(_params(torch), **options)
    again.load_state_dict(
        {
            "state": {
                k: {f: torch.from_numpy(v.numpy()) for f, v in s.items()}
                for k, s in back["state"].items()
            },
            "param_groups": back["param_groups"],
        }
    )
    for k, state in saved["state"].items():
        for field, value in state.items():
            assert torch.equal(again.state_dict()["state"][k][field], value)


@pytest.mark.parametrize("name,options", CASES, ids=IDS)
def test_resumed_is_uninterrupted(name, options):
    o, ps = _train(graphc, name, options, steps=3)
    state = copy.deepcopy(o.state_dict())
    qs = [p.detach().clone().requires_grad_() for p in ps]
    _train(graphc, name, options, params=ps, optimizer=o, steps=4)
    o2 = getattr(graphc.optim, name)(qs, **options)
    o2.load_state_dict(state)
    assert all(
        v is not w
        for s, t in zip(o2.state_dict()["state"].values(), state["state"].values(), strict=True)
        for v, w in zip(s.values(), t.values(), strict=True)
    )
    _train(graphc, name, options, params=qs, optimizer=o2, steps=4)
    assert _bits(o, ps) == _bits(o2, qs)


@pytest.mark.parametrize("name", ["SGD", "Adagrad", "AdamW"])
@pytest.mark.parametrize("half", ["float16", "bfloat16"])
def test_half_parameters_round_once(name, half):
    """An update of half tensors is the float32 update, rounded at the end."""
    d = getattr(graphc, half)
    rng = np.random.default_rng(1)
    p = graphc.from_numpy(rng.standard_normal(50).astype("float32")).to(d)
    g = graphc.from_numpy(rng.standard_normal(50).astype("float32")).to(d)
    wide = p.float().clone().requires_grad_()
    wide.grad = g.float()
    p.requires_grad_()
    p.grad = g
    for t in (p, wide):
        o = getattr(graphc.optim, name)([t], lr=0.1)
        o.step()
    assert p.dtype is d
    assert (p.detach().float() == wide.detach().to(d).float()).all()
    for v, w in zip(o.state.get(wide, {}).values(), o.state.get(p, {}).values(), strict=False):
        assert v.dtype is w.dtype


def test_odd_layouts_and_missing_gradients():
    base = graphc.arange(24.0).reshape(4, 6)
    p = base.t().detach().requires_grad_()  # columns first in memory
    q = graphc.ones(3, requires_grad=True)
    r = graphc.ones(6, 4, requires_grad=True)
    o = graphc.optim.AdamW([p, q, r], lr=0.1)
    p.grad = graphc.ones(6, 4)
    r.grad = graphc.ones(4, 6).t()  # a gradient of another layout than its parameter
    dense = p.detach().contiguous().clone().requires_grad_()
    dense.grad = graphc.ones(6, 4)
    o2 = graphc.optim.AdamW([dense], lr=0.1)
    for _ in range(3):
        o.step()
        o2.step()
    assert (p == dense).all() and (q == 1).all() and q not in o.state
    assert o.state[r]["step"].item() == 3
    # other tensors in the places of the old ones are noticed
    before = p.detach().clone()
    p.data = p.detach().contiguous().clone()
    r.grad = graphc.zeros(6, 4)
    o.step()
    assert not (p == before).any()
    assert o.state[r]["exp_avg"].allclose(graphc.full((6, 4), 0.271 * 0.9))


def test_a_state_of_another_shape_is_an_error_not_a_crash():
    p = graphc.ones(1000, requires_grad=True)
    p.grad = graphc.ones(1000)
    o = graphc.optim.Adam([p])
    o.step()
    o.state[p]["exp_avg"] = graphc.zeros(3)
    with pytest.raises(RuntimeError, match="does not fit its parameter"):
        o.step()


def test_gradients_are_let_go():
    """A dropped gradient frees its memory, whatever tables the optimizer keeps."""
    for name in ("SGD", "Adagrad", "Adam"):
        p = graphc.ones(10, requires_grad=True)
        o = getattr(graphc.optim, name)([p], lr=0.1)
        for make in (lambda: graphc.ones(10), lambda: graphc.ones(20)[::2]):
            p.grad = g = make()
            gone = weakref.ref(g._array)
            o.step()
            del g
            o.zero_grad()
            assert gone() is None


def test_versions_move_and_history_does_not():
    p = graphc.ones(3, requires_grad=True)
    loss = (p * p).sum()
    p.grad = graphc.ones(3)
    version = p._version
    graphc.optim.Adam([p]).step()
    assert p._version > version and p.grad_fn is None and p.requires_grad
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_closure_zero_grad_and_set_to_none():
    p = graphc.tensor([1.0, 2.0], requires_grad=True)
    o = graphc.optim.SGD([p], lr=0.1)

    def closure():
        assert graphc.is_grad_enabled()
        o.zero_grad()
        loss = (p * p).sum()
        loss.backward()
        return loss

    with graphc.no_grad():
        assert o.step(closure).item() == 5.0
    assert p.tolist() == pytest.approx([0.8, 1.6])
    g = p.grad
    o.zero_grad(set_to_none=False)
    assert p.grad is g and (g == 0).all()
    o.zero_grad()
    assert p.grad is None


def test_a_tensor_learning_rate():
    for name in ("SGD", "Adagrad", "Adam", "AdamW"):
        runs = [
            _train(graphc, name, {"lr": lr}, "float64")
            for lr in (0.125, graphc.tensor(0.125, dtype=graphc.float64))
        ]
        for p, q in zip(runs[0][1], runs[1][1], strict=True):
            assert p.detach().allclose(q.detach(), rtol=1e-14, atol=1e-14)


def test_differentiable_steps():
    w = graphc.tensor([1.0, -2.0], dtype=graphc.float64, requires_grad=True)
    p = w.clone()
    p.retain_grad()
    o = graphc.optim.SGD([p], lr=0.1, momentum=0.9, differentiable=True)
    p.grad = w * 2
    o.step()
    p.sum().backward()
    # p = w - 0.1 * 2w
    assert w.grad.tolist() == pytest.approx([0.8, 0.8])


def test_groups_and_their_errors():
    a, b, c = (graphc.ones(2, requires_grad=True) for _ in range(3))
    o = graphc.optim.SGD([{"params": [a]}, {"params": b, "lr": 1.0}], lr=0.5)
    o.add_param_group({"params": c, "lr": 2.0})
    assert [g["lr"] for g in o.param_groups] == [0.5, 1.0, 2.0]
    for t in (a, b, c):
        t.grad = graphc.ones(2)
    o.step()
    assert [t[0].item() for t in (a, b, c)] == [0.5, 0.0, -1.0]
    assert repr(o).startswith(
        "SGD (\nParameter Group 0\n    dampening: 0\n    differentiable: False\n"
    )
    with pytest.raises(ValueError, match="optimizer got an empty parameter list"):
        graphc.optim.SGD([])
    with pytest.raises(ValueError, match="can't optimize a non-leaf Tensor"):
        graphc.optim.SGD([a * 2])
    with pytest.raises(
        TypeError, match="optimizer can only optimize Tensors, but one of the params is int"
    ):
        graphc.optim.SGD([1])
    with pytest.raises(
        TypeError, match="params argument given to the optimizer should be an iterable"
    ):
        graphc.optim.SGD(a)
    with pytest.raises(ValueError, match="some parameters appear in more than one parameter group"):
        o.add_param_group({"params": a})
    with pytest.raises(TypeError, match="organized in ordered collections"):
        graphc.optim.SGD([{"params": {a}}])
    with pytest.warns(UserWarning, match="duplicate parameters"):
        graphc.optim.SGD([a, a])
    for bad, text in (
        ({"lr": -1.0}, "Invalid learning rate: -1.0"),
        ({"momentum": -1.0}, "Invalid momentum value: -1.0"),
        ({"nesterov": True}, "Nesterov momentum requires a momentum and zero dampening"),
    ):
        with pytest.raises(ValueError, match=text):
            graphc.optim.SGD([a], **bad)
    with pytest.raises(ValueError, match="Invalid beta parameter at index 1: 1.0"):
        graphc.optim.Adam([a], betas=(0.9, 1.0))
    with pytest.raises(RuntimeError, match="`fused` and `foreach` cannot be `True` together."):
        graphc.optim.Adam([a], fused=True, foreach=True)
    graphc.optim.Adam([a], fused=True, capturable=True)
    with pytest.raises(ValueError, match="different number of parameter groups"):
        o.load_state_dict(graphc.optim.SGD([a]).state_dict())
    with pytest.raises(ValueError, match="doesn't match the size of optimizer's group"):
        graphc.optim.SGD([a]).load_state_dict(graphc.optim.SGD([a, b]).state_dict())


def test_named_parameters():
    a, b = graphc.ones(2, requires_grad=True), graphc.ones(2, requires_grad=True)
    o = graphc.optim.SGD([("a", a), ("b", b)])
    assert o.state_dict()["param_groups"][0]["param_names"] == ["a", "b"]
    with pytest.raises(ValueError, match="Some param names are missing"):
        graphc.optim.SGD([("a", a), b])
    with pytest.raises(ValueError, match="cannot add param group without names"):
        o.add_param_group({"params": [graphc.ones(1, requires_grad=True)]})


def test_hooks():
    p = graphc.ones(2, requires_grad=True)
    o, seen = graphc.optim.SGD([p]), []
    o.register_step_pre_hook(lambda opt, args, kwargs: seen.append("pre"))
    o.register_step_post_hook(lambda opt, args, kwargs: seen.append("post"))
    o.register_state_dict_pre_hook(lambda opt: seen.append("save"))
    o.register_state_dict_post_hook(lambda opt, d: {**d, "more": 1})
    o.register_load_state_dict_pre_hook(lambda opt, d: {k: v for k, v in d.items() if k != "more"})
    handle = o.register_load_state_dict_post_hook(lambda opt: seen.append("loaded"))
    every = graphc.optim.register_optimizer_step_post_hook(
        lambda opt, args, kwargs: seen.append(type(opt))
    )
    try:
        o.step()
    finally:
        every.remove()
    o.load_state_dict(o.state_dict())
    handle.remove()
    o.load_state_dict(o.state_dict())
    assert seen == ["pre", "post", graphc.optim.SGD, "save", "loaded", "save"]


def test_a_users_optimizer():
    class Sign(graphc.optim.Optimizer):
        def __init__(self, params, lr):
            super().__init__(params, {"lr": lr})

        @graphc.no_grad()
        def step(self, closure=None):
            for group in self.param_groups:
                for p in group["params"]:
                    if p.grad is not None:
                        p.add_(p.grad.sign(), alpha=-group["lr"])
                        self.state[p]["step"] = self.state[p].get("step", 0) + 1

    p = graphc.ones(2, requires_grad=True)
    o, seen = Sign([p], 0.5), []
    o.register_step_pre_hook(lambda *a: seen.append(1))
    p.grad = graphc.tensor([3.0, -4.0])
    o.step()
    assert p.tolist() == [0.5, 1.5] and seen == [1]
    o.load_state_dict(o.state_dict())
    assert o.state[p] == {"step": 1}
    s = graphc.optim.lr_scheduler.StepLR(o, 1)
    s.step()


def test_copies():
    o, ps = _train(graphc, "Adam", {}, steps=2)
    both = copy.deepcopy((ps, o))
    thawed = pickle.loads(pickle.dumps((ps, o)))
    for qs, o2 in (both, thawed):
        assert o2.param_groups[0]["params"][0] is qs[0]
        _train(graphc, "Adam", {}, params=qs, optimizer=o2)
    _train(graphc, "Adam", {}, params=ps, optimizer=o)
    assert _bits(o, ps) == _bits(*reversed(both)) == _bits(*reversed(thawed))


def test_sparse_adam_refuses_dense_gradients_as_pytorch_does():
    p = graphc.nn.Parameter(graphc.ones(2))
    optimizer = graphc.optim.SparseAdam([p], lr=0.1)
    optimizer.step()
    p.grad = graphc.ones(2)
    with pytest.raises(RuntimeError, match="does not support dense gradients"):
        optimizer.step()
    for options, text in (
        ({"lr": 0.0}, "Invalid learning rate: 0.0"),
        ({"eps": 0.0}, "Invalid epsilon value: 0.0"),
        ({"betas": (0.9, 1.0)}, "Invalid beta parameter at index 1: 1.0"),
    ):
        with pytest.raises(ValueError, match=text):
            graphc.optim.SparseAdam([p], **options)
