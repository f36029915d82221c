"""Reading objects: takes a pickle, gives tensors, plain containers and numbers.

An interpreter of its own for a closed list of opcodes and a closed list of names: nothing is
imported or called because a file says so. Invariant: whatever the bytes are, the outcome is a value
of a plain type, or an LoadError.
"""

from __future__ import annotations

import struct
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np

from ..base import dtypes
from ..base.dtypes import DType
from ..core.storage import Storage
from ..core.tensor import Size, Tensor, wrap
from ..device import device
from ..nn.parameter import Parameter
from .files import LoadError, NameRefused
from .pickler import STORAGE_NAMES

_KEY_DEPTH = 16         # how deep the tuples in a dictionary key may go


class Loaded:
    """A storage read from a file: a flat array, the Storage that its tensors share, and its
    dtype."""

    __slots__ = ("array", "storage", "dtype")

    def __init__(self, array: np.ndarray, dtype: DType):
        self.array, self.dtype = array, dtype
        self.storage = Storage(array)

    def of(self, dtype: DType) -> Loaded:
        """The same memory under another dtype."""
        if dtype is self.dtype:
            return self
        other = Loaded.__new__(Loaded)
        other.array, other.storage, other.dtype = self.array.view(dtype.np), self.storage, dtype
        return other


class _Name:
    """A name that a pickle may mention; `call` is what REDUCE does with it (None: nothing)."""

    __slots__ = ("text", "call")

    def __init__(self, text: str, call: Callable | None = None):
        self.text, self.call = text, call

    def __repr__(self) -> str:
        return self.text


_DAMAGE = (IndexError, KeyError, ValueError, TypeError, struct.error, OverflowError, AttributeError)


class _Bad(Exception):
    """What is wrong with a pickle; the interpreter adds where."""


class _Unknown(_Bad):
    """A name that is not on the list."""


def _bad(what: str) -> _Bad:
    return _Bad(what)


# ---------------------------------------------------------------- what names do

def _numbers(values: Any, what: str) -> tuple:
    if type(values) not in (tuple, list, Size) or any(type(v) is not int or v < 0 for v in values):
        raise _bad(f"a tensor's {what} must be non-negative integers, got {values!r:.80}")
    return tuple(values)


def rebuild_tensor(storage: Any, offset: Any, size: Any, stride: Any, requires_grad: Any = False,
                   hooks: Any = None, metadata: Any = None) -> Tensor:
    """A tensor over a loaded storage; every element has to lie inside it."""
    if not isinstance(storage, Loaded):
        raise _bad("a tensor without a storage")
    shape, steps = _numbers(size, "shape"), _numbers(stride, "strides")
    (offset,) = _numbers((offset,), "offset")
    a = storage.array
    if len(shape) != len(steps) or len(shape) > 64:
        raise _bad(f"a tensor with shape {shape} and strides {steps}")
    count = 1
    for n in shape:
        count *= n
    if count == 0:
        view = np.empty(shape, a.dtype)
    else:
        if (
            count >= 1 << 62
            or offset + sum((n - 1) * s for n, s in zip(shape, steps, strict=True)) >= a.size
        ):
            raise _bad(f"a tensor of shape {shape}, strides {steps} and offset {offset} does not "
                       f"fit its storage of "
                       f"{a.size} elements")
        if _row_major(shape, steps):
            view = a[offset:offset + count].reshape(shape)
        else:
            view = np.ndarray(
                shape, a.dtype, a, offset * a.itemsize, tuple([s * a.itemsize for s in steps])
            )
    t = wrap(view, storage.dtype)
    t._storage = storage.storage
    t._needs = requires_grad is True and storage.dtype.category >= dtypes.FLOAT
    return t


def _row_major(shape: tuple, strides: tuple) -> bool:
    step = 1
    for n, s in zip(reversed(shape), reversed(strides), strict=True):
        if n != 1 and s != step:
            return False
        step *= n
    return True


def _rebuild_parameter(
    data: Any, requires_grad: Any = True, hooks: Any = None, state: Any = None
) -> Parameter:
    if not isinstance(data, Tensor):
        raise _bad("a parameter without data")
    return _with_fields(
        Parameter(data, bool(requires_grad) and data.dtype.category >= dtypes.FLOAT), state
    )


