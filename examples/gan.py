"""A generative adversarial network of handwritten digits (Goodfellow et al. 2014, arXiv:1406.2661):
two models, two optimizers, two compiled training steps.

python examples/gan.py [--quick]
"""

import sys

import graphc as torch
from graphc import nn
from graphc.utils.data import DataLoader, TensorDataset

EPOCHS = 2 if "--quick" in sys.argv else 150
LATENT, BATCH = 16, 64

torch.manual_seed(0)
images, _ = torch.datasets.digits("train")
real = images.flatten(1) * 2 - 1
loader = DataLoader(TensorDataset(real), batch_size=BATCH, shuffle=True, drop_last=True)
generator = nn.Sequential(
    nn.Linear(LATENT, 128), nn.LeakyReLU(0.2), nn.Linear(128, 128), nn.LeakyReLU(0.2),
    nn.Linear(128, 64), nn.Tanh(),
)  # fmt: skip
critic = nn.Sequential(
    nn.Linear(64, 128), nn.LeakyReLU(0.2), nn.Dropout(0.3),
    nn.Linear(128, 64), nn.LeakyReLU(0.2), nn.Dropout(0.3), nn.Linear(64, 1),
)  # fmt: skip
for_generator = torch.optim.Adam(generator.parameters(), lr=1e-3, betas=(0.5, 0.999))
for_critic = torch.optim.Adam(critic.parameters(), lr=1e-3, betas=(0.5, 0.999))
judge = nn.BCEWithLogitsLoss()
YES, NO = torch.full((BATCH, 1), 0.9), torch.zeros(BATCH, 1)


@torch.compile(fullgraph=True)
def critic_step(x):
    fake = generator(torch.randn(BATCH, LATENT)).detach()
    for_critic.zero_grad()
    loss = judge(critic(x), YES) + judge(critic(fake), NO)
    loss.backward()
    for_critic.step()
    return loss


@torch.compile(fullgraph=True)
def generator_step():
    for_generator.zero_grad()
    loss = judge(critic(generator(torch.randn(BATCH, LATENT))), YES)
    loss.backward()
    for_generator.step()
    return loss


@torch.no_grad()
def distance():
    """Fréchet distance of pixels: how far mean and covariance of made images are from real ones,
    with the covariances' square roots replaced by those of their diagonals."""
    made = generator(torch.randn(len(real), LATENT))
    means = ((made.mean(0) - real.mean(0)) ** 2).sum()
    return (means + ((made.std(0) - real.std(0)) ** 2).sum()).item()


first = distance()
for epoch in range(EPOCHS):
    for (x,) in loader:
        critic_loss, generator_loss = critic_step(x), generator_step()
    if (epoch + 1) % max(1, EPOCHS // 5) == 0:
        print(
            f"epoch {epoch + 1:3}: critic {critic_loss.item():.3f}, "
            f"generator {generator_loss.item():.3f}, distance {distance():.2f} (first {first:.2f})"
        )
with torch.no_grad():
    made = ((generator(torch.randn(4, LATENT)) + 1) / 2).view(4, 8, 8)
for row in made.transpose(0, 1):
    print(
        "  ".join("".join(" .:-=+*#%@"[int(9.99 * v)] * 2 for v in part) for part in row.tolist())
    )
if EPOCHS > 2 and distance() > first / 10:
    sys.exit("the generator did not come near the real images")
