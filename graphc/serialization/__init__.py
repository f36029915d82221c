"""save and load: tensors, state dicts, training states and plain containers in files.

Files are PyTorch's zip format, so each library reads the other's. Writing replaces the file in one
step or not at all; reading checks the CRC-32 of everything and executes nothing, unless whole
objects are asked for (`weights_only=False`). Source of the format:
https://docs.pytorch.org/docs/stable/notes/serialization.html
"""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np

from ..device import device as device_type
from ..native import library
from . import archive as zip_archive
from . import files, legacy, objects
from .archive import Archive
from .files import LoadError, NameRefused
from .objects import add_safe_globals, clear_safe_globals, get_safe_globals, safe_globals
from .pickler import Pickler
from .unpickler import STORAGES, Loaded, Unpickler, _Name


def save(
    obj: Any,
    f: Any,
    pickle_module: Any = None,
    pickle_protocol: int = 2,
    _use_new_zipfile_serialization: bool = True,
    _disable_byteorder_record: bool = False,
) -> None:
    """Writes obj to a path or a binary file object.

    obj: tensors, parameters, numbers, strings, bytes, None, lists, tuples, sets, dicts,
    OrderedDicts, Counters, sizes, dtypes, devices, nested at will. Tensors that share memory share
    it in the file, of which no more than they cover is written. A path is replaced in one step
    after the new contents have reached the disk; on any failure it keeps its old contents.

    Other objects that Python can pickle, such as whole modules, are stored as well, in a file that
    load() reads with weights_only=False only. TypeError, naming the place, for what cannot be.
    https://docs.pytorch.org/docs/stable/generated/torch.save.html
    """
    pickled, contents = _pickle(obj)
    records: list[tuple[str, Any]] = [("archive/data.pkl", pickled),
                                      ("archive/byteorder", b"little")]
    records += [(f"archive/data/{i}", content) for i, content in enumerate(contents)]
    records.append(("archive/version", b"3\n"))
    if files.is_path(f):
        with files.replacing(f) as put:
            zip_archive.write(put, records)
    else:
        if not hasattr(f, "write"):
            raise AttributeError("expected 'f' to be string, path, or a file-like object with "
                                 "a 'write' attribute")
        zip_archive.write(f.write, records)


def _pickle(obj: Any) -> tuple[bytes, list]:
    """(pickle, contents of the records data/0, data/1, ...)."""
    pickler = Pickler()
    try:
        pickled = pickler.pickle(obj)
    except TypeError as e:
        refused = e
    else:
        return pickled, [m.view() for m in pickler.memories]
    try:
        return objects.dump(obj)
    except Exception:  # noqa: BLE001  (pickle raises many kinds; the place is what helps)
        pass
    raise refused


def load(
    f: Any,
    map_location: Any = None,
    pickle_module: Any = None,
    *,
    weights_only: bool | None = None,
    mmap: bool | None = None,
    **pickle_load_args: Any,
) -> Any:
    """Reads what save() or torch.save() wrote, from a path or a seekable binary file object.

    All tensors come to the CPU; map_location may name it. weights_only (default): build tensors and
    plain containers, and what serialization.add_safe_globals() allows, and call nothing else of
    what the file names; False: load whole objects by Python's pickle, for files that you trust.
    mmap: map a path's tensors, copied on first write, instead of reading them.
    Raises FileNotFoundError; LoadError (a RuntimeError and a pickle.UnpicklingError) with file,
    tensor and offset when a byte is not what was written, or with what was asked for when the file
    holds other objects.
    https://docs.pytorch.org/docs/stable/generated/torch.load.html
    """
    _check_location(map_location)
    with files.Reader(f) as reader:
        if reader.size == 0:
            raise EOFError(f"{reader.name} is empty")
        if reader.read(0, 2) == b"PK":
            if mmap and not reader.owned:
                raise ValueError("f must be a file name when mmap is used")
            return _Loading(reader, bool(mmap)).load(weights_only is False)
        return legacy.load(reader)


def _check_location(where: Any) -> None:
    places = where.values() if isinstance(where, dict) else (where,)
    for place in places:
        if isinstance(place, (str, device_type)) and device_type(place).type != "cpu":
            raise RuntimeError(f"load(): map_location {str(place)!r}: this version of graphc "
                               f"computes on the CPU only")


