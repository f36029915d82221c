/* gc_reduce.h: the canonical reduction order as inline building blocks (plain C99).
 *
 * Takes runs of already computed elements, gives sums and products whose bits depend on the
 * logical order of the elements alone: not on axis, layout, fusion, threads or instruction set.
 *   - The reduced index r ascends, in chunks of GC_CHUNK = 4096. Inside a chunk lane = r mod 8, in
 *     blocks of 64.
 *   - A lane's eight elements of a block (e_k = element 8k + lane) go through the tree
 *     ((e0+e2)+(e4+e6)) + ((e1+e3)+(e5+e7)); block results are accumulated in sequence per lane;
 *     lanes start at the identity (+0.0 or 1.0).
 *   - Chunks are combined per lane by a pairwise tree, an odd last one carried to the next level.
 *   - Lanes are folded last: l[i]+l[i+4], then l[i]+l[i+2], then l[0]+l[1].
 * Missing elements are the identity. Invariant: the identity never changes a bit of an accumulated
 * result (a lane starts at +0.0 and so is never -0.0), therefore missing elements may be skipped.
 *
 * Generated code uses it in two forms.
 * Row form (the reduced axis is the inner loop): per chunk
 *     float lanes[8]; gc_sum_begin_f32(lanes, 8);
 *     for (b = 0; b < len; b += GC_RUN) { fill e[GC_RUN] with the fused expression;
 *                                         gc_sum_run_f32(lanes, e, min(GC_RUN, len - b)); }
 *     gc_sum_push_f32(stack, chunk, lanes, 8);
 * and after the last chunk gc_sum_finish_f32(stack, chunks, 8), gc_sum_fold_f32(stack).
 * Column form (w neighbouring outputs at once): lanes[8][w]; for each lane of a block
 *     GC_ROWS(float, GC_ADD, VALUE, lanes + lane * w, count, w);
 * where VALUE(k, j) computes row 8k + lane of column j (or gc_sum_rows_f32, from a buffer); push
 * and finish with width 8 * w; gc_sum_fold_rows_f32 folds to w outputs.
 * max and min obey order-free rules (NaN wins, -0.0 < +0.0): gc_max_run_f32(acc, e, len).
 */
#ifndef GC_REDUCE_H
#define GC_REDUCE_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#define GC_LANES 8
#define GC_BLOCK 64
#define GC_CHUNK 4096
#define GC_RUN 256     /* a good length of the buffer of computed elements; any multiple of 64 */
#define GC_LEVELS 52   /* the most entries that gc_*_push can hold at once: log2(2^63 / 4096) + 1 */

#define GC_ADD(a, b) ((a) + (b))
#define GC_MUL(a, b) ((a) * (b))
#define GC_TREE8(op, e0, e1, e2, e3, e4, e5, e6, e7) \
  op(op(op(e0, e2), op(e4, e6)), op(op(e1, e3), op(e5, e7)))

/* For j in [0, w): lane[j] op= the tree of L(0, j) .. L(count - 1, j), count in 1..8. L is a macro
 * that computes element k of column j; missing elements (the identity) are left out. */
#define GC_ROWS_CASE(tree) for (gc_j = 0; gc_j < gc_w; gc_j++) gc_lane[gc_j] = tree; break;
#define GC_ROWS(T, op, L, lane, count, w) do { \
    T *gc_lane = (lane); \
    int64_t gc_j, gc_w = (w); \
    switch (count) { \
    case 1: GC_ROWS_CASE(op(gc_lane[gc_j], L(0, gc_j))) \
    case 2: GC_ROWS_CASE(op(gc_lane[gc_j], op(L(0, gc_j), L(1, gc_j)))) \
    case 3: GC_ROWS_CASE(op(gc_lane[gc_j], op(op(L(0, gc_j), L(2, gc_j)), L(1, gc_j)))) \
    case 4: GC_ROWS_CASE(op(gc_lane[gc_j], \
                            op(op(L(0, gc_j), L(2, gc_j)), op(L(1, gc_j), L(3, gc_j))))) \
    case 5: GC_ROWS_CASE(op(gc_lane[gc_j], op(op(op(L(0, gc_j), L(2, gc_j)), L(4, gc_j)), \
                                              op(L(1, gc_j), L(3, gc_j))))) \
    case 6: GC_ROWS_CASE(op(gc_lane[gc_j], op(op(op(L(0, gc_j), L(2, gc_j)), L(4, gc_j)), \
                                              op(op(L(1, gc_j), L(3, gc_j)), L(5, gc_j))))) \
    case 7: GC_ROWS_CASE(op(gc_lane[gc_j], \
                            op(op(op(L(0, gc_j), L(2, gc_j)), op(L(4, gc_j), L(6, gc_j))), \
                               op(op(L(1, gc_j), L(3, gc_j)), L(5, gc_j))))) \
    default: GC_ROWS_CASE(op(gc_lane[gc_j], \
                             GC_TREE8(op, L(0, gc_j), L(1, gc_j), L(2, gc_j), L(3, gc_j), \
                                      L(4, gc_j), L(5, gc_j), L(6, gc_j), L(7, gc_j)))) \
    } \
  } while (0)

