/* float64 transcendental functions: gc_<fn>_f64(double...) -> double.
   Same methods and invariants as gc_math_f32.h, longer polynomials, more compensated sums. */
#ifndef GC_MATH_F64_H
#define GC_MATH_F64_H
#include "gc_basic.h"
#include "gc_trig_table.h"

#define GC_D gc_fma_f64
#define GC_LN2_HI_F64 0x1.62e42fefa39efp-1
#define GC_LN2_LO_F64 0x1.abc9e3b39803fp-56
#define GC_LOG2E_F64 0x1.71547652b82fep0
#define GC_LOG2E_LO_F64 0x1.777d0ffda0d24p-56
#define GC_PI4_HI_F64 0x1.921fb54442d18p-1
#define GC_PI4_LO_F64 0x1.1a62633145c07p-55

/* p * 2^n with t = n + magic, |n| <= 2000; the bias keeps the shift of 64-bit integers logical. */
static inline double gc_scale_f64(double p, double t) {
  uint64_t n = gc_bits_f64(t) - 0x4338000000000000u + 4096u, h = n >> 1;
  double s1 = gc_from_bits_f64((h - 2048u + 1023u) << 52);
  double s2 = gc_from_bits_f64((n - h - 2048u + 1023u) << 52);
  return p * s1 * s2;
}
static inline double gc_exp_core_f64(double x, double lo, double *t) {
  *t = GC_D(x, GC_LOG2E_F64, GC_MAGIC_F64);
  double n = *t - GC_MAGIC_F64;
  double r = GC_D(n, -GC_LN2_LO_F64, GC_D(n, -GC_LN2_HI_F64, x)) + lo;
  return GC_P12(GC_D, r, 1.0, 1.0, 0x1.000000000000ap-1, 0x1.55555555554ffp-3, 0x1.55555555506bp-5,
                0x1.111111112670cp-7, 0x1.6c16c1847a76dp-10, 0x1.a01a01315ebacp-13,
                0x1.a0199954ec4bep-16, 0x1.71df15af545d7p-19, 0x1.28ae064596781p-22,
                0x1.ad98182949d0cp-26);
}
static inline double gc_clip_f64(double x, double lo, double hi) { /* NaN passes */
  x = x < lo ? lo : x;
  return x > hi ? hi : x;
}
static inline double gc_exp_f64(double x) {
  double t, p = gc_exp_core_f64(gc_clip_f64(x, -746.0, 710.0), 0.0, &t);
  return gc_scale_f64(p, t);
}
static inline double gc_exp2_poly_f64(double r) {
  return GC_P12(GC_D, r, 1.0, 0x1.62e42fefa39efp-1, 0x1.ebfbdff82c59dp-3, 0x1.c6b08d704a0d6p-5,
                0x1.3b2ab6fba0fdfp-7, 0x1.5d87fe78b30bp-10, 0x1.4309130c5c9b1p-13,
                0x1.ffcbfbfceaccdp-17, 0x1.62bfcd132b246p-20, 0x1.b52603d96266p-24,
                0x1.e612dd478acb4p-28, 0x1.e81ec72365d45p-32);
}
static inline double gc_exp2_f64(double x) {
  x = gc_clip_f64(x, -1076.0, 1025.0);
  double t = x + GC_MAGIC_F64;
  return gc_scale_f64(gc_exp2_poly_f64(x - (t - GC_MAGIC_F64)), t);
}
static inline double gc_expm1_f64(double x) {
  double c = gc_clip_f64(x, -40.0, 710.0), t = GC_D(c, GC_LOG2E_F64, GC_MAGIC_F64);
  double n = t - GC_MAGIC_F64, h = gc_pow2_f64(t - 1.0);
  double r = GC_D(n, -GC_LN2_LO_F64, GC_D(n, -GC_LN2_HI_F64, c));
  double q = GC_P11(GC_D, r, 0x1p-1, 0x1.5555555555559p-3, 0x1.555555555555p-5,
                    0x1.111111110f65bp-7, 0x1.6c16c16c194ffp-10, 0x1.a01a01afff709p-13,
                    0x1.a01a01950e3b1p-16, 0x1.71ddf81c92d14p-19, 0x1.27e50459e6dbdp-22,
                    0x1.af5f1146c29bap-26, 0x1.1f30d13f64ce3p-29);
  double p = GC_D(r * r, q, r), y = GC_D(h, p, h - 0.5);
  return gc_copysign_f64(n == 0 ? p : y + y, x);
}

