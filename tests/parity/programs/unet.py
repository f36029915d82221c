"""A U-Net with both kinds of up-sampling, skips joined after padding, dice and cross-entropy
losses, gradients collected over two batches, and a plateau schedule."""

import torch
import torch.nn as nn
import torch.nn.functional as F
from same import gradients, integers, numbers, start

results = {}


class DoubleConv(nn.Module):
    """(convolution => [BN] => ReLU) * 2"""

    def __init__(self, in_channels, out_channels, mid_channels=None):
        super().__init__()
        if not mid_channels:
            mid_channels = out_channels
        self.double_conv = nn.Sequential(
            nn.Conv2d(in_channels, mid_channels, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(mid_channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(mid_channels, out_channels, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )

    def forward(self, x):
        return self.double_conv(x)


class Down(nn.Module):
    def __init__(self, in_channels, out_channels):
        super().__init__()
        self.maxpool_conv = nn.Sequential(nn.MaxPool2d(2), DoubleConv(in_channels, out_channels))

    def forward(self, x):
        return self.maxpool_conv(x)


class Up(nn.Module):
    def __init__(self, in_channels, out_channels, bilinear=True):
        super().__init__()
        if bilinear:
            self.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
            self.conv = DoubleConv(in_channels, out_channels, in_channels // 2)
        else:
            self.up = nn.ConvTranspose2d(in_channels, in_channels // 2, kernel_size=2, stride=2)
            self.conv = DoubleConv(in_channels, out_channels)

    def forward(self, x1, x2):
        x1 = self.up(x1)
        diffY = x2.size()[2] - x1.size()[2]
        diffX = x2.size()[3] - x1.size()[3]
        x1 = F.pad(x1, [diffX // 2, diffX - diffX // 2, diffY // 2, diffY - diffY // 2])
        x = torch.cat([x2, x1], dim=1)
        return self.conv(x)


class OutConv(nn.Module):
    def __init__(self, in_channels, out_channels):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size=1)

    def forward(self, x):
        return self.conv(x)


class UNet(nn.Module):
    def __init__(self, n_channels, n_classes, bilinear=False, width=4):
        super().__init__()
        self.inc = DoubleConv(n_channels, width)
        self.down1 = Down(width, 2 * width)
        factor = 2 if bilinear else 1
        self.down2 = Down(2 * width, 4 * width // factor)
        self.up1 = Up(4 * width, 2 * width // factor, bilinear)
        self.up2 = Up(2 * width, width, bilinear)
        self.outc = OutConv(width, n_classes)

    def forward(self, x):
        x1 = self.inc(x)
        x2 = self.down1(x1)
        x3 = self.down2(x2)
        x = self.up1(x3, x2)
        x = self.up2(x, x1)
        return self.outc(x)


def dice_coeff(input, target, epsilon=1e-6):
    sum_dim = (-1, -2, -3)
    inter = 2 * (input * target).sum(dim=sum_dim)
    sets_sum = input.sum(dim=sum_dim) + target.sum(dim=sum_dim)
    sets_sum = torch.where(sets_sum == 0, inter, sets_sum)
    return ((inter + epsilon) / (sets_sum + epsilon)).mean()


images = numbers(4, 3, 18, 18, seed=1)
masks = integers(3, 4, 18, 18, seed=2)
criterion = nn.CrossEntropyLoss()
for name, bilinear in (("transposed", False), ("bilinear", True)):
    net = start(UNet(3, 3, bilinear)).to(memory_format=torch.channels_last)
    optimizer = torch.optim.RMSprop(
        net.parameters(), lr=1e-3, weight_decay=1e-8, momentum=0.9, foreach=True
    )
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, "max", patience=0)
    losses, rates = [], []
    for epoch in range(3):
        net.train()
        optimizer.zero_grad(set_to_none=True)
        for half in (slice(0, 2), slice(2, 4)):
            x = images[half].to(device="cpu", memory_format=torch.channels_last)
            masks_pred = net(x)
            loss = criterion(masks_pred, masks[half])
            one_hot = F.one_hot(masks[half], 3).permute(0, 3, 1, 2).to(x.dtype)
            loss += 1 - dice_coeff(F.softmax(masks_pred, dim=1), one_hot)
            (loss / 2).backward()
            losses.append(loss.item())
            if len(losses) == 1:
                results[f"{name} output"] = masks_pred.detach().contiguous()
        if epoch == 0:
            results.update(gradients(net, f"{name} "))
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        net.eval()
        with torch.no_grad():
            one_hot = F.one_hot(masks, 3).permute(0, 3, 1, 2)
            score = dice_coeff(F.softmax(net(images), dim=1), one_hot)
        losses.append(score.item())
        scheduler.step(score)
        rates.append(optimizer.param_groups[0]["lr"])
    results[f"{name} losses"], results[f"{name} rates"] = losses, rates
