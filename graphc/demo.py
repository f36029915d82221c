"""The main job on real data: trains a small network on handwritten digits, eagerly and as one compiled step,
and shows that both give the same bits, what compiling gains, and what a generated kernel looks like."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import graphc as torch
from graphc import nn

BATCH = 32


class Digits(nn.Module):
    """64 pixels -> 128 -> 64 -> 10 classes, with dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(64, 128)
        self.middle = nn.Linear(128, 64)
        self.out = nn.Linear(64, 10)
        self.drop = nn.Dropout(0.1)

    def forward(self, x: Any) -> Any:
        x = nn.functional.relu(self.hidden(x))
        x = self.drop(nn.functional.relu(self.middle(x)))
        return self.out(x)


def make_step(model: Any, optimizer: Any) -> Callable:
    """One training step: forward, loss, backward, update."""
    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss
    return step


def progress(label: str, done: int, total: int, note: str) -> None:
    """One line that is redrawn on a terminal; on a file only its last state is written."""
    if sys.stdout.isatty() or done == total:
        filled = 30 * done // total
        bar = "#" * filled + "." * (30 - filled)
        end = "\n" if done == total else ""
        print(f"\r{label:9} [{bar}] {done}/{total} {note}" if sys.stdout.isatty()
              else f"{label:9} [{bar}] {done}/{total} {note}", end=end, flush=True)


def train(compiled: bool, epochs: int) -> tuple[Any, list[float], float, Any]:
    """(model, losses of every step, seconds of a step at best, the step function), from one fixed seed."""
    torch.manual_seed(0)
    images, labels = torch.datasets.digits("train")
    data = torch.utils.data.TensorDataset(images.reshape(-1, 64), labels)
    loader = torch.utils.data.DataLoader(data, batch_size=BATCH, shuffle=True, drop_last=True)
    model = Digits()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    step = make_step(model, optimizer)
    if compiled:
        step = torch.compile(step, fullgraph=True)
    losses, best = [], float("inf")
    for epoch in range(epochs):
        for x, y in loader:
            start = time.perf_counter()
            loss = step(x, y)
            best = min(best, time.perf_counter() - start)
            losses.append(loss.item())
        progress("compiled" if compiled else "eager", epoch + 1, epochs, f"loss {losses[-1]:.4f}")
    return model, losses, best, step


def accuracy(model: Any) -> float:
    """Share of the test images that are classified right."""
    images, labels = torch.datasets.digits("test")
    model.eval()
    with torch.no_grad():
        right = (model(images.reshape(-1, 64)).argmax(1) == labels).float().mean().item()
    model.train()
    return right


def main(epochs: int = 30, threads: int | None = None) -> int:
    """Runs the demo; 1 when eager and compiled results differ or accuracy is below 95 %."""
    begin = time.perf_counter()
    print(f"graphc {torch.__version__}: training on 1,442 handwritten digits, testing on 355 (UCI)")
    if threads:
        torch.set_num_threads(threads)
    eager, eager_losses, eager_time, _ = train(False, epochs)
    compiled, losses, compiled_time, step = train(True, epochs)
    same = losses == eager_losses and all(
        torch.equal(a, b) for a, b in zip(eager.parameters(), compiled.parameters(), strict=True))
    print(f"same bits in all {len(losses)} losses and all parameters: {'yes' if same else 'NO'}")
    print(f"one step: eager {eager_time * 1e6:.0f} us, compiled {compiled_time * 1e6:.0f} us "
          f"({eager_time / compiled_time:.1f} times as fast)")
    score = accuracy(compiled)
    print(f"test accuracy: {100 * score:.1f} %")
    folder = tempfile.mkdtemp(prefix="graphc_demo_")
    path = os.path.join(folder, "digits.pt")
    torch.save(compiled.state_dict(), path)
    again = Digits()
    again.load_state_dict(torch.load(path))
    print(f"saved {os.path.getsize(path) // 1024} KB and loaded it again: accuracy {100 * accuracy(again):.1f} %")
    os.remove(path)
    os.rmdir(folder)
    kernels = step.kernels
    if kernels:
        chosen = min((k for k in kernels if len(k.ops) > 1), key=lambda k: len(k.source), default=kernels[0])
        print(f"\none of the {len(kernels)} kernels of the compiled step:\n\n{chosen}\n\n{chosen.source.rstrip()}\n")
    print(f"done in {time.perf_counter() - begin:.1f} s")
    return 0 if same and score >= 0.95 else 1
