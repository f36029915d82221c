/* Array kernels of the functions in gc_math_gamma.h. */
#include "gc_math_gamma.h"
#include "kernel.h"

#define U(fn) \
  GC_UNARY(fn##_f32, gc_##fn##_f32, float, float) GC_UNARY(fn##_f64, gc_##fn##_f64, double, double)
#define B(fn) \
  GC_BINARY(fn##_f32, gc_##fn##_f32, float, float) \
  GC_BINARY(fn##_f64, gc_##fn##_f64, double, double)
#define I(fn) \
  GC_BINARY(fn##_u8, gc_##fn##_u8, uint8_t, uint8_t) \
  GC_BINARY(fn##_i8, gc_##fn##_i8, int8_t, int8_t) \
  GC_BINARY(fn##_i16, gc_##fn##_i16, int16_t, int16_t) \
  GC_BINARY(fn##_i32, gc_##fn##_i32, int32_t, int32_t) \
  GC_BINARY(fn##_i64, gc_##fn##_i64, int64_t, int64_t)

U(i0)
U(i0e)
U(i1)
U(i1e)
U(erfcx)
U(ndtri)
U(frexp_mantissa)
U(frexp_exponent)
B(zeta)
B(igamma)
B(igammac)
I(gcd)
I(lcm)
