"""Types of values: `TensorType(shape, dtype, strides, device)` and the stride rules of eager mode.
Sizes are ints or `ir.index.Index` symbols; nothing here turns one into an int."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ..base.dtypes import DType
from .index import alike

Size = Any  # int or ir.index.Index


def contiguous_strides(shape: Sequence[Size]) -> tuple:
    """Row-major strides in elements; sizes 0 count as 1, as in PyTorch."""
    out: list = []
    step: Any = 1
    for n in reversed(shape):
        out.append(step)
        step = step * (1 if n == 0 else n)
    return tuple(reversed(out))


def channels_last_strides(shape: tuple) -> tuple:
    """Strides of [N, C, ...] stored as [N, ..., C], in elements."""
    inner = contiguous_strides((shape[0], *shape[2:], shape[1]))
    return (inner[0], inner[-1], *inner[1:-1])


def like_channels_last(shape: tuple, strides: tuple) -> bool:
    """Whether a layout of rank 4 or 5 is one that PyTorch takes for channels-last."""
    if not strides or strides[1] == 0 or 0 in shape:
        return False
    least: Any = 0
    for d in (1, *range(len(shape) - 1, 1, -1), 0):
        if strides[d] < least or d == 0 and least == strides[1]:
            return False
        least = strides[d] * (shape[d] if shape[d] > 1 else 1)
    return True


def numel(shape: Sequence[Size]) -> Size:
    n: Any = 1
    for s in shape:
        n = n * s
    return n


class TensorType(NamedTuple):
    """What is known of a value before it is computed. `strides` are eager mode's, in elements."""

    shape: tuple
    dtype: DType
    strides: tuple
    device: str = "cpu"

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def numel(self) -> Size:
        return numel(self.shape)

    @property
    def is_contiguous(self) -> bool:
        return is_contiguous(self.shape, self.strides)

    def with_shape(self, shape: Sequence[Size], dtype: DType | None = None) -> TensorType:
        """A contiguous type of another shape."""
        shape = tuple(shape)
        return TensorType(shape, dtype or self.dtype, contiguous_strides(shape), self.device)

    def alike(self, other: TensorType) -> bool:
        """Equality for shortcuts: never decided by example sizes."""
        return (
            self.dtype is other.dtype
            and self.device == other.device
            and alike(self.shape, other.shape)
            and alike(self.strides, other.strides)
        )

    def with_dtype(self, dtype: DType) -> TensorType:
        """The same shape and strides with another dtype (only right for dense layouts)."""
        return (
            self
            if dtype is self.dtype
            else TensorType(self.shape, dtype, self.strides, self.device)
        )

    def __str__(self) -> str:
        dims = ", ".join(map(str, self.shape))
        layout = "" if self.is_contiguous else f" strides {list(self.strides)}"
        return f"{self.dtype.code}[{dims}]{layout}"


def tensor_type(shape: Sequence[Size], dtype: DType, device: str = "cpu") -> TensorType:
    """A contiguous type."""
    shape = tuple(shape)
    return TensorType(shape, dtype, contiguous_strides(shape), device)


def is_contiguous(shape: Sequence[Size], strides: Sequence[Size]) -> bool:
    """PyTorch's rule: strides of axes of size 1 do not matter; empty tensors are contiguous."""
    expected: Any = 1
    for n, s in zip(reversed(shape), reversed(strides), strict=True):
        if n == 0:
            return True
        if n != 1:
            if s != expected:
                return False
            expected = expected * n
    return True


def is_dense(shape: Sequence[Size], strides: Sequence[Size]) -> bool:
    """True when the elements fill their memory without gaps or overlap, in whatever axis order."""
    pairs = sorted(
        ((s, n) for n, s in zip(shape, strides, strict=True) if n != 1), key=lambda p: p[0]
    )
    expected: Any = 1
    for s, n in pairs:
        if n == 0:
            return True
        if s != expected:
            return False
        expected = expected * n
    return True


def overlaps(shape: tuple, strides: tuple) -> bool:
    """True when a strided window may show one element twice."""
    pairs = sorted((s, n) for s, n in zip(strides, shape, strict=True) if n > 1)
    reach = 0
    for s, n in pairs:
        if s <= reach:
            return True
        reach += s * (n - 1)
    return False


