"""Adafactor: takes parameters with gradients, gives steps scaled by a second moment that is kept
as one row and one column per matrix."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from ..base.dtypes import finfo, float64
from ..creation import zeros
from ..ops.pointwise import cast, maximum, minimum
from ._formula import Formula, moved, scale, steps_of
from .optimizer import check_lr, step_count, zeros_for


class Adafactor(Formula):
    """Adafactor (Shazeer & Stern 2018) with relative step sizes min(lr, 1/sqrt(t)), scaled by the
    parameter's root mean square and clipped at d.

    Raises ValueError for options out of range.
    https://docs.pytorch.org/docs/stable/generated/torch.optim.Adafactor.html
    """

    def __init__(
        self,
        params: Iterable,
        lr: Any = 1e-2,
        beta2_decay: float = -0.8,
        eps: tuple = (None, 1e-3),
        d: float = 1.0,
        weight_decay: float = 0.0,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
    ) -> None:
        if not 0.0 <= lr:
            raise ValueError(f"Learning rate should be >= 0 but is: {lr}")
        check_lr(lr)
        if not beta2_decay <= 0.0:
            raise ValueError(f"beta2_decay should be <= 0 but is: {beta2_decay}")
        if eps[0] is not None and not 0.0 <= eps[0]:
            raise ValueError(f"epsilon1 should be >= 0 but is: {eps[0]}")
        if not 0.0 <= eps[1]:
            raise ValueError(f"epsilon2 should be >= 0 but is: {eps[1]}")
        if not 1.0 <= d:
            raise ValueError(f"Clipping threshold d should be >= 1 but is: {d}")
        if not 0.0 <= weight_decay:
            raise ValueError(f"weight_decay should be >= 0 but is: {weight_decay}")
        super().__init__(
            params,
            {
                "lr": lr,
                "beta2_decay": beta2_decay,
                "eps": eps,
                "d": d,
                "weight_decay": weight_decay,
                "foreach": foreach,
                "maximize": maximize,
            },
        )

    def _start(self, p: Any, group: dict[str, Any]) -> dict[str, Any]:
        state = {"step": step_count()}
        if p.ndim > 1:
            row, col = list(p.shape), list(p.shape)
            row[-1] = col[-2] = 1
            state["row_var"] = zeros(row, dtype=p.dtype)
            state["col_var"] = zeros(col, dtype=p.dtype)
        else:
            state["variance"] = zeros_for(p)
        return state

    def _options(self, group: dict[str, Any]) -> Any:
        numbers = [self._number(group, name) for name in ("lr", "beta2_decay", "d", "weight_decay")]
        return (*numbers, *group["eps"])

    def _rule(self, p: Any, g: Any, state: dict[str, Any], options: Any) -> tuple:
        lr, beta2_decay, d, decay, eps1, eps2 = options
        eps1 = finfo(p.dtype).eps if eps1 is None else eps1
        t = steps_of(state)
        weight = scale(t**beta2_decay, p)
        rate = minimum(1 / t.sqrt(), lr)
        size = maximum(cast(p.norm(2), float64) / math.sqrt(p.numel()), eps2) * rate
        if decay != 0:
            p = p * (1 - lr * decay)
        news = {}
        if g.ndim > 1:
            rows, cols = g.norm(2, -1, True), g.norm(2, -2, True)
            row = news["row_var"] = moved(state["row_var"], rows * rows / g.shape[-1], weight)
            col = news["col_var"] = moved(state["col_var"], cols * cols / g.shape[-2], weight)
            v = row @ col / row.mean(-2, True).clamp(min=eps1)
        else:
            v = news["variance"] = moved(state["variance"], g * g, weight)
        update = g * v.clamp(min=eps1 * eps1).rsqrt()
        longest = cast(update.norm(2), float64) / (math.sqrt(update.numel()) * d)
        return p - update * scale(size / maximum(longest, 1.0), p), news


__all__ = ["Adafactor"]
