/* Trigonometry, error functions, powers, float. */
#define T float
#define K f32
#define PART 2
#include "math_float.inc"
