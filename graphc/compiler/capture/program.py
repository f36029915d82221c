"""Driving a capture: takes a function and its arguments, gives a `Captured`: the graph, where its
inputs come from, what to deliver where, and all guards. Invariant: when `capture` returns or
raises, every real tensor, gradient, random stream and mode is as it was.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...base import dtypes, pytree
from ...base.errors import CaptureBreak
from ...core.modes import STATE
from ...core.tensor import Tensor
from ...ir.graph import Graph, Node, rebuild
from ...ir.index import Index, observing, plain
from ...ir.types import TensorType
from .contents import Write
from .facts import item_reader
from .guards import ReadSet
from .joint import join
from .lift import Cell, Restart, Source
from .record import Recorder
from .symbols import Sym
from .tracer import Boundary, Tracer
from .writes import Place, Writes


class Made:
    """A tensor to be made on each call. base: ("out", k) for program output k, or ("slot", i) for
    memory of input slot i; window None (all of it) or (shape, strides, offset in elements from its
    first); parent: what it is a view of (a Made, or a real tensor) for autograd; needs:
    requires_grad; storage: that of the traced tensor (tensors that share it share versions)."""

    __slots__ = ("base", "window", "dtype", "parent", "needs", "index", "type", "entry", "storage")

    def __init__(self, base: tuple, window: Any, type: TensorType, parent: Any, needs: bool):
        self.base, self.window, self.type, self.dtype = base, window, type, type.dtype
        self.parent, self.needs = parent, needs
        self.index = -1
        self.entry: Any = None  # (tape entry name, output number) for results with a history
        self.storage: Any = None


class Captured:
    """Everything that one specialisation needs. `leaves` are the flattened arguments of the
    capture."""

    def __init__(self) -> None:
        self.graph: Graph
        self.sources: list[Source] = []
        self.leaves: list = []
        self.sizes: dict[int, TensorType] = {}  # leaf number -> its type with symbols for sizes
        self.size_guards: dict[str, tuple] = {}  # relation of sizes -> (outcome, origin)
        self.arg_spec: Any = None
        self.made: list[Made] = []
        # per result leaf: Made, ("real", Source), ("scalar", text), constant
        self.results: list = []
        self.result_spec: Any = None
        self.grads: list[tuple] = []  # (Source of the tensor, Made | Source | None)
        self.grad_guards: list[
            tuple
        ] = []  # (Source of the tensor, None or (TensorType, alias Source))
        self.needs: list[tuple] = []  # (Source, bool)
        self.versions: list[tuple] = []  # (Source of a tensor over the storage, increments)
        self.scalar_leaves: list = []
        self.scalar_texts: list[str] = []
        self.scalar_guards: dict[str, tuple] = {}
        self.generators: list[tuple] = []
        self.reads: ReadSet
        self.mode: tuple = ()
        self.same_storage: list[tuple] = []  # pairs of Sources whose versions count together
        self.offsets: list[tuple] = []  # (Source, storage offset)
        self.same_window: list[tuple] = []  # pairs of Sources that show the very same memory
        self.regions: dict[int, list] = {}  # region number -> Sources in it
        self.exclusive = False  # slots must not overlap beyond what `regions` says
        self.places: list[Place] = []  # variables whose tensors are read anew on each call
        self.writes: list[Write] = []
        self.joint: Any = None  # history of the results, see capture.joint

    def numbers_now(self) -> tuple | None:
        """The run-time numbers, when all of them lie in variables and are numbers still."""
        found = [
            what[0].get(what[1]) if isinstance(what[0], dict) else what[0][what[1]]
            for kind, what, _ in self.scalar_leaves
            if kind == "item"
        ]
        alright = found and len(found) == len(self.scalar_leaves)
        return tuple(found) if alright and all(type(x) in (int, float) for x in found) else None


def capture(
    fn: Callable,
    leaves: list,
    spec: Any,
    reads: ReadSet,
    pattern: tuple | None = None,
    original: tuple | None = None,
    sizes: dict[int, TensorType] | None = None,
) -> Captured:
    """Runs fn once on the flattened arguments (args, kwargs). `pattern`: which results a backward
    will have cotangents for; `original`: (args, kwargs) as they were passed; `sizes`: types with
    symbols for the leaves whose sizes vary. Raises CaptureBreak, Unsized, or whatever fn raises."""
    merge: dict = {}
    writes = Writes(reads, _containers(*original) if original is not None else {})
    sizes = sizes or {}
    for _ in range(64):
        tracer = Tracer(merge, {id(leaves[i]): type for i, type in sizes.items()})
        try:
            with observing(tracer.decided, tracer.size_number):
                out = _attempt(fn, leaves, spec, reads, tracer, pattern, original, writes)
            out.sizes, out.size_guards = sizes, tracer.size_guards
            return out
        except Restart:
            continue
    raise CaptureBreak(
        "the aliasing of the tensors keeps changing while compiling", kind="aliasing"
    )


def _mode() -> tuple:
    """The modes that a program depends on."""
    cast = (STATE.autocast, STATE.autocast_dtype)
    return (STATE.grad, STATE.inference, dtypes._default, cast)


def _top_level(spec: Any) -> set[int]:
    """Leaf numbers of the arguments that are no containers: their floats become run-time
    numbers."""
    top, at = set(), 0
    for group in spec.children:
        for child in group.children:
            if isinstance(child, pytree.Leaf):
                top.add(at)
            at += _count(child)
    return top


def _count(spec: Any) -> int:
    return 1 if isinstance(spec, pytree.Leaf) else sum(map(_count, spec.children))


def _attempt(
    fn: Callable,
    leaves: list,
    spec: Any,
    reads: ReadSet,
    tracer: Tracer,
    pattern: tuple | None,
    original: tuple | None,
    writes: Writes,
) -> Captured:
    lifter = tracer.lifter
    mode = _mode()
    passed: list = []
    top = _top_level(spec)
    exact = reads.exact
    for i, x in enumerate(leaves):
        if isinstance(x, Tensor):
            lifter.known.setdefault(id(x), Source("arg", i))
            passed.append(x)
        elif type(x) is float and i in top and not exact:
            passed.append(tracer.leaf("arg", ("arg", i), i, x))
        else:
            passed.append(x)
    STATE.tracer = tracer
    reads.stand_in(tracer)
    try:
        writes.install(tracer)
        for x in [*leaves, *reads.tensors.values()]:
            if isinstance(x, Tensor):
                if x._array is None:
                    raise CaptureBreak(
                        "a tensor made while another function was compiled is used here",
                        kind="history",
                    )
                tracer.view(x)
        for x in leaves:
            if id(x) in lifter.sized and id(x) not in lifter.dressed:
                lifter.dress(x)
        args, kwargs = pytree.unflatten(passed, spec)
        if original is not None:  # containers go in as they are, so that they are the caller's own
            args = tuple(
                [
                    a if isinstance(s, pytree.Leaf) else o
                    for a, o, s in zip(args, original[0], spec.children[0].children, strict=True)
                ]
            )
            kwargs = {
                k: v if isinstance(s, pytree.Leaf) else original[1][k]
                for (k, v), s in zip(kwargs.items(), spec.children[1].children, strict=True)
            }
        try:
            try:
                with Recorder(reads, arguments=writes.arguments) as recorder:
                    result = fn(*args, **kwargs)
            finally:
                if reads.exact and not exact and tracer.scalar_leaves:
                    raise Restart
            if recorder.error is not None:
                raise recorder.error
            reads.closed = True
            out = _finish(tracer, result, leaves, spec, reads, pattern, original, writes)
        finally:
            after = _mode()
            STATE.grad, STATE.inference, _, (STATE.autocast, STATE.autocast_dtype) = mode
        if after != mode:
            raise CaptureBreak(
                "the compiled function changes the gradient mode, autocast or the default dtype "
                "for its caller",
                "use `with no_grad():` inside it",
                kind="mode",
            )
        out.mode = mode
        return out
    finally:
        STATE.tracer = None
        writes.restore()
        reads.put_back()
        lifter.restore()


# ---------------------------------------------------------------- what comes out


class _Delivery:
    """Collects outputs while a capture is being closed."""

    def __init__(self, tracer: Tracer, out: Captured):
        self.tracer, self.out = tracer, out
        self.outputs: list[Node] = []
        self.cells: dict[int, tuple] = {}  # id(cell) -> (cell, output number)
        self.memo: dict[int, tuple] = {}  # id(tensor) -> (tensor, Made)

    def source(self, t: Tensor) -> Source:
        return self.tracer.lifter.known.get(id(t)) or Source("held", t)

    def tensor(self, t: Tensor, depth: int = 0) -> Any:
        """A Made for a traced tensor (or a passing alias of a real one), ("real", Source) for the
        others."""
        found = self.memo.get(id(t))
        if found is not None:
            return found[1]
        if self.tracer.lifter.real(t) and self._lasting(t):
            return ("real", self.source(t))
        if not self.tracer.lifter.real(t) and type(t) is not Tensor:
            raise CaptureBreak(
                f"compiled code makes a {type(t).__name__} that outlives the call",
                "make it outside of the compiled function",
                kind="state",
            )
        view = self.tracer.view(t)
        cell, meta = view.cell, t.type_
        if cell.slot is not None:
            base: tuple = ("slot", cell.slot)
        else:
            base = ("out", self._output(cell))
        window = None if not view.chain else (meta.shape, meta.strides, t._start() - cell.offset)
        parent = None
        if t._base is not None:
            parent = self._parent(t._base, depth)
        made = Made(base, window, meta, parent, t._needs)
        made.storage = t._storage
        self.memo[id(t)] = (t, made)
        made.index = len(self.out.made)
        self.out.made.append(made)
        return made

    def _parent(self, base: Tensor, depth: int) -> Any:
        """What a delivered view is a view of."""
        if not self.tracer.lifter.real(base):
            return self.tensor(base, depth + 1) if depth < 8 else None
        if id(base) not in self.tracer.lifter.known:
            for i, x in enumerate(self.out.leaves):
                if isinstance(x, Tensor) and x._base is base:
                    return ("real", Source("base", i))
        return ("real", self.source(base))

    def _lasting(self, t: Tensor) -> bool:
        """Whether the user holds this very object, as far as one can know."""
        lifter = self.tracer.lifter
        return (
            id(t) in lifter.known
            or id(t) in self.out.reads.tensors
            or t._needs
            or t._grad is not None
        )

    def _output(self, cell: Cell) -> int:
        found = self.cells.get(id(cell))
        if found is None:
            node = self.tracer._laid_out(cell.node, cell.type, None)
            self.outputs.append(node)
            found = self.cells[id(cell)] = (cell, len(self.outputs) - 1)
        return found[1]


def _finish(
    tracer: Tracer,
    result: Any,
    leaves: list,
    spec: Any,
    reads: ReadSet,
    pattern: tuple | None,
    original: tuple | None,
    writes: Writes,
) -> Captured:
    out = Captured()
    out.leaves, out.arg_spec, out.reads = leaves, spec, reads
    delivery = _Delivery(tracer, out)
    known = writes.arguments
    result_leaves, out.result_spec = pytree.flatten(_marked(result, known))
    objects: list[tuple[int, Any]] = []
    for x in result_leaves:
        if isinstance(x, Tensor):
            out.results.append(delivery.tensor(x))
        elif isinstance(x, _Passed):
            out.results.append(("container", x.path))
        elif type(x) is Sym:
            out.results.append(("scalar", x.text))
        elif isinstance(x, Index):
            out.results.append(("size", plain(x)))
        else:
            objects.append((len(out.results), x))
            out.results.append(None)
    out.writes, out.places = writes.found(delivery, result), writes.tensors
    for at, x in objects:
        out.results[at] = writes.forms.of_result(x)
    _grads(tracer, delivery, out)
    writes.restore()
    with Recorder(reads, writes_back=False) as recorder:  # a user's backward runs now
        _histories(tracer, delivery, out, pattern)
    if recorder.error is not None:
        raise recorder.error
    writes.after_backward(out.writes, [c for c, mine in recorder.users.items() if mine])
    _check_fields(tracer)
    _close(tracer, delivery, out)
    return out


class _Passed:
    """Stands in a result for a container that is one of the arguments' own."""

    def __init__(self, path: str):
        self.path = path


