"""Subclasses of Tensor, and `__torch_function__`: what a class of the user's says about calls with
its tensors.

Takes a subclass when it is defined and gives it methods that ask its `__torch_function__`; from the
first one on, the functions of the package and of nn.functional ask, too. Invariant: a program
without subclasses pays nothing, and plain tensors never change class.
Source: https://pytorch.org/docs/stable/notes/extending.html#extending-torch"""

from __future__ import annotations

import functools
import importlib
import sys
import threading
import types
from collections.abc import Callable, Iterable
from typing import Any

from .core.tensor import Tensor

__all__ = [
    "DisableTorchFunctionSubclass",
    "get_default_nowrap_functions",
    "handle_torch_function",
    "has_torch_function",
    "is_tensor_like",
    "is_tensor_method_or_property",
    "resolve_name",
]

_ROOT = __name__.partition(".")[0]


class _Local(threading.local):
    off = 0  # how many DisableTorchFunctionSubclass are open


_local = _Local()


class DisableTorchFunctionSubclass:
    """Inside, calls do what they do for plain tensors."""

    def __enter__(self) -> None:
        _local.off += 1

    def __exit__(self, *exc: Any) -> None:
        _local.off -= 1


def _own(cls: type) -> bool:
    """Whether a class is the library's, or PyTorch's, whose protocol this is: they have no say."""
    return cls is Tensor or cls.__module__.partition(".")[0] in (_ROOT, "torch")


def _overloaded(args: Iterable, kwargs: dict) -> list:
    """The arguments whose class has a say, subclasses before their bases."""
    found: list = []
    for a in (*args, *kwargs.values()):
        for x in a if type(a) in (tuple, list) else (a,):
            cls = type(x)
            if cls is Tensor or not hasattr(cls, "__torch_function__") or _own(cls):
                continue
            if any(type(y) is cls for y in found):
                continue
            at = next((i for i, y in enumerate(found) if issubclass(cls, type(y))), len(found))
            found.insert(at, x)
    return found


def has_torch_function(relevant_args: Iterable) -> bool:
    """Whether one of the arguments has a `__torch_function__` of its own."""
    return not _local.off and bool(_overloaded(tuple(relevant_args), {}))


def handle_torch_function(
    public_api: Callable, relevant_args: Iterable, *args: Any, **kwargs: Any
) -> Any:
    """What the classes of relevant_args make of public_api(*args, **kwargs). TypeError when none
    of them can."""
    overloaded = _overloaded(tuple(relevant_args), {})
    kinds = tuple([type(x) for x in overloaded])
    for x in overloaded:
        result = type(x).__torch_function__(public_api, kinds, args, kwargs)
        if result is not NotImplemented:
            return result
    name = f"{public_api.__module__}.{public_api.__name__}"
    raise TypeError(
        f"no implementation found for '{name}' on types that implement __torch_function__: "
        f"{[k for k in kinds]}"
    )


def default_torch_function(
    cls: type, func: Callable, kinds: Any, args: tuple = (), kwargs: dict | None = None
) -> Any:
    """Tensor.__torch_function__: the plain call, with tensors in the result made `cls`."""
    if not all(issubclass(cls, k) for k in kinds):
        return NotImplemented
    with DisableTorchFunctionSubclass():
        found = func(*args, **(kwargs or {}))
    if func in get_default_nowrap_functions():
        return found
    return _converted(found, cls, args)


def _converted(x: Any, cls: type, args: tuple) -> Any:
    if type(x) is Tensor:
        if any(x is a for a in args):
            return x.as_subclass(cls)  # type: ignore[attr-defined]
        x.__class__ = cls
        return x
    if type(x) in (tuple, list):
        return type(x)([_converted(v, cls, args) for v in x])
    if isinstance(x, tuple) and hasattr(x, "_fields"):
        return type(x)(*[_converted(v, cls, args) for v in x])
    return x


# ---------------------------------------------------------------- methods of a subclass

