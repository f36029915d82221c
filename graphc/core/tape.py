"""The tape: one TapeEntry per differentiable call, and backward over them.

Takes roots and cotangents, gives gradients. Invariants: entries run in strictly descending
creation order; a VJP sees Tensors only, so it can be recorded again (create_graph) and captured;
nothing recurses.
"""

from __future__ import annotations

import heapq
import itertools
import sys
import time
from collections.abc import Sequence
from typing import Any

from ..base.errors import Origin, user_origin
from ..ir.index import alike
from ..ir.op import Op, Rule
from ..ir.types import TensorType, overlaps
from .modes import STATE
from .storage import TRACKED
from .tensor import Tensor, alias, get_grad, set_grad

_COUNTER = itertools.count(1)
_FREED: Any = ("freed",)
_FREED_TEXT = (
    "Trying to backward through the graph a second time (or directly access saved tensors after "
    "they have already been freed). Saved intermediate values of the graph are freed when you call "
    ".backward() or autograd.grad(). Specify retain_graph=True if you need to backward through the "
    "graph a second time or if you need to access saved tensors after calling backward."
)
anomaly: list[bool] = [False]  # detect_anomaly: entries remember the forward line
check_nan: list[bool] = [True]  # whether it also looks for nan
origins: list[int] = [0]  # how many others want that


class TapeEntry:
    """One recorded call; users see it as `grad_fn`, under PyTorch's class name.

    edges: per input None or (entry | leaf tensor, output number); metas: per input (shape, dtype)
    where there is an edge; saved: what the VJPs read; out_types: per output (shape, dtype)."""

    __slots__ = (
        "op",
        "edges",
        "metas",
        "attrs",
        "saved",
        "versions",
        "types",
        "seq",
        "out_types",
        "pre_hooks",
        "post_hooks",
        "origin",
        "notes",
        "__weakref__",
    )

    whole = False  # whether it stands for several entries, and its backward for all of theirs
    parts: Sequence = ()  # those entries, once they have taken its place
    op: Op
    edges: tuple
    saved: Any
    attrs: tuple
    types: Any
    metas: Any
    out_types: tuple
    origin: Any
    seq: int
    pre_hooks: Any
    post_hooks: Any
    notes: dict | None

    @property
    def metadata(self) -> dict:
        """A dictionary for users' own notes."""
        if self.notes is None:
            self.notes = {}
        return self.notes

    def __getattr__(self, name: str) -> Any:
        # _saved_self, _saved_other, _saved_result ...: what this entry keeps for its backward
        if name.startswith("_saved_") and self.saved is not None:
            op, asked = self.op, name[len("_saved_") :]
            names = {"self": op.inputs[0] if op.inputs else "", "result": op.outputs[0]}
            asked = names.get(asked, asked)
            for kind, all_names in (("in", op.inputs), ("out", op.outputs)):
                if asked in all_names:
                    if self.saved is _FREED:
                        raise RuntimeError(_FREED_TEXT)
                    read = (kind, all_names.index(asked))
                    if read in self.saved:
                        return self.unpack(read)
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def name(self) -> str:
        name = type(self).__name__
        return "torch::autograd::" + name if name in ("CopySlices", "CopyBackwards") else name

    @property
    def next_functions(self) -> tuple:
        return tuple(
            (None, 0) if e is None else (AccumulateGrad(e[0]), 0) if isinstance(e[0], Tensor) else e
            for e in self.edges
        )

    def register_hook(self, hook: Any) -> Any:
        """hook(grad_inputs, grad_outputs) runs after this entry; a returned tuple replaces
        grad_inputs."""
        if self.post_hooks is None:
            self.post_hooks = {}
        return RemovableHandle(self.post_hooks, hook)

    def register_prehook(self, hook: Any) -> Any:
        """hook(grad_outputs) runs before this entry; a returned tuple replaces grad_outputs."""
        if self.pre_hooks is None:
            self.pre_hooks = {}
        return RemovableHandle(self.pre_hooks.setdefault("all", {}), hook)

    def __repr__(self) -> str:
        kind = type(self)
        room = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
        return f"<{room}{kind.__name__} object at {id(self):#x}>"

    def run(self, grads: list) -> Sequence:
        """Gradients of the inputs from cotangents of the outputs (None: no contribution)."""
        saved = self.saved
        if saved is _FREED:
            raise RuntimeError(_FREED_TEXT)
        op = self.op
        g = grads[0]
        if g is None and len(grads) == 1:
            return (None,) * len(self.edges)
        rules: Any = op.vjp
        if isinstance(rules, tuple):
            return [
                None if rule is None or edge is None else self._call(rule, g, grads)
                for rule, edge in zip(rules, self.edges, strict=True)
            ]
        return self._call(rules, g, grads)

    def _call(self, rule: Rule, g: Any, grads: list) -> Any:
        args = []
        for read in rule.reads:
            kind = read[0]
            if kind == "g":
                args.append(g)
            elif kind == "in" or kind == "out":
                args.append(self.unpack(read))
            elif kind == "attr":
                args.append(self.attrs[read[1]])
            elif kind == "type":
                args.append(self.types[read[1]])
            elif kind == "gs":
                args.append(grads)
            elif kind == "all":
                args.append(tuple(self.unpack(("in", i)) for i in range(read[1], len(self.edges))))
            elif kind == "types":
                args.append(self.types[read[1] :])
            else:
                args.append(tuple(e is not None for e in self.edges))
        if g is None and "g" in [r[0] for r in rule.reads]:
            return None
        for c in grads:
            if c is not None and c.dtype.is_complex and self.op.extra.get("holomorphic", True):
                return _conjugated(rule, args)
        return rule.fn(*args)

    def unpack(self, read: tuple) -> Any:
        """A saved tensor, after its version check."""
        t, version, packed = self.saved[read]
        if packed is not None:
            t = packed()
            if STATE.grad and read[0] == "in":
                return at_edge(t, self.edges[read[1]])
        elif isinstance(t, Tensor) and t._storage.version != version:
            raise Modified(t, version, self if read[0] == "out" else None)
        if read[0] == "out" and STATE.grad:
            again = alias(t, True)
            again._fn, again._output_nr = self, read[1]
            return again
        return t

    def held(self) -> list:
        """What its backward reads: tensors, and whatever else was saved."""
        return [t if packed is None else packed() for t, _, packed in (self.saved or {}).values()]

    def adopt(self, old: TapeEntry, real: Any, inputs: Any) -> None:
        """Takes over what only its class knows from an entry of a captured program that it repeats.
        real: traced tensor -> the tensor of this call; inputs: ids of those that came from
        outside."""

    def totals(self, grads: list, running: list) -> list | None:
        """For entries that stand for several (`whole`): `running` is what each edge has got by now;
        gives what it has after the backward, in the order of the entries that this one stands for.
        None: `edges` lead to those entries now (`parts`, oldest first), which take the cotangents
        one by one."""
        raise NotImplementedError

    def release(self) -> None:
        """Drops what was saved; a second run then raises. Entries that saved nothing stay
        usable."""
        if self.saved:
            self.saved = _FREED


