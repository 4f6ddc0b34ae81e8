/* Moving elements of 4 or 8 bytes. */

#include "fastconv.h"

#include <string.h>

typedef uint32_t word4 __attribute__((may_alias, aligned(4)));
typedef uint64_t word8 __attribute__((may_alias, aligned(8)));

void fc_pick(char *to, const char *from, int64_t step, int64_t count, int64_t size)
{
    if (step == size || count == 1)
        memcpy(to, from, (size_t)(count * size));
    else if (size == 4 && step == 8) /* a stride known to the compiler becomes shuffles */
        for (int64_t j = 0; j < count; j++)
            ((word4 *)to)[j] = ((const word4 *)from)[2 * j];
    else if (size == 4)
        for (int64_t j = 0; j < count; j++)
            ((word4 *)to)[j] = *(const word4 *)(from + j * step);
    else if (step == 16)
        for (int64_t j = 0; j < count; j++)
            ((word8 *)to)[j] = ((const word8 *)from)[2 * j];
    else
        for (int64_t j = 0; j < count; j++)
            ((word8 *)to)[j] = *(const word8 *)(from + j * step);
}
