"""Which language is a name from? A character network written out by hand, the same with nn.RNN and
its cells, one name at a time."""

import string
import unicodedata

import torch
import torch.nn as nn
from same import gradients, start

results = {}
all_letters = string.ascii_letters + " .,;'"
n_letters, n_hidden = len(all_letters), 12
category_lines = {
    "German": ["Müller", "Groß", "Schröder", "Jäger"],
    "French": ["Lefèvre", "Dupont", "Rousseau", "Béranger"],
    "Czech": ["Dvořák", "Novák", "Černý", "Němec"],
}
all_categories = list(category_lines)


def unicodeToAscii(s):
    return "".join(
        c for c in unicodedata.normalize("NFD", s)
        if unicodedata.category(c) != "Mn" and c in all_letters
    )  # fmt: skip


def lineToTensor(line):
    tensor = torch.zeros(len(line), 1, n_letters)
    for li, letter in enumerate(line):
        tensor[li][0][all_letters.find(letter)] = 1
    return tensor


class RNN(nn.Module):
    def __init__(self, input_size, hidden_size, output_size):
        super().__init__()
        self.hidden_size = hidden_size
        self.i2h = nn.Linear(input_size, hidden_size)
        self.h2h = nn.Linear(hidden_size, hidden_size)
        self.h2o = nn.Linear(hidden_size, output_size)
        self.softmax = nn.LogSoftmax(dim=1)

    def forward(self, line_tensor):
        hidden = self.initHidden()
        for i in range(line_tensor.size()[0]):
            hidden = torch.tanh(self.i2h(line_tensor[i]) + self.h2h(hidden))
            output = self.softmax(self.h2o(hidden))
        return output

    def initHidden(self):
        return torch.zeros(1, self.hidden_size)


class CharRNN(nn.Module):
    def __init__(self, input_size, hidden_size, output_size):
        super().__init__()
        self.rnn = nn.RNN(input_size, hidden_size)
        self.h2o = nn.Linear(hidden_size, output_size)
        self.softmax = nn.LogSoftmax(dim=1)

    def forward(self, line_tensor):
        rnn_out, hidden = self.rnn(line_tensor)
        output = self.h2o(hidden[0])
        return self.softmax(output)


class Cells(nn.Module):
    """An LSTM cell below a GRU cell."""

    def __init__(self, input_size, hidden_size, output_size):
        super().__init__()
        self.lower = nn.LSTMCell(input_size, hidden_size)
        self.upper = nn.GRUCell(hidden_size, hidden_size)
        self.h2o = nn.Linear(hidden_size, output_size)

    def forward(self, line_tensor):
        state, top = None, None
        for letter in line_tensor:
            state = self.lower(letter, state)
            top = self.upper(state[0], top)
        return torch.log_softmax(self.h2o(top), 1)


def categoryFromOutput(output):
    top_n, top_i = output.topk(1)
    category_i = top_i[0].item()
    return all_categories[category_i], category_i


criterion = nn.NLLLoss()
for kind in (RNN, CharRNN, Cells):
    name = kind.__name__
    rnn = start(kind(n_letters, n_hidden, len(all_categories)))
    learning_rate = 0.05
    losses = []
    for epoch in range(2):
        for category in all_categories:
            for line in category_lines[category][:2]:
                category_tensor = torch.tensor([all_categories.index(category)], dtype=torch.long)
                rnn.zero_grad()
                output = rnn(lineToTensor(unicodeToAscii(line)))
                loss = criterion(output, category_tensor)
                loss.backward()
                if not losses:
                    results[f"{name} output"] = output.detach()
                    results.update(gradients(rnn, f"{name} "))
                for p in rnn.parameters():
                    p.data.add_(p.grad.data, alpha=-learning_rate)
                losses.append(loss.item())
    results[f"{name} losses"] = losses
    confusion = torch.zeros(len(all_categories), len(all_categories))
    with torch.no_grad():
        for category in all_categories:
            for line in category_lines[category][2:]:
                guess, guess_i = categoryFromOutput(rnn(lineToTensor(unicodeToAscii(line))))
                confusion[all_categories.index(category)][guess_i] += 1
        for i in range(len(all_categories)):
            denom = confusion[i].sum()
            if denom > 0:
                confusion[i] = confusion[i] / denom
    print(confusion)