/* x = m * 2^e with m in [sqrt(1/2), sqrt(2)); gives f = m - 1.  Finite x > 0 only. */
static inline double gc_split_f64(double x, double *e) {
  double y = x < 0x1p-1022 ? x * 0x1p52 : x;
  double bias = x < 0x1p-1022 ? 0x1p52 + 1075.0 : 0x1p52 + 1023.0;
  uint64_t u = gc_bits_f64(y) + (0x3ff0000000000000u - 0x3fe6a09e667f3bcdu);
  *e = gc_from_bits_f64((u >> 52) | 0x4330000000000000u) - bias;
  return gc_from_bits_f64((u & 0xfffffffffffffu) + 0x3fe6a09e667f3bcdu) - 1.0;
}
/* log(1 + f) - f with log(1 + f) = f - s * (f - z*P(z)), s = f / (2 + f), z = s*s. */
static inline double gc_log_tail_f64(double f) {
  double s = f / (2.0 + f), z = s * s, h = 0.5 * f * f;
  double p = GC_P7(GC_D, z, 0x1.5555555555593p-1, 0x1.999999997faecp-2, 0x1.2492494213d52p-2,
                   0x1.c71c51ef9839cp-3, 0x1.746643ddbc638p-3, 0x1.39a140ae1c597p-3,
                   0x1.2f0a067cdd8d3p-3);
  return GC_D(s, GC_D(z, p, h), -h);
}
static inline double gc_log_edges_f64(double x, double r) {
  r = x < GC_INF_F64 ? r : x;
  r = x < 0 ? GC_NAN_F64 : r;
  return x == 0 ? -GC_INF_F64 : r;
}
static inline double gc_log_f64(double x) {
  double e, f = gc_split_f64(x, &e);
  double r = f + GC_D(e, GC_LN2_LO_F64, gc_log_tail_f64(f));
  return gc_log_edges_f64(x, GC_D(e, GC_LN2_HI_F64, r));
}
/* e*C + log(1+f)*L with both products and the leading sum in two parts. */
static inline double gc_log_scaled_f64(double x, double ch, double cl, double lh, double ll) {
  double e, f = gc_split_f64(x, &e), a = e * ch, b = f * lh, s = a + b;
  double lo = GC_D(f, lh, -b) + GC_D(gc_log_tail_f64(f), lh, f * ll);
  lo += GC_D(e, ch, -a) + e * cl;
  lo += e == 0 ? 0.0 : b - (s - a);
  return gc_log_edges_f64(x, s + lo);
}
static inline double gc_log2_f64(double x) {
  return gc_log_scaled_f64(x, 1.0, 0.0, GC_LOG2E_F64, GC_LOG2E_LO_F64);
}
static inline double gc_log10_f64(double x) {
  return gc_log_scaled_f64(x, 0x1.34413509f79ffp-2, -0x1.9dc1da994fd21p-59, 0x1.bcb7b1526e50ep-2,
                           0x1.95355baaafad3p-57);
}
static inline double gc_log1p_f64(double x) {
  double u = 1.0 + x, b = u - 1.0, err = (1.0 - (u - b)) + (x - b), e;
  double f = gc_split_f64(u, &e), cap = e > 200.0 ? 200.0 : e;
  f += err * gc_pow2_f64(GC_MAGIC_F64 - cap);
  double r = f + GC_D(e, GC_LN2_LO_F64, gc_log_tail_f64(f));
  r = GC_D(e, GC_LN2_HI_F64, r);
  r = x < GC_INF_F64 ? r : x;
  r = x < -1.0 ? GC_NAN_F64 : r;
  r = x == -1.0 ? -GC_INF_F64 : r;
  return x == 0 ? x : r;
}

