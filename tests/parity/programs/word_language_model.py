"""The word language model: an RNN, LSTM, GRU or Transformer over a corpus cut into columns,
truncated backpropagation through time with a detached state, tied weights, clipped gradients."""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F
from same import gradients, start

results = {}
text = """the cat sat on the mat <eos> the dog sat on the log <eos> the cat saw the dog <eos>
the dog saw the cat on the mat <eos> a cat and a dog sat on a log <eos> the mat saw no cat <eos>
no dog sat on the cat <eos> the log and the mat saw the dog and the cat <eos>"""


class Dictionary:
    def __init__(self):
        self.word2idx = {}
        self.idx2word = []

    def add_word(self, word):
        if word not in self.word2idx:
            self.idx2word.append(word)
            self.word2idx[word] = len(self.idx2word) - 1
        return self.word2idx[word]

    def __len__(self):
        return len(self.idx2word)


dictionary = Dictionary()
ids = torch.tensor([dictionary.add_word(word) for word in text.split()]).type(torch.int64)


def batchify(data, bsz):
    nbatch = data.size(0) // bsz
    data = data.narrow(0, 0, nbatch * bsz)
    return data.view(bsz, -1).t().contiguous()


class RNNModel(nn.Module):
    def __init__(self, rnn_type, ntoken, ninp, nhid, nlayers, dropout=0.0, tie_weights=False):
        super().__init__()
        self.ntoken = ntoken
        self.drop = nn.Dropout(dropout)
        self.encoder = nn.Embedding(ntoken, ninp)
        if rnn_type in ["LSTM", "GRU"]:
            self.rnn = getattr(nn, rnn_type)(ninp, nhid, nlayers, dropout=dropout)
        else:
            nonlinearity = {"RNN_TANH": "tanh", "RNN_RELU": "relu"}[rnn_type]
            self.rnn = nn.RNN(ninp, nhid, nlayers, nonlinearity=nonlinearity, dropout=dropout)
        self.decoder = nn.Linear(nhid, ntoken)
        if tie_weights:
            if nhid != ninp:
                raise ValueError("When using the tied flag, nhid must be equal to emsize")
            self.decoder.weight = self.encoder.weight
        self.init_weights()
        self.rnn_type = rnn_type
        self.nhid = nhid
        self.nlayers = nlayers

    def init_weights(self):
        initrange = 0.1
        nn.init.uniform_(self.encoder.weight, -initrange, initrange)
        nn.init.zeros_(self.decoder.bias)
        nn.init.uniform_(self.decoder.weight, -initrange, initrange)

    def forward(self, input, hidden):
        emb = self.drop(self.encoder(input))
        output, hidden = self.rnn(emb, hidden)
        output = self.drop(output)
        decoded = self.decoder(output)
        decoded = decoded.view(-1, self.ntoken)
        return F.log_softmax(decoded, dim=1), hidden

    def init_hidden(self, bsz):
        weight = next(self.parameters())
        if self.rnn_type == "LSTM":
            return (
                weight.new_zeros(self.nlayers, bsz, self.nhid),
                weight.new_zeros(self.nlayers, bsz, self.nhid),
            )
        return weight.new_zeros(self.nlayers, bsz, self.nhid)


class PositionalEncoding(nn.Module):
    def __init__(self, d_model, dropout=0.0, max_len=64):
        super().__init__()
        self.dropout = nn.Dropout(p=dropout)
        pe = torch.zeros(max_len, d_model)
        position = torch.arange(0, max_len, dtype=pe.dtype).unsqueeze(1)
        div_term = torch.exp(
            torch.arange(0, d_model, 2).to(pe.dtype) * (-math.log(10000.0) / d_model)
        )
        pe[:, 0::2] = torch.sin(position * div_term)
        pe[:, 1::2] = torch.cos(position * div_term)
        pe = pe.unsqueeze(0).transpose(0, 1)
        self.register_buffer("pe", pe)

    def forward(self, x):
        x = x + self.pe[: x.size(0), :]
        return self.dropout(x)


