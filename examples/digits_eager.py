"""Trains a small network on handwritten digits in eager mode: every operation runs at once.

python examples/digits_eager.py [--quick]
"""

import sys
import time

import graphc as torch
from graphc import nn
from graphc.utils.data import DataLoader, TensorDataset

EPOCHS = 3 if "--quick" in sys.argv else 20

torch.manual_seed(0)
images, labels = torch.datasets.digits("train")  # (1442, 8, 8) in 0..1, (1442,)
test_images, test_labels = torch.datasets.digits("test")
loader = DataLoader(TensorDataset(images, labels), batch_size=32, shuffle=True)

model = nn.Sequential(
    nn.Flatten(),
    nn.Linear(64, 128),
    nn.GELU(),
    nn.LayerNorm(128),
    nn.Linear(128, 10),
)
optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01)
loss_fn = nn.CrossEntropyLoss()
print(model)

for epoch in range(EPOCHS):
    start, total = time.perf_counter(), 0.0
    for x, y in loader:
        optimizer.zero_grad()
        loss = loss_fn(model(x), y)
        loss.backward()
        optimizer.step()
        total += loss.item() * len(x)
    with torch.no_grad():
        right = (model(test_images).argmax(1) == test_labels).float().mean().item()
    print(
        f"epoch {epoch + 1:2}: training loss {total / len(labels):.4f}, "
        f"test accuracy {100 * right:.1f} %, {time.perf_counter() - start:.2f} s"
    )
