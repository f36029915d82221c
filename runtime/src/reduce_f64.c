/* Canonical reductions of double: gc_reduce_{sum,mean,prod,var,max,min,any,all,argmax,argmin}_f64, gc_scan_*. */
#define T double
#define S f64
#include "reduce_common.h"
#include "reduce_float.inc"
