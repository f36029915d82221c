"""CTC, multi-label margin, adaptive softmax, linear cross entropy, SyncBatchNorm and CrossMapLRN2d:
against PyTorch, against plain enumerations and formulas, and compiled against eager in bits.

Tolerance: float64 on both sides; 1e-10 separates rounding from errors."""

import itertools
import math

import numpy as np
import pytest

import graphc
import graphc.nn.functional as F
from graphc import nn

try:
    import torch
except ImportError:
    torch = None
needs_torch = pytest.mark.skipif(torch is None, reason="PyTorch is not installed")

RNG = np.random.RandomState(7)
TOL = {"rtol": 1e-10, "atol": 1e-12}


def log_softmax(x):
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


LP = log_softmax(RNG.randn(7, 3, 5))
TARGETS = np.array([[1, 2, 2], [4, 1, 0], [3, 3, 3]])


def both(fn, *arrays):
    """fn(library, *tensors) under both libraries: equal results and gradients."""
    found = []
    for lib in (torch, graphc):
        xs = [lib.from_numpy(np.array(a)).requires_grad_() for a in arrays]
        out = fn(lib, *xs)
        (out * lib.arange(1, out.numel() + 1).reshape(out.shape).to(out.dtype)).sum().backward()
        found.append([out, *[x.grad for x in xs]])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(b.detach().numpy(), a.detach().numpy(), **TOL)


@needs_torch
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_ctc_against_torch(reduction):
    def ctc(lib, lp, targets, n_in, n_out, **kwargs):
        targets = lib.from_numpy(np.array(targets))
        return lib.nn.functional.ctc_loss(lp, targets, n_in, n_out, reduction=reduction, **kwargs)

    both(lambda lib, lp: ctc(lib, lp, TARGETS, [7, 5, 7], [3, 2, 3]), LP)
    both(lambda lib, lp: ctc(lib, lp, TARGETS, lib.tensor([7, 3, 6]), lib.tensor([3, 2, 0])), LP)
    both(lambda lib, lp: ctc(lib, lp, [1, 2, 2, 4, 3, 3], [7, 5, 6], [3, 1, 2]), LP)
    both(lambda lib, lp: ctc(lib, lp, TARGETS[:, :0], [7, 0, 3], [0, 0, 0]), LP)
    both(lambda lib, lp: ctc(lib, lp, np.array([0, 1, 1]), [7], [3], blank=4), LP[:, 0])
    both(lambda lib, lp: ctc(lib, lp, TARGETS, [7, 1, 4], [3, 2, 3], zero_infinity=True), LP)


def test_ctc_sums_all_alignments():
    lp, target = LP[:4, 0], (1, 2)

    def written(path):
        return tuple(k for k, _ in itertools.groupby(path) if k)

    paths = [p for p in itertools.product(range(5), repeat=4) if written(p) == target]
    want = -math.log(sum(math.exp(sum(lp[t, k] for t, k in enumerate(p))) for p in paths))
    for shape in ((4, 5), (4, 1, 5)):
        found = F.ctc_loss(
            graphc.from_numpy(lp.reshape(shape).copy()),
            graphc.tensor([1, 2]),
            [4],
            [2],
            reduction="sum",
        )
        assert abs(float(found) - want) < 1e-10
    impossible = F.ctc_loss(graphc.from_numpy(lp), graphc.tensor([1, 1, 1]), [4], [3])
    assert float(impossible) == math.inf


def test_ctc_second_order_and_module():
    x = graphc.randn(4, 2, 3, dtype=graphc.float64, requires_grad=True)
    loss = nn.CTCLoss(reduction="sum")
    targets = graphc.tensor([[1, 2], [2, 2]])

    def fn(x):
        return loss(x.log_softmax(2), targets, [4, 4], [2, 1])

    assert graphc.autograd.gradcheck(fn, (x,))
    assert graphc.autograd.gradgradcheck(fn, (x,))
    compiled = graphc.compile(fn, fullgraph=True)
    grads = []
    for f in (fn, compiled):
        x.grad = None
        f(x).backward()
        grads.append(x.grad)
    assert graphc.equal(*grads)


def told(fn):
    try:
        fn()
    except Exception as e:  # noqa: BLE001
        return type(e), str(e).splitlines()[0]
    return None, ""


