"""Random forwards that write Python variables, under random changes from outside between the calls:
after each call the result and everything that the module holds are eager's, in bits.

`pytest -m fuzz --fuzz-seed N --fuzz-count M tests/fuzz/test_write_histories.py` draws others. A
failing forward is cut down and printed."""

import linecache
import random
import warnings

import pytest

import graphc
from graphc import nn
from graphc.core.tensor import Tensor

CALLS = 7
FORWARD = """self.n += 1
self.n = self.n * 2 + 1
x = x * self.n
x = x + self.f
self.f = self.f * 0.5 + 0.25
self.h = self.h * 0.5 + x
x = x + self.h
self.h.mul_(0.5)
self.h = x
self.g = self.h
self.last = x * 2
self.pair = (x, self.n)
self.out = [x, {'a': x * 3}]
self.s = f'{self.flag}'
self.flag = not self.flag
if self.flag: x = x + 1
x = x * 2 if self.n % 3 == 0 else x
self.log.append(x.sum())
self.log.append(self.n)
self.log[-1:] = [x.mean()]
x = x + len(self.log)
self.n = x.shape[0]
self.n += x.shape[0]
self.shape = x.shape
self.sizes[x.shape[0]] = self.n
x = x + sum(self.log)
self.d['a'] = x + 1
self.d['k'] += 1
x = x + self.d['k']
if 'z' in self.d: x = x + self.d['z']
self.d.pop('z', None)
self.average = self.average + 1
self.average.add_(1)
x = x + self.average
x = x + self.sub.m
self.sub.m += 1
self.sub.t = x
SHARED['c'] += 1
x = x + SHARED['c']
SHARED['t'] = x.detach()
x = self.linear(x)""".splitlines()
OUTSIDE = """m.n = 5
m.n = 0.5
m.f += 1.0
m.f = 1
m.h = graphc.ones(3)
m.h = m.last
m.h = x
m.last = None
m.log.clear()
m.log = [1.0]
m.d['k'] = 7
m.d['z'] = 2.0
m.d = {'k': 2}
m.flag = True
m.average = graphc.zeros(3)
m.average.mul_(2)
SHARED['c'] = 1.5
m.sub.m = 3
m.train(not m.training)
pass
pass""".splitlines()


class Sub:
    def __init__(self):
        self.m, self.t = 1, None


def shown(x):
    """Everything of a value that a user can tell."""
    if isinstance(x, Tensor):
        held = x._array.tobytes() if x._array is not None else "of a capture"
        return held, tuple(x.shape), x.requires_grad, x._version
    if isinstance(x, (list, tuple)):
        return type(x).__name__, [shown(v) for v in x]
    if isinstance(x, dict):
        return [(k, shown(v)) for k, v in x.items()]
    return shown(vars(x)) if isinstance(x, Sub) else (type(x).__name__, repr(x))


def history(seed, body, compiled):
    """What seven calls showed, eagerly or compiled."""
    source = "class M(nn.Module):\n    def forward(self, x):\n"
    source += "".join(f"        {s}\n" for s in body) + "        return x\n"
    name = f"<history {seed}>"
    linecache.cache[name] = (len(source), None, source.splitlines(True), name)
    shared = {"c": 0, "t": None}
    names = {"nn": nn, "graphc": graphc, "SHARED": shared, "__name__": "history"}
    exec(compile(source, name, "exec"), names)  # noqa: S102
    graphc.manual_seed(seed)
    m = names["M"]()
    m.n, m.f, m.h, m.flag, m.last, m.sub = 0, 0.5, graphc.zeros(3), False, None, Sub()
    m.log, m.d, m.linear, m.sizes = [], {"k": 0}, nn.Linear(3, 3), {}
    m.register_buffer("average", graphc.ones(3))
    f = graphc.compile(m, backend="interpret") if compiled else m
    r = random.Random(seed)
    seen = []
    for i in range(CALLS):
        n = 3 if seed % 2 else r.choice((3, 3, 4, 5))  # other sizes may be errors
        x = graphc.arange(n).float() * (i + 1)
        for _ in range(r.randint(0, 2)):
            exec(r.choice(OUTSIDE), {"m": m, "graphc": graphc, "SHARED": shared, "x": x})  # noqa: S102
        try:
            seen.append(shown(f(x)))
        except Exception as e:  # noqa: BLE001
            seen.append((type(e).__name__, str(e).splitlines()[0]))
        fields = {k: v for k, v in vars(m).items() if not k.startswith("_")}
        seen.append([shown(fields), shown(m.average), shown(shared)])
    return seen


def same(seed, body):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return history(seed, body, False) == history(seed, body, True)


def check(seed):
    r = random.Random(~seed)
    body = [r.choice(FORWARD) for _ in range(r.randint(2, 7))]
    if same(seed, body):
        return
    for at in reversed(range(len(body))):
        if not same(seed, body[:at] + body[at + 1 :]):
            del body[at]
    pytest.fail(f"history {seed} differs from eager mode:\n" + "\n".join(body))


@pytest.mark.parametrize("seed", range(0, 40, 10))
def test_histories(seed):
    for s in range(seed, seed + 10):
        check(s)


@pytest.mark.fuzz
def test_random_histories(fuzz_seed, fuzz_count):
    for s in range(fuzz_count):
        check(fuzz_seed + s)
