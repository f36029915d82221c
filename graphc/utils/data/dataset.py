"""Datasets: things with numbered samples, or streams of them.

Invariant: a dataset is plain Python to the loader; the ones made of tensors also say how to gather
a whole batch at once (`gather_of`).
"""

from __future__ import annotations

import math
import warnings
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Any, Generic, TypeVar

import numpy as np

from ...core.rng import Generator
from ...core.tensor import Tensor, wrap
from ...native import library
from ...ops.random import permutation

T_co = TypeVar("T_co", covariant=True)


class Dataset(Generic[T_co]):
    """Samples by index: a subclass defines __getitem__ and, for most samplers, __len__. An optional
    __getitems__(indices) gives the samples of a batch at once.
    https://docs.pytorch.org/docs/stable/data.html#torch.utils.data.Dataset"""

    def __getitem__(self, index: Any) -> Any:
        raise NotImplementedError("Subclasses of Dataset should implement __getitem__.")

    def __add__(self, other: Dataset) -> ConcatDataset:
        return ConcatDataset([self, other])


class IterableDataset(Dataset[T_co]):
    """A stream of samples: a subclass defines __iter__. With several workers each one runs its own
    copy; `get_worker_info()` tells them apart.
    https://docs.pytorch.org/docs/stable/data.html#torch.utils.data.IterableDataset"""

    def __iter__(self) -> Iterator:
        raise NotImplementedError("Subclasses of IterableDataset should implement __iter__.")

    def __add__(self, other: Dataset) -> Any:
        return ChainDataset([self, other])


class TensorDataset(Dataset):
    """Tensors of one length; sample i is the tuple of their i-th rows. AssertionError for unequal
    lengths."""

    tensors: tuple

    def __init__(self, *tensors: Tensor) -> None:
        if any(tensors[0].size(0) != t.size(0) for t in tensors):       # type: ignore[attr-defined]
            raise AssertionError("Size mismatch between tensors")
        self.tensors = tensors

    def __getitem__(self, index: Any) -> tuple:
        return tuple(t[index] for t in self.tensors)

    def __len__(self) -> int:
        return self.tensors[0].size(0)


