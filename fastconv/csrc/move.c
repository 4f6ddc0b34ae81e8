/* Moving elements of 4 or 8 bytes. */

#include "fastconv.h"

#include <string.h>

typedef uint32_t word4 __attribute__((may_alias, aligned(4)));
typedef uint32_t four __attribute__((vector_size(16), may_alias, aligned(4)));
typedef uint64_t word8 __attribute__((may_alias, aligned(8)));

/* In vectors: what the compiler makes of the loop alone begins slowly, and rows are mostly short. */
static void pick_every_other(char *to, const char *from, int64_t count)
{
    int64_t j = 0;
    for (; j + 4 < count; j += 4) /* reads one element beyond the last that it needs, which is before the next */
        *(four *)(to + 4 * j) =
            __builtin_shufflevector(*(const four *)(from + 8 * j), *(const four *)(from + 8 * j + 16), 0, 2, 4, 6);
    for (; j < count; j++)
        ((word4 *)to)[j] = ((const word4 *)from)[2 * j];
}

void fc_pick(char *to, const char *from, int64_t step, int64_t count, int64_t size)
{
    if (step == size || count == 1)
        memcpy(to, from, (size_t)(count * size));
    else if (size == 4 && step == 8)
        pick_every_other(to, from, count);
    else if (size == 4)
        for (int64_t j = 0; j < count; j++)
            ((word4 *)to)[j] = *(const word4 *)(from + j * step);
    else if (step == 16) /* a stride known to the compiler becomes shuffles */
        for (int64_t j = 0; j < count; j++)
            ((word8 *)to)[j] = ((const word8 *)from)[2 * j];
    else
        for (int64_t j = 0; j < count; j++)
            ((word8 *)to)[j] = *(const word8 *)(from + j * step);
}
