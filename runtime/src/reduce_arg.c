/* gc_reduce_argmax_* and gc_reduce_argmin_* over the middle axis of a contiguous [outer, n, inner], to i64:
 * the first index of the winner; the first NaN if there is one; -0.0 equals +0.0; n = 0 gives 0.
 *
 * Every element becomes an integer key (K = int32 or int64) of which the greatest wins; flip = -1 reverses
 * the order (argmin) at run time, so that both directions share their code. */
#include "reduce_common.h"

#define ARG_COLUMNS 1024
#define ARG_NARROW 64
#define ARG_RUN 1024                  /* a row's best run is found first, then searched */
#define ARG_SPAN ((int64_t)1 << 30)   /* rows that an int32 counts */
#define ARG_PIECE 65536

typedef struct {
  int64_t (*row)(int64_t flip, const void *x, int64_t begin, int64_t end);
  int64_t (*better)(int64_t flip, const void *x, int64_t i, int64_t j);
  void (*columns)(int64_t flip, const void *x, int64_t n, int64_t ld, int64_t j0, int64_t w,
                  int64_t *dst);
} arg_kind;

typedef struct {
  const arg_kind *kind;
  int64_t flip, outer, n, inner, tile, tiles, piece, pieces, size;
  const char *src;
  int64_t *dst, *parts;
} arg_job;

static void arg_body(void *ctx, int64_t begin, int64_t end, int thread) {
  const arg_job *job = ctx;
  int64_t t;
  (void)thread;
  for (t = begin; t < end; t++) {
    if (job->inner == 1) {
      const char *x = job->src + t / job->pieces * job->n * job->size;
      int64_t r0 = t % job->pieces * job->piece;
      (job->pieces > 1 ? job->parts : job->dst)[t] =
          job->kind->row(job->flip, x, r0, gc_min_i64(r0 + job->piece, job->n));
    } else {
      int64_t o = t / job->tiles, j0 = t % job->tiles * job->tile;
      job->kind->columns(job->flip, job->src + o * job->n * job->inner * job->size, job->n,
                         job->inner, j0, gc_min_i64(job->inner - j0, job->tile), job->dst + o * job->inner + j0);
    }
  }
}

static void arg_reduce(const arg_kind *kind, int64_t flip, int64_t size, int64_t outer, int64_t n,
                       int64_t inner, const void *src, int64_t *dst) {
  arg_job job = {kind, flip, outer, n, inner, gc_min_i64(inner, ARG_COLUMNS), 1, n, 1, size, src, dst, 0};
  int64_t want = 4 * (int64_t)gc_get_num_threads(), t, i;
  if (outer * inner == 0 || n == 0) {
    for (t = 0; t < outer * inner; t++) dst[t] = 0;
    return;
  }
  if (want > 4 && inner == 1 && outer < want && n >= 2 * ARG_PIECE) {
    job.piece = gc_max_i64(gc_ceil_div(n, gc_ceil_div(want, outer)), ARG_PIECE);
    job.pieces = gc_ceil_div(n, job.piece);
    job.parts = gc_alloc(outer * job.pieces * (int64_t)sizeof(int64_t));
  }
  if (want > 4 && inner >= 2 * ARG_NARROW)
    job.tile = gc_min_i64(job.tile, gc_max_i64(ARG_NARROW, gc_ceil_div(outer * inner, want)));
  job.tiles = gc_ceil_div(inner, job.tile);
  gc_parallel_for(outer * job.tiles * job.pieces, GC_GRAIN / (job.piece * job.tile + 1) + 1,
                  arg_body, &job);
  if (job.pieces == 1) return;
  uint64_t saved = gc_fp_enter();
  for (t = 0; t < outer; t++) {
    dst[t] = job.parts[t * job.pieces];
    for (i = 1; i < job.pieces; i++)
      dst[t] = kind->better(flip, (const char *)src + t * n * size, dst[t], job.parts[t * job.pieces + i]);
  }
  gc_fp_leave(saved);
  gc_free(job.parts);
}

