"""Factorisations, inverses and determinants of batches of matrices: opaque ops over numpy's
LAPACK on contiguous copies. What LAPACK's wrappers in numpy lack (triangular solves, LU, the
matrix exponential) is computed column by column here.

VJPs are written for complex numbers in full unless the function is holomorphic, in Tensor ops, so
that they differentiate again. Invariant: an operand of an op has at least two axes; batches
broadcast in `linalg.py`, not here.
Source of semantics: https://pytorch.org/docs/stable/linalg.html. Of the derivatives: M. Giles,
"An extended collection of matrix derivative results" (2008); Golub and Pereyra (1973) for pinv."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..base import dtypes
from ..core.tensor import Tensor
from ..ir.op import Make, Sample
from ..ir.types import TensorType, broadcast_shapes
from .define import opaque
from .kernels import dense, gemm


class LinAlgError(RuntimeError):
    """A matrix that a function of linear algebra cannot take: singular, not positive-definite."""


def _at(batch: tuple, index: tuple) -> str:
    """How errors name one matrix of a batch."""
    if not batch:
        return ""
    return f"(Batch element {int(np.ravel_multi_index(index, batch))}): "


def _first(info: np.ndarray) -> tuple:
    return tuple(int(i) for i in np.argwhere(info != 0)[0])


def product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Matrix product in the canonical order, batches broadcast."""
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    n = math.prod(batch)
    x = np.broadcast_to(a, (*batch, *a.shape[-2:])).reshape(n, *a.shape[-2:])
    y = np.broadcast_to(b, (*batch, *b.shape[-2:])).reshape(n, *b.shape[-2:])
    return gemm(dense(x), dense(y)).reshape(*batch, a.shape[-2], b.shape[-1])


def _eye(x: Tensor, n: Any) -> Tensor:
    """The identity in x's dtype."""
    return x.new_ones((n,)).diag_embed()


def _square(kind: str = "random", size: int = 3, dtype: str = "float32") -> Make:
    """A well conditioned sample matrix: diagonally dominant, "spd" is symmetric as well."""
    rng = np.random.default_rng(5)
    a = rng.uniform(-1, 1, (size, size))
    a = a + a.T if kind == "spd" else a
    return Make((size, size), dtype, values=(a + size * np.eye(size)).reshape(-1).tolist())


def _pair(kind: str = "random") -> Make:
    a, b = [np.array(_square(kind, n).values) for n in (3, 3)]
    return Make((2, 3, 3), "float32", values=np.concatenate([a, b * 1.5 + 0.1]).tolist())


def _samples(kind: str = "random", **attrs: Any) -> Any:
    return lambda: [
        Sample((_square(kind),), dict(attrs)),
        Sample((_square(kind, 2, "float64"),), dict(attrs)),
        Sample((_pair(kind),), dict(attrs), grad=kind == "random"),
        Sample((Make((0, 2, 2)),), dict(attrs), grad=False),
    ]


# ---------------------------------------------------------------- triangular systems


def solve_triangular_kernel(
    a: np.ndarray, b: np.ndarray, upper: bool, unitriangular: bool
) -> np.ndarray:
    """Row by row, forwards or backwards."""
    n = a.shape[-1]
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    x = np.array(np.broadcast_to(b, (*batch, *b.shape[-2:])), order="C")
    with np.errstate(all="ignore"):
        for i in range(n - 1, -1, -1) if upper else range(n):
            done = slice(i + 1, n) if upper else slice(0, i)
            if i != (n - 1 if upper else 0):
                x[..., i, :] -= product(a[..., i : i + 1, done], x[..., done, :])[..., 0, :]
            if not unitriangular:
                x[..., i, :] /= a[..., i, i][..., None]
    return x


def _triangular_infer(
    a: TensorType, b: TensorType, upper: bool, unitriangular: bool = False
) -> TensorType:
    return b.with_shape((*broadcast_shapes(a.shape[:-2], b.shape[:-2]), *b.shape[-2:]))


def _triangle(x: Tensor, upper: bool, unitriangular: bool) -> Tensor:
    if upper:
        return x.triu(1 if unitriangular else 0)
    return x.tril(-1 if unitriangular else 0)


def _triangular_vjp(
    g: Tensor, a: Tensor, out: Tensor, upper: bool, unitriangular: bool, needs: tuple
) -> tuple:
    gb = solve_triangular(a.mT, g, not upper, unitriangular)
    ga = _triangle(-(gb @ out.mT), upper, unitriangular) if needs[0] else None
    return ga, gb


