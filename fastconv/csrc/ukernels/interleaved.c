/* Rows of outputs whose weights alternate: the inner loop of filters for a few channels side by side. */

#include "fastconv.h"
#include "simd/verbs.h"

#include <string.h>

#define FC_EACH "ukernels/interleaved.isa.h"
#include "simd/kernels.h"
#undef FC_EACH

static const fc_interleaved *const kernels[][FC_DTYPES] = {
#define FC_EACH "ukernels/interleaved.row.h"
#include "simd/rows.h"
#undef FC_EACH
};

const fc_interleaved *fc_interleaved_of(int isa, fc_dtype dtype)
{
    return kernels[isa][dtype];
}
