/* interleaved: the direct algorithm for two to four channels that stand last, each filtered by itself: image files.
 *
 * A row of such an image is a row of elements in which the next pixel's lie `channels` further on. So vectors hold elements
 * as they lie, and taps read at distances of whole pixels: nothing is taken apart by channel, or put together again. Weights
 * alternate along a vector; they fit again after the least common multiple of a vector and a pixel, the period: 3 vectors
 * for three channels, one for two or four. Where all channels have the same weights, as filters on colours do, it is one.
 *
 * The rows of the image that a block of outputs needs are copied, padded, into a strip.
 *
 * Loops of a task: rows of outputs, four at a time, which share rows of the image > vectors.
 *
 * Cost: a fused multiply-add for each product, in vectors of elements; one copied element for each input element. */

#include "algorithms/common.h"

enum {
    MOST_CHANNELS = 4,
    MOST_VECS = 6,          /* of a tile */
    MOST_TOGETHER = 64,     /* rows of outputs, of one dilation, that are kept in one block */
    STRIP_BYTES = 1 << 20,
    STRIP_GOOD = 256 << 10, /* an eighth of Zen 4's L2 */
    MOST_ELEMENTS = 2048,   /* of a row of outputs in a task */
    MOST_TAPS = 1 << 12,
    TASK_MACS = 1 << 17,    /* least work worth a task of its own */
    MIN_TASKS = 32,
    COPY_VECTOR = 3,        /* estimated cycles to copy a vector, */
    COPY_ROW = 20,          /* to begin a row, */
    TILE = 60,              /* to begin and end a tile, */
    TURN = 12,              /* and to begin a row of the image in it */
};

/* How a problem is cut, and the strip of a task. */
typedef struct {
    int64_t rows, columns; /* of outputs in a task, at most */
    int64_t row_blocks, col_blocks;
    int64_t pitch; /* of the strip, in elements */
} cut;

static const char *reject(const fc_problem *p)
{
    if (p->ic != p->groups || p->oc != p->groups)
        return "it needs one input and one output channel a group";
    if (p->groups < 2 || p->groups > MOST_CHANNELS)
        return "it needs two to four channels";
    if (p->sw > 1)
        return "it needs a horizontal stride of 1";
    if (p->dh > 1 && p->sh > 1)
        return "it has vertical stride and dilation only one at a time";
    if ((double)p->kh * (double)p->kw > MOST_TAPS)
        return "the kernel has too many taps for its table";
    const double rows = (double)(p->kh - 1) * (double)p->dh + 1;
    const double pitch = MOST_ELEMENTS + 128 + (double)(p->kw - 1) * (double)p->dw * (double)p->groups;
    if (rows * pitch * (double)element_size(p) > STRIP_BYTES)
        return "one row of outputs needs a larger strip than there is";
    return NULL;
}

/* Elements from a row of a strip for so many columns of outputs to the next. */
static int64_t pitch_of(const fc_problem *p, const fc_tile *tile, int64_t columns)
{
    const int64_t pitch = ceil_div((columns + (p->kw - 1) * p->dw) * p->groups, tile->lanes) * tile->lanes;
    /* Rows 2 KiB apart share a few sets of the cache. */
    return pitch * element_size(p) % 2048 ? pitch : pitch + tile->lanes;
}

static cut cut_up(const fc_problem *p, const fc_tile *tile)
{
    cut c;
    c.col_blocks = ceil_div(p->ow, MOST_ELEMENTS / p->groups);
    c.columns = ceil_div(p->ow, c.col_blocks);
    c.pitch = pitch_of(p, tile, c.columns);
    /* Doubles, since strides and dilations may be huge. */
    const double row_bytes = (double)(c.pitch * element_size(p)), kernel = (double)((p->kh - 1) * p->dh + 1);
    const double good = 1 + (STRIP_GOOD / row_bytes - kernel) / (double)p->sh, room = 1 + (STRIP_BYTES / row_bytes - kernel) / (double)p->sh;
    const double least_rows = (double)(FC_ROWS_MAX * (p->sh == 1 ? least(p->dh, MOST_TOGETHER) : 1)), rows = good > least_rows ? good : least_rows;
    const double images = (double)p->n * (double)c.col_blocks;
    const double work = images * (double)p->oh * (double)(c.columns * p->oc) * (double)chain_length(p);
    const double wanted = work / TASK_MACS < MIN_TASKS ? work / TASK_MACS : MIN_TASKS;
    c.rows = least(p->oh, most((int64_t)(rows < room ? rows : room), 1));
    if (images * (double)ceil_div(p->oh, c.rows) < wanted)
        c.rows = least(c.rows, most((int64_t)((double)p->oh * images / wanted), FC_ROWS_MAX));
    c.row_blocks = ceil_div(p->oh, c.rows);
    c.rows = ceil_div(p->oh, c.row_blocks);
    return c;
}

