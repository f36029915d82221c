"""Reading: takes files that `save` or PyTorch wrote (the zip layout), gives containers and tensors.

The description is read by a small interpreter that knows the opcodes of such files and a closed list of
names; anything else is an error that says what was asked for. Nothing from the file is ever called.
"""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np

from ..base import dtypes
from ..base.dtypes import DType, dtype_named
from ..core.storage import Storage
from ..core.tensor import Size, Tensor, wrap
from ..device import check_device, device
from .writer import _STORAGE


class LoadError(RuntimeError):
    """A file that cannot be loaded: damaged, of another format, or asking for something unsafe."""


_DTYPES = {v: k for k, v in _STORAGE.items()}
_MARK = object()


class _Name:
    """A name from the closed list; `make` builds what the file asks for."""

    __slots__ = ("name", "make")

    def __init__(self, name: str, make: Callable):
        self.name, self.make = name, make


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, requires_grad: Any = False,
            hooks: Any = None, metadata: Any = None) -> Tensor:
    if not isinstance(storage, _Memory):
        raise LoadError("a tensor without storage")
    return storage.window(int(offset), tuple(map(int, size)), tuple(map(int, stride)), bool(requires_grad))


def _parameter(data: Any, requires_grad: Any = True, hooks: Any = None) -> Any:
    if not isinstance(data, Tensor):
        raise LoadError("a parameter without tensor")
    from ..nn import Parameter
    return Parameter(data, requires_grad=bool(requires_grad))


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise LoadError("bytes in an unknown encoding")
    return text.encode("latin-1")


def _names() -> dict[tuple[str, str], Any]:
    out: dict[tuple[str, str], Any] = {
        ("torch._utils", "_rebuild_tensor_v2"): _Name("_rebuild_tensor_v2", _tensor),
        ("torch._utils", "_rebuild_parameter"): _Name("_rebuild_parameter", _parameter),
        ("torch", "Size"): _Name("Size", lambda *a: Size(a[0] if a else ())),
        ("torch", "device"): _Name("device", lambda *a: device(*a)),
        ("collections", "OrderedDict"): _Name("OrderedDict", lambda *a: OrderedDict(*a)),
        ("_codecs", "encode"): _Name("encode", _encode)}
    for storage, name in _DTYPES.items():
        out["torch", storage] = dtype_named(name)
    for d in dtypes.ALL:
        out["torch", d.name] = d
    return out


class _Memory:
    """One storage of the file, read and checked on first use."""

    __slots__ = ("archive", "key", "dtype", "count", "_storage")

    def __init__(self, archive: _Archive, key: str, dtype: DType, count: int):
        self.archive, self.key, self.dtype, self.count = archive, key, dtype, count
        self._storage: Storage | None = None

    def window(self, offset: int, shape: tuple, strides: tuple, requires_grad: bool) -> Tensor:
        if self._storage is None:
            self._storage = Storage(self.archive.storage(self.key, self.dtype, self.count))
        a = self._storage.value
        if len(shape) != len(strides) or min((*shape, *strides, offset), default=0) < 0:
            raise LoadError(f"{self.archive.name}: a tensor with impossible size {shape} and stride {strides}")
        last = offset + sum((n - 1) * s for n, s in zip(shape, strides, strict=True)) if 0 not in shape else -1
        if last >= a.size:
            raise LoadError(f"{self.archive.name}: a tensor of size {shape} reaches beyond its storage {self.key}")
        size = a.itemsize
        view = np.ndarray(shape, a.dtype, a, offset * size, tuple(s * size for s in strides)) \
            if a.dtype.kind != "V" and last >= 0 else _strided(a, shape, strides, offset)
        t = wrap(view, self.dtype)
        t._storage = self._storage
        t._needs = requires_grad
        return t


def _strided(a: np.ndarray, shape: tuple, strides: tuple, offset: int) -> np.ndarray:
    if 0 in shape:
        return np.empty(shape, a.dtype)
    return np.lib.stride_tricks.as_strided(a[offset:], shape, tuple(s * a.itemsize for s in strides))


