"""DataLoader: takes a dataset and how to visit it, gives batches.

Invariant: the batches are the same, bit for bit, for every number of workers: the order comes from
the main process, and what a dataset draws at random depends on the loader's seed and the batch's
number. Source: https://docs.pytorch.org/docs/stable/data.html#torch.utils.data.DataLoader
"""

from __future__ import annotations

import itertools
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar

from ...core.rng import Generator
from . import collate
from .collate import default_collate as default_collate
from .collate import default_convert as default_convert
from .dataset import Dataset, IterableDataset, gather_of
from .sampler import (
    BatchSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    batches_of,
    fresh_seed,
    indices_of,
)
from .streams import Streams, flavour
from .worker import Fetcher, Workers

T_co = TypeVar("T_co", covariant=True)


class _Forever(Sampler):
    """What an iterable dataset is visited with: None, again and again."""

    def __iter__(self) -> Iterator:
        return itertools.repeat(None)


class DataLoader(Generic[T_co]):
    """Iterates over a dataset in batches.

    batch_size None: samples one by one, with numpy arrays as tensors. shuffle: a random order per
    pass, drawn from `generator` (default: the global one). num_workers: processes that fetch ahead,
    each prefetch_factor batches; an error in one is raised here with its traceback, and a worker
    that dies raises RuntimeError. timeout: seconds to wait for a batch (0: for ever). pin_memory
    and in_order are accepted; batches always come in order. Raises ValueError for options that
    exclude each other.
    """

    dataset: Dataset
    batch_size: int | None
    _ready = False
    _workers: Any = None

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Any = None,
        batch_sampler: Any = None,
        num_workers: int = 0,
        collate_fn: Callable | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], None] | None = None,
        multiprocessing_context: Any = None,
        generator: Generator | None = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
    ) -> None:
        _check_workers(num_workers, timeout, prefetch_factor, persistent_workers)
        self.dataset, self.num_workers, self.timeout = dataset, num_workers, timeout
        self.prefetch_factor = 2 if num_workers > 0 and prefetch_factor is None else prefetch_factor
        self.pin_memory, self.pin_memory_device = pin_memory, pin_memory_device
        self.worker_init_fn, self.in_order = worker_init_fn, in_order
        self.multiprocessing_context = multiprocessing_context
        self._iterable = isinstance(dataset, IterableDataset)
        if self._iterable:
            _check_iterable(shuffle, sampler, batch_sampler)
        shuffle = bool(shuffle)
        if sampler is not None and shuffle:
            raise ValueError("sampler option is mutually exclusive with shuffle")
        if batch_sampler is not None:
            if batch_size != 1 or shuffle or sampler is not None or drop_last:
                raise ValueError(
                    "batch_sampler option is mutually exclusive with batch_size, shuffle, sampler, "
                    "and drop_last"
                )
            batch_size, drop_last = None, False
        elif batch_size is None and drop_last:
            raise ValueError(
                "batch_size=None option disables auto-batching and is mutually exclusive with "
                "drop_last"
            )
        if sampler is None:
            sampler = (
                _Forever()
                if self._iterable
                else RandomSampler(dataset, generator=generator)
                if shuffle
                else SequentialSampler(dataset)
            )
        if batch_size is not None and batch_sampler is None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.batch_size, self.drop_last = batch_size, drop_last
        self.sampler, self.batch_sampler, self.generator = sampler, batch_sampler, generator
        if collate_fn is None:
            collate_fn = (
                collate.default_convert if batch_sampler is None else collate.default_collate
            )
        self.collate_fn, self.persistent_workers = collate_fn, persistent_workers
        self._length_asked: int | None = None
        self._ready = True
        self.check_worker_number_rationality()

    def check_worker_number_rationality(self) -> None:
        """UserWarning when there are more workers than this process may use CPUs."""
        if not self.num_workers:
            return
        try:
            cpus = len(os.sched_getaffinity(0))
        except AttributeError:  # not on this system
            cpus = os.cpu_count() or 0
        if self.num_workers > cpus > 0:
            warnings.warn(
                f"This DataLoader will create {self.num_workers} worker processes in total. Our "
                f"suggested max number of worker in current system is {cpus}, which is smaller "
                "than what this DataLoader is going to create. Please be aware that excessive "
                "worker creation might get DataLoader running slow or even freeze, lower the "
                "worker number to avoid potential slowness/freeze if necessary.",
                UserWarning,
                stacklevel=3,
            )

    def __setattr__(self, name: str, value: Any) -> None:
        if self._ready and name in (
            "batch_size",
            "batch_sampler",
            "sampler",
            "drop_last",
            "dataset",
            "persistent_workers",
        ):
            raise ValueError(
                f"{name} attribute should not be set after {type(self).__name__} is initialized"
            )
        super().__setattr__(name, value)

    @property
    def multiprocessing_context(self) -> Any:
        return self._context

    @multiprocessing_context.setter
    def multiprocessing_context(self, context: Any) -> None:
        if context is not None:
            import multiprocessing
            if self.num_workers == 0:
                raise ValueError(
                    "multiprocessing_context can only be used with multi-process loading "
                    f"(num_workers > 0), but got num_workers={self.num_workers}"
                )
            if isinstance(context, str):
                methods = multiprocessing.get_all_start_methods()
                if context not in methods:
                    raise ValueError(
                        "multiprocessing_context option should specify a valid start method in "
                        f"{methods!r}, but got multiprocessing_context={context!r}"
                    )
                context = multiprocessing.get_context(context)
            elif not isinstance(context, multiprocessing.context.BaseContext):
                raise TypeError(
                    "multiprocessing_context option should be a valid context object or a string "
                    "specifying the start method, but got "
                    f"multiprocessing_context={context}"
                )
        self._context = context

    @property
    def _index_sampler(self) -> Iterable:
        return self.sampler if self.batch_sampler is None else self.batch_sampler

    def __len__(self) -> int:
        """The number of batches; for an iterable dataset an estimate from its own length."""
        if not self._iterable:
            return len(self._index_sampler)     # type: ignore[arg-type]
        n = self._length_asked = len(self.dataset)      # type: ignore[arg-type]
        if self.batch_size is not None:
            n = n // self.batch_size if self.drop_last else -(-n // self.batch_size)
        return n

    def __iter__(self) -> Iterator[Any]:
        if self.num_workers == 0:
            if self.timeout:
                raise ValueError("timeout needs num_workers > 0: loading in the main process "
                                 "cannot be interrupted")
            return self._here()
        if not self.persistent_workers:
            return self._count(Workers(self).batches(fresh_seed(self.generator)))
        if self._workers is None or self._workers.closed:
            self.__dict__["_workers"] = Workers(self)
        return self._count(self._workers.batches(fresh_seed(self.generator)))

    def _here(self) -> Iterator[Any]:
        """Batches fetched in this process."""
        base_seed = fresh_seed(self.generator)
        if self.collate_fn is collate.default_collate and self.batch_sampler is not None:
            gather = gather_of(self.dataset)
            if gather is not None:
                return self._gathered(gather)
        return self._count(self._fetched(Streams(base_seed, flavour())))

    def _gathered(self, gather: Callable) -> Iterator[Any]:
        """Whole batches of tensors at once: no code of the user runs but a sampler's."""
        plain = batches_of(self.batch_sampler)
        if plain is not None:
            return map(gather, plain)
        return self._gathered_lists(gather)

    def _gathered_lists(self, gather: Callable) -> Iterator[Any]:
        fetch = Fetcher(self.dataset, False, True, self.collate_fn, False)
        for batch in self.batch_sampler:
            at = indices_of(batch)
            try:
                out = fetch(batch) if at is None or not len(at) else gather(at)
            except IndexError:
                out = fetch(batch)      # for the message of indexing a tensor
            yield out

    def _fetched(self, streams: Streams) -> Iterator[Any]:
        kept: list = []
        with streams.fetching(None, kept):
            streams.seed(0)
            fetch = Fetcher(
                self.dataset,
                self._iterable,
                self.batch_sampler is not None,
                self.collate_fn,
                self.drop_last,
            )
        for number, index in enumerate(self._index_sampler):
            with streams.fetching(None if self._iterable else number, kept):
                try:
                    batch = fetch(index)
                except StopIteration:
                    return
            yield batch

    def _count(self, batches: Iterator) -> Iterator[Any]:
        """Says so when an iterable dataset gives more than its length promised."""
        if not self._iterable:
            return batches
        return self._counted(batches)

    def _counted(self, batches: Iterator) -> Iterator[Any]:
        for n, batch in enumerate(batches, 1):
            if (
                self._length_asked is not None
                and self.batch_size is None
                and n > self._length_asked
            ):
                warnings.warn(
                    f"Length of IterableDataset {self.dataset} was reported to be "
                    f"{self._length_asked} "
                    f"(when accessing len(dataloader)), but {n} samples have been fetched."
                )
            yield batch


