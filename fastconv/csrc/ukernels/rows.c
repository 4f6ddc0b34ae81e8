/* Rows of outputs that share the rows of an image: the inner loop of few-channel kernels where pixels lie side by side. */

#include "fastconv.h"
#include "simd/verbs.h"

#include <string.h>

#define FC_EACH "ukernels/rows.isa.h"
#include "simd/kernels.h"
#undef FC_EACH

static const fc_rows *const kernels[][FC_DTYPES] = {
#define FC_EACH "ukernels/rows.row.h"
#include "simd/rows.h"
#undef FC_EACH
};

const fc_rows *fc_rows_of(int isa, fc_dtype dtype)
{
    return kernels[isa][dtype];
}
