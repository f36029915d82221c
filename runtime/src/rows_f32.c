/* Fused row kernels of float: gc_row_{softmax,log_softmax,layer_norm}_f32 and *_backward_f32. */
#define T float
#define S f32
#include "gc_math.h"
#include "reduce_common.h"
#include "rows_float.inc"
