"""SGD and Adagrad."""

from __future__ import annotations

from typing import Any

from ..base import dtypes
from ..core import inplace, observe
from ..ops import optim_steps
from ..ops.optim_steps import _FIRST, _MAXIMIZE, _NESTEROV, _WEIGHT_DECAY
from ..ops.pointwise import cast
from .optimizer import Optimizer, check_option


class SGD(Optimizer):
    """Stochastic gradient descent with momentum, dampening, weight decay and Nesterov's variant.
    https://pytorch.org/docs/stable/generated/torch.optim.SGD.html"""

    def __init__(self, params: Any, lr: Any = 1e-3, momentum: float = 0, dampening: float = 0,
                 weight_decay: Any = 0, nesterov: bool = False, *, maximize: bool = False,
                 foreach: bool | None = None, differentiable: bool = False, fused: bool | None = None):
        check_option(lr >= 0.0, f"Invalid learning rate: {lr}")
        check_option(momentum >= 0.0, f"Invalid momentum value: {momentum}")
        check_option(weight_decay >= 0.0, f"Invalid weight_decay value: {weight_decay}")
        check_option(not nesterov or (momentum > 0 and dampening == 0),
                     "Nesterov momentum requires a momentum and zero dampening")
        super().__init__(params, {
            "lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay,
            "nesterov": nesterov, "maximize": maximize, "foreach": foreach,
            "differentiable": differentiable, "fused": fused})

    def _update_group(self, group: dict[str, Any]) -> None:
        lr, decay = observe.scalar(group, "lr"), observe.scalar(group, "weight_decay")
        momentum, dampening = observe.scalar(group, "momentum"), observe.scalar(group, "dampening")
        flags = (_MAXIMIZE if group["maximize"] else 0) | (_WEIGHT_DECAY if decay != 0 else 0) \
            | (_NESTEROV if group["nesterov"] else 0)
        for p in group["params"]:
            g = p.grad
            if g is None:
                continue
            buf, first = None, 0
            if momentum != 0:
                state = self.state[p]
                buf = state.get("momentum_buffer")
                if buf is None:
                    first = _FIRST
                    buf = state["momentum_buffer"] = self._fresh(p)
            inplace.update(optim_steps.sgd_step,
                           (p, g, buf, lr, decay, momentum, 1 - dampening), (flags | first,))

    @staticmethod
    def _fresh(p: Any) -> Any:
        from ..creation import zeros_like
        with observe.eagerly():
            return zeros_like(p)


class Adagrad(Optimizer):
    """Adagrad: steps scaled by the root of the summed squares.
    https://pytorch.org/docs/stable/generated/torch.optim.Adagrad.html"""

    def __init__(self, params: Any, lr: Any = 1e-2, lr_decay: float = 0, weight_decay: float = 0,
                 initial_accumulator_value: float = 0, eps: float = 1e-10, foreach: bool | None = None, *,
                 maximize: bool = False, differentiable: bool = False, fused: bool | None = None):
        check_option(lr >= 0.0, f"Invalid learning rate: {lr}")
        check_option(lr_decay >= 0.0, f"Invalid lr_decay value: {lr_decay}")
        check_option(weight_decay >= 0.0, f"Invalid weight_decay value: {weight_decay}")
        check_option(initial_accumulator_value >= 0.0,
                     f"Invalid initial_accumulator_value value: {initial_accumulator_value}")
        check_option(eps >= 0.0, f"Invalid epsilon value: {eps}")
        super().__init__(params, {
            "lr": lr, "lr_decay": lr_decay, "eps": eps, "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value, "foreach": foreach, "maximize": maximize,
            "differentiable": differentiable, "fused": fused})
        for group in self.param_groups:
            for p in group["params"]:
                self._tensor_state(p, "sum", fill=initial_accumulator_value)

    def share_memory(self) -> None:
        """Present for PyTorch's sake: all state is in this process."""

    def _update_group(self, group: dict[str, Any]) -> None:
        lr, decay = observe.scalar(group, "lr"), observe.scalar(group, "weight_decay")
        lr_decay, eps = observe.scalar(group, "lr_decay"), observe.scalar(group, "eps")
        flags = (_MAXIMIZE if group["maximize"] else 0) | (_WEIGHT_DECAY if decay != 0 else 0)
        for p in group["params"]:
            g = p.grad
            if g is None:
                continue
            state = self._tensor_state(p, "sum", fill=group["initial_accumulator_value"])
            state["step"].add_(1)
            clr = cast(lr / (1 + (cast(state["step"], dtypes.float64) - 1) * lr_decay), p.dtype)
            inplace.update(optim_steps.adagrad_step, (p, g, state["sum"], clr, decay, eps), (flags,))
