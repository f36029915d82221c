"""Every op of the table against its own record: type rule, gradients of both orders, error
inputs."""

from __future__ import annotations

import pytest

from .harness import cases, check_gradients, check_infer, check_refusal, gradcheckable, ops

# How many ops run through Python between generated code. A figure to bring down; never up without
# a reason.
MOST_OPAQUE = 24


def test_every_op_has_samples():
    for op in ops():
        assert list(op.samples()), f"{op.name} has no samples"


def test_opaque_ops():
    opaque = [op.name for op in ops() if op.kind == "opaque"]
    print(f"{len(opaque)} of {len(ops())} ops are opaque: {', '.join(opaque)}")
    assert len(opaque) <= MOST_OPAQUE


@pytest.mark.parametrize(
    "op,s",
    cases(
        lambda op, s: s.error is None and op.infer is not None and not op.extra.get("data_shape")
    ),
)
def test_infer_agrees_with_eager(op, s):
    check_infer(op, s)


@pytest.mark.parametrize("op,s", cases(lambda op, s: s.error is not None))
def test_errors(op, s):
    check_refusal(op, s)


@pytest.mark.parametrize("op,s", cases(gradcheckable))
def test_gradients_of_both_orders(op, s):
    check_gradients(op, s)
