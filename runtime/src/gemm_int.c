/* Integer products, int32 and int64, wrapping modulo 2^bits (so the order is free).
 *
 * Rows of C are built as sums of scaled rows of B, four at a time, so that one
 * load of C serves several products and the inner loop vectorises. B is copied to unit column
 * stride when it has another one.
 */
#include <string.h>

#include "gc_api.h"

#define KB 64
#define NB 512
#define GRAIN_WORK (1 << 16) /* multiply-adds that pay for a second thread */

#define T int32_t
#define U uint32_t
#define GEMM gc_gemm_i32
#define NAME(x) x##_i32
#include "gemm_int.inc"
#undef T
#undef U
#undef GEMM
#undef NAME

#define T int64_t
#define U uint64_t
#define GEMM gc_gemm_i64
#define NAME(x) x##_i64
#include "gemm_int.inc"
