/* Running sums and products along the middle axis of a contiguous [outer, n, inner]: gc_scan_sum_* and
 * gc_scan_prod_*; f32 and f64 keep their type, integers and bool go to i64 with wraparound.
 *
 * Plain order: s = identity (+0.0 or 1); for r ascending s = s op x[r], stored at every r. In place is
 * allowed where the types agree. */
#include "reduce_common.h"

#define SCAN_COLUMNS 1024

typedef struct {
  int64_t n, inner, tiles;
  const void *src;
  void *dst;
} scan_job;

static void scan_run(gc_body body, int64_t outer, int64_t n, int64_t inner, const void *src,
                     void *dst) {
  scan_job job = {n, inner, gc_ceil_div(inner, SCAN_COLUMNS), src, dst};
  int64_t work = n * gc_min_i64(inner, SCAN_COLUMNS);
  if (inner > 0) gc_parallel_for(outer * job.tiles, GC_GRAIN / (work + 1) + 1, body, &job);
}

#define DEFINE_SCAN(NAME, T, D, OP, ID) \
  /* Four rows at a time: their chains of dependent operations overlap. */ \
  static void NAME##_rows(const T *x, D *y, int64_t rows, int64_t n) { \
    int64_t r, k; \
    for (; rows >= 4; rows -= 4, x += 4 * n, y += 4 * n) { \
      D a = ID, b = ID, c = ID, d = ID; \
      for (r = 0; r < n; r++) { \
        y[r] = a = OP(a, (D)x[r]); \
        y[r + n] = b = OP(b, (D)x[r + n]); \
        y[r + 2 * n] = c = OP(c, (D)x[r + 2 * n]); \
        y[r + 3 * n] = d = OP(d, (D)x[r + 3 * n]); \
      } \
    } \
    for (k = 0; k < rows; k++, x += n, y += n) { \
      D a = ID; \
      for (r = 0; r < n; r++) y[r] = a = OP(a, (D)x[r]); \
    } \
  } \
  static void NAME##_body(void *ctx, int64_t begin, int64_t end, int thread) { \
    const scan_job *job = ctx; \
    int64_t n = job->n, inner = job->inner, t, r, j; \
    (void)thread; \
    if (inner == 1) { \
      NAME##_rows((const T *)job->src + begin * n, (D *)job->dst + begin * n, end - begin, n); \
      return; \
    } \
    for (t = begin; t < end; t++) { \
      int64_t j0 = t % job->tiles * SCAN_COLUMNS, w = gc_min_i64(inner - j0, SCAN_COLUMNS); \
      const T *x = (const T *)job->src + t / job->tiles * n * inner + j0; \
      D *y = (D *)job->dst + t / job->tiles * n * inner + j0, s[SCAN_COLUMNS]; \
      for (j = 0; j < w; j++) s[j] = ID; \
      for (r = 0; r < n; r++, x += inner, y += inner) \
        for (j = 0; j < w; j++) y[j] = s[j] = OP(s[j], (D)x[j]); \
    } \
  } \
  GC_EXPORT void gc_scan_##NAME(int64_t outer, int64_t n, int64_t inner, const void *src, \
                                void *dst) { \
    scan_run(NAME##_body, outer, n, inner, src, dst); \
  }
#define SCANS(S, T, D) DEFINE_SCAN(sum_##S, T, D, GC_ADD, 0) DEFINE_SCAN(prod_##S, T, D, GC_MUL, 1)
SCANS(f32, float, float)
SCANS(f64, double, double)
SCANS(i64, int64_t, int64_t)
SCANS(i32, int32_t, int64_t)
SCANS(i16, int16_t, int64_t)
SCANS(i8, int8_t, int64_t)
SCANS(u8, uint8_t, int64_t)
#define SAME_AS_U8(NAME) \
  GC_EXPORT void gc_scan_##NAME##_b8(int64_t outer, int64_t n, int64_t inner, const void *src, \
                                     void *dst) { \
    scan_run(NAME##_u8_body, outer, n, inner, src, dst); \
  }
SAME_AS_U8(sum)
SAME_AS_U8(prod)