static double cost(const fc_problem *p, const fc_tile *tile)
{
    const cut c = cut_up(p, tile);
    const double blocks = (double)p->n * (double)c.row_blocks * (double)c.col_blocks;
    const double rows = (double)((c.rows - 1) * p->sh + (p->kh - 1) * p->dh + 1);
    const double vecs = (double)ceil_div(c.columns * p->oc, tile->lanes), tiles = vecs / MOST_VECS < 1 ? 1 : vecs / MOST_VECS;
    const double copied = rows * ((double)(c.pitch / tile->lanes) * COPY_VECTOR + COPY_ROW);
    const double begin = (double)c.rows / FC_ROWS_MAX * tiles * (TILE + TURN * (double)(p->kh + 3));
    const double products = (double)c.rows * vecs * (1.1 * (double)chain_length(p) + 2) + begin;
    return blocks * (copied + products) * (p->channels_last ? 1 : 8);
}

/* Where the parts of a thread's scratch memory begin, in bytes from the strip at 0. */
typedef struct {
    int64_t weights, bias, offsets, sums, end;
} parts;

static parts parts_of(const fc_problem *p, const fc_tile *tile, const cut *c)
{
    const int64_t size = element_size(p), vectors = MOST_CHANNELS * tile->lanes * size; /* of a period, at most */
    const int64_t strip = (((c->rows - 1) * p->sh + (p->kh - 1) * p->dh + 1) * c->pitch + MOST_VECS * tile->lanes) * size;
    parts at;
    at.weights = ceil_div(strip, 64) * 64;
    at.bias = at.weights + chain_length(p) * vectors;
    at.offsets = at.bias + vectors;
    at.sums = ceil_div(at.offsets + p->kw * (int64_t)sizeof(int64_t), 64) * 64;
    at.end = ceil_div(at.sums + FC_ROWS_MAX * MOST_VECS * tile->lanes * size, 128) * 128;
    return at;
}

static void prepare(fc_plan *plan)
{
    const fc_problem *p = &plan->problem;
    const cut c = cut_up(p, plan->tile);
    plan->n_tasks = p->n * c.row_blocks * c.col_blocks;
    plan->task_macs = (double)(c.rows * c.columns * p->oc) * (double)chain_length(p);
    plan->scratch_bytes = parts_of(p, plan->tile, &c).end;
}

/* Pixels begin to end of a row of the strip, one element at a time; pixel j is the image's column first + j. */
static inline __attribute__((always_inline)) void copy_pixels(const fc_problem *p, const fc_operands *operands, const char *row,
                                                              int64_t first, int64_t begin, int64_t end, char *to, int64_t size)
{
    const int64_t *x = operands->x.stride;
    for (int64_t j = begin; j < end; j++) {
        const int64_t column = row ? fc_extend(p->padding_mode, first + j, p->iw) : -1;
        for (int64_t c = 0; c < p->groups; c++)
            if (column < 0)
                copy_one(to + (j * p->groups + c) * size, (const char *)&operands->fill, size);
            else
                copy_element(p, to + (j * p->groups + c) * size, row + column * x[3] + c * x[1], size);
    }
}

/* Where a block of outputs begins, and its size. */
typedef struct {
    int64_t row, rows, column, columns;
} block;

/* Whether pixels of the image lie as in a row of the strip. */
static int packed(const fc_problem *p, const fc_operands *operands)
{
    const int64_t *x = operands->x.stride, size = pixel_size(p);
    return x[1] == size && (x[3] == p->ic * size || p->iw == 1);
}

