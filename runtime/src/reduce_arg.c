/* gc_reduce_argmax_* and gc_reduce_argmin_* over the middle axis of a contiguous [outer, n, inner],
 * to i64: the first index of the winner; the first NaN if there is one; -0.0 equals +0.0; n = 0
 * gives 0.
 *
 * Every element becomes an integer key (K = int32 or int64) of which the greatest wins; flip = -1
 * reverses the order (argmin) at run time, so that both directions share their code. */
#include "reduce_common.h"

#define ARG_COLUMNS 1024
#define ARG_NARROW 64
#define ARG_PIECE 256                 /* columns of a row loaded at a time, */
#define ARG_STREAMS 8                 /* from so many rows in turn */
#define ARG_RUN 1024                  /* a row's best run is found first, then searched */
#define ARG_SPAN ((int64_t)1 << 30)   /* rows that an int32 counts */
#define ARG_SHARE 65536               /* fewest elements of a row in one task */

typedef void arg_load(const void *x, int64_t n, int64_t flip, void *keys);
typedef struct {
  int64_t size, flip; /* bytes of an element */
  arg_load *load;
  int64_t (*row)(const void *kind, const char *x, int64_t n);
  int64_t (*better)(const void *kind, const char *x, int64_t i, int64_t j);
  void (*columns)(const void *kind, const char *x, int64_t n, int64_t ld, int64_t w, int64_t *dst);
} arg_kind;

typedef struct {
  const arg_kind *kind;
  int64_t outer, n, inner, tile, tiles, piece, pieces;
  const char *src;
  int64_t *dst, *parts;
} arg_job;

static void arg_body(void *ctx, int64_t begin, int64_t end, int thread) {
  const arg_job *job = ctx;
  const arg_kind *kind = job->kind;
  int64_t t;
  (void)thread;
  for (t = begin; t < end; t++) {
    if (job->inner == 1) {
      int64_t r0 = t % job->pieces * job->piece;
      const char *x = job->src + (t / job->pieces * job->n + r0) * kind->size;
      (job->pieces > 1 ? job->parts : job->dst)[t] =
          r0 + kind->row(kind, x, gc_min_i64(job->piece, job->n - r0));
    } else {
      int64_t o = t / job->tiles, j0 = t % job->tiles * job->tile;
      kind->columns(kind, job->src + (o * job->n * job->inner + j0) * kind->size, job->n,
                    job->inner, gc_min_i64(job->inner - j0, job->tile),
                    job->dst + o * job->inner + j0);
    }
  }
}

static GC_ONCE void arg_reduce(const arg_kind *kind, int64_t outer, int64_t n, int64_t inner,
                       const void *src, int64_t *dst) {
  arg_job job = {kind, outer, n, inner, gc_min_i64(inner, ARG_COLUMNS), 1, n, 1, src, dst, 0};
  int64_t want = 4 * (int64_t)gc_get_num_threads(), t, i;
  if (outer * inner == 0 || n == 0) {
    for (t = 0; t < outer * inner; t++) dst[t] = 0;
    return;
  }
  if (want > 4 && inner == 1 && outer < want && n >= 2 * ARG_SHARE) {
    job.piece = gc_max_i64(gc_ceil_div(n, gc_ceil_div(want, outer)), ARG_SHARE);
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
      dst[t] = kind->better(kind, job.src + t * n * kind->size, dst[t],
                            job.parts[t * job.pieces + i]);
  }
  gc_fp_leave(saved);
  gc_free(job.parts);
}

