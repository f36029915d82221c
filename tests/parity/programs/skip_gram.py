"""Words and tastes as vectors: skip-gram with negative sampling over a small corpus, and matrix
factorisation of ratings with biases."""

import torch
import torch.nn as nn
import torch.nn.functional as F
from same import gradients, integers, start, step, uniform
from torch.utils.data import DataLoader, TensorDataset

results = {}
corpus = (
    "we are about to study the idea of a computational process computational processes are "
    "abstract beings that inhabit computers as they evolve processes manipulate other abstract "
    "things called data the evolution of a process is directed by a pattern of rules called a "
    "program people create programs to direct processes"
).split()
vocab = sorted(set(corpus))
word_to_ix = {word: i for i, word in enumerate(vocab)}
print(len(vocab), "words")


class SkipGram(nn.Module):
    def __init__(self, vocab_size, embedding_dim):
        super().__init__()
        self.center = nn.Embedding(vocab_size, embedding_dim)
        self.context = nn.Embedding(vocab_size, embedding_dim)
        nn.init.uniform_(self.center.weight, -0.5 / embedding_dim, 0.5 / embedding_dim)
        self.context.weight.data.uniform_(-0, 0)

    def forward(self, pos_u, pos_v, neg_v):
        emb_u = self.center(pos_u)
        emb_v = self.context(pos_v)
        emb_neg_v = self.context(neg_v)
        score = torch.sum(torch.mul(emb_u, emb_v), dim=1)
        score = -F.logsigmoid(torch.clamp(score, max=10, min=-10))
        neg_score = torch.bmm(emb_neg_v, emb_u.unsqueeze(2)).squeeze()
        neg_score = -torch.sum(
            F.logsigmoid(-torch.clamp(neg_score, max=10, min=-10)), dim=1
        )
        return torch.mean(score + neg_score)


pairs = []
for i in range(2, len(corpus) - 2):
    for j in (i - 2, i - 1, i + 1, i + 2):
        pairs.append((word_to_ix[corpus[i]], word_to_ix[corpus[j]]))
data = torch.tensor(pairs)
counts = torch.bincount(data[:, 0], minlength=len(vocab))
chances = counts.pow(0.75) / counts.pow(0.75).sum()
assert torch.multinomial(chances, 20, replacement=True).max() < len(vocab)

model = start(SkipGram(len(vocab), 8))
optimizer = torch.optim.Adam(model.parameters(), lr=0.02)


@step
def update(pos_u, pos_v, neg_v):
    optimizer.zero_grad()
    loss = model(pos_u, pos_v, neg_v)
    loss.backward()
    return loss


losses = []
for k, batch in enumerate(data.split(40)):
    neg = integers(len(vocab), len(batch), 5, seed=10 + k)
    loss = update(batch[:, 0], batch[:, 1], neg)
    if not losses:
        results.update(gradients(model))
    optimizer.step()
    losses.append(loss.item())
results["losses"] = losses
vectors = F.normalize(model.center.weight.detach(), dim=1)
likeness = vectors @ vectors.T
likeness.fill_diagonal_(-1)
nearest = likeness.topk(3, dim=1)
results["nearest"] = nearest.indices[:10]
results["likeness losses"] = nearest.values


class MatrixFactorization(nn.Module):
    def __init__(self, n_users, n_items, n_factors=4):
        super().__init__()
        self.user_factors = nn.Embedding(n_users, n_factors)
        self.item_factors = nn.Embedding(n_items, n_factors)
        self.user_biases = nn.Embedding(n_users, 1)
        self.item_biases = nn.Embedding(n_items, 1)

    def forward(self, user, item):
        pred = self.user_biases(user) + self.item_biases(item)
        pred += (self.user_factors(user) * self.item_factors(item)).sum(dim=1, keepdim=True)
        return pred.squeeze()


users, items = integers(9, 64, seed=1), integers(7, 64, seed=2)
ratings = (uniform(64, seed=3) * 5).round()
model = start(MatrixFactorization(9, 7), 1)
loss_func = torch.nn.MSELoss()
optimizer = torch.optim.SGD(
    [
        {"params": model.user_factors.parameters()},
        {"params": model.item_factors.parameters(), "lr": 0.1},
        {"params": [*model.user_biases.parameters(), *model.item_biases.parameters()]},
    ],
    lr=0.2,
    weight_decay=1e-3,
)
losses = []
for user, item, rating in DataLoader(TensorDataset(users, items, ratings), batch_size=16):
    optimizer.zero_grad()
    prediction = model(user, item)
    loss = loss_func(prediction, rating)
    loss.backward()
    if not losses:
        results["factorisation output"] = prediction.detach()
        results.update(gradients(model, "factorisation "))
    optimizer.step()
    losses.append(loss.item())
results["factorisation losses"] = losses
