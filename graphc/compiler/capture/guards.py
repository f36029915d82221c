"""What compiled code depends on besides its arguments: takes the user's function and the frames
that run while it is captured, gives checks of the Python state that they read, and the tensors
found there.

A frame's facts are taken when it is entered, before its body runs: the globals that its code
names, its closure, and of the objects that it can reach the attributes that it names. Module state
is checked again only when the epoch moved; everything else on every call. Invariant: reading
changes nothing.
"""

from __future__ import annotations

import functools
import sys
import types
import weakref
from collections.abc import Callable, Iterator
from operator import is_
from typing import Any

from ...base.dtypes import DType
from ...base.errors import CaptureBreak, internal
from ...core import observe
from ...core.tensor import Tensor
from .symbols import Sym, same_number

MISSING: Any = type("Missing", (), {"__repr__": lambda self: "nothing"})()
_NUMBERS = (int, float, bool, complex)
_ATOMS = (
    str,
    bytes,
    type(None),
    DType,
    type,
    types.ModuleType,
    types.BuiltinFunctionType,
    type(Ellipsis),
)
_MAX_LEAVES = 1000
_MAX_FLAT = 100_000
_FIXED = frozenset(("is", "number", "equal", "fixed"))  # kinds where the same object says it all


# ---------------------------------------------------------------- values


def freeze(x: Any, budget: list[int] | None = None) -> tuple:
    """What has to stay the same of a Python value: numbers and strings by value, containers by
    content, the rest by identity. Raises CaptureBreak for containers that are too large to check
    on every call."""
    t = type(x)
    if t in _NUMBERS:
        return ("number", x)
    if isinstance(x, _ATOMS):
        return ("equal" if isinstance(x, (str, bytes)) else "is", x)
    if t in (list, tuple, set, frozenset) or isinstance(x, dict):
        budget = [_MAX_LEAVES] if budget is None else budget
        budget[0] -= len(x)
        if budget[0] < 0:
            if t in (list, tuple) and len(x) <= _MAX_FLAT:
                return ("flat", x, tuple(x))
            if len(x) > _MAX_FLAT:
                raise CaptureBreak(
                    f"a {t.__name__} of {len(x)} entries is read by compiled code",
                    "pass what is needed of it as an argument",
                )
            return ("is", x)
        if isinstance(x, dict):
            return ("dict", x, tuple([(k, freeze(v, budget)) for k, v in x.items()]))
        parts = tuple([freeze(v, budget) for v in x])
        if t in (tuple, frozenset) and all(p[0] in _FIXED for p in parts):
            return ("fixed", x, parts)
        return (t.__name__, x, parts)
    return ("is", x)


def unchanged(x: Any, frozen: tuple) -> bool:
    """Whether x still is what `freeze` saw."""
    kind, seen = frozen[0], frozen[1]
    if x is seen and kind in _FIXED:
        return True
    if kind == "is":
        return x is seen
    if kind == "number":
        return same_number(x, seen)
    if type(x) is not type(seen):
        return False
    if kind == "equal":
        return x == seen
    parts = frozen[2]
    if len(x) != len(parts):
        return False
    if kind == "flat":
        return all(map(is_, x, parts)) or all(
            unchanged(a, freeze(p)) for a, p in zip(x, parts, strict=True)
        )
    if kind == "dict":
        return all(
            (a is k or a == k) and unchanged(b, v)
            for (a, b), (k, v) in zip(x.items(), parts, strict=True)
        )
    if isinstance(x, (set, frozenset)):
        return x == {p[1] for p in parts}
    return all(unchanged(a, p) for a, p in zip(x, parts, strict=True))


