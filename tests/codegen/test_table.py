"""Every op of the table: its samples compiled into one program, against eager mode in bits."""

import numpy as np
import pytest

from graphc.compiler import program
from graphc.ir.graph import Draw
from graphc.ir.types import TensorType
from graphc.native.toolchain import find_compiler
from tests.ops import harness

from .graphs import Builder, interpret, same_bits

pytestmark = pytest.mark.skipif(find_compiler() is None, reason="no C compiler")

_KINDS = ("pointwise", "movement", "reduce", "contract", "gather", "scatter", "scan", "random")


def _batches(n=6):
    ops = [op for op in harness.ops() if op.kind in _KINDS]
    return [ops[i : i + n] for i in range(0, len(ops), n)]


def _add(b, op, s, arrays, rng, names):
    def one(t):
        if not harness.is_tensor(t):
            return t
        a = t._array
        arrays.append(a)
        return b.graph.input(
            TensorType(a.shape, t.dtype, tuple(x // a.itemsize for x in a.strides))
        )

    values = harness.attr_values(op, s)
    if op.kind == "random":
        at = op.attrs.index("draw")
        seed, offset = values[at]
        values = (*values[:at], Draw(len(rng), offset), *values[at + 1 :])
        b.graph.draws[len(rng)] = 1 << 20
        rng.append((seed, 0))
    inputs = [one(t) for t in harness.make_inputs(op, s)]
    n = b(op.name, inputs, *values) if op.variadic else b(op.name, *inputs, *values)
    outs = (
        [n] if type(n.type) is not tuple else [b.graph.output_of(n, j) for j in range(len(n.type))]
    )
    b.graph.outputs += outs
    names += [f"{op.name} {s.inputs} {s.attrs}"] * len(outs)


def _few(op):
    """Samples that differ in kind: at most eight, first of each combination of dtypes and
    layouts."""
    seen, out = set(), []
    for s in op.samples():
        if s.error:
            continue
        key = tuple(
            (
                getattr(m, "dtype", "number"),
                getattr(m, "layout", ""),
                len(getattr(m, "shape", ())),
                getattr(m, "values", None) == "special",
            )
            for m in s.inputs
        ) + (str(s.attrs),) * (not s.inputs)
        if key not in seen:
            seen.add(key)
            out.append(s)
    return out


def _complex(op, s):
    """Whether the call holds complex numbers, for which there is no generated code."""
    alone = Builder()
    _add(alone, op, s, [], [], [])
    return alone.graph.holds_complex()


def _compare(ops, samples):
    b, arrays, rng, names = Builder(), [], [], []
    for op in ops:
        for s in samples(op):
            if not _complex(op, s):
                _add(b, op, s, arrays, rng, names)
    if not names:
        return
    with np.errstate(all="ignore"):
        want, _ = interpret(b.graph, arrays, (), rng)
    got = program.build(b.graph).call(arrays, (), rng)
    for name, a, r in zip(names, got, want, strict=True):
        assert same_bits(a, r), name


@pytest.mark.parametrize("ops", _batches(), ids=lambda ops: f"{ops[0].name}-{ops[-1].name}")
def test_ops(ops):
    # op by op, so that a failure names its op; a quick choice of the samples
    ops = [op for op in ops if _capturable(op)]
    _compare(ops, lambda op: _few(op)[:8])


@pytest.mark.slow
@pytest.mark.parametrize(
    "op", [op for op in harness.ops() if op.kind in _KINDS], ids=lambda op: op.name
)
def test_all_samples(op):
    if _capturable(op):
        _compare([op], lambda op: [s for s in op.samples() if not s.error])


def _capturable(op):
    return op.lower is not None
