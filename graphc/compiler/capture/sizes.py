"""Which sizes vary: takes the arguments of a call and those of an earlier capture, gives types with
symbols where they differ, so that the next program serves every size.

Invariant: a type given here, at the example sizes, is the argument's own; sizes 0 and 1 are never
symbols, and sizes that changed alike (equal before, equal now) are one symbol."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ...core.tensor import Tensor
from ...ir.index import Index, lower_int, of_symbol, size
from ...ir.types import TensorType, contiguous_strides
from .program import Captured


def varying(captured: Captured, leaves: list, spec: Any, again: bool = False) -> dict:
    """Leaf number -> type with symbols, for the arguments whose sizes differ from those that
    `captured` serves, or that it serves at any size; empty when something else differs as well, or
    (unless it has to be captured `again`) when no size does."""
    if spec != captured.arg_spec:
        return {}
    axes: list[tuple[int, int]] = []
    changed = False
    for i, (was, now) in enumerate(zip(captured.leaves, leaves, strict=True)):
        if not isinstance(was, Tensor) or not isinstance(now, Tensor):
            continue
        if was.ndim != now.ndim or was.dtype is not now.dtype or was._needs is not now._needs:
            return {}
        shape = captured.sizes[i].shape if i in captured.sizes else was.shape
        for d, (a, b) in enumerate(zip(shape, now.shape, strict=True)):
            if isinstance(a, Index) or a != b:
                axes.append((i, d))
                changed = changed or not isinstance(a, Index)
    return typed(leaves, axes, captured) if changed or again else {}


def typed(
    leaves: list, axes: Iterable[tuple[int, int]], captured: Captured | None = None
) -> dict[int, TensorType]:
    """Leaf number -> type with a symbol for each (leaf, axis) of `axes` whose size is above 1."""
    symbols: dict[tuple, Index] = {}
    shapes: dict[int, list] = {}
    for i, d in axes:
        now = leaves[i].shape[d]
        if now < 2 or 0 in leaves[i].shape:  # the strides of nothing are any
            continue
        key = (None if captured is None else _before(captured, i, d), now)
        if key not in symbols:
            symbols[key] = size(f"s{len(symbols)}", now)
        shapes.setdefault(i, list(leaves[i].shape))[d] = symbols[key]
    return {i: _type(leaves[i].type_, tuple(shape)) for i, shape in shapes.items()}


def merged(sizes: dict[int, TensorType], difference: Index) -> dict[int, TensorType]:
    """The types with one form for sizes whose `difference` is 0 in this call: one symbol instead of
    two, or constants for all symbols that take part."""
    found = sorted(difference.symbols(), key=lambda s: (len(s.name), s.name))
    values: dict = {s: s.hint for s in found}
    if len(found) == 2 and difference.same(of_symbol(found[0]) - of_symbol(found[1])):
        values = {found[1]: of_symbol(found[0])}
    if len(found) == 2 and difference.same(of_symbol(found[1]) - of_symbol(found[0])):
        values = {found[1]: of_symbol(found[0])}

    def put(x: Any) -> Any:
        return lower_int(x.substitute(values)) if isinstance(x, Index) else x

    out: dict[int, TensorType] = {}
    for i, t in sizes.items():
        shape, strides = tuple(map(put, t.shape)), tuple(map(put, t.strides))
        if any(isinstance(n, Index) for n in shape):
            out[i] = TensorType(shape, t.dtype, strides, t.device)
    return out


def _before(captured: Captured, i: int, d: int) -> Any:
    shape = captured.sizes[i].shape if i in captured.sizes else captured.leaves[i].shape
    n = shape[d]
    return n.key if isinstance(n, Index) else int(n)


def _type(meta: TensorType, shape: tuple) -> TensorType:
    """meta with another shape: strides that are products of sizes stay so, others stay ints."""
    if meta.strides == contiguous_strides(meta.shape):
        return TensorType(shape, meta.dtype, contiguous_strides(shape), meta.device)
    order = sorted(
        (d for d, n in enumerate(meta.shape) if n != 1), key=lambda d: (meta.strides[d], -d)
    )
    strides: list = list(meta.strides)
    step: Any = 1
    known = 1
    for d in order:
        if meta.strides[d] != known:
            return TensorType(shape, meta.dtype, meta.strides, meta.device)
        strides[d] = step
        step, known = step * shape[d], known * meta.shape[d]
    return TensorType(shape, meta.dtype, tuple(strides), meta.device)
