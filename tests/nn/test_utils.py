"""Gradient clipping and parameter vectors."""

import math

import numpy as np
import pytest

import graphc
from graphc import nn
from graphc.nn import utils


def parameters(grads):
    out = []
    for g in grads:
        p = nn.Parameter(graphc.zeros(*np.shape(g)))
        p.grad = graphc.tensor(g, dtype=graphc.float32)
        out.append(p)
    return out


GRADS = [[3.0, -4.0], [[12.0]]]


@pytest.mark.parametrize(
    "kind, total",
    [
        (2.0, 13.0),
        (1, 19.0),
        (math.inf, 12.0),
        (-math.inf, None),
        (0, None),
        (3.0, (27 + 64 + 1728) ** (1 / 3)),
    ],
)
def test_clip_grad_norm(kind, total):
    ps = parameters(GRADS)
    idle = nn.Parameter(graphc.zeros(2))
    got = utils.clip_grad_norm_([*ps, idle], 6.5, kind)
    if total is not None:
        assert got.item() == pytest.approx(total, rel=1e-6)
        factor = min(1.0, 6.5 / (total + 1e-6))
        for p, g in zip(ps, GRADS, strict=True):
            np.testing.assert_allclose(p.grad.numpy(), np.float32(g) * factor, rtol=1e-6)
    assert idle.grad is None


def test_clip_leaves_small_gradients():
    ps = parameters(GRADS)
    assert utils.clip_grad_norm_(ps, 100.0).item() == 13.0
    assert ps[0].grad.tolist() == GRADS[0]
    single = parameters([[3.0, 4.0]])[0]
    assert utils.clip_grad_norm_(single, 1.0).item() == 5.0
    assert utils.clip_grad_norm_([], 1.0).item() == 0.0


def test_non_finite():
    ps = parameters([[math.inf, 1.0]])
    with pytest.raises(
        RuntimeError,
        match="The total norm of order 2.0 for gradients from "
        "`parameters` is non-finite, so it cannot be clipped",
    ):
        utils.clip_grad_norm_(ps, 1.0, error_if_nonfinite=True)
    assert math.isinf(utils.get_total_norm([p.grad for p in ps]).item())


def test_clip_grad_value():
    ps = parameters(GRADS)
    grad = ps[0].grad
    utils.clip_grad_value_(ps, 3.5)
    assert ps[0].grad is grad and grad.tolist() == [3.0, -3.5] and ps[1].grad.tolist() == [[3.5]]


def test_vectors():
    net = nn.Linear(2, 3)
    vector = utils.parameters_to_vector(net.parameters())
    assert vector.shape == (9,) and vector.requires_grad
    identity = net.weight
    utils.vector_to_parameters(graphc.arange(9.0), net.parameters())
    assert net.weight is identity and net.weight.tolist() == [[0, 1], [2, 3], [4, 5]]
    assert net.bias.tolist() == [6, 7, 8] and net.weight.requires_grad
    with pytest.raises(TypeError, match="expected torch.Tensor, but got: <class 'list'>"):
        utils.vector_to_parameters([1.0], net.parameters())
