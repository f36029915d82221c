/* Elementary float32/float64 functions that IEEE 754 fixes, written once for both types.
   Takes and gives plain values; every function is total, branch-free (gc_fmod_f64 and what is built
   on it excepted) and vectorisable.  Invariant: no operation is fused unless it says gc_fma. */
#ifndef GC_BASIC_H
#define GC_BASIC_H
#include <stdint.h>

/* Before a loop of few steps that chooses between values: it stays a loop. gcc 12 (-O3 -mavx) unrolls
   it, vectorises the loop around it and then reads every step's
     x[i] = a[i] > b[j] ? c[i] : 0
   under the mask of the first. */
#if defined(__GNUC__) && !defined(__clang__)
#define GC_ONE_BY_ONE _Pragma("GCC unroll 1")
#else
#define GC_ONE_BY_ONE
#endif

/* Of local arrays, as wide as any vector: gcc 12 aligns one for the vectors of one loop, places it
   by what it was before, and then stores to it as if it were aligned (-O3 -mavx512f). */
#if defined(__GNUC__)
#define GC_ALIGNED __attribute__((aligned(64)))
#else
#define GC_ALIGNED
#endif

static inline float gc_fma_f32(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
static inline double gc_fma_f64(double a, double b, double c) { return __builtin_fma(a, b, c); }

static inline uint32_t gc_bits_f32(float x) {
  union { float x; uint32_t u; } v;
  v.x = x;
  return v.u;
}
static inline float gc_from_bits_f32(uint32_t u) {
  union { float x; uint32_t u; } v;
  v.u = u;
  return v.x;
}
static inline uint64_t gc_bits_f64(double x) {
  union { double x; uint64_t u; } v;
  v.x = x;
  return v.u;
}
static inline double gc_from_bits_f64(uint64_t u) {
  union { double x; uint64_t u; } v;
  v.u = u;
  return v.x;
}

#define GC_MAGIC_F32 0x1.8p23f /* x + magic rounds x to an integer, left in the low bits */
#define GC_MAGIC_F64 0x1.8p52
/* 2^n with t = n + magic, n within the normal exponents. */
static inline float gc_pow2_f32(float t) {
  return gc_from_bits_f32((gc_bits_f32(t) << 23) + 0x3f800000u);
}
static inline double gc_pow2_f64(double t) {
  return gc_from_bits_f64((gc_bits_f64(t) << 52) + 0x3ff0000000000000u);
}

/* Horner: GC_P3(fma, x, c0, c1, c2) = c0 + x*(c1 + x*c2); x must be a plain variable. */
#define GC_P1(F, x, a) (a)
#define GC_P2(F, x, a, b) F(x, b, a)
#define GC_P3(F, x, a, ...) F(x, GC_P2(F, x, __VA_ARGS__), a)
#define GC_P4(F, x, a, ...) F(x, GC_P3(F, x, __VA_ARGS__), a)
#define GC_P5(F, x, a, ...) F(x, GC_P4(F, x, __VA_ARGS__), a)
#define GC_P6(F, x, a, ...) F(x, GC_P5(F, x, __VA_ARGS__), a)
#define GC_P7(F, x, a, ...) F(x, GC_P6(F, x, __VA_ARGS__), a)
#define GC_P8(F, x, a, ...) F(x, GC_P7(F, x, __VA_ARGS__), a)
#define GC_P9(F, x, a, ...) F(x, GC_P8(F, x, __VA_ARGS__), a)
#define GC_P10(F, x, a, ...) F(x, GC_P9(F, x, __VA_ARGS__), a)
#define GC_P11(F, x, a, ...) F(x, GC_P10(F, x, __VA_ARGS__), a)
#define GC_P12(F, x, a, ...) F(x, GC_P11(F, x, __VA_ARGS__), a)
#define GC_P13(F, x, a, ...) F(x, GC_P12(F, x, __VA_ARGS__), a)

/* Type, code, suffix of the builtins, unsigned integer as wide, sign bit, bits of +inf. */
#define GC_BASIC(T, K, S, U, SIGN, INF) \
  static inline T gc_sqrt_##K(T x) { return __builtin_sqrt##S(x); } \
  static inline T gc_floor_##K(T x) { return __builtin_floor##S(x); } \
  static inline T gc_ceil_##K(T x) { return __builtin_ceil##S(x); } \
  static inline T gc_trunc_##K(T x) { return __builtin_trunc##S(x); } \
  static inline T gc_rint_##K(T x) { return __builtin_rint##S(x); } \
  static inline T gc_frac_##K(T x) { return x - __builtin_trunc##S(x); } \
  static inline T gc_abs_##K(T x) { return gc_from_bits_##K(gc_bits_##K(x) & ~SIGN); } \
  static inline T gc_neg_##K(T x) { return -x; } \
  static inline T gc_copysign_##K(T x, T s) { \
    return gc_from_bits_##K((gc_bits_##K(x) & ~SIGN) | (gc_bits_##K(s) & SIGN)); \
  } \
  static inline T gc_sign_##K(T x) { return (T)(x > 0) - (T)(x < 0); } \
  static inline T gc_square_##K(T x) { return x * x; } \
  static inline T gc_reciprocal_##K(T x) { return 1 / x; } \
  static inline T gc_rsqrt_##K(T x) { return 1 / __builtin_sqrt##S(x); } \
  static inline T gc_relu_##K(T x) { return x < 0 ? (T)0 : x; } \
  static inline T gc_threshold_backward_##K(T g, T out) { return out <= 0 ? (T)0 : g; } \
  static inline T gc_leaky_relu_##K(T x, T slope) { return x > 0 ? x : x * slope; } \
  static inline T gc_add_##K(T a, T b) { return a + b; } \
  static inline T gc_sub_##K(T a, T b) { return a - b; } \
  static inline T gc_mul_##K(T a, T b) { return a * b; } \
  static inline T gc_div_##K(T a, T b) { return a / b; } \
  static inline uint8_t gc_eq_##K(T a, T b) { return a == b; } \
  static inline uint8_t gc_ne_##K(T a, T b) { return a != b; } \
  static inline uint8_t gc_lt_##K(T a, T b) { return a < b; } \
  static inline uint8_t gc_le_##K(T a, T b) { return a <= b; } \
  static inline uint8_t gc_gt_##K(T a, T b) { return a > b; } \
  static inline uint8_t gc_ge_##K(T a, T b) { return a >= b; } \
  static inline uint8_t gc_isnan_##K(T x) { return x != x; } \
  static inline uint8_t gc_isinf_##K(T x) { return (gc_bits_##K(x) & ~SIGN) == INF; } \
  static inline uint8_t gc_isfinite_##K(T x) { return (gc_bits_##K(x) & ~SIGN) < INF; } \
  static inline uint8_t gc_signbit_##K(T x) { return (gc_bits_##K(x) & SIGN) != 0; } \
  /* equal operands: OR (AND) of the bits makes +0 beat -0 (-0 beat +0) and leaves the rest. */ \
  static inline T gc_fmax_##K(T a, T b) { \
    T e = gc_from_bits_##K(gc_bits_##K(a) & gc_bits_##K(b)), r = a > b ? a : b; \
    r = a == b ? e : r; \
    return b != b ? a : r; \
  } \
  static inline T gc_fmin_##K(T a, T b) { \
    T e = gc_from_bits_##K(gc_bits_##K(a) | gc_bits_##K(b)), r = a < b ? a : b; \
    r = a == b ? e : r; \
    return b != b ? a : r; \
  } \
  static inline T gc_maximum_##K(T a, T b) { \
    T e = gc_from_bits_##K(gc_bits_##K(a) & gc_bits_##K(b)), r = a > b ? a : b; \
    r = a == b ? e : r; \
    return a != a ? a : r; \
  } \
  static inline T gc_minimum_##K(T a, T b) { \
    T e = gc_from_bits_##K(gc_bits_##K(a) | gc_bits_##K(b)), r = a < b ? a : b; \
    r = a == b ? e : r; \
    return a != a ? a : r; \
  } \
  static inline T gc_clamp_##K(T x, T lo, T hi) { \
    return gc_minimum_##K(gc_maximum_##K(x, lo), hi); \
  } \
  static inline T gc_lerp_##K(T a, T b, T w) { \
    T d = b - a, near_a = a + w * d, near_b = b - d * (1 - w); \
    return gc_abs_##K(w) < (T)0.5 ? near_a : near_b; \
  } \
  /* The bits of a float, read as sign and magnitude, are an ordered integer: step it by one. */ \
  static inline T gc_nextafter_##K(T a, T b) { \
    U u = gc_bits_##K(a), one = 1, m = u & ~SIGN; \
    U away = u + one, near_ = u - one; \
    T up = gc_from_bits_##K((a < b) == (u < SIGN) ? away : near_); \
    T r = m == 0 ? gc_from_bits_##K((gc_bits_##K(b) & SIGN) | one) : up; \
    r = a == b ? b : r; \
    return ((a != a) | (b != b)) ? a + b : r; \
  }

