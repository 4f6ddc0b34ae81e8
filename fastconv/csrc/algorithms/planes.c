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
    STRIP_GOOD = 96 << 10, /* as long as a block is higher than its kernel */
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

typedef struct {
    int64_t period, phases; /* taps apart that share a phase, and how many there are */
    int64_t lead;           /* elements before a row, so that those copied from the image begin a cache line */
    int64_t rows, pitch;    /* of a plane of the strip */
    int64_t plane;          /* bytes */
} layout;

/* How a problem is cut. */
typedef struct {
    int64_t rows, columns; /* of outputs in a task, at most */
    int64_t row_blocks, col_blocks;
    int64_t groups; /* of a task */
} cut;

static layout lay_out(const fc_problem *p, int lanes, int64_t rows, int64_t columns)
{
    layout l;
    l.period = p->sw / gcd(p->sw, p->dw);
    l.phases = least(l.period, p->kw);
    l.rows = (rows - 1) * p->sh + (p->kh - 1) * p->dh + 1;
    l.lead = p->sw == 1 ? (lanes - p->pl % lanes) % lanes : 0;
    l.pitch = ceil_div(l.lead + ceil_div(columns, lanes) * lanes + (p->kw - 1) * p->dw / p->sw, lanes) * lanes;
    if (l.pitch * element_size(p) % 2048 == 0) /* rows at such a distance share a few sets of the cache */
        l.pitch += lanes;
    l.plane = l.rows * l.pitch * element_size(p);
    return l;
}

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
    const layout one = lay_out(p, tile->lanes, 1, c.columns);
    const double row_bytes = (double)(one.pitch * one.phases * igc * element_size(p)), kernel = (double)one.rows;
    const double most_rows = 1 + (STRIP_BYTES / row_bytes - kernel) / (double)p->sh;
    const double good_rows = 1 + (STRIP_GOOD / row_bytes - kernel) / (double)p->sh;
    const int64_t together = FC_ROWS_MAX * (p->sh == 1 ? least(p->dh, MOST_TOGETHER) : 1); /* that share rows of the strip */
    c.rows = most((int64_t)(good_rows < 1 ? 1 : good_rows) / together, 1) * together;
    if ((double)c.rows > most_rows)
        c.rows = most((int64_t)most_rows, 1);
    c.rows = least(c.rows, p->oh);
    c.row_blocks = ceil_div(p->oh, c.rows);
    c.groups = 1;
    const double macs = (double)(c.rows * c.columns * ocg) * (double)chain_length(p);
    const double blocks = (double)p->n * (double)c.row_blocks * (double)c.col_blocks;
    while (c.groups < p->groups && macs * (double)c.groups < TASK_MACS &&
           blocks * (double)p->groups > MIN_TASKS * 2 * (double)c.groups)
        c.groups *= 2;
    return c;
}

