"""Adam and AdamW."""

from __future__ import annotations

from typing import Any

from ..core import inplace, observe
from ..ops import optim_steps
from ..ops.optim_steps import _DECOUPLED, _MAXIMIZE, _WEIGHT_DECAY
from .optimizer import Optimizer, check_option


class Adam(Optimizer):
    """Adam, with AMSGrad and (decoupled or not) weight decay.
    https://pytorch.org/docs/stable/generated/torch.optim.Adam.html

    foreach, fused and capturable are accepted: every step is one native call per parameter anyway."""

    def __init__(self, params: Any, lr: Any = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
                 weight_decay: float = 0, amsgrad: bool = False, *, foreach: bool | None = None,
                 maximize: bool = False, capturable: bool = False, differentiable: bool = False,
                 fused: bool | None = None, decoupled_weight_decay: bool = False):
        check_option(lr >= 0.0, f"Invalid learning rate: {lr}")
        check_option(eps >= 0.0, f"Invalid epsilon value: {eps}")
        check_option(0.0 <= betas[0] < 1.0, f"Invalid beta parameter at index 0: {betas[0]}")
        check_option(0.0 <= betas[1] < 1.0, f"Invalid beta parameter at index 1: {betas[1]}")
        check_option(weight_decay >= 0.0, f"Invalid weight_decay value: {weight_decay}")
        super().__init__(params, {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad,
            "maximize": maximize, "foreach": foreach, "capturable": capturable,
            "differentiable": differentiable, "fused": fused,
            "decoupled_weight_decay": decoupled_weight_decay})

    def _update_group(self, group: dict[str, Any]) -> None:
        lr, eps = observe.scalar(group, "lr"), observe.scalar(group, "eps")
        decay = observe.scalar(group, "weight_decay")
        beta1, beta2 = observe.scalar(group["betas"], 0), observe.scalar(group["betas"], 1)
        flags = _MAXIMIZE if group["maximize"] else 0
        if decay != 0:
            if group["decoupled_weight_decay"]:
                flags |= _DECOUPLED
                decay = 1 - lr * decay
            else:
                flags |= _WEIGHT_DECAY
        for p in group["params"]:
            g = p.grad
            if g is None:
                continue
            names = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq") if group["amsgrad"] else ("exp_avg", "exp_avg_sq")
            state = self._tensor_state(p, *names)
            state["step"].add_(1)
            step_size, root = optim_steps.adam_scales(state["step"], lr, beta1, beta2, p.dtype)
            inplace.update(optim_steps.adam_step,
                           (p, g, state["exp_avg"], state["exp_avg_sq"], state.get("max_exp_avg_sq"), step_size,
                            root, beta1, 1 - beta1, beta2, 1 - beta2, eps, decay), (flags,))


class AdamW(Adam):
    """Adam with decoupled weight decay: p = p * (1 - lr * weight_decay) before the step.
    https://pytorch.org/docs/stable/generated/torch.optim.AdamW.html"""

    def __init__(self, params: Any, lr: Any = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
                 weight_decay: float = 1e-2, amsgrad: bool = False, *, maximize: bool = False,
                 foreach: bool | None = None, capturable: bool = False, differentiable: bool = False,
                 fused: bool | None = None):
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, foreach=foreach, maximize=maximize,
                         capturable=capturable, differentiable=differentiable, fused=fused,
                         decoupled_weight_decay=True)