def _conjugated(rule: Rule, args: list) -> Any:
    """A VJP of a holomorphic (or linear) function on complex cotangents. Rules are written as for
    real numbers, g * f'(x); PyTorch's convention is g * conj(f'(x)), which is the conjugate of the
    rule at conj(g)."""
    for i, read in enumerate(rule.reads):
        if read[0] == "g":
            args[i] = args[i].conj()
        elif read[0] == "gs":
            args[i] = [c if c is None else c.conj() for c in args[i]]
    found = rule.fn(*args)
    if isinstance(found, Tensor):
        return found.conj()
    return found if found is None else [c if c is None else c.conj() for c in found]


class Modified(RuntimeError):
    """A tensor that a backward needs was written since it was saved."""

    def __init__(self, t: Tensor, version: int, producer: Any = None):
        super().__init__(modified(t, version, producer))
        self.tensor, self.version, self.producer = t, version, producer


Modified.__name__ = Modified.__qualname__ = "RuntimeError"  # the kind that PyTorch raises


def modified(t: Tensor, version: int, producer: Any = None) -> str:
    """The text for a saved tensor whose memory was written since."""
    fn = t._fn if producer is None else producer
    what = f", which is output {t._output_nr} of {short_name(fn.name())}," if fn is not None else ""
    return (
        "one of the variables needed for gradient computation has been modified by an inplace "
        f"operation: [torch.{t.dtype.title}Tensor {list(t.shape)}]{what} is at version "
        f"{t._storage.version}; expected version {version} instead. Hint: enable anomaly detection "
        f"to find "
        "the operation that failed to compute its gradient, with "
        "torch.autograd.set_detect_anomaly(True, check_nan=False)."
    )


