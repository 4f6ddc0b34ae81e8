/* depthwise: depthwise kernels where channels stand last, a vector of channels at a time.
 *
 * A task is a block of channels and of output rows of one image. The input rows it needs are copied, padded, into a strip
 * of pixels, each with the block's channels side by side, so that taps, strides and dilations are offsets. Where there is
 * no padding and the block is whole, the image is read in place.
 *
 * Cost: a fused multiply-add for each output and tap, in vectors of channels; one copied pixel for each input pixel. */

#include "algorithms/common.h"

enum {
    STRIP_BYTES = 1 << 18, /* a quarter of Zen 4's L2 */
    MOST_ROWS = 16,        /* most output rows of a task */
    PIXELS = 4,            /* of one call of the kernel */
    MOST_TAPS = 1 << 12,
};

typedef struct {
    int64_t rows, columns;              /* of the strip, in pixels */
    int64_t weights, bias, offsets, sums, end; /* bytes from the strip at 0 */
} parts;

static parts parts_of(const fc_problem *p, const fc_channels *kernel, int64_t out_rows)
{
    const int64_t block = kernel->channels * element_size(p), taps = p->kh * p->kw;
    parts at;
    at.rows = (out_rows - 1) * p->sh + (p->kh - 1) * p->dh + 1;
    at.columns = (p->ow - 1) * p->sw + (p->kw - 1) * p->dw + 1;
    at.weights = at.rows * at.columns * block;
    at.bias = at.weights + taps * block;
    at.sums = at.bias + block;
    at.offsets = at.sums + PIXELS * block;
    at.end = ceil_div(at.offsets + taps * (int64_t)sizeof(int64_t), 128) * 128;
    return at;
}

static const char *reject(const fc_problem *p)
{
    if (p->ic != p->groups || p->oc != p->groups)
        return "it needs one input and one output channel a group";
    if (p->kh > MOST_TAPS || p->kw > MOST_TAPS || p->kh * p->kw > MOST_TAPS)
        return "the kernel has too many taps for its table";
    const double rows = (double)(p->kh - 1) * (double)p->dh + 1;
    const double columns = (double)(p->ow - 1) * (double)p->sw + (double)(p->kw - 1) * (double)p->dw + 1;
    if (rows * columns * 512 > STRIP_BYTES * 8.0) /* 512 bytes are the widest block of channels */
        return "one row of outputs needs a larger strip than there is";
    return NULL;
}

/* The vector is full of channels only where they lie side by side, and there are some. */
static double cost(const fc_problem *p, const fc_tile *tile)
{
    const double vectors = (double)ceil_div(p->ic, tile->columns) * tile->vecs;
    const double outputs = (double)p->n * (double)p->oh * (double)p->ow;
    return outputs * vectors * ((double)(p->kh * p->kw) + 4) * (p->channels_last ? 1 : 100);
}

static void prepare(fc_plan *plan)
{
    const fc_problem *p = &plan->problem;
    const fc_channels *kernel = fc_channels_of(plan->isa, p->dtype);
    plan->px_block = 1;
    while (plan->px_block < least(p->oh, MOST_ROWS) && parts_of(p, kernel, plan->px_block + 1).weights <= STRIP_BYTES)
        plan->px_block++;
    plan->oc_block = kernel->channels;
    plan->n_tasks = p->n * ceil_div(p->ic, kernel->channels) * ceil_div(p->oh, plan->px_block);
    plan->task_macs = (double)(plan->px_block * kernel->channels) * (double)p->ow * (double)(p->kh * p->kw);
    plan->scratch_bytes = parts_of(p, kernel, plan->px_block).end;
}

/* The channels of one pixel, side by side; what is beyond the last channel is 0. */
static inline __attribute__((always_inline)) void copy_pixel(const fc_operands *operands, char *to, const char *from,
                                                             int64_t channels, int64_t block, int64_t size)
{
    const int64_t step = operands->x.stride[1];
    if (from && step == size)
        copy_run(to, from, channels * size);
    else
        for (int64_t c = 0; c < channels; c++)
            memcpy(to + c * size, from ? from + c * step : (const char *)&operands->fill, (size_t)size);
    if (channels < block)
        memset(to + channels * size, 0, (size_t)((block - channels) * size));
}

