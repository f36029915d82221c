"""Movement ops: the same elements under other coordinates. In eager mode numpy views (PyTorch's
aliasing), in a graph index maps that fusion dissolves. Invariant: the strides that `infer` gives
are the view's own.
Source of semantics: https://pytorch.org/docs/stable/tensor_view.html"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..base import formats
from ..core.tensor import Tensor
from ..ir.op import Make, Sample, get
from ..ir.types import (
    TensorType,
    contiguous_strides,
    dim_index,
    is_dense,
    like_channels_last,
    numel,
    overlaps,
    pointwise_strides,
    view_strides,
)
from .define import movement
from .kernels import dense, empty_strided


def strided(a: np.ndarray, shape: tuple, strides: tuple, offset: int = 0) -> np.ndarray:
    """A view of a's memory: strides and offset in bytes, the offset from a's first element."""
    if a.flags.c_contiguous and offset == 0 and a.dtype.kind != "V":
        try:
            return np.ndarray(shape, a.dtype, a, 0, strides)
        except (TypeError, ValueError):
            pass  # a dtype without buffer support, or a window beyond this array
    view = dict(a.__array_interface__, shape=tuple(shape), strides=tuple(strides))
    view["data"] = (view["data"][0] + offset, view["data"][1])
    out = np.asarray(_Window(view, a))
    if out.dtype != a.dtype:
        out = out.view(a.dtype)
    return out


class _Window:
    """What numpy makes a window of; keeps the memory alive."""

    __slots__ = ("__array_interface__", "base")

    def __init__(self, interface: dict, base: np.ndarray):
        self.__array_interface__, self.base = interface, base


def _view_infer(input: TensorType, shape: tuple) -> TensorType:
    strides = view_strides(input.shape, input.strides, shape)
    if strides is None:
        raise RuntimeError(
            "view size is not compatible with input tensor's size and stride (at least one "
            "dimension spans across two contiguous subspaces). Use .reshape(...) instead."
        )
    return TensorType(tuple(shape), input.dtype, strides, input.device)


def _view_kernel(a: np.ndarray, shape: tuple) -> np.ndarray:
    if a.flags.c_contiguous:
        return a.reshape(shape)
    size = a.itemsize
    strides = view_strides(a.shape, tuple(s // size for s in a.strides), shape)
    if strides is None:
        raise RuntimeError(
            "view size is not compatible with input tensor's size and stride (at least one "
            "dimension spans across two contiguous subspaces). Use .reshape(...) instead."
        )
    return strided(a, tuple(shape), tuple(s * size for s in strides))


def ravel_index(ix: list, shape: tuple) -> Any:
    """Position in row-major order of coordinates ix."""
    flat: Any = 0
    for i, n in zip(ix, shape, strict=True):
        flat = flat * n + i
    return flat


def unravel_index(flat: Any, shape: tuple) -> list:
    """Coordinates of row-major position `flat`."""
    out: list = []
    for n in reversed(shape):
        out.append(flat % n if len(out) < len(shape) - 1 else flat)
        flat = flat // n
    return out[::-1]


def _view_lower(ix: list, input: TensorType, shape: tuple) -> list:
    # axes that agree from either end stay as they are: no div/mod for them
    a, b = input.shape, tuple(shape)
    lead = 0
    while lead < min(len(a), len(b)) and _same(a[lead], b[lead]):
        lead += 1
    tail = 0
    while tail < min(len(a), len(b)) - lead and _same(a[-1 - tail], b[-1 - tail]):
        tail += 1
    inner_a, inner_b = a[lead : len(a) - tail], b[lead : len(b) - tail]
    inner = ix[lead : len(b) - tail]
    return [*ix[:lead], *unravel_index(ravel_index(inner, inner_b), inner_a), *ix[len(b) - tail :]]


def _same(a: Any, b: Any) -> bool:
    return a.same(b) if hasattr(a, "same") else b.same(a) if hasattr(b, "same") else a == b


def _view_samples() -> list[Sample]:
    return [
        Sample((Make((2, 6)),), {"shape": (3, 4)}),
        Sample((Make((2, 3, 4)),), {"shape": (6, 4)}),
        Sample((Make((6,)),), {"shape": (1, 2, 3)}),
        Sample((Make(()),), {"shape": (1, 1)}),
        Sample((Make((4, 6), layout="strided"),), {"shape": (4, 2, 3)}),
        Sample((Make((2, 0)),), {"shape": (0, 5)}, grad=False),
        Sample(
            (Make((4, 6), layout="T"),),
            {"shape": (24,)},
            grad=False,
            name="no view",
            error=(RuntimeError, "view size is not compatible"),
        ),
    ]


view = movement(
    "view",
    _view_kernel,
    _view_infer,
    lower=_view_lower,
    samples=_view_samples,
    vjp=[lambda g, input_type: g.reshape(input_type.shape)],
    lift=lambda n, t, shape: ((*shape, n),),
)


# ---------------------------------------------------------------- axes


def _permute_infer(input: TensorType, dims: tuple) -> TensorType:
    return TensorType(
        tuple(input.shape[d] for d in dims),
        input.dtype,
        tuple(input.strides[d] for d in dims),
        input.device,
    )


def inverse(dims: tuple) -> tuple:
    out = [0] * len(dims)
    for i, d in enumerate(dims):
        out[d] = i
    return tuple(out)


def _permute(name: str, backward_name: str) -> Any:
    return movement(
        name,
        lambda a, dims: a.transpose(dims),
        _permute_infer,
        lower=lambda ix, input, dims: [ix[i] for i in inverse(dims)],
        vjp=[lambda g, dims: g.permute(inverse(dims))],
        backward_name=backward_name,
        lift=lambda n, t, dims: ((*dims, len(dims)),),
        samples=lambda: [
            Sample((Make((2, 3, 4)),), {"dims": (2, 0, 1)}),
            Sample((Make((3, 4), layout="T"),), {"dims": (1, 0)}),
            Sample((Make((3, 4), layout="strided"),), {"dims": (1, 0)}),
        ],
    )


permute = _permute("permute", "PermuteBackward0")
transpose = _permute("transpose", "TransposeBackward0")
t = _permute("t", "TBackward0")


def _expand_infer(input: TensorType, shape: tuple) -> TensorType:
    lead = len(shape) - len(input.shape)
    strides: list = [0] * lead
    for n, m, s in zip(input.shape, shape[lead:], input.strides, strict=True):
        if _same(n, m) or n == m:
            strides.append(s)
        elif n == 1:
            strides.append(0)
        else:
            raise RuntimeError(
                f"The expanded size of the tensor ({m}) must match the existing size ({n}) at "
                f"non-singleton dimension {lead + len(strides) - lead}.  Target sizes: "
                f"{list(shape)}.  Tensor sizes: {list(input.shape)}"
            )
    return TensorType(tuple(shape), input.dtype, tuple(strides), input.device)


def _expand_kernel(a: np.ndarray, shape: tuple) -> np.ndarray:
    lead = len(shape) - a.ndim
    strides = [0] * lead
    for n, m, s in zip(a.shape, shape[lead:], a.strides, strict=True):
        if n != m and n != 1:
            _expand_infer(TensorType(a.shape, None, a.strides), shape)  # type: ignore[arg-type]
        strides.append(s if n == m else 0)
    return strided(a, tuple(shape), tuple(strides))


def _expand_lower(ix: list, input: TensorType, shape: tuple) -> list:
    lead = len(shape) - len(input.shape)
    return [
        i if _same(n, m) else 0
        for i, n, m in zip(ix[lead:], input.shape, shape[lead:], strict=True)
    ]


expand = movement(
    "expand",
    _expand_kernel,
    _expand_infer,
    lower=_expand_lower,
    broadcasts=True,
    lift=lambda n, t, shape: ((*shape, n),),
    vjp=[lambda g, input_type: g.sum_to_size(input_type.shape)],
    samples=lambda: [
        Sample((Make((3, 1)),), {"shape": (2, 3, 4)}),
        Sample((Make(()),), {"shape": (2, 2)}),
        Sample((Make((3, 4), layout="T"),), {"shape": (2, 3, 4)}),
        Sample(
            (Make((3,)),),
            {"shape": (4,)},
            grad=False,
            error=(RuntimeError, "The expanded size of the tensor (4)"),
        ),
    ],
)


def _slice_infer(input: TensorType, dim: int, start: Any, stop: Any, step: int) -> TensorType:
    n = (stop - start + step - 1) // step
    shape = input.shape[:dim] + (n,) + input.shape[dim + 1 :]
    strides = input.strides[:dim] + (input.strides[dim] * step,) + input.strides[dim + 1 :]
    return TensorType(shape, input.dtype, strides, input.device)


slice_ = movement(
    "slice",
    lambda a, dim, start, stop, step: a[(slice(None),) * dim + (slice(start, stop, step),)],
    _slice_infer,
    lower=lambda ix, input, dim, start, stop, step: [
        *ix[:dim],
        ix[dim] * step + start,
        *ix[dim + 1 :],
    ],
    batch="last",
    vjp=[lambda g, input_type, dim, start, step: _embed(g, input_type, dim, start, step)],
    samples=lambda: [
        Sample((Make((5, 4)),), {"dim": 0, "start": 1, "stop": 4, "step": 1}),
        Sample((Make((2, 7)),), {"dim": 1, "start": 1, "stop": 7, "step": 2}),
        Sample((Make((4, 6), layout="T"),), {"dim": 1, "start": 0, "stop": 5, "step": 3}),
    ],
)


def _embed(g: Tensor, input_type: TensorType, dim: int, start: Any, step: int) -> Tensor:
    return get("slice_backward")(g, tuple(input_type.shape), dim, start, step)


def _select_infer(input: TensorType, dim: int, index: Any) -> TensorType:
    return TensorType(
        input.shape[:dim] + input.shape[dim + 1 :],
        input.dtype,
        input.strides[:dim] + input.strides[dim + 1 :],
        input.device,
    )


def _select_kernel(a: np.ndarray, dim: int, index: int) -> np.ndarray:
    if a.ndim == 1:
        return a[index : index + 1].reshape(())
    return a[(slice(None),) * dim + (index,)]


select = movement(
    "select",
    _select_kernel,
    _select_infer,
    lower=lambda ix, input, dim, index: [*ix[:dim], index, *ix[dim:]],
    batch="last",
    vjp=[lambda g, input_type, dim, index: _embed(g.unsqueeze(dim), input_type, dim, index, 1)],
    samples=lambda: [
        Sample((Make((3, 4)),), {"dim": 0, "index": 1}),
        Sample((Make((3, 4)),), {"dim": 1, "index": 3}),
        Sample((Make((5,)),), {"dim": 0, "index": 2}),
        Sample((Make((4, 6), layout="T"),), {"dim": 1, "index": 2}),
    ],
)


def _squeeze_infer(input: TensorType, dims: tuple) -> TensorType:
    keep = [i for i in range(len(input.shape)) if i not in dims]
    return TensorType(
        tuple(input.shape[i] for i in keep),
        input.dtype,
        tuple(input.strides[i] for i in keep),
        input.device,
    )


def _squeeze_lower(ix: list, input: TensorType, dims: tuple) -> list:
    it = iter(ix)
    return [0 if i in dims else next(it) for i in range(len(input.shape))]


def _squeeze_vjp(g: Tensor, dims: tuple, input_type: TensorType) -> Tensor:
    return g.reshape(input_type.shape)


squeeze = movement(
    "squeeze",
    lambda a, dims: (
        a[tuple(0 if i in dims else slice(None) for i in range(a.ndim))]
        if a.ndim > len(dims)
        else a.reshape(())
    ),
    _squeeze_infer,
    lower=_squeeze_lower,
    batch="last",
    vjp=[_squeeze_vjp],
    samples=lambda: [
        Sample((Make((1, 3, 1)),), {"dims": (0, 2)}),
        Sample((Make((1,)),), {"dims": (0,)}),
        Sample((Make((3, 1)),), {"dims": ()}),
    ],
)


def _unsqueeze_infer(input: TensorType, dim: int) -> TensorType:
    after = input.strides[dim] * input.shape[dim] if dim < len(input.shape) else 1
    return TensorType(
        input.shape[:dim] + (1,) + input.shape[dim:],
        input.dtype,
        input.strides[:dim] + (after,) + input.strides[dim:],
        input.device,
    )


def _unsqueeze_kernel(a: np.ndarray, dim: int) -> np.ndarray:
    # numpy gives a new axis stride 0; PyTorch gives it the span of what follows
    after = a.strides[dim] * a.shape[dim] if dim < a.ndim else a.itemsize
    return strided(
        a, a.shape[:dim] + (1,) + a.shape[dim:], a.strides[:dim] + (after,) + a.strides[dim:]
    )


unsqueeze = movement(
    "unsqueeze",
    _unsqueeze_kernel,
    _unsqueeze_infer,
    lower=lambda ix, input, dim: [*ix[:dim], *ix[dim + 1 :]],
    batch="last",
    vjp=[lambda g, dim: g.squeeze(dim)],
    samples=lambda: [
        Sample((Make((3, 4)),), {"dim": 0}),
        Sample((Make((3, 4)),), {"dim": 2}),
        Sample((Make(()),), {"dim": 0}),
    ],
)


# ---------------------------------------------------------------- memory order


def memory_coordinates(flat: Any, shape: tuple, strides: tuple) -> list:
    """Coordinates of the element at memory position `flat` of a non-overlapping layout."""
    out: list = [0] * len(shape)
    order = sorted(
        (i for i in range(len(shape)) if not _same(shape[i], 1)),
        key=lambda i: strides[i],
        reverse=True,
    )
    outer: Any = None
    for i in order:
        if outer is None:
            out[i] = flat // strides[i]
        elif _same(outer, shape[i] * strides[i]):
            out[i] = (flat // strides[i]) % shape[i]
        else:  # the layout has gaps here
            out[i] = (flat % outer) // strides[i]
        outer = strides[i]
    return out


def _restride_kernel(a: np.ndarray, strides: tuple | None) -> np.ndarray:
    size = a.itemsize
    if strides is None:  # clone: keep a dense layout, else by the elementwise rule
        strides = pointwise_strides(a.shape, [(a.shape, tuple(s // size for s in a.strides))])
    if is_dense(a.shape, strides):
        out = empty_strided(a.shape, strides, a.dtype)
    else:
        extent = (
            1 + sum((n - 1) * s for n, s in zip(a.shape, strides, strict=True)) if a.size else 0
        )
        out = strided(np.zeros(extent, a.dtype), a.shape, tuple(s * size for s in strides))
    np.copyto(out, a)
    return out


def _restride_infer(input: TensorType, strides: tuple | None) -> TensorType:
    if strides is None:
        strides = pointwise_strides(input.shape, [(input.shape, input.strides)])
    return TensorType(input.shape, input.dtype, tuple(strides), input.device)


def _same_index(ix: list, input: TensorType, strides: tuple | None) -> list:
    return ix


def _clone_lift(n: Any, input: TensorType, strides: tuple | None) -> tuple:
    """The batch lies outermost."""
    if strides is None:
        return (None,)
    reach = sum([(m - 1) * s for m, s in zip(input.shape, strides, strict=True)])
    return ((*strides, reach + 1),)


clone = movement(
    "clone",
    _restride_kernel,
    _restride_infer,
    view=False,
    lower=_same_index,
    lift=_clone_lift,
    vjp=[lambda g: g],
    samples=lambda: (
        [
            Sample((Make((3, 4), layout=k),), {"strides": None})
            for k in ("C", "T", "strided", "expanded")
        ]
        + [Sample((Make((3, 4), layout=k),), {"strides": (4, 1)}) for k in ("T", "strided")]
        + [
            Sample((Make((3, 4)),), {"strides": (1, 3)}),
            Sample((Make((2, 0)),), {"strides": None}, grad=False),
        ]
    ),
)


def _flip_infer(input: TensorType, dims: tuple) -> TensorType:
    return TensorType(
        input.shape,
        input.dtype,
        pointwise_strides(input.shape, [(input.shape, input.strides)]),
        input.device,
    )


def _flip_kernel(a: np.ndarray, dims: tuple) -> np.ndarray:
    out = _restride_kernel(a, None)
    np.copyto(out, np.flip(a, dims))
    return out


flip = movement(
    "flip",
    _flip_kernel,
    _flip_infer,
    view=False,
    lower=lambda ix, input, dims: [
        n - 1 - i if d in dims else i for d, (i, n) in enumerate(zip(ix, input.shape, strict=True))
    ],
    batch="last",
    vjp=[lambda g, dims: g.flip(dims)],
    samples=lambda: [
        Sample((Make((3, 4)),), {"dims": (0,)}),
        Sample((Make((2, 3, 4)),), {"dims": (0, 2)}),
    ],
)


def _roll_infer(input: TensorType, shifts: tuple, dims: tuple) -> TensorType:
    return input.with_shape(input.shape)


roll = movement(
    "roll",
    lambda a, shifts, dims: dense(np.roll(a, shifts, dims)),
    _roll_infer,
    view=False,
    batch="last",
    vjp=[lambda g, shifts, dims: roll(g, tuple(-s for s in shifts), dims)],
    lower=lambda ix, input, shifts, dims: [
        (i + (n - sum(s for s, e in zip(shifts, dims, strict=True) if e == d) % n)) % n
        if d in dims
        else i
        for d, (i, n) in enumerate(zip(ix, input.shape, strict=True))
    ],
    samples=lambda: [
        Sample((Make((3, 4)),), {"shifts": (1,), "dims": (0,)}),
        Sample((Make((3, 4)),), {"shifts": (-1, 2), "dims": (0, 1)}),
    ],
)


def _diagonal_infer(input: TensorType, offset: int, dim1: int, dim2: int) -> TensorType:
    n, m = input.shape[dim1], input.shape[dim2]
    size = max(min(n, m - offset) if offset >= 0 else min(n + offset, m), 0)
    keep = [i for i in range(len(input.shape)) if i not in (dim1, dim2)]
    return TensorType(
        (*(input.shape[i] for i in keep), size),
        input.dtype,
        (*(input.strides[i] for i in keep), input.strides[dim1] + input.strides[dim2]),
        input.device,
    )


def _diagonal_lower(ix: list, input: TensorType, offset: int, dim1: int, dim2: int) -> list:
    it = iter(ix[:-1])
    row, col = ix[-1] + max(-offset, 0), ix[-1] + max(offset, 0)
    return [row if d == dim1 else col if d == dim2 else next(it) for d in range(len(input.shape))]


def _diagonal_vjp(g: Tensor, input_type: TensorType, offset: int, dim1: int, dim2: int) -> Tensor:
    zeros = g.new_zeros(tuple(input_type.shape))
    st = zeros.stride()
    keep = [i for i in range(len(st)) if i not in (dim1, dim2)]
    start = max(-offset, 0) * st[dim1] + max(offset, 0) * st[dim2]
    return get("as_strided_scatter")(
        zeros, g, tuple(g.shape), (*(st[i] for i in keep), st[dim1] + st[dim2]), start
    )


def _diagonal_kernel(a: np.ndarray, offset: int, dim1: int, dim2: int) -> np.ndarray:
    d = np.diagonal(a, offset, dim1, dim2)
    d.flags.writeable = a.flags.writeable
    return d


diagonal = movement(
    "diagonal",
    _diagonal_kernel,
    _diagonal_infer,
    lower=_diagonal_lower,
    vjp=[_diagonal_vjp],
    batch=lambda values, flags, n, *attrs: swap(diagonal(values[0], *attrs), -2, -1),
    samples=lambda: [
        Sample((Make((3, 4)),), {"offset": 0, "dim1": 0, "dim2": 1}),
        Sample((Make((2, 4, 3)),), {"offset": -1, "dim1": 1, "dim2": 2}),
    ],
)


# ---------------------------------------------------------------- as_strided


def _as_strided_infer(input: TensorType, shape: tuple, strides: tuple, offset: Any) -> TensorType:
    return TensorType(tuple(shape), input.dtype, tuple(strides), input.device)


def _as_strided_kernel(a: np.ndarray, shape: tuple, strides: tuple, offset: int) -> np.ndarray:
    size = a.itemsize
    if numel(shape) == 0:
        return np.empty(shape, a.dtype)
    return strided(a, tuple(shape), tuple(s * size for s in strides), offset * size)


def _as_strided_lower(
    ix: list, input: TensorType, shape: tuple, strides: tuple, offset: Any
) -> list:
    flat: Any = offset
    for i, s in zip(ix, strides, strict=True):
        flat = flat + i * s
    return memory_coordinates(flat, input.shape, input.strides)


def _as_strided_vjp(
    g: Tensor, input_type: TensorType, shape: tuple, strides: tuple, offset: Any
) -> Tensor:
    own = (tuple(input_type.shape), tuple(input_type.strides))
    if overlaps(*own):
        # the gradient of each place in memory, shared evenly by the input's elements that show it
        extent = 1 + max(
            sum((n - 1) * s for n, s in zip(*own, strict=True)),
            offset + sum((n - 1) * s for n, s in zip(shape, strides, strict=True)),
        )
        memory = g.new_zeros((extent,))
        accumulate = get("as_strided_accumulate")
        count = accumulate(memory, g.new_ones(own[0]), *own, 0)
        total = accumulate(memory, g, shape, strides, offset)
        return as_strided(total, *own, 0) / as_strided(count, *own, 0)
    zeros = g.new_zeros(tuple(input_type.shape))
    if tuple(input_type.strides) != contiguous_strides(input_type.shape):
        zeros = clone(zeros, tuple(input_type.strides))
    name = "as_strided_accumulate" if overlaps(shape, strides) else "as_strided_scatter"
    return get(name)(zeros, g, shape, strides, offset)


as_strided = movement(
    "as_strided",
    _as_strided_kernel,
    _as_strided_infer,
    lower=_as_strided_lower,
    vjp=[_as_strided_vjp],
    windowed=True,  # reads the strides of its input: its attributes are memory positions
    samples=lambda: [
        Sample((Make((12,)),), {"shape": (3, 2), "strides": (4, 1), "offset": 1}),
        Sample((Make((3, 4)),), {"shape": (4, 3), "strides": (1, 4), "offset": 0}),
        Sample((Make((3, 4)),), {"shape": (5, 3), "strides": (2, 1), "offset": 1}),
    ],
)


def resolve_shape(shape: tuple, n: Any) -> tuple:
    """shape with one -1 worked out for n elements. Raises PyTorch's RuntimeErrors."""
    if -1 in [s for s in shape if isinstance(s, int)]:
        at = list(shape).index(-1)
        rest: Any = numel(shape[:at] + shape[at + 1 :])
        if any(isinstance(s, int) and s == -1 for s in shape[at + 1 :]):
            raise RuntimeError("only one dimension can be inferred")
        if rest == 0:
            if n == 0:
                raise RuntimeError(
                    f"cannot reshape tensor of 0 elements into shape {list(shape)} because the "
                    "unspecified dimension size -1 can be any value and is ambiguous"
                )
            raise RuntimeError(f"shape '{list(shape)}' is invalid for input of size {n}")
        if n % rest != 0:
            raise RuntimeError(f"shape '{list(shape)}' is invalid for input of size {n}")
        return shape[:at] + (n // rest,) + shape[at + 1 :]
    if any(isinstance(s, int) and s < -1 for s in shape):
        bad = next(s for s in shape if isinstance(s, int) and s < -1)
        raise RuntimeError(
            f"invalid shape dimension {bad} at index {list(shape).index(bad)} of shape "
            f"{list(shape)}"
        )
    if numel(shape) != n:
        raise RuntimeError(f"shape '{list(shape)}' is invalid for input of size {n}")
    return shape


def reshape(x: Tensor, shape: tuple) -> Tensor:
    """x under another shape: a view when the memory allows it, else a copy."""
    meta = x.type_
    shape = resolve_shape(tuple(shape), meta.numel)
    if shape == meta.shape and view_strides(meta.shape, meta.strides, shape) is not None:
        return view(x, shape)
    if view_strides(meta.shape, meta.strides, shape) is None:
        out = view(contiguous(x), shape)
        out._base = None  # nobody else holds the copy: not a view of anything
        return out
    return view(x, shape)


def contiguous(x: Tensor) -> Tensor:
    """x itself when it is row-major, else a row-major copy."""
    meta = x.type_
    return x if meta.is_contiguous else clone(x, contiguous_strides(meta.shape))


def swap(x: Tensor, dim0: int, dim1: int) -> Tensor:
    """x with two axes exchanged (a view)."""
    n = x.ndim
    a, b = dim_index(dim0, n), dim_index(dim1, n)
    dims = list(range(n))
    if n:
        dims[a], dims[b] = dims[b], dims[a]
    return transpose(x, tuple(dims))


# ---------------------------------------------------------------- memory formats


def format_strides(shape: tuple, memory_format: Any) -> tuple | None:
    """The strides that a memory format asks for; None to keep the layout."""
    chosen = formats.check("", memory_format)
    if chosen is None or chosen is formats.preserve_format:
        return None
    return formats.channel_strides(shape, chosen) if chosen.axes else contiguous_strides(shape)


def in_format(input: Tensor, memory_format: Any) -> Tensor:
    """input itself when it is laid out as the format says, else a copy that is."""
    strides = format_strides(tuple(input.type_.shape), memory_format)
    if strides is None or laid_out(input, strides):
        return input
    return clone(input, strides)


def laid_out(input: Tensor, strides: Any) -> bool:
    """Whether stepping through input is stepping by `strides`."""
    t = input.type_
    steps = zip(t.shape, t.strides, strides, strict=True)
    return not t.numel or not [n for n, a, b in steps if n != 1 and a != b]


def suggested(input: Tensor, memory_format: Any) -> Tensor:
    """`input` for a conversion that changes nothing else: itself when the format is None or the one
    that PyTorch sees in its layout."""
    t = input.type_
    last = len(t.shape) in (4, 5) and like_channels_last(t.shape, t.strides)
    if memory_format is formats.contiguous_format and not last:
        return input
    return in_format(input, memory_format)


def like_layout(out: Tensor, input: Tensor) -> Tensor:
    """A result of images: channels-last when PyTorch sees `input` so."""
    t = input.type_
    if t.is_contiguous or len(t.shape) not in (4, 5) or not like_channels_last(t.shape, t.strides):
        return out
    return in_format(out, formats.channels_last if len(t.shape) == 4 else formats.channels_last_3d)
