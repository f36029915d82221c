"""Data parallelism, on the one device there is: the wrappers run the module they hold.

Takes a module, gives one whose state dict has the prefix `module.`, as programs for several devices
expect. Invariant: results and gradients are those of the module alone.
https://docs.pytorch.org/docs/stable/generated/torch.nn.DataParallel.html
"""

from .data_parallel import DataParallel, data_parallel
from .distributed import DistributedDataParallel

__all__ = ["DataParallel", "DistributedDataParallel", "data_parallel"]
