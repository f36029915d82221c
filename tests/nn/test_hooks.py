"""Module hooks: order, replacement, flags, removal, global hooks, backward hooks."""

import warnings

import pytest

import graphc
from graphc import nn
from graphc.nn.modules import module as module_room


class Twice(nn.Module):
    def forward(self, x, plus=0.0):
        return x * 2 + plus


def test_forward_hooks_in_order():
    m, seen = Twice(), []
    m.register_forward_pre_hook(lambda mod, args: seen.append(("pre", mod is m, len(args))))
    m.register_forward_hook(lambda mod, args, out: seen.append(("post", out.item())))
    m.register_forward_hook(lambda mod, args, out: seen.append(("first", 0)), prepend=True)
    assert m(graphc.tensor(3.0)).item() == 6.0
    assert seen == [("pre", True, 1), ("first", 0), ("post", 6.0)]
    m.forward(graphc.tensor(1.0))
    assert len(seen) == 3


def test_hooks_replace():
    m = Twice()
    m.register_forward_pre_hook(lambda mod, args: args[0] + 1)  # a non-tuple is wrapped
    m.register_forward_hook(lambda mod, args, out: out * 10)
    assert m(graphc.tensor(3.0)).item() == 80.0


def test_with_kwargs():
    m = Twice()
    pre = m.register_forward_pre_hook(
        lambda mod, args, kwargs: (args, {"plus": kwargs["plus"] + 1}), with_kwargs=True
    )
    m.register_forward_hook(lambda mod, args, kwargs, out: out + kwargs["plus"], with_kwargs=True)
    assert m(graphc.tensor(1.0), plus=1.0).item() == 6.0
    pre.remove()
    assert not m._forward_pre_hooks and not m._forward_pre_hooks_with_kwargs
    m.register_forward_pre_hook(lambda mod, args, kwargs: args, with_kwargs=True)
    with pytest.raises(RuntimeError, match="forward pre-hook must return None or a tuple of"):
        m(graphc.tensor(1.0), plus=1.0)


def test_handles():
    m, seen = Twice(), []
    with m.register_forward_hook(lambda *a: seen.append(1)):
        m(graphc.tensor(1.0))
    m(graphc.tensor(1.0))
    assert seen == [1]
    handle = m.register_forward_hook(lambda *a: None)
    handle.remove()
    handle.remove()


def test_always_call():
    class Fails(nn.Module):
        def forward(self, x):
            raise ValueError("no")

    m, seen = Fails(), []
    m.register_forward_hook(lambda mod, args, out: seen.append(out), always_call=True)
    m.register_forward_hook(lambda mod, args, out: seen.append("never"))

    def also_fails(mod, args, out):
        raise KeyError("hook")

    m.register_forward_hook(also_fails, always_call=True)
    with pytest.raises(ValueError, match="no"), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        m(1)
    assert seen == [None]
    assert "raised an exception that was silenced" in str(caught[0].message)


def test_global_hooks():
    seen = []
    handles = [
        module_room.register_module_forward_pre_hook(lambda m, args: seen.append("pre")),
        module_room.register_module_forward_hook(lambda m, args, out: out + 1),
        module_room.register_module_parameter_registration_hook(lambda m, n, p: seen.append(n)),
        module_room.register_module_buffer_registration_hook(lambda m, n, b: seen.append(n)),
        module_room.register_module_module_registration_hook(lambda m, n, c: seen.append(n)),
    ]
    try:
        assert Twice()(graphc.tensor(1.0)).item() == 3.0
        net = nn.Module()
        net.w = nn.Parameter(graphc.zeros(1))
        net.register_buffer("b", graphc.zeros(1))
        net.child = Twice()
    finally:
        for handle in handles:
            handle.remove()
    assert seen == ["pre", "w", "b", "child"]
    assert Twice()(graphc.tensor(1.0)).item() == 2.0


def test_full_backward_hook():
    m, seen = Twice(), []
    m.register_full_backward_pre_hook(
        lambda mod, grad_out: seen.append(("pre", grad_out[0].item()))
    )
    m.register_full_backward_hook(
        lambda mod, grad_in, grad_out: seen.append((grad_in[0].item(), grad_out[0].item()))
    )
    x = graphc.tensor(3.0, requires_grad=True)
    (m(x) * 5).backward()
    assert x.grad.item() == 10.0
    assert seen == [("pre", 5.0), (10.0, 5.0)]


def test_backward_hooks_replace():
    m = Twice()
    m.register_full_backward_pre_hook(lambda mod, grad_out: (grad_out[0] * 3,))
    m.register_full_backward_hook(lambda mod, grad_in, grad_out: (grad_in[0] + 1,))
    x = graphc.tensor(3.0, requires_grad=True)
    m(x).backward()
    assert x.grad.item() == 7.0
    m.register_full_backward_hook(lambda mod, grad_in, grad_out: (grad_in[0], None))
    with pytest.raises(RuntimeError, match="invalid number of grad_input"):
        m(x).backward()


def test_backward_hook_with_several_inputs_and_outputs():
    class Mixed(nn.Module):
        def forward(self, a, n, b):
            return a * b, a + n

    m, seen = Mixed(), []
    m.register_full_backward_hook(lambda mod, gi, go: seen.append((gi, go)))
    a, b = graphc.tensor(2.0, requires_grad=True), graphc.tensor(3.0)
    product, total = m(a, 1, b)
    (product + 10 * total).backward()
    grad_in, grad_out = seen[0]
    assert grad_in[0].item() == 13.0 and grad_in[1] is None and grad_in[2] is None
    assert [g.item() for g in grad_out] == [1.0, 10.0]
    assert a.grad.item() == 13.0


def test_backward_hook_without_differentiable_input():
    layer, seen = nn.Linear(1, 1), []
    layer.register_full_backward_hook(lambda mod, gi, go: seen.append((gi, go[0].item())))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        layer(graphc.ones(1, 1)).sum().backward()
    assert seen == [((None,), 1.0)]
    with graphc.no_grad():
        layer(graphc.ones(1, 1))
    assert len(seen) == 1
