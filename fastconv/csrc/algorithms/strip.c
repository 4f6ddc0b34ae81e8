/* strip: the direct algorithm for images, one row block at a time.
 *
 * The input rows that a block of output rows needs are copied once into a strip: padded, and taken apart by stride, so
 * that every tap of the kernel reads it with unit stride at a constant offset. Output pixels are then numbered through
 * the rows of the strip, q = row * pitch + column, whole register tiles at a time; the few between two rows are computed
 * and not stored. Where the image can be read like that itself (stride 1, no padding, packed rows) nothing is copied.
 *
 * Phases: with stride s and dilation d, tap k of output i reads padded pixel i * s + k * d = (i + k * d / s) * s + phase,
 * phase = k * d % s. Pixels of one phase lie side by side in the strip, a plane for each; taps k and k + period share one,
 * period = s / gcd(s, d).
 *
 * Loops of a task: groups > channel groups that fit the strip > register tiles of pixels > channel blocks (the pixels of
 * one, 3 x 3 taps of 32 channels x 66 x 4 bytes = 25 KiB, stay in L1) > register tiles of output channels > the chain.
 *
 * Cost: a fused multiply-add for each output, tap and channel of a group, times pitch / ow for the pixels between rows;
 * one copied element for each input element, times the overlap of row blocks. */

#include "algorithms/common.h"

enum {
    STRIP_BYTES = 1 << 18,    /* a quarter of Zen 4's L2, which the running sums and the weights share */
    TABLE_STEPS = 1 << 15,    /* most taps of a channel block: 512 KiB of offsets */
    TASK_MACS = 1 << 17,      /* least work worth a task of its own */
    MIN_TASKS = 16,           /* below which output channels are cut too, so that there is work for every thread */
    OC_BLOCK = 384,           /* most output channels of a task: 384 x 64 x 4 = 96 KiB of running sums */
    MOST_ROWS = 64,           /* most output rows of a task */
    COPY_VECTOR = 2,          /* estimated cycles to copy a vector, */
    STORE_VECTOR = 14,        /* to store one, */
    COPY_ROW = 20,            /* to begin a row, */
    CALL = 60,                /* and to begin and end a tile */
};

typedef struct {
    int64_t period_h, period_w; /* taps apart that share a phase */
    int64_t phases;             /* planes of a channel */
    int64_t rows, pitch;        /* of a plane */
    int64_t plane;              /* elements */
} layout;

static layout lay_out(const fc_problem *p, int64_t out_rows)
{
    layout l;
    l.period_h = p->sh / gcd(p->sh, p->dh);
    l.period_w = p->sw / gcd(p->sw, p->dw);
    l.phases = least(l.period_h, p->kh) * least(l.period_w, p->kw);
    l.rows = out_rows + (p->kh - 1) * p->dh / p->sh;
    l.pitch = p->ow + (p->kw - 1) * p->dw / p->sw;
    l.plane = l.rows * l.pitch;
    return l;
}

/* Where tap (ky, kx) finds output (0, 0) of a channel, in elements. */
static int64_t tap_offset(const fc_problem *p, const layout *l, int64_t ky, int64_t kx)
{
    const int64_t phase = ky % l->period_h * least(l->period_w, p->kw) + kx % l->period_w;
    return phase * l->plane + ky * p->dh / p->sh * l->pitch + kx * p->dw / p->sw;
}

/* Vectors of a tile: a single output channel leaves registers for a wide one. */
static int64_t most_vecs(const fc_problem *p, const fc_tile *tile)
{
    return p->oc == p->groups ? tile->wide : tile->vecs;
}

static const char *reject(const fc_problem *p)
{
    const int64_t channels = least(FC_CHANNEL_BLOCK, p->ic / p->groups), room = STRIP_BYTES / element_size(p);
    const double steps = (double)p->kh * (double)p->kw * (double)channels;
    if (steps > TABLE_STEPS)
        return "the kernel has too many taps for its table";
    /* Each factor first, so that no product overflows. */
    const int64_t rows = 1 + (p->kh - 1) * p->dh / p->sh, pitch = p->ow + (p->kw - 1) * p->dw / p->sw;
    if (rows > room || pitch > room ||
        (double)rows * (double)pitch * (double)lay_out(p, 1).phases * (double)channels > room)
        return "one row of outputs needs a larger strip than there is";
    return NULL;
}

