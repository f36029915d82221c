"""The Optimizer base: parameter groups, state, state_dict, hooks. PyTorch's layout and messages, so that
state dicts interchange. https://pytorch.org/docs/stable/optim.html"""

from __future__ import annotations

import itertools
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable
from copy import deepcopy
from typing import Any

from ..base import dtypes
from ..core import observe
from ..core.modes import enable_grad, no_grad
from ..core.tape import HookHandle
from ..core.tensor import Tensor
from ..creation import tensor, zeros_like


class _Required:
    def __repr__(self) -> str:
        return "<required parameter>"


required = _Required()


class Optimizer:
    """Base of all optimizers: subclasses define `_update(group, param, state, grad)` or `step`.

    params: an iterable of tensors, of (name, tensor) pairs, or of dicts (groups) with their own options."""

    def __init__(self, params: Iterable, defaults: dict[str, Any]):
        self.defaults = defaults
        self._step_pre_hooks: OrderedDict = OrderedDict()
        self._step_post_hooks: OrderedDict = OrderedDict()
        if isinstance(params, Tensor):
            raise TypeError("params argument given to the optimizer should be an iterable of Tensors or dicts, but "
                            f"got {'torch.' + params.dtype.title + 'Tensor'}")
        self.state: defaultdict[Any, Any] = defaultdict(dict)
        self.param_groups: list[dict[str, Any]] = []
        groups = list(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for g in groups:
            self.add_param_group(dict(g))

    # ------------------------------------------------------------ groups

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Adds a group; its missing options are the defaults. TypeError, ValueError as PyTorch."""
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group)}")
        params = param_group["params"]
        if isinstance(params, Tensor):
            params = [params]
        elif isinstance(params, set):
            raise TypeError("optimizer parameters need to be organized in ordered collections, but the ordering of "
                            "tensors in sets will change between runs. Please use a list instead.")
        params = list(params)
        names = [p[0] for p in params if isinstance(p, tuple)]
        if names and len(names) != len(params):
            raise ValueError("all optimizer params should be with/without names. Some param names are missing")
        if names:
            params = [p[1] for p in params]
            param_group["param_names"] = names
        param_group["params"] = params
        for p in params:
            if not isinstance(p, Tensor):
                raise TypeError(f"optimizer can only optimize Tensors, but one of the params is {type(p).__name__}")
            if not self.defaults.get("differentiable", None) and not (p.is_leaf or p._retains_grad):
                raise ValueError("can't optimize a non-leaf Tensor")
        for name, default in self.defaults.items():
            if default is required and name not in param_group:
                raise ValueError("parameter group didn't specify a value of required optimization parameter "
                                 f"{name}")
            param_group.setdefault(name, default)
        ids = {id(p) for p in params}
        if len(ids) != len(params):
            import warnings
            warnings.warn("optimizer contains a parameter group with duplicate parameters; in future, this will "
                          "cause an error; see github.com/pytorch/pytorch/issues/40967 for more information",
                          stacklevel=3)
        seen = {id(p) for g in self.param_groups for p in g["params"]}
        if ids & seen:
            raise ValueError("some parameters appear in more than one parameter group")
        self.param_groups.append(param_group)

    def __repr__(self) -> str:
        lines = [type(self).__name__ + " ("]
        for i, g in enumerate(self.param_groups):
            lines += ["", f"Parameter Group {i}"] if i else [f"Parameter Group {i}"]
            lines += [f"    {k}: {g[k]}" for k in sorted(g) if k != "params"]
        return "\n".join([*lines, ")"])

    # ------------------------------------------------------------ the step

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drops every .grad, or fills it with zeros."""
        for g in self.param_groups:
            for p in g["params"]:
                if set_to_none:
                    p.grad = None
                elif p.grad is not None:
                    p.grad.detach_()
                    p.grad.zero_()

    def step(self, closure: Callable | None = None) -> Any:
        """One update of every parameter that has a gradient; returns the closure's loss."""
        for hook in list(self._step_pre_hooks.values()):
            hook(self, (closure,) if closure is not None else (), {})
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        with no_grad():
            for group in self.param_groups:
                self._update_group(group)
        for hook in list(self._step_post_hooks.values()):
            hook(self, (closure,) if closure is not None else (), {})
        return loss

    def _update_group(self, group: dict[str, Any]) -> None:
        raise NotImplementedError(f"{type(self).__name__} defines neither step() nor an update rule")

    def _tensor_state(self, p: Tensor, *names: str, step: bool = True, fill: float = 0.0) -> dict[str, Any]:
        """The state of p, made on first use (outside of capture): `step` and zeros like p by name."""
        state = self.state[p]
        if not state:
            with observe.eagerly():
                if step:
                    state["step"] = tensor(0.0, dtype=dtypes.float32)
                for name in names:
                    state[name] = zeros_like(p)
                    if fill:
                        state[name].fill_(fill)
        return state

    # ------------------------------------------------------------ state dict

    def state_dict(self) -> dict[str, Any]:
        """{"state": {index: {...}}, "param_groups": [...]} with parameters numbered across groups."""
        index: dict[int, int] = {}
        groups = []
        for g in self.param_groups:
            for p in g["params"]:
                index.setdefault(id(p), len(index))
            packed = {k: v for k, v in g.items() if k != "params"}
            packed["params"] = [index[id(p)] for p in g["params"]]
            groups.append(packed)
        state = {(index[id(k)] if isinstance(k, Tensor) else k): v for k, v in self.state.items()}
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores what state_dict() gave; floating state takes each parameter's dtype (step excepted).

        Raises ValueError when groups or their sizes do not match."""
        saved = state_dict["param_groups"]
        if len(saved) != len(self.param_groups):
            raise ValueError("loaded state dict has a different number of parameter groups")
        if any(len(a["params"]) != len(b["params"]) for a, b in zip(self.param_groups, saved, strict=True)):
            raise ValueError("loaded state dict contains a parameter group that doesn't match the size of "
                             "optimizer's group")
        numbers = itertools.chain.from_iterable(g["params"] for g in saved)
        params = itertools.chain.from_iterable(g["params"] for g in self.param_groups)
        by_number = dict(zip(numbers, params, strict=True))
        state: defaultdict[Any, Any] = defaultdict(dict)
        for k, v in state_dict["state"].items():
            p = by_number.get(k)
            state[k if p is None else p] = deepcopy(v) if p is None else _restore(p, v)
        for mine, theirs in zip(self.param_groups, saved, strict=True):
            params = mine["params"]
            mine.update(deepcopy({k: v for k, v in theirs.items() if k != "params"}))
            mine["params"] = params
        self.state = state
        observe.changed(self, "state")

    def __getstate__(self) -> dict[str, Any]:
        return {"defaults": self.defaults, "state": self.state, "param_groups": self.param_groups}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.__dict__.setdefault("_step_pre_hooks", OrderedDict())
        self.__dict__.setdefault("_step_post_hooks", OrderedDict())

    def register_step_pre_hook(self, hook: Callable) -> HookHandle:
        """hook(optimizer, args, kwargs) runs before each step."""
        return HookHandle(self._step_pre_hooks, hook)

    def register_step_post_hook(self, hook: Callable) -> HookHandle:
        """hook(optimizer, args, kwargs) runs after each step."""
        return HookHandle(self._step_post_hooks, hook)


def _restore(p: Tensor, value: Any, key: str = "") -> Any:
    if isinstance(value, Tensor):
        v: Any = value.detach().clone()     # type: ignore[attr-defined]
        if key != "step" and p.dtype.is_floating_point and v.dtype.is_floating_point:
            v = v.to(p.dtype)
        return v
    if isinstance(value, dict):
        return {k: _restore(p, v, k) for k, v in value.items()}
    return deepcopy(value)


def check_option(ok: Any, text: str) -> None:
    """ValueError with text unless ok (a run-time comparison of an option)."""
    if not ok:
        raise ValueError(text)