def thaw(frozen: tuple) -> Any:
    """The value that `freeze` saw, with the content of its containers put back."""
    kind, seen = frozen[0], frozen[1]
    if kind == "dict":
        values = [(k, thaw(v)) for k, v in frozen[2]]
        if not unchanged(seen, frozen):
            dict.clear(seen)
            dict.update(seen, values)
    elif kind in ("list", "set"):
        values = [thaw(p) for p in frozen[2]]
        if kind == "list":
            seen[:] = values
        elif not unchanged(seen, frozen):
            seen.clear()
            seen.update(values)
    elif kind == "flat" and isinstance(seen, list):
        seen[:] = frozen[2]
    return seen


class Check:
    """One fact: `read()` must give what `frozen` saw. `what` says it in the user's words; `holder`
    and `key` tell the entry code a shorter way to read it, and how it is put back."""

    __slots__ = ("what", "read", "frozen", "holder", "key")

    def __init__(
        self,
        what: str,
        read: Callable[[], Any],
        holder: Any = None,
        key: Any = None,
        frozen: tuple | None = None,
    ):
        self.what, self.read, self.holder, self.key = what, read, holder, key
        self.frozen = freeze(read()) if frozen is None else frozen

    def holds(self) -> bool:
        return unchanged(self.read(), self.frozen)

    def difference(self) -> str:
        """`what` was this, now is that."""
        now = self.read()
        if now is self.frozen[1]:
            return f"the content of {self.what} changed"
        return f"{self.what} was {_brief(self.frozen[1])}, now {_brief(now)}"

    def restore(self) -> None:
        """Puts the state back; only for what capturing changed."""
        value = thaw(self.frozen)
        holder, key = self.holder, self.key
        if isinstance(holder, dict) and key is not None:
            if value is MISSING:
                holder.pop(key, None)
            elif holder.get(key, MISSING) is not value:
                dict.__setitem__(holder, key, value)
        elif isinstance(holder, types.CellType) and value is not MISSING:
            holder.cell_contents = value
        elif (
            isinstance(key, str)
            and holder is not None
            and getattr(holder, key, MISSING) is not value
        ):
            if value is MISSING:
                delattr(holder, key)
            else:
                setattr(holder, key, value)


def _brief(x: Any) -> str:
    if isinstance(x, Tensor):
        return f"a tensor {list(x.shape)}"
    if isinstance(x, Sym):
        return "a run-time number"
    text = repr(x)
    return text if len(text) <= 60 else text[:57] + "..."


# ---------------------------------------------------------------- what was read


