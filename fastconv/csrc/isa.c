/* The instruction set table made real. Detection is compiled here, outside every target region, so that it runs on
 * any processor. */

#include "fastconv.h"
#include "simd/verbs.h"
#include "simd/grant.h"

#define FC_EACH "simd/detect.h"
#include "simd/foreach.h"
#undef FC_EACH

const fc_isa fc_isas[] = {
#define FC_EACH "simd/isa.row.h"
#include "simd/foreach.h"
#undef FC_EACH
    {NULL, NULL, 0},
};

int fc_isa_count(void)
{
    int count = 0;
    while (fc_isas[count].name)
        count++;
    return count;
}
