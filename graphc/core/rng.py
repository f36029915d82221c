"""Random state: a Generator is (seed, offset) of a counter-based stream; a draw reserves whole
blocks.

Takes a number of 64-bit words, gives the position of a draw. Invariant: element i of a draw
depends on (seed, offset, i) alone, so fusion, tiling and threads cannot change it.
"""

from __future__ import annotations

import os
import time
from typing import Any

import numpy as np

from .modes import STATE
from .tensor import Tensor, wrap

WORDS_PER_BLOCK = 4
_MASK = (1 << 64) - 1


class Generator:
    """A random stream, as `torch.Generator`. State: 64-bit seed and block offset."""

    __slots__ = ("seed_", "offset", "__weakref__")
    device: Any  # a property that `graphc/methods.py` attaches: devices lie above this room

    def __init__(self, device: Any = "cpu"):
        if str(device).partition(":")[0] != "cpu":
            raise RuntimeError(f"Generator: graphc has streams on the CPU only, not on {device}")
        self.seed_, self.offset = 67280421310721, 0

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

    def get_state(self) -> Tensor:
        """(seed, offset) as a uint8 tensor of 16 bytes."""
        words = np.array(self.state_words(), dtype=np.uint64)
        return wrap(words.view(np.uint8).copy())

    def set_state(self, new_state: Tensor) -> Generator:
        """Takes what get_state() gave. TypeError for another dtype, RuntimeError for another
        size."""
        a = np.ascontiguousarray(new_state.concrete("set_state()"))
        if a.dtype != np.uint8:
            raise TypeError("RNG state must be a torch.ByteTensor")
        if a.size != 16:
            raise RuntimeError(
                "Expected a state from get_state() of size 16 but found the input RNG state size "
                f"to be {a.size}"
            )
        self.set_state_words(*[int(w) for w in a.view(np.uint64)])
        return self

    graphsafe_get_state, graphsafe_set_state = get_state, set_state

    def clone_state(self) -> Generator:
        """A new generator at the same place."""
        return _rebuild(self.seed_, self.offset)

    def get_offset(self) -> int:
        """How many blocks of the stream were drawn."""
        return self.offset

    def set_offset(self, offset: int) -> Generator:
        """Moves to a block of the stream."""
        self.set_state_words(self.seed_, offset)
        return self

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
