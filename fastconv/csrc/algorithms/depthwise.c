/* depthwise: kernels of one input channel a group, with a vector of channels at a time.
 *
 * The input rows that a block of output rows needs are copied, padded, into a strip of pixels, each with a vector of
 * channels, by transposition where the pixels of a channel lie side by side. Where channels do, and there is no padding,
 * the image is read in place. Results of the other layout wait, and are transposed together.
 *
 * With several output channels a group, the strip has its input channel once for each.
 *
 * Cost: a fused multiply-add for each product, in vectors of channels; one copied pixel for each input pixel, and one for
 * each output pixel where it is transposed. */

#include "algorithms/common.h"

enum {
    STRIP_BYTES = 1 << 17, /* an eighth of Zen 4's L2 */
    ROOM_BYTES = 1 << 20,  /* at most, for a single row */
    MOST_ROWS = 32,        /* of outputs in a task */
    MOST_TAPS = 1 << 12,
    TASK_MACS = 1 << 17,   /* least work worth a task of its own */
    MIN_TASKS = 32,
    COPY_PIXEL = 4,       /* estimated cycles to copy a vector, */
    TRANSPOSE_PIXEL = 7,  /* or to transpose it, */
    BORDER_PIXEL = 3,     /* to fill one with padding, */
    COPY_ELEMENT = 8,     /* to copy an element of one alone, */
    TILE = 20,            /* and to begin and end seven pixels */
};

typedef struct {
    int64_t rows, columns; /* of the strip, in pixels, and of those the columns */
    int64_t width;         /* that taps read: the image may have more */
    int64_t sums, weights, bias, fill, tables, end; /* bytes from the strip at 0 */
} parts;

/* How a problem is cut. */
typedef struct {
    int64_t vectors;    /* of output channels, */
    int64_t row_blocks; /* and blocks of rows */
    int64_t rows;       /* of outputs in a task, at most */
} cut;

static parts parts_of(const fc_problem *p, const fc_tile *tile, int64_t out_rows)
{
    const int64_t pixel = tile->lanes * element_size(p), taps = p->kh * p->kw;
    parts at;
    at.rows = (out_rows - 1) * p->sh + (p->kh - 1) * p->dh + 1;
    at.width = (p->ow - 1) * p->sw + (p->kw - 1) * p->dw + 1;
    at.columns = most(at.width, p->pl + p->iw);
    at.sums = at.rows * at.columns * pixel;
    at.weights = at.sums + out_rows * p->ow * pixel;
    at.bias = at.weights + taps * pixel;
    at.fill = at.bias + pixel;
    at.tables = ceil_div(at.fill + pixel, 64) * 64;
    at.end = ceil_div(at.tables + (taps + at.rows * p->iw) * (int64_t)sizeof(int64_t), 128) * 128;
    return at;
}

static const char *reject(const fc_problem *p)
{
    if (p->ic != p->groups)
        return "it needs one input channel a group";
    if (p->kh > MOST_TAPS || p->kw > MOST_TAPS || p->kh * p->kw > MOST_TAPS)
        return "the kernel has too many taps for its table";
    const double rows = (double)(p->kh - 1) * (double)p->dh + 1;
    const double width = (double)(p->ow - 1) * (double)p->sw + (double)(p->kw - 1) * (double)p->dw + 1;
    const double inside = (double)p->pl + (double)p->iw;
    if (rows * (width > inside ? width : inside) * 64 > ROOM_BYTES) /* a vector has 64 bytes at most */
        return "one row of outputs needs a larger strip than there is";
    return NULL;
}

static cut cut_up(const fc_problem *p, const fc_tile *tile)
{
    cut c = {.vectors = ceil_div(p->oc, tile->lanes), .rows = 1};
    const double work = (double)p->n * (double)p->oc * (double)p->oh * (double)p->ow * (double)(p->kh * p->kw);
    const double wanted = work / TASK_MACS < MIN_TASKS ? work / TASK_MACS : MIN_TASKS;
    const parts one = parts_of(p, tile, 1); /* doubles, since strides may be huge */
    const double row_bytes = (double)(one.columns * tile->lanes * element_size(p));
    while (c.rows < least(p->oh, MOST_ROWS) && ((double)c.rows * (double)p->sh + (double)one.rows) * row_bytes <= STRIP_BYTES)
        c.rows++;
    while (c.rows > 4 && (double)(p->n * c.vectors) * (double)ceil_div(p->oh, c.rows) < wanted)
        c.rows = ceil_div(c.rows, 2);
    c.row_blocks = ceil_div(p->oh, c.rows);
    c.rows = ceil_div(p->oh, c.row_blocks);
    return c;
}

