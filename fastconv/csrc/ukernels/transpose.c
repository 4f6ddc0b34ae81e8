/* Transposition: moving elements between layouts, for every instruction set.
 *
 * Blocks of a few rows and columns go through registers, 8 x 4 floats where there are vectors of 32 bytes. Rows on one side
 * may be pages apart, so that all their lines fall into one set of the cache: blocks follow one another along the rows of
 * that side, so that few of its lines are in use at a time. (Squares of 16 x 16 floats, which need no line twice, took 0.5
 * to 0.9 cycles of Zen 4 an element, where these blocks take 0.4 to 0.55.) */

#include "fastconv.h"
#include "simd/verbs.h"

#include <string.h>

/* Vectors that every machine has, and of twice their size. */
typedef uint32_t four __attribute__((vector_size(16), may_alias, aligned(4)));
typedef uint64_t two __attribute__((vector_size(16), may_alias, aligned(4)));
typedef uint32_t eight __attribute__((vector_size(32), may_alias, aligned(4)));
typedef uint64_t quad __attribute__((vector_size(32), may_alias, aligned(4)));

typedef void (*move_fn)(char *to, const int64_t *to_at, int64_t to_step, const char *from, int64_t from_step);

static inline int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Columns that are walked along before the next rows: as many lines of the other side stay in the first cache. */
enum { ALONG = 64 };

/* 16 bytes of one row and 16 of another. */
#define FC_JOIN(p, q) __builtin_shufflevector(*(const two *)(p), *(const two *)(q), 0, 1, 2, 3)
#define FC_TO(j) (to + (to_at ? to_at[j] : (j) * to_step))

static inline __attribute__((always_inline)) void transpose_square_f32(char *to, const int64_t *to_at, int64_t to_step,
                                                                       const char *from, int64_t from_step)
{
    const four a = *(const four *)from, b = *(const four *)(from + from_step);
    const four c = *(const four *)(from + 2 * from_step), d = *(const four *)(from + 3 * from_step);
    const four ab0 = __builtin_shufflevector(a, b, 0, 4, 1, 5), cd0 = __builtin_shufflevector(c, d, 0, 4, 1, 5);
    const four ab1 = __builtin_shufflevector(a, b, 2, 6, 3, 7), cd1 = __builtin_shufflevector(c, d, 2, 6, 3, 7);
    *(four *)FC_TO(0) = __builtin_shufflevector(ab0, cd0, 0, 1, 4, 5);
    *(four *)FC_TO(1) = __builtin_shufflevector(ab0, cd0, 2, 3, 6, 7);
    *(four *)FC_TO(2) = __builtin_shufflevector(ab1, cd1, 0, 1, 4, 5);
    *(four *)FC_TO(3) = __builtin_shufflevector(ab1, cd1, 2, 3, 6, 7);
}

static inline __attribute__((always_inline)) void transpose_square_f64(char *to, const int64_t *to_at, int64_t to_step,
                                                                       const char *from, int64_t from_step)
{
    const two a = *(const two *)from, b = *(const two *)(from + from_step);
    *(two *)FC_TO(0) = __builtin_shufflevector(a, b, 0, 2);
    *(two *)FC_TO(1) = __builtin_shufflevector(a, b, 1, 3);
}

static inline __attribute__((always_inline)) void transpose_1_f32(char *to, const int64_t *to_at, int64_t to_step,
                                                                  const char *from, int64_t from_step)
{
    (void)to_step, (void)from_step;
    memcpy(FC_TO(0), from, 4);
}

static inline __attribute__((always_inline)) void transpose_1_f64(char *to, const int64_t *to_at, int64_t to_step,
                                                                  const char *from, int64_t from_step)
{
    (void)to_step, (void)from_step;
    memcpy(FC_TO(0), from, 8);
}

/* In blocks of `high` rows by `wide` columns; the last of a row or column is moved back inside, and moves some elements
 * twice. */
static inline __attribute__((always_inline)) void move_blocks(int64_t size, int64_t high, int64_t wide, move_fn move, char *to,
                                                              const int64_t *to_at, int64_t to_step, const char *from,
                                                              int64_t from_step, int64_t rows, int64_t columns)
{
    const int64_t line = 64 / size;
    if (!to_at && to_step > from_step) {
        for (int64_t first = 0; first < columns; first += line)
            for (int64_t i0 = 0; i0 < rows; i0 += line)
                for (int64_t j = first; j < least(first + line, columns); j += wide)
                    for (int64_t i = i0; i < least(i0 + line, rows); i += high) {
                        const int64_t row = least(i, rows - high), column = least(j, columns - wide);
                        move(to + column * to_step + row * size, NULL, to_step, from + row * from_step + column * size, from_step);
                    }
        return;
    }
    for (int64_t first = 0; first < columns; first += ALONG)
        for (int64_t i = 0; i < rows; i += high) {
            const int64_t row = least(i, rows - high), end = least(first + ALONG, columns);
            char *const at = to + row * size;
            const char *const block = from + row * from_step;
            int64_t j = first;
            for (; j + wide <= end; j += wide)
                move(at + (to_at ? 0 : j * to_step), to_at ? to_at + j : NULL, to_step, block + j * size, from_step);
            if (j < end)
                move(at + (to_at ? 0 : (columns - wide) * to_step), to_at ? to_at + columns - wide : NULL, to_step,
                     block + (columns - wide) * size, from_step);
        }
}

#define FC_MOVE_BLOCKS(HIGH, WIDE, MOVE)                                                                               \
    do {                                                                                                               \
        if (to_at)                                                                                                     \
            move_blocks(size, HIGH, WIDE, MOVE, to, to_at, 0, from, from_step, rows, columns);                         \
        else                                                                                                           \
            move_blocks(size, HIGH, WIDE, MOVE, to, NULL, to_step, from, from_step, rows, columns);                    \
    } while (0)

#define FC_EACH "ukernels/transpose.isa.h"
#include "simd/kernels.h"
#undef FC_EACH

#undef FC_TO
#undef FC_JOIN

static const fc_transpose_fn transposers[][FC_DTYPES] = {
#define FC_EACH "ukernels/transpose.row.h"
#include "simd/rows.h"
#undef FC_EACH
};

fc_transpose_fn fc_transpose_of(int isa, fc_dtype dtype)
{
    return transposers[isa][dtype];
}
