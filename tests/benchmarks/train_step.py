"""Time of a training step, graphc against PyTorch where that is installed, eager and compiled, in
one run.

    python tests/benchmarks/train_step.py [--threads 1] [--rounds 9] [--torch-compile]

A 784-256-128-10 network with ReLU, cross-entropy, Adam, batches of 64; zero_grad, forward, loss,
backward and update are one step, and `compiled` compiles all of it. The contestants take turns,
so that a busy machine slows all of them; a turn gives the fastest of its steps. Printed are the
medians over the turns, and the median of the ratios within a round with its quartiles. Nothing is
asserted here.
"""

from __future__ import annotations

import argparse
import importlib
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))


def step_of(torch: Any, compiled: bool) -> Callable[[], Any]:
    """A step of either library, by the same code."""
    nn = torch.nn
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10)
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    x, y = torch.randn(64, 784), torch.randint(0, 10, (64,))

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    run = torch.compile(step) if compiled else step
    return lambda: run(x, y)


def fastest(step: Callable[[], Any], seconds: float) -> float:
    """Seconds of the fastest step of a turn."""
    best, end = float("inf"), time.perf_counter() + seconds
    while (start := time.perf_counter()) < end:
        step()
        best = min(best, time.perf_counter() - start)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=0.3, help="length of a turn")
    parser.add_argument(
        "--torch-compile", action="store_true", help="also torch.compile (20 s and more)"
    )
    args = parser.parse_args()
    contestants: dict[str, Callable[[], Any]] = {}
    for name in ("graphc", "torch"):
        try:
            torch = importlib.import_module(name)
        except ModuleNotFoundError:
            print(f"{name} is not installed")
            continue
        torch.set_num_threads(args.threads)
        contestants[f"{name} eager"] = step_of(torch, False)
        if name == "graphc" or args.torch_compile:
            contestants[f"{name} compiled"] = step_of(torch, True)
    for step in contestants.values():
        for _ in range(10):
            step()
    turns: dict[str, list[float]] = {name: [] for name in contestants}
    for r in range(args.rounds):
        for name in list(contestants)[:: 1 if r % 2 else -1]:
            turns[name].append(fastest(contestants[name], args.seconds))
    for name, times in turns.items():
        print(
            f"{name:16} {statistics.median(times) * 1e6:8.0f} us a step, {args.threads} thread(s)"
        )
    for base in ("torch eager", "torch compiled", "graphc eager"):
        for name in ("graphc eager", "graphc compiled"):
            if base in turns and base != name:
                ratios = [a / b for a, b in zip(turns[base], turns[name], strict=True)]
                low, middle, high = statistics.quantiles(ratios, n=4)
                print(
                    f"{name} is {middle:.2f} times as fast as {base} "
                    f"(quartiles {low:.2f} to {high:.2f})"
                )


if __name__ == "__main__":
    main()
