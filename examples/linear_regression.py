"""Fits y = w1 * x1 + w2 * x2 + b to three points with nn.Linear, MSELoss, Adam and a DataLoader.

python examples/linear_regression.py [--quick]
"""

import sys

import graphc as torch
from graphc import nn
from graphc.utils.data import DataLoader, Dataset

EPOCHS = 100 if "--quick" in sys.argv else 1000


class Points(Dataset):
    """[[1, 2], [2, 3], [3, 4]] -> [1, 2, 3]."""

    def __init__(self):
        self.x = torch.tensor([[1.0, 2.0], [2.0, 3.0], [3.0, 4.0]])
        self.y = torch.tensor([[1.0], [2.0], [3.0]])

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        return self.x[i], self.y[i]


torch.manual_seed(0)
data = Points()
loader = DataLoader(data, batch_size=2, shuffle=True)
model = nn.Linear(2, 1)
loss_fn = nn.MSELoss()
optimizer = torch.optim.Adam(model.parameters(), lr=0.1)

for epoch in range(EPOCHS):
    for x, y in loader:
        optimizer.zero_grad()
        loss = loss_fn(model(x), y)
        loss.backward()
        optimizer.step()
    if (epoch + 1) % (EPOCHS // 5) == 0:
        print(f"epoch {epoch + 1:4}: loss {loss.item():.2e}")

with torch.no_grad():
    final = loss_fn(model(data.x), data.y).item()
print(f"final loss {final:.2e}")
print(
    "learned weights:",
    [[round(w, 4) for w in row] for row in model.weight.tolist()],
    "bias:",
    [round(b, 4) for b in model.bias.tolist()],
)
if EPOCHS == 1000 and final >= 1e-3:
    sys.exit("the fit failed: the final loss should be below 1e-3")
