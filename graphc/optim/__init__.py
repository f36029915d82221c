"""Optimizers, as torch.optim. https://pytorch.org/docs/stable/optim.html"""

from .adam import Adam, AdamW
from .optimizer import Optimizer
from .sgd import SGD, Adagrad

__all__ = ["SGD", "Adagrad", "Adam", "AdamW", "Optimizer"]