def short_name(name: str) -> str:
    """An entry's class name as errors show it: AddBackward0 -> Add."""
    head, mark, number = name.rpartition("Backward")
    return head if mark and (number.isdigit() or not number) else name


class AccumulateGrad:
    """What `next_functions` shows for a leaf."""

    __slots__ = ("variable",)

    def __init__(self, variable: Tensor):
        self.variable = variable

    def name(self) -> str:
        return "torch::autograd::AccumulateGrad"

    @property
    def next_functions(self) -> tuple:
        return ()

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, AccumulateGrad) and other.variable is self.variable

    def __hash__(self) -> int:
        return id(self.variable)

    def __repr__(self) -> str:
        return f"<AccumulateGrad object at {id(self.variable):#x}>"


class RemovableHandle:
    """Removes a hook; usable as a context manager."""

    __slots__ = ("hooks", "id")
    next_id = itertools.count()

    def __init__(self, hooks: dict, hook: Any):
        self.hooks, self.id = hooks, next(RemovableHandle.next_id)
        hooks[self.id] = hook

    def remove(self) -> None:
        self.hooks.pop(self.id, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *exc: Any) -> None:
        self.remove()


def entry_class(name: str) -> type:
    """The TapeEntry subclass shown under that name."""
    cls = _CLASSES.get(name)
    if cls is None:
        cls = _CLASSES[name] = type(name, (TapeEntry,), {"__slots__": (), "__module__": "builtins"})
    return cls


_CLASSES: dict[str, type] = {}
saved_hooks: list[tuple] = []  # saved_tensors_hooks: (pack, unpack), innermost last
hooks_disabled: list[str] = []  # disable_saved_tensors_hooks: the error of who enters one


def at_edge(t: Any, edge: Any) -> Any:
    """A tensor that hooks gave back, with the history of the one that they took."""
    if edge is None or not isinstance(t, Tensor):
        return t
    to, nr = edge
    again = alias(t, True)
    if isinstance(to, Tensor):
        again._leaf = to
    else:
        again._fn, again._output_nr = to, nr
    return again


def shape_of(t: Tensor) -> tuple:
    """t's shape as a plain tuple, without the cost of a Size."""
    a = t._array
    return a.shape if a is not None else t._meta.shape


def edge_of(t: Any) -> Any:
    """Where the gradient of t goes: (entry, output number), (leaf, 0), or None."""
    if not isinstance(t, Tensor) or not (
        t._needs or t._storage.flags & TRACKED and t.requires_grad
    ):
        return None
    fn = t._fn if t._base is None else t.grad_fn
    if fn is None:
        return (t if t._leaf is None else t._leaf, 0)
    return (fn, t._output_nr)


def record(
    op: Op,
    inputs: tuple,
    attrs: tuple,
    out: Any,
    class_name: str = "",
    types: tuple | None = None,
    edges: tuple | None = None,
) -> None:
    """Puts a call on the tape and makes its floating outputs require gradients."""
    if edges is None:
        edges = tuple([edge_of(t) for t in inputs])
    outs = out if type(out) is tuple else (out,)
    cls = op.entry_class
    if cls is None:
        cls = op.entry_class = entry_class(op.backward_name)
    entry = (entry_class(class_name) if class_name else cls)()
    entry.op, entry.edges, entry.attrs = op, edges, attrs
    entry.seq = next(_COUNTER)
    entry.pre_hooks = entry.post_hooks = entry.notes = None
    tracer = STATE.tracer
    entry.origin = None
    if tracer is not None:
        entry.origin = tracer.origin()
    elif anomaly[0] or origins[0]:
        entry.origin = user_origin(2)
    entry.metas = tuple(
        [None if e is None else (shape_of(t), t.dtype) for e, t in zip(edges, inputs, strict=True)]
    )
    entry.out_types = tuple([(shape_of(t), t.dtype) for t in outs])
    entry.saved, entry.types = _save(op, entry, inputs, outs, types)
    auxiliary = op.extra.get("auxiliary", ())  # outputs that no gradient flows through
    for j, t in enumerate(outs):
        if t.dtype.category >= 2 and j not in auxiliary:
            t._fn, t._needs = entry, True
            if j:
                t._output_nr = j


