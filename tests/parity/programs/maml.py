"""Meta-learning of sine waves: an inner loop on functional parameters through which the outer loss
is differentiated, by hand, by functional_call, and of first order."""

import math
from collections import OrderedDict

import torch
import torch.nn as nn
import torch.nn.functional as F
from same import gradients, start, uniform
from torch.func import functional_call, grad, vmap

results = {}


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.l1 = nn.Linear(1, 16)
        self.l2 = nn.Linear(16, 16)
        self.l3 = nn.Linear(16, 1)

    def forward(self, x):
        return self.l3(torch.tanh(self.l2(torch.tanh(self.l1(x)))))


def by_hand(params, x):
    w1, b1, w2, b2, w3, b3 = params
    x = F.linear(x, w1, b1).tanh()
    x = F.linear(x, w2, b2).tanh()
    return F.linear(x, w3, b3)


def get_samples_in_good_range(num_samples, seed):
    amplitude, phase, x = uniform(4, 1, 1, seed=seed), uniform(4, 1, 1, seed=seed + 1), []
    x = uniform(4, num_samples, 1, seed=seed + 2) * 10 - 5
    return x, (0.1 + 4.9 * amplitude) * torch.sin(x + math.pi * phase)


def adapt(params, x, y, create_graph, lr=0.03, steps=2):
    for _ in range(steps):
        loss = F.mse_loss(by_hand(params, x), y)
        grads = torch.autograd.grad(loss, params, create_graph=create_graph)
        params = [p - lr * g for p, g in zip(params, grads)]
    return params


for name, second in (("second", True), ("first", False)):
    net = start(Net())
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    losses = []
    for it in range(3):
        x1, y1 = get_samples_in_good_range(5, seed=100 * it)
        x2, y2 = get_samples_in_good_range(5, seed=100 * it + 50)
        loss2 = 0.0
        for task in range(4):
            adapted = adapt(list(net.parameters()), x1[task], y1[task], second)
            loss2 = loss2 + F.mse_loss(by_hand(adapted, x2[task]), y2[task]) / 4
        optimizer.zero_grad()
        loss2.backward()
        if it == 0:
            results.update(gradients(net, f"{name} order "))
        optimizer.step()
        losses.append(loss2.item())
    results[f"{name} order losses"] = losses

# the same with functions of functions, all tasks at once
net = start(Net())
params = {k: v.detach() for k, v in net.named_parameters()}


def compute_loss(params, x, y):
    return F.mse_loss(functional_call(net, params, (x,)), y)


def task_loss(params, x1, y1, x2, y2):
    adapted = OrderedDict(params)
    for _ in range(2):
        grads = grad(compute_loss)(adapted, x1, y1)
        adapted = {k: v - 0.03 * grads[k] for k, v in adapted.items()}
    return compute_loss(adapted, x2, y2)


def meta_loss(params, x1, y1, x2, y2):
    return vmap(task_loss, in_dims=(None, 0, 0, 0, 0))(params, x1, y1, x2, y2).mean()


x1, y1 = get_samples_in_good_range(5, seed=0)
x2, y2 = get_samples_in_good_range(5, seed=50)
found = grad(meta_loss)(params, x1, y1, x2, y2)
for key, value in found.items():
    results[f"vmap grad {key}"] = value
    assert torch.allclose(value, results[f"second order grad {key}"], rtol=1e-3, atol=1e-5)
results["vmap output"] = meta_loss(params, x1, y1, x2, y2)
