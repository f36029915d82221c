"""torch.jit's names for code that runs with and without it. graphc compiles with graphc.compile
and has no TorchScript: script() and trace() give what they are given, so results are eager's.

Invariant: is_scripting() and is_tracing() are False, always; what needs a TorchScript program (its
code, saving it) raises. https://docs.pytorch.org/docs/stable/jit.html
"""

from __future__ import annotations

import builtins
import functools
from collections.abc import Callable
from typing import Any, Final, NoReturn, TypeVar

from ..core.modes import no_grad
from ..nn import Module

T = TypeVar("T")


def is_scripting() -> bool:
    """False."""
    return False


def is_tracing() -> bool:
    """False."""
    return False


def script(
    obj: T,
    optimize: Any = None,
    _frames_up: int = 0,
    _rcb: Any = None,
    example_inputs: Any = None,
) -> T:
    """obj itself (a function, a Module or a class): it runs as it is, in Python."""
    if not callable(obj):
        raise RuntimeError(f"torch.jit.script() needs a callable, not {type(obj).__name__}")
    return obj


def trace(
    func: Any,
    example_inputs: Any = None,
    optimize: Any = None,
    check_trace: bool = True,
    check_inputs: Any = None,
    check_tolerance: float = 1e-5,
    strict: bool = True,
    _force_outplace: bool = False,
    _module_class: Any = None,
    _compilation_unit: Any = None,
    example_kwarg_inputs: dict | None = None,
    _store_inputs: bool = True,
) -> Any:
    """func itself, after one run on the example inputs, whose errors it raises. It goes on to
    decide by the values it is given, where a trace would not."""
    if example_inputs is None and example_kwarg_inputs is None:
        raise RuntimeError("example_inputs or example_kwarg_inputs should be specified")
    if example_kwarg_inputs is not None:
        args: tuple = ()
    else:
        args = example_inputs if isinstance(example_inputs, tuple) else (example_inputs,)
    with no_grad():
        func(*args, **(example_kwarg_inputs or {}))
    return func


def trace_module(mod: Any, inputs: dict, **options: Any) -> Any:
    """mod itself, after one run of each method named in inputs on its example inputs."""
    for name, args in inputs.items():
        trace(getattr(mod, name), args)
    return mod


def script_if_tracing(fn: Callable) -> Callable:
    """fn: nothing is ever traced."""
    return fn


def ignore(drop: Any = False, **kwargs: Any) -> Any:
    """A decorator that marks what script() leaves to Python: here everything is."""
    return drop if callable(drop) else lambda fn: fn


def unused(fn: T) -> T:
    """fn, marked as not to be scripted: here nothing is."""
    return fn


def export(fn: T) -> T:
    """fn, marked as to be scripted with its module."""
    return fn


def interface(obj: T) -> T:
    """obj, marked as an interface of modules."""
    return obj


def _overload(fn: T) -> T:
    return fn


def _overload_method(fn: T) -> T:
    return fn


def annotate(the_type: Any, the_value: T) -> T:
    """the_value, said to be of the_type."""
    return the_value


def isinstance(obj: Any, target_type: Any) -> bool:
    """isinstance() that also takes list[int], dict[str, T], tuple[...], Optional and Union, whose
    elements it looks at."""
    return _fits(obj, target_type)


def _fits(obj: Any, kind: Any) -> bool:
    import types
    import typing

    if builtins.isinstance(kind, tuple):
        return any(_fits(obj, k) for k in kind)
    if kind is Any:
        return True
    if kind is None:
        return obj is None
    base, parts = typing.get_origin(kind), typing.get_args(kind)
    if base is None:
        return builtins.isinstance(obj, kind)
    if base in (typing.Union, types.UnionType):
        return any(_fits(obj, k) for k in parts)
    if not builtins.isinstance(obj, base):
        return False
    if base is dict:
        return all(_fits(k, parts[0]) and _fits(v, parts[1]) for k, v in obj.items())
    if base is tuple:
        if parts[-1] is Ellipsis:
            return all(_fits(x, parts[0]) for x in obj)
        return len(obj) == len(parts) and all(map(_fits, obj, parts))
    return all(_fits(x, parts[0]) for x in obj) if parts else True


class Future:
    """What fork() gives: the result is there already."""

    def __init__(self, value: Any, error: BaseException | None = None):
        self._result, self._error = value, error

    def wait(self) -> Any:
        """The result, or the function's error."""
        if self._error is not None:
            raise self._error
        return self._result

    def done(self) -> bool:
        return True

    value = wait


def fork(func: Callable, *args: Any, **kwargs: Any) -> Future:
    """Runs func at once; its result is to be fetched with wait()."""
    try:
        return Future(func(*args, **kwargs))
    except Exception as e:  # noqa: BLE001  (raised by wait(), as of a task)
        return Future(None, e)


def wait(future: Future) -> Any:
    """The result of what fork() started."""
    return future.wait()


def freeze(
    mod: Any,
    preserved_attrs: Any = None,
    optimize_numerics: bool = True,
    preserve_parameters: bool = False,
) -> Any:
    """mod itself. RuntimeError for a module in training mode, as in PyTorch."""
    if getattr(mod, "training", False):
        raise RuntimeError(
            "Freezing is currently only implemented for modules in eval mode. Please call .eval() "
            "on your module before freezing."
        )
    return mod


def optimize_for_inference(mod: Any, other_methods: Any = None) -> Any:
    """mod itself: graphc.compile is what optimises."""
    return mod


def save(m: Any, f: Any, _extra_files: Any = None) -> NoReturn:
    """RuntimeError: there is no TorchScript program to write; graphc.save writes state_dict()."""
    raise RuntimeError(
        "graphc has no TorchScript programs to save; save the module's state_dict() with "
        "torch.save instead"
    )


def load(
    f: Any,
    map_location: Any = None,
    _extra_files: Any = None,
    _restore_shapes: bool = False,
) -> NoReturn:
    """RuntimeError: graphc cannot run TorchScript programs."""
    raise RuntimeError("graphc cannot run TorchScript programs, such as torch.jit.load() reads")


class ScriptModule(Module):
    """A Module; kept so that classes can derive from it and isinstance() can ask."""


class ScriptFunction:
    """A scripted function: graphc makes none, so isinstance() is False."""


Attribute = annotate


def set_fusion_strategy(strategy: Any) -> list:
    """Nothing to set: graphc fuses in graphc.compile alone."""
    return []


def enable_onednn_fusion(enabled: bool) -> None:
    """RuntimeError when it is to be switched on: there is no oneDNN."""
    if enabled:
        raise RuntimeError("graphc has no oneDNN kernels to fuse")


def onednn_fusion_enabled() -> bool:
    """False."""
    return False


class strict_fusion:
    """A region in which TorchScript would report what it does not fuse: nothing is scripted."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exc: Any) -> None:
        pass


class Error(RuntimeError):
    """An error raised in a TorchScript program; never raised here."""


def _script_method(fn: Callable) -> Callable:
    return functools.wraps(fn)(fn)


script_method = _script_method

__all__ = [
    "Attribute",
    "Error",
    "Final",
    "Future",
    "ScriptFunction",
    "ScriptModule",
    "annotate",
    "enable_onednn_fusion",
    "export",
    "fork",
    "freeze",
    "ignore",
    "interface",
    "is_scripting",
    "is_tracing",
    "isinstance",
    "load",
    "onednn_fusion_enabled",
    "optimize_for_inference",
    "save",
    "script",
    "script_if_tracing",
    "script_method",
    "set_fusion_strategy",
    "strict_fusion",
    "trace",
    "trace_module",
    "unused",
    "wait",
]
