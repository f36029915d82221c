"""Random streams of data loading: what a dataset's code draws depends on the loader's seed and the
batch, not on which process fetches it.

While a batch is fetched, graphc's default generator, Python's `random` and numpy's global generator
are seeded for that batch. In the main process the program's own streams are put aside meanwhile;
what stands in them only flavours the seeds. Invariant: outside `fetching` the program's streams are
as they were.
"""

from __future__ import annotations

import random
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ...core.rng import default_generator
from .sampler import mix


def flavour() -> tuple[int, int]:
    """Numbers that follow from the present states of `random` and of numpy's global generator, so
    that a program that seeds these gets its own augmentations. Nothing is drawn."""
    python = hash(random.getstate()[1])         # integers only: the same in every process
    numpy: Any = sys.modules.get("numpy.random")
    if numpy is None:
        return python, 0
    return python, zlib.crc32(numpy.get_state()[1].tobytes())


class Streams:
    """The seeds of one pass over a dataset. `spared` names streams that are left alone: those that
    a worker_init_fn seeded itself."""

    def __init__(
        self, base_seed: int, flavours: tuple[int, int] = (0, 0), spared: frozenset = frozenset()
    ):
        self.base, self.flavours, self.spared = base_seed, flavours, spared
        self._numpy: Any = None

    def seed(self, key: int) -> None:
        """Seeds the three streams for batch `key`."""
        if "graphc" not in self.spared:
            default_generator.set_state_words(mix(self.base, key), 0)
        if "random" not in self.spared:
            random.seed(mix(self.base, key, self.flavours[0]))
        numpy: Any = sys.modules.get("numpy.random")
        if numpy is not None and "numpy" not in self.spared:
            numpy.seed(mix(self.base, key, self.flavours[1]) & 0xFFFFFFFF)

    @contextmanager
    def fetching(self, key: int | None, kept: list) -> Iterator[None]:
        """The streams of batch `key`, or with None those that `kept` holds from the last time (a
        dataset that is one long stream). For the main process."""
        own = _states()
        numpy: Any = sys.modules.get("numpy.random")
        swapped = None
        if numpy is not None:
            # swapping the bit generator is far cheaper than copying its state; what goes missing is
            # at most the second half of a pair that legacy randn() had drawn ahead
            swapped = numpy.get_bit_generator()
            if self._numpy is None:
                self._numpy = numpy.MT19937()
            numpy.set_bit_generator(self._numpy)
        try:
            if key is not None:
                self.seed(key)
            elif kept:
                _restore(kept[0])
            yield
        finally:
            kept[:] = [_states()] if key is None else []
            if swapped is not None:
                numpy.set_bit_generator(swapped)
            _restore(own)


def _states() -> tuple:
    return default_generator.state_words(), random.getstate()


def _restore(states: tuple) -> None:
    default_generator.set_state_words(*states[0])
    random.setstate(states[1])


def present() -> dict[str, Any]:
    """The states of the three streams, to see which of them a function changed."""
    numpy: Any = sys.modules.get("numpy.random")
    return {"graphc": default_generator.state_words(), "random": random.getstate(),
            "numpy": None if numpy is None else numpy.get_state()[1].tobytes()}
