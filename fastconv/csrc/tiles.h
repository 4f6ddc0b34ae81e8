/* tiles.h: how the problems of the row `winograd` are cut, and what that costs. */
#ifndef FC_TILES_H
#define FC_TILES_H

#include "fastconv.h"

enum {
    FC_TILES_DOWN = 16,       /* most rows of tiles in a task */
    FC_TILES_CHANNELS = 4096, /* most input channels of a group, so that the least tiles of a task stay under 5 MiB */
};

/* How a problem is cut. */
typedef struct {
    fc_scheme down, across;
    int64_t points, tall, wide;      /* of a tile: its points, rows and columns of outputs, */
    int64_t rows_on, columns_on;     /* and of pixels to the next one */
    int64_t tile_rows, tile_columns; /* tiles of an image */
    int64_t row_blocks, col_blocks;  /* blocks of them, */
    int64_t rows, columns;           /* and most in a task */
    int64_t vecs, panels, oc_blocks; /* vectors of output channels in a group, panels of them, blocks of panels */
    int64_t blocks;                  /* vectors of input channels, */
    int64_t chunk;                   /* and channels of weights that a task transforms at a time */
} fc_cut;

/* Whether there are schemes for such a kernel and strides. */
int fc_has_tiles(const fc_problem *p);

/* Cut into tasks of at most `rows` rows of tiles and `oc_blocks` blocks of panels; F(2, 3) where `small`, else F(4, 3). */
fc_cut fc_cut_into(const fc_problem *p, const fc_tile *tile, int small, int64_t rows, int64_t oc_blocks);

/* The cheapest cut, its estimated cycles of one thread, and whether the weights are transformed before the tasks. */
fc_cut fc_cheapest_cut(const fc_problem *p, const fc_tile *tile, int small, double *cycles, int *apart);

/* Whether the smaller tiles are cheaper, and the cycles of one image. It decides the bits, so one image decides it. */
int fc_choose_tiles(const fc_problem *p, const fc_tile *tile, double *cycles);

/* What results may err by, with so many input channels a group. */
fc_error fc_points_error(fc_scheme down, fc_scheme across, int64_t channels);

#endif
