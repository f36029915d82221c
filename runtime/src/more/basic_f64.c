/* Elementary functions, comparisons, remainders, double. */
#define T double
#define K f64
#include "basic_float.inc"
