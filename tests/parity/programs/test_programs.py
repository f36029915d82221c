"""Programs as they are: each file of this folder that is a program runs under PyTorch and under
graphc from equal weights and data; what it puts into `results` has to agree.

A result whose name ends in "losses" is taken after steps of an optimizer; the others are outputs
and gradients at the start. Every bound is derived where it stands.
"""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.parity

HERE = Path(__file__).parent
PROGRAMS = sorted(
    path.stem for path in HERE.glob("*.py") if path.stem not in ("run", "same", "test_programs")
)
COMPILED = [
    name
    for name in PROGRAMS
    if re.search(r"^from same import .*\bstep\b", (HERE / f"{name}.py").read_text(), re.M)
]


def results(library, program, folder, *runs):
    """run -> result's name -> array."""
    out = folder / f"{library}.npz"
    command = [sys.executable, str(HERE / "run.py"), library, program, str(out), *runs]
    root = str(HERE.parents[2])
    paths = os.pathsep.join(p for p in (root, os.environ.get("PYTHONPATH")) if p)
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": paths},
    )
    assert done.returncode == 0, f"{program} under {library}:\n{done.stderr[-3000:]}"
    found = {run: {} for run in runs}
    with np.load(out) as archive:
        for name in archive.files:
            run, _, result = name.partition("/")
            found[run][result] = archive[name]
    return found


def scale(array):
    return np.abs(array).max(initial=0.0)


def largest(found):
    """The scale of the program's gradients at the start."""
    return max((scale(v) for k, v in found.items() if "grad" in k and not after(k)), default=0.0)


def after(name):
    return name.endswith("losses")


def check(ours, theirs, nudged):
    """All of graphc's float64 results against PyTorch's."""
    assert sorted(ours) == sorted(theirs)
    # A gradient that vanishes identically (a bias before batch normalisation) is left with the
    # rounding of terms as large as the other gradients: some tens of their last places.
    floor = 64 * np.finfo(np.float64).eps * largest(theirs)
    for name, want in theirs.items():
        got = ours[name]
        if name == "printed":
            assert words(got) == words(want)
            continue
        assert (got.dtype, got.shape) == (want.dtype, want.shape), name
        if want.dtype.kind != "f":
            assert np.array_equal(got, want), name
            continue
        if after(name):
            # Steps amplify differences. How much, PyTorch itself tells when its weights and data
            # start 1e-10 away, each up or down at random; ten times that for a worse direction.
            bound = 1e-10 * scale(want) + 10 * scale(nudged[name] - want)
        else:
            bound = 1e-10 * scale(want) + floor
        difference = scale(got - want)
        assert difference <= bound, f"{name}: {difference:.3g} apart, allowed {bound:.3g}"


def words(printed):
    """What was printed, without the digits of fractions."""
    return re.sub(r"-?\d+\.\d+(e[-+]?\d+)?", "#", str(printed))


def error(found, exact):
    """The largest error at the start, in units of a result's scale; a result that vanishes
    identically is measured by the others' scale."""
    whole = largest(exact)
    worst = 0.0
    for name, value in exact.items():
        if name == "printed" or value.dtype.kind != "f" or after(name):
            continue
        own = scale(value)
        own = own if own > 1e-9 * whole else whole
        worst = max(worst, scale(found[name] - value) / own if own else 0.0)
    return worst


# float32: the error is at most twice PyTorch's and two ULP. In these programs long products decide:
# PyTorch adds them in lanes of sixteen or more, graphc in chains of up to 256; errors of a chain
# grow as the root of its length, so by a factor of four.
CHAINS = ("neural_style", "seq2seq")


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs PyTorch")
@pytest.mark.parametrize("program", PROGRAMS)
def test_program_gives_pytorchs_results(program, tmp_path):
    theirs = results("torch", program, tmp_path, "float64", "nudged", "float32")
    ours = results("graphc", program, tmp_path, "float64", "float32")
    check(ours["float64"], theirs["float64"], theirs["nudged"])
    factor = 4 if program in CHAINS else 2
    allowed = factor * error(theirs["float32"], theirs["float64"]) + 2 * np.finfo(np.float32).eps
    got = error(ours["float32"], theirs["float64"])
    assert got <= allowed, f"float32: error {got:.3g}, allowed {allowed:.3g}"


@pytest.mark.parametrize("program", COMPILED)
def test_compiled_steps_give_the_same_bits(program, tmp_path):
    found = results("graphc", program, tmp_path, "float64", "compiled")
    for name, want in found["float64"].items():
        got = found["compiled"][name]
        assert got.tobytes() == want.tobytes(), name


def test_enough_programs():
    assert set(CHAINS) <= set(PROGRAMS)
    assert len(PROGRAMS) >= 20 and len(COMPILED) >= 6


WRONG = {
    "output": np.array([1.0, 2.0 + 1e-8]),
    "grad w": np.array([0.5, 2e-9]),
    "losses": np.array([1.0, 0.9 + 1e-8]),
    "tokens": np.array([3, 2]),
    "printed": np.array("loss 0.5 of 4"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_result_is_noticed(name):
    right = {
        "output": np.array([1.0, 2.0]),
        "grad w": np.array([0.5, 1e-9]),
        "losses": np.array([1.0, 0.9]),
        "tokens": np.array([3, 1]),
        "printed": np.array("loss 0.5 of 3"),
    }
    nudged = {**right, "losses": right["losses"] + 1e-10}
    check({**right, "output": right["output"] + 1e-11}, right, nudged)
    with pytest.raises(AssertionError):
        check({**right, name: WRONG[name]}, right, nudged)
