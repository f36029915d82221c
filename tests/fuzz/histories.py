"""Random Python programs that read state of many kinds, with a random history of changes and calls:
takes a seed, gives a `History` as text.

A value (number, string, list, tensor, function ...) is reached through a carrier (global, closure,
default, attribute, item ...) by a piece of code that stands in some frame (inline, helper, method,
comprehension ...). Invariant: a seed always gives the same history, and the text alone repeats
it."""

import random
import textwrap

HEADER = """\
import array, collections, contextlib, contextvars, dataclasses, enum, functools, operator
import threading, types, weakref
import numpy as np
import graphc
from graphc import nn, optim
from graphc.nn import functional as F

def ramp(*shape, start=1.0):
    n = 1
    for s in shape:
        n *= s
    return (graphc.arange(n).float() + start).view(*shape)
"""


class Value:
    """values: what the state is set to; uses: code that reads `{r}` and sets v (a float tensor of
    shape (2, 3)); changes: statements that change the object `{r}` in place. refused: the
    construct is one of those that compile refuses."""

    def __init__(self, values, uses, changes=(), refused=""):
        self.values, self.uses, self.changes, self.refused = values, uses, changes, refused


FLOATS = ["2.0", "3.0", "0.5", "-1.0", "0.0", "-0.0", "1e-3", "float('inf')", "1.0"]
VALUES = {
    "float": Value(
        FLOATS,
        [
            "v = v * {r}",
            "v = v + {r} / 2",
            "v = {r} - v",
            "v = v if {r} > 1 else v * 0.5",
            "v = v.mul({r}).add({r})",
            "v = v + graphc.full((2, 3), {r})",
            "v = v.clamp(-50.0, 50.0) if isinstance({r}, float) else v + 1",
            "v = v * 2 if type({r}) is float else v + 1",
            "v = v + len(str({r}))",
            "v = v * max({r}, 1.5)",
            "v = v + int({r} == 2.0)",
            "k = {r}\nk = k * 2 + 1\nv = v * k",
            "v = v + graphc.tensor({r})",
            "v = v * float({r})",
            "v = v + F.relu(graphc.tensor([{r}, 1.0, 2.0]))",
            "v = F.leaky_relu(v, {r})",
            "v = v.add(ramp(3), alpha={r})",
            "v = v * np.float32({r}).item()",
            "v = v + hash({r}) % 7",
            "v = v * {{2.0: 5.0}}.get({r}, 1.0)",
        ],
    ),
    "number": Value(
        ["1", "2", "3", "2.0", "True", "0", "False", "-1", "1.0"],
        [
            "v = v * {r}",
            "v = v + 1 if {r} else v - 1",
            "v = v + {r}",
            "v = v - graphc.arange(3) * {r}",
            "for _ in range(int({r})):\n    v = v + 1",
            "v = v.roll(int({r}), 0)",
            "v = v + [1, 2, 3, 4][{r}]",
            "v = v / ({r} or 4)",
            "v = v if {r} is True else v * 2",
            "v = v + (graphc.arange(6).view(2, 3) * {r})",
            "v = v.sum({r} % 2, keepdim=True) + v",
        ],
    ),
    "flag": Value(
        ["True", "False", "None", "'yes'", "''", "()"],
        [
            "v = v + 1 if {r} else v - 1",
            "v = v * 2 if {r} is None else v",
            "if not {r}:\n    v = v.neg()",
            "v = v.exp() if {r} == 'yes' else v.cos()",
        ],
    ),
    "text": Value(
        ["'relu'", "'tanh'", "'sin'", "'abs'"],
        [
            "v = getattr(v, {r})()",
            "v = v.relu() if {r} == 'relu' else v.tanh()",
            "v = {{'relu': v.relu, 'tanh': v.tanh}}.get({r}, v.cos)()",
            "v = v + len({r})",
            "v = v * 2 if {r}.startswith('t') else v",
            "match {r}:\n    case 'relu':\n        v = v + 1\n    case _:\n        v = v + 2",
            "v = getattr(graphc, {r})(v)",
            "v = getattr(F, {r}, graphc.cos)(v)",
        ],
    ),
    "dtype": Value(
        ["graphc.float32", "graphc.float64", "graphc.int32", "graphc.bfloat16"],
        [
            "v = v.to({r}).float()",
            "v = v + graphc.ones(3, dtype={r})\nv = v.float()",
            "v = v * (2 if {r} is graphc.float32 else 3)",
            "v = v + graphc.zeros(2, 3).to({r}).float() + {r}.itemsize",
        ],
    ),
    "list": Value(
        ["[1.0, 2.0]", "[3.0]", "[1, 2, 3]", "[0.5, [1.0], 2.0]", "[]"],
        [
            "v = v + len({r})",
            "for a in {r}:\n    v = v + (a if not isinstance(a, list) else a[0])",
            "v = v * sum(a for a in {r} if not isinstance(a, list))",
            "v = v + {r}[-1]",
            "v = v + (2 if 2.0 in {r} else 1)",
            "a, *rest = {r}\nv = v + len(rest)",
            "v = v + graphc.tensor([float(a) for a in {r}[:1]]).sum()",
            "v = v * 2 if {r} else v",
            "v = v + (3 if {r} == [3.0] else 0)",
            "v = v + len(sorted(map(str, {r})))",
        ],
        [
            "{r}.append(4.0)",
            "{r}[0] = 7.0",
            "{r}[:] = [2.0, 5.0]",
            "{r}.reverse()",
            "{r}.pop()",
            "{r}.insert(0, 1.5)",
            "{r}.clear()",
            "{r}.extend([1.0, 1.0])",
            "{r} += [9.0]",
            "{r}.append([2.0])",
        ],
    ),
    "dict": Value(
        [
            "{'a': 1.0, 'b': 2.0}",
            "{'a': 3.0}",
            "{'a': 1, 'c': {'d': 4.0}}",
            "collections.OrderedDict(a=2.0, b=3.0)",
            "collections.defaultdict(float, a=2.0)",
            "collections.ChainMap({'b': 1.0}, {'a': 2.0})",
            "types.MappingProxyType({'a': 6.0})",
            "collections.Counter('aab')",
        ],
        [
            "v = v * {r}['a']",
            "v = v + {r}.get('b', 0.25)",
            "for k, a in {r}.items():\n    v = v + (a if k < 'c' else 2)",
            "v = v + len({r})",
            "v = v + 1 if 'b' in {r} else v",
            "v = v * len(list({r})[0])\nv = v + len({r}.keys())",
            "v = v + sum(a for a in {r}.values() if not isinstance(a, dict))",
            "v = v + {{**{r}}}['a']",
            "v = v + (lambda a=0, **kw: a)(**{r})",
            "v = v * 2 if {r} == {{'a': 3.0}} else v",
        ],
        [
            "{r}['a'] = 5.0",
            "{r}['b'] = 9.0",
            "{r}.pop('b', None)",
            "{r}.update(a=2.5)",
            "{r}['a'] = {r}.pop('a')",
            "{r}.setdefault('z', 1.0)",
            "{r}.clear()",
        ],
    ),
    "set": Value(
        ["{1, 2}", "frozenset((2, 3))", "{1}", "set()"],
        [
            "v = v + len({r})",
            "v = v * 2 if 2 in {r} else v",
            "v = v + sum({r})",
            "v = v + (1 if {r} >= {{1}} else 4)",
        ],
        ["{r}.add(7)", "{r}.discard(2)", "{r}.clear()", "{r}.update((1, 2))"],
    ),
    "tuple": Value(
        ["(1.0, 2.0)", "(1.0, [2.0], 'a')", "Pair(2.0, 3.0)", "Pair(a=1.0, b=2.0)", "(3.0,)"],
        [
            "v = v * {r}[0]",
            "v = v + len({r})",
            "v = v + (getattr({r}, 'b', 0.5) if isinstance({r}, Pair) else 1)",
            "first, *_ = {r}\nv = v - first",
            "v = v + len({r}[1]) if len({r}) == 3 else v",
        ],
        ["{r}[1].append(3.0)"],
    ),
    "sequence": Value(
        [
            "collections.deque([1.0, 2.0])",
            "array.array('d', [1.0, 2.0])",
            "collections.UserList([2.0, 3.0])",
            "Items([1.0, 4.0])",
        ],
        [
            "v = v + {r}[0]",
            "v = v + len({r})",
            "for a in {r}:\n    v = v * a",
            "v = v + sum({r})",
            "v = v * 2 if 2.0 in {r} else v",
        ],
        ["{r}.append(3.0)", "{r}[0] = 5.0", "{r}.pop()", "{r}.extend([1.0])"],
    ),
    "bytes": Value(
        ["b'abc'", "bytearray(b'abc')", "b''", "bytearray(b'x')", "memoryview(bytearray(b'ab'))"],
        ["v = v + len({r})", "v = v + sum({r})", "v = v * ({r}[0] if {r} else 2)"],
        ["{r}[0] = 5", "{r}.append(3)"],
    ),
    "tensor": Value(
        [
            "ramp(3)",
            "ramp(2, 3)",
            "ramp(1)",
            "ramp(3).double()",
            "graphc.arange(3)",
            "ramp(3).requires_grad_()",
            "nn.Parameter(ramp(2, 3))",
            "ramp(3, 2).t()",
            "graphc.ones(())",
        ],
        [
            "v = (v + {r}).float()",
            "v = (v * {r}.detach()).float()",
            "v = v + {r}.dim()",
            "v = v + (1 if isinstance({r}, nn.Parameter) else 2)",
            "v = v + {r}.shape[-1] if {r}.dim() else v",
            "v = v * (2 if {r}.requires_grad else 3)",
            "v = v + {r}.sum().float()",
            "v = v + graphc.zeros_like({r}).float().sum() + {r}.numel()",
            "v = v + (1 if {r}.dtype is graphc.float32 else 2)",
            "v = v + (1 if {r}.is_contiguous() else 2)",
            "{r}.data.add_(1)\nv = v + {r}.detach().float().sum()",
            "v = v + (1 if {r}.grad is None else {r}.grad.float().sum())",
        ],
        [
            "{r}.data.mul_(2)",
            "{r}.requires_grad_(not {r}.requires_grad)",
            "{r}.data = ramp(3, start=5.0)",
            "{r}.grad = graphc.ones_like({r})",
            "{r}.grad = None",
            "{r}.data[0] = 7",
            "{r}.tag = 3",
        ],
    ),
    "array": Value(
        [
            "np.arange(3.0)",
            "np.ones((2, 3), np.float32)",
            "np.arange(6.0).reshape(3, 2).T",
            "np.array(2.0)",
            "np.arange(3)",
        ],
        [
            "v = (v + graphc.from_numpy({r})).float()",
            "v = (v * graphc.tensor({r})).float()",
            "v = (v + graphc.as_tensor({r})).float()",
            "v = v + {r}.ndim + {r}.size",
            "v = v * 2 if {r}.dtype == np.float32 else v",
        ],
        ["{r}[...] = 5", "{r} += 1", "{r}.reshape(-1)[0] = 3"],
    ),
    "function": Value(
        [
            "graphc.relu",
            "lambda t: t * 2",
            "lambda t: t * 3",
            "double",
            "functools.partial(graphc.mul, other=3.0)",
            "functools.partial(F.leaky_relu, negative_slope=0.3)",
            "Callable(2.0)",
            "Callable(2.0).apply",
            "nn.Tanh()",
            "operator.neg",
            "functools.partial(scaled, k=2.0)",
            "scaled",
            "cached",
            "Callable.static",
            "Callable.made",
            "with_defaults",
        ],
        [
            "v = {r}(v)",
            "v = functools.reduce(lambda a, f: f(a), [{r}, {r}], v)",
            "v = list(map({r}, [v]))[0]",
            "v = v + (1 if {r} is double else 2)",
            "v = (lambda f: f(v))({r})",
            "v = next(iter([{r}]))(v)",
        ],
        [
            "double.__code__ = (lambda t: t * 5).__code__",
            "double.__code__ = (lambda t: t + 4).__code__",
            "with_defaults.__defaults__ = (5.0,)",
            "with_defaults.__kwdefaults__ = {{'m': 3.0}}",
            "with_defaults.__kwdefaults__['m'] = 4.0",
            "Callable.__call__ = lambda self, t: t - self.k",
            "Callable.apply = lambda self, t: t + self.k",
            "Callable.static = staticmethod(lambda t: t * 7)",
            "Callable.made = classmethod(lambda cls, t: t * cls.size)",
            "Callable.size = 9.0",
            "{r}.k = 4.0",
            "{r}.__self__.k = 6.0",
            "{r}.keywords['other'] = 9.0",
            "FACTOR = 8.0",
            "FACTOR = 3.0",
        ],
    ),
    "enum": Value(
        ["Mode.FAST", "Mode.SLOW", "Level.LOW", "Level.HIGH"],
        [
            "v = v * 2 if {r} is Mode.FAST else v",
            "v = v + {r}.value",
            "v = v + len({r}.name)",
            "v = v + {r}.weight()",
            "v = v * 3 if {r} == Level.LOW else v",
            "v = v + len(Mode)",
        ],
        ["Mode.weight = lambda self: self.value * 2", "Mode.FAST.extra = 1"],
    ),
    "object": Value(
        [
            "Plain(2.0)",
            "Plain(3.0)",
            "Data(1.0, [2.0])",
            "types.SimpleNamespace(w=2.0, z=[1.0])",
            "Slots(2.0)",
            "Frozen(4.0)",
            "WithProperty(2.0)",
            "Dynamic(2.0)",
            "Derived(3.0)",
            "Lazy(2.0)",
            "Weighted()",
            "Local(2.0)",
        ],
        [
            "v = v * {r}.w",
            "v = v + getattr({r}, 'w')",
            "v = v + operator.attrgetter('w')({r})",
            "v = v + getattr({r}, 'missing', 0.5)",
            "v = v * (2 if hasattr({r}, 'extra') else 1)",
            "v = v + len(getattr({r}, 'z', ()))",
            "name = 'w'\nv = v * getattr({r}, name)",
            "v = v + len(vars({r})) if hasattr({r}, '__dict__') else v",
            "v = v + (1 if isinstance({r}, Plain) else 2)",
            "o = {r}\nv = v + o.w + o.w",
            "v = v + len({r}.__class__.__name__)",
            "v = v * 2 if {r} else v",
        ],
        [
            "{r}.w = 5.0",
            "{r}.w = -1",
            "{r}.extra = 1",
            "del {r}.extra",
            "{r}.z = [1.0, 2.0]",
            "{r}.z.append(1.0)",
            "{r}._w = 7.0",
            "del {r}.w",
            "vars({r})['w'] = 6.0",
            "object.__setattr__({r}, 'w', 8.0)",
            "{r}.__class__ = Derived",
            "Plain.missing = 3.0",
            "Base.shared = 4.0",
            "Derived.w = property(lambda self: 2.5)",
            "WithProperty.w = property(lambda self: self._w * 2)",
            "Weighted.w = Descriptor(9.0)",
            "Weighted.__dict__['w'].value = 4.0",
            "Plain.__len__ = lambda self: 0",
        ],
    ),
    "variable": Value(
        ["contextvars.ContextVar('c', default=2.0)", "weakref.ref(ANCHOR)"],
        [
            "v = v * ({r}.get() if isinstance({r}, contextvars.ContextVar) else {r}().w)",
        ],
        ["{r}.set(5.0)", "{r}.set(2.0)", "ANCHOR.w = 7.0"],
        refused="context variable",
    ),
}
SUPPORT = """\
Pair = collections.namedtuple("Pair", "a b")
class Mode(enum.Enum):
    FAST = 1
    SLOW = 2
    def weight(self):
        return self.value
class Level(enum.IntEnum):
    LOW = 1
    HIGH = 5
    def weight(self):
        return self.value + 1
class Items:
    def __init__(self, items):
        self.items = items
    def __len__(self):
        return len(self.items)
    def __getitem__(self, i):
        return self.items[i]
    def __iter__(self):
        return iter(self.items)
    def __contains__(self, a):
        return a in self.items
    def append(self, a):
        self.items.append(a)
class Callable:
    size = 2.0
    def __init__(self, k):
        self.k = k
    def __call__(self, t):
        return t * self.k
    def apply(self, t):
        return t + self.k * 2
    @staticmethod
    def static(t):
        return t * 3
    @classmethod
    def made(cls, t):
        return t + cls.size
FACTOR = 3.0
def double(t):
    return t * 2
def scaled(t, k=1.5):
    return t * k * FACTOR
def with_defaults(t, k=2.0, *, m=1.0):
    return t * k + m
@functools.lru_cache
def factor(n):
    return n + FACTOR
def cached(t):
    return t * len(str(n_of()))
def n_of():
    return FACTOR
class Base:
    shared = 1.0
class Plain(Base):
    def __init__(self, w):
        self.w = w
class Derived(Plain):
    w2 = 2.0
@dataclasses.dataclass
class Data:
    w: float
    z: list
@dataclasses.dataclass(frozen=True)
class Frozen:
    w: float
class Slots:
    __slots__ = ("w",)
    def __init__(self, w):
        self.w = w
class WithProperty:
    def __init__(self, w):
        self._w = w
    @property
    def w(self):
        return self._w
class Dynamic:
    def __init__(self, w):
        self.store = {"w": w}
    def __getattr__(self, name):
        try:
            return self.__dict__["store"][name]
        except KeyError:
            raise AttributeError(name) from None
    def __setattr__(self, name, value):
        if name == "store":
            self.__dict__["store"] = value
        else:
            self.store[name] = value
class Lazy:
    def __init__(self, w):
        self.start = w
        self.w
    @functools.cached_property
    def w(self):
        return self.start * 2
class Descriptor:
    def __init__(self, value):
        self.value = value
    def __get__(self, obj, owner=None):
        return self if obj is None else self.value
class Weighted:
    w = Descriptor(3.0)
class Local(threading.local):
    def __init__(self, w):
        self.w = w
ANCHOR = Plain(2.0)
"""


