"""Every op of the table against its own record: type rule, gradients of both orders, error inputs."""

from __future__ import annotations

import pytest

import graphc as torch
from graphc.core.tensor import Tensor

from .harness import attr_values, call, cases, make_inputs, ops, strides_of


def _good(op, s):
    return s.error is None


def test_every_op_has_samples():
    for op in ops():
        assert list(op.samples()), f"{op.name} has no samples"


@pytest.mark.parametrize("op,s", cases(lambda op, s: _good(op, s) and op.infer is not None
                                       and not op.extra.get("data_shape")))
def test_infer_agrees_with_eager(op, s):
    inputs = make_inputs(op, s)
    types = tuple(t.type_ if isinstance(t, Tensor) else t for t in inputs)
    attrs = attr_values(op, s)
    inferred = op.infer(types, *attrs) if op.variadic else op.infer(*types, *attrs)
    inferred = inferred if type(inferred) is tuple else (inferred,)
    results = call(op, inputs, s)
    if op.kind == "composite" and any(t.dtype.is_half for t in inputs if isinstance(t, Tensor)):
        inferred = ()       # runs in float32 and rounds: the body's own ops are what is inferred
    for got, want in zip(results, inferred, strict=False):
        if got is None or want is None:
            assert got is want
            continue
        assert tuple(got.shape) == tuple(want.shape)
        assert got.dtype is want.dtype
        expected = tuple(st for st, n in zip(want.strides, want.shape, strict=True) if n != 1)
        assert strides_of(got) == (() if 0 in want.shape else expected)


@pytest.mark.parametrize("op,s", cases(lambda op, s: s.error is not None))
def test_errors(op, s):
    kind, text = s.error
    with pytest.raises(kind) as caught:
        call(op, make_inputs(op, s), s)
    assert text in str(caught.value)


def _gradcheckable(op, s):
    return (_good(op, s) and s.grad and (op.vjp is not None or op.body is not None)
            and all(not hasattr(m, "dtype") or m.dtype in ("float32", "int64", "bool", "int32") for m in s.inputs)
            and sum(_size(m) for m in s.inputs if hasattr(m, "shape")) <= 400)


def _size(m):
    n = 1
    for k in m.shape:
        n *= k
    return n


@pytest.mark.parametrize("op,s", cases(_gradcheckable))
def test_gradients_of_both_orders(op, s):
    inputs = make_inputs(op, s, dtype="float64", requires_grad=True)
    if not any(isinstance(t, Tensor) and t.requires_grad for t in inputs):
        pytest.skip("no floating input")

    def fn(*args):
        return tuple(t for j, t in enumerate(call(op, list(args), s))
                     if t.dtype.is_floating_point and j not in op.extra.get("auxiliary", ()))
    assert torch.autograd.gradcheck(fn, tuple(inputs))
    if sum(t.numel() for t in inputs if isinstance(t, Tensor)) <= 40:
        assert torch.autograd.gradgradcheck(fn, tuple(inputs), atol=1e-4)
