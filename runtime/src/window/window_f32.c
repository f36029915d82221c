/* Pooling windows and resampling of float32. */
#include "gc_api.h"
#include "gc_fp.h"
#include "gc_math.h"
#include "gc_pool.h"

#define T float
#define SIN gc_sin_f32
#define NAME(stem) gc_##stem##_f32
#include "window_float.inc"
