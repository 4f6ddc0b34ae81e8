/* winograd: tiles of outputs from fewer products, by Winograd's minimal filtering F(m x m, r x r).
 *
 * A tile of the image and the taps are transformed to points, where a convolution is one product of matrices for each
 * point: tiles by input channels times input channels by output channels. Outputs are transformed back. F(4 x 4, 3 x 3) needs
 * 36 products for 144, F(2 x 2, 3 x 3) 16 for 36, F(2 x 2, 5 x 5) 36 for 100, and in one dimension 6 for 12 or 10.
 * (S. Winograd, Arithmetic Complexity of Computations, 1980; A. Lavin and S. Gray, 2015, arXiv 1509.09308.) Which points,
 * and their errors, are in docs/design/0007-winograd.md.
 *
 * With dilation, outputs that are as far apart read pixels that are: each such grid is a problem of its own (fc_grid_of).
 *
 * A task does all of it for some tiles, so that what is between the transforms stays in the second-level cache, and no
 * task waits for another. Channels lie side by side in vectors throughout; the transformed weights are packed into panels
 * as those of the row `panel` are, one for each point, and stream through the register tile.
 *
 * Values that are not finite, or so large that a sum on the way might not be, would spread over a whole tile. So the sum of
 * squares of the pixels that a row of tiles reads, and of each output channel's weights, is taken while they are hot;
 * where the two together exceed a limit, those outputs are computed again by `direct`.
 *
 * Loops of a task: vectors of input channels > rows of tiles; then panels > points > tiles, and back. Where weights transformed
 * before come from afar, points > panels > tiles, and then back: so a point's tiles stay near while its weights pass.
 *
 * Cost: the products, and for each tile a transform of a vector of input channels, and of one of output channels. */

#include "algorithms/common.h"
#include "tiles.h"

enum {
    LEAST_CHANNELS = 16,   /* of a group */
    NEAR_BYTES = 32 << 10, /* of a point's weights, which stay in a first-level cache of 48 KiB while the tiles of a task pass */
};

static const char *reject(const fc_problem *p)
{
    if (!fc_has_tiles(p))
        return "it needs stride 1 and a kernel of 3x3, 5x5, or one row or column of 3 or 5; or stride 2 and 3x3 or 5x5";
    if (p->ic / p->groups < LEAST_CHANNELS)
        return "it gains nothing with fewer than 16 input channels a group";
    if (p->ic / p->groups > FC_TILES_CHANNELS)
        return "a group has too many input channels for its tiles";
    if ((p->dh > 1 || p->dw > 1) && (p->sh > 1 || (p->padding_mode != FC_CONSTANT && (p->pt || p->pb || p->pl || p->pr))))
        return "with dilation it needs stride 1 and padding_mode='constant'";
    return NULL;
}

/* Of one image: families are compared by that, and this one has a single row. */
static double cost(const fc_problem *p, const fc_tile *tile)
{
    const fc_problem grid = fc_cut_problem(p);
    double cycles;
    fc_choose_tiles(&grid, tile, &cycles);
    return cycles * (double)grid.n;
}

/* Where the parts of a thread's scratch memory begin, in bytes from the strip at 0. */
typedef struct {
    int64_t rows, columns; /* of the strip, in pixels */
    int64_t squares, bias, limits, tables, points, products, weights, result, box;
    int64_t of_points, of_products; /* bytes from a point to the next, of pixels and of products */
} parts;

/* For `rows` by `columns` tiles and panels of `vecs`. There is a line more than there need be between points, or all those
 * of a tile would share a few sets of the cache. */