class StackDataset(Dataset):
    """Datasets of one length side by side: samples are tuples (datasets given by position) or dicts
    (by name). ValueError for unequal lengths."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if args and kwargs:
            raise ValueError(
                "Supported either ``tuple``- (via ``args``) or``dict``- (via ``kwargs``) like "
                "input/output, but both types are given."
            )
        if not args and not kwargs:
            raise ValueError("At least one dataset should be passed")
        self.datasets: Any = args or kwargs
        parts = list(args or kwargs.values())
        self._length = len(parts[0])
        if any(len(d) != self._length for d in parts):
            raise ValueError("Size mismatch between datasets")

    def __getitem__(self, index: Any) -> Any:
        if isinstance(self.datasets, dict):
            return {k: d[index] for k, d in self.datasets.items()}
        return tuple(d[index] for d in self.datasets)

    def __len__(self) -> int:
        return self._length


class ConcatDataset(Dataset[T_co]):
    """Datasets one after the other. AssertionError for none at all or iterable ones."""

    datasets: list
    cumulative_sizes: list[int]

    def __init__(self, datasets: Iterable) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise AssertionError("datasets should not be an empty iterable")
        if any(isinstance(d, IterableDataset) for d in self.datasets):
            raise AssertionError("ConcatDataset does not support IterableDataset")
        self.cumulative_sizes = self.cumsum(self.datasets)

    @staticmethod
    def cumsum(sequence: Iterable) -> list[int]:
        """Running totals of lengths."""
        return list(accumulate(len(d) for d in sequence))

    @property
    def cummulative_sizes(self) -> list[int]:
        """cumulative_sizes under its old name."""
        warnings.warn(
            "cummulative_sizes attribute is renamed to cumulative_sizes",
            DeprecationWarning,
            stacklevel=2,
        )
        return self.cumulative_sizes

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]

    def __getitem__(self, idx: int) -> Any:
        if idx < 0:
            if -idx > len(self):
                raise ValueError("absolute value of index should not exceed dataset length")
            idx += len(self)
        which = bisect_right(self.cumulative_sizes, idx)
        start = self.cumulative_sizes[which - 1] if which else 0
        return self.datasets[which][idx - start]


class ChainDataset(IterableDataset):
    """Iterable datasets one after the other."""

    def __init__(self, datasets: Iterable[Dataset]) -> None:
        super().__init__()
        self.datasets = datasets

    def _checked(self) -> Iterator:
        for d in self.datasets:
            if not isinstance(d, IterableDataset):
                raise AssertionError("ChainDataset only supports IterableDataset")
            yield d

    def __iter__(self) -> Iterator:
        for d in self._checked():
            yield from d

    def __len__(self) -> int:
        return sum(len(d) for d in self._checked())     # type: ignore[arg-type]


class Subset(Dataset[T_co]):
    """The samples of `dataset` at `indices`."""

    dataset: Any
    indices: Sequence[int]

    def __init__(self, dataset: Any, indices: Sequence[int]) -> None:
        self.dataset, self.indices = dataset, indices

    def __getitem__(self, idx: Any) -> Any:
        if isinstance(idx, list):
            return self.dataset[[self.indices[i] for i in idx]]
        return self.dataset[self.indices[idx]]

    def __getitems__(self, indices: list[int]) -> list:
        if type(self).__getitem__ is not Subset.__getitem__:
            return [self[i] for i in indices]
        whole = [self.indices[i] for i in indices]
        several = getattr(self.dataset, "__getitems__", None)
        return several(whole) if callable(several) else [self.dataset[i] for i in whole]

    def __len__(self) -> int:
        return len(self.indices)


def random_split(
    dataset: Any, lengths: Sequence[float], generator: Generator | None = None
) -> list[Subset]:
    """Disjoint random subsets with these lengths, or with these fractions when they add up to 1.
    ValueError when the lengths do not add up to the dataset's."""
    total = sum(lengths)
    if math.isclose(total, 1) and total <= 1:
        for i, part in enumerate(lengths):
            if not 0 <= part <= 1:
                raise ValueError(f"Fraction at index {i} is not between 0 and 1")
        counts = [math.floor(len(dataset) * part) for part in lengths]
        for i in range(len(dataset) - sum(counts)):     # what rounding left over, one by one
            counts[i % len(counts)] += 1
        for i, n in enumerate(counts):
            if n == 0:
                warnings.warn(
                    f"Length of split at index {i} is 0. This might result in an empty dataset.",
                    stacklevel=2,
                )
    else:
        counts = list(lengths)      # type: ignore[arg-type]
    if sum(counts) != len(dataset):
        raise ValueError("Sum of input lengths does not equal the length of the input dataset!")
    order = permutation(len(dataset), generator).tolist()
    return [
        Subset(dataset, order[end - n : end])
        for end, n in zip(accumulate(counts), counts, strict=True)
    ]


# ---------------------------------------------------------------- whole batches of tensors

def gather_of(dataset: Any) -> Callable[[Any], list] | None:
    """A function (slice or int64 array of indices) -> [tensor, ...] that gives what fetching sample
    by sample and collating would give, for datasets made of tensors; None for others."""
    if type(dataset) is Subset:
        inner = gather_of(dataset.dataset)
        if inner is None:
            return None
        table = np.asarray(dataset.indices, dtype=np.int64)
        if table.ndim != 1:
            return None
        return lambda at: inner(table[at])
    if type(dataset) is not TensorDataset:
        return None
    tensors = dataset.tensors
    if not all(type(t) is Tensor and not t._needs and t._array is not None for t in tensors):
        return None
    pairs = [(t._array, t.dtype) for t in tensors]
    if len(pairs) == 1:
        a, d = pairs[0]
        return lambda at: [wrap(rows(a, at), d)]
    return lambda at: [wrap(rows(a, at), d) for a, d in pairs]


def rows(a: np.ndarray, at: Any) -> np.ndarray:
    """A copy of the rows of `a` that a slice or an int64 array names. IndexError outside."""
    if type(at) is slice:
        part = a[at]
        if part.nbytes < library.LARGE:
            return part.copy()
        out = library.empty(part.shape, a.dtype)
        np.copyto(out, part)
        return out
    row = a.nbytes // len(a) if len(a) else 0
    if row * len(at) < library.LARGE or int(at.min()) < 0 or int(at.max()) >= len(a):
        return a.take(at, axis=0)
    out = library.empty((len(at), *a.shape[1:]), a.dtype)
    return a.take(
        at, axis=0, out=out, mode="clip"
    )  # indices were checked: clip only spares a buffer
