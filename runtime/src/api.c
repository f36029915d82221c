/* The function table handed to generated programs (see gc_api.h). */
#include "gc_api.h"
#include "gc_fp.h"

static uint64_t fp_enter(void) { return gc_fp_enter(); }
static void fp_leave(uint64_t saved) { gc_fp_leave(saved); }

static const gc_api table = {
    .size_version = ((int64_t)GC_API_VERSION << 32) | (int64_t)sizeof(gc_api),
    .parallel_for = gc_parallel_for,
    .num_threads = gc_get_num_threads,
    .alloc = gc_alloc,
    .free = gc_free,
    .gemm_f32 = gc_gemm_f32,
    .gemm_f64 = gc_gemm_f64,
    .gemm_i32 = gc_gemm_i32,
    .gemm_i64 = gc_gemm_i64,
    .fp_enter = fp_enter,
    .fp_leave = fp_leave,
};

const gc_api *gc_get_api(void) { return &table; }
