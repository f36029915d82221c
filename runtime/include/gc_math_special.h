/* Inverse hyperbolic functions, inverse error function, log-gamma and digamma in float64; those of
   float32 are these, rounded once.  Same invariants as gc_math_f64.h. */
#ifndef GC_MATH_SPECIAL_H
#define GC_MATH_SPECIAL_H
#include "gc_math_f64.h"

#define GC_D gc_fma_f64
#define GC_LN2_F64 0x1.62e42fefa39efp-1

/* Beyond 2^28 both are log(2x) to the last place. */
static inline double gc_asinh_f64(double x) {
  double a = gc_abs_f64(x), c = a < 0x1p28 ? a : 1.0, z = c * c;
  double near_ = gc_log1p_f64(c + z / (1.0 + __builtin_sqrt(1.0 + z)));
  return gc_copysign_f64(a < 0x1p28 ? near_ : gc_log_f64(a) + GC_LN2_F64, x);
}
static inline double gc_acosh_f64(double x) {
  double t = x - 1.0, near_ = gc_log1p_f64(t + __builtin_sqrt(t * (t + 2.0)));
  near_ = x < 1.0 ? GC_NAN_F64 : near_;
  return x < 0x1p28 ? near_ : gc_log_f64(x) + GC_LN2_F64;
}
static inline double gc_atanh_f64(double x) {
  double a = gc_abs_f64(x), r = 0.5 * gc_log1p_f64((a + a) / (1.0 - a));
  r = a == 1.0 ? GC_INF_F64 : r;
  return gc_copysign_f64(a > 1.0 ? GC_NAN_F64 : r, x);
}

/* One of Halley's steps for erf(y) = a, a in [0, 1): through erfc from 1/2 on. */
static inline double gc_erfinv_step_f64(double a, double y) {
  double f = a < 0.5 ? gc_erf_near_f64(y) - a : (1.0 - a) - gc_erfc_tail_f64(y);
  double d = f / (0x1.20dd750429b6dp0 * gc_exp_f64(-y * y));
  return y - d / (1.0 + y * d);
}
static inline double gc_erfinv_f64(double x) {
  double a = gc_abs_f64(x), c = a < 1.0 ? a : 0.5, z = c * c;
  double l = gc_log_f64((1.0 - c) * (1.0 + c)); /* the start is Winitzki's formula */
  double t = 0x1.152af46b7c65ep2 + 0.5 * l;
  double far_ = __builtin_sqrt(__builtin_sqrt(t * t - l * 0x1.b35fc845a8ecdp2) - t);
  double y = c < 0.25 ? c * GC_D(z, 0x1.db29fb2fee5e4p-3, 0x1.c5bf891b4ef6bp-1) : far_;
  y = gc_erfinv_step_f64(c, gc_erfinv_step_f64(c, gc_erfinv_step_f64(c, y)));
  y = a == 1.0 ? GC_INF_F64 : y;
  return gc_copysign_f64(a <= 1.0 ? y : GC_NAN_F64, x);
}

/* |sin(pi r)| and cos(pi r) for |r| <= 1/2 */
static inline double gc_sinpi_half_f64(double r) {
  double a = gc_abs_f64(r), d = a > 0.25 ? 0.5 - a : a, h = d * 0x1.921fb54442d18p1;
  double lo = GC_D(d, 0x1.1a62633145c07p-53, GC_D(d, 0x1.921fb54442d18p1, -h));
  return a > 0.25 ? gc_cos_poly_f64(h, lo) : gc_sin_poly_f64(h, lo);
}
static inline double gc_cospi_half_f64(double r) { return gc_sinpi_half_f64(0.5 - gc_abs_f64(r)); }

/* Positive z: below 8 by z (z-1) ... down to [1, 2.5) and lgamma(2 + t) = t P(t), from 8 on by
   Stirling's series. Negative ones by reflection, where the error is absolute near the zeros. */