/* Estimated cycles to move a vector of pixels in or out: one element at a time where channels lie between them. */
static double move_cost(const fc_problem *p, const fc_tile *tile)
{
    return (p->channels_last && p->ic == p->groups) || p->sw > 1 ? COPY_VECTOR * tile->lanes : COPY_VECTOR;
}

static double copied(const fc_problem *p, const fc_tile *tile, int64_t out_rows)
{
    const layout l = lay_out(p, out_rows);
    const double vectors = (double)ceil_div(l.pitch, tile->lanes) * move_cost(p, tile) + COPY_ROW;
    return (double)(p->ic / p->groups) * (double)l.phases * (double)l.rows * vectors;
}

static double multiplied(const fc_problem *p, const fc_tile *tile, int64_t out_rows)
{
    const int64_t ocg = p->oc / p->groups, vectors = ceil_div((out_rows - 1) * lay_out(p, 1).pitch + p->ow, tile->lanes);
    const double calls = (double)ceil_div(vectors, most_vecs(p, tile)) * (double)ceil_div(ocg, tile->rows) *
                         (double)ceil_div(p->ic / p->groups, FC_CHANNEL_BLOCK);
    const double loads = p->oc == p->groups ? 2 : 1; /* a tile of one row loads a vector for each product, across lines */
    const double moved = move_cost(p, tile) + STORE_VECTOR;
    return (double)vectors * (double)ocg * ((double)chain_length(p) * loads + moved) + calls * CALL;
}

static double block_cost(const fc_problem *p, const fc_tile *tile, int64_t out_rows)
{
    return (double)ceil_div(p->oh, out_rows) * (copied(p, tile, out_rows) + multiplied(p, tile, out_rows));
}

/* The height of a task: the cheapest that fits the strip and leaves enough tasks, if one does. */
static int64_t choose_rows(const fc_problem *p, const fc_tile *tile)
{
    const int64_t channels = least(FC_CHANNEL_BLOCK, p->ic / p->groups), size = element_size(p);
    const double images = (double)p->n * (double)p->groups;
    int64_t best = 1;
    for (int64_t rows = 2; rows <= least(p->oh, MOST_ROWS); rows++) {
        const layout l = lay_out(p, rows);
        if ((double)l.plane * (double)l.phases * (double)channels * (double)size > STRIP_BYTES)
            break;
        if (images * (double)ceil_div(p->oh, rows) < MIN_TASKS && images * (double)p->oh >= MIN_TASKS && p->ow >= 2 * tile->lanes)
            break;
        if (block_cost(p, tile, rows) < block_cost(p, tile, best))
            best = rows;
    }
    return best;
}

static double cost(const fc_problem *p, const fc_tile *tile)
{
    return (double)p->n * (double)p->groups * block_cost(p, tile, choose_rows(p, tile));
}

/* Where the parts of a thread's scratch memory begin, in bytes from the strip at 0. */
typedef struct {
    int64_t strip_bytes, sums, tables, end;
} parts;

static parts parts_of(const fc_plan *plan, const layout *l)
{
    const fc_problem *p = &plan->problem;
    const fc_tile *tile = plan->tile;
    const int64_t size = element_size(p), igc = p->ic / p->groups;
    const int64_t q_end = (plan->px_block - 1) * l->pitch + p->ow;
    /* Sums of all pixels of the task are kept only where the channels come in several strips. */
    const int64_t columns = most_vecs(p, tile) * tile->lanes;
    const int64_t kept = plan->c_block < igc ? ceil_div(q_end, columns) * columns : columns;
    parts at;
    at.strip_bytes = plan->c_block * l->plane * l->phases * size;
    at.sums = ceil_div(at.strip_bytes + columns * size, 64) * 64; /* the last tile reads beyond the strip */
    at.tables = at.sums + ceil_div(ceil_div(plan->oc_block, tile->rows) * tile->rows * kept * size, 64) * 64;
    at.end = at.tables + 4 * p->kh * p->kw * least(FC_CHANNEL_BLOCK, igc) * (int64_t)sizeof(int64_t);
    at.end = ceil_div(at.end, 128) * 128; /* threads share no cache line, nor a pair of them */
    return at;
}

