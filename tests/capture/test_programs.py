"""Captured programs against eager mode: mutation, views, aliasing, delivered strides,
randomness."""

import sys
from pathlib import Path

import numpy as np
import pytest

import graphc
from graphc.nn import functional as F

sys.path.insert(0, str(Path(__file__).parent))
from harness import check  # noqa: E402


def floats(*shape, seed=0, dtype=None):
    a = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    return graphc.tensor(a) if dtype is None else graphc.tensor(a).to(dtype)


@pytest.fixture(params=["interpret", "c"])
def backend(request):
    return request.param


# ---- plain functions


def test_pointwise_and_reduction(backend):
    check(
        lambda x, y: (x * 2 + y).relu().sum(0),
        lambda i: (floats(3, 4, seed=i), floats(4, seed=9 + i)),
        backend=backend,
    )


@pytest.mark.parametrize(
    "fn",
    [
        lambda x: x,
        lambda x: (x, x),
        lambda x: x.t(),
        lambda x: x.t().contiguous(),
        lambda x: x + x.t().t(),
        lambda x: x.t() + 1,
        lambda x: (x.t() + 1, 3, None, "s"),
        lambda x: {"a": x * 2, "b": [x + 1]},
        lambda x: x[1],
        lambda x: x[:, 1],
        lambda x: x[1:, ::2] * 2,
        lambda x: x.view(-1),
        lambda x: x.detach(),
        lambda x: x.expand(2, 3, 4),
        lambda x: (x * 2).expand(2, 3, 4),
        lambda x: (x * 2)[:, 1],
        lambda x: (lambda y: (y, y.t(), y[0]))(x * 3),
        lambda x: x.clone(),
        lambda x: x.sum(),
        lambda x: x.mean(1),
        lambda x: graphc.softmax(x, 1),
        lambda x: F.layer_norm(x, (4,)),
        lambda x: x.double() + 1,
        lambda x: x.half() * 3,
        lambda x: x.bfloat16().sum(0),
        lambda x: (x > 0) & (x < 1),
        lambda x: x.long() // 2,
        lambda x: graphc.cat([x, x * 2], 1),
        lambda x: graphc.stack([x, x]),
        lambda x: x @ x.t(),
        lambda x: x.max(),
        lambda x: x.var(0),
        lambda x: graphc.where(x > 0, x, 0.0),
        lambda x: x.argmax(1),
        lambda x: x.pow(2),
        lambda x: x**3.0,
        lambda x: graphc.arange(4) + x,
        lambda x: graphc.tensor([1.0, 2, 3, 4]) * x,
        lambda x: graphc.zeros(3, 4) + x,
        lambda x: graphc.ones_like(x),
        lambda x: x.new_full((2,), 7.5),
        lambda x: x.fill_(2.5),
        lambda x: graphc.tensor(3.5) * x,
        lambda x: x.masked_fill(x > 0, -1.0),
        lambda x: x.flatten()[2:7],
        lambda x: x.unsqueeze(0).squeeze(0),
        lambda x: x.transpose(0, 1).reshape(-1),
        lambda x: x.float() is x,
        lambda x: x.shape,
        lambda x: x.prod(1),
        lambda x: x.cumsum(0) if hasattr(x, "cumsum") else x,
        lambda x: x.as_strided((2, 2), (4, 1), 1),
        lambda x: x.flip(0),
        lambda x: x.std(),
        lambda x: -x.abs().sqrt().log1p(),
        lambda x: x.clamp(-0.5, 0.5),
        lambda x: F.gelu(x),
        lambda x: x.chunk(2, 1),
        lambda x: x[0].repeat(2, 1).clone(),
        lambda x: (x[0, 0].cumsum(0), x[0, 0].cumprod(0)),
        lambda x: x[0, 0].copy_(x[0, 0]).eq(x[0, 0].t()).sum(0),
        lambda x: x.as_strided((2, 1), (1, 7)).roll(1, 0)[:1],
        lambda x: (lambda y: (y, y.reshape(6, 2).t() @ y.reshape(6, 2)))(
            x.t().unflatten(1, (3, 1)).exp()
        ),
    ],
)
def test_results(fn, backend):
    check(fn, lambda i: (floats(3, 4, seed=i),), backend=backend)