def _rebuild_from_type(function: Any, kind: Any, args: Any, state: Any) -> Tensor:
    if not isinstance(function, _Name) or not function.text.startswith("torch._utils._rebuild_"):
        raise _bad(f"{function!r:.80} does not rebuild a tensor")
    t = _reduce(function, args)
    if kind is _TYPES["torch.nn.parameter.Parameter"] and type(t) is Tensor:
        t = _rebuild_parameter(t, t.requires_grad)
    return _with_fields(t, state)


def _with_fields(t: Any, state: Any) -> Any:
    """t with what the user had hung on it."""
    if isinstance(state, tuple) and state:
        state = state[0]
    if isinstance(state, dict):
        for k, v in state.items():
            if type(k) is str and not k.startswith("_") and k not in ("grad", "data"):
                t.__dict__[k] = v
    return t


def _encode(text: Any, how: Any = "latin1") -> bytes:
    if type(text) is not str or how not in ("latin1", "latin-1", "ascii", "utf-8"):
        raise _bad("bytes in an unknown encoding")
    return text.encode(how)


def _plain(kind: type, *allowed: type) -> Callable:
    def make(*args: Any) -> Any:
        if len(args) > 2 or any(type(a) not in allowed for a in args):
            raise _bad(f"{kind.__name__}() of {args!r:.80}")
        if kind in (set, frozenset):
            for x in args[0] if args else ():
                _check_key(x)
        return kind(*args)
    return make


def _defaultdict(factory: Any = None, items: Any = ()) -> Any:
    makers = {
        None: None,
        "builtins.list": list,
        "builtins.dict": dict,
        "builtins.set": set,
        "builtins.int": int,
        "builtins.float": float,
    }
    key = factory.text if isinstance(factory, _Name) else factory
    if key not in makers or items != ():
        raise _bad(f"a defaultdict of {factory!r:.80}")
    return defaultdict(makers[key])


def _make_device(kind: Any = "cpu", index: Any = None) -> device:
    if type(kind) is not str or type(index) not in (int, type(None)):
        raise _bad("an odd device")
    return device(kind, index)


def _size(values: Any = ()) -> Size:
    return Size(_numbers(values, "size"))


class _NumpyType:
    """A numpy dtype under construction."""

    __slots__ = ("np",)

    def __init__(self, code: Any, align: Any = False, copy: Any = True):
        if (
            type(code) is not str
            or len(code) not in (2, 3)
            or code[0] not in "biufc"
            or not code[1:].isdigit()
        ):
            raise _bad(f"numpy dtype {code!r:.40}")
        self.np = np.dtype(code)

    def order(self, state: Any) -> None:
        if type(state) is not tuple or len(state) < 2 or state[1] not in ("<", ">", "|", "="):
            raise _bad("an odd numpy dtype")
        if state[1] in "<>":
            self.np = self.np.newbyteorder(state[1])


def _numpy_scalar(kind: Any, raw: Any) -> Any:
    if not isinstance(kind, _NumpyType) or type(raw) is not bytes or len(raw) != kind.np.itemsize:
        raise _bad("an odd numpy number")
    return np.frombuffer(raw, kind.np)[0]


class _NumpyArray:
    """A numpy array under construction; the interpreter puts `array` in its place at the end."""

    __slots__ = ("array",)

    def __init__(self, kind: Any = None, shape: Any = None, code: Any = None):
        self.array: Any = None

    def fill(self, state: Any) -> None:
        if type(state) is not tuple or len(state) != 5:
            raise _bad("an odd numpy array")
        _, shape, kind, fortran, raw = state
        if not isinstance(kind, _NumpyType) or type(raw) is not bytes:
            raise _bad("an odd numpy array")
        shape = _numbers(shape, "shape")
        self.array = np.frombuffer(bytearray(raw), kind.np).reshape(
            shape, order="F" if fortran is True else "C"
        )