solve_triangular = opaque(
    "solve_triangular",
    solve_triangular_kernel,
    _triangular_infer,
    inputs=("a", "b"),
    vjp=_triangular_vjp,
    broadcasts=True,
    samples=lambda: [
        Sample((_square(), Make((3, 2))), {"upper": u, "unitriangular": t})
        for u in (True, False)
        for t in (True, False)
    ],
    backward_name="LinalgSolveTriangularBackward0",
    doc="The solution x of a x = b, where one triangle of a counts.",
)


# ---------------------------------------------------------------- inverse, solve, determinants


def _inv_kernel(a: np.ndarray, check: bool, name: str) -> tuple:
    info = np.zeros(a.shape[:-2], np.int32)
    try:
        return dense(np.linalg.inv(a)), info
    except np.linalg.LinAlgError:
        pass
    _, _, info = _lu_parts(a)
    if check:
        at = _first(info)
        raise LinAlgError(
            f"{name}: {_at(info.shape, at)}The diagonal element {int(info[at])} is zero, the "
            "inversion could not be completed because the input matrix is singular."
        )
    out = np.full(a.shape, np.nan, a.dtype)
    for i in np.ndindex(info.shape):
        if info[i] == 0:
            out[i] = np.linalg.inv(a[i])
    return out, info


def _with_info(input: TensorType) -> tuple:
    return input.with_shape(input.shape), input.with_shape(input.shape[:-2], dtypes.int32)


inv = opaque(
    "linalg_inv",
    _inv_kernel,
    lambda input, check=True, name="linalg.inv": _with_info(input),
    inputs=("input",),
    outputs=("out", "info"),
    auxiliary=(1,),
    vjp=[lambda g, out: -(out.mT @ g @ out.mT)],
    samples=lambda: [
        *_samples(check=True, name="linalg.inv")(),
        Sample(
            (Make((2, 2), values=[1.0, 2.0, 2.0, 4.0]),),
            {"check": True, "name": "linalg.inv"},
            grad=False,
            error=(RuntimeError, "linalg.inv: The diagonal element 2 is zero"),
        ),
    ],
    backward_name="LinalgInvExBackward0",
)


def _solve_kernel(a: np.ndarray, b: np.ndarray, check: bool) -> tuple:
    info = np.zeros(a.shape[:-2], np.int32)
    try:
        return dense(np.linalg.solve(a, b)), info
    except np.linalg.LinAlgError:
        pass
    _, _, info = _lu_parts(a)
    if check:
        at = _first(info)
        raise LinAlgError(
            f"torch.linalg.solve: {_at(info.shape, at)}The solver failed because the input matrix "
            "is singular."
        )
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    a, b = [np.broadcast_to(x, (*batch, *x.shape[-2:])) for x in (a, b)]
    out = np.full(b.shape, np.nan, b.dtype)
    for i in np.ndindex(batch):
        try:
            out[i] = np.linalg.solve(a[i], b[i])
        except np.linalg.LinAlgError:
            continue
    return out, info


def _solve_vjp(g: Tensor, a: Tensor, out: Tensor, check: bool, needs: tuple) -> tuple:
    gb = solve(a.mT, g, check)[0]
    return (-(gb @ out.mT) if needs[0] else None), gb


solve = opaque(
    "linalg_solve",
    _solve_kernel,
    lambda a, b, check=True: (
        b.with_shape((*broadcast_shapes(a.shape[:-2], b.shape[:-2]), *b.shape[-2:])),
        b.with_shape(a.shape[:-2], dtypes.int32),
    ),
    inputs=("a", "b"),
    outputs=("out", "info"),
    auxiliary=(1,),
    vjp=_solve_vjp,
    broadcasts=True,
    samples=lambda: [
        Sample((_square(), Make((3, 2))), {"check": True}),
        Sample((_pair(), Make((3, 1))), {"check": True}),
        Sample((_square(size=2, dtype="float64"), Make((4, 2, 3), "float64")), {"check": True}),
    ],
    backward_name="LinalgSolveExBackward0",
)


def _det_vjp(g: Tensor, input: Tensor, out: Tensor) -> Tensor:
    singular = out._array is not None and bool((out._array == 0).any())
    return (
        (g * out)[..., None, None] * inv(input)[0].mT
        if not singular
        else (g[..., None, None] * _cofactors(input))
    )


