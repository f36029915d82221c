"""The command line as a user meets it: each command in a process of its own, from an empty
folder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

PROGRAM = """
import graphc as torch

@torch.compile
def scaled(x):
    return torch.relu(x) * 2 + 1

@torch.compile
def listed(x):
    return x.tolist()[0]

def constant():
    return torch.exp(torch.ones(3))

def branch():
    x = torch.ones(3)
    if x.sum() > 2:
        return x
    return -x

def needs(x):
    return x

number = 3
scaled(torch.ones(4))
"""


@pytest.fixture
def graphc(tmp_path):
    """`graphc(*args)` runs a command; (exit status, stdout, stderr)."""
    (tmp_path / "prog.py").write_text(PROGRAM)

    def run(*args, **env):
        done = subprocess.run(
            [sys.executable, "-m", "graphc", *args],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
            env={**os.environ, "PYTHONPATH": str(ROOT), **env},
        )
        return done.returncode, done.stdout, done.stderr

    return run


def test_info(graphc):
    status, out, _ = graphc("info", GRAPHC_NUM_THREADS="1")
    assert status == 0
    assert out.startswith("graphc ")
    for text in (
        "C compiler:",
        "native kernels:",
        "bitwise contract:",
        "threads: 1\n",
        "GRAPHC_CACHE_DIR",
        "GRAPHC_NUM_THREADS=1 (default: 0)",
    ):
        assert text in out


def test_info_without_a_compiler(graphc, tmp_path):
    status, out, err = graphc("info", GRAPHC_NATIVE="0")
    assert status == 0
    assert "bitwise contract: off" in out
    assert "numpy alone" in err


def test_cache_info_and_clear(graphc, tmp_path):
    folder = str(tmp_path / "cache")
    status, out, _ = graphc("cache", "info", GRAPHC_CACHE_DIR=folder)
    assert status == 0
    assert folder in out and "entries: 0\n" in out
    assert graphc("cache", "clear", GRAPHC_CACHE_DIR=folder)[:2] == (0, "deleted 0 entries\n")


def test_inspect_shows_all(graphc):
    status, out, _ = graphc("inspect", "prog.py:scaled")
    assert status == 0
    for text in (
        "=== explain ===",
        "scaled (prog.py:4): 1 program(s)",
        "=== graph ===",
        "relu(in0)",
        "=== fused ===",
        "=== kernels ===",
        "prog.py:6: return torch.relu(x) * 2 + 1",
        "=== memory ===",
    ):
        assert text in out
    assert "for (int64_t" in out


def test_inspect_shows_one_view(graphc):
    status, out, _ = graphc("inspect", "prog.py:scaled", "--show", "source")
    assert status == 0
    assert out.startswith("/*") and "int run(const gc_api *api" in out
    status, out, _ = graphc("inspect", "prog.py:scaled", "--show", "graph")
    assert status == 0 and out.startswith("in0: f32[4]")


def test_inspect_calls_a_function_without_arguments(graphc):
    status, out, _ = graphc("inspect", "prog.py:constant", "--show", "explain")
    assert status == 0 and out.startswith("constant (prog.py:12): 1 program(s)")


@pytest.mark.parametrize(
    "target, message",
    [
        ("prog.py", "expected FILE.py:NAME"),
        ("other.py:scaled", "there is no file other.py"),
        ("prog.py:scale", "defines no scale; its compiled functions: scaled, listed"),
        ("prog.py:number", "number is a int, neither a function nor a Module"),
        ("prog.py:needs", "has not been called by prog.py"),
        ("prog.py:branch", "prog.py:17: if x.sum() > 2"),
    ],
)
def test_inspect_refuses(graphc, target, message):
    """What cannot be shown is said in a few lines, with status 2 and no traceback."""
    status, out, err = graphc("inspect", target)
    assert (status, out) == (2, "")
    assert message in err
    assert "Traceback" not in err and len(err.splitlines()) <= 10


def test_verify(graphc, tmp_path):
    status, out, err = graphc("verify", "prog.py:scaled")
    assert (status, err) == (0, "")
    assert out.startswith("scaled: 1 output, 0 updates, 0 gradients agree in bits")
    status, out, err = graphc("verify", "prog.py:needs")
    assert (status, out) == (2, "") and "has not been called by prog.py" in err


def test_verify_shows_a_difference(graphc, tmp_path):
    with open(tmp_path / "prog.py", "a") as file:
        file.write(
            "\nfrom graphc.compiler.passes import pipeline\n"
            "from graphc.ir.graph import rebuild\n"
            "def lose(graph):\n"
            "    graph = rebuild(graph)\n"
            "    graph.updates.clear()\n"
            "    return graph\n"
            "pipeline.PASSES = (*pipeline.PASSES, ('lose', lose))\n"
            "total = torch.zeros(3)\n"
            "def add_up():\n"
            "    total.add_(1)\n"
        )
    status, out, err = graphc(
        "verify", "prog.py:add_up", "--repro", "shown", GRAPHC_CACHE_DIR=str(tmp_path / "cache")
    )
    assert (status, out) == (1, "")
    assert "the pass lose is at fault" in err and "total.add_(1)" in err, err
    assert (tmp_path / "shown" / "repro.py").exists()


def test_inspect_says_why_a_called_function_runs_eagerly(graphc, tmp_path):
    with open(tmp_path / "prog.py", "a") as file:
        file.write("listed(torch.ones(2))\n")
    status, _, err = graphc("inspect", "prog.py:listed")
    assert status == 2
    assert (
        "was called, but could not be compiled" in err and "prog.py:10: return x.tolist()[0]" in err
    )


@pytest.mark.parametrize(
    "args",
    [
        [],
        ["dance"],
        ["demo", "--epochs", "0"],
        ["demo", "--threads", "x"],
        ["cache"],
        ["inspect", "prog.py:scaled", "--show", "all of it"],
    ],
)
def test_usage_errors(graphc, args):
    status, _, err = graphc(*args)
    assert status == 2
    assert "usage: python -m graphc" in err


def test_short_demo(graphc, tmp_path):
    """Two epochs: equal bits and a file that reads back decide; accuracy counts in the full run."""
    (tmp_path / "prog.py").unlink()
    status, out, _ = graphc("demo", "--epochs", "2", "--threads", "2")
    assert status == 0, out
    for text in (
        "epoch 2/2",
        "same bits:      yes, all 90 losses",
        "times as fast",
        "bits equal",
        "test accuracy:",
        "x = self.dropout(nn.functional.relu(self.second(x)))",
        "for (int64_t row",
    ):
        assert text in out
    assert not list(tmp_path.iterdir()), "the demo leaves files behind"


def test_demo_without_a_compiler(graphc):
    """It runs on numpy, says so, and promises no bits."""
    status, out, err = graphc("demo", "--epochs", "2", GRAPHC_NATIVE="0")
    assert status == 0, out
    assert "same bits:      not promised without a C compiler" in out and "no kernel to show" in out
    assert err.count("numpy alone") == 1


def test_full_demo_reaches_its_goal(graphc):
    status, out, err = graphc("demo")
    assert status == 0, out + err
    accuracy = next(line for line in out.splitlines() if line.startswith("test accuracy"))
    assert float(accuracy.split()[-2]) >= 95
