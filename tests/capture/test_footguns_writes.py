"""Writes to Python variables, containers and objects: every call of a compiled function does what
the eager call does, and what a function changes itself does not compile it again."""

import collections
import sys
import types
from pathlib import Path

import numpy as np
import pytest

import graphc
from graphc import nn

sys.path.insert(0, str(Path(__file__).parent))
from scenarios import CASES, case, check, ramp  # noqa: E402

FIRST = len(CASES)
TOTAL = 0


def calls(compile, see, fn, state, n=4):
    """n calls on changing values, with the result and state() shown after each."""
    f = compile(fn)
    for i in range(n):
        see(f(ramp(3) + i), state())


# ---- counters and numbers


@case(programs=1)
def int_counter(compile, see):
    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.n = 0

        def forward(self, x):
            self.n += 1
            return x * self.n

    m = M()
    calls(compile, see, m, lambda: m.n)


@case(programs=1)
def float_average_in_a_module(compile, see):
    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = 0.25

        def forward(self, x):
            self.scale = 0.9 * self.scale + 0.1
            return x * self.scale

    m = M()
    calls(compile, see, m, lambda: m.scale)


@case(programs=2)
def counter_that_decides(compile, see):
    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.step = 0

        def forward(self, x):
            self.step += 1
            return x * 2 if self.step % 3 == 0 else x

    m = M()
    calls(compile, see, m, lambda: m.step, 8)


@case(programs=1)
def counters_in_every_place(compile, see):
    global TOTAL
    TOTAL = 0
    n = 0

    class Slots:
        __slots__ = ("n",)

    class Shared:
        n = 0

    slots, table = Slots(), {"n": 0, "other": "kept"}
    slots.n = 0

    def g(x):
        global TOTAL
        nonlocal n
        TOTAL += 1
        n += 2
        slots.n += 3
        Shared.n += 4
        table["n"] += 5
        g.n += 6
        return x + TOTAL + n + slots.n + Shared.n + table["n"] + g.n

    g.n = 0
    calls(compile, see, g, lambda: (TOTAL, n, slots.n, Shared.n, dict(table), g.n))


@case(programs=2)
def counter_over_a_class_attribute(compile, see):
    class C:
        n = 0

    c = C()

    def g(x):
        c.n += 1
        return x * c.n

    calls(compile, see, g, lambda: (c.n, C.n, vars(c)))


@case(programs=1)
def counter_changed_from_outside(compile, see):
    class C:
        n = 0

    c = C()
    c.n = 0

    def g(x):
        c.n += 1
        return x * c.n

    f = compile(g)
    for start in (0, 5, -3):
        c.n = start
        see(f(ramp(3)), c.n)
        see(f(ramp(3)), c.n)


@case
def counter_of_another_type_later(compile, see):
    class C:
        pass

    c = C()
    c.n = 0

    def g(x):
        c.n += 1
        return x * c.n

    f = compile(g)
    for start in (0, 0.5, True, 2):
        c.n = start
        see(f(ramp(3)), c.n, type(c.n).__name__)


@case
def counter_in_a_string(compile, see):
    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.n, self.name = 0, ""

        def forward(self, x):
            self.n += 1
            self.name = f"step {self.n}"
            return x

    m = M()
    calls(compile, see, m, lambda: (m.n, m.name))


@case(refused="different on every call")
def counter_that_is_computed_with_as_an_int(compile, see):
    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.n = 0

        def forward(self, x):
            self.n += 1
            return x.long() * self.n

    m = M()
    calls(compile, see, m, lambda: m.n, 12)


# ---- tensors that are kept


@case(programs=2)
def hidden_state(compile, see):
    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.h = None

        def forward(self, x):
            self.h = x if self.h is None else self.h * 0.5 + x
            return self.h + 1

    m = M()
    calls(compile, see, m, lambda: m.h, 5)


@case(programs=1)
def buffer_average(compile, see):
    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("average", graphc.zeros(3))
            self.register_buffer("other", graphc.ones(3))

        def forward(self, x):
            self.average = 0.9 * self.average + 0.1 * x
            return self.average + self.other

    m = M()
    f = compile(m)
    for i in range(3):
        see(f(ramp(3) + i), m, list(m.state_dict()))
    m.other.add_(1)
    m.average = ramp(3)
    see(f(ramp(3)), m)
    m.load_state_dict({"average": ramp(3) * 3, "other": ramp(3)})
    see(f(ramp(3)), m)


@case(programs=2)
def kept_with_history(compile, see):
    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(ramp(3))

        def forward(self, x):
            y = x * self.w
            self.attention = y
            return y * 2

    m = M()
    f = compile(m)
    for i in range(3):
        m.zero_grad()
        (f(ramp(3) + i).sum() + m.attention.square().sum()).backward()
        see(m.attention.detach(), m.w)


