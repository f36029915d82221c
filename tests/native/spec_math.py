"""Plain-Python bit specification of casts, integer functions and Philox.

Takes and gives bit patterns or Python numbers; slow, written from the rules in gc_cast.h, gc_int.h
and gc_philox.h with exact integers and fractions. Invariant: nothing here rounds in floating point.
"""

import math
import struct
from fractions import Fraction

# code -> (significand bits with the hidden one, exponent bits)
FLOAT = {"f16": (11, 5), "bf16": (8, 8), "f32": (24, 8), "f64": (53, 11)}
INT = {"u8": (8, False), "i8": (8, True), "i16": (16, True), "i32": (32, True), "i64": (64, True)}
CODES = [*FLOAT, *INT, "b8"]
MASK = (1 << 64) - 1


def round_fraction(q: Fraction) -> int:
    """To the nearest integer, ties to even."""
    low = math.floor(q)
    twice = 2 * (q - low)
    return low + (twice > 1 or (twice == 1 and low % 2 == 1))


def encode(code: str, sign: int, value: Fraction | float) -> int:
    """Bits of a magnitude (a fraction, inf or nan) rounded to nearest even in a float format."""
    digits, exponent_bits = FLOAT[code]
    top = (1 << exponent_bits) - 1
    negative = sign << (digits - 1 + exponent_bits)
    if value != value:
        return negative | top << (digits - 1) | 1 << (digits - 2)
    if value == math.inf:
        return negative | top << (digits - 1)
    bias = top >> 1
    if value == 0:
        return negative
    value = Fraction(value)
    size = value.numerator.bit_length() - value.denominator.bit_length()
    e = max(1 - bias, size - 1)  # the exponent of subnormals, or at most one below the value's
    while value >= Fraction(2) ** (e + 1):
        e += 1
    m = round_fraction(value / Fraction(2) ** (e - digits + 1))
    # a carry out of the significand moves on into the exponent field, up to infinity
    bits = m + ((e + bias - 1) << (digits - 1))
    return negative | min(bits, top << (digits - 1))


def decode(code: str, bits: int) -> tuple[int, Fraction | float]:
    """Sign and magnitude of a float's bits."""
    digits, exponent_bits = FLOAT[code]
    top, m = (1 << exponent_bits) - 1, bits & ((1 << (digits - 1)) - 1)
    e, sign = bits >> (digits - 1) & top, bits >> (digits - 1 + exponent_bits)
    if e == top:
        return sign, math.nan if m else math.inf
    m += bool(e) << (digits - 1)
    return sign, m * Fraction(2) ** (max(e, 1) - (top >> 1) - digits + 1)


def wrap(code: str, n: int) -> int:
    bits, signed = INT[code]
    n &= (1 << bits) - 1
    return n - (1 << bits) if signed and n >> (bits - 1) else n


def to_int64(sign: int, magnitude: Fraction | float) -> int:
    if magnitude != magnitude:
        return 0
    if magnitude == math.inf or magnitude >= 2**63:
        return -(2**63)
    return -math.floor(magnitude) if sign else math.floor(magnitude)


def cast(source: str, target: str, x: int) -> int:
    """x is the bits of a float, else the number; so is the result."""
    if source == target:
        return x
    if source in FLOAT:
        sign, magnitude = decode(source, x)
        if target == "b8":
            return int(magnitude != 0)
        if target in INT:
            return wrap(target, to_int64(sign, magnitude))
    else:
        if target == "b8":
            return int(x != 0)
        if target in INT:
            return wrap(target, x)
        sign, magnitude = int(x < 0), Fraction(abs(x))
    if target in ("f16", "bf16"):  # by way of float32
        sign, magnitude = decode("f32", encode("f32", sign, magnitude))
    return encode(target, sign, magnitude)


# ------------------------------------------------------------------------------------ integers


def integer(fn: str, code: str, a: int, b: int = 0, c: int = 0) -> int:
    """The value of gc_<fn>_<code>."""
    bits, signed = INT[code]
    quotient = (abs(a) // abs(b)) * (-1 if (a < 0) != (b < 0) else 1) if b else 0
    inside = 0 <= b < bits
    if fn == "pow":
        if b < 0:
            return {1: 1, -1: 1 if b % 2 == 0 else -1}.get(a, 0)
        return wrap(code, pow(a, b, 1 << bits))
    return wrap(
        code,
        {
            "add": a + b,
            "sub": a - b,
            "mul": a * b,
            "neg": -a,
            "abs": abs(a),
            "square": a * a,
            "relu": max(a, 0),
            "sign": (a > 0) - (a < 0),
            "bitwise_not": ~a,
            "bitwise_and": a & b,
            "bitwise_or": a | b,
            "bitwise_xor": a ^ b,
            "maximum": max(a, b),
            "minimum": min(a, b),
            "fmax": max(a, b),
            "fmin": min(a, b),
            "clamp": min(max(a, b), c),
            "trunc_divide": quotient,
            "fmod": a - quotient * b if b else 0,
            "floor_divide": a // b if b else 0,
            "remainder": a % b if b else 0,
            "bitwise_left_shift": a << b if inside else 0,
            "bitwise_right_shift": a >> b if inside else -(a < 0),
            "eq": a == b,
            "ne": a != b,
            "lt": a < b,
            "le": a <= b,
            "gt": a > b,
            "ge": a >= b,
        }[fn],
    )


# ------------------------------------------------------------------------------------ random


def philox_block(seed: int, offset: int, block: int) -> list[int]:
    """The four words of Philox4x64-10 at counter offset + block + 1, key (seed, 0)."""
    n = offset + block + 1
    c, k0, k1 = [n >> (64 * i) & MASK for i in range(4)], seed & MASK, 0
    for _ in range(10):
        a, b = 0xD2E7470EE14C6C93 * c[0], 0xCA5A826395121157 * c[2]
        c = [(b >> 64) ^ c[1] ^ k0, b & MASK, (a >> 64) ^ c[3] ^ k1, a & MASK]
        k0, k1 = (k0 + 0x9E3779B97F4A7C15) & MASK, (k1 + 0xBB67AE8584CAA73B) & MASK
    return c


def word(seed: int, offset: int, i: int) -> int:
    return philox_block(seed, offset, i // 4)[i % 4]


def uniform(code: str, w: int) -> float:
    return (w >> 40) / 2**24 if code == "f32" else (w >> 11) / 2**53  # both exact


def randint(w: int, low: int, count: int) -> int:
    n = low + (w * count >> 64 if count else w)
    return struct.unpack("<q", struct.pack("<Q", n & MASK))[0]
