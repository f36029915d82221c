"""Names from names, in the manner of makemore: a count table, a one-layer bigram network, an MLP
with batch normalisation and its gradients written by hand, and a WaveNet of consecutive pairs."""

import torch
import torch.nn.functional as F
from same import integers, numbers

results = {}
words = (
    "anna bob clara dora emil frida georg hanna ida jonas karl lena maria nils otto paula "
    "quentin rosa simon theo ulla vera wilma xaver yvonne zoe"
).split()
chars = sorted(list(set("".join(words))))
stoi = {s: i + 1 for i, s in enumerate(chars)}
stoi["."] = 0
itos = {i: s for s, i in stoi.items()}
V = len(itos)

# 1. counts
N = torch.zeros((V, V), dtype=torch.int32)
for w in words:
    chs = ["."] + list(w) + ["."]
    for ch1, ch2 in zip(chs, chs[1:]):
        N[stoi[ch1], stoi[ch2]] += 1
P = (N + 1).to(torch.get_default_dtype())
P /= P.sum(1, keepdims=True)
log_likelihood = torch.zeros(())
n = 0
for w in words:
    chs = ["."] + list(w) + ["."]
    for ch1, ch2 in zip(chs, chs[1:]):
        log_likelihood += torch.log(P[stoi[ch1], stoi[ch2]])
        n += 1
results["counts nll"] = -log_likelihood / n
ix = P[0].argmax().item()
print("likeliest first letter", itos[ix])
g = torch.Generator().manual_seed(2147483647)
assert torch.multinomial(P[0], num_samples=5, replacement=True, generator=g).shape == (5,)

# 2. one layer over one-hot inputs
xs, ys = [], []
for w in words:
    chs = ["."] + list(w) + ["."]
    for ch1, ch2 in zip(chs, chs[1:]):
        xs.append(stoi[ch1])
        ys.append(stoi[ch2])
xs, ys = torch.tensor(xs), torch.tensor(ys)
num = xs.nelement()
W = numbers(V, V, seed=1).requires_grad_()
losses = []
for k in range(10):
    xenc = F.one_hot(xs, num_classes=V).to(W.dtype)
    logits = xenc @ W
    counts = logits.exp()
    probs = counts / counts.sum(1, keepdims=True)
    loss = -probs[torch.arange(num), ys].log().mean() + 0.01 * (W**2).mean()
    W.grad = None
    loss.backward()
    if k == 0:
        results["bigram grad"] = W.grad.clone()
    W.data += -10 * W.grad
    losses.append(loss.item())
results["bigram losses"] = losses

# 3. an MLP with batch normalisation, gradients by hand
block_size = 3
X, Y = [], []
for w in words:
    context = [0] * block_size
    for ch in w + ".":
        X.append(context)
        Y.append(stoi[ch])
        context = context[1:] + [stoi[ch]]
X, Y = torch.tensor(X), torch.tensor(Y)
n_embd, n_hidden = 6, 16
C = numbers(V, n_embd, seed=2)
W1 = numbers(n_embd * block_size, n_hidden, seed=3) * (5 / 3) / ((n_embd * block_size) ** 0.5)
b1 = numbers(n_hidden, seed=4) * 0.1
W2 = numbers(n_hidden, V, seed=5) * 0.1
b2 = numbers(V, seed=6) * 0.1
bngain = numbers(1, n_hidden, seed=7) * 0.1 + 1.0
bnbias = numbers(1, n_hidden, seed=8) * 0.1
parameters = [C, W1, b1, W2, b2, bngain, bnbias]
for p in parameters:
    p.requires_grad = True

n = 32
ix = integers(X.shape[0], n, seed=9)
Xb, Yb = X[ix], Y[ix]
emb = C[Xb]
embcat = emb.view(emb.shape[0], -1)
hprebn = embcat @ W1 + b1
bnmeani = 1 / n * hprebn.sum(0, keepdim=True)
bndiff = hprebn - bnmeani
bndiff2 = bndiff**2
bnvar = 1 / (n - 1) * (bndiff2).sum(0, keepdim=True)
bnvar_inv = (bnvar + 1e-5) ** -0.5
bnraw = bndiff * bnvar_inv
hpreact = bngain * bnraw + bnbias
h = torch.tanh(hpreact)
logits = h @ W2 + b2
logit_maxes = logits.max(1, keepdim=True).values
norm_logits = logits - logit_maxes
counts = norm_logits.exp()
counts_sum = counts.sum(1, keepdims=True)
counts_sum_inv = counts_sum**-1
probs = counts * counts_sum_inv
logprobs = probs.log()
loss = -logprobs[range(n), Yb].mean()
for t in [logprobs, probs, counts, logit_maxes, logits, h, hpreact, bnraw, bnvar, bndiff, embcat]:
    t.retain_grad()
loss.backward()
results["mlp loss"] = loss
names = ["C", "W1", "b1", "W2", "b2", "bngain", "bnbias"]
results.update({f"mlp grad {name}": p.grad.clone() for name, p in zip(names, parameters)})
results["mlp grad inner"] = bndiff.grad.clone()

