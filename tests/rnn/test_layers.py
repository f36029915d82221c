"""Recurrent layers against PyTorch from the same weights (values, states, gradients, repr, errors),
against a plain loop in numpy, and compiled against eager in bits.

Tolerance: float64 on both sides; 1e-10 separates rounding from errors."""

import numpy as np
import pytest

import graphc
from graphc import nn
from graphc.native import library
from graphc.nn.utils import rnn as R
from graphc.ops import kernels, recurrent

try:
    import torch
except ImportError:
    torch = None
needs_torch = pytest.mark.skipif(torch is None, reason="PyTorch is not installed")

RNG = np.random.RandomState(3)
X = RNG.randn(5, 3, 4)
TOL = {"rtol": 1e-10, "atol": 1e-12}


def near(a, b):
    a, b = (t.detach().numpy() for t in (a, b))
    assert a.shape == b.shape
    np.testing.assert_allclose(a, b, **TOL)


def pair(name, *args, **kwargs):
    """The layer in PyTorch and in graphc, with equal weights in float64."""
    torch.manual_seed(0)
    theirs = getattr(torch.nn, name)(*args, **kwargs).double()
    ours = getattr(nn, name)(*args, **kwargs).double()
    ours.load_state_dict({k: graphc.from_numpy(v.numpy()) for k, v in theirs.state_dict().items()})
    assert [n for n, _ in ours.named_parameters()] == [n for n, _ in theirs.named_parameters()]
    assert repr(ours) == repr(theirs)
    return theirs, ours


def leaves(x):
    if isinstance(x, (tuple, list)):
        return [t for part in x for t in leaves(part)]
    return (
        [x]
        if hasattr(x, "detach") and x.dtype in (getattr(torch, "float64", None), graphc.float64)
        else []
    )


def same(theirs, ours, make):
    """Equal results and gradients of everything; make(library, module) -> (results, inputs)."""
    outs = []
    for lib, m in ((torch, theirs), (graphc, ours)):
        results, inputs = make(lib, m)
        flat = leaves(results)
        loss = sum(
            (t * lib.arange(1, t.numel() + 1).reshape(t.shape).to(t.dtype).cos()).sum()
            for t in flat
        )
        m.zero_grad()
        loss.backward()
        outs.append((flat, [t.grad for t in inputs] + [p.grad for p in m.parameters()]))
    (a, ga), (b, gb) = outs
    assert len(a) == len(b)
    for x, y in zip(a + ga, b + gb, strict=True):
        near(x, y)


CASES = {
    "LSTM": ("LSTM", (4, 6), {}),
    "LSTM all": ("LSTM", (4, 6, 3), {"bidirectional": True, "batch_first": True}),
    "LSTM no bias": ("LSTM", (4, 6, 2), {"bias": False}),
    "LSTM proj": ("LSTM", (4, 6, 2), {"proj_size": 2, "bidirectional": True}),
    "GRU": ("GRU", (4, 6), {}),
    "GRU all": ("GRU", (4, 6, 2), {"bidirectional": True, "batch_first": True}),
    "GRU no bias": ("GRU", (4, 6, 1), {"bias": False}),
    "RNN": ("RNN", (4, 6, 2), {"bidirectional": True}),
    "RNN relu": ("RNN", (4, 6), {"nonlinearity": "relu"}),
    "RNN positional": ("RNN", (4, 6, 2, "relu", False, True), {}),
}


def states(lib, m, batch):
    count = m.num_layers * (2 if m.bidirectional else 1)
    out = getattr(m, "proj_size", 0) or m.hidden_size
    h = np.random.RandomState(1).randn(count, batch, out)
    c = np.random.RandomState(2).randn(count, batch, m.hidden_size)
    made = [lib.from_numpy(a).requires_grad_() for a in ((h, c) if m.mode == "LSTM" else (h,))]
    return (tuple(made) if m.mode == "LSTM" else made[0]), made


