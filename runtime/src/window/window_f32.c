/* Pooling windows and resampling of float32. */
#include "gc_api.h"
#include "gc_fp.h"
#include "gc_pool.h"

#define T float
#define NAME(stem) gc_##stem##_f32
#include "window_float.inc"
