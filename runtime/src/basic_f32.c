/* Elementary functions, comparisons, remainders, float. */
#define T float
#define K f32
#include "basic_float.inc"
