/* Products of float32 in the canonical order (see gc_api.h). */
#include "gc_api.h"
#include "gc_fp.h"
#include "gc_pool.h"

#define T float
#define F32 1
#define KC 256 /* the block of K that the canonical order fixes */
#define GEMM gc_gemm_f32
#define EPILOGUE gc_epilogue_f32
#include "gemm_simd.h"

#include "gemm_pack.inc"
#include "gemm_kernel.inc"
#include "gemm_vector.inc"
#include "gemm_float.inc"