#define GC_NAN_F32 (__builtin_nanf(""))
#define GC_NAN_F64 (__builtin_nan(""))
#define GC_INF_F32 (__builtin_inff())
#define GC_INF_F64 (__builtin_inf())
#define GC_SIGN_F32 0x80000000u
#define GC_SIGN_F64 0x8000000000000000u

GC_BASIC(float, f32, f, uint32_t, GC_SIGN_F32, 0x7f800000u)
GC_BASIC(double, f64, , uint64_t, GC_SIGN_F64, 0x7ff0000000000000u)
#undef GC_BASIC

/* Exact remainder of the truncated quotient.  float32: quotients reach 2^277; six steps of 48 bits
   in double, every one exact, at most one unit off at the end. */
static inline float gc_fmod_f32(float a, float b) {
  double r = gc_abs_f64((double)a), d = gc_abs_f64((double)b), inv = 1.0 / d, q;
  q = __builtin_trunc(r * (inv * 0x1p-240)), r = gc_fma_f64(-q, d * 0x1p240, r);
  q = __builtin_trunc(r * (inv * 0x1p-192)), r = gc_fma_f64(-q, d * 0x1p192, r);
  q = __builtin_trunc(r * (inv * 0x1p-144)), r = gc_fma_f64(-q, d * 0x1p144, r);
  q = __builtin_trunc(r * (inv * 0x1p-96)), r = gc_fma_f64(-q, d * 0x1p96, r);
  q = __builtin_trunc(r * (inv * 0x1p-48)), r = gc_fma_f64(-q, d * 0x1p48, r);
  q = __builtin_trunc(r * inv), r = gc_fma_f64(-q, d, r);
  r = r < 0 ? r + d : r;
  r = r >= d ? r - d : r;
  float m = gc_copysign_f32((float)r, a);
  m = gc_isinf_f32(b) && gc_isfinite_f32(a) ? a : m;
  return b == 0 || gc_isinf_f32(a) ? GC_NAN_F32 : m;
}

