"""Every layer: its repr, parameters and state as in PyTorch, and its value and gradient on equal
weights.

Tolerance: float64 on both sides, a few dozen roundings per element; 1e-10 separates rounding from
errors."""

import copy
import pickle
import warnings

import numpy as np
import pytest

import graphc
from graphc import nn

RNG = np.random.RandomState(1)
F2, F3, F4 = RNG.randn(4, 6), RNG.randn(2, 4, 6), RNG.randn(2, 4, 3, 6)
P2 = RNG.rand(4, 6) * 0.9 + 0.05
SIGNS = np.where(RNG.rand(4, 6) < 0.5, -1.0, 1.0)
INDEX = RNG.randint(0, 5, (2, 3))
LABELS = np.array([0, 5, 2, 1])

# name -> (positional arguments, keyword arguments, inputs)
LAYERS = {
    "Identity": ((1, 2), {"a": 3}, [F2]),
    "Linear": ((6, 3), {}, [F3]),
    "Linear no bias": ((6, 3), {"bias": False}, [F2]),
    "Bilinear": ((6, 6, 2), {}, [F2, F2[::-1].copy()]),
    "Threshold": ((0.1, 20), {}, [F2]),
    "ReLU": ((), {}, [F2]),
    "ReLU6": ((), {}, [F2 * 5]),
    "ReLU inplace": ((True,), {}, []),
    "Hardtanh": ((-0.5, 0.7), {}, [F2]),
    "Sigmoid": ((), {}, [F2]),
    "Hardsigmoid": ((), {}, [F2 * 4]),
    "Tanh": ((), {}, [F2]),
    "SiLU": ((), {}, [F2]),
    "Mish": ((), {}, [F2]),
    "Hardswish": ((), {}, [F2 * 4]),
    "ELU": ((0.5,), {}, [F2]),
    "CELU": ((1.0,), {}, [F2]),
    "SELU": ((), {}, [F2]),
    "GLU": ((), {}, [F2]),
    "GELU": ((), {}, [F2]),
    "GELU tanh": (("tanh",), {}, [F2]),
    "Hardshrink": ((), {}, [F2]),
    "Softshrink": ((), {}, [F2]),
    "LeakyReLU": ((0.3,), {}, [F2]),
    "LogSigmoid": ((), {}, [F2]),
    "Softplus": ((2.0, 5.0), {}, [F2]),
    "PReLU": ((), {}, [F2]),
    "PReLU per channel": ((4, 0.1), {}, [F3]),
    "Softsign": ((), {}, [F2]),
    "Tanhshrink": ((), {}, [F2]),
    "Softmax": ((0,), {}, [F2]),
    "LogSoftmax": ((1,), {}, [F2]),
    "Softmin": ((1,), {}, [F2]),
    "Softmax2d": ((), {}, [F4]),
    "LayerNorm": ((6,), {}, [F3]),
    "LayerNorm 2d": (((4, 6),), {"eps": 0.01}, [F3]),
    "LayerNorm no bias": ((6,), {"bias": False}, [F3]),
    "LayerNorm plain": ((6,), {"elementwise_affine": False}, [F3]),
    "RMSNorm": ((6,), {}, [F3]),
    "GroupNorm": ((2, 4), {}, [F4]),
    "LocalResponseNorm": ((2,), {}, [F4]),
    "BatchNorm1d": ((6,), {}, [F2]),
    "BatchNorm1d of sequences": ((4,), {"momentum": None}, [F3]),
    "BatchNorm2d": ((4,), {"affine": False}, [F4]),
    "BatchNorm2d untracked": ((4,), {"track_running_stats": False}, [F4]),
    "InstanceNorm1d": ((4,), {"affine": True}, [F3]),
    "InstanceNorm2d": ((4,), {"track_running_stats": True}, [F4]),
    "Embedding": ((5, 3), {"padding_idx": 1}, [INDEX]),
    "Embedding capped": ((5, 3), {"max_norm": 0.5, "scale_grad_by_freq": True}, [INDEX]),
    "Flatten": ((), {}, [F4]),
    "Flatten middle": ((1, 2), {}, [F4]),
    "Unflatten": ((1, (2, 3)), {}, [F2]),
    "CosineSimilarity": ((0,), {}, [F2, F2[::-1].copy()]),
    "PairwiseDistance": ((3.0,), {}, [F2, F2[::-1].copy()]),
    "PixelShuffle": ((2,), {}, [F4]),
    "PixelUnshuffle": ((3,), {}, [F4]),
    "ChannelShuffle": ((2,), {}, [F4]),
    "ZeroPad2d": ((1,), {}, [F4]),
    "ConstantPad1d": (((1, 2), 0.5), {}, [F3]),
    "ReflectionPad2d": ((1,), {}, [F4]),
    "ReplicationPad1d": (((2, 1),), {}, [F3]),
    "CircularPad2d": (((1, 2, 0, 1),), {}, [F4]),
    "Dropout": ((0.3,), {}, []),
    "Dropout1d": ((), {}, []),
    "Dropout2d": ((), {}, []),
    "AlphaDropout": ((), {}, []),
    "FeatureAlphaDropout": ((), {}, []),
    "RReLU": ((), {}, []),
    "L1Loss": ((), {}, [F2, P2]),
    "MSELoss": ((), {"reduction": "sum"}, [F2, P2]),
    "SmoothL1Loss": ((), {"beta": 0.5}, [F2, P2]),
    "HuberLoss": ((), {"delta": 0.5}, [F2, P2]),
    "BCELoss": ((), {}, [P2, P2[::-1].copy()]),
    "BCEWithLogitsLoss": ((), {}, [F2, P2]),
    "KLDivLoss": ((), {"reduction": "batchmean"}, [np.log(P2), P2[::-1].copy()]),
    "PoissonNLLLoss": ((), {}, [F2, P2]),
    "GaussianNLLLoss": ((), {}, [F2, F2[::-1].copy(), P2]),
    "NLLLoss": ((), {}, [F2, LABELS]),
    "CrossEntropyLoss": ((), {"label_smoothing": 0.1}, [F2, LABELS]),
    "CrossEntropyLoss ignoring": ((), {"ignore_index": 2}, [F2, LABELS]),
    "HingeEmbeddingLoss": ((), {}, [F2, SIGNS]),
    "SoftMarginLoss": ((), {}, [F2, SIGNS]),
    "MultiLabelSoftMarginLoss": ((), {}, [F2, P2]),
    "CosineEmbeddingLoss": ((0.1,), {}, [F2, P2, SIGNS[:, 0].copy()]),
    "MarginRankingLoss": ((0.1,), {}, [F2, P2, SIGNS]),
    "MultiMarginLoss": ((), {}, [F2, LABELS]),
    "TripletMarginLoss": ((), {"swap": True}, [F2, P2, P2[::-1].copy()]),
    "TripletMarginWithDistanceLoss": ((), {}, [F2, P2, P2[::-1].copy()]),
}
# PyTorch keeps a float32 constant inside these two.
TOLERANCE = {"Hardsigmoid": 1e-6, "CELU": 1e-6}


