/* gather: any problem at all; the row that must always work.
 *
 * A task is a run of output pixels (counted over n, oh and ow) by a block of output channels of one group. For each
 * register tile of pixels the values under the taps are gathered into a panel, a piece of the chain at a time, and
 * every tile of output channels is multiplied with it. The gather is the one place that knows strides, padding and
 * dilation; it takes from each image what the outputs need and no more, so the cost follows the output's size whatever
 * the padding or the stride. Weights are read where they lie, through a table of offsets.
 *
 * Cost: n * oc * oh * ow * chain fused multiply-adds, chain = ic / groups * kh * kw, and n * oh * ow * chain copied
 * elements a channel block. */

#include "algorithms/common.h"

enum {
    STEPS = 256,      /* of the chain in one panel: 256 x 64 pixels x 4 bytes = 64 KiB, a sixteenth of Zen 4's L2 */
    OC_BLOCK = 96,    /* most output channels of a task: 96 x 64 x 4 = 24 KiB of running sums; a multiple of 6 and of 4 */
    TASK_MACS = 1 << 17, /* least work worth a task of its own: about 2 us on one core at peak */
    TASK_TILES = 64,  /* most tiles of pixels in a task */
    MIN_TASKS = 64,   /* below which channel blocks are cut smaller, so that there is work for every thread */
    COPY_VECTOR = 40,       /* estimated cycles to gather a vector of pixels, four times that where channels lie between, */
    STORE = 2,              /* and to store an output: one at a time */
};

/* Output pixels of one row that follow one another in a tile. */
typedef struct {
    int64_t n, oy, ox;
    int first, count; /* columns of the tile */
} segment;

/* Where the chain has come to. */
typedef struct {
    int64_t block, ky, kx, c;
} cursor;

typedef struct {
    int64_t *aoff, *boff;
    char *panel, *sums;
} workspace;

static const char *reject(const fc_problem *problem)
{
    (void)problem;
    return NULL;
}

static double cost(const fc_problem *p, const fc_tile *tile)
{
    const double tiles = (double)p->n * (double)p->oh * (double)p->ow / tile->columns + 1;
    const double ocg = (double)(p->oc / p->groups), copies = ocg / OC_BLOCK + 1;
    const double copy = p->channels_last ? 4 * COPY_VECTOR : COPY_VECTOR;
    const double chain = (double)chain_length(p), outputs = ocg * tile->lanes;
    return tiles * tile->vecs * (double)p->groups * (chain * (ocg + copy * copies) + outputs * STORE);
}

static void prepare(fc_plan *plan)
{
    const fc_problem *p = &plan->problem;
    const int64_t columns = plan->tile->columns, rows = plan->tile->rows;
    const int64_t ocg = p->oc / p->groups, pixels = p->n * p->oh * p->ow;
    const double chain = (double)chain_length(p);

    plan->oc_block = least(ocg, OC_BLOCK);
    while (plan->oc_block > rows && ceil_div(pixels, columns) * p->groups * ceil_div(ocg, plan->oc_block) < MIN_TASKS)
        plan->oc_block = ceil_div(plan->oc_block / 2, rows) * rows;
    int64_t tiles = 1;
    while (tiles < TASK_TILES && (double)(tiles * columns * plan->oc_block) * chain < TASK_MACS)
        tiles *= 2;
    plan->px_block = tiles * columns;
    plan->task_macs = (double)(plan->px_block * plan->oc_block) * chain;
    plan->n_tasks = ceil_div(pixels, plan->px_block) * ceil_div(ocg, plan->oc_block) * p->groups;
    plan->scratch_bytes = 2 * STEPS * (int64_t)sizeof(int64_t) +
                          columns * element_size(p) * (STEPS + ceil_div(plan->oc_block, rows) * rows);
    plan->scratch_bytes = ceil_div(plan->scratch_bytes, 128) * 128; /* threads share no cache line, nor a pair of them */
}

/* The tile's pixels [first, first + count), as runs within rows. Returns how many. */
static int cut_into_rows(const fc_problem *p, int64_t first, int count, segment *segments)
{
    int used = 0;
    int64_t ox = first % p->ow, oy = first / p->ow % p->oh, n = first / p->ow / p->oh;
    for (int column = 0; column < count;) {
        segment *s = &segments[used++];
        *s = (segment){n, oy, ox, column, (int)least(count - column, p->ow - ox)};
        column += s->count;
        ox = 0;
        if (++oy == p->oh) {
            oy = 0;
            n++;
        }
    }
    return used;
}

