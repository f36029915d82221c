"""Eager traces: takes a call, gives every operation that it runs with its operands and results, and
the first one whose captured form gives other bits. Invariant: a trace owns copies only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ...base.errors import Origin, user_origin
from ...core.modes import STATE
from ...core.nonfinite import Watch
from ...core.tensor import Tensor, wrap
from ...ir.graph import Graph, Node
from ...ir.op import Op
from ..interpret.shadow import Wrong, differing
from .locate import Fault
from .shrink import Case

MOST = 5000  # operations that are looked at


class Step(NamedTuple):
    """One operation: tensors are copied, numbers as they are."""

    op: Op
    inputs: tuple
    attrs: tuple
    results: tuple
    origin: Origin | None


class _Trace(Watch):
    """Collects the operations, also those inside of VJPs."""

    whole = False

    def __init__(self) -> None:
        super().__init__(False, False)
        self.steps: list[Step] = []

    def ran(self, op: Op, inputs: tuple, attrs: tuple, out: Any) -> None:
        if len(self.steps) < MOST:
            outs = out if type(out) is tuple else (out,)
            self.steps.append(
                Step(op, tuple(map(_copy, inputs)), attrs, tuple(map(_copy, outs)), user_origin(2))
            )


def _copy(x: Any) -> Any:
    """A tensor of its own with the same layout; anything else as it is."""
    if not isinstance(x, Tensor):
        return x
    from ...ops.movement import _restride_kernel

    a = x._array
    return wrap(_restride_kernel(a, x.type_.strides if a.size else None), x.dtype)


def traced(call: Callable[[], Any]) -> list[Step]:
    """The operations of a call; an error ends the trace."""
    trace = _Trace()
    previous, STATE.watch = STATE.watch, trace
    try:
        call()
    except Exception:  # noqa: BLE001  (the outcomes have shown it already)
        pass
    finally:
        STATE.watch = previous
    return trace.steps


def faulty_op(steps: list[Step], compiled: Callable[[Callable], Any]) -> Fault | None:
    """The first operation that, captured alone, gives other bits than eagerly."""
    for step in steps:
        tensors = [x for x in step.inputs if isinstance(x, Tensor)]
        run = compiled(lambda *ts, step=step: _again(step, ts))
        try:
            found = run(*tensors)
        except Exception:  # noqa: BLE001  (not every operation can be captured alone)
            continue
        for i, (a, b) in enumerate(zip(step.results, found, strict=True)):
            if not isinstance(a, Tensor):
                continue
            same = _layout(a) == _layout(b)
            if not same or differing(a._array, b._array).any():
                return _fault(step, tensors, i, b._array, a._array)
    return None


def _layout(t: Tensor) -> tuple:
    """Shape, dtype, and strides where they mean something."""
    strides = [0 if n == 1 else s for n, s in zip(t.shape, t.stride(), strict=True)]
    return tuple(t.shape), t.dtype, strides


def _again(step: Step, tensors: tuple) -> tuple:
    left = iter(tensors)
    inputs = [next(left) if isinstance(x, Tensor) else x for x in step.inputs]
    from ...core import dispatch

    out = dispatch.apply(step.op, tuple(inputs), step.attrs)
    return out if type(out) is tuple else (out,)


def _fault(step: Step, tensors: list, i: int, found: np.ndarray, expected: np.ndarray) -> Fault:
    """A graph of that operation alone (composites, too: it is for the script only)."""
    graph = Graph()
    nodes = iter([graph.input(t.type_) for t in tensors])
    args = tuple(next(nodes) if isinstance(x, Tensor) else x for x in step.inputs)
    results = [t.type_ for t in step.results if isinstance(t, Tensor)]
    type: Any = results[0] if len(step.results) == 1 else tuple(results)
    node: Node = graph.add(step.op, args, step.attrs, type, step.origin)
    graph.outputs = [node if len(step.results) == 1 else graph.output_of(node, i)]
    case = Case(graph, [t._array for t in tensors], (), ())
    wrong = None
    if (
        found.shape == expected.shape
        and found.dtype == expected.dtype
        and (differing(found, expected).any())
    ):
        wrong = Wrong(("out", 0), graph.outputs[0], found, expected)
    name = f"{step.op.name} gives other bits captured than eagerly"
    return Fault("capture", name, case, wrong, "", 1)
