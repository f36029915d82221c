"""Schedules against PyTorch's numbers, step by step and bit by bit, and their saved states."""

import importlib
import math
import warnings

import pytest

import graphc

S = graphc.optim.lr_scheduler


def _optimizer(lib, name="SGD", groups=2):
    ps = [lib.ones(2, requires_grad=True) for _ in range(groups)]
    rates = [0.1 / (i + 1) for i in range(groups)]
    options = {"momentum": 0.9} if name == "SGD" else {}
    return getattr(lib.optim, name)(
        [{"params": [p], "lr": r} for p, r in zip(ps, rates)], lr=0.1, **options
    )


def _swa(S):
    """swa_utils of the library that the schedules come from."""
    return importlib.import_module(S.__name__.rpartition(".")[0] + ".swa_utils")


MAKE = {
    "LambdaLR": lambda S, o: S.LambdaLR(o, [lambda e: 0.95**e, lambda e: 1 / (1 + e)]),
    "MultiplicativeLR": lambda S, o: S.MultiplicativeLR(o, lambda e: 0.9),
    "StepLR": lambda S, o: S.StepLR(o, 3, gamma=0.3),
    "MultiStepLR": lambda S, o: S.MultiStepLR(o, [2, 5, 5, 9], gamma=0.5),
    "ConstantLR": lambda S, o: S.ConstantLR(o, factor=0.4, total_iters=4),
    "LinearLR": lambda S, o: S.LinearLR(o, start_factor=0.2, total_iters=7),
    "ExponentialLR": lambda S, o: S.ExponentialLR(o, 0.93),
    "PolynomialLR": lambda S, o: S.PolynomialLR(o, total_iters=8, power=1.7),
    "CosineAnnealingLR": lambda S, o: S.CosineAnnealingLR(o, T_max=6, eta_min=1e-3),
    "WarmRestarts": lambda S, o: S.CosineAnnealingWarmRestarts(o, T_0=3, T_mult=2, eta_min=1e-3),
    "OneCycleLR": lambda S, o: S.OneCycleLR(o, max_lr=[0.5, 0.3], total_steps=40),
    "OneCycleLR-3": lambda S, o: S.OneCycleLR(
        o, 0.5, epochs=8, steps_per_epoch=5, three_phase=True, anneal_strategy="linear"
    ),
    "CyclicLR": lambda S, o: S.CyclicLR(o, [0.01, 0.02], 0.1, step_size_up=3, step_size_down=2),
    "CyclicLR-2": lambda S, o: S.CyclicLR(o, 0.01, 0.1, step_size_up=3, mode="triangular2"),
    "CyclicLR-exp": lambda S, o: S.CyclicLR(
        o, 0.01, 0.1, 4, mode="exp_range", gamma=0.9, cycle_momentum=False
    ),
    "CyclicLR-fn": lambda S, o: S.CyclicLR(
        o, 0.01, 0.1, 4, scale_fn=lambda x: 0.9**x, scale_mode="iterations"
    ),
    "SWALR": lambda S, o: _swa(S).SWALR(o, 0.02, anneal_epochs=6),
    "SWALR-linear": lambda S, o: _swa(S).SWALR(o, [0.2, 0.01], 5, anneal_strategy="linear"),
    "SequentialLR": lambda S, o: S.SequentialLR(
        o,
        [S.LinearLR(o, 0.1, total_iters=4), S.CosineAnnealingLR(o, 10), S.ExponentialLR(o, 0.9)],
        [4, 9],
    ),
    "ChainedScheduler": lambda S, o: S.ChainedScheduler(
        [S.ConstantLR(o, 0.1, 3), S.ExponentialLR(o, 0.9)]
    ),
}


def _walk(S, o, scheduler, n=30):
    seen = []
    for _ in range(n):
        seen.append([(g["lr"], g.get("momentum"), g.get("betas")) for g in o.param_groups])
        o.step()
        scheduler.step()
        assert scheduler.get_last_lr() == [g["lr"] for g in o.param_groups]
    return seen