#define DEFINE_ARG(NAME, T, K, KEY) \
  static int64_t NAME##_row(int64_t flip64, const void *src, int64_t begin, int64_t end) { \
    const K flip = (K)flip64; \
    const T *x = src; \
    K best = KEY(x[begin], flip); \
    int64_t at = begin, r, b; \
    for (b = begin; b < end; b += ARG_RUN) { \
      int64_t stop = gc_min_i64(b + ARG_RUN, end); \
      K most = KEY(x[b], flip); \
      for (r = b; r < stop; r++) { \
        K k = KEY(x[r], flip); \
        most = k > most ? k : most; \
      } \
      at = most > best ? b : at; \
      best = most > best ? most : best; \
    } \
    while (KEY(x[at], flip) != best) at++; \
    return at; \
  } \
  static int64_t NAME##_better(int64_t flip64, const void *src, int64_t i, int64_t j) { \
    const K flip = (K)flip64; \
    const T *x = src; \
    return KEY(x[j], flip) > KEY(x[i], flip) ? j : i; \
  } \
  /* Narrow tiles stand side by side: column s * w + j holds rows s, s + side, s + 2 * side ... */ \
  static void NAME##_columns(int64_t flip64, const void *src, int64_t n, int64_t ld, int64_t j0, \
                             int64_t w, int64_t *dst) { \
    const K flip = (K)flip64; \
    K best[ARG_COLUMNS], at[ARG_COLUMNS]; \
    int64_t side = w == ld && w < ARG_NARROW ? gc_min_i64(4 * ARG_NARROW / w, n) : 1; \
    int64_t wide = side * w, r, r0, j, s; \
    for (r0 = 0; r0 < n; r0 += ARG_SPAN) { \
      int64_t rows = gc_min_i64(n - r0, ARG_SPAN); \
      const T *x = (const T *)src + r0 * ld + j0; \
      int64_t sides = gc_min_i64(side, rows); \
      for (j = 0; j < sides * w; j++) best[j] = KEY(x[j], flip), at[j] = 0; \
      for (r = 0; (r + 1) * side <= rows; r++, x += side * ld) \
        for (j = 0; j < wide; j++) { \
          K k = KEY(x[j], flip); \
          at[j] = k > best[j] ? (K)r : at[j]; \
          best[j] = k > best[j] ? k : best[j]; \
        } \
      for (j = 0; j < (rows - r * side) * w; j++) \
        if (KEY(x[j], flip) > best[j]) best[j] = KEY(x[j], flip), at[j] = (K)r; \
      for (j = 0; j < w; j++) { \
        K most = best[j]; \
        int64_t row = (int64_t)at[j] * side; \
        for (s = 1; s < sides; s++) { \
          K k = best[s * w + j]; \
          int64_t other = (int64_t)at[s * w + j] * side + s; \
          if (k > most || (k == most && other < row)) most = k, row = other; \
        } \
        if (r0 == 0 || most > KEY(((const T *)src)[dst[j] * ld + j0 + j], flip)) dst[j] = r0 + row; \
      } \
    } \
  } \
  static const arg_kind NAME##_kind = {NAME##_row, NAME##_better, NAME##_columns};

#define EXPORT(S, NAME, T) \
  GC_EXPORT void gc_reduce_argmax_##S(int64_t outer, int64_t n, int64_t inner, const void *src, \
                                      void *dst) { \
    arg_reduce(&NAME##_kind, 0, sizeof(T), outer, n, inner, src, dst); \
  } \
  GC_EXPORT void gc_reduce_argmin_##S(int64_t outer, int64_t n, int64_t inner, const void *src, \
                                      void *dst) { \
    arg_reduce(&NAME##_kind, -1, sizeof(T), outer, n, inner, src, dst); \
  }

/* x + 0 makes -0.0 a +0.0; complementing reverses the order, NaN stays the greatest key. */
#define KEY_f32(x, flip) ((x) != (x) ? INT32_MAX : gc_max_key_f32((x) + 0) ^ (flip))
#define KEY_f64(x, flip) ((x) != (x) ? INT64_MAX : gc_max_key_f64((x) + 0) ^ (flip))
#define FLIPPED(x, flip) ((x) ^ (flip))
DEFINE_ARG(f32, float, int32_t, KEY_f32)
DEFINE_ARG(f64, double, int64_t, KEY_f64)
DEFINE_ARG(i64, int64_t, int64_t, FLIPPED)
DEFINE_ARG(i32, int32_t, int32_t, FLIPPED)
DEFINE_ARG(i16, int16_t, int32_t, FLIPPED)
DEFINE_ARG(i8, int8_t, int32_t, FLIPPED)
DEFINE_ARG(u8, uint8_t, int32_t, FLIPPED)
EXPORT(f32, f32, float)
EXPORT(f64, f64, double)
EXPORT(i64, i64, int64_t)
EXPORT(i32, i32, int32_t)
EXPORT(i16, i16, int16_t)
EXPORT(i8, i8, int8_t)
EXPORT(u8, u8, uint8_t)
EXPORT(b8, u8, uint8_t)
