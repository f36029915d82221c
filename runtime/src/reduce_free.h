/* reduce_free.h: reductions whose order cannot matter (max, min, any, all, integer sum and product).
 *
 * DEFINE_FREE(NAME, T, A, D, INIT, KEY, STEP, OUT) makes the loops of one kind and element type over the
 * middle axis of a contiguous [outer, n, inner]: accumulators of type A start at INIT, take
 * STEP(acc, KEY(x, flip)), and OUT(acc, flip) makes the D that is stored. EXPORT_FREE(SYMBOL, NAME, FLIP)
 * exports it; flip = -1 serves the dual (min = ~max(~x), all = ~any(~x)) with the same code, and types of
 * equal representation share theirs: build time counts. STEP is associative and commutative, INIT its
 * identity; that alone makes every split below give the same bits.
 */
#ifndef GC_REDUCE_FREE_H
#define GC_REDUCE_FREE_H

#include "reduce_common.h"

#define FREE_COLUMNS 2048 /* accumulators of one tile: 16 KB at most */
#define FREE_NARROW 64    /* fewer columns than this: several rows side by side make one wide row */
#define FREE_RUN 65536    /* fewest elements of the reduced axis in one task */

typedef struct {
  int64_t src, acc, dst; /* element sizes in bytes */
  void (*init)(void *acc, int64_t w);
  void (*rows)(int64_t flip, const char *x, int64_t rows, int64_t n, void *acc); /* one acc a row */
  void (*add)(int64_t flip, const char *x, int64_t rows, int64_t ld, int64_t w, void *acc);
  void (*merge)(const void *more, int64_t w, void *acc);
  void (*out)(int64_t flip, const void *acc, int64_t w, void *dst);
} free_kind;

typedef struct {
  const free_kind *kind;
  int64_t flip, outer, n, inner, tile, tiles, run, runs; /* columns of a tile, rows of a run */
  const char *src;
  char *dst, *parts; /* parts[outer][tiles][runs][tile] */
} free_job;

/* acc[w] = the reduction of `rows` rows from x on. */
static void free_span(const free_job *job, const char *x, int64_t rows, int64_t w, char *acc) {
  const free_kind *k = job->kind;
  int64_t side = w == job->inner && w < FREE_NARROW ? 4 * FREE_NARROW / w : 1, i;
  if (job->inner == 1) {
    k->rows(job->flip, x, 1, rows, acc);
    return;
  }
  k->init(acc, side * w);
  k->add(job->flip, x, rows / side, side * job->inner, side * w, acc);
  x += rows / side * side * job->inner * k->src;
  k->add(job->flip, x, 1, 0, rows % side * w, acc);
  for (i = 1; i < side; i++) k->merge(acc + i * w * k->acc, w, acc);
}

static void free_body(void *ctx, int64_t begin, int64_t end, int thread) {
  const free_job *job = ctx;
  const free_kind *k = job->kind;
  int64_t acc[FREE_COLUMNS], t;
  (void)thread;
  for (t = begin; t < end; t++) {
    int64_t run = t % job->runs, tile = t / job->runs % job->tiles, o = t / job->runs / job->tiles;
    int64_t j0 = tile * job->tile, w = gc_min_i64(job->inner - j0, job->tile), r0 = run * job->run;
    const char *x = job->src + ((o * job->n + r0) * job->inner + j0) * k->src;
    free_span(job, x, gc_min_i64(job->n - r0, job->run), w, (char *)acc);
    if (job->runs == 1)
      k->out(job->flip, acc, w, job->dst + (o * job->inner + j0) * k->dst);
    else
      memcpy(job->parts + t * job->tile * k->acc, acc, (size_t)(w * k->acc));
  }
}

static void free_rows_body(void *ctx, int64_t begin, int64_t end, int thread) {
  const free_job *job = ctx;
  const free_kind *k = job->kind;
  int64_t acc[256], o, step;
  (void)thread;
  for (o = begin; o < end; o += step) {
    step = gc_min_i64(end - o, 256);
    k->rows(job->flip, job->src + o * job->n * k->src, step, job->n, acc);
    k->out(job->flip, acc, step, job->dst + o * k->dst);
  }
}

