/* Transposition: moving elements between layouts, for every instruction set. */

#include "fastconv.h"
#include "simd/verbs.h"

#include <string.h>

/* What is smaller than a square of vectors goes in squares of 16-byte vectors, which every machine has, or one by one. */
typedef uint32_t four __attribute__((vector_size(16), may_alias, aligned(4)));
typedef uint64_t two __attribute__((vector_size(16), may_alias, aligned(8)));

#define FC_TO(j) (to + (to_at ? to_at[j] : (j) * to_step))

static void transpose_16_bytes_f32(char *to, const int64_t *to_at, int64_t to_step, const char *from, int64_t from_step)
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

static void transpose_16_bytes_f64(char *to, const int64_t *to_at, int64_t to_step, const char *from, int64_t from_step)
{
    const two a = *(const two *)from, b = *(const two *)(from + from_step);
    *(two *)FC_TO(0) = __builtin_shufflevector(a, b, 0, 2);
    *(two *)FC_TO(1) = __builtin_shufflevector(a, b, 1, 3);
}

static void transpose_1_f32(char *to, const int64_t *to_at, int64_t to_step, const char *from, int64_t from_step)
{
    (void)to_step, (void)from_step;
    memcpy(FC_TO(0), from, 4);
}

static void transpose_1_f64(char *to, const int64_t *to_at, int64_t to_step, const char *from, int64_t from_step)
{
    (void)to_step, (void)from_step;
    memcpy(FC_TO(0), from, 8);
}

#undef FC_TO

#define FC_EACH "ukernels/transpose.isa.h"
#include "simd/foreach.h"
#undef FC_EACH

static const fc_transpose_fn transposers[][FC_DTYPES] = {
#define FC_EACH "ukernels/transpose.row.h"
#include "simd/foreach.h"
#undef FC_EACH
};

fc_transpose_fn fc_transpose_of(int isa, fc_dtype dtype)
{
    return transposers[isa][dtype];
}
