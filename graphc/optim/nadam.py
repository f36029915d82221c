"""NAdam: takes parameters with gradients, gives Adam's steps with Nesterov momentum."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..base.dtypes import float64
from ..ops.pointwise import cast
from ._formula import Formula, check_adaptive, decayed, moved, scale, steps_of
from .optimizer import step_count, zeros_for


class NAdam(Formula):
    """NAdam (Dozat 2016): Adam's moments, followed by the gradient and the first moment with
    weights (1 - mu_t) / (1 - mu_1...mu_t) and mu_t+1 / (1 - mu_1...mu_t+1), where
    mu_t = b1 * (1 - 0.96**(t * momentum_decay) / 2). Raises ValueError for options out of range.
    https://docs.pytorch.org/docs/stable/generated/torch.optim.NAdam.html
    """

    def __init__(
        self,
        params: Iterable,
        lr: Any = 2e-3,
        betas: tuple = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_adaptive(lr, eps, betas, weight_decay)
        if not 0.0 <= momentum_decay:
            raise ValueError(f"Invalid momentum_decay value: {momentum_decay}")
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "momentum_decay": momentum_decay,
                "decoupled_weight_decay": decoupled_weight_decay,
                "maximize": maximize,
                "foreach": foreach,
                "capturable": capturable,
                "differentiable": differentiable,
            },
        )

    def _start(self, p: Any, group: dict[str, Any]) -> dict[str, Any]:
        return {
            "step": step_count(),
            "mu_product": step_count(1.0),
            "exp_avg": zeros_for(p),
            "exp_avg_sq": zeros_for(p),
        }

    def _options(self, group: dict[str, Any]) -> Any:
        names = ("lr", "eps", "weight_decay", "momentum_decay")
        betas = [self._number(group, "betas", i) for i in range(2)]
        return (*betas, *[self._number(group, n) for n in names], group["decoupled_weight_decay"])

    def _rule(self, p: Any, g: Any, state: dict[str, Any], options: Any) -> tuple:
        beta1, beta2, lr, eps, decay, momentum_decay, decoupled = options
        t, product = steps_of(state), state["mu_product"]
        mu = beta1 * (1.0 - 0.5 * 0.96 ** (t * momentum_decay))
        mu_next = beta1 * (1.0 - 0.5 * 0.96 ** ((t + 1) * momentum_decay))
        product = product * cast(mu, product.dtype)  # rounded as it is kept
        so_far = cast(product, float64)
        if decoupled:
            p = p * (1 - lr * decay) if decay != 0 else p
        else:
            g = decayed(p, g, decay)
        m = moved(state["exp_avg"], g, 1 - beta1)
        v = state["exp_avg_sq"] * beta2 + (g * g) * (1 - beta2)
        root = (v / scale(1 - beta2**t, p)).sqrt() + eps
        p = p - scale(lr * (1 - mu) / (1 - so_far), p) * (g / root)
        p = p - scale(lr * mu_next / (1 - so_far * mu_next), p) * (m / root)
        return p, {"mu_product": product, "exp_avg": m, "exp_avg_sq": v}


__all__ = ["NAdam"]