/* A vector is full of channels only where there are some. */
static double cost(const fc_problem *p, const fc_tile *tile)
{
    const cut c = cut_up(p, tile);
    const parts at = parts_of(p, tile, c.rows);
    const double blocks = (double)p->n * (double)c.vectors * (double)c.row_blocks, taps = (double)(p->kh * p->kw);
    const double outputs = (double)c.rows * (double)p->ow, inputs = (double)least(at.rows, p->ih) * (double)p->iw;
    const int slides = p->dw == 1 && p->sw <= 2 && (p->kw == 3 || p->kw == 5 || p->kw == 7);
    const double copies = p->channels_last ? inputs * COPY_PIXEL : (inputs + outputs) * TRANSPOSE_PIXEL;
    const double border = (double)(at.rows * at.columns) - inputs;
    const double tiles = (double)c.rows * (double)ceil_div(p->ow, FC_PIXELS);
    const double borders = border > 0 ? border * BORDER_PIXEL : 0;
    /* Elements that are copied one by one: all where a channel has several outputs, those of the last vector if it is not full. */
    const int64_t singly = p->oc != p->groups ? p->oc : p->oc % tile->lanes;
    const double single = (double)p->n * (double)c.row_blocks * inputs * (double)singly * COPY_ELEMENT;
    return single + blocks * (outputs * taps * (slides ? 1 : 1.3) + tiles * TILE + copies + borders + 10 * taps + 500);
}

static void prepare(fc_plan *plan)
{
    const fc_problem *p = &plan->problem;
    const cut c = cut_up(p, plan->tile);
    plan->n_tasks = p->n * c.vectors * c.row_blocks;
    plan->task_macs = (double)(c.rows * p->ow * plan->tile->lanes) * (double)(p->kh * p->kw);
    plan->scratch_bytes = parts_of(p, plan->tile, c.rows).end;
    plan->n_packs = c.vectors;
    plan->packed_bytes = c.vectors * chain_length(p) * plan->tile->lanes * element_size(p);
}

/* One pixel: the input channels of output channels `oc` to `oc + channels`; what is beyond is 0. */
static inline __attribute__((always_inline)) void copy_pixel(const fc_problem *p, const fc_operands *operands, char *to,
                                                             const char *from, int64_t oc, int64_t channels, int64_t lanes,
                                                             int64_t size)
{
    const int64_t step = operands->x.stride[1], ocg = p->oc / p->groups;
    if (step == size && ocg == 1)
        copy_run(to, from + oc * size, channels * size);
    else
        for (int64_t c = 0; c < channels; c++)
            memcpy(to + c * size, from + (oc + c) / ocg * step, (size_t)size);
    if (channels < lanes)
        memset(to + channels * size, 0, (size_t)((lanes - channels) * size));
}

/* Whether whole rows of the image, one after the other, can be transposed into the strip. */
static int transposes(const fc_problem *p, const fc_operands *operands)
{
    const int64_t *x = operands->x.stride, size = element_size(p);
    return p->oc == p->groups && x[1] != size && (x[3] == size || p->iw == 1) && (x[2] == p->iw * size || p->ih == 1);
}

