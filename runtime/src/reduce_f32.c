/* Canonical reductions of float: gc_reduce_{sum,mean,prod,var}_f32. */
#define T float
#define S f32
#include "reduce_common.h"
#include "reduce_float.inc"
