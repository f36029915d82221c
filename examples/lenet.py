"""A small convolutional network (LeCun et al. 1998) on handwritten digits, with shifted copies of
the images as augmentation.

python examples/lenet.py [--quick]
"""

import sys

import graphc as torch
from graphc import nn
from graphc.nn import functional as F
from graphc.utils.data import DataLoader, TensorDataset

EPOCHS = 1 if "--quick" in sys.argv else 20


class LeNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16)
        self.conv2, self.norm2 = nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32)
        self.fc1, self.fc2 = nn.Linear(32 * 2 * 2, 64), nn.Linear(64, 10)
        self.dropout = nn.Dropout(0.3)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.norm1(self.conv1(x))), 2)
        x = F.max_pool2d(F.relu(self.norm2(self.conv2(x))), 2)
        x = self.dropout(F.relu(self.fc1(x.flatten(1))))
        return self.fc2(x)


def shifted(x):
    """The images moved by up to one pixel in both directions."""
    down, right = torch.randint(0, 3, (2,)).tolist()
    return F.pad(x, (1, 1, 1, 1))[:, :, down : down + 8, right : right + 8]


@torch.no_grad()
def accuracy(model, images, labels):
    model.eval()
    found = model(images.unsqueeze(1)).argmax(1)
    model.train()
    return (found == labels).float().mean().item()


torch.manual_seed(0)
images, labels = torch.datasets.digits("train")
loader = DataLoader(TensorDataset(images, labels), batch_size=64, shuffle=True)
model = LeNet()
optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=1e-2)
schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS)
for epoch in range(EPOCHS):
    for x, target in loader:
        loss = F.cross_entropy(model(shifted(x.unsqueeze(1))), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    schedule.step()
    if (epoch + 1) % max(1, EPOCHS // 5) == 0:
        print(f"epoch {epoch + 1:2}: loss {loss.item():.4f}", flush=True)
found = accuracy(model, *torch.datasets.digits("test"))
print(f"test accuracy {found:.2%}")
if EPOCHS > 1 and found < 0.98:
    sys.exit("the network did not learn as much as it should")
