/* simd/foreach.h without the instruction sets that have another one's kernels: for what each has of its own. */

#define FC_EACH_OWN
#include "simd/foreach.h"
#undef FC_EACH_OWN