static void free_reduce(const free_kind *kind, int64_t flip, int64_t outer, int64_t n,
                        int64_t inner, const void *src, void *dst) {
  free_job job = {kind, flip, outer, n, inner, gc_min_i64(inner, FREE_COLUMNS), 1, n, 1, src, dst, 0};
  int64_t want = 4 * (int64_t)gc_get_num_threads(), t, i;
  if (outer * inner == 0) return;
  int big = want > 4 && outer * n * inner >= 2 * GC_GRAIN;
  job.tiles = gc_ceil_div(inner, job.tile);
  if (big && outer * job.tiles < want) { /* share rows, else columns */
    job.runs = gc_min_i64(gc_ceil_div(want, outer * job.tiles), n * job.tile / FREE_RUN);
    if (job.runs < 2) {
      job.runs = 1;
      job.tile = gc_min_i64(job.tile, gc_max_i64(128, gc_ceil_div(outer * inner, want)));
      job.tiles = gc_ceil_div(inner, job.tile);
    }
    job.run = gc_max_i64(gc_ceil_div(n, job.runs), 1);
    job.runs = gc_max_i64(gc_ceil_div(n, job.run), 1);
  }
  if (inner == 1 && job.runs == 1) {
    gc_parallel_for(outer, GC_GRAIN / (n + 1) + 1, free_rows_body, &job);
    return;
  }
  if (job.runs > 1) job.parts = gc_alloc(outer * job.tiles * job.runs * job.tile * kind->acc);
  gc_parallel_for(outer * job.tiles * job.runs, GC_GRAIN / (job.run * job.tile + 1) + 1, free_body,
                  &job);
  for (t = 0; job.runs > 1 && t < outer * job.tiles; t++) {
    int64_t j0 = t % job.tiles * job.tile, w = gc_min_i64(inner - j0, job.tile);
    char *parts = job.parts + t * job.runs * job.tile * kind->acc;
    for (i = 1; i < job.runs; i++) kind->merge(parts + i * job.tile * kind->acc, w, parts);
    kind->out(flip, parts, w, job.dst + (t / job.tiles * inner + j0) * kind->dst);
  }
  if (job.runs > 1) gc_free(job.parts);
}

#define DEFINE_FREE(NAME, T, A, D, INIT, KEY, STEP, OUT) \
  static void NAME##_init(void *acc, int64_t w) { \
    int64_t j; \
    for (j = 0; j < w; j++) ((A *)acc)[j] = (INIT); \
  } \
  static void NAME##_rows(int64_t flip64, const char *src, int64_t rows, int64_t n, void *dst) { \
    const T *x = (const T *)src; \
    const A flip = (A)flip64; \
    int64_t o, j; \
    (void)flip; \
    for (o = 0; o < rows; o++, x += n) { \
      A acc = (INIT); \
      for (j = 0; j < n; j++) acc = STEP(acc, KEY(x[j], flip)); \
      ((A *)dst)[o] = acc; \
    } \
  } \
  static void NAME##_add(int64_t flip64, const char *src, int64_t rows, int64_t ld, int64_t w, \
                         void *dst) { \
    const T *x = (const T *)src; \
    const A flip = (A)flip64; \
    A *restrict acc = dst; \
    int64_t r, j; \
    (void)flip; \
    for (r = 0; r + 4 <= rows; r += 4, x += 4 * ld) \
      for (j = 0; j < w; j++) { \
        A a = STEP(KEY(x[j], flip), KEY(x[j + ld], flip)); \
        A b = STEP(KEY(x[j + 2 * ld], flip), KEY(x[j + 3 * ld], flip)); \
        acc[j] = STEP(acc[j], STEP(a, b)); \
      } \
    for (; r < rows; r++, x += ld) \
      for (j = 0; j < w; j++) acc[j] = STEP(acc[j], KEY(x[j], flip)); \
  } \
  static void NAME##_merge(const void *more, int64_t w, void *dst) { \
    A *acc = dst; \
    int64_t j; \
    for (j = 0; j < w; j++) acc[j] = STEP(acc[j], ((const A *)more)[j]); \
  } \
  static void NAME##_out(int64_t flip64, const void *acc, int64_t w, void *dst) { \
    const A flip = (A)flip64; \
    int64_t j; \
    (void)flip; \
    for (j = 0; j < w; j++) ((D *)dst)[j] = OUT(((const A *)acc)[j], flip); \
  } \
  static const free_kind NAME##_kind = {sizeof(T), sizeof(A), sizeof(D), NAME##_init, NAME##_rows, \
                                        NAME##_add, NAME##_merge, NAME##_out};

#define EXPORT_FREE(SYMBOL, NAME, FLIP) \
  GC_EXPORT void gc_reduce_##SYMBOL(int64_t outer, int64_t n, int64_t inner, const void *src, \
                                    void *dst) { \
    free_reduce(&NAME##_kind, FLIP, outer, n, inner, src, dst); \
  }

#define MAX_OF(a, b) ((a) > (b) ? (a) : (b))
#define OR(a, b) ((a) | (b))

#endif
