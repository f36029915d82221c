"""SparseAdam: takes parameters, gives PyTorch's checks of its options. graphc's gradients are
always dense, and dense ones PyTorch's SparseAdam refuses: so does this, when it is to step."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ..core.modes import enable_grad, no_grad
from .optimizer import Optimizer


class SparseAdam(Optimizer):
    """Adam for the rows that sparse gradients name. step() raises RuntimeError for dense gradients,
    the only ones here: Adam takes them.
    https://docs.pytorch.org/docs/stable/generated/torch.optim.SparseAdam.html"""

    def __init__(
        self,
        params: Iterable,
        lr: Any = 1e-3,
        betas: tuple = (0.9, 0.999),
        eps: float = 1e-8,
        maximize: bool = False,
    ) -> None:
        if not lr > 0.0:
            raise ValueError(f"Invalid learning rate: {lr}")
        if not eps > 0.0:
            raise ValueError(f"Invalid epsilon value: {eps}")
        for i, beta in enumerate(betas):
            if not 0.0 <= beta < 1.0:
                raise ValueError(f"Invalid beta parameter at index {i}: {beta}")
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "maximize": maximize})

    @no_grad()
    def step(self, closure: Callable | None = None) -> Any:
        """Raises RuntimeError for a parameter with a gradient; nothing to do without."""
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        for group in self.param_groups:
            if any(p.grad is not None for p in group["params"]):
                raise RuntimeError(
                    "SparseAdam does not support dense gradients, please consider Adam instead"
                )
        return loss
