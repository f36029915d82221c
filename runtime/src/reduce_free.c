/* Reductions whose order cannot matter, over the middle axis of a contiguous [outer, n, inner]:
 *   gc_reduce_max_*, gc_reduce_min_*   every code, type kept; NaN wins, -0.0 < +0.0; of nothing:
 *                                      the type's least (greatest) value
 *   gc_reduce_any_*, gc_reduce_all_*   every code, to b8; NaN counts as true
 *   gc_reduce_sum_*, gc_reduce_prod_*  integers and bool, to i64 with wraparound
 *
 * Each is a core (an associative, commutative step on u8, i32 or i64 accumulators) between a `load`
 * that turns elements into accumulators and a `store` that turns them into results; flip = -1 makes
 * the dual (min = ~max(~x), all = ~any(~x)) at run time. Few loops serve many types: the library's
 * build time counts. */
#include "reduce_common.h"

#define COLUMNS 2048  /* accumulators of one tile: 16 KB at most */
#define NARROW 64     /* fewer columns than this: several rows side by side make one wide row */
#define LOADED 1024   /* elements loaded at a time along a row */
#define PIECE 256     /* columns of a row loaded at a time, */
#define STREAMS 8     /* from so many rows in turn */
#define RUN 65536     /* fewest elements of the reduced axis in one task */

typedef struct {
  int64_t size;                                                   /* bytes of an accumulator */
  void (*init)(void *acc, int64_t w);
  void (*rows)(const void *x, int64_t rows, int64_t n, void *acc); /* acc[o] takes row o */
  void (*add)(const void *x, int64_t w, void *acc);                /* acc[j] takes x[j] */
} core;

typedef struct {
  const core *core;
  int64_t src, dst, flip; /* element sizes in bytes */
  void (*load)(const void *x, int64_t n, int64_t flip, void *acc);
  void (*store)(const void *acc, int64_t w, int64_t flip, void *dst);
  void (*rows)(const void *x, int64_t rows, int64_t n, int64_t flip, void *acc); /* or null */
} kind;

typedef struct {
  const kind *kind;
  int64_t outer, n, inner, tile, tiles, run, runs; /* columns of a tile, rows of a run */
  const char *src;
  char *dst, *parts; /* parts[outer][tiles][runs][tile] */
} job;

static GC_ONCE void rows_into(const kind *k, const char *x, int64_t rows, int64_t n, char *acc) {
  int64_t buffer[LOADED], block = LOADED / gc_max_i64(n, 1), o, r, len;
  k->core->init(acc, rows);
  if (k->rows) {
    k->rows(x, rows, n, k->flip, acc);
    return;
  }
  for (o = 0; block > 0 && o < rows; o += block) { /* short rows: many per load */
    block = gc_min_i64(block, rows - o);
    k->load(x + o * n * k->src, block * n, k->flip, buffer);
    k->core->rows(buffer, block, n, acc + o * k->core->size);
  }
  for (o = 0; block == 0 && o < rows; o++)
    for (r = 0; r < n; r += len) {
      len = gc_min_i64(n - r, LOADED);
      k->load(x + (o * n + r) * k->src, len, k->flip, buffer);
      k->core->rows(buffer, 1, len, acc + o * k->core->size);
    }
}

/* acc[w] = the reduction of `rows` rows of w columns from x on. */
static GC_ONCE void columns_into(const job *j, const char *x, int64_t rows, int64_t w, char *acc) {
  const kind *k = j->kind;
  int64_t side = w == j->inner && w < NARROW ? 4 * NARROW / w : 1, wide = side * w, r, i, c, byte;
  int64_t buffer[PIECE], step = side * j->inner * k->src;
  k->core->init(acc, wide);
  for (r = 0; r < rows; r += STREAMS * side, x += STREAMS * step)
    for (c = 0; c < wide; c += PIECE) /* several rows at once: memory is faster so */
      for (i = 0; i < STREAMS && r + i * side < rows; i++) {
        int64_t len = gc_min_i64(gc_min_i64(rows - r - i * side, side) * w - c, PIECE);
        if (len <= 0) continue;
        const char *at = x + i * step + c * k->src;
        for (byte = 0; byte < len * k->src; byte += 64)
          __builtin_prefetch(at + STREAMS * step + byte);
        k->load(at, len, k->flip, buffer);
        k->core->add(buffer, len, acc + c * k->core->size);
      }
  for (i = 1; i < side; i++) k->core->add(acc + i * w * k->core->size, w, acc);
}

