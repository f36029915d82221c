"""`python -m graphc inspect FILE.py:NAME` and `verify FILE.py:NAME`: run the file, then show what
the named compiled function became, or verify it with the arguments of its last compilation."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

from .base import pytree
from .base.config import config
from .base.errors import CaptureBreak
from .checks import VerifyError, verify
from .compile import CompiledFunction, compile

VIEWS = ("explain", "graph", "fused", "kernels", "memory", "source")


def load(target: str) -> Any:
    """The compiled function that FILE.py:NAME means, called at least once.

    A plain function is compiled, and called when it takes no arguments. Raises ValueError
    otherwise."""
    file, _, name = target.rpartition(":")
    if not file or not name:
        raise ValueError(f"expected FILE.py:NAME, got {target!r}")
    if not Path(file).is_file():
        raise ValueError(f"there is no file {file}")
    sys.path.insert(0, str(Path(file).resolve().parent))
    names = runpy.run_path(file, run_name="__inspect__")
    if name not in names:
        known = [k for k, v in names.items() if isinstance(v, CompiledFunction)]
        raise ValueError(
            f"{file} defines no {name}"
            + (f"; its compiled functions: {', '.join(known)}" if known else "")
        )
    found = names[name]
    if not callable(found):
        raise ValueError(f"{name} is a {type(found).__name__}, neither a function nor a Module")
    if not isinstance(found, CompiledFunction):
        found = compile(found, fullgraph=True)
    if not found.specialisations:
        _call(found, file, name)
    return found


def _call(found: Any, file: str, name: str) -> None:
    """Calls it without arguments; ValueError when that does not compile anything."""
    if found.refused:
        raise ValueError(f"{name} was called, but could not be compiled:\n{found.refused[0]}")
    try:
        found()
    except CaptureBreak as e:
        raise ValueError(f"{name} cannot be compiled:\n{e}") from None
    except TypeError as e:
        raise ValueError(
            f"{name} has not been called by {file}, and calling it without arguments failed: {e}\n"
            'Call it in the file, outside of `if __name__ == "__main__"`.'
        ) from None
    if found.refused:
        raise ValueError(f"{name} could not be compiled:\n{found.refused[0]}")


def show(compiled: Any, what: str) -> str:
    """The chosen view as text, or all but the whole source: what was compiled and why, the graph
    before and after fusion with the refused fusions, the kernels, the memory plan, the C source."""
    parts = {
        "explain": lambda: compiled.explain(),
        "graph": lambda: str(compiled.graph),
        "fused": lambda: (
            f"{compiled.graph_after}\n\nnot fused:\n{compiled.why_not_fused or 'nothing'}"
        ),
        "kernels": lambda: "\n\n".join(f"{k}\n\n{k.source}".rstrip() for k in compiled.kernels),
        "memory": lambda: str(compiled.memory),
        "source": lambda: compiled.source,
    }
    if what != "all":
        return parts[what]().rstrip()
    return "\n\n".join(f"=== {n} ===\n{parts[n]().rstrip()}" for n in VIEWS if n != "source")


def verify_file(target: str, folder: str | None) -> int:
    """Prints what agrees, or the error; 1 for a difference, 2 when there is nothing to verify."""
    config.check = False  # shadow mode would stop at the difference, before its cause is looked for
    try:
        compiled = load(target)
        captured = compiled.specialisations[0].captured
        args, kwargs = pytree.unflatten(captured.leaves, captured.arg_spec)
        print(verify(compiled, *args, repro_dir=folder or "", **kwargs))
    except ValueError as e:
        print(f"graphc verify: {e}", file=sys.stderr)
        return 2
    except VerifyError as e:
        print(e, file=sys.stderr)
        return 1
    return 0


def main(target: str, what: str) -> int:
    """Prints the views; 2 and a message on stderr when there is nothing to show."""
    try:
        print(show(load(target), what))
    except ValueError as e:
        print(f"graphc inspect: {e}", file=sys.stderr)
        return 2
    return 0
