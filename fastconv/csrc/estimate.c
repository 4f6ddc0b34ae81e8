/* What a cut of Winograd's tiles into tasks costs. */

#include "tiles.h"

#include "algorithms/common.h"

enum {
    COPY_PIXEL = 9,  /* estimated cycles to copy a vector, and to square it, */
    POINT = 4,       /* to transform one of a tile's points, */
    STORE_PIXEL = 9, /* to store a vector of the result, */
    TILE = 50,       /* to begin and end a register tile, */
    PACK_TAP = 7,    /* to pack a vector of weights, */
    PACK_POINT = 5,  /* to transform it to a point, if that stays near, */
    FETCH = 6,       /* to fetch a vector from beyond the second-level cache, 1 MiB on Zen 4 and 2 on Granite Rapids, */
    TASK = 2000,     /* for a task, */
    GROUP = 3000,    /* and for one of a group among several: few tiles, and calls that wait for one another */
    NEAR_BYTES = 2 << 20, /* what that cache holds */
};

/* Where transformed weights of more than so many bytes lie. Estimated cycles to write a vector of them there, and to call it in, for one
 * task and for each further one: a core of Granite Rapids is sent a line of its third-level cache in 8 to 10 cycles, and of memory in
 * 14 to 18; one of Zen 4 of that cache in 3. */
static const struct { int64_t bytes; double write, first, again; } memories[] = {
    {20 << 20, 100, 14, 14},    /* in memory that may not be kept from call to call: pages are granted anew; */
    {10 << 20, 30, 10, 14},     /* in far memory, beyond a cache of 32 MiB that others use too; */
    {1 << 19, 14, 3, 10},       /* in another cache; */
    {0, PACK_POINT, 3, 3},      /* near, beside a task's tiles */
};

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
    const double late = stream - products / 3; /* Intel's servers do two a cycle, and wait for what one of three could have hidden */
    return (late > 0 ? late : 0) + (p->prepared ? 0 : packing + points * (memories[at].write + shared_line(p)));
}

/* Estimated cycles of one thread. */
double fc_cut_cycles(const fc_problem *p, const fc_tile *tile, const fc_cut *c, int *apart)
{
    const double uses = (double)p->n * (double)c->row_blocks * (double)c->col_blocks; /* of a panel: tasks */
    const double igc = (double)(p->ic / p->groups), tasks = uses * (double)(p->groups * c->oc_blocks);
    const double tiles = (double)p->n * (double)p->groups * (double)c->tile_rows * (double)c->tile_columns;
    const double strip = (double)((c->rows - 1) * c->rows_on + fc_winograd_points(c->down)) *
                         (double)((c->columns - 1) * c->columns_on + fc_winograd_points(c->across));
    const double in = tasks * ((double)c->blocks * strip * COPY_PIXEL + TASK + (p->groups > 1 ? GROUP : 0)) +
                      tiles * (double)c->oc_blocks * (double)(c->blocks * c->points) * POINT;
    const double out = tiles * (double)c->vecs * (double)(c->points * POINT / 2 + c->tall * c->wide * STORE_PIXEL);
    const int64_t work = c->rows * c->columns, vector = tile->lanes * element_size(p);
    const double calls = (double)ceil_div(work, tile->rows) / (double)work * (double)c->panels * TILE;
    /* Vectors that a step of a register tile loads are its rows and the panel's: more than it multiplies, if either is one. */
    const double loads = 1 / (double)least(work, tile->rows) + (double)c->panels / (double)c->vecs;
    const double products = tiles * (double)c->points * ((double)c->vecs * igc * (loads > 1 ? loads : 1) + calls);
    /* Points and products of a task that come from afar, if all is too much to stay near: points for each panel, or both once. */
    const double points = (double)(work * fc_points_bytes(p, tile, c)), kept = (double)(work * fc_products_bytes(p, tile, c));
    const double panel = (double)(c->points * (p->ic / p->groups) * tile->columns * element_size(p));
    const double far = c->kept > 1 ? points + 2 * kept : points * (double)ceil_div(c->panels, c->oc_blocks);
    const double room = (points + kept + (c->kept > 1 ? 0 : panel)) / NEAR_BYTES, away = room < 0.5 ? 0 : room > 1 ? 1 : 2 * room - 1;
    const double once = weighing(p, tile, c, uses, products, 1), each = weighing(p, tile, c, uses, products, 0);
    *apart = p->prepared || once <= each;
    /* Of a thread, while others work: a quarter of a task, three if two threads have an odd number, and more where they are few. */
    const double wait = waits(p, c->row_blocks * c->col_blocks * c->oc_blocks);
    const double idle = wait * (0.25 + wait / 2 + 0.5 / tasks) / tasks;
    return (in + out + products + tasks * away * far / (double)vector * FETCH + (*apart ? once : each)) * (1 + idle);
}