static void copy_strip(const fc_plan *plan, const fc_operands *operands, const parts *at, const char *image, int64_t row0,
                       int64_t oc, int64_t channels, char *strip)
{
    const fc_problem *p = &plan->problem;
    const int64_t *x = operands->x.stride, size = element_size(p), lanes = plan->tile->lanes, pixel = lanes * size;
    const int64_t top = row0 * p->sh - p->pt; /* the image's row that row 0 is */
    /* Rows and columns of the strip that lie inside the image. */
    const int64_t first = top < 0 ? least(-top, at->rows) : 0, last = most(least(p->ih - top, at->rows), first);
    const int64_t left = p->pl, right = p->pl + p->iw;
    const int whole = transposes(p, operands) && channels == lanes && first < last;
    const fc_copy_fn copy = plan->tile->copy[1];
    char *const fill = strip + at->fill;
    for (int64_t c = 0; c < lanes; c++)
        copy_one(fill + c * size, (const char *)&operands->fill, size);
    if (whole) {
        int64_t *const pixels = (int64_t *)(strip + at->tables) + p->kh * p->kw, *to = pixels;
        for (int64_t r = first; r < last; r++)
            for (int64_t j = left; j < right; j++)
                *to++ = (r * at->columns + j) * pixel;
        plan->transpose(strip, pixels, 0, image + (top + first) * x[2] + oc * x[1], x[1], lanes, to - pixels);
    }
    if (whole && p->padding_mode == FC_CONSTANT) { /* what lies between two rows, the right end of one and the next one's left */
        char *from = strip;
        for (int64_t r = first; r < last; r++, from = strip + ((r - 1) * at->columns + right) * pixel)
            copy(from, pixel, fill, 0, (strip + (r * at->columns + left) * pixel - from) / pixel);
        copy(from, pixel, fill, 0, (strip + at->rows * at->columns * pixel - from) / pixel);
        return;
    }
    for (int64_t r = 0; r < at->rows; r++) {
        const int64_t row = fc_extend(p->padding_mode, top + r, p->ih);
        const char *from = image + row * x[2] + oc * x[1];
        char *to = strip + r * at->columns * pixel;
        int64_t begin = least(left, at->width), end = least(right, at->width); /* that are there, or easily had */
        int singly = 0;
        if (row < 0)
            begin = end = at->width;
        else if (!(whole && r >= first && r < last)) {
            if (x[1] == size && p->oc == p->groups && channels == lanes)
                copy(to + begin * pixel, pixel, from, x[3], end - begin);
            else {
                end = begin;
                singly = 1;
            }
        }
        if (p->padding_mode == FC_CONSTANT && !singly) { /* small maps have more of a border than pixels */
            copy(to, pixel, fill, 0, begin);
            copy(to + end * pixel, pixel, fill, 0, at->width - end);
            continue;
        }
        for (int64_t j = 0; j < at->width; j++) {
            if (j == begin)
                j = end;
            if (j >= at->width)
                break;
            const int64_t column = row < 0 ? -1 : fc_extend(p->padding_mode, j - p->pl, p->iw);
            if (column < 0)
                copy(to + j * pixel, pixel, fill, 0, 1);
            else if (size == 4)
                copy_pixel(p, operands, to + j * pixel, image + row * x[2] + column * x[3], oc, channels, lanes, 4);
            else
                copy_pixel(p, operands, to + j * pixel, image + row * x[2] + column * x[3], oc, channels, lanes, 8);
        }
    }
}

/* Finished sums, pixels with a vector of channels each, to rows of the result. */
static void store(const fc_plan *plan, const fc_operands *operands, char *to, const char *sums, int64_t rows, int64_t channels)
{
    const fc_problem *p = &plan->problem;
    const int64_t *y = operands->y.stride, size = element_size(p), pixel = plan->tile->lanes * size;
    const int64_t whole = y[3] == size && (y[2] == p->ow * size || rows == 1) ? rows : 1; /* rows at a time */
    for (int64_t r = 0; r < rows; r += whole, to += y[2])
        store_pixels(plan, &operands->y, to, sums + r * p->ow * pixel, pixel, whole * p->ow, channels);
}

/* The weights of a vector of output channels, tap by tap. */
static void pack_vector(const fc_plan *plan, const fc_operands *operands, int64_t vector, char *to)
{
    const fc_problem *p = &plan->problem;
    const int64_t lanes = plan->tile->lanes, oc = vector * lanes;
    fc_weight_lanes(plan, &operands->weight, operands->weight.data + oc * operands->weight.stride[0], least(lanes, p->oc - oc), p->kh,
                    p->kw, to);
}

static void pack(const fc_plan *plan, const fc_operands *operands, int64_t part)
{
    const int64_t bytes = chain_length(&plan->problem) * plan->tile->lanes * element_size(&plan->problem);
    pack_vector(plan, operands, part, operands->packed + part * bytes);
}