def broadcast_shapes(*shapes: Sequence[Size]) -> tuple:
    """The common shape. Raises PyTorch's RuntimeError naming both sizes and the dimension."""
    first = shapes[0]
    if all(alike(s, first) for s in shapes[1:]):
        return tuple(first)
    ndim = max(len(s) for s in shapes)
    out: list = [1] * ndim
    for shape in shapes:
        lead = ndim - len(shape)
        for i in range(len(shape) - 1, -1, -1):  # from the last axis on, as PyTorch compares
            m, n = out[lead + i], shape[i]
            if m == 1:
                out[lead + i] = n
            elif not (n == 1 or n == m):
                raise RuntimeError(
                    f"The size of tensor a ({m}) must match the size of tensor b ({n}) at "
                    f"non-singleton dimension {lead + i}"
                )
    return tuple(out)


def pointwise_strides(shape: tuple, operands: Sequence[tuple[tuple, tuple]]) -> tuple:
    """Strides of an elementwise result over operands (shape, strides): the operands' common axis
    order is kept, packed densely; with no clear order, row-major. Follows PyTorch's
    TensorIterator."""
    for s, st in operands:
        if alike(s, shape) and not is_contiguous(s, st):
            break
    else:
        if not any(len(s) == len(shape) and not alike(s, shape) for s, _ in operands):
            return contiguous_strides(shape)
    same = [st for s, st in operands if alike(s, shape)]
    if (
        len(same) == len(operands)
        and all(alike(st, same[0]) for st in same)
        and is_dense(shape, same[0])
    ):
        return same[0]
    ndim = len(shape)
    full = []
    for s, st in operands:
        lead = ndim - len(s)
        full.append(
            [0] * lead + [0 if n == 1 and shape[lead + i] != 1 else st[i] for i, n in enumerate(s)]
        )

    def compare(a: int, b: int) -> int:
        # 1: axis a must be outside of b (larger stride); -1: inside; 0: no operand tells
        for st in full:
            x, y = st[a], st[b]
            if x == 0 or y == 0:
                continue
            if x < y:
                return -1
            if x > y:
                return 1
            if shape[a] > shape[b]:
                return 1
        return 0

    perm = list(range(ndim - 1, -1, -1))  # fastest axis first
    for i in range(1, ndim):
        d1 = i
        for d0 in range(i - 1, -1, -1):
            c = compare(perm[d0], perm[d1])
            if c > 0:
                perm[d0], perm[d1] = perm[d1], perm[d0]
                d1 = d0
            elif c < 0:
                break
    out: list = [0] * ndim
    step: Any = 1
    for ax in perm:
        out[ax] = step
        step = step * (1 if shape[ax] == 0 else shape[ax])
    return tuple(out)


def view_strides(
    shape: Sequence[Size], strides: Sequence[Size], new_shape: Sequence[Size]
) -> tuple | None:
    """Strides that show the memory of (shape, strides) as new_shape, or None when only a copy can.
    new_shape has the same number of elements."""
    if alike(tuple(shape), tuple(new_shape)):
        return tuple(strides)
    if numel(shape) == 0:
        return contiguous_strides(new_shape)
    blocks: list[list] = []  # [size, stride of the innermost], merged runs, innermost first
    for n, s in zip(reversed(shape), reversed(strides), strict=True):
        if n == 1:
            continue
        if blocks and s == blocks[-1][0] * blocks[-1][1]:
            blocks[-1][0] = blocks[-1][0] * n
        else:
            blocks.append([n, s])
    out: list = []
    it = iter(blocks)
    left: Any = 1
    step: Any = 1
    for n in reversed(new_shape):
        if n == 1:
            out.append(step)
            continue
        if left == 1:
            left, step = next(it)
        if left % n != 0:
            return None
        out.append(step)
        left, step = left // n, step * n
    return tuple(reversed(out))


def dim_index(dim: int, ndim: int) -> int:
    """dim counted from 0. Raises PyTorch's IndexError; a 0-d tensor accepts 0 and -1."""
    n = max(ndim, 1)
    if not -n <= dim < n:
        raise IndexError(
            f"Dimension out of range (expected to be in range of [{-n}, {n - 1}], but got {dim})"
        )
    return dim + n if dim < 0 else dim


def dims_tuple(dim: Any, ndim: int) -> tuple[int, ...]:
    """Sorted distinct axes of a reduction: None or () mean all. Raises on repeats, as PyTorch."""
    if dim is None:
        return tuple(range(ndim))
    if isinstance(dim, int):
        at = dim_index(dim, ndim)
        return (at,) if ndim else ()
    if isinstance(dim, (str, float)):
        raise TypeError(f"argument 'dim' must be tuple of ints, not {type(dim).__name__}")
    dims = [dim_index(int(d), ndim) for d in dim]
    if not dims:
        return tuple(range(ndim))
    if len(set(dims)) != len(dims):
        repeated = next(d for d in dims if dims.count(d) > 1)
        raise RuntimeError(f"dim {repeated} appears multiple times in the list of dims")
    return tuple(sorted(dims)) if ndim else ()