class TransformerModel(nn.Transformer):
    def __init__(self, ntoken, ninp, nhead, nhid, nlayers, dropout=0.0):
        super().__init__(
            d_model=ninp, nhead=nhead, dim_feedforward=nhid, num_encoder_layers=nlayers,
            dropout=dropout,
        )  # fmt: skip
        self.src_mask = None
        self.pos_encoder = PositionalEncoding(ninp, dropout)
        self.input_emb = nn.Embedding(ntoken, ninp)
        self.ninp = ninp
        self.decoder = nn.Linear(ninp, ntoken)

    def _generate_square_subsequent_mask(self, sz):
        return torch.log(torch.tril(torch.ones(sz, sz)))

    def forward(self, src, has_mask=True):
        if has_mask:
            if self.src_mask is None or self.src_mask.size(0) != len(src):
                self.src_mask = self._generate_square_subsequent_mask(len(src)).to(src.device)
        else:
            self.src_mask = None
        src = self.input_emb(src) * math.sqrt(self.ninp)
        src = self.pos_encoder(src)
        output = self.encoder(src, mask=self.src_mask)
        output = self.decoder(output)
        return F.log_softmax(output, dim=-1)


def repackage_hidden(h):
    """Wraps hidden states in new Tensors, to detach them from their history."""
    if isinstance(h, torch.Tensor):
        return h.detach()
    return tuple(repackage_hidden(v) for v in h)


def get_batch(source, i, bptt=6):
    seq_len = min(bptt, len(source) - 1 - i)
    data = source[i : i + seq_len]
    target = source[i + 1 : i + 1 + seq_len].view(-1)
    return data, target


ntokens = len(dictionary)
train_data = batchify(ids, 4)
criterion = nn.NLLLoss()
for kind in ("LSTM", "GRU", "RNN_TANH", "RNN_RELU", "Transformer"):
    if kind == "Transformer":
        model = start(TransformerModel(ntokens, 8, 2, 12, 2))
    else:
        model = start(RNNModel(kind, ntokens, 8, 8, 2, tie_weights=kind != "GRU"))
        hidden = model.init_hidden(4)
    model.train()
    lr, losses = 1.0, []
    for epoch in range(2):
        for batch, i in enumerate(range(0, train_data.size(0) - 1, 6)):
            data, targets = get_batch(train_data, i)
            model.zero_grad()
            if kind == "Transformer":
                output = model(data)
                output = output.view(-1, ntokens)
            else:
                hidden = repackage_hidden(hidden)
                output, hidden = model(data, hidden)
            loss = criterion(output, targets)
            loss.backward()
            if not losses:
                results[f"{kind} output"] = output.detach().clone()
                results.update(gradients(model, f"{kind} "))
            torch.nn.utils.clip_grad_norm_(model.parameters(), 0.25)
            for p in model.parameters():
                if p.grad is not None:
                    p.data.add_(p.grad, alpha=-lr)
            losses.append(loss.item())
        lr /= 4.0
    results[f"{kind} losses"] = losses
    print(kind, len(losses), sum(p.numel() for p in model.parameters()))
    model.eval()
    with torch.no_grad():  # the likeliest words, one after another
        input = torch.zeros(1, 1, dtype=torch.long)
        said = []
        if kind != "Transformer":
            hidden = model.init_hidden(1)
        for _ in range(6):
            if kind == "Transformer":
                output = model(input, False)
                word_idx = output[-1].squeeze().exp().argmax()
                input = torch.cat([input, torch.full((1, 1), word_idx.item())], 0)
            else:
                output, hidden = model(input, hidden)
                word_idx = output.squeeze().exp().argmax()
                input.fill_(word_idx)
            said.append(dictionary.idx2word[word_idx])
        print(" ".join(said))