@needs_torch
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("kind", ["plain", "state", "unbatched", "packed", "packed state"])
def test_against_torch(case, kind):
    name, args, kwargs = CASES[case]
    theirs, ours = pair(name, *args, **kwargs)
    first = ours.batch_first

    def make(lib, m):
        x = lib.from_numpy(X.copy()).requires_grad_()
        rows = x.transpose(0, 1) if first else x
        rnn = lib.nn.utils.rnn
        if kind == "unbatched":
            return m(x[:, 0]), [x]
        if kind.startswith("packed"):
            packed = rnn.pack_padded_sequence(rows, [3, 5, 2], first, enforce_sorted=False)
            hx, made = states(lib, m, 3) if kind == "packed state" else (None, [])
            out, last = m(packed, hx)
            padded, lengths = rnn.pad_packed_sequence(out, first, -1.5)
            assert lengths.tolist() == [3, 5, 2]
            return (padded, last), [x, *made]
        hx, made = states(lib, m, 3) if kind == "state" else (None, [])
        return m(rows, hx), [x, *made]

    same(theirs, ours, make)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_lstm_and_gru_are_their_formulas():
    x = graphc.from_numpy(X)
    lstm, gru = nn.LSTM(4, 3).double(), nn.GRU(4, 3).double()
    out, (h_n, c_n) = lstm(x)
    p = {k: v.numpy() for k, v in lstm.state_dict().items()}
    h = c = np.zeros((3, 3))
    for t in range(5):
        a = X[t] @ p["weight_ih_l0"].T + p["bias_ih_l0"] + h @ p["weight_hh_l0"].T + p["bias_hh_l0"]
        i, f, g, o = np.split(a, 4, 1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        np.testing.assert_allclose(out[t].detach().numpy(), h, **TOL)
    np.testing.assert_allclose(h_n[0].detach().numpy(), h, **TOL)
    np.testing.assert_allclose(c_n[0].detach().numpy(), c, **TOL)

    out, _ = gru(x)
    p = {k: v.numpy() for k, v in gru.state_dict().items()}
    h = np.zeros((3, 3))
    for t in range(5):
        i = np.split(X[t] @ p["weight_ih_l0"].T + p["bias_ih_l0"], 3, 1)
        s = np.split(h @ p["weight_hh_l0"].T + p["bias_hh_l0"], 3, 1)
        r, z = sigmoid(i[0] + s[0]), sigmoid(i[1] + s[1])
        n = np.tanh(i[2] + r * s[2])
        h = (1 - z) * n + z * h
        np.testing.assert_allclose(out[t].detach().numpy(), h, **TOL)


def test_packed_is_each_sequence_alone():
    """In bits: a row's result does not depend on the batch it is in."""
    for m in (nn.LSTM(4, 5, 2, bidirectional=True), nn.GRU(4, 5, bidirectional=True), nn.RNN(4, 5)):
        xs = [graphc.randn(n, 4) for n in (2, 5, 3)]
        out, last = m(R.pack_sequence(xs, enforce_sorted=False))
        h_n = last[0] if m.mode == "LSTM" else last
        for i, (x, y) in enumerate(zip(xs, R.unpack_sequence(out), strict=True)):
            alone, state = m(x)
            assert graphc.equal(alone, y)
            assert graphc.equal(state[0] if m.mode == "LSTM" else state, h_n[:, i])


def test_second_order():
    for m in (nn.LSTM(2, 2), nn.GRU(2, 2), nn.RNN(2, 1, nonlinearity="relu")):
        m.double()
        weights = [p.detach().requires_grad_() for p in m.parameters()]
        names = [n for n, _ in m.named_parameters()]
        x = graphc.randn(2, 1, 2, dtype=graphc.float64)

        def fn(x, *ws, m=m, names=names):
            for n, w in zip(names, ws, strict=True):
                del m._parameters[n]
                setattr(m, n, w)
                m._parameters[n] = m.__dict__.pop(n)
            return m(x)[0]

        assert graphc.autograd.gradgradcheck(fn, (x.requires_grad_(), *weights), atol=1e-4)


def test_dropout_between_layers():
    graphc.manual_seed(0)
    m = nn.LSTM(4, 6, 2, dropout=0.5)
    x = graphc.randn(3, 2, 4)
    assert not graphc.equal(m(x)[0], m(x)[0])
    m.eval()
    plain = nn.LSTM(4, 6, 2)
    plain.load_state_dict(m.state_dict())
    assert graphc.equal(m(x)[0], plain(x)[0])
    with pytest.warns(UserWarning, match="num_layers greater than 1"):
        nn.GRU(4, 6, dropout=0.5)
    gone = nn.RNN(4, 6, 2, dropout=1.0)  # the second layer sees zeros
    b = gone.bias_ih_l1 + gone.bias_hh_l1
    assert float((gone(x)[0][0] - b.tanh()).detach().abs().max()) < 1e-6  # float32


def test_initialisation_and_weights():
    m = nn.LSTM(4, 25, 2, proj_size=3)
    assert all(p.abs().max() <= 0.2 for p in m.parameters())
    assert len(m.all_weights) == 2 and len(m.all_weights[0]) == 5
    assert m.all_weights[1][4] is m.weight_hr_l1
    m.flatten_parameters()
    assert set(m.state_dict()) == {
        f"{n}_l{k}"
        for k in (0, 1)
        for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
    }


CELLS = {"LSTMCell": 2, "GRUCell": 1, "RNNCell": 1}


@needs_torch
@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("bias", [True, False])
def test_cells(name, bias):
    theirs, ours = pair(name, 4, 6, bias)

    def make(lib, m, batched=True, state=True):
        x = lib.from_numpy(X[0].copy()).requires_grad_()
        hs = [
            lib.from_numpy(RNG2.randn(3, 6)).requires_grad_()
            for RNG2 in (np.random.RandomState(k) for k in range(CELLS[name]))
        ]
        hx = [h if batched else h[1] for h in hs]
        hx = tuple(hx) if len(hx) == 2 else hx[0]
        out = m(x if batched else x[1], *([hx] if state else []))
        return out, [x, *(hs if state else [])]

    same(theirs, ours, make)
    same(theirs, ours, lambda lib, m: make(lib, m, False))
    same(theirs, ours, lambda lib, m: make(lib, m, True, False))


def test_a_cell_steps_as_its_layer():
    for kind, cell in ((nn.LSTM, nn.LSTMCell), (nn.GRU, nn.GRUCell), (nn.RNN, nn.RNNCell)):
        layer, one = kind(4, 6).double(), cell(4, 6).double()
        one.load_state_dict({k.replace("_l0", ""): v for k, v in layer.state_dict().items()})
        x = graphc.from_numpy(X)
        out, _ = layer(x)
        state = None
        for t in range(5):
            state = one(x[t], state)
            near(state[0] if kind is nn.LSTM else state, out[t])


ERRORS = [
    (lambda n: n.LSTM(4, 6, dropout=2), ValueError),
    (lambda n: n.LSTM(4.0, 6), TypeError),
    (lambda n: n.LSTM(4, 6.0), TypeError),
    (lambda n: n.LSTM(4, 0), ValueError),
    (lambda n: n.LSTM(0, 4), ValueError),
    (lambda n: n.LSTM(4, 6, 0), ValueError),
    (lambda n: n.LSTM(4, 6, batch_first=1), TypeError),
    (lambda n: n.LSTM(4, 6, proj_size=-1), ValueError),
    (lambda n: n.LSTM(4, 6, proj_size=6), ValueError),
    (lambda n: n.GRU(4, 6, proj_size=2), ValueError),
    (lambda n: n.RNN(4, 6, nonlinearity="x"), ValueError),
    (lambda n: n.RNNBase("X", 4, 6), ValueError),
]
CALLS = [
    lambda z, n: n.LSTM(4, 6)(z(5, 3, 5)),
    lambda z, n: n.LSTM(4, 6)(z(5)),
    lambda z, n: n.RNN(4, 6)(z(5)),
    lambda z, n: n.LSTM(4, 6)(z(5, 3, 4), (z(1, 3, 6), z(1, 3, 5))),
    lambda z, n: n.LSTM(4, 6)(z(5, 3, 4), (z(1, 6), z(1, 6))),
    lambda z, n: n.LSTM(4, 6)(z(5, 4), (z(1, 1, 6), z(1, 1, 6))),
    lambda z, n: n.GRU(4, 6)(z(5, 3, 4), z(2, 3, 6)),
    lambda z, n: n.GRU(4, 6)(z(5, 3, 4), z(1, 6)),
    lambda z, n: n.GRU(4, 6)(z(5, 4), z(1, 1, 6)),
    lambda z, n: n.GRU(4, 6)(z(5, 3, 4).double()),
    lambda z, n: n.RNN(4, 6)(z(0, 3, 4)),
    lambda z, n: n.LSTMCell(4, 6)(z(3, 5)),
    lambda z, n: n.LSTMCell(4, 6)(z(3, 3, 4)),
    lambda z, n: n.LSTMCell(4, 6)(z(3, 4), (z(2, 6), z(2, 6))),
    lambda z, n: n.GRUCell(4, 6)(z(3, 4), z(3, 5)),
    lambda z, n: n.GRUCell(4, 6)(z(3, 4), z(3, 1, 6)),
    lambda z, n: n.RNNCell(4, 6, nonlinearity="x")(z(3, 4)),
]


def told(fn, *args):
    try:
        fn(*args)
    except Exception as e:  # noqa: BLE001
        return type(e), str(e).splitlines()[0]
    return None, ""


@needs_torch
def test_errors():
    for make, kind in ERRORS:
        ours = told(make, nn)
        assert ours[0] is kind
        assert ours == told(make, torch.nn)
    for call in CALLS:
        ours = told(call, graphc.zeros, nn)
        assert ours[0] is not None
        assert ours == told(call, torch.zeros, torch.nn)


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.LSTM(4, 6, 2, bidirectional=True, batch_first=True),
        lambda: nn.GRU(4, 6),
        lambda: nn.RNN(4, 6),
    ],
)
def test_compiled(make):
    """Outputs and gradients, in bits, for two lengths with one of them symbolic."""
    m = make()
    compiled = graphc.compile(m, fullgraph=True)
    for steps in (3, 5, 7):
        x = graphc.randn(steps, 3, 4)
        results = []
        for fn in (m, compiled):
            m.zero_grad()
            y = x.clone().requires_grad_()
            out, last = fn(y)
            (out.square().sum() + (last[0] if isinstance(last, tuple) else last).sum()).backward()
            results.append([out, y.grad, *[p.grad for p in m.parameters()]])
        assert all(graphc.equal(a, b) for a, b in zip(*results, strict=True))


