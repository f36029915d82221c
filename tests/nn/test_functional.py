"""Functions of graphc.nn.functional against PyTorch: values and gradients in float64 on equal
inputs.

Tolerance: both sides work in float64 with a few dozen roundings per element, so 1e-10 relative to
values of order one is far above rounding and far below any difference in formula."""

# ruff: noqa: B023 (every lambda runs before its loop goes on)

import math
import warnings

import numpy as np
import pytest

import graphc
import graphc.nn.functional as GF

torch = pytest.importorskip("torch")
TF = torch.nn.functional

RNG = np.random.RandomState(0)
X = RNG.randn(4, 6) * 2
X3 = RNG.randn(2, 4, 5)
X4 = RNG.randn(2, 4, 3, 5)
EDGES = np.array([-3.0, -1.0, -0.5, -0.0, 0.0, 0.25, 0.5, 1.0, 3.0, 6.0, 19.0, 25.0])
P = RNG.rand(4, 6) * 0.98 + 0.01
ONE = np.where(RNG.rand(4, 6) < 0.5, -1.0, 1.0)
LABELS = np.array([0, 5, 2, 2])
LABELS4 = RNG.randint(0, 4, (2, 3, 5))
W6 = RNG.rand(6) + 0.5
T = RNG.randn(4, 6)


class Both:
    """Runs fn(F, library, *tensors) in both libraries and compares value and gradients."""

    def __call__(self, fn, *arrays, tol=1e-10):
        results = [self.run(fn, lib, F, arrays) for lib, F in ((graphc, GF), (torch, TF))]
        for ours, theirs in zip(*results, strict=True):
            assert ours.shape == theirs.shape
            np.testing.assert_allclose(ours, theirs, rtol=tol, atol=tol)

    @staticmethod
    def run(fn, lib, F, arrays):
        tensors = [
            lib.tensor(a.tolist(), dtype=lib.float64 if a.dtype.kind == "f" else lib.int64)
            for a in arrays
        ]
        for t in tensors:
            if t.is_floating_point():
                t.requires_grad_()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            out = fn(F, lib, *tensors)
        if out.requires_grad:
            weights = np.cos(np.arange(max(1, math.prod(out.shape)))).reshape(tuple(out.shape))
            (out * lib.tensor(weights.tolist(), dtype=lib.float64)).sum().backward()
        grads = [t.grad.numpy() for t in tensors if t.is_floating_point() and t.grad is not None]
        return [out.detach().numpy(), *grads]


both = Both()

ACTIVATIONS = {
    "relu": {},
    "relu6": {},
    "sigmoid": {},
    "tanh": {},
    "silu": {},
    "mish": {},
    "gelu": {},
    "selu": {},
    "logsigmoid": {},
    "softsign": {},
    "tanhshrink": {},
    "hardsigmoid": {},
    "hardswish": {},
    "hardtanh": {},
    "elu": {"alpha": 0.7},
    "celu": {"alpha": 1.3},
    "leaky_relu": {"negative_slope": 0.2},
    "softplus": {},
    "softshrink": {"lambd": 0.4},
    "hardshrink": {"lambd": 0.4},
    "rrelu": {},
    "threshold": {"threshold": 0.25, "value": -2.0},
}


# PyTorch keeps 1/6 and 1/alpha of these two as float32 constants: 6e-8 relative, and more
# where the exponential amplifies it.
TOLERANCE = {"hardsigmoid": 1e-6, "celu": 1e-6}


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("x", [X, EDGES], ids=["random", "edges"])
def test_activation(name, x):
    both(
        lambda F, lib, t: getattr(F, name)(t, **ACTIVATIONS[name]),
        x,
        tol=TOLERANCE.get(name, 1e-10),
    )


@pytest.mark.parametrize(
    "kwargs", [{"beta": 2.0}, {"beta": 0.5, "threshold": 3.0}, {"threshold": 30.0}]
)
def test_softplus_settings(kwargs):
    both(lambda F, lib, t: F.softplus(t, **kwargs), EDGES)


def test_gelu_tanh_glu_prelu():
    both(lambda F, lib, t: F.gelu(t, approximate="tanh"), X)
    both(lambda F, lib, t: F.glu(t, 0), X)
    both(lambda F, lib, t, w: F.prelu(t, w), X3, np.array([0.1, 0.2, 0.3, -0.4]))
    both(lambda F, lib, t, w: F.prelu(t, w), X, np.array([0.1]))


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "softmin"])
@pytest.mark.parametrize("dim", [0, 1, -1])
def test_softmax_family(name, dim):
    both(lambda F, lib, t: getattr(F, name)(t, dim), X3)


