"""Random programs that run in graphc and in PyTorch alike: index expressions, and chains of views
and in-place writes with gradients. A program is a list of statements over named tensors; running it
gives a log of values, strides, offsets and error types, so that two libraries can be compared line
by line."""

from __future__ import annotations

import random
from typing import Any

import numpy as np


def key_of(rng: random.Random, shape: tuple, torch: Any) -> tuple[Any, str]:
    """A random index expression for a shape: (function of torch that makes it, its text)."""
    parts: list[str] = []
    axis = 0
    advanced = rng.choice([(), (2,), (2,), (3, 1), (2, 2)])
    dots = False
    while axis < len(shape) and rng.random() < 0.85:
        n = shape[axis]
        kind = rng.choice(
            [
                "int",
                "slice",
                "slice",
                "step",
                "none",
                "list",
                "tensor",
                "mask",
                "mask2",
                "dots",
                "zero",
            ]
        )
        if kind == "int" and n:
            parts.append(str(rng.randrange(-n, n)))
        elif kind == "slice":
            a, b = sorted((rng.randrange(-n - 1, n + 2), rng.randrange(-n - 1, n + 2)))
            parts.append(
                rng.choice(
                    [f"slice({a}, {b})", "slice(None)", f"slice({a}, None)", f"slice(None, {b})"]
                )
            )
        elif kind == "step":
            parts.append(f"slice({rng.randrange(0, n + 1)}, None, {rng.randrange(1, 3)})")
        elif kind == "none":
            parts.append("None")
            continue
        elif kind == "list" and n:
            parts.append(str([rng.randrange(-n, n) for _ in range((advanced or (2,))[-1])]))
        elif kind == "tensor" and n:
            values = np.array([rng.randrange(-n, n) for _ in range(int(np.prod(advanced or (2,))))])
            parts.append(f"torch.tensor({values.reshape(advanced or (2,)).tolist()})")
        elif kind == "mask" and n:
            parts.append(f"torch.tensor({[rng.random() < 0.6 for _ in range(n)]})")
        elif kind == "mask2" and axis + 1 < len(shape):
            m = shape[axis + 1]
            parts.append(
                f"torch.tensor({[[rng.random() < 0.5 for _ in range(m)] for _ in range(n)]})"
                ".reshape({}, {})".format(n, m)
            )
            axis += 1
        elif kind == "dots" and not dots:
            dots = True
            parts.append("...")
            axis = max(axis, len(shape) - 1)
            continue
        elif kind == "zero" and n:
            parts.append(f"torch.tensor({rng.randrange(n)})")
        else:
            continue
        axis += 1
    text = "(" + ", ".join(parts) + ("," if len(parts) == 1 else "") + ")"
    return eval("lambda torch: " + text), text


VIEWS = (
    "{x}.view(-1)",
    "{x}.t() if {x}.ndim == 2 else {x}.unsqueeze(0)",
    "{x}[{i}]",
    "{x}[{i}:]",
    "{x}[..., ::2]",
    "{x}.unsqueeze({d})",
    "{x}.squeeze()",
    "{x}.transpose(0, -1)",
    "{x}.reshape(-1)",
    "{x}.narrow(0, 0, 1)",
    "{x}.diagonal() if {x}.ndim == 2 else {x}[None]",
    "{x}.flatten()",
    "{x}.detach()",
    "{x}.expand(2, *{x}.shape)",
    "{x}.view({x}.shape)",
    "{x}.permute(tuple(reversed(range({x}.ndim))))",
    "{x}.unfold(0, 1, 1)",
    "{x}.movedim(0, -1)",
)
WRITES = (
    "{x}.mul_(2.0)",
    "{x}.add_({y}.sum())",
    "{x}.zero_()",
    "{x}[{i}] = 1.5",
    "{x}.copy_({y}.mean())",
    "{x}.exp_()",
    "{x}.sub_({x}.detach())",
    "{x}[{i}:] = {y}.sum() * 0.5",
    "{x}.fill_(0.25)",
    "{x}.masked_fill_({x} > 0.7, 0.3)",
    "{x}.neg_()",
    "{x}.mul_({y}.max())",
    "{x}.sigmoid_()",
    "{x}[{x} > 0.5] = 0.125",
    "{x}.div_(1.5)",
    "{x} *= 0.5",
    "{x}.clamp_(-1, 1)",
    "{x}.pow_(2)",
    "{x}.tanh_()",
)
PURE = (
    "{x} * {s}",
    "({x} * {y}.sum()).tanh()",
    "{x}.exp().clamp(max=3.0)",
    "{x} + 1",
    "{x}.clone()",
    "{x}.sigmoid()",
    "{x} * 1",
    "{x}.relu()",
    "{x}.contiguous()",
    "{x}.cumsum(0)",
    "{x}.flip(0)",
    "torch.stack([{x}, {x}])",
)


