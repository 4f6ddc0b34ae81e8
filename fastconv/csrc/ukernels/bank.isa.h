/* The bank kernel of one instruction set, for each arithmetic. */

#include "simd/begin.h"

#define FC_T f32
#include "ukernels/bank.ukr.h"
#undef FC_T

#define FC_T f64
#include "ukernels/bank.ukr.h"
#undef FC_T

#define FC_T i64
#include "ukernels/bank.ukr.h"
#undef FC_T

#include "simd/end.h"