def _cofactors(x: Tensor) -> Tensor:
    """The matrix of cofactors from the singular values, also of singular matrices."""
    u, s, vh = svd(x, False)
    n = s.shape[-1]
    others = [s.masked_fill(_eye(s, n)[i] == 1, 1.0).prod(-1, keepdim=True) for i in range(n)]
    turn = det(u) * det(vh)
    scale = others[0] if n == 1 else _cat_last(others)
    return (turn[..., None, None].conj() * (u * scale[..., None, :]) @ vh).conj()


def _cat_last(xs: list) -> Tensor:
    from .gather import cat

    return cat(xs, -1)


det = opaque(
    "linalg_det",
    lambda a: np.asarray(np.linalg.det(a), a.dtype),
    lambda input: input.with_shape(input.shape[:-2]),
    inputs=("input",),
    vjp=[_det_vjp],
    samples=_samples(),
    backward_name="LinalgDetBackward0",
)


def _slogdet_kernel(a: np.ndarray) -> tuple:
    sign, size = np.linalg.slogdet(a)
    return np.asarray(sign, a.dtype), np.asarray(size, a.real.dtype)


def _slogdet_vjp(gs: list, input: Tensor, out: Tensor) -> Any:
    g = gs[1]
    if input.dtype.is_complex and gs[0] is not None:
        turn = (gs[0].conj() * out).imag
        turn = -1j * turn
        g = turn if g is None else g + turn
    if g is None:
        return None
    return g[..., None, None] * inv(input)[0].mH


slogdet = opaque(
    "linalg_slogdet",
    _slogdet_kernel,
    lambda input: (
        input.with_shape(input.shape[:-2]),
        input.with_shape(input.shape[:-2], input.dtype.to_real()),
    ),
    inputs=("input",),
    outputs=("out", "logabsdet"),
    vjp=[_slogdet_vjp],
    holomorphic=False,
    samples=_samples(),
    backward_name="LinalgSlogdetBackward0",
)


# ---------------------------------------------------------------- LU


def _lu_parts(a: np.ndarray, pivot: bool = True) -> tuple:
    """(LU packed, 1-based pivots, info: where the first zero pivot is) with partial pivoting."""
    x = np.array(a, order="C")
    m, n = x.shape[-2:]
    flat = x.reshape(-1, m, n)
    k, rows = min(m, n), np.arange(len(flat))
    pivots = np.tile(np.arange(1, k + 1, dtype=np.int32), (len(flat), 1))
    info = np.zeros(len(flat), np.int32)
    with np.errstate(all="ignore"):
        for j in range(k):
            if pivot and j < m - 1:
                size = np.abs(flat[:, j:, j])
                at = j + np.argmax(size, 1)
                pivots[:, j] = at + 1
                held = flat[rows, at].copy()
                flat[rows, at] = flat[:, j]
                flat[:, j] = held
            top = flat[:, j, j]
            info = np.where((info == 0) & (top == 0), j + 1, info).astype(np.int32)
            safe = np.where(top == 0, 1, top)
            flat[:, j + 1 :, j] /= safe[:, None]
            flat[:, j + 1 :, j + 1 :] -= flat[:, j + 1 :, j, None] * flat[:, j, None, j + 1 :]
    batch = a.shape[:-2]
    return flat.reshape(a.shape), pivots.reshape(*batch, k), info.reshape(batch)


def order_of(pivots: np.ndarray, m: int) -> np.ndarray:
    """The row order that a sequence of exchanges gives."""
    flat = pivots.reshape(-1, pivots.shape[-1])
    order = np.tile(np.arange(m), (len(flat), 1))
    rows = np.arange(len(flat))
    for j in range(flat.shape[1]):
        at = flat[:, j] - 1
        held = order[rows, at].copy()
        order[rows, at] = order[:, j]
        order[:, j] = held
    return order.reshape(*pivots.shape[:-1], m)


def _lu_infer(input: TensorType, pivot: bool = True) -> tuple:
    *batch, m, n = input.shape
    k = m if m < n else n
    return (
        input.with_shape(input.shape),
        input.with_shape((*batch, k), dtypes.int32),
        input.with_shape(tuple(batch), dtypes.int32),
    )