INPLACE = [
    "relu",
    "relu6",
    "silu",
    "mish",
    "selu",
    "celu",
    "elu",
    "leaky_relu",
    "hardtanh",
    "hardsigmoid",
    "hardswish",
]


@pytest.mark.parametrize("name", INPLACE)
def test_inplace(name):
    """The input takes the result and its history; the gradients are those of the plain call."""

    def run(F, lib, t):
        y = t * 1.5
        out = getattr(F, name)(y, inplace=True)
        assert out is y
        return y * y

    both(run, X, tol=TOLERANCE.get(name, 1e-10))


REDUCTIONS = ["mean", "sum", "none"]
PAIRS = {
    "mse_loss": ({}, X, T),
    "l1_loss": ({}, X, T),
    "smooth_l1_loss": ({"beta": 0.7}, X, T),
    "huber_loss": ({"delta": 0.8}, X, T),
    "binary_cross_entropy": ({}, P, P[::-1].copy()),
    "binary_cross_entropy_with_logits": ({}, X, P),
    "kl_div": ({}, np.log(P), P[::-1].copy()),
    "soft_margin_loss": ({}, X, ONE),
    "hinge_embedding_loss": ({"margin": 0.6}, X, ONE),
    "poisson_nll_loss": ({"full": True}, X, np.abs(T) * 3),
    "multilabel_soft_margin_loss": ({}, X, P),
}


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("name", PAIRS)
def test_pair_losses(name, reduction):
    kwargs, x, t = PAIRS[name]
    targets_fixed = name in (
        "soft_margin_loss",
        "hinge_embedding_loss",
        "poisson_nll_loss",
        "multilabel_soft_margin_loss",
    )

    def run(F, lib, a, b):
        return getattr(F, name)(
            a, b.detach() if targets_fixed else b, reduction=reduction, **kwargs
        )

    both(run, x, t)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_weights_of_losses(reduction):
    for name in ("mse_loss", "l1_loss", "huber_loss"):
        both(
            lambda F, lib, a, b, w: getattr(F, name)(a, b, reduction=reduction, weight=w.detach()),
            X,
            T,
            np.abs(X) + 0.1,
        )
    both(
        lambda F, lib, a, b, w: F.binary_cross_entropy(
            a, b.detach(), weight=w.detach(), reduction=reduction
        ),
        P,
        P[::-1].copy(),
        W6,
    )
    both(
        lambda F, lib, a, b, w: F.binary_cross_entropy_with_logits(
            a, b.detach(), weight=w.detach(), pos_weight=w.detach() * 2, reduction=reduction
        ),
        X,
        P,
        W6,
    )


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_margin_losses(reduction):
    r = {"reduction": reduction}
    both(
        lambda F, lib, a, b: F.margin_ranking_loss(a, b, lib.tensor(ONE.tolist()), margin=0.3, **r),
        X,
        T,
    )
    both(
        lambda F, lib, a, b: F.cosine_embedding_loss(
            a, b, lib.tensor([1, -1, 1, -1]), margin=0.1, **r
        ),
        X,
        T,
    )
    for p in (1, 2):
        both(
            lambda F, lib, a: F.multi_margin_loss(
                a, lib.tensor(LABELS.tolist()), p=p, margin=0.7, **r
            ),
            X,
        )
    for swap in (False, True):
        both(lambda F, lib, a, b, c: F.triplet_margin_loss(a, b, c, swap=swap, **r), X, T, P)
        both(
            lambda F, lib, a, b, c: F.triplet_margin_with_distance_loss(a, b, c, swap=swap, **r),
            X,
            T,
            P,
        )
    both(lambda F, lib, a, b, v: F.gaussian_nll_loss(a, b, v, full=True, **r), X, T, P)
    both(lambda F, lib, a, b, v: F.gaussian_nll_loss(a, b, v, **r), X, T, P[:, 0].copy())
    both(
        lambda F, lib, a, b: F.kl_div(a, b, log_target=True, **r), np.log(P), np.log(P[::-1].copy())
    )
    both(
        lambda F, lib, a: F.poisson_nll_loss(
            a, lib.tensor(P.tolist(), dtype=lib.float64), log_input=False, **r
        ),
        P,
    )