static void task_body(void *ctx, int64_t begin, int64_t end, int thread) {
  const job *j = ctx;
  const kind *k = j->kind;
  int64_t acc[COLUMNS], t;
  (void)thread;
  for (t = begin; t < end; t++) {
    int64_t run = t % j->runs, tile = t / j->runs % j->tiles, o = t / j->runs / j->tiles;
    int64_t j0 = tile * j->tile, w = gc_min_i64(j->inner - j0, j->tile), r0 = run * j->run;
    const char *x = j->src + ((o * j->n + r0) * j->inner + j0) * k->src;
    int64_t rows = gc_min_i64(j->n - r0, j->run);
    if (j->inner == 1)
      rows_into(k, x, 1, rows, (char *)acc);
    else
      columns_into(j, x, rows, w, (char *)acc);
    if (j->runs == 1)
      k->store(acc, w, k->flip, j->dst + (o * j->inner + j0) * k->dst);
    else
      memcpy(j->parts + t * j->tile * k->core->size, acc, (size_t)(w * k->core->size));
  }
}

static void rows_body(void *ctx, int64_t begin, int64_t end, int thread) {
  const job *j = ctx;
  const kind *k = j->kind;
  int64_t acc[256], o, step;
  (void)thread;
  for (o = begin; o < end; o += step) {
    step = gc_min_i64(end - o, 256);
    rows_into(k, j->src + o * j->n * k->src, step, j->n, (char *)acc);
    k->store(acc, step, k->flip, j->dst + o * k->dst);
  }
}

static GC_ONCE void reduce(const kind *k, int64_t outer, int64_t n, int64_t inner, const void *src,
                   void *dst) {
  job j = {k, outer, n, inner, gc_min_i64(inner, COLUMNS), 1, n, 1, src, dst, 0};
  int64_t want = 4 * (int64_t)gc_get_num_threads(), size = k->core->size, t, i;
  if (outer * inner == 0) return;
  j.tiles = gc_ceil_div(inner, j.tile);
  if (want > 4 && outer * n * inner >= 2 * GC_GRAIN && outer * j.tiles < want) {
    j.runs = gc_min_i64(gc_ceil_div(want, outer * j.tiles), n * j.tile / RUN);
    if (j.runs < 2) { /* too few rows to share: share columns */
      j.runs = 1;
      j.tile = gc_min_i64(j.tile, gc_max_i64(128, gc_ceil_div(outer * inner, want)));
      j.tiles = gc_ceil_div(inner, j.tile);
    }
    j.run = gc_ceil_div(n, j.runs);
    j.runs = gc_ceil_div(n, j.run);
  }
  if (inner == 1 && j.runs == 1) {
    gc_parallel_for(outer, GC_GRAIN / (n + 1) + 1, rows_body, &j);
    return;
  }
  if (j.runs > 1) j.parts = gc_alloc(outer * j.tiles * j.runs * j.tile * size);
  gc_parallel_for(outer * j.tiles * j.runs, GC_GRAIN / (j.run * j.tile + 1) + 1, task_body, &j);
  for (t = 0; j.runs > 1 && t < outer * j.tiles; t++) {
    int64_t j0 = t % j.tiles * j.tile, w = gc_min_i64(inner - j0, j.tile);
    char *parts = j.parts + t * j.runs * j.tile * size;
    for (i = 1; i < j.runs; i++) k->core->add(parts + i * j.tile * size, w, parts);
    k->store(parts, w, k->flip, j.dst + (t / j.tiles * inner + j0) * k->dst);
  }
  if (j.runs > 1) gc_free(j.parts);
}

