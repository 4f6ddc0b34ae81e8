/* Transposition with one instruction set, for each size of element. */

#include "simd/begin.h"

/* Two squares of 16-byte vectors side by side: half the shuffles of a square of 32-byte vectors. Only for instruction sets
 * that have vectors of 32 bytes. */
static inline __attribute__((always_inline)) void FC_PASTE3(transpose_pair, f32, FC_ISA)(char *to, const int64_t *to_at,
                                                                                        int64_t to_step, const char *from,
                                                                                        int64_t from_step)
{
    eight row[4];
    FC_UNROLL
    for (int i = 0; i < 4; i++)
        row[i] = (eight)FC_JOIN(from + i * from_step, from + (i + 4) * from_step);
    const quad ab0 = (quad)__builtin_shufflevector(row[0], row[1], 0, 8, 1, 9, 4, 12, 5, 13);
    const quad ab1 = (quad)__builtin_shufflevector(row[0], row[1], 2, 10, 3, 11, 6, 14, 7, 15);
    const quad cd0 = (quad)__builtin_shufflevector(row[2], row[3], 0, 8, 1, 9, 4, 12, 5, 13);
    const quad cd1 = (quad)__builtin_shufflevector(row[2], row[3], 2, 10, 3, 11, 6, 14, 7, 15);
    *(quad *)FC_TO(0) = __builtin_shufflevector(ab0, cd0, 0, 4, 2, 6);
    *(quad *)FC_TO(1) = __builtin_shufflevector(ab0, cd0, 1, 5, 3, 7);
    *(quad *)FC_TO(2) = __builtin_shufflevector(ab1, cd1, 0, 4, 2, 6);
    *(quad *)FC_TO(3) = __builtin_shufflevector(ab1, cd1, 1, 5, 3, 7);
}

static inline __attribute__((always_inline)) void FC_PASTE3(transpose_pair, f64, FC_ISA)(char *to, const int64_t *to_at,
                                                                                        int64_t to_step, const char *from,
                                                                                        int64_t from_step)
{
    quad row[2];
    FC_UNROLL
    for (int i = 0; i < 2; i++)
        row[i] = FC_JOIN(from + i * from_step, from + (i + 2) * from_step);
    *(quad *)FC_TO(0) = __builtin_shufflevector(row[0], row[1], 0, 4, 2, 6);
    *(quad *)FC_TO(1) = __builtin_shufflevector(row[0], row[1], 1, 5, 3, 7);
}

#define FC_T f32
#include "ukernels/transpose.ukr.h"
#undef FC_T

#define FC_T f64
#include "ukernels/transpose.ukr.h"
#undef FC_T

#include "simd/end.h"