with torch.no_grad():
    dlogits = F.softmax(logits, 1)
    dlogits[range(n), Yb] -= 1
    dlogits /= n
    dh = dlogits @ W2.T
    dW2 = h.T @ dlogits
    db2 = dlogits.sum(0)
    dhpreact = (1.0 - h**2) * dh
    dbngain = (bnraw * dhpreact).sum(0, keepdim=True)
    dbnbias = dhpreact.sum(0, keepdim=True)
    dhprebn = (
        bngain
        * bnvar_inv
        / n
        * (n * dhpreact - dhpreact.sum(0) - n / (n - 1) * bnraw * (dhpreact * bnraw).sum(0))
    )
    dembcat = dhprebn @ W1.T
    dW1 = embcat.T @ dhprebn
    db1 = dhprebn.sum(0)
    demb = dembcat.view(emb.shape)
    dC = torch.zeros_like(C)
    for k in range(Xb.shape[0]):
        for j in range(Xb.shape[1]):
            dC[Xb[k, j]] += demb[k, j]


def cmp(s, dt, t):
    ex = torch.all(dt == t.grad).item()
    app = torch.allclose(dt, t.grad, atol=1e-6)
    maxdiff = (dt - t.grad).abs().max().item()
    assert app, (s, ex, maxdiff)


for s, dt, t in zip(names, [dC, dW1, db1, dW2, db2, dbngain, dbnbias], parameters):
    cmp(s, dt, t)


# 4. layers of one's own, put together as a WaveNet
class Linear:
    def __init__(self, fan_in, fan_out, bias=True, seed=0):
        self.weight = numbers(fan_in, fan_out, seed=seed) / fan_in**0.5
        self.bias = torch.zeros(fan_out) if bias else None

    def __call__(self, x):
        self.out = x @ self.weight
        if self.bias is not None:
            self.out += self.bias
        return self.out

    def parameters(self):
        return [self.weight] + ([] if self.bias is None else [self.bias])


class BatchNorm1d:
    def __init__(self, dim, eps=1e-5, momentum=0.1):
        self.eps = eps
        self.momentum = momentum
        self.training = True
        self.gamma = torch.ones(dim)
        self.beta = torch.zeros(dim)
        self.running_mean = torch.zeros(dim)
        self.running_var = torch.ones(dim)

    def __call__(self, x):
        if self.training:
            if x.ndim == 2:
                dim = 0
            elif x.ndim == 3:
                dim = (0, 1)
            xmean = x.mean(dim, keepdim=True)
            xvar = x.var(dim, keepdim=True)
        else:
            xmean = self.running_mean
            xvar = self.running_var
        xhat = (x - xmean) / torch.sqrt(xvar + self.eps)
        self.out = self.gamma * xhat + self.beta
        if self.training:
            with torch.no_grad():
                self.running_mean = (1 - self.momentum) * self.running_mean + self.momentum * xmean
                self.running_var = (1 - self.momentum) * self.running_var + self.momentum * xvar
        return self.out

    def parameters(self):
        return [self.gamma, self.beta]


class Tanh:
    def __call__(self, x):
        self.out = torch.tanh(x)
        return self.out

    def parameters(self):
        return []


class Embedding:
    def __init__(self, num_embeddings, embedding_dim, seed=0):
        self.weight = numbers(num_embeddings, embedding_dim, seed=seed)

    def __call__(self, IX):
        self.out = self.weight[IX]
        return self.out

    def parameters(self):
        return [self.weight]


class FlattenConsecutive:
    def __init__(self, n):
        self.n = n

    def __call__(self, x):
        B, T, C = x.shape
        x = x.view(B, T // self.n, C * self.n)
        if x.shape[1] == 1:
            x = x.squeeze(1)
        self.out = x
        return self.out

    def parameters(self):
        return []


class Sequential:
    def __init__(self, layers):
        self.layers = layers

    def __call__(self, x):
        for layer in self.layers:
            x = layer(x)
        self.out = x
        return self.out

    def parameters(self):
        return [p for layer in self.layers for p in layer.parameters()]


model = Sequential(
    [
        Embedding(V, 6, seed=20),
        FlattenConsecutive(2), Linear(12, 12, bias=False, seed=21), BatchNorm1d(12), Tanh(),
        FlattenConsecutive(2), Linear(24, 12, bias=False, seed=22), BatchNorm1d(12), Tanh(),
        Linear(12, V, seed=23),
    ]
)  # fmt: skip
with torch.no_grad():
    model.layers[-1].weight *= 0.1
parameters = model.parameters()
print(sum(p.nelement() for p in parameters), "parameters")
for p in parameters:
    p.requires_grad = True
Xtr = torch.cat([torch.zeros((X.shape[0], 1), dtype=torch.int64), X], 1)
losses = []
for i in range(8):
    ix = integers(Xtr.shape[0], 32, seed=30 + i)
    Xb, Yb = Xtr[ix], Y[ix]
    logits = model(Xb)
    loss = F.cross_entropy(logits, Yb)
    for layer in model.layers:
        layer.out.retain_grad()
    for p in parameters:
        p.grad = None
    loss.backward()
    if i == 0:
        results["wavenet output"] = logits.detach()
        results.update({f"wavenet grad {j}": p.grad.clone() for j, p in enumerate(parameters)})
        results["wavenet grad of tanh"] = model.layers[4].out.grad.clone()
    lr = 0.1 if i < 6 else 0.01
    for p in parameters:
        p.data += -lr * p.grad
    losses.append(loss.log10().item())
results["wavenet losses"] = losses
for layer in model.layers:
    if isinstance(layer, BatchNorm1d):
        layer.training = False
with torch.no_grad():
    results["wavenet evaluation losses"] = F.cross_entropy(model(Xtr), Y).item()
