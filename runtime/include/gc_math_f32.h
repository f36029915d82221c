/* float32 transcendental functions: gc_<fn>_f32(float...) -> float.
   Invariant: branch-free, one fixed sequence of IEEE operations each; fused only through gc_fma.
   Polynomials are weighted minimax fits whose leading coefficients were rounded first.  "ulp" in a
   comment is the largest error tested against a correctly rounded result (tests/native). */
#ifndef GC_MATH_F32_H
#define GC_MATH_F32_H
#include "gc_basic.h"

#define GC_F gc_fma_f32
#define GC_D gc_fma_f64
#define GC_LN2_HI_F32 0x1.62e43p-1f
#define GC_LN2_LO_F32 -0x1.05c61p-29f
#define GC_LOG2E_F32 0x1.715476p0f
#define GC_PI4_HI_F32 0x1.921fb6p-1f
#define GC_PI4_LO_F32 -0x1.777a5cp-26f

/* p * 2^n with t = n + magic, |n| <= 250: two factors, so a subnormal result is rounded once. */
static inline float gc_scale_f32(float p, float t) {
  int32_t n = (int32_t)(gc_bits_f32(t) - 0x4b400000u), h = n >> 1;
  float s1 = gc_from_bits_f32((uint32_t)(h + 127) << 23);
  float s2 = gc_from_bits_f32((uint32_t)(n - h + 127) << 23);
  return p * s1 * s2;
}
/* exp(x + lo) = p * 2^n, t = n + magic. */
static inline float gc_exp_core_f32(float x, float lo, float *t) {
  *t = GC_F(x, GC_LOG2E_F32, GC_MAGIC_F32);
  float n = *t - GC_MAGIC_F32;
  float r = GC_F(n, -GC_LN2_LO_F32, GC_F(n, -GC_LN2_HI_F32, x)) + lo;
  return GC_P7(GC_F, r, 1.0f, 1.0f, 0x1.fffffcp-2f, 0x1.55549p-3f, 0x1.5558ap-5f, 0x1.123ac8p-7f,
               0x1.6a6048p-10f);
}
static inline float gc_clip_f32(float x, float lo, float hi) { /* NaN passes */
  x = x < lo ? lo : x;
  return x > hi ? hi : x;
}
/* exp for |x| <= 87: no clipping, one factor. */
static inline float gc_exp_near_f32(float x) {
  float t, p = gc_exp_core_f32(x, 0.0f, &t);
  return p * gc_pow2_f32(t);
}
static inline float gc_exp_f32(float x) {
  float t, p = gc_exp_core_f32(gc_clip_f32(x, -104.0f, 89.0f), 0.0f, &t);
  return gc_scale_f32(p, t);
}
static inline float gc_exp2_f32(float x) {
  x = gc_clip_f32(x, -151.0f, 129.0f);
  float t = x + GC_MAGIC_F32, r = x - (t - GC_MAGIC_F32);
  float p = GC_P7(GC_F, r, 1.0f, 0x1.62e43p-1f, 0x1.ebfbdcp-3f, 0x1.c6af7ap-5f, 0x1.3b2dd4p-7f,
                  0x1.5f094ap-10f, 0x1.417886p-13f);
  return gc_scale_f32(p, t);
}
static inline float gc_expm1_f32(float x) {
  float c = gc_clip_f32(x, -20.0f, 89.0f), t = GC_F(c, GC_LOG2E_F32, GC_MAGIC_F32);
  float n = t - GC_MAGIC_F32, h = gc_pow2_f32(t - 1.0f);
  float r = GC_F(n, -GC_LN2_LO_F32, GC_F(n, -GC_LN2_HI_F32, c));
  float q = GC_P6(GC_F, r, 0x1p-1f, 0x1.555554p-3f, 0x1.5554f6p-5f, 0x1.1112e2p-7f,
                  0x1.6d3caap-10f, 0x1.9e5d1p-13f);
  float p = GC_F(r * r, q, r), y = GC_F(h, p, h - 0.5f);
  return gc_copysign_f32(n == 0 ? p : y + y, x);
}

