/* planes: the direct algorithm for one input channel a group, or a few, where the pixels of a channel lie side by side:
 * depthwise kernels and image filters.
 *
 * The rows of the image that a block of outputs needs are copied into a strip: padded, and taken apart by horizontal
 * stride, so that every tap reads vectors at a constant offset; images that need neither are read in place. Four rows of
 * outputs are worked on together, and share the rows of the strip. With vertical dilation these are rows that lie one
 * dilation apart.
 *
 * Loops of a task: groups > output channels > rows of outputs, four at a time > vectors.
 *
 * Cost: a fused multiply-add for each product, in vectors of pixels; one copied element for each input element. */

#include "algorithms/common.h"

enum {
    STRIP_BYTES = 1 << 20,
    STRIP_GOOD = 20 << 10,  /* in the first-level cache, */
    STRIP_WIDE = 128 << 10, /* or where only what is at the sides is copied: */
    WIDE = 256,             /* from so many columns on */
    MOST_COLUMNS = 1024,   /* of outputs in a task */
    MOST_TAPS = 1 << 12,   /* of the kernel, times channels */
    MOST_TOGETHER = 64,    /* rows of outputs, of one dilation, that are kept in one block */
    TASK_MACS = 1 << 17,   /* least work worth a task of its own */
    MIN_TASKS = 32,
    COPY_VECTOR = 3,       /* estimated cycles to copy a vector, */
    COPY_ROW = 20,         /* to begin a row, */
    STORE_VECTOR = 3,      /* to store a vector of the result, */
    TILE = 30,             /* and to begin and end a tile */
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
    if (p->dh > 1 && p->sh > 1)
        return "it has vertical stride and dilation only one at a time";
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
    const double good_rows = 1 + ((p->sw == 1 && c.columns >= WIDE ? STRIP_WIDE : STRIP_GOOD) / row_bytes - kernel) / (double)p->sh;
    const int64_t together = FC_ROWS_MAX * (p->sh == 1 ? least(p->dh, MOST_TOGETHER) : 1); /* that share rows of the strip */
    c.block = most((int64_t)(good_rows < 1 ? 1 : good_rows) / together, 1) * together;
    if ((double)c.block > most_rows)
        c.block = most((int64_t)most_rows, 1);
    c.block = least(c.block, p->oh);
    /* Rows of a task: as many blocks as leave enough tasks. */
    const double work = (double)p->n * (double)p->oc * (double)p->oh * (double)p->ow * (double)chain_length(p);
    const double wanted = work / TASK_MACS < MIN_TASKS ? work / TASK_MACS : MIN_TASKS;
    const double planes = (double)p->n * (double)p->groups * (double)c.col_blocks;
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
    const fc_phases l = fc_phases_of(p, tile->lanes, c.rows, c.columns);
    const double blocks = (double)p->n * (double)p->groups * (double)c.row_blocks * (double)c.col_blocks;
    const double igc = (double)(p->ic / p->groups), ocg = (double)(p->oc / p->groups);
    const double vecs = (double)ceil_div(c.columns, tile->lanes), wide = (double)least((int64_t)vecs, tile->vecs);
    const double height = (double)least(least(p->kh, FC_ROWS_MAX), p->oh); /* rows of outputs that share one of the image */
    const double loads = (1.5 * wide + height) / (wide * height);
    const double row = (double)ceil_div(l.pitch, tile->lanes) * COPY_VECTOR * (p->sw > 1 ? 4 : 1) + COPY_ROW;
    const double copied = (double)(l.rows * l.phases) * igc * row;
    const double outputs = (double)c.rows * ocg * vecs; /* vectors of them */
    const double multiplied = 1.2 * outputs * (double)chain_length(p) * (loads > 1 ? loads : 1);
    const double turns = igc * (double)(p->kh * p->kw) == 9 ? 2 : ((double)p->kh + 3) / 2;
    const double tiles = ocg * (double)ceil_div(c.rows, FC_ROWS_MAX) * (double)ceil_div((int64_t)vecs, tile->vecs) * turns;
    return blocks * (copied + multiplied + outputs * STORE_VECTOR + tiles * TILE) * (p->channels_last ? 8 : 1);
}

