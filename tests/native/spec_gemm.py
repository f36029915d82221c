"""Bit specification of the canonical product order, in numpy and plain Python.

Takes 2-d arrays a (m, k) and b (k, n), gives the (m, n) product. Per element: K in ascending blocks
of 256; inside a block one chain s = fma(a_k, b_k, s) from s = +0; result = s_0, then result + s_1,
and so on; K = 0 gives +0. Invariant: every fused multiply-add is rounded once.
"""

import math
from fractions import Fraction

import numpy as np

BLOCK = 256


def product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The product of float32, float64, int32 or int64 matrices in the canonical order."""
    if a.dtype.kind == "i":
        return _integer_product(a, b)
    fma = fma_f32 if a.dtype == np.float32 else np.frompyfunc(fma_f64, 3, 1)
    result = np.zeros((a.shape[0], b.shape[1]), a.dtype)
    for start in range(0, a.shape[1], BLOCK):
        s = np.zeros_like(result)
        for k in range(start, min(start + BLOCK, a.shape[1])):
            with np.errstate(all="ignore"):
                s = fma(a[:, k : k + 1], b[k : k + 1, :], s).astype(a.dtype)
        with np.errstate(all="ignore"):
            result = s if start == 0 else result + s
    return result


def fma_f32(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Elementwise float32 fused multiply-add, through float64.

    The product of two float32 is exact in float64. The sum is rounded to odd there (where it is
    inexact, the last bit is set in the direction of the error), and rounding an odd-rounded float64
    to float32 equals one rounding of the exact value (Boldo and Melquiond, 2008).
    """
    p, c = a.astype(np.float64) * b, c.astype(np.float64)
    total = np.asarray(p + c)
    high = total - p
    error = (p - (total - high)) + (c - high)  # Knuth's two-sum: total + error == p + c
    bits = total.view(np.int64)
    inexact = np.isfinite(total) & (error != 0) & (bits & 1 == 0)
    away = (error > 0) == (total > 0)
    odd = np.where(inexact, bits + np.where(away, 1, -1), bits).view(np.float64)
    return odd.astype(np.float32)


def fma_f64(a: float, b: float, c: float) -> float:
    """One float64 fused multiply-add: exact fractions, rounded once."""
    a, b, c = float(a), float(b), float(c)
    if not (math.isfinite(a) and math.isfinite(b) and math.isfinite(c)):
        return a * b + c
    exact = Fraction(a) * Fraction(b) + Fraction(c)
    if exact == 0:  # the sign follows the rules of the sum, which is exact
        return math.copysign(0.0, a) * math.copysign(1.0, b) + c if a * b == 0 else 0.0
    try:
        rounded = exact.numerator / exact.denominator  # Python rounds a quotient of ints correctly
    except OverflowError:
        return math.inf if exact > 0 else -math.inf
    return rounded if rounded or exact > 0 else -0.0


def _integer_product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    bits = 8 * a.itemsize
    exact = a.astype(object) @ b.astype(object) if a.shape[1] else np.zeros((len(a), b.shape[1]))
    wrapped = (exact.astype(object) + 2 ** (bits - 1)) % 2**bits - 2 ** (bits - 1)
    return wrapped.astype(a.dtype)