def _save(op: Op, entry: TapeEntry, inputs: tuple, outs: tuple, types: tuple | None) -> tuple:
    key = ("save", tuple([e is not None for e in entry.edges]))
    plan = op.plans.get(key)
    if plan is None:
        rules = op.vjp if isinstance(op.vjp, tuple) else (op.vjp,) * len(entry.edges)
        reads: Any = {
            r
            for rule, e in zip(rules, entry.edges, strict=False)
            if rule and e is not None
            for r in rule.reads
        }
        for r in [r for r in reads if r[0] == "all"]:
            reads |= {("in", i) for i in range(r[1], len(entry.edges))}
        plan = op.plans[key] = (
            tuple(r for r in sorted(reads) if r[0] in ("in", "out")),
            any(r[0] in ("type", "types") for r in reads),
        )
    reads, wants_types = plan
    saved: Any = None
    if reads:
        saved = {}
        for read in reads:
            t: Any = inputs[read[1]] if read[0] == "in" else alias(outs[read[1]])
            if isinstance(t, Tensor):
                if t._inference:
                    raise RuntimeError(
                        "Inference tensors cannot be saved for backward. Please do not use "
                        "Tensors created in inference mode in computation tracked by "
                        "autograd. To work around this, you can make a clone to get a normal "
                        "tensor and use it in autograd, or use `torch.no_grad()` instead of "
                        "`torch.inference_mode()`."
                    )
                packed = None
                if saved_hooks:
                    pack, unpack = saved_hooks[-1]
                    kept = pack(t)
                    packed = lambda kept=kept, unpack=unpack: unpack(kept)  # noqa: E731
                    saved[read] = (None, 0, packed)
                    continue
                saved[read] = (t, t._storage.version, packed)
            else:
                saved[read] = (t, 0, None)
    if wants_types and types is None:
        types = tuple([t.type_ if isinstance(t, Tensor) else None for t in inputs])
    return saved, types


# ---------------------------------------------------------------- backward


def run_backward(
    roots: Sequence[Tensor],
    grads: Sequence[Any],
    *,
    retain_graph: bool,
    create_graph: bool,
    inputs: Sequence[Tensor] | None = None,
    accumulate: bool = True,
) -> list:
    """Runs the tape from `roots` with cotangents `grads`.

    With `inputs`, only what leads to them runs; their gradients are returned (accumulate=False, for
    autograd.grad) or put into .grad. Without, every leaf accumulates into .grad."""
    start: dict[Any, list] = {}
    leaf_roots: list[tuple] = []
    for t, g in zip(roots, grads, strict=True):
        fn = t.grad_fn
        if fn is None:
            leaf_roots.append((t, g))
        else:
            slots = start.setdefault(fn, [None] * len(fn.out_types))
            slots[t._output_nr] = g if slots[t._output_nr] is None else slots[t._output_nr] + g
    entries, pending = _reach(start)
    wanted, leaves, needed = _targets(inputs, entries)
    previous, outer = STATE.grad, STATE.run
    autocast, STATE.autocast = STATE.autocast, None
    STATE.grad = create_graph
    STATE.run = Run(entries if inputs is None else needed, pending, roots, inputs is not None)
    sink = _Sink(
        pending, leaves, wanted, accumulate, create_graph, None if inputs is None else needed
    )
    try:
        for t, _ in leaf_roots:
            pending[id(t)] = pending.get(id(t), 0) + 1
        for t, g in leaf_roots:
            sink.to_leaf(t, g)
        _run(start, sink, retain_graph)
    finally:
        STATE.grad, STATE.run, STATE.autocast = previous, outer, autocast
    return sink.results(inputs)


class Run:
    """One backward, for hooks that ask what it will reach."""

    def __init__(
        self, entries: set, leaves: dict[int, int], roots: Sequence[Tensor], partial: bool
    ):
        self.entries, self.leaves = entries, set(leaves) | {id(t) for t in roots}
        self.partial = partial  # only what leads to given inputs runs

    def reaches(self, t: Tensor) -> bool:
        """Whether t gets a gradient."""
        return id(t) in self.leaves if t.grad_fn is None else t.grad_fn in self.entries


