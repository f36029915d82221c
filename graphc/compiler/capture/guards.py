"""What compiled code depends on besides its arguments: takes the user's function, gives checks of the Python
state that it can reach and the tensors found there.

Followed by name: closures, defaults, the globals that the code names, modules (by the `children()` protocol),
optimizers (by `param_groups` and `state`), bound objects (the attributes that the code names). Module state
is checked again only when the epoch moved; everything else on every call. Invariant: reading changes nothing.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator
from typing import Any

from ...base.dtypes import DType
from ...base.errors import internal
from ...core import observe
from ...core.tensor import Tensor
from .symbols import same_number

MISSING: Any = type("Missing", (), {"__repr__": lambda self: "nothing"})()
_PLAIN = (str, bytes, type(None), DType, type, types.ModuleType, types.BuiltinFunctionType, type(Ellipsis))
_MAX_LEAVES = 1000


def freeze(x: Any, budget: list[int] | None = None) -> Any:
    """What has to stay the same of a Python value: numbers and strings by value, containers by content,
    the rest by identity. Containers of more than 1,000 leaves count by identity."""
    t = type(x)
    if t in (int, float, bool, complex):
        return ("number", x)
    if isinstance(x, _PLAIN):
        return ("is" if not isinstance(x, (str, bytes)) else "equal", x)
    if t in (list, tuple, set, frozenset) or isinstance(x, dict):
        budget = [_MAX_LEAVES] if budget is None else budget
        budget[0] -= len(x)
        if budget[0] >= 0:
            if isinstance(x, dict):
                return ("dict", x, tuple([(k, freeze(v, budget)) for k, v in x.items()]))
            parts = tuple([freeze(v, budget) for v in x])
            if t is tuple and all(p[0] in _FIXED for p in parts):
                return ("fixed", x, parts)
            return (t.__name__, x, parts)
    return ("is", x)


_FIXED = frozenset(("is", "number", "equal", "fixed"))      # kinds where the same object says it all


def unchanged(x: Any, frozen: tuple) -> bool:
    """Whether x still is what `freeze` saw."""
    kind, seen = frozen[0], frozen[1]
    if x is seen and kind in _FIXED:
        return True
    if kind == "is":
        return x is seen
    if kind == "number":
        return x is seen or same_number(x, seen)
    if kind == "equal":
        return x is seen or type(x) is type(seen) and x == seen
    if type(x) is not type(seen):
        return False
    parts = frozen[2]
    if len(x) != len(parts):
        return False
    if kind == "dict":
        return all(a == k and unchanged(b, v) for (a, b), (k, v) in zip(x.items(), parts, strict=True))
    if kind in ("set", "frozenset"):
        return x == {p[1] for p in parts}
    return all(unchanged(a, p) for a, p in zip(x, parts, strict=True))


class Check:
    """One fact: `read()` must give what `frozen` saw. `what` says it in the user's words."""

    __slots__ = ("what", "read", "frozen", "holder", "key")

    def __init__(self, what: str, read: Callable[[], Any], holder: Any = None, key: Any = None):
        self.what, self.read, self.holder, self.key = what, read, holder, key
        self.frozen = freeze(read())

    def holds(self) -> bool:
        return unchanged(self.read(), self.frozen)

    def difference(self) -> str:
        """`what` was this, now is that."""
        return f"{self.what} was {_brief(self.frozen[1])}, now {_brief(self.read())}"


def _brief(x: Any) -> str:
    if isinstance(x, Tensor):
        return f"a tensor {list(x.shape)}"
    text = repr(x)
    return text if len(text) <= 60 else text[:57] + "..."