static inline double gc_lgamma_f64(double x) {
  double a = gc_abs_f64(x), z = a < 0.5 ? 1.0 + a : a, y = z >= 8.0 ? 2.0 : z, prod = 1.0;
  for (int k = 0; k < 6; k++) {
    double step = y < 2.5 ? 0.0 : 1.0;
    y -= step;
    prod *= step == 0.0 ? 1.0 : y;
  }
  double t = y < 1.5 ? y - 1.0 : y - 2.0;
  t = a < 0.5 ? a : t;
  double p = GC_P8(GC_D, t, 0x1.0b36afb0adb09p-11, -0x1.d3fd615e8a828p-13, 0x1.a127a4b806475p-14,
                   -0x1.78db0c2adcd8dp-15, 0x1.580df7fa64ff6p-16, -0x1.3d0ab7892e65bp-17,
                   0x1.25bef9128af84p-18,
                   GC_P5(GC_D, t, -0x1.0d9b98be65e7p-19, 0x1.f7a47708c67ccp-21,
                         -0x1.0c926bf775de1p-21, 0x1.18557e2f555b8p-22, -0x1.4e0be8d73ca6dp-24));
  p = GC_P8(GC_D, t, 0x1.b0ee6072093cep-2, 0x1.4a34cc4a60fa6p-2, -0x1.13e001a55754fp-4,
            0x1.51322ac7d8893p-6, -0x1.e404fc21d149ep-8, 0x1.7add6ead3f3d8p-9,
            -0x1.38ac5c06f731ap-10, p);
  double core = t * p - (y < 1.5 ? gc_log1p_f64(t) : 0.0);
  double l = gc_log_f64(z >= 8.0 ? z : a < 0.5 ? a : prod), w = 1.0 / z / z;
  double s = GC_P7(GC_D, w, 0x1.5555555555555p-4, -0x1.6c16c16c10aedp-9, 0x1.a01a015ec2eap-11,
                   -0x1.381332f14ad0ep-11, 0x1.b921497d08c4ap-11, -0x1.ee7758ac6ab25p-10,
                   0x1.46abbe001fca6p-8);
  double far_ = (z - 0.5) * (l - 1.0) + (0x1.acfe390c97d69p-2 + s / z);
  double r = z >= 8.0 ? far_ : core + (a < 0.5 ? -l : l);
  r = a == GC_INF_F64 ? a : r;
  double sine = gc_sinpi_half_f64(a - __builtin_rint(a));
  double mirror = 0x1.250d048e7a1bdp0 - gc_log_f64(a * sine) - r;
  mirror = a == GC_INF_F64 ? a : mirror;
  return x < -0x1p-60 ? mirror : r;
}

/* psi(z) = log z - 1/(2z) - ..., from z >= 10 after adding ones; reflection for x < 0. The error is
   absolute near the zeros. */
static inline double gc_digamma_f64(double x) {
  double z = x < 0 ? 1.0 - x : x, sum = 0.0;
  for (int k = 0; k < 10; k++) {
    sum += z < 10.0 ? 1.0 / z : 0.0;
    z += z < 10.0 ? 1.0 : 0.0;
  }
  double w = 1.0 / z / z;
  double p = GC_P8(GC_D, w, 0x1.5555555555555p-4, -0x1.111111110f647p-7, 0x1.041040f89facbp-8,
                   -0x1.1110fe6bd41b9p-8, 0x1.f06bb4540bfd2p-8, -0x1.578f4ce61f1eep-6,
                   0x1.32a4eefcc5e02p-4, -0x1.55dd2409b8c8fp-3);
  double psi = gc_log_f64(z) - GC_D(w, p, 0.5 / z) - sum, r = x - __builtin_rint(x);
  double sine = gc_copysign_f64(gc_sinpi_half_f64(r), r);
  double cot = 0x1.921fb54442d18p1 * gc_cospi_half_f64(r) / sine;
  cot = r == 0 ? GC_NAN_F64 : cot;
  psi = x < 0 ? psi - cot : psi;
  return x == 0 ? gc_copysign_f64(GC_INF_F64, -x) : psi;
}

static inline float gc_asinh_f32(float x) { return (float)gc_asinh_f64((double)x); }
static inline float gc_acosh_f32(float x) { return (float)gc_acosh_f64((double)x); }
static inline float gc_atanh_f32(float x) { return (float)gc_atanh_f64((double)x); }
static inline float gc_erfinv_f32(float x) { return (float)gc_erfinv_f64((double)x); }
static inline float gc_lgamma_f32(float x) { return (float)gc_lgamma_f64((double)x); }
static inline float gc_digamma_f32(float x) { return (float)gc_digamma_f64((double)x); }
#undef GC_D
#endif
