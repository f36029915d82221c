/* The table through which generated programs reach the native library.
 *
 * A program's entry point is
 *     int run(const gc_api *api, void **buffers, const int64_t *sizes, const double *scalars)
 * and products, the thread pool and the allocator are called through `api` only, so that a program
 * needs no symbol of the library. Members are only ever appended: a program built against an older
 * table runs with a newer library. The same functions are exported by name for eager mode.
 */
#ifndef GC_API_H
#define GC_API_H

#include <stdint.h>

#if defined(__GNUC__) || defined(__clang__)
#define GC_EXPORT __attribute__((visibility("default")))
#else
#define GC_EXPORT
#endif

#define GC_API_VERSION 1

/* Body of a parallel region: elements begin <= i < end, run by thread number `thread`, which is
 * below num_threads() and unique among the bodies of one region that run at the same time. */
typedef void (*gc_body)(void *ctx, int64_t begin, int64_t end, int thread);

/* Called once for each finished tile of C, rows i0..i1 and columns j0..j1 of one batch item, while
 * it is in the cache; c points at element (i0, j0), rows are ldc elements apart. Disjoint tiles may
 * be handed to several threads at once. Together the tiles cover C exactly once. */
typedef struct {
    void (*tile)(void *ctx, int64_t batch, int64_t i0, int64_t i1, int64_t j0, int64_t j1,
                 float *c, int64_t ldc);
    void *ctx;
} gc_epilogue_f32;

typedef struct {
    void (*tile)(void *ctx, int64_t batch, int64_t i0, int64_t i1, int64_t j0, int64_t j1,
                 double *c, int64_t ldc);
    void *ctx;
} gc_epilogue_f64;

/* C[b] = A[b] @ B[b] (m x k times k x n); strides in elements, any value (0 and negative too) for
 * A and B; rows of C are scm apart, its columns adjacent. C overlaps neither A nor B. `epi` may be
 * null. Each element is computed in the canonical product order: K in ascending blocks of 256, one
 * fused multiply-add chain from +0 inside a block, block results added in order; K = 0 gives +0. */
typedef int (*gc_gemm_f32_fn)(int64_t batch, int64_t m, int64_t n, int64_t k,
                              const float *a, int64_t sab, int64_t sam, int64_t sak,
                              const float *b, int64_t sbb, int64_t sbk, int64_t sbn,
                              float *c, int64_t scb, int64_t scm, const gc_epilogue_f32 *epi);
typedef int (*gc_gemm_f64_fn)(int64_t batch, int64_t m, int64_t n, int64_t k,
                              const double *a, int64_t sab, int64_t sam, int64_t sak,
                              const double *b, int64_t sbb, int64_t sbk, int64_t sbn,
                              double *c, int64_t scb, int64_t scm, const gc_epilogue_f64 *epi);
typedef int (*gc_gemm_i32_fn)(int64_t batch, int64_t m, int64_t n, int64_t k,
                              const int32_t *a, int64_t sab, int64_t sam, int64_t sak,
                              const int32_t *b, int64_t sbb, int64_t sbk, int64_t sbn,
                              int32_t *c, int64_t scb, int64_t scm);
typedef int (*gc_gemm_i64_fn)(int64_t batch, int64_t m, int64_t n, int64_t k,
                              const int64_t *a, int64_t sab, int64_t sam, int64_t sak,
                              const int64_t *b, int64_t sbb, int64_t sbk, int64_t sbn,
                              int64_t *c, int64_t scb, int64_t scm);

typedef struct {
    int64_t size_version; /* GC_API_VERSION << 32 | sizeof(gc_api) */
    /* Runs body over 0 <= i < n in pieces that begin at multiples of grain (one piece [0, n) when
     * it runs serially: one thread, a nested call, or a pool busy for another caller). */
    void (*parallel_for)(int64_t n, int64_t grain, gc_body body, void *ctx);
    int (*num_threads)(void);
    void *(*alloc)(int64_t bytes); /* 64-byte aligned, not zeroed; null when out of memory */
    void (*free)(void *block);
    gc_gemm_f32_fn gemm_f32; /* products return 0, or 1 when out of memory */
    gc_gemm_f64_fn gemm_f64;
    gc_gemm_i32_fn gemm_i32;
    gc_gemm_i64_fn gemm_i64;
    /* The IEEE float environment (no flush-to-zero, round to nearest); leave restores. */
    uint64_t (*fp_enter)(void);
    void (*fp_leave)(uint64_t saved);
} gc_api;

GC_EXPORT const gc_api *gc_get_api(void);

/* Inside the library and by name (eager mode). */
GC_EXPORT void gc_parallel_for(int64_t n, int64_t grain, gc_body body, void *ctx);
GC_EXPORT int gc_get_num_threads(void);
GC_EXPORT int gc_set_num_threads(int n); /* n <= 0: the default; 1 when called inside a region */
GC_EXPORT int gc_default_num_threads(void);
GC_EXPORT void gc_pool_stop(void); /* joins the workers; the next region starts them again */

GC_EXPORT void *gc_alloc(int64_t bytes);
GC_EXPORT void gc_free(void *block);
GC_EXPORT void gc_alloc_stats(int64_t *live, int64_t *reserved, int64_t *peak);
GC_EXPORT void gc_alloc_trim(void);                   /* gives every cached block back */
GC_EXPORT void gc_alloc_set_cache_limit(int64_t max); /* bytes kept for reuse; < 0: the default */

GC_EXPORT int gc_gemm_f32(int64_t batch, int64_t m, int64_t n, int64_t k,
                          const float *a, int64_t sab, int64_t sam, int64_t sak,
                          const float *b, int64_t sbb, int64_t sbk, int64_t sbn,
                          float *c, int64_t scb, int64_t scm, const gc_epilogue_f32 *epi);
GC_EXPORT int gc_gemm_f64(int64_t batch, int64_t m, int64_t n, int64_t k,
                          const double *a, int64_t sab, int64_t sam, int64_t sak,
                          const double *b, int64_t sbb, int64_t sbk, int64_t sbn,
                          double *c, int64_t scb, int64_t scm, const gc_epilogue_f64 *epi);
GC_EXPORT int gc_gemm_i32(int64_t batch, int64_t m, int64_t n, int64_t k,
                          const int32_t *a, int64_t sab, int64_t sam, int64_t sak,
                          const int32_t *b, int64_t sbb, int64_t sbk, int64_t sbn,
                          int32_t *c, int64_t scb, int64_t scm);
GC_EXPORT int gc_gemm_i64(int64_t batch, int64_t m, int64_t n, int64_t k,
                          const int64_t *a, int64_t sab, int64_t sam, int64_t sak,
                          const int64_t *b, int64_t sbb, int64_t sbk, int64_t sbn,
                          int64_t *c, int64_t scb, int64_t scm);

#endif