#define DEFINE_CORE(NAME, A, INIT, STEP) \
  static void NAME##_init(void *acc, int64_t w) { \
    int64_t j; \
    for (j = 0; j < w; j++) ((A *)acc)[j] = (INIT); \
  } \
  static void NAME##_rows(const void *src, int64_t rows, int64_t n, void *dst) { \
    const A *x = src; \
    int64_t o, j; \
    for (o = 0; o < rows; o++, x += n) { \
      A acc = ((A *)dst)[o]; \
      for (j = 0; j < n; j++) acc = STEP(acc, x[j]); \
      ((A *)dst)[o] = acc; \
    } \
  } \
  static void NAME##_add(const void *src, int64_t w, void *dst) { \
    const A *x = src; \
    A *acc = dst; \
    int64_t j; \
    for (j = 0; j < w; j++) acc[j] = STEP(acc[j], x[j]); \
  } \
  static const core NAME = {sizeof(A), NAME##_init, NAME##_rows, NAME##_add};
#define MAX_OF(a, b) ((a) > (b) ? (a) : (b))
#define OR(a, b) ((a) | (b))
DEFINE_CORE(or_u8, uint8_t, 0, OR)
DEFINE_CORE(max_i32, int32_t, INT32_MIN, MAX_OF)
DEFINE_CORE(max_i64, int64_t, INT64_MIN, MAX_OF)
DEFINE_CORE(add_i64, int64_t, 0, GC_ADD)
DEFINE_CORE(mul_i64, int64_t, 1, GC_MUL)

#define DEFINE_LOAD(NAME, T, A, KEY) \
  static void NAME(const void *src, int64_t n, int64_t flip64, void *dst) { \
    const T *restrict x = src; \
    const A flip = (A)flip64; \
    A *restrict acc = dst; \
    int64_t j; \
    (void)flip; \
    for (j = 0; j < n; j++) acc[j] = (A)KEY(x[j]); \
  }
#define EXPORT(OP, S, CORE, SRC, DST, FLIP, LOAD, STORE, ROWS) \
  GC_EXPORT void gc_reduce_##OP##_##S(int64_t outer, int64_t n, int64_t inner, const void *src, \
                                      void *dst) { \
    static const kind k = {&CORE, sizeof(SRC), sizeof(DST), FLIP, LOAD, STORE, ROWS}; \
    reduce(&k, outer, n, inner, src, dst); \
  }

/* max, min: integers in the order of the values; complementing reverses it, NaN stays on top. The
 * identity INT_MIN lies below the keys of both infinities, so it is raised to the least value at
 * the end. */
#define KEY_f32(x) ((x) != (x) ? INT32_MAX : gc_max_key_f32(x) ^ flip)
#define KEY_f64(x) ((x) != (x) ? INT64_MAX : gc_max_key_f64(x) ^ flip)
#define UNKEY_f32(k) gc_max_unkey_f32(MAX_OF(k, gc_max_key_f32(-INFINITY)) ^ flip)
#define UNKEY_f64(k) gc_max_unkey_f64(MAX_OF(k, gc_max_key_f64(-INFINITY)) ^ flip)
#define FLIPPED(x) ((x) ^ flip)
#define DEFINE_ORDER(S, T, A, KEY, UNKEY) \
  DEFINE_LOAD(load_##S, T, A, KEY) \
  static void store_##S(const void *src, int64_t w, int64_t flip64, void *dst) { \
    const A *acc = src, flip = (A)flip64; \
    int64_t j; \
    for (j = 0; j < w; j++) ((T *)dst)[j] = (T)UNKEY(acc[j]); \
  }
#define DEFINE_ORDER_ROWS(S, T, A) \
  static void rows_##S(const void *src, int64_t rows, int64_t n, int64_t flip, void *dst) { \
    const T *x = src; \
    int64_t o; \
    for (o = 0; o < rows; o++, x += n) { \
      T m = flip ? gc_min_run_##S(INFINITY, x, n) : gc_max_run_##S(-INFINITY, x, n); \
      ((A *)dst)[o] = KEY_##S(m); \
    } \
  }
