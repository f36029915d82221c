"""Adam and AdamW: take parameters with gradients, give steps scaled by running moments of the
gradient.

Invariant: one native call updates all parameters of a group in eager mode; the same formula in
tensor ops is what a compiled step contains, with the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ..core import observe
from ..core.modes import STATE
from ..core.tensor import Tensor
from ..ops import optim_steps as steps
from .optimizer import (
    Item,
    Optimizer,
    check_forms,
    check_lr,
    check_numbers,
    counts_to_tensors,
    step_count,
    zeros_for,
)


class Adam(Optimizer):
    """Adam (Kingma & Ba 2015): m = b1*m + (1-b1)*g, v = b2*v + (1-b2)*g*g,
    p = p - lr/(1-b1**t) * m / (sqrt(v)/sqrt(1-b2**t) + eps); weight_decay * p is added to g, or
    with decoupled_weight_decay p is first multiplied by 1 - lr * weight_decay.

    Raises ValueError for options out of range. `foreach`, `fused` and `capturable` are accepted;
    there is one implementation, which is fused and capturable.
    https://docs.pytorch.org/docs/stable/generated/torch.optim.Adam.html
    """

    def __init__(
        self,
        params: Iterable,
        lr: Any = 1e-3,
        betas: tuple = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        if isinstance(lr, Tensor) and foreach and not capturable:
            raise ValueError(
                "lr as a Tensor is not supported for capturable=False and foreach=True"
            )
        check_lr(lr)
        check_numbers(eps=("epsilon value", eps))
        for i, beta in enumerate(betas):
            if not 0.0 <= beta < 1.0:
                raise ValueError(f"Invalid beta parameter at index {i}: {beta}")
        check_numbers(w=("weight_decay value", weight_decay))
        kinds = {isinstance(b, Tensor) for b in betas}
        if len(kinds) != 1 or kinds == {False} and not all(isinstance(b, float) for b in betas):
            raise ValueError("betas must be either both floats or both Tensors")
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": tuple(betas),
                "eps": eps,
                "weight_decay": weight_decay,
                "amsgrad": amsgrad,
                "maximize": maximize,
                "foreach": foreach,
                "capturable": capturable,
                "differentiable": differentiable,
                "fused": fused,
                "decoupled_weight_decay": decoupled_weight_decay,
            },
        )
        check_forms(fused, foreach, differentiable)

    _betas: dict[int, Item]

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        counts_to_tensors(self)

    def _prepare(self) -> None:
        super()._prepare()
        self.__dict__["_betas"] = {}

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update; see Optimizer.step."""
        return self._run(closure)

    def _state_of(self, p: Tensor, amsgrad: bool) -> dict:
        state = self.state[p]
        if not state:
            with observe.eagerly():
                state["step"] = step_count()
                state["exp_avg"] = zeros_for(p)
                state["exp_avg_sq"] = zeros_for(p)
                if amsgrad:
                    state["max_exp_avg_sq"] = zeros_for(p)
        return state

    def _numbers(self, group: dict[str, Any]) -> tuple:
        """lr, beta1, beta2, eps, weight_decay as the modes want them."""
        pair = self._betas.get(id(group))
        if pair is None or pair.group is not group:
            pair = self._betas[id(group)] = Item(group, "betas")
        scalar = observe.scalar
        return (scalar(group, "lr"), scalar(pair, 0), scalar(pair, 1), scalar(group, "eps"),
                scalar(group, "weight_decay"))

    def _update(self, index: int, group: dict[str, Any]) -> None:
        numbers = self._numbers(group)
        amsgrad = group["amsgrad"]
        flags = steps.MAXIMIZE if group["maximize"] else 0
        if numbers[4] != 0:
            flags |= steps.DECOUPLED if group["decoupled_weight_decay"] else steps.WEIGHT_DECAY
        eager, states, dtype = STATE.tracer is None, self.state, None
        lists: dict = {}
        for p in group["params"]:
            g = p._grad if eager else p.grad
            if g is None:
                continue
            state = states[p] or self._state_of(p, amsgrad)
            if p.dtype is not dtype:
                dtype = p.dtype
                add = lists.setdefault(dtype, []).extend
            add((p, g, state["exp_avg"], state["exp_avg_sq"],
                 state["max_exp_avg_sq"] if amsgrad else None, state["step"]))
        native = eager and not STATE.grad and steps.plain(*numbers)
        for dtype, flat in lists.items():
            if native and steps.update_rows("adam", self._table(index, dtype, 6), flat, dtype,
                                            list(numbers), flags):
                continue
            for i in range(0, len(flat), 6):
                _one(flat[i:i + 6], numbers, flags)


def _one(row: list, numbers: tuple, flags: int) -> None:
    """The update of one parameter in tensor ops."""
    p, g, m, v, top, step = row
    lr, beta1, beta2, eps, decay = numbers
    step.add_(1)
    size, root = steps.adam_scales(step, lr, beta1, beta2, p.dtype)
    if flags & steps.DECOUPLED:
        decay = 1 - lr * decay
    steps.update(
        steps.adam_step, (p, m, v, top), g, (size, root), (beta1, beta2, eps, decay, flags)
    )


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019).
    https://docs.pytorch.org/docs/stable/generated/torch.optim.AdamW.html
    """

    def __init__(
        self,
        params: Iterable,
        lr: Any = 1e-3,
        betas: tuple = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            foreach=foreach,
            maximize=maximize,
            capturable=capturable,
            differentiable=differentiable,
            fused=fused,
            decoupled_weight_decay=True,
        )

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:
            group["decoupled_weight_decay"] = True


__all__ = ["Adam", "AdamW"]
