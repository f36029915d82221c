/* gc_reduce_max_* and gc_reduce_min_* over the middle axis of a contiguous [outer, n, inner], every code.
 * The element type is kept. NaN wins, -0.0 < +0.0; n = 0 gives the type's least or greatest value. */
#include "reduce_free.h"

/* An integer with the order of the values; complementing (flip = -1) reverses it, NaN stays on top. */
#define KEY_f32(x, flip) ((x) != (x) ? INT32_MAX : gc_max_key_f32(x) ^ (flip))
#define KEY_f64(x, flip) ((x) != (x) ? INT64_MAX : gc_max_key_f64(x) ^ (flip))
#define OUT_f32(acc, flip) gc_max_unkey_f32((acc) ^ (flip))
#define OUT_f64(acc, flip) gc_max_unkey_f64((acc) ^ (flip))
DEFINE_FREE(f32, float, int32_t, float, gc_max_key_f32(-INFINITY), KEY_f32, MAX_OF, OUT_f32)
DEFINE_FREE(f64, double, int64_t, double, gc_max_key_f64(-INFINITY), KEY_f64, MAX_OF, OUT_f64)

#define FLIPPED(x, flip) ((x) ^ (flip))
DEFINE_FREE(i64, int64_t, int64_t, int64_t, INT64_MIN, FLIPPED, MAX_OF, FLIPPED)
DEFINE_FREE(i32, int32_t, int32_t, int32_t, INT32_MIN, FLIPPED, MAX_OF, FLIPPED)
DEFINE_FREE(i16, int16_t, int16_t, int16_t, INT16_MIN, FLIPPED, MAX_OF, FLIPPED)
DEFINE_FREE(i8, int8_t, int8_t, int8_t, INT8_MIN, FLIPPED, MAX_OF, FLIPPED)
DEFINE_FREE(u8, uint8_t, uint8_t, uint8_t, 0, FLIPPED, MAX_OF, FLIPPED)
#define BOOL(x, flip) (((x) ^ (flip)) & 1)
DEFINE_FREE(b8, uint8_t, uint8_t, uint8_t, 0, BOOL, OR, BOOL)

#define EXPORT(S) EXPORT_FREE(max_##S, S, 0) EXPORT_FREE(min_##S, S, -1)
EXPORT(f32) EXPORT(f64) EXPORT(i64) EXPORT(i32) EXPORT(i16) EXPORT(i8) EXPORT(u8) EXPORT(b8)