#define EXPORT_ORDER(S, T, CORE, ROWS) \
  EXPORT(max, S, CORE, T, T, 0, load_##S, store_##S, ROWS) \
  EXPORT(min, S, CORE, T, T, -1, load_##S, store_##S, ROWS)
#define LEAST(k, low, high) (MAX_OF(k, flip ? ~(high) : (low)) ^ flip)
#define UNKEY_i16(k) LEAST(k, INT16_MIN, INT16_MAX)
#define UNKEY_i8(k) LEAST(k, INT8_MIN, INT8_MAX)
#define UNKEY_u8(k) LEAST(k, 0, UINT8_MAX)
#define UNKEY_b8(k) LEAST(k, 0, 1)
DEFINE_ORDER(f32, float, int32_t, KEY_f32, UNKEY_f32)
DEFINE_ORDER(f64, double, int64_t, KEY_f64, UNKEY_f64)
DEFINE_ORDER(i64, int64_t, int64_t, FLIPPED, FLIPPED)
DEFINE_ORDER(i32, int32_t, int32_t, FLIPPED, FLIPPED)
DEFINE_ORDER(i16, int16_t, int32_t, FLIPPED, UNKEY_i16)
DEFINE_ORDER(i8, int8_t, int32_t, FLIPPED, UNKEY_i8)
DEFINE_ORDER(u8, uint8_t, int32_t, FLIPPED, UNKEY_u8)
DEFINE_ORDER(b8, uint8_t, int32_t, FLIPPED, UNKEY_b8)
DEFINE_ORDER_ROWS(f32, float, int32_t)
DEFINE_ORDER_ROWS(f64, double, int64_t)
EXPORT_ORDER(f32, float, max_i32, rows_f32)
EXPORT_ORDER(f64, double, max_i64, rows_f64)
EXPORT_ORDER(i64, int64_t, max_i64, 0)
EXPORT_ORDER(i32, int32_t, max_i32, 0)
EXPORT_ORDER(i16, int16_t, max_i32, 0)
EXPORT_ORDER(i8, int8_t, max_i32, 0)
EXPORT_ORDER(u8, uint8_t, max_i32, 0)
EXPORT_ORDER(b8, uint8_t, max_i32, 0)

/* any, all */
#define TRUTH(x) (((x) != 0) ^ (flip & 1))
#define BIT(x) (((x) ^ flip) & 1)
DEFINE_LOAD(truth_f32, float, uint8_t, TRUTH)
DEFINE_LOAD(truth_f64, double, uint8_t, TRUTH)
DEFINE_LOAD(truth_i64, int64_t, uint8_t, TRUTH)
DEFINE_LOAD(truth_i32, int32_t, uint8_t, TRUTH)
DEFINE_LOAD(truth_i16, int16_t, uint8_t, TRUTH)
DEFINE_LOAD(truth_u8, uint8_t, uint8_t, TRUTH)
DEFINE_LOAD(store_truth, uint8_t, uint8_t, BIT)
#define EXPORT_TRUTH(S, T, LOAD) \
  EXPORT(any, S, or_u8, T, uint8_t, 0, LOAD, store_truth, 0) \
  EXPORT(all, S, or_u8, T, uint8_t, -1, LOAD, store_truth, 0)
EXPORT_TRUTH(f32, float, truth_f32)
EXPORT_TRUTH(f64, double, truth_f64)
EXPORT_TRUTH(i64, int64_t, truth_i64)
EXPORT_TRUTH(i32, int32_t, truth_i32)
EXPORT_TRUTH(i16, int16_t, truth_i16)
EXPORT_TRUTH(i8, int8_t, truth_u8)
EXPORT_TRUTH(u8, uint8_t, truth_u8)
EXPORT_TRUTH(b8, uint8_t, truth_u8)

/* integer sums and products */
#define SAME(x) (x)
DEFINE_LOAD(wide_i64, int64_t, int64_t, SAME)
DEFINE_LOAD(wide_i32, int32_t, int64_t, SAME)
DEFINE_LOAD(wide_i16, int16_t, int64_t, SAME)
DEFINE_LOAD(wide_i8, int8_t, int64_t, SAME)
DEFINE_LOAD(wide_u8, uint8_t, int64_t, SAME)
#define EXPORT_WIDE(S, T, LOAD) \
  EXPORT(sum, S, add_i64, T, int64_t, 0, LOAD, wide_i64, 0) \
  EXPORT(prod, S, mul_i64, T, int64_t, 0, LOAD, wide_i64, 0)
EXPORT_WIDE(i64, int64_t, wide_i64)
EXPORT_WIDE(i32, int32_t, wide_i32)
EXPORT_WIDE(i16, int16_t, wide_i16)
EXPORT_WIDE(i8, int8_t, wide_i8)
EXPORT_WIDE(u8, uint8_t, wide_u8)
EXPORT_WIDE(b8, uint8_t, wide_u8)
