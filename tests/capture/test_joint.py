"""Backward through compiled functions: gradients, second orders, several backwards, absent
cotangents."""

import sys
from pathlib import Path

import numpy as np
import pytest

import graphc
from graphc import nn
from graphc.nn import functional as F

sys.path.insert(0, str(Path(__file__).parent))
from harness import same  # noqa: E402


def floats(*shape, seed=0, grad=False, dtype=np.float32):
    a = np.random.default_rng(seed).standard_normal(shape).astype(dtype)
    return graphc.tensor(a).requires_grad_(grad)


@pytest.fixture(params=["interpret", "c"])
def backend(request):
    return request.param


FUNCTIONS = {
    "product": lambda x, w: (x @ w).relu().sum(),
    "scale": lambda x, w: x * 2,
    "same gradient": lambda x, w: x.sum(0)[:2] + w.sum(0),
    "tanh": lambda x, w: (x @ w).tanh(),
    "softmax": lambda x, w: F.log_softmax(x @ w, 1)[:, 0].mean(),
    "norm": lambda x, w: F.layer_norm(x, (4,)) @ w,
    "shared": lambda x, w: ((x @ w) @ w.t()).exp().mean(),
    "views": lambda x, w: x[1:].t().reshape(-1) * 3,
    "detach": lambda x, w: (x.detach() * x).sum() + w.sum(),
    "no_grad": lambda x, w: _no_grad(x, w),
    "gelu": lambda x, w: F.gelu(x @ w).pow(2).sum(),
    "in place": lambda x, w: (x * 1).mul_(3).add_(x).sum() * w.mean(),
    "in place view": lambda x, w: _inplace_view(x, w),
    "two results": lambda x, w: (x @ w, (x @ w).sum()),
    "unused": lambda x, w: x.exp().sum(),
    "dropout": lambda x, w: F.dropout(x @ w, 0.5),
    "where": lambda x, w: graphc.where(x > 0, x * x, -x).sum() * w.sum(),
}


def _no_grad(x, w):
    with graphc.no_grad():
        scale = x.abs().max()
    return (x / scale) @ w


def _inplace_view(x, w):
    y = x * 2
    y[0].mul_(w.sum())
    return y.sum()


def total(out):
    out = out if isinstance(out, tuple) else (out,)
    return sum((o * o).sum() for o in out)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_gradients(name, backend):
    fn = FUNCTIONS[name]
    f = graphc.compile(fn, backend=backend, fullgraph=True)
    for i in range(2):
        got = []
        for g in (fn, f):
            x, w = floats(3, 4, seed=i, grad=True), floats(4, 2, seed=5 + i, grad=True)
            graphc.manual_seed(i)
            out = g(x, w)
            total(out).backward()
            got.append((out, x.grad, w.grad))
        same(tuple(got[0]), tuple(got[1]), name)
    assert len(f.specialisations) <= 2


@pytest.mark.parametrize("name", [n for n in FUNCTIONS if n != "dropout"])
def test_second_order(name, backend):
    """create_graph=True: the tape is rebuilt in eager ops."""
    fn = FUNCTIONS[name]
    f = graphc.compile(fn, backend=backend, fullgraph=True)
    got = []
    for g in (fn, f):
        x, w = (
            floats(3, 4, grad=True, dtype=np.float64),
            floats(4, 2, seed=5, grad=True, dtype=np.float64),
        )
        gx, gw = graphc.autograd.grad(total(g(x, w)), (x, w), create_graph=True, allow_unused=True)
        second = sum(t.pow(2).sum() for t in (gx, gw) if t is not None)
        got.append(
            (
                (gx, gw),
                graphc.autograd.grad(second, (x, w), allow_unused=True)
                if second.requires_grad
                else None,
            )
        )
    # contributions that reach x inside and outside of the program are added in another order: two
    # or three
    # roundings of sums of at most a dozen terms, so 1e-13 relative to the largest is generous
    for want, have in zip(
        got[0][0] + (got[0][1] or ()), got[1][0] + (got[1][1] or ()), strict=True
    ):
        assert (want is None) == (have is None)
        if want is not None:
            scale = float(want.abs().max()) + 1
            assert np.abs(want.detach().numpy() - have.detach().numpy()).max() <= 1e-13 * scale


