"""Errors that a user of compile sees: the user's line first, ten lines at most with the traceback,
everything with GRAPHC_DEBUG=1; run-time errors are eager's own and leave eager's state."""

import traceback
import warnings

import pytest

import graphc
from graphc import nn
from graphc.base.config import config
from graphc.base.errors import CaptureBreak
from graphc.ir import op as ops
from graphc.ir.loop import Apply
from graphc.native import build


def printed(call):
    """(error, the lines that Python prints of it)."""
    with pytest.raises(Exception) as info:  # noqa: PT011
        call()
    error = info.value
    error = error.with_traceback(error.__traceback__.tb_next)  # without pytest's and ours
    text = "".join(traceback.format_exception(error)).rstrip().splitlines()
    return error, text


@pytest.fixture(autouse=True)
def plain(monkeypatch):
    monkeypatch.setattr(config, "debug", 0)
    monkeypatch.setattr(config, "check", False)


@pytest.fixture
def no_cache(monkeypatch, tmp_path):
    """Programs are built anew, and what is built wrong is not kept."""
    from graphc.native import cache

    monkeypatch.setattr(build, "disk_cache", lambda: cache.DiskCache(tmp_path, 1 << 30))
    from graphc.compiler import program

    monkeypatch.setattr(program, "disk_cache", lambda: cache.DiskCache(tmp_path, 1 << 30))


def g(x, y):
    a = x.exp()
    return a * y.sin()  # the line


def test_a_shape_error_is_eagers():
    f = graphc.compile(g)
    error, text = printed(lambda: f(graphc.ones(3), graphc.ones(4)))
    eager, _ = printed(lambda: g(graphc.ones(3), graphc.ones(4)))
    assert type(error) is type(eager) and str(error) == str(eager)
    assert error.__notes__ == eager.__notes__ and "# the line" in error.__notes__[0]
    assert error.__context__ is None or error.__suppress_context__
    assert len(text) <= 11, "\n".join(text)  # ours and the caller's frame, the message, the note
    assert not f.specialisations and not f.refused


def test_fullgraph_names_the_line():
    f = graphc.compile(lambda x: x * x.sum().item(), fullgraph=True)  # the line
    error, text = printed(lambda: f(graphc.ones(3)))
    assert isinstance(error, CaptureBreak)
    lines = str(error).splitlines()
    assert lines[0].startswith(__file__) and "# the line" in lines[0]
    assert len(text) <= 10, "\n".join(text)


def test_debug_shows_everything(monkeypatch):
    monkeypatch.setattr(config, "debug", 1)
    f = graphc.compile(lambda x: x * x.sum().item(), fullgraph=True)
    _, text = printed(lambda: f(graphc.ones(3)))
    assert len(text) > 10 and any("tensor.py" in line for line in text)


def test_a_refused_write_names_the_assignment():
    class M(nn.Module):
        def forward(self, x):
            y = x * 2
            self.layer = nn.Identity()  # the line
            return y

    with pytest.raises(CaptureBreak) as info:
        graphc.compile(M(), fullgraph=True)(graphc.ones(3))
    assert "# the line" in str(info.value).splitlines()[0]


def planted(how):
    """sin with a lowering that is wrong in one of three ways."""

    def lowering(x):
        if how == "raises":
            raise KeyError("planted")
        if how == "refused":
            return Apply("add", [x, Apply("no such C", [x], x.dtype)], x.dtype)
        return Apply("no_such_function", [x], x.dtype)

    return lowering


@pytest.mark.parametrize("how", ["raises", "refused", "unknown"])
def test_an_error_of_our_own(how, monkeypatch, no_cache):
    x = graphc.ones(3)
    want = g(x, x)
    monkeypatch.setattr(ops.get("sin"), "lower", planted(how))
    f = graphc.compile(g, fullgraph=True)
    error, text = printed(lambda: f(x, x))
    assert isinstance(error, CaptureBreak) and error.kind == "internal"
    lines = str(error).splitlines()
    assert lines[0].startswith(__file__) and "# the line" in lines[0], lines
    assert len(text) <= 10, "\n".join(text)
    assert "GRAPHC_DEBUG=1" in lines[-1]

    f = graphc.compile(g)  # by default: eager, with a warning
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        for _ in range(2):
            assert f(x, x).tolist() == want.tolist()
    assert len(seen) == 1 and "# the line" in str(seen[0].message)
    assert seen[0].filename == __file__
    assert "eager: " in f.explain()


