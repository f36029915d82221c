"""What compiled code does not do: side effects, data-dependent control flow, clocks and foreign
randomness. By default such a call is eager, with a warning and eager's results; fullgraph=True
raises at the user's line."""

import os
import random
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import graphc
from graphc import nn
from graphc.base.errors import CaptureBreak

sys.path.insert(0, str(Path(__file__).parent))
from scenarios import CASES, case, check, ramp  # noqa: E402

FIRST = len(CASES)
TOTAL = 0
SEEN = []


# ---- writes to Python state


@case
def counter_in_forward(compile, see):
    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.n = 0

        def forward(self, x):
            self.n += 1
            return x * self.n

    m = M()
    f = compile(m)
    for _ in range(4):
        see(f(ramp(3)), m.n)


@case
def global_counter(compile, see):
    global TOTAL
    TOTAL = 0

    def g(x):
        global TOTAL
        TOTAL += 1
        return x + TOTAL

    f = compile(g)
    for _ in range(3):
        see(f(ramp(3)), TOTAL)


@case
def nonlocal_counter(compile, see):
    n = 0

    def g(x):
        nonlocal n
        n += 1
        return x * 2

    f = compile(g)
    for _ in range(3):
        see(f(ramp(3)), n)


@case
def append_to_a_list_outside(compile, see):
    log = []

    def g(x):
        y = x * 2
        log.append(len(log))
        return y

    f = compile(g)
    for _ in range(3):
        see(f(ramp(3)), log)


@case
def append_a_tensor_to_a_list_outside(compile, see):
    log = []

    def g(x):
        y = x * 2
        log.append(y)
        return y + 1

    f = compile(g)
    for _ in range(3):
        see(f(ramp(3)), log)


@case
def append_to_an_argument(compile, see):
    def g(x, log):
        log.append(x * 2)
        return x

    f = compile(g)
    log = []
    for _ in range(3):
        see(f(ramp(3), log), log)


@case
def dictionary_filled(compile, see):
    cache = {}

    def g(x, key):
        if key not in cache:
            cache[key] = 2.0
        return x * cache[key]

    f = compile(g)
    for key in "aabba":
        see(f(ramp(3), key), cache)


@case
def activations_collected_by_a_hook(compile, see):
    m = nn.Sequential(nn.Linear(3, 3), nn.ReLU())
    kept = {}
    m[0].register_forward_hook(lambda mod, args, out: kept.__setitem__("out", out.detach()))
    f = compile(m)
    for i in range(2):
        see(f(ramp(2, 3) + i), kept)


@case
def attribute_of_an_object_written(compile, see):
    class Stats:
        calls = 0

    s = Stats()

    def g(x):
        s.calls = s.calls + 1
        return x + 1

    f = compile(g)
    for _ in range(3):
        see(f(ramp(3)), s.calls)


@case
def last_value_kept_in_an_object(compile, see):
    class Keep:
        last = None

    k = Keep()

    def g(x):
        k.last = x * 2
        return x + 1

    f = compile(g)
    for i in range(3):
        see(f(ramp(3) + i), k.last)


@case
def set_and_class_attribute_written(compile, see):
    class Config:
        seen = set()
        n = 0

    def g(x):
        Config.seen.add(x.shape[0])
        Config.n += 1
        return x + 1

    f = compile(g)
    for n in (3, 3, 4):
        see(f(ramp(n)), sorted(Config.seen), Config.n)


@case(refused="")
def tensor_attribute_written(compile, see):
    x = ramp(3)

    def g(t):
        t.mark = 1
        return t + 1

    f = compile(g)
    see(f(x), x.mark)
    see(f(x), x.mark)


@case
def function_attribute_counter(compile, see):
    def g(x):
        g.calls += 1
        return x + g.calls

    g.calls = 0
    f = compile(g)
    for _ in range(3):
        see(f(ramp(2)), g.calls)


@case(refused="")
def iterator_consumed(compile, see):
    numbers = iter([1.0, 2.0, 3.0, 4.0])
    f = compile(lambda x: x * next(numbers))
    for _ in range(3):
        see(f(ramp(3)))


