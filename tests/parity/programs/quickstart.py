"""The quickstart's whole story: a custom Dataset, a network, a training and a test loop, weights
saved and loaded, a prediction."""

import os
import tempfile

import torch
from same import digits, gradients, start, step
from torch import nn
from torch.utils.data import DataLoader, Dataset

results = {}


class Digits(Dataset):
    def __init__(self, part, transform=None, target_transform=None):
        images, labels = digits(256)
        self.images = images[:192] if part == "train" else images[192:]
        self.labels = labels[:192] if part == "train" else labels[192:]
        self.transform = transform
        self.target_transform = target_transform

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, idx):
        image, label = self.images[idx].unsqueeze(0), int(self.labels[idx])
        if self.transform:
            image = self.transform(image)
        if self.target_transform:
            label = self.target_transform(label)
        return image, label


one_hot = lambda y: torch.zeros(10).scatter_(0, torch.tensor(y), value=1)  # noqa: E731
assert Digits("train", target_transform=one_hot)[0][1].shape == torch.Size([10])
batch_size = 64
train_dataloader = DataLoader(Digits("train"), batch_size=batch_size)
test_dataloader = DataLoader(Digits("test"), batch_size=batch_size)
for X, y in test_dataloader:
    print(f"Shape of X [N, C, H, W]: {X.shape}")
    print(f"Shape of y: {y.shape} {y.dtype}")
    break

device = "cuda" if torch.cuda.is_available() else "cpu"


class NeuralNetwork(nn.Module):
    def __init__(self):
        super().__init__()
        self.flatten = nn.Flatten()
        self.linear_relu_stack = nn.Sequential(
            nn.Linear(8 * 8, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 10)
        )

    def forward(self, x):
        x = self.flatten(x)
        logits = self.linear_relu_stack(x)
        return logits


model = start(NeuralNetwork().to(device))
print(model)
loss_fn = nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(model.parameters(), lr=1e-1)
losses = []


@step
def update(X, y):
    pred = model(X)
    loss = loss_fn(pred, y)
    loss.backward()
    return loss


def train(dataloader, model):
    size = len(dataloader.dataset)
    model.train()
    for batch, (X, y) in enumerate(dataloader):
        X, y = X.to(device), y.to(device)
        loss = update(X, y)
        if not losses:
            results.update(gradients(model))
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        print(f"loss: {loss.item():>7f}  [{(batch + 1) * len(X):>5d}/{size:>5d}]")


def test(dataloader, model, loss_fn):
    size = len(dataloader.dataset)
    num_batches = len(dataloader)
    model.eval()
    test_loss, correct = 0, 0
    with torch.no_grad():
        for X, y in dataloader:
            X, y = X.to(device), y.to(device)
            pred = model(X)
            test_loss += loss_fn(pred, y).item()
            correct += (pred.argmax(1) == y).type(torch.float).sum().item()
    return test_loss / num_batches, correct / size


tests = []
for t in range(3):
    train(train_dataloader, model)
    tests.append(test(test_dataloader, model, loss_fn))
results["losses"] = losses
results["test losses"], results["test accuracy"] = zip(*tests)

path = os.path.join(tempfile.mkdtemp(), "model.pth")
torch.save(model.state_dict(), path)
model2 = NeuralNetwork().to(device)
print(model2.load_state_dict(torch.load(path, weights_only=True)))
model2.eval()
x, y = Digits("test")[0]
with torch.no_grad():
    pred = model2(x.to(device))
    assert torch.equal(pred, model.eval()(x))
    results["predicted losses"] = loss_fn(pred, torch.tensor([y])).item()
