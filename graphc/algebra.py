"""Sums of products by name and other compositions of the top-level namespace: einsum, tensordot,
cdist, diagonals, stacks, index grids. Everything here is written in ops, so it differentiates and
is captured. Source: https://pytorch.org/docs/stable/torch.html"""

from __future__ import annotations

import math
from typing import Any

from .base import dtypes, entry
from .base.dtypes import DType
from .core import autocast
from .core.tensor import Size, Tensor
from .creation import arange, full, linspace, zeros
from .functional import cat, diag, diagonal, nonzero, norm, stack
from .ir.types import broadcast_shapes as _broadcast
from .ir.types import dim_index, numel
from .ops import contract, movement, pointwise, reduce
from .ops import gather as gather_ops
from .out import into, shown

# ---------------------------------------------------------------- einsum


def einsum(equation: Any, *operands: Any) -> Tensor:
    """Sums of products in Einstein's notation, with ellipsis and repeated letters; operands may
    also come as tensor, letters (numbers), tensor, letters ... RuntimeError for equations that do
    not fit."""
    if not isinstance(equation, str):
        equation, operands = _from_sublists((equation, *operands))
    elif len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = tuple(operands[0])
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(operands):
        raise RuntimeError(
            f"einsum(): {'fewer' if len(operands) < len(terms) else 'more'} operands were provided "
            "than specified in the equation"
        )
    width = max(_dots(t, x) for t, x in zip(terms, operands, strict=True))
    dots = [chr(0x1000 + i) for i in range(width)]  # letters of the ellipsis' axes
    labels: list[list[str]] = []
    for t, x in zip(terms, operands, strict=True):
        k = _dots(t, x)
        names = list(t.replace("...", "".join(dots[width - k :])))
        if len(names) != x.ndim:
            raise RuntimeError(
                f"einsum(): the number of subscripts in the equation ({len(names)}) does not match "
                f"the number of dimensions ({x.ndim}) for operand {len(labels)} and no ellipsis "
                "was given"
            )
        labels.append(names)
    if arrow:
        out = list(right.replace("...", "".join(dots)))
    else:
        counts = "".join(terms)
        out = dots + sorted(c for c in set(counts) - set(".,") if counts.count(c) == 1)
    return _contract(operands, labels, out)


def _from_sublists(args: tuple) -> tuple[str, tuple]:
    def letters(ns: Any) -> str:
        return "".join(
            "..." if n is Ellipsis else chr(ord("a") + n) if n < 26 else chr(ord("A") + n - 26)
            for n in ns
        )

    operands = args[: len(args) - len(args) % 2 : 2]
    text = ",".join(letters(ns) for ns in args[1::2])
    return (text + "->" + letters(args[-1]) if len(args) % 2 else text), operands


def _dots(term: str, x: Tensor) -> int:
    return x.ndim - len(term.replace("...", "")) if "..." in term else 0


def _contract(operands: Any, labels: list, out: list) -> Tensor:
    sizes: dict[str, Any] = {}
    for i, (x, names) in enumerate(zip(operands, labels, strict=True)):
        for n, c in zip(x.shape, names, strict=True):
            if sizes.get(c, 1) not in (1, n) and n != 1:
                raise RuntimeError(
                    f"einsum(): subscript {c} has size {n} for operand {i} which does not "
                    f"broadcast with previously seen size {sizes[c]}"
                )
            sizes[c] = max(n, sizes.get(c, 1))
    missing = [c for c in out if c not in sizes]
    if missing:
        raise RuntimeError(
            f"einsum(): output subscript {missing[0]} does not appear in the equation for any "
            "input operand"
        )
    work = [_diagonals(x, list(names)) for x, names in zip(operands, labels, strict=True)]
    a, an = work[0]
    for i, (b, bn) in enumerate(work[1:], 1):
        later = set(out).union(*[set(ns) for _, ns in work[i + 1 :]])
        a, an = _pair(a, an, b, bn, later, sizes)
    gone = [i for i, c in enumerate(an) if c not in out]
    if gone:
        a, an = reduce.sum(a, tuple(gone), False), [c for c in an if c in out]
    a = movement.permute(a, tuple(an.index(c) for c in out)) if an != out else a
    return a


