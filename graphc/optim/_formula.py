"""Optimizers that are a formula: take a rule in tensor ops for one parameter, give a step over all.

A subclass says what state a parameter starts with and what parameter and state become. Invariant:
the rule reads numbers through `observe.scalar` and the step count as a tensor, so that a compiled
step is the eager step, bit for bit, for every learning rate and step. Half types are computed in
float32 and rounded once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..base import dtypes
from ..core import inplace, observe
from ..core.tensor import Tensor
from ..ops.pointwise import cast
from .optimizer import Item, Optimizer, check_lr, counts_to_tensors


class Formula(Optimizer):
    """An optimizer whose update of a parameter is `_rule`.

    Invariant: `_state_of` gives the state's entries in PyTorch's order, `_rule` a dict of the new
    ones; "step" counts up before the rule sees it."""

    _items: dict[tuple, Item]

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        counts_to_tensors(self)

    def _prepare(self) -> None:
        super()._prepare()
        self.__dict__["_items"] = {}

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update; see Optimizer.step."""
        return self._run(closure)

    # ---- for subclasses

    def _start(self, p: Tensor, group: dict[str, Any]) -> dict[str, Tensor]:
        """The state of a parameter before its first step."""
        raise NotImplementedError

    def _options(self, group: dict[str, Any]) -> Any:
        """The group's numbers, read once for a step."""
        raise NotImplementedError

    def _rule(self, p: Tensor, g: Tensor, state: dict[str, Any], options: Any) -> tuple:
        """(new parameter, {entry: its new value}) from the gradient that is to be followed."""
        raise NotImplementedError

    def _number(self, group: dict[str, Any], name: str, i: int | None = None) -> Any:
        """group[name], or group[name][i]: a run-time number in a compiled step."""
        if i is None:
            return observe.scalar(group, name)
        item = self._items.get((id(group), name))
        if item is None or item.group is not group:
            item = self._items[id(group), name] = Item(group, name)
        return observe.scalar(item, i)

    def _state_of(self, p: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        state = self.state[p]
        if not state:
            with observe.eagerly():
                state.update(self._start(p, group))
        return state

    def _update(self, index: int, group: dict[str, Any]) -> None:
        options = self._options(group)
        for p in group["params"]:
            g = p.grad
            if g is not None:
                self._one(p, -g if group.get("maximize") else g, self._state_of(p, group), options)

    def _one(self, p: Tensor, g: Tensor, state: dict[str, Any], options: Any) -> None:
        if "step" in state:
            state["step"].add_(1)
        half = p.dtype.is_half
        wide = {k: _wide(v) for k, v in state.items()} if half else state
        new_p, news = self._rule(_wide(p), _wide(g), wide, options)
        for target, value in ((p, new_p), *[(state[k], v) for k, v in news.items()]):
            inplace.check_inplace(target)
            inplace.store(target, value if value.dtype is target.dtype else value.to(target.dtype))


def _wide(t: Any) -> Any:
    return cast(t, dtypes.float32) if isinstance(t, Tensor) and t.dtype.is_half else t


def steps_of(state: dict[str, Any]) -> Any:
    """The step count in float64, from which a step's scales are computed."""
    return cast(state["step"], dtypes.float64)


def scale(x: Any, p: Tensor) -> Any:
    """A number of a step, computed in float64, rounded once to the type that p is updated in."""
    return cast(x, p.dtype.compute) if isinstance(x, Tensor) else x


def decayed(p: Any, g: Any, decay: Any) -> Any:
    """The gradient with weight decay."""
    return g + p * decay if decay != 0 else g


def moved(old: Any, new: Any, weight: Any) -> Any:
    """old moved towards new: (1 - weight) * old + weight * new, as old + weight * (new - old)."""
    return old + (new - old) * weight


def check_beta(betas: tuple) -> None:
    """ValueError for a beta outside [0, 1)."""
    for i, beta in enumerate(betas):
        if not 0.0 <= beta < 1.0:
            raise ValueError(f"Invalid beta parameter at index {i}: {beta}")


def check_adaptive(lr: Any, eps: Any, betas: tuple, decay: Any) -> None:
    """ValueErrors for the options that the descendants of Adam share."""
    check_lr(lr)
    if not 0.0 <= eps:
        raise ValueError(f"Invalid epsilon value: {eps}")
    check_beta(betas)
    if not 0.0 <= decay:
        raise ValueError(f"Invalid weight_decay value: {decay}")


__all__ = ["Formula"]
