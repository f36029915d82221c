"""A small U-Net (Ronneberger et al. 2015, arXiv:1505.04597) finds the discs in noisy pictures of
discs and squares, pixel by pixel.

python examples/unet.py [--quick]
"""

import sys

import graphc as torch
from graphc import nn
from graphc.nn import functional as F

SIZE, BATCH = 32, 16
STEPS = 4 if "--quick" in sys.argv else 150


def pictures(count):
    """Pictures [count, 1, SIZE, SIZE] with one disc and one square each, and masks of the discs."""
    rows = torch.arange(SIZE).view(SIZE, 1).expand(SIZE, SIZE)
    columns = rows.t()

    def places():
        return (torch.rand(3, count, 1, 1) * SIZE).unbind()

    (y, x, _), (v, u, _) = places(), places()
    radius = 4 + 4 * torch.rand(count, 1, 1)
    disc = (rows - y) ** 2 + (columns - x) ** 2 <= radius**2
    square = ((rows - v).abs() <= radius) & ((columns - u).abs() <= radius) & ~disc
    noise = 0.3 * torch.randn(count, SIZE, SIZE)
    return ((disc | square) + noise).unsqueeze(1), disc.float().unsqueeze(1)


def double(inputs, outputs):
    """Two convolutions with what belongs to them."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(),
        nn.Conv2d(outputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(),
    )  # fmt: skip


class UNet(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.first, self.second = double(1, width), double(width, 2 * width)
        self.bottom = double(2 * width, 4 * width)
        self.up2 = nn.ConvTranspose2d(4 * width, 2 * width, 2, stride=2)
        self.up1 = nn.ConvTranspose2d(2 * width, width, 2, stride=2)
        self.third, self.fourth = double(4 * width, 2 * width), double(2 * width, width)
        self.out = nn.Conv2d(width, 1, 1)

    def forward(self, x):
        a = self.first(x)
        b = self.second(F.max_pool2d(a, 2))
        c = self.bottom(F.max_pool2d(b, 2))
        d = self.third(torch.cat([self.up2(c), b], dim=1))
        return self.out(self.fourth(torch.cat([self.up1(d), a], dim=1)))


@torch.no_grad()
def overlap(model, count=64):
    """Intersection over union of the found discs and the real ones."""
    model.eval()
    x, mask = pictures(count)
    found, real = model(x) > 0, mask > 0.5
    model.train()
    return ((found & real).sum() / (found | real).sum()).item()


torch.manual_seed(0)
model = UNet()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
for i in range(STEPS):
    x, mask = pictures(BATCH)
    loss = F.binary_cross_entropy_with_logits(model(x), mask)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if (i + 1) % max(1, STEPS // 5) == 0:
        print(f"step {i + 1:3}: loss {loss.item():.4f}", flush=True)
found = overlap(model)
print(f"overlap of found and real discs: {found:.1%}")
if STEPS > 4 and found < 0.75:
    sys.exit("the network did not learn as much as it should")