def _diagonals(x: Tensor, names: list) -> tuple[Tensor, list]:
    for c in dict.fromkeys(names):
        while names.count(c) > 1:
            i = names.index(c)
            j = names.index(c, i + 1)
            x = diagonal(x, 0, i, j)
            del names[j], names[i]
            names.append(c)
    return x, names


_mm, _bmm = autocast.lower(contract.mm), autocast.lower(contract.bmm)


def _pair(a: Tensor, an: list, b: Tensor, bn: list, later: set, sizes: dict) -> tuple[Tensor, list]:
    """One product of two operands, as a batched matrix product."""

    def alone(x: Tensor, names: list, other: list) -> tuple[Tensor, list]:
        gone = tuple(i for i, c in enumerate(names) if c not in other and c not in later)
        return (
            (reduce.sum(x, gone, False), [c for i, c in enumerate(names) if i not in gone])
            if gone
            else (x, names)
        )

    a, an = alone(a, an, bn)
    b, bn = alone(b, bn, an)
    shared = [c for c in an if c in bn]
    batch = [c for c in shared if c in later]
    inner = [c for c in shared if c not in later]
    rows = [c for c in an if c not in bn]
    cols = [c for c in bn if c not in an]

    def size(names: list) -> int:
        return numel(tuple(sizes[c] for c in names))

    def arrange(x: Tensor, names: list, order: list, shape: tuple) -> Tensor:
        want = tuple(sizes[c] if c in shared else x.shape[names.index(c)] for c in names)
        x = movement.expand(x, want) if tuple(x.shape) != want else x
        return movement.reshape(movement.permute(x, tuple(names.index(c) for c in order)), shape)

    x = arrange(a, an, batch + rows + inner, (size(batch), size(rows), size(inner)))
    y = arrange(b, bn, batch + inner + cols, (size(batch), size(inner), size(cols)))
    p = _bmm(x, y) if batch else _mm(x.squeeze(0), y.squeeze(0))  # type: ignore[attr-defined]
    names = batch + rows + cols
    return movement.reshape(p, tuple(sizes[c] for c in names)), names


def tensordot(a: Tensor, b: Tensor, dims: Any = 2, out: Any = None) -> Tensor:
    """Sum of products over the last axes of a and first of b, or over two lists of axes."""
    if isinstance(dims, int):
        da, db = list(range(a.ndim - dims, a.ndim)), list(range(dims))
    else:
        da, db = [
            [dim_index(d, x.ndim) for d in (ds if isinstance(ds, (list, tuple)) else [ds])]
            for ds, x in zip(dims, (a, b), strict=True)
        ]
    for i, j in zip(da, db, strict=True):
        if a.shape[i] != b.shape[j] and 1 not in (a.shape[i], b.shape[j]):
            raise RuntimeError(
                f"contracted dimensions need to match, but first has size {a.shape[i]} in dim "
                f"{i - a.ndim if isinstance(dims, int) else i} and second has size {b.shape[j]} in "
                f"dim {j}"
            )
    names = [chr(97 + i) for i in range(a.ndim)]
    others = [names[da[db.index(i)]] if i in db else chr(97 + a.ndim + i) for i in range(b.ndim)]
    keep = [c for i, c in enumerate(names) if i not in da] + [
        c for i, c in enumerate(others) if i not in db
    ]
    return into(out, _contract((a, b), [names, others], keep))


def inner(input: Tensor, other: Tensor, *, out: Any = None) -> Tensor:
    """Sums of products over the last axes."""
    if input.ndim == 0 or other.ndim == 0:
        return into(out, input * other)
    return into(out, tensordot(input, other, ([-1], [-1])))