class _Archive:
    """The zip file: finds entries, checks their CRC-32."""

    def __init__(self, f: Any, name: str):
        self.name = name
        try:
            self.zip = zipfile.ZipFile(f)
        except zipfile.BadZipFile as e:
            raise LoadError(f"{name}: not a file of save() or of PyTorch's zip format ({e})") from None
        found = [n for n in self.zip.namelist() if n.endswith("/data.pkl") or n == "data.pkl"]
        if len(found) != 1:
            raise LoadError(f"{name}: not a file of save() or of PyTorch's zip format (no data.pkl)")
        self.prefix = found[0][:-len("data.pkl")]
        order = self.prefix + "byteorder"
        if order in self.zip.namelist() and self.read("byteorder") != b"little":
            raise LoadError(f"{name}: written on a big-endian machine, which graphc does not read")

    def read(self, path: str) -> bytes | bytearray:
        """The bytes of an entry. LoadError naming file, entry and place when the checksum is wrong."""
        try:
            info = self.zip.getinfo(self.prefix + path)
        except KeyError:
            raise LoadError(f"{self.name}: entry {path!r} is missing") from None
        if info.compress_type != zipfile.ZIP_STORED:
            raise LoadError(f"{self.name}: entry {path!r} is compressed")
        f: Any = self.zip.fp
        f.seek(info.header_offset)
        head = f.read(30)
        if len(head) != 30 or head[:4] != b"PK\x03\x04":
            raise LoadError(f"{self.name}: the header of {path!r} at byte {info.header_offset} is damaged")
        start = info.header_offset + 30 + sum(struct.unpack("<HH", head[26:30]))
        f.seek(start)
        data = bytearray(info.file_size)
        if f.readinto(data) != info.file_size:
            raise LoadError(f"{self.name}: entry {path!r} at byte {start} is cut short")
        if zlib.crc32(data) != info.CRC:
            raise LoadError(f"{self.name}: entry {path!r} ({info.file_size} bytes at byte {start}) is damaged: its "
                            "CRC-32 does not match")
        return data

    def storage(self, key: str, dtype: DType, count: int) -> np.ndarray:
        data = self.read(f"data/{key}")
        if len(data) != count * dtype.itemsize:
            raise LoadError(f"{self.name}: storage {key} has {len(data)} bytes instead of {count * dtype.itemsize}")
        return np.frombuffer(data, dtype=np.uint8).view(dtype.np) if count else np.empty(0, dtype.np)


class _Interpreter:
    """Runs the description: a stack machine over the closed set of opcodes."""

    def __init__(self, data: bytes, archive: _Archive):
        self.data, self.at, self.archive = data, 0, archive
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.names = _names()
        self.memories: dict[str, _Memory] = {}

    def take(self, n: int) -> bytes:
        if self.at + n > len(self.data):
            raise LoadError(f"{self.archive.name}: data.pkl ends too early")
        self.at += n
        return bytes(self.data[self.at - n:self.at])

    def line(self) -> str:
        end = self.data.find(b"\n", self.at)
        if end < 0:
            raise LoadError(f"{self.archive.name}: data.pkl ends too early")
        text = bytes(self.data[self.at:end]).decode("ascii", "replace")
        self.at = end + 1
        return text

    def marked(self) -> list:
        for i in range(len(self.stack) - 1, -1, -1):
            if self.stack[i] is _MARK:
                items = self.stack[i + 1:]
                del self.stack[i:]
                return items
        raise LoadError(f"{self.archive.name}: data.pkl is damaged (no mark)")

    def run(self) -> Any:
        while True:
            op = self.take(1)
            if op == b".":
                return self.stack.pop()
            handler = _OPCODES.get(op)
            if handler is None:
                raise LoadError(f"{self.archive.name}: opcode {op!r} at byte {self.at - 1} of data.pkl is not one "
                                "that tensors and plain containers need; the file holds other objects")
            handler(self)

    def put_global(self) -> None:
        module, name = self.line(), self.line()
        found = self.names.get((module, name))
        if found is None:
            raise LoadError(f"{self.archive.name}: the file asks for {module}.{name}, which load() does not build; "
                            "it builds tensors, parameters and plain containers only. Save a state_dict() instead "
                            "of a whole object")
        self.stack.append(found)

    def reduce(self) -> None:
        args, fn = self.stack.pop(), self.stack.pop()
        if not isinstance(fn, _Name) or not isinstance(args, tuple):
            raise LoadError(f"{self.archive.name}: data.pkl calls something that is no known constructor")
        self.stack.append(fn.make(*args))

    def persistent(self) -> None:
        what = self.stack.pop()
        if not (isinstance(what, tuple) and len(what) == 5 and what[0] == "storage"
                and isinstance(what[1], DType) and isinstance(what[2], str)):
            raise LoadError(f"{self.archive.name}: an unknown reference in data.pkl")
        key = what[2]
        if key not in self.memories:
            self.memories[key] = _Memory(self.archive, key, what[1], int(what[4]))
        self.stack.append(self.memories[key])

    def build(self) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        # PyTorch's state dicts carry their _metadata this way; nothing else may set attributes
        if isinstance(target, OrderedDict) and isinstance(state, dict) and set(state) <= {"_metadata"}:
            for k, v in state.items():
                setattr(target, k, v)
        elif not isinstance(target, OrderedDict):
            raise LoadError(f"{self.archive.name}: data.pkl sets attributes of a {type(target).__name__}")

    def set_items(self, pairs: list) -> None:
        target = self.stack[-1]
        if not isinstance(target, dict):
            raise LoadError(f"{self.archive.name}: data.pkl is damaged (items for a {type(target).__name__})")
        target.update(zip(pairs[::2], pairs[1::2], strict=True))

    def extend(self, items: list) -> None:
        target = self.stack[-1]
        if not isinstance(target, list):
            raise LoadError(f"{self.archive.name}: data.pkl is damaged (elements for a {type(target).__name__})")
        target.extend(items)