def program(seed: int) -> list[str]:
    """A random program: leaves `a` and `b`, then views, writes and pure functions of what there
    is."""
    rng = random.Random(seed)
    shape = rng.choice([(4,), (2, 3), (3, 3), (2, 2, 3), (1, 4)])
    lines = [
        f"a = make({shape}, 1, {rng.random() < 0.8})",
        f"b = make({shape[-1:]}, 2, True)",
        "c = a * 1.0",
        "z = torch.zeros(3, 2, dtype=torch.float64)",
    ]
    names = ["a", "b", "c", "c", "z"]
    for k in range(rng.randrange(3, 9)):
        x, y = rng.choice(names), rng.choice(names)
        fill = {
            "x": x,
            "y": y,
            "i": rng.randrange(2),
            "d": rng.randrange(2),
            "s": rng.choice([0.5, 2.0, -1.0]),
        }
        roll = rng.random()
        if roll < 0.4:
            lines.append(f"v{k} = " + rng.choice(VIEWS).format(**fill))
            names += [f"v{k}", f"v{k}"]
        elif roll < 0.8:
            write = rng.choice(WRITES).format(**fill)
            if rng.random() < 0.15:
                write = "with torch.no_grad():\n    " + write
            lines.append(write)
        else:
            lines.append(f"p{k} = " + rng.choice(PURE).format(**fill))
            names.append(f"p{k}")
    return lines


def run(lines: list[str], torch: Any) -> tuple[list[tuple], list[np.ndarray]]:
    """(facts, numbers) of a program: facts are compared exactly, numbers closely."""

    def make(shape: tuple, seed: int, needs: bool) -> Any:
        a = np.random.default_rng(seed).uniform(-1, 1, shape)
        return torch.tensor(a, dtype=torch.float64).requires_grad_(needs)

    names: dict = {"torch": torch, "make": make}
    facts: list[tuple] = []
    numbers: list[np.ndarray] = []
    for line in lines:
        try:
            # PyTorch refuses writes to views whose base has got a history since, as to leaves,
            # until someone has asked for their own
            for v in names.values():
                if isinstance(v, torch.Tensor):
                    v.is_leaf  # noqa: B018
            exec(line, names)
            facts.append((line, "ok"))
        except (RuntimeError, IndexError, TypeError, ValueError, NameError) as e:
            facts.append((line, type(e).__name__, str(e).split("\n")[0][:60]))
    tensors = {k: v for k, v in sorted(names.items()) if isinstance(v, torch.Tensor)}
    for k, v in tensors.items():
        numbers.append(v.detach().numpy().copy())
        strides = tuple(s for s, n in zip(v.stride(), v.shape) if n != 1) if v.numel() else ()
        try:
            facts.append(
                (
                    k,
                    tuple(v.shape),
                    strides,
                    v.storage_offset() if v.numel() else 0,
                    bool(v.requires_grad),
                    v._version,
                    v.is_leaf,
                )
            )
        except RuntimeError as e:
            facts.append((k, type(e).__name__))
    loss = None
    for v in tensors.values():
        try:
            if v.requires_grad and v.numel():
                w = torch.arange(1, v.numel() + 1, dtype=torch.float64).reshape(v.shape)
                loss = (v * w).sum() if loss is None else loss + (v * w).sum()
        except RuntimeError as e:
            facts.append(("loss", type(e).__name__, str(e)[:60]))
    try:
        if loss is not None:
            loss.backward()
    except RuntimeError as e:
        facts.append(("backward", str(e).split(":")[0][:60]))
    else:
        for k in ("a", "b"):
            g = names[k].grad
            facts.append((k + ".grad", g is None))
            if g is not None:
                numbers.append(g.numpy().copy())
    return facts, numbers
