"""autocast: takes a device type and a dtype, gives a region in which products run in that dtype
and losses in float32.

Invariant: leaving a region restores what was before, also after exceptions. Only the CPU's state
has an effect; that of other device types is kept, as PyTorch does. Which functions are cast stands
in `core.autocast`. Weights are cast where they are used, not once per region: there is no cache
that could grow stale. https://docs.pytorch.org/docs/stable/amp.html
"""

from __future__ import annotations

import functools
import threading
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from ..base.dtypes import DType, bfloat16, float16, float64
from ..core.modes import STATE
from ..core.tensor import Tensor

_DEVICES = ("cpu", "cuda", "xpu", "mps", "hpu", "xla", "mtia", "maia", "ipu", "privateuseone")
_CPU = (bfloat16, float16)


class _Kept(threading.local):
    """Settings that change nothing on the CPU."""

    def __init__(self) -> None:
        self.enabled: dict[str, bool] = {}
        self.dtypes: dict[str, DType] = {}
        self.cache = True
        self.nesting = 0


_kept = _Kept()


def _check(device_type: Any) -> str:
    if not isinstance(device_type, str):
        raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")
    if device_type not in _DEVICES:
        raise RuntimeError(f"User specified an unsupported autocast device_type '{device_type}'")
    return device_type


def is_autocast_available(device_type: str) -> bool:
    """Whether autocast knows a device type."""
    return device_type in _DEVICES


def is_autocast_enabled(device_type: str = "cuda") -> bool:
    """Whether autocast is on for a device type."""
    if _check(device_type) == "cpu":
        return STATE.autocast is not None
    return _kept.enabled.get(device_type, False)


def set_autocast_enabled(device_type: Any, enabled: bool | None = None) -> None:
    """Turns autocast on or off for a device type (default: cuda)."""
    if enabled is None:
        device_type, enabled = "cuda", device_type
    if _check(device_type) == "cpu":
        STATE.autocast = STATE.autocast_dtype if enabled else None
    else:
        _kept.enabled[device_type] = bool(enabled)


def get_autocast_dtype(device_type: str) -> DType:
    """What autocast casts to on a device type where no dtype is given."""
    if _check(device_type) == "cpu":
        return STATE.autocast_dtype
    found = _kept.dtypes.get(device_type)
    return found or (bfloat16 if device_type in ("xla", "hpu") else float16)


def set_autocast_dtype(device_type: str, dtype: DType) -> None:
    """Sets what get_autocast_dtype() gives, and what a region that is on casts to."""
    if _check(device_type) == "cpu":
        STATE.autocast_dtype = dtype
        if STATE.autocast is not None:
            STATE.autocast = dtype
    else:
        _kept.dtypes[device_type] = dtype


def is_autocast_cpu_enabled() -> bool:
    """is_autocast_enabled("cpu")."""
    return is_autocast_enabled("cpu")


def get_autocast_cpu_dtype() -> DType:
    """get_autocast_dtype("cpu")."""
    return get_autocast_dtype("cpu")


def get_autocast_gpu_dtype() -> DType:
    """get_autocast_dtype("cuda")."""
    return get_autocast_dtype("cuda")


def set_autocast_cpu_enabled(enabled: bool) -> None:
    """set_autocast_enabled("cpu", enabled)."""
    set_autocast_enabled("cpu", enabled)


def set_autocast_cpu_dtype(dtype: DType) -> None:
    """set_autocast_dtype("cpu", dtype)."""
    set_autocast_dtype("cpu", dtype)


def set_autocast_gpu_dtype(dtype: DType) -> None:
    """set_autocast_dtype("cuda", dtype)."""
    set_autocast_dtype("cuda", dtype)


def is_autocast_cache_enabled() -> bool:
    """The setting that set_autocast_cache_enabled() made; graphc casts without a cache."""
    return _kept.cache


def set_autocast_cache_enabled(enabled: bool) -> None:
    """Keeps the setting; graphc casts without a cache."""
    _kept.cache = bool(enabled)


def clear_autocast_cache() -> None:
    """Nothing to clear: graphc casts without a cache."""


def autocast_increment_nesting() -> int:
    """Counts a region that is entered; gives the depth."""
    _kept.nesting += 1
    return _kept.nesting


def autocast_decrement_nesting() -> int:
    """Counts a region that is left; gives the depth."""
    _kept.nesting -= 1
    return _kept.nesting


