"""Adagrad: takes parameters with gradients, gives steps scaled by the root of the summed
squares."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ..core import observe
from ..core.modes import STATE
from ..creation import full_like
from ..ops import optim_steps as steps
from .optimizer import (
    Optimizer,
    check_forms,
    check_lr,
    check_numbers,
    counts_to_tensors,
    step_count,
)


class Adagrad(Optimizer):
    """Adagrad (Duchi, Hazan, Singer 2011): sum = sum + d * d; p = p - clr * d / (sqrt(sum) + eps)
    with clr = lr / (1 + (step - 1) * lr_decay). Raises ValueError for negative options.
    https://docs.pytorch.org/docs/stable/generated/torch.optim.Adagrad.html
    """

    def __init__(
        self,
        params: Iterable,
        lr: Any = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_lr(lr)
        check_numbers(a=("lr_decay value", lr_decay), b=("weight_decay value", weight_decay),
                      c=("initial_accumulator_value value", initial_accumulator_value),
                      d=("epsilon value", eps))
        super().__init__(
            params,
            {
                "lr": lr,
                "lr_decay": lr_decay,
                "eps": eps,
                "weight_decay": weight_decay,
                "initial_accumulator_value": initial_accumulator_value,
                "foreach": foreach,
                "maximize": maximize,
                "differentiable": differentiable,
                "fused": fused,
            },
        )
        check_forms(fused, foreach, differentiable)
        for group in self.param_groups:
            for p in group["params"]:
                self._state_of(p, group)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        counts_to_tensors(self)

    def share_memory(self) -> None:
        """Nothing to do: state lives in this process."""

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update; see Optimizer.step."""
        return self._run(closure)

    def _state_of(self, p: Any, group: dict[str, Any]) -> dict:
        state = self.state[p]
        if not state:
            with observe.eagerly():
                state["step"] = step_count()
                state["sum"] = full_like(p.detach(), group["initial_accumulator_value"])
        return state

    def _update(self, index: int, group: dict[str, Any]) -> None:
        lr, lr_decay = observe.scalar(group, "lr"), observe.scalar(group, "lr_decay")
        decay, eps = observe.scalar(group, "weight_decay"), observe.scalar(group, "eps")
        flags = (steps.MAXIMIZE if group["maximize"] else 0) | (
            steps.WEIGHT_DECAY if decay != 0 else 0
        )
        native = STATE.tracer is None and not STATE.grad and steps.plain(lr, lr_decay, decay, eps)
        lists: dict = {}
        for p in group["params"]:
            g = p.grad
            if g is not None:
                state = self._state_of(p, group)
                lists.setdefault(p.dtype, []).extend((p, g, state["sum"], state["step"]))
        for dtype, flat in lists.items():
            if native and steps.update_rows("adagrad", self._table(index, dtype, 4), flat, dtype,
                                            [lr, lr_decay, decay, eps], flags):
                continue
            for p, g, s, step in zip(*[flat[i::4] for i in range(4)], strict=True):
                step.add_(1)
                clr = steps.adagrad_rate(step, lr, lr_decay, p.dtype)
                steps.update(steps.adagrad_step, (p, s), g, (clr,), (decay, eps, flags))


__all__ = ["Adagrad"]
