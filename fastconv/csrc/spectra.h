/* spectra.h: how the problems of the row `fft` are cut, and what that costs. */
#ifndef FC_SPECTRA_H
#define FC_SPECTRA_H

#include "algorithms/common.h"
#include "fourier.h"

/* How a problem is cut. */
typedef struct {
    fc_axis down, across;
    int64_t tall, wide;              /* outputs of a tile, which has twice the rows of a spectrum */
    int64_t tile_rows, tile_columns; /* tiles of an image, */
    int64_t tiles, tile_blocks;      /* and all of them, and blocks of them; */
    int64_t groups, held;            /* whose kernels are held at a time, and how many of each: all, or some of one group; */
    int64_t oc_rounds, rounds;       /* of a group, and of all */
    int64_t oc_blocks, ic_blocks;    /* blocks of a round's output channels of a group, and of input channels */
    int64_t vectors;                 /* of a spectrum */
} fc_spectrum;

/* The cut for axes of these points. */
fc_spectrum fc_spectrum_of(const fc_problem *p, const fc_tile *tile, int eight, int64_t down, int64_t across);

/* The cheapest cut, and its estimated cycles of one thread. Of one image, since it decides the bits. */
fc_spectrum fc_cheapest_spectrum(const fc_problem *p, const fc_tile *tile, double *cycles);

/* Bytes of spectra of `count` tiles or kernels, at each vector of frequencies, with a line more where that might be a multiple
 * of a page. */
static inline int64_t fc_vector_bytes(const fc_plan *plan, int64_t count)
{
    return count * 2 * plan->tile->lanes * (plan->problem.dtype == FC_F32 ? 4 : 8) + (count > 1 ? 64 : 0);
}

/* The output channels of a group that a round begins with, and ends before. */
static inline int64_t fc_round_begin(const fc_problem *p, const fc_spectrum *s, int64_t round)
{
    return part(round % s->oc_rounds, s->oc_rounds, p->oc / p->groups);
}

static inline int64_t fc_round_end(const fc_problem *p, const fc_spectrum *s, int64_t round)
{
    return part(round % s->oc_rounds + 1, s->oc_rounds, p->oc / p->groups);
}

/* Where the parts of the packed weights begin, in bytes: twiddles down at 0, and across, limits of the output channels, a round's
 * spectra; and how many bytes there are from a group or a vector of frequencies to the next, and of all. */
typedef struct {
    int64_t across, limits, spectra, of_group, of_vector, bytes;
} fc_packing;

fc_packing fc_packing_of(const fc_plan *plan, const fc_spectrum *s);

enum { FC_KERNEL_PACKS = 32 }; /* most parts of a round's packing: each of the first computes twiddles for itself */

/* Part `task` of packing weights, with limits for sums that grow by `growth`. */
void fc_pack_spectra(const fc_plan *plan, const fc_spectrum *s, const fc_operands *operands, int64_t task, double growth);

#endif
