/* bank: the direct algorithm for several filters on few channels: first layers, banks of image filters, small groups.
 *
 * The rows of the image that a block of outputs needs are copied into a strip: padded, and taken apart by horizontal
 * stride, so that every tap reads vectors at a constant offset. A register tile is several output channels by a few
 * vectors of pixels, each inside a row of outputs, of one row or of several. The whole chain is done at once, so that sums
 * go from the registers to the result.
 *
 * Loops of a task: groups > blocks of rows > output channels, a tile at a time > vectors of pixels.
 *
 * Cost: a fused multiply-add for each product, in vectors of pixels, the last of each row not full; one copied element for
 * each input element. */

#include "algorithms/common.h"

enum {
    STRIP_BYTES = 1 << 20,
    STRIP_GOOD = 32 << 10, /* as long as it is this high: */
    LEAST_ROWS = 4,
    MOST_COLUMNS = 1024,  /* of outputs in a task */
    MOST_TAPS = 1 << 12,  /* of the kernel, times channels */
    TASK_MACS = 1 << 17,  /* least work worth a task of its own */
    MIN_TASKS = 16,
    COPY_VECTOR = 4,      /* estimated cycles to copy a vector, */
    COPY_ROW = 8,         /* to begin a row, */
    STORE_VECTOR = 3,     /* to store a vector of the result, */
    STORE_PIXELS = 2,     /* or an element of it where channels lie between pixels, */
    TILE = 40,            /* and to begin and end a tile */
};

/* How a problem is cut. */
typedef struct {
    int64_t rows, columns; /* of outputs in a task, at most, */
    int64_t block;         /* and rows of a strip */
    int64_t row_blocks, col_blocks;
    int64_t groups; /* of a task */
} cut;

static const char *reject(const fc_problem *p)
{
    const int64_t igc = p->ic / p->groups;
    if (igc > FC_CHANNEL_BLOCK)
        return "it needs 32 input channels a group at most";
    if (p->oc == p->groups)
        return "it needs several output channels a group";
    if ((double)p->kh * (double)p->kw * (double)igc > MOST_TAPS)
        return "the kernel has too many taps for its table";
    const double rows = (double)(p->kh - 1) * (double)p->dh + 1;
    const double pitch = MOST_COLUMNS + 128 + (double)(p->kw - 1) * (double)p->dw / (double)p->sw;
    if (rows * pitch * (double)(igc * least(p->sw, p->kw) * element_size(p)) > STRIP_BYTES)
        return "one row of outputs needs a larger strip than there is";
    return NULL;
}

static cut cut_up(const fc_problem *p, const fc_tile *tile)
{
    const int64_t igc = p->ic / p->groups, ocg = p->oc / p->groups;
    cut c;
    c.col_blocks = ceil_div(p->ow, MOST_COLUMNS);
    c.columns = ceil_div(p->ow, c.col_blocks);
    /* Rows of outputs for a strip of so many bytes; doubles, since strides and dilations may be huge. */
    const fc_phases one = fc_phases_of(p, tile->lanes, 1, c.columns);
    const double row_bytes = (double)(one.pitch * one.phases * igc * element_size(p)), kernel = (double)one.rows;
    const double most_rows = 1 + (STRIP_BYTES / row_bytes - kernel) / (double)p->sh;
    const double good_rows = 1 + (STRIP_GOOD / row_bytes - kernel) / (double)p->sh;
    const double rows = good_rows > LEAST_ROWS ? good_rows : LEAST_ROWS;
    c.block = least(p->oh, most((int64_t)(rows < most_rows ? rows : most_rows), 1));
    /* Rows of a task: as many blocks as leave enough tasks, and lower ones if that is not enough. */
    const double work = (double)p->n * (double)p->oc * (double)p->oh * (double)p->ow * (double)chain_length(p);
    const double wanted = work / TASK_MACS < MIN_TASKS ? work / TASK_MACS : MIN_TASKS;
    const double planes = (double)p->n * (double)p->groups * (double)c.col_blocks;
    c.block = least(c.block, most((int64_t)((double)p->oh * planes / wanted), LEAST_ROWS));
    const int64_t blocks = ceil_div(p->oh, c.block);
    c.row_blocks = least(blocks, planes < wanted ? (int64_t)(wanted / planes) + 1 : 1);
    c.rows = least(ceil_div(blocks, c.row_blocks) * c.block, p->oh);
    c.row_blocks = ceil_div(p->oh, c.rows);
    c.groups = 1;
    const double macs = (double)(c.rows * c.columns * ocg) * (double)chain_length(p);
    while (c.groups < p->groups && macs * (double)c.groups < TASK_MACS &&
           planes * (double)c.row_blocks > MIN_TASKS * 2 * (double)c.groups)
        c.groups *= 2;
    return c;
}