/* x = m * 2^e with m in [sqrt(1/2), sqrt(2)); gives f = m - 1.  Finite x > 0 only. */
static inline float gc_split_f32(float x, float *e) {
  int tiny = x < 0x1p-126f;
  float y = tiny ? x * 0x1p23f : x;
  uint32_t u = gc_bits_f32(y) + (0x3f800000u - 0x3f3504f3u);
  *e = (float)(int32_t)(u >> 23) - (tiny ? 150.0f : 127.0f);
  return gc_from_bits_f32((u & 0x7fffffu) + 0x3f3504f3u) - 1.0f;
}
/* log(1 + f) - f on the range of gc_split. */
static inline float gc_log_tail_f32(float f) {
  float q = GC_P9(GC_F, f, -0.5f, 0x1.555554p-2f, -0x1.000228p-2f, 0x1.99a01ap-3f, -0x1.54721p-3f,
                  0x1.22d942p-3f, -0x1.0d869cp-3f, 0x1.055f1ep-3f, -0x1.38b3cep-4f);
  return f * f * q;
}
/* The values of every logarithm outside its domain's inside. */
static inline float gc_log_edges_f32(float x, float r) {
  r = x < GC_INF_F32 ? r : x;
  r = x < 0 ? GC_NAN_F32 : r;
  return x == 0 ? -GC_INF_F32 : r;
}
static inline float gc_log_f32(float x) {
  float e, f = gc_split_f32(x, &e);
  float r = f + GC_F(e, GC_LN2_LO_F32, gc_log_tail_f32(f));
  return gc_log_edges_f32(x, GC_F(e, GC_LN2_HI_F32, r));
}
static inline float gc_log2_f32(float x) {
  float e, f = gc_split_f32(x, &e), lo = GC_F(f, 0x1.4ae0cp-26f, gc_log_tail_f32(f) * GC_LOG2E_F32);
  return gc_log_edges_f32(x, GC_F(f, GC_LOG2E_F32, lo) + e);
}
static inline float gc_log10_f32(float x) {
  float e, f = gc_split_f32(x, &e);
  float lo = GC_F(f, -0x1.5b235ep-27f, gc_log_tail_f32(f) * 0x1.bcb7b2p-2f);
  lo = GC_F(e, -0x1.ec10cp-27f, lo);
  return gc_log_edges_f32(x, GC_F(e, 0x1.344136p-2f, GC_F(f, 0x1.bcb7b2p-2f, lo)));
}
static inline float gc_log1p_f32(float x) {
  float u = 1.0f + x, b = u - 1.0f, err = (1.0f - (u - b)) + (x - b), e;
  float f = gc_split_f32(u, &e), cap = e > 100.0f ? 100.0f : e;
  f += err * gc_pow2_f32(GC_MAGIC_F32 - cap);
  float r = f + GC_F(e, GC_LN2_LO_F32, gc_log_tail_f32(f));
  r = GC_F(e, GC_LN2_HI_F32, r);
  r = x < GC_INF_F32 ? r : x;
  r = x < -1.0f ? GC_NAN_F32 : r;
  r = x == -1.0f ? -GC_INF_F32 : r;
  return x == 0 ? x : r;
}

static inline float gc_tanh_f32(float x) {
  float a = gc_abs_f32(x), z = a * a, c = a > 10.0f ? 10.0f : a;
  float p = GC_P5(GC_F, z, -0x1.555534p-2f, 0x1.110762p-3f, -0x1.b8439ap-5f, 0x1.525326p-6f,
                  -0x1.769de4p-8f);
  float small = GC_F(a * z, p, a), big = 1.0f - 2.0f / (gc_exp_near_f32(c + c) + 1.0f);
  return gc_copysign_f32(a < 0.625f ? small : big, x);
}
static inline float gc_sinh_f32(float x) {
  float a = gc_abs_f32(x), z = a * a, t, p = gc_exp_core_f32(a > 91.0f ? 91.0f : a, 0.0f, &t);
  float h = gc_scale_f32(0.5f * p, t);
  float q = GC_P4(GC_F, z, 0x1.555556p-3f, 0x1.1110e2p-7f, 0x1.a02156p-13f, 0x1.75a6fp-19f);
  return gc_copysign_f32(a < 1.0f ? GC_F(a * z, q, a) : h - 0.25f / h, x);
}
static inline float gc_cosh_f32(float x) {
  float a = gc_abs_f32(x), t, p = gc_exp_core_f32(a > 91.0f ? 91.0f : a, 0.0f, &t);
  float h = gc_scale_f32(0.5f * p, t);
  return h + 0.25f / h;
}

