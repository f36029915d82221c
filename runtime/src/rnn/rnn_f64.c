/* Recurrent layers of double: gc_rnn_{forward,backward}_f64. */
#define T double
#define S f64
#define GEMM gc_gemm_f64
#include "gc_math.h"
#include "gc_fp.h"
#include "gc_pool.h"
#include "reduce_common.h"
#include "rnn_float.inc"
