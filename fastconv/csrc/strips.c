/* How a kernel of more taps than there are outputs is cut into strips, and its outputs into tasks, and what that costs. */

#include "strips.h"

enum {
    MOST_STEPS = 320,         /* of the chain in a strip: a panel of them is 80 KiB; */
    MORE_STEPS = 896,         /* where a pixel is a step for each of several channels, and each has lines of its own */
    FAR_BYTES = 8 << 20,      /* operands that no cache keeps */
    MOST_VECTORS = 16,        /* of weights in a task */
    SUMS_BYTES = 512 << 10,   /* of a task, half of Zen 4's L2 */
    WINDOW_BYTES = 512 << 10, /* of padded pixels in a task */
    MOST_TASKS = 64,
    LATENCY = 4, /* cycles of a multiply-add, which a tile of fewer waits for */
    TILE = 60,   /* estimated cycles to begin and end a tile, */
    COPY_ROW = 20,
    TASK = 3000, /* and a task */
};

/* Estimated cycles for an element that is packed by transposition, packed as it lies, copied with its padding, stored, or
 * read from memory. */
static const double TURN = 0.6, COPY = 0.15, PAD = 0.25, STORE = 0.5, READ_FAR = 1;

/* Pixels of a strip. With channels last a step reads a line of its own: 896 of them passed through the second cache, which took
 * an eighth longer than 320. */
static int64_t most_pixels(const fc_problem *p, int64_t channels)
{
    return (channels > 1 && !p->channels_last ? MORE_STEPS : MOST_STEPS) / channels;
}

fc_strips fc_strips_into(const fc_problem *p, const fc_tile *tile, int turned, int64_t wide_parts, int64_t deep_parts, int64_t row_parts)
{
    const int64_t ocg = p->oc / p->groups;
    fc_strips c = {.turned = turned, .wide = turned ? p->n : ocg, .deep = turned ? ocg : p->n};
    c.across = c.deep < 4 && p->ow > c.deep;
    c.vectors = ceil_div(c.wide, tile->lanes);
    c.wide_parts = least(wide_parts, c.vectors);
    c.deep_parts = least(deep_parts, c.deep);
    c.row_parts = least(row_parts, p->oh);
    c.channels = least(p->ic / p->groups, FC_CHANNEL_BLOCK);
    const int64_t pixels = most_pixels(p, c.channels);
    c.columns = ceil_div(p->kw, ceil_div(p->kw, pixels));
    c.rows = c.columns < p->kw ? 1 : ceil_div(p->kh, ceil_div(p->kh, most(pixels / p->kw, 1)));
    return c;
}

fc_strips_parts fc_strips_room(const fc_problem *p, const fc_tile *tile, const fc_strips *c)
{
    const int64_t size = element_size(p), steps = c->rows * c->columns * c->channels;
    const int64_t row = ceil_div(c->vectors, c->wide_parts) * tile->lanes * size, deep = ceil_div(c->deep, c->deep_parts);
    const fc_problem strip = fc_strip_of(p, c->rows, c->columns);
    const fc_window w = fc_window_of(&strip, ceil_div(p->oh, c->row_parts), p->ow);
    fc_strips_parts at;
    at.window = steps * row;
    at.sums = ceil_div(at.window + (fc_strips_copy(p) ? deep * c->channels * w.rows * w.columns * size : 0), 64) * 64;
    at.tables = at.sums + deep * ceil_div(p->oh, c->row_parts) * p->ow * row;
    at.end = ceil_div(at.tables + TABLES * steps * (int64_t)sizeof(int64_t), 128) * 128;
    return at;
}

static int fits(const fc_problem *p, const fc_tile *tile, const fc_strips *c)
{
    const fc_strips_parts at = fc_strips_room(p, tile, c);
    return at.sums - at.window <= WINDOW_BYTES && at.tables - at.sums <= SUMS_BYTES &&
           ceil_div(c->vectors, c->wide_parts) <= MOST_VECTORS;
}

const char *fc_strips_reject(const fc_problem *p)
{
    if ((double)p->kh * (double)p->kw <= (double)p->oh * (double)p->ow)
        return "it needs a kernel of more taps than there are outputs";
    if ((double)p->ow * 64 > SUMS_BYTES) /* a vector has 64 bytes at most */
        return "a row of outputs needs more room than there is";
    const int64_t channels = least(p->ic / p->groups, FC_CHANNEL_BLOCK), pixels = most_pixels(p, channels);
    const int64_t columns = least(p->kw, pixels), rows = columns < p->kw ? 1 : least(p->kh, most(pixels / p->kw, 1));
    const double down = (double)(rows - 1) * (double)p->dh + 1;
    const double width = (double)(columns - 1) * (double)p->dw + (double)(p->ow - 1) * (double)p->sw + 1;
    if (fc_strips_copy(p) && (double)channels * down * width * (double)element_size(p) > WINDOW_BYTES)
        return "a row of outputs reads more of the padded image than there is room for";
    return NULL;
}