static inline double gc_tanh_f64(double x) {
  double a = gc_abs_f64(x), z = a * a, c = a > 20.0 ? 20.0 : a;
  double p = GC_P10(GC_D, z, -0x1.55555555554a4p-2, 0x1.1111111103011p-3, -0x1.ba1ba1adbd2bbp-5,
                    0x1.664f45d0209e2p-6, -0x1.226dde98d25dep-7, 0x1.d6c645fe75febp-9,
                    -0x1.7cf53981d8e9ap-10, 0x1.2faaf68391dd3p-11, -0x1.b93e99ebc206ep-13,
                    0x1.ac8dcb2001a54p-15);
  double big = 1.0 - 2.0 / (gc_exp_f64(c + c) + 1.0);
  return gc_copysign_f64(a < 0.55 ? GC_D(a * z, p, a) : big, x);
}
static inline double gc_sinh_f64(double x) {
  double a = gc_abs_f64(x), z = a * a, t, p = gc_exp_core_f64(a > 712.0 ? 712.0 : a, 0.0, &t);
  double h = gc_scale_f64(0.5 * p, t);
  double q = GC_P8(GC_D, z, 0x1.5555555555555p-3, 0x1.1111111111198p-7, 0x1.a01a01a007e7ap-13,
                   0x1.71de3a67e0423p-19, 0x1.ae64425ad805ep-26, 0x1.613079abb2c25p-33,
                   0x1.a6f548f983485p-41, 0x1.bf345b408b5f2p-48);
  return gc_copysign_f64(a < 1.0 ? GC_D(a * z, q, a) : h - 0.25 / h, x);
}
static inline double gc_cosh_f64(double x) {
  double a = gc_abs_f64(x), t, p = gc_exp_core_f64(a > 712.0 ? 712.0 : a, 0.0, &t);
  double h = gc_scale_f64(0.5 * p, t);
  return h + 0.25 / h;
}

static inline double gc_sigmoid_f64(double x) {
  double e = gc_exp_f64(-gc_abs_f64(x));
  return (x < 0 ? e : 1.0) / (1.0 + e);
}
static inline double gc_silu_f64(double x) { /* the limit -0 at -inf */
  double c = gc_clip_f64(gc_abs_f64(x), 0.0, 760.0), t, p = gc_exp_core_f64(-c, 0.0, &t);
  return (x < 0 ? -gc_scale_f64(c * p, t) : x) / (1.0 + gc_scale_f64(p, t));
}
static inline double gc_log_sigmoid_f64(double x) {
  return (x < 0 ? x : 0.0) - gc_log1p_f64(gc_exp_f64(-gc_abs_f64(x)));
}
static inline double gc_softplus_f64(double x, double beta, double threshold) {
  double z = x * beta;
  return z > threshold ? x : gc_log1p_f64(gc_exp_f64(z)) / beta;
}
static inline double gc_elu_f64(double x, double alpha) {
  return x > 0 ? x : alpha * gc_expm1_f64(x);
}

/* For 2^47 <= x < inf: x = m * 2^(16 j - 5); m times the tabled quadrants, whole turns dropped part
   by part. Absolute error 2^-89, so relative accuracy is lost only for results below 2^-36. */
