"""Optimizer: the base of all optimizers. Takes parameters in groups of options, gives the
bookkeeping: groups, state per parameter, state dictionaries in PyTorch's form, hooks, gradients to
zero.

Invariant: what a step creates lazily is made outside capture, so that a compiled step finds it as
an input. Source: https://docs.pytorch.org/docs/stable/optim.html
"""

from __future__ import annotations

import functools
import itertools
import warnings
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable
from copy import deepcopy
from typing import Any

from ..core import observe
from ..core.modes import STATE, enable_grad
from ..core.tape import RemovableHandle
from ..core.tensor import Tensor
from ..creation import tensor as new_tensor
from ..creation import zeros_like
from ..ops.optim_steps import Rows


class _Required:
    """The default of an option that every group has to give."""

    def __repr__(self) -> str:
        return "<required parameter>"


required = _Required()
_HOOKS = (
    "_optimizer_step_pre_hooks",
    "_optimizer_step_post_hooks",
    "_optimizer_state_dict_pre_hooks",
    "_optimizer_state_dict_post_hooks",
    "_optimizer_load_state_dict_pre_hooks",
    "_optimizer_load_state_dict_post_hooks",
)
_global_pre_hooks: dict[int, Callable] = OrderedDict()
_global_post_hooks: dict[int, Callable] = OrderedDict()


def register_optimizer_step_pre_hook(hook: Callable) -> RemovableHandle:
    """hook(optimizer, args, kwargs) runs before every optimizer's step."""
    return RemovableHandle(_global_pre_hooks, hook)


def register_optimizer_step_post_hook(hook: Callable) -> RemovableHandle:
    """hook(optimizer, args, kwargs) runs after every optimizer's step."""
    return RemovableHandle(_global_post_hooks, hook)


def _hooked(step: Callable) -> Callable:
    """A class's step() with the hooks around it."""
    @functools.wraps(step)
    def wrapper(self: Optimizer, *args: Any, **kwargs: Any) -> Any:
        self._opt_called = True         # read by learning-rate schedules
        before, after = self._optimizer_step_pre_hooks, self._optimizer_step_post_hooks
        if not (before or after or _global_pre_hooks or _global_post_hooks):
            return step(self, *args, **kwargs)
        for hook in (*_global_pre_hooks.values(), *before.values()):
            result = hook(self, args, kwargs)
            if result is not None:
                if not isinstance(result, tuple) or len(result) != 2:
                    raise RuntimeError(
                        f"{step} must return None or a tuple of (new_args, new_kwargs), but got "
                        f"{result}."
                    )
                args, kwargs = result
        out = step(self, *args, **kwargs)
        for hook in (*after.values(), *_global_post_hooks.values()):
            hook(self, args, kwargs)
        return out
    wrapper.hooked = True           # type: ignore[attr-defined]
    return wrapper


