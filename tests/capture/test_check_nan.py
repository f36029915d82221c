"""check_nan names the operation that makes the first NaN or Inf, with the user's line: forward and
backward, eager and compiled; what is infinite on purpose is no culprit."""

import math
from pathlib import Path

import numpy as np
import pytest

import graphc as torch
from graphc.checks import NonFiniteError
from graphc.core.modes import STATE
from graphc.nn import functional as F

HERE = Path(__file__).name
LINES = Path(__file__).read_text().splitlines()


def tensor(*values, grad=False):
    return torch.tensor([float(v) for v in values], requires_grad=grad)


class Normalised(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(3, 3)

    def forward(self, x):
        h = self.layer(x) * 0
        return h / h.norm()  # culprit: module


class Scaled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, g):
        return g / (g - g)  # culprit: own backward


def negative_log(x):
    y = x + 1
    return y.log() * 2  # culprit: log


def zero_by_zero(x):
    y = x - x
    z = y / y  # culprit: zero by zero
    return torch.cat([z, x])


def overflow(x):
    y = (x * 100).exp()  # culprit: overflow
    return y - y


def where_trap(x):
    safe = torch.where(x > 0, x, 1.0)
    return torch.where(x > 0, safe.log(), x).sum()


def root(x):
    return x.abs().sqrt().sum()  # culprit: root


def rooted(x):
    root(x).backward()
    return x.grad


def power(x):
    return (x**0.5).sum()  # culprit: power


def powered(x):
    return torch.autograd.grad(power(x), x)


def own_backward(x):
    return torch.autograd.grad(Scaled.apply(x).sum(), x)


def nothing_left(x):
    return x.masked_fill(x == x, -math.inf).softmax(0)  # culprit: nothing left


def variance(x):
    return x[:1].var()  # culprit: variance


# function, argument, culprit's mark, NaN or Inf, in the backward
PLANTED = [
    (negative_log, (-3, 0, 1), "log", "NaN", False),
    (zero_by_zero, (1, 2, 3), "zero by zero", "NaN", False),
    (overflow, (1, 2, 3), "overflow", "Inf", False),
    (rooted, (1, 0, 3), "root", "Inf", True),
    (powered, (1, 0, 3), "power", "Inf", True),
    (own_backward, (1, 2, 3), "own backward", "Inf", False),
    (nothing_left, (1, 2, 3), "nothing left", "NaN", False),
    (variance, (1, 2, 3), "variance", "NaN", False),
    (Normalised(), (1, 2, 3), "module", "NaN", False),
]


def line_of(mark):
    found = [i + 1 for i, line in enumerate(LINES) if line.endswith(f"# culprit: {mark}")]
    assert len(found) == 1, mark
    return found[0]


def located(error, mark):
    first = str(error).splitlines()[0]
    return f"{HERE}:{line_of(mark)}: " in first and LINES[line_of(mark) - 1].strip() in first


@pytest.mark.parametrize("how", ["eager", "c", "interpret"])
@pytest.mark.parametrize("fn, values, mark, what, backward", PLANTED, ids=[p[2] for p in PLANTED])
def test_planted(fn, values, mark, what, backward, how):
    run = fn if how == "eager" else torch.compile(fn, backend=how, fullgraph=True)
    x = tensor(*values, grad=True)
    with torch.check_nan(), pytest.raises(NonFiniteError) as e:
        run(x)
    assert located(e.value, mark), e.value
    assert f"gives the first {what}" in str(e.value)
    assert ("backward of this line" in str(e.value)) == backward
    assert " from " in str(e.value) or mark == "nothing left"
    assert ": float32 [" in str(e.value)
    assert STATE.watch is None


@pytest.mark.parametrize("compiled", [False, True])
def test_a_backward_outside_of_the_function(compiled):
    f = torch.compile(root, fullgraph=True) if compiled else root
    x = tensor(4, 0, 1, grad=True)
    with torch.check_nan():
        loss = f(x)
        with pytest.raises(NonFiniteError) as e:
            loss.backward()
    assert located(e.value, "root") and "backward of this line" in str(e.value)


def test_a_function_compiled_before_is_watched_too():
    f = torch.compile(root, fullgraph=True)
    x = tensor(4, 0, 1, grad=True)
    f(x).backward()
    assert x.grad.isnan().any()  # inf times the sign of 0
    loss = f(x)
    with torch.check_nan(), pytest.raises(NonFiniteError) as e:
        loss.backward()
    assert located(e.value, "root")
    with torch.check_nan(), pytest.raises(NonFiniteError) as e:
        f(x).backward()
    assert located(e.value, "root") and len(f.specialisations) == 1
    f(x).backward()  # and outside nothing is looked at