def test_compiled_packed_and_cell():
    m, cell = nn.LSTM(4, 6), nn.LSTMCell(4, 6)
    packed = R.pack_sequence([graphc.randn(4, 4), graphc.randn(2, 4)])
    hx = (graphc.zeros(1, 2, 6), graphc.zeros(1, 2, 6))
    compiled = graphc.compile(m, fullgraph=True)
    with graphc.no_grad():
        for _ in range(2):
            assert graphc.equal(compiled(packed, hx)[0].data, m(packed, hx)[0].data)
    one = graphc.compile(cell, fullgraph=True)
    x = graphc.randn(3, 4)
    grads = []
    for fn in (cell, one):
        cell.zero_grad()
        h, c = fn(x)
        (h.sum() + c.square().sum()).backward()
        grads.append([h, c, *[p.grad for p in cell.parameters()]])
    assert all(graphc.equal(a, b) for a, b in zip(*grads, strict=True))


@pytest.mark.parametrize("name", ["LSTM", "GRU", "RNN"])
def test_one_segment_serves_all_sizes_and_threads(name):
    """Forward and backward between other work; states and products are the library's."""
    m = getattr(nn, name)(4, 6, 2, bidirectional=True)

    def step(x):
        y = m(x * 2)[0].relu() + 1
        return y, *graphc.autograd.grad((y * y).sum(), [x, *m.parameters()])

    compiled = graphc.compile(step, fullgraph=True, dynamic=True)
    before = graphc.get_num_threads()
    for shape in ((5, 3, 4), (9, 2, 4), (2, 70, 4)):
        x = graphc.randn(*shape, requires_grad=True)
        wanted = step(x)
        for threads in (1, 2):
            graphc.set_num_threads(threads)
            for a, b in zip(compiled(x), wanted, strict=True):
                assert a.detach().numpy().tobytes() == b.detach().numpy().tobytes()
    graphc.set_num_threads(before)
    if library.available():
        assert "segment_1" not in compiled.source


