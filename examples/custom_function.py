"""A function with a gradient of its own: autograd.Function, gradcheck, and use in training.

python examples/custom_function.py [--quick]
"""

import sys

import graphc as torch

STEPS = 20 if "--quick" in sys.argv else 200


class Softsign(torch.autograd.Function):
    """x / (1 + |x|), whose derivative 1 / (1 + |x|)^2 needs one saved tensor only."""

    @staticmethod
    def forward(ctx, x):
        scale = 1 / (1 + x.abs())
        ctx.save_for_backward(scale)
        return x * scale

    @staticmethod
    def backward(ctx, grad):
        (scale,) = ctx.saved_tensors
        return grad * scale * scale


torch.manual_seed(0)
x = torch.randn(5, dtype=torch.float64, requires_grad=True)
print("gradcheck in float64:", torch.autograd.gradcheck(Softsign.apply, (x,)))

# a curve fitted with it: y = sin(2 x) from 16 units
points = torch.linspace(-1, 1, 64).unsqueeze(1)
target = torch.sin(2 * points)
w1 = torch.randn(1, 16, requires_grad=True)
b1 = torch.zeros(16, requires_grad=True)
w2 = (torch.randn(16, 1) / 4).requires_grad_()
optimizer = torch.optim.Adam([w1, b1, w2], lr=0.02)
for step in range(STEPS):
    optimizer.zero_grad()
    loss = ((Softsign.apply(points @ w1 + b1) @ w2 - target) ** 2).mean()
    loss.backward()
    optimizer.step()
    if step == 0 or (step + 1) % (STEPS // 4) == 0:
        print(f"step {step + 1:3}: loss {loss.item():.5f}")
