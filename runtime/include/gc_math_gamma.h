/* Modified Bessel functions of order 0 and 1, the scaled erfc, the inverse of the normal
   distribution, Hurwitz' zeta and the incomplete gamma functions in float64; those of float32 are
   these, rounded once. Greatest common divisors; the two halves of frexp.

   Largest error in ULP, float32 / float64, as tested:
     i0 i0e               0.51 / 6        i1 i1e               0.51 / 12
     erfcx                0.51 / 6        ndtri                0.51 / 6
     zeta(s, q), s > 1, q > 0             0.51 / 24
     igamma igammac(a, x)                 relative 4e-13 where the value is above 1e-280
   Sources: Chebyshev series computed for this file with mpmath; Shepherd and Laframboise (1981) for
   erfcx's variable; Abramowitz and Stegun 26.2.23 (a start for Halley's steps), 6.5.29 and 6.5.31,
   23.2 (Euler and Maclaurin). */
#ifndef GC_MATH_GAMMA_H
#define GC_MATH_GAMMA_H
#include "gc_math_special.h"

static const double gc_i0_near[30] = {
    0x1.5a84e9035a22ap-2, -0x1.37febc057cd8dp-2, 0x1.5f7ac77ac88c0p-3, -0x1.84b70342d06eap-4,
    0x1.93e8acea8a32dp-5, -0x1.84e9ef121b6f0p-6, 0x1.59961f3dde3ddp-7, -0x1.1b65e201aa849p-8,
    0x1.adc758a12100ep-10, -0x1.2e2fd1f15eb52p-11, 0x1.8b51b74107cabp-13, -0x1.e2b2659c41d5ap-15,
    0x1.13f58be9a2859p-16, -0x1.2866fcba56427p-18, 0x1.2bf24978cf4acp-20, -0x1.1ec638f227f8dp-22,
    0x1.03b769d4d6435p-24, -0x1.beaf68c0b30abp-27, 0x1.6d903a454cb34p-29, -0x1.1d4fe13ae9556p-31,
    0x1.a98becc743c10p-34, -0x1.2fc957a946abcp-36, 0x1.9fe2fe19bd324p-39, -0x1.1164c62ee1af0p-41,
    0x1.59b464b262627p-44, -0x1.a5022c297fbebp-47, 0x1.ee6d893f65ebap-50, -0x1.184eb721ebbb4p-52,
    0x1.33362977da589p-55, -0x1.45cb72134d0efp-58
};
static const double gc_i0_far[25] = {
    0x1.9be62aca809cbp-2, 0x1.b998ca2e59049p-9, 0x1.20fa378999e52p-14, 0x1.8412bc101c586p-19,
    0x1.b8007d9cd616ep-23, 0x1.8569280d6d56dp-26, 0x1.d2c64a9225b87p-29, 0x1.0f9ccc0f46f75p-31,
    0x1.a24feabe8004fp-37, -0x1.1511d08397425p-35, -0x1.d0fd7357e7bf2p-37, -0x1.f904303178d66p-40,
    0x1.94347fa268cecp-41, 0x1.b1c8c6b83c073p-42, 0x1.156ff0d5fc545p-46, -0x1.75d99cf68bb32p-45,
    -0x1.583fe7e65629ap-47, 0x1.12a919094e6d7p-48, 0x1.fee7da3eafb1fp-50, -0x1.8aee7d908de38p-52,
    -0x1.4600babd21fe4p-52, 0x1.3f3dd076041cdp-55, 0x1.9be1812d98421p-55, -0x1.646da66119130p-58,
    -0x1.0adb754ca8b19p-57
};
static const double gc_i1_near[29] = {
    0x1.02a63724a7ffap-3, -0x1.694d10469192ep-3, 0x1.a46dad536f53cp-4, -0x1.b1bbc537c9ebcp-5,
    0x1.951e3e7bb2349p-6, -0x1.5a29f7913a26ap-7, 0x1.1065349d3a1b4p-8, -0x1.8cc620b3cd4a4p-10,
    0x1.0c95db6c6df7dp-11, -0x1.533cad3d694fep-13, 0x1.911b542c70d0bp-15, -0x1.bd5f9b8debbcfp-17,
    0x1.d1c4ed511afc5p-19, -0x1.cc0798363992ap-21, 0x1.ae344b347d108p-23, -0x1.7dd3e24b8c3e8p-25,
    0x1.4258e02395010p-27, -0x1.0361b28ea67e6p-29, 0x1.8ea34b43fdf6cp-32, -0x1.2510397eb07dep-34,
    0x1.9cee2b21d3154p-37, -0x1.173835fb70366p-39, 0x1.6af784779d955p-42, -0x1.c628e1c8f0b3bp-45,
    0x1.11d7f0615290cp-47, -0x1.3eaaa7e0d1573p-50, 0x1.663e3e593bfacp-53, -0x1.857d0c38a0576p-56,
    0x1.99f2a0c3c4014p-59
};
static const double gc_i1_far[25] = {
    0x1.8ea18b55b1514p-2, -0x1.3fda053fcdb4cp-7, -0x1.cfd7f804aa9a6p-14, -0x1.048df49ca0373p-18,
    -0x1.0dbfd2e9e5443p-22, -0x1.c415394bb46c1p-26, -0x1.0790b9ad53528p-28,
    -0x1.334ca5423dd80p-31, -0x1.4dcf9d4504c0cp-36, 0x1.1e1a1f1587865p-35, 0x1.f101f653c457bp-37,
    0x1.1e7d3f6439fa3p-39, -0x1.953e1076ab493p-41, -0x1.cbc458e73e255p-42, -0x1.7a9482e6d22a0p-46,
    0x1.80d3c26b3281ep-45, 0x1.776e1762d31e8p-47, -0x1.12db5138afbc7p-48, -0x1.0efcd8bc4d22ap-49,
    0x1.7d68e5f04a2d1p-52, 0x1.55915fceb588ap-52, -0x1.2806c9c773320p-55, -0x1.acea3b2532277p-55,
    0x1.45b8aea87b950p-58, 0x1.1556db352e8e6p-57
};
static const double gc_erfcx_cheb[25] = {
    0x1.2d75d0246cee8p+0, -0x1.2cd0564f8c1b7p-8, -0x1.59159e8868995p-4, 0x1.e50c3e7c7dccep-5,
    -0x1.b4c68f4569326p-6, 0x1.295e991a7d82dp-7, -0x1.3c4c54f8d419dp-9, 0x1.014ed1572209ap-11,
    -0x1.221e6f70130b5p-14, 0x1.15c3f597f0492p-18, 0x1.9f8f03ca86fc1p-21, -0x1.d601c320c8f9cp-23,
    0x1.71e1efca86cf9p-27, 0x1.36bf2885524c9p-28, -0x1.aa4d7b1cdf20ap-31, -0x1.15df59ca6082bp-34,
    0x1.f8af0a9aa6d31p-36, 0x1.b61b723941781p-43, -0x1.0fc16c00b50f2p-40, 0x1.24f6a772cbc36p-45,
    0x1.2d8b49ab5f72bp-45, -0x1.0cb63a80de2c7p-49, -0x1.6884628ace07dp-50, 0x1.561b1058221fdp-54,
    0x1.d3744857e25b9p-55
};
/* B(2k) / (2k)! */
static const double gc_bernoulli[12] = {
    0x1.5555555555555p-4,   -0x1.6c16c16c16c17p-10, 0x1.1566abc011567p-15, -0x1.bbd779334ef0bp-21,
    0x1.66a8f2bf70ebep-26,  -0x1.22805d644267fp-31, 0x1.d6db2c4e09162p-37, -0x1.7da4e1f79955cp-42,
    0x1.355871d652e9ep-47,  -0x1.f57d968caacf1p-53, 0x1.967e1f09c376fp-58, -0x1.497d9033a2b5cp-63};