def kron(input: Tensor, other: Tensor, *, out: Any = None) -> Tensor:
    """Kronecker product."""
    n = max(input.ndim, other.ndim)
    a = movement.reshape(input, (1,) * (n - input.ndim) + tuple(input.shape))
    b = movement.reshape(other, (1,) * (n - other.ndim) + tuple(other.shape))
    x = movement.reshape(a, tuple(s for m in a.shape for s in (m, 1)))
    y = movement.reshape(b, tuple(s for m in b.shape for s in (1, m)))
    return into(
        out, movement.reshape(x * y, tuple(p * q for p, q in zip(a.shape, b.shape, strict=True)))
    )


def cross(input: Tensor, other: Tensor, dim: Any = None, *, out: Any = None) -> Tensor:
    """Cross product of 3-vectors along dim (by default the first axis of size 3)."""
    shape = _broadcast(tuple(input.shape), tuple(other.shape))
    a, b = movement.expand(input, shape), movement.expand(other, shape)
    d = (
        dim_index(dim, a.ndim)
        if dim is not None
        else next((i for i, n in enumerate(shape) if n == 3), -1)
    )
    if dim is None and d < 0:
        raise RuntimeError("no dimension of size 3 in input")
    if shape[d] != 3:
        raise RuntimeError(
            f"linalg.cross: inputs dimension {dim if dim is not None else -1} must have length 3. "
            f"Got {input.shape[d]} and {other.shape[d]}"
        )
    x, y, z = [a.select(d, i) for i in range(3)]  # type: ignore[attr-defined]
    u, v, w = [b.select(d, i) for i in range(3)]  # type: ignore[attr-defined]
    return into(out, stack([y * w - z * v, z * u - x * w, x * v - y * u], d))


@shown("CdistBackward0")
def cdist(x1: Tensor, x2: Tensor, p: float = 2.0, compute_mode: Any = None) -> Tensor:
    """p-norm distances between the rows of x1 [..., P, M] and x2 [..., R, M]: [..., P, R]."""
    if x1.shape[-1] != x2.shape[-1]:
        raise RuntimeError(
            f"X1 and X2 must have the same number of columns. X1: {x1.shape[-1]} X2: {x2.shape[-1]}"
        )
    return norm(x1.unsqueeze(-2) - x2.unsqueeze(-3), p, -1)  # type: ignore[attr-defined]


@shown("DistBackward0")
def dist(input: Tensor, other: Tensor, p: float = 2) -> Tensor:
    """p-norm of input - other."""
    return norm(input - other, p)


@shown("TraceBackward0")
def trace(input: Tensor) -> Tensor:
    """Sum of a matrix' diagonal."""
    if input.ndim != 2:
        raise RuntimeError("trace: expected a matrix, but got tensor with dim " + str(input.ndim))
    return reduce.sum(diagonal(input), (0,), False)


@shown("AddmvBackward0")
def addmv(
    input: Tensor, mat: Tensor, vec: Tensor, *, beta: Any = 1, alpha: Any = 1, out: Any = None
) -> Tensor:
    """beta * input + alpha * (mat @ vec)."""
    p = contract.matmul(mat, vec)
    return into(out, input * beta + p * alpha if beta else p * alpha)


@shown("AddrBackward0")
def addr(
    input: Tensor, vec1: Tensor, vec2: Tensor, *, beta: Any = 1, alpha: Any = 1, out: Any = None
) -> Tensor:
    """beta * input + alpha * outer(vec1, vec2)."""
    p = vec1.unsqueeze(1) * vec2.unsqueeze(0)  # type: ignore[attr-defined]
    return into(out, input * beta + p * alpha if beta else p * alpha)


# ---------------------------------------------------------------- diagonals, grids, stacks


