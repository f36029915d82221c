"""Random float graphs, forward and backward: eager, interpreted and compiled give the same bits.

Several programs share one C file; a failing file is split to name the program, which is then cut
down to the steps that matter. `pytest -m fuzz` draws a fresh seed; the plain suite runs a small
fixed sample."""

import sys
from pathlib import Path

import numpy as np
import pytest

import graphc
from graphc.base import pytree
from graphc.core.tensor import Tensor

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent / "capture")]
from harness import bits, strides  # noqa: E402
from programs import Program  # noqa: E402

PER_FILE = 8
# an error that compiled code alone meets is replayed away: here it is a failure
pytestmark = pytest.mark.filterwarnings("error:compiled code reported an error")


def outcome(fn, programs, call, resized=False):
    """Everything that running the programs gives, as bits."""
    leaves = [p.inputs(call, resized) for p in programs]
    graphc.manual_seed(call)
    out = fn(*[t for group in leaves for t in group])
    return [
        (bits(x), tuple(x.shape), x.dtype, strides(x)) if isinstance(x, Tensor) else x
        for x in pytree.flatten(out)[0]
    ]


def together(programs):
    """One function that runs several programs."""
    sizes = [len(p.leaves) for p in programs]

    def fn(*leaves):
        out, at = [], 0
        for p, n in zip(programs, sizes, strict=True):
            out.append(p.step(*leaves[at : at + n]))
            at += n
        return out

    return fn


def differ(a, b):
    for i, (x, y) in enumerate(zip(a, b, strict=True)):
        if isinstance(x, tuple) != isinstance(y, tuple):
            return f"result {i}: {x} {y}"
        if isinstance(x, tuple) and (x[1:] != y[1:] or not np.array_equal(x[0], y[0])):
            return f"result {i}: {x[1:]} {y[1:]}: {x[0].tolist()} {y[0].tolist()}"[:2000]
    return ""


def check(programs, backends=("interpret", "c")):
    """The first difference, or an empty text."""
    fn = together(programs)
    for backend in backends:
        compiled = graphc.compile(fn, backend=backend, fullgraph=True)
        for call in (0, 1):
            found = differ(outcome(fn, programs, call), outcome(compiled, programs, call))
            if found:
                return f"{backend}, call {call}: {found}"
    return ""


def check_sizes(program, backend):
    """The first difference when sizes change between calls, or an empty text; and whether a program
    with symbols for sizes was made."""
    fn = together([program])
    compiled = graphc.compile(fn, backend=backend, fullgraph=True)
    for call, resized in ((0, False), (1, True), (2, True), (3, True), (0, False)):
        try:
            wanted = outcome(fn, [program], call, resized)
        except Exception:  # noqa: BLE001  (the program is one for its own sizes)
            continue
        found = differ(wanted, outcome(compiled, [program], call, resized))
        if found:
            return f"{backend}, call {call}: {found}", True
    return "", any(s.captured.sizes for s in compiled.specialisations)


def run_sizes(seed, count):
    """Fails with the first program that is wrong at other sizes; how many served any size."""
    served = 0
    for i in range(count):
        p = Program(seed + i)
        try:
            found, any_size = check_sizes(p, "c" if i % 4 == 0 else "interpret")
        except Exception as e:  # noqa: BLE001
            found, any_size = repr(e), False
        if found:
            pytest.fail(f"seed {p.seed}: {found}\n{p!r}")
        served += any_size
    return served


def shrink(program):
    """The shortest prefix of a failing program that still fails."""
    steps = program.steps
    for n in range(1, len(steps)):
        program.steps = steps[:n]
        try:
            if check([program]):
                return program
        except Exception:  # noqa: BLE001
            return program
    program.steps = steps
    return program


def run(seed, count):
    for at in range(0, count, PER_FILE):
        programs = [Program(seed + i) for i in range(at, min(at + PER_FILE, count))]
        try:
            found = check(programs)
        except Exception as e:  # noqa: BLE001
            found = repr(e)
        if not found:
            continue
        for p in programs:
            try:
                one = check([p])
            except Exception as e:  # noqa: BLE001
                one = repr(e)
            if one:
                pytest.fail(f"{one}\n{shrink(p)!r}")
        pytest.fail(f"only together: seeds {[p.seed for p in programs]}: {found}")


@pytest.mark.parametrize(
    "seed",
    [
        31_000_294,  # windows of a sliced tensor add up over its gaps
        31_000_683,  # gcc aligned a local array too late
    ],
)
def test_once_wrong(seed):
    assert not check([Program(seed)])


@pytest.mark.parametrize(
    "seed",
    [
        869_483_815,  # two plans of one graph with an opaque operator
        31_001_301,  # logsumexp over nothing
    ],
)
def test_sizes_once_wrong(seed):
    assert not check_sizes(Program(seed), "c")[0]


def test_sample():
    run(1000, 24)


def test_sample_of_sizes():
    assert run_sizes(2000, 24) >= 6


@pytest.mark.fuzz
def test_fresh_sizes(fuzz_seed, fuzz_count):
    run_sizes(fuzz_seed, fuzz_count // 4)  # several programs each, one by one


@pytest.mark.fuzz
def test_fresh(fuzz_seed, fuzz_count):
    run(fuzz_seed, fuzz_count)
