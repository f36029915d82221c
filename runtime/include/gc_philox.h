/* Counter-based random numbers: Philox4x64-10 (Salmon et al., SC 2011) with numpy's conventions.
   A draw is named by (seed, offset): key = (seed, 0); its word i is word i % 4 of the block with
   counter offset + i / 4 + 1, as np.random.Philox(key=[seed, 0], counter=offset) generates them.
   Invariant: element i depends on (seed, offset, i) alone, never on loop order, tiling or threads.
     gc_philox4x64(seed, offset, block, out[4])   the four words of block 0, 1, ...
     gc_random_word(seed, offset, i)              one 64-bit word
     gc_random_words(seed, offset, first, n, out) n of them from index first on, block by block
     gc_uniform_f32 / _f64 (seed, offset, i)      word i to [0, 1): top 24 / 53 bits
     gc_normal_f32 / _f64 (seed, offset, i)       words 2i, 2i+1: Box-Muller, cosine branch
     gc_randint_i64(seed, offset, i, low, range)  low + high half of word * range; range 0 = 2^64
     gc_uniform_run_f32 / _f64, gc_normal_run_f32 / _f64 (seed, offset, first, n, out)
                                                  elements first .. first + n - 1, four times as fast
   A draw of n elements uses ceil(n / 4) blocks, normal ones ceil(n / 2). */
#ifndef GC_PHILOX_H
#define GC_PHILOX_H
#include "gc_math.h"

__extension__ typedef unsigned __int128 gc_u128;

static inline void gc_philox4x64(uint64_t seed, uint64_t offset, uint64_t block, uint64_t out[4]) {
  uint64_t c0 = offset + block + 1u, c1 = c0 <= offset, c2 = 0, c3 = 0, k0 = seed, k1 = 0;
  for (int round = 0; round < 10; round++) {
    gc_u128 a = (gc_u128)0xd2e7470ee14c6c93u * c0, b = (gc_u128)0xca5a826395121157u * c2;
    c0 = (uint64_t)(b >> 64) ^ c1 ^ k0, c2 = (uint64_t)(a >> 64) ^ c3 ^ k1;
    c1 = (uint64_t)b, c3 = (uint64_t)a;
    k0 += 0x9e3779b97f4a7c15u, k1 += 0xbb67ae8584caa73bu;
  }
  out[0] = c0, out[1] = c1, out[2] = c2, out[3] = c3;
}
static inline uint64_t gc_random_word(uint64_t seed, uint64_t offset, uint64_t i) {
  uint64_t w[4];
  gc_philox4x64(seed, offset, i >> 2, w);
  return i & 2u ? (i & 1u ? w[3] : w[2]) : (i & 1u ? w[1] : w[0]);
}
static inline void gc_random_words(uint64_t seed, uint64_t offset, int64_t first, int64_t n,
                                   uint64_t *out) {
  uint64_t w[4];
  int64_t i = 0;
  if ((first & 3) && n > 0) {
    gc_philox4x64(seed, offset, (uint64_t)first >> 2, w);
    for (int64_t k = first & 3; k < 4 && i < n; k++) out[i++] = w[k];
  }
  for (; i + 4 <= n; i += 4) gc_philox4x64(seed, offset, (uint64_t)(first + i) >> 2, out + i);
  if (i < n) {
    gc_philox4x64(seed, offset, (uint64_t)(first + i) >> 2, w);
    for (int64_t k = 0; i < n; k++) out[i++] = w[k];
  }
}

/* From words to numbers. */
static inline float gc_word_uniform_f32(uint64_t w) { return (float)(int32_t)(w >> 40) * 0x1p-24f; }
static inline double gc_word_uniform_f64(uint64_t w) {
  return (double)(int64_t)(w >> 11) * 0x1p-53;
}
/* sqrt(-2 log u) cos(2 pi v), u = 1 - uniform in (0, 1] */
static inline float gc_word_normal_f32(uint64_t a, uint64_t b) {
  float u = 1.0f - gc_word_uniform_f32(a);
  return __builtin_sqrtf(-2.0f * gc_log_f32(u)) * gc_cos2pi_f32(gc_word_uniform_f32(b));
}
static inline double gc_word_normal_f64(uint64_t a, uint64_t b) {
  double u = 1.0 - gc_word_uniform_f64(a);
  return __builtin_sqrt(-2.0 * gc_log_f64(u)) * gc_cos2pi_f64(gc_word_uniform_f64(b));
}
static inline int64_t gc_word_randint_i64(uint64_t w, int64_t low, uint64_t range) {
  uint64_t r = range ? (uint64_t)(((gc_u128)w * range) >> 64) : w;
  return (int64_t)((uint64_t)low + r);
}

static inline float gc_uniform_f32(uint64_t seed, uint64_t offset, uint64_t i) {
  return gc_word_uniform_f32(gc_random_word(seed, offset, i));
}
static inline double gc_uniform_f64(uint64_t seed, uint64_t offset, uint64_t i) {
  return gc_word_uniform_f64(gc_random_word(seed, offset, i));
}
static inline float gc_normal_f32(uint64_t seed, uint64_t offset, uint64_t i) {
  uint64_t w[4];
  gc_philox4x64(seed, offset, i >> 1, w);
  return gc_word_normal_f32(i & 1u ? w[2] : w[0], i & 1u ? w[3] : w[1]);
}
static inline double gc_normal_f64(uint64_t seed, uint64_t offset, uint64_t i) {
  uint64_t w[4];
  gc_philox4x64(seed, offset, i >> 1, w);
  return gc_word_normal_f64(i & 1u ? w[2] : w[0], i & 1u ? w[3] : w[1]);
}
static inline int64_t gc_randint_i64(uint64_t seed, uint64_t offset, uint64_t i, int64_t low,
                                     uint64_t range) {
  return gc_word_randint_i64(gc_random_word(seed, offset, i), low, range);
}

#define GC_RANDOM_RUN(KIND, K, T, PER, VALUE) \
  static inline void gc_##KIND##_run_##K(uint64_t seed, uint64_t offset, int64_t first, int64_t n, \
                                         T *out) { \
    uint64_t w[256]; \
    for (int64_t i = 0; i < n; i += 256 / PER) { \
      int64_t m = n - i < 256 / PER ? n - i : 256 / PER; \
      gc_random_words(seed, offset, PER * (first + i), PER * m, w); \
      for (int64_t j = 0; j < m; j++) out[i + j] = VALUE; \
    } \
  }
GC_RANDOM_RUN(uniform, f32, float, 1, gc_word_uniform_f32(w[j]))
GC_RANDOM_RUN(uniform, f64, double, 1, gc_word_uniform_f64(w[j]))
GC_RANDOM_RUN(normal, f32, float, 2, gc_word_normal_f32(w[2 * j], w[2 * j + 1]))
GC_RANDOM_RUN(normal, f64, double, 2, gc_word_normal_f64(w[2 * j], w[2 * j + 1]))
#undef GC_RANDOM_RUN
#endif
