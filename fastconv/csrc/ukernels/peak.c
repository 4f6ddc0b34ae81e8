/* The speed of the processor itself: what every kernel's speed is a percentage of. */

#include "fastconv.h"
#include "simd/verbs.h"

#define FC_EACH "ukernels/peak.isa.h"
#include "simd/kernels.h"
#undef FC_EACH

static const fc_peak *const peaks[][FC_DTYPES] = {
#define FC_EACH "ukernels/peak.row.h"
#include "simd/rows.h"
#undef FC_EACH
};

const fc_peak *fc_peak_of(int isa, fc_dtype dtype)
{
    return peaks[isa][dtype];
}
