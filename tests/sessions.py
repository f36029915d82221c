"""Recorded interpreter sessions: takes a text file of `>>>` lines with the results that PyTorch
printed, runs them with `torch` bound to graphc, and compares the text.

`python tests/sessions.py FILE...`, with PyTorch installed, records the results again. A block ends
at a blank line and starts with a fresh namespace; an exception shows as `Type: text`; an empty line
of a result is written as a single dot; addresses of objects are zeros.
"""

from __future__ import annotations

import ast
import re
import sys
import warnings
from pathlib import Path
from typing import Any


def blocks(path: Path) -> list[tuple[int, list]]:
    """[(line number, [(source, expected text), ...])] of a file."""
    out: list = []
    current: list = []
    start = 0
    for i, line in enumerate([*path.read_text(encoding="utf-8").splitlines(), ""], 1):
        if line.startswith("#"):
            continue
        if not line:
            if current:
                out.append((start, [(s, "\n".join(r)) for s, r in current]))
            current = []
        elif line.startswith(">>> "):
            start = start if current else i
            current.append([line[4:], []])
        elif line.startswith("...") and not current[-1][1] and line[3:4] in (" ", ""):
            current[-1][0] += "\n" + line[4:]
        else:
            current[-1][1].append("" if line == "." else line)
    return out


def run(source: str, names: dict) -> str:
    """What the interpreter would print for one statement, exceptions included."""
    printed: list[str] = []
    names["print"] = lambda *xs: printed.append(" ".join(str(x) for x in xs))
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    try:
        exec(compile(tree, "<session>", "exec"), names)
        if last is not None:
            value = eval(compile(ast.Expression(last.value), "<session>", "eval"), names)
            if value is not None:
                printed.append(repr(value))
    except Exception as e:  # the text of any error is part of the session
        printed.append(f"{type(e).__name__}: {str(e).rstrip()}")
    text = re.sub(r"\b0x[0-9a-f]{6,}", "0x0", "\n".join(printed))  # where an object lies
    return "\n".join(line.rstrip() for line in text.split("\n"))


def replay(block: list, torch: Any) -> list[tuple[str, str, str]]:
    """[(source, expected, got)] of the statements whose text differs."""
    import numpy as np

    names = {"torch": torch, "np": np}
    differs = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for source, expected in block:
            got = run(source, names)
            if got != expected:
                differs.append((source, expected, got))
    return differs


def parameters(folder: Path) -> list:
    """pytest parameters (file stem, line, block) of all session files in a folder."""
    import pytest

    return [
        pytest.param(block, id=f"{f.stem}:{line}")
        for f in sorted(folder.glob("*.txt"))
        for line, block in blocks(f)
    ]


def check(block: list, torch: Any) -> None:
    """Fails with every statement of the block whose text differs."""
    differs = replay(block, torch)
    if differs:
        raise AssertionError(
            "\n".join(f"\n>>> {s}\nexpected: {e}\ngot:      {g}" for s, e, g in differs)
        )


def record(path: Path) -> None:
    """Rewrites the results in a file with those of the installed PyTorch."""
    import numpy as np
    import torch

    lines: list[str] = []
    pending: list[str] = []
    names: dict = {}

    def flush() -> None:
        if pending:
            torch.set_default_dtype(torch.float32)
            result = run("\n".join(pending), names)
            lines.extend((x if x else ".") for x in result.split("\n") if result)
            pending.clear()

    fresh = True
    for line in [*path.read_text(encoding="utf-8").splitlines(), ""]:
        if line.startswith(">>> "):
            flush()
            if fresh:
                names = {"torch": torch, "np": np}
                fresh = False
            pending.append(line[4:])
            lines.append(line)
        elif line.startswith("... ") and pending:
            pending.append(line[4:])
            lines.append(line)
        elif not line or line.startswith("#"):
            flush()
            fresh = fresh or not line
            lines.append(line)
    path.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    for name in sys.argv[1:]:
        record(Path(name))
