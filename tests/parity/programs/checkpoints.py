"""The parts around a training loop: parameter groups, chained schedules, clipped and accumulated
gradients, averaged weights, hooks, and a run that stops, is saved, loaded and goes on."""

import copy
import io

import torch
import torch.nn as nn
import torch.nn.functional as F
from same import gradients, integers, numbers, start
from torch.nn.utils import clip_grad_norm_, clip_grad_value_, parameters_to_vector
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    ExponentialLR,
    LinearLR,
    MultiStepLR,
    OneCycleLR,
    SequentialLR,
)
from torch.optim.swa_utils import AveragedModel

results = {}
x, y = numbers(32, 6, seed=1), integers(4, 32, seed=2)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 12), nn.BatchNorm1d(12), nn.SiLU())
        self.head = nn.Linear(12, 4)
        self.seen = []
        self.body.register_forward_hook(lambda module, args, out: self.seen.append(out.shape))

    def forward(self, x):
        return self.head(self.body(x))


def make(kind):
    model = start(Net())
    groups = [
        {"params": model.body.parameters(), "lr": 0.02},
        {"params": model.head.parameters()},
    ]
    return model, {
        "SGD": lambda: torch.optim.SGD(groups, lr=0.05, momentum=0.9, dampening=0.1),
        "Adam": lambda: torch.optim.Adam(groups, lr=0.05, amsgrad=True),
        "AdamW": lambda: torch.optim.AdamW(groups, lr=0.05, weight_decay=0.1),
        "RMSprop": lambda: torch.optim.RMSprop(groups, lr=0.05, centered=True),
        "Adagrad": lambda: torch.optim.Adagrad(groups, lr=0.05, lr_decay=0.01),
    }[kind]()


def schedule_of(kind, optimizer):
    return {
        "SGD": lambda: SequentialLR(
            optimizer,
            [LinearLR(optimizer, 0.1, total_iters=2), CosineAnnealingLR(optimizer, 4)],
            milestones=[2],
        ),
        "Adam": lambda: OneCycleLR(optimizer, max_lr=[0.05, 0.1], total_steps=8),
        "AdamW": lambda: CosineAnnealingWarmRestarts(optimizer, T_0=2, T_mult=2),
        "RMSprop": lambda: MultiStepLR(optimizer, milestones=[2, 4], gamma=0.1),
        "Adagrad": lambda: ExponentialLR(optimizer, gamma=0.8),
    }[kind]()


def train(model, optimizer, scheduler, epochs):
    losses, rates, norms = [], [], []
    for epoch in epochs:
        optimizer.zero_grad()
        for part in (slice(0, 16), slice(16, 32)):
            loss = F.cross_entropy(model(x[part]), y[part]) / 2
            loss.backward()
        norms.append(clip_grad_norm_(model.parameters(), 0.5).item())
        clip_grad_value_(model.parameters(), 0.2)
        optimizer.step()
        scheduler.step()
        losses.append(loss.item())
        rates.append(scheduler.get_last_lr())
    return losses, rates, norms


for kind in ("SGD", "Adam", "AdamW", "RMSprop", "Adagrad"):
    model, optimizer = make(kind)
    scheduler = schedule_of(kind, optimizer)
    averaged = AveragedModel(model)
    first, rates, norms = train(model, optimizer, scheduler, range(3))
    averaged.update_parameters(model)
    file = io.BytesIO()
    checkpoint = {
        "epoch": 3,
        "model_state_dict": model.state_dict(),
        "optimizer_state_dict": optimizer.state_dict(),
        "scheduler_state_dict": scheduler.state_dict(),
        "losses": first,
    }
    torch.save(checkpoint, file)
    straight, _, _ = train(model, optimizer, scheduler, range(3, 6))
    averaged.update_parameters(model)

    file.seek(0)
    loaded = torch.load(file, weights_only=True, map_location="cpu")
    other, optimizer = make(kind)
    scheduler = schedule_of(kind, optimizer)
    other.load_state_dict(loaded["model_state_dict"])
    optimizer.load_state_dict(loaded["optimizer_state_dict"])
    scheduler.load_state_dict(loaded["scheduler_state_dict"])
    resumed, later, _ = train(other, optimizer, scheduler, range(loaded["epoch"], 6))
    assert resumed == straight
    mine, theirs = (parameters_to_vector(m.parameters()) for m in (other, model))
    assert torch.equal(mine, theirs)
    twin = copy.deepcopy(other).eval()
    with torch.no_grad():
        assert torch.equal(twin(x), other.eval()(x))
    results[f"{kind} losses"] = first + resumed
    results[f"{kind} norms losses"] = norms
    results[f"{kind} rates"] = rates + later
    results[f"{kind} weights losses"] = parameters_to_vector(averaged.parameters()).detach()
    print(sorted(optimizer.state_dict()["state"][0]), len(model.seen), model.seen[0])

model, _ = make("SGD")
F.cross_entropy(model(x), y).backward()
results.update(gradients(model))
print(list(model.state_dict()), model)