def test_kl_batchmean():
    both(
        lambda F, lib, a, b: F.kl_div(a, b.detach(), reduction="batchmean"),
        np.log(P),
        P[::-1].copy(),
    )


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("ignore", [-100, 2])
def test_cross_entropy(reduction, smoothing, weighted, ignore):
    def run(F, lib, x, w, labels):
        return F.cross_entropy(
            x,
            labels,
            weight=w.detach() if weighted else None,
            reduction=reduction,
            label_smoothing=smoothing,
            ignore_index=ignore,
        )

    both(run, X, W6, LABELS)
    both(run, X4, W6[:4], LABELS4)  # images
    both(run, X3, W6[:4], LABELS4[:, 0])  # sequences
    both(run, X[0], W6, np.array(5))  # one unbatched row


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weighted", [False, True])
def test_cross_entropy_with_probabilities(reduction, smoothing, weighted):
    def run(F, lib, x, t, w):
        return F.cross_entropy(
            x,
            t,
            weight=w.detach() if weighted else None,
            reduction=reduction,
            label_smoothing=smoothing,
        )

    both(run, X, P, W6)
    both(run, X3, np.abs(X3), W6[:4])
    both(run, X[0], P[0], W6)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("ignore", [-100, 2])
def test_nll_loss(reduction, weighted, ignore):
    def run(F, lib, x, w, labels):
        return F.nll_loss(
            x,
            labels,
            weight=w.detach() if weighted else None,
            reduction=reduction,
            ignore_index=ignore,
        )

    both(run, X, W6, LABELS)
    both(run, X4, W6[:4], LABELS4)


def test_cross_entropy_without_rows():
    nothing = graphc.tensor([1, 1], dtype=graphc.int64)
    assert math.isnan(GF.cross_entropy(graphc.zeros(2, 3), nothing, ignore_index=1).item())
    empty = graphc.zeros(0, dtype=graphc.int64)
    assert math.isnan(GF.cross_entropy(graphc.zeros(0, 3), empty).item())
    assert GF.nll_loss(graphc.zeros(0, 3), empty, reduction="sum").item() == 0.0
    bytes_ = graphc.tensor([0, 2], dtype=graphc.uint8)
    assert GF.cross_entropy(graphc.zeros(2, 3), bytes_).item() == pytest.approx(
        math.log(3), rel=1e-6
    )


def test_normalisations():
    both(lambda F, lib, x, w, b: F.layer_norm(x, (6,), w, b), X, W6, T[0].copy())
    both(lambda F, lib, x: F.layer_norm(x, (4, 5), eps=1e-3), X3)
    both(lambda F, lib, x, w: F.layer_norm(x, (6,), w), X, W6)
    both(lambda F, lib, x, b: F.layer_norm(x, (6,), None, b), X, W6)
    both(lambda F, lib, x, w: F.rms_norm(x, (6,), w), X, W6)
    both(lambda F, lib, x: F.rms_norm(x, (4, 5), eps=1e-3), X3)
    both(lambda F, lib, x, w, b: F.group_norm(x, 2, w, b), X4, W6[:4], T[0][:4].copy())
    both(lambda F, lib, x: F.local_response_norm(x, 3, alpha=0.1), X4)
    both(lambda F, lib, x: F.instance_norm(x), X4)
    for p in (1.0, 2.0, 3.0, math.inf):
        both(lambda F, lib, x: F.normalize(x, p=p, dim=0), X)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("x", [X, X3, X4], ids=["2d", "3d", "4d"])
def test_batch_norm(training, x):
    c = x.shape[1]

    def run(F, lib, x, w, b):
        mean = lib.full((c,), 0.1, dtype=lib.float64)
        var = lib.full((c,), 1.7, dtype=lib.float64)
        out = F.batch_norm(x, mean, var, w, b, training, 0.2)
        assert not mean.requires_grad
        return lib.cat([out.reshape(-1), mean, var])

    both(run, x, W6[:c].copy(), T[0][:c].copy())


def test_distances():
    both(lambda F, lib, a, b: F.cosine_similarity(a, b), X, T)
    both(lambda F, lib, a, b: F.cosine_similarity(a, b, dim=0), X, T)
    for p in (1.0, 2.0, 3.0, math.inf):
        both(lambda F, lib, a, b: F.pairwise_distance(a, b, p), X, T)
    both(lambda F, lib, a, b: F.pairwise_distance(a, b, keepdim=True), X, T)
    zero = graphc.zeros(1, 3, requires_grad=True)
    GF.normalize(zero).sum().backward()
    assert GF.cosine_similarity(zero, graphc.ones(1, 3)).tolist() == [0.0]


def test_linear_and_bilinear():
    both(lambda F, lib, x, w, b: F.linear(x, w, b), X3, RNG.randn(3, 5), RNG.randn(3))
    both(lambda F, lib, x, w: F.linear(x, w), X[0], RNG.randn(3, 6))
    both(
        lambda F, lib, a, b, w, c: F.bilinear(a, b, w, c),
        X,
        RNG.randn(4, 3),
        RNG.randn(2, 6, 3),
        RNG.randn(2),
    )