static parts parts_of(const fc_plan *plan, const fc_cut *c, int64_t rows, int64_t columns, int64_t vecs)
{
    const fc_problem *p = &plan->problem;
    const int64_t pixel = plan->tile->lanes * element_size(p), tiles = rows * columns, igc = p->ic / p->groups;
    const int64_t numbers = 2 * igc + most(igc, c->chunk * p->kh * p->kw);
    parts at;
    at.rows = (rows - 1) * c->rows_on + fc_winograd_points(c->down);
    at.columns = (columns - 1) * c->columns_on + fc_winograd_points(c->across);
    at.of_points = ceil_div(c->blocks * tiles * pixel, 64) * 64 + 64;
    at.of_products = ceil_div(c->kept * tiles * vecs * pixel, 64) * 64 + 64;
    at.squares = ceil_div(at.rows * at.columns * pixel, 64) * 64;
    at.bias = at.squares + at.rows * pixel;
    at.limits = at.bias + vecs * pixel;
    at.tables = ceil_div(at.limits + vecs * pixel, 64) * 64;
    at.points = ceil_div(at.tables + (numbers + at.rows * at.columns) * (int64_t)sizeof(int64_t), 64) * 64;
    at.products = at.points + c->points * at.of_points;
    at.weights = at.products + c->points * at.of_products;
    at.result = at.weights + (plan->packs_apart ? 0 : c->points * (c->chunk * ceil_div(vecs * pixel, 64) * 64 + 64));
    at.box = ceil_div(at.result + (c->tall * columns * c->wide + c->wide) * pixel, 64) * 64;
    return at;
}

static void prepare(fc_plan *plan)
{
    const fc_problem *p = &plan->problem;
    const fc_tile *tile = plan->tile;
    const fc_problem grid = fc_cut_problem(p);
    double cycles;
    const int small = fc_choose_tiles(&grid, tile, &cycles);
    int way;
    const fc_cut c = fc_cheapest_cut(&grid, tile, small, &way, &cycles, &plan->packs_apart);
    plan->c_block = way; /* all that cut_into needs */
    plan->px_block = c.rows;
    plan->oc_block = c.oc_blocks;
    plan->n_tasks = grid.n * p->groups * c.row_blocks * c.col_blocks * c.oc_blocks;
    const int64_t channels = ceil_div(c.panels, c.oc_blocks) * tile->columns;
    plan->task_macs = (double)(c.rows * c.columns * c.points * channels) * (double)(p->ic / p->groups);
    plan->scratch_bytes = parts_of(plan, &c, c.rows, c.columns, least(tile->vecs, c.vecs)).box +
                          fc_box_scratch(plan, tile->columns, c.tall, c.columns * c.wide);
    plan->scratch_bytes = ceil_div(plan->scratch_bytes, 128) * 128; /* threads share no cache line, nor a pair of them */
    plan->n_packs = p->groups * c.vecs;
    plan->packed_bytes = fc_panel_at(plan, &c, p->groups, 0);
    plan->packing = small;
}

static void pack(const fc_plan *plan, const fc_operands *operands, int64_t task)
{
    const fc_problem *p = &plan->problem;
    const fc_cut c = fc_cut_of(plan);
    const int64_t group = task / c.vecs, vector = task % c.vecs, lanes = plan->tile->lanes, igc = p->ic / p->groups;
    const int64_t panel = fc_panel_of(&c, vector), v = vector - part(panel, c.panels, c.vecs);
    char *to = operands->packed + fc_panel_at(plan, &c, group, panel);
    char *limits = to + c.points * fc_point_bytes(plan, fc_panel_vecs(&c, panel), igc), *own = limits + v * lanes * element_size(p);
    fc_transform_weights(plan, operands, &c, group, panel, v, v + 1, 0, igc, to, limits);
    fc_set_limits(p, own, lanes);
}

/* What a task works on. */
typedef struct {
    const fc_plan *plan;
    const fc_operands *operands;
    const fc_cut *cut;
    const parts *at;
    char *scratch;
    int64_t n, group, row, rows, column, columns; /* the first tile's, and how many */
    int64_t panel; /* the first whose products are kept */
    double squares[FC_TILES_DOWN]; /* of the pixels that a row of tiles reads */
} job;

