"""The graph interpreter: takes a Graph and arrays, runs every node through the eager kernels,
gives arrays.

It is the oracle of compiled programs, runs them where there is no C compiler, and differentiates
them twice (`evaluate` works on Tensors, so the tape can record it). Invariant: what it gives are
eager mode's bits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...core import dispatch
from ...core.modes import STATE
from ...core.tensor import Tensor, wrap
from ...ir.graph import Draw, Graph, Node, Scalar
from ...ir.types import TensorType
from .sizes import bind, symbols_of


def evaluate(
    graph: Graph,
    inputs: Sequence[Tensor],
    scalars: Sequence[float] = (),
    rng: Sequence[tuple[int, int]] = (),
    watch: Callable | None = None,
) -> dict[int, Tensor]:
    """Node id -> Tensor for every node of the graph. `watch(node, tensor)` sees each value as it
    is made."""
    env: dict[int, Any] = {n.id: t for n, t in zip(graph.inputs, inputs, strict=True)}
    for n in graph.nodes:
        if n.is_output_of:
            value = env[n.args[0].id][n.attrs[1]]
        else:
            value = _apply(n, env, scalars, rng)
        env[n.id] = value
        if watch is not None:
            watch(n, value)
    return env


def _apply(n: Node, env: dict, scalars: Sequence[float], rng: Sequence[tuple[int, int]]) -> Any:
    op: Any = n.op
    args: tuple[Any, ...] = tuple(
        [
            env[a.id]
            if isinstance(a, Node)
            else float(scalars[a.index])
            if isinstance(a, Scalar)
            else a
            for a in n.args
        ]
    )
    attrs = tuple([_position(a, rng) if isinstance(a, Draw) else a for a in n.attrs])
    if op.extra.get("windowed"):
        # its attributes are memory positions: lay the operand out as its type says
        args = (_as_typed(args[0], n.args[0].type), *args[1:])
    try:
        return dispatch.apply(op, args, attrs)
    except RuntimeError:
        if not op.view:
            raise
    # after an in-place write a value may lie otherwise than the tensor that was viewed: only logic
    # counts
    from ...ops.movement import contiguous

    return dispatch.apply(op, (contiguous(args[0]), *args[1:]), attrs)


def _as_typed(t: Tensor, type: TensorType) -> Tensor:
    if t.type_.strides == type.strides:
        return t
    from ...ir.op import get

    return get("clone")(t, type.strides)


def _position(d: Draw, rng: Sequence[tuple[int, int]]) -> tuple[int, int]:
    seed, start = rng[d.slot]
    return seed, start + d.offset


def run(
    graph: Graph,
    arrays: Sequence[np.ndarray],
    scalars: Sequence[float] = (),
    rng: Sequence[tuple[int, int]] = (),
    watch: Callable | None = None,
) -> tuple[list[np.ndarray], dict[int, np.ndarray]]:
    """(output arrays with the recorded strides in memory of their own, {input slot: new contents}).

    Nothing is written into `arrays`. Raises the errors of eager mode."""
    tracer, grad, inference, seen_by = STATE.tracer, STATE.grad, STATE.inference, STATE.watch
    STATE.tracer, STATE.grad, STATE.inference, STATE.watch = None, False, False, None
    try:
        inputs = [wrap(a, n.type.dtype) for a, n in zip(arrays, graph.inputs, strict=True)]
        env = evaluate(graph, inputs, scalars, rng, watch)
        outputs = [
            _delivered(env[o.id]._array, o.type) if isinstance(o, Node) else o
            for o in graph.outputs
        ]
        updates = {slot: np.array(env[n.id]._array) for slot, n in graph.updates.items()}
    finally:
        STATE.tracer, STATE.grad, STATE.inference, STATE.watch = tracer, grad, inference, seen_by
    return outputs, updates


def _delivered(a: np.ndarray, type: TensorType) -> np.ndarray:
    """A copy of a in fresh memory laid out as its type says."""
    from ...ops.movement import _restride_kernel

    return _restride_kernel(a, type.strides if a.size else None)


class InterpretedProgram:
    """A Graph behind the interface of compiled programs: what runs where nothing can be
    compiled."""

    def __init__(self, graph: Graph):
        self.graph_before = self.graph_after = graph
        self.kernels: list = []
        self.source = ""
        self.memory = None
        self.why_not_fused: list = []
        self.symbols = list(symbols_of(graph))
        self.assumes: list = []

    def call(
        self,
        arrays: Sequence[np.ndarray],
        scalars: Sequence[float] = (),
        rng: Sequence[tuple[int, int]] = (),
        sizes: Sequence[int] = (),
    ) -> list[np.ndarray]:
        """Output arrays; updates are written into the input arrays at the end. An operator's error
        becomes a ProgramError, as in compiled code, with nothing written."""
        try:
            graph = bind(self.graph_before, dict(zip(self.symbols, sizes, strict=True)))
            outputs, updates = run(graph, arrays, scalars, rng)
        except (RuntimeError, IndexError, ValueError) as e:
            from ..program import ProgramError

            raise ProgramError(1, str(e)) from e
        for slot, value in updates.items():
            np.copyto(arrays[slot], value)
        return outputs


__all__ = ["InterpretedProgram", "evaluate", "run"]
