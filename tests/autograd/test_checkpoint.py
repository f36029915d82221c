"""Checkpointed calls: gradients in the bits of plain calls, what runs how often, PyTorch's errors
and warnings where it is installed."""

import contextlib
import gc
import importlib
import warnings
import weakref

import pytest

import graphc
from graphc import nn
from graphc.utils.checkpoint import (
    CheckpointError,
    checkpoint,
    checkpoint_sequential,
    set_checkpoint_early_stop,
)


def network():
    graphc.manual_seed(0)
    return nn.Sequential(
        nn.Linear(8, 16), nn.ReLU(), nn.Dropout(0.3), nn.LayerNorm(16), nn.Linear(16, 4), nn.GELU()
    )


def gradients(run):
    """Loss and gradients of one step, after seeding."""
    model, x = network(), graphc.randn(5, 8).requires_grad_()
    graphc.manual_seed(7)
    loss = run(model, x).square().mean()
    graphc.rand(3)  # what is drawn in between must not matter
    loss.backward()
    return [loss.item(), x.grad, *[p.grad for p in model.parameters()], graphc.rand(2)]


@pytest.mark.parametrize("reentrant", [True, False])
@pytest.mark.parametrize("how", ["whole", "sequential", "nested", "twice"])
def test_gradients_have_the_bits_of_plain_calls(reentrant, how):
    def plain(model, x):
        return model(x) + (model(x) if how == "twice" else 0)

    def kept(model, x):
        if how == "sequential":
            return checkpoint_sequential(model, 3, x, use_reentrant=reentrant)
        if how == "nested":

            def outer(x):
                x = model[:3](x)
                return checkpoint(model[3:], x, use_reentrant=reentrant)

            return checkpoint(outer, x, use_reentrant=reentrant)
        y = checkpoint(model, x, use_reentrant=reentrant)
        return y + (checkpoint(model, x, use_reentrant=reentrant) if how == "twice" else 0)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the inner of two re-entrant ones has no gradient
        got, want = gradients(kept), gradients(plain)
    assert got[0] == want[0]
    for a, b in zip(got[1:], want[1:], strict=True):
        assert (a == b).all()


def test_higher_orders_and_functions_of_users():
    class Cube(graphc.autograd.Function):
        @staticmethod
        def forward(ctx, a):
            ctx.save_for_backward(a)
            return a**3

        @staticmethod
        def backward(ctx, g):
            return g * 3 * ctx.saved_tensors[0] ** 2

    def f(x, w):
        return (Cube.apply(x * x) * w).exp().sin()

    x, w = graphc.rand(4).requires_grad_(), graphc.rand(4).requires_grad_()

    def orders(call):
        (a, b) = graphc.autograd.grad(call(x, w).sum(), (x, w), create_graph=True)
        (c, d) = graphc.autograd.grad((a * b).sum(), (x, w), create_graph=True)
        return [a, b, c, d, *graphc.autograd.grad((c * d).sum(), (x, w))]

    kept = orders(lambda x, w: checkpoint(f, x, w, use_reentrant=False))
    for a, b in zip(kept, orders(f), strict=True):
        assert (a == b).all()


def test_what_is_saved_is_freed_and_computed_again_once():
    made, calls = [], []

    def f(x):
        calls.append(1)
        a = x.exp()
        made.append(weakref.ref(a._storage))
        return (a.sin() * a).cos() + 1

    x = graphc.rand(1000).requires_grad_()
    y = checkpoint(f, x, use_reentrant=False)
    gc.collect()
    assert made[0]() is None and len(calls) == 1
    y.sum().backward(retain_graph=True)
    assert len(calls) == 2
    y.sum().backward()
    assert len(calls) == 3
    with pytest.raises(RuntimeError, match="a second time"):
        y.sum().backward()


def test_stopping_early():
    log = []

    def f(x):
        y = x.exp()
        log.append("end")
        return y + 1

    x = graphc.ones(2).requires_grad_()
    checkpoint(f, x, use_reentrant=False).sum().backward()
    assert log == ["end"]
    checkpoint(f, x, use_reentrant=False, early_stop=False).sum().backward()
    assert log == ["end"] * 3
    with set_checkpoint_early_stop(False):
        y = checkpoint(f, x, use_reentrant=False)
    y.sum().backward()
    assert log == ["end"] * 5


