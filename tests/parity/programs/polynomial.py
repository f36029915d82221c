"""Four ways to fit a third-order polynomial to a sine, after the introduction to PyTorch by
examples: gradients by hand, autograd, layers with an optimizer, and a Function of one's own."""

import math

import torch
import torch.nn as nn
from same import start

results = {}
dtype = torch.get_default_dtype()
x = torch.linspace(-math.pi, math.pi, 200, dtype=dtype)
y = torch.sin(x)

# 1. tensors alone: the chain rule is written out
a, b, c, d = (torch.tensor(v, dtype=dtype) for v in (0.3, -0.5, 0.1, 0.02))
losses = []
for t in range(20):
    y_pred = a + b * x + c * x**2 + d * x**3
    losses.append((y_pred - y).pow(2).sum().item())
    grad_y_pred = 2.0 * (y_pred - y)
    grads = [(grad_y_pred * x**k).sum() for k in range(4)]
    a, b, c, d = (p - 1e-6 * g for p, g in zip((a, b, c, d), grads))
results["by hand losses"] = losses

# 2. autograd
weights = [
    torch.tensor(v, dtype=dtype, requires_grad=True) for v in (0.3, -0.5, 0.1, 0.02)
]
losses = []
for t in range(20):
    a, b, c, d = weights
    loss = (a + b * x + c * x**2 + d * x**3 - y).pow(2).sum()
    losses.append(loss.item())
    loss.backward()
    if t == 0:
        results["autograd grads"] = [w.grad.clone() for w in weights]
    with torch.no_grad():
        for w in weights:
            w -= 1e-6 * w.grad
            w.grad = None
results["autograd losses"] = losses

# 3. layers and an optimizer
p = torch.tensor([1, 2, 3])
xx = x.unsqueeze(-1).pow(p)
model = start(torch.nn.Sequential(torch.nn.Linear(3, 1), torch.nn.Flatten(0, 1)), 1)
loss_fn = torch.nn.MSELoss(reduction="sum")
optimizer = torch.optim.RMSprop(model.parameters(), lr=1e-3)
losses = []
for t in range(20):
    y_pred = model(xx)
    if t == 0:
        results["layers output"] = y_pred.detach()
    loss = loss_fn(y_pred, y)
    losses.append(loss.item())
    optimizer.zero_grad()
    loss.backward()
    if t == 0:
        results["layers grad weight"] = model[0].weight.grad.clone()
    optimizer.step()
results["layers losses"] = losses
linear_layer = model[0]
print(f"y = {linear_layer.bias.item()} + {linear_layer.weight[:, 0].item()} x + ...")


# 4. a Function of one's own: the third Legendre polynomial
class LegendrePolynomial3(torch.autograd.Function):
    @staticmethod
    def forward(ctx, input):
        ctx.save_for_backward(input)
        return 0.5 * (5 * input**3 - 3 * input)

    @staticmethod
    def backward(ctx, grad_output):
        (input,) = ctx.saved_tensors
        return grad_output * 1.5 * (5 * input**2 - 1)


class Polynomial3(nn.Module):
    """a + b P3(c + d x)"""

    def __init__(self):
        super().__init__()
        self.a = nn.Parameter(torch.full((), 0.0, dtype=dtype))
        self.b = nn.Parameter(torch.full((), -1.0, dtype=dtype))
        self.c = nn.Parameter(torch.full((), 0.0, dtype=dtype))
        self.d = nn.Parameter(torch.full((), 0.3, dtype=dtype))

    def forward(self, x):
        P3 = LegendrePolynomial3.apply
        return self.a + self.b * P3(self.c + self.d * x)

    def string(self):
        return f"y = {self.a.item()} + {self.b.item()} * P3({self.c.item()} + {self.d.item()} x)"


model = Polynomial3()
optimizer = torch.optim.SGD(model.parameters(), lr=5e-6)
losses = []
for t in range(20):
    y_pred = model(x)
    loss = (y_pred - y).pow(2).sum()
    losses.append(loss.item())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
results["function losses"] = losses
results["function grads"] = [q.grad.clone() for q in model.parameters()]
print(model.string())