def test_embedding():
    table, index = RNG.randn(7, 3), np.array([[0, 6, 3], [3, 3, 1]])
    both(lambda F, lib, w, i: F.embedding(i, w), table, index)
    both(lambda F, lib, w, i: F.embedding(i, w, padding_idx=3), table, index)
    both(lambda F, lib, w, i: F.embedding(i, w, padding_idx=-4), table, index)
    both(lambda F, lib, w, i: F.embedding(i, w, scale_grad_by_freq=True), table, index)
    for norm in (1.0, 2.0):
        ours, theirs = graphc.tensor(table.tolist()), torch.tensor(table.tolist())
        a = GF.embedding(graphc.tensor(index.tolist()), ours, max_norm=0.9, norm_type=norm)
        b = TF.embedding(torch.tensor(index.tolist()), theirs, max_norm=0.9, norm_type=norm)
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-6)  # float32, a few roundings
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-6)


@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate", "circular"])
def test_pad(mode):
    both(lambda F, lib, x: F.pad(x, (2, 1), mode=mode), X3)
    both(lambda F, lib, x: F.pad(x, (2, 1, 0, 2), mode=mode), X4)
    if mode == "constant":
        both(lambda F, lib, x: F.pad(x, (-1, 2, 1, -2), value=0.5), X)


def test_shuffles_and_one_hot():
    both(lambda F, lib, x: F.pixel_shuffle(x, 2), X4)
    both(lambda F, lib, x: F.pixel_unshuffle(F.pixel_shuffle(x, 2), 2), X4)
    both(lambda F, lib, x: F.channel_shuffle(x, 2), X4)
    both(lambda F, lib, i: F.one_hot(i), LABELS4)
    both(lambda F, lib, i: F.one_hot(i, 9), LABELS4)


@pytest.mark.parametrize("kwargs", [{}, {"is_causal": True}, {"scale": 0.3}])
def test_attention(kwargs):
    q, k, v = RNG.randn(2, 3, 4, 5), RNG.randn(2, 3, 4, 5), RNG.randn(2, 3, 4, 6)
    both(lambda F, lib, q, k, v: F.scaled_dot_product_attention(q, k, v, **kwargs), q, k, v)


def test_attention_masks():
    q, k, v = RNG.randn(2, 4, 5), RNG.randn(2, 3, 5), RNG.randn(2, 3, 6)
    mask = np.array([[1, 0, 1], [0, 0, 0], [1, 1, 1], [0, 1, 0]], bool)
    both(
        lambda F, lib, q, k, v: F.scaled_dot_product_attention(
            q, k, v, attn_mask=lib.tensor(mask.tolist())
        ),
        q,
        k,
        v,
    )
    both(
        lambda F, lib, q, k, v, m: F.scaled_dot_product_attention(q, k, v, attn_mask=m),
        q,
        k,
        v,
        RNG.randn(4, 3),
    )
    out = GF.scaled_dot_product_attention(
        *[graphc.tensor(a.tolist()) for a in (q, k, v)], attn_mask=graphc.tensor(mask.tolist())
    )
    assert (out[:, 1] == 0).all()
    heads = [RNG.randn(1, 4, 3, 5), RNG.randn(1, 2, 3, 5), RNG.randn(1, 2, 3, 5)]
    both(lambda F, lib, q, k, v: F.scaled_dot_product_attention(q, k, v, enable_gqa=True), *heads)


NAMES = sorted({*ACTIVATIONS, "glu"})


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", ["int64", "bool"])
def test_activation_of_integers(name, dtype):
    """Results and refusals of integer and bool inputs."""
    if (name, dtype) in (("tanhshrink", "bool"), ("softsign", "bool"), ("threshold", "bool")):
        pytest.skip("refused by the arithmetic inside, with its own text")
    found = []
    for lib, F in ((graphc, GF), (torch, TF)):
        x = lib.tensor([1, -2] if dtype == "int64" else [True, False])
        try:
            out = getattr(F, name)(x, **ACTIVATIONS.get(name, {}))
            found.append((str(out.dtype), [round(v, 5) for v in out.tolist()]))
        except Exception as error:
            found.append((type(error), str(error)))
    assert found[0] == found[1]


def test_warnings_show_the_users_line():
    """Also through modules and decorated functions."""
    x = graphc.ones(2, 3)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        GF.mse_loss(x, x[:1])
        graphc.nn.MSELoss()(x, x[:1])
        GF.softmax(x)
        graphc.nn.Softmax()(x)
        GF.l1_loss(x, x, reduce=False)
    assert len(found) == 5 and {w.filename for w in found} == {__file__}
    assert len({w.lineno for w in found}) == 5