class ReadSet:
    """The checks for one function. every_call: Checks to be made on each call; module_state:
    Checks behind the epoch; tensors: real tensors that the code can reach by a name."""

    def __init__(self) -> None:
        self.every_call: list[Check] = []
        self.module_state: list[Check] = []
        self.tensors: dict[int, Tensor] = {}
        self.modules: dict[int, Any] = {}
        self.optimizers: dict[int, Any] = {}
        self.containers: dict[int, Any] = {}
        self.names: set[str] = {"data", "forward"}
        self.foreign = ""  # random numbers that are not ours, or an iterator, were reached
        self.iterators = False
        self.codes: set[Any] = set()
        self._done: set[tuple] = set()
        self._alive: list = []
        self._young: dict[int, Any] = {}  # objects that were made while capturing

    # ---- frames and functions

    def function(self, f: Any, what: str) -> None:
        """The function to be compiled (or module, method, partial, callable object)."""
        self.examine(f, frozenset(), what)

    def enter(self, code: types.CodeType, globals_: dict, locals_: dict) -> None:
        """A user's frame starts: its facts as of now."""
        names = attribute_names(code)
        fresh = code not in self.codes
        self.codes.add(code)
        if fresh:
            self._globals(code, globals_, names)
        if code.co_name == "__init__" and code.co_argcount:
            made = locals_.get(code.co_varnames[0])
            self._young[id(made)] = made
        for name, value in list(locals_.items()):
            if isinstance(value, (list, tuple, set, dict)) and id(value) not in self.containers:
                # made by the code itself, or reached from outside by a name already
                values = value.values() if isinstance(value, dict) else value
                for v, _ in zip(list(values), range(_MAX_LEAVES)):
                    if not isinstance(v, (Tensor, Sym, list, tuple, set, dict, *_NUMBERS)):
                        self.examine(v, names, name)
            elif not isinstance(value, (Tensor, Sym, *_NUMBERS)):
                self.examine(value, names, name)

    def _globals(self, code: types.CodeType, globals_: dict, names: Any) -> None:
        loaded = global_names(code)
        for name in loaded:
            if name in globals_:
                self.binding(f"global {name}", _item_reader(globals_, name), names, globals_, name)
        if "globals" in loaded:  # computed names: every plain value
            for name, value in list(globals_.items()):
                if type(value) in _NUMBERS or isinstance(value, str):
                    self.binding(
                        f"global {name}", _item_reader(globals_, name), names, globals_, name
                    )

    def binding(
        self, what: str, read: Callable[[], Any], names: Any, holder: Any, key: Any
    ) -> None:
        """A name that code reads: what it is bound to, and what that depends on."""
        mark = (id(holder), key)
        value = read()
        if mark not in self._done:
            self._done.add(mark)
            self._alive.append(holder)
            if not isinstance(value, (types.ModuleType, type)) and not _library_function(value):
                self._add(what, read, holder, key)
        self.examine(value, names, what)

    def examine(self, x: Any, names: Any, what: str) -> None:
        """What x (any object that code reaches) depends on, given the attribute names that the
        code uses; names None: all of them."""
        if isinstance(x, Tensor):
            if x._array is not None:
                self.tensors[id(x)] = x
            for name in names or ():
                if name in x.__dict__ and name not in _TENSOR_FIELDS:
                    self.binding(
                        f"{what}.{name}", _item_reader(x.__dict__, name), names, x.__dict__, name
                    )
            return
        if isinstance(
            x, (Sym, *_NUMBERS, str, bytes, type(None), DType, types.BuiltinFunctionType)
        ):
            return
        mark = (id(x), names)
        if mark in self._done or id(x) in self._young:
            return
        self._done.add(mark)
        self._alive.append(x)
        if type(x).__module__.startswith("numpy.random"):
            self.foreign = "draws foreign random numbers"
        elif _in_classes(type(x), "__next__") is not MISSING:
            self.iterators = True
        if isinstance(x, types.FunctionType):
            self._function(x)
        elif isinstance(x, types.MethodType):
            self.examine(x.__func__, names, what)
            self.examine(x.__self__, names, what)
        elif is_module(x):
            self._module(x, names, what)
        elif is_optimizer(x):
            self._optimizer(x, what)
        elif isinstance(x, (list, tuple, set, frozenset)):
            self.containers[id(x)] = x
            for i, v in zip(range(_MAX_LEAVES), x, strict=False):
                self.examine(v, names, f"{what}[{i}]")
        elif isinstance(x, dict):
            self.containers[id(x)] = x
            for (k, v), _ in zip(list(x.items()), range(_MAX_LEAVES), strict=False):
                self.examine(v, names, f"{what}[{k!r}]")
            if type(x) is not dict:
                self._object(x, names, what)
        elif isinstance(x, types.ModuleType):
            for name in names or () if not _python_module(x) else ():
                if name in x.__dict__ and x.__name__ != "builtins":
                    if (
                        _library_function(x.__dict__[name])
                        and (id(x.__dict__), name) not in self._done
                    ):
                        self._add(
                            f"{x.__name__}.{name}", _item_reader(x.__dict__, name), x.__dict__, name
                        )
                    self.binding(
                        f"{x.__name__}.{name}",
                        _item_reader(x.__dict__, name),
                        names,
                        x.__dict__,
                        name,
                    )
        elif isinstance(x, functools.partial):
            self._add(f"{what} (a partial)", lambda: (x.func, x.args, x.keywords))
            for part in (x.func, x.args, x.keywords):
                self.examine(part, names, what)
        elif isinstance(x, type):
            self._class(x, names or ())
        else:
            self._object(x, names, what)

    def _function(self, f: types.FunctionType) -> None:
        if internal(f.__code__.co_filename):
            return
        where = f.__qualname__
        names = attribute_names(f.__code__)
        self.codes.add(f.__code__)
        self._add(f"the code of {where}", lambda: f.__code__, f, "__code__")
        if f.__defaults__ or f.__kwdefaults__:
            self._add(f"the defaults of {where}", lambda: (f.__defaults__, f.__kwdefaults__))
            for d in (*(f.__defaults__ or ()), *(f.__kwdefaults__ or {}).values()):
                self.examine(d, names, f"a default of {where}")
        for name, cell in zip(f.__code__.co_freevars, f.__closure__ or (), strict=True):
            self.binding(f"{name} (outside {where})", _cell_reader(cell), names, cell, None)
        self._globals(f.__code__, f.__globals__, names)
        if f.__dict__:
            self._object(f, names, where)
            if "__wrapped__" in f.__dict__:
                self.examine(f.__dict__["__wrapped__"], names, where)

    def _object(self, x: Any, names: Any, what: str) -> None:
        """A plain object: of its fields those that are named, of its class what the fields do not
        hide."""
        cls = type(x)
        fields: Any = (
            object.__getattribute__(x, "__dict__")
            if _in_classes(cls, "__dict__") is not MISSING
            else {}
        )
        fields = fields if isinstance(fields, dict) else {}
        if "__wrapped__" in fields and not isinstance(x, types.FunctionType):
            self.examine(fields["__wrapped__"], frozenset(), what)  # a compiled function, say
            return
        if internal_class(cls) and not fields:
            return
        for name in list(fields) if names is None else names:
            if name in fields:
                self.binding(
                    f"{cls.__name__}.{name}", _item_reader(fields, name), names, fields, name
                )
                continue
            found = _in_classes(cls, name)
            if isinstance(found, types.MemberDescriptorType):
                self.binding(f"{cls.__name__}.{name}", _attribute_reader(x, name), names, x, name)
            elif found is not MISSING and not internal_class(cls):
                if _in_classes(cls, "__dict__") is not MISSING:
                    self.binding(
                        f"{cls.__name__}.{name}", _item_reader(fields, name), names, fields, name
                    )
                self._class(cls, (name,))
        call = _in_classes(cls, "__call__")
        if isinstance(call, types.FunctionType) and not internal(call.__code__.co_filename):
            self._class(cls, ("__call__",))
            if names is not None:
                self.examine(x, attribute_names(call.__code__), what)

    def _class(self, cls: type, names: Any) -> None:
        """Attributes of a user's class, where they are defined."""
        for owner in cls.__mro__:
            if owner is object or internal_class(owner):
                continue
            for name in names:
                if name in owner.__dict__ and (id(owner), name) not in self._done:
                    self._done.add((id(owner), name))
                    self._alive.append(owner)
                    value = owner.__dict__[name]
                    self._add(f"{owner.__name__}.{name}", _class_reader(owner, name), owner, name)
                    value = getattr(value, "__func__", value)
                    if isinstance(value, property):
                        value = value.fget
                    self.examine(value, frozenset(names), f"{owner.__name__}.{name}")

    # ---- modules and optimizers, by protocol

    def _module(self, root: Any, names: Any, what: str) -> None:
        for m in walk_modules(root):
            if id(m) not in self.modules:
                self.modules[id(m)] = m
                self._module_fields(m)
                cls = type(m)
                if id(cls) not in self._done:
                    self._done.add(id(cls))  # type: ignore[arg-type]
                    self._add(f"{cls.__name__}.forward", functools.partial(getattr, cls, "forward"))
                    self.examine(
                        getattr(cls, "forward", None), frozenset(), f"{cls.__name__}.forward"
                    )
        fields = root.__dict__
        self.names.update(names or ())
        for name in list(fields) if names is None else names or ():
            if name in fields:
                plain = isinstance(fields[name], (*_NUMBERS, str, type(None)))
                if plain and not name.startswith("_"):  # may be written past __setattr__
                    self._add(
                        f"{type(root).__name__}.{name}", _item_reader(fields, name), fields, name
                    )
                self.examine(fields[name], names, f"{type(root).__name__}.{name}")
            elif not internal_class(type(root)):
                self._class(type(root), (name,))

    def _module_fields(self, m: Any) -> None:
        name, fields = type(m).__name__, m.__dict__
        for key, value in fields.items():
            self.names.add(key)
            if isinstance(value, Tensor):
                self.tensors[id(value)] = value
            if isinstance(value, dict) and key in ("_parameters", "_buffers", "_modules"):
                self.names.update(value)
                for t in value.values():
                    if isinstance(t, Tensor):
                        self.tensors[id(t)] = t
            check = Check(f"{name}.{key}", _item_reader(fields, key), fields, key)
            own = isinstance(value, (list, dict, set)) and not key.startswith("_")
            (self.every_call if own else self.module_state).append(check)
            if key.endswith("_hooks") and value:
                for hook in value.values():
                    self.examine(hook, frozenset(), key)
            elif isinstance(value, (types.FunctionType, types.MethodType)):
                self.examine(value, frozenset(), key)
        self.module_state.append(Check(f"the attributes of {name}", lambda: tuple(fields)))
        self.every_call.append(Check(f"the class of a {name}", lambda: type(m), m, "__class__"))

    def _optimizer(self, o: Any, what: str) -> None:
        self.optimizers[id(o)] = o
        state = o.__dict__.get("state")
        self.every_call.append(
            Check(
                f"{what}.state",
                _item_reader(o.__dict__, "state"),
                o.__dict__,
                "state",
                ("is", state),
            )
        )
        self._add(f"{what}.param_groups", lambda: len(o.param_groups))
        for group in o.param_groups:
            for p in group["params"]:
                self.tensors[id(p)] = p

    def settle(self, read_late: set) -> None:
        """Called after capture, with the (mapping, key) pairs that are read on every call anyhow:
        the other settings of the optimizers are facts, and their state tensors are known now."""
        for o in self.optimizers.values():
            name = type(o).__name__
            self._add(f"the state of {name}", functools.partial(_state_size, o))
            for state in o.state.values():
                for key, value in state.items() if isinstance(state, dict) else ():
                    if isinstance(value, Tensor):
                        self._add(f"{name} state {key!r}", _item_reader(state, key), state, key)
            for group in o.param_groups:
                params = group["params"]
                self._add("the number of parameters", functools.partial(_parameter_count, group))
                self.every_call.append(
                    Check(
                        f"{name} 'params'",
                        _item_reader(group, "params"),
                        group,
                        "params",
                        ("is", params),
                    )
                )
                for key in group:
                    if key != "params" and (id(group), key) not in read_late:
                        self._add(f"{name} {key!r}", _item_reader(group, key), group, key)
        observe.watch(self.names)

    def _add(self, what: str, read: Callable[[], Any], holder: Any = None, key: Any = None) -> None:
        self.every_call.append(Check(what, read, holder, key))

    # ---- afterwards

    def changed(self) -> list[Check]:
        """The facts that no longer hold."""
        return [c for c in (*self.module_state, *self.every_call) if not c.holds()]

    def restore(self) -> None:
        """Undoes what the captured run did to the state it read."""
        for c in self.changed():
            c.restore()