static double cost(const fc_problem *p, const fc_tile *tile)
{
    const cut c = cut_up(p, tile);
    const layout l = lay_out(p, tile->lanes, c.rows, c.columns);
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
    const layout l = lay_out(p, tile->lanes, c->rows, c->columns);
    parts at;
    at.weights = ceil_div(l.plane * l.phases * igc, 64) * 64;
    at.offsets = at.weights + ceil_div(chain_length(p) * size, 64) * 64;
    at.sums = at.offsets + ceil_div(p->kw * igc * (int64_t)sizeof(int64_t), 64) * 64;
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

/* One channel of the image from padded row and column `row0`, `column0` on, phase by phase. A constant's borders are the
 * same for every channel: only the first of a task writes them. */
static inline __attribute__((always_inline)) void copy_plane(const fc_problem *p, const fc_operands *operands,
                                                             const layout *l, const char *image, int64_t row0,
                                                             int64_t column0, int64_t width, char *to, int borders,
                                                             int64_t size)
{
    const int64_t *x = operands->x.stride;
    borders |= p->padding_mode != FC_CONSTANT;
    for (int64_t phase = 0; phase < l->phases; phase++, to += l->plane) {
        const int64_t first = phase * p->dw % p->sw + column0 - p->pl; /* the image's column that column 0 is */
        const int64_t hi = p->iw <= first ? 0 : least(ceil_div(p->iw - first, p->sw), width);
        const int64_t lo = first >= 0 ? 0 : least(ceil_div(-first, p->sw), hi);
        const int64_t inside = (first + lo * p->sw) * x[3], step = hi - lo > 1 ? p->sw * x[3] : size;
        for (int64_t r = 0; r < l->rows; r++) {
            const int64_t y = row0 + r - p->pt, at = y >= 0 && y < p->ih ? y : fc_extend(p->padding_mode, y, p->ih);
            const char *row = at < 0 ? NULL : image + at * x[2];
            char *out = to + (l->lead + r * l->pitch) * size;
            if (borders) {
                copy_border(p, operands, out, row, first, 0, row ? lo : width, size);
                copy_border(p, operands, out, row, first, row ? hi : width, width, size);
            }
            if (!row || lo >= hi)
                continue;
            if (step == size)
                copy_run(out + lo * size, row + inside, (hi - lo) * size);
            else
                fc_pick(out + lo * size, row + inside, step, hi - lo, size);
        }
    }
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
    const int64_t row0 = part(row_block, c.row_blocks, p->oh), rows = part(row_block + 1, c.row_blocks, p->oh) - row0;
    const int64_t col0 = part(col_block, c.col_blocks, p->ow), columns = part(col_block + 1, c.col_blocks, p->ow) - col0;
    const int64_t *x = operands->x.stride, *w = operands->weight.stride, *y = operands->y.stride;
    const parts at = parts_of(p, tile, &c);
    const layout l = lay_out(p, tile->lanes, rows, columns);

    /* A tile that is cut off reads beyond its last output. */
    const int in_place = !(p->pt | p->pb | p->pl | p->pr) && p->sw == 1 && (x[3] == size || p->iw == 1) &&
                         (columns % tile->lanes == 0 || columns > tile->vecs * tile->lanes);
    int64_t *xoff = (int64_t *)((char *)scratch + at.offsets);
    for (int64_t kx = 0; kx < p->kw; kx++)
        for (int64_t i = 0; i < igc; i++)
            xoff[kx * igc + i] = in_place ? i * x[1] + kx * p->dw * size
                                          : (i * l.phases + kx % l.period) * l.plane + (l.lead + kx * p->dw / p->sw) * size;

    for (int64_t group = group0; group < least(group0 + c.groups, p->groups); group++) {
        const char *image = operands->x.data + n * x[0] + group * igc * x[1];
        fc_rows_run run = {.kh = p->kh, .taps = p->kw * igc, .stride = p->sh, .xoff = xoff, .w = (char *)scratch + at.weights};
        if (in_place) {
            run.x = image + row0 * p->sh * x[2] + col0 * size;
            run.x_row = x[2];
        } else {
            const int64_t width = columns + (p->kw - 1) * p->dw / p->sw;
            for (int64_t i = 0; i < igc; i++) {
                char *to = (char *)scratch + i * l.phases * l.plane;
                if (size == 4)
                    copy_plane(p, operands, &l, image + i * x[1], row0 * p->sh, col0 * p->sw, width, to, group == group0, 4);
                else
                    copy_plane(p, operands, &l, image + i * x[1], row0 * p->sh, col0 * p->sw, width, to, group == group0, 8);
            }
            run.x = scratch;
            run.x_row = l.pitch * size;
        }
        for (int64_t o = group * ocg; o < (group + 1) * ocg; o++) {
            char *weight = (char *)scratch + at.weights;
            for (int64_t ky = 0; ky < p->kh; ky++)
                for (int64_t kx = 0; kx < p->kw; kx++)
                    for (int64_t i = 0; i < igc; i++, weight += size)
                        copy_one(weight, operands->weight.data + o * w[0] + i * w[1] + ky * w[2] + kx * w[3], size);
            run.bias = operands->bias ? operands->bias + o * operands->bias_stride : NULL;
            run_block(kernel, run, p->dh, rows, columns, operands->y.data + n * y[0] + o * y[1] + row0 * y[2] + col0 * y[3], y,
                      size, (char *)scratch + at.sums, size);
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
