/* Winograd's transforms, for every instruction set. */

#include "fastconv.h"
#include "simd/verbs.h"

/* The numbers in the transforms, as indices of a table of each arithmetic: the points are 1 / sqrt(2) and sqrt(2). */
enum { ONE, TWO, HALF, MINUS_HALF, MINUS_TWO, MINUS_FIVE_HALVES, NEAR, FAR, NEAR_CUBE, FAR_CUBE, NEAR_SCALE, FAR_SCALE };

#define FC_FACTORS(T)                                                                                                  \
    (T)1, (T)2, (T)0.5, (T)-0.5, (T)-2, (T)-2.5, (T)0.70710678118654752440, (T)1.41421356237309504880,                 \
        (T)0.35355339059327376220, (T)2.82842712474619009760, (T)(-2.0 / 3), (T)(1.0 / 6)

#define FC_EACH "ukernels/winograd.isa.h"
#include "simd/foreach.h"
#undef FC_EACH

static const fc_winograd *const transforms[][FC_DTYPES] = {
#define FC_EACH "ukernels/winograd.row.h"
#include "simd/foreach.h"
#undef FC_EACH
};

const fc_winograd *fc_winograd_of(int isa, fc_dtype dtype)
{
    return transforms[isa][dtype];
}
