"""Writing: takes nested plain containers with tensors, gives a zip file that PyTorch's
`torch.load(weights_only=True)` reads, too.

`data.pkl` describes the containers with pickle opcodes; each storage is one uncompressed entry `data/N`,
64-byte aligned, whose CRC-32 is in the zip directory. Invariant: the target file is the old one or the
complete new one, whatever happens in between.
"""

from __future__ import annotations

import contextlib
import io
import os
import struct
import tempfile
import zipfile
from collections import OrderedDict
from typing import Any

import numpy as np

from ..base.dtypes import DType
from ..core.tensor import Size, Tensor
from ..device import device

ALIGN = 64
_STORAGE = {"float32": "FloatStorage", "float64": "DoubleStorage", "float16": "HalfStorage",
            "bfloat16": "BFloat16Storage", "int64": "LongStorage", "int32": "IntStorage",
            "int16": "ShortStorage", "int8": "CharStorage", "uint8": "ByteStorage", "bool": "BoolStorage",
            "complex64": "ComplexFloatStorage", "complex128": "ComplexDoubleStorage"}


class _Pickle:
    """Emits pickle protocol 2 for the closed set of types; collects the storages on the way."""

    def __init__(self) -> None:
        self.out = io.BytesIO()
        self.storages: list[np.ndarray] = []
        self.keys: dict[int, int] = {}          # address of a storage's memory -> its number
        self.keep: list[Any] = []

    def dump(self, x: Any) -> bytes:
        self.out.write(b"\x80\x02")
        self.put(x, "")
        self.out.write(b".")
        return self.out.getvalue()

    def put(self, x: Any, path: str) -> None:
        w = self.out.write
        if x is None:
            w(b"N")
        elif x is True or x is False:
            w(b"\x88" if x else b"\x89")
        elif type(x) is int:
            self._int(x)
        elif type(x) is float:
            w(b"G" + struct.pack(">d", x))
        elif type(x) is str:
            raw = x.encode("utf-8", "surrogatepass")
            w(b"X" + struct.pack("<I", len(raw)) + raw)
        elif type(x) is bytes:
            self._bytes(x)
        elif isinstance(x, Tensor):
            self._tensor(x)
        elif type(x) is Size:
            self._reduce("torch", "Size", (tuple(x),), path)
        elif type(x) is tuple:
            self._tuple(x, path)
        elif type(x) is list:
            w(b"](")
            for i, v in enumerate(x):
                self.put(v, f"{path}[{i}]")
            w(b"e")
        elif isinstance(x, OrderedDict):
            self._reduce("collections", "OrderedDict", (), path)
            self._items(x, path)
        elif isinstance(x, dict):
            w(b"}")
            self._items(x, path)
        elif isinstance(x, DType):
            self._global("torch", x.name)
        elif isinstance(x, device):
            self._reduce("torch", "device", (str(x),), path)
        elif isinstance(x, np.generic):
            self.put(x.item(), path)
        else:
            raise TypeError(f"save: cannot store a {type(x).__module__}.{type(x).__name__} (at "
                            f"{path or 'the top'}); tensors, numbers, strings, bytes, None, lists, tuples, dicts, "
                            "dtypes and sizes can be stored")

    def _int(self, x: int) -> None:
        if -(1 << 31) <= x < (1 << 31):
            self.out.write(b"J" + struct.pack("<i", x))
        else:
            raw = x.to_bytes((x.bit_length() + 8) // 8, "little", signed=True)
            self.out.write(b"\x8a" + bytes([len(raw)]) + raw)

    def _bytes(self, x: bytes) -> None:
        # protocol 2 has no bytes: PyTorch's own way is codecs.encode of latin-1 text
        self._global("_codecs", "encode")
        self._tuple((x.decode("latin-1"), "latin1"), "")
        self.out.write(b"R")

    def _tuple(self, x: tuple, path: str) -> None:
        if len(x) > 3:
            self.out.write(b"(")
        elif not x:
            self.out.write(b")")
            return
        for i, v in enumerate(x):
            self.put(v, f"{path}[{i}]")
        self.out.write({1: b"\x85", 2: b"\x86", 3: b"\x87"}.get(len(x), b"t"))

    def _items(self, x: dict, path: str) -> None:
        self.out.write(b"(")
        for k, v in x.items():
            if not isinstance(k, (str, int, float, bool, tuple, type(None))):
                raise TypeError(f"save: cannot store a dict key of type {type(k).__name__} (at {path or 'the top'})")
            self.put(k, path)
            self.put(v, f"{path}[{k!r}]")
        self.out.write(b"u")

    def _global(self, module: str, name: str) -> None:
        self.out.write(f"c{module}\n{name}\n".encode())

    def _reduce(self, module: str, name: str, args: tuple, path: str) -> None:
        self._global(module, name)
        self._tuple(args, path)
        self.out.write(b"R")

    def _tensor(self, t: Tensor) -> None:
        parameter = type(t).__name__ in ("Parameter", "Buffer")
        if parameter:
            self._global("torch._utils", "_rebuild_parameter")
            self.out.write(b"(")
        a = t.detach().concrete("save()")       # type: ignore[attr-defined]
        owner, offset = self._memory(t, a)
        self._global("torch._utils", "_rebuild_tensor_v2")
        self.out.write(b"((")
        self.put("storage", "")
        self._global("torch", _STORAGE[t.dtype.name])
        for v in (str(owner), "cpu", self.storages[owner].nbytes // t.dtype.itemsize):
            self.put(v, "")
        self.out.write(b"tQ")                   # BINPERSID
        self.put(offset, "")
        self._tuple(tuple(a.shape), "")
        self._tuple(tuple(s // a.itemsize for s in a.strides), "")
        self.put(bool(t._needs and t.grad_fn is None and not parameter), "")
        self._reduce("collections", "OrderedDict", (), "")
        self.out.write(b"tR")
        if parameter:
            self.put(bool(t._needs), "")
            self._reduce("collections", "OrderedDict", (), "")
            self.out.write(b"tR")

    def _memory(self, t: Tensor, a: np.ndarray) -> tuple[int, int]:
        """(storage number, offset in elements) of a's memory. A window of much larger memory is copied."""
        root = t._storage.root()
        start = a.__array_interface__["data"][0]
        shared = (root.dtype == a.dtype and (root.flags.c_contiguous or root.flags.f_contiguous)
                  and a.size > 0)
        if not shared:
            a = np.ascontiguousarray(a)
            root, start = a, a.__array_interface__["data"][0]
        base = root.__array_interface__["data"][0]
        key = self.keys.get(base)
        if key is None or not shared:
            key = len(self.storages)
            self.storages.append(root)
            if shared:
                self.keys[base] = key
        return key, (start - base) // a.itemsize if a.size else 0


def _raw(a: np.ndarray) -> memoryview:
    flat = a.ravel(order="K")
    return memoryview(flat.view(np.uint8)) if flat.size else memoryview(b"")


def _write(obj: Any, f: Any, name: str) -> None:
    pickle = _Pickle()
    description = pickle.dump(obj)
    with zipfile.ZipFile(f, "w", zipfile.ZIP_STORED) as z:
        def entry(path: str, data: Any) -> None:
            info = zipfile.ZipInfo(f"{name}/{path}", (1980, 1, 1, 0, 0, 0))
            head = z.fp.tell() + 30 + len(info.filename)        # type: ignore[union-attr]
            pad = -(head + 4) % ALIGN
            info.extra = struct.pack("<HH", 0x4246, pad) + b"Z" * pad
            with z.open(info, "w", force_zip64=False) as out:
                out.write(data)
        entry("data.pkl", description)
        entry("byteorder", b"little")
        for i, a in enumerate(pickle.storages):
            entry(f"data/{i}", _raw(a))
        entry("version", b"3\n")


def save(obj: Any, f: Any, pickle_module: Any = None, pickle_protocol: int = 2,
         _use_new_zipfile_serialization: bool = True) -> None:
    """Stores obj (tensors in nested plain containers, as state dicts are) in file f: a path or a writable
    binary file object.

    A path is written atomically: on any failure the old file stays as it was. TypeError for objects that
    cannot be stored, naming the place. https://pytorch.org/docs/stable/generated/torch.save.html"""
    if hasattr(f, "write"):
        _write(obj, f, "archive")
        return
    path = os.fspath(f)
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        raise RuntimeError(f"Parent directory {folder} does not exist.")
    stem = os.path.splitext(os.path.basename(path))[0] or "archive"
    handle, temporary = tempfile.mkstemp(prefix=".graphc_save_", dir=folder)
    try:
        with os.fdopen(handle, "wb") as out:
            _write(obj, out, stem)
            out.flush()
            os.fsync(out.fileno())
        mode = os.umask(0)
        os.umask(mode)
        os.chmod(temporary, os.stat(path).st_mode & 0o777 if os.path.exists(path) else 0o666 & ~mode)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    with contextlib.suppress(OSError):          # make the rename durable where folders can be synced
        fd = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
