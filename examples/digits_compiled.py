"""The same training as one compiled function: zero_grad, forward, loss, backward and optimizer step
run as one native call, and the losses are those of eager mode, bit for bit.

python examples/digits_compiled.py [--quick]
"""

import sys
import time

import graphc as torch
from graphc import nn
from graphc.utils.data import DataLoader, TensorDataset

EPOCHS = 2 if "--quick" in sys.argv else 15


def train(compiled):
    """(losses of all steps, seconds spent in steps after the first) from one fixed seed."""
    torch.manual_seed(0)
    images, labels = torch.datasets.digits("train")
    # batches of one size: another size would be another program
    loader = DataLoader(TensorDataset(images, labels), batch_size=32, shuffle=True, drop_last=True)
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(64, 128), nn.ReLU(), nn.Dropout(0.1), nn.Linear(128, 10)
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)

    def step(x, y):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    if compiled:
        step = torch.compile(step, fullgraph=True)
    losses, times = [], []
    for _ in range(EPOCHS):
        for x, y in loader:
            start = time.perf_counter()
            loss = step(x, y)
            times.append(time.perf_counter() - start)
            losses.append(loss.item())
    name = "compiled" if compiled else "eager"
    print(
        f"{name:8}: last loss {losses[-1]:.6f}, first step {1e3 * times[0]:.1f} ms, "
        f"median step {1e6 * sorted(times)[len(times) // 2]:.0f} us"
    )
    return losses


eager, compiled = train(False), train(True)
print(f"all {len(eager)} losses have equal bits:", eager == compiled)
if eager != compiled:
    sys.exit(1)