static inline int64_t gc_chunks(int64_t n) { return n > 0 ? (n - 1) / GC_CHUNK + 1 : 0; }
static inline int64_t gc_ones(int64_t i) {
  int64_t c = 0;
  for (; i; i &= i - 1) c++;
  return c;
}

#if defined(__GNUC__) && !defined(GC_NO_VECTOR)
/* Explicit eight-lane vectors: the accumulator stays in registers whatever the optimiser does. */
typedef float gc_lanes_f32 __attribute__((vector_size(32), aligned(4), may_alias));
typedef double gc_lanes_f64 __attribute__((vector_size(64), aligned(8), may_alias));
#define GC_DEFINE_RUN(T, S, NAME, OP, ID) \
  static inline void gc_##NAME##_run_##S(T *lanes, const T *e, int64_t len) { \
    const gc_lanes_##S *v = (const gc_lanes_##S *)e; \
    gc_lanes_##S acc = *(gc_lanes_##S *)lanes, t = {ID, ID, ID, ID, ID, ID, ID, ID}; \
    int64_t b, k, full = len / GC_BLOCK, groups = len % GC_BLOCK / 8, rest = len % 8; \
    for (b = 0; b < full; b++, v += 8) \
      acc = OP(acc, GC_TREE8(OP, v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7])); \
    if (len % GC_BLOCK) { /* t: the last group, padded; groups after it are left out */ \
      for (k = 0; k < rest; k++) ((T *)&t)[k] = e[len - rest + k]; \
      switch (groups) { \
      case 0: acc = OP(acc, t); break; \
      case 1: acc = OP(acc, OP(v[0], t)); break; \
      case 2: acc = OP(acc, OP(OP(v[0], t), v[1])); break; \
      case 3: acc = OP(acc, OP(OP(v[0], v[2]), OP(v[1], t))); break; \
      case 4: acc = OP(acc, OP(OP(OP(v[0], v[2]), t), OP(v[1], v[3]))); break; \
      case 5: acc = OP(acc, OP(OP(OP(v[0], v[2]), v[4]), OP(OP(v[1], v[3]), t))); break; \
      case 6: \
        acc = OP(acc, OP(OP(OP(v[0], v[2]), OP(v[4], t)), OP(OP(v[1], v[3]), v[5]))); \
        break; \
      default: acc = OP(acc, GC_TREE8(OP, v[0], v[1], v[2], v[3], v[4], v[5], v[6], t)); \
      } \
    } \
    *(gc_lanes_##S *)lanes = acc; \
  }
#else
#define GC_DEFINE_RUN(T, S, NAME, OP, ID) \
  static inline void gc_##NAME##_block_##S(T *acc, const T *e) { \
    int l; \
    for (l = 0; l < GC_LANES; l++) \
      acc[l] = OP(acc[l], GC_TREE8(OP, e[l], e[l + 8], e[l + 16], e[l + 24], e[l + 32], e[l + 40], \
                                   e[l + 48], e[l + 56])); \
  } \
  static inline void gc_##NAME##_run_##S(T *lanes, const T *e, int64_t len) { \
    int64_t b, k, full = len / GC_BLOCK, rest = len % GC_BLOCK; \
    for (b = 0; b < full; b++) gc_##NAME##_block_##S(lanes, e + b * GC_BLOCK); \
    if (rest) { \
      T t[GC_BLOCK]; \
      for (k = 0; k < GC_BLOCK; k++) t[k] = k < rest ? e[full * GC_BLOCK + k] : (T)(ID); \
      gc_##NAME##_block_##S(lanes, t); \
    } \
  }
