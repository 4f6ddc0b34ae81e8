/* Products of split numbers with one instruction set, which are of f32 alone. */

#include "simd/begin.h"

#define FC_T f32
#include "ukernels/split.ukr.h"
#undef FC_T

#include "simd/end.h"
