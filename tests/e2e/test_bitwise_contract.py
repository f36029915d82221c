"""The contract on a training run: a 784-256-128-10 network with dropout, batch 64, Adam, 50 steps
from one seed. Every loss and every parameter bit is equal between eager and compiled, one thread
and two, a cold cache and a warm one, and code built by gcc and by clang."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

RUN = """
import hashlib, sys
import numpy as np
import graphc as torch
from graphc import nn

compiled = sys.argv[1] == "compiled"
torch.manual_seed(3)
model = nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Dropout(0.2), nn.Linear(256, 128),
                      nn.ReLU(), nn.Dropout(0.2), nn.Linear(128, 10))
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

def step(x, y):
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(model(x), y)
    loss.backward()
    optimizer.step()
    return loss

if compiled:
    step = torch.compile(step, fullgraph=True)
digest = hashlib.sha256()
for i in range(50):
    g = np.random.default_rng(i)
    x = torch.from_numpy(g.standard_normal((64, 784), dtype=np.float32))
    digest.update(step(x, torch.from_numpy(g.integers(0, 10, 64))).detach().numpy().tobytes())
for p in model.parameters():
    digest.update(p.detach().numpy().tobytes())
from graphc.native import build, library
assert library.available()
print(digest.hexdigest(), build.runs)
"""


def run(mode: str, threads: int, cc: str, cache: str) -> tuple[str, int]:
    """(hash of all losses and parameters, compiler processes started)."""
    env = {
        **os.environ,
        "GRAPHC_NUM_THREADS": str(threads),
        "GRAPHC_CC": cc,
        "GRAPHC_CACHE_DIR": cache,
    }
    done = subprocess.run(
        [sys.executable, "-c", RUN, mode], env=env, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    digest, runs = done.stdout.split()
    return digest, int(runs)


@pytest.fixture(scope="module")
def gcc(tmp_path_factory):
    """A gcc cache folder with the native library in it, and the result to agree with."""
    cc = shutil.which("gcc") or shutil.which("cc")
    if cc is None:
        pytest.skip("no C compiler")
    cache = str(tmp_path_factory.mktemp("gcc"))
    return cc, cache, run("eager", 1, cc, cache)[0]


@pytest.mark.parametrize("mode,threads", [("eager", 2), ("compiled", 1), ("compiled", 2)])
def test_modes_and_threads(gcc, mode, threads):
    cc, cache, expected = gcc
    assert run(mode, threads, cc, cache)[0] == expected


def test_warm_cache_starts_no_compiler(gcc):
    cc, cache, expected = gcc
    run("compiled", 2, cc, cache)
    assert run("compiled", 2, cc, cache) == (expected, 0)


@pytest.mark.parametrize("mode", ["eager", "compiled"])
def test_clang_gives_the_same_bits(gcc, mode, tmp_path_factory):
    clang = shutil.which("clang")
    if clang is None:
        pytest.skip("no clang")
    assert run(mode, 2, clang, str(tmp_path_factory.getbasetemp() / "clang"))[0] == gcc[2]