#endif

/* What each gc_NAME_<function>_S does (NAME = sum or prod, S = f32 or f64; w = 8 for a row, 8 times
 * the columns for columns):
 *   begin(acc, w)               acc[0..w) = identity.
 *   run(lanes, e, len)          adds len consecutive elements, the first on a block boundary; only
 *                               a chunk's last run may have a length that is no multiple of 64.
 *   rows(lane, e, ld, count, w) adds the tree of rows e[k * ld + j], k < count (1..8), to a lane.
 *   fold(lanes)                 the value of 8 lanes.
 *   fold_rows(lanes, w, out)    the same for each of w columns of lanes[8][w].
 *   push(stack, chunk, lanes, w) enters chunk number `chunk` (ascending from 0) into the tree; the
 *                               stack has one entry of w values per binary digit of the count.
 *   merge(stack, chunk, w)      the same for lanes built in place, at stack[gc_ones(chunk) * w].
 *   finish(stack, chunks, w)    combines what push left; the total is stack[0..w), the identity
 *                               if chunks = 0.
 *   tree(parts, count, w)       the same tree over an array parts[count][w], result in parts[0];
 *                               parts are chunks, or runs of 2^k chunks (the last may be shorter).
 *   row(x, n)                   the whole reduction of n contiguous elements. */
#define GC_ROWS_ELEMENT(k, j) e[(k) * ld + (j)]
#define GC_DEFINE_REDUCTION(T, S, NAME, OP, ID) \
  static inline void gc_##NAME##_begin_##S(T *acc, int64_t w) { \
    int64_t j; \
    for (j = 0; j < w; j++) acc[j] = (T)(ID); \
  } \
  GC_DEFINE_RUN(T, S, NAME, OP, ID) \
  static inline void gc_##NAME##_rows_##S(T *lane, const T *e, int64_t ld, int count, int64_t w) { \
    GC_ROWS(T, OP, GC_ROWS_ELEMENT, lane, count, w); \
  } \
  static inline T gc_##NAME##_fold_##S(const T *l) { \
    return OP(OP(OP(l[0], l[4]), OP(l[2], l[6])), OP(OP(l[1], l[5]), OP(l[3], l[7]))); \
  } \
  static inline void gc_##NAME##_fold_rows_##S(const T *l, int64_t w, T *out) { \
    int64_t j; \
    for (j = 0; j < w; j++, l++) \
      out[j] = OP(OP(OP(l[0], l[4 * w]), OP(l[2 * w], l[6 * w])), \
                  OP(OP(l[w], l[5 * w]), OP(l[3 * w], l[7 * w]))); \
  } \
  static inline void gc_##NAME##_merge_##S(T *stack, int64_t chunk, int64_t w) { \
    T *dst = stack + gc_ones(chunk) * w; \
    int64_t j; \
    for (; chunk & 1; chunk >>= 1, dst -= w) \
      for (j = 0; j < w; j++) dst[j - w] = OP(dst[j - w], dst[j]); \
  } \
  static inline void gc_##NAME##_push_##S(T *stack, int64_t chunk, const T *lanes, int64_t w) { \
    memcpy(stack + gc_ones(chunk) * w, lanes, (size_t)w * sizeof(T)); \
    gc_##NAME##_merge_##S(stack, chunk, w); \
  } \
  static inline void gc_##NAME##_finish_##S(T *stack, int64_t chunks, int64_t w) { \
    int64_t i, j; \
    if (chunks == 0) gc_##NAME##_begin_##S(stack, w); \
    for (i = gc_ones(chunks) - 1; i > 0; i--) \
      for (j = (i - 1) * w; j < i * w; j++) stack[j] = OP(stack[j], stack[j + w]); \
  } \
  static inline void gc_##NAME##_tree_##S(T *parts, int64_t count, int64_t w) { \
    int64_t i, j; \
    if (count == 0) gc_##NAME##_begin_##S(parts, w); \
    for (; count > 1; count = (count + 1) / 2) { \
      for (i = 0; i < count / 2; i++) \
        for (j = 0; j < w; j++) \
          parts[i * w + j] = OP(parts[2 * i * w + j], parts[(2 * i + 1) * w + j]); \
      if (count & 1) memmove(parts + i * w, parts + 2 * i * w, (size_t)w * sizeof(T)); \
    } \
  } \
  static inline T gc_##NAME##_row_##S(const T *x, int64_t n) { \
    T lanes[GC_LANES], stack[GC_LEVELS * GC_LANES]; \
    int64_t c, chunks = gc_chunks(n); \
    gc_##NAME##_begin_##S(lanes, GC_LANES); \
    if (chunks <= 1) { \
      gc_##NAME##_run_##S(lanes, x, n); \
      return gc_##NAME##_fold_##S(lanes); \
    } \
    for (c = 0; c < chunks; c++) { \
      gc_##NAME##_begin_##S(lanes, GC_LANES); \
      gc_##NAME##_run_##S(lanes, x + c * GC_CHUNK, \
                          n - c * GC_CHUNK < GC_CHUNK ? n - c * GC_CHUNK : GC_CHUNK); \
      gc_##NAME##_push_##S(stack, c, lanes, GC_LANES); \
    } \
    gc_##NAME##_finish_##S(stack, chunks, GC_LANES); \
    return gc_##NAME##_fold_##S(stack); \
  }

