"""Wrong passes and lowerings to plant: takes a graph, gives one that computes something else, as
mistakes of a compiler's author would. Each has to be caught and named by `verify`."""

from graphc.compiler.passes import pipeline
from graphc.ir.graph import Graph, Node, rebuild


def _rewritten(graph, change):
    """The graph with `change(new graph, node, new args)` (None: as it was) at every node."""

    def build(out, n, args):
        made = change(out, n, args)
        return out.add(n.op, args, n.attrs, n.type, n.origin) if made is None else made

    return rebuild(graph, {n.id: build for n in graph.nodes if n.op is not None})


def reassociate(graph):
    """(a + b) + c becomes a + (b + c)."""

    def change(out, n, args):
        left = args[0] if args else None
        if n.op.name == "add" and isinstance(left, Node) and left.op and left.op.name == "add":
            inner = out.add(n.op, (left.args[1], args[1]), (), n.type, n.origin)
            return out.add(n.op, (left.args[0], inner), (), n.type, n.origin)

    return _rewritten(graph, change)


def drop_zeros(graph):
    """x + 0 becomes x, wrong for -0.0."""

    def change(out, n, args):
        if n.op.name == "add" and args[1] == 0 and isinstance(args[1], float):
            return args[0]

    return _rewritten(graph, change)


def forget_updates(graph):
    """The last update is lost."""
    out = rebuild(graph)
    if out.updates:
        del out.updates[max(out.updates)]
    return out


def merge_alike(graph):
    """Nodes of one op over the same tensors are one, whatever their numbers are."""
    seen = {}

    def change(out, n, args):
        key = (n.op.name, n.type, tuple(a.id for a in args if isinstance(a, Node)))
        if not args:
            return None
        if key not in seen:
            seen[key] = out.add(n.op, args, n.attrs, n.type, n.origin)
        return seen[key]

    return _rewritten(graph, change)


def swap_operands(graph):
    """a - b becomes b - a."""

    def change(out, n, args):
        if n.op.name == "sub" and all(isinstance(a, Node) for a in args):
            return out.add(n.op, args[::-1], (), n.type, n.origin)

    return _rewritten(graph, change)


def old_value(graph):
    """Results that an update replaces show the value on entry."""
    out = rebuild(graph)
    updated = {n.id: out.inputs[slot] for slot, n in out.updates.items()}
    out.outputs = [updated.get(o.id, o) if isinstance(o, Node) else o for o in out.outputs]
    return out


def mask_all(graph):
    """The backward of relu lets everything through."""

    def change(out, n, args):
        return args[0] if n.op.name == "threshold_backward" else None

    return _rewritten(graph, change)


def stumble(graph):
    """Raises at the second product."""
    if sum(n.op is not None and n.op.name == "mul" for n in graph.nodes) > 1:
        raise IndexError("list index out of range")
    return graph


def empty(graph):
    """Not one of them: changes nothing."""
    return rebuild(graph) if isinstance(graph, Graph) else graph


def plant(function, at=2):
    """Puts a pass among the others; gives the tuple that was there."""
    before = pipeline.PASSES
    pipeline.PASSES = (*before[:at], (function.__name__, function), *before[at:])
    return before
