/* Canonical reductions of float: gc_reduce_{sum,mean,prod,var,max,min,any,all,argmax,argmin}_f32, gc_scan_*. */
#define T float
#define S f32
#include "reduce_common.h"
#include "reduce_float.inc"
