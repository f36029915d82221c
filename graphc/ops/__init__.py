"""The operators: one file per family, one record per op. Importing this room fills the op table."""

from . import (composite, constant, contract, gather, kernels, movement, optim_steps, pointwise,  # noqa: F401
               random, reduce, scan, sort)
