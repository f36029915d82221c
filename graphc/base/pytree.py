"""Nested containers: takes any nesting of tuples, lists, dicts, named tuples and dataclass
instances, gives its leaves and a spec that rebuilds it. Invariant: unflatten(flatten(x)) has x's
types."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable
from typing import Any


class Leaf:
    """The spec of one leaf."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "*"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Leaf)

    def __hash__(self) -> int:
        return 7


LEAF = Leaf()


@dataclasses.dataclass(frozen=True, slots=True)
class Spec:
    """The spec of one container: its type, what rebuilds it (keys or field names), its children."""

    type: type
    context: tuple
    children: tuple

    def __repr__(self) -> str:
        return (
            f"{self.type.__name__}{list(self.context) if self.context else ''}{list(self.children)}"
        )


def is_namedtuple(x: Any) -> bool:
    return isinstance(x, tuple) and hasattr(x, "_fields")


def _split(x: Any) -> tuple[tuple, Iterable] | None:
    t = type(x)
    if t is tuple or t is list:
        return (), x
    if t in (dict, OrderedDict, defaultdict):
        return tuple(x), x.values()
    if is_namedtuple(x):
        return x._fields, x
    if dataclasses.is_dataclass(x) and not isinstance(x, type):
        names = tuple(f.name for f in dataclasses.fields(x))
        return names, [getattr(x, n) for n in names]
    return None


def flatten(x: Any) -> tuple[list, Any]:
    """(leaves, spec) of a nested container, depth first."""
    leaves: list = []
    return leaves, _flatten(x, leaves)


def _flatten(x: Any, leaves: list) -> Any:
    parts = _split(x)
    if parts is None:
        leaves.append(x)
        return LEAF
    context, children = parts
    return Spec(type(x), context, tuple(_flatten(c, leaves) for c in children))


def unflatten(leaves: Iterable, spec: Any) -> Any:
    """The container of `spec` with `leaves` in flatten's order."""
    return _build(iter(leaves), spec)


def _build(it: Any, spec: Any) -> Any:
    if spec is LEAF or isinstance(spec, Leaf):
        return next(it)
    t = spec.type
    children = [_build(it, c) for c in spec.children]
    if t is tuple:
        return tuple(children)
    if t is list:
        return children
    if t is defaultdict:
        return defaultdict(None, zip(spec.context, children, strict=True))
    if t in (dict, OrderedDict):
        return t(zip(spec.context, children, strict=True))
    if issubclass(t, tuple):
        return t(*children)
    obj = object.__new__(t)
    for name, child in zip(spec.context, children, strict=True):
        object.__setattr__(obj, name, child)
    return obj


def tree_map(f: Callable, x: Any) -> Any:
    """x with f applied to every leaf."""
    leaves, spec = flatten(x)
    return unflatten([f(v) for v in leaves], spec)
