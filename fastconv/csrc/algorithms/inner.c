/* inner: the direct algorithm for depthwise kernels of more taps than there are outputs, as inner products of a map of pixels
 * and a map of weights, with a vector of channels at a time.
 *
 * Gradients of depthwise kernels are such problems. The kernel is worked through in strips of its rows: the weights of a strip
 * and the padded pixels that it meets are copied, transposed where the pixels of a channel lie side by side, and the few
 * sums go on from strip to strip. Pixels are read in place where channels lie side by side and nothing is padded.
 *
 * Loops of a task: strips of the kernel > rows of outputs > up to seven outputs of a row > the chain.
 *
 * Cost: a fused multiply-add for each product, in vectors of channels; both maps are copied once. */

#include "algorithms/common.h"

enum {
    MOST_STEPS = 1024,       /* of the chain in a strip: weights of 64 KiB */
    WINDOW_BYTES = 256 << 10, /* of pixels: a quarter of Zen 4's L2, */
    SUMS_BYTES = 256 << 10,   /* and of sums */
    LATENCY = 4,        /* cycles of a multiply-add, which fewer sums wait for */
    COPY_PIXEL = 3,     /* estimated cycles to copy a vector, */
    TRANSPOSE_PIXEL = 7, /* or to transpose it, */
    TILE = 20,          /* to begin and end a row of outputs, */
    TASK = 300,         /* and a task */
};

/* The rows and columns of the kernel in a strip, and what they meet. */
typedef struct {
    int64_t rows, columns, down, across; /* pixels down and across */
} cut;

static cut cut_into(const fc_problem *p)
{
    const double reach_h = (double)(p->oh - 1) * (double)p->sh + 1, reach_w = (double)(p->ow - 1) * (double)p->sw + 1;
    cut c = {.rows = 1, .columns = least(p->kw, MOST_STEPS)};
    while (c.columns > 8 && reach_h * (reach_w + (double)(c.columns - 1) * (double)p->dw) * 64 > WINDOW_BYTES)
        c.columns = ceil_div(c.columns, 2);
    c.across = (c.columns - 1) * p->dw + (p->ow - 1) * p->sw + 1;
    c.down = (p->oh - 1) * p->sh + 1;
    while (c.columns == p->kw && c.rows < p->kh && (c.rows + 1) * c.columns <= MOST_STEPS &&
           (double)(c.down + p->dh) * (double)c.across * 64 <= WINDOW_BYTES) {
        c.rows++;
        c.down += p->dh;
    }
    return c;
}

static const char *reject(const fc_problem *p)
{
    if (p->ic != p->groups || p->oc != p->groups)
        return "it needs one input channel and one output channel a group";
    if ((double)p->kh * (double)p->kw <= (double)p->oh * (double)p->ow)
        return "it needs a kernel of more taps than there are outputs";
    const double down = (double)(p->oh - 1) * (double)p->sh + 1;
    const double across = (double)(least(p->kw, 8) - 1) * (double)p->dw + (double)(p->ow - 1) * (double)p->sw + 1;
    if (down * across * 64 > WINDOW_BYTES || (double)p->oh * (double)p->ow * 64 > SUMS_BYTES) /* a vector has 64 bytes at most */
        return "its outputs need more room than there is";
    return NULL;
}

static double cost(const fc_problem *p, const fc_tile *tile)
{
    const cut c = cut_into(p);
    const double vectors = (double)p->n * (double)ceil_div(p->oc, tile->lanes), taps = (double)p->kh * (double)p->kw;
    const double strips = (double)ceil_div(p->kh, c.rows) * (double)ceil_div(p->kw, c.columns);
    const double pixels = strips * (double)c.down * (double)c.across;
    const double whole = (double)(p->ow / FC_PIXELS) * (FC_PIXELS + 1), some = (double)(p->ow % FC_PIXELS);
    const double row = whole + (some == 0 ? 0 : some + 1 > LATENCY ? some + 1 : LATENCY);
    const double tiles = strips * (double)p->oh * (double)ceil_div(p->ow, FC_PIXELS);
    return vectors * (taps * (double)p->oh * row + tiles * TILE + TASK +
                      (taps + pixels) * (p->channels_last ? COPY_PIXEL : TRANSPOSE_PIXEL));
}

/* Where the parts of a thread's scratch memory begin, in bytes from the pixels at 0. */
typedef struct {
    int64_t weights, sums, tables, end;
} parts;

