"""Sizes that change between calls: two programs serve every size above 1, with eager mode's bits,
strides, gradients and random stream; code that looks at a size is compiled for what it saw."""

import sys
from pathlib import Path

import numpy as np
import pytest

import graphc
from graphc import nn
from graphc.nn import functional as F

sys.path.insert(0, str(Path(__file__).parent))
from harness import check  # noqa: E402

SIZES = [4, 7, 9, 3, 100, 5, 16, 2]


@pytest.fixture(params=["interpret", "c"])
def backend(request):
    return request.param


def floats(*shape, seed=0):
    return graphc.tensor(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def rows(*shape, at=0):
    """make(i) for `check`: one float32 argument whose size at axis `at` is SIZES[i]."""

    def make(i):
        own = list(shape)
        own.insert(at, SIZES[i])
        return (floats(*own, seed=i),)

    return make


@pytest.mark.parametrize(
    "fn",
    [
        lambda x: (x * 2).sum(0),
        lambda x: graphc.softmax(x, -1).mean(0),
        lambda x: graphc.softmax(x, 0),
        lambda x: x.view(x.shape[0], -1) @ x.reshape(x.size(0), -1).t(),
        lambda x: x.sum() / x.shape[0] + 0.5 * x.shape[0],
        lambda x: x * x.shape[0] ** 0.5 - x.numel() // 3,
        lambda x: F.dropout(x, 0.5) + graphc.rand(x.shape[0], 1),
        lambda x: graphc.cat([x, x * 2]),
        lambda x: (x.var(0), x.std(), x.argmax(0), x.max(), x.cumsum(0), x.flip(0), x.prod(0)),
        lambda x: graphc.zeros(x.shape) + graphc.arange(x.shape[0])[:, None] + graphc.ones_like(x),
        lambda x: x.mul_(2),
        lambda x: (x[0], x[-1], x.flatten(), x.unsqueeze(1)),
        lambda x: x.t().contiguous(),
        lambda x: (x.t() + 1).exp(),
        lambda x: F.layer_norm(x, (x.shape[-1],)),
        lambda x: F.one_hot(graphc.arange(x.shape[0]) % 3, 3) if hasattr(F, "one_hot") else x,
        lambda x: graphc.where(x > 0, x, 0.0).tril() if x.ndim == 2 else x,
        lambda x: x.shape[0],
        lambda x: (tuple(x.shape), x.numel(), x.stride()),
    ],
)
def test_one_program_for_all_sizes(fn, backend):
    compiled = check(fn, rows(3), calls=len(SIZES), programs=None, backend=backend)
    assert len(compiled.specialisations) <= 2, compiled.explain()


@pytest.mark.parametrize("at", [0, 1, 2])
def test_any_axis(at, backend):
    def fn(x):
        y = F.layer_norm(x, x.shape[-1:]).relu()
        return y.sum(1), y.transpose(0, 2) * 2, y.reshape(x.shape[0], -1)

    check(fn, rows(5, 6, at=at), calls=6, programs=2, backend=backend)


def test_two_axes(backend):
    def make(i):
        return (floats(SIZES[i], SIZES[-1 - i]),)

    check(lambda x: (x @ x.t(), x.sum(0)), make, calls=8, programs=2, backend=backend)


def test_equal_sizes_are_one_symbol(backend):
    """x and its target change alike: a program for both, and none for sizes that do not fit."""

    def make(i):
        g = np.random.default_rng(i)
        n = SIZES[i]
        return graphc.tensor(g.standard_normal((n, 3))), graphc.tensor(g.integers(0, 3, n))

    compiled = check(lambda x, y: F.cross_entropy(x, y), make, calls=8, programs=2, backend=backend)
    with pytest.raises(ValueError, match="batch_size"):
        compiled(graphc.rand(4, 3), graphc.zeros(5, dtype=graphc.int64))


def test_sizes_zero_and_one(backend):
    """They broadcast, reduce to nothing or keep other strides: programs of their own."""

    def make(i):
        return (floats([4, 1, 6, 0, 1, 5, 0, 9][i], 3),)

    def fn(x):
        return x + graphc.ones(1, 3), x.sum(0), x.t(), x.reshape(-1)

    compiled = check(fn, make, calls=8, programs=None, backend=backend)
    assert len(compiled.specialisations) <= 4, compiled.explain()


def test_a_decision_is_guarded(backend):
    def fn(x):
        return x * 2 if x.shape[0] > 8 else x + x.shape[0]

    compiled = check(fn, rows(3), calls=len(SIZES), programs=None, backend=backend)
    assert len(compiled.specialisations) <= 3
    assert "s0 > 8" in compiled.explain()


@pytest.mark.parametrize(
    "fn",
    [
        lambda x: x * len(f"{x.shape[0]}"),
        lambda x: x * {4: 2.0, 7: 3.0}.get(x.shape[0], 1.0),
        lambda x: x * int(x.shape[0]),
        lambda x: x * float(x.shape[0]),
        lambda x: sum((x[i] for i in range(x.shape[0])), start=graphc.zeros(3)),
        lambda x: x * (x.shape[0] in (7, 9)),
        lambda x: x * len(x),
        lambda x: graphc.arange(0.5, x.shape[0] + 0.5, dtype=graphc.float64),
        lambda x: graphc.linspace(0, 1, x.shape[0])[:, None] + x,
        lambda x: graphc.eye(x.shape[0]) @ x,
        lambda x: x + graphc.tensor([1.0] * x.shape[0])[:, None],
    ],
)
def test_a_size_that_is_looked_at_is_known(fn):
    check(fn, rows(3), calls=6, programs=None, backend="interpret")


def test_sizes_that_are_equal_by_chance(backend):
    """A batch of as many rows as there are features is no other program for ever."""

    def make(i):
        n = [4, 3, 8, 3, 5][i]
        return floats(n, 3), floats(3, 3)

    compiled = check(lambda x, w: x @ w + w[0], make, calls=5, programs=None, backend=backend)
    assert len(compiled.specialisations) <= 2, compiled.explain()


def test_dynamic_settings():
    def fn(x):
        return (x * 2).sum(0)

    for dynamic, wanted in ((None, 2), (True, 1), (False, 5)):
        compiled = graphc.compile(fn, dynamic=dynamic)
        for n in (4, 5, 6, 7, 8):
            x = graphc.rand(n, 3)
            assert graphc.equal(compiled(x), fn(x))
        assert len(compiled.specialisations) == wanted


def test_strided_and_overlapping_arguments(backend):
    def make(i):
        base = floats(40, 8, seed=i)
        n = SIZES[i] % 20
        return base[:n, :3], base[n : 2 * n].t(), base[:n, 4:]

    def fn(a, b, c):
        a.add_(1)
        return a.sum(0), b * 2, c + a.sum()

    check(fn, make, calls=6, programs=None, backend=backend)


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.qkv, self.out = nn.LayerNorm(8), nn.Linear(8, 24), nn.Linear(8, 4)

    def forward(self, x):
        batch, length, width = x.shape
        parts = self.qkv(self.norm(x)).split(width, dim=2)
        q, k, v = (t.view(batch, length, 2, width // 2).transpose(1, 2) for t in parts)
        scores = (q @ k.transpose(-2, -1)) * (width // 2) ** -0.5
        mask = graphc.ones(length, length).tril() == 0
        weights = F.dropout(scores.masked_fill(mask, float("-inf")).softmax(-1), 0.1)
        y = (weights @ v).transpose(1, 2).contiguous().view(batch, length, width)
        return self.out(y).mean(1)


def mlp():
    layers = nn.Linear(10, 16), nn.LayerNorm(16), nn.GELU(), nn.Dropout(0.3), nn.Linear(16, 4)
    return nn.Sequential(*layers)


def _batch(*shape):
    return lambda n: (
        graphc.randn(*[n if s is None else s for s in shape]),
        graphc.randint(0, 4, (n if shape[0] is None else shape[0],)),
    )


@pytest.mark.parametrize("what", ["step", "model"])
@pytest.mark.parametrize(
    "model,batch",
    [(mlp, _batch(None, 10)), (Attention, _batch(None, 6, 8)), (Attention, _batch(3, None, 8))],
    ids=["batch", "attention batch", "attention length"],
)
def test_training(model, batch, what):
    """Batches of changing sizes: bits of losses and parameters, two programs."""

    def run(compile):
        graphc.manual_seed(0)
        net = model()
        optimizer = graphc.optim.Adam(net.parameters(), lr=0.01)
        called = graphc.compile(net, fullgraph=True) if compile and what == "model" else net

        def step(x, y):
            optimizer.zero_grad()
            loss = F.cross_entropy(called(x), y)
            loss.backward()
            optimizer.step()
            return loss

        stepped = graphc.compile(step, fullgraph=True) if compile and what == "step" else step
        seen = []
        for i, n in enumerate([8, 5, 9, 8, 30, 6, 3, 16, 4]):
            graphc.manual_seed(i)
            seen.append(stepped(*batch(n)))
        if compile:
            used = stepped if what == "step" else called
            assert len(used.specialisations) == 2, used.explain()
        return [np.atleast_1d(t.detach().numpy()).tobytes() for t in (*seen, *net.parameters())]

    assert run(False) == run(True)


def test_backwards_of_results_of_several_sizes():
    """Histories of different sizes alive at once; gradients of gradients."""
    w = graphc.rand(3, 3, requires_grad=True)

    def fn(x):
        return (x @ w).tanh().sum(0)

    def run(f):
        w.grad = None
        kept = [f(graphc.ones(n, 3) * n) for n in (4, 6, 5, 7)]
        sum(k.sum() for k in reversed(kept)).backward()
        (g,) = graphc.autograd.grad(f(graphc.ones(8, 3)).sum(), w, create_graph=True)
        g.pow(2).sum().backward()
        return w.grad.numpy().tobytes()

    compiled = graphc.compile(fn, fullgraph=True)
    assert run(fn) == run(compiled)
    assert len(compiled.specialisations) == 2


def test_explain_names_the_sizes():
    compiled = graphc.compile(lambda x: x * 2)
    for n in (4, 5, 6):
        compiled(graphc.rand(n, 3))
    text = compiled.explain()
    assert "argument x: f32[s0, 3]" in text and "shape was [4, 3], now [5, 3]" in text


def test_a_size_that_code_reads_as_a_number_alone_is_constant():
    """int(n) makes the program good for that n; other sizes stay symbols."""
    f = graphc.compile(lambda x: x * int(x.shape[0]) + x.shape[1], fullgraph=True, dynamic=True)
    for m in (3, 5, 8, 4):
        x = graphc.ones(4, m)
        assert f(x).tolist() == [[4.0 + m] * m] * 4
    assert len(f.specialisations) == 1
    assert f(graphc.ones(5, 3)).tolist() == [[8.0] * 3] * 5
    assert len(f.specialisations) == 2


@pytest.mark.parametrize("dynamic", [None, True])
def test_sizes_that_code_compares_are_one_symbol_where_they_are_equal(dynamic):
    def f(x, y):
        if x.shape[0] == y.shape[0]:
            return (x * y.shape[0]).sum() + y
        return x.sum() - y

    compiled = graphc.compile(f, fullgraph=True, dynamic=dynamic)
    for n, m in [(3, 3), (4, 4), (5, 5), (6, 3), (3, 6), (7, 7), (2, 9), (8, 8)]:
        x, y = graphc.arange(float(n)), graphc.arange(float(m))
        assert graphc.equal(compiled(x, y), f(x, y)), (n, m)
    # sizes that are equal, larger and smaller; without dynamic=True also those of the first call
    assert len(compiled.specialisations) <= 4


def test_sizes_that_differ_by_a_constant_are_constants():
    def f(x, y):
        return x + x.shape[0] if x.shape[0] == y.shape[0] + 1 else x - y.shape[0]

    compiled = graphc.compile(f, fullgraph=True, dynamic=True)
    for n, m in [(4, 3), (5, 4), (5, 5), (6, 2), (4, 3), (3, 3), (8, 7)]:
        x, y = graphc.arange(float(n)), graphc.arange(float(m))
        assert graphc.equal(compiled(x, y), f(x, y)), (n, m)