class Carrier:
    """Where a value lies. module, outer: text at module level and inside the function that makes
    the compiled one; ref: how the code names it; reach: how the outside names it; sets: statements
    that put `{x}` there; frame: the wrapper that the code needs, or empty; call: argument text."""

    def __init__(self, ref, sets, module="", outer="", reach="", frame="", call=""):
        self.ref, self.sets, self.module, self.outer = ref, sets, module, outer
        self.reach, self.frame, self.call = reach or ref, frame, call


CARRIERS = {
    "global": Carrier("G{n}", ["G{n} = {x}"], module="G{n} = {x}\n"),
    "deleted": Carrier("G{n}", ["G{n} = {x}", "del G{n}"], module="G{n} = {x}\n"),
    "computed": Carrier("globals()['G{n}']", ["G{n} = {x}"], module="G{n} = {x}\n", reach="G{n}"),
    "closure": Carrier(
        "k{n}",
        ["outside['set{n}']({x})"],
        outer="k{n} = {x}\n"
        "def set{n}(value):\n    nonlocal k{n}\n    k{n} = value\n"
        "def get{n}():\n    return k{n}\n",
        reach="outside['get{n}']()",
    ),
    "default": Carrier(
        "d{n}",
        ["frame{n}.__defaults__ = ({x},)"],
        frame="def frame{n}(v, d{n}={x}):\n{body}    return v\n",
        reach="frame{n}.__defaults__[0]",
    ),
    "keyword default": Carrier(
        "d{n}",
        ["frame{n}.__kwdefaults__['d{n}'] = {x}", "frame{n}.__kwdefaults__ = {{'d{n}': {x}}}"],
        frame="def frame{n}(v, *, d{n}={x}):\n{body}    return v\n",
        reach="frame{n}.__kwdefaults__['d{n}']",
    ),
    "attribute": Carrier(
        "box{n}.x",
        [
            "box{n}.x = {x}",
            "setattr(box{n}, 'x', {x})",
            "vars(box{n})['x'] = {x}",
            "box{n} = Box({x})",
        ],
        module="class Box:\n    def __init__(self, x):\n        self.x = x\nbox{n} = Box({x})\n",
    ),
    "nested": Carrier(
        "box{n}.a.b[0]['x']",
        [
            "box{n}.a.b[0]['x'] = {x}",
            "box{n}.a.b = [{{'x': {x}}}]",
            "box{n}.a = types.SimpleNamespace(b=({{'x': {x}}},))",
        ],
        module="box{n} = types.SimpleNamespace(a=types.SimpleNamespace(b=[{{'x': {x}}}]))\n",
    ),
    "slots": Carrier(
        "slot{n}.x",
        ["slot{n}.x = {x}"],
        module="class Slot{n}:\n    __slots__ = ('x', 'y')\nslot{n} = Slot{n}()\nslot{n}.x = {x}\n",
    ),
    "dataclass": Carrier(
        "data{n}.x",
        ["data{n}.x = {x}", "data{n} = dataclasses.replace(data{n}, x={x})"],
        module="@dataclasses.dataclass\nclass Data{n}:\n    x: object\n    y: int = 1\n"
        "data{n} = Data{n}({x})\n",
    ),
    "frozen dataclass": Carrier(
        "data{n}.x",
        ["data{n} = Data{n}({x})", "object.__setattr__(data{n}, 'x', {x})"],
        module="@dataclasses.dataclass(frozen=True)\nclass Data{n}:\n    x: object\n"
        "data{n} = Data{n}({x})\n",
    ),
    "class attribute": Carrier(
        "Class{n}.x",
        ["Class{n}.x = {x}"],
        module="class Class{n}:\n    x = {x}\n",
    ),
    "through an instance": Carrier(
        "one{n}.x",
        ["Class{n}.x = {x}", "one{n}.x = {x}", "Parent{n}.x = {x}", "vars(one{n}).pop('x', None)"],
        module="class Parent{n}:\n    x = {x}\nclass Class{n}(Parent{n}):\n    y = 1\n"
        "one{n} = Class{n}()\n",
    ),
    "named tuple": Carrier(
        "pair{n}.a", ["pair{n} = Pair({x}, 2)"], module="pair{n} = Pair({x}, 1)\n"
    ),
    "item": Carrier(
        "table{n}['x']",
        ["table{n}['x'] = {x}", "table{n} = {{'x': {x}, 'y': 1}}", "table{n}.update(x={x})"],
        module="table{n} = {{'x': {x}}}\n",
    ),
    "element": Carrier(
        "row{n}[0]",
        ["row{n}[0] = {x}", "row{n}[:] = [{x}]", "row{n} = [{x}, 2]"],
        module="row{n} = [{x}, 1]\n",
    ),
    "function attribute": Carrier(
        "frame{n}.x",
        ["frame{n}.x = {x}"],
        frame="def frame{n}(v):\n{body}    return v\nframe{n}.x = {x}\n",
    ),
    "user module": Carrier(
        "mod{n}.x",
        ["mod{n}.x = {x}"],
        module="mod{n} = types.ModuleType('mod{n}')\nmod{n}.x = {x}\n",
    ),
    "partial": Carrier(
        "d{n}",
        [
            "part{n} = functools.partial(frame{n}, d{n}={x})",
            "part{n}.keywords['d{n}'] = {x}",
        ],
        frame="def frame{n}(v, d{n}):\n{body}    return v\n"
        "part{n} = functools.partial(frame{n}, d{n}={x})\n",
        reach="part{n}.keywords['d{n}']",
    ),
    "property": Carrier(
        "prop{n}.x",
        ["prop{n}._x = {x}", "Prop{n}.x = property(lambda self: self._x)"],
        module="class Prop{n}:\n    @property\n    def x(self):\n        return self._x\n"
        "prop{n} = Prop{n}()\nprop{n}._x = {x}\n",
    ),
    "descriptor": Carrier(
        "holder{n}.x",
        ["desc{n}.value = {x}", "Holder{n}.x = Descriptor({x})"],
        module="desc{n} = Descriptor({x})\nclass Holder{n}:\n    x = desc{n}\n"
        "holder{n} = Holder{n}()\n",
    ),
    "module attribute": Carrier(
        "self.x",
        ["net{n}.x = {x}", "setattr(net{n}, 'x', {x})"],
        frame="class Net{n}(nn.Module):\n"
        "    def __init__(self):\n        super().__init__()\n        self.x = {x}\n"
        "    def forward(self, v):\n{deep}        return v\n"
        "net{n} = Net{n}()\n",
        reach="net{n}.x",
    ),
    "bound method": Carrier(
        "self.x",
        ["bound{n}.__self__.x = {x}", "bound{n} = Bound{n}({x}).use"],
        frame="class Bound{n}:\n"
        "    def __init__(self, x):\n        self.x = x\n"
        "    def use(self, v):\n{deep}        return v\n"
        "bound{n} = Bound{n}({x}).use\n",
        reach="bound{n}.__self__.x",
    ),
    "callable object": Carrier(
        "self.x",
        ["object{n}.x = {x}", "object{n} = Object{n}({x})"],
        frame="class Object{n}:\n"
        "    def __init__(self, x):\n        self.x = x\n"
        "    def __call__(self, v):\n{deep}        return v\n"
        "object{n} = Object{n}({x})\n",
        reach="object{n}.x",
    ),
    "argument": Carrier(
        "a{n}", ["A{n} = {x}"], module="A{n} = {x}\n", call="a{n}=A{n}", reach="A{n}"
    ),
    "argument in a list": Carrier(
        "a{n}[0]",
        ["A{n} = [{x}]", "A{n}[0] = {x}"],
        module="A{n} = [{x}]\n",
        call="a{n}=A{n}",
        reach="A{n}[0]",
    ),
    "argument's attribute": Carrier(
        "a{n}.x",
        ["A{n} = types.SimpleNamespace(x={x})", "A{n}.x = {x}"],
        module="A{n} = types.SimpleNamespace(x={x})\n",
        call="a{n}=A{n}",
        reach="A{n}.x",
    ),
}
CALLED = {
    "default": "frame{n}(v)",
    "keyword default": "frame{n}(v)",
    "function attribute": "frame{n}(v)",
    "partial": "part{n}(v)",
    "module attribute": "net{n}(v)",
    "bound method": "bound{n}(v)",
    "callable object": "object{n}(v)",
}
# frames that code may stand in: `{body}` is the code indented once, `{n}` a number
FRAMES = [
    "",
    "",
    "def frame{n}(v):\n{body}    return v\n",
    "frame{n} = Apply{n} = None\nclass Apply{n}:\n    @staticmethod\n"
    "    def run(v):\n{deep}        return v\nframe{n} = Apply{n}.run\n",
    "def decorated{n}(f):\n    @functools.wraps(f)\n    def inner(*args):\n"
    "        return f(*args)\n    return inner\n"
    "@decorated{n}\ndef frame{n}(v):\n{body}    return v\n",
    "@contextlib.contextmanager\ndef scope{n}():\n    yield\n"
    "def frame{n}(v):\n    with scope{n}():\n{deep}    return v\n",
    "def frame{n}(v):\n    def steps(v=v):\n{deep}        yield v\n"
    "    return [t for t in steps()][0]\n",
    "def frame{n}(v):\n    try:\n{deep}    finally:\n        v = v + 0.5\n    return v\n",
    "@graphc.no_grad()\ndef frame{n}(v):\n{body}    return v\n",
]


