"""Translation with a sequence to sequence network: a GRU encoder, a decoder with additive
attention, teacher forcing, greedy decoding, and packed batches for the encoder."""

import torch
import torch.nn as nn
import torch.nn.functional as F
from same import gradients, start
from torch import optim
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence
from torch.utils.data import DataLoader, RandomSampler, TensorDataset

results = {}
SOS_token, EOS_token, MAX_LENGTH, hidden_size = 1, 2, 8, 12
pairs = [
    ("je suis la", "i am here"),
    ("tu es grand", "you are tall"),
    ("il est petit", "he is small"),
    ("je suis grand", "i am tall"),
    ("il est la", "he is here"),
    ("tu es petit et la", "you are small and here"),
]


class Lang:
    def __init__(self, name):
        self.name = name
        self.word2index = {}
        self.index2word = {0: "PAD", SOS_token: "SOS", EOS_token: "EOS"}
        self.n_words = 3

    def addSentence(self, sentence):
        for word in sentence.split(" "):
            if word not in self.word2index:
                self.word2index[word] = self.n_words
                self.index2word[self.n_words] = word
                self.n_words += 1


input_lang, output_lang = Lang("fra"), Lang("eng")
for pair in pairs:
    input_lang.addSentence(pair[0])
    output_lang.addSentence(pair[1])


def tensor_of(lang, sentence):
    return torch.tensor([lang.word2index[w] for w in sentence.split(" ")] + [EOS_token])


class EncoderRNN(nn.Module):
    def __init__(self, input_size, hidden_size, dropout_p=0.0):
        super().__init__()
        self.embedding = nn.Embedding(input_size, hidden_size, padding_idx=0)
        self.gru = nn.GRU(hidden_size, hidden_size, batch_first=True)
        self.dropout = nn.Dropout(dropout_p)

    def forward(self, input, lengths):
        embedded = self.dropout(self.embedding(input))
        packed = pack_padded_sequence(embedded, lengths, batch_first=True, enforce_sorted=False)
        output, hidden = self.gru(packed)
        output, _ = pad_packed_sequence(output, batch_first=True, total_length=MAX_LENGTH)
        return output, hidden


class BahdanauAttention(nn.Module):
    def __init__(self, hidden_size):
        super().__init__()
        self.Wa = nn.Linear(hidden_size, hidden_size)
        self.Ua = nn.Linear(hidden_size, hidden_size)
        self.Va = nn.Linear(hidden_size, 1)

    def forward(self, query, keys):
        scores = self.Va(torch.tanh(self.Wa(query) + self.Ua(keys)))
        scores = scores.squeeze(2).unsqueeze(1)
        weights = F.softmax(scores, dim=-1)
        context = torch.bmm(weights, keys)
        return context, weights


class AttnDecoderRNN(nn.Module):
    def __init__(self, hidden_size, output_size, dropout_p=0.0):
        super().__init__()
        self.embedding = nn.Embedding(output_size, hidden_size)
        self.attention = BahdanauAttention(hidden_size)
        self.gru = nn.GRU(2 * hidden_size, hidden_size, batch_first=True)
        self.out = nn.Linear(hidden_size, output_size)
        self.dropout = nn.Dropout(dropout_p)

    def forward(self, encoder_outputs, encoder_hidden, target_tensor=None):
        batch_size = encoder_outputs.size(0)
        decoder_input = torch.empty(batch_size, 1, dtype=torch.long).fill_(SOS_token)
        decoder_hidden = encoder_hidden
        decoder_outputs = []
        attentions = []
        for i in range(MAX_LENGTH):
            decoder_output, decoder_hidden, attn_weights = self.forward_step(
                decoder_input, decoder_hidden, encoder_outputs
            )
            decoder_outputs.append(decoder_output)
            attentions.append(attn_weights)
            if target_tensor is not None:
                decoder_input = target_tensor[:, i].unsqueeze(1)
            else:
                _, topi = decoder_output.topk(1)
                decoder_input = topi.squeeze(-1).detach()
        decoder_outputs = torch.cat(decoder_outputs, dim=1)
        decoder_outputs = F.log_softmax(decoder_outputs, dim=-1)
        attentions = torch.cat(attentions, dim=1)
        return decoder_outputs, decoder_hidden, attentions

    def forward_step(self, input, hidden, encoder_outputs):
        embedded = self.dropout(self.embedding(input))
        query = hidden.permute(1, 0, 2)
        context, attn_weights = self.attention(query, encoder_outputs)
        input_gru = torch.cat((embedded, context), dim=2)
        output, hidden = self.gru(input_gru, hidden)
        output = self.out(output)
        return output, hidden, attn_weights


sources = [tensor_of(input_lang, a) for a, b in pairs]
targets = [tensor_of(output_lang, b) for a, b in pairs]
lengths = torch.tensor([len(s) for s in sources])
source = pad_sequence(sources, batch_first=True)
target = torch.zeros(len(pairs), MAX_LENGTH, dtype=torch.long)
for row, ids in enumerate(targets):
    target[row, : len(ids)] = ids
dataset = TensorDataset(source, lengths, target)
assert len(list(DataLoader(dataset, sampler=RandomSampler(dataset), batch_size=3))) == 2
dataloader = DataLoader(dataset, batch_size=3)

encoder = start(EncoderRNN(input_lang.n_words, hidden_size), 1)
decoder = start(AttnDecoderRNN(hidden_size, output_lang.n_words), 2)
encoder_optimizer = optim.Adam(encoder.parameters(), lr=0.01)
decoder_optimizer = optim.Adam(decoder.parameters(), lr=0.01)
criterion = nn.NLLLoss(ignore_index=0)
losses = []
for epoch in range(3):
    total_loss = 0
    for data in dataloader:
        input_tensor, input_lengths, target_tensor = data
        encoder_optimizer.zero_grad()
        decoder_optimizer.zero_grad()
        encoder_outputs, encoder_hidden = encoder(input_tensor, input_lengths)
        decoder_outputs, _, attentions = decoder(encoder_outputs, encoder_hidden, target_tensor)
        loss = criterion(
            decoder_outputs.view(-1, decoder_outputs.size(-1)), target_tensor.view(-1)
        )
        loss.backward()
        if not losses and not total_loss:
            results["output"] = decoder_outputs.detach()
            results["attention output"] = attentions.detach()
            results.update(gradients(encoder, "encoder "))
            results.update(gradients(decoder, "decoder "))
            assert not encoder.embedding.weight.grad[0].any()
        encoder_optimizer.step()
        decoder_optimizer.step()
        total_loss += loss.item()
    losses.append(total_loss / len(dataloader))
results["losses"] = losses

with torch.no_grad():
    encoder_outputs, encoder_hidden = encoder(source, lengths)
    decoder_outputs, _, _ = decoder(encoder_outputs, encoder_hidden)
    _, topi = decoder_outputs.topk(1)
    for row in topi.squeeze(-1):
        words = []
        for idx in row:
            if idx.item() == EOS_token:
                words.append("<EOS>")
                break
            words.append(output_lang.index2word[idx.item()])
        print(" ".join(words))