/* 1 / (1 + exp(-x)) as num / den with num in {1, exp(-|x|)}: no overflow, no cancellation. */
static inline float gc_sigmoid_f32(float x) {
  float e = gc_exp_f32(-gc_abs_f32(x));
  return (x < 0 ? e : 1.0f) / (1.0f + e);
}
static inline float gc_silu_f32(float x) { /* the limit -0 at -inf */
  float c = gc_clip_f32(gc_abs_f32(x), 0.0f, 110.0f), t, p = gc_exp_core_f32(-c, 0.0f, &t);
  return (x < 0 ? -gc_scale_f32(c * p, t) : x) / (1.0f + gc_scale_f32(p, t));
}
static inline float gc_log_sigmoid_f32(float x) {
  return (x < 0 ? x : 0.0f) - gc_log1p_f32(gc_exp_f32(-gc_abs_f32(x)));
}
static inline float gc_softplus_f32(float x, float beta, float threshold) {
  float z = x * beta;
  return z > threshold ? x : gc_log1p_f32(gc_exp_f32(z)) / beta;
}
static inline float gc_elu_f32(float x, float alpha) { return x > 0 ? x : alpha * gc_expm1_f32(x); }

/* Cody-Waite reduction in double: x = q*pi/2 + r, q in the low bits of *t.  |x| < 2^49 goes in as
   it is; beyond, x = m * 2^k with a 24-bit integer m, and 2^k mod 2 pi is read from a table. */
#include "gc_trig_table.h"
static inline double gc_rem_pio2_f32(float a, double *t) {
  uint32_t u = gc_bits_f32(a);
  int32_t k = (int32_t)(u >> 23) - 175;
  k = k < 0 ? 0 : k;
  double m = k ? gc_from_bits_f32((u & 0x7fffffu) | 0x4b000000u) : a;
  double x = m * gc_trig_hi[k], low = m * gc_trig_lo[k];
  *t = GC_D(x + low, 0x1.45f306dc9c883p-1, GC_MAGIC_F64);
  double n = *t - GC_MAGIC_F64, r = GC_D(n, -0x1.921fb54442d18p0, x);
  return low + GC_D(n, -0x1.1a62633145c07p-54, r);
}
static inline float gc_sin_poly_f32(float r) {
  float z = r * r;
  return GC_F(r * z, GC_P3(GC_F, z, -0x1.555546p-3f, 0x1.11077ap-7f, -0x1.9954a8p-13f), r);
}
static inline float gc_cos_poly_f32(float r) {
  float z = r * r;
  return GC_P5(GC_F, z, 1.0f, -0.5f, 0x1.55554ap-5f, -0x1.6c0c2ap-10f, 0x1.99e8f2p-16f);
}
static inline float gc_sin_f32(float x) {
  double t;
  float r = (float)gc_rem_pio2_f32(gc_abs_f32(x), &t);
  uint32_t q = (uint32_t)gc_bits_f64(t), s = (q << 30 ^ gc_bits_f32(x)) & GC_SIGN_F32;
  float y = q & 1 ? gc_cos_poly_f32(r) : gc_sin_poly_f32(r);
  return gc_from_bits_f32(gc_bits_f32(y) ^ s);
}
static inline float gc_cos_f32(float x) {
  double t;
  float r = (float)gc_rem_pio2_f32(gc_abs_f32(x), &t);
  uint32_t q = (uint32_t)gc_bits_f64(t) + 1u;
  float y = q & 1 ? gc_cos_poly_f32(r) : gc_sin_poly_f32(r);
  return gc_from_bits_f32(gc_bits_f32(y) ^ (q << 30 & GC_SIGN_F32));
}
static inline float gc_tan_f32(float x) {
  double t, r = gc_rem_pio2_f32(gc_abs_f32(x), &t), z = r * r;
  double y = GC_D(r * z, GC_P7(GC_D, z, 0x1.5555617f5c3e5p-2, 0x1.110d4583955afp-3,
                               0x1.bae7c2df6b6c3p-5, 0x1.5c3cb44227de1p-6, 0x1.6545be4817087p-7,
                               0x1.1e47e13382ac4p-17, 0x1.214d63cb9e00cp-8), r);
  y = gc_bits_f64(t) & 1 ? -1.0 / y : y;
  return gc_from_bits_f32(gc_bits_f32((float)y) ^ (gc_bits_f32(x) & GC_SIGN_F32));
}
/* cos(2 pi u) for u in [0, 1]: the reduction is exact. */
static inline float gc_cos2pi_f32(float u) {
  float v = u * 4.0f, t = v + GC_MAGIC_F32, r = (v - (t - GC_MAGIC_F32)) * 0x1.921fb6p0f;
  uint32_t q = gc_bits_f32(t) + 1u;
  float y = q & 1 ? gc_cos_poly_f32(r) : gc_sin_poly_f32(r);
  return gc_from_bits_f32(gc_bits_f32(y) ^ (q << 30 & GC_SIGN_F32));
}

