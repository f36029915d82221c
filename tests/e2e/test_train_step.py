"""A whole train step (zero_grad, forward, loss, backward, optimizer) as one program: the same bits
as eager mode, step after step, with dropout, a learning-rate schedule and every optimizer."""

import numpy as np
import pytest

import graphc
from graphc import nn, optim
from graphc.nn import functional as F

OPTIMIZERS = {
    "sgd": lambda p: optim.SGD(p, lr=0.1),
    "momentum": lambda p: optim.SGD(p, lr=0.05, momentum=0.9, weight_decay=1e-3),
    "nesterov": lambda p: optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True),
    "adagrad": lambda p: optim.Adagrad(p, lr=0.02, lr_decay=1e-3),
    "adam": lambda p: optim.Adam(p, lr=1e-3),
    "amsgrad": lambda p: optim.Adam(p, lr=1e-3, amsgrad=True, weight_decay=1e-2),
    "adamw": lambda p: optim.AdamW(p, lr=1e-3),
}


def model(sizes=(784, 256, 128, 10), p=0.2):
    graphc.manual_seed(0)
    layers = []
    for n, m in zip(sizes[:-1], sizes[1:], strict=True):
        layers += [nn.Linear(n, m), nn.ReLU(), nn.Dropout(p)]
    return nn.Sequential(*layers[:-2])


def data(i, batch=64, features=784, classes=10):
    g = np.random.default_rng(i)
    return (
        graphc.tensor(g.standard_normal((batch, features)).astype(np.float32)),
        graphc.tensor(g.integers(0, classes, batch)),
    )


def run(
    make_optimizer, steps, compiled, sizes=(784, 256, 128, 10), schedule=None, batch=64, **settings
):
    """Losses and parameters (as bits) of a training run."""
    m = model(sizes)
    opt = make_optimizer(m.parameters())

    def step(x, y):
        opt.zero_grad()
        loss = F.cross_entropy(m(x), y)
        loss.backward()
        opt.step()
        return loss

    f = graphc.compile(step, fullgraph=True, **settings) if compiled else step
    graphc.manual_seed(7)
    losses = []
    for i in range(steps):
        if schedule is not None:
            for group in opt.param_groups:
                group["lr"] = schedule(i)
        losses.append(bits(f(*data(i, batch, sizes[0], sizes[-1]))))
    state = [bits(p) for p in m.parameters()] + [bits(p.grad) for p in m.parameters()]
    state += [bits(v) for s in opt.state.values() for v in s.values() if v is not None]
    return losses, state, f


def bits(t):
    return np.ascontiguousarray(t.detach().numpy()).view(np.uint32).copy()


def compare(a, b):
    for i, (x, y) in enumerate(zip(a[0], b[0], strict=True)):
        assert np.array_equal(x, y), f"loss {i}"
    for i, (x, y) in enumerate(zip(a[1], b[1], strict=True)):
        assert np.array_equal(x, y), f"state {i}"


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_fifty_steps_of_the_mlp(name):
    eager = run(OPTIMIZERS[name], 50, False)
    compiled = run(OPTIMIZERS[name], 50, True)
    compare(eager, compiled)
    assert len(compiled[2].specialisations) == 1
    threads = graphc.get_num_threads()
    try:
        graphc.set_num_threads(1)
        compare(eager, run(OPTIMIZERS[name], 50, False))
        compare(eager, run(OPTIMIZERS[name], 50, True))
    finally:
        graphc.set_num_threads(threads)


