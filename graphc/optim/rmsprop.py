"""RMSprop: takes parameters with gradients, gives steps over the root of the mean square."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ._formula import Formula, decayed, moved
from .optimizer import check_lr, check_numbers, step_count, zeros_for


class RMSprop(Formula):
    """RMSprop (Hinton 2012; centered: Graves 2013): v = alpha*v + (1-alpha)*g*g,
    p = p - lr * g / (sqrt(v) + eps); with momentum a buffer of those quotients is followed.

    Raises ValueError for negative options.
    https://docs.pytorch.org/docs/stable/generated/torch.optim.RMSprop.html
    """

    def __init__(
        self,
        params: Iterable,
        lr: Any = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_lr(lr)
        check_numbers(
            e=("epsilon value", eps),
            m=("momentum value", momentum),
            w=("weight_decay value", weight_decay),
            a=("alpha value", alpha),
        )
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "alpha": alpha,
                "eps": eps,
                "centered": centered,
                "weight_decay": weight_decay,
                "capturable": capturable,
                "foreach": foreach,
                "maximize": maximize,
                "differentiable": differentiable,
            },
        )

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:
            group.setdefault("momentum", 0)
            group.setdefault("centered", False)

    def _start(self, p: Any, group: dict[str, Any]) -> dict[str, Any]:
        state = {"step": step_count(), "square_avg": zeros_for(p)}
        if group["momentum"] > 0:
            state["momentum_buffer"] = zeros_for(p)
        if group["centered"]:
            state["grad_avg"] = zeros_for(p)
        return state

    def _options(self, group: dict[str, Any]) -> Any:
        names = ("lr", "alpha", "eps", "weight_decay", "momentum")
        return (*[self._number(group, name) for name in names], group["centered"])

    def _rule(self, p: Any, g: Any, state: dict[str, Any], options: Any) -> tuple:
        lr, alpha, eps, decay, momentum, centered = options
        g = decayed(p, g, decay)
        square = state["square_avg"] * alpha + (g * g) * (1 - alpha)
        news = {"square_avg": square}
        if centered:
            mean = news["grad_avg"] = moved(state["grad_avg"], g, 1 - alpha)
            root = (square - mean * mean).sqrt()
        else:
            root = square.sqrt()
        d = g / (root + eps)
        if momentum > 0:
            d = news["momentum_buffer"] = state["momentum_buffer"] * momentum + d
        return p - d * lr, news


__all__ = ["RMSprop"]
