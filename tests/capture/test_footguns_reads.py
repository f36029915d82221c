"""State that code reads in roundabout ways (through calls, C functions, computed names, implicit
methods, standard containers), changed between calls: each compared with eager mode."""

import array
import collections
import contextvars
import operator
import sys
import threading
import types
import weakref
from pathlib import Path

import numpy as np
import pytest

import graphc
from graphc import nn

sys.path.insert(0, str(Path(__file__).parent))
from scenarios import CASES, case, check, ramp  # noqa: E402

FIRST = len(CASES)
HOOKS: dict = {}
KNOB = 2.0


class Box:
    def __init__(self, k):
        self.k = k


class Slots:
    __slots__ = ("k",)

    def __init__(self, k):
        self.k = k


def after(compile, see, fn, *changes):
    """The function, called before and after each change."""
    f = compile(fn)
    see(f(ramp(3)))
    for change in changes:
        change()
        see(f(ramp(3)))
        see(f(ramp(3)))


# ---- floats


@case(programs=1)
def float_is_a_float(compile, see):
    f = compile(lambda x, k: x * k if isinstance(k, float) else x + k)
    for k in (2.0, 3.0):
        see(f(ramp(3), k))


@case
def type_of_a_float(compile, see):
    f = compile(lambda x, k: x * k if type(k) is float else x + k)
    for k in (2.0, 3.0):
        see(f(ramp(3), k))


@case
def attributes_of_a_float(compile, see):
    f = compile(lambda x, k: x * k.real + k.imag + len(k.hex()) + k.as_integer_ratio()[0])
    for k in (2.0, 3.5):
        see(f(ramp(3), k))


@case(programs=1)
def float_state_on_every_call(compile, see):
    global KNOB
    k, box = 1.0, Box(0.5)

    def fn(x):
        return (x * KNOB - k) / (1 + box.k)

    f = compile(fn)
    for i in range(6):
        KNOB, k, box.k = i / 2, i + 0.25, 2.0 * i
        see(f(ramp(3)))
    KNOB = 2.0


@case(programs=1)
def float_attribute_of_a_module_compiles_once(compile, see):
    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = 1.0

        def forward(self, x):
            return x * self.scale

    m = M()
    f = compile(m)
    for i in range(6):
        m.scale = i / 4
        see(f(ramp(3)), m)


@case
def float_state_that_decides(compile, see):
    box = Box(2.0)
    f = compile(lambda x: x * box.k if box.k > 1 else x - box.k)
    for k in (2.0, 3.0, 0.5, 1, None, 4.0):
        box.k = k
        see.error(lambda: f(ramp(3)))


@case(programs=1)
def float_state_written_inside(compile, see):
    box = Box(2.0)

    def fn(x):
        box.k = box.k * 2
        return x * box.k

    f = compile(fn)
    for _ in range(3):
        see(f(ramp(3)))
    see(box.k)


# ---- ways to reach an object


@case
def object_from_a_call(compile, see):
    box = Box(2)

    def settings():
        return box

    after(compile, see, lambda x: x * settings().k, lambda: setattr(box, "k", 3))


@case
def object_from_a_property_of_an_object(compile, see):
    class Outer:
        def __init__(self):
            self._box = Box(2)

        @property
        def box(self):
            return self._box

    outer = Outer()
    after(compile, see, lambda x: x * outer.box.k, lambda: setattr(outer.box, "k", 3))


@case
def object_behind_a_weak_reference(compile, see):
    box = Box(2)
    ref = weakref.ref(box)
    after(compile, see, lambda x: x * ref().k, lambda: setattr(box, "k", 3))


@case
def context_variable(compile, see):
    var = contextvars.ContextVar("var", default=2)
    after(compile, see, lambda x: x * var.get(), lambda: var.set(3), lambda: var.set(2))


@case
def thread_local(compile, see):
    local = threading.local()
    local.k = 2
    f = compile(lambda x: x * local.k)
    see(f(ramp(3)))
    local.k = 3
    see(f(ramp(3)))

    def other():
        local.k = 7
        see(f(ramp(3)))

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    see(f(ramp(3)))


