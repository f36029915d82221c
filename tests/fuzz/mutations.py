"""Random int64 programs of views, in-place ops and reductions over inputs that may share memory:
takes a seed, gives a `Program` as text, with the placement of its inputs for every call.

Statements are drawn while the program runs eagerly on the inputs of call 0; what raises there is
dropped. Invariant: a seed always gives the same program, and the text alone repeats it."""

import random

import numpy as np

import graphc

CALLS = 4  # call 2 places its inputs otherwise, call 3 as call 0
_SHAPES = [(4,), (6,), (3, 4), (2, 3), (4, 4), (2, 3, 2), (1, 4), (5, 1), ()]

VIEWS = [
    "{v}[{i}]",
    "{v}[{s}]",
    "{v}[:, {i}]",
    "{v}[:, {s}]",
    "{v}[..., {s}]",
    "{v}[{s}, {s}]",
    "{v}.t()",
    "{v}.transpose(0, -1)",
    "{v}.permute({perm})",
    "{v}.unsqueeze({d})",
    "{v}.squeeze()",
    "{v}.view(-1)",
    "{v}.view({shape})",
    "{v}.reshape({shape})",
    "{v}.reshape(-1)",
    "{v}.flatten()",
    "{v}.expand(2, *{v}.shape)",
    "{v}.diagonal()",
    "{v}.unfold({d}, 2, 1)",
    "{v}.unfold({d}, 2, 2)",
    "{v}.unfold({d}, 1, 2)",
    "{v}.unfold({d}, 2, 3)",
    "{v}.narrow({d}, {k}, {k2})",
    "{v}.select({d}, {i})",
    "{v}.chunk(2)[{b}]",
    "{v}.split(2)[{b}]",
    "{v}.unbind(0)[{b}]",
    "{v}.detach()",
    "{v}.data",
    "{v}[None]",
    "{v}.movedim(0, -1)",
    "{v}.as_strided(({k2}, 2), ({k}, 1), {k})",
    "{v}.as_strided((2, 2), (1, 1))",
    "{v}.view_as({w})",
    "{v}.contiguous()",
    "{v}.T",
    "{v}.expand_as({w})",
    "{v}.swapaxes(0, 1)",
    "{v}.unflatten(0, (2, -1))",
]
FRESH = [
    "{v} + {w}",
    "{v} - {w}",
    "{v} * {w}",
    "{v} * {n}",
    "{n} - {v}",
    "-{v}",
    "{v}.clone()",
    "{v}.sum()",
    "{v}.sum({d})",
    "{v}.sum({d}, keepdim=True)",
    "{v}.amax({d})",
    "{v}.amin({d}, keepdim=True)",
    "{v}.prod({d})",
    "graphc.maximum({v}, {w})",
    "graphc.where({v} > {n}, {v}, {w})",
    "({v} > {w}).long()",
    "{v} // 3",
    "{v} % 5",
    "{v}.abs()",
    "graphc.cat([{v}, {w}])",
    "graphc.stack([{v}, {v}])",
    "{v}.flip(0)",
    "{v}.roll(1, 0)",
    "{v}.clamp(-{k2}, {k2})",
    "{v} & {w}",
    "{v} ^ {n}",
    "{v}.argmax({d})",
    "graphc.zeros_like({v})",
    "graphc.arange({v}.shape[0])",
    "{v} + {v}.sum()",
    "{v}.cumsum(0)",
    "({v} == {w}).sum(0)",
    "graphc.index_select({v}, 0, graphc.tensor([0, {b}]))",
    "{v}[graphc.tensor([{b}, 0])]",
    "{v}.max()",
    "{v}.repeat(2, 1)",
    "graphc.tensor([1, 2, 3, 4]) * {n}",
    "{v}.new_full((2,), {n})",
]
WRITES = [
    "{v}.add_({n})",
    "{v}.add_({w})",
    "{v}.mul_({n})",
    "{v}.mul_({w})",
    "{v}.sub_({w})",
    "{v}.zero_()",
    "{v}.fill_({n})",
    "{v}.copy_({w})",
    "{v}.neg_()",
    "{v}.abs_()",
    "{v}.clamp_(-{k2}, {k2})",
    "{v}.masked_fill_({v} > {n}, {k})",
    "{v}.add_({w}, alpha={k2})",
    "{v}.bitwise_xor_({n})",
    "{v}.copy_({v}.flip(0))",
    "{v}[{i}] = {n}",
    "{v}[{s}] = {n}",
    "{v}[{s}] = {w}",
    "{v}[{i}] = {w}",
    "{v}[:, {i}] = {n}",
    "{v}[..., {s}] = {w}",
    "{v}[{s}] += {n}",
    "{v}[{i}] += {w}",
    "{v} += {w}",
    "{v} *= {n}",
    "{v} -= 1",
    "{v}[1:] = {v}[:-1]",
    "{v}[:-1] = {v}[1:]",
    "{v}[1:].add_({v}[:-1])",
    "{v}.t().copy_({w})",
    "{v}.view(-1)[{s}].add_({n})",
    "{v}.transpose(0, 1)[{i}].zero_()",
    "{v}.diagonal().mul_({n})",
    "{v}.unfold({d}, 1, 2).add_({n})",
    "{v}.unfold({d}, 2, 3).mul_({n})",
    "{v}[graphc.tensor([{b}, 0])] = {n}",
    "{v}.index_add_(0, graphc.tensor([0, {b}]), {w}[:2])",
    "{v}.data.add_({n})",
    "{v}.detach().mul_({n})",
    "{v}[{v} > {n}] = {k}",
    "{v}.scatter_(0, graphc.zeros_like({v}), {n})",
    "{v}.add_({v}.sum())",
    "{v}.unsqueeze_(0)",
    "{v}.squeeze_()",
    "{v}.transpose_(0, -1)",
    "{v}.random_(0, 9)",
]


