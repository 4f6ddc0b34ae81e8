/* Winograd tiles: into tasks, by an estimate of what each way costs. */

#include "tiles.h"

#include "algorithms/common.h"

enum {
    POINT_BYTES = 3 << 20,   /* most of a task's tiles, as points and as products */
    CHUNK_BYTES = 320 << 10, /* of weights that a task transforms for itself at a time, a third of Zen 4's L2 */
    MOST_ACROSS = 64,      /* tiles of a row in a task: they are told apart from others by their squares */
    LEAST_ACROSS = 8,      /* unless they have more points than F(4 x 4, 3 x 3) */
    MOST_BLOCKS = 8,      /* and blocks of its panels */
    COPY_PIXEL = 9,       /* estimated cycles to copy a vector, and to square it, */
    POINT = 4,            /* to transform one of a tile's points, */
    STORE_PIXEL = 9,      /* to store a vector of the result, */
    TILE = 50,            /* to begin and end a register tile, */
    PACK_TAP = 7,         /* to pack a vector of weights, */
    PACK_POINT = 5,       /* to transform it to a point, if that stays near, */
    SHARED_LINE = 15,     /* to write a line that another processor may have read, */
    TASK = 2000,          /* for a task, */
    GROUP = 3000,         /* and for one of a group among several: few tiles, and calls that wait for one another */
};

/* Where transformed weights of more than so many bytes lie. Estimated cycles to write a vector of them there, and to call it in, for one
 * task and for each further one: a core of Granite Rapids is sent a line of its third-level cache in 8 cycles, one of Zen 4 in 3. */
static const struct { int64_t bytes; double write, first, again; } memories[] = {
    {20 << 20, 100, 10, 14},    /* in memory that may not be kept from call to call: pages are granted anew; */
    {10 << 20, 30, 10, 14},     /* in far memory, beyond a cache of 32 MiB that others use too; */
    {1 << 19, 14, 3, 8},        /* in another cache; */
    {0, PACK_POINT, 3, 3},      /* near, beside a task's tiles */
};

/* Of an axis, by taps and stride: the scheme of large tiles and that of small ones; F11 for a single tap, and where there is none. */
static const fc_scheme schemes[6][3][2] = {
    [3] = {[1] = {FC_F43, FC_F23}, [2] = {FC_F43S2, FC_F23S2}},
    [5] = {[1] = {FC_F25, FC_F25}, [2] = {FC_F25S2, FC_F25S2}},
};

int fc_has_tiles(const fc_problem *p)
{
    const int64_t longer = most(p->kh, p->kw), shorter = least(p->kh, p->kw);
    return (shorter == longer || (shorter == 1 && p->sh == 1)) && p->sh == p->sw && longer <= 5 && p->sh <= 2 && schemes[longer][p->sh][0] != FC_F11;
}

/* A tile's points of all input channels, and its products of one panel. */
static int64_t tile_bytes(const fc_problem *p, const fc_tile *tile, const fc_cut *c)
{
    return c->points * (c->blocks + least(c->vecs, tile->vecs)) * tile->lanes * element_size(p);
}

fc_cut fc_cut_into(const fc_problem *p, const fc_tile *tile, int small, int64_t rows, int64_t oc_blocks)
{
    const int64_t igc = p->ic / p->groups, size = element_size(p);
    fc_cut c = {.down = schemes[p->kh][p->sh][small], .across = schemes[p->kw][p->sw][small], .oc_blocks = oc_blocks};
    c.points = fc_winograd_points(c.down) * fc_winograd_points(c.across);
    c.tall = fc_winograd_outputs(c.down);
    c.wide = fc_winograd_outputs(c.across);
    c.rows_on = c.tall * p->sh;
    c.columns_on = c.wide * p->sw;
    c.tile_rows = ceil_div(p->oh, c.tall);
    c.tile_columns = ceil_div(p->ow, c.wide);
    c.blocks = ceil_div(igc, tile->lanes);
    c.vecs = ceil_div(p->oc / p->groups, tile->lanes);
    c.panels = ceil_div(c.vecs, tile->vecs);
    c.chunk = least(igc, CHUNK_BYTES / (c.points * tile->columns * size));
    const int64_t tiles = POINT_BYTES / tile_bytes(p, tile, &c);
    c.col_blocks = ceil_div(c.tile_columns, most(least(tiles, MOST_ACROSS), least(LEAST_ACROSS, LEAST_ACROSS * 36 / c.points)));
    c.columns = ceil_div(c.tile_columns, c.col_blocks);
    c.row_blocks = ceil_div(c.tile_rows, rows);
    c.rows = ceil_div(c.tile_rows, c.row_blocks);
    return c;
}

