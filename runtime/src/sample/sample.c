/* Random numbers of distributions that need a varying number of words. Element i draws from a
 * stream of its own, Philox with key word[i], so it depends on its parameters and its word alone.
 *   gc_sample_gamma      Marsaglia & Tsang, "A simple method for generating gamma variables", 2000
 *   gc_sample_gamma_grad d sample / d concentration at a fixed quantile
 *   gc_sample_poisson    products of uniforms; from 10 on Hoermann's PTRS, 1993
 *   gc_sample_binomial   sums of geometric gaps; from 10 expected on Hoermann's BTRS, 1993 */
#include "../kernel.h"
#include "gc_philox.h"

typedef struct {
  uint64_t key, block, w[4];
  int used;
} stream;

static uint64_t next_word(stream *s) {
  if (s->used == 4) {
    gc_philox4x64(s->key, 0, s->block++, s->w);
    s->used = 0;
  }
  return s->w[s->used++];
}
static double uniform(stream *s) { return 1.0 - gc_word_uniform_f64(next_word(s)); } /* (0, 1] */
static double normal(stream *s) {
  uint64_t a = next_word(s);
  return gc_word_normal_f64(a, next_word(s));
}

static double gamma_one(double a, stream *s) {
  double boost = 1.0;
  if (!(a > 0.0)) return a == 0.0 ? 0.0 : __builtin_nan("");
  if (a > 1.0e300) return a;
  if (a < 1.0) {
    boost = gc_pow_f64(uniform(s), 1.0 / a);
    a += 1.0;
  }
  double d = a - 1.0 / 3.0, c = 1.0 / __builtin_sqrt(9.0 * d);
  for (;;) {
    double x = normal(s), t = 1.0 + c * x;
    if (t <= 0.0) continue;
    double v = t * t * t, u = uniform(s), q = x * x;
    if (u < 1.0 - 0.0331 * q * q) return boost * d * v;
    if (gc_log_f64(u) < 0.5 * q + d * (1.0 - v + gc_log_f64(v))) return boost * d * v;
  }
}

static double digamma_of(double x) { /* x > 0 */
  double r = 0.0;
  while (x < 10.0) r -= 1.0 / x, x += 1.0;
  double y = 1.0 / (x * x);
  double tail = y * (1.0 / 12 - y * (1.0 / 120 - y * (1.0 / 252 - y * (1.0 / 240 - y / 132.0))));
  return r + gc_log_f64(x) - 0.5 / x - tail;
}

/* With F the distribution function and f the density, dx/da = -(dF/da) / f. F = x^a e^-x S /
 * Gamma(a+1) with S = sum of x^n / ((a+1)...(a+n)); 1 - F = x^a e^-x h / Gamma(a) with h a
 * continued fraction, which is used where F is close to 1. Both are summed with their derivatives
 * by a. Beyond 10^6 the cube root of x / a is close to normal (Wilson & Hilferty). */
static double gamma_grad_one(double a, double x) {
  if (!(a > 0.0) || !(x >= 0.0)) return __builtin_nan("");
  if (x == 0.0) return 0.0;
  if (a > 1.0e6) {
    double w = gc_exp_f64(gc_log_f64(x / a) / 3.0), z3 = w - 1.0 + 1.0 / (9.0 * a);
    return w * w * w + 3.0 * a * w * w * (1.0 / (9.0 * a * a) - z3 / (2.0 * a));
  }
  if (x <= a + 1.0) {
    double term = 1.0, sum = 1.0, harmonic = 0.0, slope = 0.0;
    for (int n = 1; n < 100000; n++) {
      term *= x / (a + n);
      harmonic += 1.0 / (a + n);
      sum += term;
      slope -= term * harmonic;
      if (term < 1e-17 * sum) break;
    }
    return -(x / a) * (sum * (gc_log_f64(x) - digamma_of(a + 1.0)) + slope);
  }
  double b = x + 1.0 - a, d = 1.0 / b, dd = d * d; /* (1/b)' = -b'/b^2, b' = -1 */
  double c = 1e300, dc = 0.0, h = d, dh = dd;
  for (int i = 1; i < 100000; i++) {
    double an = -i * (i - a), e, de;
    b += 2.0;
    de = (double)i * d + an * dd - 1.0, e = an * d + b;
    d = 1.0 / e, dd = -de * d * d;
    de = (double)i / c - an * dc / (c * c) - 1.0, c = b + an / c, dc = de;
    double step = d * c, dstep = dd * c + d * dc;
    dh = dh * step + h * dstep, h *= step;
    if (__builtin_fabs(step - 1.0) < 1e-16 && __builtin_fabs(dstep) < 1e-16) break;
  }
  return x * (dh + h * (gc_log_f64(x) - digamma_of(a)));
}

/* log k! without its leading terms, (k + 1/2) log(k+1) - (k+1) + log(2 pi) / 2 */
static double stirling_tail(double k) {
  static const double small[] = {0.0810614667953272,  0.0413406959554092,  0.0276779256849983,
                                 0.02079067210376509, 0.0166446911898211,  0.0138761288230707,
                                 0.0118967099458917,  0.0104112652619720,  0.00925546218271273,
                                 0.00833056343336287};
  if (k < 10.0) return small[(int)k];
  double n = k + 1.0, q = n * n;
  return (1.0 / 12 - (1.0 / 360 - 1.0 / 1260 / q) / q) / n;
}
static double log_factorial(double k) {
  return 0.91893853320467274178 + (k + 0.5) * gc_log_f64(k + 1.0) - (k + 1.0) + stirling_tail(k);
}