/* A panel's weights of a point, transformed before. */
static const char *point_at(const job *j, int64_t panel, int64_t point)
{
    const fc_problem *p = &j->plan->problem;
    return j->operands->packed + fc_panel_at(j->plan, j->cut, j->group, panel) +
           point * fc_point_bytes(j->plan, fc_panel_vecs(j->cut, panel), p->ic / p->groups);
}

/* Products of a point and of one of the panels that are kept. */
static char *products_at(const job *j, int64_t kept, int64_t point)
{
    const fc_tile *tile = j->plan->tile;
    const int64_t row = least(tile->vecs, j->cut->vecs) * tile->lanes * element_size(&j->plan->problem);
    return j->scratch + j->at->products + point * j->at->of_products + kept * j->rows * j->columns * row;
}

static void transform_input(job *j)
{
    const fc_plan *plan = j->plan;
    const fc_problem *p = &plan->problem;
    const fc_cut *c = j->cut;
    const parts *at = j->at;
    const fc_winograd *kernels = fc_winograd_of(plan->isa, p->dtype);
    const int64_t lanes = plan->tile->lanes, size = element_size(p), pixel = lanes * size, igc = p->ic / p->groups;
    const int64_t *x = j->operands->x.stride, line = at->columns * pixel;
    char *const strip = j->scratch, *const squares = strip + at->squares;
    const char *image = j->operands->x.data + j->n * x[0] + j->group * igc * x[1];
    memset(squares, 0, (size_t)(at->rows * pixel));
    for (int64_t b = 0; b < c->blocks; b++) {
        fc_copy_lanes(plan, j->operands, image + b * lanes * x[1], j->row * c->rows_on, j->column * c->columns_on, at->rows, at->columns,
                      least(lanes, igc - b * lanes), strip, (int64_t *)(strip + at->tables));
        for (int64_t r = 0; r < at->rows; r++)
            fc_squares_of(plan->isa, p->dtype)(squares + r * pixel, strip + r * line, pixel, at->columns);
        for (int64_t r = 0; r < j->rows; r++) {
            const fc_winograd_run run = {strip + r * c->rows_on * line, line, pixel, c->columns_on * pixel,
                                         strip + at->points + (b * j->rows + r) * j->columns * pixel,
                                         fc_winograd_points(c->across) * at->of_points, at->of_points, pixel, j->columns, NULL};
            kernels->of[c->down][c->across].input(&run);
        }
    }
    for (int64_t r = 0; r < j->rows; r++) {
        const int64_t first = r * c->rows_on * lanes, count = fc_winograd_points(c->down) * lanes;
        j->squares[r] = 0;
        for (int64_t i = first; i < first + count; i++)
            j->squares[r] += fc_read(squares + i * size, p->dtype);
    }
}

/* Where pixels of a point lie, for each input channel. */
static void tabulate_pixels(const job *j, int64_t *pixels)
{
    const int64_t lanes = j->plan->tile->lanes, size = element_size(&j->plan->problem), tiles = j->rows * j->columns;
    for (int64_t s = 0; s < j->plan->problem.ic / j->plan->problem.groups; s++)
        pixels[s] = s / lanes * tiles * lanes * size + s % lanes * size;
}

/* The products of `panels` panels with weights that were transformed before: one of matrices for each point, in register tiles.
 * All tiles pass a chunk of the weights before the next, whose sums resume: 256 channels of 14 x 14 take 0.95 ms so, and 1.25 from L2.
 * Meanwhile the next panel's weights are called in, as many lines by each tile: a line for each step, by the first few, would fill
 * the buffers that the tile's own lines pass through, 16 on Granite Rapids (49 tiles of 512 channels: 8.4 ms, and 7.7). */
