"""The graph behind gradients: its nodes, hooks on saved tensors, edges as arguments of grad().
Source: https://pytorch.org/docs/stable/autograd.html#autograd-graph"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from ..core import tape
from ..core.modes import STATE, no_grad
from ..core.tape import TapeEntry as Node
from ..core.tensor import Tensor

__all__ = [
    "GradientEdge",
    "Node",
    "allow_mutation_on_saved_tensors",
    "disable_saved_tensors_hooks",
    "get_gradient_edge",
    "increment_version",
    "register_multi_grad_hook",
    "save_on_cpu",
    "saved_tensors_hooks",
]


class saved_tensors_hooks:
    """Inside, tensors saved for backward go through pack(tensor); backward calls unpack(packed).
    https://pytorch.org/docs/stable/autograd.html#saved-tensors-hooks-doc"""

    def __init__(self, pack_hook: Callable[[Any], Any], unpack_hook: Callable[[Any], Any]):
        self.pair = (pack_hook, unpack_hook)

    def __enter__(self) -> None:
        if tape.hooks_disabled:
            raise RuntimeError(tape.hooks_disabled[-1])
        tape.saved_hooks.append(self.pair)

    def __exit__(self, *exc: Any) -> None:
        tape.saved_hooks.pop()


class save_on_cpu(saved_tensors_hooks):
    """Saved tensors are kept in the CPU's memory, where those of graphc are already."""

    def __init__(self, pin_memory: bool = False, device_type: str = "cuda"):
        def pack(t: Tensor) -> tuple:
            return t, t._storage.version

        def unpack(packed: tuple) -> Tensor:
            t, version = packed
            if t._storage.version != version:
                raise tape.Modified(t, version)
            return t

        super().__init__(pack, unpack)


@contextlib.contextmanager
def disable_saved_tensors_hooks(error_message: str) -> Iterator[None]:
    """Inside, entering saved_tensors_hooks raises RuntimeError(error_message)."""
    if tape.saved_hooks:
        raise RuntimeError(error_message)
    tape.hooks_disabled.append(error_message)
    try:
        yield
    finally:
        tape.hooks_disabled.pop()


@contextlib.contextmanager
def allow_mutation_on_saved_tensors() -> Iterator[None]:
    """Inside, what is saved for backward is copied, so that in-place writes to it are allowed."""

    def pack(t: Tensor) -> Tensor:
        with no_grad():
            return t.detach().clone()  # type: ignore[attr-defined]

    with saved_tensors_hooks(pack, lambda t: t):
        yield


class GradientEdge(NamedTuple):
    """Output `output_nr` of a node: stands for a tensor where gradients are asked for."""

    node: Any
    output_nr: int
    ownership_token: Any = None


def get_gradient_edge(tensor: Tensor) -> GradientEdge:
    """The edge that leads to a tensor's gradient. RuntimeError when it requires none."""
    if not tensor.requires_grad:
        raise RuntimeError(
            "It is not possible to get the gradient edge for a Tensor that does not require "
            "gradients"
        )
    fn = tensor.grad_fn
    if fn is None:
        return GradientEdge(tape.AccumulateGrad(tensor), 0)
    return GradientEdge(fn, tensor.output_nr)


def increment_version(tensor: Tensor | Iterable[Tensor]) -> None:
    """Says that a tensor's memory was written from outside: backward checks will see it."""
    for t in (tensor,) if isinstance(tensor, Tensor) else tensor:
        t._storage.version += 1


class _Handles:
    """Removes several hooks."""

    def __init__(self, handles: list):
        self.handles = handles

    def remove(self) -> None:
        for h in self.handles:
            h.remove()

    def __enter__(self) -> _Handles:
        return self

    def __exit__(self, *exc: Any) -> None:
        self.remove()


def register_multi_grad_hook(
    tensors: Sequence[Tensor], fn: Callable[[Any], None], *, mode: str = "all"
) -> _Handles:
    """fn(gradients) once all tensors that take part have theirs (None for the others), or with
    mode="any" fn(gradient) at the first one."""
    if mode not in ("all", "any"):
        raise ValueError(f"Expects mode to be one of ('all', 'any') but got {mode}")
    tensors = list(tensors)
    lock = threading.Lock()
    state: dict[str, Any] = {"run": None, "grads": [], "left": 0}

    def hook_of(i: int) -> Callable[[Tensor], None]:
        def hook(g: Tensor) -> None:
            with lock:
                run = STATE.run
                if state["run"] is not run:
                    on = [run.reaches(t) for t in tensors]
                    state.update(run=run, grads=[None] * len(tensors), left=sum(on))
                    state["first"] = True
                state["grads"][i] = g
                state["left"] -= 1
                first, state["first"] = state["first"], False
            if mode == "any":
                if first:
                    fn(g)
            elif state["left"] == 0:
                fn(state["grads"])

        return hook

    return _Handles([t.register_hook(hook_of(i)) for i, t in enumerate(tensors)])  # type: ignore