/* sum of c[k] T_k(t), by Clenshaw's recurrence */
static inline double gc_chebyshev(const double *c, int n, double t) {
  double b0 = 0.0, b1 = 0.0, t2 = t + t;
  for (int k = n - 1; k > 0; k--) {
    double b = gc_fma_f64(t2, b0, c[k] - b1);
    b1 = b0;
    b0 = b;
  }
  return gc_fma_f64(t, b0, c[0] - b1);
}

static inline double gc_i0e_f64(double x) {
  double a = gc_abs_f64(x);
  double near_ = gc_chebyshev(gc_i0_near, 30, 0.25 * a - 1.0);
  double far_ = gc_chebyshev(gc_i0_far, 25, 16.0 / a - 1.0) / __builtin_sqrt(a);
  return a <= 8.0 ? near_ : far_;
}
static inline double gc_i1e_f64(double x) {
  double a = gc_abs_f64(x);
  double near_ = gc_chebyshev(gc_i1_near, 29, 0.25 * a - 1.0) * a;
  double far_ = gc_chebyshev(gc_i1_far, 25, 16.0 / a - 1.0) / __builtin_sqrt(a);
  return gc_copysign_f64(a <= 8.0 ? near_ : far_, x);
}
/* e^a in two factors: the product overflows only where the function does. */
static inline double gc_unscaled(double scaled, double a) {
  double half = gc_exp_f64(0.5 * a);
  return a <= 700.0 ? gc_exp_f64(a) * scaled : half * scaled * half;
}
static inline double gc_i0_f64(double x) {
  double a = gc_abs_f64(x);
  return a == GC_INF_F64 ? a : gc_unscaled(gc_i0e_f64(a), a);
}
static inline double gc_i1_f64(double x) {
  double a = gc_abs_f64(x);
  return gc_copysign_f64(a == GC_INF_F64 ? a : gc_unscaled(gc_i1e_f64(a), a), x);
}

