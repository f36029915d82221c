"""Complex arithmetic on numpy arrays: takes complex64 or complex128 arrays, gives arrays of the
same precision. Everything is composed of real operations that the contract fixes (IEEE 754 ones
by numpy, the others by the native library), so that results depend on neither layout nor
instruction set; the inverse trigonometric functions alone are numpy's.

Source of the formulas: W. Kahan, "Branch cuts for complex elementary functions" (1987)."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .kernels import COMPLEX, dense, gemm, native_pointwise, native_reduce

_LN2, _LN10 = math.log(2), math.log(10)


@functools.cache
def _native(name: str, n: int = 1) -> Callable:
    return native_pointwise(name, n)


def real_fn(name: str, *arrays: Any) -> Any:
    """The native function of that name on real arrays."""
    return _native(name, len(arrays))(*[np.asarray(a) for a in arrays])


def join(re: Any, im: Any) -> np.ndarray:
    """re + i im, without arithmetic."""
    re, im = np.asarray(re), np.asarray(im)
    out = np.empty(np.broadcast_shapes(re.shape, im.shape), _complex_of(re.dtype))
    out.real, out.imag = re, im
    return out


def _complex_of(dt: np.dtype) -> np.dtype:
    return np.dtype(np.complex64 if dt == np.float32 else np.complex128)


def _parts(z: Any) -> tuple[np.ndarray, np.ndarray]:
    z = np.asarray(z)
    return z.real, z.imag


def mul(a: Any, b: Any) -> np.ndarray:
    (x, y), (u, v) = _parts(a), _parts(b)
    return join(x * u - y * v, x * v + y * u)


def div(a: Any, b: Any) -> np.ndarray:
    """Smith's division: scaled by the larger part of the divisor."""
    (x, y), (u, v) = _parts(a), _parts(b)
    wide = np.abs(u) >= np.abs(v)
    big, small = np.where(wide, u, v), np.where(wide, v, u)
    r = np.where((big == 0) | np.isinf(big), 0, small / big).astype(big.dtype)
    d = big + small * r
    re = np.where(wide, x + y * r, x * r + y) / d
    im = np.where(wide, y - x * r, y * r - x) / d
    return join(re, im)


def square(z: Any) -> np.ndarray:
    return mul(z, z)


def one_over(z: Any) -> np.ndarray:
    z = np.asarray(z)
    return div(np.ones((), z.dtype), z)


def modulus(z: Any) -> np.ndarray:
    return real_fn("hypot", *_parts(z))


def angle(z: Any) -> np.ndarray:
    """The argument of complex numbers; of real ones 0 or pi."""
    z = np.asarray(z)
    if z.dtype.kind != "c":
        turned = np.where(z < 0, z.dtype.type(math.pi), z.dtype.type(0))
        return np.where(np.isnan(z), z, turned).astype(z.dtype)
    x, y = _parts(z)
    return real_fn("atan2", y, x)


def sgn(z: Any) -> np.ndarray:
    m = modulus(z)
    zero = m == 0
    d = np.where(zero, 1, m).astype(m.dtype)
    x, y = _parts(z)
    return join(np.where(zero, 0, x / d), np.where(zero, 0, y / d)).astype(np.asarray(z).dtype)


def exp(z: Any) -> np.ndarray:
    x, y = _parts(z)
    e = real_fn("exp", x)
    return join(e * real_fn("cos", y), np.where(y == 0, y, e * real_fn("sin", y)))


def exp2(z: Any) -> np.ndarray:
    x, y = _parts(z)
    e, t = real_fn("exp2", x), y * y.dtype.type(_LN2)
    return join(e * real_fn("cos", t), np.where(y == 0, y, e * real_fn("sin", t)))


def expm1(z: Any) -> np.ndarray:
    x, y = _parts(z)
    s = real_fn("sin", y * y.dtype.type(0.5))
    re = real_fn("expm1", x) * real_fn("cos", y) - 2 * (s * s)
    return join(re, np.where(y == 0, y, real_fn("exp", x) * real_fn("sin", y)))


def log(z: Any) -> np.ndarray:
    x, y = _parts(z)
    m = modulus(z)
    big, small = np.maximum(np.abs(x), np.abs(y)), np.minimum(np.abs(x), np.abs(y))
    near = (m > 0.5) & (m < 2)  # where log m would lose what m lost
    one = real_fn("log1p", np.where(near, (big - 1) * (big + 1) + small * small, 0).astype(m.dtype))
    return join(np.where(near, one * m.dtype.type(0.5), real_fn("log", m)), real_fn("atan2", y, x))


def log1p(z: Any) -> np.ndarray:
    x, y = _parts(z)
    near = modulus(z) < 0.5
    one = real_fn("log1p", np.where(near, x * (2 + x) + y * y, 0).astype(x.dtype))
    far = log(join(1 + x, y))
    return join(np.where(near, one * x.dtype.type(0.5), far.real), real_fn("atan2", y, 1 + x))


def _scaled_log(base: float) -> Callable:
    def run(z: Any) -> np.ndarray:
        w = log(z)
        k = w.real.dtype.type(1 / base)
        return join(w.real * k, w.imag * k)

    return run


log2, log10 = _scaled_log(_LN2), _scaled_log(_LN10)


def sqrt(z: Any) -> np.ndarray:
    x, y = _parts(z)
    k = x.dtype.type(0.5)
    t = np.sqrt((modulus(z) * k) + np.abs(x) * k)  # halves first: the sum may overflow
    safe = np.where(t == 0, 1, t).astype(t.dtype)
    other = np.abs(y) * k / safe
    re, im = np.where(x >= 0, t, other), np.copysign(np.where(x >= 0, other, t), y)
    wide = np.isinf(y)
    return join(np.where(wide, np.inf, re), np.where(wide, y, im)).astype(np.asarray(z).dtype)