def _containers(args: Any, kwargs: dict) -> dict[int, str]:
    """id -> Python expression of every list and dict among the arguments."""
    found: dict[int, str] = {}

    def walk(x: Any, path: str) -> None:
        if type(x) is list or isinstance(x, dict):
            found[id(x)] = path
        if type(x) in (list, tuple):
            for i, v in enumerate(x):
                walk(v, f"{path}[{i}]")
        elif isinstance(x, dict):
            for k, v in x.items():
                walk(v, f"{path}[{k!r}]")

    for i, x in enumerate(args):
        walk(x, f"args[{i}]")
    for k, x in kwargs.items():
        walk(x, f"kwargs[{k!r}]")
    return found


def _marked(x: Any, known: dict[int, str]) -> Any:
    """A result with the arguments' own containers replaced by marks."""
    if not known:
        return x
    if id(x) in known:
        return _Passed(known[id(x)])
    if type(x) in (list, tuple):
        return type(x)([_marked(v, known) for v in x])
    if type(x) is dict:
        return {k: _marked(v, known) for k, v in x.items()}
    return x


def _grads(tracer: Tracer, delivery: _Delivery, out: Captured) -> None:
    real = tracer.lifter.real
    for t, g in list(tracer.grads.values()):
        if not real(t):
            continue
        entry = tracer.grad_entry.get(id(t))
        if entry is not None:
            out.grad_guards.append((delivery.source(t), entry[1]))
            if entry[1] is g:
                continue
        if g is None:
            out.grads.append((delivery.source(t), None))
        else:
            out.grads.append((delivery.source(t), delivery.tensor(g)))
    for t, _ in tracer.grads.values():
        if real(t) and id(t) not in tracer.lifter.known:
            for key in ("_hooks", "_post_accumulate_hooks"):
                out.reads.binding(
                    f"the hooks of a tensor {list(t.shape)}",
                    item_reader(t.__dict__, key),
                    frozenset(),
                    t.__dict__,
                    key,
                )
    for t, flag in tracer.needs.values():
        out.needs.append((delivery.source(t), flag))


