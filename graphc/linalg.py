"""`graphc.linalg`: norms, factorisations, solvers and eigenvalues of matrices and batches of them,
with PyTorch's names, checks and named tuples. Source:
https://pytorch.org/docs/stable/linalg.html"""

from __future__ import annotations

import math
from typing import Any

from . import algebra, functional
from .base import dtypes, entry
from .base.dtypes import DType
from .core import autocast
from .core.tensor import Tensor
from .functional import _return_type
from .ir.types import broadcast_shapes, dim_index, numel
from .ops import contract, movement, pointwise, reduce
from .ops import linalg as ops
from .ops.linalg import LinAlgError
from .ops.pointwise import cast
from .out import into, into_each, shown

matmul = functional.matmul


def _kind(name: str, *fields: str) -> Any:
    return _return_type("linalg_" + name, *fields)


return_inv_ex = _kind("inv_ex", "inverse", "info")
return_solve_ex = _kind("solve_ex", "result", "info")
return_cholesky_ex = _kind("cholesky_ex", "L", "info")
return_slogdet = _kind("slogdet", "sign", "logabsdet")
return_qr = _kind("qr", "Q", "R")
return_svd = _kind("svd", "U", "S", "Vh")
return_eigh = _kind("eigh", "eigenvalues", "eigenvectors")
return_eig = _kind("eig", "eigenvalues", "eigenvectors")
return_lu = _kind("lu", "P", "L", "U")
return_lu_factor = _kind("lu_factor", "LU", "pivots")
return_lu_factor_ex = _kind("lu_factor_ex", "LU", "pivots", "info")
return_lstsq = _kind("lstsq", "solution", "residuals", "rank", "singular_values")
return_ldl_factor = _kind("ldl_factor", "LD", "pivots")
return_ldl_factor_ex = _kind("ldl_factor_ex", "LD", "pivots", "info")


# ---------------------------------------------------------------- checks


def _floating(name: str, x: Tensor, low: bool = False) -> None:
    if x.dtype.category < dtypes.FLOAT:
        raise RuntimeError(
            f"{name}: Expected a floating point or complex tensor as input. Got {x.dtype.title}"
        )
    if x.dtype.is_half and not low:
        raise RuntimeError(f"{name}: Low precision dtypes not supported. Got {x.dtype.title}")


def _matrix(name: str, x: Tensor, what: str = "A") -> None:
    if x.ndim < 2:
        raise RuntimeError(f"{name}: The input tensor {what} must have at least 2 dimensions.")
    _floating(name, x)


def _square(name: str, x: Tensor, what: str = "A") -> None:
    _matrix(name, x, what)
    if x.shape[-1] != x.shape[-2]:
        raise RuntimeError(
            f"{name}: {what} must be batches of square matrices, but they are {x.shape[-2]} by "
            f"{x.shape[-1]} matrices"
        )


def _same_dtype(name: str, a: Tensor, b: Tensor, first: str = "A", second: str = "B") -> None:
    if a.dtype is not b.dtype:
        raise RuntimeError(
            f"{name}: Expected {first} and {second} to have the same dtype, but found {first} of "
            f"type {a.dtype.title} and {second} of type {b.dtype.title} instead"
        )


def _real(x: Tensor) -> Tensor:
    return x.real if x.dtype.is_complex else x  # type: ignore[attr-defined]


# ---------------------------------------------------------------- norms


def _dims(dim: Any, x: Tensor) -> Any:
    return dim if dim is None or isinstance(dim, int) else tuple(dim)


def vector_norm(
    x: Tensor,
    ord: Any = 2,
    dim: Any = None,
    keepdim: bool = False,
    *,
    dtype: DType | None = None,
    out: Any = None,
) -> Tensor:
    """The ord-norm of the elements along dim (all by default): ord a number, inf or -inf."""
    _norm_dtype("linalg.vector_norm", x, dtype)
    y = x if dtype is None else cast(x, dtype)
    dims = _dims(dim, x)
    ord = float(ord)
    if (ord < 0 or ord == math.inf) and numel(tuple(x.shape)) == 0:
        _check_empty_norm(x, ord, dims)
    if y.dtype.is_half:  # PyTorch adds in float32
        return into(
            out, cast(functional.norm(cast(y, dtypes.float32), ord, dims, keepdim), y.dtype)
        )
    return into(out, functional.norm(y, ord, dims, keepdim))