@needs_torch
def test_errors():
    calls = [
        lambda f, t, z: f.ctc_loss(z(6, 2, 4), t, [6, 7], [3, 2]),
        lambda f, t, z: f.ctc_loss(z(6, 2, 4), t, [6, -1], [3, 2]),
        lambda f, t, z: f.ctc_loss(z(6, 2, 4), t, [6, 6], [3, -1]),
        lambda f, t, z: f.ctc_loss(z(6, 2, 4), t, [6, 6], [3, 4]),
        lambda f, t, z: f.ctc_loss(z(6, 2, 4), t, [6], [3, 2]),
        lambda f, t, z: f.ctc_loss(z(6, 2, 4), t, [6, 6], [3]),
        lambda f, t, z: f.ctc_loss(z(6, 2, 4), t, [6, 6], [3, 2], blank=4),
        lambda f, t, z: f.ctc_loss(z(6, 2, 4), t.reshape(-1)[:4], [6, 6], [3, 2]),
        lambda f, t, z: f.ctc_loss(z(6, 2, 4), t, [6, 6], [3, 2], reduction="x"),
        lambda f, t, z: f.ctc_loss(z(6, 2, 4).long(), t, [6, 6], [3, 2]),
        lambda f, t, z: f.multilabel_margin_loss(z(2, 4), t),
        lambda f, t, z: f.multilabel_margin_loss(z(2, 3), t + 1),
        lambda f, t, z: f.multilabel_margin_loss(z(2, 3), t - 3),
        lambda f, t, z: f.multilabel_margin_loss(z(2, 3), z(2, 3)),
        lambda f, t, z: f.multilabel_margin_loss(z(1, 2, 3), t[None]),
        lambda f, t, z: f.linear_cross_entropy(z(2, 2, 3), z(4, 3), t),
        lambda f, t, z: f.linear_cross_entropy(z(2, 3), z(3), t),
        lambda f, t, z: f.linear_cross_entropy(z(2, 3), z(4, 2), t),
        lambda f, t, z: f.linear_cross_entropy(z(2, 3), z(4, 3), t, linear_bias=z(3)),
    ]
    for call in calls:
        ours = told(lambda call=call: call(F, graphc.tensor([[1, 2, 2], [3, 1, 0]]), graphc.zeros))
        assert ours[0] is not None
        assert ours == told(
            lambda call=call: call(
                torch.nn.functional, torch.tensor([[1, 2, 2], [3, 1, 0]]), torch.zeros
            )
        )
    for args in ((8, 20, [5, 5]), (8, 20, []), (8, 20, [5, 25]), (8, 20, [20])):
        ours = told(lambda args=args: nn.AdaptiveLogSoftmaxWithLoss(*args))
        assert ours[0] is ValueError
        assert ours == told(lambda args=args: torch.nn.AdaptiveLogSoftmaxWithLoss(*args))
    for x, y in (((3, 8), [1, 2]), ((3, 8), [1, 2, 20]), ((3, 3, 8), [1, 2, 3]),
                 ((3, 8), [[1], [2], [3]]), ((3, 8), 1)):  # fmt: skip
        found = [
            told(
                lambda lib=lib, x=x, y=y: lib.nn.AdaptiveLogSoftmaxWithLoss(8, 20, [5, 9])(
                    lib.zeros(x), lib.tensor(y)
                )
            )
            for lib in (graphc, torch)
        ]
        assert found[0][0] is RuntimeError
        assert found[0] == found[1]


MULTI = np.array([[1, 2, -1, 0], [-1, 1, 1, 1], [1, 1, -1, 0], [2, 2, 2, 2]])


@needs_torch
def test_multilabel_margin():
    x = RNG.randn(4, 4)
    for reduction in ("none", "mean", "sum"):
        both(
            lambda lib, x, r=reduction: lib.nn.MultiLabelMarginLoss(reduction=r)(
                x, lib.from_numpy(MULTI.copy())
            ),
            x,
        )
    both(
        lambda lib, x: lib.nn.functional.multilabel_margin_loss(x, lib.tensor([3, 0, -1, 1])), x[0]
    )


def test_multilabel_margin_is_its_formula():
    x = np.array([0.1, 0.2, 0.4, 0.8])  # the example of the documentation: labels 3 and 0
    want = sum(max(0, 1 - (x[j] - x[i])) for j in (3, 0) for i in (1, 2)) / 4
    found = F.multilabel_margin_loss(graphc.from_numpy(x[None]), graphc.tensor([[3, 0, -1, 1]]))
    assert abs(float(found) - want) < 1e-12 and abs(want - 0.85) < 1e-12


def loaded(name, *args, **kwargs):
    torch.manual_seed(0)
    theirs = getattr(torch.nn, name)(*args, **kwargs).double()
    ours = getattr(nn, name)(*args, **kwargs).double()
    ours.load_state_dict({k: graphc.from_numpy(v.numpy()) for k, v in theirs.state_dict().items()})
    assert repr(ours) == repr(theirs)
    return {torch: theirs, graphc: ours}


