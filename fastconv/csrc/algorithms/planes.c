/* planes: the direct algorithm for one input channel a group, or a few, where the pixels of a channel lie side by side:
 * depthwise kernels and image filters.
 *
 * The rows of the image that a block of outputs needs are copied into a strip: padded, and taken apart by horizontal
 * stride, so that every tap reads vectors at a constant offset. What needs neither is read in place: the middle of wide
 * rows, and narrow maps padded with zeros where lanes outside of the image can be masked. Four rows of outputs are worked
 * on together, and share the rows of the image. With vertical dilation these are rows that lie one dilation apart.
 *
 * Loops of a task: groups > blocks of rows > output channels > rows of outputs, four at a time > vectors.
 *
 * Cost: a fused multiply-add for each product, in vectors of pixels; one copied element for each input element that is not
 * read in place. */

#include "algorithms/common.h"

enum {
    STRIP_BYTES = 1 << 20,
    STRIP_GOOD = 20 << 10,  /* in the first-level cache, */
    STRIP_WIDE = 128 << 10, /* or where only what is at the sides is copied: */
    WIDE = 256,             /* from so many columns on */
    DOWN_WIDE = 1024,       /* most for leaf loops of all rows: 7 x 7, 3 channels of 1080 x 1920: 13.0 ms, others 8.6 */
    MOST_COLUMNS = 1024,   /* of outputs in a task */
    MOST_TAPS = 1 << 12,   /* of the kernel, times channels */
    MOST_TOGETHER = 64,    /* rows of outputs, of one dilation, that are kept in one block */
    TASK_MACS = 1 << 17,   /* least work worth a task of its own */
    MIN_TASKS = 32,
    COPY_VECTOR = 5,       /* estimated cycles to copy a vector, */
    COPY_ROW = 8,          /* to begin a row, */
    STORE_VECTOR = 2,      /* to store a vector of the result, */
    STORE_PICKED = 8,      /* or one of every other pixel, */
    TILE = 60,             /* to begin and end a tile, */
    TURN = 12,             /* to begin a row of the image in it, */
    CHANNEL = 170,         /* and to begin a channel */
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
           planes * (double)c.row_blocks > MIN_TASKS * (double)c.groups)
        c.groups *= 2;
    return c;
}

static double cost(const fc_problem *p, const fc_tile *tile)
{
    const cut c = cut_up(p, tile);
    const fc_phases l = fc_phases_of(p, tile->lanes, c.block, c.columns);
    const double images = (double)p->n * (double)p->groups * (double)c.col_blocks;
    const double igc = (double)(p->ic / p->groups), ocg = (double)(p->oc / p->groups), rows = (double)p->oh;
    /* Square kernels have leaf loops for all rows of a map, and with stride 2 only where it is read by masks. */
    const int square = tile->masks && !p->channels_last && igc == 1 && p->kh == p->kw && p->kh % 2 && p->kh > 1 && p->kh <= 7;
    const int every_other = square && p->sw == 2 && p->sh == 2 && p->dw == 1 && c.columns < WIDE;
    const int quick = square && p->ow <= DOWN_WIDE && (p->sh == 1 || every_other);
    /* What is copied of each block of rows: nothing of narrow maps, the sides of wide ones, or all. */
    const int in_place = (p->sw == 1 || every_other) && p->padding_mode == FC_CONSTANT && !p->channels_last;
    double vecs = (double)ceil_div(l.pitch, tile->lanes);
    if (in_place && c.columns >= WIDE)
        vecs = p->pl || p->pr ? 2.0 * tile->vecs + 2 : 0;
    const double row = vecs * COPY_VECTOR + COPY_ROW, blocks = rows / (double)c.block;
    const double copied = in_place && c.columns < WIDE && igc == 1 ? 0 : blocks * (double)(l.rows * l.phases) * igc * row;
    const int64_t across = ceil_div(c.columns, tile->lanes), tiles = ceil_div(across, tile->vecs);
    const double turns = (double)tiles * (double)ceil_div(p->oh, FC_ROWS_MAX);
    const double narrow = quick ? 1.25 : 1.65; /* four sums wait for each other */
    const double waits = across == 1 ? narrow : quick && across == 2 ? 1.2 : 1.1;
    const double product = every_other ? 1.8 : waits;
    const double vector = (double)chain_length(p) * product + (every_other ? STORE_PICKED : STORE_VECTOR);
    const double begin = quick ? 0 : TILE + TURN * (double)(p->kh + 3);
    const double outputs = ocg * (rows * (double)across * vector + turns * begin);
    return images * (copied + outputs + CHANNEL) * (p->channels_last ? 8 : 1);
}