class Optimizer:
    """Base of the optimizers.

    params: an iterable of tensors, of (name, tensor) pairs, or of dicts with a "params" entry and
    options that override `defaults` for that group. Raises TypeError for a lone tensor or things
    that are no tensors, ValueError for an empty list, non-leaf tensors and parameters that appear
    in two groups.
    https://docs.pytorch.org/docs/stable/optim.html#torch.optim.Optimizer
    """

    OptimizerPreHook: Any = Callable
    OptimizerPostHook: Any = Callable

    param_groups: list[dict[str, Any]]
    state: defaultdict[Any, dict]
    _optimizer_step_pre_hooks: OrderedDict
    _optimizer_step_post_hooks: OrderedDict
    _optimizer_state_dict_pre_hooks: OrderedDict
    _optimizer_state_dict_post_hooks: OrderedDict
    _optimizer_load_state_dict_pre_hooks: OrderedDict
    _optimizer_load_state_dict_post_hooks: OrderedDict
    _rows: dict[tuple, Rows]
    _opt_called: bool

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        step = cls.__dict__.get("step")
        if step is not None and not getattr(step, "hooked", False):
            cls.step = _hooked(step)        # type: ignore[method-assign]

    def __init__(self, params: Iterable, defaults: dict[str, Any]) -> None:
        self.defaults = defaults
        self._prepare()
        if isinstance(params, Tensor):
            raise TypeError(
                "params argument given to the optimizer should be an iterable of Tensors or dicts, "
                f"but got torch.{params.dtype.title}Tensor"
            )
        self.state = defaultdict(dict)
        self.param_groups = []
        groups = list(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    def _prepare(self) -> None:
        """Fields that are not part of the saved state."""
        for name in _HOOKS:
            self.__dict__.setdefault(name, OrderedDict())
        self.__dict__["_rows"] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {"defaults": self.defaults, "state": self.state, "param_groups": self.param_groups}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._prepare()
        self.defaults.setdefault("differentiable", False)
        for group in self.param_groups:
            for name, value in self.defaults.items():  # options that an older file did not have
                group.setdefault(name, value)
        for name in ("state", "param_groups"):
            observe.changed(self, name)

    def __repr__(self) -> str:
        lines = [type(self).__name__ + " ("]
        for i, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {i}")
            lines += [f"    {key}: {group[key]}" for key in sorted(group) if key != "params"]
        return "\n".join(lines) + "\n)"

    # ---- groups

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Adds a group: {"params": tensors, options...}. Errors as for the constructor."""
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group)}")
        params = param_group["params"]
        if isinstance(params, Tensor):
            params = [params]
        elif isinstance(params, set):
            raise TypeError(
                "optimizer parameters need to be organized in ordered collections, but the "
                "ordering "
                "of tensors in sets will change between runs. Please use a list instead."
            )
        params = list(params)
        names = [p[0] for p in params if isinstance(p, tuple)]
        if names and len(names) != len(params):
            raise ValueError(
                "all optimizer params should be with/without names. Some param names are missing"
            )
        params = param_group["params"] = [p[1] if isinstance(p, tuple) else p for p in params]
        if names:
            param_group["param_names"] = names
        self._check_params(params)
        for name, default in self.defaults.items():
            if default is required and name not in param_group:
                raise ValueError(
                    "parameter group didn't specify a value of required optimization parameter "
                    f"{name}"
                )
            param_group.setdefault(name, default)
        if len(params) != len(set(params)):
            warnings.warn(
                "optimizer contains a parameter group with duplicate parameters; in future, this "
                "will "
                "cause an error; see github.com/pytorch/pytorch/issues/40967 for more information",
                stacklevel=3,
            )
        for group in self.param_groups:
            if ("param_names" in param_group) != ("param_names" in group):
                kind = "with names" if "param_names" in param_group else "without names"
                raise ValueError("all optimizer param groups should be with/without names. cannot "
                                 "add param group "
                                 f"{kind} to the optimizer")
        if not set(params).isdisjoint(p for group in self.param_groups for p in group["params"]):
            raise ValueError("some parameters appear in more than one parameter group")
        self.param_groups.append(param_group)
        observe.changed(self, "param_groups")

    def _check_params(self, params: list) -> None:
        for p in params:
            if not isinstance(p, Tensor):
                name = type(p).__name__ if type(p).__module__ == "builtins" else \
                    f"{type(p).__module__}.{type(p).__qualname__}"
                raise TypeError(
                    f"optimizer can only optimize Tensors, but one of the params is {name}"
                )
            if not self.defaults.get("differentiable") and not (p.is_leaf or p._retains_grad):
                raise ValueError("can't optimize a non-leaf Tensor")

    # ---- gradients and steps

    @staticmethod
    def profile_hook_step(func: Callable) -> Callable:
        """func, a step(), with the hooks around it: what a subclass's step() gets by itself."""
        return func if getattr(func, "hooked", False) else _hooked(func)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drops the gradients of all parameters, or fills them with zeros."""
        for group in self.param_groups:
            for p in group["params"]:
                if set_to_none:
                    if STATE.tracer is None:
                        p._grad = None
                    else:
                        p.grad = None
                    continue
                g = p.grad
                if g is not None:
                    if g.grad_fn is not None:
                        g.detach_()
                    else:
                        g.requires_grad_(False)
                    g.zero_()

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update of all parameters. closure: computes the loss anew, and is called with
        gradients on."""
        raise NotImplementedError(f"{type(self).__name__} has to define step()")

    def _run(self, closure: Callable[[], Any] | None) -> Any:
        """The built-in optimizers' step: the closure, then `_update` of each group."""
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        before = STATE.grad
        try:
            for i, group in enumerate(self.param_groups):
                STATE.grad = bool(before and group.get("differentiable"))
                self._update(i, group)
        finally:
            STATE.grad = before
        return loss

    def _update(self, index: int, group: dict[str, Any]) -> None:
        raise NotImplementedError(f"{type(self).__name__} has to define step()")

    def _table(self, index: int, dtype: Any, width: int) -> Rows:
        """The pointer table of a group's parameters of one dtype."""
        rows = self._rows.get((index, dtype))
        if rows is None:
            rows = self._rows[index, dtype] = Rows(width)
        return rows

    # ---- state dictionaries

    def state_dict(self) -> dict[str, Any]:
        """{"state": {number: state}, "param_groups": [...]}, parameters numbered from 0 across the
        groups."""
        for hook in self._optimizer_state_dict_pre_hooks.values():
            hook(self)
        numbers: dict[int, int] = {}
        groups = []
        for group in self.param_groups:
            start = len(numbers)
            for i, p in enumerate(group["params"], start):
                numbers.setdefault(id(p), i)
            packed = {k: v for k, v in group.items() if k != "params"}
            packed["params"] = [numbers[id(p)] for p in group["params"]]
            groups.append(packed)
        state = {numbers[id(k)] if isinstance(k, Tensor) else k: v for k, v in self.state.items()}
        out = {"state": state, "param_groups": groups}
        for hook in self._optimizer_state_dict_post_hooks.values():
            result = hook(self, out)
            if result is not None:
                out = result
        return out

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes what state_dict() gave (copied). ValueError when the groups do not fit."""
        state_dict = dict(state_dict)
        for hook in self._optimizer_load_state_dict_pre_hooks.values():
            result = hook(self, state_dict)
            if result is not None:
                state_dict = result
        groups, saved = self.param_groups, deepcopy(state_dict["param_groups"])
        if len(groups) != len(saved):
            raise ValueError("loaded state dict has a different number of parameter groups")
        if any(len(g["params"]) != len(s["params"]) for g, s in zip(groups, saved, strict=True)):
            raise ValueError(
                "loaded state dict contains a parameter group that doesn't match the size of "
                "optimizer's group"
            )
        owner = dict(zip(itertools.chain.from_iterable(s["params"] for s in saved),
                         itertools.chain.from_iterable(g["params"] for g in groups), strict=True))
        state: defaultdict[Any, dict] = defaultdict(dict)
        for k, v in state_dict["state"].items():
            if k in owner:
                state[owner[k]] = _fit(owner[k], v)
            else:
                state[k] = v
        for group, new in zip(groups, saved, strict=True):
            new["params"] = group["params"]
            if "param_names" in group:
                new.setdefault("param_names", group["param_names"])
        self.__setstate__({"state": state, "param_groups": saved})
        for hook in self._optimizer_load_state_dict_post_hooks.values():
            hook(self)

    # ---- hooks

    def register_step_pre_hook(self, hook: Callable) -> RemovableHandle:
        """hook(optimizer, args, kwargs) runs before step; it may return new (args, kwargs)."""
        return RemovableHandle(self._optimizer_step_pre_hooks, hook)

    def register_step_post_hook(self, hook: Callable) -> RemovableHandle:
        """hook(optimizer, args, kwargs) runs after step."""
        return RemovableHandle(self._optimizer_step_post_hooks, hook)

    def register_state_dict_pre_hook(
        self, hook: Callable, prepend: bool = False
    ) -> RemovableHandle:
        """hook(optimizer) runs before state_dict()."""
        return _register(self._optimizer_state_dict_pre_hooks, hook, prepend)

    def register_state_dict_post_hook(
        self, hook: Callable, prepend: bool = False
    ) -> RemovableHandle:
        """hook(optimizer, state_dict) runs after state_dict(); it may return another dict."""
        return _register(self._optimizer_state_dict_post_hooks, hook, prepend)

    def register_load_state_dict_pre_hook(
        self, hook: Callable, prepend: bool = False
    ) -> RemovableHandle:
        """hook(optimizer, state_dict) runs before loading; it may return another dict."""
        return _register(self._optimizer_load_state_dict_pre_hooks, hook, prepend)

    def register_load_state_dict_post_hook(
        self, hook: Callable, prepend: bool = False
    ) -> RemovableHandle:
        """hook(optimizer) runs after loading."""
        return _register(self._optimizer_load_state_dict_post_hooks, hook, prepend)


def _register(hooks: Any, hook: Callable, prepend: bool) -> RemovableHandle:
    handle = RemovableHandle(hooks, hook)
    if prepend:
        hooks.move_to_end(handle.id, last=False)
    return handle


def _fit(param: Tensor, value: Any, key: Any = None) -> Any:
    """A copy of a state value; floating tensors take the parameter's dtype, the step count keeps
    its own."""
    if isinstance(value, Tensor):
        value = value.detach().clone()          # type: ignore[attr-defined]
        if key == "step" or not param.dtype.is_floating_point:
            return value
        return value.to(param.dtype)
    if isinstance(value, dict):
        return {k: _fit(param, v, k) for k, v in value.items()}
    if isinstance(value, (list, tuple, set)):
        return type(value)(_fit(param, v) for v in value)
    return value


def step_count(value: float = 0.0) -> Tensor:
    """A parameter's step count: a 0-d float32 tensor."""
    return new_tensor(float(value))


def zeros_for(param: Tensor) -> Tensor:
    """Zeros of the parameter's shape, dtype and layout."""
    return zeros_like(param.detach())           # type: ignore[attr-defined]


def counts_to_tensors(optimizer: Optimizer) -> None:
    """Step counts that an old file holds as numbers become tensors."""
    for state in optimizer.state.values():
        if isinstance(state, dict) and "step" in state and not isinstance(state["step"], Tensor):
            state["step"] = step_count(state["step"])


class Item:
    """group[name][i], read anew each time: how a pair such as betas is observed number by
    number."""

    __slots__ = ("group", "name")

    def __init__(self, group: dict[str, Any], name: str):
        self.group, self.name = group, name

    def __getitem__(self, i: int) -> Any:
        return self.group[self.name][i]


def check_numbers(**named: tuple) -> None:
    """ValueError "Invalid <what>: <value>" for a value below 0; named: argument -> (what,
    value)."""
    for what, value in named.values():
        if not 0.0 <= value:
            raise ValueError(f"Invalid {what}: {value}")


def check_lr(lr: Any) -> None:
    """ValueError for a negative learning rate or a tensor of several elements."""
    if isinstance(lr, Tensor) and lr.numel() != 1:      # type: ignore[attr-defined]
        raise ValueError("Tensor lr must be 1-element")
    if not 0.0 <= lr:
        raise ValueError(f"Invalid learning rate: {lr}")


def check_forms(fused: Any, foreach: Any, differentiable: Any) -> None:
    """RuntimeError for `fused` together with what excludes it."""
    if fused and differentiable:
        raise RuntimeError("`fused` does not support `differentiable`")
    if fused and foreach:
        raise RuntimeError("`fused` and `foreach` cannot be `True` together.")


__all__ = [
    "Optimizer",
    "register_optimizer_step_post_hook",
    "register_optimizer_step_pre_hook",
    "required",
]
