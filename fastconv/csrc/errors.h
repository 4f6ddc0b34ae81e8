/* errors.h: how far results may be from the exact ones, as rows of the algorithm table state it; a part of fastconv.h. */
#ifndef FC_ERRORS_H
#define FC_ERRORS_H

#include <stdint.h>

enum { FC_LEVELS = 8, FC_FINITE = 5 };

/* An axis of tiles that are transformed to frequencies and back, for products of spectra in `blocks` of input channels. It is cut
 * into 2 or 3 times as many blocks of numbers at each level, and after so many of them each number errs by `there` times u of its
 * absolute value, or on the way back by `back`; a level of 3 by `three` times the norm of three more, both ways. A product of complex
 * numbers errs by 2, and as much for each later one of its block, an output at the end by 2. */
typedef struct {
    int64_t pixels, step; /* of a tile, and to where the next one's outputs begin; those down are pairs of complex numbers' parts */
    int levels, radix[FC_LEVELS];
    double there[FC_LEVELS + 1], back[FC_LEVELS + 1], three;
} fc_levels;

/* An axis of tiles of so many outputs that are computed from polynomials' values at points, some of them finite and infinity, or from
 * the pixels as they are where none is. With a stride of 2 even taps have points of their own, and so have odd ones. */
typedef struct {
    int outputs, taps, stride, finite[2];
    double points[2][FC_FINITE];
} fc_points;

/* Of a sum of products in any order: |y - exact| <= constant * u * (sum|x||w| + |bias|), u the unit roundoff. Otherwise `constant`
 * is of the sum over c of max|x_c| * sum|w_c|, each channel's maximum over the pixels of the output's tile, or over the norm of
 * those where there are levels; what of that there is, is told by both axes' levels or points. Underflow apart: where
 * products are `flushed`, so many of an output may each be off by the smallest normal number times either factor. */
typedef struct {
    double constant;
    double flushed;      /* 0 where subnormal numbers are kept */
    int64_t blocks;      /* of input channels; 0 where there are no levels */
    fc_levels levels[2]; /* down and across */
    fc_points points[2]; /* with no outputs where there are none */
} fc_error;

#endif
