"""Random graphs over float tensors: elementwise chains, movements, reductions, products, gathers,
random draws and updates, in shapes that share axes. For bit comparisons with eager execution."""

import random

import numpy as np

from graphc.base import dtypes

from .graphs import Builder

UNARY = ("relu", "neg", "abs", "sigmoid", "tanh", "exp", "sqrt", "square", "sign", "floor")
BINARY = ("add", "sub", "mul", "div", "maximum", "minimum")


class Maker:
    """Grows one random graph from a seed."""

    def __init__(self, seed, nodes=14, dtype=dtypes.float32):
        self.r = random.Random(seed)
        self.b = Builder()
        self.dtype = dtype
        self.sizes = self.r.sample((1, 2, 3, 5, 8, 17, 33, 64, 65, 130), 3)
        self.pool = [self.b.input(self.shape(), dtype) for _ in range(self.r.randint(1, 3))]
        self.draws = 0
        for _ in range(nodes):
            self.step()
        r = self.r
        outs = [n for n in r.sample(self.pool, min(len(self.pool), r.randint(1, 4)))]
        self.b.graph.outputs = [self.pool[-1], *outs]
        self.updates()

    def shape(self):
        return tuple(self.r.choice(self.sizes) for _ in range(self.r.choice((1, 2, 2, 2, 3))))

    def pick(self):
        return self.r.choice(self.pool[-6:] if self.r.random() < 0.7 else self.pool)

    def step(self):
        kind = self.r.choices(
            ("unary", "binary", "reduce", "move", "mm", "other"), (4, 5, 4, 3, 2, 2)
        )[0]
        n = getattr(self, kind)()
        if n is not None and np.prod(n.shape) <= 40000:
            self.pool.append(n)

    def unary(self):
        return self.b(self.r.choice(UNARY), self.pick())

    def binary(self):
        a = self.pick()
        others = [n for n in self.pool if _broadcasts(a.shape, n.shape)]
        other = (
            self.r.choice(others) if self.r.random() < 0.8 else self.r.choice((0.5, 2.0, -1.25, 3))
        )
        return self.b(self.r.choice(BINARY), a, other)

    def reduce(self):
        a = self.pick()
        k = self.r.randint(1, len(a.shape)) if a.shape else 0
        dims = tuple(sorted(self.r.sample(range(len(a.shape)), k)))
        name = self.r.choices(("sum", "amax", "amin", "prod"), (6, 2, 1, 1))[0]
        out = self.b(name, a, dims, self.r.random() < 0.6)
        if self.r.random() < 0.5 and out.shape and _broadcasts(a.shape, out.shape):
            self.pool.append(out)
            return self.b(self.r.choice(("sub", "div", "mul")), a, out)
        return out

    def move(self):
        a = self.pick()
        n = len(a.shape)
        which = self.r.choice(("permute", "view", "slice", "expand", "unsqueeze", "select"))
        if which == "permute" and n > 1:
            return self.b("permute", a, tuple(self.r.sample(range(n), n)))
        if which == "view" and n > 1:
            if a.type.is_contiguous:
                return self.b("view", a, (int(np.prod(a.shape)),))
        if which == "slice" and n and a.shape[0] > 2:
            return self.b("slice", a, 0, 1, a.shape[0], self.r.choice((1, 2)))
        if which == "expand":
            return self.b("expand", a, (self.r.choice((1, 2, 3)), *a.shape))
        if which == "unsqueeze":
            return self.b("unsqueeze", a, self.r.randint(0, n))
        if which == "select" and n > 1:
            return self.b("select", a, 0, a.shape[0] - 1)
        return None

    def mm(self):
        twos = [n for n in self.pool if len(n.shape) == 2]
        pairs = [(a, b) for a in twos for b in twos if a.shape[1] == b.shape[0]]
        if not pairs:
            return None
        a, b = self.r.choice(pairs)
        out = self.b("mm", a, b)
        return self.b("tanh", out) if self.r.random() < 0.5 else out

    def other(self):
        a = self.pick()
        which = self.r.choice(("cat", "pad", "uniform", "slice_backward"))
        if which == "cat" and a.shape:
            return self.b("cat", [a, a], self.r.randrange(len(a.shape)))
        if which == "pad" and a.shape:
            return self.b(
                "pad_constant",
                a,
                tuple((self.r.randint(-1 if s > 2 else 0, 2), 1) for s in a.shape),
                0.5,
            )
        if which == "uniform" and self.dtype in (dtypes.float32, dtypes.float64):
            from graphc.ir.graph import Draw

            u = self.b("uniform", a.shape, self.dtype, Draw(0, self.draws))
            self.draws += (int(np.prod(a.shape)) + 3) // 4
            self.b.graph.draws[0] = self.draws
            return self.b("mul", a, u)
        if which == "slice_backward" and a.shape:
            return self.b("slice_backward", a, (a.shape[0] * 2 + 1, *a.shape[1:]), 0, 1, 2)
        return None

    def updates(self):
        g = self.b.graph
        for slot, n in enumerate(g.inputs):
            fits = [
                m for m in self.pool if m.shape == n.shape and m is not n and m.dtype is n.dtype
            ]
            if fits and self.r.random() < 0.6:
                g.updates[slot] = (
                    self.b("sub", n, self.r.choice(fits)) if self.r.random() < 0.7 else fits[-1]
                )

    def arrays(self):
        rng = np.random.default_rng(self.r.randrange(1 << 30))
        return [
            (rng.standard_normal(n.shape) * 1.5).astype(n.dtype.np) for n in self.b.graph.inputs
        ]


def _broadcasts(a, b):
    return all(x == y or x == 1 or y == 1 for x, y in zip(reversed(a), reversed(b)))
