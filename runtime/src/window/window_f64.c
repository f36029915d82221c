/* Pooling windows and resampling of float64. */
#include "gc_api.h"
#include "gc_fp.h"
#include "gc_math.h"
#include "gc_pool.h"

#define T double
#define SIN gc_sin_f64
#define NAME(stem) gc_##stem##_f64
#include "window_float.inc"
