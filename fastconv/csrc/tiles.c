/* Winograd tiles: into tasks, by an estimate of what each way costs. */

#include "tiles.h"

#include "algorithms/common.h"

enum {
    POINT_BYTES = 3 << 20,   /* most of a task's tiles, as points and as products; */
    WAITING_BYTES = 7 << 20, /* or if only those of a point need be near, of 8 MiB a thread */
    CHUNK_BYTES = 320 << 10, /* of weights that a task transforms for itself at a time, a third of Zen 4's L2 */
    MOST_ACROSS = 64,        /* tiles of a row in a task: they are told apart from others by their squares */
    LEAST_ACROSS = 8,        /* unless they have more points than F(4 x 4, 3 x 3) */
    MOST_BLOCKS = 8,         /* and blocks of its panels */
    LATE_VECTOR = 50,        /* estimated cycles, for a vector of the result of stride 2, that threads wait for lines */
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

int64_t fc_points_bytes(const fc_problem *p, const fc_tile *tile, const fc_cut *c)
{
    return c->points * c->blocks * tile->lanes * element_size(p);
}

int64_t fc_products_bytes(const fc_problem *p, const fc_tile *tile, const fc_cut *c)
{
    return c->points * c->kept * least(c->vecs, tile->vecs) * tile->lanes * element_size(p);
}

/* Most tiles of a task. */
static int64_t most_tiles(const fc_problem *p, const fc_tile *tile, const fc_cut *c)
{
    return (c->kept > 1 ? WAITING_BYTES : POINT_BYTES) / (fc_points_bytes(p, tile, c) + fc_products_bytes(p, tile, c));
}

fc_cut fc_cut_into(const fc_problem *p, const fc_tile *tile, int way, int64_t rows, int64_t oc_blocks)
{
    const int small = (way & FC_SMALL) != 0;
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
    c.kept = way & FC_BY_POINTS ? ceil_div(c.panels, oc_blocks) : 1;
    const int64_t tiles = most_tiles(p, tile, &c);
    c.col_blocks = ceil_div(c.tile_columns, most(least(tiles, MOST_ACROSS), least(LEAST_ACROSS, LEAST_ACROSS * 36 / c.points)));
    c.columns = ceil_div(c.tile_columns, c.col_blocks);
    c.row_blocks = ceil_div(c.tile_rows, rows);
    c.rows = ceil_div(c.tile_rows, c.row_blocks);
    return c;
}

fc_problem fc_cut_problem(const fc_problem *p)
{
    fc_problem grid = fc_grid_of(p, 0).problem;
    grid.n *= fc_grids(p);
    return grid;
}

fc_cut fc_cut_of(const fc_plan *plan)
{
    const fc_problem p = fc_cut_problem(&plan->problem);
    return fc_cut_into(&p, plan->tile, (int)plan->c_block, plan->px_block, plan->oc_block);
}

fc_cut fc_cheapest_cut(const fc_problem *p, const fc_tile *tile, int small, int *way, double *least_cost, int *apart)
{
    const int ways[] = {small ? FC_SMALL : 0, FC_BY_POINTS | (small ? FC_SMALL : 0)};
    fc_cut best = {0};
    *least_cost = 0;
    for (int i = 0; i < 2; i++)
        for (int64_t oc_blocks = 1; oc_blocks <= least(MOST_BLOCKS, ceil_div(p->oc / p->groups, tile->columns)); oc_blocks *= 2)
            for (int64_t rows = 1; rows <= FC_TILES_DOWN; rows++) {
                const fc_cut c = fc_cut_into(p, tile, ways[i], rows, oc_blocks);
                if ((i && c.kept == 1) || (rows > 1 && (rows > c.tile_rows || rows * c.columns > most_tiles(p, tile, &c))))
                    break;
                int once;
                const double takes = fc_cut_cycles(p, tile, &c, &once);
                if (c.kept > 1 && !once)
                    continue;
                if (*least_cost == 0 || takes < *least_cost) {
                    best = c;
                    *way = ways[i];
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
    one.alone = 1;
    double takes[2]; /* in large tiles and in small ones, by one thread and the first instruction set, so that all choose alike */
    int apart, way;
    fc_cut c[2];
    for (int i = 0; i < 2; i++)
        c[i] = fc_cheapest_cut(&one, fc_tile_of(0, p->dtype), i, &way, &takes[i], &apart);
    const int small = c[1].down != c[0].down && c[1].across != c[0].across && takes[1] < takes[0];
    one.alone = 0;
    const fc_cut best = fc_cheapest_cut(&one, tile, small, &way, cycles, &apart);
    if (p->sh > 1) { /* less is gained, so what threads wait for lines decides whether it is enough: those of prepared weights above all, */
        const double late = p->prepared && p->kh == 3 ? 0.2 : 0; /* of which 3 x 3 have most for their products */
        *cycles += late * *cycles + (double)(p->groups * best.vecs) * LATE_VECTOR * (double)(p->oh * p->ow);
    }
    return small;
}
