/* Products of split numbers, for every instruction set. */

#include "fastconv.h"
#include "simd/verbs.h"

#include <math.h>
#include <string.h>

/* 16 numbers, which may lie at any element. */
typedef float fc_f32x16 __attribute__((vector_size(64), aligned(4), may_alias));
typedef uint32_t fc_u32x16 __attribute__((vector_size(64), aligned(4), may_alias));
typedef uint16_t fc_u16x16 __attribute__((vector_size(32), aligned(2), may_alias));

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
