"""Making tensors: from Python data, numpy arrays, or a shape and a rule. PyTorch's names and
dtypes rules.
Source: https://pytorch.org/docs/stable/torch.html#creation-ops"""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from .base import dtypes, entry, formats
from .base.dtypes import DType, from_numpy_dtype
from .base.errors import CaptureBreak, no_combination, warn_user
from .core import dispatch
from .core.modes import STATE
from .core.storage import INFERENCE
from .core.tensor import Tensor, alias, wrap
from .device import check_device
from .ir.types import numel
from .native import library
from .ops import constant, movement
from .ops import random as random_ops
from .out import into, made_dtype


def _finish(t: Tensor, requires_grad: bool) -> Tensor:
    if STATE.inference:
        t._storage.flags |= INFERENCE
    if requires_grad:
        if t.dtype.category < dtypes.FLOAT:
            raise RuntimeError(
                "Only Tensors of floating point and complex dtype can require gradients"
            )
        t._needs = True
    return t


def _traced(t: Tensor) -> Tensor:
    """A constant made while capturing becomes part of the program."""
    tracer = STATE.tracer
    return t if tracer is None else tracer.constant(t)


def size_of(args: tuple, what: str = "empty") -> tuple:
    """A shape from (2, 3) or ((2, 3),)."""
    listed = len(args) == 1 and isinstance(args[0], (tuple, list))
    if listed:
        args = tuple(args[0])
    out: list = []
    for s in args:
        if isinstance(s, Tensor):
            s = s.item()  # type: ignore[attr-defined]
        elif isinstance(s, np.integer):
            s = int(s)
        if isinstance(s, (float, bool, str)) or s is None:
            kind = type(s).__name__
            raise TypeError(
                f"{what}(): argument 'size' failed to unpack the object at pos {len(out) + 1} with "
                f'error "type must be tuple of ints,but got {kind}"'
                if out
                else f"{what}(): argument 'size' (position 1) must be tuple of ints, "
                + (f"but found element of type {kind} at pos 0" if listed else f"not {kind}")
            )
        if isinstance(s, int) and s < 0:
            raise RuntimeError(
                f"{what}: Dimension size must be non-negative."
                if what in ("zeros", "ones")
                else f"Trying to create tensor with negative dimension {s}: {list(args)}"
            )
        out.append(s)
    return tuple(out)


# ---------------------------------------------------------------- from data


def _sequence_shape(data: Any) -> tuple:
    shape = []
    while isinstance(data, (list, tuple)):
        shape.append(len(data))
        if not data:
            break
        data = data[0]
    return tuple(shape)


def _check_ragged(data: Any, shape: tuple, dim: int) -> None:
    if dim < len(shape):
        if not isinstance(data, (list, tuple)):
            raise TypeError("not a sequence")
        if len(data) != shape[dim]:
            raise ValueError(
                f"expected sequence of length {shape[dim]} at dim {dim} (got {len(data)})"
            )
        for x in data:
            _check_ragged(x, shape, dim + 1)
    elif isinstance(data, (list, tuple)):
        raise TypeError(f"'{type(data).__name__}' object cannot be interpreted as an integer")


def _leaf_dtype(data: Any) -> DType | None:
    """Dtype that nested Python data takes, by PyTorch's rules; None for no elements."""
    if isinstance(data, (list, tuple)):
        out: DType | None = None
        for x in data:
            d = _leaf_dtype(x)
            if d is not None:
                out = d if out is None else dtypes.promote_types(out, d)
        return out
    if isinstance(data, Tensor):
        return data.dtype
    if isinstance(data, np.generic):
        return from_numpy_dtype(data.dtype)
    if isinstance(data, (bool, int, float, complex)):
        return dtypes.of_number(data)
    if hasattr(data, "__array__"):
        return from_numpy_dtype(np.asarray(data).dtype)
    if isinstance(data, str):
        raise TypeError("new(): invalid data type 'str'")
    raise RuntimeError(f"Could not infer dtype of {type(data).__name__}")


