/* strips.h: a kernel of more taps than there are outputs, cut into strips, and its outputs into tasks; for `outer`. */
#ifndef FC_STRIPS_H
#define FC_STRIPS_H

#include "algorithms/common.h"

/* Offsets of each step: what is read, by two widths of panels, and lines that are called into the cache. */
enum { X_OFF, W_OFF, Y_AHEAD = W_OFF + 2, X_AHEAD = Y_AHEAD + 2, TABLES };

/* How a problem is cut. */
typedef struct {
    int turned;            /* images side by side in a vector, in place of output channels */
    int across;            /* outputs of a row as the rows of a tile, in place of images */
    int64_t wide, deep;    /* what lies side by side, and what else there is to a group: images and output channels */
    int64_t vectors;       /* of the former */
    int64_t wide_parts, deep_parts, row_parts; /* tasks: of vectors, of the others, and of rows of outputs */
    int64_t rows, columns, channels;           /* of the kernel, in a strip */
} fc_strips;

/* Where the parts of a thread's scratch memory begin, in bytes from the panels at 0. */
typedef struct {
    int64_t window, sums, tables, end;
} fc_strips_parts;

const char *fc_strips_reject(const fc_problem *p);

static inline int padded(const fc_problem *p)
{
    return (p->pt | p->pb | p->pl | p->pr) != 0;
}

/* Whether what is broadcast is copied first. The steps of a block of channels go from channel to channel, of which many lie a
 * multiple of 4 KiB apart, in one set of the first-level cache. */
static inline int fc_strips_copy(const fc_problem *p)
{
    return padded(p) || p->ic > p->groups;
}

/* The cheapest way to cut a problem, and its estimated cycles of one thread; and that way again from its parts. */
fc_strips fc_strips_choose(const fc_problem *p, const fc_tile *tile, double *cycles);
fc_strips fc_strips_into(const fc_problem *p, const fc_tile *tile, int turned, int64_t wide_parts, int64_t deep_parts,
                         int64_t row_parts);

/* A part of the kernel as a problem of its own. */
static inline fc_problem fc_strip_of(const fc_problem *p, int64_t rows, int64_t columns)
{
    fc_problem strip = *p;
    strip.kh = rows;
    strip.kw = columns;
    return strip;
}

fc_strips_parts fc_strips_room(const fc_problem *p, const fc_tile *tile, const fc_strips *c);

/* Panels of vectors and the most rows of a tile: the shape of fewest tiles. */
int64_t fc_strips_panels(const fc_tile *tile, int64_t vectors, int64_t rows, int64_t *high);

#endif