static void multiply(const job *j, int64_t panels)
{
    const fc_plan *plan = j->plan;
    const fc_problem *p = &plan->problem;
    const fc_tile *tile = plan->tile;
    const fc_cut *c = j->cut;
    const int64_t pixel = tile->lanes * element_size(p), tiles = j->rows * j->columns, calls = ceil_div(tiles, tile->rows);
    const int64_t igc = p->ic / p->groups;
    int64_t *const pixels = (int64_t *)(j->scratch + j->at->tables), *const rows = pixels + igc, *const ahead = rows + igc;
    int64_t vecs = 0, lines = 0, chunks = 1; /* that the tables are of */
    tabulate_pixels(j, pixels);
    for (int64_t i = 0; i < c->points * panels; i++) {
        const int64_t point = i / panels, panel = j->panel + i % panels;
        const int64_t next_point = least(i + 1, c->points * panels - 1) / panels, next = j->panel + (i + 1) % panels;
        const int64_t row = fc_panel_vecs(c, panel) * pixel;
        if (vecs != fc_panel_vecs(c, panel)) {
            vecs = fc_panel_vecs(c, panel);
            chunks = calls > 1 ? ceil_div(igc * row, NEAR_BYTES) : 1;
            lines = ceil_div(igc * row, 64 * calls * chunks);
            const int64_t longest = ceil_div(igc, chunks);
            for (int64_t s = 0, line = 0, left = 0; s < longest; s++) {
                rows[s] = s * row;
                ahead[s] = line * 64;
                for (left += lines; left >= longest; left -= longest)
                    line++;
            }
        }
        const char *const weights = point_at(j, panel, point), *after = point_at(j, next, next_point);
        for (int64_t k = 0; k < chunks; k++) {
            const int64_t channel = part(k, chunks, igc), count = part(k + 1, chunks, igc) - channel;
            const char *from = j->scratch + j->at->points + point * j->at->of_points;
            char *to = products_at(j, panel - j->panel, point);
            for (int64_t call = 0; call < calls; call++, after += lines * 64) {
                const int64_t height = part(call + 1, calls, tiles) - part(call, calls, tiles);
                const fc_tile_ends ends = {k ? to : NULL, row, to, row, NULL, 0, NULL, after, ahead, count, 0};
                tile->run[vecs][height](count, from, pixel, pixels + channel, weights + channel * row, rows, &ends);
                from += height * pixel;
                to += height * row;
            }
        }
    }
}

/* Those of one panel whose weights are transformed here, a chunk of channels at a time, from which sums go on to the next;
 * the next chunk's weights are called in. Sets the limits of the panel's channels. */
static void transform_and_multiply(const job *j)
{
    const fc_plan *plan = j->plan;
    const fc_problem *p = &plan->problem;
    const fc_tile *tile = plan->tile;
    const fc_cut *c = j->cut;
    const int64_t lanes = tile->lanes, pixel = lanes * element_size(p), vecs = fc_panel_vecs(c, j->panel), row = vecs * pixel;
    const int64_t tiles = j->rows * j->columns, calls = ceil_div(tiles, tile->rows), igc = p->ic / p->groups, taps = p->kh * p->kw;
    const int64_t *w = j->operands->weight.stride;
    int64_t *const pixels = (int64_t *)(j->scratch + j->at->tables), *const rows = pixels + igc, *const ahead = rows + igc;
    char *const limits = j->scratch + j->at->limits, *const packed = j->scratch + j->at->weights;
    tabulate_pixels(j, pixels);
    for (int64_t s = 0; s < c->chunk; s++)
        rows[s] = s * row;
    for (int64_t channel = 0, count; channel < igc; channel += count) {
        count = least(c->chunk, igc - channel);
        fc_transform_weights(plan, j->operands, c, j->group, j->panel, 0, vecs, channel, count, packed, limits);
        const fc_lines lines = fc_lines_of(p, j->operands, count, row, ahead);
        const char *weights = packed;
        const char *next = j->operands->weight.data + (j->group * (p->oc / p->groups) + part(j->panel, c->panels, c->vecs) * lanes) * w[0] +
                           (channel + count) * w[1];
        int64_t call = 0;
        for (int64_t point = 0; point < c->points; point++, weights += fc_point_bytes(plan, vecs, count)) {
            const char *from = j->scratch + j->at->points + point * j->at->of_points;
            char *to = products_at(j, 0, point);
            for (int64_t i = 0; i < calls; i++, call++) {
                const int64_t height = part(i + 1, calls, tiles) - part(i, calls, tiles);
                const int more = channel + count < igc && call < lines.tiles * taps;
                const fc_tile_ends ends = {channel ? to : NULL, row, to, row, NULL, 0, NULL,
                                           next + call / taps * lines.step, ahead + call % taps * count, more ? count : 0, 0};
                tile->run[vecs][height](count, from, pixel, pixels + channel, weights, rows, &ends);
                from += height * pixel;
                to += height * row;
            }
        }
    }
    fc_set_limits(p, limits, vecs * lanes);
}