static inline double gc_erfcx_f64(double x) {
  double a = gc_abs_f64(x), t = a > 1e300 ? 1.0 : (a - 3.75) / (a + 3.75);
  double y = gc_chebyshev(gc_erfcx_cheb, 25, t) / (1.0 + 2.0 * a);
  y = a > 1e300 ? 0x1.20dd750429b6dp-1 / a : y;
  double h = x * x, l = gc_fma_f64(x, x, -h);
  double mirror = h > 720.0 ? GC_INF_F64 : 2.0 * (gc_exp_f64(h) * (1.0 + l)) - y;
  return x < 0 ? mirror : y;
}

/* One of Halley's steps for erfc(x / sqrt 2) / 2 = q. */
static inline double gc_ndtri_step(double q, double x) {
  double tail = 0.5 * gc_erfc_tail_f64(x * 0x1.6a09e667f3bcdp-1);
  double e = (tail - q) * 0x1.40d931ff62706p+1 / gc_exp_f64(-0.5 * x * x);
  return x + e / (1.0 - 0.5 * e * x);
}
static inline double gc_ndtri_f64(double p) {
  double q = p < 0.5 ? p : 1.0 - p;
  double t = __builtin_sqrt(-2.0 * gc_log_f64(q));
  double x = t - (2.515517 + t * (0.802853 + t * 0.010328)) /
                     (1.0 + t * (1.432788 + t * (0.189269 + t * 0.001308)));
  x = gc_ndtri_step(q, gc_ndtri_step(q, x));
  x = p < 0.5 ? -x : x;
  x = q > 0.25 ? 0x1.6a09e667f3bcdp+0 * gc_erfinv_f64(2.0 * p - 1.0) : x;
  x = p == 0 ? -GC_INF_F64 : p == 1.0 ? GC_INF_F64 : x;
  return p >= 0 && p <= 1.0 ? x : GC_NAN_F64;
}

/* Sum over k of (q + k)^-s: terms until q + k is above 12 + s or they no longer count, then Euler
   and Maclaurin's formula. */
static inline double gc_zeta_f64(double s, double q) {
  if (s != s || q != q) return s + q;
  if (s == 1.0) return GC_INF_F64;
  if (s < 1.0) return GC_NAN_F64;
  if (q <= 0) {
    if (q == gc_floor_f64(q)) return GC_INF_F64;
    if (s != gc_floor_f64(s)) return GC_NAN_F64;
  }
  double sum = 0.0, a = q;
  while (a < 12.0 + s) {
    double term = gc_pow_f64(a, -s);
    sum += term;
    if (a > 0 && term <= 0x1p-58 * sum) return sum;
    a += 1.0;
  }
  double w = gc_pow_f64(a, -s), rise = s, power = w / a, tail = w * a / (s - 1.0) + 0.5 * w;
  for (int k = 0; k < 12; k++) {
    double term = gc_bernoulli[k] * rise * power;
    tail += term;
    rise *= (s + (2 * k + 1)) * (s + (2 * k + 2));
    power = power / a / a;
  }
  return sum + tail;
}