/* Rows of outputs, `together` of which share rows of the image, are cut where a tile of them would begin. */
static int64_t together_of(const fc_problem *p)
{
    return p->sh == 1 ? p->dh : 1;
}

/* Outputs of a block whose pixels are read where they are: those that need no padding. What is left of it and right of it is as
 * wide as a tile at least: a tile of one vector is no faster than one of three. */
static block middle_of(const fc_problem *p, const fc_operands *operands, const fc_tile *tile, const block *all)
{
    const int64_t wide = ceil_div(MOST_VECS * tile->lanes, p->ic), step = FC_ROWS_MAX * together_of(p);
    const int64_t row_end = p->ih + p->pt - (p->kh - 1) * p->dh, column_end = p->iw + p->pl - (p->kw - 1) * p->dw; /* row * sh before */
    const int64_t right = all->column + all->columns;
    block b = *all;
    if (all->row * p->sh < p->pt)
        b.row += ceil_div(strides_in(p->pt, p->sh) - all->row, step) * step;
    b.rows = all->row + all->rows - b.row;
    if ((b.row + b.rows - 1) * p->sh >= row_end)
        b.rows = row_end > b.row * p->sh ? strides_in(row_end - b.row * p->sh, p->sh) / step * step : 0;
    if (all->column < p->pl)
        b.column = most(p->pl, all->column + wide);
    b.columns = (right > column_end ? least(column_end, right - wide) : right) - b.column;
    if (b.rows <= 0 || p->from_bytes || !packed(p, operands) || b.columns < wide) /* tiles are read as a whole */
        b = (block){all->row, 0, all->column, all->columns};
    return b;
}

/* The pixels that a block of outputs needs, in rows of `pitch` elements. */
static void copy_strip(const fc_plan *plan, const fc_operands *operands, const block *b, const char *image, int64_t pitch,
                       char *strip)
{
    const fc_problem *p = &plan->problem;
    const int64_t *x = operands->x.stride, size = element_size(p), pixel = p->groups * size;
    const int64_t rows = (b->rows - 1) * p->sh + (p->kh - 1) * p->dh + 1, columns = b->columns + (p->kw - 1) * p->dw;
    const int64_t first = b->column - p->pl;
    /* Columns lo to hi lie inside the image. */
    const int64_t hi = most(least(p->iw - first, columns), 0), lo = least(most(-first, 0), hi);
    const fc_moves *moves = fc_moves_of(plan->isa, p->dtype);
    const int whole = packed(p, operands) && (hi - lo) * p->ic >= moves->least;
    void (*const copy)(char *, int64_t, const char *, int64_t, int64_t, int64_t) = p->from_bytes ? moves->widen : moves->copy[1];
    for (int64_t r = 0; r < rows; r++, strip += pitch * size) {
        const int64_t at = fc_extend(p->padding_mode, b->row * p->sh - p->pt + r, p->ih);
        const char *row = at < 0 ? NULL : image + at * x[2];
        const int64_t begin = row && whole ? lo : columns, end = row && whole ? hi : columns;
        memset(strip + columns * pixel, 0, (size_t)(pitch * size - columns * pixel)); /* see fc_copy_phases */
        if (begin < end)
            copy(strip + begin * pixel, 0, row + (first + begin) * x[3], 0, 1, (end - begin) * p->ic);
        if (size == 4) {
            copy_pixels(p, operands, row, first, 0, begin, strip, 4);
            copy_pixels(p, operands, row, first, end, columns, strip, 4);
        } else {
            copy_pixels(p, operands, row, first, 0, begin, strip, 8);
            copy_pixels(p, operands, row, first, end, columns, strip, 8);
        }
    }
    memset(strip, 0, (size_t)(MOST_VECS * plan->tile->lanes * size));
}

/* Whether all channels have the same weights, and the same bias. */
static inline __attribute__((always_inline)) int same_for_all(const fc_problem *p, const fc_operands *operands, int64_t size)
{
    const int64_t *w = operands->weight.stride;
    for (int64_t o = 1; o < p->oc; o++) {
        for (int64_t ky = 0; ky < p->kh; ky++)
            for (int64_t kx = 0; kx < p->kw; kx++) {
                const char *at = operands->weight.data + ky * w[2] + kx * w[3];
                if (memcmp(at, at + o * w[0], (size_t)size))
                    return 0;
            }
        if (operands->bias && memcmp(operands->bias, operands->bias + o * operands->bias_stride, (size_t)size))
            return 0;
    }
    return 1;
}

