"""Cost of guards: how long a compiled call takes to find that nothing has changed.

    python tests/benchmarks/guard_cost.py [--seconds 0.5]

The entry of a program is cut off before it runs anything and timed; the tensors that it checks are
counted. The aim is at most 5 us + 0.1 us per tensor. Nothing is asserted here."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import graphc
from graphc import nn, optim
from graphc.nn import functional as F

SCALE = 2.0


def trivial() -> tuple[Callable, tuple]:
    return graphc.compile(lambda x: x * SCALE + 1), (graphc.ones(4),)


def arguments(n: int) -> tuple[Callable, tuple]:
    def total(*xs: Any) -> Any:
        return sum(xs)

    return graphc.compile(total), tuple(graphc.ones(4) for _ in range(n))


class Block(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.first, self.second = nn.Linear(width, width), nn.Linear(width, width)
        self.norm, self.scale = nn.LayerNorm(width), 0.5

    def forward(self, x: Any) -> Any:
        return x + self.scale * self.second(F.relu(self.first(self.norm(x))))


def inference(depth: int) -> tuple[Callable, tuple]:
    model = nn.Sequential(*[Block(4) for _ in range(depth)]).eval()
    for p in model.parameters():
        p.requires_grad_(False)
    return graphc.compile(model), (graphc.ones(2, 4),)


def training(depth: int) -> tuple[Callable, tuple]:
    model = nn.Sequential(*[Block(4) for _ in range(depth)])
    optimizer = optim.Adam(model.parameters(), lr=1e-3)

    def step(x: Any) -> Any:
        optimizer.zero_grad()
        loss = model(x).square().mean()
        loss.backward()
        optimizer.step()
        return loss

    return graphc.compile(step), (graphc.ones(2, 4),)


def guards_of(compiled: Any) -> tuple[Callable, int, int]:
    """The entry without its program, how many tensors it looks at, and how many facts."""
    call = compiled._calls[0]
    names = dict(call.__globals__)
    cut = [
        i for i, line in enumerate(call.source.splitlines()) if line.startswith("    outs = run(")
    ]
    text = "\n".join(call.source.splitlines()[: cut[0]]) + "\n    return None\n"
    exec(text, names)  # noqa: S102
    c = compiled.specialisations[0].captured
    tensors = {id(t) for t in c.reads.tensors.values()}
    tensors |= {id(x) for x in c.leaves if isinstance(x, graphc.Tensor)}
    tensors |= {id(s.ref) for s in c.sources if s.kind == "held"}
    return names["call"], len(tensors), len(c.reads.every_call)


def fastest(f: Callable, args: tuple, seconds: float) -> float:
    """Seconds per call: the best of many short rounds, which a busy machine interrupts less."""
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        for _ in range(10):
            f(args, {})
        best = min(best, (time.perf_counter() - start) / 10)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=0.5, help="per case")
    options = parser.parse_args()
    cases = {
        "one tensor": trivial(),
        "8 arguments": arguments(8),
        "64 arguments": arguments(64),
        "model, 1 block": inference(1),
        "model, 12 blocks": inference(12),
        "step, 1 block": training(1),
        "step, 12 blocks": training(12),
    }
    print(f"{'':18} {'tensors':>7} {'facts':>6} {'us':>8} {'aim, us':>8}")
    for name, (compiled, args) in cases.items():
        compiled(*args)
        compiled(*args)
        check, tensors, facts = guards_of(compiled)
        if check(args, {}) is not None:
            compiled(*args)
            check, tensors, facts = guards_of(compiled)
        assert check(args, {}) is None, "the guards do not hold"
        us = fastest(check, args, options.seconds) * 1e6
        print(f"{name:18} {tensors:7} {facts:6} {us:8.2f} {5 + 0.1 * tensors:8.2f}")


if __name__ == "__main__":
    main()