def test_inputs_written_in_between_are_an_error():
    x = graphc.ones(2).requires_grad_()
    a = x * 1
    y = checkpoint(lambda t: t.exp().sin(), a, use_reentrant=False)
    a.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_a_function_that_changes_is_an_error_with_its_line():
    length = [2]

    def f(x):
        y = x.exp()[: length[0]]
        length[0] -= 1
        return y.sin().exp()

    y = checkpoint(f, graphc.ones(3).requires_grad_(), use_reentrant=False, debug=True)
    with pytest.raises(CheckpointError, match="different metadata") as e:
        y.sum().backward()
    assert "return y.sin().exp()" in str(e.value)


def test_compiled_steps_and_transforms():
    model = network().eval()

    def step(x, use):
        run = (lambda x: checkpoint(model, x, use_reentrant=False)) if use else model
        (g,) = graphc.autograd.grad(run(x).square().sum(), x)
        return g

    x = graphc.randn(5, 8).requires_grad_()
    want = step(x, False)
    assert (graphc.compile(step, fullgraph=True)(x, True) == want).all()

    def loss(row, use):
        run = (lambda x: checkpoint(model, x, use_reentrant=False)) if use else model
        return run(row).square().sum()

    rows = graphc.vmap(graphc.func.grad(lambda r: loss(r, True)))(x.detach())
    assert (rows == graphc.vmap(graphc.func.grad(lambda r: loss(r, False)))(x.detach())).all()


def cases(T):
    C = importlib.import_module(T.__name__ + ".utils.checkpoint")
    out = {}

    def leaf():
        return T.tensor([0.0, 1.0, 2.0]).requires_grad_()

    def fn(x, y=1):
        return (x * x).sin() * (x * x) * y

    for r in (True, False, None):

        def add(name, r=r):
            return lambda f: out.setdefault(f"{name} {r}", f)

        def run(f, *args, r=r, **options):
            return C.checkpoint(f, *args, use_reentrant=r, **options)

        @add("backward")
        def _(run=run):
            x = leaf()
            run(fn, x).sum().backward()
            return x.grad

        @add("grad")
        def _(run=run):
            x = leaf()
            return T.autograd.grad(run(fn, x).sum(), x)

        add("no grad")(lambda run=run: run(fn, leaf().detach()))
        add("keyword")(lambda run=run: run(fn, leaf(), y=3))
        add("bad keyword")(lambda run=run: run(lambda x: x, leaf(), foo=3))
        add("check")(lambda run=run: run(fn, leaf(), determinism_check="x"))

        @add("several")
        def _(run=run):
            x = leaf()
            y = run(lambda a: (a * 2, a.detach(), 3, a > 0), x)
            y[0].sum().backward()
            return y[0], y[2], y[3], x.grad

        @add("contexts")
        def _(run=run):
            log = []

            @contextlib.contextmanager
            def context(n):
                log.append(n)
                yield
                log.append("-" + n)

            run(fn, leaf(), context_fn=lambda: (context("f"), context("r"))).sum().backward()
            return log

    out["sequential keyword"] = lambda: C.checkpoint_sequential(
        [T.sin, T.cos], 2, leaf(), use_reentrant=False, foo=1
    )
    return out


def _outcome(f):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            found = f()
        except Exception as e:  # noqa: BLE001
            found = (type(e).__name__, str(e))
    return found, [str(w.message) for w in caught]


def test_results_errors_and_warnings_are_pytorchs():
    torch = pytest.importorskip("torch")
    mine, other = cases(graphc), cases(torch)

    def plain(x):
        if hasattr(x, "tolist"):
            return [round(v, 4) for v in x.tolist()]  # float32 printed
        return [plain(v) for v in x] if isinstance(x, (tuple, list)) else x

    for name, f in mine.items():
        got, want = _outcome(f), _outcome(other[name])
        assert plain(got[0]) == plain(want[0]), name
        assert got[1] == want[1], name