static inline double gc_rem_huge_f64(double x, uint64_t *q, double *lo) {
  uint64_t u = gc_bits_f64(x), e = (u >> 52) - 1070u, j = x >= 0x1p47 ? (e >> 4) & 63u : 0u;
  double m = gc_from_bits_f64((u & 0xfffffffffffffu) | (1075u + (e & 15u)) << 52);
  j = j > 61u ? 61u : j;
  double t1 = gc_quadrants_1[j], t2 = gc_quadrants_2[j], a = m * t1, b = GC_D(m, t1, -a);
  double c = m * t2, d = GC_D(m, t2, -c) + m * gc_quadrants_3[j];
  double ka = __builtin_rint(a), kb = __builtin_rint(b), kc = __builtin_rint(c);
  a -= ka, b -= kb, c -= kc;
  double s = a + b, z = s - a, t = s + c, y = t - s;
  double l = ((a - (s - z)) + (b - z)) + ((s - (t - y)) + (c - y)) + d;
  double n = __builtin_rint(t), f = t - n, h = f + l, v = h - f;
  l = (f - (h - v)) + (l - v);
  ka -= 4.0 * __builtin_rint(ka * 0.25), kb -= 4.0 * __builtin_rint(kb * 0.25);
  *q = gc_bits_f64(ka + kb + (kc + n) + GC_MAGIC_F64);
  double r = h * 0x1.921fb54442d18p0;
  *lo = GC_D(h, 0x1.921fb54442d18p0, -r) + GC_D(h, 0x1.1a62633145c07p-54, l * 0x1.921fb54442d18p0);
  return r;
}
/* x = q*pi/2 + r + *lo for x >= 0, q modulo 4.  Under fma the first difference is exact for every
   n < 2^52; P2 and P3 are added in two parts. */
static inline double gc_rem_pio2_f64(double x, uint64_t *q, double *lo) {
  double t = GC_D(x, 0x1.45f306dc9c883p-1, GC_MAGIC_F64), huge_lo;
  uint64_t huge_q;
  double n = t - GC_MAGIC_F64, a = GC_D(n, -0x1.921fb54442d18p0, x);
  double p = n * -0x1.1a62633145c07p-54, e = GC_D(n, -0x1.1a62633145c07p-54, -p);
  double r = a + p, b = r - a, h = gc_rem_huge_f64(x, &huge_q, &huge_lo);
  double near_lo = (a - (r - b)) + (p - b) + GC_D(n, 0x1.f1976b7ed8fbcp-110, e);
  int near_ = !(x >= 0x1p47 && x < GC_INF_F64);
  *q = near_ ? gc_bits_f64(t) : huge_q;
  *lo = near_ ? near_lo : huge_lo;
  return near_ ? r : h;
}
static inline double gc_sin_poly_f64(double r, double lo) {
  double z = r * r;
  double p = GC_P6(GC_D, z, -0x1.5555555555549p-3, 0x1.111111110f8a6p-7, -0x1.a01a019c16092p-13,
                   0x1.71de357afc94cp-19, -0x1.ae5e6879a278p-26, 0x1.5d93962b19c25p-33);
  return r + GC_D(r * z, p, GC_D(-0.5 * z, lo, lo));
}
static inline double gc_cos_poly_f64(double r, double lo) {
  double z = r * r, h = 0.5 * z, w = 1.0 - h;
  double p = GC_P6(GC_D, z, 0x1.555555555554cp-5, -0x1.6c16c16c15221p-10, 0x1.a01a019cbfa55p-16,
                   -0x1.27e4f812e7d68p-22, 0x1.1ee9f171692f5p-29, -0x1.8fb13e9fe1bffp-37);
  return w + (((1.0 - w) - h) + GC_D(z * z, p, -r * lo));
}
static inline double gc_sin_f64(double x) {
  uint64_t q;
  double lo, r = gc_rem_pio2_f64(gc_abs_f64(x), &q, &lo);
  double y = q & 1 ? gc_cos_poly_f64(r, lo) : gc_sin_poly_f64(r, lo);
  return gc_from_bits_f64(gc_bits_f64(y) ^ ((q << 62 ^ gc_bits_f64(x)) & GC_SIGN_F64));
}
static inline double gc_cos_f64(double x) {
  uint64_t q;
  double lo, r = gc_rem_pio2_f64(gc_abs_f64(x), &q, &lo);
  q += 1u;
  double y = q & 1 ? gc_cos_poly_f64(r, lo) : gc_sin_poly_f64(r, lo);
  return gc_from_bits_f64(gc_bits_f64(y) ^ (q << 62 & GC_SIGN_F64));
}
static inline double gc_tan_f64(double x) {
  uint64_t q;
  double lo, r = gc_rem_pio2_f64(gc_abs_f64(x), &q, &lo);
  double s = gc_sin_poly_f64(r, lo), c = gc_cos_poly_f64(r, lo);
  double y = q & 1 ? -c / s : s / c;
  return gc_from_bits_f64(gc_bits_f64(y) ^ (gc_bits_f64(x) & GC_SIGN_F64));
}
/* cos(2 pi u) for u in [0, 1]: the reduction is exact. */
static inline double gc_cos2pi_f64(double u) {
  double v = u * 4.0, t = v + GC_MAGIC_F64, d = v - (t - GC_MAGIC_F64);
  double r = d * 0x1.921fb54442d18p0, lo = GC_D(d, 0x1.921fb54442d18p0, -r);
  uint64_t q = gc_bits_f64(t) + 1u;
  double y = q & 1 ? gc_cos_poly_f64(r, lo) : gc_sin_poly_f64(r, lo);
  return gc_from_bits_f64(gc_bits_f64(y) ^ (q << 62 & GC_SIGN_F64));
}

