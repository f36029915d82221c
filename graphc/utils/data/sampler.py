"""Samplers: take a dataset's length and a generator, give the order in which samples are visited.

Invariant: the order depends on the generator's state and the dataset's length alone.
Source: https://docs.pytorch.org/docs/stable/data.html#torch.utils.data.Sampler
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar

import numpy as np

from ...core import rng
from ...core.modes import STATE
from ...core.tensor import Tensor
from ...creation import as_tensor, randint
from ...functional import multinomial
from ...ops.random import permutation

T_co = TypeVar("T_co", covariant=True)
_MASK = (1 << 64) - 1


def mix(*words: int) -> int:
    """A 63-bit number from integers: SplitMix64's finaliser over each in turn."""
    h = 0
    for w in words:
        h = (h ^ (w & _MASK)) + 0x9E3779B97F4A7C15 & _MASK
        h = (h ^ h >> 30) * 0xBF58476D1CE4E5B9 & _MASK
        h = (h ^ h >> 27) * 0x94D049BB133111EB & _MASK
        h ^= h >> 31
    return h >> 1


def fresh_seed(generator: rng.Generator | None) -> int:
    """A seed drawn from a generator (None: the default one), which moves on by one block."""
    if STATE.tracer is not None:
        STATE.tracer.refuse("iterating a DataLoader or a sampler draws a seed while compiling",
                            "iterate outside of the compiled function", "random")
    g = rng.default_generator if generator is None else generator
    return mix(*g.advance(1))


class Sampler(Generic[T_co]):
    """Base of the samplers: a subclass defines __iter__, and __len__ where it is known."""

    def __init__(self, data_source: Any = None) -> None:
        """data_source is accepted for old code; it is not used."""

    def __iter__(self) -> Iterator:
        raise NotImplementedError(f"{type(self).__name__} has to define __iter__()")


class SequentialSampler(Sampler[int]):
    """0, 1, 2, ..."""

    def __init__(self, data_source: Any) -> None:
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


class RandomSampler(Sampler[int]):
    """A random permutation per pass, or num_samples indices with replacement. Without a generator
    of its own, each pass seeds one from the default generator."""

    def __init__(self, data_source: Any, replacement: bool = False, num_samples: int | None = None,
                 generator: rng.Generator | None = None) -> None:
        self.data_source, self.replacement = data_source, replacement
        self._num_samples, self.generator = num_samples, generator
        if not isinstance(replacement, bool):
            raise TypeError(
                f"replacement should be a boolean value, but got replacement={replacement}"
            )
        if not isinstance(self.num_samples, int) or self.num_samples <= 0:
            raise ValueError("num_samples should be a positive integer value, but got "
                             f"num_samples={self.num_samples}")

    @property
    def num_samples(self) -> int:
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def order(self) -> np.ndarray:
        """One pass as an int64 array."""
        generator = self.generator
        if generator is None:
            seed = fresh_seed(None)
            generator = rng.Generator().manual_seed(seed)
        n, want = len(self.data_source), self.num_samples
        if self.replacement:
            return randint(0, n, (want,), generator=generator)._array
        if want == n:
            return permutation(n, generator)
        passes = [permutation(n, generator) for _ in range(want // n)]
        return np.concatenate([*passes, permutation(n, generator)[:want % n]])

    def __iter__(self) -> Iterator[int]:
        yield from self.order().tolist()

    def __len__(self) -> int:
        return self.num_samples


class SubsetRandomSampler(Sampler[int]):
    """A random permutation of the given indices per pass."""

    def __init__(self, indices: Sequence[int], generator: rng.Generator | None = None) -> None:
        self.indices, self.generator = indices, generator

    def __iter__(self) -> Iterator[int]:
        for i in permutation(len(self.indices), self.generator).tolist():
            yield self.indices[i]

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(Sampler[int]):
    """num_samples indices drawn with probabilities in proportion to `weights`."""

    def __init__(self, weights: Any, num_samples: int, replacement: bool = True,
                 generator: rng.Generator | None = None) -> None:
        if not isinstance(num_samples, int) or isinstance(num_samples, bool) or num_samples <= 0:
            raise ValueError(
                f"num_samples should be a positive integer value, but got num_samples={num_samples}"
            )
        if not isinstance(replacement, bool):
            raise ValueError(
                f"replacement should be a boolean value, but got replacement={replacement}"
            )
        from ...base.dtypes import float64
        self.weights = as_tensor(weights, dtype=float64)
        if self.weights.ndim != 1:
            raise ValueError("weights should be a 1d sequence but given weights have shape "
                             f"{tuple(self.weights.shape)}")
        self.num_samples, self.replacement, self.generator = num_samples, replacement, generator

    def __iter__(self) -> Iterator[int]:
        drawn = multinomial(
            self.weights, self.num_samples, self.replacement, generator=self.generator
        )
        yield from drawn.tolist()       # type: ignore[attr-defined]

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler[list]):
    """Lists of batch_size indices of another sampler; the last one may be shorter, or left out."""

    def __init__(self, sampler: Iterable, batch_size: int, drop_last: bool) -> None:
        if not isinstance(batch_size, int) or isinstance(batch_size, bool) or batch_size <= 0:
            raise ValueError(
                f"batch_size should be a positive integer value, but got batch_size={batch_size}"
            )
        if not isinstance(drop_last, bool):
            raise ValueError(f"drop_last should be a boolean value, but got drop_last={drop_last}")
        self.sampler, self.batch_size, self.drop_last = sampler, batch_size, drop_last

    def __iter__(self) -> Iterator[list]:
        batch: list = []
        for i in self.sampler:
            batch.append(i)
            if len(batch) == self.batch_size:
                yield batch
                batch = []
        if batch and not self.drop_last:
            yield batch

    def __len__(self) -> int:
        n = len(self.sampler)       # type: ignore[arg-type]
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)


def batches_of(batch_sampler: Any) -> Iterator | None:
    """The batches of a plain sequential or random pass as slices or int64 arrays; None for other
    samplers."""
    if type(batch_sampler) is not BatchSampler:
        return None
    sampler, k = batch_sampler.sampler, batch_sampler.batch_size
    if type(sampler) is SequentialSampler:
        n, order = len(sampler), None
    elif type(sampler) is RandomSampler:
        order = sampler.order()
        n = len(order)
    else:
        return None
    stop = n - n % k if batch_sampler.drop_last else n
    if order is None:
        return (slice(i, min(i + k, n)) for i in range(0, stop, k))
    return (order[i:i + k] for i in range(0, stop, k))


def indices_of(batch: Any) -> np.ndarray | None:
    """A batch of plain int indices as an int64 array; None for anything else."""
    if isinstance(batch, list) and all(type(i) is int for i in batch):
        return np.array(batch, dtype=np.int64)
    if isinstance(batch, Tensor) and batch.ndim == 1 and batch._array is not None:
        return np.asarray(batch._array, dtype=np.int64)
    return None
