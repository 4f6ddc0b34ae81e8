/* Products of split numbers, for every instruction set. */

#include "fastconv.h"
#include "simd/verbs.h"

#include <math.h>
#include <string.h>

/* 16 numbers, which may lie at any element. */
typedef float fc_f32x16 __attribute__((vector_size(64), aligned(4), may_alias));
typedef uint32_t fc_u32x16 __attribute__((vector_size(64), aligned(4), may_alias));
typedef uint16_t fc_u16x32 __attribute__((vector_size(64), aligned(2), may_alias));

/* The upper halves of the 16 elements of a, and then of b: little-endian, as all of these are. */
#define FC_UPPER_HALVES(a, b)                                                                                          \
    __builtin_shufflevector((fc_u16x32)(a), (fc_u16x32)(b), 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31, \
                            33, 35, 37, 39, 41, 43, 45, 47, 49, 51, 53, 55, 57, 59, 61, 63)

#define FC_EACH "ukernels/split.isa.h"
#include "simd/foreach.h"
#undef FC_EACH

static const fc_split *const kernels[] = {
#define FC_EACH "ukernels/split.row.h"
#include "simd/foreach.h"
#undef FC_EACH
};

const fc_split *fc_split_of(int isa)
{
    return kernels[isa];
}
