"""The default random stream under PyTorch's names, and a region that leaves it as it was.
https://docs.pytorch.org/docs/stable/random.html"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from .core.rng import Generator, default_generator, initial_seed, manual_seed, seed
from .state import get_rng_state, set_rng_state


@contextlib.contextmanager
def fork_rng(
    devices: Any = None,
    enabled: bool = True,
    _caller: str = "fork_rng",
    _devices_kw: str = "devices",
    device_type: str | None = None,
) -> Iterator[None]:
    """A region after which the default stream goes on as if nothing had been drawn inside.

    devices: CUDA devices whose streams are kept as well: there are none, so AssertionError for a
    list that is not empty."""
    if not enabled:
        yield
        return
    if devices:
        from .device import no_cuda

        no_cuda()
    words = default_generator.state_words()
    try:
        yield
    finally:
        default_generator.set_state_words(*words)


__all__ = [
    "Generator",
    "default_generator",
    "fork_rng",
    "get_rng_state",
    "initial_seed",
    "manual_seed",
    "seed",
    "set_rng_state",
]
