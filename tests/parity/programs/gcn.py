"""A graph convolutional network: the layer of the well-known repository with its sparse adjacency,
and the same with a dense one and with edges added at their targets; and graph attention."""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
from same import gradients, integers, numbers, start, step
from torch.nn.parameter import Parameter

results = {}
nodes, features_in, hidden, classes = 24, 10, 8, 3


class GraphConvolution(nn.Module):
    def __init__(self, in_features, out_features, bias=True):
        super().__init__()
        self.in_features = in_features
        self.out_features = out_features
        self.weight = Parameter(torch.FloatTensor(in_features, out_features).to(features.dtype))
        if bias:
            self.bias = Parameter(torch.FloatTensor(out_features).to(features.dtype))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self):
        stdv = 1.0 / math.sqrt(self.weight.size(1))
        self.weight.data.uniform_(-stdv, stdv)
        if self.bias is not None:
            self.bias.data.uniform_(-stdv, stdv)

    def forward(self, input, adj):
        support = torch.mm(input, self.weight)
        output = adj(support)
        if self.bias is not None:
            return output + self.bias
        return output

    def __repr__(self):
        return f"{self.__class__.__name__} ({self.in_features} -> {self.out_features})"


class GCN(nn.Module):
    def __init__(self, nfeat, nhid, nclass, dropout):
        super().__init__()
        self.gc1 = GraphConvolution(nfeat, nhid)
        self.gc2 = GraphConvolution(nhid, nclass)
        self.dropout = dropout

    def forward(self, x, adj):
        x = F.relu(self.gc1(x, adj))
        x = F.dropout(x, self.dropout, training=self.training)
        x = self.gc2(x, adj)
        return F.log_softmax(x, dim=1)


class GraphAttention(nn.Module):
    def __init__(self, in_features, out_features, alpha=0.2):
        super().__init__()
        self.W = nn.Parameter(torch.empty(size=(in_features, out_features)))
        nn.init.xavier_uniform_(self.W.data, gain=1.414)
        self.a = nn.Parameter(torch.empty(size=(2 * out_features, 1)))
        nn.init.xavier_uniform_(self.a.data, gain=1.414)
        self.leakyrelu = nn.LeakyReLU(alpha)
        self.out_features = out_features

    def forward(self, h, adj):
        Wh = torch.mm(h, self.W)
        e1 = torch.matmul(Wh, self.a[: self.out_features, :])
        e2 = torch.matmul(Wh, self.a[self.out_features :, :])
        e = self.leakyrelu(e1 + e2.T)
        zero_vec = -9e15 * torch.ones_like(e)
        attention = F.softmax(torch.where(adj > 0, e, zero_vec), dim=1)
        return F.elu(torch.matmul(attention, Wh))


features = numbers(nodes, features_in, seed=1)
edges = integers(nodes, 2, 60, seed=2)
labels = integers(classes, nodes, seed=3)
idx_train, idx_val = torch.arange(0, 16), torch.arange(16, nodes)

adj = torch.zeros(nodes, nodes)
adj[edges[0], edges[1]] = 1.0
adj = torch.max(adj, adj.t()) + torch.eye(nodes)
adj = adj.clamp(max=1.0)
rowsum = adj.sum(1)
r_inv_sqrt = rowsum.pow(-0.5)
r_inv_sqrt[torch.isinf(r_inv_sqrt)] = 0.0
adj_norm = r_inv_sqrt.unsqueeze(1) * adj * r_inv_sqrt
source_target = adj_norm.nonzero(as_tuple=True)
values = adj_norm[source_target]


def dense(support):
    return torch.mm(adj_norm, support)


def by_edges(support):
    row, col = source_target
    messages = values.unsqueeze(1) * support.index_select(0, col)
    return torch.zeros_like(support).index_add(0, row, messages)


def by_scatter(support):
    row, col = source_target
    messages = values.unsqueeze(-1) * support[col]
    return torch.zeros_like(support).scatter_add_(0, row[:, None].expand_as(messages), messages)


adj_sparse = torch.sparse_coo_tensor(torch.stack(source_target), values, adj_norm.shape)


def sparse(support):
    return torch.spmm(adj_sparse, support)


forms = {"sparse": sparse, "dense": dense, "edges": by_edges, "scatter": by_scatter}


def accuracy(output, labels):
    preds = output.max(1)[1].type_as(labels)
    correct = preds.eq(labels).double()
    return correct.sum() / len(labels)


outputs = {}
for name, form in forms.items():
    model = start(GCN(features_in, hidden, classes, dropout=0.0))
    optimizer = optim.Adam(model.parameters(), lr=0.01, weight_decay=5e-4)

    @step
    def update(features, model=model, form=form):
        model.train()
        output = model(features, form)
        loss_train = F.nll_loss(output[idx_train], labels[idx_train])
        loss_train.backward()
        return output, loss_train

    losses = []
    for epoch in range(4):
        optimizer.zero_grad()
        output, loss_train = update(features)
        if epoch == 0:
            outputs[name] = output.detach().clone()
            results.update(gradients(model, f"{name} "))
        optimizer.step()
        losses.append(loss_train.item())
    results[f"{name} output"] = outputs[name]
    results[f"{name} losses"] = losses
    model.eval()
    output = model(features, form)
    loss_val = F.nll_loss(output[idx_val], labels[idx_val])
    results[f"{name} validation losses"] = [loss_val.item(), accuracy(output, labels).item()]
assert all(torch.allclose(outputs["dense"], output) for output in outputs.values())
assert torch.equal(adj_sparse.to_dense(), adj_norm)

model = start(GraphAttention(features_in, classes))
output = model(features, adj)
F.cross_entropy(output, labels).backward()
results["attention output"] = output.detach()
results.update(gradients(model, "attention "))
