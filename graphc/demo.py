"""The main job on real data: trains a small network on handwritten digits, eagerly and as one
compiled step, and shows that both give the same bits, what compiling gains, and what a generated
kernel looks like.

Written as a user would write it; its lines are the ones that the generated kernel names.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import graphc as torch
from graphc import nn

EPOCHS, BATCH = 30, 32
GOAL = 0.95  # share of the test images to be classified right after EPOCHS


class Digits(nn.Module):
    """64 pixels -> 128 -> 64 -> 10 classes, with dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(64, 128)
        self.second = nn.Linear(128, 64)
        self.last = nn.Linear(64, 10)
        self.dropout = nn.Dropout(0.1)

    def forward(self, x: Any) -> Any:
        x = nn.functional.relu(self.first(x))
        x = self.dropout(nn.functional.relu(self.second(x)))
        return self.last(x)


def make_step(model: Any, optimizer: Any) -> Callable:
    """One training step: forward, loss, backward, update."""

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step


class Trained(NamedTuple):
    """What a training run gives: the seconds of each step beside the results."""

    model: Any
    losses: list[float]
    seconds: list[float]
    step: Any


def progress(label: str, done: int, total: int, note: str) -> None:
    """A bar that is redrawn on a terminal; elsewhere only its last state is written."""
    terminal = sys.stdout.isatty()
    if terminal or done == total:
        filled = 30 * done // total
        bar = "#" * filled + "." * (30 - filled)
        print(
            f"{chr(13) if terminal else ''}{label:8} [{bar}] epoch {done}/{total}, {note}",
            end="\n" if done == total else "",
            flush=True,
        )


def train(compiled: bool, epochs: int) -> Trained:
    """Trains from one fixed seed."""
    torch.manual_seed(0)
    images, labels = torch.datasets.digits("train")
    data = torch.utils.data.TensorDataset(images.reshape(-1, 64), labels)
    loader = torch.utils.data.DataLoader(data, batch_size=BATCH, shuffle=True, drop_last=True)
    model = Digits()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    step: Any = make_step(model, optimizer)
    if compiled:
        step = torch.compile(step, fullgraph=True)
    losses: list[float] = []
    seconds: list[float] = []
    for epoch in range(epochs):
        for x, y in loader:
            start = time.perf_counter()
            loss = step(x, y)
            seconds.append(time.perf_counter() - start)
            losses.append(loss.item())
        mean = sum(losses[-len(loader) :]) / len(loader)
        progress("compiled" if compiled else "eager", epoch + 1, epochs, f"loss {mean:.4f}")
    return Trained(model, losses, seconds, step)


def accuracy(model: Any) -> float:
    """Share of the test images that are classified right."""
    images, labels = torch.datasets.digits("test")
    model.eval()
    with torch.no_grad():
        right = (model(images.reshape(-1, 64)).argmax(1) == labels).float().mean().item()
    model.train()
    return right


def saved_and_loaded(model: Any) -> tuple[Any, int]:
    """(a new network with the weights read back from a file, bytes of the file)."""
    with tempfile.TemporaryDirectory(prefix="graphc_demo_") as folder:
        path = os.path.join(folder, "digits.pt")
        torch.save(model.state_dict(), path)
        again = Digits()
        again.load_state_dict(torch.load(path))
        return again, os.path.getsize(path)


def equal(a: Any, b: Any) -> bool:
    """Whether two networks have the same parameters, bit for bit."""
    return all(
        torch.equal(p.detach(), q.detach())
        for p, q in zip(a.parameters(), b.parameters(), strict=True)
    )


def median(seconds: list[float]) -> float:
    """The middle one, in microseconds."""
    return sorted(seconds)[len(seconds) // 2] * 1e6


def _count(n: int, what: str) -> str:
    return f"{n} {what}{'s' * (n != 1)}"


def show_kernel(step: Any) -> None:
    """Prints the kernel that bias, relu and dropout became."""
    if not step.kernels:
        print("no kernel to show: nothing can be compiled here (see `python -m graphc info`)")
        return
    chosen = next((k for k in step.kernels if {"relu", "uniform"} <= set(k.ops)), step.kernels[0])
    print(f"One of its {len(step.kernels)} kernels, with the lines it comes from:\n")
    print(f"{chosen.source.rstrip()}\n")


def report(eager: Trained, compiled: Trained) -> bool:
    """Compares the two runs; whether they agree as far as this machine promises."""
    same = eager.losses == compiled.losses and equal(eager.model, compiled.model)
    native = bool(compiled.step.kernels)  # else numpy does the work, and promises no bits
    verdict = "yes" if same else "NO"
    if native:
        print(f"same bits:      {verdict}, all {len(eager.losses)} losses and all parameters")
        how = "from the cache on disk" if compiled.step.program.cached else "and kept on disk"
        print(f"first step:     compiled in {compiled.seconds[0]:.2f} s, {how}")
    else:
        print("same bits:      not promised without a C compiler")
    slow, fast = median(eager.seconds), median(compiled.seconds)
    print(
        f"one step:       eager {slow:.0f} us, compiled {fast:.0f} us (medians): "
        f"{slow / fast:.1f} times as fast"
    )
    return same or not native


def main(epochs: int = EPOCHS, threads: int | None = None) -> int:
    """Runs the demo; 1 when eager and compiled results differ, or when the network should have
    learnt enough (`epochs` of at least EPOCHS) and has not."""
    begin = time.perf_counter()
    if threads:
        torch.set_num_threads(threads)
    print(f"graphc {torch.__version__} on {_count(torch.get_num_threads(), 'thread')}")
    print("Handwritten digits (UCI, real scans): 1,442 images to train on, 355 to test on.")
    print(f"Network 64-128-64-10 with dropout, Adam, batches of {BATCH};", end=" ")
    print("once eager, once as one compiled step:\n", flush=True)
    eager = train(False, epochs)
    compiled = train(True, epochs)
    print()
    agree = report(eager, compiled)
    again, size = saved_and_loaded(compiled.model)
    kept = equal(compiled.model, again)
    score = accuracy(again)
    print(f"saved, loaded:  {size / 1000:.0f} kB, {'bits equal' if kept else 'BITS DIFFER'}")
    print(f"test accuracy:  {100 * score:.1f} %\n")
    show_kernel(compiled.step)
    print(f"done in {time.perf_counter() - begin:.1f} s")
    learnt = score >= GOAL or epochs < EPOCHS
    if not learnt:
        print(f"the accuracy should be at least {100 * GOAL:.0f} %", file=sys.stderr)
    return 0 if agree and kept and learnt else 1
