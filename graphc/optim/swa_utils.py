"""Averages of weights: a model whose parameters are a running or moving average of another's, the
schedule that goes with it, and fresh batch-normalisation statistics for it.

Invariant: the average is updated without gradients and in the averaged model's dtype. Sources:
Izmailov et al. 2018 (SWA), Polyak & Juditsky 1992.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable
from copy import deepcopy
from typing import Any

from ..base.dtypes import int64
from ..core.modes import no_grad
from ..creation import tensor
from ..nn import Module
from ..nn.modules.batchnorm import _BatchNorm
from .lr_scheduler import LRScheduler, _per_group
from .optimizer import Optimizer


def _lerp_all(averaged: list, current: list, weight: Any) -> None:
    """Every averaged tensor moves towards its current one, in place."""
    for a, c in zip(averaged, current, strict=True):
        a.copy_(a + (c - a) * weight)


def _check_decay(decay: float) -> None:
    if not 0.0 <= decay <= 1.0:
        raise ValueError(
            f"Invalid decay value {decay} provided. Please provide a value in [0,1] range."
        )


def get_ema_multi_avg_fn(decay: float = 0.999) -> Callable:
    """A function (averaged, current, count) over lists that keeps an exponential moving average in
    `averaged`. ValueError for a decay outside [0, 1]."""
    _check_decay(decay)

    @no_grad()
    def ema_update(ema_param_list: list, current_param_list: list, _: Any) -> None:
        for a, c in zip(ema_param_list, current_param_list, strict=True):
            if a.is_floating_point() or a.is_complex():
                a.copy_(a + (c - a) * (1 - decay))
            else:
                a.copy_(a * decay + c * (1 - decay))

    return ema_update


def get_swa_multi_avg_fn() -> Callable:
    """A function (averaged, current, count) over lists that keeps the mean in `averaged`."""

    @no_grad()
    def swa_update(averaged_param_list: list, current_param_list: list, num_averaged: Any) -> None:
        _lerp_all(averaged_param_list, current_param_list, 1 / (num_averaged + 1))

    return swa_update


def get_ema_avg_fn(decay: float = 0.999) -> Callable:
    """A function (averaged, current, count) of two tensors that gives the moving average."""
    _check_decay(decay)

    @no_grad()
    def ema_update(ema_param: Any, current_param: Any, num_averaged: Any) -> Any:
        return decay * ema_param + (1 - decay) * current_param

    return ema_update


def get_swa_avg_fn() -> Callable:
    """A function (averaged, current, count) of two tensors that gives the mean."""

    @no_grad()
    def swa_update(averaged_param: Any, current_param: Any, num_averaged: Any) -> Any:
        return averaged_param + (current_param - averaged_param) / (num_averaged + 1)

    return swa_update


class AveragedModel(Module):
    """A copy of a model whose parameters average those that update_parameters() is shown.

    avg_fn(averaged, current, count) gives the next average of one parameter, multi_avg_fn the same
    over lists, in place; by default it is the plain mean. use_buffers: buffers are averaged as
    well, else copied. Buffer `n_averaged` counts. AssertionError when both functions are given.
    https://docs.pytorch.org/docs/stable/generated/torch.optim.swa_utils.AveragedModel.html
    """

    def __init__(
        self,
        model: Module,
        device: Any = None,
        avg_fn: Callable | None = None,
        multi_avg_fn: Callable | None = None,
        use_buffers: bool = False,
    ) -> None:
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise AssertionError("Only one of avg_fn and multi_avg_fn should be provided")
        self.module = deepcopy(model)
        if device is not None:
            self.module = self.module.to(device)
        self.register_buffer("n_averaged", tensor(0, dtype=int64))
        self.avg_fn, self.multi_avg_fn, self.use_buffers = avg_fn, multi_avg_fn, use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.module(*args, **kwargs)

    def _averaged(self, model: Module) -> list:
        params = model.parameters()
        return list(itertools.chain(params, model.buffers()) if self.use_buffers else params)

    def update_parameters(self, model: Module) -> None:
        """Takes the model's present parameters into the average; the first time, copies them."""
        mine = [p.detach() for p in self._averaged(self.module)]
        theirs = [p.detach() for p in self._averaged(model)]
        count: Any = self.n_averaged
        with no_grad():
            if count == 0:
                for a, c in zip(mine, theirs, strict=True):
                    a.copy_(c)
            elif self.multi_avg_fn is not None:
                by_dtype: dict[Any, tuple] = {}
                for a, c in zip(mine, theirs, strict=True):
                    pair = by_dtype.setdefault(a.dtype, ([], []))
                    pair[0].append(a)
                    pair[1].append(c)
                for averaged, current in by_dtype.values():
                    self.multi_avg_fn(averaged, current, count)
            else:
                average = self.avg_fn or get_swa_avg_fn()
                for a, c in zip(mine, theirs, strict=True):
                    a.copy_(average(a, c, count))
            if not self.use_buffers:
                for a, c in zip(self.module.buffers(), model.buffers(), strict=True):
                    a.detach().copy_(c.detach())
            count += 1


def update_bn(loader: Iterable, model: Module, device: Any = None) -> None:
    """Recomputes the running statistics of the model's batch normalisations over a loader, whose
    items are inputs or lists that start with one."""
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm)]
    if not norms:
        return
    momenta = [m.momentum for m in norms]
    training = model.training
    model.train()
    for m in norms:
        m.reset_running_stats()
        m.momentum = None  # a cumulative average
    with no_grad():
        for item in loader:
            x = item[0] if isinstance(item, (list, tuple)) else item
            model(x if device is None else x.to(device))
    for m, momentum in zip(norms, momenta, strict=True):
        m.momentum = momentum
    model.train(training)


class SWALR(LRScheduler):
    """The rate moves to swa_lr over anneal_epochs steps, then stays. ValueError for an unknown
    strategy or negative epochs.
    https://docs.pytorch.org/docs/stable/generated/torch.optim.swa_utils.SWALR.html"""

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: Any,
        anneal_epochs: int = 10,
        anneal_strategy: str = "cos",
        last_epoch: int = -1,
    ) -> None:
        rates = _per_group("swa_lr", optimizer, swa_lr)
        for rate, group in zip(rates, optimizer.param_groups, strict=True):
            group["swa_lr"] = rate
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(
                f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}"
            )
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ValueError(f"anneal_epochs must be equal or greater than 0, got {anneal_epochs}")
        self._anneal_strategy, self.anneal_epochs = anneal_strategy, anneal_epochs
        super().__init__(optimizer, last_epoch)

    def anneal_func(self, t: float) -> float:
        """How far the move has come at a share t of its time."""
        return t if self._anneal_strategy == "linear" else (1 - math.cos(math.pi * t)) / 2

    def get_lr(self) -> list:
        self._inside()
        step, span = self._step_count - 1, max(1, self.anneal_epochs)
        if self.anneal_epochs == 0:
            step = max(1, step)
        before = self.anneal_func(max(0, min(1, (step - 1) / span)))
        now = self.anneal_func(max(0, min(1, step / span)))
        rates = []
        for group in self.optimizer.param_groups:
            goal = group["swa_lr"]
            start = goal if before == 1 else (group["lr"] - before * goal) / (1 - before)
            rates.append(goal * now + start * (1 - now))
        return rates


__all__ = [
    "AveragedModel",
    "SWALR",
    "get_ema_avg_fn",
    "get_ema_multi_avg_fn",
    "get_swa_avg_fn",
    "get_swa_multi_avg_fn",
    "update_bn",
]