def make(lib, name):
    args, kwargs, _ = LAYERS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        layer = getattr(lib.nn, name.split()[0])(*args, **kwargs)
    return layer


def fill(lib, layer):
    """Equal float64 values in both libraries."""
    layer.double()
    rng = np.random.RandomState(5)
    for t in layer.parameters():
        with lib.no_grad():
            t.copy_(lib.tensor((rng.randn(*t.shape) * 0.5 + 0.2).tolist(), dtype=lib.float64))
    return layer


def inputs(lib, name):
    """The layer's inputs; all floating ones need gradients, of a loss only the first."""
    out = []
    for i, a in enumerate(LAYERS[name][2]):
        floating = a.dtype.kind == "f"
        t = lib.tensor(a.tolist(), dtype=lib.float64 if floating else lib.int64)
        out.append(t.requires_grad_() if floating and (i == 0 or "Loss" not in name) else t)
    return out


def run(lib, name):
    """Outputs in training and evaluation mode, gradients, state afterwards."""
    layer = fill(lib, make(lib, name))
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for mode in (True, False):
            layer.train(mode)
            xs = inputs(lib, name)
            out = layer(*xs)
            layer.zero_grad()
            if out.requires_grad:
                weight = np.cos(np.arange(int(np.prod(out.shape)))).reshape(tuple(out.shape))
                (out * lib.tensor(weight.tolist(), dtype=lib.float64)).sum().backward()
            found.append(out.detach().numpy())
            found += [x.grad.numpy() for x in xs if x.grad is not None]
            found += [p.grad.numpy() for p in layer.parameters() if p.grad is not None]
    return found + [t.numpy() for t in layer.state_dict().values()]


