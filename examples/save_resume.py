"""Saves a training run half-way and resumes it: the rest has the same bits as a run never
interrupted.

python examples/save_resume.py [--quick]
"""

import os
import sys
import tempfile

import graphc as torch
from graphc import nn
from graphc.utils.data import DataLoader, TensorDataset

EPOCHS = 2 if "--quick" in sys.argv else 10


class Run:
    """A training run with all of its state: network, optimizer, schedule, random numbers, epoch."""

    def __init__(self):
        torch.manual_seed(0)
        self.loader = DataLoader(
            TensorDataset(*torch.datasets.digits("train")), batch_size=64, shuffle=True
        )
        self.model = nn.Sequential(
            nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Dropout(0.2), nn.Linear(64, 10)
        )
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.1, momentum=0.9)
        self.schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, T_max=EPOCHS)
        self.epoch, self.losses = 0, []

    def train(self, until):
        """Runs epochs up to `until`."""
        while self.epoch < until:
            for x, y in self.loader:
                self.optimizer.zero_grad()
                loss = nn.functional.cross_entropy(self.model(x), y)
                loss.backward()
                self.optimizer.step()
                self.losses.append(loss.item())
            self.schedule.step()
            self.epoch += 1
        return self

    def save(self, path):
        torch.save(
            {
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "schedule": self.schedule.state_dict(),
                "random": torch.get_rng_state(),
                "epoch": self.epoch,
                "losses": self.losses,
            },
            path,
        )

    def load(self, path):
        state = torch.load(path)
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        torch.set_rng_state(state["random"])
        self.epoch, self.losses = state["epoch"], state["losses"]
        return self


whole = Run().train(EPOCHS)
print(f"uninterrupted: {EPOCHS} epochs, last loss {whole.losses[-1]!r}")

with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "run.pt")
    Run().train(EPOCHS // 2).save(path)
    print(f"saved after {EPOCHS // 2} epochs: {os.path.getsize(path)} bytes")
    resumed = Run().load(path).train(EPOCHS)
print(f"resumed:       {EPOCHS} epochs, last loss {resumed.losses[-1]!r}")

same = whole.losses == resumed.losses and all(
    torch.equal(a, b) for a, b in zip(whole.model.parameters(), resumed.model.parameters())
)
print("every loss and every parameter has the same bits:", same)
if not same:
    sys.exit(1)
