/* Sums of squares with one instruction set, for each arithmetic that has them. */

#include "simd/begin.h"

#define FC_T f32
#include "ukernels/squares.ukr.h"
#undef FC_T

#define FC_T f64
#include "ukernels/squares.ukr.h"
#undef FC_T

#include "simd/end.h"
