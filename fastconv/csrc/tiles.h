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
    int64_t kept;                    /* panels whose products wait for one another: one, or all of a task */
} fc_cut;

/* Ways to cut: in tiles of F(2, 3), not F(4, 3), and a point after the other through all panels of a task, not panel by panel. */
enum { FC_SMALL = 1, FC_BY_POINTS = 2 };

/* Whether there are schemes for such a kernel and strides. */
int fc_has_tiles(const fc_problem *p);

/* Cut into tasks of at most `rows` rows of tiles and `oc_blocks` blocks of panels, in one of those ways. */
fc_cut fc_cut_into(const fc_problem *p, const fc_tile *tile, int way, int64_t rows, int64_t oc_blocks);

/* What is cut: a grid, and as many images as there are grids of them all; and the cut that the row's `prepare` chose. */
fc_problem fc_cut_problem(const fc_problem *p);
fc_cut fc_cut_of(const fc_plan *plan);

/* Bytes of a tile in a task: its points of all input channels, and its products of the panels that are kept. */
int64_t fc_points_bytes(const fc_problem *p, const fc_tile *tile, const fc_cut *c);
int64_t fc_products_bytes(const fc_problem *p, const fc_tile *tile, const fc_cut *c);

/* Estimated cycles of one thread, and whether the weights are transformed before the tasks. */
double fc_cut_cycles(const fc_problem *p, const fc_tile *tile, const fc_cut *c, int *apart);

/* The cheapest cut, its way, and those two. */
fc_cut fc_cheapest_cut(const fc_problem *p, const fc_tile *tile, int small, int *way, double *cycles, int *apart);

/* Whether the smaller tiles are cheaper, and the cycles of one image. It decides the bits, so one image and one instruction set
 * decide it. */
int fc_choose_tiles(const fc_problem *p, const fc_tile *tile, double *cycles);

/* The panel of a vector of output channels, and how many there are in one. */
int64_t fc_panel_of(const fc_cut *c, int64_t vector);
int64_t fc_panel_vecs(const fc_cut *c, int64_t panel);

/* Bytes from a point to the next of `vecs` vectors of weights of `channels`, with a line more than there need be, or all those that
 * a step reads would share a few sets of the cache; and from the beginning of the packed weights to a panel's: its points, and then
 * the limits of its channels. */
int64_t fc_point_bytes(const fc_plan *plan, int64_t vecs, int64_t channels);
int64_t fc_panel_at(const fc_plan *plan, const fc_cut *c, int64_t group, int64_t panel);

/* Weights of `channels` from `channel` on and of a panel's vectors from vec0 to vec1, transformed; adds their squares to those of
 * the panel's channels before `channel`. */
void fc_transform_weights(const fc_plan *plan, const fc_operands *operands, const fc_cut *c, int64_t group, int64_t panel,
                          int64_t vec0, int64_t vec1, int64_t channel, int64_t channels, char *to, char *squares);

/* Sums of squares to the limits that they set. */
void fc_set_limits(const fc_problem *p, char *squares, int64_t count);

/* What results may err by, with so many input channels a group. */
fc_error fc_points_error(fc_scheme down, fc_scheme across, int64_t channels);

#endif