/* atan(t) - t, |t| <= tan(pi/8) */
static inline float gc_atan_tail_f32(float t) {
  float z = t * t;
  return t * z * GC_P5(GC_F, z, -0x1.55554ap-2f, 0x1.9991e8p-3f, -0x1.23ba42p-3f, 0x1.b22ec4p-4f,
                       -0x1.f31d02p-5f);
}
/* k * pi/4 + s * atan(t), s = +-1, with the rounding error of the leading sum put back */
static inline float gc_atan_sum_f32(float k, float s, float t) {
  float tail = s * gc_atan_tail_f32(t), hi = k * GC_PI4_HI_F32, a = hi + s * t;
  float lo = GC_F(k, GC_PI4_LO_F32, GC_F(k, GC_PI4_HI_F32, -hi));
  return a + ((k == 0 ? 0.0f : s * t - (a - hi)) + (lo + tail));
}
static inline float gc_atan_f32(float x) {
  float a = gc_abs_f32(x);
  int far_ = a > 0x1.3504f4p1f, mid = a > 0x1.a8279ap-2f;
  float num = far_ ? -1.0f : mid ? a - 1.0f : a, den = far_ ? a : mid ? a + 1.0f : 1.0f;
  return gc_copysign_f32(gc_atan_sum_f32(far_ ? 2.0f : mid ? 1.0f : 0.0f, 1.0f, num / den), x);
}
static inline float gc_atan2_f32(float y, float x) {
  double a = gc_abs_f64((double)y), b = gc_abs_f64((double)x);
  a = a > 0x1p600 ? 0x1p600 : a, b = b > 0x1p600 ? 0x1p600 : b; /* infinities compare and divide */
  double k = a > 0x1.a827999fcef32p-2 * b ? 1.0 : 0.0;
  k = a > 0x1.3504f333f9de6p1 * b ? 2.0 : k; /* the octant: reduces to |t| <= tan(pi/8) */
  double num = k == 2.0 ? -b : a - k * b, den = k == 2.0 ? a : b + k * a;
  float t = (float)(num / (den == 0 ? 1.0 : den)), f = (float)k, s = gc_copysign_f32(1.0f, x);
  float r = gc_copysign_f32(gc_atan_sum_f32(s < 0 ? 4.0f - f : f, s, t), y);
  return ((x != x) | (y != y)) ? x + y : r;
}
/* asin(s) - s for s in [0, 1/2], z = s*s */
static inline float gc_asin_tail_f32(float s, float z) {
  return s * z * GC_P5(GC_F, z, 0x1.5555cap-3f, 0x1.33016ep-4f, 0x1.74899cp-5f, 0x1.8bbb96p-6f,
                       0x1.59c6cep-5f);
}
/* |x| > 1/2: asin|x| = pi/2 - 2 asin(sqrt((1-|x|)/2)); the root's rounding error is put back. */
static inline float gc_asin_half_f32(float a, float *tail) {
  float z = a > 0.5f ? 0.5f * (1.0f - a) : a * a, s = __builtin_sqrtf(z);
  float c = s > 0 ? GC_F(-s, s, z) / (s + s) : 0.0f;
  s = a > 0.5f ? s : a;
  *tail = gc_asin_tail_f32(s, z) + (a > 0.5f ? c : 0.0f);
  return s;
}
static inline float gc_asin_f32(float x) {
  float a = gc_abs_f32(x), w, s = gc_asin_half_f32(a, &w);
  float big = (2 * GC_PI4_HI_F32 - (s + s)) - ((w + w) - 2 * GC_PI4_LO_F32);
  return gc_copysign_f32(a > 0.5f ? big : s + w, x);
}
static inline float gc_acos_f32(float x) {
  float a = gc_abs_f32(x), w, s = gc_asin_half_f32(a, &w);
  int big = a > 0.5f, neg = x < 0;
  float k = big ? (neg ? 4.0f : 0.0f) : 2.0f;
  float f = big ? (neg ? -2.0f : 2.0f) : (neg ? 1.0f : -1.0f);
  return GC_F(f, s, k * GC_PI4_HI_F32) + GC_F(k, GC_PI4_LO_F32, f * w);
}

