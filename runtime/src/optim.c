/* Fused optimizer updates of one parameter: gc_optim_{sgd,adagrad,adam}_{f32,f64}. */
#include "gc_math.h"
#include "reduce_common.h"

#define T float
#define S f32
#include "optim_float.inc"
#undef T
#undef S
#define T double
#define S f64
#include "optim_float.inc"