class Part:
    """A piece with state of its own that is no value in a carrier: text like Carrier's, with the
    code that uses it; shown: expressions compared after every call."""

    def __init__(self, module, uses, changes, shown=(), refused=""):
        self.module, self.uses, self.changes = module, uses, changes
        self.shown, self.refused = shown, refused


PARTS = {
    "linear": Part(
        "lin{n} = nn.Linear(3, 3)\nhandles{n} = []\n",
        [
            "v = lin{n}(v)",
            "v = F.linear(v, lin{n}.weight, lin{n}.bias)",
            "v = v + sum(p.sum() for p in lin{n}.parameters())",
            "v = v + len(lin{n}.state_dict())",
            "for name, p in lin{n}.named_parameters():\n"
            "    v = v + (p.mean() if 'w' in name else 1)",
            "v = lin{n}(v) if lin{n}.training else v",
        ],
        [
            "lin{n}.weight = nn.Parameter(ramp(3, 3))",
            "lin{n}.bias = None",
            "lin{n}.bias = nn.Parameter(ramp(3))",
            "lin{n}.weight.data = ramp(3, 3, start=2.0)",
            "lin{n}.weight.data.mul_(0.5)",
            "with graphc.no_grad():\n    lin{n}.weight.add_(1)",
            "lin{n}.weight.requires_grad_(False)",
            "lin{n}.requires_grad_(True)",
            "handles{n}.append(lin{n}.register_forward_hook(lambda m, a, out: out * 2))",
            "handles{n}.append(lin{n}.register_forward_pre_hook(lambda m, a: (a[0] + 1,)))",
            "handles{n}.append(lin{n}.weight.register_hook(lambda g: g * 3))",
            "handles{n}.pop().remove()",
            "lin{n}.forward = lambda t: t * 2",
            "del lin{n}.forward",
            "lin{n}.eval()",
            "lin{n}.train()",
            "lin{n}.load_state_dict({{k: t + 1 for k, t in lin{n}.state_dict().items()}})",
            "lin{n}.load_state_dict({{k: t + 1 for k, t in lin{n}.state_dict().items()}},"
            " assign=True)",
            "lin{n}.register_parameter('extra', nn.Parameter(ramp(1)))",
            "lin{n}.zero_grad()",
            "lin{n}.weight.grad = graphc.ones(3, 3)",
            "lin{n}.__class__ = type('Sub{n}', (nn.Linear,),"
            " {{'forward': lambda self, t: t + self.weight.sum()}})",
            "lin{n} = nn.Linear(3, 3, bias=False)",
            "lin{n}.bias.data.requires_grad_(False)",
            "lin{n}.in_features = 7",
        ],
        ["lin{n}"],
    ),
    "sequential": Part(
        "seq{n} = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3))\n",
        [
            "v = seq{n}(v)",
            "for m in seq{n}:\n    v = m(v)",
            "v = v + len(seq{n})",
            "v = seq{n}[0](v)",
            "for m in seq{n}.modules():\n"
            "    v = v + (m.weight.sum() if hasattr(m, 'weight') else 1)",
        ],
        [
            "seq{n}.append(nn.Tanh())",
            "seq{n}[1] = nn.Sigmoid()",
            "del seq{n}[-1]",
            "seq{n}.insert(0, nn.ReLU())",
            "seq{n}[0] = nn.Linear(3, 3)",
            "seq{n}.eval()",
            "seq{n}.train()",
            "seq{n}[0].weight.data.zero_()",
            "seq{n}.requires_grad_(False)",
            "seq{n}.add_module('z', nn.ReLU())",
            "seq{n}.extra = nn.Parameter(ramp(1))",
            "seq{n}._modules['0'] = nn.Linear(3, 3)",
            "seq{n}[0].register_buffer('b', ramp(2))",
            "seq{n}.register_forward_hook(lambda m, a, out: out + 1)",
        ],
        ["seq{n}"],
    ),
    "norm": Part(
        "norm{n} = nn.BatchNorm1d(3)\n",
        ["v = norm{n}(v)", "v = norm{n}(v) + norm{n}.running_mean"],
        [
            "norm{n}.eval()",
            "norm{n}.train()",
            "norm{n}.momentum = 0.5",
            "norm{n}.momentum = None",
            "norm{n}.eps = 0.1",
            "norm{n}.running_mean = ramp(3)",
            "norm{n}.running_var.fill_(2)",
            "norm{n}.reset_running_stats()",
            "norm{n}.track_running_stats = False",
            "norm{n}.weight = None",
        ],
        ["norm{n}"],
    ),
    "dropout": Part(
        "drop{n} = nn.Dropout(0.5)\n",
        ["v = drop{n}(v)", "v = F.dropout(v, drop{n}.p, drop{n}.training)"],
        ["drop{n}.p = 0.25", "drop{n}.p = 0.0", "drop{n}.eval()", "drop{n}.train()"],
        ["drop{n}"],
    ),
    "random": Part(
        "gen{n} = graphc.Generator()\ngen{n}.manual_seed(3)\n",
        [
            "v = v + graphc.rand(2, 3)",
            "v = v + graphc.rand(2, 3, generator=gen{n})",
            "_ = graphc.randn(5)\nv = v * graphc.rand_like(v)",
        ],
        [
            "gen{n}.manual_seed(4)",
            "graphc.manual_seed(9)",
            "graphc.rand(3)",
            "gen{n} = graphc.Generator()",
        ],
        ["gen{n}"],
    ),
    "buffer": Part(
        "class Counting{n}(nn.Module):\n"
        "    def __init__(self):\n        super().__init__()\n"
        "        self.register_buffer('count', graphc.zeros(1))\n"
        "        self.table = [1.0, 2.0]\n        self.k = 2\n        self.act = F.relu\n"
        "    def forward(self, v):\n"
        "        self.count += 1\n"
        "        v = self.act(v) * self.scale()\n"
        "        return v * self.count + sum(self.table)\n"
        "    def scale(self):\n        return self.k\n"
        "count{n} = Counting{n}()\n",
        ["v = count{n}(v)", "v = count{n}(count{n}(v))"],
        [
            "count{n}.count = ramp(1)",
            "count{n}.count.zero_()",
            "count{n}.table.append(3.0)",
            "count{n}.table = [0.5]",
            "count{n}.k = 3",
            "count{n}.k = 2.5",
            "count{n}.act = graphc.tanh",
            "count{n}.scale = lambda: 7",
            "Counting{n}.scale = lambda self: self.k + 1",
            "count{n}.register_buffer('more', ramp(1))",
            "count{n}.double()\ncount{n}.float()",
            "vars(count{n})['k'] = 11",
            "count{n}.__dict__.update(k=13)",
        ],
        ["count{n}"],
    ),
    "lists of modules": Part(
        "class Many{n}(nn.Module):\n"
        "    def __init__(self):\n        super().__init__()\n"
        "        self.all = nn.ModuleList([nn.Linear(3, 3), nn.Linear(3, 3)])\n"
        "        self.named = nn.ModuleDict({{'a': nn.ReLU(), 'b': nn.Tanh()}})\n"
        "        self.params = nn.ParameterList([nn.Parameter(ramp(3))])\n"
        "        self.choice = 'a'\n"
        "    def forward(self, v):\n"
        "        for m in self.all:\n            v = m(v)\n"
        "        v = self.named[self.choice](v)\n"
        "        for p in self.params:\n            v = v + p\n"
        "        return v\n"
        "many{n} = Many{n}()\n",
        ["v = many{n}(v)"],
        [
            "many{n}.all.append(nn.Linear(3, 3))",
            "many{n}.all[0] = nn.Identity()",
            "many{n}.choice = 'b'",
            "many{n}.named['a'] = nn.Sigmoid()",
            "del many{n}.named['b']",
            "many{n}.params.append(nn.Parameter(ramp(1)))",
            "many{n}.params[0] = nn.Parameter(ramp(3, start=4.0))",
            "many{n}.all[0].weight = many{n}.all[1].weight",
            "many{n}.all[1] = many{n}.all[0]",
            "many{n}.all = nn.ModuleList([nn.Linear(3, 3)])",
        ],
        ["many{n}"],
    ),
    "training": Part(
        "model{n} = nn.Linear(3, 2)\nopt{n} = optim.{optimizer}(model{n}.parameters(), lr=0.1)\n",
        [
            "loss = model{n}(v.detach()).square().mean()\nopt{n}.zero_grad()\nloss.backward()\n"
            "opt{n}.step()\nv = v + loss.detach()",
            "loss = model{n}(v.detach()).square().mean()\nloss.backward()\n"
            "opt{n}.step()\nopt{n}.zero_grad(set_to_none=False)\nv = v + loss.detach()",
        ],
        [
            "opt{n}.param_groups[0]['lr'] = 0.05",
            "opt{n}.param_groups[0]['lr'] *= 0.5",
            "opt{n}.param_groups[0]['weight_decay'] = 0.1",
            "opt{n}.param_groups[0]['maximize'] = True",
            "opt{n}.add_param_group({{'params': [nn.Parameter(ramp(2))]}})",
            "opt{n}.load_state_dict(opt{n}.state_dict())",
            "opt{n}.state.clear()",
            "model{n}.weight.grad = None",
            "model{n}.weight.grad = graphc.ones(2, 3)",
            "model{n}.weight.requires_grad_(False)",
            "model{n}.weight.requires_grad_(True)",
            "model{n}.bias.data.zero_()",
            "opt{n} = optim.SGD(model{n}.parameters(), lr=0.2, momentum=0.9)",
            "opt{n}.param_groups[0]['lr'] = graphc.tensor(0.01)",
            "opt{n}.param_groups[0]['params'].pop()",
            "optim.lr_scheduler.StepLR(opt{n}, 1).step()",
        ],
        ["model{n}", "opt{n}"],
    ),
    "writes": Part(
        "mem{n} = ramp(2, 3)\n",
        [
            "mem{n}.add_(v.detach())\nv = v + mem{n}",
            "w = mem{n}[0]\nw.mul_(2)\nv = v + mem{n}",
            "y.detach().add_(1)\nv = v + y + mem{n}",
            "mem{n}.copy_(y.detach())\nv = v * mem{n}",
            "v = v * mem{n} + isinstance(y, nn.Parameter)",
            "v = v * mem{n}\nmem{n}.add_(1)",
            "mem{n}.add_(1)\nv = v * mem{n}",
        ],
        [
            "mem{n}.zero_()",
            "mem{n} = ramp(2, 3)",
            "mem{n} = ramp(3, 2).t()",
            "mem{n} = X.detach()",
            "Y = mem{n}",
            "mem{n} = mem{n}[:]",
            "mem{n}.data = ramp(2, 3)",
        ],
        ["mem{n}"],
    ),
    "default dtype": Part(
        "",
        ["v = v + graphc.tensor(1.5) * graphc.ones(1).dtype.itemsize", "v = v * graphc.zeros(3)"],
        ["graphc.set_default_dtype(graphc.float64)", "graphc.set_default_dtype(graphc.float32)"],
    ),
}
OPTIMIZERS = ["SGD", "Adam", "AdamW", "Adagrad"]
ARGUMENTS = [
    "X = ramp(2, 3)",
    "Y = ramp(2, 3, start=-2.0)",
    "Y = nn.Parameter(ramp(2, 3))",
    "X = ramp(3, 2).t()",
    "X = ramp(2, 6)[:, ::2]",
    "Y = X",
    "Y = X.view(2, 3)",
    "Y = X[:]",
    "X = ramp(1, 3)",
    "X = ramp(2, 3).double()",
    "X = graphc.arange(6).view(2, 3)",
    "X = ramp(2, 3).requires_grad_()",
    "Y = ramp(2, 3).requires_grad_()",
    "X = ramp(2, 3).half()",
    "Y = ramp(3)",
    "X = ramp(4, 3)[1:3]",
    "Y = ramp(2, 1).expand(2, 3)",
    "X = nn.Parameter(ramp(2, 3))",
    "X.data.mul_(2)",
    "X = X.detach()",
    "Y = ramp(5, 3)",
    "X = ramp(2, 3)\nY = ramp(2, 3)",
]
CALLS = [
    "OUT = fn(X, Y{args})",
    "OUT = fn(X, Y{args})",
    "OUT = fn(X, Y{args})",
    "OUT = fn(X, y=Y{args})",
    "with graphc.no_grad():\n    OUT = fn(X, Y{args})",
    "with graphc.inference_mode():\n    OUT = fn(X, Y{args})",
    "OUT = fn(X, Y{args})\nif OUT[0].requires_grad:\n    OUT[0].sum().backward()",
    "OUT = fn(X, Y{args})\nif OUT[0].requires_grad:\n    OUT[0].sum().backward()",
    "X.grad = Y.grad = None\nOUT = fn(X, Y{args})",
    "OUT = fn(X, Y{args})\nwith graphc.no_grad():\n    X.add_(1)\n"
    "if OUT[0].requires_grad:\n    OUT[0].sum().backward()",
]
FORMS = {
    "function": "def fn(x, y{params}):\n{body}    return {result}\n",
    "method": "class Owner:\n    def run(self, x, y{params}):\n{deep}        return {result}\n"
    "owner = Owner()\n",
    "model": "class Model(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
    "        self.first = nn.Linear(3, 3)\n"
    "    def forward(self, x, y{params}):\n{deep}        return {result}\nmodel = Model()\n",
}
TARGETS = {"function": "fn", "method": "owner.run", "model": "model"}


