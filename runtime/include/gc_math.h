/* Scalar float functions: gc_<fn>_f32(float, ...) and gc_<fn>_f64(double, ...).

   One fixed sequence of IEEE 754 operations each, so that array kernels and generated programs, gcc
   and clang, scalar and vector code give the same bits. A fused multiply-add happens only where
   gc_fma is written: compile with -ffp-contract=off, never with -ffast-math (reassociation removes
   the rounding tricks and the compensated sums). Without FMA hardware gc_fma is libm's, slow but
   equal. All are branch-free and vectorise (-fno-math-errno -fno-trapping-math) except fmod,
   remainder and floor_divide in float64. NaN in gives NaN out unless said; its sign and payload are
   unspecified.

   Largest error in ULP, float32 / float64, as tested; "-" is exact or correctly rounded:
     exp exp2             1 / 1          sin cos              1.6 / 1
     expm1                1.5 / 2        tan                  1.3 / 2.4
     log log2 log10       1.2 / 1        asin acos atan       2 / 2
     log1p                1.6 / 1.6      atan2(y, x)          1.6 / 2
     sinh cosh tanh       1.8 / 1.8      erf                  1.2 / 1.2
     sigmoid              2.5 / 2.5      erfc                 0.6 / 3.4
     log_sigmoid          2 / 2          gelu (erf)           4.2 / 4.5, relative, both tails
     silu                 3.2 / 3.2      gelu_tanh            3 / 3, relative, both tails
     pow(x, y)            0.6 / 1; x*x, x*x*x, sqrt(x) for y = 2, 3, 1/2 as in PyTorch
     hypot(x, y)          0.55 / 0.8     elu(x, alpha)        2.5 / 2.5
     softplus(x, beta, threshold)        3.5 / 3.5: log1p(exp(x*beta))/beta, x above the threshold
     rsqrt                1.5 / 1.5: 1/sqrt(x)
     cos2pi(u)            cos(2 pi u), u in [0, 1]
     asinh acosh atanh    0.51 / 2.4     erfinv               0.51 / 3
     lgamma               0.51 / 4, digamma 0.51 / 4: for x > 0; where a zero is near (digamma: all,
                          lgamma: x < 0) and for negative x the error is absolute, 16 eps
     - abs neg sign square reciprocal sqrt floor ceil trunc rint frac relu
     - add sub mul div copysign nextafter fmod threshold_backward(g, out) leaky_relu(x, slope) clamp(x, lo, hi)
     - remainder floor_divide lerp(a, b, w): PyTorch's formulas
     - maximum minimum: NaN wins, -0 < +0;  fmax fmin: NaN loses
     - eq ne lt le gt ge isnan isinf isfinite signbit: give uint8_t 0 or 1
     - fma(a, b, c): one rounding
   rint rounds halves to even. sign(NaN) is 0, relu(-0) is -0, clamp's hi wins over lo and a NaN
   bound gives NaN, as in PyTorch. Limits are kept at infinity: silu, gelu and gelu_tanh of -inf
   are -0.
   sin, cos and tan hold their bounds for every argument (float64 from 2^47 on: where the result is
   above 2^-36). */
#ifndef GC_MATH_H
#define GC_MATH_H
#include "gc_basic.h"
#include "gc_math_f32.h"
#include "gc_math_f64.h"
#include "gc_math_special.h"
#include "gc_math_gamma.h"
#endif
