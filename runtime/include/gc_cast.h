/* Casts between the element types: gc_cast_<from>_<to>(x) for every pair of
   f16 bf16 f32 f64 u8 i8 i16 i32 i64 b8; f16 and bf16 values are their bit patterns (uint16_t).
   Invariant: every cast is total, branch-free and independent of the compiler.
     to a float      round to nearest even, overflow to infinity, NaN stays NaN;
                     float64 and the integers reach f16 and bf16 through float32, as in PyTorch
     float to int64  truncation; NaN -> 0; |x| >= 2^63 -> INT64_MIN
     float to int    to int64, then modulo 2^bits
     int to int      modulo 2^bits
     to bool         x != 0 (NaN is true) */
#ifndef GC_CAST_H
#define GC_CAST_H
#include "gc_basic.h"

static inline float gc_cast_f16_f32(uint16_t x) {
  uint32_t m = (uint32_t)(x & 0x7fffu) << 13, s = (uint32_t)(x & 0x8000u) << 16;
  uint32_t u = m + (112u << 23);
  /* subnormal: a multiple of 2^-24 on top of 2^-14; infinity and NaN: the top exponent */
  uint32_t low = gc_bits_f32(gc_from_bits_f32(m + (113u << 23)) - 0x1p-14f);
  u = m < (1u << 23) ? low : u;
  u = m >= (31u << 23) ? m + (224u << 23) : u;
  return gc_from_bits_f32(u | s);
}
static inline uint16_t gc_cast_f32_f16(float x) {
  uint32_t b = gc_bits_f32(x), a = b & 0x7fffffffu, s = b >> 16 & 0x8000u;
  uint32_t h = (a - (112u << 23) + 0xfffu + (a >> 13 & 1u)) >> 13;
  /* below 2^-14: adding 1/2 rounds to a multiple of 2^-24 */
  uint32_t low = gc_bits_f32(gc_from_bits_f32(a) + 0.5f) - 0x3f000000u;
  h = a < (113u << 23) ? low : h;
  h = a >= (143u << 23) ? 0x7c00u : h;
  h = a > 0x7f800000u ? 0x7e00u : h;
  return (uint16_t)(h | s);
}
static inline float gc_cast_bf16_f32(uint16_t x) { return gc_from_bits_f32((uint32_t)x << 16); }
static inline uint16_t gc_cast_f32_bf16(float x) {
  uint32_t u = gc_bits_f32(x), r = (u + 0x7fffu + (u >> 16 & 1u)) >> 16;
  return (uint16_t)((u & 0x7fffffffu) > 0x7f800000u ? (u >> 16 | 0x40u) : r);
}
static inline int64_t gc_cast_f64_i64(double x) {
  int inside = (x >= -0x1p63) & (x < 0x1p63);
  int64_t r = (int64_t)(inside ? x : 0.0);
  r = inside ? r : INT64_MIN;
  return x != x ? 0 : r;
}
/* The low 32 bits of gc_cast_f64_i64, with 32-bit conversions only. */
static inline int32_t gc_cast_f64_i32(double x) {
  double t = __builtin_trunc(x), l = gc_fma_f64(-__builtin_floor(t * 0x1p-32), 0x1p32, t);
  l = gc_abs_f64(x) < 0x1p63 ? l - 0x1p31 : -0x1p31;
  return (int32_t)((uint32_t)(int32_t)l ^ 0x80000000u);
}

#define GC_CAST(FROM, TF, TO, TT, EXPR) \
  static inline TT gc_cast_##FROM##_##TO(TF x) { return EXPR; }
#define GC_CAST_SAME(K, T) GC_CAST(K, T, K, T, x)
/* integer (or bool) to everything but itself */
#define GC_CAST_INT(K, T) \
  GC_CAST(K, T, f32, float, (float)x) \
  GC_CAST(K, T, f64, double, (double)x) \
  GC_CAST(K, T, f16, uint16_t, gc_cast_f32_f16((float)x)) \
  GC_CAST(K, T, bf16, uint16_t, gc_cast_f32_bf16((float)x))