def _histories(tracer: Tracer, delivery: _Delivery, out: Captured, pattern: tuple | None) -> None:
    """Results that require a gradient: either their graph was used up inside, or it leaves with
    them."""
    live = [(t, made) for t, made in delivery.memo.values() if made.needs and t._fn is not None]
    for t, made in live:
        made.entry = (type(t._fn).__name__, t._output_nr)
    alive = [(t, made) for t, made in live if not _used_up(t._fn)]
    for _, made in alive:
        made.entry = None
    if alive:
        out.joint = join(tracer, delivery, out, alive, pattern)


def _used_up(entry: Any) -> bool:
    """Whether a backward inside the program already freed what this history needs."""
    from ...core.tape import _FREED

    seen = {entry}
    stack = [entry]
    while stack:
        e = stack.pop()
        if e.saved is _FREED:
            return True
        for edge in e.edges:
            if edge is not None and not isinstance(edge[0], Tensor) and edge[0] not in seen:
                seen.add(edge[0])
                stack.append(edge[0])
    return False


_OURS = ("_output_nr", "_meta", "_trace", "_offset")  # fields that capture itself sets


def _check_fields(tracer: Tracer) -> None:
    """Fields of real tensors that the traced code changed in ways that no program delivers."""
    for s in tracer.lifter.saved.values():
        t = s.tensor
        same = id(t) in tracer.lifter.dressed or t._array is s.memory[0]
        if not same or t._storage is not s.memory[1]:
            raise CaptureBreak(
                "the memory of a tensor from outside is replaced inside compiled code",
                "write into it with copy_()",
                kind="tensor",
            )
        flag = tracer.needs.get(id(t), (None, s.needs))[1]
        same_fn = t._fn is s.fn or type(t._fn) is Boundary
        if not same_fn or t._needs != flag:
            raise CaptureBreak(
                "a tensor from outside is changed in place by a result that requires a gradient",
                "detach() the value, or do it outside of the compiled function",
                kind="tensor",
            )
        fields = {k: v for k, v in t.__dict__.items() if k not in _OURS}
        before = {k: v for k, v in s.fields.items() if k not in _OURS}
        if fields.keys() != before.keys() or any(fields[k] is not before[k] for k in fields):
            raise CaptureBreak(
                "compiled code sets attributes of a tensor from outside", kind="tensor"
            )


