/* Optimizer updates of many parameters in one call: gc_optim_{sgd,adagrad,adam}_list_{f32,f64}.
 *
 * Takes a table of pointers, one row per parameter, and hyper-parameters as doubles; counts the steps,
 * derives what depends on them in double precision, and hands each row to the update kernel of optim.c.
 * The bits are those of the same formulas in tensor operations: doubles first, rounded to the
 * parameter's type once. */
#include "gc_math.h"
#include "gc_pool.h"


enum { DECOUPLED = 16 }; /* as in optim_float.inc */

#define OPTIM_LISTS(S, T)                                                                            \
  void gc_optim_sgd_##S(int64_t, void *, const void *, void *, T, T, T, T, int);                     \
  void gc_optim_adagrad_##S(int64_t, void *, const void *, void *, const void *, T, T, int);         \
  void gc_optim_adam_##S(int64_t, void *, const void *, void *, void *, void *, const void *,        \
                         const void *, T, T, T, T, T, T, int);                                       \
                                                                                                     \
  /* rows: p, g, buf or null; h: lr, weight_decay, momentum, 1 - dampening */                        \
  GC_EXPORT void gc_optim_sgd_list_##S(int64_t count, const int64_t *n, void **row, const double *h, \
                                       int flags) {                                                  \
    for (int64_t i = 0; i < count; i++, row += 3)                                                    \
      gc_optim_sgd_##S(n[i], row[0], row[1], row[2], (T)h[0], (T)h[1], (T)h[2], (T)h[3], flags);     \
  }                                                                                                  \
                                                                                                     \
  /* rows: p, g, sum, step; h: lr, lr_decay, weight_decay, eps */                                    \
  GC_EXPORT void gc_optim_adagrad_list_##S(int64_t count, const int64_t *n, void **row,              \
                                           const double *h, int flags) {                             \
    for (int64_t i = 0; i < count; i++, row += 4) {                                                  \
      float step = *(float *)row[3] + 1.0f;                                                          \
      T clr = (T)(h[0] / (1.0 + ((double)step - 1.0) * h[1]));                                       \
      *(float *)row[3] = step;                                                                       \
      gc_optim_adagrad_##S(n[i], row[0], row[1], row[2], &clr, (T)h[2], (T)h[3], flags);             \
    }                                                                                                \
  }                                                                                                  \
                                                                                                     \
  /* rows: p, g, m, v, v_max or null, step; h: lr, beta1, beta2, eps, weight_decay */                \
  GC_EXPORT void gc_optim_adam_list_##S(int64_t count, const int64_t *n, void **row,                 \
                                        const double *h, int flags) {                                \
    T decay = (T)(flags & DECOUPLED ? 1.0 - h[0] * h[4] : h[4]), size = 0, root = 0;                 \
    float last = -1.0f;                                                                              \
    for (int64_t i = 0; i < count; i++, row += 6) {                                                  \
      float step = *(float *)row[5] + 1.0f;                                                          \
      *(float *)row[5] = step;                                                                       \
      if (i == 0 || step != last) {                                                                  \
        size = (T)(h[0] / (1.0 - gc_pow_f64(h[1], (double)step)));                                   \
        root = (T)__builtin_sqrt(1.0 - gc_pow_f64(h[2], (double)step));                              \
        last = step;                                                                                 \
      }                                                                                              \
      gc_optim_adam_##S(n[i], row[0], row[1], row[2], row[3], row[4], &size, &root, (T)h[1],         \
                        (T)(1.0 - h[1]), (T)h[2], (T)(1.0 - h[2]), (T)h[3], decay, flags);           \
    }                                                                                                \
  }

OPTIM_LISTS(f32, float)
OPTIM_LISTS(f64, double)
