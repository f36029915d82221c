/* Recurrent layers of float: gc_rnn_{forward,backward}_f32. */
#define T float
#define S f32
#define GEMM gc_gemm_f32
#include "gc_math.h"
#include "gc_fp.h"
#include "gc_pool.h"
#include "reduce_common.h"
#include "rnn_float.inc"
