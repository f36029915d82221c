/* gc_reduce_sum_* and gc_reduce_prod_* of integers and bool over the middle axis of a contiguous
 * [outer, n, inner], to i64 with wraparound. */
#include "reduce_free.h"

#define WIDE(x, flip) ((int64_t)(x))
#define INTEGER(S, T) \
  DEFINE_FREE(sum_##S, T, int64_t, int64_t, 0, WIDE, GC_ADD, WIDE) \
  DEFINE_FREE(prod_##S, T, int64_t, int64_t, 1, WIDE, GC_MUL, WIDE) \
  EXPORT_FREE(sum_##S, sum_##S, 0) \
  EXPORT_FREE(prod_##S, prod_##S, 0)
INTEGER(i64, int64_t)
INTEGER(i32, int32_t)
INTEGER(i16, int16_t)
INTEGER(i8, int8_t)
INTEGER(u8, uint8_t)
EXPORT_FREE(sum_b8, sum_u8, 0)
EXPORT_FREE(prod_b8, prod_u8, 0)