def _reach(start: dict) -> tuple[set, dict[int, int]]:
    """All entries reachable from the roots, and how many edges lead to each leaf (by id)."""
    seen = set(start)
    stack = list(start)
    pending: dict[int, int] = {}
    while stack:
        for edge in stack.pop().edges:
            if edge is None:
                continue
            to = edge[0]
            if isinstance(to, Tensor):
                pending[id(to)] = pending.get(id(to), 0) + 1
            elif to not in seen:
                seen.add(to)
                stack.append(to)
    return seen, pending


def _targets(inputs: Sequence[Tensor] | None, entries: set) -> tuple[dict, set, set]:
    """(entry -> {output number: positions in inputs}, ids of leaf targets, entries that lead to
    any)."""
    wanted: dict[Any, dict[int, list[int]]] = {}
    leaves: set[int] = set()
    if inputs is None:
        return wanted, leaves, entries
    for i, t in enumerate(inputs):
        fn = t.grad_fn
        if fn is None:
            leaves.add(id(t))
        else:
            wanted.setdefault(fn, {}).setdefault(t._output_nr, []).append(i)
    needed: set = set()
    for e in sorted(entries, key=lambda e: e.seq):
        if e in wanted or any(
            edge is not None
            and (edge[0] in needed if not isinstance(edge[0], Tensor) else id(edge[0]) in leaves)
            for edge in e.edges
        ):
            needed.add(e)
    return wanted, leaves, needed


class _Sink:
    """Where gradients end up during one run."""

    def __init__(
        self,
        pending: dict,
        leaves: set,
        wanted: dict,
        accumulate: bool,
        create_graph: bool,
        needed: set | None,
    ):
        self.pending, self.leaves, self.wanted = pending, leaves, wanted
        self.accumulate, self.create_graph, self.needed = accumulate, create_graph, needed
        self.sums: dict[int, Any] = {}  # leaf id -> running cotangent
        self.fresh: dict[int, bool] = {}  # leaf id -> the sum is ours alone
        self.captured: dict[int, Any] = {}  # leaf id -> gradient, for autograd.grad
        self.at: dict[int, Any] = {}  # position in inputs -> gradient of a non-leaf

    def to_leaf(self, leaf: Tensor, g: Any, fresh: bool = False, replace: bool = False) -> None:
        """One contribution to a leaf (or, with `replace`, the sum so far); the last one delivers
        the sum."""
        key = id(leaf)
        if self.needed is not None and key not in self.leaves:
            return
        if g is not None:
            old = None if replace else self.sums.get(key)
            self.sums[key] = g if old is None else old + g
            self.fresh[key] = fresh if old is None else True
        self.pending[key] -= 1
        if self.pending[key] == 0:
            total = self.sums.pop(key, None)
            if total is not None:
                self.deliver(leaf, total, self.fresh[key])

    def opened(self, entry: TapeEntry, before: tuple) -> None:
        """`entry` has been replaced, while the tape runs, by the entries that it stood for."""
        for part in entry.parts:
            for edge in part.edges:
                if edge is not None and isinstance(edge[0], Tensor):
                    self.pending[id(edge[0])] = self.pending.get(id(edge[0]), 0) + 1
        for edge in before:
            if edge is not None and isinstance(edge[0], Tensor):
                self.pending[id(edge[0])] -= 1
        if self.needed is not None:
            self.needed = set(self.needed)
            for part in entry.parts:
                if _leads_on(part, self):
                    self.needed.add(part)

    def deliver(self, leaf: Tensor, g: Any, fresh: bool) -> None:
        if leaf._hooks:
            fresh = False  # a hook may keep g
            for hook in list(leaf._hooks.values()):
                replaced = hook(g)
                if replaced is not None:
                    g = _check_hook(hook, replaced, g)
        if self.accumulate:
            accumulate_grad(leaf, g, fresh, self.create_graph)
        else:
            self.captured[id(leaf)] = g

    def results(self, inputs: Sequence[Tensor] | None) -> list:
        if inputs is None:
            return []
        return [self.at.get(i, self.captured.get(id(t))) for i, t in enumerate(inputs)]


