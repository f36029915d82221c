"""Random float programs: takes a seed, gives a `Program` of 3 to 30 steps over a few leaves, all
kinds of ops.

A program is data (steps), so that it can be printed, run by any executor and shrunk. Invariant: a
seed always gives the same program; values stay finite and moderate by construction.
"""

import random

import numpy as np

import graphc
from graphc.nn import functional as F

UNARY = {
    "relu": lambda x: x.relu(),
    "tanh": lambda x: x.tanh(),
    "sigmoid": lambda x: x.sigmoid(),
    "sin": lambda x: x.sin(),
    "cos": lambda x: x.cos(),
    "abs": lambda x: x.abs(),
    "neg": lambda x: -x,
    "sqrt": lambda x: (x.abs() + 0.1).sqrt(),
    "log1p": lambda x: x.abs().log1p(),
    "square": lambda x: x.square(),
    "gelu": lambda x: F.gelu(x),
    "silu": lambda x: F.silu(x),
    "erf": lambda x: x.erf(),
    "floor": lambda x: x.floor(),
    "exp": lambda x: x.clamp(-4, 2).exp(),
    "inverse": lambda x: 1 / (1 + x.abs()),
    "leaky": lambda x: F.leaky_relu(x, 0.1),
    "scaled": lambda x: x * 0.37 + 1.25,
    "from": lambda x: 2.0 - x,
    "cube": lambda x: x.tanh() ** 3,
    "masked": lambda x: x.masked_fill(x > 0.5, 0.0),
    "double": lambda x: x.double(),
    "float": lambda x: x.float(),
    "half": lambda x: x.clamp(-9, 9).half().float(),
    "bfloat": lambda x: x.bfloat16().float(),
    "detach": lambda x: x.detach(),
    "softplus": lambda x: F.softplus(x),
    "rsqrt": lambda x: (x * x + 0.5).rsqrt(),
    "expm1": lambda x: x.clamp(-3, 1).expm1(),
    "atan": lambda x: x.atan(),
    "asinh": lambda x: x.asinh(),
    "lgamma": lambda x: (x.abs() + 0.5).lgamma(),
    "digamma": lambda x: (x.abs() + 0.5).digamma(),
    "erfinv": lambda x: (0.9 * x.tanh()).erfinv(),
    "logit": lambda x: x.sigmoid().clamp(0.01, 0.99).logit(),
    "sinc": lambda x: x.sinc(),
}
BINARY = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a.tanh() * b,
    "div": lambda a, b: a / (1.5 + b.abs()),
    "maximum": graphc.maximum,
    "minimum": graphc.minimum,
    "where": lambda a, b: graphc.where(a > b, a * 2, b),
    "atan2": lambda a, b: graphc.atan2(a, b.abs() + 0.5),
    "lerp": lambda a, b: a + 0.25 * (b - a),
}
REDUCE = {
    "sum": lambda x, d, k: x.sum(d, keepdim=k),
    "mean": lambda x, d, k: x.mean(d, keepdim=k),
    "amax": lambda x, d, k: x.amax(d, keepdim=k),
    "amin": lambda x, d, k: x.amin(d, keepdim=k),
    "var": lambda x, d, k: x.var(d, correction=0, keepdim=k),
    "logsumexp": lambda x, d, k: x.logsumexp(d, keepdim=k),
    "prod": lambda x, d, k: x.tanh().prod(d, keepdim=k),
    "norm": lambda x, d, k: (x * x).sum(d, keepdim=k).add(0.1).sqrt(),
}
ROWS = {
    "softmax": lambda x, d: x.softmax(d),
    "log_softmax": lambda x, d: x.log_softmax(d),
    "centre": lambda x, d: x - x.mean(d, keepdim=True),
    "cumsum": lambda x, d: graphc.cumsum(x, d),
    "flip": lambda x, d: x.flip(d),
    "roll": lambda x, d: x.roll(1, d),
    "cumprod": lambda x, d: x.tanh().cumprod(d),
    "cummax": lambda x, d: x.cummax(d).values,
    "logcumsumexp": lambda x, d: x.logcumsumexp(d),
    "sort": lambda x, d: x.sort(d).values,
}
# values (N, C, L) and a width k to values of three axes; weights are pieces of the values
WINDOWS = {
    "conv1d": lambda x, k: F.conv1d(x, x[:, :, :k].tanh(), padding=1),
    "conv_transpose1d": lambda x, k: F.conv_transpose1d(x, x[:, :, :k].tanh().transpose(0, 1)),
    "depthwise": lambda x, k: F.conv2d(
        x[None], x[:, None, :k, :k].tanh(), padding=1, groups=x.shape[0]
    )[0],
    "max_pool": lambda x, k: F.max_pool1d(x, k, stride=1, padding=k // 2),
    "avg_pool": lambda x, k: F.avg_pool1d(x, k, stride=k),
    "nearest": lambda x, k: F.interpolate(x, scale_factor=k),
    "linear": lambda x, k: F.interpolate(x, size=k + 3, mode="linear"),
    "unfold": lambda x, k: x.unfold(2, k, 1).sum(1),
}
MOVES = {
    "permute": lambda x, p: x.permute(p),
    "reshape": lambda x, p: x.reshape(p),
    "expand": lambda x, p: x.expand(p),
    "unsqueeze": lambda x, p: x.unsqueeze(p),
    "select": lambda x, p: x.select(*p),
    "narrow": lambda x, p: x.narrow(*p),
    "step": lambda x, p: x[(slice(None),) * p[0] + (slice(p[1], None, p[2]),)],
    "clone": lambda x, p: x.clone(),
    "contiguous": lambda x, p: x.contiguous(),
    "pad": lambda x, p: F.pad(x, p),
    "take": lambda x, p: graphc.index_select(x, p[0], graphc.tensor(p[1])),
    "rows": lambda x, p: x[graphc.tensor(p)],
    "diagonal": lambda x, p: x.diagonal(p),
    "gather": lambda x, p: x.gather(p[0], graphc.tensor(p[1])),
    "layer_norm": lambda x, p: F.layer_norm(x, (x.shape[-1],)),
}
INPLACE = {
    "add_": lambda y, b: y.add_(b),
    "mul_": lambda y, b: y.mul_(b.tanh()),
    "first": lambda y, b: y[0].add_(b[0]),
    "last": lambda y, b: y[..., -1].mul_(0.5),
    "set": lambda y, b: y.__setitem__(slice(0, None, 2), b[0]),
    "view": lambda y, b: (y.view(-1) if y.is_contiguous() else y)[1:].mul_(1.5),
    "relu_": lambda y, b: y.relu_(),
    "copy": lambda y, b: y.copy_(b),
}


class Program:
    """leaves: (shape, dtype name, layout, requires_grad); steps: (kind, name, operand numbers,
    parameter)."""

    def __init__(self, seed):
        self.seed = seed
        self.rng = random.Random(seed)
        self.leaves, self.steps, self.shapes, self.dtypes = [], [], [], []
        for _ in range(self.rng.randint(1, 3)):
            self._leaf()
        for _ in range(self.rng.randint(3, 30)):
            self._step()

    def __repr__(self):
        lines = [f"seed {self.seed}"]
        lines += [f"v{i} = leaf{leaf}" for i, leaf in enumerate(self.leaves)]
        lines += [
            f"v{len(self.leaves) + i} = {kind} {name} {ops} {p if p is not None else ''}"
            for i, (kind, name, ops, p) in enumerate(self.steps)
        ]
        return "\n".join(lines)

    # ---- making

    def _leaf(self):
        r = self.rng
        n = r.choice([0, 1, 2, 2, 2, 3, 3])
        shape = tuple(r.choice([1, 2, 3, 4, 5, 7]) for _ in range(n))
        if n and r.random() < 0.15:
            shape = (*shape[:-1], r.choice([67, 130, 300]))
        self.leaves.append(
            (
                shape,
                "float64" if r.random() < 0.2 else "float32",
                r.choice(["C", "C", "C", "T", "strided", "offset"]),
                r.random() < 0.8,
            )
        )
        self.shapes.append(shape)
        self.dtypes.append(self.leaves[-1][1])

    def _pick(self, test=lambda s: True):
        found = [i for i, s in enumerate(self.shapes) if test(s)]
        # recent values more often, so that chains form
        return (
            None if not found else self.rng.choice(found[-4:] if self.rng.random() < 0.6 else found)
        )

    def _add(self, kind, name, operands, parameter, shape, dtype=None):
        if int(np.prod(shape)) > 20000 or len(shape) > 4:
            return
        self.steps.append((kind, name, operands, parameter))
        self.shapes.append(tuple(shape))
        if dtype is None:
            dtype = "float64" if any(self.dtypes[i] == "float64" for i in operands) else "float32"
        self.dtypes.append(dtype)

    def _step(self):
        r = self.rng
        kind = r.choices(
            [
                "unary",
                "binary",
                "reduce",
                "rows",
                "move",
                "matmul",
                "join",
                "inplace",
                "random",
                "scatter",
                "window",
            ],
            [6, 6, 3, 3, 5, 2, 1, 2, 1, 1, 1],
        )[0]
        getattr(self, "_" + kind)()

    def _unary(self):
        i, name = self._pick(), self.rng.choice(list(UNARY))
        dtype = {
            "double": "float64",
            "float": "float32",
            "half": "float32",
            "bfloat": "float32",
        }.get(name)
        self._add("unary", name, (i,), None, self.shapes[i], dtype)

    def _binary(self):
        i = self._pick()
        a = self.shapes[i]

        def fits(s):
            try:
                np.broadcast_shapes(a, s)
                return True
            except ValueError:
                return False

        j = self._pick(fits)
        # a 0-d float64 does not promote: work the dtype out from an executor instead of rules
        self._add(
            "binary",
            self.rng.choice(list(BINARY)),
            (i, j),
            None,
            np.broadcast_shapes(a, self.shapes[j]),
            "float64"
            if any(
                self.dtypes[k] == "float64"
                and (self.shapes[k] or not (self.shapes[i] or self.shapes[j]))
                for k in (i, j)
            )
            else "float32",
        )

    def _reduce(self):
        i = self._pick(lambda s: len(s) > 0)
        if i is None:
            return
        s, r = self.shapes[i], self.rng
        dims = tuple(sorted(r.sample(range(len(s)), r.randint(1, len(s)))))
        name, keep = r.choice(list(REDUCE)), r.random() < 0.5
        if name == "prod":
            dims = dims[:1]
        shape = (
            [1 if d in dims else n for d, n in enumerate(s)]
            if keep
            else [n for d, n in enumerate(s) if d not in dims]
        )
        self._add("reduce", name, (i,), (dims[0] if name == "prod" else dims, keep), shape)

    def _rows(self):
        i = self._pick(lambda s: len(s) > 0)
        if i is not None:
            self._add(
                "rows",
                self.rng.choice(list(ROWS)),
                (i,),
                self.rng.randrange(len(self.shapes[i])),
                self.shapes[i],
            )

    def _move(self):
        i, r = self._pick(lambda s: len(s) > 0), self.rng
        if i is None:
            return
        s = self.shapes[i]
        d = r.randrange(len(s))
        name = r.choice(list(MOVES))
        p, shape = None, s
        if name == "permute":
            p = tuple(r.sample(range(len(s)), len(s)))
            shape = [s[k] for k in p]
        elif name == "reshape":
            shape = p = r.choice([(-1,), (1, *s), (s[0], -1), (int(np.prod(s)),)])
            shape = np.empty(s, np.bool_).reshape(p).shape
        elif name == "expand":
            p = shape = (r.randint(1, 3), *s)
        elif name == "unsqueeze":
            p, shape = d, (*s[:d], 1, *s[d:])
        elif name == "select":
            p, shape = (d, r.randrange(s[d])), (*s[:d], *s[d + 1 :])
        elif name == "narrow":
            start = r.randrange(s[d])
            n = r.randint(1, s[d] - start)
            p, shape = (d, start, n), (*s[:d], n, *s[d + 1 :])
        elif name == "step":
            start, step = r.randrange(s[d]), r.randint(1, 3)
            p, shape = (d, start, step), (*s[:d], -(-(s[d] - start) // step), *s[d + 1 :])
        elif name == "pad":
            p = (r.randint(0, 2), r.randint(0, 2))
            shape = (*s[:-1], s[-1] + sum(p))
        elif name == "take":
            index = [r.randrange(s[d]) for _ in range(r.randint(1, 4))]
            p, shape = (d, index), (*s[:d], len(index), *s[d + 1 :])
        elif name == "rows":
            p = [r.randrange(-s[0], s[0]) for _ in range(3)]
            shape = (3, *s[1:])
        elif name == "diagonal":
            if len(s) != 2:
                return
            p = r.choice([0, 0, 1])
            shape = (max(min(s[0], s[1] - p), 0),)
            if not shape[0]:
                return
        elif name == "gather":
            if len(s) != 2:
                return
            rows = [[r.randrange(s[1]) for _ in range(2)] for _ in range(s[0])]
            p, shape = (1, rows), (s[0], 2)
        self._add("move", name, (i,), p, shape)

    def _matmul(self):
        i = self._pick(lambda s: len(s) >= 2)
        if i is None:
            return
        k = self.shapes[i][-1]
        j = self._pick(lambda s: len(s) == 2 and k in s)
        if j is None or self.dtypes[i] != self.dtypes[j]:
            return
        b = self.shapes[j]
        flip = b[0] != k
        self._add(
            "matmul",
            "t" if flip else "n",
            (i, j),
            None,
            (*self.shapes[i][:-1], b[0] if flip else b[1]),
        )

    def _join(self):
        i = self._pick(lambda s: len(s) > 0)
        if i is None:
            return
        j = self._pick(lambda s: s == self.shapes[i])
        s, d = self.shapes[i], self.rng.randrange(len(self.shapes[i]))
        if self.rng.random() < 0.5:
            self._add("join", "cat", (i, j), d, (*s[:d], 2 * s[d], *s[d + 1 :]))
        elif self.dtypes[i] == self.dtypes[j]:
            self._add("join", "stack", (i, j), d, (*s[:d], 2, *s[d:]))

    def _inplace(self):
        i = self._pick(lambda s: len(s) > 0)
        if i is None:
            return
        j = self._pick(lambda s: s == self.shapes[i])
        if self.dtypes[i] == self.dtypes[j]:
            self._add("inplace", self.rng.choice(list(INPLACE)), (i, j), None, self.shapes[i])

    def _random(self):
        i = self._pick()
        self._add(
            "random", self.rng.choice(["rand", "randn", "dropout"]), (i,), None, self.shapes[i]
        )

    def _scatter(self):
        i = self._pick(lambda s: len(s) == 2)
        if i is None:
            return
        s, r = self.shapes[i], self.rng
        if r.random() < 0.5:
            self._add(
                "scatter",
                "add",
                (i,),
                [[r.randrange(4) for _ in range(s[1])] for _ in range(s[0])],
                (4, s[1]),
            )
        else:
            self._add(
                "scatter", "embedding", (i,), [r.randrange(s[0]) for _ in range(5)], (5, s[1])
            )

    def _window(self):
        i = self._pick(lambda s: len(s) == 3)
        if i is None:
            return
        (n, c, length), r = self.shapes[i], self.rng
        name, k = r.choice(list(WINDOWS)), r.randint(1, min(3, length))
        shape = {
            "conv1d": (n, n, length + 3 - k),
            "conv_transpose1d": (n, n, length + k - 1),
            "depthwise": (n, c + 3 - min(k, c), length + 3 - k),
            "max_pool": (n, c, length + 2 * (k // 2) + 1 - k),
            "avg_pool": (n, c, length // k),
            "nearest": (n, c, k * length),
            "linear": (n, c, k + 3),
            "unfold": (n, length + 1 - k, k),
        }[name]
        self._add("window", name, (i,), k, shape)

    # ---- running

    def inputs(self, call=0, resized=False):
        """The leaves of one call; resized: other sizes than the program was drawn for, the same
        other size for equal ones, 0 and 1 kept."""
        g = np.random.default_rng([self.seed & 0xFFFFFFFF, call])
        sizes = {n: int(g.integers(2, 12)) for leaf in self.leaves for n in leaf[0]}
        out = []
        for shape, dtype, layout, grad in self.leaves:
            if resized:
                shape = tuple(sizes[n] if n > 1 else n for n in shape)
            out.append(tensor_like(g, shape, dtype, layout).requires_grad_(grad))
        return out

    def run(self, leaves, steps=None):
        """All values, in order."""
        values = list(leaves)
        for kind, name, operands, p in self.steps if steps is None else steps:
            values.append(EXECUTE[kind](name, [values[k] for k in operands], p))
        return values

    def step(self, *leaves):
        """A function to compile: some results, a loss, and the gradients of the leaves."""
        values = self.run(leaves)
        picked = values[-3:] + values[len(leaves) :: 5]
        loss = sum((v.double() * (0.5 + 0.25 * (i % 3))).sum() for i, v in enumerate(picked))
        if loss.requires_grad:
            loss.backward()
        return [v.detach() for v in picked], loss.detach(), [t.grad for t in leaves]


def tensor_like(g, shape, dtype, layout):
    """A random leaf with a memory layout."""
    if layout == "T" and len(shape) >= 2:
        base = g.standard_normal((*shape[:-2], shape[-1], shape[-2])).astype(dtype)
        return graphc.tensor(base).transpose(-1, -2).detach()
    if layout == "strided" and shape:
        return graphc.tensor(g.standard_normal((*shape[:-1], 2 * shape[-1])).astype(dtype))[
            ..., ::2
        ].detach()
    if layout == "offset" and shape:
        return graphc.tensor(g.standard_normal((shape[0] + 2, *shape[1:])).astype(dtype))[
            2:
        ].detach()
    return graphc.tensor(g.standard_normal(shape).astype(dtype))


def _inplace(name, v, p):
    y = v[0] * 1
    INPLACE[name](y, v[1])
    return y


def _random(name, v, p):
    x = v[0]
    if name == "dropout":
        return F.dropout(x, 0.25)
    draw = graphc.rand if name == "rand" else graphc.randn
    return x + draw(*x.shape, dtype=x.dtype)


def _scatter(name, v, p):
    x = v[0]
    if name == "add":
        return graphc.zeros(4, x.shape[1], dtype=x.dtype).scatter_add(0, graphc.tensor(p), x)
    return F.embedding(graphc.tensor(p), x)


EXECUTE = {
    "unary": lambda name, v, p: UNARY[name](*v),
    "binary": lambda name, v, p: BINARY[name](*v),
    "reduce": lambda name, v, p: REDUCE[name](v[0], *p),
    "rows": lambda name, v, p: ROWS[name](v[0], p),
    "move": lambda name, v, p: MOVES[name](v[0], p),
    "matmul": lambda name, v, p: v[0] @ (v[1].t() if name == "t" else v[1]),
    "join": lambda name, v, p: graphc.cat(v, p) if name == "cat" else graphc.stack(v, p),
    "inplace": _inplace,
    "random": _random,
    "scatter": _scatter,
    "window": lambda name, v, p: WINDOWS[name](v[0], p),
}
