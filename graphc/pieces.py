"""Functions that cut tensors, write into copies of them or lay them out, in the top-level
namespace: hsplit, slice_scatter, combinations, put, index_reduce, empty_strided ... Written in
ops, so that they differentiate and are captured. Source:
https://pytorch.org/docs/stable/torch.html"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from . import functional, ordering
from .base import dtypes, entry
from .base.dtypes import DType
from .core import autocast
from .core.tensor import Tensor, wrap
from .creation import _finish, empty, randint
from .device import check_device
from .ir.types import contiguous_strides, dim_index, numel
from .ops import contract, movement, pointwise, reduce
from .out import into

# ---------------------------------------------------------------- pieces


def hsplit(input: Tensor, indices_or_sections: Any) -> tuple:
    """tensor_split along the second axis (the only one of a vector)."""
    if input.ndim < 1:
        raise RuntimeError(
            "torch.hsplit requires a tensor with at least 1 dimension, but got a tensor with 0 "
            "dimensions!"
        )
    return _evenly("hsplit", input, indices_or_sections, 0 if input.ndim == 1 else 1)


def vsplit(input: Tensor, indices_or_sections: Any) -> tuple:
    """tensor_split along the first axis of tensors with two or more."""
    return _at_least_split("vsplit", input, indices_or_sections, 2, 0)


def dsplit(input: Tensor, indices_or_sections: Any) -> tuple:
    """tensor_split along the third axis."""
    return _at_least_split("dsplit", input, indices_or_sections, 3, 2)


def _at_least_split(name: str, input: Tensor, sections: Any, need: int, d: int) -> tuple:
    if input.ndim < need:
        raise RuntimeError(
            f"torch.{name} requires a tensor with at least {need} dimension, but got a tensor with "
            f"{input.ndim} dimensions!"
        )
    return _evenly(name, input, sections, d)


def _evenly(name: str, input: Tensor, sections: Any, d: int) -> tuple:
    if isinstance(sections, int):
        n = input.shape[d]
        if sections <= 0 or n % sections:
            raise RuntimeError(
                f"torch.{name} attempted to split along dimension {d}, but the size of the "
                f"dimension {n} is not divisible by the split_size {sections}!"
            )
    return functional.tensor_split(input, sections, d)


def split_with_sizes(input: Tensor, split_sizes: Any, dim: int = 0) -> tuple:
    """Views of pieces of the given sizes along dim."""
    return functional.split(input, list(split_sizes), dim)


def unsafe_split(input: Tensor, split_size: int, dim: int = 0) -> tuple:
    """split(): pieces along dim."""
    return functional.split(input, split_size, dim)


def unsafe_split_with_sizes(input: Tensor, split_sizes: Any, dim: int = 0) -> tuple:
    """split(): pieces of the given sizes along dim."""
    return functional.split(input, list(split_sizes), dim)


def unsafe_chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple:
    """chunk(): at most `chunks` pieces of equal size along dim."""
    return functional.chunk(input, chunks, dim)


def narrow_copy(input: Tensor, dim: int, start: int, length: int, *, out: Any = None) -> Tensor:
    """A copy of length elements of axis dim from start."""
    return into(out, functional.narrow(input, dim, start, length).clone())  # type: ignore[attr-defined]


# ---------------------------------------------------------------- copies with a part replaced


def _with_part(part: Any, src: Tensor, out: Tensor) -> Tensor:
    if part.shape != src.shape:
        raise RuntimeError(
            "expected src to have a size equal to the slice of self. src size = "
            f"{list(src.shape)}, slice size = {list(part.shape)}"
        )
    part.copy_(src)
    return out


def select_scatter(
    input: Tensor, src: Tensor, dim: int, index: int, *, out: Any = None
) -> Tensor:
    """A copy of input with src at index of axis dim."""
    y = input.clone()  # type: ignore[attr-defined]
    return into(out, _with_part(functional.select(y, dim, index), src, y))


def slice_scatter(
    input: Tensor,
    src: Tensor,
    dim: int = 0,
    start: Any = None,
    end: Any = None,
    step: int = 1,
    *,
    out: Any = None,
) -> Tensor:
    """A copy of input with src in input[..., start:end:step, ...] of axis dim."""
    y = input.clone()  # type: ignore[attr-defined]
    key = (slice(None),) * dim_index(dim, input.ndim) + (slice(start, end, step),)
    return into(out, _with_part(y[key], src, y))


def diagonal_scatter(
    input: Tensor, src: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1, *, out: Any = None
) -> Tensor:
    """A copy of input with src on a diagonal."""
    y = input.clone()  # type: ignore[attr-defined]
    return into(out, _with_part(functional.diagonal(y, offset, dim1, dim2), src, y))


def as_strided_scatter(
    input: Tensor, src: Tensor, size: Any, stride: Any, storage_offset: int | None = None
) -> Tensor:
    """A copy of input with src in a window of its memory."""
    out = input.clone()  # type: ignore[attr-defined]
    return _with_part(out.as_strided(size, stride, storage_offset), src, out)


def put(input: Tensor, index: Tensor, source: Tensor, accumulate: bool = False) -> Tensor:
    """A copy of input with source written (or added) at places of it seen as a vector."""
    n = numel(tuple(input.shape))
    if input.dtype is not source.dtype:
        raise RuntimeError(
            f"put_(): self and source expected to have the same dtype, but got self.dtype = "
            f"{input.dtype.title} and source.dtype = {source.dtype.title}"
        )
    check_places(index, n)
    flat = movement.reshape(input, (-1,)).clone()  # type: ignore[attr-defined]
    flat.index_put_((movement.reshape(index, (-1,)),), movement.reshape(source, (-1,)), accumulate)
    return flat.reshape(tuple(input.shape))


def check_places(index: Tensor, n: Any) -> None:
    """IndexError for places outside of a vector of n elements (known values only)."""
    a = index._array
    if a is not None and a.size and not (-n <= a.min() and a.max() < n):
        bad = a[(a < -n) | (a >= n)].reshape(-1)[0]
        raise IndexError(
            f"out of range: tried to access index {int(bad)} on a tensor of {n} elements."
        )


def index_reduce(
    input: Tensor,
    dim: int,
    index: Tensor,
    source: Tensor,
    reduce: str,
    *,
    include_self: bool = True,
    out: Any = None,
) -> Tensor:
    """source combined into the rows of a copy of input that index names: "prod", "mean", "amax"
    or "amin"."""
    if reduce not in ("prod", "mean", "amax", "amin"):
        raise RuntimeError(
            "index_reduce(): Expected reduce to be one of prod, mean, amax or amin but got "
            f"{reduce}."
        )
    d = dim_index(dim, input.ndim)
    shape = tuple(-1 if i == d else 1 for i in range(source.ndim))
    at = movement.expand(movement.reshape(index, shape), tuple(source.shape))
    return into(
        out, ordering.scatter_reduce(input, d, at, source, reduce, include_self=include_self)
    )


def fill(input: Tensor, value: Any) -> Tensor:
    """A tensor like input, all of one value."""
    return input.clone().fill_(value)  # type: ignore[attr-defined]


def renorm(input: Tensor, p: float, dim: int, maxnorm: float, *, out: Any = None) -> Tensor:
    """input with the slices along dim scaled down to a p-norm of at most maxnorm."""
    if p <= 0:
        raise RuntimeError("renorm: non-positive-norm not supported")
    if maxnorm < 0:
        raise RuntimeError(f"renorm: expected maxnorm to be >= 0 but got {maxnorm}")
    if input.ndim < 2:
        raise RuntimeError(
            f"renorm: input needs at least 2 dimensions, got {input.ndim} dimensions"
        )
    d = dim_index(dim, input.ndim)
    rest = tuple(i for i in range(input.ndim) if i != d)
    input = movement.contiguous(input)
    size = functional.norm(input, p, rest, True)
    scale = pointwise.where(size > maxnorm, maxnorm / (size + 1e-7), 1.0)
    return into(out, input * scale)


# ---------------------------------------------------------------- places and choices


def combinations(input: Tensor, r: int = 2, with_replacement: bool = False) -> Tensor:
    """All choices of r elements of a vector, as rows."""
    if input.ndim != 1:
        raise RuntimeError(f"Expect a 1D vector, but got shape {list(input.shape)}")
    if r < 0:
        raise RuntimeError(f"Expect a non-negative number, but got {r}")
    if r == 0:
        return input.new_empty((0,))  # type: ignore[attr-defined]
    pick = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    rows = np.array(list(pick(range(int(input.shape[0])), r)), np.int64).reshape(-1, r)
    return input[_constant(rows)]  # type: ignore[index]


def _constant(a: np.ndarray) -> Tensor:
    from .creation import _traced

    return _traced(wrap(a))


def unravel_index(indices: Tensor, shape: Any) -> tuple:
    """Coordinates, one tensor per axis, of row-major places in a tensor of the given shape."""
    if indices.dtype.category != dtypes.INT:
        raise TypeError(f"expected 'indices' to be integer dtype, but got {indices.dtype}")
    sizes = (shape,) if isinstance(shape, int) else tuple(shape)
    if any(s < 0 for s in sizes):
        raise ValueError(f"'shape' cannot have negative values, but got {sizes}")
    steps = contiguous_strides(sizes)
    return tuple(
        functional.remainder(functional.floor_divide(indices, step), n)
        for step, n in zip(steps, sizes, strict=True)
    )


def nonzero_static(input: Tensor, *, size: int, fill_value: int = -1, out: Any = None) -> Tensor:
    """The first `size` coordinates of elements that are not zero, filled up with fill_value."""
    if size < 0:
        raise RuntimeError(
            f"nonzero_static: 'size' must be an non-negative integer, but got {size}"
        )
    at = functional.nonzero(input)
    n = at.shape[0]
    if n >= size:
        return into(out, at.narrow(0, 0, size))  # type: ignore[attr-defined]
    rest = at.new_full((size - n, input.ndim), fill_value)  # type: ignore[attr-defined]
    return into(out, functional.cat([at, rest]))


# ---------------------------------------------------------------- products


def ger(input: Tensor, vec2: Tensor, *, out: Any = None) -> Tensor:
    """outer(): products of every pair of two vectors' elements."""
    return functional.outer(input, vec2, out=out)


