/* Passes of Fourier transforms and products of spectra, for every instruction set. */

#include "fastconv.h"
#include "simd/verbs.h"

#define FC_EACH "ukernels/fft.isa.h"
#include "simd/kernels.h"
#undef FC_EACH

static const fc_fft *const transforms[][FC_DTYPES] = {
#define FC_EACH "ukernels/fft.row.h"
#include "simd/rows.h"
#undef FC_EACH
};

const fc_fft *fc_fft_of(int isa, fc_dtype dtype)
{
    return transforms[isa][dtype];
}
