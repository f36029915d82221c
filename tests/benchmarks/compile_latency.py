"""Seconds until a compiled function has given its first result, graphc against PyTorch where
installed.

    python tests/benchmarks/compile_latency.py [--no-torch] [--repeat 3]

Every measurement is a process of its own: first with an empty cache of programs (graphc's native
library, which is built once per machine, is there), then again with what the first run left on
disk. The import of the library is timed apart. Of several repetitions the fastest counts, for
each figure and each library. Nothing is asserted here.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

CHILD = """
import importlib, json, sys, time
start = time.perf_counter()
torch = importlib.import_module(sys.argv[1])
imported = time.perf_counter() - start
torch.set_num_threads(1)
x = torch.ones(64, 64).exp()        # the native library is loaded, and built where it is missing
nn = torch.nn
if sys.argv[2] == "pointwise chain and sum":
    def run(x):
        return (torch.tanh(x) * 2 + torch.sigmoid(x)).sum()
    args = (torch.randn(64, 64),)
elif sys.argv[2] == "training step of an MLP":
    model = nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(),
                          nn.Linear(128, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    def run(x, y):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss
    args = torch.randn(64, 784), torch.randint(0, 10, (64,))
if sys.argv[2] != "nothing":
    compiled = torch.compile(run)
    start = time.perf_counter()
    compiled(*args).item()
    print(json.dumps([imported, time.perf_counter() - start]))
"""


def first_result(library: str, case: str, folder: str) -> tuple[float, float]:
    """(seconds of the import, seconds of the first compiled call) in a fresh process."""
    env = {
        **os.environ,
        "GRAPHC_CACHE_DIR": folder,
        "TORCHINDUCTOR_CACHE_DIR": folder,
        "PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
    }
    done = subprocess.run(
        [sys.executable, "-c", CHILD, library, case],
        env=env,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return tuple(json.loads(done.stdout)) if done.stdout else (0.0, 0.0)


def measure(library: str, case: str, start: str) -> tuple[float, float, float]:
    """Seconds of the import, and of the first result with a copy of the folder `start` as the
    cache, and then with what that has become."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(start, folder, dirs_exist_ok=True)
        imported, cold = first_result(library, case, folder)
        return imported, cold, first_result(library, case, folder)[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--no-torch", action="store_true", help="graphc alone")
    parser.add_argument("--repeat", type=int, default=1)
    args = parser.parse_args()
    libraries = ["graphc"]
    if not args.no_torch and importlib.util.find_spec("torch"):
        libraries.append("torch")
    with tempfile.TemporaryDirectory() as start, tempfile.TemporaryDirectory() as empty:
        first_result("graphc", "nothing", start)  # builds the native library
        for case in ("pointwise chain and sum", "training step of an MLP"):
            print(case)
            times = {}
            for library in libraries:
                runs = [
                    measure(library, case, start if library == "graphc" else empty)
                    for _ in range(args.repeat)
                ]
                imported, cold, warm = map(min, zip(*runs, strict=True))
                times[library] = cold, warm
                print(
                    f"  {library:7} import {imported:.2f} s, first result {cold:.2f} s, "
                    f"in the next process {warm:.3f} s",
                    flush=True,
                )
            if len(times) == 2:
                cold, warm = (b / a for a, b in zip(times["graphc"], times["torch"], strict=True))
                print(
                    f"  graphc is there {cold:.0f} times as fast, "
                    f"in the next process {warm:.0f} times"
                )


if __name__ == "__main__":
    main()
