"""Two graph convolutions (Kipf & Welling 2016, arXiv:1609.02907) tell the two factions of a karate
club apart from one labelled member of each (Zachary 1977), by who meets whom.

python examples/graph_network.py [--quick]
"""

import sys

import networkx

import graphc as torch
from graphc import nn

EPOCHS = 20 if "--quick" in sys.argv else 200

graph = networkx.karate_club_graph()
labels = torch.tensor([int(graph.nodes[i]["club"] == "Officer") for i in graph])
count = len(graph)
pairs = torch.tensor(list(graph.edges)).t()
ends = torch.cat([pairs, pairs.flip(0), torch.arange(count).expand(2, -1)], dim=1)  # self-loops
source, goal = ends
degree = torch.zeros(count).index_add(0, goal, torch.ones(ends.shape[1]))
weight = (degree[source] * degree[goal]).rsqrt().unsqueeze(1)


class Convolution(nn.Module):
    """Sums what the neighbours send, weighted by 1 / sqrt(degree * degree)."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.linear = nn.Linear(inputs, outputs, bias=False)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x):
        messages = self.linear(x)[source] * weight
        sums = torch.zeros(count, messages.shape[1]).index_add(0, goal, messages)
        return sums + self.bias


torch.manual_seed(0)
model = nn.Sequential(Convolution(count, 16), nn.ReLU(), nn.Dropout(0.5), Convolution(16, 2))
optimizer = torch.optim.Adam(model.parameters(), lr=0.02, weight_decay=5e-4)
features = torch.eye(count)
known = torch.tensor([0, count - 1])  # the instructor and the officer


@torch.compile(fullgraph=True)
def step():
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(model(features)[known], labels[known])
    loss.backward()
    optimizer.step()
    return loss


def right():
    model.eval()
    with torch.no_grad():
        found = model(features).argmax(1)
    model.train()
    return (found == labels).sum().item()


for epoch in range(EPOCHS):
    loss = step()
    if (epoch + 1) % max(1, EPOCHS // 5) == 0:
        print(f"epoch {epoch + 1:3}: loss {loss.item():.4f}, {right()} of {count} members right")
if EPOCHS > 20 and right() < 31:
    sys.exit("too many members are in the wrong faction")