/* Moves on along the chain by at most `limit` steps that share ky and kx, and returns how many: their input channels
 * follow one another from from->c. */
static int64_t next_run(const fc_problem *p, cursor *at, int64_t limit, cursor *from)
{
    const int64_t igc = p->ic / p->groups;
    const int64_t end = least(at->block + FC_CHANNEL_BLOCK, igc);
    const int64_t count = least(end - at->c, limit);
    *from = *at;
    at->c += count;
    if (at->c == end) {
        at->c = at->block;
        if (++at->kx == p->kw) {
            at->kx = 0;
            if (++at->ky == p->kh) {
                at->ky = 0;
                at->block = at->c = end;
            }
        }
    }
    return count;
}

static inline __attribute__((always_inline)) void copy_strided(char *to, const char *from, int64_t step, int64_t count,
                                                               size_t size)
{
    if (step == (int64_t)size)
        memcpy(to, from, (size_t)count * size);
    else
        for (int64_t i = 0; i < count; i++)
            memcpy(to + (size_t)i * size, from + i * step, size);
}

/* One segment of one run of channels: the values under tap (ky, kx), a panel row for each channel. */
static inline __attribute__((always_inline)) void gather_row(const fc_problem *p, const fc_operands *operands,
                                                             const segment *s, const char *channel, const cursor *tap,
                                                             int64_t channels, char *panel, int64_t pitch, size_t size)
{
    const int64_t *stride = operands->x.stride;
    const int64_t row = fc_extend(p->padding_mode, s->oy * p->sh + tap->ky * p->dh - p->pt, p->ih);
    const int64_t shift = tap->kx * p->dw - p->pl, end = s->ox + s->count;
    /* Of the outputs [ox, end) those in [lo, hi) have their tap inside the row. */
    int64_t lo = shift >= 0 ? s->ox : ceil_div(-shift, p->sw);
    int64_t hi = p->iw - shift <= 0 ? s->ox : ceil_div(p->iw - shift, p->sw);
    lo = lo < s->ox ? s->ox : least(lo, end);
    hi = hi < lo ? lo : least(hi, end);
    if (row < 0)
        lo = hi = end;

    const char *source = channel + s->n * stride[0] + (row < 0 ? 0 : row) * stride[2];
    char *to = panel + (size_t)s->first * size;
    for (int64_t ox = s->ox; ox < end;) {
        char *const at = to + (size_t)(ox - s->ox) * size;
        if (ox == lo && lo < hi) {
            const char *inside = source + (lo * p->sw + shift) * stride[3];
            for (int64_t c = 0; c < channels; c++)
                copy_strided(at + c * pitch, inside + c * stride[1], hi - lo > 1 ? p->sw * stride[3] : 0, hi - lo,
                             size); /* a step that is not taken may be more than 2**63 bytes */
            ox = hi;
        } else {
            const int64_t column = row < 0 ? -1 : fc_extend(p->padding_mode, ox * p->sw + shift, p->iw);
            for (int64_t c = 0; c < channels; c++)
                memcpy(at + c * pitch,
                       column < 0 ? (const char *)&operands->fill : source + c * stride[1] + column * stride[3], size);
            ox++;
        }
    }
}

/* The next `steps` of the chain, for all pixels of the tile: panel rows, and the offsets of their weights. */
static void gather(const fc_plan *plan, const fc_operands *operands, int64_t group, const segment *segments, int used,
                   cursor *at, int64_t steps, const workspace *space)
{
    const fc_problem *p = &plan->problem;
    const int64_t size = element_size(p), pitch = plan->tile->columns * size;
    const int64_t *weight = operands->weight.stride;
    const int filled = segments[used - 1].first + segments[used - 1].count;
    for (int64_t done = 0; done < steps;) {
        cursor tap;
        const int64_t channels = next_run(p, at, steps - done, &tap);
        char *panel = space->panel + done * pitch;
        const char *channel = operands->x.data + (group * (p->ic / p->groups) + tap.c) * operands->x.stride[1];
        for (const segment *s = segments; s < segments + used; s++) {
            if (size == 4)
                gather_row(p, operands, s, channel, &tap, channels, panel, pitch, 4);
            else
                gather_row(p, operands, s, channel, &tap, channels, panel, pitch, 8);
        }
        for (int64_t c = 0; c < channels; c++) {
            memset(panel + c * pitch + filled * size, 0, (size_t)(pitch - filled * size));
            space->aoff[done + c] = (tap.c + c) * weight[1] + tap.ky * weight[2] + tap.kx * weight[3];
        }
        done += channels;
    }
}

