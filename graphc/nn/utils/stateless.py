"""Calls of a module with other tensors in place of its parameters and buffers.

Takes a module and tensors by name, gives the call's result. Invariant: the module is as before
afterwards, also when the call raises.
https://docs.pytorch.org/docs/stable/generated/torch.func.functional_call.html
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from ...core.tensor import Tensor
from ..modules.module import Module


def functional_call(
    module: Module,
    parameters_and_buffers: dict[str, Tensor],
    args: Any = None,
    kwargs: dict[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """module(*args, **kwargs) with the given tensors.

    args: one argument or a tuple. tie_weights: names of one shared parameter get the same tensor.
    strict: RuntimeError for missing and unexpected names."""
    args = () if args is None else args if isinstance(args, tuple) else (args,)
    with _reparametrize_module(module, dict(parameters_and_buffers), tie_weights, strict):
        return module(*args, **(kwargs or {}))


def _tied(module: Module) -> dict[str, list[str]]:
    """Name -> all names of the same parameter or buffer, for those with several."""
    groups: dict[int, list[str]] = {}
    for many in (module.named_parameters, module.named_buffers):
        for name, t in many(remove_duplicate=False):
            groups.setdefault(id(t), []).append(name)
    return {name: g for g in groups.values() if len(g) > 1 for name in g}


@contextlib.contextmanager
def _reparametrize_module(
    module: Module, given: dict, tie_weights: bool = False, strict: bool = False
) -> Iterator[None]:
    if tie_weights:
        for group in _tied(module).values():
            named = [n for n in group if n in given]
            if len({id(given[n]) for n in named}) > 1:
                raise ValueError(
                    f"functional_call got multiple values for keys {group}, which are tied. "
                    "Consider using tie_weights=False"
                )
            if named:
                given.update({n: given[named[0]] for n in group})
    known = [n for n, _ in module.named_parameters(remove_duplicate=False)]
    known += [n for n, _ in module.named_buffers(remove_duplicate=False)]
    if strict:
        _check_names(module, given, known)
    undo: list = []
    try:
        for name, value in given.items():
            if name not in known:
                continue
            path, _, last = name.rpartition(".")
            owner = module.get_submodule(path)
            held = owner._parameters if last in owner._parameters else owner._buffers
            if value is not None and not isinstance(value, Tensor):
                raise TypeError(f"{value} is not an instance of torch.Tensor")
            undo.append((held, last, held[last]))
            held[last] = value
        yield
    finally:
        for held, last, old in reversed(undo):
            held[last] = old


def _check_names(module: Module, given: dict, known: list[str]) -> None:
    unexpected = [n for n in given if n not in known]
    missing = [n for n in known if n not in given]
    text = ""
    if unexpected:
        text += "\n\tUnexpected key(s): " + ", ".join(f"'{n}'" for n in unexpected) + "."
    if missing:
        text += "\n\tMissing key(s): " + ", ".join(f"'{n}'" for n in missing) + "."
    if text:
        raise RuntimeError(f"Error(s) in reparametrizing for {type(module).__name__}:{text}")
