"""Rarer paths below capture: half scalars, reductions of bools, fixed random streams, integer
products, opaque operators with symbolic attributes, run-time errors between segments, and what the
debug levels print. Compiled results are eager mode's bits."""

import types

import numpy as np
import pytest

import graphc as torch
from graphc.base.config import config
from graphc.compiler.driver import compile_graph

from .graphs import Builder, same_bits


def agree(fn, *args, f=None):
    """Eager and compiled results in bits; gives the compiled function."""
    f = f or torch.compile(fn, fullgraph=True)
    eager, got = fn(*args), f(*args)
    pairs = zip(eager, got) if isinstance(eager, tuple) else [(eager, got)]
    for a, b in pairs:
        assert a.dtype is b.dtype and same_bits(a._array, b._array), (a, b)
    return f


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_run_time_numbers_are_rounded_to_half_types(dtype):
    o = types.SimpleNamespace(rate=0.1)
    x = torch.linspace(-3, 3, 37).to(dtype)
    f = agree(lambda x: x * o.rate - o.rate, x)
    o.rate = 1 / 3
    agree(f.fn, x, f=f)
    assert len(f.specialisations) == 1


def test_extrema_of_bools():
    x = torch.tensor([[True, False, True], [False, False, False], [True, True, True]])
    f = agree(lambda x: (x.amax(1), x.amin(1), x.amax(0), x.amin(0)), x)
    assert f(x)[0].tolist() == [True, False, True] and f(x)[1].tolist() == [False, False, True]


def test_integer_products_end_before_what_follows():
    a, b = torch.arange(12).reshape(3, 4), torch.arange(20).reshape(4, 5)
    f = agree(lambda a, b: (a @ b) * 3 + 1, a, b)
    assert "integer products have no epilogue" in f.why_not_fused


def test_opaque_operators_read_inputs_and_symbolic_sizes():
    def f(x):
        n = x.shape[0]
        values, index = x.topk(n - 1, dim=0)
        return values * 2, index, torch.nn.functional.avg_pool1d(x.t()[None], 2)

    compiled = torch.compile(f, fullgraph=True, dynamic=True)
    for n in (4, 7, 5):
        agree(f, torch.randn(n, 3), f=compiled)
    assert len(compiled.specialisations) == 1


def test_the_backward_of_an_opaque_operator_over_symbolic_sizes():
    def grad(f, x):
        x = x.detach().requires_grad_()
        f(x).sum().backward()
        return x.grad

    def f(x):
        return torch.nn.functional.max_pool1d(x, 2) * torch.nn.functional.avg_pool1d(x, 2)

    compiled = torch.compile(f, fullgraph=True, dynamic=True)
    for n in (6, 9, 12):
        x = torch.randn(2, 3, n)
        assert same_bits(grad(f, x)._array, grad(compiled, x)._array)


def test_an_opaque_operator_after_an_update_in_place():
    def f(x):
        x.mul_(2)
        return x.sort().values, x + 1

    compiled = torch.compile(f, fullgraph=True)
    for seed in range(2):
        torch.manual_seed(seed)
        a = torch.randn(9)
        b = a.clone()
        for want, got in zip(f(a), compiled(b)):
            assert same_bits(want._array, got._array)
        assert same_bits(a._array, b._array)


def test_an_error_before_an_opaque_operator_changes_nothing():
    def f(x, i, count):
        count += 1
        return x.index_select(0, i).sort().values + count

    compiled = torch.compile(f, fullgraph=True)
    x, count = torch.tensor([3.0, 1.0, 2.0]), torch.zeros(1)
    assert compiled(x, torch.tensor([0, 1]), count).tolist() == [2, 4]
    with pytest.raises(IndexError, match="index out of range"):
        compiled(x, torch.tensor([0, 5]), count)
    # eager mode, which raises in the end, had added one by then
    assert count.tolist() == [2]
    assert compiled(x, torch.tensor([2, 1]), count).tolist() == [4, 5]


def step():
    b = Builder()
    x = b.input((6, 9))
    b.graph.outputs = [b("sum", b("exp", b("neg", b("neg", x))), (1,), False)]
    return b.graph


@pytest.mark.parametrize(
    "level, shown, hidden",
    [(2, [], ["--"]), (3, ["-- after "], ["rows)"]), (4, ["-- after ", " rows)", "for "], [])],
)
def test_debug_levels_of_the_cold_path(monkeypatch, capsys, level, shown, hidden):
    quiet = compile_graph(step())[0]
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(config, "debug", level)
    record = compile_graph(step())[0]
    text = capsys.readouterr().err
    assert all(t in text for t in shown) and not any(t in text for t in hidden), text
    assert record["after"] == quiet["after"]


def test_constants_keep_their_bits():
    values = [1e20, 16777216.0, 0.1, -0.0, 5e-324, 1e-45, np.inf, -np.inf, np.nan, 123456789.0]
    for dtype in (torch.float32, torch.float64):
        x = torch.zeros(3, dtype=dtype)
        agree(lambda x: tuple(x.detach() + x.new_full((3,), v) for v in values), x)
