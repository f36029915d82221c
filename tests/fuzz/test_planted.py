"""Mistakes planted one at a time: wrong rewrites of graphs, of memory and of lowering, wrong
captures, and guards that are switched off. Each has to be caught by one of the fuzzers within a
bounded number of programs from fixed seeds; without a plant the same programs pass (that is what
the fuzz tests themselves assert)."""

import functools
import inspect
import re
import sys
import types
from pathlib import Path

import pytest

from graphc.base.config import config
from graphc.base.errors import PACKAGE
from graphc.compiler.capture import entry, facts, guards, joint, lift, program, tracer
from graphc.compiler.lower import values
from graphc.compiler.passes import canonical, memory, pipeline
from graphc.core import observe
from graphc.ir import op as op_table
from graphc.ir.graph import Draw, Node, rebuild
from graphc.ir.types import TensorType

sys.path.insert(0, str(Path(__file__).parent))
import histories  # noqa: E402
import mutations  # noqa: E402
import programs  # noqa: E402
import test_float_graphs  # noqa: E402
import test_histories  # noqa: E402
import test_mutation  # noqa: E402

pytestmark = pytest.mark.slow

PLANTS = {}


def plant(fuzzer, limit):
    """Registers `f(monkeypatch)`, with who has to notice it and within how many programs."""

    def register(f):
        assert f.__name__ not in PLANTS
        PLANTS[f.__name__] = (f, fuzzer, limit)
        return f

    return register


def library(f):
    """f as code of the library: capture does not look at what it reads."""
    f.__code__ = f.__code__.replace(co_filename=PACKAGE + "planted.py")
    return f


# ---------------------------------------------------------------- wrong rewrites of graphs


def rewriting(patch, change):
    """A pass that replaces node n by `change(graph, n, args)` (None: left alone)."""

    def wrong(graph):
        def one(out, n, args):
            made = change(out, n, args)
            return out.add(n.op, args, n.attrs, n.type, n.origin) if made is None else made

        return rebuild(graph, {n.id: one for n in graph.nodes if n.op is not None})

    patch.setattr(
        pipeline, "PASSES", (*pipeline.PASSES[:-1], ("wrong", wrong), canonical.PASSES[-1])
    )


def is_op(n, *names):
    return isinstance(n, Node) and n.op is not None and n.op.name in names


def like(graph, n, name, args):
    return graph.add(op_table.get(name), args, (), n.type, n.origin)


@plant("graphs", 80)
def sums_reassociated(patch):
    def change(g, n, args):
        if is_op(n, "add") and is_op(args[0], "add") and args[0].type == n.type:
            a, b = args[0].args
            return like(g, n, "add", (a, like(g, n, "add", (b, args[1]))))

    rewriting(patch, change)


@plant("graphs", 160)
def differences_turned_round(patch):
    def change(g, n, args):
        if is_op(n, "sub") and all(isinstance(a, Node) for a in args):
            return like(g, n, "neg", (like(g, n, "sub", (args[1], args[0])),))

    rewriting(patch, change)


@plant("graphs", 80)
def division_by_a_reciprocal(patch):
    def change(g, n, args):
        if is_op(n, "div") and all(isinstance(a, Node) for a in args) and n.dtype.is_floating_point:
            return like(g, n, "mul", (args[0], like(g, n, "div", (1.0, args[1]))))

    rewriting(patch, change)


@plant("graphs", 160)
def adding_zero_dropped(patch):
    """x + 0 is not x for x = -0.0."""

    def change(g, n, args):
        if is_op(n, "add") and isinstance(args[0], Node):
            zero = isinstance(args[1], float) and args[1] == 0
            full = is_op(args[1], "expand", "full", "zeros") and not _inputs(args[1])
            if zero or full:
                return args[0]

    rewriting(patch, change)


def _inputs(n):
    return [a for a in n.node_args if a.is_input or _inputs(a)]


@plant("graphs", 80)
def cast_through_half_dropped(patch):
    def change(g, n, args):
        if is_op(n, "to_float32") and is_op(args[0], "to_bfloat16", "to_float16"):
            return args[0].args[0] if args[0].args[0].type == n.type else None

    rewriting(patch, change)


@plant("graphs", 80)
def sum_in_another_order(patch):
    def change(g, n, args):
        if is_op(n, "sum") and args[0].shape:
            op, x = op_table.get("flip"), args[0]
            dims = tuple(range(len(x.shape)))
            flipped = g.add(op, (x,), (dims,), op.infer(x.type, dims), n.origin)
            return g.add(n.op, (flipped,), n.attrs, n.type, n.origin)

    rewriting(patch, change)


