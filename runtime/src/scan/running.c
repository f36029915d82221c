/* Running combinations along the middle axis of a contiguous [outer, n, inner], in plain order:
 * int gc_scan_<what>_<code>(numbers, in, out). numbers: outer, n, inner.
 *   cummax, cummin  out: the extremum of elements 0..r and its place, the last of equal ones; nan
 *                   wins and goes on winning
 *   logcumsumexp    m + log(s) in double, with m the running maximum and s = sum(exp(x - m)):
 *                   s[r] = s[r - 1] * exp(m[r - 1] - m[r]) + exp(x[r] - m[r])
 *   linear          numbers: and reverse; in: a, b.
 *                   s[r] = b[r] + a[r] * s[r - 1], or in reverse s[r] = b[r] + a[r + 1] * s[r + 1];
 *                   a[0] is not read. A product, then a sum: each is rounded. */
#include "gc_math_f64.h"
#include "reduce_common.h"

#define COLUMNS 512 /* lines side by side */

typedef struct {
  int64_t n, inner, tiles, reverse;
  const void *a, *b;
  void *out, *places;
} running;

static int run(gc_body body, const int64_t *numbers, running *p) {
  int64_t outer = numbers[0];
  p->n = numbers[1], p->inner = numbers[2];
  p->tiles = gc_ceil_div(p->inner, COLUMNS);
  if (outer && p->n && p->inner)
    gc_parallel_for(outer * p->tiles, GC_GRAIN / 4 / (p->n * gc_min_i64(p->inner, COLUMNS)) + 1,
                    body, p);
  return 0;
}

/* For the lines [j0, j0 + w) of the outer index of tile t: `at` is their first element. */
#define EACH_TILE \
  for (int64_t t = begin, at, w; t < end; t++) \
    if (at = t / p->tiles * p->n * p->inner + t % p->tiles * COLUMNS, \
        w = gc_min_i64(p->inner - t % p->tiles * COLUMNS, COLUMNS), 1)

#define EXTREMUM(NAME, T, K, BETTER) \
  static void body_##NAME##_##K(void *ctx, int64_t begin, int64_t end, int thread) { \
    const running *p = ctx; \
    (void)thread; \
    EACH_TILE { \
      const T *x = (const T *)p->a + at; \
      T *y = (T *)p->out + at, best[COLUMNS]; \
      int64_t *place = (int64_t *)p->places + at, found[COLUMNS]; \
      for (int64_t j = 0; j < w; j++) best[j] = x[j], found[j] = 0; \
      for (int64_t r = 0; r < p->n; r++, x += p->inner, y += p->inner, place += p->inner) \
        for (int64_t j = 0; j < w; j++) { \
          T v = x[j]; \
          int takes = v BETTER best[j] || v != v; \
          best[j] = takes ? v : best[j]; \
          found[j] = takes ? r : found[j]; \
          y[j] = best[j]; \
          place[j] = found[j]; \
        } \
    } \
  } \
  GC_EXPORT int gc_scan_##NAME##_##K(const int64_t *numbers, void *const *in, void *const *out) { \
    running p = {0, 0, 0, 0, in[0], 0, out[0], out[1]}; \
    return run(body_##NAME##_##K, numbers, &p); \
  }
#define EXTREMA(T, K) EXTREMUM(cummax, T, K, >=) EXTREMUM(cummin, T, K, <=)
EXTREMA(float, f32)
EXTREMA(double, f64)
EXTREMA(uint8_t, u8)
EXTREMA(uint8_t, b8)
EXTREMA(int8_t, i8)
EXTREMA(int16_t, i16)
EXTREMA(int32_t, i32)
EXTREMA(int64_t, i64)

/* exp(a - b), 1 for equal infinities. */
static inline double ratio(double a, double b) { return gc_exp_f64(a == b ? 0.0 : a - b); }
static inline double larger(double m, double x) { return x > m || x != x ? x : m; }

#define FLOATS(T, K) \
  static void log_line_##K(const T *x, T *y, int64_t n) { \
    double last = x[0], sum = 0.0, m[COLUMNS], grown[COLUMNS], s[COLUMNS]; \
    for (int64_t i = 0; i < n; i += COLUMNS, x += COLUMNS, y += COLUMNS) { \
      int64_t w = gc_min_i64(n - i, COLUMNS); \
      double high = last; \
      for (int64_t j = 0; j < w; j++) m[j] = high = larger(high, x[j]); \
      grown[0] = ratio(last, m[0]); \
      GC_FOR(int64_t j = 1; j < w; j++) grown[j] = ratio(m[j - 1], m[j]); \
      GC_FOR(int64_t j = 0; j < w; j++) s[j] = ratio(x[j], m[j]); \
      for (int64_t j = 0; j < w; j++) s[j] = sum = sum * grown[j] + s[j]; \
      GC_FOR(int64_t j = 0; j < w; j++) y[j] = (T)(m[j] + gc_log_f64(s[j])); \
      last = high; \
    } \
  } \
  static void body_log_##K(void *ctx, int64_t begin, int64_t end, int thread) { \
    const running *p = ctx; \
    (void)thread; \
    EACH_TILE { \
      const T *x = (const T *)p->a + at; \
      T *y = (T *)p->out + at; \
      double m[COLUMNS], s[COLUMNS]; \
      if (p->inner == 1) { \
        log_line_##K(x, y, p->n); \
        continue; \
      } \
      for (int64_t j = 0; j < w; j++) m[j] = x[j], s[j] = 0.0; \
      for (int64_t r = 0; r < p->n; r++, x += p->inner, y += p->inner) \
        GC_FOR(int64_t j = 0; j < w; j++) { \
          double v = x[j], high = larger(m[j], v); \
          s[j] = s[j] * ratio(m[j], high) + ratio(v, high); \
          m[j] = high; \
          y[j] = (T)(high + gc_log_f64(s[j])); \
        } \
    } \
  } \
  static void body_linear_##K(void *ctx, int64_t begin, int64_t end, int thread) { \
    const running *p = ctx; \
    (void)thread; \
    EACH_TILE { \
      int64_t step = p->reverse ? -p->inner : p->inner; \
      int64_t first = at + (p->reverse ? (p->n - 1) * p->inner : 0); \
      const T *b = (const T *)p->b + first; \
      const T *a = (const T *)p->a + first + (p->reverse ? 0 : p->inner); \
      T *y = (T *)p->out + first; \
      for (int64_t j = 0; j < w; j++) y[j] = b[j]; \
      for (int64_t r = 1; r < p->n; r++, a += step) { \
        const T *before = y; \
        b += step, y += step; \
        GC_FOR(int64_t j = 0; j < w; j++) y[j] = b[j] + a[j] * before[j]; \
      } \
    } \
  } \
  GC_EXPORT int gc_scan_logcumsumexp_##K(const int64_t *numbers, void *const *in, \
                                         void *const *out) { \
    running p = {0, 0, 0, 0, in[0], 0, out[0], 0}; \
    return run(body_log_##K, numbers, &p); \
  } \
  GC_EXPORT int gc_scan_linear_##K(const int64_t *numbers, void *const *in, void *const *out) { \
    running p = {0, 0, 0, numbers[3], in[0], in[1], out[0], 0}; \
    return run(body_linear_##K, numbers, &p); \
  }
FLOATS(float, f32)
FLOATS(double, f64)