int64_t fc_strips_panels(const fc_tile *tile, int64_t vectors, int64_t rows, int64_t *high)
{
    const int64_t wide = ceil_div(vectors, tile->vecs), narrow = ceil_div(vectors, tile->vecs - 1);
    const int tall = wide * ceil_div(rows, tile->rows) > narrow * ceil_div(rows, tile->tall) || vectors < tile->vecs;
    *high = tall ? tile->tall : tile->rows;
    return tall ? narrow : wide;
}

/* Estimated cycles of one thread, of all but the multiplications. */
static double overhead(const fc_problem *p, const fc_strips *c)
{
    const double chain = (double)chain_length(p), repeats = (double)(c->deep_parts * c->row_parts);
    const double chain_bytes = chain * (double)p->groups * (double)element_size(p);
    const double far = chain_bytes * (double)c->wide > FAR_BYTES ? READ_FAR : 0;
    const double packing = (double)c->wide * ((p->channels_last ? COPY : TURN) + far) * repeats;
    const double fetched = chain_bytes * (double)c->deep > FAR_BYTES ? chain * (double)c->deep * READ_FAR * (double)c->wide_parts * (double)c->row_parts : 0;
    const fc_problem strip = fc_strip_of(p, c->rows, c->columns);
    const fc_window w = fc_window_of(&strip, ceil_div(p->oh, c->row_parts), p->ow);
    const double pixels = (double)(w.rows * w.columns) * PAD + (double)w.rows * (p->channels_last ? 0 : COPY_ROW);
    const double strips = (double)ceil_div(p->kh, c->rows) * (double)ceil_div(p->kw, c->columns);
    const double copied = fc_strips_copy(p) ? (double)(c->deep * (p->ic / p->groups) * c->wide_parts * c->row_parts) * strips * pixels : 0;
    const double results = (double)c->wide * (double)c->deep * (double)(p->oh * p->ow) * STORE;
    return (double)p->groups * (chain * packing + fetched + copied + results + TASK * (double)(c->wide_parts * c->deep_parts * c->row_parts));
}

static double products(const fc_problem *p, const fc_tile *tile, const fc_strips *c)
{
    int64_t high;
    const int64_t rows = c->across ? p->ow : ceil_div(c->deep, c->deep_parts);
    const int64_t others = c->across ? c->deep * p->oh : c->deep_parts * p->oh * p->ow;
    const int64_t vectors = ceil_div(c->vectors, c->wide_parts), panels = fc_strips_panels(tile, vectors, rows, &high);
    const double height = (double)rows / (double)ceil_div(rows, high), width = (double)vectors / (double)panels;
    const double loads = (height + 2 * width + 3) / 2, step = height * width;
    const double cycles = 0.5 + (step > loads ? step : loads);
    const double strips = (double)ceil_div(p->kh, c->rows) * (double)ceil_div(p->kw, c->columns) *
                          (double)ceil_div(p->ic / p->groups, c->channels);
    return (double)p->groups * (double)(panels * c->wide_parts) * (double)ceil_div(rows, high) * (double)others *
           ((double)chain_length(p) * (cycles > LATENCY ? cycles : LATENCY) + strips * (TILE + 2 * step));
}

/* The cheapest way to cut a problem; a third of a task is what a thread waits for others, and more where their number is odd. */
fc_strips fc_strips_choose(const fc_problem *p, const fc_tile *tile, double *cycles)
{
    fc_strips best = {0};
    double least_cost = 0;
    for (int turned = 0; turned <= (p->oh * p->ow == 1 && !padded(p)); turned++)
        for (int64_t row_parts = 1; row_parts < 2 * p->oh; row_parts *= 2)
            for (int64_t wide_parts = 1; wide_parts < 2 * ceil_div(turned ? p->n : p->oc / p->groups, tile->lanes); wide_parts *= 2)
                for (int64_t deep_parts = 1; deep_parts < 2 * (turned ? p->oc / p->groups : p->n); deep_parts *= 2) {
                    const fc_strips c = fc_strips_into(p, tile, turned, wide_parts, deep_parts, row_parts);
                    const int64_t tasks = c.wide_parts * c.deep_parts * c.row_parts;
                    if (!fits(p, tile, &c))
                        continue;
                    const double work = products(p, tile, &c);
                    const double cost = work + overhead(p, &c) + work / (double)(p->groups * tasks) / (p->groups * tasks % 2 ? 2 : 3);
                    if (least_cost == 0 || cost < least_cost) {
                        best = c;
                        least_cost = cost;
                        *cycles = work + overhead(p, &c);
                    }
                    if (tasks > MOST_TASKS)
                        break;
                }
    return best;
}

