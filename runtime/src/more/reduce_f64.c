/* Canonical reductions of double: gc_reduce_{sum,mean,prod,var}_f64. */
#define T double
#define S f64
#include "reduce_common.h"
#include "reduce_float.inc"
