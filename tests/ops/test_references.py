"""Eager results of the whole table against PyTorch: stored float64 results everywhere, PyTorch
itself where it is installed."""

from __future__ import annotations

import numpy as np
import pytest

from graphc.core.tensor import Tensor

from .harness import call, cases, make_inputs, ops
from .references import REFERENCES, STORED, WITHOUT, results

# Pointwise functions are within a few ULP of the exact value (their own tests bound that); sums of
# n
# elements of magnitude m err by at most n * eps * sum(m). The samples are small, so one bound
# serves:
# 64 ULP of the result plus 16 ULP of the largest intermediate, which is about 8 in magnitude.
EPS = {"float32": 2.0**-23, "float64": 2.0**-52, "float16": 2.0**-10, "bfloat16": 2.0**-7}


def compare(op, s, got, want, dtype):
    got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
    assert got.shape == want.shape
    if op.name in ("gelu", "gelu_tanh", "silu"):
        # at -inf graphc gives the limit, -0; PyTorch gives nan
        want = np.where(np.isnan(want) & (got == 0), 0.0, want)
    eps = EPS[dtype]
    high = {"float16": 65504.0, "bfloat16": 3.3e38, "float32": 3.4e38}.get(dtype, np.inf)
    big = np.abs(want) > high * 0.99  # overflow: the float64 reference still holds the number
    nan = np.isnan(want)
    assert np.array_equal(np.isnan(got) | big, nan | big), f"nan at other places: {got} and {want}"
    ok = nan | big | (got == want)
    tiny = 1e-37 if dtype == "float32" else 1e-300 if dtype == "float64" else 1e-7
    with np.errstate(invalid="ignore"):
        ok |= np.abs(got - want) <= 64 * eps * np.abs(want) + 128 * eps * _scale(op, s) + tiny
    assert ok.all(), f"{op.name}: {got[~ok][:5]} instead of {want[~ok][:5]}"


def _scale(op, s):
    """Magnitude of intermediates: special values reach any size, but give exact or saturated
    results."""
    return (
        0.0
        if any(getattr(m, "values", None) == "special" for m in s.inputs) and op.kind == "pointwise"
        else 1.0
    )


def _check(op, s, wanted):
    inputs = make_inputs(op, s)
    for got, want in zip(call(op, inputs, s), wanted, strict=False):
        if want is None:
            continue
        if got.dtype.is_floating_point:
            half = [t.dtype.name for t in inputs if isinstance(t, Tensor) and t.dtype.is_half]
            compare(op, s, got._array.astype(np.float64), want, half[0] if half else got.dtype.name)
        else:
            have = got._array
            if (
                op.name.startswith("to_")
                and inputs[0].dtype.is_floating_point
                and have.dtype != bool
            ):
                # nan and numbers out of range: graphc defines them, C (and PyTorch) does not
                defined = np.abs(inputs[0]._array.astype(np.float64)) < np.iinfo(have.dtype).max
                have, want = have[defined], want[defined]
            assert np.array_equal(have, want), f"{op.name}: {have} instead of {want}"


def test_every_op_has_a_reference():
    missing = {op.name for op in ops()} - set(REFERENCES) - WITHOUT
    assert not missing


stored = np.load(STORED)


@pytest.mark.parametrize("op,s", cases(lambda op, s: s.error is None and op.name in REFERENCES))
def test_stored(op, s):
    i = list(op.samples()).index(s)
    wanted = [stored[k] for j in range(4) if (k := f"{op.name}/{i}/{j}") in stored.files]
    if not wanted:
        pytest.skip("results of this sample are too large to store")
    _check(op, s, wanted)


@pytest.mark.parametrize("op,s", cases(lambda op, s: s.error is None and op.name in REFERENCES))
def test_live(op, s):
    pytest.importorskip("torch")
    _check(op, s, results(op, s, True))


@pytest.mark.parametrize(
    "op,s",
    cases(
        lambda op, s: s.error is None and op.name in REFERENCES and op.name not in ("layer_norm",)
    ),
)
def test_live_dtypes_and_strides(op, s):
    """Result dtypes (exactly) and shapes are PyTorch's."""
    pytest.importorskip("torch")
    for got, want in zip(call(op, make_inputs(op, s), s), results(op, s, False), strict=False):
        if want is not None and got.dtype.name != "bfloat16":
            assert got._array.dtype == want.dtype
            assert got._array.shape == want.shape