def _lu_vjp(g: Tensor, input_type: TensorType, out: Tensor, pivots: Tensor, pivot: bool) -> Tensor:
    m, n = input_type.shape[-2:]
    k = min(m, n)
    lower = out[..., :, :k].tril(-1)
    lower = lower + _eye(out, k) if m == k else lower + _tall_eye(out, m, k)
    upper = out[..., :k, :].triu()
    gl, gu = g[..., :, :k].tril(-1), g[..., :k, :].triu()
    if m <= n:
        l1, u1 = lower, upper[..., :, :k]
        inner = l1.mH @ gl
        if n > m:
            inner = inner - gu[..., :, k:] @ upper[..., :, k:].mH
        phi = inner.tril(-1) + (gu[..., :, :k] @ u1.mH).triu()
        left = solve_triangular(l1.mH, phi, True, True)
        ga = solve_triangular(u1, left.mH, True, False).mH
        parts = [ga]
        if n > m:
            parts.append(solve_triangular(l1.mH, gu[..., :, k:], True, True))
        ga = _cat_last(parts) if len(parts) > 1 else ga
    else:
        l1, l2 = lower[..., :k, :], lower[..., k:, :]
        phi = (l1.mH @ gl[..., :k, :]).tril(-1) + (gu @ upper.mH - l2.mH @ gl[..., k:, :]).triu()
        top = solve_triangular(upper, solve_triangular(l1.mH, phi, True, True).mH, True, False).mH
        low = solve_triangular(upper, gl[..., k:, :].mH, True, False).mH
        ga = _cat_last([top.mT, low.mT]).mT
    return permutation(pivots, m, ga) @ ga if pivot else ga


def _tall_eye(x: Tensor, m: int, k: int) -> Tensor:
    return _eye(x, m)[:, :k]


lu_factor = opaque(
    "lu_factor",
    _lu_parts,
    _lu_infer,
    inputs=("input",),
    outputs=("out", "pivots", "info"),
    auxiliary=(1, 2),
    vjp=[_lu_vjp],
    holomorphic=False,
    samples=lambda: [
        Sample((Make((3, 3)),), {"pivot": True}),
        Sample((Make((2, 4)),), {"pivot": True}),
        Sample((Make((4, 2)),), {"pivot": True}),
        Sample((_pair(),), {"pivot": False}),
    ],
    backward_name="LinalgLuFactorExBackward0",
)


def _permutation_kernel(pivots: np.ndarray, m: int, like: str) -> np.ndarray:
    out = np.zeros((*pivots.shape[:-1], m, m), dtypes.dtype_named(like).np)
    np.put_along_axis(out, order_of(pivots, m)[..., None, :], 1, -2)
    return out


lu_permutation = opaque(
    "lu_permutation",
    _permutation_kernel,
    lambda pivots, m, like: pivots.with_shape((*pivots.shape[:-1], m, m), dtypes.dtype_named(like)),
    inputs=("pivots",),
    samples=lambda: [
        Sample((Make((3,), "int32", values=[3, 2, 3]),), {"m": 4, "like": "float32"}, grad=False)
    ],
    doc="The matrix P with P L U the factored matrix, from LAPACK's row exchanges.",
)


def permutation(pivots: Tensor, m: int, like: Tensor) -> Tensor:
    """The permutation matrix of pivots in like's dtype."""
    return lu_permutation(pivots, int(m), like.dtype.name)


# ---------------------------------------------------------------- Cholesky


def _cholesky_kernel(a: np.ndarray, upper: bool, check: bool) -> tuple:
    info = np.zeros(a.shape[:-2], np.int32)
    if upper:
        a = np.conj(np.swapaxes(a, -1, -2))
    try:
        factor = np.linalg.cholesky(a)
    except np.linalg.LinAlgError:
        factor = np.zeros_like(a)
        for i in np.ndindex(info.shape):
            try:
                factor[i] = np.linalg.cholesky(a[i])
            except np.linalg.LinAlgError:
                info[i] = _bad_minor(a[i])
                if check:
                    raise LinAlgError(
                        f"linalg.cholesky: {_at(info.shape, i)}The factorization could not be "
                        "completed because the input is not positive-definite (the leading minor "
                        f"of order {int(info[i])} is not positive-definite)."
                    ) from None
    return dense(np.conj(np.swapaxes(factor, -1, -2)) if upper else factor), info


