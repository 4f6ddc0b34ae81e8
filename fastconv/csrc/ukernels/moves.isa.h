/* Moves with one instruction set, of 4 and 8 bytes: bits alone, so that integers go as doubles. */

#include "simd/begin.h"

#define FC_T f32
#include "ukernels/moves.ukr.h"
#undef FC_T

#define FC_T f64
#include "ukernels/moves.ukr.h"
#undef FC_T

#include "simd/end.h"
