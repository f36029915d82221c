"""The operators: one file per family, one record per op. Importing this room fills the op table."""

from . import (  # noqa: F401
               composite,
               constant,
               contract,
               gather,
               kernels,
               movement,
               optim_steps,
               pointwise,
               random,
               reduce,
               sample,
               scan,
               sort,
)
