"""The cold path: takes a captured Graph, gives the record, the C source and the opaque steps of a
program.

Passes, fusion, memory plan, lowering, printing, in this order. Invariant: imports of networkx and
jinja2 happen below this module only.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection
from typing import Any

import numpy as np

from ..base.config import config
from ..ir.graph import Graph, Node
from ..ir.index import (
    Index,
    SizesEqual,
    Symbol,
    as_index,
    observing,
    relation,
)
from ..ir.loop import Buffer, Expr, IndexValue
from ..ir.text import graph_text, stmt_text
from .codegen.program import Writer, pointer_of
from .inspect.views import describe, memory_text
from .interpret.sizes import symbols_of
from .lower.calls import copy_kernel
from .lower.kernel import Kernel, Place
from .lower.loops import Lowering
from .passes import pipeline
from .passes.fuse import Group, Plan, fuse
from .passes.memory import Assignment, Layout, assign, layout, schedule


def compile_graph(
    graph: Graph, name: str = "program", skip: Collection[str] = ()
) -> tuple[dict, str, dict, list[str]]:
    """(record, C source, {segment: function that runs the opaque operators after it}, the source in
    pieces to compile side by side or []), without the passes named in `skip`. What was decided by
    the example values of symbolic sizes stands in the record, under "assumes"; raises SizesEqual
    where that was an equality."""
    assumed: dict[str, bool] = {}

    def decided(sign: str, left: Index, right: Any, outcome: bool) -> None:
        if sign == "==" and outcome:
            raise SizesEqual(left - right)
        assumed[relation(left, sign, right)] = outcome

    with observing(decided):
        found = _compile_graph(graph, name, skip)
    found[0]["assumes"] = list(assumed.items())
    return found


def _compile_graph(graph: Graph, name: str, skip: Collection[str]) -> tuple:
    before = graph_text(graph)
    graph = pipeline.run(graph, skip=skip)
    plan = fuse(graph, "fuse" not in skip)
    schedule(graph, plan)
    memory = assign(graph, plan, "memory" not in skip)
    slots = size_slots(graph)
    segments, kernels_of = lower(graph, plan, memory)
    if config.debug >= 4:
        _print_loops(segments)
    arena = layout({**memory.arena, **_scratch(kernels_of)})
    address = addresses(memory, arena)
    infos, comments = [], {}
    for g in plan.groups:
        for k in kernels_of.get(g.id, ()):
            comments[k] = _comment(g, k, memory)
    writer = Writer(
        name,
        segments,
        address,
        slots,
        comments,
        _summary(graph, plan, arena),
        {n for n in arena.offsets},
        timed=config.debug >= 2,
    )
    writer.arena_slot = len(memory.inputs) + len(memory.outputs)
    source = writer.write()
    for g in plan.groups:
        for k in kernels_of.get(g.id, ()):
            info = describe(k.name, g, k, memory.places)
            info.source = (
                writer.final(k, comments[k])
                if k in source.functions
                else writer.calls[k]
            )
            infos.append(info)
    record = {
        "name": name,
        "messages": source.messages,
        "before": before,
        "after": groups_text(graph, plan),
        "memory": memory_text(arena, memory.inputs, memory.outputs, memory.in_place, memory.notes),
        "inputs": len(memory.inputs),
        "results": len(graph.outputs),
        "outputs": [(i, spec(n)) for i, _, n in memory.outputs],
        "symbols": [s for s in slots if not s.startswith(("seed", "offset"))],
        "scalars": _scalar_count(graph),
        "draws": _draw_count(graph),
        "segments": len(segments),
        "functions": list(writer.natives),
        "arena": _python(arena.size),
        "kernels": [i.record() for i in infos],
        "refused": [
            (r.producer, r.consumer, r.reason, str(r.origin) if r.origin else "")
            for r in plan.refused
        ],
        "steps": [[k.name for k in batch] for batch in writer.steps],
        "opaque": any(g.kind == "opaque" for g in plan.groups),
    }
    return record, source.text, _opaque_steps(graph, plan, memory, arena), source.pieces


def _print_loops(segments: list[list[Kernel]]) -> None:
    for kernels in segments:
        for k in kernels:
            print(f"-- {k.name} ({k.form}, {k.extent} rows)", file=sys.stderr)
            if k.body:
                print(stmt_text(k.body, 1), file=sys.stderr)


# ---------------------------------------------------------------- sizes, scalars, draws


def size_slots(graph: Graph) -> dict[str, int]:
    """Symbol name -> position in `sizes`: symbolic sizes by name, then seed and offset per
    generator."""
    slots = {s: i for i, s in enumerate(symbols_of(graph))}
    for k in range(_draw_count(graph)):
        slots[f"seed{k}"] = len(slots)
        slots[f"offset{k}"] = len(slots)
    return slots


def _draw_count(graph: Graph) -> int:
    return max(graph.draws, default=-1) + 1


def _scalar_count(graph: Graph) -> int:
    from ..ir.graph import Scalar

    return (
        max((a.index for n in graph.nodes for a in n.args if isinstance(a, Scalar)), default=-1) + 1
    )


def seeds(slot: int) -> tuple[Expr, Expr]:
    """Seed and start offset of a generator slot as expressions."""
    return tuple(
        IndexValue(Index({(Symbol(f"{w}{slot}", 0, None, None, "size"),): 1}))  # type: ignore
        for w in ("seed", "offset")
    )


# ---------------------------------------------------------------- lowering of all groups


def lower(graph: Graph, plan: Plan, memory: Assignment) -> tuple[list[list[Kernel]], dict]:
    """Kernels per segment, and per group id."""
    updated = frozenset(memory.inputs[s].name for s in memory.in_place)
    results: dict[int, dict[int, Node]] = {}
    for n in graph.nodes:
        if n.is_output_of:
            results.setdefault(n.args[0].id, {})[n.attrs[1]] = n
    low = Lowering(memory.places, set(plan.units), seeds, updated, results)
    segments: list[list[Kernel]] = [[]]
    by_group: dict[int, list[Kernel]] = {}
    for g in plan.groups:
        if g.kind == "opaque":
            if not any(u.node.is_output_of for u in g.units):
                segments.append([])
            continue
        if g.units[0].node.is_output_of:
            continue  # its call writes it
        found = [k for k in low.kernels(g) if not _empty(k)]
        by_group[g.id] = found
        segments[-1] += found
    commits = [_commit(graph, memory, i, n, slot) for i, (n, slot) in enumerate(memory.commits)]
    segments[-1] += commits
    return segments, by_group


def _empty(k: Kernel) -> bool:
    return as_index(k.extent).constant == 0


def _commit(graph: Graph, memory: Assignment, i: int, node_id: int, slot: int) -> Kernel:
    """The copy of a finished update into its input."""
    node = graph.inputs[slot]
    target = Place(memory.inputs[slot], node.type.strides)
    return copy_kernel(f"commit{i}", node.shape, memory.places[node_id][0], target)


def _scratch(kernels_of: dict) -> dict[str, tuple[Buffer, int, int]]:
    out = {}
    for g, kernels in kernels_of.items():
        for k in kernels:
            for b in k.scratch:
                out[b.name] = (b, g, g)
    return out


def addresses(memory: Assignment, arena: Layout) -> dict[str, str]:
    """Buffer name -> C expression of its address in `run`."""
    out = {b.name: f"buffers[{i}]" for i, b in enumerate(memory.inputs)}
    for j, (_, b, _) in enumerate(memory.outputs):
        out[b.name] = f"buffers[{len(memory.inputs) + j}]"
    for name, offset in arena.offsets.items():
        out[name] = f"arena + {pointer_of(offset)}"
    return out


# ---------------------------------------------------------------- texts


def _summary(graph: Graph, plan: Plan, arena: Layout) -> list[str]:
    return [
        f"{len(graph.nodes)} operations in {len(plan.groups)} kernels, arena of {arena.size} bytes"
    ]


def _comment(g: Group, k: Kernel, memory: Assignment) -> list[str]:
    from .inspect.views import quantity

    info = describe(k.name, g, k, memory.places)
    lines = [f"{k.name}: {', '.join(info.ops) or 'copy'}"]
    lines += [f"  {f.rsplit('/', 1)[-1]}:{n}: {text}" for f, n, text in info.lines]
    work = f", {quantity(info.flops, 'FLOP')}" if g.kind != "native" else ""  # nobody counts those
    lines.append(f"  gives {', '.join(info.shapes)}; {quantity(info.bytes, 'B')} moved{work}")
    return lines


def groups_text(graph: Graph, plan: Plan) -> str:
    """The graph after fusion: kernels with their nodes."""
    names = {n.id: f"in{i}" for i, n in enumerate(graph.inputs)}
    for i, n in enumerate(graph.nodes):
        names[n.id] = f"%{i}"
    from ..ir.text import _node_line

    lines = [f"{names[n.id]}: {n.type}" for n in graph.inputs]
    for g in plan.groups:
        stored = {u.node.id for u in g.stored}
        lines.append(f"kernel {g.id} ({g.kind}):")
        for n in g.nodes:
            lines.append(f"  {'*' if n.id in stored else ' '} {_node_line(n, names, True)}")
    outs = ", ".join(names[o.id] if isinstance(o, Node) else repr(o) for o in graph.outputs)
    lines.append(f"return {outs}")
    lines += [f"in{s} <- {names[n.id]}" for s, n in sorted(graph.updates.items())]
    return "\n".join(lines)


def spec(n: Node) -> tuple:
    """(dtype, shape, strides, dense) of an output, sizes as ints or Python text."""
    from ..ir.types import contiguous_strides

    t = n.type
    return (
        t.dtype.name,
        [_python(s) for s in t.shape],
        [_python(s) for s in t.strides],
        tuple(t.strides) == contiguous_strides(t.shape),
    )


def _python(x: Any) -> Any:
    x = as_index(x)
    return x.constant if x.constant is not None else repr(x)


# ---------------------------------------------------------------- opaque operators


def _opaque_steps(
    graph: Graph, plan: Plan, memory: Assignment, arena: Layout
) -> dict[int, Callable]:
    """{segment: function(state, arrays, results, size values)} running the opaque op after it."""
    steps: dict[int, Callable] = {}
    segment = 0
    for g in plan.groups:
        if g.kind == "opaque" and not any(u.node.is_output_of for u in g.units):
            steps[segment] = _opaque_step(g.units[0].node, graph, plan, memory, arena)
            segment += 1
    return steps


def _opaque_step(
    node: Node, graph: Graph, plan: Plan, memory: Assignment, arena: Layout
) -> Callable:
    picked = [n for n in graph.nodes if n.is_output_of and n.args[0] is node]
    slot = {n.id: i for i, n in enumerate(graph.inputs)}
    out_slot = {b.name: i for i, b, _ in memory.outputs}
    op: Any = node.op

    def view(
        n: Node, place: Place, state: Any, arrays: Any, results: Any, values: Any
    ) -> np.ndarray:
        if n.id in slot and place is memory.places[n.id][0]:
            return arrays[slot[n.id]]
        name = place.buffer.name
        if name in out_slot:
            return results[out_slot[name]]
        if name.startswith("in") and name not in arena.offsets:
            return arrays[int(name[2:])]
        shape, strides, at = (
            _numbers(x, values) for x in (n.shape, place.strides, (arena.offsets[name],))
        )
        return state.arena_view(at[0], shape, strides, n.dtype.np)

    def run(state: Any, arrays: Any, results: Any, values: Any) -> None:
        args = [
            view(a, memory.places[a.id][0], state, arrays, results, values)
            if isinstance(a, Node)
            else a
            for a in node.args
        ]
        args = [
            np.ascontiguousarray(a).reshape(a.shape) if isinstance(a, np.ndarray) else a
            for a in args
        ]
        attrs = tuple(_number(x, values) for x in node.attrs)
        found = (
            op.eager(args, *attrs)
            if op.variadic and len(op.inputs) == 1
            else op.eager(*args, *attrs)
        )
        for n, r in [(node, found)] if not picked else [(p, found[p.attrs[1]]) for p in picked]:
            for p in memory.places.get(n.id, ()):
                np.copyto(view(n, p, state, arrays, results, values), r)

    return run


def _numbers(xs: Any, values: dict | None) -> tuple:
    return tuple(_number(x, values) for x in xs)


def _number(x: Any, values: dict | None) -> Any:
    if isinstance(x, Index):
        return x.evaluate(values or {})
    if isinstance(x, tuple) and not hasattr(x, "_fields"):  # a shape among the attributes
        return tuple([_number(v, values) for v in x])
    return x
