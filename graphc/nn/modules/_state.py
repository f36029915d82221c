"""state_dict and load_state_dict, as a mixin of Module.

Takes and gives ordered dictionaries from dotted names to tensors, with PyTorch's `_metadata`.
Invariants: a state dict shares memory with the module; loading copies in place, so parameters keep
their identity (`assign=True` excepted). """

from __future__ import annotations

import warnings
from collections import OrderedDict, namedtuple
from collections.abc import Callable, Mapping
from typing import Any

from ...core import observe
from ...core.modes import no_grad
from ...core.tensor import Tensor
from ..parameter import Parameter, is_lazy
from ._hooks import RemovableHandle, WrappedHook, add_hook

EXTRA_STATE = "_extra_state"


class _IncompatibleKeys(namedtuple("IncompatibleKeys", ["missing_keys", "unexpected_keys"])):
    """What load_state_dict returns."""

    __slots__ = ()

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return super().__repr__()

    __str__ = __repr__


class StateMethods:
    """The part of Module that saves and loads."""

    _version: int = 1
    _parameters: dict
    _buffers: dict
    _modules: dict
    _non_persistent_buffers_set: set
    _state_dict_hooks: dict
    _state_dict_pre_hooks: dict
    _load_state_dict_pre_hooks: dict
    _load_state_dict_post_hooks: dict

    # ---- saving

    def get_extra_state(self) -> Any:
        """Override (with set_extra_state) to keep more than tensors in the state dict."""
        raise RuntimeError("Reached a code path in Module.get_extra_state() that should never be "
                           "called.")

    def set_extra_state(self, state: Any) -> None:
        """Override (with get_extra_state) to restore what get_extra_state gave."""
        raise RuntimeError("Reached a code path in Module.set_extra_state() that should never be "
                           "called.")

    def _overrides(self, name: str) -> bool:
        return getattr(type(self), name) is not getattr(StateMethods, name)

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        """Puts this module's own state, not its children's, into `destination`."""
        for name, t in self._parameters.items():
            if t is not None:
                destination[prefix + name] = t if keep_vars else t.detach()
        for name, t in self._buffers.items():
            if t is not None and name not in self._non_persistent_buffers_set:
                destination[prefix + name] = t if keep_vars else t.detach()
        if self._overrides("get_extra_state"):
            destination[prefix + EXTRA_STATE] = self.get_extra_state()

    def state_dict(self, *args: Any, destination: Any = None, prefix: str = "",
                   keep_vars: bool = False) -> Any:
        """An OrderedDict of all parameters and persistent buffers by dotted name, detached unless
        `keep_vars`, sharing memory with the module. Versions of the modules stand in `._metadata`.
        https://docs.pytorch.org/docs/stable/generated/torch.nn.Module.html#torch.nn.Module.state_dict"""
        if args:
            warnings.warn("Positional args are being deprecated, use kwargs instead. Refer to "
                          "https://pytorch.org/docs/main/generated/torch.nn.Module.html#torch.nn.Module."
                          "state_dict for details.", FutureWarning, stacklevel=2)
            destination = args[0] if destination is None else destination
            prefix = args[1] if len(args) > 1 and prefix == "" else prefix
            keep_vars = args[2] if len(args) > 2 and keep_vars is False else keep_vars
        if destination is None:
            destination = OrderedDict()
            destination._metadata = OrderedDict()
        local_metadata = {"version": self._version}
        if hasattr(destination, "_metadata"):
            destination._metadata[prefix[:-1]] = local_metadata

        for hook in self._state_dict_pre_hooks.values():
            hook(self, prefix, keep_vars)
        self._save_to_state_dict(destination, prefix, keep_vars)
        for name, module in self._modules.items():
            if module is not None:
                module.state_dict(destination=destination, prefix=prefix + name + ".",
                                  keep_vars=keep_vars)
        for hook in self._state_dict_hooks.values():
            got = hook(self, destination, prefix, local_metadata)
            if got is not None:
                if getattr(hook, "_from_public_api", False):
                    raise RuntimeError("state_dict post-hook must return None")
                destination = got
        return destination

    # ---- loading

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True,
                        assign: bool = False) -> _IncompatibleKeys:
        """Copies a state dict into this module and its children.

        strict: RuntimeError when keys are missing or unexpected (shape mismatches always raise);
        assign: the given tensors replace the module's instead of being copied into them. Returns
        the named tuple (missing_keys, unexpected_keys).
        https://docs.pytorch.org/docs/stable/generated/torch.nn.Module.html#torch.nn.Module.load_state_dict
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}.")
        keys = _IncompatibleKeys([], [])
        errors: list[str] = []
        metadata = getattr(state_dict, "_metadata", None)
        state: Any = OrderedDict(state_dict)        # hooks may change it
        if metadata is not None:
            state._metadata = metadata
        _load(self, state, "", metadata, assign, keys, errors)

        if strict:
            for found, word in ((keys.unexpected_keys, "Unexpected"),
                                (keys.missing_keys, "Missing")):
                if found:
                    quoted = ", ".join(f'"{k}"' for k in found)
                    errors.insert(0, f"{word} key(s) in state_dict: {quoted}. ")
        if errors:
            raise RuntimeError("Error(s) in loading state_dict for {}:\n\t{}".format(
                type(self).__name__, "\n\t".join(errors)))
        return keys

    def _load_from_state_dict(self, state_dict: Any, prefix: str, local_metadata: dict,
                              strict: bool, missing_keys: list, unexpected_keys: list,
                              error_msgs: list) -> None:
        """Loads this module's own state, not its children's; subclasses override it to convert old
        versions."""
        for hook in self._load_state_dict_pre_hooks.values():
            hook(state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys,
                 error_msgs)

        own = {k: t for k, t in self._parameters.items() if t is not None}
        own.update((k, t) for k, t in self._buffers.items()
                   if t is not None and k not in self._non_persistent_buffers_set)
        assign = local_metadata.get("assign_to_params_buffers", False)
        for name, t in own.items():
            key = prefix + name
            if key in state_dict:
                _load_tensor(self, name, key, t, state_dict[key], assign, error_msgs)
            elif strict:
                missing_keys.append(key)

        extra_key = prefix + EXTRA_STATE
        if self._overrides("set_extra_state"):
            if extra_key in state_dict:
                self.set_extra_state(state_dict[extra_key])
            elif strict:
                missing_keys.append(extra_key)
        elif strict and extra_key in state_dict:
            unexpected_keys.append(extra_key)

        if strict:
            for key in state_dict:
                if key.startswith(prefix) and key != extra_key:
                    first, *rest = key[len(prefix):].split(".", 1)
                    if first not in (self._modules if rest else own):
                        unexpected_keys.append(key)

    # ---- hooks

    def _register_state_dict_hook(self, hook: Callable) -> RemovableHandle:
        """hook(module, state_dict, prefix, local_metadata) -> None or a new state dict."""
        if getattr(hook, "_from_public_api", False):
            raise RuntimeError("Cannot register the same function as the state dict post hook that "
                               "was previously registered via register_state_dict_post_hook")
        return add_hook(self._state_dict_hooks, hook)

    def register_state_dict_post_hook(self, hook: Callable) -> RemovableHandle:
        """hook(module, state_dict, prefix, local_metadata) -> None; may change state_dict in
        place."""
        hook._from_public_api = True        # type: ignore[attr-defined]
        return add_hook(self._state_dict_hooks, hook)

    def register_state_dict_pre_hook(self, hook: Callable) -> RemovableHandle:
        """hook(module, prefix, keep_vars) -> None runs before state_dict."""
        return add_hook(self._state_dict_pre_hooks, hook)

    def _register_load_state_dict_pre_hook(self, hook: Callable, with_module: bool = False
                                           ) -> RemovableHandle:
        wrapped = WrappedHook(hook, self if with_module else None)
        return add_hook(self._load_state_dict_pre_hooks, wrapped)

    def register_load_state_dict_pre_hook(self, hook: Callable) -> RemovableHandle:
        """hook(module, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys,
        error_msgs) -> None runs before this module loads its own state."""
        return self._register_load_state_dict_pre_hook(hook, with_module=True)

    def register_load_state_dict_post_hook(self, hook: Callable) -> RemovableHandle:
        """hook(module, incompatible_keys) -> None runs after loading; it may change the two
        lists."""
        return add_hook(self._load_state_dict_post_hooks, hook)


def _load(module: Any, state: Any, prefix: str, metadata: Any, assign: bool,
          keys: _IncompatibleKeys, errors: list) -> None:
    local = {} if metadata is None else metadata.get(prefix[:-1], {})
    if assign:
        local["assign_to_params_buffers"] = assign
    module._load_from_state_dict(state, prefix, local, True, keys.missing_keys,
                                 keys.unexpected_keys, errors)
    for name, child in module._modules.items():
        if child is not None:
            child_prefix = prefix + name + "."
            child_state = {k: v for k, v in state.items() if k.startswith(child_prefix)}
            _load(child, child_state, child_prefix, metadata, assign, keys, errors)
    for hook in module._load_state_dict_post_hooks.values():
        if hook(module, keys) is not None:
            raise AssertionError("Hooks registered with ``register_load_state_dict_post_hook`` are "
                                 "not expected to return new values, if incompatible_keys need to "
                                 "be modified, it should be done inplace.")


def _load_tensor(module: Any, name: str, key: str, t: Tensor, new: Any, assign: bool,
                 errors: list) -> None:
    """Copies `new` into parameter or buffer `name`, or puts it in its place; failures go to
    `errors`."""
    if not isinstance(new, Tensor):
        errors.append(f'While copying the parameter named "{key}", expected torch.Tensor or '
                      f"Tensor-like object from checkpoint but received {type(new)}")
        return
    if is_lazy(t):      # nothing to copy: a shaped `new` has given t its shape before
        return
    if t.shape == () and new.shape == (1,):     # checkpoints from before 0-d tensors
        new = new[0]
    if new.shape != t.shape:
        errors.append(f"size mismatch for {key}: copying a param with shape {new.shape} from "
                      f"checkpoint, the shape in current model is {t.shape}.")
        return
    try:
        with no_grad():
            if not assign:
                t.copy_(new)
            else:
                if isinstance(t, Parameter):
                    if isinstance(new, Parameter):
                        new.requires_grad_(t.requires_grad)
                    else:
                        new = Parameter(new, requires_grad=t.requires_grad)
                setattr(module, name, new)
                observe.changed(module, name)
    except Exception as error:
        errors.append(f'While copying the parameter named "{key}", whose dimensions in the model '
                      f"are {t.shape} and whose dimensions in the checkpoint are {new.shape}, an "
                      f"exception occurred : {error.args}.")