static inline float gc_erf_f32(float x) {
  float a = gc_abs_f32(x), z = a * a, t = a > 4.0f ? 4.0f : a;
  float p = GC_P7(GC_F, z, 0x1.06eba8p-3f, -0x1.812742p-2f, 0x1.ce2dep-4f, -0x1.b80b28p-6f,
                  0x1.54a646p-8f, -0x1.a90d1ap-11f, 0x1.58caf2p-14f);
  float q = GC_P7(GC_F, t, 0x1.5b0e4cp-13f, 0x1.20b79ap0f, 0x1.4620b4p-1f, 0x1.aa7aep-4f,
                  -0x1.6dace4p-6f, 0x1.91ef4ep-9f, -0x1.9fee32p-13f);
  float big = 1.0f - gc_exp_near_f32(-q);
  return gc_copysign_f32(a < 0.92f ? GC_F(a, p, a) : big, x);
}
/* exp(-t*t) / (t + 4) * F((t - 4) / (t + 4)) in double, rounded once. */
static inline float gc_erfc_f32(float x) {
  double a = gc_abs_f64((double)x), t = a > 10.5 ? 10.5 : a;
  double u = 1.0 / (t + 4.0), w = GC_D(-8.0, u, 1.0);
  double g = GC_P11(GC_D, w, 0x1.18932bf045d4bp0, -0x1.f3fe3280707c3p-1, 0x1.8be2037be44d1p-1,
                    -0x1.14eaac61d9f14p-1, 0x1.52cabb532a7f6p-2, -0x1.6466f960ef6bfp-3,
                    0x1.38d202e553fbfp-4, -0x1.aed122810fafdp-6, 0x1.978bdfc58210dp-8,
                    -0x1.973f8c175d8b8p-12, -0x1.8c7d14df31d3cp-11);
  double h = -t * t, k = GC_D(h, 0x1.71547652b82fep0, GC_MAGIC_F64), n = k - GC_MAGIC_F64;
  double r = GC_D(n, -0x1.62e42fefa39efp-1, h);
  double p = GC_P8(GC_D, r, 1.0, 1.0, 0x1.0000003b003c8p-1, 0x1.5555544c9c0eap-3,
                   0x1.55548c7a665b1p-5, 0x1.11126317258aap-7, 0x1.6d8dece53562fp-10,
                   0x1.9f1b2fd857828p-13);
  double y = p * gc_pow2_f64(k) * (u * g);
  return (float)(x < 0 ? 2.0 - y : y);
}

/* x * Phi(x) with Phi(-t) = exp(-t*t/2) / (t + 4) * G((t - 4) / (t + 4)): no cancellation in the
   negative tail. */
static inline float gc_gelu_f32(float x) {
  float a = gc_abs_f32(x), t = a > 14.5f ? 14.5f : a, k;
  float d = t + 4.0f, u = 1.0f / d; /* 1/(t+4) = u + u*e */
  float e = GC_F(-d, u, 1.0f) - (t - (d - 4.0f)) * u, w = GC_F(-8.0f, u * e, GC_F(-8.0f, u, 1.0f));
  float g = GC_P10(GC_F, w, 0x1.82b4bcp-1f, -0x1.373e3cp-1f, 0x1.8c6d96p-2f, -0x1.7dff38p-3f,
                   0x1.eed5ep-5f, -0x1.ed99ecp-8f, -0x1.cd150cp-9f, 0x1.9db04ep-10f,
                   0x1.8d781ap-13f, -0x1.0f39a4p-13f);
  float h = t * t, l = GC_F(t, t, -h), p = gc_exp_core_f32(-0.5f * h, GC_F(-0.5f, l, e), &k);
  float y = gc_scale_f32(p * (u * g) * t, k); /* |x| * Phi(-|x|), 0 from 14.5 on */
  return x < 0 ? -y : x - y;
}
/* x * sigmoid(v), v = sqrt(8/pi) * (x + 0.044715 x^3) taken in double so that its rounding does not
   grow in the tail. */
