/* reduce_common.h: shared by the reduction families. Names with a type suffix, the thread split and
 * scratch memory. Invariant: how work is split never changes a bit. */
#ifndef GC_REDUCE_COMMON_H
#define GC_REDUCE_COMMON_H

#include <stddef.h>

#include "gc_fp.h"
#include "gc_pool.h"
#include "gc_reduce.h"

#define GC_CAT_(a, b) a##_##b
#define GC_CAT(a, b) GC_CAT_(a, b)

/* One out-of-line copy: inlined or specialised everywhere, these would double the library's build
 * time. */
#if defined(__clang__)
#define GC_ONCE __attribute__((noinline))
#else
#define GC_ONCE __attribute__((noinline, noclone))
#endif

/* A loop whose iterations do not depend on each other although its pointers may be equal (in
 * place). */
#if defined(__clang__)
#define GC_FOR _Pragma("clang loop vectorize(assume_safety)") for
#else
#define GC_FOR _Pragma("GCC ivdep") for
#endif

#define GC_TILE 32768 /* bytes of lanes[8][w] of a tile of columns: two thirds of an L1 cache */

static inline int64_t gc_min_i64(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t gc_max_i64(int64_t a, int64_t b) { return a > b ? a : b; }
static inline int64_t gc_ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

/* How [outer, n, inner] is cut: every outer index into `tiles` column ranges of at most `tile`, and
 * the reduced axis into `groups` runs of `group` chunks (a power of two, so that a run is a node of
 * the tree). */
typedef struct {
  int64_t tile, tiles, group, groups;
} gc_split;

static inline gc_split gc_split_plan(int64_t outer, int64_t n, int64_t inner, int64_t most) {
  gc_split s = {gc_min_i64(inner, most), 1, 1, 1};
  int64_t chunks = gc_chunks(n), want = 4 * (int64_t)gc_get_num_threads();
  int big = outer * n * inner >= 2 * GC_GRAIN && gc_get_num_threads() > 1;
  if (big && chunks < 2) /* no chunks to share: share columns, at least 128 of them at a time */
    s.tile = gc_min_i64(s.tile, gc_max_i64(128, gc_ceil_div(outer * inner, want)));
  if (inner > 0) s.tiles = gc_ceil_div(inner, s.tile);
  if (inner > 0) s.tile = gc_ceil_div(inner, s.tiles);
  s.group = gc_max_i64(chunks, 1);
  if (big && chunks > 1 && outer * s.tiles < want) {
    int64_t need = gc_ceil_div(want, outer * s.tiles);
    for (s.group = 1; s.group * need < chunks;) s.group *= 2;
  }
  s.groups = gc_max_i64(gc_ceil_div(chunks, s.group), 1);
  return s;
}

#endif
