"""Equal numbers for both libraries: takes shapes and seeds, gives arrays, filled models, gradients.

A program of this folder imports nothing else that PyTorch does not have. `import torch` here is
whatever it is in the program. Random streams differ between libraries, so every number comes
from numpy, and every float has a float32 value: a run in float32 starts where one in float64 does.
The runner sets `nudge` and `compiling`; a program never does.
"""

import zlib
from pathlib import Path

import numpy as np
import torch

nudge = 0.0  # relative change of weights and data, to measure how a program amplifies it
compiling = False  # whether `step` compiles


def numbers(*shape, seed, scale=1.0):
    """A tensor of normal numbers, in the default dtype."""
    draw = np.random.default_rng(seed)
    return tensor(draw.standard_normal(shape) * scale, draw)


def uniform(*shape, seed):
    """A tensor of numbers in [0, 1), in the default dtype."""
    draw = np.random.default_rng(seed)
    return tensor(draw.random(shape, np.float32), draw)


def tensor(values, draw):
    """float32 values in the default dtype, nudged when the runner asks for it."""
    values = np.asarray(values, np.float32).astype(np.float64)
    values = values * (1 + nudge * draw.choice([-1.0, 1.0], values.shape))
    return torch.from_numpy(values).to(torch.get_default_dtype())


def integers(high, *shape, seed):
    """An int64 tensor of whole numbers in [0, high)."""
    return torch.from_numpy(np.random.default_rng(seed).integers(0, high, shape))


def digits(count):
    """The first handwritten digits as a tensor of (count, 8, 8) in 0..1, and their labels."""
    path = Path(__file__).parents[3] / "graphc" / "_datasets" / "digits.npz"
    with np.load(path) as archive:
        images, labels = archive["images"][:count], archive["labels"][:count]
    return (
        torch.from_numpy(images / 16.0).to(torch.get_default_dtype()),
        torch.from_numpy(labels.astype(np.int64)),
    )


def start(model, seed=0):
    """Fills each parameter from its name: matrices by fan-in, vectors near their value. A
    parameter with two names is filled once. Gives the model."""
    for name, parameter in model.named_parameters():
        draw = np.random.default_rng([seed, zlib.crc32(name.encode())])
        shape = tuple(parameter.shape)
        values = draw.standard_normal(shape)
        if parameter.dim() > 1:
            values /= np.sqrt(np.prod(shape[1:]))
        else:
            values *= 0.1
            # scales of normalisations start at one
            values += 1.0 if name.endswith("weight") else 0.0
        with torch.no_grad():
            parameter.copy_(tensor(values, draw))
    return model


def gradients(model, prefix=""):
    """A copy of each gradient, by its parameter's name."""
    return {
        f"{prefix}grad {name}": parameter.grad.detach().clone()
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }


def step(function):
    """A training step; compiled in graphc's runs with `compiling`."""
    return torch.compile(function, fullgraph=True) if compiling else function
