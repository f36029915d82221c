"""History that leaves a compiled program: takes the captured results that require a gradient,
gives one tape entry whose backward is a second program.

At capture the VJPs are run into the same graph; what they read of the forward is saved by the
forward program. The backward program serves one pattern of cotangents; other patterns and
`create_graph=True` rebuild the eager tape from recomputed values (`Joint.replay`). Invariant:
saved memory that a user can reach is checked by version, as eager mode does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...base.errors import CaptureBreak
from ...core import tape
from ...core.modes import STATE
from ...core.tensor import Tensor, wrap
from ...ir.graph import Graph, Node
from ...ir.types import TensorType, is_dense
from ..interpret.sizes import at, bind
from .lift import Source
from .tracer import Boundary, Tracer


class CompiledFunctionBackward(tape.TapeEntry):
    """The history of a compiled call."""

    __slots__ = ("joint", "call", "inputs", "parts")

    whole = True
    joint: Joint
    call: Call
    inputs: tuple
    versions: Any
    parts: Sequence

    def totals(self, grads: list, running: list) -> list | None:
        if self.saved is tape._FREED:
            self.run(grads)  # raises
        return None if self.parts else self.joint.backward(self, grads, running)


class Call:
    """What one forward call leaves for its backward."""

    __slots__ = ("outs", "arrays", "scalars", "rng", "sizes", "versions", "ended")

    def __init__(
        self, outs: list, arrays: list, scalars: Any, rng: Any, sizes: dict, versions: list
    ):
        self.outs, self.arrays, self.scalars, self.rng = outs, arrays, scalars, rng
        self.sizes, self.versions = sizes, versions  # {name of a symbolic size: its value}
        self.ended = 0  # the version of the tensor that the joint's error speaks of


class Joint:
    """The backward side of a capture. `build` (graph -> program) is put in by the facade."""

    build: Callable[[Graph], Any]

    def __init__(self, tracer: Tracer, roots: list[Tensor], made: list, pattern: tuple | None):
        self.tracer, self.roots, self.made = tracer, roots, made
        self.metas = [(m.type.shape, m.dtype) for m in made]
        self.entries = _entries(roots)
        self.targets = _targets(self.entries, tracer.lifter.real)
        # which results have cotangents, and which targets have some from elsewhere already
        self.pattern: tuple[tuple[bool, ...], tuple[bool, ...]] = (
            usual_pattern([m.type.numel for m in made]),
            (False,) * len(self.targets),
        )
        if pattern is not None and tuple(map(len, pattern)) == tuple(map(len, self.pattern)):
            self.pattern = pattern
        self.graph = Graph()  # of the backward
        # per graph input: ("out", k), ("slot", i), ("g", root) or ("r", target)
        self.inputs: list[tuple] = []
        # per target: ("none",), ("g", root), ("r", target) or ("out", k)
        self.results: list[tuple] = []
        self.sources: list[Source] = []  # of the targets
        self.wanted: tuple | None = None  # a pattern that calls asked for and this one is not
        self._program: Any = None
        self.fixed = False  # other patterns are replayed, never compiled
        self.names = [type(t._fn).__name__ for t in roots]
        self.checked_inputs: list[int] = []  # targets and results whose memory the backward reads
        self.checked_results: list[int] = []
        self.others: list[Source] = []  # ... of inputs that are no targets
        self.checked_others: list[Tensor] = []  # those of the call that was traced
        self.saved_nodes: dict[int, Node] = {}
        self.saved_versions: dict[int, int] = {}  # of what is saved, when the forward ended
        self.saved_slots: set[int] = set()  # inputs whose memory is saved, be it written since
        self.old_inputs: list[Node] = []
        self.numbers: dict[int, int] = {}
        self.error: RuntimeError | None = None  # what every backward of this pattern raises
        self.behind = 0  # ... because of a tensor that was written so many times since
        self.copied: set[int] = set()  # slots that the forward overwrites

    # ---- at capture

    def trace(self, delivery: Any) -> None:
        tracer, graph = self.tracer, self.tracer.graph
        self._keep_saved()
        mark = graph._next
        cotangents: list[tuple] = []
        nodes: dict[int, tuple] = {}
        wanted = [("g", i, t) for i, t in enumerate(self.roots) if self.pattern[0][i]]
        wanted += [("r", i, t) for i, t in enumerate(self.targets) if self.pattern[1][i]]
        for kind, i, t in wanted:
            meta = t.type_
            if not is_dense(meta.shape, meta.strides):
                meta = meta.with_shape(meta.shape)
            node = Node(None, (), (), meta, None, graph._new_id(), f"{kind}{i}")
            nodes[node.id] = (kind, i)
            cotangents.append((t, tracer.fresh(node, meta)))
        hooks = [(t, t.__dict__.pop("_hooks", None)) for t in self.targets]
        try:
            grads = tape.run_backward(
                [r for r, _ in cotangents],
                [g for _, g in cotangents],
                retain_graph=True,
                create_graph=False,
                inputs=self.targets,
                accumulate=False,
            )
        except CaptureBreak:
            raise
        except RuntimeError as e:  # eager mode raises it when the backward is run
            self.error = e
            if isinstance(e, tape.Modified):
                self.behind = e.tensor._storage.version - e.version
            grads = [None] * len(self.targets)
        finally:
            for t, h in hooks:
                if h is not None:
                    t._hooks = h
        outputs = [
            None if g is None else tracer._laid_out(tracer.node(g), g.type_, None) for g in grads
        ]
        self.sources = [delivery.source(t) for t in self.targets]
        self._split(mark, nodes, outputs, delivery)

    def _keep_saved(self) -> None:
        """The nodes of everything on the tape, now: later writes do not change them."""
        for e in self.entries:
            for t in e.held():
                if isinstance(t, Tensor) and id(t) not in self.saved_nodes:
                    self.saved_nodes[id(t)] = self.tracer.node(t)
                    self.saved_versions[id(t)] = t._storage.version
                    slot = self.tracer.view(t).cell.slot
                    if slot is not None:
                        self.saved_slots.add(slot)

    def _split(self, mark: int, cotangents: dict[int, tuple], outputs: list, delivery: Any) -> None:
        """The backward graph: every node made for it, over saved values. Cheap index maps of saved
        values and constants are repeated instead of saved."""
        old = self.tracer.graph
        slots = {n.id: i for i, n in enumerate(old.inputs)}
        new: dict[int, Node] = {}
        todo = [n for n in outputs if n is not None]
        live: dict[int, Node] = {}
        while todo:
            n = todo.pop()
            if n.id in live:
                continue
            live[n.id] = n
            if n.id in cotangents or n.id in slots or not (n.id >= mark or _repeatable(n)):
                continue
            todo.extend(n.node_args)
        for n in sorted(live.values(), key=lambda n: n.id):
            if n.id in cotangents:
                self.inputs.append(cotangents[n.id])
            elif n.id in slots:
                self.inputs.append(("slot", slots[n.id]))
            elif n.id >= mark or _repeatable(n):
                args = tuple(new[a.id] if isinstance(a, Node) else a for a in n.args)
                new[n.id] = self.graph.add(n.op, args, n.attrs, n.type, n.origin)
                continue
            else:
                self.inputs.append(("out", _saved(n, delivery)))
            new[n.id] = self.graph.input(n.type)
        numbers: dict[int, int] = {}
        for n in outputs:
            if n is None:
                self.results.append(("none",))
            elif n.id in cotangents:
                self.results.append(cotangents[n.id])
            else:
                if n.id not in numbers:
                    numbers[n.id] = len(self.graph.outputs)
                    self.graph.outputs.append(new[n.id])
                self.results.append(("out", numbers[n.id]))

    def close(self, graph: Graph, delivery: Any) -> None:
        """Once the forward is complete: slots that it overwrites are saved by copy."""
        self.old_inputs = list(graph.inputs)
        for k, (kind, i) in enumerate(self.inputs):
            if kind == "slot" and i in graph.updates:
                self.inputs[k] = ("out", _saved(graph.inputs[i], delivery))
        self.copied = set(graph.updates)
        self._source, self._named = delivery.source, delivery.out.reads.tensors

    def slots(self) -> set[int]:
        """Old numbers of the slots that a backward reads (all that the forward reads, for
        replay)."""
        return {i for kind, i in self.inputs if kind == "slot"}

    def renumber(self, numbers: dict[int, int]) -> None:
        self.numbers = numbers
        self.copied = {numbers[i] for i in self.copied}
        read = {i for kind, i in self.inputs if kind == "slot"} | self.saved_slots
        self.checked_inputs = [
            k
            for k, t in enumerate(self.targets)
            if self.tracer.lifter.views[id(t)][1].cell.slot in read
        ]
        own = {id(t._storage) for t in self.targets}
        lifter = self.tracer.lifter
        for t, view in lifter.views.values():  # inputs without a gradient are saved, too
            named = id(t) in lifter.known or id(t) in self._named
            if named and view.cell.slot in read and id(t._storage) not in own:
                own.add(id(t._storage))
                self.others.append(self._source(t))
                self.checked_others.append(t)
        saved = {i for kind, i in self.inputs if kind == "out"}
        self.checked_results = [
            k for k, m in enumerate(self.made) if m.base[0] == "out" and m.base[1] in saved
        ]
        self.inputs = [
            (kind, numbers[i]) if kind == "slot" else (kind, i) for kind, i in self.inputs
        ]

    # ---- at a call

    def write_entry(self, entry: Any) -> None:
        """Adds the lines of a call that put its results on the tape."""
        tensors = ", ".join(f"t{m.index}" for m in self.made)
        inputs = "".join(f"{entry.ref(s)}, " for s in self.sources)
        others = "".join(f"{entry.ref(s)}, " for s in self.others)
        attach = entry.const(self.attach)
        arrays = "kept" if self.copied else "arrays"
        sizes = "{" + ", ".join(f"{s!r}: {s}" for s in entry.sizes) + "}"
        entry.add(
            f"{attach}(({tensors},), ({inputs}), ({others}), outs, {arrays}, sc, rg, {sizes})"
        )

    def before(self, arrays: list) -> list:
        """Copies of what the forward is going to overwrite."""
        return [a.copy() if i in self.copied else a for i, a in enumerate(arrays)]

    def attach(
        self,
        tensors: tuple,
        inputs: tuple,
        others: tuple,
        outs: list,
        arrays: list,
        scalars: Any,
        rng: Any,
        sizes: dict,
    ) -> None:
        """One tape entry for all results of a call."""
        e = CompiledFunctionBackward.__new__(CompiledFunctionBackward)
        e.op, e.attrs, e.types, e.versions = None, (), None, None  # type: ignore[assignment]
        e.edges = tuple([tape.edge_of(t) for t in inputs])
        e.metas = tuple([(t.shape, t.dtype) for t in inputs])
        e.out_types = tuple([(t.shape, t.dtype) for t in tensors]) if sizes else tuple(self.metas)
        e.seq = next(tape._COUNTER)
        e.pre_hooks = e.post_hooks = e.notes = e.origin = None
        e.joint, e.inputs, e.parts = self, inputs, ()
        versions = [(inputs[i], inputs[i]._storage.version, "") for i in self.checked_inputs]
        versions += [(t, t._storage.version, "") for t in others]
        versions += [
            (
                tensors[i],
                tensors[i]._storage.version,
                f", which is output {self.roots[i]._output_nr} of {self.names[i]},",
            )
            for i in self.checked_results
        ]
        call = Call(outs, list(arrays), scalars, rng, sizes, versions)
        if isinstance(self.error, tape.Modified):
            call.ended = self.error.tensor._storage.version
        e.saved = (call,)
        for nr, t in enumerate(tensors):
            t._fn, t._needs = e, True
            if nr:
                t._output_nr = nr

    def backward(self, e: CompiledFunctionBackward, grads: list, running: list) -> list | None:
        """The running cotangents of the differentiable inputs, its own contributions added in eager
        order; None where the entry has been opened instead (see `open`)."""
        call = e.saved[0]
        present = tuple([g is not None for g in grads])
        if not any(present):
            return running
        self._check_versions(e, self.error is not None and present == self.pattern[0])
        pattern = present, tuple([g is not None for g in running])
        if pattern != self.pattern:
            self.wanted = None if self.fixed else pattern
        if pattern != self.pattern or STATE.grad or STATE.tracer is not None:
            self.open(e)
            return None
        if self._program is None:
            self.prepare()
        arrays = []
        given = {"g": grads, "r": running}
        for (kind, i), n in zip(self.inputs, self.graph.inputs, strict=True):
            if kind in given:
                type = at(n.type, call.sizes) if call.sizes else n.type
                arrays.append(_laid_out(given[kind][i]._array, type))
            else:
                arrays.append((call.outs if kind == "out" else call.arrays)[i])
        program = self._program
        if STATE.watch is not None:
            program = STATE.watch.program(self.graph, program)
        sizes = [call.sizes[s] for s in program.symbols] if call.sizes else ()
        outs = program.call(arrays, call.scalars, (), sizes) if self.graph.outputs else []
        made = [wrap(a, n.dtype) for a, n in zip(outs, self.graph.outputs, strict=True)]
        return [None if r[0] == "none" else given.get(r[0], made)[r[1]] for r in self.results]

    def prepare(self) -> None:
        """Builds the backward program."""
        self._program = self.build(self.graph)

    @property
    def assumes(self) -> list:
        """What the backward program takes for granted of symbolic sizes."""
        return [] if self._program is None else self._program.assumes

    def _raise(self, error: RuntimeError, call: Call) -> None:
        if isinstance(error, tape.Modified):
            raise tape.Modified(error.tensor, call.ended - self.behind, error.producer)
        raise type(error)(*error.args)

    def _check_versions(self, e: CompiledFunctionBackward, fails: bool) -> None:
        """Raises what eager mode's backward meets first: the error that it ended with when it was
        traced (if it `fails` for these cotangents), or a tensor that was written since the call."""
        call = e.saved[0]
        changed = [k for k, (t, v, _) in enumerate(call.versions) if t._storage.version != v]
        if fails and not any(self._comes_first(k) for k in changed):
            self._raise(self.error, call)  # type: ignore[arg-type]
        for t, version, what in [call.versions[k] for k in changed]:
            if not what and t._fn is not None:
                what = f", which is output {t._output_nr} of {tape.short_name(t._fn.name())},"
            raise RuntimeError(
                "one of the variables needed for gradient computation has been modified "
                "by an inplace "
                f"operation: [torch.{t.dtype.title}Tensor {list(t.shape)}]{what} is at version "
                f"{t._storage.version}; expected version {version} instead. "
                "Hint: enable anomaly detection "
                "to find the operation that failed to compute its gradient, with "
                "torch.autograd.set_detect_anomaly(True, check_nan=False)."
            )

    def _comes_first(self, k: int) -> bool:
        """Whether a backward reads what number k of `versions` tells of before it meets the traced
        error."""
        traced = [*[self.targets[i] for i in self.checked_inputs], *self.checked_others]
        if not isinstance(self.error, tape.Modified) or k >= len(traced):
            return True
        return self._last_saved(traced[k]) >= self._last_saved(self.error.tensor)

    def _last_saved(self, t: Tensor) -> float:
        """When the last entry that keeps t was recorded: the first to run backward."""
        return max(
            (x.seq for x in self.entries if any(kept[0] is t for kept in (x.saved or {}).values())),
            default=float("inf"),
        )

    # ---- the eager tape again

    def open(self, e: CompiledFunctionBackward) -> None:
        """Puts the eager tape, rebuilt over recomputed values, in the place of e: for any
        cotangents, in any order of contributions, of any order of differentiation."""
        call = e.saved[0]
        values = self._recompute(call)
        inputs = {id(t): real for t, real in zip(self.targets, e.inputs, strict=True)}
        outside = {id(t): edge for t, edge in zip(self.targets, e.edges, strict=True)}
        entries: dict[Any, Any] = {}

        def real(t: Tensor) -> Tensor:
            if id(t) in inputs:
                return inputs[id(t)]
            out = wrap(values[self.saved_nodes[id(t)].id], t.dtype)
            out._storage.version = self.saved_versions[id(t)]
            fn = t._fn
            if t._needs and fn in entries:
                out._needs, out._fn, out._output_nr = True, entries[fn], t._output_nr
            return out

        def edge(x: Any) -> Any:
            if x is None:
                return None
            to, nr = x
            if isinstance(to, Tensor):
                return outside[id(to)]
            if isinstance(to, Boundary):
                return outside[id(to.tensor)]
            return entries[to], nr

        past = sorted(self.entries, key=lambda x: x.seq)
        for k, old in enumerate(past):
            new = entries[old] = type(old)()
            for field in ("op", "attrs", "metas", "out_types", "types", "origin", "notes"):
                setattr(new, field, at(getattr(old, field), call.sizes))
            new.pre_hooks, new.post_hooks = old.pre_hooks, old.post_hooks
            new.edges = tuple([edge(x) for x in old.edges])
            new.seq = e.seq - 1 + (k + 1) / (len(past) + 1)  # type: ignore[assignment]
            new.saved = _saved_again(old, new, real, inputs)
            new.adopt(old, real, inputs)
        e.parts = list(entries.values())
        e.edges = tuple([(entries[t._fn], t._output_nr) for t in self.roots])
        e.metas = e.out_types

    def _recompute(self, call: Call) -> dict[int, np.ndarray]:
        """Node id -> value of everything that the tape saved."""
        from ...ir.graph import rebuild
        from ..interpret import run

        needed = list({n.id: n for n in self.saved_nodes.values()}.values())
        g = Graph()
        g.inputs, g.nodes, g.outputs = self.old_inputs, self.tracer.graph.nodes, list(needed)
        g = bind(rebuild(g), call.sizes)
        arrays = []
        for i, n in enumerate(g.inputs):
            k = self.numbers.get(i)
            arrays.append(np.empty(n.shape, n.dtype.np) if k is None else call.arrays[k])
        outs, _ = run(g, arrays, call.scalars, call.rng)
        return {n.id: a for n, a in zip(needed, outs, strict=True)}


def _saved_again(old: Any, new: Any, real: Callable, inputs: dict) -> Any:
    if not old.saved:
        return old.saved
    out = {}
    for read, (t, version, packed) in old.saved.items():
        t = packed() if packed is not None else t
        if isinstance(t, Tensor):
            r = real(t)
            moved = id(t) in inputs  # a tensor of this call: checked already, counts from now
            t, version = r, r._storage.version if moved else version
        out[read] = (t, version, None)
    return out


def usual_pattern(numels: Sequence) -> tuple[bool, ...]:
    """Which results get a gradient as a rule: the only scalar among several, else all."""
    scalars = tuple([n == 1 for n in numels])
    return scalars if sum(scalars) == 1 else (True,) * len(scalars)


def join(
    tracer: Tracer, delivery: Any, out: Any, alive: list, pattern: tuple | None
) -> Joint | None:
    """The Joint of the results in `alive` [(traced tensor, Made)]; pattern None: the usual one."""
    roots, made = [t for t, _ in alive], [m for _, m in alive]
    joint = Joint(tracer, roots, made, pattern)
    joint.trace(delivery)
    return joint


def _entries(roots: list[Tensor]) -> list:
    seen: dict[Any, None] = {}
    stack = [t._fn for t in roots]
    while stack:
        e = stack.pop()
        if e in seen or isinstance(e, Boundary):
            continue
        seen[e] = None
        stack.extend(x[0] for x in e.edges if x is not None and not isinstance(x[0], Tensor))
    return list(seen)


def _targets(entries: list, real: Callable) -> list[Tensor]:
    """The real tensors that gradients flow to, in order of first use."""
    found: dict[int, Tensor] = {}
    for e in sorted(entries, key=lambda e: e.seq):
        for x in e.edges:
            if x is not None:
                t = (
                    x[0]
                    if isinstance(x[0], Tensor)
                    else x[0].tensor
                    if isinstance(x[0], Boundary)
                    else None
                )
                if t is not None and real(t):
                    found.setdefault(id(t), t)
    return list(found.values())


def _repeatable(n: Node) -> bool:
    """Index maps and constants: cheaper to repeat than to save."""
    op = n.op
    if op is None:
        return False
    return (op.kind == "movement" and op.view) or (op.kind == "gather" and not n.args)


def _saved(n: Node, delivery: Any) -> int:
    """The forward output that holds node n."""
    for k, o in enumerate(delivery.outputs):
        if o is n:
            return k
    delivery.outputs.append(n)
    return len(delivery.outputs) - 1


def _laid_out(a: np.ndarray, type: TensorType) -> np.ndarray:
    size = a.itemsize
    if a.strides == tuple([s * size for s in type.strides]):
        return a
    from ...ops.movement import _restride_kernel

    return _restride_kernel(a, type.strides)
