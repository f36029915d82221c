/* out = condition ? a : b for elements of 1, 2, 4 and 8 bytes: gc_v_select_<bytes>. */
#include "kernel.h"

#define SELECT(BYTES, T) \
  static void body_select_##BYTES(void *ctx, int64_t i0, int64_t i1, int thread) { \
    const gc_args *g = ctx; \
    (void)thread; \
    GC_FILL(uint8_t, 0) \
    GC_FILL(T, 1) \
    GC_FILL(T, 2) \
    for (int64_t i = i0; i < i1; i += GC_TILE) { \
      const uint8_t *c = GC_AT(uint8_t, 0); \
      const T *a = GC_AT(T, 1), *b = GC_AT(T, 2); \
      T *out = (T *)g->out + i; \
      int64_t m = i1 - i < GC_TILE ? i1 - i : GC_TILE; \
      GC_SIMD for (int64_t j = 0; j < m; j++) { \
        T mask = (T)-(T)(c[j] != 0); \
        out[j] = (T)((a[j] & mask) | (b[j] & (T)~mask)); \
      } \
    } \
  } \
  GC_EXPORT void gc_v_select_##BYTES(int64_t n, const void *c, int64_t sc, const void *a, \
                                     int64_t sa, const void *b, int64_t sb, void *out) { \
    gc_args g = {{0}, out, {0}}; \
    if (n <= 0) return; \
    gc_operand(&g, 0, c, sc, 1); \
    gc_operand(&g, 1, a, sa, sizeof(T)); \
    gc_operand(&g, 2, b, sb, sizeof(T)); \
    gc_pointwise(n, body_select_##BYTES, &g); \
  }

SELECT(1, uint8_t)
SELECT(2, uint16_t)
SELECT(4, uint32_t)
SELECT(8, uint64_t)
