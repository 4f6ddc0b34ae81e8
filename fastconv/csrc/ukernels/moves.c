/* Moving rows of an image, for every instruction set. */

#include "fastconv.h"
#include "simd/verbs.h"

#include <string.h>

#define FC_EACH "ukernels/moves.isa.h"
#include "simd/kernels.h"
#undef FC_EACH

static const fc_moves *const kernels[][FC_DTYPES] = {
#define FC_EACH "ukernels/moves.row.h"
#include "simd/rows.h"
#undef FC_EACH
};

const fc_moves *fc_moves_of(int isa, fc_dtype dtype)
{
    return kernels[isa][dtype];
}
