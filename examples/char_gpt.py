"""A character-level GPT of four layers learns a novel; the training step is one compiled program.

python examples/char_gpt.py [--quick]
"""

import sys

import graphc as torch
from graphc import nn
from graphc.nn import functional as F

CONTEXT, BATCH, WIDTH, HEADS, LAYERS = 64, 32, 96, 4, 4
STEPS = 8 if "--quick" in sys.argv else 360

letters = sorted(set(torch.datasets.alice()))
train, held_out = (
    torch.tensor([letters.index(letter) for letter in torch.datasets.alice(split)])
    for split in ("train", "validation")
)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.mlp = nn.Sequential(
            nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH), nn.Dropout(0.1)
        )

    def forward(self, x):
        heads = self.qkv(self.norm1(x)).unflatten(2, (3, HEADS, WIDTH // HEADS))
        q, k, v = heads.permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(attended.transpose(1, 2).flatten(2))
        return x + self.mlp(self.norm2(x))


class GPT(nn.Module):
    def __init__(self):
        super().__init__()
        self.letters, self.places = nn.Embedding(len(letters), WIDTH), nn.Embedding(CONTEXT, WIDTH)
        self.blocks = nn.Sequential(*[Block() for _ in range(LAYERS)])
        self.head = nn.Sequential(nn.LayerNorm(WIDTH), nn.Linear(WIDTH, len(letters)))
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Embedding)):
                nn.init.normal_(module.weight, std=0.05)

    def forward(self, x):
        places = self.places(torch.arange(x.shape[1]))
        return self.head(self.blocks(self.letters(x) + places))


@torch.no_grad()
def write(start, count):
    x = torch.tensor([[letters.index(letter) for letter in start]])
    for _ in range(count):
        chances = F.softmax(model(x[:, -CONTEXT:])[:, -1] / 0.7, dim=-1)
        x = torch.cat([x, torch.multinomial(chances, 1)], dim=1)
    return "".join(letters[i] for i in x[0].tolist())


torch.manual_seed(0)
model = GPT()
print(f"{sum(p.numel() for p in model.parameters()):,} parameters")
optimizer = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.99), weight_decay=0.1)
schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, STEPS, pct_start=0.1)


@torch.compile(fullgraph=True)
def step(x, target):
    optimizer.zero_grad()
    loss = F.cross_entropy(model(x).flatten(0, 1), target.flatten())
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return loss


for i in range(STEPS):
    starts = torch.randint(len(train) - CONTEXT, (BATCH, 1))
    windows = train[starts + torch.arange(CONTEXT + 1)]
    loss = step(windows[:, :-1], windows[:, 1:])
    schedule.step()
    if (i + 1) % max(1, STEPS // 6) == 0:
        print(f"step {i + 1:3}: loss {loss.item():.3f}", flush=True)
model.eval()
with torch.no_grad():
    x = held_out[: (len(held_out) - 1) // CONTEXT * CONTEXT + 1]
    scores = model(x[:-1].view(-1, CONTEXT)).flatten(0, 1)
    found = F.cross_entropy(scores, x[1:]).item()
pairs = torch.full((len(letters), len(letters)), 0.1)
pairs.index_put_((train[:-1], train[1:]), torch.tensor(1.0), accumulate=True)
bigram = F.nll_loss((pairs / pairs.sum(1, keepdim=True)).log()[held_out[:-1]], held_out[1:]).item()
print(f"validation: {found:.3f} nats per letter, letter pairs {bigram:.3f}: {found / bigram:.2f}x")
print(write("Alice ", STEPS // 3))
if STEPS > 8 and found > 0.85 * bigram:
    sys.exit("the model did not learn as much as it should")
