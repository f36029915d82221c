/* Pointwise array kernels: loops over contiguous memory around the scalar functions of the headers.
 * GC_UNARY, GC_BINARY and GC_TERNARY each define one exported gc_v_* kernel. An operand of stride 0
 * is one element for all; it is copied first, so it may lie inside the output. The output may be
 * one of the inputs, too, but not overlap one in part. Any split gives the same bits. */
#ifndef GC_KERNEL_H
#define GC_KERNEL_H

#include "gc_api.h"
#include "gc_fp.h"
#include "gc_pool.h"

#if defined(__clang__)
#pragma clang diagnostic ignored "-Wpass-failed" /* some loops (fmod in double) stay scalar */
#define GC_SIMD _Pragma("clang loop vectorize(assume_safety)")
#else
#define GC_SIMD _Pragma("GCC ivdep")
#endif

#define GC_TILE 512 /* elements of a broadcast operand laid out at a time */

typedef struct {
  const void *in[3];
  void *out;
  uint64_t scalar[3]; /* the element of a broadcast operand */
} gc_args;

static inline void gc_pointwise(int64_t n, gc_body body, gc_args *g) {
  uint64_t fp = gc_fp_enter();
  if (n < 2 * GC_GRAIN) body(g, 0, n, 0);
  else gc_parallel_for(n, GC_GRAIN, body, g);
  gc_fp_leave(fp);
}
static inline void gc_operand(gc_args *g, int k, const void *p, int64_t stride, int bytes) {
  g->in[k] = stride ? p : 0;
  if (!stride) __builtin_memcpy(&g->scalar[k], p, (unsigned long)bytes);
}

#define GC_PASTE_(a, b, c, d) a##b##c##d
#define GC_PASTE(a, b, c, d) GC_PASTE_(a, b, c, d)

/* FN(code) kernel from TI to TO; NAME is what follows gc_v_. */
#define GC_UNARY(NAME, FN, TI, TO) \
  static void body_##NAME(void *ctx, int64_t i0, int64_t i1, int thread) { \
    const gc_args *g = ctx; \
    const TI *a = g->in[0]; \
    TO *out = g->out; \
    (void)thread; \
    GC_SIMD for (int64_t i = i0; i < i1; i++) out[i] = FN(a[i]); \
  } \
  GC_EXPORT void gc_v_##NAME(int64_t n, const void *a, void *out) { \
    gc_args g = {{a, 0, 0}, out, {0}}; \
    if (n > 0) gc_pointwise(n, body_##NAME, &g); \
  }

/* A pointer to operand k's elements from i on: the array itself, or a tile of copies. */
#define GC_FILL(T, k) \
  T tile##k[GC_TILE]; \
  if (!g->in[k]) { \
    T one; \
    __builtin_memcpy(&one, &g->scalar[k], sizeof one); \
    for (int64_t i = 0; i < GC_TILE && i < i1 - i0; i++) tile##k[i] = one; \
  }
#define GC_AT(T, k) (g->in[k] ? (const T *)g->in[k] + i : tile##k)

#define GC_BINARY(NAME, FN, TI, TO) \
  static void body_##NAME(void *ctx, int64_t i0, int64_t i1, int thread) { \
    const gc_args *g = ctx; \
    (void)thread; \
    GC_FILL(TI, 0) \
    GC_FILL(TI, 1) \
    for (int64_t i = i0; i < i1; i += GC_TILE) { \
      const TI *a = GC_AT(TI, 0), *b = GC_AT(TI, 1); \
      TO *out = (TO *)g->out + i; \
      int64_t m = i1 - i < GC_TILE ? i1 - i : GC_TILE; \
      GC_SIMD for (int64_t j = 0; j < m; j++) out[j] = FN(a[j], b[j]); \
    } \
  } \
  GC_EXPORT void gc_v_##NAME(int64_t n, const void *a, int64_t sa, const void *b, int64_t sb, \
                             void *out) { \
    gc_args g = {{0}, out, {0}}; \
    if (n <= 0) return; \
    gc_operand(&g, 0, a, sa, sizeof(TI)); \
    gc_operand(&g, 1, b, sb, sizeof(TI)); \
    gc_pointwise(n, body_##NAME, &g); \
  }

#define GC_BINARY_ALIAS(NAME, SAME_AS) \
  GC_EXPORT void gc_v_##NAME(int64_t n, const void *a, int64_t sa, const void *b, int64_t sb, \
                             void *out) { \
    gc_v_##SAME_AS(n, a, sa, b, sb, out); \
  }

#define GC_TERNARY(NAME, FN, TI, TO) \
  static void body_##NAME(void *ctx, int64_t i0, int64_t i1, int thread) { \
    const gc_args *g = ctx; \
    (void)thread; \
    GC_FILL(TI, 0) \
    GC_FILL(TI, 1) \
    GC_FILL(TI, 2) \
    for (int64_t i = i0; i < i1; i += GC_TILE) { \
      const TI *a = GC_AT(TI, 0), *b = GC_AT(TI, 1), *c = GC_AT(TI, 2); \
      TO *out = (TO *)g->out + i; \
      int64_t m = i1 - i < GC_TILE ? i1 - i : GC_TILE; \
      GC_SIMD for (int64_t j = 0; j < m; j++) out[j] = FN(a[j], b[j], c[j]); \
    } \
  } \
  GC_EXPORT void gc_v_##NAME(int64_t n, const void *a, int64_t sa, const void *b, int64_t sb, \
                             const void *c, int64_t sc, void *out) { \
    gc_args g = {{0}, out, {0}}; \
    if (n <= 0) return; \
    gc_operand(&g, 0, a, sa, sizeof(TI)); \
    gc_operand(&g, 1, b, sb, sizeof(TI)); \
    gc_operand(&g, 2, c, sc, sizeof(TI)); \
    gc_pointwise(n, body_##NAME, &g); \
  }
#endif