_OPERATORS = {
    **{f"__{n}__": n for n in ("add", "sub", "mul", "matmul", "pow", "eq", "ne", "lt", "le")},
    **{"__gt__": "gt", "__ge__": "ge", "__truediv__": "div", "__radd__": "add"},
    **{"__rmul__": "mul", "__neg__": "neg", "__abs__": "abs", "__floordiv__": "floor_divide"},
    **{f"__{n}__": "" for n in ("mod", "and", "or", "xor", "lshift", "rshift", "invert")},
    **{f"__r{n}__": "" for n in ("sub", "truediv", "pow", "matmul", "floordiv", "mod")},
    **{f"__r{n}__": "" for n in ("and", "or", "xor")},
    **{f"__i{n}__": "" for n in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow")},
    **{f"__i{n}__": "" for n in ("and", "or", "xor", "lshift", "rshift")},
    **{f"__{n}__": "" for n in ("getitem", "setitem", "pos", "reversed")},
}
_PROPERTIES = ("T", "mT", "H", "mH", "data", "real", "imag", "grad")
_LEFT_ALONE = ("as_subclass", "concrete", "type_", "dim", "register_hook", "clone_preserving")


def _method(func: Callable, plain: Callable) -> Callable:
    """plain as a method of a subclass; classes are asked about `func`."""

    @functools.wraps(plain)
    def method(*args: Any, **kwargs: Any) -> Any:
        if not _local.off:
            found = _overloaded(args, kwargs)
            if found:
                return handle_torch_function(func, found, *args, **kwargs)
        return plain(*args, **kwargs)

    return method


def _property(prop: Any) -> property:
    get = prop.__get__

    def read(self: Any) -> Any:
        if _local.off:
            return get(self)
        return handle_torch_function(get, (self,), self)

    return property(read, prop.fset, prop.fdel)


def adopt(cls: type) -> None:
    """Gives a new subclass of the user's its methods."""
    default = cls.__torch_function__.__func__ is Tensor.__torch_function__.__func__  # type: ignore
    if default and any(_own(b) and b is not Tensor for b in cls.__mro__ if issubclass(b, Tensor)):
        return  # results with parameters are plain tensors
    install()
    taken = {n for b in cls.__mro__ if not _own(b) and b is not object for n in vars(b)}
    for name, plain in vars(Tensor).items():
        if name in taken or name in _LEFT_ALONE:
            continue
        if name in _PROPERTIES and isinstance(plain, property):
            setattr(cls, name, _property(plain))
        elif isinstance(plain, types.FunctionType) and (
            name in _OPERATORS or not name.startswith("_")
        ):
            func = getattr(Tensor, _OPERATORS.get(name) or name, plain)
            setattr(cls, name, _method(func, plain))
    if "__iter__" not in taken:
        cls.__iter__ = lambda self: iter(self.unbind(0))  # type: ignore[attr-defined]
    if "__hash__" not in taken:
        cls.__hash__ = Tensor.__hash__  # type: ignore[method-assign, assignment]


# ---------------------------------------------------------------- functions

_installed: list[bool] = []
_PLAIN_FUNCTIONS = (
    *("is_tensor", "typename", "compile", "is_storage", "save", "load", "vmap"),
    *("tensor", "as_tensor", "asarray", "from_numpy", "from_dlpack", "frombuffer"),
)


def _function(plain: Callable) -> Callable:
    @functools.wraps(plain)
    def function(*args: Any, **kwargs: Any) -> Any:
        if not _local.off:
            found = _overloaded(args, kwargs)
            if found:
                return handle_torch_function(function, found, *args, **kwargs)
        return plain(*args, **kwargs)

    return function


def install() -> None:
    """Makes the functions of the package and of nn.functional ask the classes of their arguments;
    done when the first subclass is defined."""
    if _installed:
        return
    _installed.append(True)
    done: dict[int, Callable] = {}
    for module in (sys.modules[_ROOT], importlib.import_module(_ROOT + ".nn.functional")):
        for name, plain in list(vars(module).items()):
            if (
                isinstance(plain, types.FunctionType)
                and not name.startswith("_")
                and name not in _PLAIN_FUNCTIONS
                and plain.__module__.partition(".")[0] == _ROOT
            ):
                made = done.get(id(plain))
                if made is None:
                    made = done[id(plain)] = _function(plain)
                setattr(module, name, made)


# ---------------------------------------------------------------- questions


@functools.lru_cache(None)
def get_default_nowrap_functions() -> frozenset:
    """What gives plain tensors also for subclasses."""
    grad: Any = vars(Tensor)["grad"]
    return frozenset([grad.__get__])


def is_tensor_like(inp: Any) -> bool:
    """Whether inp is a tensor or its class has a `__torch_function__`."""
    return isinstance(inp, Tensor) or hasattr(type(inp), "__torch_function__")


def is_tensor_method_or_property(func: Callable) -> bool:
    """Whether func is a method or the getter of a property of Tensor."""
    return func in [v for v in vars(Tensor).values() if callable(v)] or (
        getattr(func, "__name__", "") == "__get__"
    )


def resolve_name(f: Callable) -> str | None:
    """The name of a function or method as users write it."""
    for name, v in vars(Tensor).items():
        if v is f:
            return f"torch.Tensor.{name}"
    for module, prefix in ((_ROOT, "torch."), (_ROOT + ".nn.functional", "torch.nn.functional.")):
        for name, v in vars(sys.modules.get(module, types)).items():
            if v is f:
                return prefix + name
    return None