@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
@pytest.mark.parametrize("name", MAKE)
def test_numbers_are_pytorchs(name, optimizer):
    torch = pytest.importorskip("torch")
    runs = []
    for lib in (graphc, torch):
        o = _optimizer(lib, optimizer)
        runs.append(_walk(lib.optim.lr_scheduler, o, MAKE[name](lib.optim.lr_scheduler, o)))
    assert runs[0] == runs[1]


@pytest.mark.parametrize("name", MAKE)
def test_a_restored_schedule_goes_on_alike(name):
    o = _optimizer(graphc)
    s = MAKE[name](S, o)
    _walk(S, o, s, 6)
    o2 = _optimizer(graphc)
    s2 = MAKE[name](S, o2)
    s2.load_state_dict(s.state_dict())
    o2.load_state_dict(o.state_dict())
    assert _walk(S, o, s, 9) == _walk(S, o2, s2, 9)


def test_plateau():
    metrics = [1.0, 0.9, 0.9, 0.9, 0.9, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, math.nan, 0.1]
    kinds = [
        {"patience": 2},
        {"patience": 1, "cooldown": 2, "min_lr": 0.02},
        {"mode": "max", "patience": 3},
        {"threshold_mode": "abs", "threshold": 0.2, "patience": 1},
    ]
    for kind in kinds:
        runs = []
        libs = [graphc]
        try:
            import torch

            libs.append(torch)
        except ImportError:
            pass
        for lib in libs:
            o = _optimizer(lib)
            s = lib.optim.lr_scheduler.ReduceLROnPlateau(o, **kind)
            seen = []
            for m in metrics:
                o.step()
                s.step(lib.tensor(m))
                seen.append([g["lr"] for g in o.param_groups])
            runs.append(seen)
        assert all(r == runs[0] for r in runs)
        assert runs[0][-1][0] < 0.1  # each of them falls at least once on this course


def test_closed_forms_for_an_epoch():
    for name in (
        "StepLR",
        "LinearLR",
        "ExponentialLR",
        "CosineAnnealingLR",
        "MultiStepLR",
        "ConstantLR",
    ):
        o = _optimizer(graphc)
        s = MAKE[name](S, o)
        stepwise = [r[0][0] for r in _walk(S, o, s, 8)]
        o = _optimizer(graphc)
        s = MAKE[name](S, o)
        o.step()
        with pytest.warns(UserWarning, match="epoch parameter"):
            s.step(7)
        # eight products against one power: each product rounds once
        assert o.param_groups[0]["lr"] == pytest.approx(stepwise[7], rel=8 * 2**-52)


def test_a_tensor_rate_keeps_its_identity():
    p = graphc.ones(2, requires_grad=True)
    lr = graphc.tensor(0.5)
    o = graphc.optim.SGD([p], lr=lr)
    s = S.ExponentialLR(o, 0.5)
    o.step()
    s.step()
    assert o.param_groups[0]["lr"] is lr and lr.item() == 0.25


def test_warnings_and_errors():
    o = _optimizer(graphc)
    s = S.StepLR(o, 1)
    with pytest.warns(UserWarning, match=r"`lr_scheduler.step\(\)` before `optimizer.step\(\)`"):
        s.step()
    with pytest.warns(UserWarning, match="get_last_lr"):
        s.get_lr()
    with pytest.raises(TypeError, match="int is not an Optimizer"):
        S.StepLR(3, 1)
    with pytest.raises(KeyError, match="initial_lr"):
        S.StepLR(_optimizer(graphc), 1, last_epoch=4)
    with pytest.raises(ValueError, match="Expected 2 lr_lambdas, but got 1"):
        S.LambdaLR(o, [lambda e: 1])
    with pytest.raises(ValueError, match="You must define either total_steps"):
        S.OneCycleLR(o, 0.1)
    with pytest.raises(ValueError, match="one more than the number of milestone"):
        S.SequentialLR(o, [s], [1])
    with pytest.raises(ValueError, match="does not support `ReduceLROnPlateau`"):
        S.SequentialLR(o, [S.ReduceLROnPlateau(o)], [])
    one = S.OneCycleLR(_optimizer(graphc), 0.1, total_steps=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ValueError, match="Tried to step 3 times"):
            for _ in range(3):
                one.step()
