"""Muon: takes matrices with gradients, gives steps along the nearest orthogonal matrix of their
momentum."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from ..base.dtypes import bfloat16, float32
from ._formula import Formula, moved
from .optimizer import check_lr, zeros_for


class Muon(Formula):
    """Muon (Jordan et al. 2024): the gradient's momentum, orthogonalised by ns_steps of a
    Newton-Schulz iteration in bfloat16, moves each matrix; weight decay is decoupled.

    Raises ValueError for options out of range and for parameters that are no matrices.
    https://docs.pytorch.org/docs/stable/generated/torch.optim.Muon.html
    """

    def __init__(
        self,
        params: Iterable,
        lr: Any = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple = (3.4445, -4.7750, 2.0315),
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
    ) -> None:
        if not 0.0 <= lr:
            raise ValueError(f"Learning rate should be >= 0 but is: {lr}")
        check_lr(lr)
        if not 0.0 <= momentum:
            raise ValueError(f"momentum should be >= 0 but is: {momentum}")
        if not 0.0 <= weight_decay:
            raise ValueError(f"weight decay should be >= 0 but is: {weight_decay}")
        if adjust_lr_fn not in (None, "original", "match_rms_adamw"):
            raise ValueError(f"Adjust learning rate function {adjust_lr_fn} is not supported")
        super().__init__(
            params,
            {
                "lr": lr,
                "weight_decay": weight_decay,
                "momentum": momentum,
                "nesterov": nesterov,
                "ns_coefficients": ns_coefficients,
                "eps": eps,
                "ns_steps": ns_steps,
                "adjust_lr_fn": adjust_lr_fn,
            },
        )
        for group in self.param_groups:
            for p in group["params"]:
                if p.ndim != 2:
                    raise ValueError(
                        "Muon only supports 2D parameters whereas we found a parameter with size: "
                        f"{p.size()}"
                    )

    def _start(self, p: Any, group: dict[str, Any]) -> dict[str, Any]:
        return {"momentum_buffer": zeros_for(p)}

    def _options(self, group: dict[str, Any]) -> Any:
        if group["ns_steps"] >= 100:
            raise ValueError("Number of steps must be less than 100 for computational efficiency")
        if len(group["ns_coefficients"]) != 3:
            raise ValueError("Coefficients must be a tuple of exactly 3 values")
        numbers = [self._number(group, name) for name in ("lr", "weight_decay", "momentum")]
        return (*numbers, group)

    def _rule(self, p: Any, g: Any, state: dict[str, Any], options: Any) -> tuple:
        lr, decay, momentum, group = options
        buf = moved(state["momentum_buffer"], g, 1 - momentum)
        d = moved(g, buf, momentum) if group["nesterov"] else buf
        d = _orthogonal(d, group["ns_coefficients"], group["ns_steps"], group["eps"])
        rows, cols = p.shape
        if group["adjust_lr_fn"] == "match_rms_adamw":
            ratio = 0.2 * math.sqrt(max(rows, cols))
        else:
            ratio = math.sqrt(max(1, rows / cols))
        return p * (1 - lr * decay) - d.to(p.dtype) * (lr * ratio), {"momentum_buffer": buf}


def _orthogonal(g: Any, coefficients: tuple, steps: int, eps: float) -> Any:
    """About the orthogonal factor of g's polar decomposition, as float32 numbers that bfloat16
    holds: each product with its sum is rounded once."""
    a, b, c = coefficients
    x = _rounded(g)
    tall = g.shape[0] > g.shape[1]
    x = x.T if tall else x
    x = _rounded(x / _rounded(x.norm()).clamp(min=eps))
    for _ in range(steps):
        gram = _rounded(x @ x.T)
        gram = _rounded(gram * b + (gram @ gram) * c)
        x = _rounded(x * a + gram @ x)
    return x.T if tall else x


def _rounded(x: Any) -> Any:
    return x.to(bfloat16).to(float32)


__all__ = ["Muon"]
