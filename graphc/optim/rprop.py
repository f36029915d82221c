"""Rprop: takes parameters with gradients, gives steps whose sizes follow the gradients' signs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..creation import full_like
from ..ops.pointwise import where
from ._formula import Formula
from .optimizer import check_lr, step_count, zeros_for


class Rprop(Formula):
    """Resilient backpropagation (Riedmiller & Braun 1993): an element's step grows by etas[1] while
    its gradient keeps its sign, shrinks by etas[0] and is left out once when the sign changes.

    Raises ValueError for etas that are not 0 < etas[0] < 1 < etas[1].
    https://docs.pytorch.org/docs/stable/generated/torch.optim.Rprop.html
    """

    def __init__(
        self,
        params: Iterable,
        lr: Any = 1e-2,
        etas: tuple = (0.5, 1.2),
        step_sizes: tuple = (1e-6, 50),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_lr(lr)
        if not 0.0 < etas[0] < 1.0 < etas[1]:
            raise ValueError(f"Invalid eta values: {etas[0]}, {etas[1]}")
        super().__init__(
            params,
            {
                "lr": lr,
                "etas": etas,
                "step_sizes": step_sizes,
                "foreach": foreach,
                "maximize": maximize,
                "differentiable": differentiable,
                "capturable": capturable,
            },
        )

    def _start(self, p: Any, group: dict[str, Any]) -> dict[str, Any]:
        return {
            "step": step_count(),
            "prev": zeros_for(p),
            "step_size": full_like(p.detach(), float(group["lr"])),
        }

    def _options(self, group: dict[str, Any]) -> Any:
        return [self._number(group, name, i) for name in ("etas", "step_sizes") for i in range(2)]

    def _rule(self, p: Any, g: Any, state: dict[str, Any], options: Any) -> tuple:
        shrink, grow, least, most = options
        product = g * state["prev"]
        factor = where(product > 0, grow, where(product < 0, shrink, 1.0 + 0 * product))
        size = (state["step_size"] * factor).clamp(least, most)
        g = where(product < 0, 0 * product, g)
        return p - g.sign() * size, {"prev": g, "step_size": size}


__all__ = ["Rprop"]
