"""Adamax: takes parameters with gradients, gives Adam's steps over the largest recent gradient."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..ops.pointwise import maximum
from ._formula import Formula, check_adaptive, decayed, moved, scale, steps_of
from .optimizer import step_count, zeros_for


class Adamax(Formula):
    """Adamax (Kingma & Ba 2015): m = b1*m + (1-b1)*g, u = max(b2*u, |g| + eps),
    p = p - lr / (1 - b1**t) * m / u. Raises ValueError for options out of range.
    https://docs.pytorch.org/docs/stable/generated/torch.optim.Adamax.html
    """

    def __init__(
        self,
        params: Iterable,
        lr: Any = 2e-3,
        betas: tuple = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        check_adaptive(lr, eps, betas, weight_decay)
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "foreach": foreach,
                "maximize": maximize,
                "differentiable": differentiable,
                "capturable": capturable,
            },
        )

    def _start(self, p: Any, group: dict[str, Any]) -> dict[str, Any]:
        return {"step": step_count(), "exp_avg": zeros_for(p), "exp_inf": zeros_for(p)}

    def _options(self, group: dict[str, Any]) -> Any:
        betas = [self._number(group, "betas", i) for i in range(2)]
        return [*betas, *[self._number(group, name) for name in ("lr", "eps", "weight_decay")]]

    def _rule(self, p: Any, g: Any, state: dict[str, Any], options: Any) -> tuple:
        beta1, beta2, lr, eps, decay = options
        g = decayed(p, g, decay)
        m = moved(state["exp_avg"], g, 1 - beta1)
        u = maximum(state["exp_inf"] * beta2, g.abs() + eps)
        size = scale(lr / (1 - beta1 ** steps_of(state)), p)
        return p - size * (m / u), {"exp_avg": m, "exp_inf": u}


__all__ = ["Adamax"]