@case(programs=2)
def one_tensor_under_several_names(compile, see):
    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = self.b = None

        def forward(self, x):
            self.a = self.b = y = x * 2
            self.part = y[1:]
            self.given = x
            x.add_(1)
            return y

    m = M()
    f = compile(m)
    for i in range(3):
        x = ramp(3) + i
        see(x, f(x), m.a, m.b, m.part, m.given)


@case(programs=2)
def state_that_is_the_argument(compile, see):
    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.last = None

        def forward(self, x):
            out = x if self.last is None else x - self.last
            self.last = x
            return out

    m = M()
    f = compile(m)
    for i in range(4):
        see(f(ramp(3) * i), m.last)


@case
def argument_that_a_variable_holds_already(compile, see):
    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.h = None

        def forward(self, x):
            y = x + 1 if self.h is None else x + self.h
            self.seen = self.h
            self.h = x
            return y

    m = M()
    f = compile(m)
    x = ramp(3)
    for now in (x, x, ramp(3) * 2, x, x):
        see(f(now), m.h, m.seen, m.seen is now)
    m.h = now = ramp(3) * 5
    see(f(now), m.seen is now)
    see(f(ramp(3)), m.seen is now)


@case
def state_that_is_written_in_place_and_replaced(compile, see):
    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.h = graphc.zeros(3)

        def forward(self, x):
            self.h.add_(x)
            out = self.h * 2
            self.h = self.h + 1
            return out

    m = M()
    first = m.h
    f = compile(m)
    for i in range(4):
        h = m.h
        see(f(ramp(3) + i), m.h, h, first)
    x = m.h
    see(f(x), m.h, x)


@case(programs=1)
def versions_of_what_is_made_inside(compile, see):
    class C:
        kept = None

    def g(x):
        y = x * 2
        y.mul_(3).add_(1)
        C.kept = z = x + 1
        z[1:].zero_()
        return y, y[1:]

    f = compile(g)
    for _ in range(2):
        y, part = f(ramp(3))
        see(y, part, C.kept, [t._version for t in (y, part, C.kept)])


@case(programs=2)
def new_attributes(compile, see):
    class C:
        pass

    c = C()

    def g(x):
        c.last = x * 2
        c.kind = "seven"
        c.pair = (x.shape[0], [x + 1, {"a": x}])
        return x

    calls(compile, see, g, lambda: vars(c))


@case(programs=2)
def new_attributes_of_classes_and_functions(compile, see):
    class C:
        pass

    def other():
        pass

    def g(x):
        C.last = x * 2
        other.last = x + 1
        return x

    calls(compile, see, g, lambda: (C.last, other.last))


# ---- lists and dictionaries


@case(programs=1)
def losses_collected(compile, see):
    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(ramp(3))
            self.losses = []

        def forward(self, x):
            loss = (x * self.w).sum()
            self.losses.append(loss.detach())
            return loss

    m = M()
    f = compile(m)
    for i in range(4):
        f(ramp(3) + i).backward()
        see(m.w, m.losses)
    m.losses.clear()
    see(f(ramp(3)), m.losses)


@case(programs=1)
def last_values_in_a_dictionary(compile, see):
    kept = {"before": 1}

    def g(x):
        kept["sum"] = x.sum()
        kept["twice"] = x * 2
        return x

    f = compile(g)
    for i in range(3):
        see(f(ramp(3) + i), kept)


@case(programs=2)
def value_written_that_was_there_already(compile, see):
    kept = {"mode": "train"}

    def g(x):
        kept["mode"] = "train"
        kept["x"] = x
        return x

    f = compile(g)
    for mode in ("train", "eval", "train", "eval"):
        kept["mode"] = mode
        see(f(ramp(3)), kept)


@case
def dictionary_replaced_by_an_equal_one(compile, see):
    class C:
        pass

    c = C()

    def g(x):
        c.d["a"] = x + 1
        c.names.insert(0, "n")
        return x + c.d["k"]

    f = compile(g)
    for i in range(5):
        c.d, c.names = {"k": 2}, ["first"]
        see(f(ramp(3) + i), c.d, c.names)


@case
def list_that_is_read_as_well(compile, see):
    log = []

    def g(x):
        log.append(x * 2)
        return x + sum(log)

    calls(compile, see, g, lambda: log, 3)


@case(programs=1)
def last_three(compile, see):
    last = collections.deque(maxlen=3)

    def g(x):
        last.append(x.sum())
        return x

    calls(compile, see, g, lambda: list(last), 6)


@case
def counted_shapes(compile, see):
    counts = collections.Counter()

    def g(x):
        counts[x.shape[0]] += 1
        return x + 1

    f = compile(g)
    for n in (3, 3, 4, 3):
        see(f(ramp(n)), dict(counts))


@case
def memo_of_tables(compile, see):
    tables = {}

    def g(x):
        n = x.shape[0]
        if n not in tables:
            tables[n] = graphc.arange(n).float()
        return x * tables[n]

    f = compile(g)
    for n in (3, 3, 4, 3, 4):
        see(f(ramp(n)), tables)