@plant("graphs", 80)
def equal_but_for_attributes_merged(patch):
    """Common subexpressions that ignore the attributes."""

    def wrong(graph):
        seen = {}

        def one(out, n, args):
            key = (n.op.name, tuple(a.id if isinstance(a, Node) else repr(a) for a in args), n.type)
            if key not in seen:
                seen[key] = out.add(n.op, args, n.attrs, n.type, n.origin)
            return seen[key]

        return rebuild(graph, {n.id: one for n in graph.nodes if n.op is not None})

    patch.setattr(pipeline, "PASSES", (("wrong", wrong), *canonical.PASSES))


@plant("graphs", 80)
def draws_merged(patch):
    def change(g, n, args):
        if any(isinstance(a, Draw) for a in (*args, *n.attrs)):
            same = [Draw(a.slot, 0) if isinstance(a, Draw) else a for a in args]
            attrs = tuple(Draw(a.slot, 0) if isinstance(a, Draw) else a for a in n.attrs)
            return g.add(n.op, tuple(same), attrs, n.type, n.origin)

    rewriting(patch, change)


@plant("mutations", 80)
def an_update_dropped(patch):
    def wrong(graph):
        out = rebuild(graph)
        if out.updates:
            del out.updates[max(out.updates)]
        return out

    patch.setattr(pipeline, "PASSES", (("wrong", wrong), *canonical.PASSES))


@plant("mutations", 160)
def strides_of_results_changed(patch):
    """Results laid out row by row whatever eager mode does."""

    def wrong(graph):
        def one(out, n, args):
            plain = TensorType(n.shape, n.dtype, memory.row_major(n.shape))
            return out.add(n.op, args, n.attrs, plain, n.origin)

        wanted = {n.id for n in graph.outputs if isinstance(n, Node) and not n.is_input}
        return rebuild(graph, {i: one for i in wanted})

    patch.setattr(pipeline, "PASSES", (*canonical.PASSES[:-1], ("wrong", wrong)))


@plant("mutations", 160)
def windows_of_moved_values(patch):
    """drop_moves that forgets which ops read memory positions."""
    patch.setattr(canonical, "drop_moves", _without_windows(canonical.drop_moves, canonical))
    patch.setattr(
        pipeline,
        "PASSES",
        tuple((n, canonical.drop_moves if n == "drop_moves" else f) for n, f in canonical.PASSES),
    )


def _without_windows(f, module):
    text = inspect.getsource(f).replace('n.op.extra.get("windowed")', "False")
    names = dict(vars(module))
    exec(text, names)  # noqa: S102
    return names[f.__name__]


# ---------------------------------------------------------------- memory and lowering


@plant("mutations", 80)
def always_in_place(patch):
    patch.setattr(memory, "_not_in_place", lambda *args: "")


@plant("mutations", 240)
def in_place_at_other_places(patch):
    patch.setattr(memory, "_same_place", lambda *args: True)


@plant("graphs", 80)
def buffers_freed_too_early(patch):
    patch.setattr(memory, "_last_reader", lambda plan: {})


@plant("graphs", 80)
def half_not_rounded(patch):
    patch.setattr(values, "rounded", lambda e, dtype: e)


# ---------------------------------------------------------------- wrong captures


@plant("graphs", 40)
def random_offset_one_short(patch):
    own = tracer.Tracer.draw

    def draw(self, generator, words):
        made = own(self, generator, words)
        slot = made.slot
        g, at = self.generators[slot]
        self.generators[slot] = (g, at - 1)
        return made

    patch.setattr(tracer.Tracer, "draw", library(draw))


@plant("mutations", 80)
def overlapping_inputs_as_strangers(patch):
    patch.setattr(lift.Lifter, "written", library(lambda self, cell: None))


@plant("mutations", 80)
def views_not_refreshed(patch):
    def write(self, target, value, own=tracer.Tracer.write):
        view = self.view(target)
        node = view.cell.node
        own(self, target, value)
        if view.chain:  # the base keeps what it had
            view.cell.node = node

    patch.setattr(tracer.Tracer, "write", library(write))


@plant("histories", 600)
def saved_tensors_not_checked(patch):
    patch.setattr(joint.Joint, "_check_versions", lambda self, call: None)


@plant("histories", 600)
def overwritten_inputs_not_saved(patch):
    """The backward reads what the forward has overwritten."""

    own = joint.Joint.close

    def close(self, graph, delivery):
        updates, graph.updates = graph.updates, {}
        own(self, graph, delivery)
        graph.updates = updates

    patch.setattr(joint.Joint, "close", close)