@pytest.mark.parametrize("backend", ["c", "interpret"])
def test_a_program_for_every_size(backend):
    f = torch.compile(root, fullgraph=True, backend=backend)
    with torch.check_nan():
        for n in (3, 4, 5):
            f(torch.ones(n, requires_grad=True)).backward()
        assert len(f.specialisations) == 2
        with pytest.raises(NonFiniteError) as e:
            f(torch.zeros(6, requires_grad=True)).backward()
        assert located(e.value, "root") and "float32 [6]" in str(e.value)
        assert len(f.specialisations) == 2


def descend(optimizer):
    optimizer.step()  # culprit: step


@pytest.mark.parametrize("make", [torch.optim.SGD, torch.optim.Adam, torch.optim.Adagrad])
def test_an_optimizer_step(make):
    p = tensor(1, 2, grad=True)
    p.grad = tensor(1e30, 1)
    optimizer = make([p], lr=1e30)
    with torch.check_nan(), pytest.raises(NonFiniteError) as e:
        descend(optimizer)
    assert located(e.value, "step")


def test_a_compiled_step_leaves_the_state_it_found():
    model = torch.nn.Linear(3, 1)
    torch.nn.init.ones_(model.weight)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)

    @torch.compile(fullgraph=True)
    def step(x):
        optimizer.zero_grad()
        loss = model(F.dropout(x, 0.5)).exp().mean()
        loss.backward()
        optimizer.step()
        return loss

    x = torch.ones(4, 3)
    with torch.check_nan():
        step(x)
        state = [t.clone() for s in optimizer.state.values() for t in s.values()]
        before = [p.detach().clone() for p in model.parameters()], torch.get_rng_state()
        with pytest.raises(NonFiniteError) as e:
            step(x * 1e4)
    assert str(e.value).splitlines()[1].startswith("exp gives the first Inf")
    assert all(map(torch.equal, before[0], model.parameters()))
    assert torch.equal(before[1], torch.get_rng_state())
    assert all(map(torch.equal, state, [t for s in optimizer.state.values() for t in s.values()]))


@pytest.mark.parametrize("compiled", [False, True])
def test_what_is_meant_is_no_culprit(compiled):
    def masked(x):
        scores = x.masked_fill(x > 1.5, -math.inf)
        return torch.softmax(scores, 0), torch.full((2,), math.inf), scores[:2].flip(0) + 1

    def trap(x):
        return where_trap(x).sum()

    if compiled:
        masked, trap = (torch.compile(f, fullgraph=True) for f in (masked, trap))
    x = tensor(-1, 1, 2, grad=True)
    nan = tensor(math.nan, math.inf, 1)
    with torch.check_nan():
        masked(x)[0][0].backward()
        trap(x).backward()
        assert masked(nan)[0].isnan().any()  # it was there before
        assert (nan + 1).isinf().any()
        x.detach().pow(0.0).sum()


def test_what_a_where_hides_is_seen_by_eager_mode_alone():
    def hidden(x):
        return torch.where(x > 0, x.log(), 0.0)

    x = tensor(0, 1)
    with torch.check_nan():
        assert torch.compile(hidden, fullgraph=True)(x).tolist() == [0, 0]
        with pytest.raises(NonFiniteError, match="log gives the first Inf"):
            hidden(x)


def test_switches_decorator_and_nesting():
    x = tensor(0, 1)
    with torch.check_nan(inf=False):
        assert x.log().isinf().any()
        with pytest.raises(NonFiniteError), torch.check_nan():
            x.log()
        assert x.log().isinf().any()
        with pytest.raises(NonFiniteError):
            x / x
    with torch.check_nan(nan=False):
        assert (x / x).isnan().any()

    @torch.check_nan()
    def f(x):
        return x.log()

    with pytest.raises(NonFiniteError):
        f(x)
    assert x.log().isinf().any() and STATE.watch is None


def test_in_place_operations_are_seen_before_they_write():
    x = tensor(1, 1000)
    with torch.check_nan(), pytest.raises(NonFiniteError, match="exp gives the first Inf"):
        x.exp_()
    assert x.tolist() == [1, 1000]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_dtypes(dtype):
    x = torch.ones(3, dtype=getattr(torch, dtype))
    with torch.check_nan():
        assert (x / 2).sum().item() == 1.5
        with pytest.raises(NonFiniteError, match=f"{dtype} \\[3\\], 3 Inf"):
            x / (x - x)


def test_integers_and_results_are_as_without():
    f = lambda x: ((x * 3).sin().sum(), x.argmax(), x.long())
    x = torch.randn(50)
    want = f(x)
    with torch.check_nan():
        for got in (f(x), torch.compile(f, fullgraph=True)(x)):
            assert all(np.array_equal(a.numpy(), b.numpy()) for a, b in zip(want, got))
