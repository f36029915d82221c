"""Collation: takes a list of samples, gives one batch: tensors stacked, containers kept, numbers as
tensors.

Invariant: default_collate gives memory of its own, never a sample's.
Source: https://docs.pytorch.org/docs/stable/data.html#torch.utils.data.default_collate
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, MutableMapping, MutableSequence, Sequence
from typing import Any

import numpy as np

from ...base import dtypes
from ...base.dtypes import from_numpy_dtype
from ...core.modes import STATE
from ...core.tensor import Tensor, wrap
from ...creation import as_tensor, tensor
from ...functional import stack as stack_tensors
from ...native import library

_MESSAGE = (
    "default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; found {}"
)


def _stack(arrays: list, dtype: Any) -> Tensor | None:
    """Arrays of one shape and dtype as one tensor; None when they differ."""
    first = arrays[0]
    shape, dt = first.shape, first.dtype
    for a in arrays:
        if a.shape != shape or a.dtype != dt:
            return None
    if not shape:
        return wrap(np.array(arrays, dtype=dt), dtype)
    out = library.empty((len(arrays) * shape[0], *shape[1:]), dt)
    np.concatenate(arrays, out=out)
    return wrap(out.reshape(len(arrays), *shape), dtype)


def _tensors(batch: Any, collate_fn_map: Any = None) -> Any:
    batch = list(batch)
    if STATE.tracer is None and all(isinstance(t, Tensor) and not t._needs for t in batch):
        out = _stack([t._array for t in batch], batch[0].dtype)
        if out is not None and all(t.dtype is out.dtype for t in batch):
            return out
    return stack_tensors(batch, 0)


def _arrays(batch: Any, collate_fn_map: Any = None) -> Any:
    batch = list(batch)
    if batch[0].dtype.kind in "SaUO":
        raise TypeError(_MESSAGE.format(batch[0].dtype))
    if all(type(a) is np.ndarray for a in batch) and batch[0].dtype.isnative:
        out = _stack(batch, from_numpy_dtype(batch[0].dtype))
        if out is not None:
            return out
    return _tensors([as_tensor(a) for a in batch])


def _numpy_scalars(batch: Any, collate_fn_map: Any = None) -> Any:
    return as_tensor(np.array(list(batch)))


def _floats(batch: Any, collate_fn_map: Any = None) -> Any:
    return wrap(np.array(list(batch), dtype=np.float64), dtypes.float64)


def _ints(batch: Any, collate_fn_map: Any = None) -> Any:
    return tensor(list(batch))


def _plain_ints(batch: Any, collate_fn_map: Any = None) -> Any:
    if all(type(i) is int for i in batch):
        try:
            return wrap(np.array(batch, dtype=np.int64), dtypes.int64)
        except OverflowError:
            pass
    return tensor(list(batch))


def _as_is(batch: Any, collate_fn_map: Any = None) -> Any:
    return batch


default_collate_fn_map: dict[Any, Callable] = {
    Tensor: _tensors, np.ndarray: _arrays, (np.bool_, np.number, np.object_): _numpy_scalars,
    float: _floats, int: _ints, str: _as_is, bytes: _as_is}
_EXACT: dict[type, Callable] = {
    Tensor: _tensors,
    np.ndarray: _arrays,
    float: _floats,
    int: _plain_ints,
    str: _as_is,
    bytes: _as_is,
}


def collate(batch: Any, *, collate_fn_map: dict | None = None) -> Any:
    """Collates by the first sample's type: `collate_fn_map` first (exact type, then subclasses),
    then mappings, named tuples and sequences field by field. TypeError for other types,
    RuntimeError for sequences of unequal length."""
    first = batch[0]
    kind = type(first)
    if collate_fn_map is not None:
        if kind in collate_fn_map:
            return collate_fn_map[kind](batch, collate_fn_map=collate_fn_map)
        for each, fn in collate_fn_map.items():
            if isinstance(first, each):
                return fn(batch, collate_fn_map=collate_fn_map)
    if isinstance(first, Mapping):
        parts = {k: collate([d[k] for d in batch], collate_fn_map=collate_fn_map) for k in first}
        return _mapping_like(first, parts)
    if isinstance(first, tuple) and hasattr(first, "_fields"):
        return kind(
            *(
                collate(column, collate_fn_map=collate_fn_map)
                for column in zip(*batch, strict=False)
            )
        )
    if isinstance(first, Sequence):
        n = len(first)
        if any(len(sample) != n for sample in batch):
            raise RuntimeError("each element in list of batch should be of equal size")
        columns = [
            collate(column, collate_fn_map=collate_fn_map) for column in zip(*batch, strict=True)
        ]
        return columns if isinstance(first, tuple) else _sequence_like(first, columns)
    raise TypeError(_MESSAGE.format(kind))


def _mapping_like(model: Any, parts: dict) -> Any:
    """A mapping of the model's type with other values; a dict where the type cannot be built so."""
    if type(model) is dict:
        return parts
    try:
        if isinstance(model, MutableMapping):
            out = copy.copy(model)
            out.update(parts)
            return out
        return type(model)(parts)
    except TypeError:
        return parts


def _sequence_like(model: Any, items: list) -> Any:
    if type(model) is list:
        return items
    try:
        if isinstance(model, MutableSequence):
            out = copy.copy(model)
            for i, item in enumerate(items):
                out[i] = item
            return out
        return type(model)(items)
    except TypeError:
        return items


def default_collate(batch: Any) -> Any:
    """Samples to a batch: tensors and arrays are stacked, floats become float64 and ints int64
    tensors, strings stay a list, dicts and named tuples keep their type, tuples become lists."""
    first = batch[0]
    kind = type(first)
    fn = _EXACT.get(kind)
    if fn is not None:
        return fn(batch)
    if kind is tuple or kind is list:
        n = len(first)
        if all(len(sample) == n for sample in batch):
            return [default_collate(column) for column in zip(*batch, strict=True)]
    elif kind is dict:
        return {k: default_collate([d[k] for d in batch]) for k in first}
    return collate(batch, collate_fn_map=default_collate_fn_map)


def default_convert(data: Any) -> Any:
    """One sample with its numpy arrays and scalars as tensors; everything else as it is."""
    if isinstance(data, Tensor):
        return data
    if isinstance(data, (np.ndarray, np.generic)) and not isinstance(data, (np.str_, np.bytes_)):
        if isinstance(data, np.ndarray) and data.dtype.kind in "SaUO":
            return data
        return as_tensor(data)
    if isinstance(data, Mapping):
        return _mapping_like(data, {k: default_convert(data[k]) for k in data})
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*(default_convert(d) for d in data))
    if isinstance(data, tuple):
        return [default_convert(d) for d in data]
    if isinstance(data, Sequence) and not isinstance(data, (str, bytes)):
        return _sequence_like(data, [default_convert(d) for d in data])
    return data
