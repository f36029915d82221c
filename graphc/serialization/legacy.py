"""PyTorch's files from before version 1.6: a row of pickles, then the storages one after the other.

Takes a reader, gives the saved object. These files carry no checksums; lengths are checked.
Invariant: as for the unpickler, nothing of the file is executed.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from ..native import library
from .files import LoadError, Reader
from .unpickler import STORAGES, Loaded, Unpickler, _Name

MAGIC, VERSION = 0x1950A86A20F9469CFC6C, 1001


def load(reader: Reader) -> Any:
    """The object in an old file. LoadError when it is none."""
    data = reader.read(reader.start, reader.size - reader.start)
    where = f"{reader.name} (a PyTorch file of before version 1.6)"
    storages: dict[str, Loaded] = {}
    windows: dict[tuple, Loaded] = {}

    def refuse(key: tuple) -> Any:
        raise LoadError(f"{where}: a storage in the header")

    def storage(key: tuple) -> Loaded:
        _, kind, name, _, numel = key[:5]
        if (
            not isinstance(kind, _Name)
            or kind not in STORAGES
            or type(name) is not str
            or type(numel) is not int
            or not 0 <= numel <= len(data)
        ):
            raise LoadError(f"{where}: a storage of unknown kind {kind!r:.60}")
        dtype = STORAGES[kind]
        whole = storages.get(name)
        if whole is None:       # filled when the file comes to it
            whole = storages[name] = Loaded(library.empty((numel,), dtype.np), dtype)
        if len(key) < 6 or key[5] is None:
            return whole
        return _window(whole, key[5], windows, where)

    pos, parts = 0, []
    for _ in range(3):
        u = Unpickler(data, refuse, where, pos)
        parts.append(u.load())
        pos = u.pos
        if len(parts) == 1 and parts[0] != MAGIC:
            raise LoadError(
                f"{reader.name} is neither an archive of graphc or PyTorch nor an old PyTorch file"
            )
    if parts[1] != VERSION:
        raise LoadError(f"{where}: protocol version {parts[1]!r:.20} is not {VERSION}")
    if isinstance(parts[2], dict) and parts[2].get("little_endian") is False:
        raise LoadError(f"{where}: written on a big-endian machine")
    u = Unpickler(data, storage, where, pos)
    value = u.load()
    keys = Unpickler(data, refuse, where, u.pos)
    order = keys.load()
    if type(order) is not list or set(order) != set(storages) or len(order) != len(storages):
        raise LoadError(f"{where}: the list of storages does not match the tensors")
    _fill(data, keys.pos, order, storages, reader)
    return value


def _window(whole: Loaded, meta: Any, windows: dict[tuple, Loaded],
            where: str) -> Loaded:
    if type(meta) is not tuple or len(meta) != 3:
        raise LoadError(f"{where}: an odd view of a storage")
    key, offset, size = meta
    if (
        type(offset) is not int
        or type(size) is not int
        or not 0 <= offset <= offset + size <= whole.array.size
    ):
        raise LoadError(f"{where}: a view outside of its storage")
    found = windows.get((id(whole), key))
    if found is None:
        found = windows[id(whole), key] = Loaded(whole.array[offset:offset + size], whole.dtype)
        found.storage = whole.storage
    return found


def _fill(data: bytes, pos: int, order: list, storages: dict[str, Loaded], reader: Reader) -> None:
    for key in order:
        a = storages[key].array
        if pos + 8 > len(data):
            raise LoadError(
                f"{reader.name}: storage {key!r} is missing at offset {pos}; the file was cut short"
            )
        (numel,) = struct.unpack_from("<q", data, pos)
        pos += 8
        if numel != a.size or pos + a.nbytes > len(data):
            raise LoadError(
                f"{reader.name}: storage {key!r} at offset {pos} should have {a.size} elements, "
                f"but has {numel}, or the file was cut short"
            )
        a.view(np.uint8)[:] = np.frombuffer(data, np.uint8, a.nbytes, pos)
        pos += a.nbytes