_TYPES: dict[str, Any] = {
    "torch._utils._rebuild_tensor_v2": _Name("torch._utils._rebuild_tensor_v2", rebuild_tensor),
    "torch._utils._rebuild_tensor": _Name("torch._utils._rebuild_tensor", rebuild_tensor),
    "torch._utils._rebuild_parameter": _Name("torch._utils._rebuild_parameter", _rebuild_parameter),
    "torch._utils._rebuild_parameter_with_state": _Name(
        "torch._utils._rebuild_parameter_with_state", _rebuild_parameter
    ),
    "torch._tensor._rebuild_from_type_v2": _Name(
        "torch._tensor._rebuild_from_type_v2", _rebuild_from_type
    ),
    "torch.nn.parameter.Parameter": _Name("torch.nn.parameter.Parameter", _rebuild_parameter),
    "torch.Tensor": _Name("torch.Tensor"),
    "torch.Size": _Name("torch.Size", _size),
    "torch.device": _Name("torch.device", _make_device),
    "collections.OrderedDict": _Name("collections.OrderedDict", _plain(OrderedDict)),
    "collections.Counter": _Name("collections.Counter", _plain(Counter, dict)),
    "collections.defaultdict": _Name("collections.defaultdict", _defaultdict),
    "_codecs.encode": _Name("_codecs.encode", _encode),
    "builtins.set": _Name("builtins.set", _plain(set, list, tuple)),
    "builtins.frozenset": _Name("builtins.frozenset", _plain(frozenset, list, tuple)),
    "builtins.complex": _Name("builtins.complex", _plain(complex, float, int)),
    "builtins.bytearray": _Name("builtins.bytearray", _plain(bytearray, bytes)),
    "numpy.dtype": _Name("numpy.dtype", _NumpyType),
    "numpy.ndarray": _Name("numpy.ndarray"),
}
for _room in ("numpy.core.multiarray", "numpy._core.multiarray"):
    _TYPES[_room + ".scalar"] = _Name(_room + ".scalar", _numpy_scalar)
    _TYPES[_room + "._reconstruct"] = _Name(_room + "._reconstruct", _NumpyArray)
for _kind in ("list", "dict", "int", "float"):
    _TYPES["builtins." + _kind] = _Name("builtins." + _kind)
for _d in dtypes.ALL:
    _TYPES["torch." + _d.name] = _d
STORAGES: dict[Any, DType] = {}
for _dtype_name, _storage_name in STORAGE_NAMES.items():
    for _room in ("torch", "torch.cuda"):
        _TYPES[f"{_room}.{_storage_name}"] = _marker = _Name(f"{_room}.{_storage_name}")
        STORAGES[_marker] = dtypes.dtype_named(_dtype_name)


def _reduce(function: Any, args: Any) -> Any:
    if not isinstance(function, _Name) or function.call is None or type(args) is not tuple:
        raise _bad(f"the file asks to call {function!r:.80}")
    try:
        return function.call(*args)
    except _Bad:
        raise
    except (TypeError, ValueError, RuntimeError, OverflowError, LookupError) as e:
        raise _bad(f"{function.text} cannot be rebuilt ({e})") from None


def _check_key(key: Any) -> None:
    """Dictionary keys and set members: numbers, strings, shallow tuples of them. Hashing a very
    deep tuple would overflow the C stack."""
    level = [key]
    for _ in range(_KEY_DEPTH):
        deeper: list = []
        for k in level:
            if type(k) in (tuple, Size, frozenset):
                deeper.extend(k)
            elif type(k) not in (str, int, float, bool, bytes, complex, type(None), DType, device):
                raise _bad(f"a {type(k).__name__} as a dictionary key or in a set")
        if not deeper:
            return
        level = deeper
    raise _bad("a dictionary key that is nested too deeply")


# ---------------------------------------------------------------- the interpreter

