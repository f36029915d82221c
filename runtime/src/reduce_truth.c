/* gc_reduce_any_* and gc_reduce_all_* over the middle axis of a contiguous [outer, n, inner], every code, to
 * b8. NaN counts as true; any of nothing is false, all of nothing true. */
#include "reduce_free.h"

#define TRUTH(x, flip) ((uint8_t)(((x) != 0) ^ ((flip) & 1)))
#define BOOL(x, flip) (((x) ^ (flip)) & 1)
DEFINE_FREE(f32, float, uint8_t, uint8_t, 0, TRUTH, OR, BOOL)
DEFINE_FREE(f64, double, uint8_t, uint8_t, 0, TRUTH, OR, BOOL)
DEFINE_FREE(i64, int64_t, uint8_t, uint8_t, 0, TRUTH, OR, BOOL)
DEFINE_FREE(i32, int32_t, uint8_t, uint8_t, 0, TRUTH, OR, BOOL)
DEFINE_FREE(i16, int16_t, uint8_t, uint8_t, 0, TRUTH, OR, BOOL)
DEFINE_FREE(u8, uint8_t, uint8_t, uint8_t, 0, TRUTH, OR, BOOL)

#define EXPORT(S, NAME) EXPORT_FREE(any_##S, NAME, 0) EXPORT_FREE(all_##S, NAME, -1)
EXPORT(f32, f32) EXPORT(f64, f64) EXPORT(i64, i64) EXPORT(i32, i32) EXPORT(i16, i16)
EXPORT(i8, u8) EXPORT(u8, u8) EXPORT(b8, u8)
