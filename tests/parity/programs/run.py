"""Runs one program in a process of its own: takes a library, a program and runs, gives a file.

python run.py {torch,graphc} PROGRAM OUT.npz RUN...      RUN: float64 float32 nudged compiled

Under graphc every import of `torch` or `torch.x.y` gives graphc or graphc.x.y, so a program is
executed as it stands. OUT holds an array `RUN/name` for each of the program's `results`, and
`RUN/printed`.
"""

import contextlib
import importlib
import importlib.abc
import importlib.util
import io
import runpy
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
NUDGE = 1e-10


class Alias(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds graphc's modules under PyTorch's names."""

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            return importlib.util.spec_from_loader(name, self)
        return None

    def create_module(self, spec):
        name = "graphc" + spec.name.removeprefix("torch")
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name == name:
                raise ModuleNotFoundError(
                    f"No module named {spec.name!r}", name=spec.name
                ) from None
            raise
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module):
        # the import system wrote the alias's spec over the module's own
        module.__spec__ = module.__spec__.loader_state


def arrays(value):
    """A result as an array: a tensor, a number, or a sequence of them."""
    if hasattr(value, "detach"):
        return value.detach().numpy().copy()
    if isinstance(value, (list, tuple)):
        return np.asarray([arrays(v) for v in value])
    return np.asarray(value)


def main(library, program, out, *runs):
    sys.path.insert(0, str(HERE))
    if library == "graphc":
        sys.meta_path.insert(0, Alias())
    import same
    import torch

    assert torch.__name__ == library and ("graphc" in sys.modules) == (library == "graphc")
    torch.set_num_threads(1)
    found = {}
    for run in runs:
        torch.set_default_dtype(torch.float32 if run == "float32" else torch.float64)
        same.nudge = NUDGE if run == "nudged" else 0.0
        same.compiling = run == "compiled"
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            results = runpy.run_path(str(HERE / f"{program}.py"), run_name="__main__")["results"]
        found |= {f"{run}/{name}": arrays(value) for name, value in results.items()}
        found[f"{run}/printed"] = np.asarray(printed.getvalue())
    np.savez(out, **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
