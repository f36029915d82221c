"""x[key] and x[key] = value with PyTorch's rules: basic keys are views, tensors and lists are
advanced, masks select. Takes a tensor and a key; built from movement ops, `index` and `index_put`.
Source: https://pytorch.org/docs/stable/tensors.html and NumPy's indexing rules where they agree."""

from __future__ import annotations

from typing import Any

import numpy as np

from .base import dtypes
from .base.errors import warn_user, with_raisers_line
from .core import inplace
from .core.modes import STATE
from .core.tensor import Tensor
from .creation import tensor
from .ir.index import Index
from .ir.types import broadcast_shapes
from .ops import gather, movement, pointwise

_INT = (int, np.integer, Index)


def getitem(x: Tensor, key: Any) -> Tensor:
    """x[key]: a view for basic keys, a copy for advanced ones.

    Raises IndexError for bad indices, ValueError for negative steps, as PyTorch."""
    try:
        view, places = _basic(x, key)
        if not places:
            if view is not x:
                return view
            return movement.view(x, tuple(x.type_.shape)) if _viewable(x) else x
        view, indices, front, first = _advanced(view, places)
        out = gather.index((view, *indices))
    except Exception as e:
        with_raisers_line(e)
        raise
    return _to_place(out, indices[0].ndim, first) if not front else out


def _viewable(x: Tensor) -> bool:
    meta = x.type_
    return movement.view_strides(meta.shape, meta.strides, meta.shape) is not None


def setitem(x: Tensor, key: Any, value: Any) -> None:
    """x[key] = value in place; numbers and broadcastable tensors."""
    try:
        _setitem(x, key, value)
    except Exception as e:
        with_raisers_line(e)
        raise


def _setitem(x: Tensor, key: Any, value: Any) -> None:
    if (
        isinstance(key, Tensor)
        and key.dtype is dtypes.bool_
        and not (isinstance(value, Tensor) and value.type_.numel != 1)
        and key.ndim <= x.ndim
    ):
        _check_mask(x, key, 0)
        mask = key.reshape((*key.shape, *(1,) * (x.ndim - key.ndim)))  # type: ignore[attr-defined]
        if isinstance(value, Tensor) and value.ndim:
            value = value.reshape(())  # type: ignore[attr-defined]
        _store(x, pointwise.copy(x, pointwise.where(mask, value, x)))
        return
    view, places = _basic(x, key)
    src = value if isinstance(value, Tensor) else _value(value, view)
    if not places:
        _assign(view, src)
        return
    target, indices, front, first = _advanced(view, places)
    shape = (*indices[0].shape, *target.shape[len(indices) :])
    if src.dtype is not x.dtype:
        raise RuntimeError(
            "Index put requires the source and destination dtypes match, got "
            f"{x.dtype.title} for the destination and {src.dtype.title} for the source."
        )
    if (
        not front and first
    ):  # the value has the result's axis order: bring the index axes to the front
        k = indices[0].ndim
        final = (*shape[k : k + first], *shape[:k], *shape[k + first :])
        src = _fit(src, final)
        order = [*range(first, first + k), *range(first), *range(first + k, len(final))]
        src = movement.permute(src, tuple(order))
    else:
        src = _fit(src, shape)
    inplace.check_inplace(target)
    inplace.store(target, gather.index_put_at((target, src, *indices)))


def _value(value: Any, view: Tensor) -> Tensor:
    if isinstance(value, (bool, int, float, complex, np.generic)):
        return tensor(value, dtype=view.dtype)
    if hasattr(value, "number_type"):
        return pointwise.copy(view, value)
    raise TypeError(f"can't assign a {_type_name(value)} to a torch.{view.dtype.title}Tensor")


def _type_name(value: Any) -> str:
    kind = type(value)
    return f"{kind.__module__}.{kind.__name__}" if kind.__module__ != "builtins" else kind.__name__


def _fit(src: Tensor, shape: tuple) -> Tensor:
    while src.ndim > len(shape) and src.shape[0] == 1:
        src = src.squeeze(0)  # type: ignore[attr-defined]
    if tuple(src.shape) == tuple(shape):
        return src
    try:
        return movement.expand(src, tuple(shape))
    except RuntimeError:
        raise RuntimeError(
            f"shape mismatch: value tensor of shape {list(src.shape)} cannot be broadcast to "
            f"indexing result of shape {list(shape)}"
        ) from None


