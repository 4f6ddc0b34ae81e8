/* The kernel for alternating weights of one instruction set, for each arithmetic. */

#include "simd/begin.h"

#define FC_T f32
#include "ukernels/interleaved.ukr.h"
#undef FC_T

#define FC_T f64
#include "ukernels/interleaved.ukr.h"
#undef FC_T

#include "simd/end.h"

