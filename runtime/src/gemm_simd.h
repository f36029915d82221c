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

#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif
#define INLINE static inline __attribute__((always_inline))

INLINE int64_t min64(int64_t x, int64_t y) { return x < y ? x : y; }

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

/* ---- transposes in registers ---- */

#define BLOCK ((int)(16 / sizeof(T))) /* lanes of a 128-bit block */

typedef double pairs __attribute__((vector_size(VEC_BYTES))); /* 64 bits moved at a time */

#if defined(__clang__) || __GNUC__ >= 12
#define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
typedef int32_t index32 __attribute__((vector_size(VEC_BYTES)));
typedef int64_t index64 __attribute__((vector_size(VEC_BYTES)));
#define SHUFFLE(a, b, ...)                                                                         \
    __builtin_shuffle(a, b, __builtin_choose_expr(sizeof((a)[0]) == 4, (index32){__VA_ARGS__},     \
                                                  (index64){__VA_ARGS__}))
#endif

/* Lanes of `a` and `b` interleaved inside each block: its lower (LOW) or upper (HIGH) half. */
#if VEC_BYTES == 64
#define LOW32(a, b) SHUFFLE(a, b, 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29)
#define HIGH32(a, b) SHUFFLE(a, b, 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31)
#define LOW64(a, b) SHUFFLE(a, b, 0, 8, 2, 10, 4, 12, 6, 14)
#define HIGH64(a, b) SHUFFLE(a, b, 1, 9, 3, 11, 5, 13, 7, 15)
#define EVEN_BLOCKS(a, b) SHUFFLE(a, b, 0, 1, 4, 5, 8, 9, 12, 13)
#define ODD_BLOCKS(a, b) SHUFFLE(a, b, 2, 3, 6, 7, 10, 11, 14, 15)
#elif VEC_BYTES == 32
#define LOW32(a, b) SHUFFLE(a, b, 0, 8, 1, 9, 4, 12, 5, 13)
#define HIGH32(a, b) SHUFFLE(a, b, 2, 10, 3, 11, 6, 14, 7, 15)
#define LOW64(a, b) SHUFFLE(a, b, 0, 4, 2, 6)
#define HIGH64(a, b) SHUFFLE(a, b, 1, 5, 3, 7)
#define EVEN_BLOCKS(a, b) SHUFFLE(a, b, 0, 1, 4, 5)
#define ODD_BLOCKS(a, b) SHUFFLE(a, b, 2, 3, 6, 7)
#else
#define LOW32(a, b) SHUFFLE(a, b, 0, 4, 1, 5)
#define HIGH32(a, b) SHUFFLE(a, b, 2, 6, 3, 7)
#define LOW64(a, b) SHUFFLE(a, b, 0, 2)
#define HIGH64(a, b) SHUFFLE(a, b, 1, 3)
#endif

/* x[i][j] becomes x[j][i], VL x VL: first inside blocks, so that block q of x[BLOCK * g + k] holds
 * rows BLOCK * g .. of column BLOCK * q + k, then blocks as wholes. */
INLINE void transpose(vec x[])
{
    pairs z[VL];
#if F32
    pairs y[VL];
    UNROLL for (int i = 0; i < VL; i += 2)
    {
        y[i] = (pairs)LOW32(x[i], x[i + 1]);
        y[i + 1] = (pairs)HIGH32(x[i], x[i + 1]);
    }
    UNROLL for (int i = 0; i < VL; i += 4)
    {
        z[i] = LOW64(y[i], y[i + 2]);
        z[i + 1] = HIGH64(y[i], y[i + 2]);
        z[i + 2] = LOW64(y[i + 1], y[i + 3]);
        z[i + 3] = HIGH64(y[i + 1], y[i + 3]);
    }
#else
    UNROLL for (int i = 0; i < VL; i += 2)
    {
        z[i] = LOW64((pairs)x[i], (pairs)x[i + 1]);
        z[i + 1] = HIGH64((pairs)x[i], (pairs)x[i + 1]);
    }
#endif
    UNROLL for (int k = 0; k < BLOCK; k++)
    {
#if VEC_BYTES == 64
        pairs u[4];
        u[0] = EVEN_BLOCKS(z[k], z[BLOCK + k]);
        u[1] = ODD_BLOCKS(z[k], z[BLOCK + k]);
        u[2] = EVEN_BLOCKS(z[2 * BLOCK + k], z[3 * BLOCK + k]);
        u[3] = ODD_BLOCKS(z[2 * BLOCK + k], z[3 * BLOCK + k]);
        x[k] = (vec)EVEN_BLOCKS(u[0], u[2]);
        x[BLOCK + k] = (vec)EVEN_BLOCKS(u[1], u[3]);
        x[2 * BLOCK + k] = (vec)ODD_BLOCKS(u[0], u[2]);
        x[3 * BLOCK + k] = (vec)ODD_BLOCKS(u[1], u[3]);
#elif VEC_BYTES == 32
        x[k] = (vec)EVEN_BLOCKS(z[k], z[BLOCK + k]);
        x[BLOCK + k] = (vec)ODD_BLOCKS(z[k], z[BLOCK + k]);
#else
        x[k] = (vec)z[k];
#endif
    }
}
