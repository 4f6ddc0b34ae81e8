/* Moving elements of 4 or 8 bytes between layouts, in the compiler's 16-byte vectors, which every machine has. */

#include "fastconv.h"

#include <string.h>

typedef uint32_t word4 __attribute__((may_alias, aligned(4)));
typedef uint64_t word8 __attribute__((may_alias, aligned(8)));
typedef uint32_t four __attribute__((vector_size(16), may_alias, aligned(4)));
typedef uint64_t two __attribute__((vector_size(16), may_alias, aligned(8)));

/* 4 x 4 elements: two rounds of interleaving, 8 shuffles for 16 elements. */
static inline void transpose_4x4(char *to, int64_t to_step, const char *from, int64_t from_step)
{
    const four a = *(const four *)from, b = *(const four *)(from + from_step);
    const four c = *(const four *)(from + 2 * from_step), d = *(const four *)(from + 3 * from_step);
    const four ab0 = __builtin_shufflevector(a, b, 0, 4, 1, 5), cd0 = __builtin_shufflevector(c, d, 0, 4, 1, 5);
    const four ab1 = __builtin_shufflevector(a, b, 2, 6, 3, 7), cd1 = __builtin_shufflevector(c, d, 2, 6, 3, 7);
    *(four *)to = __builtin_shufflevector(ab0, cd0, 0, 1, 4, 5);
    *(four *)(to + to_step) = __builtin_shufflevector(ab0, cd0, 2, 3, 6, 7);
    *(four *)(to + 2 * to_step) = __builtin_shufflevector(ab1, cd1, 0, 1, 4, 5);
    *(four *)(to + 3 * to_step) = __builtin_shufflevector(ab1, cd1, 2, 3, 6, 7);
}

static inline void transpose_2x2(char *to, int64_t to_step, const char *from, int64_t from_step)
{
    const two a = *(const two *)from, b = *(const two *)(from + from_step);
    *(two *)to = __builtin_shufflevector(a, b, 0, 2);
    *(two *)(to + to_step) = __builtin_shufflevector(a, b, 1, 3);
}

static inline __attribute__((always_inline)) void move_scattered(char *to, int64_t to_step, const char *from,
                                                                 int64_t from_step, int64_t rows, int64_t columns,
                                                                 size_t size)
{
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j++)
            memcpy(to + j * to_step + i * (int64_t)size, from + i * from_step + j * (int64_t)size, size);
}

void fc_transpose(char *to, int64_t to_step, const char *from, int64_t from_step, int64_t rows, int64_t columns,
                  int64_t size)
{
    const int64_t block = 16 / size, whole_rows = rows / block * block, whole_columns = columns / block * block;
    for (int64_t j0 = 0; j0 < whole_columns; j0 += 64 / size) /* a cache line of each row, down all rows */
        for (int64_t i = 0; i < whole_rows; i += block)
            for (int64_t j = j0; j < whole_columns && j < j0 + 64 / size; j += block) {
                char *t = to + j * to_step + i * size;
                const char *f = from + i * from_step + j * size;
                if (size == 4)
                    transpose_4x4(t, to_step, f, from_step);
                else
                    transpose_2x2(t, to_step, f, from_step);
            }
    if (size == 4) {
        move_scattered(to + whole_rows * 4, to_step, from + whole_rows * from_step, from_step, rows - whole_rows, columns,
                       4);
        move_scattered(to + whole_columns * to_step, to_step, from + whole_columns * 4, from_step, whole_rows,
                       columns - whole_columns, 4);
    } else {
        move_scattered(to + whole_rows * 8, to_step, from + whole_rows * from_step, from_step, rows - whole_rows, columns,
                       8);
        move_scattered(to + whole_columns * to_step, to_step, from + whole_columns * 8, from_step, whole_rows,
                       columns - whole_columns, 8);
    }
}

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
    else
        for (int64_t j = 0; j < count; j++)
            ((word8 *)to)[j] = *(const word8 *)(from + j * step);
}
