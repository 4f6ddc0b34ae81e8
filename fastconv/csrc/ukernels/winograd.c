/* Winograd's transforms, for every instruction set. */

#include "fastconv.h"
#include "simd/verbs.h"

#define FC_EACH "ukernels/winograd.isa.h"
#include "simd/foreach.h"
#undef FC_EACH

static const fc_winograd *const transforms[][FC_DTYPES] = {
#define FC_EACH "ukernels/winograd.row.h"
#include "simd/foreach.h"
#undef FC_EACH
};

const fc_winograd *fc_winograd_of(int isa, fc_dtype dtype)
{
    return transforms[isa][dtype];
}