def vdot(input: Tensor, other: Tensor, *, out: Any = None) -> Tensor:
    """Sum of conj(input) * other of two vectors."""
    return functional.dot(input.conj(), other, out=out)  # type: ignore[attr-defined]


def addbmm(
    input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Any = 1, alpha: Any = 1, out: Any = None
) -> Tensor:
    """beta * input + alpha * (the sum of the batched products)."""
    if input.dtype.category <= dtypes.INT:  # numbers truncate to the dtype
        beta, alpha = int(beta), int(alpha)
    p = reduce.sum(contract.bmm(batch1, batch2), (0,), False)
    p = p if alpha == 1 else p * alpha
    return into(out, p if beta == 0 else (input if beta == 1 else input * beta) + p)


# ---------------------------------------------------------------- making


def randint_like(
    input: Tensor,
    low: Any = None,
    high: Any = None,
    *,
    dtype: DType | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """Integers in [low, high) with input's shape and dtype; randint_like(input, high) starts at
    0."""
    if high is None:
        low, high = 0, low
    elif low is None:
        low = 0
    t = randint(low, high, tuple(input.shape), dtype=dtype or input.dtype, device=device)
    return _finish(t, requires_grad)


def empty_strided(
    size: Any,
    stride: Any,
    *,
    dtype: DType | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """A tensor with arbitrary contents and the given strides."""
    check_device(device)
    size, stride = tuple(size), tuple(stride)
    if len(size) != len(stride):
        raise RuntimeError(
            f"mismatch in length of strides and shape: {len(stride)} and {len(size)}"
        )
    reach = 1 + sum((n - 1) * s for n, s in zip(size, stride, strict=True)) if 0 not in size else 0
    flat = empty(reach, dtype=dtype)
    return _finish(flat.as_strided(size, stride), requires_grad)  # type: ignore[attr-defined]


def empty_permuted(
    size: Any,
    physical_layout: Any,
    *,
    dtype: DType | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """A dense tensor with arbitrary contents whose axes lie in memory in the given order,
    outermost first."""
    size, order = tuple(size), tuple(physical_layout)
    if sorted(order) != list(range(len(size))):
        raise RuntimeError(
            "Number of dimensions in size does not match the length of the physical_layout; i.e. "
            f"len(size) = {len(size)} is not equal to len(physical_layout) = {len(order)}"
            if len(order) != len(size)
            else "Duplicate dim not allowed"
        )
    strides = [0] * len(size)
    step = 1
    for d in reversed(order):
        strides[d] = step
        step *= max(size[d], 1)
    return empty_strided(size, strides, dtype=dtype, device=device, requires_grad=requires_grad)


def is_same_size(input: Tensor, other: Tensor) -> bool:
    """Whether the shapes are equal."""
    return input.shape == other.shape


def is_nonzero(input: Tensor) -> bool:
    """bool() of a tensor of one element."""
    return bool(input)


def is_signed(input: Tensor) -> bool:
    """Whether the dtype has negative numbers."""
    return input.dtype.is_signed


FUNCTIONS = (
    "hsplit",
    "vsplit",
    "dsplit",
    "split_with_sizes",
    "unsafe_split",
    "unsafe_split_with_sizes",
    "unsafe_chunk",
    "narrow_copy",
    "select_scatter",
    "slice_scatter",
    "diagonal_scatter",
    "as_strided_scatter",
    "put",
    "index_reduce",
    "fill",
    "renorm",
    "combinations",
    "unravel_index",
    "nonzero_static",
    "ger",
    "vdot",
    "addbmm",
    "randint_like",
    "empty_strided",
    "empty_permuted",
    "is_same_size",
    "is_nonzero",
    "is_signed",
)
METHODS = tuple(
    n
    for n in FUNCTIONS
    if n
    not in (
        "fill",
        "combinations",
        "unravel_index",
        "randint_like",
        "empty_strided",
        "empty_permuted",
    )
)
INPLACE = ("put", "index_reduce", "renorm", "addbmm")

entry.wrap(__name__, globals())
autocast.wrap("", globals())
