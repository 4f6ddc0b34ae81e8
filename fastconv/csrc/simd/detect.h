/* One instruction set's test of the running processor, as a function. */

#include FC_ISA_HEADER
static int FC_PASTE2(fc_runs_here, FC_ISA)(void)
{
    return FC_RUNS_HERE != 0;
}
#include "simd/undef.h"