def _norm_dtype(name: str, x: Tensor, dtype: DType | None) -> None:
    _floating(name, x, low=True)
    if dtype is None:
        return
    if dtype.category < dtypes.FLOAT:
        raise RuntimeError(f"{name}: dtype should be floating point or complex. Got {dtype.title}")
    if dtype.is_complex != x.dtype.is_complex:
        kind = "complex" if x.dtype.is_complex else "real"
        raise RuntimeError(
            f"{name}: dtype should be {kind} for {kind} inputs, but got {dtype.title}"
        )


def _check_empty_norm(x: Tensor, ord: float, dims: Any) -> None:
    shown = "inf" if ord == math.inf else "-inf" if ord == -math.inf else f"{ord:g}"
    if dims is None:
        raise RuntimeError(
            f"linalg.vector_norm cannot compute the {shown} norm on an empty tensor because the "
            "operation does not have an identity"
        )
    for d in (dims,) if isinstance(dims, int) else dims:
        if x.shape[d] == 0:
            raise RuntimeError(
                f"linalg.vector_norm cannot compute the {shown} norm on the dimension {d}because "
                "this dimension is empty and the operation does not have an identity"
            )


def matrix_norm(
    A: Tensor,
    ord: Any = "fro",
    dim: Any = (-2, -1),
    keepdim: bool = False,
    *,
    dtype: DType | None = None,
    out: Any = None,
) -> Tensor:
    """The norm of matrices over two axes: "fro", "nuc", 1, -1, 2, -2, inf or -inf."""
    if A.ndim < 2:
        raise RuntimeError(
            "linalg.matrix_norm: The input tensor A must have at least 2 dimensions."
        )
    dims = tuple(dim)
    if len(dims) != 2:
        raise RuntimeError("linalg.matrix_norm: dim must be a 2-tuple. Got " + _listed(dims))
    a, b = [dim_index(d, A.ndim) for d in dims]
    if a == b:
        raise RuntimeError(
            f"linalg.matrix_norm: dims must be different. Got ({dims[0]}, {dims[1]})"
        )
    _norm_dtype("linalg.matrix_norm", A, dtype)
    x = A if dtype is None else cast(A, dtype)
    if ord == "fro":
        return into(out, functional.norm(x, 2, (a, b), keepdim))
    if isinstance(ord, str) and ord != "nuc":
        raise RuntimeError(f"linalg.matrix_norm: Order {ord} not supported.")
    if ord == "nuc" or abs(ord) == 2:
        return into(out, _spectral(x, ord, a, b, keepdim))
    if abs(ord) not in (1, math.inf):
        raise RuntimeError(f"linalg.matrix_norm: Order {ord} not supported.")
    summed, kept = (a, b) if abs(ord) == 1 else (b, a)
    sums = reduce.sum(pointwise.abs(x), (summed,), True)
    if ord > 0 and sums.shape[kept] == 0:  # the norm of an empty matrix is 0
        y = reduce.sum(sums, (kept,), True)
    else:
        reduce.check_nonempty("amax" if ord > 0 else "amin", tuple(sums.shape), (kept,))
        y = (reduce.amax if ord > 0 else reduce.amin)(sums, (kept,), True)
    return into(out, y if keepdim else movement.squeeze(y, tuple(sorted((a, b)))))


def _listed(xs: Any) -> str:
    return ", ".join(map(str, xs))


def _spectral(x: Tensor, ord: Any, a: int, b: int, keepdim: bool) -> Tensor:
    moved = functional.movedim(x, (a, b), (-2, -1))
    s = svdvals(moved)
    if ord == "nuc" or s.shape[-1] == 0 and ord > 0:
        y = reduce.sum(s, (s.ndim - 1,), False)
    else:
        reduce.check_nonempty("amin", tuple(s.shape), (s.ndim - 1,))
        y = (reduce.amax if ord > 0 else reduce.amin)(s, (s.ndim - 1,), False)
    if keepdim:
        for d in sorted((a, b)):
            y = movement.unsqueeze(y, d)
    return y


def norm(
    A: Tensor,
    ord: Any = None,
    dim: Any = None,
    keepdim: bool = False,
    *,
    out: Any = None,
    dtype: DType | None = None,
) -> Tensor:
    """The vector norm over one axis (or all, without ord), the matrix norm over two."""
    if ord is not None:
        if dim is not None and not isinstance(dim, int) and len(tuple(dim)) not in (1, 2):
            raise RuntimeError(
                "linalg.norm: If dim is specified, it must be of length 1 or 2. Got "
                f"[{_listed(dim)}]"
            )
        if dim is None and A.ndim not in (1, 2):
            raise RuntimeError(
                "linalg.norm: If dim is not specified but ord is, the input must be 1D or 2D. Got "
                f"{A.ndim}D."
            )
        many = A.ndim == 2 if dim is None else not isinstance(dim, int) and len(tuple(dim)) == 2
        if many:
            return matrix_norm(
                A, ord, (0, 1) if dim is None else dim, keepdim, dtype=dtype, out=out
            )
        if isinstance(ord, str):
            return matrix_norm(A, ord)  # which refuses vectors
    return vector_norm(A, 2 if ord is None else ord, dim, keepdim, dtype=dtype, out=out)