@pytest.mark.parametrize("name", LAYERS)
def test_against_pytorch(name):
    torch = pytest.importorskip("torch")
    ours, theirs = make(graphc, name), make(torch, name)
    assert repr(ours) == repr(theirs)
    assert [(k, tuple(v.shape), str(v.dtype)) for k, v in ours.state_dict().items()] == [
        (k, tuple(v.shape), str(v.dtype)) for k, v in theirs.state_dict().items()
    ]
    public = {k for k in theirs.__dict__ if not k.startswith("_")}
    assert public <= set(ours.__dict__)
    if not LAYERS[name][2]:
        return
    tol = TOLERANCE.get(name, 1e-10)
    got, wanted = run(graphc, name), run(torch, name)
    assert len(got) == len(wanted)
    for a, b in zip(got, wanted, strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=tol, atol=tol)


@pytest.mark.parametrize("name", LAYERS)
def test_copy_and_pickle(name):
    layer = make(graphc, name)
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert repr(other) == repr(layer)
        assert other.load_state_dict(layer.state_dict()).missing_keys == []


def test_linear_shapes_and_errors():
    layer = nn.Linear(2, 3)
    assert layer(graphc.ones(2)).shape == (3,)
    assert layer(graphc.ones(5, 4, 2)).shape == (5, 4, 3)
    assert nn.Linear(2, 3, dtype=graphc.float64).weight.dtype is graphc.float64
    with pytest.raises(
        RuntimeError, match=r"mat1 and mat2 shapes cannot be multiplied \(1x3 and 2x3\)"
    ):
        layer(graphc.ones(1, 3))
    with pytest.raises(ValueError, match="in1_features must be > 0, but got 0"):
        nn.Bilinear(0, 1, 1)


def test_dropout_layers():
    graphc.manual_seed(0)
    x = graphc.ones(100, 100)
    layer = nn.Dropout(0.25)
    y = layer(x)
    values = np.unique(y.numpy())
    assert values.tolist() == [0.0, np.float32(1 / 0.75)]
    # 10,000 draws of probability 0.25: deviation 0.0043, five of them 0.022
    assert abs((y == 0).float().mean().item() - 0.25) < 0.022
    assert layer.eval()(x) is x
    graphc.manual_seed(0)
    assert (nn.Dropout(0.25)(x) == y).all()
    assert (nn.Dropout(1.0)(x) == 0).all() and nn.Dropout(0.0)(x) is x
    channels = nn.Dropout2d(0.5)(graphc.ones(20, 30, 4, 4))
    per_channel = channels.sum((2, 3))
    assert set(np.unique(per_channel.numpy())) == {0.0, 32.0}
    z = graphc.randn(200, 200)
    dropped = nn.AlphaDropout(0.3)(z)
    assert abs(dropped.mean().item()) < 0.05 and abs(dropped.std().item() - 1) < 0.05
    target = graphc.ones(4)
    assert nn.Dropout(0.5, inplace=True)(target) is target
    with pytest.raises(
        ValueError, match="dropout probability has to be between 0 and 1, but got 1.5"
    ):
        nn.Dropout(1.5)


def test_embedding_errors():
    table = nn.Embedding(3, 2)
    with pytest.raises(IndexError, match="index out of range in self"):
        table(graphc.tensor([3]))
    with pytest.raises(
        RuntimeError, match="Expected tensor for argument #1 'indices' to have one of"
    ):
        table(graphc.tensor([0.5]))
    with pytest.raises(RuntimeError, match="no sparse gradients"):
        nn.Embedding(3, 2, sparse=True)(graphc.tensor([1]))
    frozen = nn.Embedding.from_pretrained(graphc.ones(2, 2))
    assert not frozen.weight.requires_grad and frozen(graphc.tensor([1])).tolist() == [[1.0, 1.0]]
    with pytest.raises(AssertionError, match="Padding_idx must be within num_embeddings"):
        nn.Embedding(3, 2, padding_idx=3)


