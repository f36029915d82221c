/* gc_sort_histc_<code>(numbers, in, out): how many of n elements lie in each of `bins` equal bins
 * from low to high; the last has its right edge. numbers: n, bins, the bits of low and high as
 * doubles. Compares in the elements' type, computes places in double. */
#include <string.h>

#include "gc_api.h"
#include "gc_fp.h"

static double number(int64_t bits) {
  double x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

#define HISTC(T, K) \
  GC_EXPORT int gc_sort_histc_##K(const int64_t *numbers, void *const *in, void *const *out) { \
    int64_t n = numbers[0], bins = numbers[1]; \
    double low = number(numbers[2]), high = number(numbers[3]), scale = (double)bins / (high - low); \
    const T *x = in[0], least = (T)low, most = (T)high; \
    T *y = out[0]; \
    int64_t *count = gc_alloc(bins * (int64_t)sizeof *count + 1); \
    uint64_t saved = gc_fp_enter(); \
    if (count) { \
      memset(count, 0, (size_t)bins * sizeof *count); \
      for (int64_t i = 0; i < n; i++) \
        if (x[i] >= least && x[i] <= most) { \
          int64_t at = (int64_t)(((double)x[i] - low) * scale); \
          count[at < bins ? at : bins - 1]++; \
        } \
      for (int64_t i = 0; i < bins; i++) y[i] = (T)count[i]; \
      gc_free(count); \
    } \
    gc_fp_leave(saved); \
    return !count; \
  }
HISTC(float, f32)
HISTC(double, f64)
