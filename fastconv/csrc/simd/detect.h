/* One instruction set's test of the running processor, as a function, and whether it has tiles of numbers. */

#include FC_ISA_HEADER
static int FC_PASTE2(fc_runs_here, FC_ISA)(void)
{
    return FC_RUNS_HERE != 0;
}
#ifdef FC_MATRIX
enum { FC_PASTE2(fc_matrix, FC_ISA) = FC_MATRIX };
#else
enum { FC_PASTE2(fc_matrix, FC_ISA) = 0 };
#endif
#include "simd/undef.h"
