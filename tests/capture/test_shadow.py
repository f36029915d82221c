"""Shadow mode compares every compiled call with the eager kernels: equal bits pass, one wrong bit
is named."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import graphc as torch
from graphc.base.config import config
from graphc.compile import compile
from graphc.compiler.interpret.shadow import Difference, Shadow, differing

ROOT = Path(__file__).resolve().parents[2]
DEBUGGED = """
import graphc as torch
torch.compile(lambda x: torch.exp(x) + 1)(torch.ones(3))
"""


@pytest.fixture
def checked(monkeypatch):
    monkeypatch.setattr(config, "check", True)


def train(steps=4):
    torch.manual_seed(1)
    model = torch.nn.Sequential(
        torch.nn.Linear(5, 7), torch.nn.ReLU(), torch.nn.Dropout(0.5), torch.nn.Linear(7, 3)
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)

    @compile(fullgraph=True)
    def step(x, y):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    x, y = torch.randn(6, 5), torch.randint(0, 3, (6,))
    return [step(x, y).item() for _ in range(steps)], step


def test_a_training_run_passes_and_keeps_its_bits(checked, monkeypatch):
    losses, step = train()
    assert isinstance(step.program, Shadow)
    assert step.kernels and "int run(" in step.source
    monkeypatch.setattr(config, "check", False)
    assert train()[0] == losses


def test_a_compiled_function_with_a_backward_outside(checked):
    f = compile(lambda x: (torch.tanh(x) * x).sum(), fullgraph=True)
    x = torch.linspace(-1, 1, 9).requires_grad_()
    f(x).backward()
    assert x.grad.shape == (9,)


class Wrong:
    """A program whose results, or updates, are off by one bit at one place."""

    def __init__(self, program, where):
        self.program, self.where = program, where

    def call(self, arrays, scalars=(), rng=(), sizes=()):
        results = self.program.call(arrays, scalars, rng, sizes)
        a = results[0] if self.where == "result" else arrays[0]
        a.view(np.uint32)[2] ^= 1
        return results


@pytest.mark.parametrize("where, text", [("result", "result 0"), ("update", "the update of in0")])
def test_one_wrong_bit_is_named(checked, where, text):
    def add_one(x):
        x += 1
        return x * 2

    f = compile(add_one, fullgraph=True)
    f(torch.zeros(4))
    shadow = f.program
    shadow.program = Wrong(shadow.program, where)
    with pytest.raises(Difference) as e:
        f(torch.zeros(4))
    assert text in str(e.value) and "1 of 4 elements, the first at [2]" in str(e.value)
    assert "test_shadow.py" in str(e.value).splitlines()[0]


def test_run_time_errors_stay_eager_modes_own(checked):
    f = compile(lambda x, i: x.index_select(0, i), fullgraph=True)
    x = torch.arange(4.0)
    assert f(x, torch.tensor([1, 3])).tolist() == [1, 3]
    with pytest.raises(IndexError):
        f(x, torch.tensor([1, 4]))


def test_what_counts_as_different():
    """Signed zeros count, NaN payloads and signs do not."""
    a = np.array([0.0, np.nan, 1.0], np.float32)
    b = np.array([-0.0, -np.nan, 1.0], np.float32)
    assert differing(a, b).tolist() == [True, False, False]
    assert differing(np.array(1), np.array(2)).tolist() is True
    assert not differing(np.zeros((0, 3)), np.zeros((0, 3))).any()


@pytest.mark.parametrize(
    "level, shown, hidden",
    [
        ("0", [], ["graphc: compiled"]),
        ("1", ["graphc: compiled", "first call"], ["FLOP"]),
        ("2", ["graphc: compiled", "FLOP", "<string>:3", " us "], []),
    ],
)
def test_debug_levels(level, shown, hidden):
    """In a process of its own, since level 2 reports the times of the kernels at exit."""
    done = subprocess.run(
        [sys.executable, "-c", DEBUGGED],
        env={**os.environ, "GRAPHC_DEBUG": level, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == ""
    assert all(text in done.stderr for text in shown), done.stderr
    assert not any(text in done.stderr for text in hidden)
