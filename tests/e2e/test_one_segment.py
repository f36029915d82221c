"""Train steps of small networks of the usual kinds (residual, U-shaped, recurrent): one program
without a step through Python, its bits those of eager mode, at one thread and at two."""

import numpy as np
import pytest

import graphc
from graphc import nn, optim
from graphc.native.toolchain import find_compiler
from graphc.nn import functional as F

pytestmark = pytest.mark.skipif(find_compiler() is None, reason="no C compiler")

RNG = np.random.default_rng(0)
IMAGES = graphc.from_numpy(RNG.standard_normal((2, 3, 16, 16)).astype(np.float32))
TOKENS = graphc.from_numpy(RNG.integers(0, 20, (5, 3)))


class Block(nn.Module):
    def __init__(self, c, o, stride):
        super().__init__()
        self.a = nn.Conv2d(c, o, 3, stride, 1, bias=False)
        self.b = nn.Conv2d(o, o, 3, 1, 1, bias=False)
        self.down = nn.Conv2d(c, o, 1, stride, bias=False)
        self.norms = nn.ModuleList([nn.BatchNorm2d(o) for _ in range(3)])

    def forward(self, x):
        y = self.norms[0](self.a(x)).relu()
        return (self.norms[1](self.b(y)) + self.norms[2](self.down(x))).relu()


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        first = nn.Conv2d(3, 4, 5, 2, 2, bias=False)
        self.stem = nn.Sequential(first, nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
        self.blocks = nn.Sequential(Block(4, 4, 1), Block(4, 6, 2))
        self.head = nn.Linear(6, 5)

    def forward(self, x):
        y = self.blocks(self.stem(x))
        return self.head(F.adaptive_avg_pool2d(y, 1).flatten(1))


class UNet(nn.Module):
    def __init__(self, up):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.deep = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(4, 6, 3, padding=1), nn.BatchNorm2d(6))
        self.up = (
            nn.ConvTranspose2d(6, 4, 2, 2)
            if up is None
            else nn.Sequential(nn.Upsample(scale_factor=2, mode=up), nn.Conv2d(6, 4, 1))
        )
        self.last = nn.Conv2d(8, 2, 1)

    def forward(self, x):
        wide = self.first(x).relu()
        return self.last(graphc.cat([wide, self.up(self.deep(wide).relu())], 1))


class Language(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.embed = nn.Embedding(20, 6)
        self.layers = getattr(nn, kind)(6, 8, 2, dropout=0.2)
        self.out = nn.Linear(8, 20)

    def forward(self, x):
        return self.out(self.layers(F.dropout(self.embed(x), 0.2))[0]).flatten(0, 1)


PLACES = graphc.from_numpy(RNG.integers(0, 2, (2, 16, 16)))
CASES = {
    "residual": (Residual, IMAGES, graphc.tensor([1, 3])),
    "transposed": (lambda: UNet(None), IMAGES, PLACES),
    "bilinear": (lambda: UNet("bilinear"), IMAGES, PLACES),
    "nearest": (lambda: UNet("nearest"), IMAGES, PLACES),
    "lstm": (lambda: Language("LSTM"), TOKENS, TOKENS.flatten()),
    "gru": (lambda: Language("GRU"), TOKENS, TOKENS.flatten()),
}


def bits(t):
    return t.detach().numpy().tobytes()


def train(make, x, y, compiled):
    """The losses of five steps and the parameters and buffers after them, in bits."""
    graphc.manual_seed(0)
    m = make()
    opt = optim.SGD(m.parameters(), lr=0.1, momentum=0.9)

    def step(x, y):
        opt.zero_grad()
        loss = F.cross_entropy(m(x), y)
        loss.backward()
        opt.step()
        return loss.detach()

    f = graphc.compile(step, fullgraph=True) if compiled else step
    found = [bits(f(x, y)) for _ in range(5)] + [bits(t) for t in m.state_dict().values()]
    if compiled:
        assert "segment_1" not in f.source
    return found


@pytest.mark.parametrize("case", CASES)
def test_train_step(case):
    before = graphc.get_num_threads()
    wanted = train(*CASES[case], compiled=False)
    for threads in (1, 2):
        graphc.set_num_threads(threads)
        assert train(*CASES[case], compiled=True) == wanted
    graphc.set_num_threads(before)
