/* Canonical reductions of double: gc_reduce_{sum,mean,prod,var}_ of the code below. */
#define T double
#define S f64
#include "reduce_common.h"
#include "reduce_float.inc"
