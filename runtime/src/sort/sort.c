/* Sorting along the middle axis of a contiguous [outer, n, inner], and what rests on it. Each
 * function is int gc_sort_<what>_<code>(numbers, in, out): 0, or 1 when out of memory.
 *   all     numbers: outer, n, inner, descending; out: values, places
 *   top     the same and k: the first k of that order
 *   mode    outer, n, inner: the most frequent value (the smallest of several), its last place
 *   isin    elements, tests; in: elements, tests; out: bool
 *   search  rows, length of a row, values per row, right; in: ascending rows, values; out: places
 *
 * An element becomes an unsigned key of the same order (nan last, -0 as 0; complemented to descend).
 * Equal keys keep the order of their places, so results are unique, and any way to them will do. */
#include <string.h>

#include "gc_basic.h"
#include "reduce_common.h"

#define RUN 8      /* runs that are sorted by insertion */
#define RADIX 512  /* from here on by bytes */
#define LOCAL 2048 /* bytes of entries on the stack */

/* Narrow entries hold a key of up to 32 bits above a place, so they compare as numbers. */
typedef struct {
  uint64_t key;
  int64_t at;
} wide;

#define E uint64_t
#define DIGITS 4
#define KEY(e) ((e) >> 32)
#define LESS(a, b) ((a) < (b))
#define NAME(stem) narrow_##stem
#include "sort_engine.inc"

#define E wide
#define DIGITS 8
#define KEY(e) (e).key
#define LESS(a, b) ((a).key < (b).key)
#define NAME(stem) wide_##stem
#include "sort_engine.inc"

/* ---- keys ---- */

typedef enum { f32, f64, u8, i8, i16, i32, i64, b8 } code;

static const int64_t sizes[] = {4, 8, 1, 1, 2, 4, 8, 1};

static inline uint64_t key_f32(float x) {
  uint32_t u;
  memcpy(&u, &x, sizeof u);
  if ((u & 0x7fffffffu) > 0x7f800000u) return 0xffffffffu;
  if (u == 0x80000000u) u = 0;
  return u >> 31 ? ~u : u | 0x80000000u;
}
static inline uint64_t key_f64(double x) {
  const uint64_t top = (uint64_t)1 << 63;
  uint64_t u;
  memcpy(&u, &x, sizeof u);
  if ((u & ~top) > (uint64_t)0x7ff << 52) return ~(uint64_t)0;
  if (u == top) u = 0;
  return u & top ? ~u : u | top;
}
static inline uint64_t key_u8(uint8_t x) { return x; }
static inline uint64_t key_i8(int8_t x) { return (uint8_t)x ^ 0x80u; }
static inline uint64_t key_i16(int16_t x) { return (uint16_t)x ^ 0x8000u; }
static inline uint64_t key_i32(int32_t x) { return (uint32_t)x ^ 0x80000000u; }
static inline uint64_t key_i64(int64_t x) { return (uint64_t)x ^ (uint64_t)1 << 63; }

#define EACH_TYPE(DO, ...) \
  case f32: DO(float, key_f32, __VA_ARGS__) \
  case f64: DO(double, key_f64, __VA_ARGS__) \
  case u8: case b8: DO(uint8_t, key_u8, __VA_ARGS__) \
  case i8: DO(int8_t, key_i8, __VA_ARGS__) \
  case i16: DO(int16_t, key_i16, __VA_ARGS__) \
  case i32: DO(int32_t, key_i32, __VA_ARGS__) \
  case i64: DO(int64_t, key_i64, __VA_ARGS__)

static int is_narrow(code type, int64_t n) { return sizes[type] <= 4 && n <= 0xffffffff; }

/* n elements, `step` apart, as entries; `flip` is xored to the bits of the keys. */
static void load(code type, const void *from, int64_t n, int64_t step, uint64_t flip, void *to) {
  if (is_narrow(type, n)) {
    uint64_t *e = to;
    flip = (uint32_t)flip;
#define LOAD(T, KEY, _) \
  { \
    const T *x = from; \
    for (int64_t i = 0; i < n; i++) e[i] = (KEY(x[i * step]) ^ flip) << 32 | (uint64_t)i; \
    return; \
  }
    switch (type) { EACH_TYPE(LOAD, _) }
#undef LOAD
  }
  wide *e = to;
#define LOAD(T, KEY, _) \
  { \
    const T *x = from; \
    for (int64_t i = 0; i < n; i++) e[i] = (wide){KEY(x[i * step]) ^ flip, i}; \
    return; \
  }
  switch (type) { EACH_TYPE(LOAD, _) }
#undef LOAD
}

static int64_t entry_size(code type, int64_t n) { return is_narrow(type, n) ? 8 : sizeof(wide); }

/* The first k entries in order, of n; they lie in `entries` or `spare`. */
static void *order(code type, void *entries, void *spare, int64_t n, int64_t k) {
  if (is_narrow(type, n))
    return k < n ? narrow_least(entries, spare, n, k) : narrow_sorted(entries, spare, n);
  return k < n ? wide_least(entries, spare, n, k) : wide_sorted(entries, spare, n);
}

