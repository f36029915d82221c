/* Random array kernels: element i of the output is the scalar function of gc_philox.h at index i.
 * Words are made in tiles of whole blocks, then turned into numbers by a vector loop. */
#include "gc_philox.h"
#include "kernel.h"

#define TILE 512 /* words */

typedef struct {
  uint64_t seed, offset, range;
  int64_t low;
  void *out;
} draw;

/* PER words give one element of type T; EXPR reads them at w[PER*j ...]. Pieces begin at multiples
 * of the grain, so at whole blocks. */
#define GC_DRAW(NAME, T, PER, EXPR) \
  static void body_##NAME(void *ctx, int64_t i0, int64_t i1, int thread) { \
    const draw *d = ctx; \
    uint64_t w[TILE]; \
    (void)thread; \
    for (int64_t i = i0; i < i1; i += TILE / PER) { \
      int64_t m = i1 - i < TILE / PER ? i1 - i : TILE / PER; \
      T *out = (T *)d->out + i; \
      gc_random_words(d->seed, d->offset, i * PER, m * PER, w); \
      GC_SIMD for (int64_t j = 0; j < m; j++) out[j] = EXPR; \
    } \
  } \
  static void run_##NAME(int64_t n, draw d) { \
    uint64_t fp = gc_fp_enter(); \
    if (n > 0 && n < GC_GRAIN) body_##NAME(&d, 0, n, 0); \
    else if (n > 0) gc_parallel_for(n, GC_GRAIN / 4, body_##NAME, &d); \
    gc_fp_leave(fp); \
  }

GC_DRAW(bits, uint64_t, 1, w[j])
GC_DRAW(uniform_f32, float, 1, gc_word_uniform_f32(w[j]))
GC_DRAW(uniform_f64, double, 1, gc_word_uniform_f64(w[j]))
GC_DRAW(normal_f32, float, 2, gc_word_normal_f32(w[2 * j], w[2 * j + 1]))
GC_DRAW(normal_f64, double, 2, gc_word_normal_f64(w[2 * j], w[2 * j + 1]))
GC_DRAW(randint_i64, int64_t, 1, gc_word_randint_i64(w[j], d->low, d->range))

#define GC_RANDOM(NAME, T) \
  GC_EXPORT void gc_random_##NAME(int64_t n, uint64_t seed, uint64_t offset, T *out) { \
    run_##NAME(n, (draw){seed, offset, 0, 0, out}); \
  }
GC_RANDOM(bits, uint64_t)
GC_RANDOM(uniform_f32, float)
GC_RANDOM(uniform_f64, double)
GC_RANDOM(normal_f32, float)
GC_RANDOM(normal_f64, double)

GC_EXPORT void gc_random_randint_i64(int64_t n, uint64_t seed, uint64_t offset, int64_t low,
                                     uint64_t range, int64_t *out) {
  run_randint_i64(n, (draw){seed, offset, range, low, out});
}