def _check_workers(
    num_workers: int, timeout: float, prefetch_factor: int | None, persistent: bool
) -> None:
    if num_workers < 0:
        raise ValueError("num_workers option should be non-negative; use num_workers=0 to disable "
                         "multiprocessing.")
    if timeout < 0:
        raise ValueError("timeout option should be non-negative")
    if num_workers == 0 and prefetch_factor is not None:
        raise ValueError("prefetch_factor option could only be specified in multiprocessing.let "
                         "num_workers > 0 to "
                         "enable multiprocessing, otherwise set prefetch_factor to None.")
    if prefetch_factor is not None and prefetch_factor < 0:
        raise ValueError("prefetch_factor option should be non-negative")
    if persistent and num_workers == 0:
        raise ValueError("persistent_workers option needs num_workers > 0")


def _check_iterable(shuffle: Any, sampler: Any, batch_sampler: Any) -> None:
    if shuffle not in (False, None):
        raise ValueError(
            f"DataLoader with IterableDataset: expected unspecified shuffle option, but got "
            f"shuffle={shuffle}"
        )
    if sampler is not None:
        raise ValueError(
            "DataLoader with IterableDataset: expected unspecified sampler option, but got "
            f"sampler={sampler}"
        )
    if batch_sampler is not None:
        raise ValueError(
            "DataLoader with IterableDataset: expected unspecified batch_sampler option, but got "
            f"batch_sampler={batch_sampler}"
        )
