/* Sums of squares, which tell what may not stay finite (guard.c), for every instruction set. */

#include "fastconv.h"
#include "simd/verbs.h"

#define FC_EACH "ukernels/squares.isa.h"
#include "simd/kernels.h"
#undef FC_EACH

static const fc_squares_fn kernels[][FC_DTYPES] = {
#define FC_EACH "ukernels/squares.row.h"
#include "simd/rows.h"
#undef FC_EACH
};

fc_squares_fn fc_squares_of(int isa, fc_dtype dtype)
{
    return kernels[isa][dtype];
}