/* One element of each channel, `step` bytes apart, again and again. */
static inline void repeat(char *to, const char *from, int64_t step, int64_t channels, int64_t count, int64_t size)
{
    for (int64_t i = 0; i < count; i += channels)
        for (int64_t c = 0; c < channels; c++)
            copy_one(to + (i + c) * size, from + c * step, size);
}

/* Weights and bias for the kernels of a period, which is returned. The size is known where it is compiled: it is
 * not asked for at each element, and comparing elements is no call. */
static inline __attribute__((always_inline)) int64_t lay_out(const fc_problem *p, const fc_operands *operands, int64_t lanes,
                                                             char *weights, char *bias, int64_t size)
{
    const int64_t *w = operands->weight.stride;
    const int same = same_for_all(p, operands, size);
    const int64_t channels = same ? 1 : p->oc, period = same ? 0 : channels / gcd(channels, lanes);
    const int64_t count = same ? 1 : period * lanes;
    for (int64_t ky = 0; ky < p->kh; ky++)
        for (int64_t kx = 0; kx < p->kw; kx++, weights += count * size)
            repeat(weights, operands->weight.data + ky * w[2] + kx * w[3], w[0], channels, count, size);
    if (operands->bias)
        repeat(bias, operands->bias, operands->bias_stride, channels, count, size);
    return period;
}

/* Vectors of a tile, for a row of so many: a kernel that there is, and that computes few elements twice. */
static int64_t choose_wide(const fc_interleaved *kernel, int64_t period, int64_t vecs)
{
    int64_t best = 0, least_work = 0;
    for (int64_t wide = MOST_VECS; wide > 0; wide--) {
        const int64_t work = ceil_div(vecs, wide) * (wide + 1);
        if (kernel->run[period][wide] && (!best || work < least_work)) {
            best = wide;
            least_work = work;
        }
    }
    return best;
}

/* The lines that the next tile of a row, `bytes` further on, is the first to read or to write, of an image that is read in place.
 * Processors that look ahead begin anew in each page: with 1080 x 1920 x 3 pixels on Granite Rapids 7 x 7 takes 9.4 ms without
 * this, and 8.3 with it. Where a strip is read it takes longer than it saves. */
static void call_in(const fc_rows_run *run, int64_t bytes, int direct)
{
    for (int64_t r = most(run->kh - run->stride, 0); r < run->kh + (run->rows - 1) * run->stride; r++)
        for (int64_t line = 64; line <= bytes; line += 64)
            __builtin_prefetch(run->x + r * run->x_row + bytes + line);
    for (int64_t r = 0; r < run->rows && direct; r++)
        for (int64_t line = 0; line < bytes; line += 64)
            __builtin_prefetch(run->y + r * run->y_row + bytes + line);
}

/* Outputs of a block: `run` says where its first one's pixels are, the weights and the offsets. */
static void multiply(const fc_plan *plan, const fc_operands *operands, fc_rows_run run, int64_t period, const block *b,
                     int64_t n, const char *strip, char *sums)
{
    const fc_problem *p = &plan->problem;
    const fc_interleaved *kernel = fc_interleaved_of(plan->isa, p->dtype);
    const int64_t *y = operands->y.stride, size = element_size(p), lanes = kernel->lanes, elements = b->columns * p->oc;
    const int64_t wide = choose_wide(kernel, period, ceil_div(elements, lanes)), tile = wide * lanes, x_row = run.x_row;
    const int64_t together = together_of(p); /* rows of outputs so far apart share rows of the image */
    const int direct = y[1] == size && (y[3] == p->oc * size || p->ow == 1);
    const int in_place = run.x != strip;
    const char *x = run.x;
    char *const to = operands->y.data + n * y[0] + b->row * y[2] + b->column * y[3];
    run.x_row = x_row * p->dh;
    run.last = least(elements, tile);
    run.y_row = direct ? y[2] * together : tile * size;
    for (int64_t r0 = 0; r0 < b->rows; r0 += FC_ROWS_MAX * together)
        for (int64_t r = r0; r < least(r0 + together, b->rows); r++) {
            run.rows = least(ceil_div(b->rows - r, together), FC_ROWS_MAX);
            for (int64_t j = 0; j < elements; j += tile) {
                const int64_t at = elements > tile ? least(j, elements - tile) : 0; /* the last tile ends where the row does */
                run.x = x + r * p->sh * x_row + at * size;
                run.y = direct ? to + r * y[2] + at * size : sums;
                if (in_place && j + tile < elements)
                    call_in(&run, tile * size, direct);
                kernel->run[period][wide](&run);
                for (int64_t i = 0; i < run.rows && !direct; i++)
                    for (int64_t e = 0; e < run.last; e++)
                        copy_one(to + (r + i * together) * y[2] + (at + e) / p->oc * y[3] + (at + e) % p->oc * y[1],
                                 sums + i * run.y_row + e * size, size);
            }
        }
}

