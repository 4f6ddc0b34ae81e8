/* simd/foreach.h with FC_ISA of the one whose kernels an instruction set has: for tables of what kernels.h made. */

#define FC_EACH_ROW
#include "simd/foreach.h"
#undef FC_EACH_ROW
