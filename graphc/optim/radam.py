"""RAdam: takes parameters with gradients, gives Adam's steps, rectified while few were seen."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..ops.pointwise import where
from ._formula import Formula, check_adaptive, decayed, moved, scale, steps_of
from .optimizer import step_count, zeros_for


class RAdam(Formula):
    """RAdam (Liu et al. 2020): with rho_inf = 2/(1-b2) - 1 and
    rho_t = rho_inf - 2*t*b2**t / (1-b2**t), Adam's step is multiplied by the rectification r_t
    where rho_t > 5, and is the bias-corrected first moment alone before.

    Raises ValueError for options out of range.
    https://docs.pytorch.org/docs/stable/generated/torch.optim.RAdam.html
    """

    def __init__(
        self,
        params: Iterable,
        lr: Any = 1e-3,
        betas: tuple = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_adaptive(lr, eps, betas, weight_decay)
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "maximize": maximize,
                "foreach": foreach,
                "capturable": capturable,
                "decoupled_weight_decay": decoupled_weight_decay,
                "differentiable": differentiable,
            },
        )

    def _start(self, p: Any, group: dict[str, Any]) -> dict[str, Any]:
        return {"step": step_count(), "exp_avg": zeros_for(p), "exp_avg_sq": zeros_for(p)}

    def _options(self, group: dict[str, Any]) -> Any:
        betas = [self._number(group, "betas", i) for i in range(2)]
        numbers = [self._number(group, name) for name in ("lr", "eps", "weight_decay")]
        return (*betas, *numbers, group["decoupled_weight_decay"])

    def _rule(self, p: Any, g: Any, state: dict[str, Any], options: Any) -> tuple:
        beta1, beta2, lr, eps, decay, decoupled = options
        t = steps_of(state)
        if decoupled:
            p = p * (1 - lr * decay) if decay != 0 else p
        else:
            g = decayed(p, g, decay)
        m = moved(state["exp_avg"], g, 1 - beta1)
        v = state["exp_avg_sq"] * beta2 + (g * g) * (1 - beta2)
        power = beta2**t
        rho_inf = 2 / (1 - beta2) - 1
        rho = rho_inf - 2 * t * power / (1 - power)
        late = rho > 5.0
        seen = where(late, rho, 6.0)  # a stand-in, so that no root of a negative number is taken
        ratio = (seen - 4) * (seen - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * seen)
        size = scale(lr / (1 - beta1**t), p)
        rectified = scale((ratio * (1 - power)).sqrt(), p)
        step = m * size
        return p - where(late, step * (rectified / (v.sqrt() + eps)), step), {
            "exp_avg": m,
            "exp_avg_sq": v,
        }


__all__ = ["RAdam"]