static double poisson_one(double rate, stream *s) {
  if (!(rate >= 0.0)) return __builtin_nan("");
  if (rate < 10.0) {
    double least = gc_exp_f64(-rate), product = uniform(s), k = 0.0;
    while (product > least) product *= uniform(s), k += 1.0;
    return k;
  }
  double l = gc_log_f64(rate), b = 0.931 + 2.53 * __builtin_sqrt(rate), a = -0.059 + 0.02483 * b;
  double inverse = 1.1239 + 1.1328 / (b - 3.4), quick = 0.9277 - 3.6224 / (b - 2.0);
  for (;;) {
    double u = uniform(s) - 0.5, v = uniform(s), us = 0.5 - __builtin_fabs(u);
    double k = __builtin_floor((2.0 * a / us + b) * u + rate + 0.43);
    if (us >= 0.07 && v <= quick) return k;
    if (!(k >= 0.0) || (us < 0.013 && v > us)) continue;
    if (gc_log_f64(v * inverse / (a / (us * us) + b)) <= k * l - rate - log_factorial(k)) return k;
  }
}

static double binomial_one(double n, double p, stream *s) {
  if (!(n >= 0.0) || !(p >= 0.0) || p > 1.0) return __builtin_nan("");
  if (n == 0.0 || p == 0.0) return 0.0;
  if (p == 1.0) return n;
  if (p > 0.5) return n - binomial_one(n, 1.0 - p, s);
  if (n * p < 10.0) {
    double l = gc_log1p_f64(-p), at = 0.0, k = 0.0;
    for (;;) {
      double gap = __builtin_ceil(gc_log_f64(uniform(s)) / l);
      at += gap < 1.0 ? 1.0 : gap;
      if (at > n) return k;
      k += 1.0;
    }
  }
  double sd = __builtin_sqrt(n * p * (1.0 - p)), b = 1.15 + 2.53 * sd, r = p / (1.0 - p);
  double a = -0.0873 + 0.0248 * b + 0.01 * p, c = n * p + 0.5, quick = 0.92 - 4.2 / b;
  double alpha = (2.83 + 5.1 / b) * sd, m = __builtin_floor((n + 1.0) * p);
  for (;;) {
    double u = uniform(s) - 0.5, v = uniform(s), us = 0.5 - __builtin_fabs(u);
    double k = __builtin_floor((2.0 * a / us + b) * u + c);
    if (us >= 0.07 && v <= quick) return k;
    if (!(k >= 0.0) || k > n) continue;
    double bound = (m + 0.5) * gc_log_f64((m + 1.0) / (r * (n - m + 1.0))) +
                   (n + 1.0) * gc_log_f64((n - m + 1.0) / (n - k + 1.0)) +
                   (k + 0.5) * gc_log_f64(r * (n - k + 1.0) / (k + 1.0)) + stirling_tail(m) +
                   stirling_tail(n - m) - stirling_tail(k) - stirling_tail(n - k);
    if (gc_log_f64(v * alpha / (a / (us * us) + b)) <= bound) return k;
  }
}

/* int gc_sample_<name>_<code>(numbers, in, out). numbers: n; in: one or two parameters and, but for
 * gamma_grad, the words. Computes in double. What underflows becomes LEAST. */
typedef struct {
  const void *a, *b;
  const int64_t *word;
  void *out;
} job;

#define GC_SAMPLE(NAME, T, K, LEAST, PARAMETERS, WORDS, EXPR) \
  static void body_##NAME##_##K(void *ctx, int64_t i0, int64_t i1, int thread) { \
    const job *g = ctx; \
    (void)thread; \
    for (int64_t i = i0; i < i1; i++) { \
      stream s = {g->word ? (uint64_t)g->word[i] : 0, 0, {0}, 4}; \
      double a = ((const T *)g->a)[i], b = g->b ? ((const T *)g->b)[i] : 0.0, y = EXPR; \
      (void)s, (void)b; \
      ((T *)g->out)[i] = (T)(y >= 0.0 && y < LEAST ? LEAST : y); \
    } \
  } \
  GC_EXPORT int gc_sample_##NAME##_##K(const int64_t *numbers, void *const *in, \
                                       void *const *out) { \
    job g = {in[0], PARAMETERS > 1 ? in[1] : 0, WORDS ? in[PARAMETERS] : 0, out[0]}; \
    gc_parallel_for(numbers[0], 256, body_##NAME##_##K, &g); \
    return 0; \
  }

#define GC_SAMPLES(T, K, TINY) \
  GC_SAMPLE(gamma, T, K, TINY, 1, 1, gamma_one(a, &s)) \
  GC_SAMPLE(gamma_grad, T, K, 0.0, 2, 0, gamma_grad_one(a, b)) \
  GC_SAMPLE(poisson, T, K, 0.0, 1, 1, poisson_one(a, &s)) \
  GC_SAMPLE(binomial, T, K, 0.0, 2, 1, binomial_one(a, b, &s))
GC_SAMPLES(float, f32, 0x1p-126)
GC_SAMPLES(double, f64, 0x1p-1022)