static void copy_strip(const fc_problem *p, const fc_operands *operands, const parts *at, const char *image, int64_t row0,
                       int64_t channels, int64_t block, char *strip)
{
    const int64_t *stride = operands->x.stride, size = element_size(p);
    for (int64_t r = 0; r < at->rows; r++) {
        const int64_t row = fc_extend(p->padding_mode, row0 * p->sh + r - p->pt, p->ih);
        for (int64_t j = 0; j < at->columns; j++, strip += block * size) {
            const int64_t column = row < 0 ? -1 : fc_extend(p->padding_mode, j - p->pl, p->iw);
            const char *from = column < 0 ? NULL : image + row * stride[2] + column * stride[3];
            if (size == 4)
                copy_pixel(operands, strip, from, channels, block, 4);
            else
                copy_pixel(operands, strip, from, channels, block, 8);
        }
    }
}

static void run_task(const fc_plan *plan, const fc_operands *operands, int64_t task, void *scratch)
{
    const fc_problem *p = &plan->problem;
    const fc_channels *kernel = fc_channels_of(plan->isa, p->dtype);
    const int64_t size = element_size(p), block = kernel->channels, taps = p->kh * p->kw;
    const int64_t row_blocks = ceil_div(p->oh, plan->px_block), c_blocks = ceil_div(p->ic, block);
    const int64_t row0 = task % row_blocks * plan->px_block, c0 = task / row_blocks % c_blocks * block;
    const int64_t n = task / row_blocks / c_blocks;
    const int64_t rows = least(plan->px_block, p->oh - row0), channels = least(block, p->ic - c0);
    const int64_t *x = operands->x.stride, *w = operands->weight.stride, *y = operands->y.stride;
    const parts at = parts_of(p, kernel, plan->px_block);

    char *weights = (char *)scratch + at.weights, *bias = (char *)scratch + at.bias, *sums = (char *)scratch + at.sums;
    int64_t *offsets = (int64_t *)((char *)scratch + at.offsets);
    memset(weights, 0, (size_t)((taps + 1) * block * size));
    for (int64_t c = 0; c < channels; c++) {
        const char *from = operands->weight.data + (c0 + c) * w[0];
        for (int64_t s = 0; s < taps; s++)
            memcpy(weights + (s * block + c) * size, from + s / p->kw * w[2] + s % p->kw * w[3], (size_t)size);
        if (operands->bias)
            memcpy(bias + c * size, operands->bias + (c0 + c) * operands->bias_stride, (size_t)size);
    }

    const char *image = operands->x.data + n * x[0] + c0 * x[1], *pixels = scratch;
    int64_t pixel_bytes = block * size, row_bytes = at.columns * pixel_bytes;
    if (!(p->pt | p->pb | p->pl | p->pr) && x[1] == size && channels == block) {
        pixels = image + row0 * p->sh * x[2];
        pixel_bytes = x[3];
        row_bytes = x[2];
    } else
        copy_strip(p, operands, &at, image, row0, channels, block, scratch);
    for (int64_t s = 0; s < taps; s++)
        offsets[s] = s / p->kw * p->dh * row_bytes + s % p->kw * p->dw * pixel_bytes;

    const int direct = y[1] == size && channels == block;
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < p->ow; j += PIXELS) {
            const int64_t count = least(PIXELS, p->ow - j);
            const char *from = pixels + i * p->sh * row_bytes + j * p->sw * pixel_bytes;
            char *to = operands->y.data + n * y[0] + c0 * y[1] + (row0 + i) * y[2] + j * y[3];
            kernel->run[count](taps, from, p->sw * pixel_bytes, offsets, weights, operands->bias ? bias : NULL,
                               direct ? to : sums, direct ? y[3] : block * size);
            for (int64_t k = 0; !direct && k < count; k++)
                if (y[1] == size)
                    copy_run(to + k * y[3], sums + k * block * size, channels * size);
                else
                    for (int64_t c = 0; c < channels; c++)
                        memcpy(to + k * y[3] + c * y[1], sums + (k * block + c) * size, (size_t)size);
        }
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
};