class History:
    """source: the text of the program (its names are made by executing it; `target` is what is
    compiled); actions: ("do", statement) and ("call", statement) in order; shown: expressions that
    are compared after each; refused: parts of the messages of refusals that are allowed."""

    def __init__(self, seed):
        self.seed = seed
        self.rng = random.Random(seed)
        self.form = self.rng.choice(["function"] * 4 + ["method", "model"])
        self.pieces = []
        for n in range(self.rng.choice([1, 1, 2, 2, 3, 4])):
            self.pieces.append(self._part(n) if self.rng.random() < 0.35 else self._value(n))
        self.result = "v, y" if self.rng.random() < 0.2 else "v,"
        self.actions = self._history()

    # ---- pieces

    def _value(self, n):
        r = self.rng
        kind = r.choice(list(VALUES))
        where = r.choice(list(CARRIERS))
        value, carrier = VALUES[kind], CARRIERS[where]
        values = r.sample(value.values, min(len(value.values), r.randint(2, 3)))
        if r.random() < 0.15:  # another kind of value, now and then
            values.append(r.choice(r.choice(list(VALUES.values())).values))
        fill = {"n": n, "x": values[0]}
        ref = carrier.ref.format(**fill)
        code = "\n".join(r.choice(value.uses).format(r=ref) for _ in range(r.choice([1, 1, 2])))
        reach = carrier.reach.format(**fill)
        sets = [s.format(n=n, x=x) for s in carrier.sets for x in values]
        changes = [c.format(r=reach) for c in value.changes]
        piece = self._framed(n, code, carrier.frame, fill, CALLED.get(where))
        piece["module"] = carrier.module.format(**fill) + piece["module"]
        piece["outer"] = carrier.outer.format(**fill) + piece.get("outer", "")
        if "k{n}" in carrier.ref and piece["own"]:  # the closure's frame stands inside `make`
            piece["outer"] += piece["own"]
            piece["own"] = ""
        piece.update(
            sets=sets,
            changes=changes,
            call=carrier.call.format(**fill),
            shown=[reach],
            refused=value.refused,
            kind=f"{kind} in {where}",
            param=carrier.ref.format(**fill).split("[")[0].split(".")[0] if carrier.call else "",
        )
        return piece

    def _part(self, n):
        r = self.rng
        name = r.choice(list(PARTS))
        part = PARTS[name]
        code = r.choice(part.uses).format(n=n)
        fill = {"n": n, "optimizer": r.choice(OPTIMIZERS)}
        piece = self._framed(n, code, "", fill, None, plain="y." in code or "y)" in code)
        piece["module"] = part.module.format(**fill) + piece["module"]
        piece.update(
            sets=[],
            changes=[c.format(n=n) for c in part.changes],
            call="",
            shown=[s.format(n=n) for s in part.shown],
            refused=part.refused,
            kind=name,
            param="",
        )
        return piece

    def _framed(self, n, code, frame, fill, called, plain=False):
        """The code, inline or in a frame of its own."""
        own = ""
        if not frame and not plain:
            frame = self.rng.choice(FRAMES)
            if "a{n}" in code or f"a{n}" in code:
                frame = ""
        if frame:
            own = frame.format(
                **fill,
                body=textwrap.indent(code, "    ") + "\n",
                deep=textwrap.indent(code, "        ") + "\n",
            )
            code = "v = " + (called or "frame{n}(v)").format(n=n)
        return {"module": "", "own": own, "outer": "", "code": code}

    # ---- the history

    def _history(self):
        r = self.rng
        plain = CALLS[0]
        actions = [("call", plain)] if r.random() < 0.8 else []
        for _ in range(r.randint(4, 10)):
            for _ in range(r.choice([0, 1, 1, 1, 2])):
                actions.append(("do", self._change()))
            call = plain if r.random() < 0.7 else r.choice(CALLS)
            actions.append(("call", call))
        actions += [("call", plain)] * 3
        return actions

    def _change(self):
        r = self.rng
        if r.random() < 0.15:
            return r.choice(ARGUMENTS)
        piece = r.choice(self.pieces)
        own = [k for k in ("sets", "changes") if piece[k]]
        while True:
            text = r.choice(piece[r.choice(own)])
            try:
                compile(text, "change", "exec")
                return text
            except SyntaxError:  # an augmented assignment to what is no name
                own = ["sets"] if piece["sets"] else own

    # ---- text

    def source(self):
        pieces = self.pieces
        module = "".join(p["module"] + p["own"] for p in pieces)
        outer = "".join(p["outer"] for p in pieces)
        code = "v = x.float()\n" + "\n".join(p["code"] for p in pieces)
        params = "".join(f", {p['param']}=None" for p in pieces if p["param"])
        text = FORMS[self.form].format(
            params=params,
            result=self.result,
            body=textwrap.indent(code, "    ") + "\n",
            deep=textwrap.indent(code, "        ") + "\n",
        )
        target = TARGETS[self.form]
        made = (
            f"def make():\n{textwrap.indent(outer + text, '    ')}    return {target}, locals()\n"
        )
        return (
            HEADER
            + SUPPORT
            + "graphc.manual_seed(1)\nX = ramp(2, 3)\nY = ramp(2, 3, start=-2.0)\nOUT = ()\n"
            + module
            + made
            + "fn, outside = make()\n"
        )

    def statement(self, action):
        """The text of an action."""
        kind, text = action
        if kind == "do":
            return text
        args = "".join(f", {p['call']}" for p in self.pieces if p["call"])
        return text.format(args=args)

    @property
    def shown(self):
        return ["X", "Y", "OUT", *[s for p in self.pieces for s in p["shown"]]]

    @property
    def refused(self):
        return [p["refused"] for p in self.pieces if p["refused"]]

    def __repr__(self):
        kinds = ", ".join(p["kind"] for p in self.pieces)
        start = len(HEADER + SUPPORT)
        actions = "\n".join(
            f"# {i}: {a[0]}\n{self.statement(a)}" for i, a in enumerate(self.actions)
        )
        return f"# seed {self.seed}: {kinds}\n{self.source()[start:]}\n{actions}\n"