def accumulate_grad(leaf: Tensor, g: Tensor, fresh: bool, create_graph: bool) -> None:
    """leaf.grad += g, with PyTorch's identity rules: an existing .grad is changed in place unless
    the graph of the gradient is wanted; a new one is g itself only when nobody else holds it."""
    old = get_grad(leaf)
    if old is None:
        if create_graph:
            set_grad(leaf, g if fresh else g.clone())
        else:
            d: Any = g.detach()  # type: ignore[attr-defined]
            if fresh and 0 in d.type_.strides and overlaps(*d.type_[::2]):
                fresh = False  # a compiled backward gives expanded gradients as they are
            if d.type_.strides != leaf.type_.strides and leaf.type_.is_contiguous:
                d = d.contiguous() if not d.type_.is_contiguous else d if fresh else d.clone()
            elif not fresh:
                d = d.clone()
            set_grad(leaf, d)
    elif create_graph:
        set_grad(leaf, old + g)  # type: ignore[operator]
    else:
        old.add_(g)
    for hook in list(leaf.__dict__.get("_post_accumulate_hooks", {}).values()):
        hook(leaf)


def _run(start: dict, sink: _Sink, retain_graph: bool) -> None:
    heap = [(-e.seq, e) for e in start]
    heapq.heapify(heap)
    buffers = dict(start)
    while heap:
        _, entry = heapq.heappop(heap)
        grads = buffers.pop(entry)
        if entry.pre_hooks:
            grads = _run_pre_hooks(entry, grads)
        for nr, positions in sink.wanted.get(entry, {}).items():
            for i in positions:
                sink.at[i] = grads[nr]
        if sink.needed is not None and not _leads_on(entry, sink):
            continue
        tracer = STATE.tracer
        replace = False
        try:
            if entry.whole:
                results, replace = _run_whole(entry, grads, sink, buffers)
            elif tracer is None:
                results = entry.run(grads) if STATE.watch is None else _watched(entry, grads)
            else:
                tracer.entering(entry)  # the backward's nodes carry the forward's line
                results = entry.run(grads)
                tracer.entering(None)
        except RuntimeError as e:
            if entry.origin is not None:
                e.add_note(f"forward call: {entry.origin.describe()}")
            raise
        if anomaly[0] and check_nan[0]:
            _check_nan(entry, results)
        if entry.post_hooks:
            for hook in list(entry.post_hooks.values()):
                replaced = hook(tuple(results), tuple(grads))
                if replaced is not None:
                    results = replaced
        if not retain_graph:
            entry.release()
        _send(entry, results, grads, sink, buffers, heap, replace)


def _run_whole(
    entry: TapeEntry, grads: list, sink: _Sink, buffers: dict
) -> tuple[Sequence, bool]:
    """(gradients to send, whether they are totals) of an entry that stands for several."""
    before = entry.edges
    running = []
    for edge in before:
        to, nr = edge if edge is not None else (None, 0)
        if isinstance(to, Tensor):
            running.append(sink.sums.get(id(to)))
        else:
            slots = buffers.get(to)
            running.append(None if slots is None else slots[nr])
    totals = entry.totals(grads, running)
    if totals is not None:
        return totals, True
    if entry.edges is not before:
        sink.opened(entry, before)
    return grads, False


def _watched(entry: TapeEntry, grads: list) -> Sequence:
    """One entry under a watch: a VJP counts as one operation. Backwards that users wrote and
    compiled ones are watched from inside."""
    if type(entry).run is not TapeEntry.run or not STATE.watch.whole:
        return entry.run(grads)
    watch, STATE.watch = STATE.watch, None
    watch.since = time.perf_counter_ns()
    try:
        results = entry.run(grads)
    finally:
        STATE.watch = watch
    watch.differentiated(entry, grads, results)
    return results


def _leads_on(entry: TapeEntry, sink: _Sink) -> bool:
    for edge in entry.edges:
        if edge is not None and (id(edge[0]) in sink.leaves or edge[0] in sink.needed):  # type: ignore
            return True
    return False


def _send(
    entry: TapeEntry,
    results: Sequence,
    grads: list,
    sink: _Sink,
    buffers: dict,
    heap: list,
    replace: bool = False,
) -> None:
    """Hands each gradient on to the producer of its input, in input order. replace: it is all that
    the producer has got by now, not one more contribution."""
    if len(results) != len(entry.edges):
        raise RuntimeError(
            f"function {entry.name()} returned an incorrect number of gradients (expected "
            f"{len(entry.edges)}, got {len(results)})"
        )
    for g, edge, meta in zip(results, entry.edges, entry.metas, strict=True):
        if edge is None:
            continue
        if g is not None:
            if not isinstance(g, Tensor):
                raise RuntimeError(f"expected Variable or None (got {type(g).__name__})")
            g = _fit(g, meta, entry)
        to, nr = edge
        if isinstance(to, Tensor):
            sink.to_leaf(to, g, g is not None and _is_fresh(g, results, grads), replace)
            continue
        if sink.needed is not None and to not in sink.needed:
            continue
        slots = buffers.get(to)
        if slots is None:
            slots = buffers[to] = [None] * len(to.out_types)
            heapq.heappush(heap, (-to.seq, to))
        if g is not None:
            slots[nr] = g if replace or slots[nr] is None else slots[nr] + g