def _bad_minor(a: np.ndarray) -> int:
    """The order of the first leading minor that has no Cholesky factor."""
    for k in range(1, len(a)):
        try:
            np.linalg.cholesky(a[:k, :k])
        except np.linalg.LinAlgError:
            return k
    return len(a)


def _cholesky_vjp(g: Tensor, out: Tensor, upper: bool) -> Tensor:
    factor, g = (out.mH, g.mH) if upper else (out, g)
    phi = (factor.mH @ g).tril()
    half = phi - (phi.diagonal(0, -2, -1) * 0.5).diag_embed()
    inner = solve_triangular(factor.mH, half, True, False)
    s = solve_triangular(factor.mH, inner.mH, True, False)
    return (s + s.mH) * 0.5


cholesky = opaque(
    "linalg_cholesky",
    _cholesky_kernel,
    lambda input, upper=False, check=True: _with_info(input),
    inputs=("input",),
    outputs=("out", "info"),
    auxiliary=(1,),
    vjp=[_cholesky_vjp],
    holomorphic=False,
    samples=lambda: (
        [Sample((_square("spd"),), {"upper": u, "check": True}, grad=False) for u in (False, True)]
        + [
            Sample(
                (Make((2, 2), values=[1.0, 2.0, 2.0, 1.0]),),
                {"upper": False, "check": True},
                grad=False,
                error=(RuntimeError, "the leading minor of order 2 is not positive-definite"),
            )
        ]
    ),
    backward_name="LinalgCholeskyExBackward0",
)


# ---------------------------------------------------------------- QR


def _qr_kernel(a: np.ndarray, mode: Any) -> tuple:
    if mode == "r":
        return np.zeros((0,), a.dtype), dense(np.asarray(np.linalg.qr(a, "r")))
    q, r = np.linalg.qr(a, mode)
    return dense(q), dense(r)


def _qr_infer(input: TensorType, mode: str = "reduced") -> tuple:
    *batch, m, n = input.shape
    k = m if mode == "complete" or m < n else n
    q = (0,) if mode == "r" else (*batch, m, k)
    return input.with_shape(q), input.with_shape((*batch, k, n))


def _qr_vjp(gs: list, out: Tensor, r: Tensor, mode: str) -> Any:
    gq, gr = gs
    if mode == "r":
        raise RuntimeError(
            "The derivative of linalg.qr depends on Q, which is not computed when mode='r'. Please "
            "use linalg.qr(A, mode='reduced') if you are going to differentiate through "
            "linalg.qr."
        )
    m, n = out.shape[-2], r.shape[-1]
    if mode == "complete" and m > n:
        raise RuntimeError(
            "The QR decomposition is not differentiable when mode='complete' and nrows > ncols."
        )
    if m < n:
        first = r[..., :, :m]
        if gr is None:
            return _cat_last([_qr_back(gq, None, out, first), (r[..., :, m:] * 0)])
        g_first, g_rest = gr[..., :, :m], gr[..., :, m:]
        # A = [X | Y] with X = Q first: Q also makes Y's part of R
        y = out @ r[..., :, m:]
        gq = y @ g_rest.mH if gq is None else gq + y @ g_rest.mH
        return _cat_last([_qr_back(gq, g_first, out, first), out @ g_rest])
    return _qr_back(gq, gr, out, r)


def _qr_back(gq: Any, gr: Any, q: Tensor, r: Tensor) -> Tensor:
    inner: Any = None
    if gr is not None:
        inner = gr @ r.mH
    if gq is not None:
        inner = -(q.mH @ gq) if inner is None else inner - q.mH @ gq
    top = inner.triu()
    d = top.diagonal(0, -2, -1)
    d = d.real if d.dtype.is_complex else d
    both = top + top.mH - d.diag_embed()
    total = q @ both if gq is None else gq + q @ both
    return solve_triangular(r, total.mH, True, False).mH


qr = opaque(
    "linalg_qr",
    _qr_kernel,
    _qr_infer,
    inputs=("input",),
    outputs=("out", "r"),
    vjp=[_qr_vjp],
    holomorphic=False,
    samples=lambda: [
        Sample((Make((4, 3)),), {"mode": "reduced"}),
        Sample((Make((2, 4)),), {"mode": "reduced"}),
        Sample((Make((2, 3, 3)),), {"mode": "complete"}),
        Sample((Make((4, 2)),), {"mode": "complete"}, grad=False),
    ],
    backward_name="LinalgQrBackward0",
)


