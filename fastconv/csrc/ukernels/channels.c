/* Channels side by side: the inner loop of depthwise kernels where channels stand last. */

#include "fastconv.h"
#include "simd/verbs.h"

#define FC_EACH "ukernels/channels.isa.h"
#include "simd/kernels.h"
#undef FC_EACH

static const fc_channels *const kernels[][FC_DTYPES] = {
#define FC_EACH "ukernels/channels.row.h"
#include "simd/rows.h"
#undef FC_EACH
};

const fc_channels *fc_channels_of(int isa, fc_dtype dtype)
{
    return kernels[isa][dtype];
}