def test_batch_norm_statistics():
    norm = nn.BatchNorm1d(2, momentum=0.5)
    with pytest.raises(
        ValueError,
        match=r"Expected more than 1 value per channel when training, got input "
        r"size torch.Size\(\[1, 2\]\)",
    ):
        norm(graphc.ones(1, 2))
    x = graphc.tensor([[1.0, 2.0], [3.0, 6.0]])
    norm(x)
    assert norm.running_mean.tolist() == [1.0, 2.0]
    assert norm.running_var.tolist() == [1.5, 4.5]  # half of the unbiased 2 and 8, half of 1
    assert norm.num_batches_tracked.item() == 2 and norm.num_batches_tracked.dtype is graphc.int64
    with pytest.raises(ValueError, match=r"expected 2D or 3D input \(got 1D input\)"):
        norm(graphc.ones(2))


def test_errors_of_losses():
    x = graphc.zeros(3, 4)
    loss = nn.CrossEntropyLoss()
    cases = [
        (IndexError, r"Target 9 is out of bounds\.", lambda: loss(x, graphc.tensor([0, 9, 1]))),
        (IndexError, r"Target -1 is out of bounds\.", lambda: loss(x, graphc.tensor([0, -1, 1]))),
        (
            RuntimeError,
            "expected target dtype to be Long or Byte, but got Float",
            lambda: loss(x, graphc.tensor([0.0, 1.0, 2.0])),
        ),
        (
            ValueError,
            r"Expected input batch_size \(3\) to match target batch_size \(2\)\.",
            lambda: loss(x, graphc.tensor([0, 1])),
        ),
        (
            RuntimeError,
            "Expected floating point type for target with class probabilities, got Long",
            lambda: loss(x, graphc.zeros(3, 4, dtype=graphc.int64)),
        ),
        (
            RuntimeError,
            r"label_smoothing must be between 0.0 and 1.0. Got: 1.5",
            lambda: nn.CrossEntropyLoss(label_smoothing=1.5)(x, graphc.tensor([0, 1, 2])),
        ),
        (
            ValueError,
            "half is not a valid value for reduction",
            lambda: nn.MSELoss(reduction="half")(x, x),
        ),
        (
            RuntimeError,
            "all elements of input should be between 0 and 1",
            lambda: nn.BCELoss()(x + 2, x),
        ),
        (
            ValueError,
            "margin must be greater than 0",
            lambda: nn.functional.triplet_margin_loss(x, x, x, margin=0),
        ),
    ]
    for kind, text, call in cases:
        with pytest.raises(kind, match=text):
            call()


def test_warnings():
    with pytest.warns(
        UserWarning, match=r"Using a target size \(torch.Size\(\[3\]\)\) that is different"
    ):
        nn.MSELoss()(graphc.zeros(2, 3), graphc.zeros(3))
    with pytest.warns(
        UserWarning, match="Implicit dimension choice for softmax has been deprecated"
    ):
        nn.Softmax()(graphc.zeros(2, 3))
    with pytest.warns(UserWarning, match="please use reduction='sum' instead"):
        assert nn.L1Loss(size_average=False).reduction == "sum"


def test_import_paths():
    from graphc.nn.modules.activation import ReLU
    from graphc.nn.modules.batchnorm import _BatchNorm
    from graphc.nn.modules.utils import _ntuple, _pair, _single, _triple
    from graphc.nn.parameter import Parameter

    assert ReLU is nn.ReLU and Parameter is nn.Parameter and issubclass(nn.BatchNorm1d, _BatchNorm)
    assert _pair(3) == (3, 3) and _pair([1, 2]) == (1, 2) and _single(1) == (1,)
    assert _triple(2) == (2, 2, 2) and _ntuple(2)((4, 5)) == (4, 5)
    assert nn.modules.module.Module is nn.Module and nn.modules.Linear is nn.Linear
