"""Expressions under both libraries: takes a file of them, one a line, gives those whose results
(values, dtypes, shapes, error types and texts) differ.

In an expression `L` is the library; x, y, v are float32, p positive, d float64, i integers, b
bools; A, B, S, P float64 matrices (B a batch, S tall, P positive-definite); z, w, Z complex, r the
real numbers beside z. Every expression gets fresh ones."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

import graphc

TOLERANCE = {"float32": 3e-5, "complex64": 3e-5, "float16": 2e-2}  # of few roundings; else 1e-9


def inputs(L, wide: bool) -> dict:
    """The names that expressions use, in library L; wide: z, w and r in double precision."""
    rng = np.random.default_rng(0)

    def draw(*shape, t="f8"):
        return L.tensor(rng.standard_normal(shape).astype(t))

    f = "f8" if wide else "f4"
    names = {n: draw(3, 4, t="f4") for n in ("x", "y")}
    names["d"], names["p"] = draw(3, 4), L.tensor(rng.random((3, 4)).astype("f4"))
    names["i"], names["v"] = L.tensor(rng.integers(-5, 9, (3, 4))), draw(5, t="f4")
    names["A"], names["B"], names["S"] = draw(4, 4), draw(2, 3, 3), draw(5, 3)
    names["b"] = names["x"] > 0
    names["P"] = names["A"] @ names["A"].mT + L.eye(4, dtype=L.float64)
    for n, shape, t in (("z", (3, 4), f), ("w", (3, 4), f), ("Z", (3, 3), "f8")):
        parts = [draw(*shape, t=t) for _ in range(2)]
        names[n] = L.complex(*parts)
    names["r"] = draw(3, 4, t=f)
    return names


def outcome(L, text: str, wide: bool):
    try:
        return eval(text, {"L": L}, inputs(L, wide))  # noqa: S307
    except Exception as e:  # noqa: BLE001
        return e


def differ(a, b) -> str:
    """What is different between PyTorch's a and graphc's b; "" for nothing."""
    import torch

    if isinstance(a, Exception) or isinstance(b, Exception):
        kinds = [type(e).__name__.lstrip("_") for e in (a, b)]
        texts = [str(e).split("\n")[0] for e in (a, b)]
        same = kinds[0] == kinds[1] and texts[0] == texts[1]
        return "" if same else f"{a!r} and {b!r}"
    if isinstance(a, (tuple, list)) and not isinstance(a, torch.Size):
        if not isinstance(b, (tuple, list)) or len(a) != len(b):
            return f"{len(a)} results and {b!r}"
        return next((t for t in map(differ, a, b) if t), "")
    if not isinstance(a, torch.Tensor):
        return "" if str(a) == str(b) else f"{a} and {b}"
    if not isinstance(b, graphc.Tensor) or str(a.dtype) != str(b.dtype):
        return f"{a!r} and {b!r}"
    x, y = a.detach().resolve_conj().numpy(), b.detach().numpy()
    tol = TOLERANCE.get(str(x.dtype), 1e-9)
    if x.shape != y.shape or not np.allclose(x, y, rtol=tol, atol=tol, equal_nan=True):
        return f"{a} and {b}"
    return ""


def disagreements(name: str, wide: bool = True) -> list[str]:
    """The lines of a file beside this one on which the libraries differ, with what differs."""
    import torch

    lines = Path(__file__).with_name(name + ".txt").read_text().splitlines()
    found = []
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for text in lines:
            what = differ(outcome(torch, text, wide), outcome(graphc, text, wide))
            if what:
                found.append(f"{text}: {what}")
    return found