@case
def memoised_by_hand(compile, see):
    class Rotary(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = None

        def forward(self, x):
            if self.table is None or self.table.shape[0] < x.shape[0]:
                self.table = graphc.arange(x.shape[0]).float()
            return x * self.table[: x.shape[0]]

    m = Rotary()
    f = compile(m)
    for n in (3, 3, 5, 2):
        see(f(ramp(n)), m.table)


# ---- input and output, clocks, foreign randomness


@case(refused="")
def prints(compile, see):
    def g(x):
        print("called with", tuple(x.shape))
        return x + 1

    f = compile(g)
    for n in (3, 3, 4):
        see(f(ramp(n)))


@case(refused="")
def prints_a_tensor(compile, see):
    def g(x):
        print(x)
        return x + 1

    f = compile(g)
    for i in range(3):
        see(f(ramp(3) + i))


@case(refused="")
def writes_to_standard_output(compile, see):
    def g(x):
        sys.stdout.write("x")
        return x + 1

    f = compile(g)
    for _ in range(3):
        see(f(ramp(3)))


@case(refused="")
def python_random(compile, see):
    random.seed(0)
    f = compile(lambda x: x * random.random())
    for _ in range(3):
        see(f(ramp(3)))
    see(random.random())


@case(refused="")
def python_random_integers(compile, see):
    random.seed(0)
    f = compile(lambda x: x * random.randint(1, 100) if random.choice([True, False]) else x)
    for _ in range(4):
        see(f(ramp(3)))


@case(refused="")
def random_object(compile, see):
    r = random.Random(3)
    f = compile(lambda x: x * r.uniform(0, 1))
    for _ in range(3):
        see(f(ramp(3)))


@case(refused="")
def numpy_random(compile, see):
    np.random.seed(0)
    f = compile(lambda x: x * float(np.random.rand()))
    for _ in range(3):
        see(f(ramp(3)))


@case(refused="")
def numpy_generator(compile, see):
    r = np.random.default_rng(0)
    f = compile(lambda x: x + graphc.from_numpy(r.standard_normal(3).astype(np.float32)))
    for _ in range(3):
        see(f(ramp(3)))


@case(refused="")
def clocks(compile, see):
    def g(x):
        t = time.perf_counter()
        return x * (1.0 if t > 0 else 2.0)

    f = compile(g)
    for _ in range(2):
        see(f(ramp(3)))


@case(refused="")
def environment_variables(compile, see):
    os.environ["FOOTGUN"] = "2"
    f = compile(lambda x: x * float(os.environ.get("FOOTGUN", "1")))
    see(f(ramp(3)))
    os.environ["FOOTGUN"] = "3"
    see(f(ramp(3)))
    del os.environ["FOOTGUN"]
    see(f(ramp(3)))


@case(refused="")
def files(compile, see):
    import tempfile

    with tempfile.TemporaryDirectory() as d:
        path = os.path.join(d, "k")
        Path(path).write_text("2")

        def g(x):
            with open(path) as file:
                return x * float(file.read())

        f = compile(g)
        see(f(ramp(3)))
        Path(path).write_text("3")
        see(f(ramp(3)))


@case(refused="")
def warnings_inside(compile, see):
    import logging

    records = []
    handler = logging.Handler()
    handler.emit = lambda r: records.append(r.getMessage())
    logger = logging.getLogger("footgun")
    logger.addHandler(handler)

    def g(x):
        logger.warning("seen %s", tuple(x.shape))
        return x + 1

    f = compile(g)
    for _ in range(3):
        see(f(ramp(3)), records)
    logger.removeHandler(handler)


@case(refused="")
def seeding_inside(compile, see):
    def g(x):
        graphc.manual_seed(3)
        return nn.functional.dropout(x, 0.5)

    f = compile(g)
    for _ in range(2):
        see(f(ramp(6)))


# ---- values of tensors


@case(refused="")
def branch_on_a_tensor(compile, see):
    f = compile(lambda x: x * 2 if x.sum() > 0 else x - 1)
    for x in (ramp(3), -ramp(3), ramp(3)):
        see(f(x))


@case(refused="")
def while_on_a_tensor(compile, see):
    def g(x):
        while x.sum() < 100:
            x = x * 2
        return x

    f = compile(g)
    see(f(ramp(3)), f(ramp(3) / 10))


@case(refused="")
def item(compile, see):
    f = compile(lambda x: x * x.max().item())
    see(f(ramp(3)), f(ramp(3) + 1))


@case(refused="")
def conversions(compile, see):
    f = compile(lambda x: x[: int(x[0])] * float(x[1]))
    see(f(ramp(3)), f(ramp(3) + 1))


@case(refused="")
def to_list(compile, see):
    f = compile(lambda x: sum(x.tolist()))
    see(f(ramp(3)), f(ramp(3) + 1))


@case(refused="")
def to_numpy(compile, see):
    f = compile(lambda x: graphc.from_numpy(np.sort(-x.numpy())))
    see(f(ramp(3)), f(ramp(3) + 1))


@case(refused="")
def numpy_function_of_a_tensor(compile, see):
    f = compile(lambda x: x + float(np.sum(np.asarray(x))))
    see(f(ramp(3)), f(ramp(3) + 1))


@case(refused="")
def membership_and_equality(compile, see):
    f = compile(lambda x: x + 1 if 2.0 in x else x - 1)
    see(f(ramp(3)), f(ramp(3) + 10))


@case(refused="")
def tensor_as_an_index(compile, see):
    names = ["a", "b", "c"]
    f = compile(lambda x: (x, names[x[0]]))
    see(f(graphc.tensor([0, 1])), f(graphc.tensor([2, 1])))


@case(refused="")
def assert_on_a_tensor(compile, see):
    def g(x):
        assert (x > 0).all(), "positive only"
        return x.sqrt()

    f = compile(g)
    see(f(ramp(3)))
    see.error(lambda: f(-ramp(3)))


@case(refused="")
def shape_from_values(compile, see):
    f = compile(lambda x: x[x > 1] * 2)
    see(f(ramp(3)), f(ramp(3) - 1))


@case(refused="")
def nonzero_positions(compile, see):
    f = compile(lambda x: (x > 1).nonzero())
    see(f(ramp(3)), f(ramp(3) - 1))


@case(refused="")
def formatted_tensor(compile, see):
    f = compile(lambda x: (x + 1, f"{x.sum():.3f}"))
    see(f(ramp(3)), f(ramp(3) + 1))


@case(refused="")
def address_of_a_tensor(compile, see):
    f = compile(lambda x, y: x + 1 if x.data_ptr() == y.data_ptr() else x - 1)
    x = ramp(3)
    see(f(x, x), f(x, ramp(3)), f(x, x[:]))


# ---- modes and structure


@case(refused="")
def grad_mode_left_changed(compile, see):
    def g(x):
        graphc.set_grad_enabled(False)
        return x * 2

    f = compile(g)
    x = ramp(3).requires_grad_()
    try:
        see(f(x))
        graphc.set_grad_enabled(True)
        see(f(x))
    finally:
        graphc.set_grad_enabled(True)


@case(refused="")
def default_dtype_changed_inside(compile, see):
    def g(x):
        graphc.set_default_dtype(graphc.float64)
        return x + graphc.ones(3)

    f = compile(g)
    try:
        see(f(ramp(3)))
        graphc.set_default_dtype(graphc.float32)
        see(f(ramp(3)))
    finally:
        graphc.set_default_dtype(graphc.float32)


@case(refused="")
def hook_registered_on_a_parameter_inside(compile, see):
    w = ramp(3).requires_grad_()

    def g(x):
        w.register_hook(lambda grad: grad * 2)
        return (w * x).sum()

    f = compile(g)
    for _ in range(2):
        w.grad = None
        f(ramp(3)).backward()
        see(w)


@case(refused="")
def memory_of_a_tensor_replaced_inside(compile, see):
    w = ramp(3)

    def g(x):
        w.data = x * 2
        return w + 1

    f = compile(g)
    for i in range(2):
        see(f(ramp(3) + i), w)


@case(refused="")
def submodule_made_in_forward(compile, see):
    class Lazy(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = None

        def forward(self, x):
            if self.layer is None:
                self.layer = nn.Linear(x.shape[1], 2)
            return self.layer(x)

    m = Lazy()
    f = compile(m)
    for _ in range(3):
        see(f(ramp(2, 3)), m)


def test_refusals_name_the_line_and_a_fix():
    def g(x):
        return x * x.sum().item()  # this line

    with pytest.raises(CaptureBreak) as info:
        graphc.compile(g, fullgraph=True)(ramp(3))
    first = str(info.value).splitlines()
    assert "this line" in first[0] and "test_footguns_refused.py" in first[0]
    assert len(first) <= 10 and any("Fix" in line for line in first)


def test_one_warning_per_line():
    f = graphc.compile(lambda x: x * x.sum().item())
    with pytest.warns(UserWarning) as seen:
        for n in (3, 4, 3, 5):
            f(ramp(n))
    assert len([w for w in seen if "not compiled" in str(w.message)]) == 1


@pytest.mark.parametrize("name", list(CASES)[FIRST:])
def test_refused(name):
    check(name)
