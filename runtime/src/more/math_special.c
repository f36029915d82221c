/* Array kernels of the functions in gc_math_special.h. A float32 array passes through double tile
 * by tile: that is what its scalar functions are. */
#include "gc_math_special.h"
#include "kernel.h"

#define BOTH(fn) \
  static void loop_##fn(int64_t n, const double *a, double *out) { \
    GC_SIMD for (int64_t i = 0; i < n; i++) out[i] = gc_##fn##_f64(a[i]); \
  } \
  static void body_##fn##_f64(void *ctx, int64_t i0, int64_t i1, int thread) { \
    const gc_args *g = ctx; \
    (void)thread; \
    loop_##fn(i1 - i0, (const double *)g->in[0] + i0, (double *)g->out + i0); \
  } \
  static void body_##fn##_f32(void *ctx, int64_t i0, int64_t i1, int thread) { \
    const gc_args *g = ctx; \
    double x[GC_TILE]; \
    (void)thread; \
    for (int64_t i = i0; i < i1; i += GC_TILE) { \
      const float *a = (const float *)g->in[0] + i; \
      float *out = (float *)g->out + i; \
      int64_t m = i1 - i < GC_TILE ? i1 - i : GC_TILE; \
      for (int64_t j = 0; j < m; j++) x[j] = (double)a[j]; \
      loop_##fn(m, x, x); \
      for (int64_t j = 0; j < m; j++) out[j] = (float)x[j]; \
    } \
  } \
  KERNEL(fn, f32) KERNEL(fn, f64)
#define KERNEL(fn, K) \
  GC_EXPORT void gc_v_##fn##_##K(int64_t n, const void *a, void *out) { \
    gc_args g = {{a, 0, 0}, out, {0}}; \
    if (n > 0) gc_pointwise(n, body_##fn##_##K, &g); \
  }

BOTH(asinh)
BOTH(acosh)
BOTH(atanh)
BOTH(erfinv)
BOTH(lgamma)
BOTH(digamma)
