"""A variational autoencoder of handwritten digits (Kingma & Welling 2013, arXiv:1312.6114); the
training step, random numbers included, is one compiled program.

python examples/vae.py [--quick]
"""

import sys

import graphc as torch
from graphc import nn
from graphc.nn import functional as F
from graphc.utils.data import DataLoader, TensorDataset

EPOCHS = 2 if "--quick" in sys.argv else 60


class VAE(nn.Module):
    def __init__(self, latent=8):
        super().__init__()
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(64, 128), nn.ReLU())
        self.mean, self.log_var = nn.Linear(128, latent), nn.Linear(128, latent)
        self.decoder = nn.Sequential(nn.Linear(latent, 128), nn.ReLU(), nn.Linear(128, 64))

    def forward(self, x):
        h = self.encoder(x)
        mean, log_var = self.mean(h), self.log_var(h)
        z = mean + torch.randn_like(mean) * torch.exp(0.5 * log_var)
        return self.decoder(z), mean, log_var


def bound(logits, x, mean, log_var):
    """Negative evidence lower bound, in nats per image."""
    fit = F.binary_cross_entropy_with_logits(logits, x.flatten(1), reduction="sum")
    divergence = -0.5 * torch.sum(1 + log_var - mean**2 - log_var.exp())
    return (fit + divergence) / len(x)


def picture(image):
    """An 8 x 8 image as text."""
    return "\n".join("".join(" .:-=+*#%@"[int(9.99 * v)] * 2 for v in row) for row in image)


torch.manual_seed(0)
images, _ = torch.datasets.digits("train")
held_out, _ = torch.datasets.digits("test")
loader = DataLoader(TensorDataset(images), batch_size=64, shuffle=True, drop_last=True)
model = VAE()
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)


@torch.compile(fullgraph=True)
def step(x):
    optimizer.zero_grad()
    logits, mean, log_var = model(x)
    loss = bound(logits, x, mean, log_var)
    loss.backward()
    optimizer.step()
    return loss


def test():
    with torch.no_grad():
        logits, mean, log_var = model(held_out)
        return bound(logits, held_out, mean, log_var).item()


first = test()
for epoch in range(EPOCHS):
    total = sum(step(x).item() for (x,) in loader) / len(loader)
    if (epoch + 1) % max(1, EPOCHS // 6) == 0:
        print(f"epoch {epoch + 1:2}: train {total:6.2f}, test {test():6.2f} nats per image")
last = test()
with torch.no_grad():
    made = torch.sigmoid(model.decoder(torch.randn(2, 8))).view(2, 8, 8).tolist()
for rows in zip(*[picture(image).split("\n") for image in made], strict=True):
    print("   ".join(rows))
if last >= first or (EPOCHS > 2 and last > 25.5):
    sys.exit("the model did not learn as much as it should")