static void run_task(const fc_plan *plan, const fc_operands *operands, int64_t task, void *scratch)
{
    const fc_problem *p = &plan->problem;
    const cut c = cut_up(p, plan->tile);
    const int64_t size = element_size(p), lanes = plan->tile->lanes;
    const int64_t row_block = task % c.row_blocks, col_block = task / c.row_blocks % c.col_blocks, n = task / c.row_blocks / c.col_blocks;
    const int64_t *x = operands->x.stride;
    const parts at = parts_of(p, plan->tile, &c);
    char *weights = (char *)scratch + at.weights, *bias = (char *)scratch + at.bias;
    int64_t *offsets = (int64_t *)((char *)scratch + at.offsets);

    const int64_t period = size == 4 ? lay_out(p, operands, lanes, weights, bias, 4) : lay_out(p, operands, lanes, weights, bias, 8);
    for (int64_t kx = 0; kx < p->kw; kx++)
        offsets[kx] = kx * p->dw * p->groups * size;

    block all = {.row = part(row_block, c.row_blocks, p->oh), .column = part(col_block, c.col_blocks, p->ow)};
    all.rows = part(row_block + 1, c.row_blocks, p->oh) - all.row;
    all.columns = part(col_block + 1, c.col_blocks, p->ow) - all.column;
    const block middle = middle_of(p, operands, plan->tile, &all);
    /* Rows above it, it with what is left and right of it, and rows below it. */
    const int64_t rows[4] = {all.row, middle.row, middle.row + middle.rows, all.row + all.rows};
    const int64_t columns[4] = {all.column, middle.column, middle.column + middle.columns, all.column + all.columns};
    const char *image = operands->x.data + n * x[0];
    for (int k = 0; k < 9; k++) {
        const int inside = k / 3 == 1;
        block b = {rows[k / 3], rows[k / 3 + 1] - rows[k / 3], columns[k % 3], columns[k % 3 + 1] - columns[k % 3]};
        if (!inside && k % 3 == 0) {
            b.column = all.column;
            b.columns = all.columns;
        }
        if (b.rows <= 0 || b.columns <= 0 || (!inside && k % 3))
            continue;
        fc_rows_run run = {.kh = p->kh, .taps = p->kw, .stride = p->sh, .x = scratch, .xoff = offsets, .w = weights,
                           .bias = operands->bias ? bias : NULL};
        if (k == 4) {
            run.x = image + (b.row * p->sh - p->pt) * x[2] + (b.column - p->pl) * x[3];
            run.x_row = x[2];
        } else {
            const int64_t pitch = pitch_of(p, plan->tile, b.columns);
            run.x_row = pitch * size;
            copy_strip(plan, operands, &b, image, pitch, scratch);
        }
        multiply(plan, operands, run, period, &b, n, scratch, (char *)scratch + at.sums);
    }
}

const fc_algorithm fc_algorithm_interleaved = {
    .name = "interleaved",
    .family = "direct",
    .can = FC_CAN_STRIDE | FC_CAN_DILATE | FC_CAN_GROUP | FC_CAN_PAD | FC_CAN_PAD_EDGE | FC_CAN_BIAS | FC_CAN_F64 |
           FC_CAN_BYTES,
    .reject = reject,
    .cost = cost,
    .prepare = prepare,
    .run_task = run_task,
};
