"""Initialisers: exact for the structured ones, distribution checks for the random ones.

Bounds of the random checks: the mean of n numbers of deviation s lies within 5 s / sqrt(n) of its
expectation, their deviation within 5 s / sqrt(2 n) of s (normal numbers), except once in a million
seeds; the seed is fixed."""

import math
import statistics
import warnings

import numpy as np
import pytest

import graphc
from graphc import nn
from graphc.nn import init

SHAPE = (200, 200)


def filled(fn, *args, shape=SHAPE, dtype=graphc.float32, **kwargs):
    graphc.manual_seed(0)
    t = graphc.empty(*shape, dtype=dtype)
    assert fn(t, *args, **kwargs) is t
    assert not t.requires_grad
    return t.numpy()


def check(values, mean, std, low=-math.inf, high=math.inf):
    assert abs(values.mean() - mean) < 5 * std / math.sqrt(values.size)
    assert abs(values.std() - std) < 5 * std / math.sqrt(2 * values.size)
    assert low <= values.min() and values.max() <= high


def test_uniform_and_normal():
    check(filled(init.uniform_, -1.0, 3.0), 1.0, 4 / math.sqrt(12), -1, 3)
    check(filled(init.normal_, 2.0, 0.5), 2.0, 0.5)


def test_fan_scaled():
    bound = math.sqrt(6 / 400)
    check(filled(init.xavier_uniform_), 0, bound / math.sqrt(3), -bound, bound)
    check(filled(init.xavier_normal_, gain=2.0), 0, 2 * math.sqrt(2 / 400))
    bound = math.sqrt(2 / (1 + 0.25)) * math.sqrt(3 / 200)
    check(filled(init.kaiming_uniform_, a=0.5), 0, bound / math.sqrt(3), -bound, bound)
    # 100 output channels of 4 inputs times a field of 100: fan_out 10,000, fan_in 400
    t = filled(init.kaiming_normal_, mode="fan_out", nonlinearity="relu", shape=(100, 4, 10, 10))
    check(t, 0, math.sqrt(2 / 10000))


@pytest.mark.parametrize(
    "bounds", [(-2.0, 2.0), (-0.5, 0.25), (1.0, 4.0), (3.0, 5.0), (-8.0, -3.0)]
)
def test_truncated_normal(bounds):
    """Mean and deviation against the closed form of the truncated normal distribution."""
    a, b = bounds
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        values = filled(
            init.trunc_normal_, 0.5, 2.0, 0.5 + 2 * a, 0.5 + 2 * b, dtype=graphc.float64
        )
    normal = statistics.NormalDist()
    z = 0.5 * (math.erfc(a / math.sqrt(2)) - math.erfc(b / math.sqrt(2)))
    m = (normal.pdf(a) - normal.pdf(b)) / z
    v = 1 + (a * normal.pdf(a) - b * normal.pdf(b)) / z - m * m
    # a tail is skewed: its deviation scatters up to twice as much as a normal's
    assert abs(values.mean() - (0.5 + 2 * m)) < 0.025 * 2 * math.sqrt(v)
    assert abs(values.std() - 2 * math.sqrt(v)) < 0.04 * 2 * math.sqrt(v)
    assert 0.5 + 2 * a <= values.min() and values.max() <= 0.5 + 2 * b


def test_normal_quantile():
    """The inverse against Python's own, to 1e-13 (two implementations of one formula)."""
    points = [1e-300, 1e-20, 1e-9, 0.001, 0.07, 0.075, 0.3, 0.5, 0.6, 0.925, 0.93, 0.999]
    ours = init._normal_quantile(graphc.tensor(points, dtype=graphc.float64)).numpy()
    inverse = statistics.NormalDist().inv_cdf
    np.testing.assert_allclose(ours, [inverse(p) for p in points], rtol=1e-13, atol=1e-15)


def test_truncated_normal_warns():
    with pytest.warns(UserWarning, match="mean is more than 2 std from"):
        init.trunc_normal_(graphc.empty(3), 0.0, 1.0, 3.0, 4.0)


def test_constants():
    assert (filled(init.constant_, 0.3) == np.float32(0.3)).all()
    assert (filled(init.ones_) == 1).all() and (filled(init.zeros_) == 0).all()
    assert (filled(init.eye_, shape=(3, 5)) == np.eye(3, 5)).all()
    with pytest.raises(ValueError, match="Only tensors with 2 dimensions are supported"):
        init.eye_(graphc.empty(3))


