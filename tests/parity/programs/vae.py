"""The basic variational autoencoder on digits, its noise from numpy; the same loss by
distributions; and a prior sample decoded."""

import torch
import torch.nn.functional as F
from same import digits, gradients, numbers, start, step
from torch import nn, optim
from torch.distributions import Normal, kl_divergence

results = {}


class VAE(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(64, 24)
        self.fc21 = nn.Linear(24, 4)
        self.fc22 = nn.Linear(24, 4)
        self.fc3 = nn.Linear(4, 24)
        self.fc4 = nn.Linear(24, 64)

    def encode(self, x):
        h1 = F.relu(self.fc1(x))
        return self.fc21(h1), self.fc22(h1)

    def reparameterize(self, mu, logvar, eps):
        std = torch.exp(0.5 * logvar)
        return mu + eps * std

    def decode(self, z):
        h3 = F.relu(self.fc3(z))
        return torch.sigmoid(self.fc4(h3))

    def forward(self, x, eps):
        mu, logvar = self.encode(x.view(-1, 64))
        z = self.reparameterize(mu, logvar, eps)
        return self.decode(z), mu, logvar


def loss_function(recon_x, x, mu, logvar):
    BCE = F.binary_cross_entropy(recon_x, x.view(-1, 64), reduction="sum")
    KLD = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
    return BCE + KLD


data, _ = digits(128)
model = start(VAE())
optimizer = optim.Adam(model.parameters(), lr=1e-3)


@step
def update(data, eps):
    optimizer.zero_grad()
    recon_batch, mu, logvar = model(data, eps)
    loss = loss_function(recon_batch, data, mu, logvar)
    loss.backward()
    return recon_batch, mu, logvar, loss


model.train()
losses = []
for epoch in range(2):
    for batch_idx, batch in enumerate(data.split(32)):
        recon_batch, mu, logvar, loss = update(batch, numbers(32, 4, seed=10 + batch_idx))
        if not losses:
            results["output"] = recon_batch.detach()
            results.update(gradients(model))
            q = Normal(mu, torch.exp(0.5 * logvar))
            p = Normal(torch.zeros_like(mu), torch.ones_like(mu))
            results["divergence output"] = kl_divergence(q, p).sum().detach()
        losses.append(loss.item())
        optimizer.step()
        print(f"Train Epoch: {epoch} [{batch_idx * len(batch)}/{len(data)}]")
results["losses"] = losses
model.eval()
with torch.no_grad():
    sample = model.decode(numbers(8, 4, seed=3)).cpu()
    results["sample losses"] = sample.view(8, 1, 8, 8).mean(dim=(1, 2, 3))
