"""Tangents beside values: dual_level, make_dual, unpack_dual. A tensor and its tangent in, the
tangent of whatever was computed from it out.

A tangent is found when it is unpacked, as the derivative of the vector-Jacobian product by its
vector; so a dual tensor requires gradients inside graphc (PyTorch's does not), and `no_grad` inside
a level is an error. Invariant: what unpack_dual gives has the history of what was recorded, and
after the level nothing of it.
https://pytorch.org/tutorials/intermediate/forward_ad_usage.html"""

from __future__ import annotations

from typing import Any, NamedTuple

from ..core import tape
from ..core.modes import STATE
from ..core.tensor import Tensor
from ..creation import zeros_like
from .api import grad

_levels: list[_Level] = []


class _Level:
    """What is dual inside one level: (the tensor that operators see, primal, tangent)."""

    def __init__(self) -> None:
        self.duals: list[tuple[Tensor, Tensor, Tensor]] = []
        self.grad = STATE.grad


class UnpackedDualTensor(NamedTuple):
    """A value and its tangent (None where it depends on no dual tensor)."""

    primal: Tensor
    tangent: Tensor | None


def enter_dual_level() -> int:
    """Starts a level. RuntimeError inside another one."""
    if _levels:
        raise RuntimeError("Nested forward mode AD is not supported at the moment")
    _levels.append(_Level())
    STATE.grad, STATE.forward_ad = True, True
    return 0


def exit_dual_level(*, level: int | None = None) -> None:
    """Ends the level; tangents that were not unpacked are gone."""
    if not _levels:
        raise RuntimeError("Dual level must be a positive number.")
    if level not in (None, 0):
        raise RuntimeError(
            "Trying to exit a forward AD level that was not the last one that was created. This is "
            "not supported."
        )
    STATE.grad, STATE.forward_ad = _levels.pop().grad, False


class dual_level:
    """A level as a context manager."""

    def __enter__(self) -> int:
        return enter_dual_level()

    def __exit__(self, *exc: Any) -> None:
        exit_dual_level()


def make_dual(tensor: Tensor, tangent: Tensor, *, level: int | None = None) -> Tensor:
    """The tensor with a tangent. RuntimeError outside of a level and for another shape, ValueError
    for integers."""
    if not _levels:
        raise RuntimeError(
            "Trying to create a dual Tensor for forward AD but no level exists, make sure to "
            "enter_dual_level() first."
        )
    for name, t in (("primal", tensor), ("tangent", tangent)):
        if not (t.dtype.is_floating_point or t.dtype.is_complex):
            raise ValueError(f"Expected {name} to be floating point or complex, but got: {t.dtype}")
    if tuple(tangent.shape) != tuple(tensor.shape):
        raise RuntimeError(
            "Trying to set a forward gradient that has a different size than that of the original "
            f"Tensor, this is not supported. Tensor is of size {list(tensor.shape)} while the "
            f"given forward gradient is of size {list(tangent.shape)}."
        )
    if any(d is tensor for d, _, _ in _levels[-1].duals):
        raise RuntimeError(
            "Making a dual Tensor based on a Tensor that already has a forward gradient at the "
            "same level 0 is not supported."
        )
    seen: Any = tensor.view_as(tensor) if tensor.requires_grad else tensor.detach()
    if not seen.requires_grad:
        seen.requires_grad_()
    _levels[-1].duals.append((seen, tensor, tangent))
    return seen


def unpack_dual(tensor: Tensor, *, level: int | None = None) -> UnpackedDualTensor:
    """(value, tangent) of a tensor; outside of a level the tangent is None."""
    if not _levels or not tensor.requires_grad:
        return UnpackedDualTensor(tensor, None)
    duals = _levels[-1].duals
    for seen, primal, tangent in duals:
        if seen is tensor:
            return UnpackedDualTensor(primal, tangent)
    if not duals:
        return UnpackedDualTensor(tensor, None)
    vector = zeros_like(tensor).requires_grad_()
    inputs = tuple([seen for seen, _, _ in duals])
    found = grad(tensor, inputs, vector, create_graph=True, allow_unused=True)
    pairs = [(g, t) for g, (_, _, t) in zip(found, duals, strict=True) if g is not None]
    if not pairs:
        return UnpackedDualTensor(tensor, None)
    live = [(g, t.to(g.dtype)) for g, t in pairs if g.requires_grad]
    mixed = _has_other_leaves(tensor, inputs)
    found_tangent: Any = None
    if live:
        gs, ts = zip(*live, strict=True)
        (found_tangent,) = grad(gs, vector, ts, create_graph=mixed, allow_unused=True)
    tangent = zeros_like(tensor) if found_tangent is None else found_tangent
    if not mixed:
        return UnpackedDualTensor(tensor.detach(), tangent.detach())
    return UnpackedDualTensor(tensor, tangent)


def _has_other_leaves(tensor: Tensor, duals: tuple) -> bool:
    """Whether a tensor has a history beside that by dual tensors."""
    if any(d.grad_fn is not None for d in duals):
        return True
    own = {id(d) for d in duals}
    todo, seen = [tensor.grad_fn], set()
    while todo:
        node = todo.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if isinstance(node, tape.AccumulateGrad):
            if id(node.variable) not in own:
                return True
            continue
        todo += [n for n, _ in node.next_functions]
    return False
