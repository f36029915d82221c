"""A BERT-like encoder: word, place and segment embeddings, TransformerEncoder with padding masks,
masked-word and next-sentence losses, gelu and tanh pooling; the fast path of evaluation."""

import torch
import torch.nn as nn
import torch.nn.functional as F
from same import gradients, integers, start, step

results = {}
PAD, MASK, vocab, d_model = 0, 1, 30, 16


class BertEmbeddings(nn.Module):
    def __init__(self, max_len=12):
        super().__init__()
        self.word_embeddings = nn.Embedding(vocab, d_model, padding_idx=PAD)
        self.position_embeddings = nn.Embedding(max_len, d_model)
        self.token_type_embeddings = nn.Embedding(2, d_model)
        self.LayerNorm = nn.LayerNorm(d_model, eps=1e-12)
        self.dropout = nn.Dropout(0.0)
        self.register_buffer(
            "position_ids", torch.arange(max_len).expand((1, -1)), persistent=False
        )

    def forward(self, input_ids, token_type_ids):
        position_ids = self.position_ids[:, : input_ids.size(1)]
        embeddings = self.word_embeddings(input_ids) + self.token_type_embeddings(token_type_ids)
        embeddings += self.position_embeddings(position_ids)
        return self.dropout(self.LayerNorm(embeddings))


class Bert(nn.Module):
    def __init__(self, norm_first=False):
        super().__init__()
        self.embeddings = BertEmbeddings()
        layer = nn.TransformerEncoderLayer(
            d_model, nhead=2, dim_feedforward=32, dropout=0.0, activation="gelu",
            batch_first=True, norm_first=norm_first,
        )  # fmt: skip
        self.encoder = nn.TransformerEncoder(layer, num_layers=2, enable_nested_tensor=False)
        self.pooler = nn.Linear(d_model, d_model)
        self.transform = nn.Sequential(
            nn.Linear(d_model, d_model), nn.GELU(), nn.LayerNorm(d_model)
        )
        self.decoder = nn.Linear(d_model, vocab)
        self.decoder.weight = self.embeddings.word_embeddings.weight
        self.seq_relationship = nn.Linear(d_model, 2)

    def forward(self, input_ids, token_type_ids):
        hidden = self.embeddings(input_ids, token_type_ids)
        hidden = self.encoder(hidden, src_key_padding_mask=input_ids == PAD)
        pooled = torch.tanh(self.pooler(hidden[:, 0]))
        return self.decoder(self.transform(hidden)), self.seq_relationship(pooled)


ids = integers(vocab - 2, 4, 12, seed=1) + 2
lengths = torch.tensor([12, 9, 7, 10])
ids = ids.masked_fill(torch.arange(12)[None, :] >= lengths[:, None], PAD)
segments = (torch.arange(12) >= 6).long().expand(4, 12)
chosen = (integers(5, 4, 12, seed=2) == 0) & (ids != PAD)
labels = torch.where(chosen, ids, torch.full_like(ids, -100))
masked = ids.clone()
masked[chosen] = MASK
following = torch.tensor([0, 1, 1, 0])

for name, norm_first in (("post", False), ("pre", True)):
    model = start(Bert(norm_first))
    with torch.no_grad():
        model.embeddings.word_embeddings.weight[PAD].fill_(0)
    no_decay = ["bias", "LayerNorm.weight"]
    groups = [
        {
            "params": [p for n, p in model.named_parameters() if not any(d in n for d in no_decay)],
            "weight_decay": 0.01,
        },
        {
            "params": [p for n, p in model.named_parameters() if any(d in n for d in no_decay)],
            "weight_decay": 0.0,
        },
    ]
    optimizer = torch.optim.AdamW(groups, lr=1e-3)
    warm_up = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda i: min(1.0, (i + 1) / 3))

    @step
    def update(masked, segments, labels, following, model=model):
        words, pair = model(masked, segments)
        loss = F.cross_entropy(words.view(-1, vocab), labels.view(-1))
        loss = loss + F.cross_entropy(pair, following)
        loss.backward()
        return words, pair, loss

    losses = []
    for i in range(4):
        words, pair, loss = update(masked, segments, labels, following)
        if i == 0:
            results[f"{name} output"] = words.detach()[masked != PAD]
            results[f"{name} pair output"] = pair.detach().clone()
            results.update(gradients(model, f"{name} "))
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        warm_up.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    results[f"{name} losses"] = losses
    model.eval()
    with torch.no_grad():
        words, pair = model(masked, segments)
    results[f"{name} evaluation losses"] = words[masked != PAD]
print(model.encoder.layers[0])
