"""Handwritten digits step by step, after "What is torch.nn really?": logistic regression from bare
tensors, then with a Module, an optimizer, a Dataset, a DataLoader, and a wrapped loader."""

import math

import torch
import torch.nn.functional as F
from same import digits, gradients, numbers, start
from torch import nn, optim
from torch.utils.data import DataLoader, TensorDataset

results = {}
images, labels = digits(300)
x_train, y_train = images[:240].view(-1, 64), labels[:240]
x_valid, y_valid = images[240:].view(-1, 64), labels[240:]
n, c = x_train.shape
bs = 48
lr = 0.5

# bare tensors
weights = numbers(64, 10, seed=1) / math.sqrt(64)
weights.requires_grad_()
bias = torch.zeros(10, requires_grad=True)


def log_softmax(x):
    return x - x.exp().sum(-1).log().unsqueeze(-1)


def bare(xb):
    return log_softmax(xb @ weights + bias)


def nll(input, target):
    return -input[range(target.shape[0]), target].mean()


def accuracy(out, yb):
    preds = torch.argmax(out, dim=1)
    return (preds == yb).float().mean()


losses = []
for epoch in range(2):
    for i in range((n - 1) // bs + 1):
        start_i = i * bs
        end_i = start_i + bs
        xb = x_train[start_i:end_i]
        yb = y_train[start_i:end_i]
        loss = nll(bare(xb), yb)
        losses.append(loss.item())
        loss.backward()
        if not epoch and not i:
            results["bare grad weights"] = weights.grad.clone()
            results["bare grad bias"] = bias.grad.clone()
        with torch.no_grad():
            weights -= weights.grad * lr
            bias -= bias.grad * lr
            weights.grad.zero_()
            bias.grad.zero_()
results["bare losses"] = losses
results["bare accuracy"] = accuracy(bare(x_valid), y_valid).item()


# a module, an optimizer, loaders
class Mnist_Logistic(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(64, 10)

    def forward(self, xb):
        return self.lin(xb)


train_ds = TensorDataset(x_train, y_train)
valid_ds = TensorDataset(x_valid, y_valid)


def get_data(train_ds, valid_ds, bs):
    return (
        DataLoader(train_ds, batch_size=bs, shuffle=False),
        DataLoader(valid_ds, batch_size=bs * 2),
    )


def loss_batch(model, loss_func, xb, yb, opt=None):
    loss = loss_func(model(xb), yb)
    if opt is not None:
        loss.backward()
        if "module grad lin.weight" not in results:
            results.update(gradients(model, "module "))
        opt.step()
        opt.zero_grad()
    return loss.item(), len(xb)


def fit(epochs, model, loss_func, opt, train_dl, valid_dl):
    history = []
    for epoch in range(epochs):
        model.train()
        for xb, yb in train_dl:
            loss_batch(model, loss_func, xb, yb, opt)
        model.eval()
        with torch.no_grad():
            losses, nums = zip(*[loss_batch(model, loss_func, xb, yb) for xb, yb in valid_dl])
        val_loss = sum(x * y for x, y in zip(losses, nums)) / sum(nums)
        print(epoch, val_loss)
        history.append(val_loss)
    return history


model = start(Mnist_Logistic(), 2)
opt = optim.SGD(model.parameters(), lr=lr, momentum=0.9)
train_dl, valid_dl = get_data(train_ds, valid_ds, bs)
results["module losses"] = fit(3, model, F.cross_entropy, opt, train_dl, valid_dl)


# a wrapped loader and layers made of functions
class Lambda(nn.Module):
    def __init__(self, func):
        super().__init__()
        self.func = func

    def forward(self, x):
        return self.func(x)


class WrappedDataLoader:
    def __init__(self, dl, func):
        self.dl = dl
        self.func = func

    def __len__(self):
        return len(self.dl)

    def __iter__(self):
        for b in self.dl:
            yield self.func(*b)


def preprocess(x, y):
    return x.view(-1, 1, 8, 8) * 2 - 1, y


train_dl = WrappedDataLoader(train_dl, preprocess)
valid_dl = WrappedDataLoader(valid_dl, preprocess)
model = nn.Sequential(
    nn.Conv2d(1, 8, kernel_size=3, stride=2, padding=1),
    nn.ReLU(),
    nn.Conv2d(8, 8, kernel_size=3, stride=2, padding=1),
    nn.ReLU(),
    nn.Conv2d(8, 10, kernel_size=3, stride=2, padding=1),
    nn.ReLU(),
    nn.AdaptiveAvgPool2d(1),
    Lambda(lambda x: x.view(x.size(0), -1)),
)
start(model, 3)
opt = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
results["convolution losses"] = fit(2, model, F.cross_entropy, opt, train_dl, valid_dl)
