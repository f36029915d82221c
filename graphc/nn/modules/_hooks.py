"""What Module hooks are made of: dictionaries that report their changes, removable handles, the
hooks that run for all modules, and the graph nodes behind backward hooks.

Invariant: every change of a dictionary of Module state reaches `observe.changed`, also when user
code writes to `module._parameters[...]` directly. """

from __future__ import annotations

import warnings
import weakref
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from ...autograd import Function
from ...core import observe
from ...core.modes import is_grad_enabled
from ...core.tensor import Tensor

_MISSING: Any = object()


class ObservedDict(dict):
    """A dict whose changes are reported under the name of the changed key."""

    __slots__ = ("__weakref__",)

    def __setitem__(self, key: Any, value: Any) -> None:
        dict.__setitem__(self, key, value)
        observe.changed(self, key)

    def __delitem__(self, key: Any) -> None:
        dict.__delitem__(self, key)
        observe.changed(self, key)

    def pop(self, key: Any, default: Any = _MISSING) -> Any:
        value = dict.pop(self, key) if default is _MISSING else dict.pop(self, key, default)
        observe.changed(self, key)
        return value

    def popitem(self) -> tuple:
        key, value = dict.popitem(self)
        observe.changed(self, key)
        return key, value

    def clear(self) -> None:
        keys = list(self)
        dict.clear(self)
        for key in keys:
            observe.changed(self, key)

    def setdefault(self, key: Any, default: Any = None) -> Any:
        if key not in self:
            self[key] = default
        return self[key]

    def update(self, *args: Any, **kwargs: Any) -> None:
        for key, value in dict(*args, **kwargs).items():
            self[key] = value

    def __ior__(self, other: Any) -> ObservedDict:      # type: ignore[override,misc]
        self.update(other)
        return self

    def copy(self) -> ObservedDict:
        return ObservedDict(self)

    def __reduce__(self) -> tuple:
        return (ObservedDict, (), None, None, iter(self.items()))

    def __reduce_ex__(self, protocol: Any) -> tuple:
        return self.__reduce__()


class HookDict(OrderedDict):
    """A dictionary of hooks by id; changes are reported under the dictionary's own name."""

    name = "_hooks"

    @classmethod
    def named(cls, name: str) -> HookDict:
        out = cls()
        out.name = name
        return out

    def __setitem__(self, key: Any, value: Any) -> None:
        OrderedDict.__setitem__(self, key, value)
        observe.changed(self, self.name)

    def __delitem__(self, key: Any) -> None:
        OrderedDict.__delitem__(self, key)
        observe.changed(self, self.name)

    def pop(self, *args: Any, **kwargs: Any) -> Any:
        value = OrderedDict.pop(self, *args, **kwargs)
        observe.changed(self, self.name)
        return value

    def popitem(self, last: bool = True) -> tuple:
        item = OrderedDict.popitem(self, last)
        observe.changed(self, self.name)
        return item

    def clear(self) -> None:
        OrderedDict.clear(self)
        observe.changed(self, self.name)

    def move_to_end(self, key: Any, last: bool = True) -> None:
        OrderedDict.move_to_end(self, key, last)
        observe.changed(self, self.name)


class RemovableHandle:
    """Removes a hook from its dictionary (and its flags from `extra_dict`); also a context
    manager."""

    next_id = 0

    def __init__(self, hooks_dict: Any, *, extra_dict: Any = None):
        self.hooks_dict_ref = weakref.ref(hooks_dict)
        self.id = RemovableHandle.next_id
        RemovableHandle.next_id += 1
        if not isinstance(extra_dict, list):
            extra_dict = [] if extra_dict is None else [extra_dict]
        self.extra_dict_ref = tuple(weakref.ref(d) for d in extra_dict)

    def remove(self) -> None:
        for ref in (self.hooks_dict_ref, *self.extra_dict_ref):
            hooks = ref()
            if hooks is not None and self.id in hooks:
                del hooks[self.id]

    def __getstate__(self) -> tuple:
        return (self.hooks_dict_ref(), self.id, tuple(ref() for ref in self.extra_dict_ref))

    def __setstate__(self, state: tuple) -> None:
        hooks, self.id, extras = state
        dead: Any = OrderedDict()
        self.hooks_dict_ref = weakref.ref(dead if hooks is None else hooks)
        self.extra_dict_ref = tuple(weakref.ref(dead if d is None else d) for d in extras)
        RemovableHandle.next_id = max(RemovableHandle.next_id, self.id + 1)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *exc: Any) -> None:
        self.remove()