# ---------------------------------------------------------------- protocols and names

_TENSOR_FIELDS = frozenset(vars(Tensor))


def is_module(x: Any) -> bool:
    """By protocol: compiled code knows nothing of graphc.nn."""
    return _has(x, "children") and _has(x, "_parameters") and _has(x, "_modules")


def is_optimizer(x: Any) -> bool:
    return not isinstance(x, type) and _has(x, "param_groups") and _has(x, "state")


def _has(x: Any, name: str) -> bool:
    """hasattr without running any code of x's class."""
    fields = getattr(type(x), "__dictoffset__", 0) and object.__getattribute__(x, "__dict__")
    return (isinstance(fields, dict) and name in fields) or _in_classes(
        type(x), name
    ) is not MISSING


def walk_modules(root: Any) -> Iterator[Any]:
    """A module and all below it."""
    seen: set[int] = set()
    stack = [root]
    while stack:
        m = stack.pop()
        if m is not None and id(m) not in seen:
            seen.add(id(m))
            yield m
            stack.extend(reversed(list(m._modules.values())))


def _per_code(compute: Callable[[types.CodeType], Any]) -> Callable[[types.CodeType], Any]:
    """Remembers what is computed of a code object for as long as the code lives."""
    known: weakref.WeakKeyDictionary[types.CodeType, Any] = weakref.WeakKeyDictionary()

    @functools.wraps(compute)
    def find(code: types.CodeType) -> Any:
        found = known.get(code, MISSING)
        if found is MISSING:
            found = known[code] = compute(code)
        return found

    return find