def _close(tracer: Tracer, delivery: _Delivery, out: Captured) -> None:
    lifter = tracer.lifter
    graph = tracer.graph
    cells: dict[int, Cell] = {}
    for _, view in lifter.views.values():
        if view.cell.slot is not None:
            cells[view.cell.slot] = view.cell
    for slot, cell in sorted(cells.items()):
        if cell.node is not cell.node0:
            graph.updates[slot] = _fitted(tracer, cell)
    lasting = {m.base[1] for m in out.made if m.base[0] == "slot"}
    if out.joint is not None:
        out.joint.close(graph, delivery)
        lasting |= out.joint.slots()
    graph.outputs = list(delivery.outputs)
    keep = _needed_slots(graph, lasting)
    out.graph, numbers = _pruned(graph, keep)
    out.sources = [lifter.sources[i] for i in keep]
    for m in out.made:
        if m.base[0] == "slot":
            m.base = ("slot", numbers[m.base[1]])
    if out.joint is not None:
        out.joint.renumber(numbers)
    out.scalar_leaves = tracer.scalar_leaves
    out.scalar_texts = list(tracer.scalar_texts)
    out.scalar_guards = tracer.scalar_guards
    out.generators = [(g, blocks) for g, blocks in tracer.generators]
    by_storage: dict[int, Tensor] = {}
    for t, view in lifter.views.values():
        first = by_storage.setdefault(id(t._storage), t)
        if id(t) not in lifter.known and id(t) not in out.reads.tensors:
            continue  # an alias made while capturing
        if view.cell.slot in tracer.offsets:
            out.offsets.append((delivery.source(t), t._start()))
        if first is not t and t._storage.version != lifter.versions[id(t._storage)][1]:
            out.same_storage.append((delivery.source(first), delivery.source(t)))
    for storage, version, _ in lifter.versions.values():
        if storage.version != version:
            out.versions.append(
                (delivery.source(by_storage[id(storage)]), storage.version - version)
            )
    _aliasing(lifter, out, keep, numbers)


