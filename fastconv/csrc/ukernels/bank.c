/* Banks of filters on few channels: the inner loop, for every instruction set and arithmetic. */

#include "fastconv.h"
#include "simd/verbs.h"

#include <string.h>

#define FC_EACH "ukernels/bank.isa.h"
#include "simd/kernels.h"
#undef FC_EACH

static const fc_bank *const kernels[][FC_DTYPES] = {
#define FC_EACH "ukernels/bank.row.h"
#include "simd/rows.h"
#undef FC_EACH
};

const fc_bank *fc_bank_of(int isa, fc_dtype dtype)
{
    return kernels[isa][dtype];
}