@_per_code
def global_names(code: types.CodeType) -> tuple[str, ...]:
    """The names that code and the functions inside it load as globals (or as attributes: more is
    safe)."""
    names = dict.fromkeys(code.co_names)
    for c in code.co_consts:
        if isinstance(c, types.CodeType):
            names.update(dict.fromkeys(global_names(c)))
    return tuple(names)


_DYNAMIC = frozenset(("getattr", "hasattr", "vars", "__dict__", "asdict", "dir"))


@_per_code
def attribute_names(code: types.CodeType) -> frozenset | None:
    """The attribute names that code uses; None when it computes names."""
    names = frozenset(global_names(code))
    return None if names & _DYNAMIC else names


def internal_class(cls: type) -> bool:
    """Classes of the library, of Python and of numpy: taken as fixed."""
    root = (getattr(cls, "__module__", "") or "").partition(".")[0]
    return root in _FIXED_ROOTS


_FIXED_ROOTS = frozenset(
    (
        __name__.partition(".")[0],
        "builtins",
        "numpy",
        "types",
        "collections",
        "functools",
        "dataclasses",
        "enum",
        "typing",
        "abc",
        "pathlib",
        "threading",
        "logging",
    )
)


def _library_function(x: Any) -> bool:
    return isinstance(x, types.BuiltinFunctionType) or (
        isinstance(x, types.FunctionType) and internal(x.__code__.co_filename)
    )


def _python_module(m: types.ModuleType) -> bool:
    """Modules of Python itself: taken as fixed."""
    return m.__name__.partition(".")[0] in sys.stdlib_module_names


def _in_classes(cls: type, name: str) -> Any:
    for owner in cls.__mro__:
        if name in owner.__dict__:
            return owner.__dict__[name]
    return MISSING


def _cell_reader(cell: Any) -> Callable[[], Any]:
    def read() -> Any:
        try:
            return cell.cell_contents
        except ValueError:
            return MISSING

    return read


def _item_reader(holder: dict, name: Any) -> Callable[[], Any]:
    return lambda: holder.get(name, MISSING)


def _attribute_reader(x: Any, name: str) -> Callable[[], Any]:
    return lambda: getattr(x, name, MISSING)


def _class_reader(owner: type, name: str) -> Callable[[], Any]:
    return lambda: owner.__dict__.get(name, MISSING)


def _state_size(optimizer: Any) -> int:
    return len(optimizer.state)


def _parameter_count(group: dict) -> int:
    return len(group["params"])