static void prepare(fc_plan *plan)
{
    const fc_problem *p = &plan->problem;
    const fc_tile *tile = plan->tile;
    const int64_t size = element_size(p), igc = p->ic / p->groups, ocg = p->oc / p->groups;

    plan->px_block = choose_rows(p, tile); /* output rows of a task */
    const layout l = lay_out(p, plan->px_block);
    const int64_t row_blocks = ceil_div(p->oh, plan->px_block);
    const double images = (double)p->n * (double)p->groups * (double)row_blocks;

    /* As many channel blocks as it takes, as long as copying the strip again for each stays under a sixteenth. */
    int64_t oc_blocks = ceil_div(ocg, OC_BLOCK);
    while (images * (double)oc_blocks < MIN_TASKS && ocg / (2 * oc_blocks) >= tile->rows &&
           16 * 2 * (double)oc_blocks * copied(p, tile, plan->px_block) < multiplied(p, tile, plan->px_block))
        oc_blocks *= 2;
    plan->oc_block = least(ocg, ceil_div(ceil_div(ocg, oc_blocks), tile->rows) * tile->rows);
    oc_blocks = ceil_div(ocg, plan->oc_block);

    const int64_t strip_channel = l.plane * l.phases * size;
    plan->c_block = least(igc, most(STRIP_BYTES / strip_channel / FC_CHANNEL_BLOCK, 1) * FC_CHANNEL_BLOCK);
    const int64_t q_end = (plan->px_block - 1) * l.pitch + p->ow;

    const double group_macs = (double)(ceil_div(q_end, tile->lanes) * tile->lanes * plan->oc_block) * (double)chain_length(p);
    plan->per_task = 1;
    while (plan->per_task < p->groups && group_macs * (double)plan->per_task < TASK_MACS &&
           images * (double)oc_blocks > MIN_TASKS * 2 * (double)plan->per_task)
        plan->per_task *= 2;
    plan->task_macs = group_macs * (double)plan->per_task;
    plan->n_tasks = p->n * ceil_div(p->groups, plan->per_task) * row_blocks * oc_blocks;

    plan->scratch_bytes = parts_of(plan, &l).end;
}

/* The rows of the image that output rows from row0 on need, as rows of the strip, phase by phase. Borders of a constant
 * are the same for every group: the first of a task writes them. */
static void copy_strip(const fc_plan *plan, const fc_operands *operands, const layout *l, const char *image, int64_t row0,
                       int64_t channels, char *strip, int borders)
{
    const fc_problem *p = &plan->problem;
    const int64_t *stride = operands->x.stride;
    const int64_t size = element_size(p), phases_w = least(l->period_w, p->kw), channel_bytes = l->phases * l->plane * size;
    for (int64_t phase = 0; phase < l->phases; phase++) {
        const int64_t first = phase % phases_w * p->dw % p->sw - p->pl; /* the image's column that column 0 is */
        /* Columns lo to hi of the strip lie inside the image. */
        const int64_t hi = p->iw - first <= 0 ? 0 : least(ceil_div(p->iw - first, p->sw), l->pitch);
        const int64_t lo = first >= 0 ? 0 : least(ceil_div(-first, p->sw), hi);
        const int64_t inside = (first + lo * p->sw) * stride[3], step = hi - lo > 1 ? p->sw * stride[3] : size;
        for (int64_t r = 0; r < l->rows; r++) {
            const int64_t y = (row0 + r) * p->sh + phase / phases_w * p->dh % p->sh - p->pt;
            const int64_t at = fc_extend(p->padding_mode, y, p->ih);
            const char *row = at < 0 ? NULL : image + at * stride[2];
            char *to = strip + (phase * l->plane + r * l->pitch) * size;
            const int64_t begin = row ? lo : l->pitch, end = row ? hi : l->pitch;
            const int border = (borders || p->padding_mode != FC_CONSTANT) && (begin > 0 || end < l->pitch);
            for (int64_t c = 0; border && c < channels; c++) {
                const char *pixels = row ? row + c * stride[1] : NULL;
                copy_border(p, operands, to + c * channel_bytes, pixels, first, 0, begin, size);
                copy_border(p, operands, to + c * channel_bytes, pixels, first, end, l->pitch, size);
            }
            if (begin >= end)
                continue;
            if (stride[1] == size && channels > 1)
                plan->transpose(to + lo * size, NULL, channel_bytes, row + inside, step, hi - lo, channels);
            else if (step == size)
                for (int64_t c = 0; c < channels; c++)
                    copy_run(to + c * channel_bytes + lo * size, row + c * stride[1] + inside, (hi - lo) * size);
            else
                for (int64_t c = 0; c < channels; c++)
                    fc_pick(to + c * channel_bytes + lo * size, row + c * stride[1] + inside, step, hi - lo, size);
        }
    }
}