@plant("mutations", 80)
def results_share_their_memory(patch):
    """Equal results become one tensor's memory."""
    own = program._Delivery._output

    def output(self, cell):
        for k, n in enumerate(self.outputs):
            if n.type == cell.type:
                return k
        return own(self, cell)

    patch.setattr(program._Delivery, "_output", output)


# ---------------------------------------------------------------- guards switched off


def unguarded(patch, pattern, by="False"):
    """Entries whose conditions lack what the pattern matches."""
    own = entry.Entry.miss_if

    def miss_if(self, condition):
        own(self, re.sub(pattern, by, condition))

    patch.setattr(entry.Entry, "miss_if", miss_if)


GUARDS = {
    "shape": r"a\d+\.shape != \([^)]*\)",
    "strides": r"a\d+\.strides != \([^)]*\)",
    "dtype": r"x\d+\.dtype is not k\d+",
    "requires_grad": r"x\d+\._needs is not (True|False)",
    "type_of_a_tensor": r"type\(x\d+\) is not k\d+$",
    "grad_mode": r"STATE\.grad is not (True|False)",
    "inference_mode": r"(not )?STATE\.inference",
    "default_dtype": r"MODES\._default is not k\d+",
    "one_object": r"x\d+ is not x\d+",
    "memory_apart": r".*roots.*|id\(.*root.*",
    "gradient_present": r".*_grad is (not )?None",
    "epoch_of_modules": r"EPOCH.*",
    "values_of_arguments": r".*unchanged\(x\d+.*",
    "numbers_of_arguments": r".* or x\d+ != .*",
    "outcomes_of_numbers": r"not same\(k\d+\(s\).*",
    "types_of_numbers": r"type\(n\d+\) is not .*",
}
for _name, _pattern in GUARDS.items():

    def _hole(patch, pattern=_pattern):
        unguarded(patch, pattern)

    _hole.__name__ = f"guard_{_name}"
    plant("histories", 600)(_hole)


def unread(patch, says):
    """No checks whose description matches, and no run-time numbers."""
    own = guards.ReadSet._add

    def add(self, what, read, holder=None, key=None):
        if not re.search(says, what) and not (says == "(cell)" and _is_cell(holder)):
            own(self, what, read, holder, key)

    patch.setattr(guards.ReadSet, "_add", add)


def _is_cell(x):
    return isinstance(x, types.CellType)


FACTS = {
    "globals": r"^global ",
    "closures": "(cell)",
    "code_of_functions": r"^the code of",
    "defaults": r"^the defaults of",
    "partials": r"a partial",
    "settings_of_optimizers": r"SGD|Adam|Adagrad",
    "attributes_of_objects": r"^(Box|Plain|Slot|Class|one|Data|Prop|Object|Bound|SimpleNamespace)",
    "classes_of_objects": r"^the class of",
    "context_variables": r"context variable",
}
for _name, _says in FACTS.items():

    def _blind(patch, says=_says):
        unread(patch, says)

    _blind.__name__ = f"facts_{_name}"
    plant("histories", 1500)(_blind)


def _kind_ignored(kind):
    def hole(patch):
        own = facts.unchanged

        def unchanged(x, frozen):
            return frozen[0] == kind and type(x) is type(frozen[1]) or own(x, frozen)

        patch.setattr(facts, "unchanged", unchanged)
        patch.setattr(entry, "unchanged", unchanged)

    return hole


for _kind in ("sequence", "dict", "bytes", "array", "fixed", "equal"):
    _content = _kind_ignored(_kind)
    _content.__name__ = f"content_of_{_kind}"
    plant("histories", 1000)(_content)


@plant("histories", 600)
def results_of_calls_not_examined(patch):
    patch.setattr(guards.ReadSet, "returned", lambda self, value, code: None)


@plant("histories", 1500)
def class_attributes_not_examined(patch):
    patch.setattr(guards.ReadSet, "_class", lambda self, cls, names, used: None)


@plant("histories", 1500)
def new_attributes_not_seen(patch):
    patch.setattr(facts.Fields, "holds", lambda self: True)
    own = guards.Fields

    class Blind(own):
        def __init__(self, what, fields, origin=None):
            super().__init__(what, {}, origin)

    patch.setattr(guards, "Fields", Blind)


@plant("histories", 300)
def module_changes_not_heard(patch):
    patch.setattr(observe, "changed", library(lambda obj, name: None))


