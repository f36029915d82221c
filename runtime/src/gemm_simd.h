/* Vectors of the product kernels: GCC vector extensions, with the one thing they lack, a fused
 * multiply-add. Where the CPU has none the lanes go through __builtin_fma: slow, the same bits.
 * The including file defines T (float or double) and F32 as 1 or 0.
 */
#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__) || (defined(__AVX2__) && defined(__FMA__))
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wpsabi" /* every function with vector arguments is inlined */
#define UNROLL _Pragma("GCC unroll 16")
#else
#define UNROLL _Pragma("unroll")
#endif
#define INLINE static inline __attribute__((always_inline))

/* ---- vec: VL lanes of T; the microkernel's register block is MR rows x NV vectors ---- */

#if defined(__AVX512F__)
#define VEC_BYTES 64
#define MR 12
#define NV 2
#elif defined(__AVX__)
#define VEC_BYTES 32
#define MR 6
#define NV 2
#elif defined(__aarch64__)
#define VEC_BYTES 16
#define MR 6
#define NV 4
#else
#define VEC_BYTES 16
#define MR 6
#define NV 2
#endif

#define VL ((int)(VEC_BYTES / sizeof(T)))
#define NR (NV * VL)

typedef T vec __attribute__((vector_size(VEC_BYTES)));
typedef T vec_any __attribute__((vector_size(VEC_BYTES), aligned(sizeof(T)), may_alias));

INLINE vec load(const T *p) { return (vec) * (const vec_any *)p; }
INLINE void store(T *p, vec x) { *(vec_any *)p = (vec_any)x; }
INLINE vec splat(T x) { return x - (vec){0}; } /* x - (+0) is x for every x, -0 included */

INLINE T fma1(T a, T b, T c)
{
#if F32
    return __builtin_fmaf(a, b, c);
#else
    return __builtin_fma(a, b, c);
#endif
}

INLINE vec fma_vec(vec a, vec b, vec c)
{
#if defined(__AVX512F__) && F32
    return (vec)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__AVX512F__)
    return (vec)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c);
#elif defined(__AVX2__) && defined(__FMA__) && F32
    return (vec)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#elif defined(__AVX2__) && defined(__FMA__)
    return (vec)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
#elif defined(__aarch64__) && F32
    return (vec)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
#elif defined(__aarch64__)
    return (vec)vfmaq_f64((float64x2_t)c, (float64x2_t)a, (float64x2_t)b);
#else
    for (int l = 0; l < VL; l++)
        c[l] = fma1(a[l], b[l], c[l]);
    return c;
#endif
}

/* ---- quad: TL lanes (32 bytes), for TL x TL transposes in registers ---- */

#define TL ((int)(32 / sizeof(T)))

typedef T quad __attribute__((vector_size(32)));
typedef T quad_any __attribute__((vector_size(32), aligned(sizeof(T)), may_alias));

#if defined(__clang__) || __GNUC__ >= 12
#define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#elif F32
typedef int32_t quad_index __attribute__((vector_size(32)));
#define SHUFFLE(a, b, ...) __builtin_shuffle(a, b, (quad_index){__VA_ARGS__})
#else
typedef int64_t quad_index __attribute__((vector_size(32)));
#define SHUFFLE(a, b, ...) __builtin_shuffle(a, b, (quad_index){__VA_ARGS__})
#endif

INLINE quad load_quad(const T *p) { return (quad) * (const quad_any *)p; }
INLINE void store_quad(T *p, quad x) { *(quad_any *)p = (quad_any)x; }

INLINE quad fma_quad(quad a, quad b, quad c)
{
#if defined(__AVX2__) && defined(__FMA__) && F32
    return (quad)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#elif defined(__AVX2__) && defined(__FMA__)
    return (quad)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
#else
    for (int l = 0; l < TL; l++)
        c[l] = fma1(a[l], b[l], c[l]);
    return c;
#endif
}

/* x[i][j] becomes x[j][i]; two-source shuffles that are single instructions under AVX. */
INLINE void transpose(quad x[])
{
#if F32
    quad y[8], z[8];
    UNROLL for (int i = 0; i < 8; i += 2)
    {
        y[i] = SHUFFLE(x[i], x[i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
        y[i + 1] = SHUFFLE(x[i], x[i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
    }
    UNROLL for (int i = 0; i < 8; i += 4)
    {
        z[i] = SHUFFLE(y[i], y[i + 2], 0, 1, 8, 9, 4, 5, 12, 13);
        z[i + 1] = SHUFFLE(y[i], y[i + 2], 2, 3, 10, 11, 6, 7, 14, 15);
        z[i + 2] = SHUFFLE(y[i + 1], y[i + 3], 0, 1, 8, 9, 4, 5, 12, 13);
        z[i + 3] = SHUFFLE(y[i + 1], y[i + 3], 2, 3, 10, 11, 6, 7, 14, 15);
    }
    UNROLL for (int i = 0; i < 4; i++)
    {
        x[i] = SHUFFLE(z[i], z[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
        x[i + 4] = SHUFFLE(z[i], z[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
    }
#else
    quad a = SHUFFLE(x[0], x[1], 0, 4, 2, 6), b = SHUFFLE(x[0], x[1], 1, 5, 3, 7);
    quad c = SHUFFLE(x[2], x[3], 0, 4, 2, 6), d = SHUFFLE(x[2], x[3], 1, 5, 3, 7);
    x[0] = SHUFFLE(a, c, 0, 1, 4, 5);
    x[1] = SHUFFLE(b, d, 0, 1, 4, 5);
    x[2] = SHUFFLE(a, c, 2, 3, 6, 7);
    x[3] = SHUFFLE(b, d, 2, 3, 6, 7);
#endif
}
