/* Trigonometry, error functions, powers, double. */
#define T double
#define K f64
#define PART 2
#include "math_float.inc"
