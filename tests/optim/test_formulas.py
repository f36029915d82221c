"""The optimizers that are formulas: PyTorch's numbers over 20 steps, one step by hand in numpy,
compiled steps with eager's bits, state from and to PyTorch; LBFGS on Rosenbrock's function."""

import math

import numpy as np
import pytest

import graphc
from graphc.native import library

from .test_compiled import _run
from .test_optimizers import _bits, _params, _train

CASES = [
    ("RMSprop", {}),
    ("RMSprop", {"momentum": 0.9, "centered": True, "weight_decay": 0.01, "maximize": True}),
    ("Adadelta", {"rho": 0.8, "weight_decay": 0.1}),
    ("Adamax", {"weight_decay": 0.1}),
    ("NAdam", {}),
    ("NAdam", {"weight_decay": 0.1, "decoupled_weight_decay": True, "maximize": True}),
    ("RAdam", {"betas": (0.9, 0.95)}),
    ("RAdam", {"weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("Rprop", {"lr": 0.1, "step_sizes": (1e-3, 0.15)}),
    ("ASGD", {"lambd": 0.1, "t0": 5, "weight_decay": 0.1}),
    ("Adafactor", {"weight_decay": 0.1}),
    ("Adafactor", {"eps": (1e-8, 1e-3), "d": 1.5, "beta2_decay": -0.5}),
]
IDS = [f"{name}-{'-'.join(kw)}" for name, kw in CASES]
SHAPES = [(3, 4), (), (70, 11), (2, 3, 4)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name,options", CASES, ids=IDS)
def test_numbers_are_pytorchs(name, options, dtype):
    torch = pytest.importorskip("torch")
    runs = []
    for lib in (graphc, torch):
        runs.append(_train(lib, name, options, dtype, 20, _params(lib, dtype, SHAPES)))
    (o, ps), (o2, qs) = runs
    # twenty steps of about twenty roundings each, of numbers around 1; quotients by small roots
    # of means magnify those of the gradient by up to 8
    tolerance = 20 * 20 * 8 * np.finfo(dtype).eps / 4
    for p, q in zip(ps, qs, strict=True):
        np.testing.assert_allclose(
            p.detach().numpy(), q.detach().numpy(), rtol=tolerance, atol=tolerance
        )
    a, b = o.state_dict(), o2.state_dict()
    assert a["param_groups"] == b["param_groups"]
    for k, state in b["state"].items():
        assert list(a["state"][k]) == list(state)
        for field, value in state.items():
            mine = a["state"][k][field]
            assert mine.shape == value.shape and str(mine.dtype) == str(value.dtype)
            np.testing.assert_allclose(mine.numpy(), value.numpy(), rtol=tolerance, atol=tolerance)


def _newton_schulz(g):
    """Muon's iteration in numpy's float64."""
    x = g.T if g.shape[0] > g.shape[1] else g
    x = x / np.linalg.norm(x)
    for _ in range(5):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x.T if g.shape[0] > g.shape[1] else x


def test_muon():
    libs = [graphc, pytest.importorskip("torch")]
    for options in ({}, {"nesterov": False, "adjust_lr_fn": "match_rms_adamw", "lr": 0.01}):
        for shape in ((5, 3), (4, 16)):
            rng = np.random.default_rng(1)
            p, g = rng.standard_normal((2, *shape)).astype("float32")
            lr = options.get("lr", 1e-3)
            ratio = 0.2 * math.sqrt(max(shape)) if "lr" in options else math.sqrt(max(1, 5 / 3))
            ratio = 1.0 if shape == (4, 16) and "lr" not in options else ratio
            want = p * (1 - lr * 0.1) - lr * ratio * _newton_schulz(g.astype("float64"))
            errors = []
            for lib in libs:
                t = lib.from_numpy(p.copy()).requires_grad_()
                t.grad = lib.from_numpy(g)
                lib.optim.Muon([t], **options).step()
                errors.append(np.abs(t.detach().numpy() - want).max() / (lr * ratio))
            # bfloat16's roundings, magnified by up to 3.4 in each of five iterations; the order of
            # the sums differs between the libraries
            assert errors[0] <= max(2 * errors[1], 2**-5), (shape, errors)
    with pytest.raises(ValueError, match="Muon only supports 2D parameters"):
        graphc.optim.Muon([graphc.ones(3, requires_grad=True)])


def _by_hand(name, p, g):
    """The first step from zero state, in numpy's float64, for default options."""
    if name == "RMSprop":
        return p - 0.01 * g / (np.sqrt(0.01 * g * g) + 1e-8)
    if name == "Adadelta":
        return p - np.sqrt(1e-6) / np.sqrt(0.1 * g * g + 1e-6) * g
    if name == "Adamax":
        return p - 2e-3 * g / (np.abs(g) + 1e-8)
    if name == "RAdam":
        return p - 1e-3 * g
    if name == "Rprop":
        return p - 0.01 * np.sign(g)
    if name == "ASGD":
        return p * (1 - 1e-4 * 0.01) - 0.01 * g
    mu, mu_next = (0.9 * (1 - 0.5 * 0.96 ** (t * 4e-3)) for t in (1, 2))
    root = np.abs(g) + 1e-8
    return p - 2e-3 * g / root - 2e-3 * mu_next / (1 - mu * mu_next) * 0.1 * g / root


@pytest.mark.parametrize(
    "name", ["RMSprop", "Adadelta", "Adamax", "NAdam", "RAdam", "Rprop", "ASGD"]
)
def test_the_first_step(name):
    rng = np.random.default_rng(3)
    p, g = rng.standard_normal((2, 50))
    t = graphc.from_numpy(p.copy()).requires_grad_()
    t.grad = graphc.from_numpy(g)
    getattr(graphc.optim, name)([t]).step()
    # ten roundings; NAdam keeps its momentum product and ASGD its rate in float32
    bound = {"NAdam": 2e-3 * 2**-23, "ASGD": 0.01 * 2**-24 * np.abs(g).max()}.get(name, 1e-15)
    np.testing.assert_allclose(t.detach().numpy(), _by_hand(name, p, g), rtol=1e-14, atol=bound)


@pytest.mark.parametrize("name,options", [*CASES[1:4], CASES[5], *CASES[7:11]])
def test_compiled_steps_are_eager_steps(name, options):
    if not library.available():
        pytest.skip("needs a C compiler")
    a, b = _run(name, options, False), _run(name, options, True)
    assert a[:2] == b[:2] and len(b[2].specialisations) == 1


def test_state_goes_from_pytorch_and_back():
    torch = pytest.importorskip("torch")
    for name, options in CASES:
        o, _ = _train(torch, name, options, steps=3, params=_params(torch, shapes=SHAPES))
        saved = o.state_dict()
        state = {
            k: {f: graphc.from_numpy(v.numpy().copy()) for f, v in s.items()}
            for k, s in saved["state"].items()
        }
        mine = getattr(graphc.optim, name)(_params(graphc, shapes=SHAPES), **options)
        mine.load_state_dict({"state": state, "param_groups": saved["param_groups"]})
        for k, s in saved["state"].items():
            for field, value in s.items():
                got = mine.state_dict()["state"][k][field]
                assert got.numpy().tobytes() == value.numpy().tobytes()


def test_resumed_is_uninterrupted():
    for name, options in CASES[::2]:
        o, ps = _train(graphc, name, options, steps=3)
        qs = [p.detach().clone().requires_grad_() for p in ps]
        o2 = getattr(graphc.optim, name)(qs, **options)
        o2.load_state_dict(o.state_dict())
        _train(graphc, name, options, params=ps, optimizer=o, steps=2)
        _train(graphc, name, options, params=qs, optimizer=o2, steps=2)
        assert _bits(o, ps) == _bits(o2, qs)


def test_half_parameters_round_once():
    for name in ("RMSprop", "NAdam", "Adamax"):
        p = graphc.linspace(-1, 1, 20).to(graphc.bfloat16)
        wide = p.float().clone().requires_grad_()
        p.requires_grad_()
        p.grad = graphc.linspace(1, 2, 20).to(graphc.bfloat16)
        wide.grad = p.grad.float()
        for t in (p, wide):
            getattr(graphc.optim, name)([t]).step()
        assert (p.detach() == wide.detach().to(graphc.bfloat16)).all()


def test_differentiable_steps():
    w = graphc.tensor([1.0, -2.0], dtype=graphc.float64, requires_grad=True)

    def step(w):
        p = w.clone()
        p.retain_grad()
        o = graphc.optim.RMSprop([p], lr=0.1, differentiable=True)
        p.grad = w * w
        o.step()
        return p.sum()

    step(w).backward()
    for i in range(2):
        d = graphc.zeros(2, dtype=graphc.float64)
        d[i] = 1e-6
        ends = [step((w.detach() + k * d).requires_grad_()).item() for k in (1, -1)]
        slope = (ends[0] - ends[1]) / 2e-6
        assert w.grad[i].item() == pytest.approx(slope, rel=1e-8)


def test_errors():
    a = graphc.ones(2, requires_grad=True)
    for name, bad, text in (
        ("RMSprop", {"alpha": -1.0}, "Invalid alpha value: -1.0"),
        ("RMSprop", {"eps": -1.0}, "Invalid epsilon value: -1.0"),
        ("Adadelta", {"rho": 1.1}, "Invalid rho value: 1.1"),
        ("Adamax", {"betas": (0.0, 1.0)}, "Invalid beta parameter at index 1: 1.0"),
        ("NAdam", {"momentum_decay": -0.2}, "Invalid momentum_decay value: -0.2"),
        ("RAdam", {"weight_decay": -1}, "Invalid weight_decay value: -1"),
        ("Rprop", {"etas": (1.0, 0.5)}, "Invalid eta values: 1.0, 0.5"),
        ("ASGD", {"weight_decay": -0.5}, "Invalid weight_decay value: -0.5"),
        ("Adafactor", {"d": 0.5}, "Clipping threshold d should be >= 1 but is: 0.5"),
        ("LBFGS", {"lr": -1.0}, "Invalid learning rate: -1.0"),
    ):
        with pytest.raises(ValueError, match=text):
            getattr(graphc.optim, name)([a], **bad)
    with pytest.raises(ValueError, match="doesn't support per-parameter options"):
        graphc.optim.LBFGS([{"params": [a]}, {"params": [graphc.ones(1, requires_grad=True)]}])


def _rosenbrock(lib, steps, **options):
    x = lib.tensor([-1.5, 2.0, 0.3], dtype=lib.float64, requires_grad=True)
    o = lib.optim.LBFGS([x], **options)

    def closure():
        o.zero_grad()
        loss = (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()
        loss.backward()
        return loss

    losses = [float(o.step(closure)) for _ in range(steps)]
    return x, losses, o, closure


def test_lbfgs_finds_the_minimum():
    x, losses, o, closure = _rosenbrock(
        graphc, 8, line_search_fn="strong_wolfe", tolerance_grad=1e-12, tolerance_change=1e-15
    )
    np.testing.assert_allclose(x.detach().numpy(), np.ones(3), atol=1e-8)
    assert losses[-1] < 1e-12 < losses[0]
    state = o.state_dict()
    assert state["state"][0]["n_iter"] > 8
    o.load_state_dict(state)
    with pytest.raises(graphc.compile.__globals__["CaptureBreak"], match="LBFGS decides"):
        graphc.compile(lambda: o.step(closure), fullgraph=True)()


@pytest.mark.parametrize(
    "options",
    [
        {"line_search_fn": "strong_wolfe", "max_iter": 5},
        {"lr": 1e-3, "max_iter": 4},
        {"line_search_fn": "strong_wolfe", "history_size": 2, "max_eval": 9},
    ],
)
def test_lbfgs_is_pytorchs(options):
    torch = pytest.importorskip("torch")
    a, b = _rosenbrock(graphc, 4, **options), _rosenbrock(torch, 4, **options)
    # some forty evaluations, each of whose roundings the next direction magnifies
    np.testing.assert_allclose(a[1], b[1], rtol=1e-7)
    np.testing.assert_allclose(a[0].detach().numpy(), b[0].detach().numpy(), rtol=1e-6)
    mine, theirs = a[2].state_dict(), b[2].state_dict()
    assert mine["param_groups"] == theirs["param_groups"]
    assert set(mine["state"][0]) == set(theirs["state"][0])
    assert mine["state"][0]["func_evals"] == theirs["state"][0]["func_evals"]


# ---- averages of weights


def _swa(lib, **options):
    model = lib.nn.Sequential(lib.nn.Linear(2, 3), lib.nn.BatchNorm1d(3))
    if options.pop("ema", None):
        options["multi_avg_fn"] = lib.optim.swa_utils.get_ema_multi_avg_fn(0.8)
    averaged = lib.optim.swa_utils.AveragedModel(model, **options)
    for i in range(4):
        with lib.no_grad():
            for k, p in enumerate(model.parameters()):
                values = np.random.default_rng((i, k)).standard_normal(tuple(p.shape))
                p.copy_(lib.from_numpy(values.astype("float32")))
            model[1].running_mean += 1
        averaged.update_parameters(model)
    data = np.random.default_rng(0).standard_normal((4, 5, 2)).astype("float32")
    means = [averaged.module[1].running_mean.clone().numpy()]
    lib.optim.swa_utils.update_bn([(lib.from_numpy(x), 0) for x in data], averaged)
    return averaged, [p.detach().numpy() for p in averaged.parameters()], means


@pytest.mark.parametrize("options", [{}, {"use_buffers": True, "ema": True}], ids=["swa", "ema"])
def test_averaged_models(options):
    averaged, weights, means = _swa(graphc, **options)
    seen = [np.random.default_rng((i, 0)).standard_normal((3, 2)) for i in range(4)]
    want, mean = seen[0], 1.0
    for i, w in enumerate(seen[1:], 2):
        share = 0.2 if options else 1 / i
        want = want + (w - want) * share
        mean = mean + (i - mean) * share if options else i
    np.testing.assert_allclose(weights[0], want, rtol=1e-5, atol=1e-6)  # float32, four roundings
    np.testing.assert_allclose(means[0], np.full(3, mean), rtol=1e-6)
    assert averaged.n_averaged == 4
    norm = averaged.module[1]
    assert norm.momentum == 0.1 and int(norm.num_batches_tracked) == 4
    torch = pytest.importorskip("torch")
    other, theirs, _ = _swa(torch, **options)
    for a, b in zip(weights, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    assert list(averaged.state_dict()) == list(other.state_dict())
    for k, v in other.state_dict().items():
        np.testing.assert_allclose(
            averaged.state_dict()[k].numpy(), v.numpy(), rtol=1e-5, atol=1e-5
        )


def test_a_mean_of_means_has_the_closed_form():
    f = graphc.optim.swa_utils.get_swa_avg_fn()
    x = graphc.tensor(3.0, dtype=graphc.float64)
    for n in range(1, 5):
        x = f(x, graphc.tensor(3.0 + n, dtype=graphc.float64), n)
    assert x.item() == pytest.approx(5.0, rel=1e-15)
    with pytest.raises(ValueError, match="Invalid decay value 2"):
        graphc.optim.swa_utils.get_ema_avg_fn(2)
    assert math.isclose(graphc.optim.swa_utils.get_ema_avg_fn(0.5)(x, 0 * x, 1).item(), 2.5)