/* Where the parts of a thread's scratch memory begin, in bytes from the strip at 0. */
typedef struct {
    int64_t weights, offsets, sums, end;
} parts;

static parts parts_of(const fc_problem *p, const fc_tile *tile, const cut *c)
{
    const int64_t igc = p->ic / p->groups, size = element_size(p);
    const fc_phases l = fc_phases_of(p, tile->lanes, c->block, c->columns);
    parts at;
    at.weights = ceil_div(l.plane * l.phases * igc, 64) * 64;
    at.offsets = at.weights + ceil_div(chain_length(p) * size, 64) * 64;
    at.sums = at.offsets + ceil_div(2 * p->kw * igc * (int64_t)sizeof(int64_t), 64) * 64;
    at.end = ceil_div(at.sums + FC_ROWS_MAX * tile->columns * size, 128) * 128;
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

/* A block of outputs of one output channel: `run` says all but where and how much. */
static void run_block(const fc_rows *kernel, fc_rows_run run, int64_t dilation, int64_t rows, int64_t columns, char *y,
                      const int64_t *y_stride, int64_t x_pixel, char *sums, int64_t size)
{
    const int64_t vecs = ceil_div(columns, kernel->lanes), tiles = ceil_div(vecs, kernel->vecs);
    const int64_t together = run.stride == 1 ? dilation : 1; /* rows of outputs apart that share rows of the image */
    const char *x = run.x;
    const int64_t x_row = run.x_row;
    run.x_row *= dilation;
    for (int64_t r0 = 0; r0 < rows; r0 += FC_ROWS_MAX * together)
        for (int64_t r = r0; r < least(r0 + together, rows); r++) {
            run.rows = least(ceil_div(rows - r, together), FC_ROWS_MAX);
            int64_t top = r; /* the last four rows of several are four too, some of them once more */
            if (together == 1 && rows > FC_ROWS_MAX && run.rows < FC_ROWS_MAX) {
                run.rows = FC_ROWS_MAX;
                top = rows - FC_ROWS_MAX;
            }
            const int unrolled = run.kh == 3 && run.taps == 3 && run.rows == FC_ROWS_MAX && run.stride <= 2 &&
                                 kernel->run[run.stride][1];
            for (int64_t t = 0, done = 0; t < tiles; t++) {
                const int64_t wide = vecs / tiles + (t < vecs % tiles);
                /* The last of several tiles ends where the row does; a single one is cut off there. */
                const int64_t j = tiles > 1 ? least(done, columns - wide * kernel->lanes) : 0;
                char *to = y + top * y_stride[2] + j * y_stride[3];
                const int direct = y_stride[3] == size;
                run.last = tiles > 1 ? kernel->lanes : columns - (wide - 1) * kernel->lanes;
                run.x = x + top * run.stride * x_row + j * x_pixel;
                run.y = direct ? to : sums;
                run.y_row = direct ? y_stride[2] * together : wide * kernel->lanes * size;
                kernel->run[unrolled ? run.stride : 0][wide](&run);
                for (int64_t i = 0; i < run.rows && !direct; i++)
                    for (int64_t k = 0; k < (wide - 1) * kernel->lanes + run.last; k++)
                        memcpy(to + i * y_stride[2] * together + k * y_stride[3], sums + i * run.y_row + k * size, (size_t)size);
                done += wide * kernel->lanes;
            }
        }
}

/* Where a block of outputs begins, and its size. */
typedef struct {
    int64_t row, rows, column, columns;
} block;

/* Outputs that lie so that their pixels can be read where they are: the middle of a block of rows that needs no padding.
 * Its last tile may not be cut off, since that reads beyond its last output. */
static block middle_of(const fc_problem *p, const fc_operands *operands, const fc_tile *tile, const block *all)
{
    const int64_t span = (p->kw - 1) * p->dw, top = all->row * p->sh - p->pt;
    const int inside = top >= 0 && top + (all->rows - 1) * p->sh + (p->kh - 1) * p->dh < p->ih;
    block b = *all;
    b.columns = 0;
    if (p->sw > 1 || !inside || (operands->x.stride[3] != element_size(p) && p->iw > 1))
        return b;
    const int64_t end = all->column + all->columns, right = least(end, p->iw + p->pl - span); /* where the image ends */
    const int64_t left = all->column + ceil_div(most(p->pl - all->column, 0), tile->columns) * tile->columns;
    int64_t columns = right - left;
    if (columns <= tile->columns || right < end)
        columns -= most(columns, 0) % tile->lanes;
    if (columns <= 0 || (columns < all->columns && columns < WIDE / 2)) /* more tiles would be cut off than not copied */
        return b;
    b.column = left;
    b.columns = columns;
    return b;
}

static void run_task(const fc_plan *plan, const fc_operands *operands, int64_t task, void *scratch)
{
    const fc_problem *p = &plan->problem;
    const fc_tile *tile = plan->tile;
    const fc_rows *kernel = fc_rows_of(plan->isa, p->dtype);
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
    int64_t *xoff = (int64_t *)((char *)scratch + at.offsets), *in_place = xoff + p->kw * igc;
    for (int64_t kx = 0; kx < p->kw; kx++)
        for (int64_t i = 0; i < igc; i++) {
            xoff[kx * igc + i] = i * l.phases * l.plane + fc_phase_offset(p, &l, kx);
            in_place[kx * igc + i] = i * x[1] + kx * p->dw * size;
        }

    int64_t bordered = -1; /* the first column of the piece whose borders are in the strip */
    for (int64_t group = group0; group < least(group0 + c.groups, p->groups); group++)
        for (int64_t row = row0; row < row1; row += c.block) {
            const block all = {row, least(c.block, row1 - row), col0, columns};
            const block middle = middle_of(p, operands, tile, &all);
            const int64_t ends[4] = {col0, middle.column, middle.column + middle.columns, col0 + columns};
            for (int k = 0; k < 3; k++) {
                const block b = {all.row, all.rows, ends[k], ends[k + 1] - ends[k]};
                if (b.columns <= 0)
                    continue;
                const char *image = operands->x.data + n * x[0] + group * igc * x[1];
                fc_rows_run run = {.kh = p->kh, .taps = p->kw * igc, .stride = p->sh, .xoff = xoff, .x = scratch};
                run.x_row = l.pitch * size;
                run.w = (char *)scratch + at.weights;
                if (k == 1) {
                    run.x = image + (b.row * p->sh - p->pt) * x[2] + (b.column - p->pl) * size;
                    run.x_row = x[2];
                    run.xoff = in_place;
                } else {
                    fc_copy_phases(plan, operands, &l, image, igc, b.row * p->sh, b.rows, b.column * p->sw, b.columns, scratch,
                                   bordered != b.column);
                    bordered = b.column;
                }
                for (int64_t o = group * ocg; o < (group + 1) * ocg; o++) {
                    char *weight = (char *)scratch + at.weights;
                    for (int64_t ky = 0; ky < p->kh; ky++)
                        for (int64_t kx = 0; kx < p->kw; kx++)
                            for (int64_t i = 0; i < igc; i++, weight += size)
                                copy_one(weight, operands->weight.data + o * w[0] + i * w[1] + ky * w[2] + kx * w[3], size);
                    run.bias = operands->bias ? operands->bias + o * operands->bias_stride : NULL;
                    char *to = operands->y.data + n * y[0] + o * y[1] + b.row * y[2] + b.column * y[3];
                    run_block(kernel, run, p->dh, b.rows, b.columns, to, y, size, (char *)scratch + at.sums, size);
                }
            }
        }
}

const fc_algorithm fc_algorithm_planes = {
    .name = "planes",
    .family = "direct",
    .can = FC_CAN_STRIDE | FC_CAN_DILATE | FC_CAN_GROUP | FC_CAN_PAD | FC_CAN_PAD_EDGE | FC_CAN_BIAS | FC_CAN_F64 |
           FC_CAN_I64,
    .reject = reject,
    .cost = cost,
    .prepare = prepare,
    .run_task = run_task,
};