/* Order-free maximum and minimum. A float becomes an integer of the same order (-0.0 below +0.0),
 * every NaN the winner: 0x7fff...f above +inf for max, its complement below -inf for min. The loop
 * keeps two plain integer maxima (of the order and of the magnitude, which tells NaN), so compilers
 * vectorise it. */
#define GC_DEFINE_EXTREMUM(T, S, I, NAME, CMP, WIN, LOSE, MAXI, INF) \
  static inline I gc_##NAME##_key_##S(T x) { \
    I i; \
    memcpy(&i, &x, sizeof i); \
    i ^= (i >> (8 * sizeof i - 1)) & (MAXI); \
    return x != x ? (WIN) : i; \
  } \
  static inline T gc_##NAME##_unkey_##S(I i) { \
    T x; \
    i ^= (i >> (8 * sizeof i - 1)) & (MAXI); \
    memcpy(&x, &i, sizeof x); \
    return x; \
  } \
  static inline T gc_##NAME##_run_##S(T acc, const T *e, int64_t len) { \
    I best, size, i; \
    int64_t j; \
    memcpy(&i, &acc, sizeof i); \
    best = i ^ ((i >> (8 * sizeof i - 1)) & (MAXI)); \
    size = i & (MAXI); \
    for (j = 0; j < len; j++) { \
      I order, s; \
      memcpy(&i, &e[j], sizeof i); \
      order = i ^ ((i >> (8 * sizeof i - 1)) & (MAXI)); \
      s = i & (MAXI); \
      best = order CMP best ? order : best; \
      size = s > size ? s : size; \
    } \
    return gc_##NAME##_unkey_##S(size > (INF) ? (WIN) : best); \
  } \
  static inline T gc_##NAME##_pick_##S(T a, T b) { \
    I ka = gc_##NAME##_key_##S(a), kb = gc_##NAME##_key_##S(b); \
    return gc_##NAME##_unkey_##S(kb CMP ka ? kb : ka); \
  } \
  static inline T gc_##NAME##_begin_##S(void) { return (T)(LOSE); }

GC_DEFINE_REDUCTION(float, f32, sum, GC_ADD, 0)
GC_DEFINE_REDUCTION(double, f64, sum, GC_ADD, 0)
GC_DEFINE_REDUCTION(float, f32, prod, GC_MUL, 1)
GC_DEFINE_REDUCTION(double, f64, prod, GC_MUL, 1)
GC_DEFINE_EXTREMUM(float, f32, int32_t, max, >, INT32_MAX, -INFINITY, INT32_MAX, 0x7f800000)
GC_DEFINE_EXTREMUM(float, f32, int32_t, min, <, INT32_MIN, INFINITY, INT32_MAX, 0x7f800000)
GC_DEFINE_EXTREMUM(double, f64, int64_t, max, >, INT64_MAX, -INFINITY, INT64_MAX,
                   0x7ff0000000000000)
GC_DEFINE_EXTREMUM(double, f64, int64_t, min, <, INT64_MIN, INFINITY, INT64_MAX,
                   0x7ff0000000000000)

#endif