def cond(A: Tensor, p: Any = None, *, out: Any = None) -> Tensor:
    """The condition number in a matrix norm: the ratio of singular values for None, 2 and -2."""
    _matrix("linalg.cond", A)
    if p is None or p in (2, -2):
        s = svdvals(A)
        top, low = s[..., 0], s[..., -1]  # type: ignore[index]
        return into(out, low / top if p == -2 else top / low)
    _square("linalg.cond", A)
    inverse, info = inv_ex(A)
    y = matrix_norm(A, p) * matrix_norm(inverse, p)
    return into(out, pointwise.where(info == 0, y, math.inf))


# ---------------------------------------------------------------- products


def multi_dot(tensors: Any, *, out: Any = None) -> Tensor:
    """The product of matrices in the cheapest order; the first and last may be vectors."""
    xs = list(tensors)
    if len(xs) < 2:
        raise RuntimeError(f"multi_dot(): expected at least 2 tensors but got {len(xs)}")
    row, col = xs[0].ndim == 1, xs[-1].ndim == 1
    for i, x in enumerate(xs):
        if x.ndim != 2 and not (x.ndim == 1 and i in (0, len(xs) - 1)):
            which = "the first" if i == 0 else "the last" if i == len(xs) - 1 else f"tensor {i}"
            kind = "1D or 2D" if i in (0, len(xs) - 1) else "2D"
            raise RuntimeError(
                f"multi_dot(): {which} tensor must be {kind} but got {x.ndim}D"
                if i in (0, len(xs) - 1)
                else f"multi_dot(): tensor {i} must be 2D but got {x.ndim}D"
            )
    xs[0] = xs[0].unsqueeze(0) if row else xs[0]
    xs[-1] = xs[-1].unsqueeze(1) if col else xs[-1]
    y = _chain(xs)
    y = y.squeeze(-1) if col else y  # type: ignore[attr-defined]
    y = y.squeeze(0) if row else y  # type: ignore[attr-defined]
    return into(out, y)


def _chain(xs: list) -> Tensor:
    sizes = [int(xs[0].shape[0])] + [int(x.shape[1]) for x in xs]
    n = len(xs)
    cost = [[0] * n for _ in range(n)]
    cut = [[0] * n for _ in range(n)]
    for length in range(1, n):
        for i in range(n - length):
            j = i + length
            found = [
                (cost[i][k] + cost[k + 1][j] + sizes[i] * sizes[k + 1] * sizes[j + 1], k)
                for k in range(i, j)
            ]
            cost[i][j], cut[i][j] = min(found)

    def multiply(i: int, j: int) -> Tensor:
        if i == j:
            return xs[i]
        return contract.mm(multiply(i, cut[i][j]), multiply(cut[i][j] + 1, j))

    return multiply(0, n - 1)


def matrix_power(A: Tensor, n: int, *, out: Any = None) -> Tensor:
    """The product of n copies of square matrices; of the inverse for negative n."""
    _square_any("linalg.matrix_power", A)
    if n == 0:
        return into(out, _identity_like(A))
    base = inv(A) if n < 0 else A
    n, y = abs(n), None
    while n:
        if n & 1:
            y = base if y is None else functional.matmul(y, base)
        n >>= 1
        base = functional.matmul(base, base) if n else base
    return into(out, y if y is not A else A.clone())  # type: ignore


def _square_any(name: str, x: Tensor) -> None:
    if x.ndim < 2:
        raise RuntimeError(f"{name}: The input tensor A must have at least 2 dimensions.")
    if x.shape[-1] != x.shape[-2]:
        raise RuntimeError(
            f"{name}: A must be batches of square matrices, but they are {x.shape[-2]} by "
            f"{x.shape[-1]} matrices"
        )


def _identity_like(x: Tensor) -> Tensor:
    one = ops._eye(x, x.shape[-1])
    return one.expand(tuple(x.shape)).clone()  # type: ignore[attr-defined]


def matrix_exp(A: Tensor) -> Tensor:
    """The exponential of square matrices."""
    _square("linalg.matrix_exp", A)
    return ops.matrix_exp(A)


