"""`python -m graphc inspect FILE.py:NAME`: runs the file, then shows what the named compiled function became."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

from .compile import CompiledFunction, compile


def load(target: str) -> Any:
    """The compiled function that FILE.py:NAME means, called at least once.

    A plain function is compiled and called when it takes no arguments. Raises ValueError otherwise."""
    file, _, name = target.rpartition(":")
    if not file or not name:
        raise ValueError(f"expected FILE.py:NAME, got {target!r}")
    if not Path(file).is_file():
        raise ValueError(f"there is no file {file}")
    sys.path.insert(0, str(Path(file).resolve().parent))
    found = runpy.run_path(file, run_name="__inspect__").get(name)
    if found is None:
        raise ValueError(f"{file} defines no {name}")
    if not isinstance(found, CompiledFunction):
        found = compile(found)
    if not found.specialisations:
        try:
            found()
        except TypeError as e:
            raise ValueError(f"{name} has not been called by {file}, and calling it without arguments failed: {e}"
                             "; call it in the file (outside of `if __name__ == '__main__'`)") from None
    return found


def show(compiled: Any, what: str) -> str:
    """The chosen views as text: graph before and after fusion, kernels, C source, memory plan, guards."""
    parts = {
        "explain": lambda: compiled.explain(),
        "graph": lambda: f"{compiled.graph}\n\n# after fusion\n{compiled.graph_after}",
        "kernels": lambda: "\n\n".join(f"{k}\n\n{k.source}" for k in compiled.kernels),
        "memory": lambda: str(compiled.memory) + "\n\n" + "\n".join(map(str, compiled.why_not_fused)),
        "source": lambda: compiled.source,
    }
    names = [n for n in parts if n != "source"] if what == "all" else [what]
    return "\n\n".join(f"=== {n} ===\n{parts[n]()}" if len(names) > 1 else parts[n]() for n in names)


def main(target: str, what: str) -> int:
    """Prints the views; 2 and a message on stderr when there is nothing to show."""
    try:
        print(show(load(target), what))
    except ValueError as e:
        print(f"graphc inspect: {e}", file=sys.stderr)
        return 2
    return 0