@case
def closure_of_a_callback(compile, see):
    """A function that no name leads to: it is found in a dictionary of the library's user."""

    def make(k):
        def hook(x):
            return x * k[0]

        return hook

    k = [2]
    x0 = ramp(3).requires_grad_()
    x0.register_hook(make(k))

    def step(y):
        x0.grad = None
        (x0 * y).sum().backward()
        return x0.grad * 1

    after(compile, see, step, lambda: k.__setitem__(0, 5))


@case
def attribute_getters_of_operator(compile, see):
    box = Box(2)
    get = operator.attrgetter("k")
    after(compile, see, lambda x: x * get(box), lambda: setattr(box, "k", 3))


@case
def computed_attribute_of_slots_and_classes(compile, see):
    class Shared:
        k = 4

    slots, name = Slots(2), "k"
    after(
        compile,
        see,
        lambda x: x * getattr(slots, name) + getattr(Shared, name) + getattr(Shared(), name),
        lambda: setattr(slots, "k", 3),
        lambda: setattr(Shared, "k", 6),
    )


@case
def globals_by_subscript(compile, see):
    g = globals()
    g["TEMPORARY"] = [1, 2]
    f = compile(lambda x: x * sum(globals()["TEMPORARY"]))
    see(f(ramp(3)))
    g["TEMPORARY"].append(3)
    see(f(ramp(3)))
    g["TEMPORARY"] = (9,)
    see(f(ramp(3)))
    del g["TEMPORARY"]


@case
def user_module_by_computed_name(compile, see):
    module = types.ModuleType("user")
    module.k = "relu"
    f = compile(lambda x: getattr(graphc, module.k)(x))
    for name in ("relu", "sin", "cos"):
        module.k = name
        see(f(ramp(3)))


# ---- absence, classes and implicit methods


@case
def attribute_that_appears(compile, see):
    box = Box(2)
    after(
        compile,
        see,
        lambda x: x * (2 if hasattr(box, "extra") else 1) + getattr(box, "more", 0),
        lambda: setattr(box, "extra", 1),
        lambda: setattr(box, "more", 5),
        lambda: delattr(box, "extra"),
    )


@case
def method_that_appears(compile, see):
    class Truth:
        pass

    truth = Truth()
    after(
        compile,
        see,
        lambda x: x + 1 if truth else x - 1,
        lambda: setattr(Truth, "__bool__", lambda self: False),
        lambda: setattr(Truth, "__bool__", lambda self: True),
        lambda: delattr(Truth, "__bool__"),
    )


@case
def class_of_an_object(compile, see):
    class Other(Box):
        pass

    box = Box(2)
    after(
        compile,
        see,
        lambda x: x * 3 if isinstance(box, Other) else x * len(box.__class__.__name__),
        lambda: setattr(box, "__class__", Other),
    )


@case
def builtin_replaced_by_a_function(compile, see):
    box = Box(operator.neg)
    after(
        compile,
        see,
        lambda x: box.k(x),
        lambda: setattr(box, "k", lambda x: x * 5),
        lambda: setattr(box, "k", graphc.relu),
        lambda: setattr(box, "k", nn.Tanh()),
    )


@case
def descriptor_with_state(compile, see):
    class Field:
        def __init__(self, value):
            self.value = value

        def __get__(self, obj, owner=None):
            return self.value

    field = Field(2)

    class Holder:
        k = field

    holder = Holder()
    after(
        compile,
        see,
        lambda x: x * holder.k,
        lambda: setattr(field, "value", 3),
        lambda: setattr(Holder, "k", Field(4)),
        lambda: setattr(Holder, "k", 5),
    )


# ---- containers


@case
def standard_containers(compile, see):
    deque, numbers = collections.deque([1.0, 2.0]), array.array("d", [1.0, 2.0])
    user, chain = collections.UserList([1.0]), collections.ChainMap({}, {"a": 1.0})
    inner = {"a": 2.0}
    proxy, count = types.MappingProxyType(inner), collections.Counter("aab")
    raw = bytearray(b"ab")
    after(
        compile,
        see,
        lambda x: (
            x * sum(deque)
            + sum(numbers)
            + user[0]
            + chain["a"]
            + proxy["a"]
            + count["a"]
            + sum(raw)
        ),  # fmt: skip
        lambda: deque.append(3.0),
        lambda: deque.rotate(1),
        lambda: numbers.append(5.0),
        lambda: user.insert(0, 7.0),
        lambda: chain.update(a=4.0),
        lambda: inner.update(a=9.0),
        lambda: count.update("aaa"),
        lambda: raw.append(3),
        lambda: raw.__setitem__(0, 1),
    )


