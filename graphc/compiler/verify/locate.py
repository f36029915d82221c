"""Locating a fault: takes one call of a compiled program that gave other bits than the interpreter,
gives the stage that is at fault and the smallest graph that shows it.

The graph after each pass is interpreted: the first pass whose graph gives other bits is at fault.
If none is, the program is built anew without the C compiler's optimiser, without memory sharing,
without fusion: what mends it is at fault, else lowering is. Invariant: the interpreter's bits over
the captured graph are right.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...base.errors import Origin
from ...ir.graph import Graph, Node
from ..capture.program import Captured
from ..interpret import InterpretedProgram
from ..interpret.shadow import Wrong, differences
from ..interpret.sizes import bind, symbols_of
from ..passes import pipeline
from .shrink import Case, Key, shrink

INTERPRETED, BUILT = 400, 60  # tests that shrinking may make


@dataclass(slots=True)
class Call:
    """One recorded call of a program: what went in, and what came out."""

    case: Case
    results: list
    final: dict[int, np.ndarray]  # updated slots
    symbolic: bool = False  # the program is one for every size; the case has this call's sizes

    def wrong(self) -> list[Wrong]:
        """The results and updates that differ from the interpreter's."""
        outputs, updates = self.case.expected()
        return list(differences(self.case.graph, self.results, self.final, outputs, updates))


class Recorder:
    """Builds programs whose calls are recorded. `build` is the facade's; `failed`: a graph that
    could not be built, and why."""

    def __init__(self, build: Callable[[Graph, dict, str], Any]):
        self._build = build
        self.graphs: list[Graph] = []
        self.calls: list[Call] = []
        self.failed: tuple[Graph, BaseException] | None = None

    def build(self, graph: Graph, settings: dict, name: str) -> Any:
        self.graphs.append(graph)
        try:
            program = self._build(graph, settings, name)
        except Exception as e:
            self.failed = (graph, e)
            raise
        self.failed = None
        return _Recorded(graph, program, self.calls)


class _Recorded:
    """A program whose calls are recorded."""

    def __init__(self, graph: Graph, program: Any, calls: list[Call]):
        self.graph, self.program, self.calls = graph, program, calls

    def __getattr__(self, name: str) -> Any:
        return getattr(self.program, name)

    def call(
        self, arrays: Sequence, scalars: Sequence = (), rng: Sequence = (), sizes: Sequence = ()
    ) -> list:
        graph = self.graph
        if sizes:
            graph = bind(graph, dict(zip(symbols_of(graph), sizes, strict=True)))
        case = Case(graph, [a.copy() for a in arrays], tuple(scalars), tuple(rng))
        results = self.program.call(arrays, scalars, rng, sizes)
        kept = [a.copy() if isinstance(a, np.ndarray) else a for a in results]
        final = {slot: arrays[slot].copy() for slot in self.graph.updates}
        self.calls.append(Call(case, kept, final, bool(sizes)))
        return results


@dataclass(slots=True)
class Fault:
    """What is wrong. stage: "pass", "memory", "fusion", "lowering", "compiler", "cache" or
    "capture"; name: of the pass, or of the ops; wrong: the first wrong value of `case`, which is
    the smallest one found."""

    stage: str
    name: str
    case: Case | None = None
    wrong: Wrong | None = None
    detail: str = ""
    nodes: int = 0  # of the whole graph

    @property
    def origin(self) -> Origin | None:
        """The user's line of the first wrong value."""
        return first_origin(self.case.graph, self.wrong.node) if self.case and self.wrong else None

    @property
    def sentence(self) -> str:
        return {
            "pass": f"the pass {self.name} is at fault",
            "memory": "the memory plan is at fault: without shared memory the bits are right",
            "fusion": "fusion is at fault: with a kernel for every value the bits are right",
            "lowering": f"the lowering of {self.name} is at fault",
            "compiler": "the C compiler's optimiser, or C that is not well defined, is at fault: "
            "with -O1 the bits are right",
            "cache": "the stored program is at fault: built anew it gives the right bits "
            "(python -m graphc cache clear)",
            "capture": f"the capture is at fault{': ' if self.name else ''}{self.name}",
        }[self.stage]


def first_origin(graph: Graph, node: Node) -> Origin | None:
    """The user's line of a node, or of the nearest value before it that has one."""
    todo = [node]
    while todo:
        n = todo.pop(0)
        if n.origin is not None:
            return n.origin
        todo += n.node_args
    return None


