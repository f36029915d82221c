"""Strides of results of channels-last images of shape (2, 4, 6, 6): PyTorch 2.13's, recorded."""

import pytest

import graphc as torch

F = torch.nn.functional
LAST, FIRST = (144, 1, 24, 4), (144, 36, 6, 1)

CASES = {
    "group_norm": (lambda x: F.group_norm(x, 2), LAST),
    "group_norm weight": (lambda x: F.group_norm(x, 2, torch.ones(4), torch.ones(4)), LAST),
    "instance_norm": (F.instance_norm, FIRST),
    "batch_norm": (lambda x: F.batch_norm(x, torch.zeros(4), torch.ones(4)), LAST),
    "pad": (lambda x: F.pad(x, (1, 1, 1, 1)), (256, 1, 32, 4)),
    "pad crop": (lambda x: F.pad(x, (1, -1)), LAST),
    "pad reflect": (lambda x: F.pad(x, (1, 1, 1, 1), mode="reflect"), (256, 1, 32, 4)),
    "pad replicate": (lambda x: F.pad(x, (1, 1, 1, 1), mode="replicate"), (256, 1, 32, 4)),
    "pad circular": (lambda x: F.pad(x, (1, 1, 1, 1), mode="circular"), (256, 64, 8, 1)),
    "roll": (lambda x: x.roll(1, 2), LAST),
    "roll all": (lambda x: x.roll(1), LAST),
    "stack 0": (lambda x: torch.stack([x, x]), (288, 144, 1, 24, 4)),
    "stack 1": (lambda x: torch.stack([x, x], 1), (288, 4, 1, 48, 8)),
    "stack 2": (lambda x: torch.stack([x, x], 2), (288, 1, 144, 24, 4)),
    "stack 3": (lambda x: torch.stack([x, x], 3), (288, 1, 48, 24, 4)),
    "stack 4": (lambda x: torch.stack([x, x], 4), (288, 72, 12, 2, 1)),
    "stack mixed": (lambda x: torch.stack([x, x.contiguous()], 1), (288, 144, 36, 6, 1)),
    "sort": (lambda x: x.sort(1).values, LAST),
    "sort indices": (lambda x: x.sort(1).indices, LAST),
    "argsort": (lambda x: x.argsort(1), LAST),
    "topk": (lambda x: x.topk(2, 1).values, (72, 36, 6, 1)),
    "repeat": (lambda x: x.repeat(1, 2, 1, 1), (288, 36, 6, 1)),
    "pixel_unshuffle": (lambda x: F.pixel_unshuffle(x, 2), (144, 1, 48, 16)),
    "channel_shuffle": (lambda x: F.channel_shuffle(x, 2), LAST),
    "flip": (lambda x: x.flip(1), LAST),
    "tril": (torch.tril, FIRST),
    "renorm": (lambda x: x.renorm(2, 0, 1.0), FIRST),
    "masked_fill": (lambda x: x.masked_fill(x > 0, 0), FIRST),
    "where": (lambda x: torch.where(x > 0, x, 0.0), LAST),
    "softmax": (lambda x: x.softmax(1), FIRST),
}


@pytest.mark.parametrize("name", CASES)
def test_strides(name):
    call, want = CASES[name]
    torch.manual_seed(0)
    x = torch.randn(2, 4, 6, 6)
    last = x.contiguous(memory_format=torch.channels_last)
    got = call(last)
    assert got.stride() == want
    torch.testing.assert_close(got.contiguous(), call(x).contiguous(), rtol=1e-5, atol=1e-6)
    compiled = torch.compile(call)(last)
    assert compiled.stride() == got.stride()
    assert torch.equal(compiled, got)
    assert got._base is None


def test_sorted_in_the_layout_of_the_input():
    t, p = torch.rand(3, 4).t(), torch.rand(2, 3, 4).permute(2, 0, 1)
    assert t.sort(0).values.stride() == (1, 4) and p.sort(0).indices.stride() == (1, 12, 4)
    assert torch.rand(6, 8)[::2, ::2].sort(0).values.stride() == (4, 1)
    assert t.roll(1, 0).stride() == (3, 1)


def test_stacked_images_and_their_gradients():
    x = torch.randn(2, 4, 3, 3).contiguous(memory_format=torch.channels_last).requires_grad_()
    y = torch.stack([x, x * 2], 1)
    y.mul_(3)
    (y * torch.arange(2.0).reshape(2, 1, 1, 1)).sum().backward()
    assert (x.grad == 6).all() and type(torch.stack([x, x]).grad_fn).__name__ == "StackBackward0"
