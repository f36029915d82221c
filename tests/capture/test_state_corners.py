"""Rarer kinds of Python state, written and read by a compiled function: after every call all of it
is as after the eager call, whether the function was captured or refused.

Each case makes its function and its state anew: `make()` gives (function, look), where `look()` is
a picture of the state."""

import array
import collections
import types
import warnings

import numpy as np
import pytest

import graphc as torch
from graphc.base.errors import CaptureBreak

CASES = {}


def case(make):
    CASES[make.__name__] = make
    return make


def picture(x):
    """Plain data that shows x, with identities of nothing."""
    if isinstance(x, torch.Tensor):
        return ("tensor", x.tolist())
    if isinstance(x, np.ndarray):
        return ("array", x.tolist())
    if isinstance(x, dict):
        return {k: picture(v) for k, v in x.items()}
    if isinstance(x, (list, tuple, collections.deque)):
        return (type(x).__name__, [picture(v) for v in x])
    if isinstance(x, types.SimpleNamespace):
        return ("namespace", picture(vars(x)))
    return x


def run(make, wrap):
    function, look = make()
    f = wrap(function)
    seen = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for n in (3, 3, 4, 5):
            seen.append((picture(f(torch.arange(float(n)))), picture(look())))
    return seen, f


# ---------------------------------------------------------------- captured


@case
def a_size_is_stored():
    o = types.SimpleNamespace(n=0, pair=None)

    def f(x):
        o.n, o.pair = x.shape[0], [x.shape[0] + 1, x * 2]
        return x

    return f, lambda: o


@case
def a_bound_method_is_stored():
    class Owner:
        def scale(self, x):
            return x * 3

    owner, o = Owner(), types.SimpleNamespace(f=None)

    def f(x):
        o.f = owner.scale
        return o.f(x)

    return f, lambda: (o.f.__self__ is owner, o.f.__func__ is Owner.scale)


@case
def a_long_list_grows():
    items = list(range(1500))

    def f(x):
        items.append(len(items))
        return x + len(items)

    return f, lambda: (len(items), items[-1])


@case
def a_long_list_changes_within():
    items = list(range(1500))

    def f(x):
        items[7] = 70
        return x + items[7]

    return f, lambda: items[:9]


@case
def numbers_of_buffers_change():
    data, small, block = bytearray(b"abc"), array.array("i", [1, 2, 3]), np.zeros(3)

    def f(x):
        data[0] = 120
        small[1] = 9
        block[2] = 4
        return x * 2

    return f, lambda: (bytes(data), small.tolist(), block)


@case
def a_result_holds_objects():
    def f(x):
        return types.SimpleNamespace(a=[x + 1, {"n": x.shape[0]}], b=(x.shape[0] * 2,))

    return f, lambda: None


@case
def a_deque_takes_tensors():
    kept = collections.deque(maxlen=2)

    def f(x):
        kept.append(x * 2)
        return x.sum()

    return f, lambda: kept


# ---------------------------------------------------------------- refused: eager mode's effects


@case
def refused_after_a_long_list_changed():
    items = list(range(1500))

    def f(x):
        items[0] += 1
        return x if x.sum() > 0 else -x

    return f, lambda: items[:2]


@case
def refused_after_buffers_changed():
    data, small, block = bytearray(b"abc"), array.array("i", [1, 2, 3]), np.zeros(3)

    def f(x):
        data[0] += 1
        small[1] += 1
        block[2] += 1
        return x if x.sum() > 0 else -x

    return f, lambda: (bytes(data), small.tolist(), block)


@case
def refused_after_a_wrapper_changed():
    data, chain = collections.UserDict(n=0), collections.ChainMap({"n": 0}, {"m": 5})

    def f(x):
        data["n"] += 1
        chain["n"] += 2
        return x if x.sum() > 0 else -x

    return f, lambda: (dict(data), dict(chain))


@case
def refused_after_attributes_changed():
    o = types.SimpleNamespace(n=0, gone=1)

    def f(x):
        o.n += 1
        if hasattr(o, "gone"):
            del o.gone
        o.made = o.n * 2
        return x if x.sum() > 0 else -x

    return f, lambda: o


@case
def refused_after_class_attributes_changed():
    class Counter:
        count = 0

    c = Counter()

    def f(x):
        Counter.count += 1
        c.own = Counter.count
        return x if x.sum() > 0 else -x

    return f, lambda: (Counter.count, vars(c))


@case
def refused_since_a_dictionary_loses_entries():
    table = {"a": 1, "b": 2, 0: 0}

    def f(x):
        table[0] += 1
        if "a" in table:
            table.pop("a")
        return x + table[0]

    return f, lambda: table


@case
def refused_since_one_list_is_stored_twice():
    o = types.SimpleNamespace(a=None, b=None)

    def f(x):
        o.a = o.b = [x * 2]
        return x

    return f, lambda: (o, o.a is o.b)


@case
def refused_since_an_iterator_is_stored():
    o = types.SimpleNamespace(a=None)

    def f(x):
        o.a = iter([1, 2])
        return x + 1

    return f, lambda: next(o.a)


@case
def refused_since_a_key_is_made():
    table = {}

    def f(x):
        table.clear()
        table[types.SimpleNamespace] = {frozenset([1]): x * 2}
        return x + 1

    return f, lambda: list(table.values())


@case
def refused_since_a_buffer_is_too_large():
    data = bytearray((1 << 26) + 1)

    def f(x):
        return x + data[5]

    return f, lambda: len(data)


@pytest.mark.parametrize("make", CASES.values(), ids=list(CASES))
def test_state_is_eager_modes(make):
    eager, _ = run(make, lambda f: f)
    compiled, f = run(make, torch.compile)
    assert compiled == eager
    assert bool(f.refused) == make.__name__.startswith("refused"), f.refused
    if f.refused:
        with pytest.raises(CaptureBreak):
            run(make, lambda f: torch.compile(f, fullgraph=True))


def test_an_argument_that_is_stored_is_itself():
    o = types.SimpleNamespace(kept=None)

    def f(x, items):
        o.kept = items
        return x + len(items)

    g = torch.compile(f, fullgraph=True)
    for items in ([1], [2], [1, 2]):
        assert g(torch.zeros(1), items).item() == len(items)
        assert o.kept is items