_NUMBERS = (bool, int, float, complex)
_SLOW = (
    "Creating a tensor from a list of numpy.ndarrays is extremely slow. Please consider "
    "converting the list to a single numpy.ndarray with numpy.array() before converting to a "
    "tensor."
)
_READ_ONLY = (
    "The given NumPy array is not writable, and PyTorch does not support non-writable tensors. "
    "This means writing to this tensor will result in undefined behavior. You may want to copy "
    "the array to protect its data or make it writable before converting it to a tensor. This "
    "type of warning will be suppressed for the rest of this program."
)
_told: set[str] = set()


def _warn_once(text: str) -> None:
    if text not in _told:
        _told.add(text)
        warnings.warn(text, UserWarning, stacklevel=4)


def _listed(data: Any) -> Any:
    """data with every kind of sequence as a list, and lists of arrays as one array."""
    kind = type(data)
    if kind in _NUMBERS or isinstance(data, (Tensor, np.ndarray, np.generic)):
        return data
    if isinstance(data, (list, tuple)):
        if data and isinstance(data[0], np.ndarray):
            _warn_once(_SLOW)
            if all(isinstance(x, np.ndarray) and x.shape == data[0].shape for x in data):
                return np.stack(data)
        if all(type(x) in _NUMBERS for x in data):
            return data
        data = [_listed(x) for x in data]
        arrays = [isinstance(x, np.ndarray) and x.ndim > 0 for x in data]
        return [list(x) if a else x for x, a in zip(data, arrays, strict=True)]
    if isinstance(data, (str, bytes)):
        raise TypeError(f"new(): invalid data type '{kind.__name__}'")
    if hasattr(data, "__array__") or hasattr(data, "__array_interface__"):
        return np.asarray(data)
    if hasattr(data, "__dlpack__"):
        return np.from_dlpack(data)
    if isinstance(data, (range, memoryview, bytearray)) or (
        hasattr(data, "__len__")
        and hasattr(data, "__getitem__")
        and not isinstance(data, (dict, set))
    ):
        return [_listed(data[i]) for i in range(len(data))]
    return data


def _to_array(data: Any, dtype: DType | None) -> tuple[np.ndarray, DType]:
    if isinstance(data, list) and data and isinstance(data[0], str):
        raise ValueError("too many dimensions 'str'")
    given, data = data, _listed(data)
    if isinstance(data, np.ndarray):
        a = np.asarray(data)
        if data is given:
            _check_strides(a)
        a = a.astype(a.dtype.newbyteorder("="), copy=False)
        own = from_numpy_dtype(a.dtype)
        want = dtype or own
        return (np.array(a, order="C") if own is want else dispatch.cast_array(a, own, want)), want
    shape = _sequence_shape(data)
    _check_ragged(data, shape, 0)
    want = dtype or _leaf_dtype(data) or dtypes.get_default_dtype()
    plain = _plain(data)
    if want.category <= dtypes.INT:
        return _int_array(plain, shape, want), want
    if want.category == dtypes.COMPLEX:
        return np.array(plain, want.np).reshape(shape), want
    a = np.array(plain, dtype=np.float64).reshape(shape)
    return dispatch.cast_array(a, dtypes.float64, want), want


def _int_array(plain: Any, shape: tuple, want: DType) -> np.ndarray:
    found = _leaf_dtype(plain)
    if found is not None and found.category >= dtypes.FLOAT:
        a = np.array(plain, np.float64).reshape(shape)
        return dispatch.cast_array(a, dtypes.float64, want)
    try:
        a = np.array(plain, dtype=np.int64).reshape(shape)
    except OverflowError:
        raise ValueError("Overflow when unpacking long long") from None
    if want.category == dtypes.INT and want is not dtypes.int64 and a.size:
        info = np.iinfo(want.np)
        low = info.min if info.min else -info.max  # -1 and the like wrap in unsigned types
        if not low <= int(a.min()) <= int(a.max()) <= info.max:
            raise RuntimeError(f"value cannot be converted to type {want.name} without overflow")
    return dispatch.cast_array(a, dtypes.int64, want)


def _plain(data: Any) -> Any:
    if isinstance(data, (list, tuple)):
        return [_plain(x) for x in data]
    if isinstance(data, Tensor):
        if data.type_.numel != 1:
            if data.dtype.category <= dtypes.INT:
                raise TypeError(
                    "only integer tensors of a single element can be converted to an index"
                )
            raise ValueError("only one element tensors can be converted to Python scalars")
        return data.item()  # type: ignore[attr-defined]
    return (
        data.item()
        if isinstance(data, np.generic)
        else np.asarray(data).tolist()
        if hasattr(data, "__array__")
        else data
    )