class ReadSet:
    """The checks for one function. every_call: Checks to be made on each call; module_state: Checks behind
    the epoch; tensors: real tensors that the code can reach by a name."""

    def __init__(self) -> None:
        self.every_call: list[Check] = []
        self.module_state: list[Check] = []
        self.tensors: dict[int, Tensor] = {}
        self.modules: dict[int, Any] = {}
        self.optimizers: dict[int, Any] = {}
        self.names: set[str] = set()
        self._seen: set[int] = set()

    # ---- following

    def follow(self, x: Any, what: str) -> None:
        """Adds what x (a function, module, optimizer, container, tensor) depends on."""
        if isinstance(x, Tensor):
            self.tensors[id(x)] = x
            return
        if id(x) in self._seen or isinstance(x, (int, float, str, bytes, bool, type(None))):
            return
        self._seen.add(id(x))
        if isinstance(x, types.FunctionType):
            if not internal(x.__code__.co_filename):
                self._function(x)
        elif isinstance(x, types.MethodType):
            self.follow(x.__func__, what)
            self._bound(x.__self__, x.__func__.__code__, what)
        elif is_module(x):
            self._module(x, what)
        elif is_optimizer(x):
            self._optimizer(x, what)
        elif isinstance(x, (list, tuple)):
            for i, v in enumerate(x[:_MAX_LEAVES]):
                self.follow(v, f"{what}[{i}]")
        elif isinstance(x, dict):
            for k, v in list(x.items())[:_MAX_LEAVES]:
                self.follow(v, f"{what}[{k!r}]")
        elif hasattr(x, "__wrapped__"):
            self.follow(x.__wrapped__, what)
        elif type(x).__call__ is not type.__call__ and isinstance(
                getattr(type(x), "__call__", None), types.FunctionType):
            self._bound(x, type(x).__call__.__code__, what)

    def _function(self, f: types.FunctionType) -> None:
        where = f.__qualname__
        self._add(f"the code of {where}", lambda: f.__code__, f, "__code__")
        if f.__defaults__ or f.__kwdefaults__:
            self._add(f"the defaults of {where}", lambda: (f.__defaults__, f.__kwdefaults__))
        for d in (*(f.__defaults__ or ()), *(f.__kwdefaults__ or {}).values()):
            self.follow(d, f"a default of {where}")
        for name, cell in zip(f.__code__.co_freevars, f.__closure__ or (), strict=True):
            self._add(f"{name} (outside {where})", _cell_reader(cell), cell)
            self.follow(_cell_reader(cell)(), name)
        names = dict.fromkeys(names_of(f.__code__))
        for name in names:
            if name in f.__globals__:
                value = f.__globals__[name]
                if not _is_ours(value):
                    self._add(f"global {name}", _item_reader(f.__globals__, name), f.__globals__, name)
                    self.follow(value, name)
        for value in [v for v in map(_cell_reader_or_none, f.__closure__ or ()) if _plain_object(v)]:
            self._bound(value, f.__code__, type(value).__name__)

    def _bound(self, obj: Any, code: types.CodeType, what: str) -> None:
        """The attributes of obj that the code names, and the methods of its class."""
        if is_module(obj) or is_optimizer(obj):
            self.follow(obj, what)
            return
        fields = getattr(obj, "__dict__", None)
        if not isinstance(fields, dict) or isinstance(obj, (type, types.ModuleType)):
            return
        for name in dict.fromkeys(names_of(code)):
            if name in fields:
                self._add(f"{type(obj).__name__}.{name}", _item_reader(fields, name), fields, name)
                self.follow(fields[name], f"{type(obj).__name__}.{name}")
            else:
                method = getattr(type(obj), name, None)
                if isinstance(method, types.FunctionType) and id(method) not in self._seen:
                    self.follow(method, name)
                    self._bound(obj, method.__code__, what)

    def _module(self, root: Any, what: str) -> None:
        for m in walk_modules(root):
            if id(m) in self.modules:
                continue
            self.modules[id(m)] = m
            self._seen.add(id(m))
            self._module_fields(m, what)
            forward = getattr(type(m), "forward", None)
            if isinstance(forward, types.FunctionType):
                if not internal(forward.__code__.co_filename):
                    cls = type(m)
                    if id(cls) not in self._seen:
                        self._seen.add(id(cls))
                        self._add(f"{cls.__name__}.forward", lambda cls=cls: cls.forward)
                    self.follow(forward, "forward")

    def _module_fields(self, m: Any, what: str) -> None:
        name = type(m).__name__
        fields = m.__dict__
        for key, value in fields.items():
            self.names.add(key)
            if isinstance(value, Tensor):
                self.tensors[id(value)] = value
            held = isinstance(value, dict) and key in ("_parameters", "_buffers", "_modules")
            if held:
                self.names.update(value)
                for t in value.values():
                    if isinstance(t, Tensor):
                        self.tensors[id(t)] = t
            own = isinstance(value, (list, dict, set)) and not key.startswith("_")
            check = Check(f"{name}.{key}", _item_reader(fields, key), fields, key)
            (self.every_call if own else self.module_state).append(check)
            if isinstance(value, types.FunctionType):
                self.follow(value, key)
        self.module_state.append(Check(f"the attributes of {name}", lambda: tuple(fields)))

    def _optimizer(self, o: Any, what: str) -> None:
        self.optimizers[id(o)] = o
        self._add(f"{what}.state", _item_reader(o.__dict__, "state") if "state" in o.__dict__ else
                  lambda: o.state, cheap=True)
        self._add(f"{what}.param_groups", lambda: len(o.param_groups))
        for group in o.param_groups:
            for p in group["params"]:
                self.tensors[id(p)] = p

    def settle(self, read_late: set) -> None:
        """Called after capture, with the (mapping, key) pairs that are read on every call anyhow: the other
        settings of the optimizers are facts, and their state tensors are known now."""
        for o in self.optimizers.values():
            self._add(f"the state of {type(o).__name__}", lambda o=o: len(o.state))
            for group in o.param_groups:
                for key in group:
                    if (id(group), key) not in read_late:
                        self._add(f"{type(o).__name__} {key!r}", _item_reader(group, key), group, key,
                                  cheap=key == "params")
        observe.watch(self.names)

    def _add(self, what: str, read: Callable[[], Any], holder: Any = None, key: Any = None,
             cheap: bool = False) -> None:
        check = Check.__new__(Check)
        check.what, check.read, check.holder, check.key = what, read, holder, key
        value = read()
        # big live objects (an optimizer's state) count by identity
        check.frozen = ("is", value) if cheap else freeze(value)
        self.every_call.append(check)

    def changed(self) -> list[str]:
        """The facts that no longer hold, in words."""
        return [c.difference() for c in (*self.module_state, *self.every_call) if not c.holds()]


