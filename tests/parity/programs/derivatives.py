"""Programs that differentiate derivatives: a physics-informed network for the heat equation, a
real-valued flow with coupling layers and its log-determinant, a gradient penalty, and a Hamiltonian
network."""

import math

import torch
import torch.nn as nn
from same import gradients, numbers, start, step, uniform
from torch import autograd

results = {}


# 1. u_t = 0.1 u_xx, u(x, 0) = sin(pi x), u(0, t) = u(1, t) = 0
class PINN(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 1)
        )

    def forward(self, x, t):
        return self.net(torch.cat([x, t], dim=1))


def residual(model, x, t):
    u = model(x, t)
    u_t = autograd.grad(u, t, torch.ones_like(u), create_graph=True, retain_graph=True)[0]
    u_x = autograd.grad(u, x, grad_outputs=torch.ones_like(u), create_graph=True)[0]
    u_xx = autograd.grad(u_x, x, grad_outputs=torch.ones_like(u_x), create_graph=True)[0]
    return u_t - 0.1 * u_xx


model = start(PINN())
optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
x0, t0 = uniform(16, 1, seed=1), torch.zeros(16, 1)
losses = []
for epoch in range(4):
    x = uniform(24, 1, seed=10 + epoch).requires_grad_(True)
    t = uniform(24, 1, seed=20 + epoch).requires_grad_(True)
    optimizer.zero_grad()
    f = residual(model, x, t)
    start_loss = ((model(x0, t0) - torch.sin(math.pi * x0)) ** 2).mean()
    edge = torch.cat([torch.zeros(8, 1), torch.ones(8, 1)])
    edge_loss = (model(edge, x0) ** 2).mean()
    loss = (f**2).mean() + start_loss + edge_loss
    loss.backward()
    if epoch == 0:
        results["pinn output"] = f.detach()
        results.update(gradients(model, "pinn "))
    optimizer.step()
    losses.append(loss.item())
results["pinn losses"] = losses


# 2. a flow of affine couplings
class Coupling(nn.Module):
    def __init__(self, mask, width=12):
        super().__init__()
        self.register_buffer("mask", mask)
        self.s = nn.Sequential(nn.Linear(2, width), nn.LeakyReLU(), nn.Linear(width, 2), nn.Tanh())
        self.t = nn.Sequential(nn.Linear(2, width), nn.LeakyReLU(), nn.Linear(width, 2))

    def forward(self, x):
        kept = x * self.mask
        s, t = self.s(kept) * (1 - self.mask), self.t(kept) * (1 - self.mask)
        return kept + (1 - self.mask) * (x - t) * torch.exp(-s), -s.sum(dim=1)

    def inverse(self, z):
        kept = z * self.mask
        s, t = self.s(kept) * (1 - self.mask), self.t(kept) * (1 - self.mask)
        return kept + (1 - self.mask) * (z * s.exp() + t)


class RealNVP(nn.Module):
    def __init__(self):
        super().__init__()
        masks = torch.tensor([[0.0, 1.0], [1.0, 0.0]] * 2)
        self.layers = nn.ModuleList(Coupling(mask) for mask in masks)

    def log_prob(self, x):
        log_det = x.new_zeros(x.shape[0])
        for layer in reversed(self.layers):
            x, d = layer(x)
            log_det += d
        return -0.5 * (x**2).sum(1) - math.log(2 * math.pi) + log_det

    def sample(self, z):
        for layer in self.layers:
            z = layer.inverse(z)
        return z


flow = start(RealNVP())
optimizer = torch.optim.Adam([p for p in flow.parameters() if p.requires_grad], lr=1e-2)


@step
def update(x):
    optimizer.zero_grad()
    loss = -flow.log_prob(x).mean()
    loss.backward()
    return loss


losses = []
for i in range(4):
    angle = 2 * math.pi * uniform(32, seed=30 + i)
    x = torch.stack([angle.cos(), angle.sin()], 1) + 0.1 * numbers(32, 2, seed=40 + i)
    loss = update(x)
    if i == 0:
        results.update(gradients(flow, "flow "))
    optimizer.step()
    losses.append(loss.item())
results["flow losses"] = losses
with torch.no_grad():
    results["flow sample losses"] = flow.sample(numbers(8, 2, seed=5))
# the log-determinant is the Jacobian's
point = numbers(2, seed=6)
J = torch.autograd.functional.jacobian(lambda p: flow.layers[0](p[None])[0][0], point)
assert torch.allclose(J.det().abs().log(), flow.layers[0](point[None])[1][0], atol=1e-5)

# 3. the gradient penalty of a Wasserstein critic
critic = start(nn.Sequential(nn.Linear(2, 16), nn.SiLU(), nn.Linear(16, 1)), 3)
real, fake, alpha = numbers(12, 2, seed=7), numbers(12, 2, seed=8), uniform(12, 1, seed=9)
interpolates = (alpha * real + (1 - alpha) * fake).requires_grad_(True)
disc = critic(interpolates)
grads = autograd.grad(
    outputs=disc, inputs=interpolates, grad_outputs=torch.ones(disc.size()),
    create_graph=True, retain_graph=True, only_inputs=True,
)[0]  # fmt: skip
penalty = ((grads.view(grads.size(0), -1).norm(2, dim=1) - 1) ** 2).mean() * 10
(critic(fake).mean() - critic(real).mean() + penalty).backward()
results["penalty output"] = penalty.detach()
results.update(gradients(critic, "critic "))

# 4. a Hamiltonian network: time derivatives are rotated gradients
H = start(nn.Sequential(nn.Linear(2, 16), nn.Softplus(), nn.Linear(16, 1)), 4)
optimizer = torch.optim.NAdam(H.parameters(), lr=1e-2)
rotate = torch.tensor([[0.0, 1.0], [-1.0, 0.0]])
losses = []
for i in range(4):
    state = numbers(16, 2, seed=50 + i).requires_grad_()
    field = autograd.grad(H(state).sum(), state, create_graph=True)[0] @ rotate.T
    loss = (field - state.detach() @ rotate.T).pow(2).mean()
    optimizer.zero_grad()
    loss.backward()
    if i == 0:
        results.update(gradients(H, "hamiltonian "))
    optimizer.step()
    losses.append(loss.item())
results["hamiltonian losses"] = losses
