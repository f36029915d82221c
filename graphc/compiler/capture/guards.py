"""What compiled code depends on besides its arguments: takes the user's function and the frames
that run while it is captured, gives checks of the Python state that they read, and the tensors
found there.

A frame's facts are taken when it is entered, before its body runs: the globals that its code
names, its closure, and of the objects that it can reach the attributes that it names. Module state
is checked again only when the epoch moved; everything else on every call. Invariant: reading
changes nothing.
"""

from __future__ import annotations

import contextvars
import functools
import gc
import operator
import threading
import types
import weakref
from collections.abc import Callable
from typing import Any

from ...base.dtypes import DType
from ...base.errors import Origin, internal
from ...core import observe
from ...core.tensor import Tensor
from .facts import (
    FIXED,
    MAX_LEAVES,
    MISSING,
    NUMBERS,
    SEQUENCES,
    WRAPPERS,
    Check,
    Fields,
    attribute_reader,
    cell_reader,
    class_reader,
    item_reader,
)
from .kinds import (
    LIBRARY,
    TENSOR_FIELDS,
    all_names,
    fixed,
    foreign,
    in_classes,
    internal_class,
    is_module,
    is_optimizer,
    methods_of,
    own_fields,
    python_module,
    walk_modules,
)
from .names import attribute_names, global_names, indexed_globals, lines_of, stored_names
from .numbers import Number
from .symbols import Sym

