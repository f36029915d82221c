"""Compiled steps with optimizers: eager's bits, schedules without new programs, guards."""

import numpy as np
import pytest

import graphc
from graphc.native import library

from .test_optimizers import CASES, IDS


@pytest.fixture(autouse=True)
def _native():
    if not library.available():
        pytest.skip("needs a C compiler")


def _run(name, options, compiled, steps=5, dtype="float32", schedule=None, change=None):
    rng = np.random.default_rng(0)
    ps = [
        graphc.from_numpy(np.array(rng.standard_normal(s), dtype)).requires_grad_()
        for s in ((7, 5), (5,), ())
    ]
    x = graphc.from_numpy(rng.standard_normal((6, 7)).astype(dtype))
    o = getattr(graphc.optim, name)(ps, **options)
    s = schedule(o) if schedule else None

    def step(x):
        o.zero_grad()
        loss = ((x @ ps[0] + ps[1]) * ps[2]).square().mean()
        loss.backward()
        o.step()
        return loss

    run = graphc.compile(step, fullgraph=True) if compiled else step
    losses = []
    for i in range(steps):
        if change and i == 3:
            change(o)
        losses.append(run(x).item())
        if s:
            s.step()
    bits = [p.detach().numpy().tobytes() for p in ps]
    bits += [v.numpy().tobytes() for st in o.state.values() for v in st.values()]
    return losses, bits, run


@pytest.mark.parametrize(
    "name,options,dtype",
    [*[(*case, "float32") for case in CASES], (*CASES[3], "float64"), (*CASES[7], "float64")],
    ids=[*IDS, "SGD-float64", "Adam-float64"],
)
def test_compiled_steps_are_eager_steps(name, options, dtype):
    a, b = _run(name, options, False, dtype=dtype), _run(name, options, True, dtype=dtype)
    assert a[:2] == b[:2] and len(b[2].specialisations) == 1


@pytest.mark.parametrize(
    "name,options",
    [
        ("SGD", {"lr": 0.1, "momentum": 0.9}),
        ("Adam", {}),
        ("AdamW", {"lr": 0.05}),
        ("Adagrad", {"lr": 0.1}),
    ],
)
@pytest.mark.parametrize("kind", ["exponential", "onecycle"])
def test_a_schedule_needs_no_new_program(name, options, kind):
    S = graphc.optim.lr_scheduler
    if kind == "onecycle" and name == "Adagrad":
        pytest.skip("has no momentum to cycle")

    def schedule(o):
        if kind == "exponential":
            return S.ExponentialLR(o, 0.9)
        return S.OneCycleLR(o, 0.1, total_steps=9)

    a = _run(name, options, False, schedule=schedule, steps=7)
    b = _run(name, options, True, schedule=schedule, steps=7)
    assert a[:2] == b[:2] and len(b[2].specialisations) == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda o: o.param_groups[0].update(weight_decay=0.3),
        lambda o: o.param_groups[0].update(maximize=True),
        lambda o: o.load_state_dict(o.state_dict()),
        lambda o: o.state.clear(),
        lambda o: o.param_groups[0].update(lr=graphc.tensor(0.3)),
        lambda o: o.param_groups[0].update(params=o.param_groups[0]["params"][:1]),
        lambda o: o.add_param_group({"params": o.param_groups[0]["params"].pop(), "lr": 0.5}),
    ],
    ids=["weight_decay", "maximize", "load", "clear", "tensor-lr", "params", "group"],
)
@pytest.mark.parametrize(
    "name,options",
    [("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.5}), ("AdamW", {"lr": 0.05})],
)
def test_changed_options_are_noticed(name, options, change):
    a = _run(name, options, False, change=change, steps=6)
    b = _run(name, options, True, change=change, steps=6)
    assert a[:2] == b[:2]
