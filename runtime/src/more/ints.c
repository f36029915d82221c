/* Integer and bool array kernels of the functions in gc_int.h, less those that eager mode leaves to
 * numpy (arithmetic, comparisons, bitwise operations: the bits are the same). */
#include "gc_int.h"
#include "kernel.h"

#define U(fn, K, T) GC_UNARY(fn##_##K, gc_##fn##_##K, T, T)
#define B(fn, K, T) GC_BINARY(fn##_##K, gc_##fn##_##K, T, T)
#define T3(fn, K, T) GC_TERNARY(fn##_##K, gc_##fn##_##K, T, T)

#define EXTREMA(K, T) \
  B(maximum, K, T) B(minimum, K, T) \
  GC_BINARY_ALIAS(fmax_##K, maximum_##K) GC_BINARY_ALIAS(fmin_##K, minimum_##K)
#define INTS(K, T) \
  EXTREMA(K, T) T3(clamp, K, T) U(sign, K, T) U(relu, K, T) \
  B(floor_divide, K, T) B(trunc_divide, K, T) B(remainder, K, T) B(fmod, K, T) B(pow, K, T) \
  B(bitwise_left_shift, K, T) B(bitwise_right_shift, K, T)

INTS(u8, uint8_t)
INTS(i8, int8_t)
INTS(i16, int16_t)
INTS(i32, int32_t)
INTS(i64, int64_t)
EXTREMA(b8, uint8_t)
