/* Exponentials, logarithms and what is built on them, float. */
#define T float
#define K f32
#define PART 1
#include "math_float.inc"