static inline float gc_gelu_tanh_f32(float x) {
  float a = gc_abs_f32(x), c = a > 12.0f ? 12.0f : a;
  double d = c;
  double v = -d * GC_D(d * d, 0x1.2444f2a4d8b4bp-4, 0x1.9884533d43651p0);
  float hi = (float)v, lo = (float)(v - (double)hi), t, p = gc_exp_core_f32(hi, lo, &t);
  float r = x < 0 ? -gc_scale_f32(c * p, t) : x;
  return r / (1.0f + gc_scale_f32(p, t));
}

/* log2 of a finite double that came from a float > 0; relative error 2^-36. */
static inline double gc_log2_wide_f32(double x) {
  uint64_t u = gc_bits_f64(x) + (0x3ff0000000000000u - 0x3fe6a09e667f3bcdu);
  double e = gc_from_bits_f64((u >> 52) | 0x4330000000000000u) - (0x1p52 + 1023.0);
  double f = gc_from_bits_f64((u & 0xfffffffffffffu) + 0x3fe6a09e667f3bcdu) - 1.0;
  double s = f / (2.0 + f), z = s * s;
  double r = GC_P4(GC_D, z, 0x1.ec709d44d22cep-1, 0x1.27776784b3a36p-1, 0x1.a5964097acdf4p-2,
                   0x1.5c63f8cafc358p-2);
  return e + s * GC_D(z, r, 0x1.71547652b82fep1);
}
/* IEEE 754 pow; the exponents 2, 3 and 1/2 are x*x, x*x*x and sqrt(x), as in PyTorch. */
static inline float gc_pow_f32(float x, float y) {
  float a = gc_abs_f32(x), half = y * 0.5f;
  double l = gc_log2_wide_f32((double)a);
  l = a == 0 ? -GC_INF_F64 : l;
  l = a < GC_INF_F32 ? l : (double)a;
  double v = (double)y * l;
  v = v < -300.0 ? -300.0 : v;
  v = v > 200.0 ? 200.0 : v;
  double t = v + GC_MAGIC_F64, r = v - (t - GC_MAGIC_F64);
  double p = GC_P8(GC_D, r, 1.0, 0x1.62e42ff0e25eep-1, 0x1.ebfbe077a610fp-3, 0x1.c6b08abf0c495p-5,
                   0x1.3b29f3873839ap-7, 0x1.5d8a873958046p-10, 0x1.445c92c7d83e4p-13,
                   0x1.fde4b1211790ap-17);
  float m = (float)(p * gc_pow2_f64(t));
  int whole = y == __builtin_truncf(y), odd = whole & (half != __builtin_truncf(half));
  m = odd ? gc_copysign_f32(m, x) : m;
  m = ((x < 0) & !whole & (a < GC_INF_F32)) ? GC_NAN_F32 : m;
  m = y == 2.0f ? x * x : m;
  m = y == 3.0f ? x * x * x : m;
  m = ((y == 0.5f) & (x > 0)) ? __builtin_sqrtf(x) : m;
  m = ((a == 1.0f) & (gc_abs_f32(y) == GC_INF_F32)) ? 1.0f : m;
  return ((x == 1.0f) | (y == 0)) ? 1.0f : m;
}
static inline float gc_hypot_f32(float x, float y) {
  double a = gc_abs_f64((double)x), b = gc_abs_f64((double)y), r = __builtin_sqrt(a * a + b * b);
  return ((a == GC_INF_F64) | (b == GC_INF_F64)) ? GC_INF_F32 : (float)r;
}
#undef GC_F
#undef GC_D
#endif