#define GC_CAST_U8(K, T) GC_CAST(K, T, u8, uint8_t, (uint8_t)x)
#define GC_CAST_I8(K, T) GC_CAST(K, T, i8, int8_t, (int8_t)(uint8_t)x)
#define GC_CAST_I16(K, T) GC_CAST(K, T, i16, int16_t, (int16_t)(uint16_t)x)
#define GC_CAST_I32(K, T) GC_CAST(K, T, i32, int32_t, (int32_t)(uint32_t)x)
#define GC_CAST_I64(K, T) GC_CAST(K, T, i64, int64_t, (int64_t)x)
#define GC_CAST_B8(K, T) GC_CAST(K, T, b8, uint8_t, x != 0)
/* a float type to the integers and bool, by way of WIDE (an exact conversion to double) */
#define GC_CAST_FLOAT(K, T, WIDE) \
  GC_CAST(K, T, u8, uint8_t, (uint8_t)gc_cast_f64_i32(WIDE)) \
  GC_CAST(K, T, i8, int8_t, (int8_t)(uint8_t)gc_cast_f64_i32(WIDE)) \
  GC_CAST(K, T, i16, int16_t, (int16_t)(uint16_t)gc_cast_f64_i32(WIDE)) \
  GC_CAST(K, T, b8, uint8_t, WIDE != 0)

GC_CAST_SAME(f16, uint16_t) GC_CAST_SAME(bf16, uint16_t)
GC_CAST_SAME(f32, float) GC_CAST_SAME(f64, double)
GC_CAST(f32, float, f64, double, (double)x)
GC_CAST(f64, double, f32, float, (float)x)
GC_CAST(f64, double, f16, uint16_t, gc_cast_f32_f16((float)x))
GC_CAST(f64, double, bf16, uint16_t, gc_cast_f32_bf16((float)x))
GC_CAST(f16, uint16_t, f64, double, (double)gc_cast_f16_f32(x))
GC_CAST(bf16, uint16_t, f64, double, (double)gc_cast_bf16_f32(x))
GC_CAST(f16, uint16_t, bf16, uint16_t, gc_cast_f32_bf16(gc_cast_f16_f32(x)))
GC_CAST(bf16, uint16_t, f16, uint16_t, gc_cast_f32_f16(gc_cast_bf16_f32(x)))

GC_CAST_FLOAT(f16, uint16_t, (double)gc_cast_f16_f32(x))
GC_CAST_FLOAT(bf16, uint16_t, (double)gc_cast_bf16_f32(x))
GC_CAST_FLOAT(f32, float, (double)x)
GC_CAST_FLOAT(f64, double, x)
GC_CAST(f16, uint16_t, i32, int32_t, gc_cast_f64_i32((double)gc_cast_f16_f32(x)))
GC_CAST(bf16, uint16_t, i32, int32_t, gc_cast_f64_i32((double)gc_cast_bf16_f32(x)))
GC_CAST(f32, float, i32, int32_t, gc_cast_f64_i32((double)x))
GC_CAST(f16, uint16_t, i64, int64_t, gc_cast_f64_i64((double)gc_cast_f16_f32(x)))
GC_CAST(bf16, uint16_t, i64, int64_t, gc_cast_f64_i64((double)gc_cast_bf16_f32(x)))
GC_CAST(f32, float, i64, int64_t, gc_cast_f64_i64((double)x))

GC_CAST_INT(u8, uint8_t) GC_CAST_INT(i8, int8_t) GC_CAST_INT(i16, int16_t)
GC_CAST_INT(i32, int32_t) GC_CAST_INT(i64, int64_t) GC_CAST_INT(b8, uint8_t)
#define GC_CAST_TO_INTS(K, T) \
  GC_CAST_U8(K, T) GC_CAST_I8(K, T) GC_CAST_I16(K, T) GC_CAST_I32(K, T) GC_CAST_I64(K, T) \
  GC_CAST_B8(K, T)
GC_CAST_TO_INTS(u8, uint8_t)
GC_CAST_TO_INTS(i8, int8_t)
GC_CAST_TO_INTS(i16, int16_t)
GC_CAST_TO_INTS(i32, int32_t)
GC_CAST_TO_INTS(i64, int64_t)
GC_CAST_TO_INTS(b8, uint8_t)

#undef GC_CAST_TO_INTS
#undef GC_CAST_FLOAT
#undef GC_CAST_B8
#undef GC_CAST_I64
#undef GC_CAST_I32
#undef GC_CAST_I16
#undef GC_CAST_I8
#undef GC_CAST_U8
#undef GC_CAST_INT
#undef GC_CAST_SAME
#undef GC_CAST
#endif