def vecdot(x: Tensor, y: Tensor, *, dim: int = -1, out: Any = None) -> Tensor:
    """Sum of conj(x) * y along dim."""
    d = dim_index(dim, max(x.ndim, y.ndim))
    return into(out, reduce.sum(x.conj() * y, (d,), False))  # type: ignore[attr-defined]


@shown("LinalgCrossBackward0")
def cross(input: Tensor, other: Tensor, *, dim: int = -1, out: Any = None) -> Tensor:
    """The cross product of 3-vectors along dim."""
    if input.ndim != other.ndim:
        raise RuntimeError("linalg.cross: inputs must have the same number of dimensions.")
    return algebra.cross(input, other, dim, out=out)


def diagonal(A: Tensor, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """The diagonal of matrices (a view)."""
    return functional.diagonal(A, offset, dim1, dim2)


def vander(x: Tensor, *, N: int | None = None) -> Tensor:
    """Rows of growing powers of the elements of x [..., n]: [..., n, N]."""
    if x.ndim == 0:
        raise RuntimeError("linalg.vander: input must have at least one dimension")
    n = x.shape[-1] if N is None else N
    if n <= 1:
        raise RuntimeError("linalg.vander: N must be greater than 1.")
    if x.dtype.category < dtypes.FLOAT:
        x = cast(x, dtypes.int64)
    one = x.new_ones((*x.shape, 1))  # type: ignore[attr-defined]
    rest = x.unsqueeze(-1).expand((*x.shape, n - 1))  # type: ignore[attr-defined]
    return functional.cat([one, rest.cumprod(-1)], -1)


# ---------------------------------------------------------------- inverse and determinants


def inv(A: Tensor, *, out: Any = None) -> Tensor:
    """The inverse of square matrices. LinAlgError for singular ones."""
    _square("linalg.inv", A)
    return into(out, ops.inv(A, True, "linalg.inv")[0])


def inv_ex(A: Tensor, *, check_errors: bool = False, out: Any = None) -> Any:
    """(inverse, info): info is 0, or says which diagonal element of U is zero."""
    _square("linalg.inv", A)
    return into_each(out, return_inv_ex, ops.inv(A, check_errors, "linalg.inv_ex"))


def det(A: Tensor, *, out: Any = None) -> Tensor:
    """The determinant of square matrices."""
    _square("linalg.det", A)
    return into(out, ops.det(A))


def slogdet(A: Tensor, *, out: Any = None) -> Any:
    """(sign, logarithm of the absolute value) of the determinant."""
    _square("linalg.slogdet", A)
    return into_each(out, return_slogdet, ops.slogdet(A))


def pinv(
    A: Tensor,
    *,
    atol: Any = None,
    rtol: Any = None,
    rcond: Any = None,
    hermitian: bool = False,
    out: Any = None,
) -> Tensor:
    """The pseudo-inverse; singular values up to max(atol, rtol * largest) count as zero."""
    _matrix("linalg.pinv", A)
    rtol = rcond if rtol is None and rcond is not None else rtol
    if hermitian:
        _square("linalg.pinv", A)
    atol, rtol = _tolerances(A, atol, rtol)
    if isinstance(atol, Tensor) or isinstance(rtol, Tensor):
        return into(out, _pinv_by_tensors(A, atol, rtol))
    return into(out, ops.pinv(A, float(atol), float(rtol)))


def _tolerances(A: Tensor, atol: Any, rtol: Any) -> tuple:
    if rtol is None:
        eps = dtypes.finfo(A.dtype).eps * max(A.shape[-2:])
        given = atol is not None and (isinstance(atol, Tensor) or atol > 0)
        rtol = 0.0 if given else eps
    return (0.0 if atol is None else atol), rtol


def _pinv_by_tensors(A: Tensor, atol: Any, rtol: Any) -> Tensor:
    u, s, vh = ops.svd(A, False)
    cut = _cut(s, atol, rtol)
    good = s > cut
    r = pointwise.where(good, 1.0 / pointwise.where(good, s, 1.0), 0.0)
    return (vh.mH * r.unsqueeze(-2)) @ u.mH  # type: ignore[attr-defined]


def _cut(s: Tensor, atol: Any, rtol: Any) -> Any:
    def wide(t: Any) -> Any:
        return t.unsqueeze(-1) if isinstance(t, Tensor) and t.ndim else t  # type: ignore

    top = reduce.amax(s, (s.ndim - 1,), True)
    return functional.maximum(top * wide(rtol), top * 0 + wide(atol))  # type: ignore[attr-defined]


def matrix_rank(
    A: Tensor,
    tol: Any = None,
    hermitian: bool = False,
    *,
    atol: Any = None,
    rtol: Any = None,
    out: Any = None,
) -> Tensor:
    """How many singular values are above max(atol, rtol * largest)."""
    _matrix("linalg.matrix_rank", A, "input")
    if tol is not None:
        atol, rtol = tol, 0.0
    atol, rtol = _tolerances(A, atol, rtol)
    x = A.detach()  # type: ignore[attr-defined]
    if hermitian:
        s = pointwise.abs(eigvalsh(x))
    else:
        s = svdvals(x)
    if s.shape[-1] == 0:
        return into(out, s.new_zeros(tuple(s.shape[:-1]), dtype=dtypes.int64))  # type: ignore
    return into(out, reduce.sum(s > _cut(s, atol, rtol), (s.ndim - 1,), False))


# ---------------------------------------------------------------- solving


def _is_vector(A: Tensor, B: Tensor) -> bool:
    return B.ndim == 1 or (A.ndim - 1 == B.ndim and tuple(B.shape) == tuple(A.shape[:-1]))


def solve(A: Tensor, B: Tensor, *, left: bool = True, out: Any = None) -> Tensor:
    """X with A X = B (X A = B for left=False); B may be a vector per matrix. LinAlgError for
    singular matrices."""
    return into(out, _solve(A, B, left, True)[0])


def solve_ex(
    A: Tensor, B: Tensor, *, left: bool = True, check_errors: bool = False, out: Any = None
) -> Any:
    """(result, info) of solve(), without its error."""
    return into_each(out, return_solve_ex, _solve(A, B, left, check_errors))


def _solve(A: Tensor, B: Tensor, left: bool, check: bool) -> tuple:
    _square("linalg.solve", A)
    _floating("linalg.solve", B)
    _same_dtype("linalg.solve", A, B)
    vector = _is_vector(A, B)
    x = B.unsqueeze(-1) if vector else B  # type: ignore[attr-defined]
    if vector and not left:
        raise RuntimeError(
            "linalg.solve: Vector broadcasting of the left hand side is not supported for "
            "left=False. In this case linalg.solve is equivalent to B / A.squeeze(-1)"
        )
    if x.ndim < 2:
        raise RuntimeError("linalg.solve: The input tensor B must have at least 2 dimensions.")
    a = A
    if not left:
        a, x = A.mT, x.mT  # type: ignore[attr-defined]
    _compatible("linalg.solve", A, B, a.shape[-1], x.shape[-2], left)
    _batches("linalg.solve", a, x)
    y, info = ops.solve(a, x, check)
    y = y.mT if not left else y  # type: ignore[attr-defined]
    return (y.squeeze(-1) if vector else y), info  # type: ignore[attr-defined]


def _compatible(name: str, A: Tensor, B: Tensor, n: Any, m: Any, left: bool) -> None:
    if n != m:
        form = "AX = B" if left else "XA = B"
        shape = f"{B.shape[-2]}x{B.shape[-1]}" if B.ndim > 1 else f"{B.shape[0]}x1"
        raise RuntimeError(
            f"{name}: Incompatible shapes of A and B for the equation {form} "
            f"({A.shape[-2]}x{A.shape[-1]} and {shape})"
        )


def _batches(name: str, a: Tensor, b: Tensor) -> None:
    try:
        broadcast_shapes(tuple(a.shape[:-2]), tuple(b.shape[:-2]))
    except RuntimeError as e:
        raise RuntimeError(str(e)) from None


def solve_triangular(
    A: Tensor,
    B: Tensor,
    *,
    upper: bool,
    left: bool = True,
    unitriangular: bool = False,
    out: Any = None,
) -> Tensor:
    """X with A X = B (X A = B for left=False), where one triangle of A counts."""
    _square("linalg.solve_triangular", A)
    _matrix("linalg.solve_triangular", B, "B")
    _same_dtype("linalg.solve_triangular", A, B)
    if left:
        _compatible("linalg.solve_triangular", A, B, A.shape[-1], B.shape[-2], True)
        return into(out, ops.solve_triangular(A, B, bool(upper), bool(unitriangular)))
    _compatible("linalg.solve_triangular", A, B, A.shape[-1], B.shape[-1], False)
    y = ops.solve_triangular(A.mT, B.mT, not upper, bool(unitriangular))  # type: ignore
    return into(out, y.mT)


def lstsq(A: Tensor, B: Tensor, rcond: Any = None, *, driver: Any = None) -> Any:
    """(solution, residuals, rank, singular_values) of the least squares problem A X = B."""
    _matrix("linalg.lstsq", A, "input")
    _same_dtype("torch.linalg.lstsq", A, B, "input", "other")
    if driver not in (None, "gels", "gelsy", "gelsd", "gelss"):
        raise RuntimeError(
            "torch.linalg.lstsq: parameter `driver` should be one of (gels, gelsy, gelsd, gelss)"
        )
    vector = _is_vector(A, B)
    b = B.unsqueeze(-1) if vector else B  # type: ignore[attr-defined]
    if A.shape[-2] != b.shape[-2]:
        raise RuntimeError(
            "torch.linalg.lstsq: input.size(-2) should match other.size(-2)"
            if not vector
            else "torch.linalg.lstsq: input.size(-2) should match other.size(-1)"
        )
    m, n = A.shape[-2:]
    cut = dtypes.finfo(A.dtype).eps * max(m, n) if rcond is None else float(rcond)
    x, rank, s = ops.lstsq(A, b, cut)
    rest = A.new_empty((0,))  # type: ignore[attr-defined]
    driver = driver or "gelsy"
    if m > n and driver != "gelsy" and bool((rank == n).all()):
        gap = A @ x - b
        square = _real(gap * gap.conj())
        rest = reduce.sum(square, (square.ndim - 2,), False)
    solution = x.squeeze(-1) if vector else x
    gives_rank = driver != "gels"
    gives_values = driver in ("gelsd", "gelss")
    return return_lstsq(
        solution,
        rest,
        rank if gives_rank else rank.new_empty((0,)),
        s if gives_values else s.new_empty((0,)),
    )


def tensorinv(A: Tensor, ind: int = 2, *, out: Any = None) -> Tensor:
    """The inverse of A seen as a matrix from its last axes to its first `ind` ones."""
    if ind <= 0:
        raise RuntimeError("Expected a strictly positive integer for 'ind'")
    lead, rest = tuple(A.shape[:ind]), tuple(A.shape[ind:])
    if numel(lead) != numel(rest):
        raise RuntimeError(
            "Expected self to satisfy the requirement prod(self.shape[ind:]) == "
            f"prod(self.shape[:ind]), but got {numel(rest)} != {numel(lead)}"
        )
    flat = ops.inv(A.reshape((numel(lead), -1)), True, "linalg.tensorinv")[0]  # type: ignore
    return into(out, flat.reshape((*rest, *lead)))


def tensorsolve(A: Tensor, B: Tensor, dims: Any = None, *, out: Any = None) -> Tensor:
    """X with tensordot(A, X, X.ndim) = B."""
    x = A
    if dims is not None:
        moved = [dim_index(d, A.ndim) for d in dims]
        x = functional.movedim(A, moved, list(range(A.ndim - len(moved), A.ndim)))
    rest = tuple(x.shape[B.ndim :])
    if numel(rest) != numel(tuple(B.shape)):
        raise RuntimeError(
            "Expected self to satisfy the requirement prod(self.shape[other.ndim:]) == "
            f"prod(self.shape[:other.ndim]), but got {numel(rest)} != {numel(tuple(B.shape))}"
        )
    y = solve(x.reshape((numel(tuple(B.shape)), -1)), B.reshape((-1,)))  # type: ignore
    return into(out, y.reshape(rest))


# ---------------------------------------------------------------- factorisations


def cholesky(A: Tensor, *, upper: bool = False, out: Any = None) -> Tensor:
    """The lower factor L of A = L L^H (the upper one of A = U^H U). LinAlgError where A is not
    positive-definite."""
    _square("linalg.cholesky", A)
    return into(out, ops.cholesky(A, bool(upper), True)[0])


def cholesky_ex(
    A: Tensor, *, upper: bool = False, check_errors: bool = False, out: Any = None
) -> Any:
    """(L, info): info is 0, or the order of the first leading minor that is not
    positive-definite."""
    _square("linalg.cholesky", A)
    return into_each(out, return_cholesky_ex, ops.cholesky(A, bool(upper), bool(check_errors)))


def qr(A: Tensor, mode: str = "reduced", *, out: Any = None) -> Any:
    """(Q, R): mode "reduced", "complete" or "r" (Q is empty)."""
    _matrix("linalg.qr", A)
    if mode not in ("reduced", "complete", "r"):
        raise RuntimeError(
            f"qr received unrecognized mode '{mode}' but expected one of 'reduced' (default), "
            "'r', or 'complete'"
        )
    return into_each(out, return_qr, ops.qr(A, mode))


def svd(A: Tensor, full_matrices: bool = True, *, driver: Any = None, out: Any = None) -> Any:
    """(U, S, Vh) with A = U diag(S) Vh."""
    _matrix("linalg.svd", A)
    _no_driver("linalg.svd", driver)
    return into_each(out, return_svd, ops.svd(A, bool(full_matrices)))


def _no_driver(name: str, driver: Any) -> None:
    if driver is not None:
        raise RuntimeError(f"{name}: keyword argument `driver=` is only supported on CUDA inputs")


def svdvals(A: Tensor, *, driver: Any = None, out: Any = None) -> Tensor:
    """The singular values in descending order."""
    _matrix("linalg.svdvals", A)
    _no_driver("linalg.svd", driver)
    return into(out, ops.svd(A, False)[1])


def eigh(A: Tensor, UPLO: str = "L", *, out: Any = None) -> Any:
    """(eigenvalues, eigenvectors) of Hermitian matrices, of which one triangle counts."""
    _square("linalg.eigh", A)
    return into_each(out, return_eigh, ops.eigh(A, _uplo(UPLO)))


def _uplo(which: str) -> str:
    if which.upper() not in ("L", "U"):
        raise RuntimeError(f"Expected UPLO argument to be 'L' or 'U', but got {which}")
    return which.upper()


def eigvalsh(A: Tensor, UPLO: str = "L", *, out: Any = None) -> Tensor:
    """The eigenvalues of Hermitian matrices, ascending."""
    _square("linalg.eigvalsh", A)
    return into(out, ops.eigh(A, _uplo(UPLO))[0])


def eig(A: Tensor, *, out: Any = None) -> Any:
    """(eigenvalues, eigenvectors) of square matrices, complex."""
    _square("linalg.eig", A)
    return into_each(out, return_eig, ops.eig(A))


def eigvals(A: Tensor, *, out: Any = None) -> Tensor:
    """The eigenvalues of square matrices, complex."""
    _square("linalg.eigvals", A)
    return into(out, ops.eig(A)[0])


def lu_factor(A: Tensor, *, pivot: bool = True, out: Any = None) -> Any:
    """(LU, pivots): both factors in one matrix, and LAPACK's row exchanges (from 1)."""
    packed, pivots, info = _factored(A, pivot)
    _check_lu(info)
    return into_each(out, return_lu_factor, (packed, pivots))


def _factored(A: Tensor, pivot: bool) -> tuple:
    _matrix("torch.linalg.lu_factor", A)
    return ops.lu_factor(A, bool(pivot))


def _check_lu(info: Tensor) -> None:
    a = info._array
    if a is not None and a.any():
        at = ops._first(a)
        raise RuntimeError(
            f"torch.linalg.lu_factor: {ops._at(a.shape, at)}U[{int(a[at])},{int(a[at])}] is zero "
            "and using it on lu_solve would result in a division by zero. If you still want to "
            "perform the factorization, consider calling linalg.lu(A, pivot) or "
            "linalg.lu_factor_ex(A, pivot)"
        )


def lu_factor_ex(
    A: Tensor, *, pivot: bool = True, check_errors: bool = False, out: Any = None
) -> Any:
    """(LU, pivots, info): info is 0, or says which diagonal element of U is zero."""
    packed, pivots, info = _factored(A, pivot)
    if check_errors:
        _check_lu(info)
    return into_each(out, return_lu_factor_ex, (packed, pivots, info))


def lu(A: Tensor, *, pivot: bool = True, out: Any = None) -> Any:
    """(P, L, U) with A = P L U."""
    packed, pivots, _ = _factored(A, pivot)
    p, lower, upper = unpacked(packed, pivots)
    if not pivot:
        p = A.new_empty((0,))  # type: ignore[attr-defined]
    return into_each(out, return_lu, (p, lower, upper))


def unpacked(packed: Tensor, pivots: Tensor) -> tuple:
    """(P, L, U) of what lu_factor gives."""
    m, n = packed.shape[-2:]
    k = min(m, n)
    lower = packed[..., :, :k].tril(-1)  # type: ignore[index]
    one = ops._eye(packed, m)[:, :k]  # type: ignore[index]
    upper = packed[..., :k, :].triu()  # type: ignore[index]
    return ops.permutation(pivots, m, packed), lower + one, upper


def lu_solve(
    LU: Tensor,
    pivots: Tensor,
    B: Tensor,
    *,
    left: bool = True,
    adjoint: bool = False,
    out: Any = None,
) -> Tensor:
    """X with A X = B from lu_factor's result (X A = B for left=False, A^H for adjoint)."""
    _square("torch.linalg.lu_solve", LU, "LU")
    _same_dtype("linalg.lu_solve", LU, B, "LU", "B")
    p = ops.permutation(pivots, LU.shape[-1], LU)
    if not left:  # X A = B means A^H X^H = B^H
        y = lu_solve(LU, pivots, B.mH, adjoint=not adjoint)  # type: ignore[attr-defined]
        return into(out, y.mH)
    if adjoint:
        y = ops.solve_triangular(LU.mH, B, False, False)  # type: ignore[attr-defined]
        y = ops.solve_triangular(LU.mH, y, True, True)  # type: ignore[attr-defined]
        return into(out, p @ y)
    y = ops.solve_triangular(LU, p.mT @ B, False, True)
    return into(out, ops.solve_triangular(LU, y, True, False))


def householder_product(A: Tensor, tau: Tensor, *, out: Any = None) -> Tensor:
    """The first columns of the product of the reflections that the columns of A below the
    diagonal and tau describe."""
    if A.ndim < 2:
        raise RuntimeError(
            "torch.linalg.householder_product: input must have at least 2 dimensions."
        )
    m, n = A.shape[-2:]
    k = tau.shape[-1]
    if m < n:
        raise RuntimeError(
            "torch.linalg.householder_product: input.shape[-2] must be greater than or equal to "
            "input.shape[-1]"
        )
    if n < k:
        raise RuntimeError(
            "torch.linalg.householder_product: input.shape[-1] must be greater than or equal to "
            "tau.shape[-1]"
        )
    return into(out, reflections(A, tau, m)[..., :, :n])  # type: ignore[index]


def reflections(A: Tensor, tau: Tensor, m: int) -> Tensor:
    """The whole product [m, m] of Householder's reflections."""
    one = ops._eye(A, m)
    q: Any = one.expand((*A.shape[:-2], m, m))  # type: ignore[attr-defined]
    lower = A.tril(-1)  # type: ignore[attr-defined]
    for i in range(int(tau.shape[-1]) - 1, -1, -1):
        v = lower[..., :, i : i + 1] + one[:, i : i + 1]  # type: ignore[index]
        q = q - (tau[..., i, None, None] * v) @ (v.mH @ q)  # type: ignore[index]
    return q


# ---------------------------------------------------------------- LDL


def ldl_factor_ex(
    A: Tensor, *, hermitian: bool = False, check_errors: bool = False, out: Any = None
) -> Any:
    """(LD, pivots, info) of symmetric (Hermitian) matrices A = L D L^T, without exchanges of
    rows: pivots are 1, 2, 3 ..."""
    _square("torch.linalg.ldl_factor_ex", A)
    packed, pivots, info = ops.lu_factor(A, False)
    d = functional.diagonal(packed, 0, -2, -1)
    low = packed.tril(-1)
    if check_errors and bool((info != 0).any()):
        raise LinAlgError("torch.linalg.ldl_factor_ex: the factorization met a zero pivot")
    return into_each(
        out,
        return_ldl_factor_ex,
        (low + d.diag_embed(), pivots, info),  # type: ignore[attr-defined]
    )


def ldl_factor(A: Tensor, *, hermitian: bool = False, out: Any = None) -> Any:
    """(LD, pivots) of ldl_factor_ex. LinAlgError where a pivot is zero."""
    ld, pivots, _ = ldl_factor_ex(A, hermitian=hermitian, check_errors=True)
    return into_each(out, return_ldl_factor, (ld, pivots))


def ldl_solve(
    LD: Tensor, pivots: Tensor, B: Tensor, *, hermitian: bool = False, out: Any = None
) -> Tensor:
    """X with A X = B from ldl_factor's result."""
    _square("torch.linalg.ldl_solve", LD, "LD")
    y = ops.solve_triangular(LD, B, False, True)
    y = y / functional.diagonal(LD, 0, -2, -1).unsqueeze(-1)  # type: ignore[attr-defined]
    other = LD.mH if hermitian else LD.mT  # type: ignore[attr-defined]
    return into(out, ops.solve_triangular(other, y, True, True))


__all__ = [
    "LinAlgError",
    "cholesky",
    "cholesky_ex",
    "cond",
    "cross",
    "det",
    "diagonal",
    "eig",
    "eigh",
    "eigvals",
    "eigvalsh",
    "householder_product",
    "inv",
    "inv_ex",
    "ldl_factor",
    "ldl_factor_ex",
    "ldl_solve",
    "lstsq",
    "lu",
    "lu_factor",
    "lu_factor_ex",
    "lu_solve",
    "matmul",
    "matrix_exp",
    "matrix_norm",
    "matrix_power",
    "matrix_rank",
    "multi_dot",
    "norm",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "solve_ex",
    "solve_triangular",
    "svd",
    "svdvals",
    "tensorinv",
    "tensorsolve",
    "vander",
    "vecdot",
    "vector_norm",
]

entry.wrap(__name__, globals())
autocast.wrap("linalg", globals())