/* One row of tiles, one vector of output channels: `real` of them, from `oc` of the group on. */
static void store(const job *j, fc_winograd_run run, int64_t r, int64_t oc, int64_t real)
{
    const fc_plan *plan = j->plan;
    const fc_problem *p = &plan->problem;
    const fc_cut *c = j->cut;
    const fc_winograd_fn output = fc_winograd_of(plan->isa, p->dtype)->of[c->down][c->across].output;
    const int64_t *y = j->operands->y.stride, size = element_size(p), pixel = plan->tile->lanes * size;
    const int64_t row = (j->row + r) * c->tall, column = j->column * c->wide, rows = least(c->tall, p->oh - row);
    int64_t columns = least(j->columns * c->wide, p->ow - column);
    char *to = j->operands->y.data + j->n * y[0] + (j->group * (p->oc / p->groups) + oc) * y[1] + row * y[2] + column * y[3];
    run.tiles = j->columns;
    if (y[1] == size && real == plan->tile->lanes && rows == c->tall && columns >= c->wide) { /* whole tiles go there at once */
        run.to = to;
        run.to_row = y[2];
        run.to_column = y[3];
        run.to_tile = c->wide * y[3];
        run.tiles = columns / c->wide;
        output(&run);
        to += run.tiles * run.to_tile;
        run.from += run.tiles * run.from_tile;
        columns -= run.tiles * c->wide;
        run.tiles = j->columns - run.tiles;
    }
    if (!run.tiles)
        return;
    /* Rows follow one another where what a tile writes too much lies where a later one's results go. */
    const int64_t pitch = run.tiles > 1 ? columns : c->wide;
    run.to = j->scratch + j->at->result;
    run.to_row = pitch * pixel;
    run.to_column = pixel;
    run.to_tile = c->wide * pixel;
    output(&run);
    fc_store_lanes(plan, j->operands, to, run.to, rows, columns, pitch, real);
}

/* From the products of a panel that is kept to its results. */
static void finish(const job *j, int64_t kept)
{
    const fc_plan *plan = j->plan;
    const fc_problem *p = &plan->problem;
    const fc_cut *c = j->cut;
    const fc_operands *operands = j->operands;
    const int64_t lanes = plan->tile->lanes, size = element_size(p), pixel = lanes * size, ocg = p->oc / p->groups;
    const int64_t panel = j->panel + kept, vecs = fc_panel_vecs(c, panel), oc = part(panel, c->panels, c->vecs) * lanes;
    const int64_t real = least(vecs * lanes, ocg - oc);
    const char *limits = operands->packed ? point_at(j, panel, c->points) : j->scratch + j->at->limits; /* after the last point */
    char *const bias = j->scratch + j->at->bias;
    if (operands->bias)
        fc_pick(bias, operands->bias + (j->group * ocg + oc) * operands->bias_stride, operands->bias_stride, real, size);
    for (int64_t v = 0; v * lanes < real; v++)
        for (int64_t r = 0; r < j->rows; r++) {
            const fc_winograd_run run = {.from = products_at(j, kept, 0) + (r * j->columns * vecs + v) * pixel,
                                         .from_row = fc_winograd_points(c->across) * j->at->of_products,
                                         .from_column = j->at->of_products,
                                         .from_tile = vecs * pixel,
                                         .bias = bias + v * pixel};
            store(j, run, r, oc + v * lanes, least(lanes, real - v * lanes));
        }
    for (int64_t r = 0; r < j->rows; r++) {
        const int64_t row = (j->row + r) * c->tall, column = j->column * c->wide;
        const fc_box box = {j->n, j->group, oc, real, row, least(c->tall, p->oh - row), column,
                            least(j->columns * c->wide, p->ow - column)};
        fc_mend(plan, operands, &box, j->squares[r], limits, j->scratch + j->at->box);
    }
}