class Unpickler:
    """load() -> the object of the pickle at `pos` in `data`. `storage(key, dtype, numel)` gives a
    Loaded."""

    def __init__(self, data: Any, storage: Callable[[tuple], Any], where: str, pos: int = 0):
        self.data, self.pos, self.storage, self.where = bytes(data), pos, storage, where
        self.stack: list = []
        self.marks: list[list] = []
        self.memo: dict[int, Any] = {}
        self.arrays = False

    def load(self) -> Any:
        """Runs to STOP. LoadError for unknown opcodes and names, and for damaged data."""
        data, n = self.data, len(self.data)
        try:
            while self.pos < n:
                code = data[self.pos]
                self.pos += 1
                if code == 0x2E:        # STOP
                    (value,) = self.stack
                    return _finished(value) if self.arrays else value
                op = _OPS.get(code)
                if op is None:
                    raise _bad(f"opcode 0x{code:02x} is not among those that are read")
                op(self)
            raise _bad("the pickle ends without STOP")
        except _Bad as e:
            kind = NameRefused if isinstance(e, _Unknown) else LoadError
            raise kind(f"{self.where}, byte {self.pos} of its pickle: {e}") from None
        except _DAMAGE as e:
            raise LoadError(f"{self.where}, byte {self.pos} of its pickle: damaged "
                                  f"({type(e).__name__}: {e!s:.100})") from None

    # ---- input

    def take(self, n: int) -> bytes:
        if n < 0 or self.pos + n > len(self.data):
            raise _bad("the data ends within a value")
        part = self.data[self.pos:self.pos + n]
        self.pos += n
        return part

    def number(self, form: str) -> Any:
        (value,) = struct.unpack(form, self.take(struct.calcsize(form)))
        return value

    def line(self) -> str:
        end = self.data.index(b"\n", self.pos)
        part = self.data[self.pos:end]
        self.pos = end + 1
        return part.decode("utf-8")

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop_mark(self) -> list:
        items, self.stack = self.stack, self.marks.pop()
        return items

    # ---- values

    def text(self, form: str) -> None:
        self.push(self.take(self.number(form)).decode("utf-8", "surrogatepass"))

    def raw(self, form: str) -> None:
        self.push(self.take(self.number(form)))

    def old_text(self, form: str) -> None:
        raw = self.take(self.number(form))
        try:
            self.push(raw.decode("utf-8"))
        except UnicodeDecodeError:
            self.push(raw.decode("latin1"))

    def long(self, form: str) -> None:
        self.push(int.from_bytes(self.take(self.number(form)), "little", signed=True))

    def tuple(self, n: int) -> None:
        if len(self.stack) < n:
            raise _bad("too few values for a tuple")
        items = self.stack[len(self.stack) - n:]
        del self.stack[len(self.stack) - n:]
        self.push(tuple(items))

    # ---- containers

    def mark(self) -> None:
        self.marks.append(self.stack)
        self.stack = []

    def appends(self, items: list) -> None:
        target = self.stack[-1]
        if type(target) is not list:
            raise _bad(f"appending to a {type(target).__name__}")
        target.extend(items)

    def add_items(self) -> None:
        items = self.pop_mark()
        target = self.stack[-1]
        if type(target) is not set:
            raise _bad(f"adding to a {type(target).__name__}")
        for x in items:
            _check_key(x)
            target.add(x)

    def set_items(self, items: list) -> None:
        target = self.stack[-1]
        if type(target) not in (dict, OrderedDict, Counter, defaultdict) or len(items) % 2:
            raise _bad(f"setting items of a {type(target).__name__}")
        for k, v in zip(items[::2], items[1::2], strict=True):
            if type(k) is not str:
                _check_key(k)
            target[k] = v

    def make_dict(self) -> None:
        items = self.pop_mark()
        self.push({})
        self.set_items(items)

    # ---- names

    def name(self, module: str, name: str) -> None:
        module = {"__builtin__": "builtins", "copy_reg": "copyreg"}.get(module, module)
        found = _TYPES.get(f"{module}.{name}")
        if found is None:
            raise _Unknown(
                f"the file names {module}.{name}, which is not among the types that load() builds; "
                "it reads tensors and plain containers only and runs no code of the file. Save a "
                "state_dict (tensors, numbers, strings, containers) instead of whole objects, or, "
                "if you trust the file, load it with weights_only=False"
            )
        self.push(found)

    def stack_name(self) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        if type(name) is not str or type(module) is not str:
            raise _bad("a name that is no string")
        self.name(module, name)

    def reduce(self) -> None:
        args = self.stack.pop()
        value = _reduce(self.stack.pop(), args)
        self.arrays = self.arrays or isinstance(value, _NumpyArray)
        self.push(value)

    def build(self) -> None:
        state = self.stack.pop()
        target = self.stack[-1]
        if isinstance(target, _NumpyArray):
            target.fill(state)
        elif isinstance(target, _NumpyType):
            target.order(state)
        elif type(target) in (OrderedDict, Counter) and type(state) is dict and \
                all(type(k) is str for k in state):
            target.__dict__.update(state)
        else:
            raise _bad(f"the file sets the state of a {type(target).__name__}")

    def persistent(self) -> None:
        key = self.stack.pop()
        if type(key) is not tuple or len(key) not in (5, 6) or key[0] != "storage":
            raise _bad("an unknown kind of persistent object")
        self.push(self.storage(key))

    def put(self, i: int) -> None:
        self.memo[i] = self.stack[-1]