def diag_embed(input: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """Matrices over axes dim1, dim2 with the last axis of input on a diagonal."""
    n = input.ndim + 1
    a, b = dim_index(dim1, n), dim_index(dim2, n)
    if a == b:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    size = input.shape[-1] + (offset if offset > 0 else -offset)
    shape = list(input.shape[:-1])
    for at in sorted((a, b)):
        shape.insert(at, size)
    z = input.new_zeros(tuple(shape))  # type: ignore[attr-defined]
    st = z.stride()
    keep = [i for i in range(n) if i not in (a, b)]
    start = -offset * st[a] if offset < 0 else offset * st[b]
    return gather_ops.as_strided_scatter(
        z, input, tuple(input.shape), (*(st[i] for i in keep), st[a] + st[b]), start
    )


def diagflat(input: Tensor, offset: int = 0) -> Tensor:
    """A matrix with the elements of input on a diagonal."""
    return diag(movement.reshape(input, (-1,)), offset)


def _indices(name: str, low: bool) -> Any:
    def fn(
        row: int,
        col: int,
        offset: int = 0,
        *,
        dtype: DType | None = None,
        device: Any = None,
        layout: Any = None,
    ) -> Tensor:
        ahead = arange(col).unsqueeze(0) - arange(row).unsqueeze(1)  # type: ignore[attr-defined]
        at = nonzero(ahead <= offset if low else ahead >= offset)
        return movement.contiguous(at.t()).to(dtype or dtypes.int64)  # type: ignore[attr-defined]

    fn.__name__ = name
    fn.__doc__ = (
        f"[2, N]: row and column of the elements of the {'lower' if low else 'upper'} triangle."
    )
    return fn


tril_indices, triu_indices = _indices("tril_indices", True), _indices("triu_indices", False)


def argwhere(input: Tensor) -> Tensor:
    """Coordinates of the elements that are not zero: [count, ndim]."""
    return nonzero(input)


def broadcast_shapes(*shapes: Any) -> Size:
    """The shape that the given shapes broadcast to."""
    common: list = []
    for k, given in enumerate(shapes):
        shape = (given,) if isinstance(given, int) else tuple(given)
        common[:0] = [1] * (len(shape) - len(common))
        for i in range(-1, -len(shape) - 1, -1):
            if shape[i] < 0:
                raise ValueError("Attempting to broadcast a dimension with negative length!")
            if shape[i] == 1 or shape[i] == common[i]:
                continue
            if common[i] != 1:
                raise RuntimeError(
                    f"Attempting to broadcast a dimension of length {shape[i]} at {i}! Mismatching "
                    f"argument at index {k} had {shape}; but expected shape should be "
                    f"broadcastable to {common}"
                )
            common[i] = shape[i]
    return Size(common)


def as_strided(input: Tensor, size: Any, stride: Any, storage_offset: int | None = None) -> Tensor:
    """A view of input's memory with the given geometry."""
    return input.as_strided(size, stride, storage_offset)  # type: ignore[attr-defined]


def _at_least(n: int) -> Any:
    def one(x: Tensor) -> Tensor:
        if x.ndim >= n:
            return x
        shape = tuple(x.shape)
        if n == 3 and x.ndim == 2:
            return movement.reshape(x, (*shape, 1))
        if n == 3 and x.ndim == 1:
            return movement.reshape(x, (1, *shape, 1))
        return movement.reshape(x, (1,) * (n - x.ndim) + shape)

    def fn(*tensors: Any) -> Any:
        if len(tensors) == 1 and isinstance(tensors[0], Tensor):
            return one(tensors[0])
        return tuple(one(x) for x in (tensors[0] if len(tensors) == 1 else tensors))

    fn.__name__ = f"atleast_{n}d"
    fn.__doc__ = f"Tensors with at least {n} axes."
    return fn


atleast_1d, atleast_2d, atleast_3d = [_at_least(n) for n in (1, 2, 3)]


def dstack(tensors: Any, *, out: Any = None) -> Tensor:
    """Joined along the third axis."""
    return into(out, cat([atleast_3d(x) for x in tensors], 2))


def column_stack(tensors: Any, *, out: Any = None) -> Tensor:
    """Vectors as columns, joined along the second axis."""
    return into(out, cat([movement.reshape(x, (-1, 1)) if x.ndim < 2 else x for x in tensors], 1))


def fliplr(input: Tensor) -> Tensor:
    """input with the second axis reversed."""
    return input.flip(1)  # type: ignore[attr-defined]


def flipud(input: Tensor) -> Tensor:
    """input with the first axis reversed."""
    return input.flip(0)  # type: ignore[attr-defined]


def rot90(input: Tensor, k: int = 1, dims: Any = (0, 1)) -> Tensor:
    """input turned by k quarter turns in the plane of dims, from the first towards the second."""
    a, b = dims
    k %= 4
    if k == 2:
        return input.flip(a, b)  # type: ignore[attr-defined]
    if k == 0:
        return input.clone()  # type: ignore[attr-defined]
    return input.flip(b).transpose(a, b).clone() if k == 1 else input.transpose(a, b).flip(b)  # type: ignore


def cartesian_prod(*tensors: Tensor) -> Tensor:
    """All combinations of the vectors' elements, as rows."""
    if len(tensors) == 1:
        return tensors[0]
    shape = tuple(x.shape[0] for x in tensors)
    grids = [
        movement.reshape(
            movement.expand(
                movement.reshape(x, tuple(-1 if i == k else 1 for k in range(len(shape)))), shape
            ),
            (-1,),
        )
        for i, x in enumerate(tensors)
    ]
    return stack(grids, 1)


def logspace(
    start: float,
    end: float,
    steps: int,
    base: float = 10.0,
    *,
    out: Any = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """base ** (steps numbers from start to end)."""
    d = dtype or dtypes.get_default_dtype()
    y = pointwise.pow(base, linspace(start, end, steps, dtype=dtypes.float64)).to(d)  # type: ignore
    return into(out, y.requires_grad_() if requires_grad else y)


def vander(x: Tensor, N: int | None = None, increasing: bool = False) -> Tensor:
    """Columns of powers of x."""
    n = x.shape[0] if N is None else N
    powers = arange(n) if increasing else arange(n).flip(0)  # type: ignore[attr-defined]
    return x.unsqueeze(1) ** powers  # type: ignore[attr-defined]


def block_diag(*tensors: Tensor) -> Tensor:
    """The matrices along the diagonal of a zero matrix."""
    xs = [atleast_2d(x) for x in tensors]
    width = sum(x.shape[1] for x in xs)
    at, rows = 0, []
    for x in xs:
        r, c = x.shape
        rows.append(
            cat([zeros(r, at, dtype=x.dtype), x, zeros(r, width - at - c, dtype=x.dtype)], 1)
        )
        at += c
    return cat(rows, 0)


# ---------------------------------------------------------------- elementwise compositions


@shown("NanToNumBackward0")
def nan_to_num(
    input: Tensor, nan: Any = 0.0, posinf: Any = None, neginf: Any = None, *, out: Any = None
) -> Tensor:
    """input with nan, inf and -inf replaced (by 0 and the largest finite numbers)."""
    if not input.dtype.is_floating_point:
        return into(out, input.clone())  # type: ignore[attr-defined]
    limit = dtypes.finfo(input.dtype)
    y = pointwise.where(pointwise.isnan(input), 0.0 if nan is None else nan, input)
    y = pointwise.where(input == math.inf, limit.max if posinf is None else posinf, y)
    return into(
        out, pointwise.where(input == -math.inf, limit.min if neginf is None else neginf, y)
    )


@shown("LogaddexpBackward0")
def logaddexp(input: Tensor, other: Tensor, *, out: Any = None) -> Tensor:
    """log(exp(input) + exp(other)), computed stably."""
    top = pointwise.maximum(input, other)
    same = input == other  # also both inf: their difference would be nan
    gap = pointwise.where(same, 0.0, pointwise.abs(input - other))
    return into(out, top + pointwise.log1p(pointwise.exp(-gap)))


@shown("XlogyBackward0")
def xlogy(input: Any, other: Any, *, out: Any = None) -> Tensor:
    """input * log(other); 0 where input is 0 (nan where other is nan)."""
    x = input if isinstance(input, Tensor) else full((), input)
    y = other if isinstance(other, Tensor) else full((), other)
    # only where the product is no number: elsewhere the derivative by input is log(other)
    bad = pointwise.logical_and(x == 0, pointwise.logical_or(y <= 0, y == math.inf))
    product = x * pointwise.log(pointwise.where(bad, 1.0, y))
    return into(out, pointwise.where(bad, 0.0, product) + 0.0)


def logit(input: Tensor, eps: Any = None, *, out: Any = None) -> Tensor:
    """log(x / (1 - x)), of x limited to [eps, 1 - eps] when eps is given."""
    x = input if eps is None else pointwise.clamp_max(pointwise.clamp_min(input, eps), 1 - eps)
    return into(out, pointwise.log(x / (1 - x)))


@shown("HypotBackward0")
def hypot(input: Tensor, other: Tensor, *, out: Any = None) -> Tensor:
    """sqrt(input**2 + other**2), scaled so that squares do not overflow."""
    a, b = pointwise.abs(input), pointwise.abs(other)
    big, small = pointwise.maximum(a, b), pointwise.minimum(a, b)
    plain = pointwise.logical_or(big == 0, big == math.inf)
    r = small / pointwise.where(plain, 1.0, big)
    return into(out, pointwise.where(plain, big, big * pointwise.sqrt(1 + r * r)))


def signbit(input: Tensor, *, out: Any = None) -> Tensor:
    """Whether the sign is minus (also of -0.0)."""
    if input.dtype.is_floating_point:
        return into(out, pointwise.copysign(1.0, input) < 0)
    return into(out, input < 0)


def heaviside(input: Tensor, values: Tensor, *, out: Any = None) -> Tensor:
    """0 below 0, values at 0, 1 above."""
    step = (input > 0).to(input.dtype)  # type: ignore[attr-defined]
    return into(
        out,
        pointwise.where(pointwise.isnan(input), input, pointwise.where(input == 0, values, step)),
    )


@shown("Deg2RadBackward0")
def deg2rad(input: Tensor, *, out: Any = None) -> Tensor:
    """Degrees to radians."""
    return into(out, input * (math.pi / 180.0))


@shown("Rad2DegBackward0")
def rad2deg(input: Tensor, *, out: Any = None) -> Tensor:
    """Radians to degrees."""
    return into(out, input * (180.0 / math.pi))


def positive(input: Tensor) -> Tensor:
    """input itself. RuntimeError for bools."""
    if input.dtype is dtypes.bool_:
        raise RuntimeError("The `+` operator, on a bool tensor is not supported.")
    return input


FUNCTIONS = (
    "einsum",
    "tensordot",
    "inner",
    "kron",
    "cross",
    "cdist",
    "dist",
    "trace",
    "addmv",
    "addr",
    "diag_embed",
    "diagflat",
    "tril_indices",
    "triu_indices",
    "argwhere",
    "broadcast_shapes",
    "as_strided",
    "atleast_1d",
    "atleast_2d",
    "atleast_3d",
    "dstack",
    "column_stack",
    "fliplr",
    "flipud",
    "rot90",
    "cartesian_prod",
    "logspace",
    "vander",
    "block_diag",
    "nan_to_num",
    "logaddexp",
    "xlogy",
    "logit",
    "hypot",
    "signbit",
    "heaviside",
    "deg2rad",
    "rad2deg",
    "positive",
)
METHODS = (
    "inner",
    "kron",
    "cross",
    "dist",
    "trace",
    "addmv",
    "addr",
    "diag_embed",
    "diagflat",
    "argwhere",
    "fliplr",
    "flipud",
    "rot90",
    "nan_to_num",
    "logaddexp",
    "xlogy",
    "logit",
    "hypot",
    "signbit",
    "heaviside",
    "deg2rad",
    "rad2deg",
    "positive",
)
INPLACE = (
    "addmv",
    "addr",
    "nan_to_num",
    "xlogy",
    "logit",
    "hypot",
    "heaviside",
    "deg2rad",
    "rad2deg",
)

entry.wrap(__name__, globals())
autocast.wrap("", globals())
