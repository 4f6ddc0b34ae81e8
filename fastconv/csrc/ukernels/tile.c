/* The register tile: the inner loop of every dense algorithm, for every instruction set and arithmetic. */

#include "fastconv.h"
#include "simd/verbs.h"

#include <string.h>

#define FC_EACH "ukernels/tile.isa.h"
#include "simd/kernels.h"
#undef FC_EACH

static const fc_tile *const tiles[][FC_DTYPES] = {
#define FC_EACH "ukernels/tile.row.h"
#include "simd/rows.h"
#undef FC_EACH
};

const fc_tile *fc_tile_of(int isa, fc_dtype dtype)
{
    return tiles[isa][dtype];
}