static parts parts_of(const fc_problem *p, const fc_tile *tile, const cut *c)
{
    const int64_t vector = tile->lanes * element_size(p), steps = c->rows * c->columns;
    parts at;
    at.weights = c->down * c->across * vector;
    at.sums = at.weights + steps * vector;
    at.tables = ceil_div(at.sums + p->oh * p->ow * vector, 64) * 64;
    at.end = ceil_div(at.tables + (steps + c->down * c->across) * (int64_t)sizeof(int64_t), 128) * 128;
    return at;
}

static void prepare(fc_plan *plan)
{
    const fc_problem *p = &plan->problem;
    const cut c = cut_into(p);
    plan->n_tasks = p->n * ceil_div(p->oc, plan->tile->lanes);
    plan->task_macs = (double)plan->tile->lanes * (double)p->oh * (double)p->ow * (double)p->kh * (double)p->kw;
    plan->scratch_bytes = parts_of(p, plan->tile, &c).end;
}

static void run_task(const fc_plan *plan, const fc_operands *operands, int64_t task, void *scratch)
{
    const fc_problem *p = &plan->problem;
    const fc_channels *kernel = fc_channels_of(plan->isa, p->dtype);
    const cut c = cut_into(p);
    const parts at = parts_of(p, plan->tile, &c);
    const int64_t lanes = plan->tile->lanes, vectors = ceil_div(p->oc, lanes), size = element_size(p), vector = lanes * size;
    const int64_t oc = task % vectors * lanes, n = task / vectors, channels = least(lanes, p->oc - oc);
    const int64_t *x = operands->x.stride, *w = operands->weight.stride, *y = operands->y.stride;
    const char *image = operands->x.data + n * x[0] + oc * x[1], *kernels = operands->weight.data + oc * w[0];
    char *window = scratch, *weights = window + at.weights, *sums = window + at.sums;
    int64_t *const off = (int64_t *)(window + at.tables), *const pixels_at = off + c.rows * c.columns;
    const int in_place = !(p->pt | p->pb | p->pl | p->pr) && x[1] == size && channels == lanes;
    const int64_t pixel = in_place ? x[3] : vector;
    int64_t tabulated = 0;
    for (int64_t ky = 0; ky < p->kh; ky += c.rows)
        for (int64_t kx = 0; kx < p->kw; kx += c.columns) {
            const int64_t rows = least(c.rows, p->kh - ky), columns = least(c.columns, p->kw - kx);
            const int64_t across = (columns - 1) * p->dw + (p->ow - 1) * p->sw + 1, row = in_place ? x[2] : across * pixel;
            const char *from = in_place ? image + ky * p->dh * x[2] + kx * p->dw * x[3] : window;
            if (!in_place)
                fc_copy_lanes(plan, operands, image, ky * p->dh, kx * p->dw, (rows - 1) * p->dh + (p->oh - 1) * p->sh + 1, across,
                              channels, window, pixels_at);
            fc_weight_lanes(plan, &operands->weight, kernels + ky * w[2] + kx * w[3], channels, rows, columns, weights);
            for (int64_t r = 0; r < rows && columns != tabulated; r++)
                for (int64_t t = 0; t < columns; t++)
                    off[r * columns + t] = r * p->dh * row + t * p->dw * pixel;
            tabulated = columns;
            for (int64_t i = 0; i < p->oh; i++)
                for (int64_t j = 0; j < p->ow; j += FC_PIXELS) {
                    char *to = sums + (i * p->ow + j) * vector;
                    kernel->run[least(FC_PIXELS, p->ow - j)](rows * columns, from + i * p->sh * row + j * p->sw * pixel, p->sw * pixel,
                                                             off, weights, ky || kx ? to : NULL, NULL, to, vector);
                }
        }
    fc_store_lanes(plan, operands, operands->y.data + n * y[0] + oc * y[1], sums, p->oh, p->ow, p->ow, channels);
}

const fc_algorithm fc_algorithm_inner = {
    .name = "inner",
    .family = "direct",
    .can = FC_CAN_STRIDE | FC_CAN_DILATE | FC_CAN_GROUP | FC_CAN_PAD | FC_CAN_PAD_EDGE | FC_CAN_F64 | FC_CAN_I64,
    .reject = reject,
    .cost = cost,
    .prepare = prepare,
    .run_task = run_task,
};
