"""Random state: a Generator is (seed, offset) of a counter-based stream; a draw reserves whole
blocks.

Takes a number of 64-bit words, gives the position of a draw. Invariant: element i of a draw
depends on (seed, offset, i) alone, so fusion, tiling and threads cannot change it.
"""

from __future__ import annotations

import os
import time
from typing import Any

from .modes import STATE

WORDS_PER_BLOCK = 4
_MASK = (1 << 64) - 1


class Generator:
    """A random stream, as `torch.Generator`. State: 64-bit seed and block offset."""

    __slots__ = ("seed_", "offset", "device", "__weakref__")

    def __init__(self, device: Any = "cpu"):
        self.seed_, self.offset, self.device = 67280421310721, 0, device

    def manual_seed(self, seed: int) -> Generator:
        """Restarts the stream; seeds from -2**63 to 2**64 - 1."""
        seed = int(seed)
        if not -(1 << 63) <= seed < (1 << 64):
            raise RuntimeError(
                f"Overflow when unpacking long long: seed {seed} does not fit into 64 bits"
            )
        _refuse("manual_seed()")
        self.seed_, self.offset = seed & _MASK, 0
        return self

    def seed(self) -> int:
        """Seeds from the system's entropy; returns the seed."""
        value = int.from_bytes(os.urandom(8), "little") ^ time.time_ns() & (_MASK >> 1)
        self.manual_seed(value & (_MASK >> 1))
        return self.seed_

    def initial_seed(self) -> int:
        return self.seed_

    def state_words(self) -> tuple[int, int]:
        return self.seed_, self.offset

    def set_state_words(self, seed: int, offset: int) -> None:
        _refuse("set_state()")
        self.seed_, self.offset = int(seed) & _MASK, int(offset)

    def advance(self, words: int) -> tuple[int, int]:
        """Reserves `words` 64-bit words; returns (seed, block offset) of the draw."""
        at = self.offset
        self.offset = at + -(-words // WORDS_PER_BLOCK)
        return self.seed_, at

    def __reduce__(self) -> tuple:
        return (_rebuild, (self.seed_, self.offset))


def _rebuild(seed: int, offset: int) -> Generator:
    g = Generator()
    g.seed_, g.offset = seed, offset
    return g


def _refuse(what: str) -> None:
    if STATE.tracer is not None:
        STATE.tracer.refuse(
            f"{what} changes the random state while compiling",
            "seed before calling the compiled function",
            "random",
        )


default_generator = Generator()


def draw(words: Any, generator: Generator | None = None) -> Any:
    """Reserves a draw of `words` words: (seed, offset) in eager mode, a graph `Draw` under
    capture."""
    g = default_generator if generator is None else generator
    tracer = STATE.tracer
    if tracer is not None:
        return tracer.draw(g, words)
    return g.advance(int(words))


def manual_seed(seed: int) -> Generator:
    """Seeds the default generator and returns it."""
    return default_generator.manual_seed(seed)


def initial_seed() -> int:
    return default_generator.initial_seed()


def seed() -> int:
    return default_generator.seed()