#define DEFINE_CORE(K) \
  static int64_t row_##K(const void *ctx, const char *x, int64_t n) { \
    const arg_kind *kind = ctx; \
    K keys[ARG_RUN], best = 0; \
    int64_t at = 0, r, b; \
    for (b = 0; b < n; b += ARG_RUN) { \
      int64_t len = gc_min_i64(ARG_RUN, n - b); \
      kind->load(x + b * kind->size, len, kind->flip, keys); \
      K most = keys[0]; \
      for (r = 0; r < len; r++) most = keys[r] > most ? keys[r] : most; \
      if (b > 0 && most <= best) continue; \
      at = b, best = most; \
    } \
    kind->load(x + at * kind->size, gc_min_i64(ARG_RUN, n - at), kind->flip, keys); \
    for (r = 0; keys[r] != best; r++) {} \
    return at + r; \
  } \
  static int64_t better_##K(const void *ctx, const char *x, int64_t i, int64_t j) { \
    const arg_kind *kind = ctx; \
    K a, b; \
    kind->load(x + i * kind->size, 1, kind->flip, &a); \
    kind->load(x + j * kind->size, 1, kind->flip, &b); \
    return b > a ? j : i; \
  } \
  /* Narrow tiles stand side by side: column s * w + j holds rows s, s + side, s + 2 * side ... */ \
  static void columns_##K(const void *ctx, const char *src, int64_t n, int64_t ld, int64_t w, \
                          int64_t *dst) { \
    const arg_kind *kind = ctx; \
    K keys[ARG_PIECE], best[ARG_COLUMNS], at[ARG_COLUMNS]; \
    int64_t side = w == ld && w < ARG_NARROW ? gc_min_i64(4 * ARG_NARROW / w, n) : 1; \
    int64_t r, r0, c, j, s; \
    for (r0 = 0; r0 < n; r0 += ARG_SPAN) { \
      int64_t rows = gc_min_i64(n - r0, ARG_SPAN), sides = gc_min_i64(side, rows); \
      const char *x = src + r0 * ld * kind->size; \
      kind->load(x, sides * w, kind->flip, best); \
      for (j = 0; j < sides * w; j++) at[j] = 0; \
      for (r = 0; r * side < rows; r += ARG_STREAMS) \
        for (c = 0; c < side * w; c += ARG_PIECE) /* several rows at once: memory is faster so */ \
          for (s = r; s < r + ARG_STREAMS && s * side < rows; s++) { \
            int64_t len = gc_min_i64(gc_min_i64(side, rows - s * side) * w - c, ARG_PIECE); \
            if (len <= 0) continue; \
            kind->load(x + (s * side * ld + c) * kind->size, len, kind->flip, keys); \
            for (j = 0; j < len; j++) { \
              at[c + j] = keys[j] > best[c + j] ? (K)s : at[c + j]; \
              best[c + j] = keys[j] > best[c + j] ? keys[j] : best[c + j]; \
            } \
          } \
      for (j = 0; j < w; j++) { \
        K most = best[j]; \
        int64_t row = (int64_t)at[j] * side; \
        for (s = 1; s < sides; s++) { \
          K k = best[s * w + j]; \
          int64_t other = (int64_t)at[s * w + j] * side + s; \
          if (k > most || (k == most && other < row)) most = k, row = other; \
        } \
        row += r0; \
        if (r0 == 0 || better_##K(kind, src + j * kind->size, dst[j] * ld, row * ld) == row * ld) \
          dst[j] = row; \
      } \
    } \
  }
DEFINE_CORE(int32_t)
DEFINE_CORE(int64_t)

/* x + 0 makes -0.0 a +0.0; complementing reverses the order, NaN stays the greatest key. */
#define KEY_f32(x) ((x) != (x) ? INT32_MAX : gc_max_key_f32((x) + 0) ^ flip)
#define KEY_f64(x) ((x) != (x) ? INT64_MAX : gc_max_key_f64((x) + 0) ^ flip)
#define FLIPPED(x) ((x) ^ flip)
#define DEFINE_ARG(S, T, K, KEY) \
  static void load_##S(const void *src, int64_t n, int64_t flip64, void *dst) { \
    const T *restrict x = src; \
    const K flip = (K)flip64; \
    K *restrict keys = dst; \
    int64_t j; \
    for (j = 0; j < n; j++) keys[j] = KEY(x[j]); \
  } \
  EXPORT(argmax, S, S, T, K, 0) \
  EXPORT(argmin, S, S, T, K, -1)
#define EXPORT(OP, S, LIKE, T, K, FLIP) \
  GC_EXPORT void gc_reduce_##OP##_##S(int64_t outer, int64_t n, int64_t inner, const void *src, \
                                      void *dst) { \
    static const arg_kind kind = {sizeof(T), FLIP, load_##LIKE, row_##K, better_##K, columns_##K}; \
    arg_reduce(&kind, outer, n, inner, src, dst); \
  }
DEFINE_ARG(f32, float, int32_t, KEY_f32)
DEFINE_ARG(f64, double, int64_t, KEY_f64)
DEFINE_ARG(i64, int64_t, int64_t, FLIPPED)
DEFINE_ARG(i32, int32_t, int32_t, FLIPPED)
DEFINE_ARG(i16, int16_t, int32_t, FLIPPED)
DEFINE_ARG(i8, int8_t, int32_t, FLIPPED)
DEFINE_ARG(u8, uint8_t, int32_t, FLIPPED)
EXPORT(argmax, b8, u8, uint8_t, int32_t, 0)
EXPORT(argmin, b8, u8, uint8_t, int32_t, -1)