/* Offsets of weights and pixels along the chain of one block of channels, in bytes. Returns the number of steps. */
static int64_t tabulate(const fc_problem *p, const fc_operands *operands, const layout *l, int64_t channels,
                        int64_t channel_bytes, int64_t *aoff, int64_t *boff)
{
    const int64_t *weight = operands->weight.stride, size = element_size(p);
    int64_t s = 0;
    for (int64_t ky = 0; ky < p->kh; ky++)
        for (int64_t kx = 0; kx < p->kw; kx++) {
            const int64_t tap = tap_offset(p, l, ky, kx) * size;
            for (int64_t c = 0; c < channels; c++, s++) {
                aoff[s] = c * weight[1] + ky * weight[2] + kx * weight[3];
                boff[s] = c * channel_bytes + tap;
            }
        }
    return s;
}

/* Whether taps may read the image itself: its rows are packed like a strip's, and a register tile fits in a plane. */
static int reads_in_place(const fc_problem *p, const fc_operands *operands, const fc_tile *tile)
{
    const int64_t *stride = operands->x.stride, size = element_size(p);
    const int64_t last = (p->oh - 1) * p->iw + p->ow; /* pixels from the first output's to the last's */
    return p->sh == 1 && p->sw == 1 && !(p->pt | p->pb | p->pl | p->pr) && (p->iw == 1 || stride[3] == size) &&
           (p->ih == 1 || stride[2] == p->iw * size) && last >= most_vecs(p, tile) * tile->lanes &&
           stride[1] % 2048; /* planes at such a distance share a few sets of the cache */
}

/* Sums of one tile to the rows of the result that it covers: pixels q to q + columns of which [begin, end) count. */
static void store(const fc_plan *plan, const fc_operands *operands, char *y, int64_t pitch, int64_t q, int64_t begin,
                  int64_t end, int64_t oc, int64_t oc_count, int64_t columns, char *sums)
{
    const fc_problem *p = &plan->problem;
    const int64_t *stride = operands->y.stride, size = element_size(p);
    int64_t column = begin % pitch;
    char *row = y + begin / pitch * stride[2];
    for (int64_t at = begin; at < end; at += pitch - column, column = 0, row += stride[2]) {
        const int64_t count = least(p->ow - column, end - at);
        char *to = row + column * stride[3], *from = sums + (at - q) * size;
        for (int64_t o = 0; o < oc_count && count > 0; o++) {
            const char *bias = operands->bias ? operands->bias + (oc + o) * operands->bias_stride : NULL;
            char *const row_of_sums = from + o * columns * size;
            if (stride[3] != size && count > 1) {
                if (bias)
                    plan->tile->store(row_of_sums, row_of_sums, count, bias);
            } else if (bias)
                plan->tile->store(to + o * stride[1], row_of_sums, count, bias);
            else
                copy_run(to + o * stride[1], row_of_sums, count * size);
        }
        if (count > 1 && stride[3] != size)
            scatter(plan, to, stride[1], stride[3], from, columns * size, oc_count, count);
    }
}

