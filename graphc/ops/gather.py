"""Gathers and scatters: ops whose coordinates come from conditions or data.

Gather records lower to one expression per output element; scatter records apply updates in
ascending order of the update index, so that repeated indices accumulate the same way everywhere.
Out-of-range data is an IndexError in eager mode and a status in compiled code.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..base import dtypes
from ..core.tensor import Tensor
from ..ir.op import Make, Sample
from ..ir.types import TensorType, channels_last_strides, dim_index, like_channels_last, numel
from ..native import library
from .define import gather as gather_op
from .define import opaque, scatter
from .kernels import dense, empty_strided
from .movement import strided

# ---------------------------------------------------------------- slices into zeros


def _slice_backward_infer(
    grad: TensorType, shape: tuple, dim: int, start: Any, step: int
) -> TensorType:
    return grad.with_shape(shape)


def _slice_backward_kernel(
    g: np.ndarray, shape: tuple, dim: int, start: int, step: int
) -> np.ndarray:
    out = np.zeros(shape, g.dtype)
    n = g.shape[dim]
    out[
        (slice(None),) * dim + (slice(start, start + (n - 1) * step + 1 if n else start, step),)
    ] = g
    return out


def _slice_backward_lower(
    ix: list, loads: list, types: list, shape: tuple, dim: int, start: Any, step: int
) -> Any:
    from ..ir.loop import Const, all_of, compare, select

    d = types[0].dtype.compute
    i, n = ix[dim] - start, types[0].shape[dim]
    inside = all_of(compare("ge", i, 0), compare("lt", i, n * step))
    if step != 1:
        inside = all_of(inside, compare("eq", i % step, 0))
    return select(inside, loads[0]([*ix[:dim], i // step, *ix[dim + 1 :]]), Const(0, d))


slice_backward = gather_op(
    "slice_backward",
    _slice_backward_kernel,
    _slice_backward_infer,
    inputs=("grad",),
    lower=_slice_backward_lower,
    batch="last",
    lift=lambda n, t, shape, *rest: ((*shape, n), *rest),
    vjp=[lambda g, grad_type, dim, start, step: _window(g, grad_type.shape[dim], dim, start, step)],
    samples=lambda: [
        Sample((Make((3, 4)),), {"shape": (5, 4), "dim": 0, "start": 1, "step": 1}),
        Sample((Make((2, 3)),), {"shape": (2, 8), "dim": 1, "start": 2, "step": 2}),
    ],
)


def _window(g: Tensor, n: Any, dim: int, start: Any, step: int) -> Tensor:
    from .movement import slice_

    return slice_(g, dim, start, start + (n - 1) * step + 1, step)


# ---------------------------------------------------------------- strided windows written back


def _extent(shape: tuple, strides: tuple) -> int:
    return 1 + sum((n - 1) * s for n, s in zip(shape, strides, strict=True)) if numel(shape) else 0


def _scatter_window(
    a: np.ndarray, src: np.ndarray, shape: tuple, strides: tuple, offset: int, how: str
) -> np.ndarray:
    """a's memory with src in a window of it. how: "set" for windows that show each place once,
    else "put" (the last in logical order stays) or "add"."""
    size = a.itemsize
    own = tuple(s // size for s in a.strides)
    memory = np.zeros(max(_extent(a.shape, own), offset + _extent(shape, strides)), a.dtype)
    out = strided(memory, a.shape, tuple(s * size for s in own))
    np.copyto(out, a)
    if how != "set":
        positions = np.full(shape, offset, np.int64)
        for ax, (n, s) in enumerate(zip(shape, strides, strict=True)):
            positions += (np.arange(n) * s).reshape((-1,) + (1,) * (len(shape) - ax - 1))
        if how == "add":
            np.add.at(memory, positions.reshape(-1), src.reshape(-1))
        else:
            memory[positions.reshape(-1)] = src.reshape(-1)
    elif src.size:
        window = strided(memory[offset:], tuple(shape), tuple(s * size for s in strides))
        np.copyto(window, src)
    return out


def _scatter_infer(
    input: TensorType, src: TensorType, shape: tuple, strides: tuple, offset: Any
) -> TensorType:
    return input


def _scatter_lower(
    ix: list, loads: list, types: list, shape: tuple, strides: tuple, offset: Any
) -> Any:
    from ..ir.loop import all_of, compare, select

    p: Any = -offset
    for i, s in zip(ix, types[0].strides, strict=True):
        p = p + i * s
    conds = [compare("ge", p, 0)]
    coords: list = [0] * len(shape)
    order = sorted(
        (i for i in range(len(shape)) if not (isinstance(shape[i], int) and shape[i] == 1)),
        key=lambda i: strides[i],
        reverse=True,
    )
    for i in order:
        coords[i] = p // strides[i]
        conds.append(compare("lt", coords[i], shape[i]))
        p = p - coords[i] * strides[i]
    conds.append(compare("eq", p, 0))
    return select(all_of(*conds), loads[1](coords), loads[0](ix))


def _like(g: Tensor, strides: tuple) -> Tensor:
    """g laid out with the given strides (a window's geometry speaks of that memory)."""
    from .movement import clone

    return g if tuple(g.stride()) == tuple(strides) else clone(g, tuple(strides))


def _scatter_vjp_input(
    g: Tensor,
    input_type: TensorType,
    src_type: TensorType,
    shape: tuple,
    strides: tuple,
    offset: Any,
) -> Tensor:
    return as_strided_scatter(
        _like(g, input_type.strides), g.new_zeros(tuple(src_type.shape)), shape, strides, offset
    )


def _scatter_vjp_src(
    g: Tensor, input_type: TensorType, shape: tuple, strides: tuple, offset: Any
) -> Tensor:
    from .movement import as_strided

    return as_strided(_like(g, input_type.strides), shape, strides, offset)


_WINDOWS = [
    ((3, 4), (2, 3), (2, 3), (4, 1), 1),
    ((12,), (2, 2), (2, 2), (6, 2), 1),
    ((3, 4), (4, 3), (4, 3), (1, 4), 0),
]

as_strided_scatter = gather_op(
    "as_strided_scatter",
    lambda a, src, shape, strides, offset: _scatter_window(a, src, shape, strides, offset, "set"),
    _scatter_infer,
    inputs=("input", "src"),
    lower=_scatter_lower,
    windowed=True,
    vjp=[_scatter_vjp_input, _scatter_vjp_src],
    samples=lambda: [
        Sample((Make(a), Make(b)), {"shape": s, "strides": st, "offset": o})
        for a, b, s, st, o in _WINDOWS
    ],
)


def _accumulate_vjp_src(
    g: Tensor, input_type: TensorType, shape: tuple, strides: tuple, offset: Any
) -> Tensor:
    from .movement import as_strided

    return as_strided(_like(g, input_type.strides), shape, strides, offset)


def _accumulate_lower(
    ux: list, loads: list, types: list, shape: tuple, strides: tuple, offset: Any
) -> Any:
    from .movement import memory_coordinates

    flat: Any = offset
    for i, s in zip(ux, strides, strict=True):
        flat = flat + i * s
    return memory_coordinates(flat, types[0].shape, types[0].strides), loads[1](ux)


as_strided_accumulate = scatter(
    "as_strided_accumulate",
    lambda a, src, shape, strides, offset: _scatter_window(a, src, shape, strides, offset, "add"),
    _scatter_infer,
    inputs=("input", "src"),
    lower=_accumulate_lower,
    combine="add",
    windowed=True,
    space=lambda types, shape, strides, offset: shape,
    vjp=[lambda g: g, _accumulate_vjp_src],
    samples=lambda: [
        Sample((Make((12,)), Make((5, 3))), {"shape": (5, 3), "strides": (2, 1), "offset": 1}),
        Sample(
            (Make((3, 5), layout="strided"), Make((3, 4, 2))),
            {"shape": (3, 4, 2), "strides": (10, 2, 2), "offset": 0},
            grad=False,  # its positions are those of this layout
        ),
    ],
)

# Writes into windows that show a place more than once: the last in logical order stays.
as_strided_put = scatter(
    "as_strided_put",
    lambda a, src, shape, strides, offset: _scatter_window(a, src, shape, strides, offset, "put"),
    _scatter_infer,
    inputs=("input", "src"),
    lower=_accumulate_lower,
    combine="set",
    windowed=True,
    space=lambda types, shape, strides, offset: shape,
    vjp=None,
    samples=lambda: [
        Sample((Make((12,)), Make((5, 3))), {"shape": (5, 3), "strides": (2, 1), "offset": 1})
    ],
)


# ---------------------------------------------------------------- concatenation and padding


def _cat_infer(tensors: tuple, dim: int) -> TensorType:
    first = tensors[0]
    total: Any = 0
    for i, t in enumerate(tensors):
        if len(t.shape) != len(first.shape):
            raise RuntimeError(
                f"Tensors must have same number of dimensions: got {len(first.shape)} and "
                f"{len(t.shape)}"
            )
        for d, (n, m) in enumerate(zip(first.shape, t.shape, strict=True)):
            if d != dim and n != m:
                raise RuntimeError(
                    f"Sizes of tensors must match except in dimension {dim}. Expected size {n} "
                    f"but got size {m} for tensor number {i} in the list."
                )
        total = total + t.shape[dim]
    shape = first.shape[:dim] + (total,) + first.shape[dim + 1 :]
    if len(shape) in (4, 5) and all(like_channels_last(t.shape, t.strides) for t in tensors):
        return TensorType(shape, first.dtype, channels_last_strides(shape), first.device)
    return first.with_shape(shape)


def _cat_kernel(arrays: list, dim: int) -> np.ndarray:
    first = arrays[0]
    shape = list(first.shape)
    shape[dim] = sum(a.shape[dim] for a in arrays)
    for a in arrays:
        if a.ndim != first.ndim or any(
            n != m for d, (n, m) in enumerate(zip(first.shape, a.shape, strict=True)) if d != dim
        ):
            _cat_infer(tuple(TensorType(x.shape, dtypes.float32, ()) for x in arrays), dim)
    if len(shape) in (4, 5) and all(
        like_channels_last(a.shape, tuple(s // a.itemsize for s in a.strides)) for a in arrays
    ):
        out = empty_strided(tuple(shape), channels_last_strides(tuple(shape)), first.dtype)
    else:
        out = library.empty(tuple(shape), first.dtype)
    np.concatenate(arrays, dim, out=out)
    return out


def _cat_lower(ix: list, loads: list, types: list, dim: int) -> Any:
    from ..ir.loop import compare, select

    ends: list = []
    end: Any = 0
    for t in types:
        end = end + t.shape[dim]
        ends.append(end)

    def piece(first: int, stop: int) -> Any:
        """The element of one of tensors[first:stop], halved so that the depth stays low."""
        if stop - first == 1:
            start = ends[first - 1] if first else 0
            return loads[first]([*ix[:dim], ix[dim] - start, *ix[dim + 1 :]])
        middle = (first + stop) // 2
        left, right = piece(first, middle), piece(middle, stop)
        return select(compare("lt", ix[dim], ends[middle - 1]), left, right)

    return piece(0, len(types))


_cat = gather_op(
    "cat",
    _cat_kernel,
    _cat_infer,
    inputs=("*tensors",),
    lower=_cat_lower,
    batch="last",
    vjp=None,
    samples=lambda: [
        Sample((Make((2, 3)), Make((4, 3))), {"dim": 0}),
        Sample((Make((2, 3)), Make((2, 1)), Make((2, 2))), {"dim": 1}),
        Sample((Make((2, 3), layout="T"),), {"dim": 0}),
        Sample(
            (Make((2, 3)), Make((2, 4))),
            {"dim": 0},
            grad=False,
            error=(RuntimeError, "Sizes of tensors must match except in dimension 0"),
        ),
    ],
)


def _cat_gradient(g: Tensor, needs: tuple, tensors_type: tuple, dim: int) -> tuple:
    out: list = []
    start: Any = 0
    for t, need in zip(tensors_type, needs, strict=True):
        n = t.shape[dim]
        out.append(_window(g, n, dim, start, 1) if need else None)
        start = start + n
    return tuple(out)


_cat.vjp = _cat._rule(_cat_gradient)


def cat(tensors: Any, dim: int = 0) -> Tensor:
    """Tensors joined along an axis. 1-d empty tensors are skipped, dtypes promoted, as in PyTorch.
    Raises RuntimeError for 0-d tensors, mismatched sizes and an empty list."""
    from .pointwise import cast

    tensors = list(tensors)
    if not tensors:
        raise ValueError("torch.cat(): expected a non-empty list of Tensors")
    for i, t in enumerate(tensors):
        if not isinstance(t, Tensor):
            raise TypeError(
                f"expected Tensor as element {i} in argument 0, but got {type(t).__name__}"
            )
        if t.ndim == 0:
            raise RuntimeError(f"zero-dimensional tensor (at position {i}) cannot be concatenated")
    out = tensors[0].dtype
    for t in tensors[1:]:
        out = dtypes.promote_types(out, t.dtype)
    kept = [t for t in tensors if not (t.ndim == 1 and t.shape[0] == 0)] or tensors[:1]
    dim = dim_index(dim, kept[0].ndim)
    return _cat([cast(t, out) for t in kept], dim)


def _pad_infer(input: TensorType, pads: tuple, value: float = 0.0) -> TensorType:
    return input.with_shape(
        tuple(n + lo + hi for n, (lo, hi) in zip(input.shape, pads, strict=True))
    )


def _pad_kernel(a: np.ndarray, pads: tuple, value: float = 0.0) -> np.ndarray:
    out = np.full([n + lo + hi for n, (lo, hi) in zip(a.shape, pads, strict=True)], value, a.dtype)
    inner, crop = [], []
    for n, (lo, _), m in zip(a.shape, pads, out.shape, strict=True):
        inner.append(slice(max(lo, 0), min(m, lo + n)))
        crop.append(slice(max(-lo, 0), max(-lo, 0) + inner[-1].stop - inner[-1].start))
    out[tuple(inner)] = a[tuple(crop)]
    return out


def _pad_lower(ix: list, loads: list, types: list, pads: tuple, value: float = 0.0) -> Any:
    from ..ir.loop import Const, all_of, compare, select

    at = [i - lo for i, (lo, _) in zip(ix, pads, strict=True)]
    inside = all_of(
        *[
            c
            for i, n in zip(at, types[0].shape, strict=True)
            for c in (compare("ge", i, 0), compare("lt", i, n))
        ]
    )
    return select(inside, loads[0](at), Const(value, types[0].dtype.compute))


pad_constant = gather_op(
    "pad_constant",
    _pad_kernel,
    _pad_infer,
    inputs=("input",),
    lower=_pad_lower,
    batch="last",
    lift=lambda n, t, pads, value: ((*pads, (0, 0)), value),
    vjp=[lambda g, pads: pad_constant(g, tuple((-lo, -hi) for lo, hi in pads), 0.0)],
    backward_name="ConstantPadNdBackward0",
    samples=lambda: [
        Sample((Make((3, 4)),), {"pads": ((0, 0), (1, 2)), "value": 0.5}),
        Sample((Make((3, 4)),), {"pads": ((1, -1), (0, 3)), "value": 0.0}),
    ],
)


# ---------------------------------------------------------------- indexing by data


def _check_index(
    index: np.ndarray,
    n: int,
    dim: int | None = None,
    negative: bool = False,
    error: type = IndexError,
) -> None:
    """An error for an index outside of [0, n), or [-n, n); names the axis when dim is given."""
    if index.size and (int(index.max()) >= n or int(index.min()) < (-n if negative else 0)):
        if dim is None:
            raise IndexError("index out of range in self")
        bad = int(index[(index < (-n if negative else 0)) | (index >= n)].flat[0])
        raise error(f"index {bad} is out of bounds for dimension {dim} with size {n}")


def _embedding_infer(weight: TensorType, index: TensorType) -> TensorType:
    return weight.with_shape((*index.shape, *weight.shape[1:]))


def _embedding_kernel(weight: np.ndarray, index: np.ndarray) -> np.ndarray:
    _check_index(index, weight.shape[0])
    return dense(np.take(weight, index, axis=0))


def _embedding_lower(ix: list, loads: list, types: list) -> Any:
    from ..ir.index import from_expr
    from ..ir.loop import Checked, Require, compare

    k = len(types[1].shape)
    row = loads[1](ix[:k])
    checked = Require(
        Checked(row, types[0].shape[0], "index out of range in self"),
        compare("ge", from_expr(row), 0),
        "index out of range in self",
    )
    return loads[0]([from_expr(checked, 0, types[0].shape[0]), *ix[k:]])


def _to_last(x: Tensor, d: int) -> Tensor:
    """x with axis d moved to the end."""
    from .movement import permute

    return permute(x, (*range(d), *range(d + 1, x.ndim), d))


def _from_last(x: Tensor, d: int) -> Tensor:
    """x with the last axis moved to place d."""
    from .movement import permute

    return permute(x, (*range(d), x.ndim - 1, *range(d, x.ndim - 1)))


def _spread(x: Tensor, batched: bool, n: Any) -> Tensor:
    """x with a batch axis at the end, of equal elements where it has none."""
    return x if batched else x.unsqueeze(-1).expand((*x.type_.shape, n))  # type: ignore


def _batch_numbers(like: Tensor, n: Any) -> Tensor:
    """For indices with the batch last: which element of the batch each belongs to."""
    from .constant import arange

    return arange((n,), 0, 1, dtypes.int64).expand(like.type_.shape)


def _embedding_batch(values: list, flags: list, n: Any) -> Any:
    weight, at = values
    if not flags[1]:
        return embedding(weight, at)
    if not flags[0]:
        return _to_last(embedding(weight, at), at.ndim - 1)
    rows = weight.type_.shape[0]
    at = _where(at < 0, rows, at)  # out of range, as it would be for one element
    found = index((_from_last(weight, 1), at, _batch_numbers(at, n)))
    return _to_last(found, at.ndim - 1)


def _where(mask: Tensor, a: Any, b: Tensor) -> Tensor:
    from .pointwise import where

    return where(mask, a, b)


def _embedding_backward_batch(values: list, flags: list, n: Any) -> Any:
    base, at, src = values
    base, src = _spread(base, flags[0], n), _spread(src, flags[2], n)
    if not flags[1]:
        return embedding_backward(base, at, src)
    at = _where(at < 0, base.type_.shape[0], at)
    place = at.ndim - 1
    args = (_from_last(base, 1), _from_last(src, place), at, _batch_numbers(at, n))
    return _to_last(index_add_at(args), 1)


embedding = gather_op(
    "embedding",
    _embedding_kernel,
    _embedding_infer,
    inputs=("weight", "index"),
    lower=_embedding_lower,
    batch=_embedding_batch,
    vjp=[
        lambda g, weight_type, index: embedding_backward(
            g.new_zeros(tuple(weight_type.shape)), index, g
        ),
        None,
    ],
    samples=lambda: [
        Sample((Make((7, 3)), Make((2, 4), "int64", 0, 7))),
        Sample((Make((7, 3)), Make((5,), "int64", values=[0, 1, 1, 6, 1]))),
        Sample(
            (Make((7, 3)), Make((2,), "int64", values=[0, 7])),
            grad=False,
            error=(IndexError, "index out of range in self"),
        ),
    ],
)


def _rows_add(base: np.ndarray, index: np.ndarray, src: np.ndarray) -> np.ndarray:
    out = np.array(base, order="C")
    _check_index(index, out.shape[0])
    np.add.at(out, index.reshape(-1), src.reshape((index.size, *out.shape[1:])))
    return out


def _embedding_backward_lower(ux: list, loads: list, types: list) -> Any:
    from ..ir.index import from_expr
    from ..ir.loop import Checked

    k = len(types[1].shape)
    row = Checked(loads[1](ux[:k]), types[0].shape[0], "index out of range in self")
    return [from_expr(row, 0, types[0].shape[0]), *ux[k:]], loads[2](ux)


embedding_backward = scatter(
    "embedding_backward",
    _rows_add,
    lambda base, index, src: base.with_shape(base.shape),
    inputs=("base", "index", "src"),
    lower=_embedding_backward_lower,
    batch=_embedding_backward_batch,
    combine="add",
    space=lambda types: types[2].shape,
    vjp=[lambda g: g, None, lambda g, index: embedding(g, index)],
    samples=lambda: [Sample((Make((7, 3)), Make((2, 4), "int64", 0, 7), Make((2, 4, 3))))],
)


def _along(index: np.ndarray, dim: int) -> tuple:
    grid = list(np.ogrid[tuple(slice(0, n) for n in index.shape)])
    grid[dim] = index
    return tuple(grid)


def _gather_infer(input: TensorType, index: TensorType, dim: int) -> TensorType:
    if len(input.shape) != len(index.shape):
        raise RuntimeError("Index tensor must have the same number of dimensions as input tensor")
    for d, (n, m) in enumerate(zip(index.shape, input.shape, strict=True)):
        if d != dim and isinstance(n, int) and isinstance(m, int) and n > m:
            raise RuntimeError(
                f"Size does not match at dimension {d} expected index {list(index.shape)} to be "
                f"no larger than self {list(input.shape)} apart from dimension {dim}"
            )
    return input.with_shape(index.shape)


def _gather_kernel(a: np.ndarray, index: np.ndarray, dim: int) -> np.ndarray:
    _gather_infer(
        TensorType(a.shape, dtypes.float32, ()), TensorType(index.shape, dtypes.int64, ()), dim
    )
    if a.ndim == 0:
        return np.broadcast_to(a, index.shape).copy()
    _check_index(index, a.shape[dim], dim, error=RuntimeError)
    return dense(a[_along(index, dim)])


def _gather_lower(ix: list, loads: list, types: list, dim: int) -> Any:
    from ..ir.index import from_expr
    from ..ir.loop import Checked, Require, compare

    n = types[0].shape[dim]
    at = loads[1](ix)
    text = f"index is out of bounds for dimension {dim}"
    row = Require(Checked(at, n, text), compare("ge", from_expr(at), 0), text)
    return loads[0]([*ix[:dim], from_expr(row, 0, n), *ix[dim + 1 :]])


gather = gather_op(
    "gather",
    _gather_kernel,
    _gather_infer,
    inputs=("input", "index"),
    lower=_gather_lower,
    batch="last",
    vjp=[
        lambda g, input_type, index, dim: scatter_add(
            g.new_zeros(tuple(input_type.shape)), index, g, dim
        ),
        None,
    ],
    samples=lambda: [
        Sample((Make((3, 4)), Make((3, 2), "int64", 0, 4)), {"dim": 1}),
        Sample((Make((3, 4)), Make((5, 4), "int64", 0, 3)), {"dim": 0}),
        Sample(
            (Make((3, 4)), Make((2, 2), "int64", values=[0, 1, 4, 0])),
            {"dim": 1},
            grad=False,
            error=(RuntimeError, "index 4 is out of bounds for dimension 1 with size 4"),
        ),
    ],
)


def _at(op: Any) -> Any:
    def kernel(base: np.ndarray, index: np.ndarray, src: np.ndarray, dim: int) -> np.ndarray:
        out = np.array(base, order="C")
        _check_index(index, out.shape[dim], dim, error=RuntimeError)
        src = src[tuple(slice(0, n) for n in index.shape)]
        if op is None:
            out[_along(index, dim)] = src
        else:
            op.at(out, _along(index, dim), src)
        return out

    return kernel


def _scatter_dim_lower(ux: list, loads: list, types: list, dim: int) -> Any:
    from ..ir.index import from_expr
    from ..ir.loop import Checked

    n = types[0].shape[dim]
    row = Checked(loads[1](ux), n, f"index is out of bounds for dimension {dim}")
    return [*ux[:dim], from_expr(row, 0, n), *ux[dim + 1 :]], loads[2](ux)


def _scatter_samples() -> list[Sample]:
    return [
        Sample(
            (Make((3, 4)), Make((2, 4), "int64", values=[0, 1, 2, 0, 0, 1, 1, 2]), Make((2, 4))),
            {"dim": 0},
        ),
        Sample(
            (Make((3, 4)), Make((3, 2), "int64", values=[0, 1, 3, 2, 1, 0]), Make((3, 2))),
            {"dim": 1},
        ),
    ]


def _unique_scatter_samples() -> list[Sample]:
    return [
        Sample(
            (Make((3, 4)), Make((3, 2), "int64", values=[0, 1, 3, 2, 1, 0]), Make((3, 2))),
            {"dim": 1},
        )
    ]


def _base_infer(base: TensorType, index: TensorType, src: TensorType, dim: int) -> TensorType:
    return base.with_shape(base.shape)


scatter_add = scatter(
    "scatter_add",
    _at(np.add),
    _base_infer,
    inputs=("input", "index", "src"),
    lower=_scatter_dim_lower,
    batch="last",
    combine="add",
    space=lambda types, dim: types[1].shape,
    samples=_scatter_samples,
    vjp=[
        lambda g: g,
        None,
        lambda g, index, src_type, dim: _cut_back(gather(g, index, dim), src_type),
    ],
)


def _cut_back(g: Tensor, like: TensorType) -> Tensor:
    if tuple(g.shape) == tuple(like.shape):
        return g
    return pad_constant(g, tuple((0, m - n) for n, m in zip(g.shape, like.shape, strict=True)), 0.0)


scatter_set = scatter(
    "scatter",
    _at(None),
    _base_infer,
    inputs=("input", "index", "src"),
    lower=_scatter_dim_lower,
    batch="last",
    combine="set",
    space=lambda types, dim: types[1].shape,
    samples=_unique_scatter_samples,
    vjp=[
        lambda g, index, src_type, dim: scatter_set(
            g, index, g.new_zeros(tuple(src_type.shape)), dim
        ),
        None,
        lambda g, index, src_type, dim: _cut_back(gather(g, index, dim), src_type),
    ],
)


def index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """Rows of `input` along `dim`, as torch.index_select. Raises IndexError for indices out of
    range."""
    if index.ndim > 1:
        raise IndexError("index_select(): Index is supposed to be a vector")
    dim = dim_index(dim, input.ndim)
    if input.ndim == 0:
        return input.reshape((1,)).expand((index.numel(),)).reshape(tuple(index.shape))
    if dim == 0:
        return embedding(input, index.reshape((-1,)))
    return embedding(input.transpose(0, dim), index.reshape((-1,))).transpose(0, dim).contiguous()


# ---------------------------------------------------------------- advanced indexing

# The general case: x[i0, i1, ...] with integer tensors broadcast together over the leading axes of
# x
# (the caller moves the indexed axes to the front). Result: index shape + the rest of x.


def _index_infer(input: TensorType, *indices: TensorType) -> TensorType:
    k = len(indices)
    return input.with_shape((*indices[0].shape, *input.shape[k:]))


def _index_kernel(arrays: list) -> np.ndarray:
    a, indices = arrays[0], arrays[1:]
    for d, i in enumerate(indices):
        _check_index(i, a.shape[d], d, negative=True)
    return dense(a[tuple(indices)])


def _index_coords(ix: list, loads: list, types: list, first: int) -> list:
    from ..ir.index import from_expr
    from ..ir.loop import Checked

    k = len(types[first].shape)
    return [
        from_expr(
            Checked(
                loads[first + d](ix[:k]),
                types[0].shape[d],
                f"index is out of bounds for dimension {d}",
            ),
            0,
            types[0].shape[d],
        )
        for d in range(len(types) - first)
    ]


def _index_lower(ix: list, loads: list, types: list) -> Any:
    k = len(types[1].shape)
    return loads[0]([*_index_coords(ix, loads, types, 1), *ix[k:]])


def _index_gradient(g: Tensor, tensors_type: tuple, tensors_from1: tuple, needs: tuple) -> tuple:
    base = g.new_zeros(tuple(tensors_type[0].shape))
    return (index_add_at((base, g, *tensors_from1)),) + (None,) * (len(needs) - 1)


def _index_batch(values: list, flags: list, n: Any) -> Any:
    if not any(flags[1:]):
        return index(values)
    at = [_spread(i, f, n) for i, f in zip(values[1:], flags[1:], strict=True)]
    x, place = values[0], at[0].ndim - 1
    if flags[0]:
        x = _from_last(x, len(at))
        at.append(_batch_numbers(at[0], n))
    return _to_last(index((x, *at)), place)


def _put_batch(op: Any, values: list, flags: list, n: Any) -> Any:
    base, src = [_spread(v, f, n) for v, f in zip(values[:2], flags[:2], strict=True)]
    if not any(flags[2:]):
        return op((base, src, *values[2:]))
    at = [_spread(i, f, n) for i, f in zip(values[2:], flags[2:], strict=True)]
    place, k = at[0].ndim - 1, len(at)
    at.append(_batch_numbers(at[0], n))
    return _to_last(op((_from_last(base, k), _from_last(src, place), *at)), k)


_IX = Make((4,), "int64", values=[0, 2, -1, 2])
index = gather_op(
    "index",
    _index_kernel,
    lambda tensors: _index_infer(*tensors),
    inputs=("*tensors",),
    lower=_index_lower,
    batch=_index_batch,
    vjp=None,
    samples=lambda: [
        Sample((Make((3, 5)), _IX)),
        Sample((Make((3, 3, 2)), _IX, _IX)),
        Sample(
            (Make((3, 5)), Make((2,), "int64", values=[0, 3])),
            grad=False,
            error=(IndexError, "index 3 is out of bounds for dimension 0 with size 3"),
        ),
    ],
)


def _put(op: Any) -> Any:
    def kernel(arrays: list) -> np.ndarray:
        base, src, indices = arrays[0], arrays[1], arrays[2:]
        out = np.array(base, order="C")
        for d, i in enumerate(indices):
            _check_index(i, out.shape[d], d, negative=True)
        if op is None:
            out[tuple(indices)] = src
        else:
            op.at(out, tuple(indices), src)
        return out

    return kernel


def _put_lower(ux: list, loads: list, types: list) -> Any:
    k = len(types[2].shape)
    return [*_index_coords(ux, loads, types, 2), *ux[k:]], loads[1](ux)


def _put_samples() -> list[Sample]:
    return [
        Sample((Make((3, 5)), Make((4, 5)), _IX)),
        Sample((Make((3, 3, 2)), Make((4, 2)), _IX, _IX)),
    ]


def _put_unique_samples() -> list[Sample]:
    return [Sample((Make((4, 5)), Make((3, 5)), Make((3,), "int64", values=[0, 2, -1])))]


index_put_at = scatter(
    "index_put",
    _put(None),
    lambda tensors: tensors[0].with_shape(tensors[0].shape),
    inputs=("*tensors",),
    lower=_put_lower,
    batch=lambda values, flags, n: _put_batch(index_put_at, values, flags, n),
    combine="set",
    space=lambda types: types[1].shape,
    vjp=None,
    samples=_put_unique_samples,
)
index_add_at = scatter(
    "index_put_accumulate",
    _put(np.add),
    lambda tensors: tensors[0].with_shape(tensors[0].shape),
    inputs=("*tensors",),
    lower=_put_lower,
    batch=lambda values, flags, n: _put_batch(index_add_at, values, flags, n),
    combine="add",
    space=lambda types: types[1].shape,
    vjp=None,
    backward_name="IndexPutBackward0",
    samples=_put_samples,
)


def _put_gradient(accumulate: bool) -> Any:
    def gradient(g: Tensor, tensors_from2: tuple, tensors_type: tuple, needs: tuple) -> tuple:
        places = tensors_from2
        base = None
        if needs[0]:
            base = (
                g
                if accumulate
                else index_put_at((g, g.new_zeros(tuple(tensors_type[1].shape)), *places))
            )
        return (base, index((g, *places)) if needs[1] else None) + (None,) * (len(needs) - 2)

    return gradient


# ---------------------------------------------------------------- shapes that depend on data


def _nonzero_kernel(a: np.ndarray) -> np.ndarray:
    if a.ndim == 0:
        return np.zeros((int(bool(a)), 0), np.int64)
    return np.ascontiguousarray(a.nonzero(), np.int64).T  # each axis' coordinates together


def _no_static_shape(input: TensorType) -> TensorType:
    from ..base.errors import CaptureBreak

    raise CaptureBreak(
        "the result's shape depends on the values of a tensor (nonzero, boolean mask)",
        "use graphc.where with a fixed shape, or move it out of the compiled function",
        kind="shape",
    )


nonzero = opaque(
    "nonzero",
    _nonzero_kernel,
    _no_static_shape,
    inputs=("input",),
    samples=lambda: [Sample((Make((3, 4), "int64", -1, 2),), grad=False)],
    data_shape=True,
)


for _op, _fn in (
    (index, _index_gradient),
    (index_put_at, _put_gradient(False)),
    (index_add_at, _put_gradient(True)),
):
    _op.vjp = _op._rule(_fn)
    _op.saved_inputs, _op.saved_outputs = _op._saves()
