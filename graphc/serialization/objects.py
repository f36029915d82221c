"""Whole objects in files: modules, arrays, whatever Python's pickle can store.

Takes an object that is more than tensors in containers, gives a pickle of it, whose tensors lie in
records of the archive, as the others' do; and back. Reading such a pickle imports and calls what it
names, so it is done only on request (`weights_only=False`), or for names that the user has allowed.
Invariant: tensors that share memory share it when read.
Source: https://docs.pytorch.org/docs/stable/notes/serialization.html
"""

from __future__ import annotations

import contextlib
import io
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..base.dtypes import DType
from ..core.storage import Storage
from .pickler import STORAGE_NAMES
from .unpickler import _TYPES, Loaded, _Name

_allowed: dict[str, Any] = {}
# what tensors, parameters, sizes, dtypes and devices are rebuilt with
_OURS = {
    "graphc.methods._rebuild",
    "graphc.core.tensor.Tensor",
    "graphc.core.tensor.Size",
    "graphc.nn.parameter._rebuild",
    "graphc.nn.parameter.Parameter",
    "graphc.base.dtypes.dtype_named",
    "graphc.device.device",
}


class _Writer(pickle.Pickler):
    """Puts the memory of tensors aside, one record each."""

    def __init__(self, file: Any) -> None:
        super().__init__(file, protocol=2)
        self.storages: list[Storage] = []
        self._numbers: dict[int, int] = {}

    def persistent_id(self, obj: Any) -> Any:
        if type(obj) is not Storage:
            return None
        number = self._numbers.get(id(obj))
        if number is None:
            number = self._numbers[id(obj)] = len(self.storages)
            self.storages.append(obj)
        a: Any = obj.value
        name = a.dtype.name
        return ("memory", STORAGE_NAMES[name], str(number), "cpu", int(a.size))


def dump(obj: Any) -> tuple[bytes, list]:
    """(pickle, contents of the records data/0, data/1, ...). Raises pickle's errors."""
    file = io.BytesIO()
    writer = _Writer(file)
    writer.dump(obj)
    contents = []
    for storage in writer.storages:
        a: Any = storage.value
        flat = a.transpose(sorted(range(a.ndim), key=lambda i: -a.strides[i])).reshape(-1)
        contents.append(np.ascontiguousarray(flat).view(np.uint8).data)
    return file.getvalue(), contents


class _Reader(pickle.Unpickler):
    """Reads a pickle by Python's rules; `allowed`: names and what they stand for, None: all."""

    def __init__(self, data: bytes, storage: Callable[[tuple], Loaded], allowed: dict | None):
        super().__init__(io.BytesIO(data), encoding="utf-8")
        self.storage, self.allowed = storage, allowed

    def find_class(self, module: str, name: str) -> Any:
        full = f"{module}.{name}"
        found = _TYPES.get(full)
        if isinstance(found, DType):
            return found
        if isinstance(found, _Name) and full.startswith("torch."):
            return found if found.call is None else found.call
        if self.allowed is not None:
            if full in self.allowed:
                return self.allowed[full]
            if full in _OURS:
                return super().find_class(module, name)
            if isinstance(found, _Name) and found.call is not None:
                return found.call
            raise pickle.UnpicklingError(
                f"the file names {full}, which is not among the types that load() builds with "
                "weights_only=True; allow it with torch.serialization.add_safe_globals(["
                f"{name}]) if you trust it"
            )
        if module.partition(".")[0] == "torch":  # a module that PyTorch saved
            module = "graphc" + module[len("torch") :]
        return super().find_class(module, name)

    def persistent_load(self, pid: Any) -> Any:
        kind, name = pid[0], pid[1]
        if kind == "memory":
            loaded = self.storage(("storage", _TYPES[f"torch.{name}"], *pid[2:]))
            return loaded.storage
        if kind != "storage":
            raise pickle.UnpicklingError(f"unknown persistent object {kind!r:.40}")
        return self.storage(pid)


def load(data: bytes, storage: Callable[[tuple], Loaded], anything: bool) -> Any:
    """The object of a pickle. anything: whatever it names is imported and called; else only what
    load() builds always and what the user allowed."""
    return _Reader(data, storage, None if anything else _allowed).load()


# ---------------------------------------------------------------- names that are allowed


def _named(item: Any) -> tuple[str, Any]:
    if isinstance(item, tuple):
        item, name = item
        return str(name), item
    module, name = item.__module__, item.__qualname__
    return f"{module}.{name}", item


def add_safe_globals(safe_globals: list) -> None:
    """Allows these classes and functions, or (object, full name) pairs, in files that are loaded
    with weights_only=True."""
    _allowed.update(_named(item) for item in safe_globals)


def get_safe_globals() -> list:
    """What add_safe_globals() allowed."""
    return list(_allowed.values())


def clear_safe_globals() -> None:
    """Allows nothing any more."""
    _allowed.clear()


@contextlib.contextmanager
def safe_globals(safe_globals: list) -> Iterator[None]:
    """A region in which these are allowed as well."""
    before = dict(_allowed)
    add_safe_globals(safe_globals)
    try:
        yield
    finally:
        _allowed.clear()
        _allowed.update(before)


def allowed() -> bool:
    """Whether the user has allowed anything."""
    return bool(_allowed)


__all__ = ["add_safe_globals", "clear_safe_globals", "get_safe_globals", "safe_globals"]