def _finished(value: Any) -> Any:
    """value with numpy arrays in the place of their halves (containers are changed in place)."""
    seen: set[int] = set()

    def fix(x: Any) -> Any:
        if isinstance(x, _NumpyArray):
            return x.array
        if type(x) is tuple:
            return tuple(fix(y) for y in x)
        if id(x) in seen:
            return x
        if type(x) is list:
            seen.add(id(x))
            x[:] = [fix(y) for y in x]
        elif isinstance(x, dict):
            seen.add(id(x))
            for k in x:
                x[k] = fix(x[k])
        return x
    try:
        return fix(value)
    except RecursionError:
        raise _bad("containers that are nested too deeply") from None


_U = Unpickler
_OPS: dict[int, Callable[[Unpickler], Any]] = {
    0x80: lambda u: u.take(1),
    0x95: lambda u: u.take(8),  # PROTO, FRAME
    0x28: _U.mark,
    0x30: lambda u: u.stack.pop() if u.stack else u.pop_mark(),  # MARK, POP
    0x31: _U.pop_mark,
    0x32: lambda u: u.push(u.stack[-1]),  # POP_MARK, DUP
    0x4E: lambda u: u.push(None),
    0x88: lambda u: u.push(True),
    0x89: lambda u: u.push(False),
    0x4A: lambda u: u.push(u.number("<i")),
    0x4B: lambda u: u.push(u.number("<B")),
    0x4D: lambda u: u.push(u.number("<H")),
    0x47: lambda u: u.push(u.number(">d")),
    0x8A: lambda u: u.long("<B"),
    0x8B: lambda u: u.long("<i"),
    0x58: lambda u: u.text("<I"),
    0x8C: lambda u: u.text("<B"),
    0x8D: lambda u: u.text("<Q"),
    0x42: lambda u: u.raw("<I"),
    0x43: lambda u: u.raw("<B"),
    0x8E: lambda u: u.raw("<Q"),
    0x54: lambda u: u.old_text("<i"),
    0x55: lambda u: u.old_text("<B"),
    0x5D: lambda u: u.push([]),
    0x7D: lambda u: u.push({}),
    0x8F: lambda u: u.push(set()),
    0x29: lambda u: u.push(()),
    0x85: lambda u: u.tuple(1),
    0x86: lambda u: u.tuple(2),
    0x87: lambda u: u.tuple(3),
    0x74: lambda u: u.push(tuple(u.pop_mark())),
    0x6C: lambda u: u.push(u.pop_mark()),
    0x64: _U.make_dict,  # LIST, DICT
    0x61: lambda u: u.appends([u.stack.pop()]),
    0x65: lambda u: u.appends(u.pop_mark()),
    0x73: lambda u: u.set_items([u.stack.pop(), u.stack.pop()][::-1]),
    0x75: lambda u: u.set_items(u.pop_mark()),
    0x90: _U.add_items,
    0x63: lambda u: u.name(u.line(), u.line()),
    0x93: _U.stack_name,
    0x52: _U.reduce,
    0x81: _U.reduce,
    0x62: _U.build,
    0x51: _U.persistent,  # REDUCE, NEWOBJ, BUILD
    0x71: lambda u: u.put(u.number("<B")),
    0x72: lambda u: u.put(u.number("<I")),
    0x94: lambda u: u.put(len(u.memo)),  # BINPUT, LONG_BINPUT, MEMOIZE
    0x68: lambda u: u.push(u.memo[u.number("<B")]),
    0x6A: lambda u: u.push(u.memo[u.number("<I")]),
}
