/* Canonical reductions of float: gc_reduce_{sum,mean,prod,var}_ of the code below. */
#define T float
#define S f32
#include "reduce_common.h"
#include "reduce_float.inc"
