"""The operators: one file per family, one record per op. Importing this room fills the op table."""

from . import (  # noqa: F401
               complex_parts,
               composite,
               constant,
               contract,
               conv,
               fft,
               gather,
               kernels,
               linalg,
               movement,
               optim_steps,
               pointwise,
               pool,
               random,
               recurrent,
               reduce,
               resample,
               scan,
               sort,
               special,
)
