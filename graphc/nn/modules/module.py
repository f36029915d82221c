"""Module: the base class of all layers and models.

Takes parameters, buffers and submodules as attributes, gives a callable tree of them. The layout of
the state (`_parameters`, `_buffers`, `_modules`, hook dictionaries, `training`) is PyTorch's.
Invariant: every change of a module's state is reported to `observe.changed`. """

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from ...base.errors import with_raisers_line
from ...core import observe
from ...core.modes import STATE
from ...core.tensor import Tensor
from .._names import typename
from ..parameter import Buffer, Parameter
from ._apply import ApplyMethods
from ._hooks import (
    BackwardHook,
    HookDict,
    ObservedDict,
    RemovableHandle,
    _global_backward_hooks,
    _global_backward_pre_hooks,
    _global_buffer_registration_hooks,
    _global_forward_hooks,
    _global_forward_hooks_always_called,
    _global_forward_hooks_with_kwargs,
    _global_forward_pre_hooks,
    _global_module_registration_hooks,
    _global_parameter_registration_hooks,
    add_hook,
    register_module_buffer_registration_hook,
    register_module_forward_hook,
    register_module_forward_pre_hook,
    register_module_full_backward_hook,
    register_module_full_backward_pre_hook,
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
    replaced_by_hooks,
)
from ._state import StateMethods, _IncompatibleKeys

_DICTS = ("_parameters", "_buffers", "_modules")
_DICT_SET = frozenset(_DICTS)
_HOOK_DICTS = ("_backward_pre_hooks", "_backward_hooks", "_forward_hooks",
               "_forward_hooks_with_kwargs", "_forward_hooks_always_called",
               "_forward_pre_hooks", "_forward_pre_hooks_with_kwargs",
               "_state_dict_hooks", "_state_dict_pre_hooks", "_load_state_dict_pre_hooks",
               "_load_state_dict_post_hooks")

__all__ = [
    "Module",
    "register_module_buffer_registration_hook",
    "register_module_forward_hook",
    "register_module_forward_pre_hook",
    "register_module_full_backward_hook",
    "register_module_full_backward_pre_hook",
    "register_module_module_registration_hook",
    "register_module_parameter_registration_hook",
    "_IncompatibleKeys",
]

_set = object.__setattr__


def _forward_unimplemented(self: Any, *input: Any) -> None:
    """Subclasses define `forward`; this raises NotImplementedError."""
    raise NotImplementedError(f"Module [{type(self).__name__}] is missing the required "
                              '"forward" function')


