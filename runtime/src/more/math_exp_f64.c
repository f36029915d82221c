/* Exponentials, logarithms and what is built on them, double. */
#define T double
#define K f64
#define PART 1
#include "math_float.inc"