@needs_torch
def test_adaptive_softmax():
    pairs = loaded("AdaptiveLogSoftmaxWithLoss", 16, 20, [4, 10], div_value=2.0, head_bias=True)
    x, labels = RNG.randn(8, 16), np.array([0, 3, 4, 9, 10, 19, 5, 1])
    found = []
    for lib, m in pairs.items():
        t = lib.from_numpy(x.copy()).requires_grad_()
        output, loss = m(t, lib.from_numpy(labels.copy()))
        (loss + output[2]).backward()
        single = m(t[0], lib.tensor(7))
        found.append(
            [
                output,
                loss,
                t.grad,
                *[p.grad for p in m.parameters()],
                m.log_prob(t),
                m.predict(t),
                *single,
            ]
        )
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(b.detach().numpy(), a.detach().numpy(), **TOL)


def test_adaptive_softmax_agrees_with_itself():
    m = nn.AdaptiveLogSoftmaxWithLoss(6, 12, [3, 7]).double()
    x, labels = graphc.randn(12, 6, dtype=graphc.float64), graphc.arange(12)
    full = m.log_prob(x)
    np.testing.assert_allclose(full.exp().sum(1).detach().numpy(), 1.0, rtol=1e-12)
    np.testing.assert_allclose(
        m(x, labels).output.detach().numpy(),
        full.gather(1, labels[:, None]).squeeze(1).detach().numpy(),
        **TOL,
    )
    assert m(x, labels).loss == -m(x, labels).output.mean()


@needs_torch
def test_linear_cross_entropy():
    x, w, b = RNG.randn(5, 3), RNG.randn(4, 3), RNG.randn(4)
    labels, probs = RNG.randint(0, 4, 5), RNG.rand(5, 4)

    def call(lib, x, w, b, y, **kwargs):
        return lib.nn.functional.linear_cross_entropy(
            x, w, lib.from_numpy(y.copy()), linear_bias=b, **kwargs
        )

    both(lambda lib, *t: call(lib, *t, labels, ignore_index=1, label_smoothing=0.1), x, w, b)
    both(lambda lib, *t: call(lib, *t, probs, reduction="sum"), x, w, b)
    both(lambda lib, *t: call(lib, *t, np.array(2)), x[0], w, b)
    both(
        lambda lib, *t: call(lib, *t, RNG_LABELS, reduction="none"),
        x,
        RNG.randn(4, 2, 3),
        RNG.randn(4, 2),
    )
    pairs = loaded("LinearCrossEntropyLoss", 3, 4, out_features=(2,), bias=True, reduction="sum")
    both(lambda lib, x: pairs[lib](x, lib.from_numpy(RNG_LABELS.copy())), x)


RNG_LABELS = np.random.RandomState(2).randint(0, 4, (5, 2))


@needs_torch
def test_old_names():
    with pytest.warns(FutureWarning, match="NLLLoss2d"):
        loss = nn.NLLLoss2d()
    lp = graphc.from_numpy(LP[None].swapaxes(1, 3).copy())
    labels = graphc.from_numpy(RNG.randint(0, 5, (1, 3, 7)))
    assert graphc.equal(loss(lp, labels), F.nll_loss(lp, labels))
    for size in (3, 4, 5):
        x = RNG.randn(2, 6, 3, 3)  # PyTorch's gradient is that of another window: values only
        found = [
            lib.nn.CrossMapLRN2d(size, 0.1, 0.7, 2)(lib.from_numpy(x.copy())).numpy()
            for lib in (torch, graphc)
        ]
        np.testing.assert_allclose(found[1], found[0], **TOL)
    assert repr(nn.CrossMapLRN2d(3)) == repr(torch.nn.CrossMapLRN2d(3))
    assert repr(nn.SyncBatchNorm(3)) == repr(torch.nn.SyncBatchNorm(3))


def test_sync_batch_norm_is_batch_norm():
    net = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Sequential(nn.BatchNorm1d(3)))
    net.eval()
    weight = net[1].weight
    synced = nn.SyncBatchNorm.convert_sync_batchnorm(net)
    assert type(synced[1]) is nn.SyncBatchNorm and type(synced[2][0]) is nn.SyncBatchNorm
    assert synced[1].weight is weight and not synced[1].training
    a, b = nn.BatchNorm1d(3), nn.SyncBatchNorm(3)
    for _ in range(3):
        x = graphc.randn(5, 3)
        assert graphc.equal(a(x), b(x))
    assert graphc.equal(a.running_var, b.running_var)
    with pytest.raises(ValueError, match="expected at least 2D input"):
        b(graphc.randn(3))
