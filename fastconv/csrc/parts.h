/* parts.h: how the problems of the row `split` are cut, and their numbers split into parts. */
#ifndef FC_PARTS_H
#define FC_PARTS_H

#include "fastconv.h"

enum {
    FC_SPLIT_TAPS = 49, /* most of a kernel: 100 KiB of weights of 32 channels, before they are split */
    FC_SPLIT_STAGED = 8, /* channels that are copied before they are split */
    FC_SPLIT_WIDE = 2 * FC_MATRIX_EDGE, /* most outputs on an edge of what is multiplied at a time */
};

/* How a problem is cut. */
typedef struct {
    int64_t rows, row_blocks;         /* of outputs */
    int64_t tiles, oc_pairs, oc_blocks; /* of output channels of a group, two by two, and blocks of those */
    int64_t blocks, taps, steps;      /* of input channels, of the kernel, and both: of the sum of an output */
    int64_t down, across;             /* phases of the stride that the kernel reads */
    int64_t high, pitch;              /* rows of a phase, and pixels of one */
    int64_t plane;                    /* pixels of all phases, with those that the last tile reads beyond the last */
    int64_t pixel, part;              /* bytes of a pixel in the strip, and of one part of the strip */
} fc_split_cut;

/* Cut into tasks of at most `rows` rows of outputs and `oc_blocks` blocks of output channels. */
fc_split_cut fc_split_cut_into(const fc_problem *p, int64_t rows, int64_t oc_blocks);

/* The cheapest cut and its estimated cycles, or one with rows 0 where the pixels of a single row of outputs are too many. */
fc_split_cut fc_split_choose(const fc_problem *p, double *cycles);

/* The pixels from a row of outputs to the next, through row ends: those from the first output of `rows` rows to the last. */
int64_t fc_split_pixels_of(const fc_problem *p, const fc_split_cut *c, int64_t rows);

/* Where a tap's first pixel lies in the strip, in pixels. */
int64_t fc_split_tap(const fc_problem *p, const fc_split_cut *c, int64_t ky, int64_t kx);

/* Where the parts of a thread's scratch memory begin, in bytes from the strip at 0. */
typedef struct {
    int64_t staged, weights, sums, sums_row, squares, largest, tables, box;
} fc_split_scratch;

fc_split_scratch fc_split_scratch_of(const fc_problem *p, const fc_split_cut *c, int packed);

/* What is known of a tile of weights: the largest of any output channel, roughly, and of the channel where that is least; 0 and infinity
 * where all are 0. It follows the weights. */
typedef struct {
    float high, low;
} fc_split_scale;

int64_t fc_split_tile_bytes(const fc_split_cut *c);
const fc_split_scale *fc_split_scale_of(const fc_split_cut *c, const char *tile);

/* Split weights of tile `tile` of a group's output channels. `staged` has room for FC_MATRIX_STEP channels, and a step more. */
void fc_split_weights(const fc_plan *plan, const fc_operands *operands, const fc_split_cut *c, int64_t group, int64_t tile, char *to,
                      char *staged);

/* Split the pixels that `rows` rows of outputs from `row` on read of an image and a group. */
void fc_split_pixels(const fc_plan *plan, const fc_operands *operands, const fc_split_cut *c, int64_t n, int64_t group, int64_t row,
                     int64_t rows, char *strip, char *staged);

/* Whether all pixels of the rows that row `row` of an image's outputs reads are 0. */
int fc_split_is_zero(const fc_plan *plan, const fc_operands *operands, int64_t n, int64_t group, int64_t row);

/* The largest of the split pixels that row `row` of a task's outputs reads, to 8 bits: 0 where it is subnormal, too. */
double fc_split_largest(const fc_problem *p, const fc_split_cut *c, const char *strip, int64_t row);

#endif