def locate(call: Call, build: Callable[..., Any]) -> Fault:
    """The fault behind a call with wrong results; `build(graph, skip=..., flags=...)` builds
    without the cache."""
    case = call.case

    def built(skip: Collection[str], flags: Sequence = ()) -> Callable[[Case], list[Wrong]]:
        return lambda c: _compared(c, lambda: build(c.graph, skip=skip, flags=flags))

    for k, (name, _) in enumerate(pipeline.PASSES):
        test = _after(k)
        if test(case):
            if isinstance(test(case)[0], str):
                return Fault("pass", name, case, None, str(test(case)[0]), len(case.graph))
            return _fault("pass", name, case, test, INTERPRETED)
    wrong = built(())
    if not wrong(case):
        if call.symbolic:
            name = "symbolic sizes"
            return Fault("lowering", name, case, call.wrong()[0], "", len(case.graph))
        return Fault("cache", "", case, call.wrong()[0], "", len(case.graph))
    for stage, skip, flags in (
        ("compiler", (), ("-O1",)),
        ("memory", ("memory",), ()),
        ("fusion", ("fuse", "memory"), ()),
    ):
        right = built(skip, flags)
        if not right(case):
            return _fault(stage, "", case, wrong, BUILT, right)
    return _fault("lowering", "", case, wrong, BUILT)


def _fault(
    stage: str,
    name: str,
    case: Case,
    test: Callable[[Case], list],
    budget: int,
    right: Callable[[Case], list] | None = None,
) -> Fault:
    """The fault with its case shrunk; what mended the whole case has to mend the small one too."""

    def fails(c: Case) -> list[Key]:
        wrong = test(c)
        if wrong and right and right(c):
            return []
        return [w.key if isinstance(w, Wrong) else ("error", 0) for w in wrong]

    small = shrink(case, fails, budget)
    found = test(small)
    ops = dict.fromkeys(n.op.name for n in small.graph.nodes if n.op is not None)
    first = found[0] if found and isinstance(found[0], Wrong) else None
    return Fault(stage, name or " and ".join(ops), small, first, "", len(case.graph))


def _after(k: int) -> Callable[[Case], list]:
    """The test of pass number k: what is wrong after it, the graph before it being right."""

    def test(case: Case) -> list:
        graph = case.graph
        try:
            for _, function in pipeline.PASSES[:k]:
                graph = function(graph)
        except Exception:  # noqa: BLE001  (then it is not this pass that is at fault)
            return []
        try:
            graph = pipeline.PASSES[k][1](graph)
            return _compared(case, lambda: InterpretedProgram(graph))
        except Exception as e:  # noqa: BLE001  (a pass that raises is at fault, too)
            return [f"it raises {type(e).__name__}: {e}"]

    return test


def _compared(case: Case, make: Callable[[], Any]) -> list[Wrong]:
    """What a program for the case gives otherwise than the interpreter."""
    outputs, updates = case.expected()
    arrays = [a.copy() for a in case.arrays]
    results = make().call(arrays, case.scalars, case.rng)
    return list(differences(case.graph, results, dict(enumerate(arrays)), outputs, updates))


# ---------------------------------------------------------------- capture


def captured_value(captured: Captured, key: tuple, tensors: dict[str, Any]) -> Node | None:
    """The node of a capture that a mismatch speaks of: ("result", number) or ("state", path)."""
    graph, k = captured.graph, None
    if key[0] == "result":
        k = _output(captured.results[key[1]])
    elif key[0] == "state" and key[1].endswith(".grad"):
        t = tensors.get(key[1].removesuffix(".grad"))
        for source, made in captured.grads:
            if _is(captured, source, t):
                k = _output(made)
    elif key[0] == "state":
        for slot, source in enumerate(captured.sources):
            if slot in graph.updates and _is(captured, source, tensors.get(key[1])):
                return graph.updates[slot]
    node = None if k is None else graph.outputs[k]
    return node if isinstance(node, Node) else None


def _output(made: Any) -> int | None:
    base = getattr(made, "base", None)
    return base[1] if base is not None and base[0] == "out" else None


def _is(captured: Captured, source: Any, t: Any) -> bool:
    if t is None:
        return False
    return source.ref is t if source.kind == "held" else (
        source.kind == "arg" and captured.leaves[source.ref] is t
    )  # fmt: skip


__all__ = ["Call", "Fault", "Recorder", "captured_value", "locate"]