def test_history_before_and_after(backend):
    w = floats(4, 4, seed=1, grad=True)

    def fn(h):
        return (h @ w).relu()

    f = graphc.compile(fn, backend=backend, fullgraph=True)
    got = []
    for g in (fn, f):
        w.grad = None
        x = floats(3, 4, grad=True)
        (g(g(x * 2)) ** 2).sum().backward()
        got.append((x.grad, w.grad))
    same(got[0][0], got[1][0])
    # w is used twice: eager adds the same two contributions in the same order
    same(got[0][1], got[1][1])


def test_retain_graph_and_second_backward(backend):
    f = graphc.compile(lambda x: x.exp().sum(), backend=backend, fullgraph=True)
    x = floats(3, grad=True)
    y = f(x)
    y.backward(retain_graph=True)
    y.backward()
    assert graphc.equal(x.grad, x.detach().exp() + x.detach().exp())
    with pytest.raises(RuntimeError, match="a second time"):
        y.backward()


def test_absent_cotangents_stay_absent(backend):
    """inf * 0 would be nan: a result without a cotangent contributes nothing."""

    def fn(x, w):
        return x.log().sum(0), (w * 2).sum(0)

    f = graphc.compile(fn, backend=backend, fullgraph=True)
    for which in (0, 1, 0):
        x, w = graphc.zeros(3, 2).requires_grad_(), floats(3, 2, grad=True)
        f(x, w)[which].sum().backward()
        assert (w if which == 0 else x).grad is None


def test_saved_tensor_modified(backend):
    f = graphc.compile(lambda x: x.exp(), backend=backend, fullgraph=True)
    x = floats(3, grad=True)
    y = f(x)
    with graphc.no_grad():
        y.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace"):
        y.sum().backward()


def test_module_training_with_eager_optimizer(backend):
    def go(compiled):
        graphc.manual_seed(0)
        m = nn.Sequential(
            nn.Linear(6, 8), nn.GELU(), nn.LayerNorm(8), nn.Dropout(0.2), nn.Linear(8, 3)
        )
        opt = graphc.optim.SGD(m.parameters(), lr=0.1, momentum=0.9)
        f = graphc.compile(m, backend=backend, fullgraph=True) if compiled else m
        out = []
        for i in range(5):
            x = floats(4, 6, seed=i)
            opt.zero_grad()
            loss = F.cross_entropy(f(x), graphc.tensor([0, 1, 2, i % 3]))
            loss.backward()
            opt.step()
            out.append(loss.detach())
        return out, [p.detach() for p in m.parameters()], [p.grad for p in m.parameters()]

    same(go(False), go(True))


def test_wrapper_is_the_module():
    m = nn.Linear(3, 2)
    f = graphc.compile(m)
    assert isinstance(f, nn.Linear) and f.weight is m.weight
    assert list(f.state_dict()) == ["weight", "bias"]
    f.eval()
    assert not m.training
    f.train()
    f.extra = 3
    assert m.extra == 3 and m.training
    with graphc.no_grad():
        x = floats(4, 3)
        assert graphc.equal(f(x), m(x))


def test_expected_pattern_follows_use(backend):
    """Which of several results go backward is learned: the replay happens once."""
    f = graphc.compile(lambda x: (x * 2, x.sin()), backend=backend, fullgraph=True)
    for _ in range(4):
        x = floats(3, grad=True)
        f(x)[1].sum().backward()
        assert graphc.equal(x.grad, x.detach().cos())
    joint = f.specialisations[0].captured.joint
    assert joint.pattern == ((False, True), (False,)) and joint._program is not None
    assert len(f.specialisations) == 1


class Sine(graphc.autograd.Function):
    """Saves an input, keeps a tensor and a number of its own."""

    @staticmethod
    def forward(ctx, x, w):
        ctx.save_for_backward(w)
        ctx.cosine, ctx.scale = x.cos(), 3.0
        return x.sin() * w * 3.0

    @staticmethod
    def backward(ctx, g):
        (w,) = ctx.saved_tensors
        return g * ctx.cosine * w * ctx.scale, (g * 2).sum(0)