/* Estimated cycles of one thread for what happens to the weights. `apart`: before the tasks, and then they pass through the
 * register tile once in each; or each task transforms them for itself, a chunk at a time, which resumes its sums. */
static double weighing(const fc_problem *p, const fc_tile *tile, const fc_cut *c, double uses, double products, int apart)
{
    const double taps = (double)p->groups * (double)c->vecs * (double)(p->ic / p->groups), points = taps * (double)c->points;
    const double bytes = points * tile->lanes * (double)element_size(p);
    const double packing = taps * (double)(p->kh * p->kw) * PACK_TAP;
    if (!apart)
        return uses * (packing + points * PACK_POINT) + products * 3 / (double)c->chunk;
    int at = 0;
    while (bytes <= (double)memories[at].bytes)
        at++;
    const double stream = points * (memories[at].first + (uses - 1) * memories[at].again);
    const double waits = stream - products / 2; /* Intel's servers do two a cycle */
    return (waits > 0 ? waits : 0) + (p->prepared ? 0 : packing + points * memories[at].write);
}

/* Estimated cycles of one thread. */
static double cycles(const fc_problem *p, const fc_tile *tile, const fc_cut *c, int *apart)
{
    const double uses = (double)p->n * (double)c->row_blocks * (double)c->col_blocks; /* of a panel: tasks */
    const double igc = (double)(p->ic / p->groups), tasks = uses * (double)(p->groups * c->oc_blocks);
    const double tiles = (double)p->n * (double)p->groups * (double)c->tile_rows * (double)c->tile_columns;
    const double strip = (double)((c->rows - 1) * c->rows_on + fc_winograd_points(c->down)) *
                         (double)((c->columns - 1) * c->columns_on + fc_winograd_points(c->across));
    const double in = tasks * ((double)c->blocks * strip * COPY_PIXEL + TASK + (p->groups > 1 ? GROUP : 0)) +
                      tiles * (double)c->oc_blocks * (double)(c->blocks * c->points) * POINT;
    const double out = tiles * (double)c->vecs * (double)(c->points * POINT / 2 + c->tall * c->wide * STORE_PIXEL);
    const int64_t work = c->rows * c->columns;
    const double calls = (double)ceil_div(work, tile->rows) / (double)work * (double)c->panels * TILE;
    /* Vectors that a step of a register tile loads are its rows and the panel's: more than it multiplies, if either is one. */
    const double loads = 1 / (double)least(work, tile->rows) + (double)c->panels / (double)c->vecs;
    const double products = tiles * (double)c->points * ((double)c->vecs * igc * (loads > 1 ? loads : 1) + calls);
    const double once = weighing(p, tile, c, uses, products, 1), each = weighing(p, tile, c, uses, products, 0);
    *apart = p->prepared || once <= each;
    const double idle = (0.25 + 0.25 / tasks) / tasks; /* of a thread, while others work: half of a single task */
    return (in + out + products + (*apart ? once : each)) * (1 + idle);
}

fc_cut fc_cheapest_cut(const fc_problem *p, const fc_tile *tile, int small, double *least_cost, int *apart)
{
    fc_cut best = {0};
    *least_cost = 0;
    for (int64_t oc_blocks = 1; oc_blocks <= least(MOST_BLOCKS, ceil_div(p->oc / p->groups, tile->columns)); oc_blocks *= 2)
        for (int64_t rows = 1; rows <= FC_TILES_DOWN; rows++) {
            const fc_cut c = fc_cut_into(p, tile, small, rows, oc_blocks);
            if (rows > 1 && (rows > c.tile_rows || rows * c.columns * tile_bytes(p, tile, &c) > POINT_BYTES))
                break;
            int once;
            const double takes = cycles(p, tile, &c, &once);
            if (*least_cost == 0 || takes < *least_cost) {
                best = c;
                *least_cost = takes;
                *apart = once;
            }
        }
    return best;
}

int fc_choose_tiles(const fc_problem *p, const fc_tile *tile, double *cycles)
{
    fc_problem one = *p;
    one.n = 1;
    fc_cut c[2]; /* of large tiles and of small ones */
    double takes[2];
    int apart[2];
    for (int i = 0; i < 2; i++)
        c[i] = fc_cheapest_cut(&one, tile, i, &takes[i], &apart[i]);
    const int small = c[1].down != c[0].down && c[1].across != c[0].across && takes[1] < takes[0];
    *cycles = takes[small];
    if (p->sh > 1) /* less is gained, so what several threads wait for one another's lines decides whether it is enough */
        *cycles += (double)(p->groups * c[small].vecs) * SHARED_LINE *
                   (double)(p->oh * p->ow + (apart[small] && !p->prepared ? c[small].points * (p->ic / p->groups) : 0));
    return small;
}