def test_sizes_that_do_not_fit_together():
    gates, w, h = graphc.randn(5, 3), graphc.randn(3, 3), graphc.randn(2, 3)
    run = lambda sizes, h: recurrent.recurrence(  # noqa: E731
        gates, w, None, h, None, sizes and graphc.tensor(sizes), "RNN_TANH", False
    )
    assert run([2, 2, 1], h)[0].shape == (5, 3)
    for sizes in ([2, 2, 2], [1, 2, 2], [2, 3], [2, 3, 0], [3, 2]):
        with pytest.raises(RuntimeError, match="RNN_TANH: the sizes do not fit together"):
            run(sizes, h)
        if library.available():  # the native loop looks too, before it writes
            numbers = [0, 0, len(sizes), 5, 2, 3]
            arrays = [gates.numpy(), w.numpy(), None, h.numpy(), None, np.array(sizes)]
            out = [np.empty(s, np.float32) for s in ((5, 3), (2, 3), (0, 3), (5, 0))]
            with pytest.raises(MemoryError):
                kernels.call("gc_rnn_forward_f32", numbers, arrays, out)
    with pytest.raises(RuntimeError, match="RNN_TANH: the sizes do not fit together"):
        graphc.compile(lambda h: run([2, 2, 1], h)[0])(graphc.randn(2, 4))


def test_bias_gradient_is_the_canonical_sum():
    """Rows beyond a chunk of 4096 and columns beyond a task's 16."""
    for dtype in (graphc.float32, graphc.float64):
        m = nn.RNN(1, 21).to(dtype)
        pre = graphc.randn(70, 61, 21, dtype=dtype).requires_grad_()
        w, b, h = m.weight_hh_l0, m.bias_hh_l0, graphc.zeros(61, 21, dtype=dtype)
        out = recurrent.recurrence(pre, w, b, h, None, None, "RNN_TANH", False)[0]
        g_pre, g_b = graphc.autograd.grad((out * out).sum(), [pre, b])
        assert graphc.equal(g_pre.flatten(0, 1).sum(0), g_b)