/* float64: the divisor is scaled up by powers of two, then 50 bits of quotient leave a round.  The
   first test is the usual case; loops over this function are not vectorised. */
static inline double gc_fmod_f64(double a, double b) {
  double r = gc_abs_f64(a), d = gc_abs_f64(b), s = d;
  if (!(r < GC_INF_F64) || d != d || d == 0) return a != a ? a : GC_NAN_F64;
  if (r >= d && d < GC_INF_F64) {
    while (r / s >= 0x1p52) s *= 0x1p50;
    for (;;) {
      r = gc_fma_f64(-__builtin_trunc(r / s), s, r);
      r = r < 0 ? r + s : r;
      if (s == d) break;
      s *= 0x1p-50;
    }
  }
  return gc_copysign_f64(r, a);
}

/* PyTorch's floored pair: remainder has the divisor's sign; floor_divide snaps to the nearest
   integer, so that a == floor_divide(a, b) * b + remainder(a, b) up to rounding. */
#define GC_FLOORED(T, K, S) \
  /* -1 where a nonzero remainder m has not the sign of b, else 1 */ \
  static inline T gc_floor_side_##K(T m, T b) { \
    T s = gc_copysign_##K((T)1, m) * gc_copysign_##K((T)1, b); \
    return m == 0 ? (T)1 : s; \
  } \
  static inline T gc_remainder_##K(T a, T b) { \
    T m = gc_fmod_##K(a, b); \
    return gc_floor_side_##K(m, b) < 0 ? m + b : m; \
  } \
  static inline T gc_floor_divide_##K(T a, T b) { \
    T m = gc_fmod_##K(a, b), q = (a - m) / b; \
    q = gc_floor_side_##K(m, b) < 0 ? q - 1 : q; \
    T f = __builtin_floor##S(q); \
    f = q - f > (T)0.5 ? f + 1 : f; \
    f = q == 0 ? gc_copysign_##K((T)0, a / b) : f; \
    return b == 0 ? a / b : f; \
  }
GC_FLOORED(float, f32, f)
GC_FLOORED(double, f64, )
#undef GC_FLOORED
#endif