_FUNCTIONS = (types.FunctionType, property)


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
        self.stored: frozenset = frozenset()  # names of attributes that code assigns
        self._done: set[tuple] = set()
        self._alive: list = []
        self._young: dict[int, Any] = {}  # objects that were made while capturing
        self._code: types.CodeType | None = None  # whose reads are being noted
        self._getters: frozenset = frozenset()  # attributes that operator.attrgetters read
        self._inner: set[Any] = set()  # functions that known code makes
        # floats that stand for themselves as run-time numbers, by (id of holder, key)
        self.numbers: dict[tuple, Number] = {}
        self.exact = False  # the code looks at types: no stand-ins
        self._tracer: Any = None
        self.closed = False  # the function has run: what is met now was read by value

    # ---- frames and functions

    def function(self, f: Any, what: str) -> None:
        """The function to be compiled (or module, method, partial, callable object)."""
        self.examine(f, frozenset(), what)

    def enter(self, code: types.CodeType, globals_: dict, locals_: dict) -> None:
        """A user's frame starts: its facts as of now."""
        names = attribute_names(code)
        self._code = code
        if code not in self.codes:
            if code.co_freevars and code not in self._inner:
                self._closures(code, locals_)
            self._code = code
            self._learn(code)
            self._globals(code, globals_, names)
        if code.co_name == "__init__" and code.co_argcount:
            made = locals_.get(code.co_varnames[0])
            self._young[id(made)] = made
        for name, value in list(locals_.items()):
            if name == ".0":  # the iterator of a comprehension
                continue
            if isinstance(value, (list, tuple, set, dict)) and id(value) not in self.containers:
                # made by the code itself, or reached from outside by a name already
                values = value.values() if isinstance(value, dict) else value
                for v, _ in zip(list(values), range(MAX_LEAVES)):
                    if not isinstance(v, (Tensor, Sym, list, tuple, set, dict, *NUMBERS)):
                        self.examine(v, names, name)
            elif not isinstance(value, (Tensor, Sym, *NUMBERS)):
                self.examine(value, names, name)

    def returned(self, value: Any, code: types.CodeType) -> None:
        """A user's function hands `value` to code: what that reads of it, as of now."""
        if not isinstance(value, (Tensor, Sym, *NUMBERS, str)):
            self._code = code
            self.examine(value, attribute_names(code), f"a result in {code.co_name}")

    def _closures(self, code: types.CodeType, locals_: dict) -> None:
        """A function that no name led to (a callback, say) runs: its closure, from outside."""
        for f in gc.get_referrers(code):
            if isinstance(f, types.FunctionType) and f.__code__ is code:
                cells = zip(code.co_freevars, f.__closure__ or (), strict=True)
                if all(locals_.get(n, MISSING) is cell_reader(c)() for n, c in cells):
                    self.examine(f, frozenset(), code.co_name)

    def _learn(self, code: types.CodeType) -> None:
        self.codes.add(code)
        self.stored |= stored_names(code)[0]
        self._inner.update(c for c in code.co_consts if isinstance(c, types.CodeType))
        if "type" in global_names(code):  # it would tell a stand-in from a float
            self.exact = True

    def _globals(self, code: types.CodeType, globals_: dict, names: Any) -> None:
        loaded = global_names(code)
        for name in loaded:
            if name[0] == "@":  # put there by a tool that rewrites code: pytest's asserts
                continue
            if name in globals_ or name in stored_names(code)[1]:
                self.binding(f"global {name}", item_reader(globals_, name), names, globals_, name)
        if "globals" in loaded:
            computed = indexed_globals(code)
            for name in list(globals_) if computed is None else computed:
                value = globals_.get(name, MISSING)
                if not isinstance(value, (types.ModuleType, type)) and name[:2] != "__":
                    self.binding(
                        f"global {name}", item_reader(globals_, name), names, globals_, name
                    )

    def binding(
        self,
        what: str,
        read: Callable[[], Any],
        names: Any,
        holder: Any,
        key: Any,
        late: bool = True,
    ) -> None:
        """A name that code reads: what it is bound to, and what that depends on. late: a float
        may be read anew on every call."""
        mark = (id(holder), key)
        value = read()
        if type(value) is Sym:
            return
        if mark not in self._done:
            self._done.add(mark)
            self._alive.append(holder)
            late = late and not self.closed and isinstance(holder, (dict, types.CellType))
            if type(value) is float and late:
                self.numbers[mark] = Number(what, read, holder, key, self._origin(key, what))
                if self._tracer is not None and not self.exact:
                    self.numbers[mark].stand_in(self._tracer)
            else:
                self._add(what, read, holder, key)
        self.examine(value, names, what)

    def examine(self, x: Any, names: Any, what: str) -> None:
        """What x (any object that code reaches) depends on, given the attribute names that the
        code uses; names None: all of them."""
        if isinstance(x, Tensor):
            if x._array is not None:
                self.tensors[id(x)] = x
            for name in names or ():
                if name in x.__dict__ and name not in TENSOR_FIELDS:
                    self.binding(
                        f"{what}.{name}",
                        item_reader(x.__dict__, name),
                        names,
                        x.__dict__,
                        name,
                        False,
                    )
            if names is None and x._array is not None:
                self._add(f"the attributes of {what}", lambda: len(own_fields(x)))
            return
        if x is MISSING or isinstance(
            x, (Sym, *NUMBERS, str, bytes, type(None), DType, types.BuiltinFunctionType)
        ):
            return
        if self._getters and names is not None:
            names = names | self._getters
        mark = (id(x), names)
        if mark in self._done or id(x) in self._young:
            return
        self._done.add(mark)
        self._alive.append(x)
        if type(x).__module__.startswith("numpy.random"):
            self.foreign = "draws foreign random numbers"
        elif in_classes(type(x), "__next__") is not MISSING:
            self.iterators = True
        if isinstance(x, types.FunctionType):
            self._function(x)
            self._attributes(x, names)
        elif isinstance(x, types.MethodType):
            self.examine(x.__func__, names, what)
            self.examine(x.__self__, names, what)
        elif is_module(x):
            self._module(x, names, what)
        elif is_optimizer(x):
            self._optimizer(x, what)
        elif isinstance(x, (operator.attrgetter, operator.methodcaller)):
            self._getter(x)
        elif isinstance(x, contextvars.ContextVar):
            self._add(f"the context variable {x.name}", lambda: x.get(MISSING))
            self.examine(x.get(MISSING), names, x.name)
        elif isinstance(x, weakref.ref):
            self.examine(x(), names, what)
        elif isinstance(x, WRAPPERS):
            self._object(x, None, what)
        elif isinstance(x, (bytearray, memoryview)):
            self.containers[id(x)] = x
        elif isinstance(x, SEQUENCES):
            self.containers[id(x)] = x
            for i, v in zip(range(MAX_LEAVES), x, strict=False):
                self.examine(v, names, f"{what}[{i}]")
        elif isinstance(x, (dict, types.MappingProxyType)):
            self.containers[id(x)] = x
            for (k, v), _ in zip(list(x.items()), range(MAX_LEAVES), strict=False):
                self.examine(v, names, f"{what}[{k!r}]")
            if isinstance(x, dict) and type(x) is not dict:
                self._object(x, names, what)
        elif isinstance(x, types.ModuleType):
            used = names
            if names is None and not fixed(x.__name__):
                names = [n for n in x.__dict__ if n[:2] != "__"]
            for name in names or () if not python_module(x) else ():
                known = name in x.__dict__ or name in self.stored
                if known and x.__name__ != "builtins":
                    value, of = x.__dict__.get(name, MISSING), f"{x.__name__}.{name}"
                    if fixed(x.__name__) and isinstance(value, (types.ModuleType, type)):
                        self.examine(value, used, of)
                    else:
                        read = item_reader(x.__dict__, name)
                        self.binding(of, read, used, x.__dict__, name)
        elif isinstance(x, functools.partial):
            self._add(f"{what} (a partial)", lambda: (x.func, x.args, x.keywords))
            for part in (x.func, x.args, x.keywords):
                self.examine(part, names, what)
        elif isinstance(x, type):
            self._implicit(x)
            self._class(x, all_names(x, {}) if names is None else names, names)
            if not internal_class(x) and any(map(internal_class, x.__mro__[1:-1])):
                # the library calls them (an autograd Function's, say)
                self._class(x, methods_of(x), frozenset())
            for name in self.stored.intersection(names or ()):
                if in_classes(x, name) is MISSING and not internal_class(x):
                    what = f"{x.__name__}.{name}"
                    self.binding(what, class_reader(x, name), names, x, name)
        else:
            self._object(x, names, what)

    def _getter(self, x: Any) -> None:
        """It reads attributes that no code names, of objects that are known already or not."""
        words = [w for w in x.__reduce__()[1] if isinstance(w, str)]
        names = frozenset(n for w in words for n in w.split("."))
        self._getters |= names
        for known in list(self._alive):
            if not isinstance(known, (dict, types.CellType, types.FunctionType, type)):
                self.examine(known, names, type(known).__name__)

    def _function(self, f: types.FunctionType) -> None:
        if internal(f.__code__.co_filename) or foreign(f.__globals__):
            return
        where = f.__qualname__
        names = attribute_names(f.__code__)
        outer, self._code = self._code, f.__code__
        self._learn(f.__code__)
        self._add(f"the code of {where}", lambda: f.__code__, f, "__code__")
        if f.__defaults__ or f.__kwdefaults__:
            self._add(f"the defaults of {where}", lambda: (f.__defaults__, f.__kwdefaults__))
            for d in (*(f.__defaults__ or ()), *(f.__kwdefaults__ or {}).values()):
                self.examine(d, names, f"a default of {where}")
        for name, cell in zip(f.__code__.co_freevars, f.__closure__ or (), strict=True):
            self.binding(f"{name} (outside {where})", cell_reader(cell), names, cell, None)
        self._globals(f.__code__, f.__globals__, names)
        if f.__dict__:
            self._object(f, names, where)
            if "__wrapped__" in f.__dict__:
                self.examine(f.__dict__["__wrapped__"], names, where)
        self._code = outer

    def _attributes(self, f: types.FunctionType, names: Any) -> None:
        """The named attributes of a function, and those that code may make."""
        fields = f.__dict__
        if internal(f.__code__.co_filename) or foreign(f.__globals__):
            return
        for name in list(fields) if names is None else names:
            if name in fields or name in self.stored:
                what = f"{f.__qualname__}.{name}"
                self.binding(what, item_reader(fields, name), names, fields, name)

    def _object(self, x: Any, names: Any, what: str) -> None:
        """A plain object: of its fields those that are named, of its class what the fields do not
        hide."""
        cls = type(x)
        fields: Any = (
            object.__getattribute__(x, "__dict__")
            if in_classes(cls, "__dict__") is not MISSING
            else {}
        )
        fields = fields if isinstance(fields, dict) else {}
        if "__wrapped__" in fields and not isinstance(x, types.FunctionType):
            self.examine(fields["__wrapped__"], frozenset(), what)  # a compiled function, say
            return
        local = isinstance(x, threading.local)
        if (
            not local
            and cls.__module__.partition(".")[0] != LIBRARY  # its objects grow as they like
            and in_classes(cls, "__dict__") is not MISSING
            and cls.__module__.partition(".")[0] != __name__.partition(".")[0]
            and (id(fields), None) not in self._done
        ):
            self._done.add((id(fields), None))
            self.every_call.append(Fields(f"a {cls.__name__}", fields, self._origin(None, "")))
        self._implicit(cls)
        if local:  # other fields in every thread
            if names is None:  # `vars`, say
                self._add(f"the number of attributes of a {cls.__name__}", lambda: len(x.__dict__))
            for name in sorted(x.__dict__) if names is None else names:
                if name in x.__dict__:
                    self.binding(
                        f"{cls.__name__}.{name}", attribute_reader(x, name), names, x, name
                    )
            return
        if internal_class(cls) and not fields:
            return
        if not internal_class(cls) and (id(x), "__class__") not in self._done:
            self._done.add((id(x), "__class__"))
            self._add(f"the class of a {cls.__name__}", lambda: type(x))
        for name in all_names(cls, fields) if names is None else names:
            if name in fields:
                self.binding(
                    f"{cls.__name__}.{name}", item_reader(fields, name), names, fields, name
                )
                continue
            found = in_classes(cls, name)
            if isinstance(found, types.MemberDescriptorType):
                self.binding(f"{cls.__name__}.{name}", attribute_reader(x, name), names, x, name)
            elif found is not MISSING and not internal_class(cls):
                if in_classes(cls, "__dict__") is not MISSING:
                    self.binding(
                        f"{cls.__name__}.{name}", item_reader(fields, name), names, fields, name
                    )
                self._class(cls, (name,), names)
            elif (
                name in self.stored
                and in_classes(cls, "__dict__") is not MISSING
                and not internal_class(cls)
            ):
                self.binding(  # an attribute that the code is going to make
                    f"{cls.__name__}.{name}", item_reader(fields, name), names, fields, name
                )
        call = in_classes(cls, "__call__")
        if isinstance(call, types.FunctionType) and not internal(call.__code__.co_filename):
            self._class(cls, ("__call__",), frozenset())
            if names is not None:
                self.examine(x, attribute_names(call.__code__), what)

    def _implicit(self, cls: type) -> None:
        """The methods of a user's class that code calls without naming them (`__len__`, ...)."""
        if (id(cls), None) in self._done:
            return
        self._done.add((id(cls), None))
        self._alive.append(cls)
        for owner in cls.__mro__:
            if not internal_class(owner):
                own = owner.__dict__
                self.every_call.append(
                    Fields(owner.__name__, own, self._origin(None, ""), owner)  # type: ignore[arg-type]
                )
                self._class(
                    owner,
                    [
                        n
                        for n, f in list(own.items())
                        if n[:2] == "__" and isinstance(getattr(f, "__func__", f), _FUNCTIONS)
                    ],
                    frozenset(),
                )

    def _class(self, cls: type, names: Any, used: Any) -> None:
        """Attributes of a user's class, where they are defined; used: the attribute names that
        the code uses of their values."""
        for owner in cls.__mro__:
            if owner is object or internal_class(owner):
                continue
            for name in names:
                if name in owner.__dict__ and (id(owner), name) not in self._done:
                    self._done.add((id(owner), name))
                    self._alive.append(owner)
                    value = owner.__dict__[name]
                    self._add(f"{owner.__name__}.{name}", class_reader(owner, name), owner, name)
                    value = getattr(value, "__func__", value)
                    if isinstance(value, property):
                        value = value.fget
                    self.examine(value, used, f"{owner.__name__}.{name}")

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
                plain = isinstance(fields[name], (*NUMBERS, str, type(None)))
                if plain and not name.startswith("_"):  # may be written past __setattr__
                    self.binding(
                        f"{type(root).__name__}.{name}",
                        item_reader(fields, name),
                        names,
                        fields,
                        name,
                        not internal_class(type(root)),
                    )
                self.examine(fields[name], names, f"{type(root).__name__}.{name}")
            elif not internal_class(type(root)):
                self._class(type(root), (name,), names)

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
            what, read = f"{name}.{key}", item_reader(fields, key)
            check = Check(what, read, fields, key, None, self._origin(key, "", False))
            own = check.frozen[0] not in FIXED and not key.startswith("_")
            (self.every_call if own else self.module_state).append(check)
            if key.endswith("_hooks") and value:
                for hook in value.values():
                    self.examine(hook, frozenset(), key)
            elif isinstance(value, (types.FunctionType, types.MethodType)):
                self.examine(value, frozenset(), key)
        self.module_state.append(Fields(name, fields))
        self.every_call.append(Check(f"the class of a {name}", lambda: type(m), m, "__class__"))

    def _optimizer(self, o: Any, what: str) -> None:
        self.optimizers[id(o)] = o
        state = o.__dict__.get("state")
        self.every_call.append(
            Check(
                f"{what}.state",
                item_reader(o.__dict__, "state"),
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
            entries = ("items", o.state, tuple(o.state), tuple(o.state.values()))
            self.every_call.append(
                Check(f"the state of {name}", attribute_reader(o, "state"), None, None, entries)
            )
            for state in o.state.values():
                for key, value in state.items() if isinstance(state, dict) else ():
                    if isinstance(value, Tensor):
                        self._add(f"{name} state {key!r}", item_reader(state, key), state, key)
            for group in o.param_groups:
                params = group["params"]
                self._add("the number of parameters", functools.partial(_parameter_count, group))
                self.every_call.append(
                    Check(
                        f"{name} 'params'",
                        item_reader(group, "params"),
                        group,
                        "params",
                        ("is", params),
                    )
                )
                for key in group:
                    if key != "params" and (id(group), key) not in read_late:
                        self._add(f"{name} {key!r}", item_reader(group, key), group, key)
        self.module_state = [
            c for c in self.module_state if (id(c.holder), c.key) not in self.numbers
        ]
        if self.exact:
            for n in self.numbers.values():
                self.every_call.append(n.check())
        observe.watch(self.names, self)

    def _add(self, what: str, read: Callable[[], Any], holder: Any = None, key: Any = None) -> None:
        self.every_call.append(Check(what, read, holder, key, None, self._origin(key, what)))

    def _origin(self, key: Any, what: str, sure: bool = True) -> Origin | None:
        """The line that reads `key` (or the last name in `what`) in the code that is looked at;
        sure: it does, if only by way of some other name."""
        code = self._code
        if code is None or internal(code.co_filename):
            return None
        lines = lines_of(code)
        name = key if isinstance(key, str) else what.partition(" ")[0].rpartition(".")[2]
        if name not in lines and not sure:
            return None
        return Origin(code.co_filename, lines.get(name, code.co_firstlineno))

    # ---- run-time numbers

    def stand_in(self, tracer: Any) -> None:
        """A capture starts: floats that code reads by a name become run-time numbers."""
        self._tracer, self.closed = tracer, False
        if not self.exact:
            for n in self.numbers.values():
                n.stand_in(tracer)

    def put_back(self) -> None:
        """The capture has ended. A number that was replaced stays a fact that does not hold."""
        self._tracer = None
        for n in self.numbers.values():
            if not n.put_back():
                self.every_call.append(n.check())

    # ---- afterwards

    def changed(self) -> list[Check]:
        """The facts that no longer hold."""
        return [c for c in (*self.module_state, *self.every_call) if not c.holds()]

    def held(self) -> set[int]:
        """The ids of the tensors that variables were seen to hold."""
        found = {id(p) for o in self.optimizers.values() for g in o.param_groups
                 for p in g["params"]}  # fmt: skip
        todo = [c.frozen for c in (*self.every_call, *self.module_state)]
        while todo:
            frozen = todo.pop()
            kind = frozen[0]
            if kind == "is" and isinstance(frozen[1], Tensor):
                found.add(id(frozen[1]))
            elif kind in ("flat", "items"):
                found.update(id(x) for part in frozen[2:] for x in part if isinstance(x, Tensor))
            elif kind == "dict":
                todo.extend(part for _, part in frozen[2])
            elif kind in ("sequence", "fixed"):
                todo.extend(frozen[2])
            elif kind in ("fields", "reference"):
                todo.append(frozen[2])
        return found

    def bound(self, x: Any) -> bool:
        """Whether a variable that was read holds this very container."""
        return any(
            c.frozen[1] is x and (c.key is not None or isinstance(c.holder, types.CellType))
            for c in (*self.every_call, *self.module_state)
        )

    def restore(self) -> None:
        """Undoes what the captured run did to the state it read."""
        for c in self.changed():
            c.restore()


def _parameter_count(group: dict) -> int:
    return len(group["params"])