/* atan(t) - t, |t| <= tan(pi/8) */
static inline double gc_atan_tail_f64(double t) {
  double z = t * t;
  return t * z * GC_P11(GC_D, z, -0x1.555555555553dp-2, 0x1.99999999958aap-3,
                        -0x1.24924922afab2p-3, 0x1.c71c70e719fbap-4, -0x1.745cf8fc8f1ffp-4,
                        0x1.3b111b6c0ba31p-4, -0x1.10ebd2f075e07p-4, 0x1.df10d038d3d29p-5,
                        -0x1.9cd98c7ef8551p-5, 0x1.37e6c37db4dd4p-5, -0x1.258f4f610b34fp-6);
}
/* k * pi/4 + s * atan(t), s = +-1, with the rounding error of the leading sum put back */
static inline double gc_atan_sum_f64(double k, double s, double t) {
  double tail = s * gc_atan_tail_f64(t), hi = k * GC_PI4_HI_F64, a = hi + s * t;
  double lo = GC_D(k, GC_PI4_LO_F64, GC_D(k, GC_PI4_HI_F64, -hi));
  return a + ((k == 0 ? 0.0 : s * t - (a - hi)) + (lo + tail));
}
static inline double gc_atan_f64(double x) {
  double a = gc_abs_f64(x);
  int far_ = a > 0x1.3504f333f9de6p1, mid = a > 0x1.a827999fcef32p-2;
  double num = far_ ? -1.0 : mid ? a - 1.0 : a, den = far_ ? a : mid ? a + 1.0 : 1.0;
  return gc_copysign_f64(gc_atan_sum_f64(far_ ? 2.0 : mid ? 1.0 : 0.0, 1.0, num / den), x);
}
static inline double gc_atan2_f64(double y, double x) {
  double a = gc_abs_f64(y), b = gc_abs_f64(x), top = a > b ? a : b;
  double s = top > 0x1p1000 ? 0x1p-60 : top < 0x1p-900 ? 0x1p120 : 1.0;
  double one = top == GC_INF_F64 ? 1.0 : s; /* an infinite operand becomes 1, a finite one then 0 */
  double a1 = a == GC_INF_F64 ? 1.0 : top == GC_INF_F64 ? 0.0 : a * one;
  double b1 = b == GC_INF_F64 ? 1.0 : top == GC_INF_F64 ? 0.0 : b * one;
  a = a1, b = b1;
  double k = a > 0x1.a827999fcef32p-2 * b ? 1.0 : 0.0;
  k = a > 0x1.3504f333f9de6p1 * b ? 2.0 : k; /* the octant: reduces to |t| <= tan(pi/8) */
  double num = k == 2.0 ? -b : a - k * b, den = k == 2.0 ? a : b + k * a;
  double t = num / (den == 0 ? 1.0 : den), g = gc_copysign_f64(1.0, x);
  double r = gc_copysign_f64(gc_atan_sum_f64(g < 0 ? 4.0 - k : k, g, t), y);
  return ((x != x) | (y != y)) ? x + y : r;
}
static inline double gc_asin_tail_f64(double s, double z) {
  return s * z * GC_P12(GC_D, z, 0x1.5555555555387p-3, 0x1.333333336f81bp-4, 0x1.6db6db41da5c6p-5,
                        0x1.f1c72c6ad1407p-6, 0x1.6e89efbb4f4fdp-6, 0x1.1c6c23ae14bcep-6,
                        0x1.c6f8d079ec8d9p-7, 0x1.8ee27e4275199p-7, 0x1.aac679ac64e9ap-8,
                        0x1.40a4ff41a91bcp-6, -0x1.0ae0abad7417p-6, 0x1.05c77afe95744p-5);
}
static inline double gc_asin_half_f64(double a, double *tail) {
  double z = a > 0.5 ? 0.5 * (1.0 - a) : a * a, s = __builtin_sqrt(z);
  double c = s > 0 ? GC_D(-s, s, z) / (s + s) : 0.0;
  s = a > 0.5 ? s : a;
  *tail = gc_asin_tail_f64(s, z) + (a > 0.5 ? c : 0.0);
  return s;
}
static inline double gc_asin_f64(double x) {
  double a = gc_abs_f64(x), w, s = gc_asin_half_f64(a, &w);
  double big = (2 * GC_PI4_HI_F64 - (s + s)) - ((w + w) - 2 * GC_PI4_LO_F64);
  return gc_copysign_f64(a > 0.5 ? big : s + w, x);
}
static inline double gc_acos_f64(double x) {
  double a = gc_abs_f64(x), w, s = gc_asin_half_f64(a, &w);
  int big = a > 0.5, neg = x < 0;
  double k = big ? (neg ? 4.0 : 0.0) : 2.0;
  double f = big ? (neg ? -2.0 : 2.0) : (neg ? 1.0 : -1.0);
  return GC_D(f, s, k * GC_PI4_HI_F64) + GC_D(k, GC_PI4_LO_F64, f * w);
}

