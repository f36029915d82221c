"""The whole table through capture: what the graph interpreter and compiled C give for every sample
is what eager mode gives, in bits and strides; forward alone, and forward with backward in one
program.

Samples are batched, so that the compiler runs about once per ten ops."""

from __future__ import annotations

import pytest

from graphc.native.toolchain import find_compiler

from .harness import (
    backward_cases,
    cases,
    check_batch,
    check_error,
    forward_cases,
    refused_cases,
    variant_cases,
)

BACKENDS = [
    "interpret",
    pytest.param("c", marks=pytest.mark.skipif(find_compiler() is None, reason="no C compiler")),
]


def _batches(cases: list, size: int) -> list:
    """cases in lists of about `size`, ops kept together; ids are the first and last op's names."""
    out: list = [[]]
    for case in cases:
        if len(out[-1]) >= size and out[-1][-1][0] is not case[0]:
            out.append([])
        out[-1].append(case)
    return [pytest.param(b, id=f"{b[0][0].name}-{b[-1][0].name}") for b in out if b]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("batch", _batches(forward_cases(), 120))
def test_forward(batch, backend):
    check_batch(batch, backend)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("batch", _batches(backward_cases(), 80))
def test_backward(batch, backend):
    check_batch(batch, backend, backward=True)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("batch", _batches(variant_cases(), 120))
def test_every_dtype_and_special_values(batch, backend):
    check_batch(batch, backend)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("op,s", cases(lambda op, s: s.error is not None))
def test_errors(op, s, backend):
    check_error(op, s, backend)


@pytest.mark.parametrize(
    "op,s", [pytest.param(op, s, id=f"{op.name}-{s.inputs[0].dtype}") for op, s in refused_cases()]
)
def test_refused_dtypes(op, s):
    check_error(op, s, "interpret")