def _assign(view: Tensor, src: Tensor) -> None:
    while src.ndim > view.ndim and src.shape[0] == 1:
        src = src.squeeze(0)  # type: ignore[attr-defined]
    if tuple(src.shape) != tuple(view.shape):
        src = src.expand(tuple(view.type_.shape))  # type: ignore[attr-defined]
    inplace.check_inplace(view)
    _store(view, pointwise.copy(view, src) if view._needs or src.dtype is not view.dtype else src)


def _store(x: Tensor, value: Tensor) -> None:
    inplace.check_inplace(x)
    inplace.store(x, value)


# ---------------------------------------------------------------- parsing


def _expand_key(x: Tensor, key: Any) -> list:
    if (
        isinstance(key, tuple)
        or isinstance(key, list)
        and len(key) < 32
        and any(
            isinstance(k, (slice, type(None), type(Ellipsis), Tensor, list, tuple, np.ndarray))
            for k in key
        )
    ):
        items = list(key)
    else:
        items = [key]
    used = 0
    for k in items:
        if k is None or k is Ellipsis or isinstance(k, bool):
            continue
        if isinstance(k, (list, np.ndarray)):
            d = np.asarray(_plain(k))
            used += d.ndim if d.dtype == bool else 1
        elif isinstance(k, Tensor) and k.dtype in (dtypes.bool_, dtypes.uint8):
            used += k.ndim
        else:
            used += 1
    dots = [i for i, k in enumerate(items) if k is Ellipsis]
    for i in dots[:0:-1]:  # further ones stand for nothing
        del items[i]
    if used > x.ndim == 0 and not isinstance(key, tuple):
        first = items[0]
        if isinstance(first, slice):
            raise IndexError("slice() cannot be applied to a 0-dim tensor.")
        if isinstance(first, (int, np.integer)) and first != 0:
            raise IndexError(f"index {first} is out of bounds for dimension 0 with size 0")
        raise IndexError(
            "invalid index of a 0-dim tensor. Use `tensor.item()` in Python or `tensor.item<T>()` "
            "in "
            "C++ to convert a 0-dim tensor to a number"
        )
    if used > x.ndim:
        raise IndexError(f"too many indices for tensor of dimension {x.ndim}")
    fill = [slice(None)] * (x.ndim - used)
    if dots:
        items[dots[0] : dots[0] + 1] = fill
    else:
        items += fill
    return items


def _plain(k: Any) -> Any:
    return [int(v.item()) if isinstance(v, Tensor) else v for v in k] if isinstance(k, list) else k  # type: ignore


def _basic(x: Tensor, key: Any) -> tuple[Tensor, list]:
    """x after the basic parts of the key, and [(axis, index tensor)] for the advanced ones."""
    places: list = []
    axis = 0
    for place, k in enumerate(_expand_key(x, key)):
        if k is None:
            x = movement.unsqueeze(x, axis)
            axis += 1
        elif isinstance(k, bool):
            x = movement.unsqueeze(x, axis)
            places.append((axis, tensor([0] if k else [], dtype=dtypes.int64)))
            axis += 1
        elif isinstance(k, _INT):
            x = movement.select(x, axis, _in_range(k, x.type_.shape[axis], place))
        elif isinstance(k, slice):
            x = _slice(x, axis, k)
            axis += 1
        else:
            x, axis = _tensor_index(x, axis, k, places)
    return x, places


def _in_range(k: Any, n: Any, axis: int) -> Any:
    if not isinstance(k, Index):
        k = int(k)
    if not -n <= k < n:
        raise IndexError(f"index {k} is out of bounds for dimension {axis} with size {n}")
    return k + n if k < 0 else k


def _number(v: Any) -> Any:
    return v.item() if isinstance(v, Tensor) else int(v) if isinstance(v, np.integer) else v  # type: ignore