static double cost(const fc_problem *p, const fc_tile *tile)
{
    const cut c = cut_up(p, tile);
    const int64_t ocg = p->oc / p->groups, in_a_row = ceil_div(c.columns, tile->lanes), vecs = c.block * in_a_row;
    const double images = (double)p->n * (double)p->groups * (double)c.col_blocks, heights = (double)p->oh / (double)c.block;
    const fc_phases l = fc_phases_of(p, tile->lanes, c.block, c.columns);
    const double vector = p->channels_last || p->sw > 2 ? 1.5 * tile->lanes : COPY_VECTOR;
    const double row = (double)ceil_div(l.pitch, tile->lanes) * vector + COPY_ROW;
    const double copied = (double)(l.rows * l.phases * (p->ic / p->groups)) * row;
    const int64_t high = ceil_div(ocg, ceil_div(ocg, tile->rows)), wide = ceil_div(vecs, ceil_div(vecs, tile->vecs));
    const double loads = (1.5 * (double)wide + (double)high) / (double)(wide * high); /* of each multiplication */
    const double products = (double)(ocg * vecs) * (double)chain_length(p) * (loads > 1 ? loads : 1);
    const double tiles = (double)ceil_div(ocg, tile->rows) * (double)ceil_div(vecs, tile->vecs);
    const double store = p->channels_last ? STORE_PIXELS * tile->lanes : STORE_VECTOR;
    return images * heights * (copied + products + (double)(ocg * vecs) * store + tiles * TILE);
}

/* Where the parts of a thread's scratch memory begin, in bytes from the strip at 0. */
typedef struct {
    int64_t offsets, sums, end;
} parts;

static parts parts_of(const fc_problem *p, const fc_tile *tile, const cut *c)
{
    const int64_t size = element_size(p);
    const fc_phases l = fc_phases_of(p, tile->lanes, c->block, c->columns);
    parts at;
    at.offsets = ceil_div(l.plane * l.phases * (p->ic / p->groups), 64) * 64;
    at.sums = at.offsets + ceil_div(2 * chain_length(p) * (int64_t)sizeof(int64_t), 64) * 64;
    at.end = ceil_div(at.sums + tile->rows * tile->columns * size, 128) * 128;
    return at;
}

static void prepare(fc_plan *plan)
{
    const fc_problem *p = &plan->problem;
    const cut c = cut_up(p, plan->tile);
    plan->n_tasks = p->n * ceil_div(p->groups, c.groups) * c.row_blocks * c.col_blocks;
    plan->task_macs = (double)(c.rows * c.columns * c.groups * (p->oc / p->groups)) * (double)chain_length(p);
    plan->scratch_bytes = parts_of(p, plan->tile, &c).end;
}

