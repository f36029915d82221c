"""Linear algebra under its older names in the top-level namespace and on Tensor: det, inverse,
cholesky, svd, qr, lu ... Thin over `linalg.py`. Source:
https://pytorch.org/docs/stable/torch.html#blas-and-lapack-operations"""

from __future__ import annotations

import math
from typing import Any

from . import functional, linalg
from .base import entry
from .base.dtypes import DType
from .core import autocast
from .core.tensor import Tensor
from .functional import _return_type
from .ir.types import dim_index
from .ops import linalg as ops
from .ops import pointwise, reduce
from .out import into, into_each

det, slogdet = linalg.det, linalg.slogdet
matrix_exp, matrix_power = linalg.matrix_exp, linalg.matrix_power
return_qr = _return_type("qr", "Q", "R")
return_svd = _return_type("svd", "U", "S", "V")
return_geqrf = _return_type("geqrf", "a", "tau")
return_triangular_solve = _return_type("triangular_solve", "solution", "cloned_coefficient")
return_lu_unpack = _return_type("lu_unpack", "P", "L", "U")


def norm(
    input: Tensor,
    p: Any = "fro",
    dim: Any = None,
    keepdim: bool = False,
    out: Any = None,
    dtype: DType | None = None,
) -> Tensor:
    """Vector norm over dim (all axes by default): p a number, inf, -inf, "fro" (2), or "nuc" for
    the sum of a matrix' singular values."""
    if p != "nuc":
        return functional.norm(input, p, dim, keepdim, out, dtype)
    axes = (-2, -1) if dim is None else dim
    return linalg.matrix_norm(input, "nuc", axes, keepdim, dtype=dtype, out=out)


def inverse(input: Tensor, *, out: Any = None) -> Tensor:
    """linalg.inv()."""
    return linalg.inv(input, out=out)


def pinverse(input: Tensor, rcond: float = 1e-15) -> Tensor:
    """linalg.pinv() with singular values up to rcond times the largest counted as zero."""
    return linalg.pinv(input, rcond=rcond)


def logdet(input: Tensor) -> Tensor:
    """The logarithm of the determinant; nan where that is negative."""
    linalg._square("logdet", input)
    sign, size = ops.slogdet(input)
    if input.dtype.is_complex:
        return size + pointwise.log(sign)
    return pointwise.where(sign == -1, math.nan, size)


def cholesky(input: Tensor, upper: bool = False, *, out: Any = None) -> Tensor:
    """linalg.cholesky()."""
    return linalg.cholesky(input, upper=upper, out=out)


def cholesky_solve(B: Tensor, L: Tensor, upper: bool = False, *, out: Any = None) -> Tensor:
    """X with A X = B, from the Cholesky factor L of A."""
    if B.ndim < 2 or L.ndim < 2:
        raise RuntimeError(
            f"{'b' if B.ndim < 2 else 'u'} should have at least 2 dimensions, but has "
            f"{B.ndim if B.ndim < 2 else L.ndim} dimensions instead"
        )
    factor = L.mH if upper else L  # type: ignore[attr-defined]
    y = ops.solve_triangular(factor, B, False, False)
    return into(out, ops.solve_triangular(factor.mH, y, True, False))


def cholesky_inverse(L: Tensor, upper: bool = False, *, out: Any = None) -> Tensor:
    """The inverse of A, from its Cholesky factor L."""
    linalg._square("cholesky_inverse", L)
    return into(out, cholesky_solve(linalg._identity_like(L), L, upper))


def qr(input: Tensor, some: bool = True, *, out: Any = None) -> Any:
    """(Q, R): reduced for some=True, else complete."""
    linalg._matrix("linalg.qr", input)
    return into_each(out, return_qr, ops.qr(input, "reduced" if some else "complete"))


def svd(input: Tensor, some: bool = True, compute_uv: bool = True, *, out: Any = None) -> Any:
    """(U, S, V) with input = U diag(S) V^H; reduced for some=True."""
    linalg._matrix("linalg.svd", input)
    u, s, vh = ops.svd(input, not some or not compute_uv)
    if not compute_uv:
        u, vh = u.detach() * 0, vh.detach() * 0
    return into_each(out, return_svd, (u, s, vh.mH))


def lu(A: Tensor, pivot: bool = True, get_infos: bool = False, out: Any = None) -> tuple:
    """(LU, pivots), and infos when asked for."""
    packed, pivots, info = linalg._factored(A, pivot)
    if not get_infos:
        linalg._check_lu(info)
    found = (packed, pivots, info) if get_infos else (packed, pivots)
    return found if out is None else into_each(out, lambda *ts: ts, found)


def lu_unpack(
    LU_data: Tensor,
    LU_pivots: Tensor,
    unpack_data: bool = True,
    unpack_pivots: bool = True,
    *,
    out: Any = None,
) -> Any:
    """(P, L, U) of what lu() gives; empty tensors for what is not asked for."""
    p, lower, upper = linalg.unpacked(LU_data, LU_pivots)
    none = LU_data.new_empty((0,))  # type: ignore[attr-defined]
    parts = (p if unpack_pivots else none, *((lower, upper) if unpack_data else (none, none)))
    return into_each(out, return_lu_unpack, parts)