@case
def argument_containers(compile, see):
    def g(x, values, names):
        values["y"] = x * 2
        names.append("n")
        names[0] = x.sum()
        return x

    f = compile(g)
    for i in range(3):
        values, names = {"y": None, "k": 1}, ["first"]
        see(f(ramp(3) + i, values, names), values, names)
    values, names = {"k": 1}, ["first", 2]
    for i in range(3):
        see(f(ramp(3) + i, values, names), values, names)


@case
def lists_rearranged(compile, see):
    history = [1, 2, 3]

    def g(x):
        history.pop(0)
        history.insert(0, history[-1] + 1)
        history.reverse()
        return x * history[0]

    calls(compile, see, g, lambda: history, 3)


@case(refused="lies inside")
def dictionary_in_a_dictionary(compile, see):
    table = {"a": {"b": 0}}

    def g(x):
        table["a"]["b"] = x * 2
        return x

    calls(compile, see, g, lambda: table, 3)


@case
def numpy_array_written(compile, see):
    counts = np.zeros(3)

    def g(x):
        counts[x.shape[0]] += 1
        return x + 1

    f = compile(g)
    for n in (1, 2, 1, 2, 2):
        see(f(ramp(n)), counts.tolist())


@case
def cell_that_is_empty_at_first(compile, see):
    def make():
        def g(x):
            nonlocal kept
            kept = x * 2
            return x

        f = compile(g)
        for i in range(3):
            y = f(ramp(3) + i)
            see(y, kept)  # noqa: F821  (bound by g)
        del kept  # noqa: F821
        see(f(ramp(3)), kept)  # noqa: F821
        if f is None:
            kept = 0

    make()


# ---- objects


class Output:
    def __init__(self, value, note):
        self.value, self.note = value, note


@case(programs=1)
def result_in_an_object(compile, see):
    def g(x):
        return Output(x * 2, "twice"), types.SimpleNamespace(y=x + 1, n=3)

    f = compile(g)
    for i in range(3):
        a, b = f(ramp(3) + i)
        see(vars(a), vars(b), type(a).__name__)
        a.note = "changed"


@case(programs=1)
def object_kept(compile, see):
    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.out = Output(None, "")

        def forward(self, x):
            self.out = Output(x * 2, "kept")
            return x

    m = M()
    f = compile(m)
    before = m.out
    for i in range(3):
        see(f(ramp(3) + i), vars(m.out), m.out is before)
        before = m.out


@case
def fields_of_an_argument(compile, see):
    def g(x, o):
        o.value = x * 2
        return x

    f = compile(g)
    o = Output(None, "n")
    for i in range(3):
        see(f(ramp(3) + i, o), vars(o))


@case
def submodule_under_another_name(compile, see):
    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.active = nn.Linear(3, 3), None

        def forward(self, x):
            self.active = self.layer
            return self.active(x)

    graphc.manual_seed(0)
    m = M()
    calls(compile, see, m, lambda: (list(m._modules), m.active is m.layer, sorted(vars(m))), 3)


# ---- what happens when


@case
def nothing_is_written_when_the_call_fails(compile, see):
    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.n, self.last, self.log = 0, None, []

        def forward(self, x, i):
            self.n += 1
            self.log.append(x)
            y = x[i]
            self.last = y
            return y

    m = M()
    f = compile(m)
    at = graphc.tensor([0, 2])
    for index in (at, at + 1, at, at + 7, at):
        see.error(lambda index=index: f(ramp(3), index))
        see(m.n, m.last, m.log)


@case
def writes_in_a_hook_and_in_the_forward(compile, see):
    m = nn.Sequential(nn.Linear(3, 3), nn.ReLU())
    seen = {"calls": 0}

    def hook(module, args, out):
        seen["calls"] += 1
        module.last = out.detach()

    m[0].register_forward_hook(hook)
    f = compile(m)
    for i in range(3):
        see(f(ramp(2, 3) + i), dict(seen), m[0].last)


@case(refused="")
def writes_in_a_backward_hook(compile, see):
    m = nn.Linear(3, 3)
    seen = []
    m.register_full_backward_hook(lambda module, gi, go: seen.append(go[0].sum()))
    f = compile(m)
    for _ in range(2):
        m.zero_grad()
        f(ramp(2, 3)).sum().backward()
        see(m, seen)


@case(refused="")
def state_of_the_forward_read_by_the_backward(compile, see):
    state = {"k": 1.0}

    class F(graphc.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            state["k"] = state["k"] + 1
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return g * state["k"]

    f = compile(lambda x: F.apply(x))
    for _ in range(3):
        x = ramp(3).requires_grad_()
        f(x).sum().backward()
        see(x, state)


@pytest.mark.parametrize("name", list(CASES)[FIRST:])
def test_writes(name):
    check(name)