def add_hook(hooks: Any, hook: Callable, *, flags: tuple = (), prepend: bool = False,
             extra: Any = None) -> RemovableHandle:
    """Registers `hook` in `hooks`, sets its id in every dictionary of `flags`; `extra` lists all
    the flag dictionaries of this kind of hook, so that removal clears them."""
    handle = RemovableHandle(hooks, extra_dict=extra)
    hooks[handle.id] = hook
    for d in flags:
        d[handle.id] = True
    if prepend:
        hooks.move_to_end(handle.id, last=False)
    return handle


class WrappedHook:
    """A hook that gets its module (held weakly) as first argument."""

    def __init__(self, hook: Callable, module: Any = None):
        self.hook = hook
        self.with_module = module is not None
        self.module: Any = weakref.ref(module) if module is not None else None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not self.with_module:
            return self.hook(*args, **kwargs)
        module = self.module()
        if module is None:
            raise RuntimeError("You are trying to call the hook of a dead Module!")
        return self.hook(module, *args, **kwargs)

    def __getstate__(self) -> dict:
        state: dict = {"hook": self.hook, "with_module": self.with_module}
        if self.with_module:
            state["module"] = self.module()
        return state

    def __setstate__(self, state: dict) -> None:
        self.hook, self.with_module, self.module = state["hook"], state["with_module"], None
        if self.with_module:
            if state["module"] is None:
                raise RuntimeError("You are trying to revive the hook of a dead Module!")
            self.module = weakref.ref(state["module"])


class BackwardHookFunction(Function):
    """The identity; backward gives the gradients to a function that may replace them."""

    @staticmethod
    def forward(ctx: Any, on_grads: Callable, *tensors: Tensor) -> Any:
        ctx.on_grads = on_grads
        return tuple(t.detach() for t in tensors)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return (None, *ctx.on_grads(grads))


class BackwardHook:
    """Full backward hooks of one call of a module.

    Identity nodes around the module's inputs and outputs catch the two sets of gradients: the
    output node runs the pre-hooks and keeps grad_output, the input node runs the hooks with both.
    """

    def __init__(self, module: Any, hooks: list, pre_hooks: list):
        self.module, self.hooks, self.pre_hooks = module, hooks, pre_hooks
        self.grad_outputs: Any = None
        self.input_places: list[int] | None = None
        self.n_inputs = 0

    def wrap_inputs(self, args: tuple) -> tuple:
        """`args` with its tensors passed through the input node."""
        args, places, required = self._through(args, self._on_input)
        self.n_inputs = len(args)
        self.input_places = places if required else None
        return args

    def wrap_outputs(self, result: Any) -> Any:
        """The module's result with its tensors passed through the output node."""
        single = not isinstance(result, tuple)
        values = (result,) if single else result
        results, self.output_places, _ = self._through(values, self._on_output)
        self.n_outputs = len(results)
        return results[0] if single else results

    def _through(self, values: tuple, on_grads: Callable) -> tuple[tuple, list[int], bool]:
        """(values, the positions of the tensors that need a gradient, whether there are any)."""
        places = [i for i, v in enumerate(values) if isinstance(v, Tensor) and v.requires_grad]
        if not places or not is_grad_enabled():
            return tuple(values), [], False
        passed = BackwardHookFunction.apply(on_grads, *[values[i] for i in places])
        out = list(values)
        for i, t in zip(places, passed, strict=True):
            out[i] = t
        return tuple(out), places, True

    def _on_output(self, grads: tuple) -> tuple:
        full = _spread(grads, self.output_places, self.n_outputs)
        for hook in self.pre_hooks:
            replaced = _as_tuple(hook(self.module, full), len(full), "grad_output", "pre hook")
            if replaced is not None:
                full = replaced
        self.grad_outputs = full
        if self.input_places is None:       # no input needs a gradient: the hooks run here
            warnings.warn("Full backward hook is firing when gradients are computed with respect "
                          "to module outputs since no inputs require gradients.", stacklevel=5)
            for hook in self.hooks:
                got = hook(self.module, (None,) * self.n_inputs, full)
                if got is not None and not (isinstance(got, tuple) and all(g is None for g in got)):
                    raise RuntimeError("Backward hook for Modules where no input requires gradient "
                                       "should always return None or None for all gradients.")
            self.grad_outputs = None
        return tuple(full[i] for i in self.output_places)

    def _on_input(self, grads: tuple) -> tuple:
        if self.grad_outputs is None:       # the module's outputs took no part in this backward
            return grads
        assert self.input_places is not None
        full = _spread(grads, self.input_places, self.n_inputs)
        for hook in self.hooks:
            got = hook(self.module, full, self.grad_outputs)
            replaced = _as_tuple(got, len(full), "grad_input", "hook")
            if replaced is not None:
                full = replaced
        self.grad_outputs = None
        return tuple(full[i] for i in self.input_places)