/* u * F(w) with F = erfc(t) exp(t*t) (t + 4) as a function of w = (t - 4) / (t + 4); the rounding
   error of the last step, the largest, is carried along. */
static inline double gc_erfc_poly_f64(double u, double w) {
  double hi = GC_P11(GC_D, w, 0x1.72cdd41555e6bp-13, -0x1.e856760dd276cp-19, -0x1.3c76c01dc58b9p-16,
                     0x1.3b85034b30472p-18, 0x1.7fcf6fbd38bb8p-20, -0x1.cb63e9defb794p-21,
                     -0x1.6dc90c0eb722bp-24, 0x1.183dde6285d0dp-23, 0x1.4b265249eb0eap-27,
                     -0x1.19c1094e7b8ddp-26,
                     GC_D(w, 0x1.20b227b597478p-32, -0x1.b2c6e2d5a66a5p-29));
  double q = GC_P11(GC_D, w, -0x1.f3fe31ecb49bfp-1, 0x1.8be202d26c792p-1, -0x1.14eacb1ad0382p-1,
                    0x1.52cac2370cb8ap-2, -0x1.645fd8a4b9f36p-3, 0x1.38dbd2c9e81afp-4,
                    -0x1.b00c052c94bbcp-6, 0x1.908f467f955acp-8, -0x1.269b539744f11p-12,
                    -0x1.dd2808ce57a7ep-12, hi);
  double c0 = 0x1.18932bf08e154p0, m = w * q, s = c0 + m, v = s - c0;
  return GC_D(u, s, u * ((c0 - (s - v)) + (m - v) + GC_D(w, q, -m)));
}
/* 1 / (t + c + cl) = u + u * *e */
static inline double gc_recip_f64(double t, double c, double cl, double *e) {
  double a = t > c ? t : c, b = t > c ? c : t, d = a + b, u = 1.0 / d;
  *e = GC_D(-d, u, 1.0) - ((b - (d - a)) + cl) * u;
  return u;
}
static inline double gc_erfc_tail_f64(double t) { /* erfc(t), t >= 0 */
  t = t > 28.0 ? 28.0 : t;
  double e, u = gc_recip_f64(t, 4.0, 0.0, &e), w = GC_D(-8.0, u * e, GC_D(-8.0, u, 1.0));
  double g = gc_erfc_poly_f64(u, w);
  double h = t * t, l = GC_D(t, t, -h), k, p = gc_exp_core_f64(-h, e - l, &k);
  return gc_scale_f64(p * g, k);
}
static inline double gc_erf_near_f64(double x) { /* |x| < 1 */
  double z = x * x;
  double p = GC_P12(GC_D, z, 0x1.06eba8214db68p-3, -0x1.812746b0379aap-2, 0x1.ce2f21a040291p-4,
                    -0x1.b82ce311d2d64p-6, 0x1.565bccf438162p-8, -0x1.c02daf836f2d7p-11,
                    0x1.f9a2a9770c619p-14, -0x1.f4c947f2f992p-17, 0x1.b975d690c0b4bp-20,
                    -0x1.5bca790b0880bp-23, 0x1.d57a8dbc74697p-27, -0x1.a6dc4e2297d8bp-31);
  return GC_D(x, p, x);
}
static inline double gc_erf_f64(double x) {
  double a = gc_abs_f64(x);
  return gc_copysign_f64(a < 1.0 ? gc_erf_near_f64(a) : 1.0 - gc_erfc_tail_f64(a), x);
}
static inline double gc_erfc_f64(double x) {
  double a = gc_abs_f64(x), y = gc_erfc_tail_f64(a);
  y = x < 0 ? 2.0 - y : y;
  return a < 0.5 ? 1.0 - gc_erf_near_f64(x) : y;
}
/* Phi(-t) = erfc(t / sqrt 2) / 2 shares the polynomial: the same w comes from t and 4 sqrt 2. */
static inline double gc_gelu_f64(double x) {
  double a = gc_abs_f64(x), t = a > 39.0 ? 39.0 : a, e;
  double u = gc_recip_f64(t, 0x1.6a09e667f3bcdp2, -0x1.bdd3413b26456p-52, &e);
  double w = GC_D(-0x1.6a09e667f3bcdp3, u * e, GC_D(-0x1.6a09e667f3bcdp3, u, 1.0));
  double g = gc_erfc_poly_f64(u, GC_D(0x1.bdd3413b26456p-51, u, w));
  double h = t * t, l = GC_D(t, t, -h), k;
  double p = gc_exp_core_f64(-0.5 * h, GC_D(-0.5, l, e), &k);
  double y = gc_scale_f64(p * g * (t * 0x1.6a09e667f3bcdp-1), k);
  double near_ = x * GC_D(0.5, gc_erf_near_f64(x * 0x1.6a09e667f3bcdp-1), 0.5);
  y = x < 0 ? -y : x - y;
  return a < 0.75 ? near_ : y;
}
/* x * sigmoid(v), v = sqrt(8/pi) * (x + 0.044715 x^3) in two parts. */
static inline double gc_gelu_tanh_f64(double x) {
  double a = gc_abs_f64(x), c = a > 24.0 ? 24.0 : a, z = c * c;
  double b = z * 0x1.2444f2a4d8b4bp-4, m = 0x1.9884533d43651p0 + b, v = c * m;
  double lm = GC_D(z, -0x1.6c843a29d1c7p-61, -0x1.cbc0d30ebfd15p-54);
  lm = GC_D(z, 0x1.2444f2a4d8b4bp-4, -b) + lm;
  lm = GC_D(GC_D(c, c, -z), 0x1.2444f2a4d8b4bp-4, lm);
  double two = m - b, ms = (b - (m - two)) + (0x1.9884533d43651p0 - two);
  double lo = GC_D(c, m, -v) + c * (lm + ms), t, p = gc_exp_core_f64(-v, -lo, &t);
  double r = x < 0 ? -gc_scale_f64(c * p, t) : x;
  return r / (1.0 + gc_scale_f64(p, t));
}

