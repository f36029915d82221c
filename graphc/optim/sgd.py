"""SGD: takes parameters with gradients, gives parameters moved against them, with momentum."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ..base.dtypes import float64
from ..core import observe
from ..core.modes import STATE
from ..core.tensor import Tensor
from ..ops import optim_steps as steps
from ..ops.pointwise import cast, where
from .optimizer import Optimizer, check_forms, check_lr, check_numbers, step_count, zeros_for


class SGD(Optimizer):
    """Stochastic gradient descent: p = p - lr * d, where d is the gradient (plus weight_decay * p),
    or with momentum buf = momentum * buf + (1 - dampening) * d. The first step takes d undampened.

    Raises ValueError for negative options, or nesterov without momentum or with dampening.
    `foreach` and `fused` are accepted; there is one implementation, which is fused.
    https://docs.pytorch.org/docs/stable/generated/torch.optim.SGD.html
    """

    def __init__(
        self,
        params: Iterable,
        lr: Any = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_lr(lr)
        check_numbers(m=("momentum value", momentum), w=("weight_decay value", weight_decay))
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "dampening": dampening,
                "weight_decay": weight_decay,
                "nesterov": nesterov,
                "maximize": maximize,
                "foreach": foreach,
                "differentiable": differentiable,
                "fused": fused,
            },
        )
        check_forms(fused, foreach, differentiable)

    _first: dict[Tensor, Tensor]

    def _prepare(self) -> None:
        super()._prepare()
        self.__dict__["_first"] = {}  # per parameter a 0-d tensor: 1 until the first dampened step

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update; see Optimizer.step."""
        return self._run(closure)

    def _buffer(self, p: Tensor, dampening: Any) -> Any:
        """The momentum buffer: zeros at first, so that every step is the same program."""
        state = self.state[p]
        buf = state.get("momentum_buffer")
        if buf is None:
            with observe.eagerly():
                buf = state["momentum_buffer"] = zeros_for(p)
                if dampening != 0:
                    self._first[p] = step_count(1.0)
        return buf

    def _update(self, index: int, group: dict[str, Any]) -> None:
        lr, decay = observe.scalar(group, "lr"), observe.scalar(group, "weight_decay")
        momentum, dampening = observe.scalar(group, "momentum"), observe.scalar(group, "dampening")
        flags = (steps.MAXIMIZE if group["maximize"] else 0) | (
            steps.WEIGHT_DECAY if decay != 0 else 0
        )
        if group["nesterov"]:
            flags |= steps.NESTEROV
        native = (
            STATE.tracer is None and not STATE.grad and steps.plain(lr, decay, momentum, dampening)
        )
        moving = bool(momentum != 0)
        lists: dict = {}
        for p in group["params"]:
            g = p.grad
            if g is None:
                continue
            buf = self._buffer(p, dampening) if moving else None
            if native and not (self._first and self._is_first(p)):
                lists.setdefault(p.dtype, []).extend((p, g, buf))
            else:
                self._one(p, g, buf, lr, decay, momentum, dampening, flags)
        for dtype, flat in lists.items():
            numbers = [lr, decay, momentum, 1 - dampening]
            if not steps.update_rows(
                "sgd", self._table(index, dtype, 3), flat, dtype, numbers, flags
            ):
                for p, g, buf in zip(flat[::3], flat[1::3], flat[2::3], strict=True):
                    self._one(p, g, buf, lr, decay, momentum, dampening, flags)

    def _is_first(self, p: Tensor) -> bool:
        first = self._first.get(p)
        return first is not None and bool(first)

    def _one(
        self,
        p: Tensor,
        g: Tensor,
        buf: Any,
        lr: Any,
        decay: Any,
        momentum: Any,
        dampening: Any,
        flags: int,
    ) -> None:
        rest = 1 - dampening
        first = self._first.get(p) if buf is not None else None
        if first is not None:
            # the tensor decides, so that a compiled step dampens from the second call on
            damped = cast(first, float64) * 0 + rest
            one = cast(where(first != 0, 1.0, damped), p.dtype.compute)
            rest = one if STATE.tracer is not None else float(one)
            first.zero_()  # type: ignore[attr-defined]
        steps.update(
            steps.sgd_step,
            (p,) if buf is None else (p, buf),
            g,
            (None,) if buf is None else (),
            (lr, decay, momentum, rest, flags),
        )


__all__ = ["SGD"]