class _Loading:
    """One archive being read: its storages by key, read and checked when a tensor first asks for
    them."""

    def __init__(self, reader: files.Reader, mapped: bool):
        self.reader = reader
        self.archive = Archive(reader)
        self.loaded: dict[str, Loaded] = {}
        self.map: Any = None
        if mapped:
            import mmap
            self.map = mmap.mmap(reader.file.fileno(), 0, access=mmap.ACCESS_COPY)
        for name in ("version", "byteorder"):
            if name in self.archive:
                self.archive.read(name)
        self.swap = "byteorder" in self.archive and self.archive.read("byteorder") == b"big"
        self.where = f"{reader.name}, record {self.archive.prefix}data.pkl"

    def load(self, anything: bool) -> Any:
        self.pickle = self.archive.read("data.pkl")
        try:
            return Unpickler(self.pickle, self.storage, self.where).load()
        except NameRefused as e:
            if not anything and not objects.allowed():
                raise
            refused = e
        self.loaded.clear()
        try:
            return objects.load(self.pickle, self.storage, anything)
        except pickle.UnpicklingError as e:
            raise LoadError(f"{self.where}: {e}") from refused

    def storage(self, key: tuple) -> Loaded:
        _, kind, name, _, numel = key[:5]
        dtype = STORAGES.get(kind) if isinstance(kind, _Name) else None
        if dtype is None or type(name) is not str or type(numel) is not int:
            raise self.archive.damaged(f"its pickle names a storage of unknown kind {kind!r:.60}")
        found = self.loaded.get(name)
        if found is None:
            record = self.archive.record("data/" + name)
            if record.size != numel * dtype.itemsize:
                raise self.archive.damaged(
                    f"{self.describe(name)} should have {numel} elements of {dtype}, but its "
                    f"record at offset {record.offset} has {record.size} bytes"
                )
            found = self.loaded[name] = Loaded(self._contents(record, name, numel, dtype), dtype)
        return found.of(dtype)

    def _contents(self, record: Any, name: str, numel: int, dtype: Any) -> np.ndarray:
        if self.map is not None:
            part = memoryview(self.map)[record.offset:record.offset + record.size]
            a = np.frombuffer(part, np.uint8).view(dtype.np)
        else:
            if record.offset + record.size > self.reader.size:
                raise self.archive.damaged(f"{self.describe(name)} lies beyond the end of the file")
            a = library.empty((numel,), dtype.np)
            got = self.reader.read_into(record.offset, a.view(np.uint8).data)
            if got != record.size:
                raise self.archive.damaged(
                    f"{self.describe(name)} ends after {got} of {record.size} bytes"
                )
        try:
            self.archive.check(record, a.view(np.uint8))
        except LoadError:
            self.archive.check(record, a.view(np.uint8), self.describe(name))
        return a.byteswap() if self.swap else a

    def describe(self, name: str) -> str:
        """The tensors of a storage by their place in the saved object, for messages."""
        seen: dict[int, list] = {}

        def stand_in(key: tuple) -> Loaded:
            part = Loaded(np.empty(0, np.uint8), STORAGES[key[1]])
            part.array = np.broadcast_to(np.zeros((), part.dtype.np), (key[4],))
            seen.setdefault(id(part.storage), []).append((key[2], part))
            return part
        places = []
        try:
            tree = Unpickler(self.pickle, stand_in, self.where).load()
            keys = {i: parts[0][0] for i, parts in seen.items()}
            places = [p for p, t in _tensors(tree) if keys.get(id(t._storage)) == name]
        except Exception:       # a message about damage must not fail on more damage
            pass
        whose = f"tensor {', '.join(places[:3])}" if places else "a tensor"
        return f"{whose} (record {self.archive.prefix}data/{name})"


def _tensors(tree: Any) -> list[tuple[str, Any]]:
    """(place, tensor) of all tensors in nested containers."""
    from ..core.tensor import Tensor
    found, todo, seen = [], [("obj", tree)], set()
    while todo:
        place, x = todo.pop()
        if isinstance(x, Tensor):
            found.append((place, x))
        elif isinstance(x, (list, tuple, dict)) and id(x) not in seen:
            seen.add(id(x))
            items = x.items() if isinstance(x, dict) else enumerate(x)
            todo += [(f"{place}[{k!r}]", v) for k, v in items][::-1]
    return found


__all__ = [
    "LoadError",
    "add_safe_globals",
    "clear_safe_globals",
    "get_safe_globals",
    "load",
    "safe_globals",
    "save",
]