class Program:
    """lines: the statements; returns: the names returned; places: per call, where the inputs
    lie."""

    def __init__(self, seed):
        self.seed = seed
        self.rng = random.Random(seed)
        self.shapes = [self.rng.choice(_SHAPES) for _ in range(self.rng.randint(1, 3))]
        first, other = self._places(), self._places()
        self.places = [first, first, other, first]
        self.lines, self.types = [], {}
        self._draw(self.rng.randint(2, 12))

    # ---- inputs

    def _places(self):
        """Per input: ("own", layout), ("window", strides, offset) of the common memory, or ("same",
        j)."""
        places = []
        for i, shape in enumerate(self.shapes):
            kind = self.rng.random()
            same = [j for j in range(i) if self.shapes[j] == shape]
            if kind < 0.12 and same:
                places.append(("same", self.rng.choice(same)))
            elif kind < 0.5:
                strides, reach = self._strides(shape)
                places.append(("window", strides, self.rng.randint(0, max(0, min(8, 63 - reach)))))
            else:
                places.append(
                    ("own", self.rng.choice(["plain", "plain", "reversed", "gapped", "part"]))
                )
        return places

    def _strides(self, shape):
        """Strides that cross no element twice, most of the time, and how far they reach."""
        order = list(range(len(shape)))
        self.rng.shuffle(order)
        strides, step = [0] * len(shape), self.rng.choice([1, 1, 2])
        for d in order:
            strides[d] = step
            step *= max(shape[d], 1)
        reach = sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
        return tuple(strides), reach

    def inputs(self, call):
        """Fresh tensors for a call: (all the memory there is, the inputs)."""
        values = np.random.default_rng([self.seed, call])
        common = graphc.from_numpy(values.integers(-9, 10, 80))
        memory, tensors = [common], []
        for shape, place in zip(self.shapes, self.places[call], strict=True):
            if place[0] == "same":
                tensors.append(tensors[place[1]])
            elif place[0] == "window":
                tensors.append(common.as_strided(shape, place[1], place[2]))
            else:
                tensors.append(self._own(values, shape, place[1], memory))
        return memory, tensors

    def _own(self, values, shape, layout, memory):
        if layout == "gapped" and shape:
            base = graphc.from_numpy(values.integers(-9, 10, (*shape[:-1], shape[-1] * 2)))
            out = base[..., ::2]
        elif layout == "part" and shape:
            base = graphc.from_numpy(values.integers(-9, 10, (shape[0] + 2, *shape[1:])))
            out = base[1:-1]
        elif layout == "reversed":
            base = graphc.from_numpy(values.integers(-9, 10, shape[::-1]))
            out = base.permute(tuple(range(len(shape)))[::-1])
        else:
            base = out = graphc.from_numpy(np.array(values.integers(-9, 10, shape)))
        memory.append(base)
        return out

    # ---- statements

    def _draw(self, wanted):
        names = [f"x{i}" for i in range(len(self.shapes))]
        env = {"graphc": graphc, **dict(zip(names, self.inputs(0)[1], strict=True))}
        graphc.manual_seed(0)
        for _ in range(wanted * 6):
            if len(self.lines) >= wanted:
                break
            kind = self.rng.choices([VIEWS, FRESH, WRITES], [4, 2, 4])[0]
            template = self.rng.choice(kind)
            v, w = self.rng.choice(names), self.rng.choice(names)
            text = template.format(v=v, w=w, **self._parameters(env[v]))
            new = f"v{len(self.lines)}"
            if text.endswith(("eeze_()", "eeze_(0)", "pose_(0, -1)")) and v.startswith("x"):
                continue  # of an argument: refused
            line = text if kind is WRITES else f"{new} = {text}"
            try:
                exec(line, env)  # noqa: S102
            except Exception:  # noqa: BLE001
                continue
            if kind is not WRITES:
                t = env[new]
                if not 0 < t.numel() <= 120 or t.dim() > 4 or t.dtype is not graphc.int64:
                    continue
                names.append(new)
            self.lines.append(line)
        count = self.rng.randint(1, min(4, len(names)))
        self.returns = self.rng.sample(names[::-1], count)

    def _parameters(self, t):
        r, n = self.rng, t.dim()
        first = t.shape[0] if n else 1
        shape = list(t.shape)
        if t.numel() % 2 == 0 and r.random() < 0.5:
            shape = [2, t.numel() // 2]
        a = r.randint(0, 1)
        perm = list(range(n))
        r.shuffle(perm)
        return {
            "i": r.randint(-first, first - 1),
            "s": f"{a or ''}:{r.choice(['', '-1', '3'])}" + r.choice(["", "", ":2"]),
            "d": r.randint(-n, n - 1) if n else 0,
            "n": r.randint(-5, 7),
            "k": r.randint(0, 1),
            "k2": r.randint(1, 3),
            "b": r.randint(0, 1),
            "shape": ", ".join(map(str, reversed(shape))),
            "perm": ", ".join(map(str, perm)) or "()",
        }

    # ---- as text and as a function

    def source(self):
        names = ", ".join(f"x{i}" for i in range(len(self.shapes)))
        body = "".join(f"    {line}\n" for line in self.lines)
        return f"def fn({names}):\n{body}    return {', '.join(self.returns)},\n"

    def function(self):
        """The program as a fresh Python function."""
        names = {"graphc": graphc}
        exec(compile(self.source(), f"<program {self.seed}>", "exec"), names)  # noqa: S102
        return names["fn"]

    def __repr__(self):
        places = "\n".join(f"# call {i}: {p}" for i, p in enumerate(self.places))
        return f"# seed {self.seed}, shapes {self.shapes}\n{places}\n{self.source()}"