static void run_task(const fc_plan *whole, const fc_operands *all, int64_t task, void *scratch)
{
    const fc_tile *tile = whole->tile;
    const fc_cut c = fc_cut_of(whole);
    const int64_t row_block = task % c.row_blocks, col_block = task / c.row_blocks % c.col_blocks;
    task /= c.row_blocks * c.col_blocks;
    const int64_t oc_block = task % c.oc_blocks, images = whole->problem.n * whole->problem.groups;
    const fc_grid grid = fc_grid_of(&whole->problem, task / c.oc_blocks / images);
    const fc_operands part_of = fc_grid_operands(&grid, all), *operands = &part_of;
    fc_plan part_plan = *whole;
    part_plan.problem = grid.problem;
    const fc_plan *plan = &part_plan;
    const fc_problem *p = &plan->problem;
    const int64_t pixel = tile->lanes * element_size(p);
    job j = {.plan = plan, .operands = operands, .cut = &c, .scratch = scratch};
    j.group = task / c.oc_blocks % p->groups;
    j.n = task / c.oc_blocks / p->groups % p->n;
    j.row = part(row_block, c.row_blocks, c.tile_rows);
    j.rows = least(part(row_block + 1, c.row_blocks, c.tile_rows), ceil_div(p->oh, c.tall)) - j.row;
    j.column = part(col_block, c.col_blocks, c.tile_columns);
    j.columns = least(part(col_block + 1, c.col_blocks, c.tile_columns), ceil_div(p->ow, c.wide)) - j.column;
    if (j.rows <= 0 || j.columns <= 0) /* the first grid has the most tiles */
        return;
    const parts at = parts_of(plan, &c, j.rows, j.columns, least(tile->vecs, c.vecs));
    j.at = &at;
    transform_input(&j);
    const int64_t end = part(oc_block + 1, c.oc_blocks, c.panels);
    memset(j.scratch + at.bias, 0, (size_t)(least(tile->vecs, c.vecs) * pixel));
    for (j.panel = part(oc_block, c.oc_blocks, c.panels); j.panel < end; j.panel += c.kept) {
        const int64_t kept = least(c.kept, end - j.panel);
        if (operands->packed)
            multiply(&j, kept);
        else
            transform_and_multiply(&j);
        for (int64_t i = 0; i < kept; i++)
            finish(&j, i);
    }
}

static fc_error error(const fc_plan *plan)
{
    const fc_cut c = fc_cut_of(plan);
    return fc_points_error(c.down, c.across, plan->problem.ic / plan->problem.groups);
}

const fc_algorithm fc_algorithm_winograd = {
    .name = "winograd",
    .family = "winograd",
    .can = FC_CAN_STRIDE | FC_CAN_DILATE | FC_CAN_GROUP | FC_CAN_PAD | FC_CAN_PAD_EDGE | FC_CAN_BIAS | FC_CAN_F64,
    .reject = reject,
    .cost = cost,
    .prepare = prepare,
    .run_task = run_task,
    .pack = pack,
    .error = error,
};