static void run_task(const fc_plan *plan, const fc_operands *operands, int64_t task, void *scratch)
{
    const fc_problem *p = &plan->problem;
    const fc_channels *kernel = fc_channels_of(plan->isa, p->dtype);
    const int64_t size = element_size(p), lanes = kernel->lanes, taps = p->kh * p->kw, ocg = p->oc / p->groups;
    const cut c = cut_up(p, plan->tile);
    const int64_t vector = task % c.vectors, row_block = task / c.vectors % c.row_blocks, n = task / c.vectors / c.row_blocks;
    const int64_t row0 = part(row_block, c.row_blocks, p->oh), rows = part(row_block + 1, c.row_blocks, p->oh) - row0;
    const int64_t oc = vector * lanes, channels = least(lanes, p->oc - oc);
    const int64_t *x = operands->x.stride, *y = operands->y.stride;
    const parts room = parts_of(p, plan->tile, c.rows);
    parts at = parts_of(p, plan->tile, rows);

    const int64_t packed = taps * lanes * size;
    char *weights = operands->packed ? operands->packed + vector * packed : (char *)scratch + room.weights;
    char *bias = (char *)scratch + room.bias, *sums = (char *)scratch + room.sums;
    int64_t *offsets = (int64_t *)((char *)scratch + room.tables);
    at.tables = room.tables;
    at.fill = room.fill;
    if (!operands->packed)
        pack_vector(plan, operands, vector, weights);
    for (int64_t k = 0; k < lanes && operands->bias; k++) /* beyond the last channel its own again */
        copy_one(bias + k * size, operands->bias + (oc + least(k, channels - 1)) * operands->bias_stride, size);

    const char *image = operands->x.data + n * x[0], *pixels = scratch;
    int64_t x_step = lanes * size, x_row = at.columns * x_step;
    if (!(p->pt | p->pb | p->pl | p->pr) && x[1] == size && channels == lanes && ocg == 1) {
        pixels = image + row0 * p->sh * x[2] + oc * size;
        x_step = x[3];
        x_row = x[2];
    } else
        copy_strip(plan, operands, &at, image, row0, oc, channels, scratch);
    const fc_slide_fn slide = p->dw == 1 && p->sw <= 2 && p->kw <= 7 && p->ow >= FC_PIXELS ? kernel->slide[p->kw][p->sw] : NULL;
    for (int64_t ky = 0, s = 0; ky < p->kh && !slide; ky++)
        for (int64_t kx = 0; kx < p->kw; kx++, s++)
            offsets[s] = ky * p->dh * x_row + kx * p->dw * x_step;

    const int direct = y[1] == size && channels == lanes;
    char *to = operands->y.data + n * y[0] + oc * y[1] + row0 * y[2];
    const int64_t y_step = direct ? y[3] : lanes * size, y_row = direct ? y[2] : p->ow * y_step;
    const void *b = operands->bias ? bias : NULL;
    for (int64_t i = 0; i < rows; i++) {
        const char *from = pixels + i * p->sh * x_row;
        char *out = (direct ? to : sums) + i * y_row;
        for (int64_t j = 0; j < p->ow; j += FC_PIXELS)
            if (slide) { /* the last tile ends where the row does */
                const int64_t at_j = least(j, p->ow - FC_PIXELS);
                slide(p->kh, from + at_j * p->sw * x_step, p->dh * x_row, x_step, weights, b, out + at_j * y_step, y_step);
            } else
                kernel->run[least(FC_PIXELS, p->ow - j)](taps, from + j * p->sw * x_step, p->sw * x_step, offsets, weights, NULL, b,
                                                         out + j * y_step, y_step);
    }
    if (!direct)
        store(plan, operands, to, sums, rows, channels);
}

const fc_algorithm fc_algorithm_depthwise = {
    .name = "depthwise",
    .family = "direct",
    .can = FC_CAN_STRIDE | FC_CAN_DILATE | FC_CAN_GROUP | FC_CAN_PAD | FC_CAN_PAD_EDGE | FC_CAN_BIAS | FC_CAN_F64 |
           FC_CAN_I64,
    .reject = reject,
    .cost = cost,
    .prepare = prepare,
    .run_task = run_task,
    .pack = pack,
};
