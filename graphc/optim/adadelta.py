"""Adadelta: takes parameters with gradients, gives steps in the ratio of past steps to past
gradients."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ._formula import Formula, decayed
from .optimizer import check_lr, check_numbers, step_count, zeros_for


class Adadelta(Formula):
    """Adadelta (Zeiler 2012): v = rho*v + (1-rho)*g*g, d = sqrt(u + eps) / sqrt(v + eps) * g,
    u = rho*u + (1-rho)*d*d, p = p - lr * d. Raises ValueError for options out of range.
    https://docs.pytorch.org/docs/stable/generated/torch.optim.Adadelta.html
    """

    def __init__(
        self,
        params: Iterable,
        lr: Any = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_lr(lr)
        if not 0.0 <= rho <= 1.0:
            raise ValueError(f"Invalid rho value: {rho}")
        check_numbers(e=("epsilon value", eps), w=("weight_decay value", weight_decay))
        super().__init__(
            params,
            {
                "lr": lr,
                "rho": rho,
                "eps": eps,
                "weight_decay": weight_decay,
                "maximize": maximize,
                "capturable": capturable,
                "foreach": foreach,
                "differentiable": differentiable,
            },
        )

    def _start(self, p: Any, group: dict[str, Any]) -> dict[str, Any]:
        return {"step": step_count(), "square_avg": zeros_for(p), "acc_delta": zeros_for(p)}

    def _options(self, group: dict[str, Any]) -> Any:
        return [self._number(group, name) for name in ("lr", "rho", "eps", "weight_decay")]

    def _rule(self, p: Any, g: Any, state: dict[str, Any], options: Any) -> tuple:
        lr, rho, eps, decay = options
        g = decayed(p, g, decay)
        square = state["square_avg"] * rho + (g * g) * (1 - rho)
        d = (state["acc_delta"] + eps).sqrt() / (square + eps).sqrt() * g
        delta = state["acc_delta"] * rho + (d * d) * (1 - rho)
        return p - d * lr, {"square_avg": square, "acc_delta": delta}


__all__ = ["Adadelta"]
