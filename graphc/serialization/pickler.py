"""Writing objects: takes tensors, plain containers and numbers, gives a pickle of protocol 2 and
the memory of the tensors in it.

The pickle names nothing but PyTorch's own rebuilding functions and plain types, so `torch.load`
reads it with weights_only=True and so does graphc, without executing anything. Invariant: tensors
that share memory share it in the file; objects that occur twice are one object when read.
"""

from __future__ import annotations

import struct
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np

from ..base.dtypes import DType
from ..core.tensor import Size, Tensor, address
from ..device import device
from ..native import cpu

STORAGE_NAMES = {
    "float32": "FloatStorage",
    "float64": "DoubleStorage",
    "float16": "HalfStorage",
    "bfloat16": "BFloat16Storage",
    "int64": "LongStorage",
    "int32": "IntStorage",
    "int16": "ShortStorage",
    "int8": "CharStorage",
    "uint8": "ByteStorage",
    "bool": "BoolStorage",
    "complex64": "ComplexFloatStorage",
    "complex128": "ComplexDoubleStorage",
}


class Memory:
    """The stretch of one block of memory that the tensors of a file cover; one record of the
    archive."""

    __slots__ = ("key", "root", "start", "dtype", "lo", "hi")

    def __init__(self, key: int, root: Any, start: int, dtype: DType):
        self.key, self.root, self.start, self.dtype = key, root, start, dtype
        self.lo = self.hi = -1          # bytes from the start of the block; -1: nothing yet

    def cover(self, lo: int, hi: int) -> None:
        if self.lo < 0:
            self.lo, self.hi = lo, hi
        else:
            self.lo, self.hi = min(self.lo, lo), max(self.hi, hi)

    def view(self) -> Any:
        """The bytes themselves, not a copy."""
        n = self.hi - self.lo
        if n <= 0:
            return b""
        ffi = cpu.ffi()
        return ffi.buffer(ffi.cast("char *", self.start + self.lo), n)


