"""Optimizers and learning-rate schedules, under PyTorch's names.
Source: https://docs.pytorch.org/docs/stable/optim.html"""

from . import lr_scheduler, optimizer
from .adagrad import Adagrad
from .adam import Adam, AdamW
from .optimizer import (
    Optimizer,
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)
from .sgd import SGD

__all__ = ["SGD", "Adagrad", "Adam", "AdamW", "Optimizer", "lr_scheduler", "optimizer",
           "register_optimizer_step_post_hook", "register_optimizer_step_pre_hook"]