def tensor(
    data: Any,
    *,
    dtype: DType | None = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """A new tensor with a copy of data (nested lists, numbers, arrays, tensors).

    Raises ValueError for ragged lists, RuntimeError for values that do not fit the dtype."""
    check_device(device)
    if isinstance(data, Tensor):
        if STATE.tracer is None:
            warn_user(
                "To copy construct from a tensor, it is recommended to use "
                "sourceTensor.detach().clone() or "
                "sourceTensor.detach().clone().requires_grad_(True), rather than "
                "torch.tensor(sourceTensor)."
            )
        out = data.detach().clone()  # type: ignore[attr-defined]
        return _finish(out if dtype is None else out.to(dtype), requires_grad)
    if STATE.tracer is None and hasattr(data, "known"):  # another thread's run-time number
        data = data.known()
    if STATE.tracer is not None and hasattr(data, "number_type"):  # a run-time number
        return _finish(
            STATE.tracer.full((), data, dtype or dtypes.of_number(data.number_type())),
            requires_grad,
        )
    if STATE.tracer is not None and _has_tensor(data):
        from .ops.gather import cat

        flat = [tensor(x, dtype=dtype) for x in data]
        return cat([x.unsqueeze(0) for x in flat])  # type: ignore[attr-defined]
    a, d = _to_array(data, dtype)
    return _finish(_traced(wrap(np.ascontiguousarray(a).reshape(a.shape), d)), requires_grad)


def _has_tensor(data: Any) -> bool:
    if isinstance(data, (list, tuple)):
        return any(_has_tensor(x) for x in data)
    return isinstance(data, Tensor) or hasattr(data, "number_type")


def _check_strides(a: np.ndarray) -> None:
    if any(s < 0 for s in a.strides):
        raise ValueError(
            "At least one stride in the given numpy array is negative, and tensors with negative "
            "strides are not currently supported. (You can probably work around this by making a "
            "copy of your array  with array.copy().) "
        )


def from_numpy(ndarray: np.ndarray) -> Tensor:
    """A tensor over the array's own memory. TypeError for other objects and dtypes without
    counterpart, ValueError for negative strides."""
    if not isinstance(ndarray, np.ndarray):
        raise TypeError(f"expected np.ndarray (got {_full_name(ndarray)})")
    _check_strides(ndarray)
    if any(s % ndarray.itemsize for s in ndarray.strides):
        raise ValueError(
            "given numpy array strides not a multiple of the element byte size. Copy the numpy "
            "array to reallocate the memory."
        )
    if not ndarray.dtype.isnative:
        raise ValueError(
            "given numpy array has byte order different from the native byte order. Conversion "
            "between byte orders is currently not supported."
        )
    if not ndarray.flags.writeable:
        _warn_once(_READ_ONLY)
    return wrap(ndarray, from_numpy_dtype(ndarray.dtype))


def _full_name(x: Any) -> str:
    kind = type(x)
    return f"{kind.__module__}.{kind.__name__}".removeprefix("builtins.")


def frombuffer(
    buffer: Any, *, dtype: DType, count: int = -1, offset: int = 0, requires_grad: bool = False
) -> Tensor:
    """A vector over the memory of a buffer (bytes, bytearray ...), `offset` bytes in."""
    a = np.frombuffer(buffer, dtype.np, count, offset)
    return _finish(wrap(a, dtype), requires_grad)


def as_tensor(data: Any, dtype: DType | None = None, device: Any = None) -> Tensor:
    """data as a tensor, sharing memory when it is a tensor or numpy array of the dtype already."""
    check_device(device)
    if isinstance(data, Tensor):
        return data if dtype is None else data.to(dtype)  # type: ignore[attr-defined]
    if isinstance(data, np.ndarray):
        t = from_numpy(data)
        return t if dtype is None else t.to(dtype)  # type: ignore[attr-defined]
    if hasattr(data, "__array__") or hasattr(data, "__array_interface__"):
        return as_tensor(np.asarray(data), dtype)
    if hasattr(data, "__dlpack__"):
        return as_tensor(np.from_dlpack(data), dtype)
    return tensor(data, dtype=dtype)


def asarray(
    obj: Any,
    *,
    dtype: DType | None = None,
    device: Any = None,
    copy: bool | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """obj as a tensor; copy=True always copies, None only when needed."""
    t = tensor(obj, dtype=dtype) if copy else as_tensor(obj, dtype, device)
    return _finish(t, requires_grad) if requires_grad else t


# ---------------------------------------------------------------- from a shape


def _fill(shape: tuple, value: Any, dtype: DType) -> Tensor:
    tracer = STATE.tracer
    if tracer is not None:
        return tracer.full(shape, value, dtype)
    a = library.empty(shape, dtype.np)
    a.fill(dispatch.number_array(value, dtype) if not dtype.is_half else _half_value(value, dtype))
    return wrap(a, dtype)


def _half_value(value: Any, dtype: DType) -> Any:
    return dispatch.cast_array(np.asarray(value, np.float32), dtypes.float32, dtype)[()]


def zeros(
    *size: Any,
    out: Any = None,
    dtype: DType | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
    **named: Any,
) -> Tensor:
    """A tensor of zeros; default dtype unless given."""
    return full(
        named["size"] if "size" in named else size_of(size, "zeros"),
        0,
        dtype=made_dtype(dtype, out, dtypes.get_default_dtype()),
        device=device,
        requires_grad=requires_grad,
        out=out,
    )


def ones(
    *size: Any,
    out: Any = None,
    dtype: DType | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
    **named: Any,
) -> Tensor:
    """A tensor of ones; default dtype unless given."""
    return full(
        named["size"] if "size" in named else size_of(size, "ones"),
        1,
        dtype=made_dtype(dtype, out, dtypes.get_default_dtype()),
        device=device,
        requires_grad=requires_grad,
        out=out,
    )


def empty(
    *size: Any,
    out: Any = None,
    dtype: DType | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
    memory_format: Any = None,
    **named: Any,
) -> Tensor:
    """A tensor with arbitrary contents (zeros, inside compiled code)."""
    if memory_format is not None and memory_format is not formats.contiguous_format:
        plain = empty(*size, dtype=dtype, device=device, **named)
        return into(out, _finish(movement.in_format(plain, memory_format), requires_grad))
    shape = size_of((named["size"],) if "size" in named else size)
    check_device(device)
    d = made_dtype(dtype, out, dtypes.get_default_dtype())
    if STATE.tracer is not None:
        return into(out, _finish(_fill(shape, 0, d), requires_grad))
    return into(out, _finish(wrap(library.empty(shape, d.np), d), requires_grad))


def full(
    size: Any,
    fill_value: Any,
    *,
    out: Any = None,
    dtype: DType | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """A tensor of one value; its dtype is the value's unless given."""
    check_device(device)
    if isinstance(fill_value, Tensor):
        dtype = dtype or fill_value.dtype
        if STATE.tracer is not None:
            return fill_value.to(dtype).expand(size_of((size,))).clone()  # type: ignore[attr-defined]
        fill_value = fill_value.item()  # type: ignore[attr-defined]
    d = made_dtype(dtype, out, dtypes.of_number(fill_value))
    return into(out, _finish(_fill(size_of((size,)), fill_value, d), requires_grad))


def _like(fn: Any) -> Any:
    def like(
        input: Tensor,
        *args: Any,
        dtype: DType | None = None,
        layout: Any = None,
        device: Any = None,
        requires_grad: bool = False,
        memory_format: Any = None,
        pin_memory: bool = False,
    ) -> Tensor:
        t = fn(tuple(input.shape), *args, dtype=dtype or input.dtype, device=device)
        st = input.type_
        if memory_format is not None and memory_format is not formats.preserve_format:
            t = movement.in_format(t, memory_format)
        elif not st.is_contiguous:
            t = movement.clone(t, _dense(st))
        return beside(input, _finish(t, requires_grad))

    return like


def beside(like: Tensor, t: Tensor) -> Tensor:
    """t, made to go with `like`: under vmap it takes writes for every element if `like` is mapped
    over."""
    tracer = STATE.tracer
    return t if tracer is None or not tracer.transforms else tracer.beside(like, t)


def _dense(meta: Any) -> tuple:
    from .ir.types import pointwise_strides

    return pointwise_strides(meta.shape, [(meta.shape, meta.strides)])


zeros_like = _like(zeros)
ones_like = _like(ones)
empty_like = _like(empty)
_full_like = _like(full)


def full_like(
    input: Tensor,
    fill_value: Any,
    *,
    dtype: DType | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """full() with input's shape, dtype and layout."""
    return _full_like(
        input,
        fill_value,
        dtype=dtype,
        requires_grad=requires_grad,
        device=device,
        memory_format=memory_format,
    )


def arange(
    start: Any,
    end: Any = None,
    step: Any = 1,
    *,
    out: Any = None,
    dtype: DType | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """start, start + step, ... below end; int64 for ints, default dtype when a float takes part."""
    check_device(device)
    if end is None:
        start, end = 0, start
    start, end, step = (
        x.item() if isinstance(x, (Tensor, np.generic)) else x for x in (start, end, step)
    )
    if step == 0:
        raise RuntimeError("step must be nonzero")
    if all(isinstance(x, (int, float)) for x in (start, end, step)):
        if not (math.isfinite(start) and math.isfinite(end)):
            raise RuntimeError(f"unsupported range: {start:g} -> {end:g}")
        if (end - start) / step < 0:
            raise RuntimeError("upper bound and lower bound inconsistent with step sign")
    floating = any(isinstance(x, float) for x in (start, end, step))
    d = made_dtype(dtype, out, dtypes.get_default_dtype() if floating else dtypes.int64)
    if d.category <= dtypes.INT and floating:  # the dtype's arithmetic: bounds truncate first
        start, end, step, floating = int(start), int(end), int(step), False
        if step == 0:
            raise ValueError("step must be nonzero")
    n = math.ceil((end - start) / step) if floating else -((start - end) // step)
    start, step = (float(x) if floating else x for x in (start, step))
    if STATE.tracer is not None:
        return into(out, _finish(constant.arange((n,), start, step, d), requires_grad))
    t = wrap(constant.arange_kernel((n,), start, step, d), d)
    return into(out, _finish(t, requires_grad))


def range_(
    start: Any = 0,
    end: Any = None,
    step: Any = 1,
    *,
    out: Any = None,
    dtype: DType | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """From start to end, the end included. Deprecated in PyTorch: use arange."""
    warn_user(
        "torch.range is deprecated and will be removed in a future release because its behavior is "
        "inconsistent with Python's range builtin. Instead, use torch.arange, which produces "
        "values in [start, end)."
    )
    if end is None:
        start, end = 0, start
    if step == 0:
        raise RuntimeError("step must be nonzero")
    if (end - start) * step < 0:
        raise RuntimeError("upper bound and lower bound inconsistent with step sign")
    n = int((end - start) / step) + 1
    d = dtype or dtypes.get_default_dtype()
    y = (arange(n, dtype=dtypes.float64) * step + start).to(d)  # type: ignore[attr-defined]
    return _finish(into(out, y), requires_grad)


def linspace(
    start: Any,
    end: Any,
    steps: int,
    *,
    out: Any = None,
    dtype: DType | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """steps numbers from start to end inclusive, from both ends towards the middle as PyTorch
    does."""
    d = made_dtype(dtype, out, dtypes.get_default_dtype())
    if not isinstance(steps, (int, np.integer)) or isinstance(steps, bool):
        raise no_combination("linspace", start, end, steps)
    if steps < 0:
        raise RuntimeError("number of steps must be non-negative")
    ends = [x.ndim for x in (start, end) if isinstance(x, Tensor)]
    if any(ends):
        raise RuntimeError(
            "linspace only supports 0-dimensional start and end tensors, but got start with "
            f"{ends[0]} dimension(s)"
            + (f" and end with {ends[-1]} dimension(s)." if ends[1:] else ".")
        )
    start, end = float(start), float(end)
    if d.category <= dtypes.INT:  # the dtype's arithmetic: bounds truncate first
        start, end = float(int(start)), float(int(end))
    i = np.arange(steps, dtype=np.float64)
    step = (end - start) / (steps - 1) if steps > 1 else 0.0
    a = (
        np.where(i < steps // 2, start + step * i, end - step * (steps - 1 - i))
        if steps > 1
        else np.full(steps, start)
    )
    t = _traced(wrap(dispatch.cast_array(a, dtypes.float64, d), d))
    return into(out, _finish(t, requires_grad))


def eye(
    n: int,
    m: int | None = None,
    *,
    out: Any = None,
    dtype: DType | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """The identity matrix [n, m]."""
    d = made_dtype(dtype, out, dtypes.get_default_dtype())
    for name, size in (("n", n), ("m", m)):
        if size is not None and size < 0:
            raise RuntimeError(f"{name} must be greater or equal to 0, got {size}")
    return into(out, _finish(_traced(wrap(np.eye(n, m, dtype=d.np), d)), requires_grad))


# ---------------------------------------------------------------- random


def complex_random(fn: Any, shape: tuple, d: DType, generator: Any) -> Tensor:
    from .ops.complex_parts import view_as_complex

    parts = fn((*shape, 2), d, generator)
    return view_as_complex(parts * math.sqrt(0.5) if fn is random_ops.randn else parts)


def _random(fn: Any, floating: str) -> Any:
    def make(
        *size: Any,
        generator: Any = None,
        out: Any = None,
        dtype: DType | None = None,
        layout: Any = None,
        device: Any = None,
        requires_grad: bool = False,
        pin_memory: bool = False,
        **named: Any,
    ) -> Tensor:
        shape = size_of((named["size"],) if "size" in named else size)
        d = made_dtype(dtype, out, dtypes.get_default_dtype())
        check_device(device)
        if d.is_complex:  # both parts drawn alike; of a normal number each has half the variance
            t = complex_random(fn, shape, d.to_real(), generator)
        elif not d.is_floating_point:
            raise NotImplementedError(f"\"{floating}\" not implemented for '{d.title}'")
        else:
            t = fn(shape, d, generator)
        return into(out, _finish(t, requires_grad))

    return make


rand = _random(random_ops.rand, "check_uniform_bounds")
randn = _random(random_ops.randn, "normal_kernel_cpu")


def rand_like(
    input: Tensor,
    *,
    dtype: DType | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: Any = None,
    generator: Any = None,
) -> Tensor:
    """rand() with input's shape and dtype."""
    return _like(_drawing(rand, generator))(input, dtype=dtype, device=device,
        requires_grad=requires_grad, memory_format=memory_format)  # fmt: skip


def _drawing(fn: Any, generator: Any) -> Any:
    """fn, drawing from the generator."""
    if generator is None:
        return fn

    def draw(*size: Any, **kwargs: Any) -> Tensor:
        return fn(*size, generator=generator, **kwargs)

    draw.__name__ = fn.__name__
    return draw


def randn_like(
    input: Tensor,
    *,
    dtype: DType | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: Any = None,
    generator: Any = None,
) -> Tensor:
    """randn() with input's shape and dtype."""
    return _like(_drawing(randn, generator))(input, dtype=dtype, device=device,
        requires_grad=requires_grad, memory_format=memory_format)  # fmt: skip


def randint(
    low: int,
    high: Any = None,
    size: Any = None,
    *,
    generator: Any = None,
    out: Any = None,
    dtype: DType | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Integers in [low, high) of the given size; randint(high, size) starts at 0."""
    if size is None:
        low, high, size = 0, low, high
    d = made_dtype(dtype, out, dtypes.int64)
    t = random_ops.randint_in(int(low), int(high), size_of((size,)), d, generator)
    return into(out, _finish(t, requires_grad))


def randperm(
    n: int,
    *,
    generator: Any = None,
    out: Any = None,
    dtype: DType | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """A random permutation of 0..n-1. CaptureBreak inside compiled code."""
    tracer = STATE.tracer
    if tracer is not None and tracer.transforms:
        return tracer.each_draw(lambda: randperm(n, generator=generator, dtype=dtype))
    if tracer is not None:
        raise CaptureBreak(
            "randperm sorts random numbers, which compiled code cannot do yet",
            "draw the permutation outside of the compiled function and pass it in",
            kind="random",
        )
    a = random_ops.permutation(int(n), generator)
    d = made_dtype(dtype, out, dtypes.int64)
    return into(out, wrap(dispatch.cast_array(a, dtypes.int64, d), d))


def numel_of(t: Tensor) -> Any:
    return numel(t.type_.shape)


def detached(t: Tensor) -> Tensor:
    """t without history, over the same memory."""
    return alias(t)


entry.wrap(__name__, globals())