def test_an_error_of_our_own_in_the_capture(monkeypatch, no_cache):
    from graphc.compiler.capture.tracer import Tracer

    x = graphc.ones(3)
    want = g(x, x).tolist()

    def broken(self, *rest):
        raise KeyError("planted")

    monkeypatch.setattr(Tracer, "_pointwise", broken)
    error, text = printed(lambda: graphc.compile(g, fullgraph=True)(x, x))
    assert isinstance(error, CaptureBreak) and error.kind == "internal"
    assert "planted" in str(error) and len(text) <= 10
    f = graphc.compile(g)
    with pytest.warns(UserWarning, match="planted"):
        assert f(x, x).tolist() == want


def test_an_error_of_our_own_in_the_backward(monkeypatch, no_cache):
    def step(f):
        w = graphc.ones(3).requires_grad_()
        f(w).sum().backward()
        return w.grad.tolist()

    def h(x):
        return x.tanh()

    want = step(h)
    f = graphc.compile(h)
    w = graphc.ones(3).requires_grad_()
    loss = f(w).sum()
    monkeypatch.setattr(ops.get("mul"), "lower", planted("raises"))
    with pytest.warns(UserWarning, match="planted"):
        loss.backward()
    assert w.grad.tolist() == want


# ---- run-time errors


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(5, 3)
        self.norm = nn.BatchNorm1d(3)
        self.drop = nn.Dropout(0.5)
        self.calls = 0
        self.last = None

    def forward(self, i):
        self.calls += 1
        x = self.drop(self.norm(self.table(i)))
        self.last = x.detach()
        return x


def training(compiled, bad):
    """What is left of a training step that fails on its second call."""
    graphc.manual_seed(0)
    m = Net()
    o = graphc.optim.Adam(m.parameters(), lr=0.1)
    count = graphc.zeros((), dtype=graphc.int64)

    def step(i, target, divisor):
        o.zero_grad()
        count.add_(1)
        loss = nn.functional.cross_entropy(m(i), target)
        loss.backward()
        o.step()
        return loss.detach() + (count // divisor)

    f = graphc.compile(step, fullgraph=True) if compiled else step
    good = [graphc.tensor([0, 1, 2]), graphc.tensor([0, 1, 2]), graphc.tensor(2)]
    seen = []
    for arguments in (good, bad, good):
        try:
            seen.append(f(*arguments).tolist())
        except Exception as e:  # noqa: BLE001
            seen.append((type(e), str(e), e.__notes__[0]))
        seen.append([t.tolist() for t in m.state_dict().values()])
        seen.append([None if p.grad is None else p.grad.tolist() for p in m.parameters()])
        seen.append([[v.tolist() for v in s.values()] for s in o.state.values()])
        seen += [m.calls, m.last.tolist(), count.tolist(), graphc.default_generator.state_words()]
    return seen


@pytest.mark.parametrize(
    "bad",
    [
        ([0, 9, 2], [0, 1, 2], 2),  # an index out of range
        ([0, 1, 2], [0, 1, 7], 2),  # a bad class label
        ([0, 1, 2], [0, 1, 2], 0),  # an integer division by zero
    ],
    ids=["index", "label", "division"],
)
def test_a_failed_step_leaves_eagers_state(bad):
    bad = [graphc.tensor(v) for v in bad]
    eager, compiled = training(False, bad), training(True, bad)
    assert any(isinstance(v, tuple) and isinstance(v[0], type) for v in eager)
    for i, (a, b) in enumerate(zip(eager, compiled, strict=True)):
        assert a == b, f"value {i}"


def test_a_run_time_error_is_printed_briefly():
    f = graphc.compile(lambda x, i: x[i] * 2)
    x = graphc.ones(3)
    f(x, graphc.tensor([1]))
    error, text = printed(lambda: f(x, graphc.tensor([5])))
    assert type(error) is IndexError and "out of bounds" in str(error)
    assert error.__context__ is None or error.__suppress_context__
    assert len(text) <= 11, "\n".join(text)
