"""Sparse tensors against their dense forms, against PyTorch where it is installed, and compiled."""

import importlib
import importlib.util

import numpy as np
import pytest

import graphc
from graphc.autograd import gradcheck, gradgradcheck

PLACES, ENTRIES = [[0, 1, 1, 0], [2, 0, 2, 2]], [3.0, 4.0, 5.0, 1.0]
DENSE = np.array([[0, 0, 4, 0], [4, 0, 5, 0.0]])
LIBRARIES = ["graphc"] + ["torch"] * (importlib.util.find_spec("torch") is not None)


@pytest.fixture(params=LIBRARIES)
def lib(request):
    """The same statements hold under both libraries."""
    return importlib.import_module(request.param)


def matrix(lib, size=(2, 4)):
    return lib.sparse_coo_tensor(PLACES, ENTRIES, size)


def test_products_are_those_of_the_dense_form(lib):
    m, x = matrix(lib), lib.arange(8.0).reshape(4, 2)
    want = DENSE @ np.arange(8.0).reshape(4, 2)
    for got in (m @ x, lib.mm(m, x), lib.sparse.mm(m, x), lib.spmm(m, x), m.mm(x)):
        assert np.array_equal(got.numpy(), want)
    assert np.array_equal((m @ lib.arange(4.0)).numpy(), DENSE @ np.arange(4.0))
    assert np.array_equal((m.t() @ lib.ones(2, 1)).numpy(), DENSE.T @ np.ones((2, 1)))
    assert np.array_equal((lib.ones(3, 2) @ m.coalesce()).numpy(), np.ones((3, 2)) @ DENSE)
    got = lib.sparse.addmm(lib.ones(2, 2), m, x, beta=2, alpha=3)
    assert np.array_equal(got.numpy(), 2 + 3 * want)


def test_entries_of_one_place_add_up(lib):
    m = matrix(lib)
    assert (m._nnz(), m.is_coalesced(), m.shape, m.dim()) == (4, False, (2, 4), 2)
    c = m.coalesce()
    assert (c._nnz(), c.is_coalesced()) == (3, True)
    assert c.indices().tolist() == [[0, 1, 1], [2, 0, 2]]
    assert c.values().tolist() == [4, 4, 5]
    assert np.array_equal(m.to_dense().numpy(), DENSE)
    assert np.array_equal((m + m.coalesce()).to_dense().numpy(), 2 * DENSE)
    assert np.array_equal((lib.ones(2, 4) + m).numpy(), 1 + DENSE)
    assert np.array_equal((-(m * 3) / 2).to_dense().numpy(), -DENSE * 1.5)
    assert lib.sparse.sum(m).item() == DENSE.sum()
    assert np.array_equal(lib.sparse.sum(m, 0).to_dense().numpy(), DENSE.sum(0))


def test_from_dense(lib):
    m = lib.tensor(DENSE).to_sparse()
    assert m.is_sparse and m.layout == lib.sparse_coo and m.dtype == lib.float64
    assert m.indices().tolist() == [[0, 1, 1], [2, 0, 2]]
    assert np.array_equal(m.to_dense().numpy(), DENSE)
    assert lib.sparse_coo_tensor(PLACES, ENTRIES).shape == (2, 3)
    assert lib.sparse_coo_tensor((2, 3)).to_dense().tolist() == [[0.0] * 3] * 2
    assert repr(m) == (
        "tensor(indices=tensor([[0, 1, 1],\n                       [2, 0, 2]]),\n"
        "       values=tensor([4., 4., 5.]),\n"
        "       size=(2, 4), nnz=3, dtype=torch.float64, layout=torch.sparse_coo)"
    )


def test_gradients_reach_values_and_factor(lib):
    values = lib.tensor(ENTRIES, requires_grad=True)
    x = lib.arange(8.0).reshape(4, 2).requires_grad_()
    product = lib.sparse.mm(lib.sparse_coo_tensor(PLACES, values, (2, 4)), x)
    product.pow(2).sum().backward()
    y = DENSE @ np.arange(8.0).reshape(4, 2)
    outer = 2 * y @ np.arange(8.0).reshape(4, 2).T
    assert np.array_equal(values.grad.numpy(), outer[tuple(PLACES)])
    assert np.array_equal(x.grad.numpy(), DENSE.T @ (2 * y))


@pytest.mark.parametrize(
    "call,error,text",
    [
        (lambda t: t.sparse_coo_tensor([[0, -1], [1, 0]], [1.0, 2.0]), RuntimeError,
         "found negative index -1 for dim 0"),
        (lambda t: matrix(t, (2, 4, 5)), RuntimeError,
         "'len(size) == sparse_dim + dense_dim' is not satisfied: len(size) = 3, "
         "sparse_dim = 2, dense_dim = 0"),
        (lambda t: t.sparse_coo_tensor(PLACES, [1.0]), RuntimeError,
         "indices and values must have same nnz, but got nnz from indices: 4, nnz from values: 1"),
        (lambda t: matrix(t).indices(), RuntimeError,
         "Cannot get indices on an uncoalesced tensor, please call .coalesce() first"),
        (lambda t: matrix(t) @ t.ones(3, 2), RuntimeError,
         "addmm: Argument #3 (dense): Expected dim 0 size 4, got 3"),
        (lambda t: matrix(t) @ t.ones(4, 2).double(), RuntimeError,
         "expected scalar type Float but found Double"),
        (lambda t: matrix(t) + t.ones(2, 4), RuntimeError,
         "add(sparse, dense) is not supported. Use add(dense, sparse) instead."),
        (lambda t: t.sparse.sum(matrix(t), 2), IndexError,
         "Dimension out of range (expected to be in range of [-2, 1], but got 2)"),
    ],
)  # fmt: skip
def test_errors(lib, call, error, text):
    with pytest.raises(error) as caught:
        call(lib)
    assert str(caught.value).split("\nat ")[0] == text


def test_places_outside_are_refused():
    with pytest.raises(RuntimeError, match="for dim 1, size is 2 but found index 2"):
        matrix(graphc, (2, 2))


@pytest.mark.parametrize("op", [graphc.relu, graphc.nn.functional.linear, graphc.cat])
def test_other_ops_refuse(op):
    with pytest.raises((TypeError, AttributeError)):
        op(graphc.ones(2, 4), matrix(graphc)) if op is not graphc.relu else op(matrix(graphc))


def test_gradients_of_both_orders():
    def product(values, x):
        m = graphc.sparse_coo_tensor(PLACES, values, (2, 4))
        return m @ x, m.coalesce().values(), m.to_dense()

    values = graphc.tensor(ENTRIES, dtype=graphc.float64, requires_grad=True)
    x = graphc.linspace(-1, 1, 8, dtype=graphc.float64).reshape(4, 2).requires_grad_()
    assert gradcheck(product, (values, x)) and gradgradcheck(product, (values, x))


def test_compiled_products_have_eagers_bits():
    draw = np.random.default_rng(1)
    places = graphc.from_numpy(draw.integers(0, 9, (2, 40)))
    values = graphc.from_numpy(draw.standard_normal(40))
    m = graphc.sparse_coo_tensor(places, values, (9, 9))
    x = graphc.from_numpy(draw.standard_normal((9, 3)))

    def step(x):
        x = x.detach().requires_grad_()
        y = (m @ x.tanh()).sigmoid()
        y.square().sum().backward()
        return y.detach(), x.grad

    for got, want in zip(graphc.compile(step, fullgraph=True)(x), step(x)):
        assert got.numpy().tobytes() == want.numpy().tobytes()