def _slice(x: Tensor, axis: int, k: slice) -> Tensor:
    n = x.type_.shape[axis]
    step = 1 if k.step is None else _number(k.step)
    if step <= 0:
        raise ValueError(
            "slice step cannot be zero" if step == 0 else "step must be greater than zero"
        )
    start, stop = _number(k.start), _number(k.stop)
    if start is None and stop is None and step == 1:
        return x
    start = 0 if start is None else _clip(start, n)
    stop = n if stop is None else _clip(stop, n)
    if stop < start:
        stop = start
    if (
        isinstance(start, int)
        and start == 0
        and step == 1
        and (stop is n or isinstance(stop, int) and isinstance(n, int) and stop == n)
    ):
        return x
    return movement.slice_(x, axis, start, stop, step)


def _clip(v: Any, n: Any) -> Any:
    if not isinstance(v, _INT):
        raise TypeError("slice indices must be integers or None or have an __index__ method")
    if v < 0:
        v = v + n
        return 0 if v < 0 else v
    return n if v > n else v


def _check_mask(x: Tensor, mask: Tensor, axis: int) -> None:
    for i, n in enumerate(mask.shape):
        if n != x.shape[axis + i]:
            raise IndexError(
                f"The shape of the mask {list(mask.shape)} at index {i} does not match the shape "
                f"of "
                f"the indexed tensor {list(x.shape)} at index {axis + i}"
            )


def _tensor_index(x: Tensor, axis: int, k: Any, places: list) -> tuple[Tensor, int]:
    listed = not isinstance(k, Tensor)
    if listed:
        if isinstance(k, (list, range, np.ndarray)):
            a = np.asarray(_plain(list(k)) if not isinstance(k, np.ndarray) else k)
            k = tensor(a if a.size else np.zeros(a.shape, np.int64))
        else:
            if isinstance(k, str):
                raise TypeError("new(): invalid data type 'str'")
            raise IndexError(
                "only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables "
                "are "
                f"valid indices (got {type(k).__name__})"
            )
    if k.dtype in (dtypes.bool_, dtypes.uint8):
        if k.dtype is dtypes.uint8 and STATE.tracer is None:
            warn_user(
                "indexing with dtype torch.uint8 is now deprecated, please use a dtype torch.bool "
                "instead."
            )
        _check_mask(x, k, axis)
        if k.ndim == 0:
            x = movement.unsqueeze(x, axis)
            k = k.reshape((1,))  # type: ignore[attr-defined]
        where = gather.nonzero(k)
        for d in range(k.ndim):
            places.append((axis + d, movement.select(where, 1, d)))
        return x, axis + k.ndim
    if k.dtype.category != dtypes.INT:
        raise IndexError("tensors used as indices must be long, int, byte or bool tensors")
    if k.ndim and k.dtype not in (dtypes.int64, dtypes.int32) and not listed:
        raise IndexError("tensors used as indices must be long, int, byte or bool tensors")
    if k.ndim == 0 and STATE.tracer is None:
        return movement.select(x, axis, _in_range(k.item(), x.shape[axis], axis)), axis  # type: ignore
    places.append((axis, pointwise.cast(k, dtypes.int64)))
    return x, axis + 1


def _advanced(x: Tensor, places: list) -> tuple[Tensor, list, bool, int]:
    """(x with the indexed axes first, indices broadcast together, result goes to the front, first
    axis)."""
    axes = [a for a, _ in places]
    try:
        shape = broadcast_shapes(*[tuple(i.type_.shape) for _, i in places])
    except RuntimeError:
        sizes = ", ".join(str(list(i.shape)) for _, i in places)
        raise IndexError(
            f"shape mismatch: indexing tensors could not be broadcast together with shapes {sizes}"
        ) from None
    indices = [i if tuple(i.type_.shape) == shape else movement.expand(i, shape) for _, i in places]
    adjacent = axes[-1] - axes[0] == len(axes) - 1
    if axes != list(range(len(axes))):
        order = axes + [a for a in range(x.ndim) if a not in axes]
        x = movement.permute(x, tuple(order))
    return x, indices, not adjacent or axes[0] == 0, axes[0]


def _to_place(out: Tensor, k: int, first: int) -> Tensor:
    order = [*range(k, k + first), *range(k), *range(k + first, out.ndim)]
    out = movement.contiguous(movement.permute(out, tuple(order)))
    if STATE.tracer is None:
        out._base = None  # the result of a gather is nobody's view
    return out


getitem.__name__, setitem.__name__ = "__getitem__", "__setitem__"  # as methods they are these