/* The finished sums of one output channel, plus its bias, to where they belong. */
static void store(const fc_plan *plan, const fc_operands *operands, int64_t oc, const segment *segments, int used,
                  const char *sums)
{
    const fc_array *y = &operands->y;
    const char *bias = operands->bias ? operands->bias + oc * operands->bias_stride : NULL;
    for (const segment *s = segments; s < segments + used; s++) {
        char *to = y->data + s->n * y->stride[0] + oc * y->stride[1] + s->oy * y->stride[2] + s->ox * y->stride[3];
        switch (plan->problem.dtype) {
#define FC_STORE(T)                                                                                                    \
    for (int i = 0; i < s->count; i++, to += y->stride[3])                                                             \
        *(T *)to = bias ? ((const T *)sums)[s->first + i] + *(const T *)bias : ((const T *)sums)[s->first + i];        \
    break
        case FC_F32:
            FC_STORE(float);
        case FC_F64:
            FC_STORE(double);
        case FC_I64:
            FC_STORE(uint64_t);
#undef FC_STORE
        case FC_DTYPES:
            break;
        }
    }
}

static void run_task(const fc_plan *plan, const fc_operands *operands, int64_t task, void *scratch)
{
    const fc_problem *p = &plan->problem;
    const fc_tile *tile = plan->tile;
    const int64_t size = element_size(p), pitch = tile->columns * size, chain = chain_length(p);
    const int64_t ocg = p->oc / p->groups, pixels = p->n * p->oh * p->ow;
    const int64_t px_blocks = ceil_div(pixels, plan->px_block), oc_blocks = ceil_div(ocg, plan->oc_block);
    const int64_t px_begin = task % px_blocks * plan->px_block;
    const int64_t px_end = least(px_begin + plan->px_block, pixels);
    const int64_t group = task / px_blocks / oc_blocks, oc_begin = task / px_blocks % oc_blocks * plan->oc_block;
    const int64_t oc_count = least(plan->oc_block, ocg - oc_begin);

    workspace space;
    space.panel = scratch;
    space.sums = space.panel + STEPS * pitch;
    space.aoff = (int64_t *)(space.sums + ceil_div(plan->oc_block, tile->rows) * tile->rows * pitch);
    space.boff = space.aoff + STEPS;
    for (int64_t s = 0; s < STEPS; s++)
        space.boff[s] = s * pitch;

    const fc_array *weight = &operands->weight;
    const char *weights = weight->data + (group * ocg + oc_begin) * weight->stride[0];
    for (int64_t px = px_begin; px < px_end; px += tile->columns) {
        segment segments[FC_TILE_MAX_COLUMNS];
        const int used = cut_into_rows(p, px, (int)least(tile->columns, px_end - px), segments);
        cursor at = {0, 0, 0, 0};
        for (int64_t done = 0; done < chain;) {
            const int64_t steps = least(STEPS, chain - done);
            gather(plan, operands, group, segments, used, &at, steps, &space);
            for (int64_t o = 0; o < oc_count; o += tile->rows) {
                char *sums = space.sums + o * pitch;
                const fc_tile_ends ends = {.from = done ? sums : NULL, .from_step = pitch, .to = sums, .to_step = pitch};
                tile->run[tile->vecs][least(tile->rows, oc_count - o)](
                    steps, weights + o * weight->stride[0], weight->stride[0], space.aoff, space.panel, space.boff, &ends);
            }
            done += steps;
        }
        for (int64_t o = 0; o < oc_count; o++)
            store(plan, operands, group * ocg + oc_begin + o, segments, used, space.sums + o * pitch);
    }
}

const fc_algorithm fc_algorithm_gather = {
    .name = "gather",
    .family = "direct",
    .can = FC_CAN_STRIDE | FC_CAN_DILATE | FC_CAN_GROUP | FC_CAN_PAD | FC_CAN_PAD_EDGE | FC_CAN_BIAS | FC_CAN_F64 |
           FC_CAN_I64,
    .reject = reject,
    .cost = cost,
    .prepare = prepare,
    .run_task = run_task,
};
