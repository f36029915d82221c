"""Modules as functions of their parameters.
Source: https://pytorch.org/docs/stable/generated/torch.func.functional_call.html"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from ..core.tensor import Tensor
from ..functional import stack
from ..nn import Module


def functional_call(
    module: Module,
    parameter_and_buffer_dicts: dict | Sequence[dict],
    args: Any = None,
    kwargs: dict | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """module(*args, **kwargs) with the given tensors in place of its parameters and buffers.

    args: one argument or a tuple. tie_weights: names of one shared parameter get the same tensor.
    strict: RuntimeError for missing and unexpected names. The module is as before afterwards."""
    dicts = parameter_and_buffer_dicts
    if isinstance(dicts, dict):
        given = dict(dicts)
    elif isinstance(dicts, (list, tuple)):
        if not all(isinstance(d, dict) for d in dicts):
            raise ValueError(
                "Expected all elements of parameter_and_buffer_dicts to be dictionaries"
            )
        keys = [k for d in dicts for k in d]
        repeated = sorted({k for k in keys if keys.count(k) > 1}, key=keys.index)
        if repeated:
            raise ValueError(
                f"{repeated} appeared in multiple dictionaries; behavior of functional call is "
                "ambiguous"
            )
        given = {k: v for d in dicts for k, v in d.items()}
    else:
        raise ValueError(
            "Expected parameter_and_buffer_dicts to be a dict, or a list/tuple of dicts, but got "
            f"{type(dicts)}"
        )
    args = () if args is None else args if isinstance(args, tuple) else (args,)
    with _replaced(module, given, tie_weights, strict):
        return module(*args, **(kwargs or {}))


def _tied(module: Module) -> dict[str, list[str]]:
    """Name -> all names of the same parameter or buffer, for those with several."""
    groups: dict[int, list[str]] = {}
    for many in (module.named_parameters, module.named_buffers):
        for name, t in many(remove_duplicate=False):
            groups.setdefault(id(t), []).append(name)
    return {name: g for g in groups.values() if len(g) > 1 for name in g}


@contextlib.contextmanager
def _replaced(module: Module, given: dict, tie_weights: bool, strict: bool) -> Iterator[None]:
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


def stack_module_state(models: Sequence[Module]) -> tuple[dict, dict]:
    """(parameters, buffers) of modules of one class, stacked along a new first axis, for use with
    vmap and functional_call. The stacked parameters are new leaves."""
    models = list(models)
    if not models:
        raise RuntimeError("stack_module_state: Expected at least one model, got 0.")
    first = models[0]
    if any(m.training is not first.training for m in models):
        raise RuntimeError(
            "stack_module_state: Expected all models to have the same training/eval mode."
        )
    if any(type(m) is not type(first) for m in models):
        raise RuntimeError("stack_module_state: Expected all models to be of the same class.")
    parameters = {
        name: _stacked([dict(m.named_parameters())[name] for m in models])
        for name, _ in first.named_parameters()
    }
    buffers = {
        name: _stacked([dict(m.named_buffers())[name] for m in models])
        for name, _ in first.named_buffers()
    }
    return parameters, buffers


def _stacked(ts: list) -> Tensor:
    needs = ts[0].requires_grad
    if any(t.requires_grad != needs for t in ts):
        raise RuntimeError("Expected params from each model to have the same .requires_grad")
    return stack(ts, 0).detach().requires_grad_(needs)  # type: ignore[attr-defined]
