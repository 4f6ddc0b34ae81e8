/* Transposition with one instruction set, for each size of element. */

#include "simd/begin.h"

#define FC_T f32
#include "ukernels/transpose.ukr.h"
#undef FC_T

#define FC_T f64
#include "ukernels/transpose.ukr.h"
#undef FC_T

#include "simd/end.h"