/* Where the parts of a thread's scratch memory begin, in bytes from the strip at 0. */
typedef struct {
    int64_t weights, offsets, masks, sums, end;
} parts;

static parts parts_of(const fc_problem *p, const fc_tile *tile, const cut *c)
{
    const int64_t igc = p->ic / p->groups, size = element_size(p);
    const fc_phases l = fc_phases_of(p, tile->lanes, c->block, c->columns);
    parts at;
    at.weights = ceil_div(l.plane * l.phases * igc, 64) * 64;
    at.offsets = at.weights + ceil_div(chain_length(p) * size, 64) * 64;
    at.masks = at.offsets + 2 * p->kw * igc * (int64_t)sizeof(int64_t);
    const int64_t tiles = p->ow < WIDE ? ceil_div(p->ow, tile->lanes) : 0; /* that may read by masks, at most */
    at.sums = ceil_div(at.masks + tiles * 2 * least(p->sw, 2) * p->kw * (int64_t)sizeof(uint16_t), 64) * 64;
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

/* Columns of outputs as tiles of whole vectors: `wide` of them, or one more in the first few. */
typedef struct {
    int64_t columns, tiles, wide, wider, lanes;
} tiling;

/* The leaf loops for all rows of a block, by vectors; NULL where only that for a few rows at a time is able to. */
static const fc_rows_fn *down_of(const fc_problem *p, const fc_operands *operands, const fc_rows *kernel, int masked)
{
    const int64_t taps = p->kw * (p->ic / p->groups);
    if (operands->y.stride[3] != element_size(p) || p->sh > 2 || (masked && p->sw != p->sh) || taps != p->kh || p->kh < 3 ||
        p->kh > 7 || p->kh % 2 == 0 || p->ow > DOWN_WIDE)
        return NULL;
    const fc_rows_fn *down = kernel->down[masked][(p->kh - 3) / 2][p->sh - 1];
    return down[1] ? down : NULL;
}

static tiling tile_columns(const fc_rows *kernel, const fc_rows_fn *down, int64_t columns)
{
    const int64_t vecs = ceil_div(columns, kernel->lanes), tiles = ceil_div(vecs, kernel->vecs - (down && !down[kernel->vecs]));
    return (tiling){columns, tiles, vecs / tiles, vecs % tiles, kernel->lanes};
}

/* Vectors of a tile, and its first column: the last of several tiles ends where the row does. */
static inline int64_t tile_at(const tiling *all, int64_t t, int64_t *first)
{
    const int64_t wide = all->wide + (t < all->wider), done = all->wide * t + least(t, all->wider);
    *first = all->tiles > 1 ? least(done * all->lanes, all->columns - wide * all->lanes) : 0;
    return wide;
}

/* What the channels of a block share: divisions take as long as a row of a small map. */
typedef struct {
    const fc_rows_fn *run;  /* the leaf loops, by vectors, */
    int64_t high, together; /* for so many rows at a time, which lie so far apart: they share rows of the image */
    tiling across;
    int64_t x_row, x_step; /* from an output to the next: of the image, in bytes, */
    int64_t masks;         /* and of the masks from tile to tile */
    int dense;             /* the weights of a channel are read where they lie */
} leaf;

/* A block of outputs of one output channel: `run` says all but where and how much. With masks, those of one column of tiles
 * after the other, `begin` and `end` are those of the block's first row. */
static void run_block(const fc_plan *plan, const leaf *l, const fc_rows_run *all, int64_t dilation, int64_t rows, char *y,
                      const int64_t *y_stride, char *sums, int64_t size)
{
    const int64_t lanes = l->across.lanes, together = l->together;
    const int direct = y_stride[3] == size;
    fc_rows_run run = *all;
    for (int64_t r0 = 0; r0 < rows; r0 += l->high * together)
        for (int64_t r = r0; r < least(r0 + together, rows); r++) {
            run.rows = least(together == 1 ? rows - r : ceil_div(rows - r, together), l->high);
            if (all->masks) {
                run.begin = most(all->begin - r * run.stride, 0);
                run.end = most(all->end - r * run.stride, 0);
                if (dilation > 1) {
                    run.begin = ceil_div(run.begin, dilation);
                    run.end = ceil_div(run.end, dilation);
                }
            }
            for (int64_t t = 0; t < l->across.tiles; t++) {
                int64_t j;
                const int64_t wide = tile_at(&l->across, t, &j);
                char *to = y + r * y_stride[2] + j * y_stride[3];
                run.last = l->across.tiles > 1 ? lanes : l->across.columns - (wide - 1) * lanes;
                run.x = all->x + r * l->x_row + j * l->x_step;
                run.y = direct ? to : sums;
                run.y_row = direct ? y_stride[2] * together : wide * lanes * size;
                run.masks = all->masks + l->masks * t;
                l->run[wide](&run);
                if (!direct)
                    spread_rows(plan, to, y_stride[2] * together, y_stride[3], sums, run.y_row, run.rows, (wide - 1) * lanes + run.last);
            }
        }
}

/* Whether rows of the image are read where they are, and zeros outside of it by masks: they lie outside of a tile's first
 * and last vectors. */
static int reads_by_masks(const fc_problem *p, const fc_operands *operands, const fc_rows *kernel)
{
    if (!kernel->any[1][1] || p->ic != p->groups || p->ow >= WIDE || p->padding_mode != FC_CONSTANT || p->from_bytes ||
        (operands->x.stride[3] != element_size(p) && p->iw > 1) || operands->fill.i64 != 0)
        return 0;
    const fc_rows_fn *down = down_of(p, operands, kernel, 1);
    if (p->sw > 1 && (!down || p->dw > 1))
        return 0;
    const tiling all = tile_columns(kernel, down, p->ow);
    const int64_t vecs = ceil_div(p->ow, kernel->lanes);
    const int64_t last = all.tiles > 1 ? p->ow - kernel->lanes : (vecs - 1) * kernel->lanes; /* where the last vector begins */
    return vecs == 1 || (p->pl <= p->sw * kernel->lanes && p->sw * last + (p->kw - 1) * p->dw - p->pl <= p->iw);
}

/* Which lanes of the first and the last vector of each column of tiles lie in the image, for each tap and half at stride 2. */
static void tabulate_masks(const fc_problem *p, const tiling *across, uint16_t *masks)
{
    const int64_t lanes = across->lanes;
    for (int64_t t = 0; t < across->tiles; t++) {
        int64_t first;
        const int64_t wide = tile_at(across, t, &first);
        for (int64_t kx = 0; kx < p->kw; kx++)
            for (int k = 0; k < 2; k++)
                for (int64_t half = 0; half < p->sw; half++) {
                    const int64_t vector = first + k * (wide - 1) * lanes;
                    const int64_t column = vector * p->sw + half * lanes + kx * p->dw - p->pl;
                    const int64_t lo = least(most(-column, 0), lanes), hi = most(least(p->iw - column, lanes), lo);
                    *masks++ = (uint16_t)((1u << hi) - (1u << lo));
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
    if (p->sw > 1 || !inside || p->from_bytes || (operands->x.stride[3] != element_size(p) && p->iw > 1))
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

/* How the columns of a block are cut; `run` says where their pixels are, and the rest of it is filled in. */
static leaf leaf_of(const fc_plan *plan, const fc_operands *operands, fc_rows_run *run, int64_t columns)
{
    const fc_problem *p = &plan->problem;
    const fc_rows *kernel = fc_rows_of(plan->isa, p->dtype);
    const int64_t size = element_size(p), *w = operands->weight.stride;
    const int masked = run->masks != NULL;
    const fc_rows_fn *down = down_of(p, operands, kernel, masked);
    leaf l = {.x_step = masked ? p->sw * size : size, .masks = 2 * p->sw * p->kw, .x_row = run->x_row * p->sh};
    l.run = down ? down : kernel->any[masked];
    l.high = down ? p->oh : FC_ROWS_MAX;
    l.together = p->sh == 1 ? p->dh : 1;
    l.across = tile_columns(kernel, down, columns);
    l.dense = p->ic == p->groups && (p->kw == 1 || w[3] == size) && (p->kh == 1 || w[2] == p->kw * size);
    run->x_row *= p->dh;
    run->kh = p->kh;
    run->taps = p->kw * (p->ic / p->groups);
    run->stride = p->sh;
    return l;
}

/* A block of outputs of one group. */
static void multiply(const fc_plan *plan, const fc_operands *operands, const leaf *l, fc_rows_run *run, int64_t n, int64_t group,
                     const block *b, char *weights, char *sums)
{
    const fc_problem *p = &plan->problem;
    const int64_t size = element_size(p), igc = p->ic / p->groups, ocg = p->oc / p->groups;
    const int64_t *w = operands->weight.stride, *y = operands->y.stride;
    for (int64_t o = group * ocg; o < (group + 1) * ocg; o++) {
        char *weight = weights;
        for (int64_t ky = 0; ky < p->kh && !l->dense; ky++)
            for (int64_t kx = 0; kx < p->kw; kx++)
                for (int64_t i = 0; i < igc; i++, weight += size)
                    copy_one(weight, operands->weight.data + o * w[0] + i * w[1] + ky * w[2] + kx * w[3], size);
        run->w = l->dense ? operands->weight.data + o * w[0] : weights;
        run->bias = operands->bias ? operands->bias + o * operands->bias_stride : NULL;
        run_block(plan, l, run, p->dh, b->rows, operands->y.data + n * y[0] + o * y[1] + b->row * y[2] + b->column * y[3], y,
                  sums, size);
    }
}

static void run_task(const fc_plan *plan, const fc_operands *operands, int64_t task, void *scratch)
{
    const fc_problem *p = &plan->problem;
    const fc_tile *tile = plan->tile;
    const fc_rows *kernel = fc_rows_of(plan->isa, p->dtype);
    const cut c = cut_up(p, tile);
    const int64_t size = element_size(p), igc = p->ic / p->groups, blocks = ceil_div(p->groups, c.groups);
    const int64_t row_block = task % c.row_blocks, col_block = task / c.row_blocks % c.col_blocks;
    task /= c.row_blocks * c.col_blocks;
    const int64_t group0 = task % blocks * c.groups, group1 = least(group0 + c.groups, p->groups), n = task / blocks;
    const int64_t row0 = row_block * c.rows, row1 = least(row0 + c.rows, p->oh);
    const int64_t col0 = part(col_block, c.col_blocks, p->ow), columns = part(col_block + 1, c.col_blocks, p->ow) - col0;
    const int64_t *x = operands->x.stride;
    const parts at = parts_of(p, tile, &c);
    const fc_phases l = fc_phases_of(p, tile->lanes, c.block, c.columns);
    char *weights = (char *)scratch + at.weights, *sums = (char *)scratch + at.sums;
    int64_t *in_strip = (int64_t *)((char *)scratch + at.offsets), *in_place = in_strip + p->kw * igc;
    for (int64_t kx = 0; kx < p->kw; kx++)
        for (int64_t i = 0; i < igc; i++) {
            in_strip[kx * igc + i] = i * l.phases * l.plane + fc_phase_offset(p, &l, kx);
            in_place[kx * igc + i] = i * x[1] + kx * p->dw * size;
        }

    if (reads_by_masks(p, operands, kernel)) {
        uint16_t *masks = (uint16_t *)((char *)scratch + at.masks);
        memset(scratch, 0, (size_t)(l.pitch * p->sw * size)); /* a row outside of the image */
        const int64_t top = row0 * p->sh - p->pt; /* the image's row that the first output's window begins at */
        fc_rows_run run = {.x_row = x[2], .xoff = in_place, .masks = masks, .begin = -top, .end = p->ih - top, .outside = scratch};
        const block all = {row0, row1 - row0, 0, p->ow};
        const leaf shared = leaf_of(plan, operands, &run, p->ow);
        tabulate_masks(p, &shared.across, masks);
        for (int64_t group = group0; group < group1; group++) {
            run.x = operands->x.data + n * x[0] + group * x[1] + top * x[2] - p->pl * size;
            multiply(plan, operands, &shared, &run, n, group, &all, weights, sums);
        }
        return;
    }

    int64_t bordered = -1; /* the first column of the piece whose borders are in the strip */
    for (int64_t group = group0; group < group1; group++)
        for (int64_t row = row0; row < row1; row += c.block) {
            const char *image = operands->x.data + n * x[0] + group * igc * x[1];
            const block all = {row, least(c.block, row1 - row), col0, columns};
            const block middle = middle_of(p, operands, tile, &all);
            const int64_t ends[4] = {col0, middle.column, middle.column + middle.columns, col0 + columns};
            for (int k = 0; k < 3; k++) {
                const block b = {all.row, all.rows, ends[k], ends[k + 1] - ends[k]};
                if (b.columns <= 0)
                    continue;
                fc_rows_run run = {.x = scratch, .x_row = l.pitch * size, .xoff = in_strip};
                if (k == 1) {
                    run.x = image + (b.row * p->sh - p->pt) * x[2] + (b.column - p->pl) * size;
                    run.x_row = x[2];
                    run.xoff = in_place;
                } else {
                    fc_copy_phases(plan, operands, &l, image, igc, b.row * p->sh, b.rows, b.column * p->sw, b.columns, scratch,
                                   bordered != b.column);
                    bordered = b.column;
                }
                const leaf shared = leaf_of(plan, operands, &run, b.columns);
                multiply(plan, operands, &shared, &run, n, group, &b, weights, sums);
            }
        }
}

const fc_algorithm fc_algorithm_planes = {
    .name = "planes",
    .family = "direct",
    .can = FC_CAN_STRIDE | FC_CAN_DILATE | FC_CAN_GROUP | FC_CAN_PAD | FC_CAN_PAD_EDGE | FC_CAN_BIAS | FC_CAN_F64 |
           FC_CAN_I64 | FC_CAN_BYTES,
    .reject = reject,
    .cost = cost,
    .prepare = prepare,
    .run_task = run_task,
};
