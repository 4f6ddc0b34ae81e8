/* Sizes of Fourier transforms, and tasks, by an estimate of what each way costs. */

#include "spectra.h"

#include "algorithms/common.h"

enum {
    SPECTRA_BYTES = 2 << 20, /* of a task's pixels as spectra, and as much of its results, while they are more than one */
    NEAR_BYTES = 256 << 10,  /* of kernels' spectra that stay in the second-level cache from one tile to the next; beyond, */
    SHARE = 4,               /* so many tiles share them */
    HELD_BYTES = 4 << 20,    /* of kernels' spectra that a call holds at a time, and works off in rounds; a plan holds all */
    LEAST_TASKS = 4,         /* of an image, in a round */
    PASS = 8,                /* estimated cycles of a pass for a vector of complex numbers, */
    TURN = 10,               /* to turn it over and bring it into the slab, */
    PRODUCT = 4,             /* to multiply it, */
    ENDS = 12,               /* and to load its factors and store it; */
    PIXEL = 14,              /* to bring or take away a line of 64 bytes, */
    FAR_BYTES = 1 << 20,     /* of an image that does not stay in the second-level cache, */
    FAR_LINE = 30,           /* and to write a line of such a result, where several channels' spectra lie between two tiles; */
    STREAM = 4,              /* to call in a line of kernels' spectra, */
    STREAM_FAR = 10,         /* from memory, where a plan keeps more than */
    KEPT_BYTES = 20 << 20,   /* so many of them, */
    PACK = 30,               /* and to gather and scatter a vector of theirs; */
    BEGIN = 1000,            /* of a tile or a kernel, whatever its size */
};

fc_spectrum fc_spectrum_of(const fc_problem *p, const fc_tile *tile, int eight, int64_t down, int64_t across)
{
    const int64_t igc = p->ic / p->groups, ocg = p->oc / p->groups, bytes = 2 * down * across * element_size(p);
    const int64_t most_spectra = most(SPECTRA_BYTES / bytes, 1), held = p->prepared ? p->oc : most(HELD_BYTES / (bytes * igc), 1);
    fc_spectrum s = {.down = fc_axis_of(down, eight, 1), .across = fc_axis_of(across, eight, 0)};
    s.tall = 2 * down - p->kh + 1;
    s.wide = across - p->kw + 1;
    s.tile_rows = ceil_div(p->oh, s.tall);
    s.tile_columns = ceil_div(p->ow, s.wide);
    s.tiles = s.tile_rows * s.tile_columns;
    s.vectors = down * across / tile->lanes;
    s.ic_blocks = ceil_div(igc, most_spectra);
    s.tile_blocks = ceil_div(s.tiles, bytes * igc * ocg > NEAR_BYTES && igc > 1 ? least(most(most_spectra / igc, 1), SHARE) : 1);
    s.groups = least(most(held / ocg, 1), p->groups);
    s.oc_rounds = ceil_div(ocg, held);
    s.rounds = ceil_div(p->groups, s.groups) * s.oc_rounds;
    s.held = ceil_div(ocg, s.oc_rounds);
    s.oc_blocks = ceil_div(s.held, most(most_spectra / ceil_div(s.tiles, s.tile_blocks), 1));
    while (s.tile_blocks < s.tiles && s.groups * s.tile_blocks * s.oc_blocks < LEAST_TASKS)
        s.tile_blocks = least(2 * s.tile_blocks, s.tiles);
    while (s.oc_blocks < s.held && s.groups * s.tile_blocks * s.oc_blocks < LEAST_TASKS)
        s.oc_blocks = least(2 * s.oc_blocks, s.held);
    return s;
}

/* Estimated cycles to move `pixels` of a tile one by one, where other channels' lie between one and the next. Of an image that is
 * far away, each channel calls all lines in again. */
static double apart(const fc_problem *p, int64_t channels, int64_t image, int64_t pixels)
{
    const int64_t step = channels * element_size(p);
    const double line = step * image > FAR_BYTES ? (double)least(step, 64) / 32 : 0;
    return p->channels_last && channels > 1 ? (double)least(pixels, image) * (1.5 + line) : 0;
}

/* Estimated cycles to write the result of several channels to memory, in pieces of rows; channels last are in `apart`. On Granite Rapids
 * it takes more than 100 a line. */
static double written(const fc_problem *p)
{
    const double bytes = (double)(p->oh * p->ow) * (double)p->oc * (double)element_size(p);
    const int several = p->ic > p->groups || p->oc > p->groups;
    return several && !p->channels_last && bytes > FAR_BYTES ? bytes / 64 * FAR_LINE : 0;
}

/* Estimated cycles of one thread. */
static double cycles(const fc_problem *p, const fc_spectrum *s)
{
    const double tiles = (double)p->n * (double)p->groups * (double)s->tiles, vectors = (double)s->vectors;
    const double igc = (double)(p->ic / p->groups), ocg = (double)(p->oc / p->groups), size = (double)element_size(p);
    const double bytes = 2 * (double)(s->down.points * s->across.points) * size, kernels = bytes * igc * ocg;
    const double blocks = (double)(s->oc_rounds * s->oc_blocks);
    const double line = PASS * (s->down.passes + s->across.passes) + TURN;
    const double lines = tiles * (vectors * line + BEGIN) * (igc * blocks + ocg);
    const double products = tiles * vectors * (PRODUCT * igc * ocg + ENDS);
    const double in = (double)(s->down.points * s->across.points) * igc * blocks, out = (double)(s->tall * s->wide) / 2 * ocg;
    const double pixels = tiles * PIXEL * size / 64 * (in + out);
    const double call = p->prepared && (double)p->groups * kernels > KEPT_BYTES ? STREAM_FAR : STREAM;
    const double stream = kernels > SPECTRA_BYTES ? (double)p->n * (double)p->groups * (double)s->tile_blocks * kernels / 64 * call : 0;
    const double packing = p->prepared ? 0 : (double)p->groups * igc * ocg * (vectors * (line + PACK) + BEGIN);
    return lines + products + pixels + stream + packing;
}

fc_spectrum fc_cheapest_spectrum(const fc_problem *p, const fc_tile *tile, double *least_cost)
{
    static const int64_t sizes[] = {16, 32, 48, 64, 96, 128, 144, 192, 256};
    const int count = sizeof sizes / sizeof sizes[0], eight = tile->rows * tile->vecs >= 16;
    fc_problem one = *p;
    one.n = 1;
    fc_spectrum best = {0};
    *least_cost = 0;
    for (int i = 0; i < count; i++)
        for (int j = 0; j < count; j++) {
            const int64_t kernel = 2 * sizes[i] * sizes[j] * element_size(p) * (p->ic / p->groups);
            if (sizes[i] < p->kh || sizes[j] < p->kw || (best.tiles && !p->prepared && kernel > HELD_BYTES))
                continue;
            const fc_spectrum s = fc_spectrum_of(&one, tile, eight, sizes[i], sizes[j]);
            const double takes = cycles(&one, &s);
            if (*least_cost == 0 || takes < *least_cost) {
                best = s;
                *least_cost = takes;
            }
        }
    const double tiles = (double)p->groups * (double)best.tiles, again = (double)(best.oc_rounds * best.oc_blocks);
    *least_cost += tiles * (double)(p->ic / p->groups) * again * apart(p, p->ic, p->ih * p->iw, 2 * best.down.points * best.across.points);
    *least_cost += tiles * (double)(p->oc / p->groups) * apart(p, p->oc, p->oh * p->ow, best.tall * best.wide);
    *least_cost += written(p);
    return best; /* the same in all layouts, to the same bits */
}
