"""ASGD: takes parameters with gradients, gives falling steps and the average of the places
visited."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..base.dtypes import float64
from ..ops.pointwise import cast, maximum, where
from ._formula import Formula, decayed, scale, steps_of
from .optimizer import check_lr, check_numbers, step_count, zeros_for


class ASGD(Formula):
    """Averaged stochastic gradient descent (Polyak & Juditsky 1992): p = p*(1 - lambd*eta) - eta*g
    with eta = lr / (1 + lambd*lr*t)**alpha; state "ax" averages p from step t0 on.

    Raises ValueError for a negative lr or weight_decay.
    https://docs.pytorch.org/docs/stable/generated/torch.optim.ASGD.html
    """

    def __init__(
        self,
        params: Iterable,
        lr: Any = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        check_lr(lr)
        check_numbers(w=("weight_decay value", weight_decay))
        super().__init__(
            params,
            {
                "lr": lr,
                "lambd": lambd,
                "alpha": alpha,
                "t0": t0,
                "weight_decay": weight_decay,
                "foreach": foreach,
                "maximize": maximize,
                "differentiable": differentiable,
                "capturable": capturable,
            },
        )

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for values in self.state.values():
            for name in ("eta", "mu"):
                if name in values and isinstance(values[name], float):
                    values[name] = step_count(values[name])

    def _start(self, p: Any, group: dict[str, Any]) -> dict[str, Any]:
        return {
            "step": step_count(),
            "eta": step_count(float(group["lr"])),
            "mu": step_count(1.0),
            "ax": zeros_for(p),
        }

    def _options(self, group: dict[str, Any]) -> Any:
        return [self._number(group, n) for n in ("lr", "lambd", "alpha", "t0", "weight_decay")]

    def _rule(self, p: Any, g: Any, state: dict[str, Any], options: Any) -> tuple:
        lr, lambd, alpha, t0, decay = options
        t = steps_of(state)
        eta, mu = cast(state["eta"], float64), cast(state["mu"], float64)
        g = decayed(p, g, decay)
        p = p * scale(1 - lambd * eta, p) - g * scale(eta, p)
        ax = where(mu == 1.0, p, state["ax"] + (p - state["ax"]) * scale(mu, p))
        return p, {
            "eta": cast(lr / (1 + lambd * lr * t) ** alpha, state["eta"].dtype),
            "mu": cast(1 / maximum(t - t0, 1.0), state["mu"].dtype),
            "ax": ax,
        }


__all__ = ["ASGD"]
