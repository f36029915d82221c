"""DistributedSampler: takes a dataset and a rank, gives the indices of that rank's share."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from ... import distributed
from ...core import rng
from ...creation import randperm
from .sampler import Sampler


class DistributedSampler(Sampler):
    """Every num_replicas-th index from `rank` on, of all indices in order or in an order that
    depends on seed + epoch. Shares are made equally long: by repeating indices, or with drop_last
    by leaving some out.

    num_replicas, rank: by default those of the process group. ValueError for a rank outside it.
    https://docs.pytorch.org/docs/stable/data.html#torch.utils.data.distributed.DistributedSampler
    """

    def __init__(
        self,
        dataset: Any,
        num_replicas: int | None = None,
        rank: int | None = None,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
    ) -> None:
        num_replicas = distributed.get_world_size() if num_replicas is None else num_replicas
        rank = distributed.get_rank() if rank is None else rank
        if rank >= num_replicas or rank < 0:
            raise ValueError(
                f"Invalid rank {rank}, rank should be in the interval [0, {num_replicas - 1}]"
            )
        self.dataset, self.num_replicas, self.rank = dataset, num_replicas, rank
        self.epoch, self.drop_last, self.shuffle, self.seed = 0, drop_last, shuffle, seed
        n = len(dataset)
        if drop_last and n % num_replicas:
            self.num_samples = math.ceil((n - num_replicas) / num_replicas)
        else:
            self.num_samples = math.ceil(n / num_replicas)
        self.total_size = self.num_samples * num_replicas

    def __iter__(self) -> Iterator[int]:
        n = len(self.dataset)
        if self.shuffle:
            generator = rng.Generator().manual_seed(self.seed + self.epoch)
            order: Any = randperm(n, generator=generator)
            indices = order.tolist()
        else:
            indices = list(range(n))
        short = self.total_size - n
        if short > 0 and n:
            indices += (indices * math.ceil(short / n))[:short]
        return iter(indices[: self.total_size][self.rank :: self.num_replicas])

    def __len__(self) -> int:
        return self.num_samples

    def set_epoch(self, epoch: int) -> None:
        """Another epoch is another order."""
        self.epoch = epoch


__all__ = ["DistributedSampler"]
