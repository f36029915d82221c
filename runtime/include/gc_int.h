/* Integer functions gc_<fn>_<code> for u8 i8 i16 i32 i64, logical ones for b8 (bytes 0 or 1).
   Invariant: total and wrapping modulo 2^bits; dividing by zero gives 0 (callers report the error).
     unary    abs neg sign square relu bitwise_not
     binary   add sub mul floor_divide trunc_divide remainder fmod pow maximum minimum fmax fmin
              bitwise_and bitwise_or bitwise_xor bitwise_left_shift bitwise_right_shift
     compare  eq ne lt le gt ge (give b8)          ternary  clamp (x, lo, hi; hi wins)
     b8       logical_not logical_and logical_or logical_xor, their bitwise_ twins, maximum minimum
              fmax fmin, comparisons
   remainder has the divisor's sign, fmod the dividend's.  pow with a negative exponent is the
 X */
#ifndef GC_INT_H
#define GC_INT_H
#include <stdint.h>

#define GC_COMPARE(T, K) \
  static inline uint8_t gc_eq_##K(T a, T b) { return a == b; } \
  static inline uint8_t gc_ne_##K(T a, T b) { return a != b; } \
  static inline uint8_t gc_lt_##K(T a, T b) { return a < b; } \
  static inline uint8_t gc_le_##K(T a, T b) { return a <= b; } \
  static inline uint8_t gc_gt_##K(T a, T b) { return a > b; } \
  static inline uint8_t gc_ge_##K(T a, T b) { return a >= b; } \
  static inline T gc_maximum_##K(T a, T b) { return a > b ? a : b; } \
  static inline T gc_minimum_##K(T a, T b) { return a < b ? a : b; } \
  static inline T gc_fmax_##K(T a, T b) { return a > b ? a : b; } \
  static inline T gc_fmin_##K(T a, T b) { return a < b ? a : b; } \
  static inline T gc_bitwise_and_##K(T a, T b) { return (T)(a & b); } \
  static inline T gc_bitwise_or_##K(T a, T b) { return (T)(a | b); } \
  static inline T gc_bitwise_xor_##K(T a, T b) { return (T)(a ^ b); }

/* T, code, W: unsigned type of the wrapping arithmetic, BITS, MAXSHIFT: bits less the sign bit.
   `b + 1u < 2u` in W asks whether b is 0 or -1: neither reaches the divide instruction. */
#define GC_INT(T, K, W, BITS, MAXSHIFT) \
  GC_COMPARE(T, K) \
  static inline T gc_add_##K(T a, T b) { return (T)((W)a + (W)b); } \
  static inline T gc_sub_##K(T a, T b) { return (T)((W)a - (W)b); } \
  static inline T gc_mul_##K(T a, T b) { return (T)((W)a * (W)b); } \
  static inline T gc_neg_##K(T a) { return (T)((W)0 - (W)a); } \
  static inline T gc_abs_##K(T a) { return (T)(a < (T)1 ? (W)0 - (W)a : (W)a); } \
  static inline T gc_sign_##K(T a) { return (T)((a > (T)0) - (a < (T)1) + (a == (T)0)); } \
  static inline T gc_relu_##K(T a) { return a < (T)1 ? (T)0 : a; } \
  static inline T gc_square_##K(T a) { return (T)((W)a * (W)a); } \
  static inline T gc_bitwise_not_##K(T a) { return (T)~a; } \
  static inline T gc_trunc_divide_##K(T a, T b) { \
    T d = b == (T)0 || b == (T)-1 ? (T)1 : b, q = (T)(a / d); \
    q = b == (T)-1 && (T)-1 < (T)1 ? (T)((W)0 - (W)a) : q; \
    q = b == (T)-1 && (T)-1 > (T)1 ? (T)(a == b) : q; \
    return b == (T)0 ? (T)0 : q; \
  } \
  static inline T gc_fmod_##K(T a, T b) { \
    return b == (T)0 ? (T)0 : (T)((W)a - (W)gc_trunc_divide_##K(a, b) * (W)b); \
  } \
  static inline T gc_remainder_##K(T a, T b) { \
    T m = gc_fmod_##K(a, b); \
    return (T)(m != (T)0 && (m < (T)1) != (b < (T)1) ? (W)m + (W)b : (W)m); \
  } \
  static inline T gc_floor_divide_##K(T a, T b) { \
    T q = gc_trunc_divide_##K(a, b), m = gc_fmod_##K(a, b); \
    return (T)(m != (T)0 && (m < (T)1) != (b < (T)1) ? (W)q - 1u : (W)q); \
  } \
  static inline T gc_pow_##K(T a, T b) { \
    W r = 1, x = (W)a, n = (W)b; \
    if ((T)-1 < (T)1 && b < (T)1 && b != (T)0) \
      return (T)(a == (T)1 ? 1 : a == (T)-1 ? (b & 1 ? -1 : 1) : 0); \
    for (; n; n >>= 1, x *= x) r = n & 1u ? r * x : r; \
    return (T)r; \
  } \
  static inline T gc_bitwise_left_shift_##K(T a, T b) { \
    W s = (W)b; \
    return (T)(s < BITS ? (W)a << (s & (BITS - 1u)) : 0u); \
  } \
  static inline T gc_bitwise_right_shift_##K(T a, T b) { \
    W s = (W)b; \
    return (T)(s < BITS ? a >> (s & (BITS - 1u)) : (a >> (MAXSHIFT - 1)) >> 1); \
  } \
  static inline T gc_clamp_##K(T x, T lo, T hi) { \
    return gc_minimum_##K(gc_maximum_##K(x, lo), hi); \
  }

GC_INT(uint8_t, u8, uint32_t, 8u, 8)
GC_INT(int8_t, i8, uint32_t, 8u, 7)
GC_INT(int16_t, i16, uint32_t, 16u, 15)
GC_INT(int32_t, i32, uint32_t, 32u, 31)
GC_INT(int64_t, i64, uint64_t, 64u, 63)
GC_COMPARE(uint8_t, b8)
static inline uint8_t gc_bitwise_not_b8(uint8_t a) { return a ^ 1u; }
static inline uint8_t gc_logical_not_b8(uint8_t a) { return a ^ 1u; }
static inline uint8_t gc_logical_and_b8(uint8_t a, uint8_t b) { return a & b; }
static inline uint8_t gc_logical_or_b8(uint8_t a, uint8_t b) { return a | b; }
static inline uint8_t gc_logical_xor_b8(uint8_t a, uint8_t b) { return a ^ b; }
#undef GC_INT
#undef GC_COMPARE
#endif