@plant("histories", 1000)
def replaced_memory_not_followed(patch):
    own = entry._mover

    def mover(checks, slots, table, fixed):
        return own(checks, slots, list(table), fixed)

    patch.setattr(entry, "_mover", mover)


@plant("histories", 1500)
def types_of_held_tensors(patch):
    patch.setattr(entry, "_looker", lambda seen: lambda: True)


# ---------------------------------------------------------------- the fuzzers


def by_graphs(limit):
    for at in range(0, limit, test_float_graphs.PER_FILE):
        group = [programs.Program(20_000 + at + i) for i in range(test_float_graphs.PER_FILE)]
        yield functools.partial(test_float_graphs.check, group, ("c",))


def by_mutations(limit):
    for at in range(0, limit, test_mutation.PER_FILE):
        group = [mutations.Program(30_000 + at + i) for i in range(test_mutation.PER_FILE)]
        quiet = [
            p
            for p in group
            if all(
                test_mutation.outcome(p.function(), p, c)[0] == "done"
                for c in range(mutations.CALLS)
            )
        ]
        yield functools.partial(test_mutation.failure, test_mutation.Together(quiet), ("c",))


# what the histories have in common that can meet a plant at all: the others are passed over
FOCUS = {
    "saved_tensors_not_checked": r"no_grad\(\):\n    X.add_",
    "overwritten_inputs_not_saved": r"mem\d\.(add_|copy_)",
    "guard_shape": r"[XY] = ramp\((5|4|3|1)",
    "guard_strides": r"[XY] = ramp\(3, 2\)",
    "guard_dtype": r"# \d+: do\nX = (ramp\(2, 3\)\.(double|half)|graphc)[^Z]*# \d+: do\nX = ",
    "guard_type_of_a_tensor": r"isinstance\(y, nn\.Parameter",
    "guard_grad_mode": r"no_grad\(\):\n    OUT",
    "guard_inference_mode": r"inference_mode\(\):\n    OUT",
    "guard_default_dtype": r"set_default_dtype",
    "guard_one_object": r"Y = X\n[^Z]*y\.",
    "guard_memory_apart": r"Y = (mem|X)[^Z]*\.add_",
    "guard_gradient_present": r"\.grad = ",
    "guard_values_of_arguments": r"in argument",
    "guard_numbers_of_arguments": r"(number|flag|text) in argument",
    "guard_outcomes_of_numbers": r"float in (global|attribute|closure|dataclass|argument)",
    "guard_types_of_numbers": r"float in [^Z]*(= |\()(\d|True|False|None|'yes'|\[\]|\{1\})\)?\n",
    "facts_settings_of_optimizers": r"opt\d\.(param|state)",
    "facts_classes_of_objects": r"object in[^Z]*__class__",
    "results_of_calls_not_examined": r"in (property|descriptor)|made|Callable",
    "new_attributes_not_seen": r"hasattr|missing",
    "replaced_memory_not_followed": r"\.data = |assign=True",
    "types_of_held_tensors": r"tensor in",
    "content_of_fixed": r"tuple in|default",
    "content_of_equal": r"text in|bytes in",
    "facts_context_variables": r"variable in",
    "facts_partials": r"partial",
}


def by_histories(limit, focus=""):
    found, seed = 0, 0
    while found < limit:
        history = histories.History(seed)
        seed += 1
        if re.search(focus, repr(history)):
            found += 1
            yield functools.partial(test_histories.failure, history)


FUZZERS = {"graphs": by_graphs, "mutations": by_mutations, "histories": by_histories}


@pytest.mark.parametrize("name", list(PLANTS))
def test_caught(name, monkeypatch, tmp_path):
    make, fuzzer, limit = PLANTS[name]
    monkeypatch.setattr(config, "cache_dir", str(tmp_path))  # nothing built without the mistake
    make(monkeypatch)
    focus = (FOCUS[name],) if name in FOCUS else ()
    for number, attempt in enumerate(FUZZERS[fuzzer](limit, *focus)):
        try:
            found = attempt()
        except Exception as e:  # noqa: BLE001
            found = repr(e)
        if found:
            print(f"{name}: caught by {fuzzer}, program {number}: {found[:120]}")
            return
    pytest.fail(f"{name} was not caught by {fuzzer} in {limit} programs")


def test_enough():
    assert len(PLANTS) >= 40
    assert len([1 for _, fuzzer, _ in PLANTS.values() if fuzzer != "histories"]) >= 19


@pytest.mark.parametrize("fuzzer", list(FUZZERS))
def test_the_programs_pass_without_a_plant(fuzzer):
    for attempt in FUZZERS[fuzzer](32):
        assert not attempt()
