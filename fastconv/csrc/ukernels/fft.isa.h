/* Passes of Fourier transforms of one instruction set, for each arithmetic that has them. */

#include "simd/begin.h"

#define FC_T f32
#include "ukernels/fft.ukr.h"
#undef FC_T

#define FC_T f64
#include "ukernels/fft.ukr.h"
#undef FC_T

#include "simd/end.h"