def _fitted(tracer: Tracer, cell: Cell) -> Node:
    return tracer._laid_out(cell.node, cell.type, None)


def _needed_slots(graph: Graph, lasting: set) -> list[int]:
    used = {a.id for n in graph.live() for a in n.node_args}
    used |= {n.id for n in graph.outputs if isinstance(n, Node)} | {
        n.id for n in graph.updates.values()
    }
    return [
        i for i, n in enumerate(graph.inputs) if n.id in used or i in graph.updates or i in lasting
    ]


def _pruned(graph: Graph, keep: list[int]) -> tuple[Graph, dict[int, int]]:
    """The live graph over the kept slots, and old slot number -> new."""
    numbers = {old: new for new, old in enumerate(keep)}
    names = {}
    for new, old in enumerate(keep):
        node = graph.inputs[old]
        node.name = f"in{new}"
        names[old] = node
    graph.inputs = [names[old] for old in keep]
    graph.updates = {numbers[s]: n for s, n in graph.updates.items()}
    return rebuild(graph), numbers


def _aliasing(lifter: Any, out: Captured, keep: list[int], numbers: dict[int, int]) -> None:
    """What has to hold of the memory of the inputs: tensors in one slot show the same memory, and,
    when something is written, slots lie apart."""
    groups: dict[int, list] = {}
    windows: dict[tuple, Source] = {}
    for t, view in lifter.views.values():
        cell = view.cell
        if cell.slot not in numbers:
            continue
        source = lifter.known.get(id(t))
        own = out.sources[numbers[cell.slot]]
        if source is None and own.kind != "held" and id(t) not in out.reads.tensors:
            continue  # an alias made while capturing
        source = source or Source("held", t)
        groups.setdefault(id(cell.region.root) if cell.region else -1, []).append((source, t))
        if cell.region is not None and cell.region.merged is None:
            first = windows.setdefault((cell.slot,), source)
            if first is not source and not (
                first.kind == source.kind == "held" and first.ref is source.ref
            ):
                out.same_window.append((first, source))
    out.exclusive = bool(out.graph.updates)
    out.regions = {i: members for i, members in enumerate(groups.values())}
