/* Winograd's transforms, for every instruction set. */

#include "fastconv.h"
#include "simd/verbs.h"

/* The numbers in the transforms, as indices of a table of each arithmetic. Points are +-1 / sqrt(2) and +-sqrt(2), near and far,
 * or +-7/16 and +-5/4, inner and outer. */
enum {
    ONE, TWO, HALF, MINUS_HALF, MINUS_TWO, MINUS_FIVE_HALVES, NEAR, FAR, NEAR_CUBE, FAR_CUBE, NEAR_SCALE, FAR_SCALE,
    INNER, OUTER, INNER_SQUARE, OUTER_SQUARE, MINUS_INNER_SQUARE, MINUS_OUTER_SQUARE,
    MINUS_SUM_OF_SQUARES, PRODUCT_OF_SQUARES, INNER_SCALE, OUTER_SCALE,
};

#define FC_FACTORS(T)                                                                                                  \
    (T)1, (T)2, (T)0.5, (T)-0.5, (T)-2, (T)-2.5, (T)0.70710678118654752440, (T)1.41421356237309504880,                 \
        (T)0.35355339059327376220, (T)2.82842712474619009760, (T)(-2.0 / 3), (T)(1.0 / 6), (T)(7.0 / 16), (T)1.25,     \
        (T)(49.0 / 256), (T)(25.0 / 16), (T)(-49.0 / 256), (T)(-25.0 / 16),\
        (T)(-449.0 / 256), (T)(1225.0 / 4096), (T)(-2048.0 / 2457), (T)(512.0 / 1755)

/* Of the taps' pairs of points +-p, from 1 on: p, its square, and what both are scaled by. */
static const struct {
    int point, square, scale;
} pairs_of[FC_ALL_SCHEMES][3] = {
    [FC_F23] = {{0}, {ONE, ONE, HALF}},
    [FC_F42] = {{0}, {INNER, INNER_SQUARE, INNER_SCALE}, {OUTER, OUTER_SQUARE, OUTER_SCALE}},
    [FC_F43] = {{0}, {NEAR, HALF, NEAR_SCALE}, {FAR, TWO, FAR_SCALE}},
    [FC_F25] = {{0}, {NEAR, HALF, NEAR_SCALE}, {FAR, TWO, FAR_SCALE}},
};

#define FC_EACH "ukernels/winograd.isa.h"
#include "simd/kernels.h"
#undef FC_EACH

static const fc_winograd *const transforms[][FC_DTYPES] = {
#define FC_EACH "ukernels/winograd.row.h"
#include "simd/rows.h"
#undef FC_EACH
};

const fc_winograd *fc_winograd_of(int isa, fc_dtype dtype)
{
    return transforms[isa][dtype];
}
