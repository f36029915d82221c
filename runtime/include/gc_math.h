/* placeholder top */
#ifndef GC_MATH_H
#define GC_MATH_H
#include "gc_math_f32.h"
#include "gc_math_f64.h"
#endif
