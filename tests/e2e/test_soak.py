"""Compiled programs come and go without a trace: loaded libraries, the allocator's live bytes,
Python objects and resident memory after many compile/delete cycles and many steps.

Run as a script (`python tests/e2e/test_soak.py CYCLES FRESH STEPS`) it prints the figures: FRESH of
the cycles compile a text that no cache has, the others load one of a few programs again, all of
them with new classes, functions and code objects."""

import gc
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
USER = """
class Double(graphc.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, g):
        return g * 2

class Model{i}(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.flag_{i} = nn.Linear(6, 5), {i}
        self.weight_{i} = nn.Parameter(graphc.randn(5, 3))

    def forward(self, x):
        return Double.apply(self.first(x).tanh()) @ self.weight_{i} + {constant}

def refused{i}(x):
    return x * 2 if x.sum() > 0 else x

def large{i}(x):
    return (x * {constant}).cumsum(0) @ x

model = Model{i}()
opt = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

def train(x):
    opt.zero_grad()
    loss = (model(x) ** 2).mean()
    loss.backward()
    opt.step()
    return loss
"""


def cycle(i, constant):
    """Compiles everything that leaves something behind, runs it and lets it go."""
    import graphc
    from graphc import nn, optim

    user = {"graphc": graphc, "nn": nn, "optim": optim}
    exec(compile(USER.format(i=i, constant=constant), "<user>", "exec"), user)  # noqa: S102
    x = graphc.randn(4, 6)
    step = graphc.compile(user["train"], fullgraph=True)
    step(x), step(x)
    model = graphc.compile(user["model"])
    out = model(x)
    out.sum().backward()
    model(x.requires_grad_())  # a history that no backward uses
    (g,) = graphc.autograd.grad(model(x).square().sum(), x, create_graph=True)
    g.sum().backward()
    graphc.compile(user[f"refused{i}"])(x)
    big = graphc.compile(user[f"large{i}"])
    kept = big(graphc.ones(600, 600))  # beyond 1 MB: memory of graphc's allocator
    assert kept.shape == (600, 600) and step.specialisations and model.specialisations
    return kept.sum().item()


def libraries():
    """How many shared objects of graphc are mapped."""
    with open("/proc/self/maps", encoding="utf-8") as file:
        fields = [line.split(None, 5) for line in file if "/entries/" in line or ":graphc" in line]
    return len({(device, inode) for _, _, _, device, inode, _ in fields})


def resident():
    with open("/proc/self/smaps_rollup", encoding="utf-8") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith("Rss:"))


def live():
    from graphc.native import cpu, library

    out = cpu.ffi().new("int64_t[3]")
    signature = "void(int64_t *, int64_t *, int64_t *)"
    library.fn("gc_alloc_stats", signature)(out, out + 1, out + 2)
    return out[0]


def figures():
    """After a collection, and without the freed blocks that the allocator keeps for reuse: how many
    there are depends on when Python collected."""
    from graphc.native import library

    gc.collect()
    library.fn("gc_alloc_trim", "void(void)")()
    return [resident(), libraries(), live(), len(gc.get_objects())]


def soak(cycles, fresh, steps):
    """Figures before, and after each tenth of the cycles, then of the steps."""
    import warnings

    import graphc
    from graphc.native import build

    warnings.simplefilter("ignore")
    every = cycles // fresh
    samples = []
    for i in range(cycles):
        cycle(i, f"{i}.25" if i % every == 0 else f"{i % 3}.5")
        if i % 10 == 9:
            samples.append((i + 1, *figures()))
    runs = build.runs
    w = graphc.randn(8, 8, requires_grad=True)
    opt = graphc.optim.Adam([w], lr=1e-3)

    @graphc.compile(fullgraph=True)
    def step(x):
        opt.zero_grad()
        loss = (x @ w).square().mean()
        loss.backward()
        opt.step()
        return loss

    large = graphc.compile(lambda x: x * 2 + 1)
    x, big = graphc.randn(4, 8), graphc.ones(600, 600)
    for _ in range(100):
        step(x), large(big)
    before = figures()
    for i in range(steps):
        step(x)
        if i % 10 == 0:
            large(big)
    after = figures()
    return {"cycles": samples, "runs": runs, "steps": [before, after]}


def run(tmp_path, cycles, fresh, steps):
    """`soak` in a process of its own, with a cache that holds the native library only."""
    from graphc.native import library
    from graphc.native.cache import disk_cache

    if not library.available():
        pytest.skip("no native kernels")
    if not os.path.exists("/proc/self/smaps_rollup"):
        pytest.skip("reads Linux's /proc")
    key = library.cache_key()
    shutil.copytree(disk_cache().entries / key, tmp_path / "v1" / "entries" / key)
    environment = {**os.environ, "GRAPHC_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    environment.pop("GRAPHC_CHECK", None)
    done = subprocess.run(
        [sys.executable, __file__, str(cycles), str(fresh), str(steps)],
        cwd=ROOT, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def check(found, fresh):
    """No net library, live byte or Python object, cycle by cycle and step by step."""
    assert found["runs"] >= 3 * fresh  # those cycles did compile
    first = found["cycles"][2]
    for sample in found["cycles"][2:]:
        assert sample[2:4] == [1, 0], sample  # the native library alone; nothing live
        assert abs(sample[4] - first[4]) < 50, (first, sample)
    before, after = found["steps"]
    assert after[1:3] == before[1:3] and abs(after[3] - before[3]) < 50


def slope(samples):
    """Bytes of resident memory per cycle, after the first 100."""
    rest = np.array([s[:2] for s in samples if s[0] >= 100], float)
    return np.polyfit(rest[:, 0], rest[:, 1], 1)[0]


def test_150_cycles_and_2000_steps(tmp_path):
    found = run(tmp_path, 150, 3, 2000)
    check(found, 3)
    # Python's table of interned names, which each cycle adds to, doubles by 0.9 MB at some point
    assert found["cycles"][-1][1] - found["cycles"][3][1] < 3 << 19
    assert found["steps"][1][0] - found["steps"][0][0] < 1 << 20


@pytest.mark.slow
def test_1000_cycles_and_10000_steps(tmp_path):
    found = run(tmp_path, 1000, 100, 10_000)
    check(found, 100)
    assert slope(found["cycles"]) <= 2048
    assert found["steps"][1][0] - found["steps"][0][0] < 1 << 20


if __name__ == "__main__":
    print(json.dumps(soak(*map(int, sys.argv[1:]))))