def _fit(g: Tensor, meta: tuple, entry: TapeEntry) -> Tensor:
    """Undoes broadcasting and promotion: the gradient takes the input's shape and dtype."""
    shape, dtype = meta
    own = shape_of(g)
    if own is not shape and not alike(own, shape):
        if entry.op.kind != "pointwise" and not entry.op.extra.get("broadcasts"):
            raise RuntimeError(
                f"Function {entry.name()} returned an invalid gradient at index 0 - got "
                f"{list(g.shape)} but expected shape compatible with {list(shape)}"
            )
        g = g.sum_to_size(shape)  # type: ignore[attr-defined]
    if g.dtype is not dtype:
        if g.dtype.is_complex and not dtype.is_complex:  # of a real input: the real part counts
            g = g.real
        g = g.to(dtype)  # type: ignore[attr-defined]
    return g


def _is_fresh(g: Tensor, results: Sequence, grads: list) -> bool:
    """True when nobody but the caller can hold g's storage: a new result of this very VJP."""
    s = g._storage
    if any(o is not None and o._storage is s for o in grads):
        return False
    if sum(1 for r in results if isinstance(r, Tensor) and r._storage is s) > 1:
        return False
    # references: the tensor's own slot, the local name `s`, getrefcount's argument; a view's base,
    # which
    # only the view may hold (its attribute, the local name, the argument), is one more
    base = g._base
    if base is not None:
        return sys.getrefcount(base) <= 3 and sys.getrefcount(s) <= 4
    return sys.getrefcount(s) <= 3


def _run_pre_hooks(entry: TapeEntry, grads: list) -> list:
    grads = list(grads)
    for nr, hooks in entry.pre_hooks.items():
        # what keeps .grad of a non-leaf sees the final gradient
        for hook in sorted(hooks.values(), key=lambda h: getattr(h, "last", False)):
            if nr == "all":
                replaced = hook(tuple(grads))
                if replaced is not None:
                    grads = list(replaced)
            elif grads[nr] is not None:
                replaced = hook(grads[nr])
                if replaced is not None:
                    grads[nr] = _check_hook(hook, replaced, grads[nr])
    return grads


def _check_hook(hook: Any, replaced: Any, g: Tensor) -> Tensor:
    """What a tensor hook returned in place of the gradient g."""
    name = getattr(hook, "__name__", "hook")
    if not isinstance(replaced, Tensor):
        raise TypeError(f"expected Variable, but hook returned '{type(replaced).__name__}'")
    if not alike(shape_of(replaced), shape_of(g)):
        raise RuntimeError(f"hook '{name}' has changed the size of value")
    if replaced.dtype is not g.dtype:
        raise RuntimeError(f"hook '{name}' has changed the type of value")
    return replaced


def _check_nan(entry: TapeEntry, results: Sequence) -> None:
    for i, g in enumerate(results):
        if g is not None and g.dtype.is_floating_point and bool(g.isnan().any()):
            e = RuntimeError(f"Function '{entry.name()}' returned nan values in its {i}th output.")
            if isinstance(entry.origin, Origin):
                e.add_note(f"forward call: {entry.origin.describe()}")
            raise e


def register_tensor_hook(t: Tensor, hook: Any) -> RemovableHandle:
    """hook(grad) runs when t's gradient is known; a returned tensor replaces it."""
    if not t._needs:
        raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
    fn = t.grad_fn
    if fn is None:
        if t._hooks is None:
            t._hooks = {}
        return RemovableHandle(t._hooks, hook)
    if fn.pre_hooks is None:
        fn.pre_hooks = {}
    return RemovableHandle(fn.pre_hooks.setdefault(t._output_nr, {}), hook)


def out_meta(entry: TapeEntry, nr: int) -> TensorType:
    shape, dtype = entry.out_types[nr]
    from ..ir.types import tensor_type

    return tensor_type(shape, dtype)