@case
def keys_and_elements_of_other_types(compile, see):
    table, numbers = {1: "a"}, {1}
    after(
        compile,
        see,
        lambda x: x * next(k for k in table) + sum(numbers) * graphc.arange(3),
        lambda: (table.clear(), table.update({True: "a"})),
        lambda: (table.clear(), table.update({1.0: "a"})),
        lambda: (numbers.clear(), numbers.add(1.0)),
    )


@case
def named_tuple_with_a_list(compile, see):
    Pair = collections.namedtuple("Pair", "a b")
    pair = Pair([1.0], 2)
    after(compile, see, lambda x: x * pair.a[-1] + pair.b, lambda: pair.a.append(5.0))


@case
def contents_of_arrays(compile, see):
    data, zero = np.arange(3.0), np.array(2.0)
    after(
        compile,
        see,
        lambda x: x * data.sum() + graphc.tensor(data) + float(zero) + data[0] + data.size,
        lambda: data.__setitem__(1, 5),
        lambda: zero.__setitem__((), 7),
        lambda: data.fill(1),
    )


@case
def mutable_arguments(compile, see):
    raw, members, data = bytearray(b"ab"), {1, 2}, np.arange(3.0)
    f = compile(lambda x, raw, members, data: x * sum(raw) + sum(members) + data.sum())
    see(f(ramp(3), raw, members, data))
    for change in (lambda: raw.append(1), lambda: members.add(5), lambda: data.fill(4)):
        change()
        see(f(ramp(3), raw, members, data))


@case
def buffer_in_a_module(compile, see):
    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.raw, self.deque = bytearray(b"a"), collections.deque([1])

        def forward(self, x):
            return x * len(self.raw) + sum(self.deque)

    m = M()
    after(compile, see, m, lambda: m.raw.append(1), lambda: m.deque.append(4))


# ---- tensors


@case
def shape_of_a_tensor_that_is_not_used(compile, see):
    box = Box(ramp(2, 3))
    after(
        compile,
        see,
        lambda x: x * box.k.dim() + box.k.shape[-1] + box.k.requires_grad,
        lambda: setattr(box.k, "data", ramp(4)),
        lambda: box.k.requires_grad_(),
    )


@case
def memory_swapped_and_passed_as_an_argument(compile, see):
    held = ramp(3)
    f = compile(lambda x: (x.add_(1), x + held))
    see(f(ramp(3)))
    held.data = ramp(3)
    see(f(held))
    see(held, f(held))


@case
def states_of_an_optimizer_cleared(compile, see):
    graphc.manual_seed(0)
    m = nn.Linear(3, 1)
    o = graphc.optim.Adam(m.parameters(), lr=0.1)

    def step(x):
        loss = m(x).square().mean()
        loss.backward()
        o.step()
        o.zero_grad(set_to_none=False)
        return loss.detach()

    f = compile(step)
    for i in range(6):
        if i == 2:
            o.state.clear()
        see(f(ramp(2, 3)), m, m.weight.grad._version)


@case
def saved_tensor_changed_inside(compile, see):
    """The call succeeds, the backward raises, as in eager mode."""
    count = graphc.zeros(1)

    def fn(x):
        y = x * count
        count.add_(1)
        return y

    f = compile(fn)
    for _ in range(2):
        x = ramp(3).requires_grad_()
        y = f(x)
        see(y.detach())
        see.error(y.sum().backward)


@case
def versions_of_results(compile, see):
    def fn(x):
        y = x + 1
        y.add_(1)
        y.mul_(2)
        return y

    f = compile(fn)
    y = f(ramp(3))
    see(y, y._version)


@pytest.mark.parametrize("name", list(CASES)[FIRST:])
def test_reads(name):
    check(name)