# ---------------------------------------------------------------- singular values


def _svd_kernel(a: np.ndarray, full: bool) -> tuple:
    u, s, vh = np.linalg.svd(a, full_matrices=full)
    return dense(u), dense(s), dense(vh)


def _svd_infer(input: TensorType, full: bool = True) -> tuple:
    *batch, m, n = input.shape
    k = m if m < n else n
    return (
        input.with_shape((*batch, m, m if full else k)),
        input.with_shape((*batch, k), input.dtype.to_real()),
        input.with_shape((*batch, n if full else k, n)),
    )


def _svd_vjp(gs: list, out: Tensor, s: Tensor, vh: Tensor, full: bool) -> Any:
    k = s.shape[-1]
    u, vh = out[..., :, :k], vh[..., :k, :]
    gu = None if gs[0] is None else gs[0][..., :, :k]
    gvh = None if gs[2] is None else gs[2][..., :k, :]
    gs_ = gs[1]
    if gu is None and gvh is None:
        return None if gs_ is None else (u * gs_[..., None, :]) @ vh
    m, n = u.shape[-2], vh.shape[-1]
    square = s * s
    gap = square[..., None, :] - square[..., :, None] + _eye(s, k)
    inner: Any = None
    if gu is not None:
        x = u.mH @ gu
        inner = ((x - x.mH) / gap) * s[..., None, :]
    if gvh is not None:
        y = vh @ gvh.mH
        turn = s[..., :, None] * ((y - y.mH) / gap)
        inner = turn if inner is None else inner + turn
    if u.dtype.is_complex and gu is not None:  # the phase that U and V share
        d = (u.mH @ gu).diagonal(0, -2, -1).imag
        inner = inner + (1j * (d / s)).diag_embed()
    if gs_ is not None:
        inner = inner + gs_.diag_embed()
    total = u @ inner @ vh
    if gu is not None and m > k:
        rest = gu / s[..., None, :]
        total = total + (rest - u @ (u.mH @ rest)) @ vh
    if gvh is not None and n > k:
        rest = gvh / s[..., :, None]
        total = total + u @ (rest - (rest @ vh.mH) @ vh)
    return total


svd = opaque(
    "linalg_svd",
    _svd_kernel,
    _svd_infer,
    inputs=("input",),
    outputs=("out", "s", "vh"),
    vjp=[_svd_vjp],
    holomorphic=False,
    samples=lambda: [
        Sample((Make((3, 3)),), {"full": False}),
        Sample((Make((4, 2)),), {"full": False}),
        Sample((Make((2, 2, 3)),), {"full": False}),
        Sample((Make((2, 3)),), {"full": True}, grad=False),
    ],
    backward_name="LinalgSvdBackward0",
)


# ---------------------------------------------------------------- eigenvalues


def _eigh_kernel(a: np.ndarray, uplo: Any) -> tuple:
    values, vectors = np.linalg.eigh(a, uplo)
    return dense(values), dense(vectors)


def _eigh_vjp(gs: list, out: Tensor, vectors: Tensor, uplo: str) -> Any:
    gl, gv = gs
    if gv is None:
        return None if gl is None else (vectors * gl[..., None, :]) @ vectors.mH
    gap = out[..., None, :] - out[..., :, None] + _eye(out, out.shape[-1])
    inner = vectors.mH @ gv / gap
    inner = inner - inner.diagonal(0, -2, -1).diag_embed()
    if gl is not None:
        inner = inner + gl.diag_embed()
    return vectors @ inner @ vectors.mH


eigh = opaque(
    "linalg_eigh",
    _eigh_kernel,
    lambda input, uplo="L": (
        input.with_shape(input.shape[:-1], input.dtype.to_real()),
        input.with_shape(input.shape),
    ),
    inputs=("input",),
    outputs=("out", "vectors"),
    vjp=[_eigh_vjp],
    holomorphic=False,
    samples=lambda: [
        Sample((_square("spd", n, d),), {"uplo": u}, grad=False)
        for n, d in ((3, "float32"), (2, "float64"))
        for u in ("L", "U")
    ],
    backward_name="LinalgEighBackward0",
)


def _eig_kernel(a: np.ndarray) -> tuple:
    to = dtypes.from_numpy_dtype(a.dtype).to_complex().np
    values, vectors = np.linalg.eig(a)
    return dense(values.astype(to)), dense(vectors.astype(to))


