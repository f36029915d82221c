"""A character-level language model with two LSTM layers, trained with truncated backpropagation
through time: the state flows from batch to batch, its gradient does not.

python examples/lstm_language_model.py [--quick]
"""

import sys

import graphc as torch
from graphc import nn

QUICK = "--quick" in sys.argv
STREAMS, LENGTH, HIDDEN = 32, 48, 128
EPOCHS, BATCHES = (1, 3) if QUICK else (4, None)

letters = sorted(set(torch.datasets.alice()))
code = {letter: i for i, letter in enumerate(letters)}


def streams(split, count):
    """The text as `count` columns of equal length."""
    text = torch.tensor([code[letter] for letter in torch.datasets.alice(split)])
    return text[: len(text) // count * count].view(count, -1).t().contiguous()


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(len(letters), 32)
        self.lstm = nn.LSTM(32, HIDDEN, num_layers=2, dropout=0.1)
        self.head = nn.Linear(HIDDEN, len(letters))

    def forward(self, x, state=None):
        out, state = self.lstm(self.embed(x), state)
        return self.head(out), state


def batches(data):
    for at in range(0, len(data) - 1, LENGTH):
        rows = data[at : at + LENGTH + 1]
        yield rows[:-1], rows[1:]


@torch.no_grad()
def evaluate(model, data):
    model.eval()
    state, total, count = None, 0.0, 0
    for x, target in batches(data):
        scores, state = model(x, state)
        total += nn.functional.cross_entropy(
            scores.flatten(0, 1), target.flatten(), reduction="sum"
        ).item()
        count += target.numel()
    model.train()
    return total / count


torch.manual_seed(0)
train, held_out = streams("train", STREAMS), streams("validation", 8)
model = Model()
optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
print(f"{sum(p.numel() for p in model.parameters()):,} parameters")
first = evaluate(model, held_out)
for epoch in range(EPOCHS):
    state = None
    for i, (x, target) in enumerate(batches(train)):
        if i == BATCHES:
            break
        if state is not None:
            state = tuple(part.detach() for part in state)
        scores, state = model(x, state)
        loss = nn.functional.cross_entropy(scores.flatten(0, 1), target.flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    found = evaluate(model, held_out)
    print(f"epoch {epoch + 1}: validation {found:.3f} nats per letter (at first {first:.3f})")
if found >= first or (not QUICK and found > 2.1):
    sys.exit("the model did not learn as much as it should")
