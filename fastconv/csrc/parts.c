/* How problems are cut for products of split numbers, and what that costs. */

#include "parts.h"

#include "algorithms/common.h"

#include <math.h>

enum {
    STRIP_BYTES = 1 << 20, /* of split pixels: half a second-level cache of 2 MiB, */
    MOST_BYTES = 3 << 20,  /* and of all scratch memory */
    MOST_BLOCKS = 64,      /* of rows that are tried */
    PRODUCT = 260,         /* estimated cycles of a step of a tile, */
    CROSSED = 75,          /* and more where pixels of a tap cross lines, */
    CROWDED = 50,          /* or as the strip leaves less than three quarters of that cache to all else; */
    CALL = 250,            /* to begin and end a tile, */
    SPLIT = 27,            /* to split a pair of vectors, */
    COPY = 12,             /* to copy one, */
    STORE = 10,            /* to store a vector of the result, */
    WEIGHTS = 670,         /* to split weights for a step of a tile, */
    TURNED = 40,           /* more, where output channels lie side by side, */
    FETCH = 270,           /* or to fetch split ones from nearby, */
    FETCH_FAR = 400,       /* or from beyond the second-level cache, */
    NEAR_BYTES = 2 << 20,  /* which holds so much, */
    FETCH_MEMORY = 550,    /* or more than */
    FAR_BYTES = 20 << 20,  /* so much from memory, */
    TASK = 2000,           /* and for a task */
};

fc_split_cut fc_split_cut_into(const fc_problem *p, int64_t rows, int64_t oc_blocks)
{
    fc_split_cut c = {.rows = rows, .oc_blocks = oc_blocks, .taps = p->kh * p->kw};
    c.row_blocks = ceil_div(p->oh, rows);
    c.tiles = ceil_div(p->oc / p->groups, FC_MATRIX_EDGE);
    c.oc_pairs = ceil_div(c.tiles, 2);
    c.blocks = ceil_div(p->ic / p->groups, FC_MATRIX_STEP);
    c.steps = c.blocks * c.taps;
    c.down = least(p->sh / gcd(p->sh, p->dh), p->kh);
    c.across = least(p->sw / gcd(p->sw, p->dw), p->kw);
    c.high = rows + (p->kh - 1) * p->dh / p->sh;
    c.pitch = p->ow + (p->kw - 1) * p->dw / p->sw;
    /* Of a tap that begins anywhere the last tile reads beyond the last pixel; of a single one it ends with the plane. What a row
     * writes beyond its own pixels, up to 15, lies where a later row or the next plane is written, or in the room behind a part. */
    c.plane = ceil_div(c.down * c.across * c.high * c.pitch + (c.taps > 1 ? FC_MATRIX_EDGE : 0), FC_MATRIX_EDGE) * FC_MATRIX_EDGE;
    /* Rows of pairs, pixels with all their channels, and the three parts lie an odd number of lines apart, lest they share a few sets of
     * the cache: rows 41 lines apart meet in none, 40 apart in 8 of 64. */
    c.plane += c.plane / FC_MATRIX_EDGE % 2 ? 0 : FC_MATRIX_EDGE;
    c.pixel = p->channels_last ? (c.blocks | 1) * FC_MATRIX_STEP * 2 : 4;
    c.part = c.plane * (p->channels_last ? c.pixel : c.blocks * FC_MATRIX_STEP / 2 * 4) + 21 * 64;
    return c;
}

int64_t fc_split_pixels_of(const fc_problem *p, const fc_split_cut *c, int64_t rows)
{
    return (rows - 1) * c->pitch + p->ow;
}

int64_t fc_split_tap(const fc_problem *p, const fc_split_cut *c, int64_t ky, int64_t kx)
{
    return ((kx % c->across * c->down + ky % c->down) * c->high + ky * p->dh / p->sh) * c->pitch + kx * p->dw / p->sw;
}

int64_t fc_split_tile_bytes(const fc_split_cut *c)
{
    return c->steps * FC_PARTS * FC_MATRIX_BYTES + 64;
}

const fc_split_scale *fc_split_scale_of(const fc_split_cut *c, const char *tile)
{
    return (const fc_split_scale *)(tile + c->steps * FC_PARTS * FC_MATRIX_BYTES);
}

