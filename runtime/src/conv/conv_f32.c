/* Convolutions of float32 in the canonical product order (see conv_float.inc). */
#include "gc_api.h"
#include "gc_fp.h"
#include "gc_pool.h"

#define T float
#define F32 1
#define KC 256 /* the block of K that the canonical order fixes */
#define NAME(stem) gc_##stem##_f32
#include "gemm_simd.h"

#include "gemm_pack.inc"
#include "gemm_kernel.inc"
#include "conv_float.inc"
