"""Settings of a process that PyTorch programs make, and its checks. graphc computes the same bits
always, so most settings are kept and change nothing.

Invariant: what is read is what was set. https://docs.pytorch.org/docs/stable/torch.html#utilities
"""

from __future__ import annotations

import builtins
import warnings
from collections.abc import Callable
from typing import Any

from .core.modes import STATE
from .core.tensor import Tensor
from .native import library

_deterministic: dict[str, bool] = {"on": False, "warn": False}
_kept: dict[str, Any] = {"precision": "highest", "interop": 1, "warn": False}


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Keeps the setting; graphc's algorithms are deterministic either way."""
    _deterministic.update(on=builtins.bool(mode), warn=builtins.bool(warn_only))


def are_deterministic_algorithms_enabled() -> bool:
    """The setting of use_deterministic_algorithms()."""
    return _deterministic["on"]


def is_deterministic_algorithms_warn_only_enabled() -> bool:
    """Its warn_only."""
    return _deterministic["warn"]


def set_deterministic_debug_mode(debug_mode: int | str) -> None:
    """0 or "default", 1 or "warn", 2 or "error"; RuntimeError for others."""
    names = ("default", "warn", "error")
    if not isinstance(debug_mode, (int, str)):
        raise TypeError(f"debug_mode must be str or int, but got {type(debug_mode)}")
    if isinstance(debug_mode, str):
        if debug_mode not in names:
            raise RuntimeError(
                "invalid value of debug_mode, expected one of `default`, `warn`, `error`, but got "
                f"{debug_mode}"
            )
        debug_mode = names.index(debug_mode)
    if debug_mode not in (0, 1, 2):
        raise RuntimeError(
            f"invalid value of debug_mode, expected 0, 1, or 2, but got {debug_mode}"
        )
    use_deterministic_algorithms(debug_mode > 0, warn_only=debug_mode == 1)


def get_deterministic_debug_mode() -> int:
    """0, 1 or 2; see set_deterministic_debug_mode()."""
    if not _deterministic["on"]:
        return 0
    return 1 if _deterministic["warn"] else 2


def set_float32_matmul_precision(precision: str) -> None:
    """Keeps "highest", "high" or "medium"; graphc multiplies float32 numbers as they are. Another
    one warns, as in PyTorch."""
    if precision not in ("highest", "high", "medium"):
        warnings.warn(
            f"{precision} is not one of 'highest', 'high', or 'medium'; the current "
            "setFloat32MatmulPrecision call has no effect.",
            stacklevel=2,
        )
        return
    _kept["precision"] = precision


def get_float32_matmul_precision() -> str:
    """The setting of set_float32_matmul_precision()."""
    return _kept["precision"]


def set_num_interop_threads(num: int) -> None:
    """Keeps the number; graphc runs one operation at a time. RuntimeError below 1."""
    if num < 1:
        raise RuntimeError("set_num_interop_threads expects a positive integer")
    _kept["interop"] = num


def get_num_interop_threads() -> int:
    """The setting of set_num_interop_threads()."""
    return _kept["interop"]


def set_flush_denormal(mode: bool) -> bool:
    """False: subnormal numbers are computed as they are, which the bitwise contract counts on."""
    return False


def set_warn_always(b: bool, /) -> None:
    """Keeps the setting; graphc warns at each place as Python's filters say."""
    _kept["warn"] = builtins.bool(b)


def is_warn_always_enabled() -> bool:
    """The setting of set_warn_always()."""
    return _kept["warn"]


def compiled_with_cxx11_abi() -> bool:
    """True."""
    return True


def is_vulkan_available() -> bool:
    """False."""
    return False


def typename(obj: Any, /) -> str:
    """The type's full name; a tensor's is torch.FloatTensor and the like."""
    if isinstance(obj, Tensor):
        return f"torch.{obj.dtype.title}Tensor"
    cls = obj if isinstance(obj, type) else type(obj)
    name = getattr(obj, "__qualname__", None) if callable(obj) else None
    module = getattr(obj, "__module__", None) if name else cls.__module__
    name = name or cls.__qualname__
    return name if module in (None, "builtins") else f"{module}.{name}"


# ---------------------------------------------------------------- checks


def _assert(condition: Any, message: Any) -> None:
    """AssertionError with the message unless the condition holds."""
    if not condition:
        raise AssertionError(message)


def _check_with(error: type[Exception], cond: Any, message: Callable | None) -> None:
    if not isinstance(cond, builtins.bool):
        if isinstance(cond, Tensor):
            raise TypeError(
                "cond must be a bool, but got a Tensor. For tensor conditions, use "
                "torch._check_tensor_all() to assert that all elements are true."
            )
        if STATE.tracer is None or not hasattr(cond, "number_type"):
            raise TypeError(f"cond must be a bool, but got {type(cond)}")
    if cond:
        return
    if message is None:
        raise error(
            "Expected cond to be True, but got False. (Could this error message be improved? If "
            "so, please report an enhancement request to PyTorch.)"
        )
    if not callable(message):
        raise TypeError("message must be a callable")
    raise error(str(message()))


def _check(cond: Any, message: Callable | None = None) -> None:
    """RuntimeError with message()'s text unless cond holds."""
    _check_with(RuntimeError, cond, message)


def _check_value(cond: Any, message: Callable | None = None) -> None:
    """ValueError unless cond holds."""
    _check_with(ValueError, cond, message)


def _check_index(cond: Any, message: Callable | None = None) -> None:
    """IndexError unless cond holds."""
    _check_with(IndexError, cond, message)


def _check_type(cond: Any, message: Callable | None = None) -> None:
    """TypeError unless cond holds."""
    _check_with(TypeError, cond, message)


def _check_not_implemented(cond: Any, message: Callable | None = None) -> None:
    """NotImplementedError unless cond holds."""
    _check_with(NotImplementedError, cond, message)


def _check_is_size(i: Any, message: Callable | None = None, *, max: Any = None) -> None:
    """RuntimeError for a negative number, or one above max."""
    _check(i >= 0, message)
    if max is not None:
        _check(i <= max, message)


def _check_tensor_all(cond: Any, message: Callable | None = None) -> None:
    """RuntimeError unless every element of a bool tensor holds."""
    _check_with(RuntimeError, builtins.bool(cond.all()), message)


has_openmp = has_mkl = has_mps = has_cuda = has_mkldnn = has_cudnn = has_magma = False


def init_num_threads() -> None:
    """Starts the threads of the native kernels where there are any."""
    library.available()


TOP = (
    "use_deterministic_algorithms are_deterministic_algorithms_enabled "
    "is_deterministic_algorithms_warn_only_enabled set_deterministic_debug_mode "
    "get_deterministic_debug_mode set_float32_matmul_precision get_float32_matmul_precision "
    "set_num_interop_threads get_num_interop_threads set_flush_denormal set_warn_always "
    "is_warn_always_enabled compiled_with_cxx11_abi is_vulkan_available typename _assert _check "
    "_check_value _check_index _check_type _check_not_implemented _check_is_size "
    "_check_tensor_all has_openmp has_mkl init_num_threads"
).split()