class Module(ApplyMethods, StateMethods):
    """Base class of all neural network modules.

    Subclasses call `super().__init__()`, assign Parameters, Buffers and other Modules as attributes
    and define `forward`. https://docs.pytorch.org/docs/stable/generated/torch.nn.Module.html """

    training: bool
    call_super_init: bool = False
    _compiled_call_impl: Callable | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if not self.call_super_init and (args or kwargs):
            name = type(self).__name__
            if kwargs:
                raise TypeError(f"{name}.__init__() got an unexpected keyword argument "
                                f"'{next(iter(kwargs))}'")
            raise TypeError(f"{name}.__init__() takes 1 positional argument but {len(args) + 1} "
                            "were given")
        _set(self, "training", True)
        for name in _DICTS:
            _set(self, name, ObservedDict())
        _set(self, "_non_persistent_buffers_set", set())
        _set(self, "_is_full_backward_hook", None)
        for name in _HOOK_DICTS:
            _set(self, name, HookDict.named(name))
        if self.call_super_init:
            super().__init__(*args, **kwargs)

    forward: Callable[..., Any] = _forward_unimplemented

    # ---- registration

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Adds a tensor that is state but no parameter; `persistent` puts it into state_dict."""
        if "_buffers" not in self.__dict__:
            raise AttributeError("cannot assign buffer before Module.__init__() call")
        self._check_name("buffer", name, self._buffers)
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(f"cannot assign '{typename(tensor)}' object to buffer '{name}' "
                            "(torch Tensor or None required)")
        tensor = replaced_by_hooks(_global_buffer_registration_hooks, self, name, tensor)
        self._buffers[name] = tensor
        if persistent:
            self._non_persistent_buffers_set.discard(name)
        else:
            self._non_persistent_buffers_set.add(name)

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Adds a parameter; None reserves the name."""
        if "_parameters" not in self.__dict__:
            raise AttributeError("cannot assign parameter before Module.__init__() call")
        self._check_name("parameter", name, self._parameters)
        if param is not None:
            if not isinstance(param, Parameter):
                raise TypeError(f"cannot assign '{typename(param)}' object to parameter '{name}' "
                                "(torch.nn.Parameter or None required)")
            if param.grad_fn:
                raise ValueError(f"Cannot assign non-leaf Tensor to parameter '{name}'. Model "
                                 f"parameters must be created explicitly. To express '{name}' as a "
                                 "function of another Tensor, compute the value in the forward() "
                                 "method.")
            param = replaced_by_hooks(_global_parameter_registration_hooks, self, name, param)
        self._parameters[name] = param

    def _check_name(self, kind: str, name: str, own: dict) -> None:
        if not isinstance(name, str):
            raise TypeError(f"{kind} name should be a string. Got {typename(name)}")
        if "." in name:
            raise KeyError(f'{kind} name can\'t contain "."')
        if name == "":
            raise KeyError(f'{kind} name can\'t be empty string ""')
        if hasattr(self, name) and name not in own:
            raise KeyError(f"attribute '{name}' already exists")

    def add_module(self, name: str, module: Module | None) -> None:
        """Adds a child module under `name`."""
        if not isinstance(module, Module) and module is not None:
            raise TypeError(f"{typename(module)} is not a Module subclass")
        if not isinstance(name, str):
            raise TypeError(f"module name should be a string. Got {typename(name)}")
        if hasattr(self, name) and name not in self._modules:
            raise KeyError(f"attribute '{name}' already exists")
        if "." in name:
            raise KeyError(f'module name can\'t contain ".", got: {name}')
        if name == "":
            raise KeyError('module name can\'t be empty string ""')
        module = replaced_by_hooks(_global_module_registration_hooks, self, name, module)
        self._modules[name] = module

    def register_module(self, name: str, module: Module | None) -> None:
        """Alias of add_module."""
        self.add_module(name, module)

    # ---- attributes

    def __getattr__(self, name: str) -> Any:
        d = self.__dict__
        for kind in _DICTS:
            found = d.get(kind)
            if found is not None and name in found:
                return found[name]
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'", name=name,
                             obj=self)

    def __setattr__(self, name: str, value: Any) -> None:
        d = self.__dict__
        params, modules, buffers = d.get("_parameters"), d.get("_modules"), d.get("_buffers")
        if isinstance(value, Parameter):
            if params is None:
                raise AttributeError("cannot assign parameters before Module.__init__() call")
            _remove(name, d, buffers, modules, self._non_persistent_buffers_set)
            self.register_parameter(name, value)
        elif params is not None and name in params:
            if value is not None:
                raise TypeError(f"cannot assign '{typename(value)}' as parameter '{name}' "
                                "(torch.nn.Parameter or None expected)")
            self.register_parameter(name, value)
        elif isinstance(value, Module):
            if modules is None:
                raise AttributeError("cannot assign module before Module.__init__() call")
            _remove(name, d, params, buffers, self._non_persistent_buffers_set)
            modules[name] = replaced_by_hooks(_global_module_registration_hooks, self, name, value)
        elif modules is not None and name in modules:
            if value is not None:
                raise TypeError(f"cannot assign '{typename(value)}' as child module '{name}' "
                                "(torch.nn.Module or None expected)")
            modules[name] = replaced_by_hooks(_global_module_registration_hooks, self, name, value)
        elif isinstance(value, Buffer) or (buffers is not None and name in buffers):
            self._set_buffer(name, value)
        else:
            if name in _DICT_SET and not isinstance(value, ObservedDict):
                value = ObservedDict(value)
            super().__setattr__(name, value)
        observe.changed(self, name)

    def _set_buffer(self, name: str, value: Any) -> None:
        if value is not None and not isinstance(value, Tensor):
            raise TypeError(f"cannot assign '{typename(value)}' as buffer '{name}' "
                            "(torch.nn.Buffer, torch.Tensor or None expected)")
        persistent = (value.persistent if isinstance(value, Buffer)
                      else name not in self._non_persistent_buffers_set)
        register = self.register_buffer
        if (getattr(register, "__func__", None) is Module.register_buffer
                or "persistent" in inspect.signature(register).parameters):
            register(name, value, persistent)
        elif persistent:        # an override from before the argument existed
            register(name, value)
        else:
            raise RuntimeError("Registering a non-persistent buffer on a Module subclass that "
                               "implements register_buffer() without the persistent argument is "
                               "not allowed.")

    def __delattr__(self, name: str) -> None:
        if name in self._parameters:
            del self._parameters[name]
        elif name in self._buffers:
            del self._buffers[name]
            self._non_persistent_buffers_set.discard(name)
        elif name in self._modules:
            del self._modules[name]
        else:
            super().__delattr__(name)
        observe.changed(self, name)

    def __dir__(self) -> list[str]:
        keys = [*dir(type(self)), *self.__dict__, *self._parameters, *self._modules, *self._buffers]
        return sorted(k for k in keys if not k[0].isdigit())

    def __getstate__(self) -> dict:
        state = self.__dict__.copy()
        state.pop("_compiled_call_impl", None)
        return state

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        for name in _DICTS:
            self.__dict__.setdefault(name, ObservedDict())
        for name in _HOOK_DICTS:
            self.__dict__.setdefault(name, HookDict.named(name))
        self.__dict__.setdefault("_non_persistent_buffers_set", set())
        self.__dict__.setdefault("_is_full_backward_hook", None)

    # ---- calling

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._compiled_call_impl is not None:
            return self._compiled_call_impl(*args, **kwargs)
        if STATE.stand_in is not None and type(self).__call__ is Module.__call__:
            stand_in = STATE.stand_in(self)
            if stand_in is not None:
                return stand_in(*args, **kwargs)
        if not (self._backward_hooks or self._backward_pre_hooks or self._forward_hooks
                or self._forward_pre_hooks or _global_forward_hooks or _global_forward_pre_hooks
                or _global_backward_hooks or _global_backward_pre_hooks):
            try:
                return self.forward(*args, **kwargs)
            except Exception as e:
                with_raisers_line(e)
                raise
        return _call_with_hooks(self, args, kwargs)

    def _call_impl(self, *args: Any, **kwargs: Any) -> Any:
        """A call past `compile`d state."""
        return _call_with_hooks(self, args, kwargs)

    _wrapped_call_impl = __call__

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """From now on calls of this module run compiled; arguments as for graphc.compile."""
        self._compiled_call_impl = observe.lent["compile"](self._call_impl, *args, **kwargs)

    def register_forward_pre_hook(self, hook: Callable, *, prepend: bool = False,
                                  with_kwargs: bool = False) -> RemovableHandle:
        """hook(module, args) -> None or new args, before forward. With `with_kwargs`:
        hook(module, args, kwargs) -> None or (args, kwargs)."""
        flags = self._forward_pre_hooks_with_kwargs
        return add_hook(self._forward_pre_hooks, hook, flags=(flags,) if with_kwargs else (),
                        prepend=prepend, extra=flags)

    def register_forward_hook(self, hook: Callable, *, prepend: bool = False,
                              with_kwargs: bool = False,
                              always_call: bool = False) -> RemovableHandle:
        """hook(module, args, output) -> None or a new output, after forward. With `with_kwargs`:
        hook(module, args, kwargs, output). `always_call` runs it also when forward raised."""
        kwargs, always = self._forward_hooks_with_kwargs, self._forward_hooks_always_called
        flags = ((kwargs,) if with_kwargs else ()) + ((always,) if always_call else ())
        return add_hook(self._forward_hooks, hook, flags=flags, prepend=prepend,
                        extra=[kwargs, always])

    def register_full_backward_pre_hook(self, hook: Callable,
                                        prepend: bool = False) -> RemovableHandle:
        """hook(module, grad_output) -> None or a new grad_output, before the module's backward."""
        return add_hook(self._backward_pre_hooks, hook, prepend=prepend)

    def register_full_backward_hook(self, hook: Callable, prepend: bool = False) -> RemovableHandle:
        """hook(module, grad_input, grad_output) -> None or a new grad_input, after its backward."""
        self._is_full_backward_hook = True
        return add_hook(self._backward_hooks, hook, prepend=prepend)

    # ---- the tree

    def _named_members(self, get_members: Callable, prefix: str = "", recurse: bool = True,
                       remove_duplicate: bool = True) -> Iterator[tuple[str, Any]]:
        memo = set()
        modules: Any = [(prefix, self)]
        if recurse:
            modules = self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate)
        for module_prefix, module in modules:
            for key, value in get_members(module):
                if value is None or value in memo:
                    continue
                if remove_duplicate:
                    memo.add(value)
                yield (f"{module_prefix}.{key}" if module_prefix else key), value

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """The parameters, each once; without `recurse` only this module's own."""
        for _, param in self.named_parameters(recurse=recurse):
            yield param

    def named_parameters(self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
                         ) -> Iterator[tuple[str, Parameter]]:
        """(dotted name, parameter) pairs."""
        yield from self._named_members(lambda m: m._parameters.items(), prefix, recurse,
                                       remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """The buffers, each once."""
        for _, buf in self.named_buffers(recurse=recurse):
            yield buf

    def named_buffers(self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
                      ) -> Iterator[tuple[str, Tensor]]:
        """(dotted name, buffer) pairs."""
        yield from self._named_members(lambda m: m._buffers.items(), prefix, recurse,
                                       remove_duplicate)

    def children(self) -> Iterator[Module]:
        """The immediate child modules, each once."""
        for _, module in self.named_children():
            yield module

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """(name, child) pairs, each child once."""
        memo = set()
        for name, module in self._modules.items():
            if module is not None and module not in memo:
                memo.add(module)
                yield name, module

    def modules(self, remove_duplicate: bool = True) -> Iterator[Module]:
        """This module and all below it."""
        for _, module in self.named_modules(remove_duplicate=remove_duplicate):
            yield module

    def named_modules(self, memo: set | None = None, prefix: str = "", remove_duplicate: bool = True
                      ) -> Iterator[tuple[str, Module]]:
        """(dotted name, module) pairs, this module first under `prefix`."""
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, module in self._modules.items():
            if module is not None:
                yield from module.named_modules(memo, f"{prefix}.{name}" if prefix else name,
                                                remove_duplicate)

    def get_submodule(self, target: str) -> Module:
        """The submodule at a dotted path; "" is this module. AttributeError when there is none."""
        module: Any = self
        for item in target.split(".") if target else ():
            if not hasattr(module, item):
                raise AttributeError(f"{module._get_name()} has no attribute `{item}`")
            module = getattr(module, item)
            if not isinstance(module, Module):
                raise AttributeError(f"`{item}` is not an nn.Module")
        return module

    def set_submodule(self, target: str, module: Module, strict: bool = False) -> None:
        """Puts `module` at a dotted path; with `strict` the path must exist already."""
        if target == "":
            raise ValueError("Cannot set the submodule without a target name!")
        if not isinstance(module, Module):
            raise ValueError(f"`module` is not an nn.Module, found {type(module)}")
        path, _, name = target.rpartition(".")
        parent = self.get_submodule(path)
        if strict and not hasattr(parent, name):
            raise AttributeError(f"{parent._get_name()} has no attribute `{name}`")
        if hasattr(parent, name) and not isinstance(getattr(parent, name), Module):
            raise AttributeError(f"`{name}` is not an nn.Module")
        setattr(parent, name, module)

    def _member(self, target: str) -> tuple[Module, str, Any]:
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        if not hasattr(module, name):
            raise AttributeError(f"{module._get_name()} has no attribute `{name}`")
        return module, name, getattr(module, name)

    def get_parameter(self, target: str) -> Parameter:
        """The parameter at a dotted path. AttributeError when there is none."""
        _, name, param = self._member(target)
        if not isinstance(param, Parameter):
            raise AttributeError(f"`{name}` is not an nn.Parameter")
        return param

    def get_buffer(self, target: str) -> Tensor:
        """The buffer at a dotted path. AttributeError when there is none."""
        module, name, buf = self._member(target)
        if name not in module._buffers:
            raise AttributeError(f"`{name}` is not a buffer")
        return buf

    # ---- printing

    def _get_name(self) -> str:
        return type(self).__name__

    def extra_repr(self) -> str:
        """What repr shows between the parentheses; subclasses override it."""
        return ""

    def __repr__(self) -> str:
        extra = self.extra_repr()
        extra_lines = extra.split("\n") if extra else []
        child_lines = [f"({key}): " + repr(module).replace("\n", "\n  ")
                       for key, module in self._modules.items()]
        if len(extra_lines) == 1 and not child_lines:
            return f"{self._get_name()}({extra_lines[0]})"
        lines = extra_lines + child_lines
        body = "\n  " + "\n  ".join(lines) + "\n" if lines else ""
        return f"{self._get_name()}({body})"


def _remove(name: str, *holders: Any) -> None:
    for holder in holders:
        if name in holder:
            if isinstance(holder, dict):
                del holder[name]
            else:
                holder.discard(name)


# ---------------------------------------------------------------- the slow path of a call

def _call_with_hooks(module: Module, args: tuple, kwargs: dict) -> Any:
    """A call with every kind of hook, in PyTorch's order."""
    call: dict = {"args": args, "kwargs": kwargs, "result": None, "ran": set()}
    try:
        return _run_hooks_and_forward(module, call)
    except Exception:
        _run_always_called(module, call)
        raise


def _run_hooks_and_forward(module: Module, call: dict) -> Any:
    for hook_id, hook in (*_global_forward_pre_hooks.items(), *module._forward_pre_hooks.items()):
        if hook_id in module._forward_pre_hooks_with_kwargs:
            got = hook(module, call["args"], call["kwargs"])
            if got is not None:
                if not (isinstance(got, tuple) and len(got) == 2):
                    raise RuntimeError("forward pre-hook must return None or a tuple of (new_args, "
                                       f"new_kwargs), but got {got}.")
                call["args"], call["kwargs"] = got
        else:
            got = hook(module, call["args"])
            if got is not None:
                call["args"] = got if isinstance(got, tuple) else (got,)

    backward = [*_global_backward_hooks.values(), *module._backward_hooks.values()]
    backward_pre = [*_global_backward_pre_hooks.values(), *module._backward_pre_hooks.values()]
    node = BackwardHook(module, backward, backward_pre) if backward or backward_pre else None
    if node is not None:
        call["args"] = node.wrap_inputs(call["args"])

    call["result"] = module.forward(*call["args"], **call["kwargs"])

    always = (module._forward_hooks_always_called, _global_forward_hooks_always_called)
    for hook_id, hook in (*_global_forward_hooks.items(), *module._forward_hooks.items()):
        if hook_id in always[0] or hook_id in always[1]:
            call["ran"].add(hook_id)
        got = _forward_hook(module, hook_id, hook, call)
        if got is not None:
            call["result"] = got
    if node is not None:
        if not isinstance(call["result"], (Tensor, tuple)):
            warnings.warn("For backward hooks to be called, module output should be a Tensor or a "
                          f"tuple of Tensors but received {type(call['result'])}", stacklevel=4)
        call["result"] = node.wrap_outputs(call["result"])
    return call["result"]


def _forward_hook(module: Module, hook_id: int, hook: Callable, call: dict) -> Any:
    if (hook_id in module._forward_hooks_with_kwargs
            or hook_id in _global_forward_hooks_with_kwargs):
        return hook(module, call["args"], call["kwargs"], call["result"])
    return hook(module, call["args"], call["result"])


def _run_always_called(module: Module, call: dict) -> None:
    """After an exception: the always_call hooks that have not run yet; their own errors only
    warn."""
    for kind, hooks, always in (
            ("global module", _global_forward_hooks, _global_forward_hooks_always_called),
            ("module", module._forward_hooks, module._forward_hooks_always_called)):
        for hook_id, hook in hooks.items():
            if hook_id in always and hook_id not in call["ran"]:
                try:
                    got = _forward_hook(module, hook_id, hook, call)
                    if got is not None:
                        call["result"] = got
                except Exception as error:
                    warnings.warn(f"{kind} forward hook with ``always_call=True`` raised an "
                                  "exception that was silenced as another error was raised in "
                                  f"forward: {error}",
                                  stacklevel=4)
