"""Every file of examples/ runs, shortened by --quick, from an empty folder, and prints what it
promises."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
PROMISES = {
    "char_gpt": ["nats per letter, letter pairs"],
    "custom_function": ["gradcheck in float64: True"],
    "digits_compiled": ["losses have equal bits: True"],
    "digits_eager": ["test accuracy"],
    "gan": ["distance", "(first"],
    "graph_network": ["members right"],
    "inspect_kernels": ["torch.softmax(scores, dim=-1)", "not fused", "arena:"],
    "lenet": ["test accuracy"],
    "linear_regression": ["learned weights:"],
    "lstm_language_model": ["nats per letter (at first"],
    "unet": ["overlap of found and real discs"],
    "vae": ["nats per image"],
    "save_resume": ["every loss and every parameter has the same bits: True"],
}


def run(path: Path, folder: Path, *args: str) -> str:
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-W", "error", str(path), *args],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example(path, tmp_path):
    printed = run(path, tmp_path, "--quick")
    for text in PROMISES[path.stem]:
        assert text in printed
    assert not list(tmp_path.iterdir()), "an example leaves files behind"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_short_and_explained(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) < 100
    assert f"python examples/{path.name} [--quick]" in text.split('"""')[1]


def test_linear_regression_in_full(tmp_path):
    """The whole fit: y = (x1 + x2 - 1) / 2 is one of the solutions, the loss ends below 1e-3."""
    lines = run(ROOT / "examples" / "linear_regression.py", tmp_path).splitlines()
    final = next(line for line in lines if line.startswith("final loss"))
    assert float(final.split()[-1]) < 1e-3
    ((w1, w2),) = eval(lines[-1].split("weights:")[1].split("bias:")[0])
    (b,) = eval(lines[-1].split("bias:")[1])
    for x1, x2, y in [(1, 2, 1), (2, 3, 2), (3, 4, 3)]:
        # a mean of three squares below 1e-3: no error above sqrt(3e-3), plus rounding to 4 digits
        assert abs(w1 * x1 + w2 * x2 + b - y) < 0.06