/* x^a e^-x / gamma(a + 1) */
static inline double gc_gamma_front(double a, double x) {
  if (a > 10.0) { /* about its maximum at x = a */
    double mu = (x - a) / a, w = 1.0 / a / a;
    double m = gc_abs_f64(mu) < 0.3 ? gc_log1p_f64(mu) - mu : gc_log_f64(x / a) - mu;
    double c = 1.0 / 12 - w * (1.0 / 360 - w * (1.0 / 1260 - w * (1.0 / 1680 - w / 1188)));
    return gc_exp_f64(a * m - c / a) / (0x1.40d931ff62706p+1 * __builtin_sqrt(a));
  }
  return gc_exp_f64(a * gc_log_f64(x) - x - gc_lgamma_f64(a + 1.0));
}
static inline double gc_gamma_series(double a, double x) { /* of igamma */
  double term = 1.0, sum = 1.0, n = a;
  for (int k = 0; k < 20000 && term > 0x1p-56 * sum; k++) {
    n += 1.0;
    term *= x / n;
    sum += term;
  }
  return sum * gc_gamma_front(a, x);
}
static inline double gc_gamma_fraction(double a, double x) { /* of igammac, by Lentz */
  double b = x + 1.0 - a, c = 0x1p1000, d = 1.0 / b, h = d;
  for (int k = 1; k < 20000; k++) {
    double an = -k * (k - a);
    b += 2.0;
    d = an * d + b;
    d = 1.0 / (gc_abs_f64(d) < 0x1p-1000 ? 0x1p-1000 : d);
    c = b + an / c;
    c = gc_abs_f64(c) < 0x1p-1000 ? 0x1p-1000 : c;
    h *= d * c;
    if (gc_abs_f64(d * c - 1.0) < 0x1p-52) break;
  }
  return h * a * gc_gamma_front(a, x);
}
/* which: 0 the lower one, 1 the upper one */
static inline double gc_gamma_part(double a, double x, int upper) {
  if (a != a || x != x) return a + x;
  if (a < 0 || x < 0 || (a == GC_INF_F64 && x == GC_INF_F64)) return GC_NAN_F64;
  double lower;
  if (a == 0) {
    if (x == 0) return GC_NAN_F64;
    lower = 1.0;
  } else if (x == 0 || a == GC_INF_F64) lower = 0.0;
  else if (x == GC_INF_F64) lower = 1.0;
  else if (x > 1.1 && x > a) {
    double r = gc_gamma_fraction(a, x);
    return upper ? r : 1.0 - r;
  } else lower = gc_gamma_series(a, x);
  return upper ? 1.0 - lower : lower;
}
static inline double gc_igamma_f64(double a, double x) { return gc_gamma_part(a, x, 0); }
static inline double gc_igammac_f64(double a, double x) { return gc_gamma_part(a, x, 1); }

static inline float gc_i0_f32(float x) { return (float)gc_i0_f64((double)x); }
static inline float gc_i0e_f32(float x) { return (float)gc_i0e_f64((double)x); }
static inline float gc_i1_f32(float x) { return (float)gc_i1_f64((double)x); }
static inline float gc_i1e_f32(float x) { return (float)gc_i1e_f64((double)x); }
static inline float gc_erfcx_f32(float x) { return (float)gc_erfcx_f64((double)x); }
static inline float gc_ndtri_f32(float x) { return (float)gc_ndtri_f64((double)x); }
static inline float gc_zeta_f32(float s, float q) { return (float)gc_zeta_f64(s, q); }
static inline float gc_igamma_f32(float a, float x) { return (float)gc_igamma_f64(a, x); }
static inline float gc_igammac_f32(float a, float x) { return (float)gc_igammac_f64(a, x); }

/* x = mantissa * 2^exponent, 1/2 <= |mantissa| < 1; zero, inf and nan are their own mantissa. */
static inline double gc_frexp_exponent_f64(double x) {
  double a = gc_abs_f64(x), y = a < 0x1p-1022 ? a * 0x1p54 : a;
  double e = (double)(int)((gc_bits_f64(y) >> 52) & 0x7ff) - (a < 0x1p-1022 ? 1076.0 : 1022.0);
  return a == 0 || !(a < GC_INF_F64) ? 0.0 : e;
}
static inline double gc_frexp_mantissa_f64(double x) {
  double a = gc_abs_f64(x), y = a < 0x1p-1022 ? x * 0x1p54 : x;
  double m = gc_from_bits_f64((gc_bits_f64(y) & 0x800fffffffffffffu) | 0x3fe0000000000000u);
  return a == 0 || !(a < GC_INF_F64) ? x : m;
}
static inline float gc_frexp_exponent_f32(float x) {
  return (float)gc_frexp_exponent_f64((double)x);
}
static inline float gc_frexp_mantissa_f32(float x) {
  return (float)gc_frexp_mantissa_f64((double)x);
}

/* gcd and lcm by Euclid: absolute values, modulo 2^bits. */
#define GC_DIVISORS(T, K, W) \
  static inline T gc_gcd_##K(T a, T b) { \
    W x = a < (T)1 ? (W)0 - (W)a : (W)a, y = b < (T)1 ? (W)0 - (W)b : (W)b; \
    while (y) { \
      W r = x % y; \
      x = y; \
      y = r; \
    } \
    return (T)x; \
  } \
  static inline T gc_lcm_##K(T a, T b) { \
    T g = gc_gcd_##K(a, b); \
    T q = g ? (T)((W)(a / g) * (W)b) : (T)0; \
    return q < (T)1 ? (T)((W)0 - (W)q) : q; \
  }
GC_DIVISORS(uint8_t, u8, uint8_t)
GC_DIVISORS(int8_t, i8, uint8_t)
GC_DIVISORS(int16_t, i16, uint16_t)
GC_DIVISORS(int32_t, i32, uint32_t)
GC_DIVISORS(int64_t, i64, uint64_t)
#undef GC_DIVISORS
#endif