def lu_solve(b: Tensor, LU_data: Tensor, LU_pivots: Tensor, *, out: Any = None) -> Tensor:
    """X with A X = b, from lu()'s result."""
    return linalg.lu_solve(LU_data, LU_pivots, b, out=out)


def triangular_solve(
    b: Tensor,
    A: Tensor,
    upper: bool = True,
    transpose: bool = False,
    unitriangular: bool = False,
    *,
    out: Any = None,
) -> Any:
    """(solution, A) of A X = b, where one triangle of A counts."""
    if b.ndim < 2 or A.ndim < 2:
        name, n = ("b", b.ndim) if b.ndim < 2 else ("A", A.ndim)
        raise RuntimeError(
            f"torch.triangular_solve: Expected {name} to have at least 2 dimensions, but it has "
            f"{n} dimensions instead"
        )
    linalg._square("triangular_solve", A)
    a = A.mT if transpose else A  # type: ignore[attr-defined]
    y = ops.solve_triangular(a, b, bool(upper) != bool(transpose), bool(unitriangular))
    return into_each(out, return_triangular_solve, (y, A.clone()))  # type: ignore[attr-defined]


def geqrf(input: Tensor, *, out: Any = None) -> Any:
    """(a, tau): R in the upper triangle and Householder's vectors below it, as LAPACK does."""
    linalg._matrix("torch.geqrf", input, "input")
    return into_each(out, return_geqrf, ops.geqrf(input.detach()))  # type: ignore[attr-defined]


def orgqr(input: Tensor, tau: Tensor, *, out: Any = None) -> Tensor:
    """linalg.householder_product()."""
    return linalg.householder_product(input, tau, out=out)


def ormqr(
    input: Tensor,
    tau: Tensor,
    other: Tensor,
    left: bool = True,
    transpose: bool = False,
    *,
    out: Any = None,
) -> Tensor:
    """The product of Q (from geqrf) and other: Q other, or other Q for left=False."""
    if input.ndim < 2 or other.ndim < 2:
        which = "input" if input.ndim < 2 else "other"
        raise RuntimeError(f"torch.ormqr: {which} must have at least 2 dimensions.")
    q = linalg.reflections(input, tau, input.shape[-2])
    q = q.mH if transpose else q
    return into(out, q @ other if left else other @ q)


def chain_matmul(*matrices: Tensor, out: Any = None) -> Tensor:
    """linalg.multi_dot() of matrices."""
    if len(matrices) == 1:
        return into(out, matrices[0])
    return linalg.multi_dot(matrices, out=out)


def svd_lowrank(A: Tensor, q: int | None = 6, niter: int | None = 2, M: Any = None) -> tuple:
    """(U, S, V) of the q largest singular values, from products with random vectors (Halko,
    Martinsson and Tropp 2009)."""
    from .creation import randn

    q = 6 if q is None else q
    x = A if M is None else A - M
    m, n = x.shape[-2:]
    flip = m < n
    x = x.mH if flip else x  # type: ignore[attr-defined]
    probe = randn(x.shape[-1], q, dtype=x.dtype)
    basis = linalg.qr(x @ probe).Q
    for _ in range(2 if niter is None else niter):
        basis = linalg.qr(x.mH @ basis).Q
        basis = linalg.qr(x @ basis).Q
    u, s, vh = linalg.svd(basis.mH @ x, full_matrices=False)
    u, v = basis @ u, vh.mH
    return (v, s, u) if flip else (u, s, v)


def pca_lowrank(A: Tensor, q: int | None = None, center: bool = True, niter: int = 2) -> tuple:
    """(U, S, V) of the q main components of observations in rows."""
    m, n = A.shape[-2:]
    if q is None:
        q = min(6, m, n)
    elif not 0 <= q <= min(m, n):
        raise ValueError(
            f"q(={q}) must be non-negative integer and not greater than min(m, n)={min(m, n)}"
        )
    if not center:
        return svd_lowrank(A, q, niter=niter)
    return svd_lowrank(A - reduce.mean(A, (dim_index(-2, A.ndim),), True), q, niter=niter)


FUNCTIONS = (
    "norm",
    "det",
    "slogdet",
    "logdet",
    "inverse",
    "pinverse",
    "matrix_exp",
    "matrix_power",
    "cholesky",
    "cholesky_solve",
    "cholesky_inverse",
    "qr",
    "svd",
    "lu",
    "lu_unpack",
    "lu_solve",
    "triangular_solve",
    "geqrf",
    "orgqr",
    "ormqr",
    "chain_matmul",
    "svd_lowrank",
    "pca_lowrank",
)
METHODS = tuple(
    n for n in FUNCTIONS if n not in ("lu_unpack", "chain_matmul", "svd_lowrank", "pca_lowrank")
)
INPLACE = ()

entry.wrap(__name__, globals())
autocast.wrap("", globals())
