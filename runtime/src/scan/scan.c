/* Running sums and products along the middle axis of a contiguous [outer, n, inner]: gc_scan_sum_*
 * and gc_scan_prod_*; f32 and f64 keep their type, integers and bool go to i64 with wraparound.
 *
 * Plain order: s = identity (+0.0 or 1); for r ascending s = s op x[r], stored at every r. In place
 * is allowed where the types agree. */
#include "reduce_common.h"

#define SCAN_COLUMNS 1024

typedef struct {
  int64_t n, inner, tiles;
  const void *src;
  void *dst;
} scan_job;

static GC_ONCE void scan_run(gc_body body, int64_t outer, int64_t n, int64_t inner, const void *src,
                     void *dst) {
  scan_job job = {n, inner, gc_ceil_div(inner, SCAN_COLUMNS), src, dst};
  int64_t work = n * gc_min_i64(inner, SCAN_COLUMNS);
  if (inner > 0) gc_parallel_for(outer * job.tiles, GC_GRAIN / (work + 1) + 1, body, &job);
}

#define DEFINE_SCAN(NAME, T, OP, ID) \
  /* Four rows at a time: their chains of dependent operations overlap. */ \
  static void NAME##_rows(const T *x, T *y, int64_t rows, int64_t n) { \
    int64_t r, k; \
    for (; rows >= 4; rows -= 4, x += 4 * n, y += 4 * n) { \
      T a = ID, b = ID, c = ID, d = ID; \
      for (r = 0; r < n; r++) { \
        y[r] = a = OP(a, x[r]); \
        y[r + n] = b = OP(b, x[r + n]); \
        y[r + 2 * n] = c = OP(c, x[r + 2 * n]); \
        y[r + 3 * n] = d = OP(d, x[r + 3 * n]); \
      } \
    } \
    for (k = 0; k < rows; k++, x += n, y += n) { \
      T a = ID; \
      for (r = 0; r < n; r++) y[r] = a = OP(a, x[r]); \
    } \
  } \
  static void NAME##_body(void *ctx, int64_t begin, int64_t end, int thread) { \
    const scan_job *job = ctx; \
    int64_t n = job->n, inner = job->inner, t, r, j; \
    (void)thread; \
    if (inner == 1) { \
      NAME##_rows((const T *)job->src + begin * n, (T *)job->dst + begin * n, end - begin, n); \
      return; \
    } \
    for (t = begin; t < end; t++) { \
      int64_t j0 = t % job->tiles * SCAN_COLUMNS, w = gc_min_i64(inner - j0, SCAN_COLUMNS); \
      const T *x = (const T *)job->src + t / job->tiles * n * inner + j0; \
      T *y = (T *)job->dst + t / job->tiles * n * inner + j0, s[SCAN_COLUMNS]; \
      for (j = 0; j < w; j++) s[j] = ID; \
      for (r = 0; r < n; r++, x += inner, y += inner) \
        for (j = 0; j < w; j++) y[j] = s[j] = OP(s[j], x[j]); \
    } \
  } \
  GC_EXPORT void gc_scan_##NAME(int64_t outer, int64_t n, int64_t inner, const void *src, \
                                void *dst) { \
    scan_run(NAME##_body, outer, n, inner, src, dst); \
  }
DEFINE_SCAN(sum_f32, float, GC_ADD, 0)
DEFINE_SCAN(prod_f32, float, GC_MUL, 1)
DEFINE_SCAN(sum_f64, double, GC_ADD, 0)
DEFINE_SCAN(prod_f64, double, GC_MUL, 1)
DEFINE_SCAN(sum_i64, int64_t, GC_ADD, 0)
DEFINE_SCAN(prod_i64, int64_t, GC_MUL, 1)

/* Narrow integers are widened into the result and scanned in place. */
typedef struct {
  const void *src;
  int64_t *dst;
} widen_job;
#define SCAN_NARROW(S, T) \
  static void widen_##S(void *ctx, int64_t begin, int64_t end, int thread) { \
    const widen_job *job = ctx; \
    int64_t i; \
    (void)thread; \
    for (i = begin; i < end; i++) job->dst[i] = ((const T *)job->src)[i]; \
  } \
  EXPORT_NARROW(sum, S, widen_##S) \
  EXPORT_NARROW(prod, S, widen_##S)
#define EXPORT_NARROW(OP, S, WIDEN) \
  GC_EXPORT void gc_scan_##OP##_##S(int64_t outer, int64_t n, int64_t inner, const void *src, \
                                    void *dst) { \
    widen_job job = {src, dst}; \
    gc_parallel_for(outer * n * inner, GC_GRAIN, WIDEN, &job); \
    gc_scan_##OP##_i64(outer, n, inner, dst, dst); \
  }
SCAN_NARROW(i32, int32_t)
SCAN_NARROW(i16, int16_t)
SCAN_NARROW(i8, int8_t)
SCAN_NARROW(u8, uint8_t)
EXPORT_NARROW(sum, b8, widen_u8)
EXPORT_NARROW(prod, b8, widen_u8)
