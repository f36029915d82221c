"""The state that a function can reach: takes roots (the function, its arguments), gives every
tensor, array, generator and plain value behind them by a path, and puts all of it back.

Paths go through containers, attributes, closures, default arguments, and the globals that user code
names. Invariant: after `restore` the reachable state is what it was when the `World` was made.
"""

from __future__ import annotations

import functools
import sys
import types
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from ...base.errors import internal
from ...core.rng import Generator, default_generator
from ...core.tensor import Tensor
from ..capture.lift import Saved

_PLAIN = (int, float, complex, str, bytes, type(None))
_OURS = ("graphc.base", "graphc.ir", "graphc.native", "graphc.core", "graphc.compile")
_LIMIT = 200_000  # objects


class Reached:
    """What lies behind some roots: tensors, arrays and generators by path, plain values by path,
    and every container and binding that was passed."""

    def __init__(self, roots: Mapping[str, Any]):
        self.tensors: dict[str, Tensor] = {}
        self.arrays: dict[str, np.ndarray] = {}
        self.generators: dict[str, Generator] = {"the default generator": default_generator}
        self.plain: dict[str, Any] = {}
        self.containers: list[Any] = []  # lists, dicts, sets, deques, attribute dictionaries
        self.cells: list[types.CellType] = []
        self.bindings: list[tuple[dict, str]] = []  # (globals, name)
        self._seen: dict[int, Any] = {}
        todo = list(roots.items())[::-1]
        while todo and len(self._seen) < _LIMIT:
            path, x = todo.pop()
            if isinstance(x, _PLAIN):
                self.plain[path] = x
            elif id(x) not in self._seen:
                self._seen[id(x)] = x
                todo += list(self._behind(path, x))[::-1]

    def _behind(self, path: str, x: Any) -> Iterator[tuple[str, Any]]:
        """What x leads to; notes x itself."""
        if isinstance(x, Tensor):
            self.tensors[path] = x
            yield f"{path}.grad", x._grad
        elif isinstance(x, np.ndarray):
            self.arrays[path] = x
        elif isinstance(x, Generator):
            self.generators[path] = x
        elif isinstance(x, dict):
            self.containers.append(x)
            for i, (k, v) in enumerate(x.items()):
                yield f"{path}[{repr(k) if isinstance(k, _PLAIN) else i}]", v
        elif isinstance(x, (list, tuple, set, deque)):
            if not isinstance(x, tuple):
                self.containers.append(x)
                self.plain[f"len({path})"] = len(x)
            for i, v in enumerate(x):
                yield f"{path}[{i}]", v
        elif isinstance(x, types.FunctionType):
            yield from self._function(path, x)
        elif isinstance(x, types.MethodType):
            yield f"{path}.__self__", x.__self__
            yield f"{path}.__func__", x.__func__
        elif isinstance(x, functools.partial):
            yield f"{path}.func", x.func
            yield f"{path}.args", x.args
            yield f"{path}.keywords", x.keywords
        elif not isinstance(x, (type, types.ModuleType)):
            yield from self._object(path, x)

    def _function(self, path: str, fn: types.FunctionType) -> Iterator[tuple[str, Any]]:
        if internal(fn.__code__.co_filename):
            return
        for name, cell in zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=True):
            self.cells.append(cell)
            if _full(cell):
                yield name, cell.cell_contents
        yield f"{path}.__defaults__", fn.__defaults__
        yield f"{path}.__kwdefaults__", fn.__kwdefaults__
        names = _names(fn.__code__)
        for name in names:
            if name in fn.__globals__:
                self.bindings.append((fn.__globals__, name))
                found = fn.__globals__[name]
                yield name, found
                if isinstance(found, types.ModuleType) and _users(found.__name__):
                    for other in names:
                        if other in vars(found):
                            self.bindings.append((vars(found), other))
                            yield f"{name}.{other}", vars(found)[other]

    def _object(self, path: str, x: Any) -> Iterator[tuple[str, Any]]:
        cls = type(x)  # a compiled Module says that it is of another class
        if cls.__module__ == "graphc.compile":
            yield path, getattr(x, "fn", None)
            return
        if not _users(cls.__module__) and not cls.__module__.startswith("graphc."):
            return
        fields = getattr(x, "__dict__", None)
        if not isinstance(fields, dict) or cls.__module__.startswith(_OURS):
            return
        self.containers.append(fields)
        ours = cls.__module__.startswith("graphc.")
        for name, value in fields.items():
            if ours and name.startswith("_") and isinstance(value, _PLAIN):
                continue  # bookkeeping that eager and compiled code need not share
            yield (f"{path}.{name}" if path != "self" else name), value
        for base in cls.__mro__:
            if _users(base.__module__):
                for name, value in vars(base).items():
                    if isinstance(value, (types.FunctionType, Tensor, list, dict, np.ndarray)):
                        yield f"{base.__name__}.{name}", value


def _full(cell: types.CellType) -> bool:
    try:
        return cell.cell_contents is not cell
    except ValueError:
        return False


def _users(module: str) -> bool:
    """Whether a module is neither the standard library's nor numpy's nor ours."""
    top = module.split(".")[0]
    known = top in sys.stdlib_module_names and top != "__main__"
    return not known and top not in ("numpy", "graphc")


def _names(code: types.CodeType) -> list[str]:
    """The names that code and the code inside it use, in order."""
    found = dict.fromkeys(code.co_names)
    for const in code.co_consts:
        if isinstance(const, types.CodeType):
            found |= dict.fromkeys(_names(const))
    return list(found)


class World:
    """The state behind some roots as it is now, to be put back as often as wanted."""

    def __init__(self, roots: Mapping[str, Any]):
        self.roots = dict(roots)
        reached = Reached(self.roots)
        self._undo: list[Callable[[], Any]] = []
        undo = self._undo.append
        memory: dict[int, np.ndarray] = {}
        for t in reached.tensors.values():
            saved, storage = Saved(t), t._storage
            undo(saved.restore)
            undo(functools.partial(_restore_storage, storage, storage.version, storage.flags))
            if isinstance(storage.value, np.ndarray):
                memory[id(storage.root())] = storage.root()
        for a in reached.arrays.values():
            memory[id(a)] = a
        for a in memory.values():
            undo(functools.partial(np.copyto, a, a.copy()))
        for g in reached.generators.values():
            undo(functools.partial(_restore_generator, g, g.state_words()))
        for x in reached.containers:
            undo(functools.partial(_restore_container, x, x.copy()))
        for cell in reached.cells:
            if _full(cell):
                undo(functools.partial(setattr, cell, "cell_contents", cell.cell_contents))
        for names, name in reached.bindings:
            undo(functools.partial(names.__setitem__, name, names[name]))

    def look(self) -> Reached:
        """What lies behind the roots now."""
        return Reached(self.roots)

    def restore(self) -> None:
        for undo in self._undo:
            undo()


def _restore_storage(storage: Any, version: int, flags: int) -> None:
    storage.version, storage.flags = version, flags


def _restore_generator(g: Generator, words: tuple[int, int]) -> None:
    g.seed_, g.offset = words


def _restore_container(x: Any, content: Any) -> None:
    if isinstance(x, dict):
        same = len(x) == len(content) and all(
            a is b and x[a] is content[b] for a, b in zip(x, content, strict=True)
        )
        if not same:
            dict.clear(x)
            dict.update(x, content)
    elif isinstance(x, list):
        x[:] = content
    elif isinstance(x, set):
        x.clear()
        x.update(content)
    else:
        x.clear()
        x.extend(content)