fc_split_scratch fc_split_scratch_of(const fc_problem *p, const fc_split_cut *c, int packed)
{
    const int64_t igc = p->ic / p->groups, edge = FC_SPLIT_WIDE * 4;
    const fc_phases l = fc_phases_of(p, FC_MATRIX_EDGE, c->rows, p->ow);
    const int64_t pixels = ceil_div(fc_split_pixels_of(p, c, c->rows), FC_SPLIT_WIDE) * FC_SPLIT_WIDE;
    const int64_t window = ((p->ow - 1) * p->sw + (p->kw - 1) * p->dw + 1) * igc * 4;
    const int64_t weights = (c->taps + 1) * FC_MATRIX_STEP * FC_MATRIX_EDGE * 4;
    const int64_t staged = p->channels_last ? 2 * window : FC_SPLIT_STAGED * l.phases * l.plane;
    fc_split_scratch at;
    at.sums_row = p->channels_last ? edge : pixels * 4 + 64;
    at.staged = ceil_div(FC_PARTS * c->part, 64) * 64;
    at.weights = at.staged + ceil_div(most(staged, packed ? 0 : weights), 64) * 64;
    at.sums = at.weights + (packed ? 0 : 2 * fc_split_tile_bytes(c));
    at.squares = ceil_div(at.sums + (p->channels_last ? pixels : FC_SPLIT_WIDE) * at.sums_row, 64) * 64;
    at.largest = at.squares + c->rows * 64;
    at.tables = at.largest + c->rows * (int64_t)sizeof(double);
    at.box = ceil_div(at.tables + 2 * c->steps * (int64_t)sizeof(int64_t), 64) * 64;
    return at;
}

/* Estimated cycles of one thread for an image and a group. */
static double cycles_of(const fc_problem *p, const fc_split_cut *c)
{
    const double rows = (double)c->row_blocks, channels = (double)c->tiles * FC_MATRIX_EDGE, steps = (double)c->steps;
    const int in_place = c->taps == 1 && !(p->pt | p->pb | p->pl | p->pr);
    const double vectors = (double)(c->down * c->across) * (double)ceil_div(c->high * c->pitch, FC_MATRIX_EDGE);
    const double pixels = vectors * (double)c->blocks * (FC_MATRIX_STEP / 2) * (SPLIT + (in_place ? 0 : 2 * COPY));
    const double bytes = (double)(c->tiles * fc_split_tile_bytes(c));
    const double fetch = bytes > FAR_BYTES ? FETCH_MEMORY : bytes > NEAR_BYTES ? FETCH_FAR : FETCH;
    const double weights = (double)c->tiles * steps * (p->prepared ? fetch : WEIGHTS + (p->channels_last ? TURNED : 0));
    const double tiles = (double)ceil_div(fc_split_pixels_of(p, c, c->rows), FC_MATRIX_EDGE) * (double)c->tiles;
    const double store = (double)c->rows * (double)ceil_div(p->ow, FC_MATRIX_EDGE) * channels * STORE;
    const double crowded = 2 * (double)(FC_PARTS * c->part) / STRIP_BYTES - 1;
    const double product = PRODUCT + (p->kw > 1 && !p->channels_last ? CROSSED : 0) + (crowded > 0 ? CROWDED * crowded : 0);
    return rows * ((double)c->oc_blocks * (pixels + TASK) + weights + tiles * (steps * product + CALL) + store);
}

/* With the time that a thread waits for others; what is estimated is without. */
fc_split_cut fc_split_choose(const fc_problem *p, double *cycles)
{
    const double images = (double)p->n * (double)p->groups;
    fc_split_cut best = {.rows = 0};
    double least_time = HUGE_VAL;
    *cycles = HUGE_VAL;
    for (int64_t blocks = 1, rows;; blocks *= 2) {
        rows = blocks < p->oh ? ceil_div(p->oh, blocks) : 1;
        if (rows > 1 && (double)rows * (double)p->ow > STRIP_BYTES) /* before sizes that may not fit 64 bits */
            continue;
        for (int64_t oc_blocks = 1, pairs = 1; oc_blocks <= pairs; oc_blocks *= 2) {
            const fc_split_cut c = fc_split_cut_into(p, rows, oc_blocks);
            if ((rows > 1 && FC_PARTS * c.part > STRIP_BYTES) || fc_split_scratch_of(p, &c, 0).box > MOST_BYTES)
                break;
            pairs = c.oc_pairs;
            const double one = cycles_of(p, &c), time = images * one + one / (double)(c.row_blocks * oc_blocks) * waits(p, c.row_blocks * oc_blocks);
            if (time < least_time) {
                best = c;
                least_time = time;
                *cycles = images * one;
            }
        }
        if (rows == 1 || (best.rows && blocks > MOST_BLOCKS))
            break;
    }
    return best;
}
