"""Layers in compiled functions: the bits, the random stream and the module state of eager mode."""

import copy

import pytest

import graphc
import graphc.nn.functional as F
from graphc import nn


def equal(a, b):
    return bool(((a == b) | ((a != a) & (b != b))).all())


LAYERS = {
    "mlp": (lambda: nn.Sequential(nn.Linear(6, 5), nn.LayerNorm(5), nn.GELU(), nn.Dropout(0.2),
                                  nn.Linear(5, 3), nn.LogSoftmax(1)), (8, 6)),
    "batch norm": (lambda: nn.BatchNorm1d(6), (8, 6)),
    "cumulative batch norm": (lambda: nn.BatchNorm1d(6, momentum=None), (8, 6)),
    "instance norm": (lambda: nn.InstanceNorm2d(4, track_running_stats=True), (2, 4, 3, 3)),
    "dropout2d": (lambda: nn.Dropout2d(0.3), (2, 4, 3, 3)),
    "alpha dropout": (lambda: nn.AlphaDropout(0.3), (8, 6)),
    "rrelu": (nn.RReLU, (8, 6)),
    "group norm": (lambda: nn.GroupNorm(2, 4), (2, 4, 3, 3)),
    "reflection": (lambda: nn.ReflectionPad2d(1), (2, 4, 3, 3)),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYERS)
def test_layer(name):
    make, shape = LAYERS[name]
    graphc.manual_seed(0)
    with graphc.no_grad():
        eager = make()
        copied = copy.deepcopy(eager)
        compiled = graphc.compile(copied, fullgraph=True)
        for seed in range(3):
            x = graphc.randn(*shape)
            graphc.manual_seed(seed)
            expected = eager(x)
            graphc.manual_seed(seed)
            assert equal(compiled(x), expected)
            for a, b in zip(copied.buffers(), eager.buffers(), strict=True):
                assert equal(a, b)
        copied.eval()
        assert equal(compiled(x), eager.eval()(x))


FUNCTIONS = {
    "smoothed cross entropy": lambda x, y: F.cross_entropy(x, y, label_smoothing=0.1),
    "ignoring": lambda x, y: F.cross_entropy(x, y, ignore_index=2, reduction="sum"),
    "silu in place": lambda x, y: F.silu(x * 2, inplace=True),
    "causal attention": lambda x, y: F.scaled_dot_product_attention(x, x, x, is_causal=True),
    "embedding": lambda x, y: F.embedding(y, x, padding_idx=1),
    "one hot": lambda x, y: F.one_hot(y, 6),
    "gaussian": lambda x, y: F.gaussian_nll_loss(x, x * 2, x * x),
    "bce": lambda x, y: F.binary_cross_entropy(x.sigmoid(), x.sigmoid()),
    "normalize": lambda x, y: F.normalize(x),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function(name):
    fn = FUNCTIONS[name]
    x, y = graphc.randn(5, 6), graphc.tensor([0, 2, 4, 1, 3])
    with graphc.no_grad():
        assert equal(graphc.compile(fn, fullgraph=True)(x, y), fn(x, y))


def test_attributes_are_guarded():
    """A changed setting, layer or parameter shows in the next compiled call."""
    net = nn.Sequential(nn.Linear(3, 3), nn.LeakyReLU(0.1))
    compiled = graphc.compile(net, fullgraph=True)
    x = graphc.randn(4, 3)
    with graphc.no_grad():
        changes = [
            lambda: None,
            lambda: setattr(net[1], "negative_slope", 0.5),
            lambda: net.__setitem__(1, nn.Tanh()),
            lambda: net.append(nn.Dropout(0.5)),
            net.eval,
            lambda: net[0].weight.zero_(),
            lambda: setattr(net[0], "bias", None),
            lambda: net[0]._parameters.update(bias=nn.Parameter(graphc.ones(3))),
            lambda: net.register_forward_hook(lambda m, args, out: out + 1),
            net.double,
        ]
        for change in changes:
            change()
            t = x.to(net[0].weight.dtype)
            graphc.manual_seed(0)
            expected = net(t)
            graphc.manual_seed(0)
            assert equal(compiled(t), expected)
