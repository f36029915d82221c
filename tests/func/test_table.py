"""vmap over the whole op table: element i of a mapped call has the bits of the call on element i,
forward and backward, whichever inputs are mapped over."""

import warnings
import zlib

import numpy as np
import pytest

import graphc as torch
from graphc.base import dtypes
from graphc.core.tensor import wrap
from graphc.func import vjp, vmap
from graphc.ir.op import Make

from ..ops import harness

N = 3


def elements(op, s) -> list:
    """Per input N versions of it: other values where they are random, the same where given."""
    out = []
    for i, m in enumerate(s.inputs):
        if not isinstance(m, Make):
            out.append(m)
            continue
        seeds = [zlib.crc32(op.name.encode()) + i + 100 * k for k in range(N)]
        out.append([wrap(np.array(harness.array(m, seed))) for seed in seeds])
    return out


def stacked(xs: list, last: bool):
    """The batch of xs, along the last axis or the first."""
    a = torch.stack(xs)
    return a.movedim(0, -1).contiguous() if last else a


def choices(op, inputs: list) -> list:
    """Sets of positions to map over: all tensors, and each alone."""
    tensors = [i for i, x in enumerate(inputs) if isinstance(x, list)]
    return [set(tensors)] + ([{i} for i in tensors] if len(tensors) > 1 else [])


def tensors_of(out) -> list:
    return [t for t in (out if isinstance(out, tuple) else (out,)) if t is not None]


def check(op, s, mapped: set, last: bool, backward: bool) -> None:
    inputs = elements(op, s)
    tensors = [i for i, x in enumerate(inputs) if isinstance(x, list)]
    active = [i for i in tensors if dtypes.dtype_named(s.inputs[i].dtype).is_floating_point]
    auxiliary = op.extra.get("auxiliary", ())

    def one(*xs):
        full = list(inputs)
        for i, x in zip(tensors, xs, strict=True):
            full[i] = x

        def run(*floating):
            for i, x in zip(active, floating, strict=True):
                full[i] = x
            out = harness.call(op, full, s)
            if not backward:
                return tuple(tensors_of(out))
            return tuple(
                t
                for j, t in enumerate(out)
                if t is not None and t.dtype.is_floating_point and j not in auxiliary
            )

        if not backward:
            return run(*[full[i] for i in active])
        out, back = vjp(run, *[full[i] for i in active])
        weights = tuple(
            (torch.arange(t.numel(), dtype=torch.float64).reshape(t.shape) % 7 - 2.5).to(t.dtype)
            for t in out
        )
        return (*out, *back(weights))

    dims = tuple((-1 if last else 0) if i in mapped else None for i in tensors)
    batch = [stacked(inputs[i], last) if i in mapped else inputs[i][0] for i in tensors]
    found = vmap(one, in_dims=dims)(*batch)
    for k in range(N):
        want = one(*[inputs[i][k] if i in mapped else inputs[i][0] for i in tensors])
        for j, (a, b) in enumerate(zip(found, want, strict=True)):
            harness.assert_same_bits(a[k], b, f"{harness.describe(op, 0, s)} {mapped} result {j}")


def usable(op, s) -> bool:
    return (
        s.error is None
        and any(isinstance(m, Make) for m in s.inputs)
        and not op.extra.get("data_shape")
        and sum(int(np.prod(m.shape)) for m in s.inputs if isinstance(m, Make)) < 3000
    )


@pytest.mark.parametrize("op", harness.ops(), ids=lambda op: op.name)
def test_mapped_calls_are_the_calls_on_elements(op):
    samples = [s for s in op.samples() if usable(op, s)]
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for i, s in enumerate(samples):
            backward = harness.has_gradient(op, 0, s)
            for mapped in choices(op, elements(op, s)):
                # windows count places in memory, so elements have to lie as they do alone
                last = bool(i % 2) and not op.extra.get("windowed")
                check(op, s, mapped, last, backward)