def is_module(x: Any) -> bool:
    """By protocol: compiled code knows nothing of graphc.nn."""
    return hasattr(type(x), "children") and hasattr(x, "_parameters") and hasattr(x, "_modules")


def is_optimizer(x: Any) -> bool:
    return hasattr(x, "param_groups") and hasattr(x, "state") and not isinstance(x, type)


def walk_modules(root: Any) -> Iterator[Any]:
    seen: set[int] = set()
    stack = [root]
    while stack:
        m = stack.pop()
        if m is not None and id(m) not in seen:
            seen.add(id(m))
            yield m
            stack.extend(reversed(list(m._modules.values())))


def names_of(code: types.CodeType) -> Iterator[str]:
    """The names that code (and the functions inside it) loads."""
    yield from code.co_names
    for c in code.co_consts:
        if isinstance(c, types.CodeType):
            yield from names_of(c)


def _is_ours(x: Any) -> bool:
    """Parts of the library itself, Python modules and classes: taken as fixed."""
    if isinstance(x, (types.ModuleType, type, types.BuiltinFunctionType)):
        return True
    code = getattr(x, "__code__", None)
    return isinstance(x, types.FunctionType) and code is not None and internal(code.co_filename)


def _plain_object(x: Any) -> bool:
    return (x is not None and hasattr(x, "__dict__") and not isinstance(
        x, (Tensor, type, types.ModuleType, types.FunctionType, types.MethodType))
        and not is_module(x) and not is_optimizer(x))


def _cell_reader(cell: Any) -> Callable[[], Any]:
    def read() -> Any:
        try:
            return cell.cell_contents
        except ValueError:
            return MISSING
    return read


def _cell_reader_or_none(cell: Any) -> Any:
    value = _cell_reader(cell)()
    return None if value is MISSING else value


def _item_reader(holder: dict, name: str) -> Callable[[], Any]:
    return lambda: holder.get(name, MISSING)