def _pushes(make: Callable) -> Callable:
    def run(s: _Interpreter) -> None:
        s.stack.append(make(s))
    return run


def _text(width: int) -> Callable:
    return _pushes(lambda s: s.take(int.from_bytes(s.take(width), "little")).decode("utf-8", "surrogatepass"))


def _tuple(n: int) -> Callable:
    def run(s: _Interpreter) -> None:
        items = tuple(s.stack[-n:])
        del s.stack[-n:]
        s.stack.append(items)
    return run


def _memoize(width: int) -> Callable:
    def run(s: _Interpreter) -> None:
        s.memo[int.from_bytes(s.take(width), "little")] = s.stack[-1]
    return run


def _recall(width: int) -> Callable:
    return _pushes(lambda s: s.memo[int.from_bytes(s.take(width), "little")])


def _set_item(s: _Interpreter) -> None:
    value, key = s.stack.pop(), s.stack.pop()
    s.set_items([key, value])


_OPCODES: dict[bytes, Callable] = {
    b"\x80": lambda s: s.take(1), b"\x95": lambda s: s.take(8), b"(": lambda s: s.stack.append(_MARK),
    b"N": _pushes(lambda s: None), b"\x88": _pushes(lambda s: True), b"\x89": _pushes(lambda s: False),
    b"J": _pushes(lambda s: struct.unpack("<i", s.take(4))[0]), b"K": _pushes(lambda s: s.take(1)[0]),
    b"M": _pushes(lambda s: struct.unpack("<H", s.take(2))[0]),
    b"\x8a": _pushes(lambda s: int.from_bytes(s.take(s.take(1)[0]), "little", signed=True)),
    b"G": _pushes(lambda s: struct.unpack(">d", s.take(8))[0]), b"X": _text(4), b"\x8c": _text(1),
    b")": _pushes(lambda s: ()), b"]": _pushes(lambda s: []), b"}": _pushes(lambda s: {}),
    b"t": lambda s: s.stack.append(tuple(s.marked())), b"\x85": _tuple(1), b"\x86": _tuple(2),
    b"\x87": _tuple(3), b"e": lambda s: s.extend(s.marked()), b"a": lambda s: s.extend([s.stack.pop()]),
    b"u": lambda s: s.set_items(s.marked()), b"s": _set_item, b"q": _memoize(1), b"r": _memoize(4),
    b"h": _recall(1), b"j": _recall(4), b"c": lambda s: s.put_global(), b"R": lambda s: s.reduce(),
    b"Q": lambda s: s.persistent(), b"b": lambda s: s.build()}


def load(f: Any, map_location: Any = None, pickle_module: Any = None, *, weights_only: bool | None = None,
         mmap: bool | None = None, **pickle_load_args: Any) -> Any:
    """What save() stored in f: a path or a readable, seekable binary file object. Reads PyTorch's zip files.

    Only tensors, parameters and plain containers are built. LoadError names the file and what is wrong:
    a failed checksum (with entry and byte), an object that is not on the closed list, another format.
    https://pytorch.org/docs/stable/generated/torch.load.html"""
    if isinstance(map_location, (str, device)):
        check_device(map_location)
    if hasattr(f, "read"):
        return _read(f, getattr(f, "name", "the file object"))
    path = os.fspath(f)
    with open(path, "rb") as opened:        # a missing file is FileNotFoundError, as in PyTorch
        return _read(opened, path)


def _read(f: Any, name: str) -> Any:
    try:
        archive = _Archive(f, str(name))
        return _Interpreter(bytes(archive.read("data.pkl")), archive).run()
    except LoadError:
        raise
    except (IndexError, KeyError, ValueError, TypeError, struct.error, UnicodeDecodeError, OverflowError,
            MemoryError, RuntimeError, OSError, NotImplementedError) as e:
        raise LoadError(f"{name}: the file is damaged ({type(e).__name__}: {e})") from None
