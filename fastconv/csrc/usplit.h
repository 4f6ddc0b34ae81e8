/* usplit.h: the contracts of the microkernels for products of split numbers; a part of ukernels.h.
 *
 * A number of f32 is the sum of three of bfloat16, its parts: the 8 leading bits of its 24, rounded to nearest, those of what is left,
 * and what is left of that. Of the nine products of parts of two numbers six count; the others are 2^-23 of the whole at most. */
#ifndef FC_USPLIT_H
#define FC_USPLIT_H

#include <stdint.h>

/* Outputs on an edge of a matrix tile, numbers that one product of tiles sums, and bytes of a tile of either factor. */
enum { FC_PARTS = 3, FC_MATRIX_EDGE = 16, FC_MATRIX_STEP = 32, FC_MATRIX_BYTES = 1024 };

/* Rows of `count` numbers that lie side by side, to parts that lie `part` bytes apart; steps from row to row in bytes. With `odd`
 * each number's parts and those of the other row's, NULL for zeros, make a pair of 4 bytes; and 64 bytes at a time are written. Without
 * it they follow one another, with zeros until they fill a step. What lies `ahead` bytes further on is called into the cache. The squares
 * of row i's numbers are added to the 16 sums at squares + i * squares_step, those of number j to sum j % 16; or squares is NULL. Leaf. */
typedef struct {
    const char *from, *odd;
    int64_t from_step;
    char *to;
    int64_t to_step, part;
    int64_t rows, count, ahead;
    char *squares;
    int64_t squares_step;
} fc_split_move;

/* Rows of `count` sums to the result: + *bias, or each its own where `biases` is set; NULL for none. Squares of row i's sums are added to the
 * 16 at squares + i * squares_step, which are not finite then where a sum is not, or is huge. Leaf. */
typedef struct {
    const char *from;
    int64_t from_step;
    char *to;
    int64_t to_step;
    int64_t rows, count;
    const char *bias;
    int biases;
    char *squares;
    int64_t squares_step;
} fc_split_ends;

/* Sums of `steps` products of tiles: one or two tiles of rows by one or two of columns. Rows of part k of the step s of row tile i,
 * FC_MATRIX_STEP numbers each, lie at a + a_off[s] + k * a_part + i * a_tile, a_row bytes apart; of column tiles pairs of numbers, rows
 * of FC_MATRIX_EDGE of them, b_row bytes apart, at b + b_off[s] + k * b_part + j * b_tile. The sums go to rows `to_row` bytes apart. With each
 * product `lines` lines are called into the second-level cache, from `ahead` on. Leaf.
 *
 * A product of tiles adds to each sum those of its even and of its odd products, chains of fused multiply-adds from +0; subnormal
 * numbers are 0 to all of them, and results that would be subnormal become 0. */
typedef struct {
    int64_t steps;
    const char *a;
    const int64_t *a_off;
    int64_t a_part, a_tile, a_row;
    const char *b;
    const int64_t *b_off;
    int64_t b_part, b_tile, b_row;
    char *to;
    int64_t to_row;
    int resumes; /* sums that are there already */
    const char *ahead;
    int64_t lines;
} fc_split_run;

typedef struct {
    void (*open)(void);  /* before any product of a task, */
    void (*close)(void); /* and after the last */
    void (*pairs)(const fc_split_move *move);
    void (*side_by_side)(const fc_split_move *move);
    void (*store)(const fc_split_ends *ends);
    void (*run[3][3])(const fc_split_run *run); /* by tiles of rows and of columns, 1 or 2 */
} fc_split;

const fc_split *fc_split_of(int isa);

#endif