static inline int64_t place_of(const void *entries, int narrow, int64_t i) {
  return narrow ? (int64_t)(uint32_t)((const uint64_t *)entries)[i] : ((const wide *)entries)[i].at;
}
static inline uint64_t key_of(const void *entries, int narrow, int64_t i) {
  return narrow ? ((const uint64_t *)entries)[i] >> 32 : ((const wide *)entries)[i].key;
}

static inline void copy_one(void *to, int64_t i, const void *from, int64_t j, int64_t size) {
  switch (size) {
  case 1: ((uint8_t *)to)[i] = ((const uint8_t *)from)[j]; break;
  case 2: ((uint16_t *)to)[i] = ((const uint16_t *)from)[j]; break;
  case 4: ((uint32_t *)to)[i] = ((const uint32_t *)from)[j]; break;
  default: ((uint64_t *)to)[i] = ((const uint64_t *)from)[j];
  }
}

/* ---- lines ---- */

typedef struct {
  code type;
  int64_t n, inner, k;
  uint64_t flip;
  int failed;
  const char *from;
  char *values;
  int64_t *places;
} lines;

static void sort_line(const lines *p, int64_t line, void *entries, void *spare) {
  int64_t size = sizes[p->type], step = p->inner, column = line % step;
  const char *x = p->from + (line / step * p->n * step + column) * size;
  int64_t first = line / step * p->k * step + column;
  char *y = p->values + first * size;
  int64_t *at = p->places + first;
  int narrow = is_narrow(p->type, p->n);
  load(p->type, x, p->n, step, p->flip, entries);
  const void *found = order(p->type, entries, spare, p->n, p->k);
  for (int64_t i = 0; i < p->k; i++) {
    int64_t j = place_of(found, narrow, i);
    at[i * step] = j;
    copy_one(y, i * step, x, j * step, size);
  }
}

/* Of equal counts the first in order; nan is equal to nothing. */
static void mode_line(const lines *p, int64_t line, void *entries, void *spare) {
  int64_t size = sizes[p->type], step = p->inner, n = p->n, most = 0, at = 0;
  const char *x = p->from + (line / step * n * step + line % step) * size;
  int narrow = is_narrow(p->type, n);
  uint64_t nan = p->type == f32 ? 0xffffffffu : ~(uint64_t)0;
  load(p->type, x, n, step, 0, entries);
  const void *found = order(p->type, entries, spare, n, n);
  for (int64_t lo = 0, hi; lo < n; lo = hi) {
    uint64_t key = key_of(found, narrow, lo);
    if (p->type <= f64 && key == nan) { /* all that are left */
      if (most == 0) at = place_of(found, narrow, lo);
      break;
    }
    for (hi = lo + 1; hi < n && key_of(found, narrow, hi) == key;) hi++;
    if (hi - lo <= most) continue;
    most = hi - lo;
    at = place_of(found, narrow, hi - 1);
  }
  p->places[line] = at;
  copy_one(p->values, line, x, at * step, size);
}

static void run_lines(lines *p, int64_t begin, int64_t end,
                      void (*one)(const lines *, int64_t, void *, void *)) {
  GC_ALIGNED char local[2][LOCAL];
  int64_t bytes = p->n * entry_size(p->type, p->n);
  char *heap = 0, *entries = local[0], *spare = local[1];
  if (bytes > LOCAL) {
    bytes = gc_ceil_div(bytes, 64) * 64;
    entries = heap = gc_alloc(2 * bytes);
    spare = heap + bytes;
    if (!heap) {
      __atomic_store_n(&p->failed, 1, __ATOMIC_RELAXED);
      return;
    }
  }
  for (int64_t i = begin; i < end; i++) one(p, i, entries, spare);
  gc_free(heap);
}
static void sort_body(void *ctx, int64_t begin, int64_t end, int thread) {
  (void)thread;
  run_lines(ctx, begin, end, sort_line);
}
static void mode_body(void *ctx, int64_t begin, int64_t end, int thread) {
  (void)thread;
  run_lines(ctx, begin, end, mode_line);
}

static int run(gc_body body, code type, const int64_t *numbers, int64_t k, int descending,
               void *const *in, void *const *out) {
  lines p = {type, numbers[1], numbers[2], k, descending ? ~(uint64_t)0 : 0, 0, in[0], out[0],
             out[1]};
  int64_t count = numbers[0] * numbers[2];
  if (count && p.n && k) gc_parallel_for(count, GC_GRAIN / 16 / p.n + 1, body, &p);
  return p.failed;
}

/* ---- sets ---- */

typedef struct {
  code type;
  const void *elements;
  uint8_t *out;
  const uint64_t *keys; /* in order */
  const uint8_t *table; /* by key - keys[0], or null */
  int64_t count;
} members;

