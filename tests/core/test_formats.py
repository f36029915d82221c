"""Memory formats: strides, refusals, identity through copies, and the bits they may not change."""

import copy
import pickle

import pytest

import graphc as torch


def test_channels_last_strides():
    x = torch.randn(2, 3, 4, 5)
    for y in (
        x.contiguous(memory_format=torch.channels_last),
        x.to(memory_format=torch.channels_last),
        x.clone(memory_format=torch.channels_last),
        x.double(memory_format=torch.channels_last).float(),
    ):
        assert y.stride() == (60, 1, 15, 3)
        assert y.is_contiguous(memory_format=torch.channels_last) and not y.is_contiguous()
        assert torch.equal(x, y)
        assert torch.equal(y.contiguous(), x) and y.contiguous().is_contiguous()
        assert (y + 1).stride() == y.stride()
        assert y.contiguous(memory_format=torch.channels_last) is y
    for made in (torch.empty_like, torch.zeros_like, torch.ones_like, torch.randn_like):
        assert made(x, memory_format=torch.channels_last).stride() == (60, 1, 15, 3)
        assert made(y).stride() == y.stride()
    assert torch.empty(2, 3, 4, 5, memory_format=torch.channels_last).stride() == (60, 1, 15, 3)
    volume = torch.randn(2, 3, 4, 5, 2).to(memory_format=torch.channels_last_3d)
    assert volume.stride() == (120, 1, 30, 6, 3)
    assert not x.is_contiguous(memory_format=torch.channels_last_3d)


def test_refusals():
    with pytest.raises(RuntimeError, match="required rank 4 tensor to use channels_last format"):
        torch.randn(3, 4).contiguous(memory_format=torch.channels_last)
    with pytest.raises(TypeError, match="must be torch.memory_format, not str"):
        torch.randn(3, 4).contiguous(memory_format="channels_last")
    with pytest.raises(TypeError, match="cannot create 'torch.memory_format' instances"):
        torch.memory_format()


def test_formats_stay_themselves():
    for f in (torch.channels_last, torch.contiguous_format, torch.preserve_format):
        assert pickle.loads(pickle.dumps(f)) is f
        assert copy.deepcopy(f) is f
        assert repr(f).startswith("torch.") and isinstance(f, torch.memory_format)


def test_layers_and_compiled_code_take_them():
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.MaxPool2d(2))
    x = torch.randn(2, 3, 8, 8)
    y = net.to(memory_format=torch.channels_last)(x.to(memory_format=torch.channels_last))
    assert torch.equal(y, net(x))
    fn = torch.compile(lambda t: t.contiguous(memory_format=torch.channels_last) * 2)
    assert torch.equal(fn(x), x * 2) and fn(x).stride() == (192, 1, 24, 3)
