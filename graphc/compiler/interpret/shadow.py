"""Shadow mode (GRAPHC_CHECK=1): takes a program and its graph, gives a program that runs both,
natively and node by node through the eager kernels, and compares the bits. Invariant: a call that
returns had no difference; NaNs count as one value, as everywhere in the contract."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from ...base.errors import GraphcError, Origin
from ...ir.graph import Graph, Node
from . import run
from .sizes import bind, symbols_of


class Difference(GraphcError):
    """Compiled code and eager kernels gave different bits."""


class Shadow:
    """A program whose every call is checked. Everything but `call` is the program's own."""

    def __init__(self, graph: Graph, program: Any):
        self.graph, self.program = graph, program
        self.sizes = list(symbols_of(graph))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.program, name)

    def call(
        self,
        arrays: Sequence[np.ndarray],
        scalars: Sequence[float] = (),
        rng: Sequence[tuple[int, int]] = (),
        sizes: Sequence[int] = (),
    ) -> list:
        """The program's results. Raises Difference at the first one whose bits are not eager
        mode's; inputs that the program updates have been written by then."""
        try:
            graph = bind(self.graph, dict(zip(self.sizes, sizes, strict=True)))
            outputs, updates = run(graph, arrays, scalars, rng)
        # noqa: BLE001  (eager mode's own error, which the program reports as well)
        except Exception:
            self.program.call(arrays, scalars, rng, sizes)
            raise
        results = self.program.call(arrays, scalars, rng, sizes)
        for wrong in differences(self.graph, results, dict(enumerate(arrays)), outputs, updates):
            origin: Origin | None = wrong.node.origin
            raise Difference(
                f"{origin.describe() if origin else 'compiled code'}\n"
                f"{wrong.what} ({wrong.node}: {wrong.node.type}) has other bits than in eager "
                f"mode: {describe(wrong.found, wrong.expected)}"
            )
        return results


class Wrong(NamedTuple):
    """One result or update with other bits. key: ("out", number) or ("update", slot)."""

    key: tuple[str, int]
    node: Node
    found: np.ndarray
    expected: np.ndarray

    @property
    def what(self) -> str:
        kind, i = self.key
        return f"result {i}" if kind == "out" else f"the update of in{i}"


def differences(
    graph: Graph, results: Sequence, final: Any, outputs: Sequence, updates: dict
) -> Iterator[Wrong]:
    """The results, and the updated inputs in `final` (by slot), that differ from the interpreter's
    outputs and updates."""
    for i, (node, expected) in enumerate(zip(graph.outputs, outputs, strict=True)):
        if isinstance(node, Node) and differing(results[i], expected).any():
            yield Wrong(("out", i), node, results[i], expected)
    for slot, expected in updates.items():
        if differing(final[slot], expected).any():
            yield Wrong(("update", slot), graph.updates[slot], final[slot], expected)


def describe(found: np.ndarray, expected: np.ndarray) -> str:
    """How many elements of two arrays differ, and the first of them."""
    wrong = differing(found, expected)
    at = tuple(int(i) for i in np.argwhere(wrong)[0])
    return (
        f"{int(wrong.sum())} of {wrong.size} elements, the first at {list(at)} is {found[at]!r} "
        f"where eager mode gives {expected[at]!r}"
    )


def differing(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Where two arrays of one dtype and shape differ in bits, all NaNs being one value."""
    x, y = np.ascontiguousarray(a), np.ascontiguousarray(b)
    words = x.dtype.itemsize
    unequal = (x.view(np.uint8).reshape(-1, words) != y.view(np.uint8).reshape(-1, words)).any(1)
    unequal = unequal.reshape(a.shape)
    if a.dtype.kind in "fcV":
        unequal &= ~(np.isnan(a) & np.isnan(b))
    return unequal