def _eig_infer(input: TensorType) -> tuple:
    d = input.dtype.to_complex()
    return input.with_shape(input.shape[:-1], d), input.with_shape(input.shape, d)


def _eig_vjp(gs: list, out: Tensor, vectors: Tensor) -> Any:
    gl, gv = gs
    if gl is None and gv is None:
        return None
    n = out.shape[-1]
    inner: Any = None
    if gv is not None:
        turned = vectors.mH @ gv
        d = turned.diagonal(0, -2, -1).real
        gap = (out[..., None, :] - out[..., :, None]).conj() + _eye(out, n)
        inner = (turned - vectors.mH @ (vectors * d[..., None, :])) / gap
        inner = inner - inner.diagonal(0, -2, -1).diag_embed()
    if gl is not None:
        inner = gl.diag_embed() if inner is None else inner + gl.diag_embed()
    return solve(vectors.mH, inner @ vectors.mH, True)[0]


eig = opaque(
    "linalg_eig",
    _eig_kernel,
    _eig_infer,
    inputs=("input",),
    outputs=("out", "vectors"),
    vjp=[_eig_vjp],
    holomorphic=False,
    samples=lambda: [
        Sample((Make((3, 3), d),), grad=False) for d in ("float32", "float64", "complex128")
    ],
    backward_name="LinalgEigBackward0",
)


# ---------------------------------------------------------------- pseudo-inverse, least squares


def _pinv_kernel(a: np.ndarray, atol: float, rtol: float) -> np.ndarray:
    u, s, vh = np.linalg.svd(a, full_matrices=False)
    if not s.size:
        return np.zeros((*a.shape[:-2], a.shape[-1], a.shape[-2]), a.dtype)
    cut = np.maximum(atol, rtol * s.max(-1, keepdims=True)).astype(s.dtype)
    with np.errstate(all="ignore"):
        r = np.where(s > cut, 1 / s, 0).astype(s.dtype)
    return product(np.conj(np.swapaxes(vh, -1, -2)) * r[..., None, :], _adjoint(u))


def _adjoint(a: np.ndarray) -> np.ndarray:
    return np.conj(np.swapaxes(a, -1, -2))


def pinv_back(g: Tensor, a: Tensor, p: Tensor) -> Tensor:
    """The gradient of a from that of its pseudo-inverse p."""
    gh, ph = g.mH, p.mH
    return -(ph @ g @ ph) + (gh - a @ (p @ gh)) @ (p @ ph) + (ph @ p) @ (gh - (gh @ p) @ a)


pinv = opaque(
    "linalg_pinv",
    _pinv_kernel,
    lambda input, atol, rtol: input.with_shape(
        (*input.shape[:-2], input.shape[-1], input.shape[-2])
    ),
    inputs=("input",),
    vjp=[lambda g, input, out: pinv_back(g, input, out)],
    holomorphic=False,
    samples=lambda: [
        Sample((Make(s),), {"atol": 0.0, "rtol": 1e-6}) for s in ((3, 2), (2, 3), (2, 3, 3))
    ],
    backward_name="LinalgPinvBackward0",
)


def _lstsq_kernel(a: np.ndarray, b: np.ndarray, rcond: float) -> tuple:
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    a, b = [np.broadcast_to(x, (*batch, *x.shape[-2:])) for x in (a, b)]
    (m, n), r = a.shape[-2:], b.shape[-1]
    x = np.empty((*batch, n, r), a.dtype)
    rank, s = np.empty(batch, np.int64), np.empty((*batch, min(m, n)), a.real.dtype)
    for i in np.ndindex(batch):
        x[i], _, rank[i], s[i] = np.linalg.lstsq(a[i], b[i], rcond)
    return x, rank, s


def _lstsq_infer(a: TensorType, b: TensorType, rcond: float) -> tuple:
    batch = broadcast_shapes(a.shape[:-2], b.shape[:-2])
    m, n = a.shape[-2:]
    return (
        a.with_shape((*batch, n, b.shape[-1])),
        a.with_shape(batch, dtypes.int64),
        a.with_shape((*batch, m if m < n else n), a.dtype.to_real()),
    )


def _lstsq_vjp(g: Tensor, a: Tensor, b: Tensor, rcond: float, needs: tuple) -> tuple:
    p = pinv(a, 0.0, max(rcond, 0.0))
    return (pinv_back(g @ b.mH, a, p) if needs[0] else None), p.mH @ g


