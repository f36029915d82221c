"""Tangents by dual tensors: values against finite differences and PyTorch's recorded answers."""

import numpy as np
import pytest

import graphc as torch
from graphc import nn
from graphc.autograd import forward_ad as fwad


def tangent(fn, xs, ts):
    with fwad.dual_level():
        out = fn(*[fwad.make_dual(x, t) for x, t in zip(xs, ts)])
        return fwad.unpack_dual(out)


FUNCTIONS = {
    "products": lambda a, b: (a @ b.t()).sin() * 2,
    "softmax": lambda a, b: (a * b).softmax(-1).log(),
    "views": lambda a, b: torch.cat([a[:, :2], b.t().reshape(2, 3)], 1).cumsum(1),
    "norm": lambda a, b: nn.functional.layer_norm(a, (3,)) + b.norm(),
    "in place": lambda a, b: a.clone().mul_(b).add_(a),
    "one only": lambda a, b: a.exp(),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_and_tangents(name):
    fn = FUNCTIONS[name]
    rng = np.random.default_rng(1)
    xs, ts = ([torch.tensor(rng.uniform(0.2, 1, (2, 3))) for _ in range(2)] for _ in range(2))
    primal, found = tangent(fn, xs, ts)
    assert torch.equal(primal, fn(*xs)) and not primal.requires_grad and not found.requires_grad
    h = 1e-6  # a central difference: errors of h**2 and of eps / h, both below 1e-8
    ahead, back = (fn(*[x + s * h * t for x, t in zip(xs, ts)]) for s in (1, -1))
    torch.testing.assert_close(found, (ahead - back) / (2 * h), rtol=1e-7, atol=1e-7)


def test_same_as_func_jvp_for_a_module():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    x, t = torch.randn(5, 3), torch.randn(5, 3)
    primal, found = tangent(net, [x], [t])
    want = torch.func.jvp(net, (x,), (t,))
    torch.testing.assert_close(primal, want[0])
    torch.testing.assert_close(found, want[1])
    assert primal.requires_grad  # the weights do: forward over reverse
    found.sum().backward()
    assert net[0].weight.grad is not None


def test_parameters_as_duals():
    net = nn.Linear(2, 1)
    weight, bias = net.weight, net.bias
    del net.weight, net.bias
    with fwad.dual_level():
        net.weight = fwad.make_dual(weight, torch.ones(1, 2))
        net.bias = fwad.make_dual(bias, torch.full((1,), 5.0))
        found = fwad.unpack_dual(net(torch.tensor([[3.0, 4.0]]))).tangent
    assert found.tolist() == [[12.0]]


def test_what_has_no_tangent():
    x = torch.ones(2)
    assert fwad.unpack_dual(x) == (x, None)
    with fwad.dual_level():
        d = fwad.make_dual(x, torch.full((2,), 3.0))
        assert fwad.unpack_dual(d).tangent.tolist() == [3, 3]
        assert fwad.unpack_dual(x).tangent is None
        assert fwad.unpack_dual(d.detach()).tangent is None
        assert fwad.unpack_dual(d > 0).tangent is None
        assert fwad.unpack_dual(d.sign()).tangent.tolist() == [0, 0]
        y = d * d
    assert fwad.unpack_dual(y).tangent is None


def test_errors():
    x = torch.ones(2)
    with pytest.raises(RuntimeError, match="no level exists, make sure to enter_dual_level"):
        fwad.make_dual(x, x)
    with pytest.raises(RuntimeError, match="Dual level must be a positive number"):
        fwad.exit_dual_level()
    with fwad.dual_level():
        with pytest.raises(RuntimeError, match=r"of size \[2\] while .* of size \[3\]"):
            fwad.make_dual(x, torch.ones(3))
        with pytest.raises(ValueError, match="Expected primal to be floating point"):
            fwad.make_dual(x.long(), x)
        d = fwad.make_dual(x, x)
        with pytest.raises(RuntimeError, match="already has a forward gradient"):
            fwad.make_dual(d, x)
        with pytest.raises(RuntimeError, match="Nested forward mode AD is not supported"):
            fwad.enter_dual_level()
        for stop in (torch.no_grad, torch.inference_mode, lambda: torch.set_grad_enabled(False)):
            with pytest.raises(RuntimeError, match="Leave no_grad out"), stop():
                pass
        with pytest.raises(RuntimeError, match="Leave no_grad out"):
            torch.no_grad()(lambda: d * 2)()
    assert torch.is_grad_enabled()
    with torch.no_grad(), fwad.dual_level():
        d = fwad.make_dual(x, x)
        assert fwad.unpack_dual(d * 2).tangent.tolist() == [2, 2]
    with torch.no_grad():
        assert not torch.is_grad_enabled()
