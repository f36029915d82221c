"""MobileNetV2: inverted residuals with depthwise convolutions and ReLU6, channel counts rounded to
a divisor, at a narrow width."""

import torch
from same import gradients, integers, numbers, start, step
from torch import nn

results = {}


def _make_divisible(v, divisor, min_value=None):
    if min_value is None:
        min_value = divisor
    new_v = max(min_value, int(v + divisor / 2) // divisor * divisor)
    if new_v < 0.9 * v:
        new_v += divisor
    return new_v


class ConvBNReLU(nn.Sequential):
    def __init__(self, in_planes, out_planes, kernel_size=3, stride=1, groups=1):
        padding = (kernel_size - 1) // 2
        super().__init__(
            nn.Conv2d(
                in_planes, out_planes, kernel_size, stride, padding, groups=groups, bias=False
            ),
            nn.BatchNorm2d(out_planes),
            nn.ReLU6(inplace=True),
        )


class InvertedResidual(nn.Module):
    def __init__(self, inp, oup, stride, expand_ratio):
        super().__init__()
        self.stride = stride
        assert stride in [1, 2]
        hidden_dim = int(round(inp * expand_ratio))
        self.use_res_connect = self.stride == 1 and inp == oup
        layers = []
        if expand_ratio != 1:
            layers.append(ConvBNReLU(inp, hidden_dim, kernel_size=1))
        layers.extend(
            [
                ConvBNReLU(hidden_dim, hidden_dim, stride=stride, groups=hidden_dim),
                nn.Conv2d(hidden_dim, oup, 1, 1, 0, bias=False),
                nn.BatchNorm2d(oup),
            ]
        )
        self.conv = nn.Sequential(*layers)

    def forward(self, x):
        if self.use_res_connect:
            return x + self.conv(x)
        return self.conv(x)


class MobileNetV2(nn.Module):
    def __init__(self, num_classes=10, width_mult=0.125, round_nearest=4):
        super().__init__()
        input_channel = _make_divisible(32 * width_mult, round_nearest)
        self.last_channel = _make_divisible(160 * max(1.0, width_mult), round_nearest) // 4
        inverted_residual_setting = [
            # t, c, n, s
            [1, 16, 1, 1],
            [6, 24, 2, 2],
            [6, 32, 2, 2],
            [6, 64, 2, 2],
            [6, 96, 1, 1],
        ]
        features = [ConvBNReLU(3, input_channel, stride=2)]
        for t, c, n, s in inverted_residual_setting:
            output_channel = _make_divisible(c * width_mult, round_nearest)
            for i in range(n):
                stride = s if i == 0 else 1
                features.append(
                    InvertedResidual(input_channel, output_channel, stride, expand_ratio=t)
                )
                input_channel = output_channel
        features.append(ConvBNReLU(input_channel, self.last_channel, kernel_size=1))
        self.features = nn.Sequential(*features)
        self.classifier = nn.Sequential(
            nn.Dropout(0.0), nn.Linear(self.last_channel, num_classes)
        )
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight, mode="fan_out")
                if m.bias is not None:
                    nn.init.zeros_(m.bias)
            elif isinstance(m, nn.BatchNorm2d):
                nn.init.ones_(m.weight)
                nn.init.zeros_(m.bias)
            elif isinstance(m, nn.Linear):
                nn.init.normal_(m.weight, 0, 0.01)
                nn.init.zeros_(m.bias)

    def forward(self, x):
        x = self.features(x)
        x = nn.functional.adaptive_avg_pool2d(x, (1, 1)).reshape(x.shape[0], -1)
        return self.classifier(x)


model = start(MobileNetV2())
print(model.features[2])
images = numbers(4, 3, 32, 32, seed=1)
labels = integers(10, 4, seed=2)
optimizer = torch.optim.RMSprop(
    model.parameters(), lr=1e-3, alpha=0.9, momentum=0.9, weight_decay=4e-5, eps=1e-2
)


@step
def update(images, labels):
    output = model(images)
    loss = nn.functional.cross_entropy(output, labels)
    loss.backward()
    return output, loss


losses = []
for i in range(3):
    output, loss = update(images, labels)
    if i == 0:
        results["output"] = output.detach().clone()
        results.update(gradients(model))
    optimizer.step()
    optimizer.zero_grad()
    losses.append(loss.item())
results["losses"] = losses
# features frozen, the head alone is trained, as in transfer learning
for param in model.features.parameters():
    param.requires_grad = False
head = torch.optim.Adam(filter(lambda p: p.requires_grad, model.parameters()), lr=1e-2)
model.train()
loss = nn.functional.cross_entropy(model(images), labels)
loss.backward()
assert model.features[0][0].weight.grad is None
head.step()
model.eval()
with torch.inference_mode():
    results["head losses"] = [
        loss.detach(), nn.functional.cross_entropy(model(images), labels)
    ]  # fmt: skip