lstsq = opaque(
    "linalg_lstsq",
    _lstsq_kernel,
    _lstsq_infer,
    inputs=("a", "b"),
    outputs=("out", "rank", "s"),
    auxiliary=(1, 2),
    vjp=_lstsq_vjp,
    broadcasts=True,
    holomorphic=False,
    samples=lambda: [
        Sample((Make((4, 2)), Make((4, 3))), {"rcond": 1e-7}),
        Sample((Make((2, 3)), Make((2, 1))), {"rcond": 1e-7}),
    ],
    backward_name="LinalgLstsqBackward0",
)


# ---------------------------------------------------------------- exponential

_PADE = (
    64764752532480000.0,
    32382376266240000.0,
    7771770303897600.0,
    1187353796428800.0,
    129060195264000.0,
    10559470521600.0,
    670442572800.0,
    33522128640.0,
    1323241920.0,
    40840800.0,
    960960.0,
    16380.0,
    182.0,
    1.0,
)


def _expm_kernel(a: np.ndarray) -> np.ndarray:
    """Scaling and squaring around the Padé approximant of order 13 (Higham 2005), in double."""
    wide = a.astype(np.complex128 if a.dtype.kind == "c" else np.float64)
    flat = wide.reshape(-1, *a.shape[-2:])
    out = np.empty_like(flat)
    for i, x in enumerate(flat):
        size = np.abs(x).sum(0).max() if x.size else 0.0
        if not np.isfinite(size):
            out[i] = np.nan
            continue
        s = max(0, math.ceil(math.log2(size / 5.371920351148152))) if size > 0 else 0
        out[i] = _pade(x / 2.0**s)
        for _ in range(s):
            out[i] = product(out[i][None], out[i][None])[0]
    return dense(out.reshape(a.shape).astype(a.dtype))


def _pade(x: np.ndarray) -> np.ndarray:
    def mm(p: np.ndarray, q: np.ndarray) -> np.ndarray:
        return product(p[None], q[None])[0]

    c, one = _PADE, np.eye(len(x))
    x2 = mm(x, x)
    x4 = mm(x2, x2)
    x6 = mm(x4, x2)
    odd = mm(x6, c[13] * x6 + c[11] * x4 + c[9] * x2)
    odd = mm(x, odd + c[7] * x6 + c[5] * x4 + c[3] * x2 + c[1] * one)
    even = mm(x6, c[12] * x6 + c[10] * x4 + c[8] * x2)
    even = even + c[6] * x6 + c[4] * x4 + c[2] * x2 + c[0] * one
    return np.linalg.solve(even - odd, even + odd)


def _expm_vjp(g: Tensor, input: Tensor) -> Tensor:
    # the derivative stands in the exponential of a block matrix (Mathias 1996)
    n = input.shape[-1]
    a = input.mT
    top = _cat_last([a, g])
    low = _cat_last([a * 0, a])
    block = _cat_last([top.mT, low.mT]).mT
    return matrix_exp(block)[..., :n, n:]


matrix_exp = opaque(
    "linalg_matrix_exp",
    _expm_kernel,
    lambda input: input.with_shape(input.shape),
    inputs=("input",),
    vjp=[_expm_vjp],
    samples=lambda: [Sample((Make(s),)) for s in ((2, 2), (3, 3), (2, 2, 2))],
    backward_name="LinalgMatrixExpBackward0",
)


# ---------------------------------------------------------------- Householder's form


def _geqrf_kernel(a: np.ndarray) -> tuple:
    batch, (m, n) = a.shape[:-2], a.shape[-2:]
    out, tau = np.empty_like(a, order="C"), np.empty((*batch, min(m, n)), a.dtype)
    for i in np.ndindex(batch):
        h, t = np.linalg.qr(a[i], "raw")
        out[i], tau[i] = h.T, t
    return out, tau


def _geqrf_infer(input: TensorType) -> tuple:
    *batch, m, n = input.shape
    return input.with_shape(input.shape), input.with_shape((*batch, m if m < n else n))


geqrf = opaque(
    "geqrf",
    _geqrf_kernel,
    _geqrf_infer,
    inputs=("input",),
    outputs=("out", "tau"),
    samples=lambda: [Sample((Make(s),), grad=False) for s in ((4, 3), (2, 2, 3))],
    doc="R above Householder's vectors, and their factors.",
)