/* log2(a) = hi + *lo to about 2^-66 relative, for finite a > 0. */
static inline double gc_log2_two_f64(double a, double *lo) {
  double e, f = gc_split_f64(a, &e), m = f + 1.0, d = m + 1.0, dl = m - (d - 1.0), inv = 1.0 / d;
  double s = f * inv, sl = GC_D(-s, dl, GC_D(-s, d, f)) * inv;
  double z = s * s, zl = GC_D(s, s, -z) + 2.0 * s * sl;
  double w = z * GC_P9(GC_D, z, 0x1.999999999999ap-2, 0x1.2492492492364p-2, 0x1.c71c71c747ad5p-3,
                       0x1.745d172bf688dp-3, 0x1.3b13ba488c79dp-3, 0x1.110f203f0fb94p-3,
                       0x1.e264762ceac12p-4, 0x1.a51b04b32610ap-4, 0x1.ec1e88197e508p-4);
  double c = 0x1.5555555555555p-1 + w, cl = (0x1.5555555555555p-1 - c) + w + 0x1.5555555555555p-55;
  double u = z * c, ul = GC_D(z, c, -u) + (z * cl + zl * c);
  double v = s * u, vl = GC_D(s, u, -v) + (s * ul + sl * u);
  double h = 2.0 * s + v, l = (2.0 * s - h) + v + (2.0 * sl + vl);
  double p = h * GC_LOG2E_F64;
  double pl = GC_D(h, GC_LOG2E_F64, -p) + (h * GC_LOG2E_LO_F64 + l * GC_LOG2E_F64);
  double r = e + p;
  *lo = (e == 0 ? 0.0 : (e - r) + p) + pl;
  return r;
}
/* IEEE 754 pow; the exponents 2, 3 and 1/2 are x*x, x*x*x and sqrt(x), as in PyTorch. */
static inline double gc_pow_f64(double x, double y) {
  double a = gc_abs_f64(x), half = y * 0.5, ll, l = gc_log2_two_f64(a, &ll);
  l = a == 0 ? -GC_INF_F64 : l;
  l = a < GC_INF_F64 ? l : a;
  double v = y * l, vl = GC_D(y, l, -v) + y * ll;
  vl = gc_abs_f64(v) < 1100.0 ? vl : 0.0;
  v = gc_clip_f64(v, -1100.0, 1100.0);
  double t = v + GC_MAGIC_F64, m = gc_scale_f64(gc_exp2_poly_f64((v - (t - GC_MAGIC_F64)) + vl), t);
  int whole = y == __builtin_trunc(y), odd = whole & (half != __builtin_trunc(half));
  m = odd ? gc_copysign_f64(m, x) : m;
  m = ((x < 0) & !whole & (a < GC_INF_F64)) ? GC_NAN_F64 : m;
  m = y == 2.0 ? x * x : m;
  m = y == 3.0 ? x * x * x : m;
  m = ((y == 0.5) & (x > 0)) ? __builtin_sqrt(x) : m;
  m = ((a == 1.0) & (gc_abs_f64(y) == GC_INF_F64)) ? 1.0 : m;
  return ((x == 1.0) | (y == 0)) ? 1.0 : m;
}
/* sqrt(a*a + b*b) with one correction of the root; scaled against overflow and underflow. */
static inline double gc_hypot_f64(double x, double y) {
  double a = gc_abs_f64(x), b = gc_abs_f64(y), top = a > b ? a : b, low = a > b ? b : a;
  double s = top > 0x1p500 ? 0x1p-600 : top < 0x1p-400 ? 0x1p600 : 1.0;
  double back = top > 0x1p500 ? 0x1p600 : top < 0x1p-400 ? 0x1p-600 : 1.0;
  top *= s, low *= s;
  double h = __builtin_sqrt(GC_D(top, top, low * low)), t2 = top * top, h2 = h * h, l2 = low * low;
  double e = (((t2 - h2) + l2) + GC_D(top, top, -t2)) + (GC_D(low, low, -l2) - GC_D(h, h, -h2));
  h = h > 0 ? h + e / (h + h) : h;
  return ((a == GC_INF_F64) | (b == GC_INF_F64)) ? GC_INF_F64 : h * back;
}
#undef GC_D
#endif
