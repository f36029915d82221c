/* Fused row kernels of double: gc_row_{softmax,log_softmax,layer_norm}_f64 and *_backward_f64. */
#define T double
#define S f64
#include "gc_math.h"
#include "reduce_common.h"
#include "rows_float.inc"