class autocast:
    """A region, or a decorator, in which products and convolutions take dtype and most losses
    float32; other functions take what they get.

    device_type: "cpu" (dtype bfloat16 or float16; default bfloat16); "cuda" warns and does nothing
    here. enabled=False turns an outer region off. Raises ValueError for a device_type that is no
    string, RuntimeError for an unknown one.
    https://docs.pytorch.org/docs/stable/amp.html#torch.autocast
    """

    def __init__(
        self,
        device_type: str,
        dtype: DType | None = None,
        enabled: bool = True,
        cache_enabled: bool | None = None,
    ) -> None:
        self.device = _check(device_type)
        self.fast_dtype = get_autocast_dtype(device_type) if dtype is None else dtype
        self._cache_enabled = _kept.cache if cache_enabled is None else cache_enabled
        if enabled and device_type == "cuda":
            warnings.warn(
                "CUDA is not available or torch_xla is imported. Disabling autocast.", stacklevel=2
            )
            enabled = False
        elif enabled and device_type == "cpu" and self.fast_dtype not in _CPU:
            warnings.warn(
                "In CPU autocast, but the target dtype is not supported. Disabling autocast.\n"
                "CPU Autocast only supports dtypes of "
                f"{', '.join(map(str, _CPU))} currently.",
                stacklevel=2,
            )
            enabled = False
        elif enabled and device_type != "cpu":
            raise RuntimeError(
                f"autocast for device type {device_type!r}: this version of graphc computes on the "
                "CPU only"
            )
        self._enabled = enabled
        self._before: list[tuple] = []

    def __enter__(self) -> autocast:
        device = self.device
        before = (is_autocast_enabled(device), get_autocast_dtype(device), _kept.cache)
        self._before.append(before)
        set_autocast_dtype(device, self.fast_dtype)
        set_autocast_enabled(device, self._enabled)
        _kept.cache = self._cache_enabled
        _kept.nesting += 1
        return self

    def __exit__(self, *exc: Any) -> None:
        _kept.nesting -= 1
        enabled, dtype, _kept.cache = self._before.pop()
        set_autocast_dtype(self.device, dtype)
        set_autocast_enabled(self.device, enabled)

    def __call__(self, func: Callable) -> Callable:
        if not callable(func):
            raise TypeError(
                f"autocast()(func) requires a callable, but got {type(func).__name__}. "
                "Did you mean to use autocast as a context manager? For example:\n"
                "    with torch.autocast(device_type=...):\n"
                "        output = model(input)"
            )

        @functools.wraps(func)
        def within(*args: Any, **kwargs: Any) -> Any:
            with self:
                return func(*args, **kwargs)

        return within


def _cast(value: Any, device_type: str, dtype: DType) -> Any:
    """value with its floating tensors, but for float64, in dtype; containers element by element."""
    if isinstance(value, Tensor):
        eligible = value.dtype.is_floating_point and value.dtype is not float64
        return value.to(dtype) if eligible else value  # type: ignore[attr-defined]
    if isinstance(value, (str, bytes)):
        return value
    if isinstance(value, Mapping):
        return {
            _cast(k, device_type, dtype): _cast(v, device_type, dtype) for k, v in value.items()
        }
    if isinstance(value, (list, tuple)):
        items = [_cast(v, device_type, dtype) for v in value]
        return type(value)(items)
    return value


def custom_fwd(
    fwd: Callable | None = None, *, device_type: str, cast_inputs: DType | None = None
) -> Any:
    """A decorator for forward() of autograd functions. cast_inputs: within autocast, floating
    inputs come in this dtype and the body runs with autocast off; None: the body sees autocast.
    https://docs.pytorch.org/docs/stable/amp.html#torch.amp.custom_fwd"""
    if not isinstance(device_type, str):
        raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")
    if fwd is None:
        return functools.partial(custom_fwd, device_type=device_type, cast_inputs=cast_inputs)

    @functools.wraps(fwd)
    def forward(*args: Any, **kwargs: Any) -> Any:
        ctx, on = args[0], is_autocast_enabled(device_type)
        ctx._dtype = get_autocast_dtype(device_type)
        ctx._fwd_used_autocast = on and cast_inputs is None
        if cast_inputs is None or not on:
            return fwd(*args, **kwargs)
        with autocast(device_type=device_type, enabled=False):
            return fwd(
                *_cast(args, device_type, cast_inputs), **_cast(kwargs, device_type, cast_inputs)
            )

    return forward


def custom_bwd(bwd: Callable | None = None, *, device_type: str) -> Any:
    """A decorator for backward() of autograd functions, which then runs in forward()'s autocast
    state. https://docs.pytorch.org/docs/stable/amp.html#torch.amp.custom_bwd"""
    if not isinstance(device_type, str):
        raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")
    if bwd is None:
        return functools.partial(custom_bwd, device_type=device_type)

    @functools.wraps(bwd)
    def backward(*args: Any, **kwargs: Any) -> Any:
        ctx = args[0]
        with autocast(device_type, dtype=ctx._dtype, enabled=ctx._fwd_used_autocast):
            return bwd(*args, **kwargs)

    return backward


__all__ = ["autocast", "custom_bwd", "custom_fwd", "is_autocast_available"]