def test_user_function_in_second_order_and_other_patterns(backend):
    def f(x, w):
        y = Sine.apply(x.tanh(), w.exp()) * x
        return y, y.mean()

    compiled = graphc.compile(f, backend=backend, fullgraph=True)
    for seed, order in ((0, 2), (1, 1), (2, 2)):
        outcome = []
        for fn in (f, compiled):
            x, w = floats(3, 4, seed=seed, grad=True), floats(4, seed=9, grad=True)
            y, mean = fn(x, w)
            roots = y.square().sum() if order == 1 else mean
            (g,) = graphc.autograd.grad(roots, x, create_graph=order == 2, retain_graph=True)
            if order == 2:
                g = (g, *graphc.autograd.grad(g.square().sum(), (x, w)))
            else:
                roots.backward()
            outcome.append([g, x.grad, w.grad])
        same(*outcome)


# ---- contributions from elsewhere: their order is eager mode's


def _mixed(fn, x, w, how):
    h = (x * w).tanh()
    if how == "leaf":
        loss = fn(x, w) + (x * x).sum()
    elif how == "non-leaf":
        loss = fn(h, w) + h.exp().sum()
    elif how == "before and after":
        loss = h.exp().sum()
        loss = loss + fn(h, w) * fn(x, h)
    elif how == "retained":
        loss = fn(x, w)
        loss.backward(retain_graph=True)
        loss = loss * 2
    else:
        m = fn(x, w)
        square = m * m if how == "second order" else m.exp() * m
        (g,) = graphc.autograd.grad(square, x, create_graph=True)
        loss = (g * g).sum() + m if how == "second order" else g.sin().sum() * m
    loss.backward()
    return loss, x.grad, w.grad


@pytest.mark.parametrize(
    "how", ["leaf", "non-leaf", "before and after", "retained", "second order", "second, both"]
)
def test_running_cotangents(how, backend):
    """A compiled backward adds its contributions to what has come from outside one by one, as the
    operations that it stands for would: sums round in eager mode's order."""

    def fn(a, b):
        return (a.sin() * a.cos() * b + (a * b).exp()).sum()

    compiled = graphc.compile(fn, backend=backend, fullgraph=True)
    for seed in range(6):
        outcome = [
            _mixed(f, floats(50, seed=seed, grad=True), floats(50, seed=seed + 50, grad=True), how)
            for f in (fn, compiled)
        ]
        same(*outcome)
    assert len(compiled.specialisations) <= 3


def test_running_cotangents_are_learned(backend):
    """From the second call on, what comes from outside is an operand of the compiled backward."""
    f = graphc.compile(lambda x: (x.sin() * x).sum(), backend=backend, fullgraph=True)
    for seed in range(4):
        x = floats(20, seed=seed, grad=True)
        (f(x) + (x * x).sum()).backward()
    (only,) = f.specialisations
    assert only.captured.joint.pattern == ((True,), (True,))
    assert only.captured.joint._program is not None


def test_gradients_of_some_inputs_and_hooks(backend):
    def fn(a, b):
        return (a * b).sin().sum(), a.exp()

    def run(f):
        seen = []
        x, w = floats(20, seed=1, grad=True), floats(20, seed=2, grad=True)
        h = x * 2
        h.register_hook(lambda g: seen.append(g.clone()))
        loss, e = f(h, w)
        loss = loss + (h * e).sum()
        (gw,) = graphc.autograd.grad(loss, w, retain_graph=True)
        (gh,) = graphc.autograd.grad(loss, h, retain_graph=True, create_graph=True)
        loss.backward(retain_graph=True)
        gh.sum().backward()
        return [loss, gw, gh.detach(), x.grad, w.grad, *seen]

    compiled = graphc.compile(fn, backend=backend, fullgraph=True)
    for _ in range(3):
        same(run(fn), run(compiled))


def test_results_that_depend_on_no_leaf_from_outside(backend):
    """A layer that is made inside of the function: its results are on the tape all the same."""

    def fn(x):
        return nn.Linear(4, 6)(x)

    compiled = graphc.compile(fn, backend=backend, fullgraph=True)
    for grad in (False, True):
        found = []
        for f in (fn, compiled, compiled):
            graphc.manual_seed(0)
            x = floats(5, 4, seed=3, grad=grad)
            y = f(x)
            assert y.requires_grad
            y.sum().backward()
            found.append([y.detach(), *([x.grad] if grad else [])])
        for other in found[1:]:
            same(found[0], other)