@pytest.mark.parametrize("layout", ["T", "strided", "offset", "expanded"])
def test_layouts(layout, backend):
    def make(i):
        base = floats(8, 12, seed=i)
        return (
            {
                "T": base.t(),
                "strided": base[::2, ::3],
                "offset": base[2:, 3:],
                "expanded": base[0].expand(5, 12),
            }[layout],
        )

    check(lambda x: (x * 2, x.sum(0), x.t() + 1, x.contiguous(), x[1]), make, backend=backend)


# ---- mutation

ADDEND = floats(4, 3, seed=3)
MUTATIONS = {
    "whole": lambda x: x.add_(1),
    "twice": lambda x: x.add_(1).mul_(x),
    "row": lambda x: x[1].mul_(3),
    "column": lambda x: x[:, 2].zero_(),
    "setitem": lambda x: x.__setitem__((slice(1, None), slice(None, None, 2)), 5.0),
    "transposed": lambda x: x.t().add_(ADDEND),
    "view then base": lambda x: (x.view(-1)[3:9].add_(1), x * 2)[1],
    "base then view": lambda x: (lambda v: (x.add_(1), v * 2))(x[1:]),
    "chain": lambda x: x[1:].t()[::2].unsqueeze(0).mul_(2.0),
    "copy": lambda x: x.copy_(x.flip(0)),
    "overlapping view": lambda x: (
        v := x.unfold(0, 2, 1),
        v.mul_(3),
        v.diagonal().add_(1),
        v.sum(),
    ),
    "self overlap": lambda x: x[1:].copy_(x[:-1]),
    "fresh": lambda x: (lambda y: (y[0].add_(1), y))(x * 2),
    "fresh views": lambda x: (lambda y,: (lambda a, b: (a.mul_(2), b, y))(y[:2], y[1:]))(x * 2),
    "int into": lambda x: x.copy_(graphc.arange(12).view(3, 4)),
    "reshape view": lambda x: x.reshape(4, 3)[1].add_(x[0, :3]),
    "swap": lambda x: (lambda a, b: (x.__setitem__(0, b), x.__setitem__(1, a)))(
        x[0].clone(), x[1].clone()
    ),
    "clone of view": lambda x: (lambda c: (x.mul_(2), c))(x[1].clone()),
    "inplace relu": lambda x: x.relu_().sum(),
    "masked": lambda x: x.masked_fill_(x > 0, 0.25),
    "returns view": lambda x: x[1].add_(1),
    "data": lambda x: x.data.add_(1),
    "detached": lambda x: x.detach().mul_(3),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_mutation(name, backend):
    check(MUTATIONS[name], lambda i: (floats(3, 4, seed=i),), backend=backend)


@pytest.mark.parametrize(
    "name", ["whole", "row", "setitem", "transposed", "base then view", "copy", "chain"]
)
def test_mutation_of_a_window(name, backend):
    """The argument is itself a window of other memory."""

    def make(i):
        base = floats(6, 8, seed=i)
        return (base[1:4, 2:6],) if i % 2 == 0 else (base[2:5, 1:5],)

    check(MUTATIONS[name], make, backend=backend)


def test_arguments_that_overlap(backend):
    def fn(a, b):
        a.add_(1)
        b.mul_(2)
        return a + b.sum()

    def make(i):
        base = floats(10, seed=i)
        return base[:6], base[3:9]

    check(fn, make, backend=backend)


def test_overlap_is_a_guard(backend):
    """The same shapes with other aliasing is another program."""

    def fn(a, b):
        a.add_(1)
        return a * b

    def make(i):
        base = floats(10, seed=i)
        return [
            (base[:6], base[4:10]),
            (base[:6], base[:6]),
            (base[:6], floats(6)),
            (base[:6], base[1:7]),
            (base[:6], base[4:10]),
        ][i]

    check(fn, make, calls=5, programs=None, backend=backend)


def test_same_tensor_twice(backend):
    def make(i):
        x = floats(4, seed=i)
        return (x, x) if i % 2 == 0 else (x, floats(4, seed=i + 5))

    check(lambda a, b: (a.add_(b), a is b), make, calls=4, programs=None, backend=backend)


def test_a_view_of_an_argument_stays_in_its_memory(backend):
    """Also when it once shared memory with another argument, and now does not."""
    base = floats(12)
    other = floats(12), floats(12)
    pairs = [(base[:4], base[4:]), (other[0][:4], other[1][4:]), (base[:4], base[4:])]
    check(lambda a, b: b.unfold(0, 1, 2), lambda i: pairs[i], calls=3, backend=backend)
    f = graphc.compile(lambda a, b: b[2:], backend=backend)
    f(*pairs[0])
    view = f(*pairs[1])
    assert view.storage_offset() == 6 and view._storage is pairs[1][1]._storage


def test_memory_shared_with_numpy(backend):
    def make(i):
        a = np.arange(8, dtype=np.float32) + i
        return graphc.from_numpy(a), graphc.from_numpy(a[2:6])

    check(lambda a, b: (a.add_(1), b * 2), make, calls=2, backend=backend)


def test_results_never_share_buffers():
    f = graphc.compile(lambda x: (x + 1, x + 1))
    x = floats(5)
    a, b = f(x)
    c, _ = f(x)
    before = c.clone()
    a.zero_()
    b.zero_()
    f(x)
    assert graphc.equal(c, before)


# ---- closures and constants


def test_closed_over_tensor_is_lifted(backend):
    w = floats(4)
    f = graphc.compile(lambda x: x * w, backend=backend, fullgraph=True)
    x = floats(3, 4)
    assert graphc.equal(f(x), x * w)
    w.mul_(2)
    assert graphc.equal(f(x), x * w)
    assert len(f.specialisations) == 1


def test_closed_over_tensor_is_updated(backend):
    total = graphc.zeros(4)

    def fn(x):
        total.add_(x.sum(0))
        return total * 2

    f = graphc.compile(fn, backend=backend, fullgraph=True)
    x = floats(3, 4)
    want = graphc.zeros(4)
    for _ in range(3):
        got = f(x)
        want = want + x.sum(0)
        assert graphc.equal(total, want) and graphc.equal(got, want * 2)


def test_replaced_closure_variable(backend):
    scale = 2.0

    def fn(x):
        return x * scale

    f = graphc.compile(fn, backend=backend, fullgraph=True)
    x = floats(4)
    assert graphc.equal(f(x), x * 2.0)
    scale = 3.0
    assert graphc.equal(f(x), x * 3.0)


# ---- numbers


def test_float_arguments_never_recompile(backend):
    f = graphc.compile(lambda x, a: x * a + (1 - a) ** 2, backend=backend, fullgraph=True)
    x = floats(5)
    for a in (0.1, 0.25, -3.0, 1e-30, 7.0):
        assert graphc.equal(f(x, a), x * a + (1 - a) ** 2)
    assert len(f.specialisations) == 1


def test_float_that_decides_is_guarded(backend):
    f = graphc.compile(lambda x, a: x * a if a > 0.5 else x + a, backend=backend, fullgraph=True)
    x = floats(5)
    for a in (0.1, 0.9, 0.2, 0.8, 0.5):
        assert graphc.equal(f(x, a), x * a if a > 0.5 else x + a)
    assert len(f.specialisations) == 2


def test_int_and_string_arguments(backend):
    f = graphc.compile(lambda x, n, how: getattr(x, how)(n), backend=backend, fullgraph=True)
    x = floats(3, 4)
    for n in (0, 1):
        for how in ("sum", "mean"):
            assert graphc.equal(f(x, n, how), getattr(x, how)(n))
    assert len(f.specialisations) == 4


# ---- randomness


def test_random_numbers_are_those_of_eager(backend):
    def fn(x):
        return F.dropout(x, 0.3) + graphc.rand(3, 4) + graphc.randn(4), graphc.randint(0, 9, (3,))

    check(fn, lambda i: (floats(3, 4, seed=i),), calls=3, backend=backend)


# ---- gradients inside


def test_backward_inside(backend):
    w = floats(4, 2, seed=5).requires_grad_()

    def fn(x):
        w.grad = None
        loss = ((x @ w) ** 2).mean()
        loss.backward()
        return loss.detach()

    f = graphc.compile(fn, backend=backend, fullgraph=True)
    for i in range(3):
        x = floats(3, 4, seed=i)
        want = fn(x)
        grad = w.grad
        got = f(x)
        assert graphc.equal(want, got) and graphc.equal(grad, w.grad) and w.grad is not grad


def test_gradients_accumulate(backend):
    def run(f, w):
        for i in range(3):
            f(floats(3, 4, seed=i))
        return w.grad.clone()

    def make():
        w = floats(4, 2, seed=5).requires_grad_()
        return w, lambda x: ((x @ w) ** 2).mean().backward()

    w, fn = make()
    want = run(fn, w)
    w, fn = make()
    f = graphc.compile(fn, backend=backend, fullgraph=True)
    assert graphc.equal(run(f, w), want)
    assert len(f.specialisations) == 2  # without, then with a gradient to add to


def test_grad_set_to_none_at_the_end_is_free(backend):
    w = floats(4).requires_grad_()

    def fn(x):
        (w * x).sum().backward()
        with graphc.no_grad():
            w.sub_(w.grad, alpha=0.1)
        w.grad = None

    f = graphc.compile(fn, backend=backend, fullgraph=True)
    f(floats(4))
    assert w.grad is None and len(f.graph.outputs) == 0


def test_result_whose_graph_was_used_up(backend):
    w = floats(4).requires_grad_()

    def fn(x):
        loss = (w * x).sum()
        loss.backward()
        return loss

    loss = graphc.compile(fn, backend=backend, fullgraph=True)(floats(4))
    assert loss.requires_grad and loss.grad_fn is not None
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        loss.backward()


def test_capture_leaves_no_trace():
    w = floats(4).requires_grad_()
    w.grad = floats(4, seed=2)
    kept, version = w.grad, w._version

    def fn(x):
        w.grad = None
        (w * x).sum().backward()
        raise ValueError("stop")

    f = graphc.compile(fn, fullgraph=True)
    with pytest.raises(ValueError, match="stop"):
        f(floats(4))
    assert w._version == version and w.is_leaf and kept is not None


# ---- errors and refusals


def test_value_reads_are_refused():
    f = graphc.compile(lambda x: x * 2 if x.sum() > 0 else x, fullgraph=True)
    with pytest.raises(graphc.base.errors.CaptureBreak, match="test_programs.py"):
        f(floats(3))


def test_fallback_is_visible():
    f = graphc.compile(lambda x: x * x.sum().item())
    with pytest.warns(UserWarning, match="runs eagerly"):
        got = f(floats(3))
    x = floats(3)
    assert graphc.equal(got, x * x.sum().item())


def test_run_time_errors_are_those_of_eager(backend):
    f = graphc.compile(lambda w, i: F.embedding(i, w), backend=backend, fullgraph=True)
    w = floats(5, 2)
    f(w, graphc.tensor([0, 4]))
    with pytest.raises(IndexError, match="index out of range in self"):
        f(w, graphc.tensor([0, 5]))


def test_shape_errors_are_those_of_eager():
    f = graphc.compile(lambda a, b: a + b, fullgraph=True)
    with pytest.raises(RuntimeError, match="The size of tensor a"):
        f(floats(3), floats(4))


# ---- guards


def test_guards_on_arguments():
    f = graphc.compile(lambda x: x * 2 + 1, fullgraph=True)
    cases = [floats(3), floats(4), floats(3).double(), floats(6)[::2], floats(3)]
    for x in cases:
        assert graphc.equal(f(x), x * 2 + 1)
    assert len(f.specialisations) == 4
    with graphc.no_grad():
        f(cases[0])
    assert len(f.specialisations) == 5


def test_training_flag():
    m = graphc.nn.Sequential(graphc.nn.Linear(4, 4), graphc.nn.Dropout(0.5))
    f = graphc.compile(m, fullgraph=True)
    x = floats(3, 4)
    with graphc.no_grad():
        for mode in (True, False, True, False):
            m.train(mode)
            graphc.manual_seed(3)
            want = m(x)
            graphc.manual_seed(3)
            assert graphc.equal(f(x), want), mode
    assert len(f.specialisations) == 2


def test_parameter_is_replaced():
    m = graphc.nn.Linear(4, 2)
    f = graphc.compile(m, fullgraph=True)
    x = floats(3, 4)
    with graphc.no_grad():
        assert graphc.equal(f(x), m(x))
        m.weight = graphc.nn.Parameter(floats(2, 4, seed=8))
        assert graphc.equal(f(x), m(x))
        m.weight.data = floats(2, 4, seed=9)
        assert graphc.equal(f(x), m(x))
        m.bias = None
        assert graphc.equal(f(x), m(x))


class Collector:
    def __init__(self):
        self.items = []
        self.total = None

    def add(self, x):
        self.items.append(x)
        self.total = x if self.total is None else self.total + x


def test_objects_made_inside_may_change(backend):
    def fn(x):
        seen, c = [], Collector()
        for i in range(3):
            seen.append((lambda v, seen=seen: len(seen) + v)(i))
            c.add(x * i)
        table = {}
        table["k"] = c.total
        return c.items[1:], table, seen

    check(fn, lambda i: (floats(3, seed=i),), backend=backend)