static void run_group(const fc_plan *plan, const fc_operands *operands, int64_t n, int64_t group, int64_t row0,
                      int64_t oc0, char *strip, char *sums, int64_t *const tables[4], const int64_t steps[2],
                      const layout *l, int in_place, int borders)
{
    const fc_problem *p = &plan->problem;
    const fc_tile *tile = plan->tile;
    const fc_array *x = &operands->x, *weight = &operands->weight;
    const int64_t size = element_size(p), igc = p->ic / p->groups, ocg = p->oc / p->groups;
    const int64_t rows = least(plan->px_block, p->oh - row0), oc_count = least(plan->oc_block, ocg - oc0);
    const int64_t q_end = (rows - 1) * l->pitch + p->ow, c_block = in_place ? igc : plan->c_block;
    const int64_t channel_bytes = in_place ? x->stride[1] : l->plane * l->phases * size;
    const int64_t as = weight->stride[0], oc = group * ocg + oc0;
    const char *image = x->data + n * x->stride[0] + group * igc * x->stride[1];
    char *y = operands->y.data + n * operands->y.stride[0] + oc * operands->y.stride[1] + row0 * operands->y.stride[2];
    /* Read in place, the image's last tile ends where the image does. */
    const int64_t q_limit = in_place ? (p->oh - 1 - row0) * l->pitch + p->ow : INT64_MAX;

    for (int64_t c0 = 0; c0 < igc; c0 += c_block) {
        const int64_t c1 = least(c0 + c_block, igc);
        const char *pixels = strip;
        if (in_place)
            pixels = image + row0 * l->pitch * size;
        else
            copy_strip(plan, operands, l, image + c0 * x->stride[1], row0, c1 - c0, strip, borders || c_block < igc);

        const int64_t vectors = ceil_div(q_end, tile->lanes), tiles = ceil_div(vectors, most_vecs(p, tile));
        int64_t begin = 0;
        char *kept = sums;
        for (int64_t t = 0; t < tiles; t++) {
            const int64_t vecs = vectors / tiles + (t < vectors % tiles), columns = vecs * tile->lanes;
            const int64_t end = least(begin + columns, q_end), q = least(begin, q_limit - columns);
            for (int64_t c = c0; c < c1; c += FC_CHANNEL_BLOCK) {
                const int tail = c + FC_CHANNEL_BLOCK > igc;
                const char *w = weight->data + oc * as + c * weight->stride[1];
                const char *b = pixels + (c - c0) * channel_bytes + q * size;
                for (int64_t o = 0; o < oc_count; o += tile->rows) {
                    char *at = kept + o * columns * size;
                    const fc_tile_ends ends = {.from = c ? at : NULL, .from_step = columns * size, .to = at, .to_step = columns * size};
                    tile->run[vecs][least(tile->rows, oc_count - o)](steps[tail], w + o * as, as, tables[2 * tail], b,
                                                                     tables[2 * tail + 1], &ends);
                }
            }
            if (c1 == igc)
                store(plan, operands, y, l->pitch, q, begin, end, oc, oc_count, columns, kept);
            if (plan->c_block < igc)
                kept += ceil_div(oc_count, tile->rows) * tile->rows * columns * size;
            begin += columns;
        }
    }
}

static void run_task(const fc_plan *plan, const fc_operands *operands, int64_t task, void *scratch)
{
    const fc_problem *p = &plan->problem;
    const fc_tile *tile = plan->tile;
    const int64_t size = element_size(p), igc = p->ic / p->groups, ocg = p->oc / p->groups;
    const int64_t row_blocks = ceil_div(p->oh, plan->px_block), oc_blocks = ceil_div(ocg, plan->oc_block);
    const int64_t row0 = task % row_blocks * plan->px_block, oc0 = task / row_blocks % oc_blocks * plan->oc_block;
    const int64_t n = task / row_blocks / oc_blocks % p->n;
    const int64_t first = task / row_blocks / oc_blocks / p->n * plan->per_task;
    const layout l = lay_out(p, plan->px_block);
    const int in_place = reads_in_place(p, operands, tile);
    const int64_t channel_bytes = in_place ? operands->x.stride[1] : l.plane * l.phases * size;

    /* Tables of a whole block of channels, and of the last one if it is shorter. */
    const int64_t room = p->kh * p->kw * least(FC_CHANNEL_BLOCK, igc);
    const parts at = parts_of(plan, &l);
    char *strip = scratch, *sums = strip + at.sums;
    int64_t *table = (int64_t *)(strip + at.tables);
    int64_t *const tables[4] = {table, table + room, table + 2 * room, table + 3 * room};
    const int64_t steps[2] = {
        igc < FC_CHANNEL_BLOCK ? 0 : tabulate(p, operands, &l, FC_CHANNEL_BLOCK, channel_bytes, tables[0], tables[1]),
        tabulate(p, operands, &l, igc % FC_CHANNEL_BLOCK, channel_bytes, tables[2], tables[3]),
    };
    memset(strip + at.strip_bytes, 0, (size_t)(most_vecs(p, tile) * tile->lanes * size));
    for (int64_t group = first; group < least(first + plan->per_task, p->groups); group++)
        run_group(plan, operands, n, group, row0, oc0, strip, sums, tables, steps, &l, in_place, group == first);
}

const fc_algorithm fc_algorithm_strip = {
    .name = "strip",
    .family = "direct",
    .can = FC_CAN_STRIDE | FC_CAN_DILATE | FC_CAN_GROUP | FC_CAN_PAD | FC_CAN_PAD_EDGE | FC_CAN_BIAS | FC_CAN_F64 |
           FC_CAN_I64,
    .reject = reject,
    .cost = cost,
    .prepare = prepare,
    .run_task = run_task,
};
