"""Lazy layers: shapes from the first input or from a state dict, refusals until then, copies."""

import copy
import pickle

import pytest

import graphc as torch

pytestmark = pytest.mark.filterwarnings("ignore:Lazy modules are a new feature")

LAYERS = [
    ("LazyLinear(3)", "Linear(4, 3)", (2, 4)),
    ("LazyConv1d(6, 3, padding=1, groups=2)", "Conv1d(4, 6, 3, padding=1, groups=2)", (2, 4, 5)),
    ("LazyConv2d(6, 3, bias=False)", "Conv2d(4, 6, 3, bias=False)", (2, 4, 5, 5)),
    ("LazyConvTranspose2d(6, 3, 2)", "ConvTranspose2d(4, 6, 3, 2)", (2, 4, 5, 5)),
    ("LazyBatchNorm2d()", "BatchNorm2d(4)", (2, 4, 3, 3)),
    ("LazyInstanceNorm1d(affine=True)",
     "InstanceNorm1d(4, affine=True, track_running_stats=True)", (2, 4, 5)),
]  # fmt: skip


@pytest.mark.parametrize("lazy,plain,shape", LAYERS)
def test_becomes_the_plain_layer(lazy, plain, shape):
    layer, wanted = (eval(f"torch.nn.{code}") for code in (lazy, plain))
    twin = copy.deepcopy(layer)
    weight, parameters = layer.weight, set(map(id, layer.parameters()))
    assert repr(weight) == "<UninitializedParameter>"
    torch.manual_seed(0)
    y = layer(torch.randn(*shape))
    assert type(layer) is type(wanted) and repr(layer) == repr(wanted)
    assert layer.weight is weight and type(weight) is torch.nn.Parameter
    assert set(map(id, layer.parameters())) == parameters
    found, named = layer.state_dict(), wanted.state_dict()
    assert [(k, v.shape, v.dtype) for k, v in found.items()] == [
        (k, v.shape, v.dtype) for k, v in named.items()
    ]
    assert y.shape == wanted(torch.randn(*shape)).shape
    twin.load_state_dict(found)
    for a, b in zip(twin.state_dict().values(), found.values(), strict=True):
        assert torch.equal(a, b)
    twin.eval()
    assert torch.equal(twin(torch.ones(*shape)), layer.eval()(torch.ones(*shape)))
    assert repr(twin) == repr(wanted)


def test_until_then():
    layer = torch.nn.LazyLinear(3)
    with pytest.raises(RuntimeError, match="Can't access the shape of an uninitialized parameter"):
        _ = layer.weight.shape
    with pytest.raises(ValueError, match="Attempted to use an uninitialized parameter"):
        layer.weight + 1
    with pytest.raises(ValueError, match="Attempted to use an uninitialized parameter"):
        sum(p.numel() for p in layer.parameters())
    with pytest.raises(RuntimeError, match="Can't access the shape"):
        torch.nn.Linear(2, 3).load_state_dict(layer.state_dict())
    assert layer.double().weight.dtype is torch.float64
    assert repr(pickle.loads(pickle.dumps(layer.weight))) == "<UninitializedParameter>"
    assert torch.nn.parameter.is_lazy(layer.weight)
    assert layer.has_uninitialized_params()
    layer(torch.ones(2, 5, dtype=torch.float64))
    assert layer.weight.shape == (3, 5) and layer.weight.dtype is torch.float64
    with pytest.raises(RuntimeError, match=r"Expected 3D \(unbatched\) or 4D \(batched\) input"):
        torch.nn.LazyConv2d(4, 3)(torch.ones(3, 5))
    with pytest.raises(ValueError, match="in_channels must be divisible by groups"):
        torch.nn.LazyConv2d(4, 3, groups=2)(torch.ones(1, 3, 5, 5))


def test_a_network_of_them_trains():
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.LazyConv2d(4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.LazyLinear(1)
    )
    x = torch.randn(8, 2, 5, 5)
    net(x)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    losses = []
    for _ in range(5):
        optimizer.zero_grad()
        loss = (net(x) - 1).pow(2).mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