static inline int is_member(const members *p, uint64_t key) {
  const uint64_t *keys = p->keys;
  if (key < keys[0] || key > keys[p->count - 1]) return 0;
  if (p->table) return p->table[key - keys[0]];
  for (int64_t n = p->count; n > 1;) {
    int64_t half = n / 2;
    keys += keys[half] <= key ? half : 0;
    n -= half;
  }
  return *keys == key;
}

static void isin_body(void *ctx, int64_t begin, int64_t end, int thread) {
  const members *p = ctx;
  (void)thread;
#define TEST(T, KEY, _) \
  { \
    const T *x = p->elements; \
    for (int64_t i = begin; i < end; i++) p->out[i] = x[i] == x[i] && is_member(p, KEY(x[i])); \
    return; \
  }
  switch (p->type) { EACH_TYPE(TEST, _) }
#undef TEST
}

static int isin(code type, const int64_t *numbers, void *const *in, void *const *out) {
  int64_t n = numbers[0], m = numbers[1], bytes = gc_ceil_div(m * (int64_t)sizeof(wide), 64) * 64;
  members p = {type, in[0], out[0], 0, 0, m};
  if (!n) return 0;
  if (!m) {
    memset(out[0], 0, (size_t)n);
    return 0;
  }
  char *memory = gc_alloc(2 * bytes + 64), *table = 0;
  if (!memory) return 1;
  int narrow = is_narrow(type, m);
  load(type, in[1], m, 1, 0, memory);
  const void *found = order(type, memory, memory + bytes, m, m);
  uint64_t *keys = (void *)(found == memory ? memory + bytes : memory);
  for (int64_t i = 0; i < m; i++) keys[i] = key_of(found, narrow, i);
  p.keys = keys;
  uint64_t span = keys[m - 1] - keys[0];
  if (span < (uint64_t)(8 * (n + m)) && (table = gc_alloc((int64_t)span + 1))) {
    memset(table, 0, (size_t)span + 1);
    for (int64_t i = 0; i < m; i++) table[keys[i] - keys[0]] = 1;
    p.table = (const uint8_t *)table;
  }
  gc_parallel_for(n, GC_GRAIN / 4, isin_body, &p);
  gc_free(table);
  gc_free(memory);
  return 0;
}

/* ---- places in sorted rows ---- */

typedef struct {
  code type;
  const void *rows, *values;
  int64_t *out, length, width;
  int right;
} searches;

static void search_body(void *ctx, int64_t begin, int64_t end, int thread) {
  const searches *p = ctx;
  (void)thread;
#define SEARCH(T, KEY, _) \
  { \
    const T *v = p->values; \
    for (int64_t i = begin; i < end; i++) { \
      const T *row = (const T *)p->rows + (p->width ? i / p->width * p->length : 0); \
      uint64_t key = KEY(v[i]); \
      int64_t lo = 0, n = p->length; \
      while (n > 0) { \
        int64_t half = n / 2; \
        uint64_t other = KEY(row[lo + half]); \
        int after = p->right ? other <= key : other < key; \
        lo = after ? lo + half + 1 : lo; \
        n = after ? n - half - 1 : half; \
      } \
      p->out[i] = lo; \
    } \
    return; \
  }
  switch (p->type) { EACH_TYPE(SEARCH, _) }
#undef SEARCH
}

static int search(code type, const int64_t *numbers, void *const *in, void *const *out) {
  searches p = {type, in[0], in[1], out[0], numbers[1], numbers[2], (int)numbers[3]};
  gc_parallel_for(numbers[0] * numbers[2], GC_GRAIN / 16, search_body, &p);
  return 0;
}

/* ---- by type ---- */

#define EXPORTS(K) \
  GC_EXPORT int gc_sort_all_##K(const int64_t *numbers, void *const *in, void *const *out) { \
    return run(sort_body, K, numbers, numbers[1], (int)numbers[3], in, out); \
  } \
  GC_EXPORT int gc_sort_top_##K(const int64_t *numbers, void *const *in, void *const *out) { \
    return run(sort_body, K, numbers, numbers[4], (int)numbers[3], in, out); \
  } \
  GC_EXPORT int gc_sort_mode_##K(const int64_t *numbers, void *const *in, void *const *out) { \
    return run(mode_body, K, numbers, 1, 0, in, out); \
  } \
  GC_EXPORT int gc_sort_isin_##K(const int64_t *numbers, void *const *in, void *const *out) { \
    return isin(K, numbers, in, out); \
  } \
  GC_EXPORT int gc_sort_search_##K(const int64_t *numbers, void *const *in, void *const *out) { \
    return search(K, numbers, in, out); \
  }
EXPORTS(f32)
EXPORTS(f64)
EXPORTS(u8)
EXPORTS(i8)
EXPORTS(i16)
EXPORTS(i32)
EXPORTS(i64)
EXPORTS(b8)
