"""Super-resolution: an efficient sub-pixel convolutional network with PixelShuffle, and beside it
bilinear and bicubic enlargement; peak signal to noise ratio."""

from math import log10

import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.nn.init as init
import torch.optim as optim
from same import gradients, start, step, uniform

results = {}


class Net(nn.Module):
    def __init__(self, upscale_factor):
        super().__init__()
        self.relu = nn.ReLU()
        self.conv1 = nn.Conv2d(1, 8, (5, 5), (1, 1), (2, 2))
        self.conv2 = nn.Conv2d(8, 8, (3, 3), (1, 1), (1, 1))
        self.conv3 = nn.Conv2d(8, 4, (3, 3), (1, 1), (1, 1))
        self.conv4 = nn.Conv2d(4, upscale_factor**2, (3, 3), (1, 1), (1, 1))
        self.pixel_shuffle = nn.PixelShuffle(upscale_factor)
        self._initialize_weights()

    def forward(self, x):
        x = self.relu(self.conv1(x))
        x = self.relu(self.conv2(x))
        x = self.relu(self.conv3(x))
        x = self.pixel_shuffle(self.conv4(x))
        return x

    def _initialize_weights(self):
        init.orthogonal_(self.conv1.weight, init.calculate_gain("relu"))
        init.orthogonal_(self.conv2.weight, init.calculate_gain("relu"))
        init.orthogonal_(self.conv3.weight, init.calculate_gain("relu"))
        init.orthogonal_(self.conv4.weight)


model = start(Net(upscale_factor=2))
criterion = nn.MSELoss()
optimizer = optim.Adam(model.parameters(), lr=0.01)
target = uniform(4, 1, 16, 16, seed=1)
target = F.avg_pool2d(F.pad(target, (1, 1, 1, 1), mode="reflect"), 3, stride=1)
input = F.interpolate(target, scale_factor=0.5, mode="bilinear", align_corners=False)


@step
def update(input, target):
    optimizer.zero_grad()
    output = model(input)
    loss = criterion(output, target)
    loss.backward()
    return output, loss


losses = []
for iteration in range(4):
    output, loss = update(input, target)
    if iteration == 0:
        results["output"] = output.detach().clone()
        results.update(gradients(model))
    losses.append(loss.item())
    optimizer.step()
results["losses"] = losses
with torch.no_grad():
    mse = criterion(model(input), target)
    results["psnr losses"] = 10 * log10(1 / mse.item())
for mode in ("nearest", "bilinear", "bicubic"):
    larger = F.interpolate(input, size=(16, 16), mode=mode)
    results[f"{mode} output"] = larger
    results[f"{mode} output error"] = criterion(larger, target)
assert torch.equal(F.pixel_shuffle(F.pixel_unshuffle(target, 2), 2), target)