def test_dirac():
    t = filled(init.dirac_, shape=(4, 2, 3, 3), groups=2)
    expected = np.zeros((4, 2, 3, 3))
    for g in range(2):
        for d in range(2):
            expected[2 * g + d, d, 1, 1] = 1
    assert (t == expected).all()
    with pytest.raises(ValueError, match="dim 0 must be divisible by groups"):
        init.dirac_(graphc.empty(3, 2, 3), groups=2)
    with pytest.raises(ValueError, match="Only tensors with 3, 4, or 5 dimensions"):
        init.dirac_(graphc.empty(3, 2))


@pytest.mark.parametrize("shape", [(20, 20), (10, 30), (30, 10), (6, 2, 3)])
def test_orthogonal(shape):
    t = filled(init.orthogonal_, gain=2.0, shape=shape, dtype=graphc.float64)
    m = t.reshape(shape[0], -1)
    product = m @ m.T if m.shape[0] <= m.shape[1] else m.T @ m
    # QR gives orthogonality to about n * 2**-53
    np.testing.assert_allclose(product, 4 * np.eye(len(product)), atol=1e-13)
    with pytest.raises(ValueError, match="Only tensors with 2 or more dimensions"):
        init.orthogonal_(graphc.empty(3))


def test_sparse():
    t = filled(init.sparse_, 0.3, 0.5, shape=(10, 400), dtype=graphc.float64)
    assert ((t == 0).sum(0) == 3).all()
    assert len({tuple(c) for c in (t == 0).T.tolist()}) > 50
    check(t[t != 0], 0, 0.5, -4, 4)


def test_generator_and_seed():
    g = graphc.Generator()
    a = init.normal_(graphc.empty(5), generator=g.manual_seed(3)).tolist()
    assert init.normal_(graphc.empty(5), generator=g.manual_seed(3)).tolist() == a
    graphc.manual_seed(1)
    first = nn.Linear(3, 3).weight.tolist()
    graphc.manual_seed(1)
    assert nn.Linear(3, 3).weight.tolist() == first


def test_parameters_are_filled_in_place():
    p = nn.Parameter(graphc.empty(2, 2))
    init.xavier_normal_(p)
    assert p.is_leaf and p.requires_grad and p.grad_fn is None


def test_gains():
    assert init.calculate_gain("linear") == init.calculate_gain("sigmoid") == 1
    assert init.calculate_gain("tanh") == 5 / 3
    assert init.calculate_gain("relu") == math.sqrt(2)
    assert init.calculate_gain("leaky_relu", 0.2) == math.sqrt(2 / 1.04)
    assert init.calculate_gain("leaky_relu") == math.sqrt(2 / 1.0001)
    assert init.calculate_gain("selu") == 0.75
    with pytest.raises(ValueError, match="Unsupported nonlinearity gelu"):
        init.calculate_gain("gelu")
    with pytest.raises(ValueError, match="negative_slope True not a valid number"):
        init.calculate_gain("leaky_relu", True)


def test_errors():
    with pytest.raises(
        ValueError, match="Fan in and fan out can not be computed for tensor with fewer"
    ):
        init.xavier_uniform_(graphc.empty(3))
    with pytest.raises(ValueError, match="Mode up not supported, please use one of"):
        init.kaiming_uniform_(graphc.empty(3, 3), mode="up")
    with pytest.warns(UserWarning, match="Initializing zero-element tensors is a no-op"):
        init.kaiming_normal_(graphc.empty(0, 3))
    with pytest.warns(FutureWarning, match="`nn.init.normal` is now deprecated in favor of"):
        init.normal(graphc.empty(3))


def test_default_initialisation_of_layers():
    graphc.manual_seed(0)
    layer = nn.Linear(100, 400)
    for t in (layer.weight, layer.bias):
        assert 0.099 < t.abs().max().item() <= 0.1
    check(layer.weight.detach().numpy(), 0, 0.1 / math.sqrt(3))
    table = nn.Embedding(200, 200, padding_idx=3)
    assert (table.weight[3] == 0).all()
    check(table.weight.detach().numpy(), 0, 1.0)
    norm = nn.LayerNorm(5)
    assert norm.weight.tolist() == [1.0] * 5 and norm.bias.tolist() == [0.0] * 5
