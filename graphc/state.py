"""Process-wide state for users: thread count, random state as a tensor, and a report of what is in
force."""

from __future__ import annotations

import os
import platform
import sys

import numpy as np

from .core.rng import default_generator
from .core.tensor import Tensor
from .native import library


def set_num_threads(num: int, nthreads: int | None = None) -> None:
    """Threads that native kernels may use (`nthreads` is another name of the number). Results do
    not depend on it. RuntimeError below 1."""
    n = num if nthreads is None else nthreads
    if n < 1:
        raise RuntimeError("set_num_threads expects a positive integer")
    library.set_num_threads(int(n))


def get_num_threads() -> int:
    """Threads that native kernels may use."""
    return library.get_num_threads()


def get_rng_state() -> Tensor:
    """The default generator's (seed, offset) as a uint8 tensor of 16 bytes."""
    return default_generator.get_state()


def set_rng_state(new_state: Tensor) -> None:
    """Restores what get_rng_state() returned. TypeError or RuntimeError for anything else."""
    default_generator.set_state(new_state)


def info() -> str:
    """What this installation runs with: compiler, kernels, threads, cache, and whether the bitwise
    contract (eager == compiled, any thread count) is in force."""
    facts = library.describe()
    native = facts["native"]
    lines = [
        f"graphc on Python {platform.python_version()}, numpy {np.__version__}, {sys.platform} "
        f"{platform.machine()}, {os.cpu_count()} CPUs",
        f"C compiler: {facts['compiler'] or 'none'}",
        f"native kernels: {'yes' if native else 'no (numpy only)'}",
        f"bitwise contract: {'in force' if native else 'off, needs a C compiler'}",
        f"threads: {facts['threads']}",
    ]
    cache = facts["cache"]
    if cache:
        lines.append(
            f"cache: {cache['folder']}, {cache['entries']} entries, {cache['bytes'] / 2**20:.1f} MB"
        )
    return "\n".join(lines)