@pytest.mark.parametrize("backend", ["c", "interpret"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers(name, backend):
    sizes = (20, 16, 5)
    compare(
        run(OPTIMIZERS[name], 6, False, sizes, batch=8),
        run(OPTIMIZERS[name], 6, True, sizes, batch=8, backend=backend),
    )


def test_schedule_never_recompiles():
    def schedule(i):
        return 0.1 / (1 + i)

    sizes = (20, 16, 5)
    a = run(OPTIMIZERS["adam"], 6, False, sizes, schedule, 8)
    b = run(OPTIMIZERS["adam"], 6, True, sizes, schedule, 8)
    compare(a, b)
    assert len(b[2].specialisations) == 1


def test_last_batch_is_smaller():
    m = model((20, 16, 5))
    opt = optim.Adam(m.parameters())

    @graphc.compile(fullgraph=True)
    def step(x, y):
        opt.zero_grad()
        loss = F.cross_entropy(m(x), y)
        loss.backward()
        opt.step()
        return loss

    for i, n in enumerate((8, 8, 3, 8, 3)):
        assert np.isfinite(step(*data(i, n, 20, 5)).item())
    assert len(step.specialisations) == 2


def test_loaded_optimizer_state_is_used():
    """load_state_dict makes new state tensors: the program may not go on with the old ones."""
    sizes = (20, 16, 5)

    def go(compiled):
        m = model(sizes)
        opt = optim.Adam(m.parameters(), lr=1e-2)

        def step(x, y):
            opt.zero_grad()
            loss = F.cross_entropy(m(x), y)
            loss.backward()
            opt.step()
            return loss

        f = graphc.compile(step, fullgraph=True) if compiled else step
        f(*data(0, 8, 20, 5))
        saved = opt.state_dict()
        saved = {
            "state": {k: {n: t.clone() for n, t in v.items()} for k, v in saved["state"].items()},
            "param_groups": saved["param_groups"],
        }
        f(*data(1, 8, 20, 5))
        opt.load_state_dict(saved)
        f(*data(2, 8, 20, 5))
        return [bits(p) for p in m.parameters()]

    for x, y in zip(go(False), go(True), strict=True):
        assert np.array_equal(x, y)


def test_wrong_label_raises_eagers_error_and_changes_nothing():
    m = model((20, 16, 5))
    opt = optim.SGD(m.parameters(), lr=0.1)

    @graphc.compile(fullgraph=True)
    def step(x, y):
        opt.zero_grad()
        loss = F.cross_entropy(m(x), y)
        loss.backward()
        opt.step()
        return loss

    x, y = data(0, 8, 20, 5)
    step(x, y)
    before = [bits(p) for p in m.parameters()]
    with pytest.raises(IndexError, match="Target 7 is out of bounds"):
        step(x, graphc.full((8,), 7))
    assert all(np.array_equal(a, bits(p)) for a, p in zip(before, m.parameters(), strict=True))


def test_accumulation_over_micro_batches():
    """Two backwards per step, in one program."""

    def go(compiled):
        m = model((20, 16, 5))
        opt = optim.SGD(m.parameters(), lr=0.1)

        def step(x, y):
            opt.zero_grad()
            for a, b in zip(x.chunk(2), y.chunk(2), strict=True):
                (F.cross_entropy(m(a), b) / 2).backward()
            opt.step()

        f = graphc.compile(step, fullgraph=True) if compiled else step
        graphc.manual_seed(3)
        for i in range(4):
            f(*data(i, 8, 20, 5))
        return [bits(p) for p in m.parameters()]

    for x, y in zip(go(False), go(True), strict=True):
        assert np.array_equal(x, y)


def test_gradient_clipping_inside():
    def go(compiled):
        m = model((20, 16, 5))
        opt = optim.SGD(m.parameters(), lr=0.1)

        def step(x, y):
            opt.zero_grad()
            F.cross_entropy(m(x), y).backward()
            norm = nn.utils.clip_grad_norm_(m.parameters(), 0.5)
            opt.step()
            return norm

        f = graphc.compile(step, fullgraph=True) if compiled else step
        graphc.manual_seed(3)
        out = [bits(f(*data(i, 8, 20, 5))) for i in range(4)]
        return out + [bits(p) for p in m.parameters()]

    for x, y in zip(go(False), go(True), strict=True):
        assert np.array_equal(x, y)