def _spread(grads: tuple, places: list[int], n: int) -> tuple:
    out: list = [None] * n
    for i, g in zip(places, grads, strict=True):
        out[i] = g
    return tuple(out)


def _as_tuple(got: Any, n: int, what: str, kind: str) -> tuple | None:
    if got is None:
        return None
    got = got if isinstance(got, tuple) else (got,)
    if len(got) != n:
        raise RuntimeError(f"Backward {kind} returned an invalid number of {what}, got {len(got)}, "
                           f"but expected {n}")
    return got


# ---------------------------------------------------------------- hooks of all modules

_global_forward_pre_hooks: dict = OrderedDict()
_global_forward_hooks: dict = OrderedDict()
_global_forward_hooks_with_kwargs: dict = OrderedDict()
_global_forward_hooks_always_called: dict = OrderedDict()
_global_backward_pre_hooks: dict = OrderedDict()
_global_backward_hooks: dict = OrderedDict()
_global_parameter_registration_hooks: dict = OrderedDict()
_global_buffer_registration_hooks: dict = OrderedDict()
_global_module_registration_hooks: dict = OrderedDict()


def register_module_forward_pre_hook(hook: Callable) -> RemovableHandle:
    """hook(module, args) runs before the forward of every module; it may return new args."""
    return add_hook(_global_forward_pre_hooks, hook)


def register_module_forward_hook(hook: Callable, *, with_kwargs: bool = False,
                                 always_call: bool = False) -> RemovableHandle:
    """hook(module, args, output) runs after the forward of every module; it may return a new
    output."""
    kwargs, always = _global_forward_hooks_with_kwargs, _global_forward_hooks_always_called
    flags = (kwargs,) * with_kwargs + (always,) * always_call
    return add_hook(_global_forward_hooks, hook, flags=flags, extra=[kwargs, always])


def register_module_full_backward_pre_hook(hook: Callable) -> RemovableHandle:
    """hook(module, grad_output) runs before the backward of every module."""
    return add_hook(_global_backward_pre_hooks, hook)


def register_module_full_backward_hook(hook: Callable) -> RemovableHandle:
    """hook(module, grad_input, grad_output) runs after the backward of every module."""
    return add_hook(_global_backward_hooks, hook)


def register_module_parameter_registration_hook(hook: Callable) -> RemovableHandle:
    """hook(module, name, parameter) runs at every parameter registration; it may return another."""
    return add_hook(_global_parameter_registration_hooks, hook)


def register_module_buffer_registration_hook(hook: Callable) -> RemovableHandle:
    """hook(module, name, buffer) runs at every buffer registration; it may return another."""
    return add_hook(_global_buffer_registration_hooks, hook)


def register_module_module_registration_hook(hook: Callable) -> RemovableHandle:
    """hook(module, name, submodule) runs at every submodule registration; it may return another."""
    return add_hook(_global_module_registration_hooks, hook)


def replaced_by_hooks(hooks: dict, module: Any, name: str, value: Any) -> Any:
    """`value` after the registration hooks."""
    for hook in hooks.values():
        out = hook(module, name, value)
        if out is not None:
            value = out
    return value