/* A block of outputs of one group from `y` on, with pixels in the strip from `x` on: `run` says the rest. */
static void run_block(const fc_plan *plan, const fc_operands *operands, fc_bank_run run, const char *x, int64_t x_row,
                      int64_t rows, int64_t columns, int64_t oc, char *y, char *sums)
{
    const fc_problem *p = &plan->problem;
    const fc_bank *kernel = fc_bank_of(plan->isa, p->dtype);
    const int64_t size = element_size(p), lanes = kernel->lanes, ocg = p->oc / p->groups, *to = operands->y.stride;
    const int64_t in_a_row = ceil_div(columns, lanes), vecs = rows * in_a_row, tiles = ceil_div(vecs, kernel->vecs);
    const int64_t last = most(columns - lanes, 0), oc_tiles = ceil_div(ocg, kernel->rows);
    const int direct = to[3] == size || columns == 1;
    run.count = least(columns, lanes);
    for (int64_t k = 0, o = 0; k < oc_tiles; k++) {
        const int64_t high = ocg / oc_tiles + (k < ocg % oc_tiles);
        run.w = operands->weight.data + (oc + o) * run.w_step;
        run.bias = operands->bias ? operands->bias + (oc + o) * operands->bias_stride : NULL;
        const char *x_at = x;
        char *y_at = y + o * to[1], *at[FC_TILE_MAX_VECS];
        for (int64_t t = 0, column = 0; t < tiles; t++) {
            const int64_t wide = vecs / tiles + (t < vecs % tiles);
            run.y_step = direct ? to[1] : wide * lanes * size;
            for (int64_t j = 0; j < wide; j++) {
                const int64_t first = least(column, last); /* the last vector of a row ends where the row does */
                run.x[j] = x_at + first * size;
                at[j] = y_at + first * to[3];
                run.y[j] = direct ? at[j] : sums + j * lanes * size;
                column += lanes;
                if (column >= columns) {
                    column = 0;
                    x_at += x_row;
                    y_at += to[2];
                }
            }
            kernel->run[wide][high](&run);
            for (int64_t j = 0; j < wide && !direct; j++)
                scatter(plan, at[j], to[1], to[3], run.y[j], run.y_step, high, run.count);
        }
        o += high;
    }
}

static void run_task(const fc_plan *plan, const fc_operands *operands, int64_t task, void *scratch)
{
    const fc_problem *p = &plan->problem;
    const fc_tile *tile = plan->tile;
    const cut c = cut_up(p, tile);
    const int64_t size = element_size(p), igc = p->ic / p->groups, ocg = p->oc / p->groups, blocks = ceil_div(p->groups, c.groups);
    const int64_t row_block = task % c.row_blocks, col_block = task / c.row_blocks % c.col_blocks;
    task /= c.row_blocks * c.col_blocks;
    const int64_t group0 = task % blocks * c.groups, n = task / blocks;
    const int64_t row0 = row_block * c.rows, row1 = least(row0 + c.rows, p->oh);
    const int64_t col0 = part(col_block, c.col_blocks, p->ow), columns = part(col_block + 1, c.col_blocks, p->ow) - col0;
    const int64_t *x = operands->x.stride, *w = operands->weight.stride, *y = operands->y.stride;
    const parts at = parts_of(p, tile, &c);
    const fc_phases l = fc_phases_of(p, tile->lanes, c.block, c.columns);

    int64_t *off = (int64_t *)((char *)scratch + at.offsets);
    for (int64_t ky = 0, s = 0; ky < p->kh; ky++)
        for (int64_t kx = 0; kx < p->kw; kx++) {
            const int64_t tap = ky * p->dh * l.pitch * size + fc_phase_offset(p, &l, kx);
            for (int64_t i = 0; i < igc; i++, s++) {
                off[2 * s] = i * l.phases * l.plane + tap;
                off[2 * s + 1] = i * w[1] + ky * w[2] + kx * w[3];
            }
        }
    const fc_bank_run run = {.steps = chain_length(p), .off = off, .w_step = w[0], .bias_step = operands->bias_stride};

    for (int64_t group = group0; group < least(group0 + c.groups, p->groups); group++)
        for (int64_t row = row0; row < row1; row += c.block) {
            const int64_t rows = least(c.block, row1 - row);
            const char *image = operands->x.data + n * x[0] + group * igc * x[1];
            fc_copy_phases(plan, operands, &l, image, igc, row * p->sh, rows, col0 * p->sw, columns, scratch,
                           group == group0 && row == row0);
            run_block(plan, operands, run, scratch, l.pitch * size * p->sh, rows, columns, group * ocg,
                      operands->y.data + n * y[0] + group * ocg * y[1] + row * y[2] + col0 * y[3], (char *)scratch + at.sums);
        }
}

const fc_algorithm fc_algorithm_bank = {
    .name = "bank",
    .family = "direct",
    .can = FC_CAN_STRIDE | FC_CAN_DILATE | FC_CAN_GROUP | FC_CAN_PAD | FC_CAN_PAD_EDGE | FC_CAN_BIAS | FC_CAN_F64 |
           FC_CAN_I64,
    .reject = reject,
    .cost = cost,
    .prepare = prepare,
    .run_task = run_task,
};