def rsqrt(z: Any) -> np.ndarray:
    return one_over(sqrt(z))


def power(a: Any, b: Any) -> np.ndarray:
    """a ** b: products for one small whole exponent, exp(b log a) otherwise."""
    a, b = np.asarray(a), np.asarray(b)
    if b.size == 1:
        n = complex(b.reshape(-1)[0])
        if (
            n.imag == 0
            and n.real == int(n.real if math.isfinite(n.real) else 99)
            and (abs(n.real) <= 16)
        ):
            return np.broadcast_to(
                _whole_power(a, int(n.real)), np.broadcast_shapes(a.shape, b.shape)
            )
        if n == 0.5:
            return np.broadcast_to(sqrt(a), np.broadcast_shapes(a.shape, b.shape))
    r = _power_of_log(np.where(a == 0, 1, a).astype(a.dtype), b)
    return np.where(a == 0, np.where(b == 0, 1, 0), r).astype(r.dtype)


def _whole_power(z: np.ndarray, n: int) -> np.ndarray:
    out, base, k = np.ones_like(z), z, abs(n)
    while k:
        if k & 1:
            out = mul(out, base)
        base, k = (mul(base, base) if k > 1 else base), k >> 1
    return one_over(out) if n < 0 else out


def _power_of_log(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return _in_double(lambda a, b: exp(mul(b, log(a))))(a, b)


def sin(z: Any) -> np.ndarray:
    x, y = _parts(z)
    return join(real_fn("sin", x) * real_fn("cosh", y), real_fn("cos", x) * real_fn("sinh", y))


def cos(z: Any) -> np.ndarray:
    x, y = _parts(z)
    return join(real_fn("cos", x) * real_fn("cosh", y), -(real_fn("sin", x) * real_fn("sinh", y)))


def sinh(z: Any) -> np.ndarray:
    x, y = _parts(z)
    return join(real_fn("sinh", x) * real_fn("cos", y), real_fn("cosh", x) * real_fn("sin", y))


def cosh(z: Any) -> np.ndarray:
    x, y = _parts(z)
    return join(real_fn("cosh", x) * real_fn("cos", y), real_fn("sinh", x) * real_fn("sin", y))


def _in_double(fn: Callable) -> Callable:
    """fn computed in complex128 and rounded once: its own steps lose digits."""

    def run(*zs: Any) -> np.ndarray:
        arrays = [np.asarray(z) for z in zs]
        dt = np.result_type(*arrays)
        return fn(*[a.astype(np.complex128) for a in arrays]).astype(dt)

    return run


@_in_double
def tanh(z: Any) -> np.ndarray:
    x, y = _parts(z)
    far = np.abs(x) > 20
    c = np.where(far, 0, x).astype(x.dtype)
    t, s = real_fn("tan", y), real_fn("sinh", c)
    beta, d = 1 + t * t, 1 + (1 + t * t) * s * s
    near_re, near_im = beta * np.sqrt(1 + s * s) * s / d, t / d
    tail = 4 * real_fn("sin", y) * real_fn("cos", y) * real_fn("exp", -2 * np.abs(x))
    return join(
        np.where(far, np.copysign(1, x), near_re).astype(x.dtype),
        np.where(far, tail, near_im).astype(x.dtype),
    )


def tan(z: Any) -> np.ndarray:
    x, y = _parts(z)
    w = tanh(join(-y, x))
    return join(w.imag, -w.real)


def sigmoid(z: Any) -> np.ndarray:
    z = np.asarray(z)
    return one_over(np.ones((), z.dtype) + exp(-z))


# ---------------------------------------------------------------- reductions, scans, products


def _tree_product(a: np.ndarray, dims: tuple, keepdim: bool) -> np.ndarray:
    """Neighbours multiplied, then neighbouring products, and so on."""
    kept = [i for i in range(a.ndim) if i not in dims]
    shape = [1 if i in dims else n for i, n in enumerate(a.shape) if keepdim or i not in dims]
    x = a.transpose(kept + list(dims)).reshape([a.shape[i] for i in kept] + [-1])
    while x.shape[-1] > 1:
        n = x.shape[-1]
        pairs = mul(x[..., 0 : n - 1 : 2], x[..., 1:n:2])
        x = np.concatenate([pairs, x[..., n - 1 :]], -1) if n % 2 else pairs
    one = x[..., 0] if x.shape[-1] else np.ones(x.shape[:-1], a.dtype)
    return np.ascontiguousarray(one).reshape(shape)


def _by_parts(name: str) -> Callable:
    run = native_reduce(name, lambda d: d)
    return lambda a, dims, keepdim: join(
        run(dense(a.real), dims, keepdim),
        run(dense(a.imag), dims, keepdim),
    )


def _truth(name: str) -> Callable:
    run = native_reduce(name, lambda d: d)
    return lambda a, dims, keepdim: run(a != 0, dims, keepdim)


def running_product(a: np.ndarray, dim: int) -> np.ndarray:
    out = np.array(a, order="C")
    rows = np.moveaxis(out, dim, 0)
    for i in range(1, rows.shape[0]):
        rows[i] = mul(rows[i - 1], rows[i])
    return out


def product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a [B, M, K] x b [B, K, N] from four real products."""
    (x, y), (u, v) = [tuple(dense(p) for p in _parts(z)) for z in (a, b)]
    return join(gemm(x, u) - gemm(y, v), gemm(x, v) + gemm(y, u))


COMPLEX.update(
    sum=_by_parts("sum"),
    mean=_by_parts("mean"),
    prod=_tree_product,
    any=_truth("any"),
    all=_truth("all"),
    gemm=product,
)