class Pickler:
    """pickle(obj) -> bytes; `memories` then lists what belongs to the records data/0, data/1,
    ..."""

    def __init__(self) -> None:
        self.parts: list[Any] = []
        self.memo: dict[int, int] = {}
        self.kept: list = []
        self.globals: dict[tuple, int] = {}
        self.strings: dict[str, int] = {}
        self.count = 0
        self.memories: list[Memory] = []
        self._by_root: dict[tuple, Memory] = {}

    def pickle(self, obj: Any) -> bytes:
        """obj as a pickle. TypeError, naming the place, for what the format does not hold."""
        self.parts.append(b"\x80\x02")
        try:
            self._save(obj, "")
        except RecursionError:
            raise ValueError("save(): the object is nested too deeply") from None
        self.parts.append(b".")
        return b"".join(p if type(p) is bytes else p() for p in self.parts)

    # ---- pieces

    def _put(self, obj: Any) -> None:
        self.memo[id(obj)] = self._mark()
        self.kept.append(obj)

    def _mark(self) -> int:
        i = self.count
        self.count += 1
        self.parts.append(b"q" + bytes((i,)) if i < 256 else b"r" + struct.pack("<I", i))
        return i

    def _get(self, i: int) -> None:
        self.parts.append(b"h" + bytes((i,)) if i < 256 else b"j" + struct.pack("<I", i))

    def _global(self, module: str, name: str) -> None:
        i = self.globals.get((module, name))
        if i is not None:
            self._get(i)
            return
        self.parts.append(f"c{module}\n{name}\n".encode())
        self.globals[module, name] = self._mark()

    def _string(self, s: str) -> None:
        i = self.strings.get(s)
        if i is not None:
            self._get(i)
            return
        raw = s.encode("utf-8", "surrogatepass")
        self.parts.append(b"X" + struct.pack("<I", len(raw)) + raw)
        self.strings[s] = self._mark()

    def _ints(self, values: Any) -> None:
        self._tuple_of([integer(int(v)) for v in values])

    def _tuple_of(self, parts: list) -> None:
        if len(parts) > 3:
            self.parts += [b"(", *parts, b"t"]
        else:
            self.parts += [*parts, b")" if not parts else bytes((0x84 + len(parts),))]

    # ---- objects

    def _save(self, obj: Any, path: str) -> None:
        i = self.memo.get(id(obj))
        if i is not None:
            self._get(i)
            return
        kind = type(obj)
        fn = _WRITERS.get(kind)
        if fn is not None:
            fn(self, obj, path)
        elif isinstance(obj, Tensor):
            self._tensor(obj, path)
        elif isinstance(obj, np.number | np.bool_) and type(obj.item()) in _WRITERS:
            self._save(obj.item(), path)       # its value, as a plain number
        else:
            raise TypeError(_refusal(obj, path))

    def _none(self, obj: Any, path: str) -> None:
        self.parts.append(b"N")

    def _bool(self, obj: bool, path: str) -> None:
        self.parts.append(b"\x88" if obj else b"\x89")

    def _int(self, obj: int, path: str) -> None:
        self.parts.append(integer(obj))

    def _float(self, obj: float, path: str) -> None:
        self.parts.append(b"G" + struct.pack(">d", obj))

    def _str(self, obj: str, path: str) -> None:
        self._string(obj)

    def _complex(self, obj: complex, path: str) -> None:
        self._call("__builtin__", "complex", obj, lambda: self._each(obj.real, obj.imag))

    def _bytes(self, obj: bytes, path: str) -> None:
        self._call("_codecs", "encode", obj, lambda: self._each(obj.decode("latin1"), "latin1"))

    def _bytearray(self, obj: bytearray, path: str) -> None:
        self._call("__builtin__", "bytearray", obj, lambda: self._bytes(bytes(obj), path))

    def _set(self, obj: Any, path: str) -> None:
        items = list(obj)
        self._call("__builtin__", type(obj).__name__, obj, lambda: self._list(items, path))

    def _call(self, module: str, name: str, obj: Any, arguments: Callable[[], Any]) -> None:
        self._global(module, name)
        self.parts.append(b"(")
        arguments()
        self.parts.append(b"tR")
        self._put(obj)

    def _each(self, *values: Any) -> None:
        for v in values:
            self._save(v, "")

    def _list(self, obj: list, path: str) -> None:
        self.parts.append(b"]")
        self._put(obj)
        if obj:
            self.parts.append(b"(")
            for i, x in enumerate(obj):
                self._save(x, f"{path}[{i}]")
            self.parts.append(b"e")

    def _tuple(self, obj: tuple, path: str) -> None:
        if not obj:
            self.parts.append(b")")
            return
        self.parts.append(b"(")
        for i, x in enumerate(obj):
            self._save(x, f"{path}[{i}]")
        if id(obj) in self.memo:        # it holds itself, by way of a list or a dict
            raise ValueError(f"save(): the tuple at {path or 'the top'} contains itself")
        self.parts.append(b"t")
        self._put(obj)

    def _items(self, obj: Any, path: str) -> None:
        if obj:
            self.parts.append(b"(")
            for k, v in obj.items():
                here = f"{path}[{k!r}]"
                self._save(k, here)
                self._save(v, here)
            self.parts.append(b"u")

    def _dict(self, obj: dict, path: str) -> None:
        self.parts.append(b"}")
        self._put(obj)
        self._items(obj, path)

    def _ordered(self, obj: Any, path: str) -> None:
        self._global("collections", type(obj).__name__)
        self.parts.append(b")R")
        self._put(obj)
        self._items(obj, path)
        state = getattr(obj, "__dict__", None)
        if state:                       # the _metadata of a module's state_dict
            self._dict(dict(state), path + ".__dict__")
            self.parts.append(b"b")

    def _size(self, obj: Size, path: str) -> None:
        self._global("torch", "Size")
        self._ints(obj)
        self.parts.append(b"\x85R")
        self._put(obj)

    def _device(self, obj: device, path: str) -> None:
        arguments = [obj.type] if obj.index is None else [obj.type, obj.index]
        self._call("torch", "device", obj, lambda: self._each(*arguments))

    def _dtype(self, obj: DType, path: str) -> None:
        self._global("torch", obj.name)

    # ---- tensors

    def _tensor(self, t: Tensor, path: str) -> None:
        a = t.concrete("save()")
        parameter = getattr(type(t), "__name__", "") == "Parameter" or getattr(
            t, "_is_param", False
        )
        if parameter:
            self._global("torch._utils", "_rebuild_parameter")
            self.parts.append(b"(")
        self._global("torch._utils", "_rebuild_tensor_v2")
        self.parts.append(b"(")
        memory, at = self._memory(t, a)
        self._storage(memory)
        size = t.dtype.itemsize
        self.parts.append(lambda: integer((at - memory.lo) // size if a.size else 0))
        self._ints(a.shape)
        self._ints(n // size for n in a.strides)
        requires_grad = b"\x88" if t.requires_grad else b"\x89"
        self.parts.append(b"\x89" if parameter else requires_grad)
        self._global("collections", "OrderedDict")
        self.parts.append(b")RtR")
        if parameter:
            self.parts.append(requires_grad)
            self._global("collections", "OrderedDict")
            self.parts.append(b")RtR")
        self._put(t)

    def _storage(self, memory: Memory) -> None:
        self.parts.append(b"(")
        self._string("storage")
        self._global("torch", STORAGE_NAMES[memory.dtype.name])
        self._string(str(memory.key))
        self._string("cpu")
        self.parts.append(lambda: integer(max(memory.hi - memory.lo, 0) // memory.dtype.itemsize))
        self.parts.append(b"tQ")

    def _memory(self, t: Tensor, a: Any) -> tuple[Memory, int]:
        """The block that t lies in, widened to cover it, and t's first byte in the block."""
        root = t._storage.root()
        start, size = address(root), t.dtype.itemsize
        at = address(a) - start if a.size else 0
        key = (id(root), at % size)
        memory = self._by_root.get(key)
        if memory is None:
            memory = self._by_root[key] = Memory(len(self.memories), root, start, t.dtype)
            self.memories.append(memory)
            self.kept.append(root)
        if memory.dtype is not t.dtype:
            raise RuntimeError(
                "Cannot save multiple tensors or storages that view the same data as different "
                f"types: {memory.dtype} and {t.dtype}"
            )
        if a.size:
            memory.cover(
                at, at + sum((n - 1) * s for n, s in zip(a.shape, a.strides, strict=True)) + size
            )
        return memory, at


def integer(n: int) -> bytes:
    """The pickle of an int."""
    if 0 <= n < 256:
        return b"K" + bytes((n,))
    if 0 <= n < 65536:
        return b"M" + struct.pack("<H", n)
    if -(1 << 31) <= n < 1 << 31:
        return b"J" + struct.pack("<i", n)
    raw = n.to_bytes(n.bit_length() // 8 + 1, "little", signed=True)
    if len(raw) < 256:
        return b"\x8a" + bytes((len(raw),)) + raw
    return b"\x8b" + struct.pack("<i", len(raw)) + raw


def _refusal(obj: Any, path: str) -> str:
    kind = type(obj)
    name = (
        kind.__qualname__
        if kind.__module__ == "builtins"
        else f"{kind.__module__}.{kind.__qualname__}"
    )
    fix = ""
    if hasattr(obj, "state_dict"):
        fix = "; save its state_dict() instead"
    elif kind.__module__ == "numpy":
        fix = "; convert it with graphc.from_numpy(...)"
    elif isinstance(obj, tuple):
        fix = "; convert it with tuple(...)"
    elif isinstance(obj, dict):
        fix = "; convert it with dict(...)"
    return (f"save() cannot store the {name} at {'obj' + path}: files hold tensors, numbers, "
            f"strings, bytes, None, "
            f"lists, tuples, sets, dicts, sizes, dtypes and devices{fix}")


_WRITERS: dict[type, Any] = {
    type(None): Pickler._none,
    bool: Pickler._bool,
    int: Pickler._int,
    float: Pickler._float,
    str: Pickler._str,
    complex: Pickler._complex,
    bytes: Pickler._bytes,
    bytearray: Pickler._bytearray,
    set: Pickler._set,
    frozenset: Pickler._set,
    list: Pickler._list,
    tuple: Pickler._tuple,
    dict: Pickler._dict,
    OrderedDict: Pickler._ordered,
    Counter: Pickler._ordered,
    Size: Pickler._size,
    device: Pickler._device,
    DType: Pickler._dtype,
    Tensor: Pickler._tensor,
}
