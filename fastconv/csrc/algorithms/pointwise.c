/* pointwise: the direct algorithm for kernels of one pixel, with pixels side by side in a vector.
 *
 * Output pixels are numbered through the rows of the result, and cut into register tiles. The pixels of a tile, a row for
 * each input channel, serve all output channels of a task: copied into a panel, or read where they lie if output channels are
 * too few to be worth the copy. The weights are read where they lie; a plan's are packed beforehand, those of a tile's output
 * channels side by side. With one tap the chain goes through the channels in their order, and its sums go from the registers
 * to the result where that is packed.
 *
 * Loops of a task: all output channels, or a few > tiles of pixels > channel groups that fit the cache > tiles of output
 * channels > the chain.
 *
 * Cost: a fused multiply-add for each product, in vectors of pixels; each input element is read from afar once for every
 * block of output channels. */

#include "algorithms/common.h"

#define BY_COLUMNS 1.2 /* times the estimated cycles of weights as they most likely lie where channels stand last */

enum {
    PANEL_BYTES = 128 << 10,  /* of a copy: 512 rows, so that few sums have to wait; */
    NEAR_BYTES = 32 << 10,    /* of pixels in place that pass again, of a small image: of the first-level cache, and 128 pages; */
    LARGE_BYTES = 320 << 10,  /* and of what passes once, a third of Zen 4's L2 */
    SHORT_CHAIN = 24,         /* of no more input channels, where the result of a group is larger than */
    LARGE_RESULT = 2 << 20,   /* a cache of the second level, no copy is made either, and all pixels pass for */
    FEW_TILES = 4,            /* of output channels, whose planes are few enough pages to write to */
    SOME_PAGES = 128,         /* of so many planes, at most, the next pixels are called in even where one vector of each is left out; */
    FEW_CHANNELS = 64,        /* of fewer outputs no copy is made: it takes 16 cycles a row, a step 12 for six outputs; */
    SOME_CHANNELS = 128,      /* and of fewer than these if the image, for each 64 of them, is smaller than */
    SMALL_IMAGE = 7 << 18,    /* most of a cache of the second level; */
    MOST_CHANNELS = 1024,     /* of outputs in a task, or */
    LAST_CHANNELS = 384,      /* where they wait to be transposed: 96 KiB of sums */
    ALIAS_BYTES = 2048,       /* planes at a multiple of this distance share a few sets of the cache, and are copied */
    MOST_BLOCKS = 64,         /* of tiles of pixels that are tried */
    ALIGN_VECTORS = 32,       /* of a plane, from which on one more is worth that all but the first and the last lie in one line */
    COPY_VECTOR = 4,          /* estimated cycles to copy a vector of pixels, */
    COPY_STRIDED = 14,        /* with gaps in between, */
    COPY_TURNED = 16,         /* or transposed, */
    COPY_ROW = 20,            /* to begin a row, */
    READ_ROW = 10,            /* or if it needs no more than to be fetched; */
    STORE_DIRECT = 2,         /* to store a vector, */
    STORE_TURNED = 16,        /* or to transpose it; */
    DIVIDED = 80,             /* for a plane of the result that two threads write to, each near the other's lines, */
    CALL = 40,                /* to begin and end a tile, */
    TASK = 2000,              /* and a task */
};

/* How a problem is cut. */
typedef struct {
    int64_t pixels, vectors, tail, tiles; /* of a plane of the result; `tail` pixels follow the last tile's vectors */
    int64_t px_blocks, oc_blocks;   /* of tiles, and of output channels of a group */
    int64_t oc_tiles;               /* of output channels of a group */
    int64_t channels;               /* of a group, in a panel */
    int few;                        /* whether pixels pass for FEW_TILES at a time, if they are read in place */
    int copies;                     /* whether pixels are worth a copy of their own */
    int64_t lead;                   /* pixels by which vectors after the first begin earlier, so that they do not cross lines */
} cut;

static const char *reject(const fc_problem *p)
{
    return p->kh == 1 && p->kw == 1 ? NULL : "it needs a kernel of one pixel";
}

static double image_bytes(const fc_problem *p) /* of a group */
{
    return (double)(p->ic / p->groups) * (double)(p->ih * p->iw * element_size(p));
}

/* Whether pixels pass so few times that they are not worth a copy. */
static int few_outputs(const fc_problem *p)
{
    const int64_t ocg = p->oc / p->groups;
    return ocg < FEW_CHANNELS || (ocg < SOME_CHANNELS && !p->channels_last &&
                                  (double)ocg * image_bytes(p) <= (double)FEW_CHANNELS * SMALL_IMAGE);
}

static cut cut_into(const fc_problem *p, const fc_tile *tile, int64_t px_blocks, int64_t oc_blocks)
{
    cut c = {.pixels = p->oh * p->ow, .px_blocks = px_blocks, .oc_blocks = oc_blocks};
    c.tail = c.pixels > tile->lanes && c.pixels % tile->lanes <= tile->tails ? c.pixels % tile->lanes : 0;
    c.vectors = ceil_div(c.pixels - c.tail, tile->lanes);
    c.tiles = ceil_div(c.vectors + (c.tail > 0), tile->vecs);
    c.oc_tiles = ceil_div(p->oc / p->groups, tile->rows);
    /* Weights are read once for each tile: those of a single one best from row to row. */
    const int64_t igc = p->ic / p->groups;
    c.few = igc <= SHORT_CHAIN && p->oc / p->groups * c.pixels * element_size(p) > LARGE_RESULT;
    c.copies = !few_outputs(p) && !c.few && c.tiles > 1;
    const int again = c.tiles > 1 && c.oc_tiles > 1 && !p->channels_last && image_bytes(p) <= SMALL_IMAGE;
    const int64_t most = (c.copies ? PANEL_BYTES : again ? NEAR_BYTES : LARGE_BYTES) / (tile->columns * element_size(p));
    c.channels = ceil_div(igc, ceil_div(igc, most));
    return c;
}

static double width(const cut *c) /* of a plane, in vectors' time */
{
    return (double)c->vectors + (c->tail ? 0.5 : 0);
}

/* Whether rows of vectors are read in the image itself, whose channels lie `step` apart: the last ones fit into a plane. */
static int reads_in_place(const fc_problem *p, const fc_tile *tile, const cut *c, int64_t step)
{
    return !c->copies && p->sh == 1 && p->sw == 1 && c->pixels >= c->vectors / c->tiles * tile->lanes &&
           (step % ALIAS_BYTES != 0 || p->ic == p->groups);
}

/* An image that is read in place, from `image` on: with a vector more, which overlaps the first, if the others are aligned then.
 * Intel's processors load 64 bytes that cross a line in two turns: 7 % of layers of 56 x 56 and 28 x 28 on Granite Rapids. */
static void align(const fc_problem *p, const fc_tile *tile, const char *image, int64_t step, cut *c)
{
    const int64_t bytes = tile->lanes * element_size(p), over = (int64_t)((uintptr_t)image % (uintptr_t)bytes);
    if (!over || step % bytes || c->tail || c->vectors < ALIGN_VECTORS)
        return;
    c->lead = over / element_size(p);
    c->vectors++;
    c->tiles = ceil_div(c->vectors, tile->vecs);
}

/* The first pixel of tile t, or the end of the plane. */
static int64_t tile_at(const fc_tile *tile, const cut *c, int64_t t)
{
    return t == c->tiles ? c->pixels : part(t, c->tiles, c->vectors) * tile->lanes - (t ? c->lead : 0);
}

/* Estimated cycles of one thread to fetch the pixels of a plane, for each block of output channels. */
static double fetched(const fc_problem *p, const fc_tile *tile, const cut *c)
{
    if (p->channels_last)
        return (double)c->vectors * COPY_TURNED + (double)c->tiles * COPY_ROW;
    if (reads_in_place(p, tile, c, p->ih * p->iw * element_size(p)))
        return (double)c->tiles * READ_ROW;
    if (p->sh == 1 && p->sw == 1)
        return (double)c->vectors * COPY_VECTOR + (double)c->tiles * READ_ROW;
    return (double)c->vectors * (p->sw > 1 ? COPY_STRIDED : COPY_VECTOR) + (double)c->tiles * COPY_ROW;
}

/* Estimated cycles of one thread to fetch pixels and begin tasks. */
static double overhead(const fc_problem *p, const fc_tile *tile, const cut *c)
{
    const double images = (double)p->n * (double)p->groups;
    return images * (double)c->oc_blocks * ((double)(p->ic / p->groups) * fetched(p, tile, c) + (double)c->px_blocks * TASK);
}

/* The cheapest way to cut a problem. */
static cut choose(const fc_problem *p, const fc_tile *tile)
{
    const int64_t ocg = p->oc / p->groups;
    const cut whole = cut_into(p, tile, 1, ceil_div(ocg, p->channels_last ? LAST_CHANNELS : MOST_CHANNELS));
    const double images = (double)p->n * (double)p->groups;
    const double work = images * width(&whole) * (double)ocg * (double)chain_length(p);
    cut best = whole;
    double least_cost = 0;
    for (int64_t oc_blocks = whole.oc_blocks; oc_blocks <= most(whole.oc_blocks, whole.oc_tiles / 2); oc_blocks *= 2)
        for (int64_t px_blocks = 1; px_blocks <= least(whole.tiles, MOST_BLOCKS); px_blocks *= 2) {
            const cut c = cut_into(p, tile, px_blocks, oc_blocks);
            const double planes = p->alone || p->channels_last || px_blocks == 1 || oc_blocks % 2 == 0 ? 0 : images * (double)ocg;
            const double cycles = overhead(p, tile, &c) + planes * DIVIDED +
                                  work / (images * (double)px_blocks * (double)oc_blocks) * waits(p, px_blocks * oc_blocks);
            if (least_cost == 0 || cycles < least_cost) {
                best = c;
                least_cost = cycles;
            }
        }
    return best;
}

/* Where channels stand last, so do output channels in the weights, most likely: each step of a tile reads another page of them. With
 * 512-2048 7 that takes 2.3 ms, and `panel` 1.1; if output channels stand first, both 0.9. */
static double cost(const fc_problem *p, const fc_tile *tile)
{
    const cut c = choose(p, tile);
    const double images = (double)p->n * (double)p->groups, ocg = (double)(p->oc / p->groups);
    /* Vectors that a step of a tile loads are its rows and those of pixels: more than it multiplies, if either is one. */
    const double height = ocg / (double)c.oc_tiles, wide = (double)c.vectors / (double)c.tiles;
    const double loads = (height + wide) / (height * wide);
    const double store = p->channels_last ? STORE_TURNED : STORE_DIRECT;
    const double calls = (double)c.tiles * (double)c.oc_tiles * (double)ceil_div(p->ic / p->groups, c.channels);
    const double cycles = images * (width(&c) * ocg * ((double)chain_length(p) * (loads > 1 ? loads : 1) + store) + calls * CALL) +
                          overhead(p, tile, &c);
    return p->channels_last && !p->prepared ? cycles * BY_COLUMNS : cycles;
}

/* Where the parts of a thread's scratch memory begin, in bytes from the panel at 0. */
typedef struct {
    int64_t sums, tables, end;
} parts;

static parts parts_of(const fc_problem *p, const fc_tile *tile, const cut *c)
{
    const int64_t row = tile->columns * element_size(p);
    parts at;
    at.sums = ceil_div(c->channels * row, 64) * 64;
    at.tables = ceil_div(at.sums + ceil_div(c->oc_tiles, c->oc_blocks) * tile->rows * row, 64) * 64;
    at.end = ceil_div(at.tables + 4 * c->channels * (int64_t)sizeof(int64_t), 128) * 128;
    return at;
}

static void prepare(fc_plan *plan)
{
    const fc_problem *p = &plan->problem;
    const cut c = choose(p, plan->tile);
    plan->px_block = c.px_blocks; /* and with oc_block all that cut_into needs */
    plan->oc_block = c.oc_blocks;
    plan->n_tasks = p->n * p->groups * c.px_blocks * c.oc_blocks;
    const int64_t channels = ceil_div(c.oc_tiles, c.oc_blocks) * plan->tile->rows;
    plan->task_macs = (double)(ceil_div(c.tiles, c.px_blocks) * plan->tile->columns * channels) * (double)chain_length(p);
    plan->scratch_bytes = parts_of(p, plan->tile, &c).end;
    if (p->prepared) {
        plan->n_packs = p->groups * c.oc_tiles;
        plan->packed_bytes = p->oc * chain_length(p) * element_size(p);
    }
}

/* The weights of a tile of output channels: for each input channel, one after the other. */
static void pack(const fc_plan *plan, const fc_operands *operands, int64_t task)
{
    const fc_problem *p = &plan->problem;
    const cut c = cut_into(p, plan->tile, plan->px_block, plan->oc_block);
    const int64_t *w = operands->weight.stride, size = element_size(p), igc = p->ic / p->groups, ocg = p->oc / p->groups;
    const int64_t tile = task % c.oc_tiles, oc = task / c.oc_tiles * ocg + part(tile, c.oc_tiles, ocg);
    const int64_t height = part(tile + 1, c.oc_tiles, ocg) - part(tile, c.oc_tiles, ocg);
    char *to = operands->packed + oc * igc * size;
    for (int64_t s = 0; s < igc; s++, to += height * size)
        fc_pick(to, operands->weight.data + oc * w[0] + s * w[1], w[0], height, size);
}

/* Pixels `first` to `first + count` of `channels` channels from `image` on, to the rows of a panel of `columns` columns; what
 * no pixel fills is 0. */
static void copy_pixels(const fc_plan *plan, const fc_operands *operands, const char *image, int64_t channels, int64_t first,
                        int64_t count, int64_t columns, char *panel)
{
    const fc_problem *p = &plan->problem;
    const int64_t *x = operands->x.stride, size = element_size(p), row = plan->tile->columns * size;
    const int64_t down = p->sh * x[2], across = p->ow > 1 ? p->sw * x[3] : size;
    for (int64_t c = 0; count < columns && c < channels; c++)
        memset(panel + c * row + count * size, 0, (size_t)((columns - count) * size));
    const int packed = p->oh == 1 || down == p->ow * across; /* rows follow one another, as pixels do */
    const int64_t lanes = plan->tile->lanes;
    if (packed && across == size && count == columns && columns % lanes == 0) {
        plan->tile->copy[columns / lanes](panel, row, image + first * size, x[1], channels);
        return;
    }
    const fc_moves *moves = fc_moves_of(plan->isa, p->dtype);
    for (int64_t done = 0, some; done < count; done += some) {
        const int64_t i = (first + done) / p->ow, j = (first + done) % p->ow;
        some = packed ? count : least(p->ow - j, count - done);
        const char *from = image + i * down + j * across;
        if (x[1] == size && channels > 1)
            plan->transpose(panel + done * size, NULL, row, from, across, some, channels);
        else if ((across == size || across == 2 * size) && some >= moves->least)
            moves->copy[across / size](panel + done * size, row, from, x[1], channels, some);
        else
            for (int64_t c = 0; c < channels; c++)
                fc_pick(panel + c * row + done * size, from + c * x[1], across, some, size);
    }
}

/* Sums of pixels `first` to `first + count` to the result, with `bias`. */
static void store(const fc_plan *plan, const fc_operands *operands, char *y, int64_t first, int64_t count, int64_t channels,
                  const char *bias, char *sums)
{
    const fc_problem *p = &plan->problem;
    const int64_t *stride = operands->y.stride, size = element_size(p), row = plan->tile->columns * size;
    for (int64_t o = 0; bias && o < channels; o++)
        plan->tile->store(sums + o * row, sums + o * row, count, bias + o * operands->bias_stride);
    for (int64_t done = 0, some; done < count; done += some) {
        const int64_t i = (first + done) / p->ow, j = (first + done) % p->ow;
        some = least(p->ow - j, count - done);
        char *const to = y + i * stride[2] + j * stride[3];
        if (stride[3] == size || some == 1)
            for (int64_t o = 0; o < channels; o++)
                memcpy(to + o * stride[1], sums + o * row + done * size, (size_t)(some * size));
        else
            scatter(plan, to, stride[1], stride[3], sums + done * size, row, channels, some);
    }
}

static int64_t lines_of(int64_t bytes) /* that they may touch */
{
    return bytes / 64 + 1;
}

/* The cache lines of a register tile of `bytes` a row in a packed result, row by row, `steps` of them at most. Called into the
 * cache while the tile is computed they save a store from waiting for memory: a tile of 32 channels is done in 800 cycles of
 * Zen 4 and writes 30 lines. */
static void tabulate_result(const fc_array *y, const fc_tile *tile, int64_t bytes, int64_t steps, int64_t *off)
{
    int64_t s = 0;
    for (int64_t row = 0; row < tile->rows; row++)
        for (int64_t line = 0; line < lines_of(bytes) && s < steps; line++)
            off[s++] = row * y->stride[1] + least(line * 64, bytes - 1);
}

static void run_task(const fc_plan *plan, const fc_operands *operands, int64_t task, void *scratch)
{
    const fc_problem *p = &plan->problem;
    const fc_tile *tile = plan->tile;
    cut c = cut_into(p, tile, plan->px_block, plan->oc_block);
    const int64_t *x = operands->x.stride, *w = operands->weight.stride, *y = operands->y.stride;
    const int64_t size = element_size(p), igc = p->ic / p->groups, ocg = p->oc / p->groups;
    const int64_t px_block = task % c.px_blocks, oc_block = task / c.px_blocks % c.oc_blocks;
    const int64_t group = task / c.px_blocks / c.oc_blocks % p->groups, n = task / c.px_blocks / c.oc_blocks / p->groups;
    /* Output channels in tiles of almost equal height, lest a low one loads more than it multiplies. */
    const int64_t oc_tile0 = part(oc_block, c.oc_blocks, c.oc_tiles), oc_tile1 = part(oc_block + 1, c.oc_blocks, c.oc_tiles);
    const int64_t oc0 = part(oc_tile0, c.oc_tiles, ocg);
    const char *image = operands->x.data + n * x[0] + group * igc * x[1];
    const char *weight = operands->weight.data + (group * ocg + oc0) * w[0];
    const char *packs = operands->packed ? operands->packed + (group * ocg + oc0) * igc * size : NULL;
    const char *bias = operands->bias ? operands->bias + (group * ocg + oc0) * operands->bias_stride : NULL;
    char *result = operands->y.data + n * y[0] + (group * ocg + oc0) * y[1];

    const parts at = parts_of(p, tile, &c);
    char *panel = scratch, *sums = panel + at.sums;
    int64_t *const x_off = (int64_t *)(panel + at.tables), *const y_off = x_off + c.channels, *const w_off = y_off + c.channels;
    const int64_t low = ocg / c.oc_tiles, high = packs ? c.channels : 0; /* tiles have that height, or one more and a table more */
    const int packed = y[3] == size && (p->oh == 1 || y[2] == p->ow * size);
    const int in_place = x[3] == size && (p->oh == 1 || x[2] == p->ow * size) && reads_in_place(p, tile, &c, x[1]);
    const int64_t pitch = tile->columns * size, x_step = in_place ? x[1] : pitch;
    if (in_place)
        align(p, tile, image, x[1], &c);
    const int64_t tile0 = part(px_block, c.px_blocks, c.tiles), tile1 = part(px_block + 1, c.px_blocks, c.tiles);
    const int64_t limit = tile_at(tile, &c, tile0), end = tile_at(tile, &c, tile1); /* of the task's pixels */
    for (int64_t s = 0; s < c.channels; s++) {
        w_off[s] = s * (packs ? low * size : w[1]);
        if (packs)
            w_off[high + s] = s * (low + 1) * size;
        x_off[s] = s * x_step;
    }
    if (packed)
        tabulate_result(&operands->y, tile, pitch, c.channels, y_off);

    for (int64_t o0 = oc_tile0, o1; o0 < oc_tile1; o0 = o1) {
        o1 = c.few && in_place ? least(o0 + FEW_TILES, oc_tile1) : oc_tile1;
        for (int64_t t = tile0; t < tile1; t++) {
            const int64_t begin = tile_at(tile, &c, t), vecs = part(t + 1, c.tiles, c.vectors) - part(t, c.tiles, c.vectors);
            const int64_t tail = t + 1 < c.tiles ? 0 : c.tail, columns = vecs * tile->lanes + tail;
            const fc_tile_fn *const run = tail ? tile->tail[vecs] : tile->run[vecs];
            /* The last tile of a plane is moved back inside, if the pixels before it are this task's; in_place, it has to be. */
            int64_t first = least(begin, c.pixels - columns);
            const int direct = packed && first >= limit && first + columns <= end;
            if (!direct && !in_place)
                first = begin;
            const int64_t count = least(columns, end - first);
            /* Rows in place are more pages than the processor looks ahead in: without this 144-24 56 takes 15 % longer. */
            const int calls_ahead = in_place && !c.few && t + 1 < tile1 && o1 - o0 >= vecs - (igc <= SOME_PAGES);
            for (int64_t c0 = 0; c0 < igc; c0 += c.channels) {
                const int64_t steps = least(c.channels, igc - c0);
                const int last = c0 + steps == igc;
                if (!in_place)
                    copy_pixels(plan, operands, image + c0 * x[1], steps, first, count, columns, panel);
                const char *const pixels = in_place ? image + c0 * x[1] + first * size : panel;
                const int ends_here = direct && last; /* until then sums wait in scratch memory, whose vectors cross no line */
                fc_tile_ends ends = {.from_step = pitch, .row_bias_step = operands->bias_stride, .tail = tail};
                ends.to_step = ends_here ? y[1] : pitch;
                for (int64_t o = o0; o < o1; o++) {
                    const int64_t oc = part(o, c.oc_tiles, ocg) - oc0, height = part(o + 1, c.oc_tiles, ocg) - oc0 - oc;
                    ends.from = c0 ? sums + oc * pitch : NULL;
                    ends.to = ends_here ? result + oc * y[1] + first * size : sums + oc * pitch;
                    ends.row_bias = ends_here && bias ? bias + oc * operands->bias_stride : NULL;
                    ends.ahead = ends.to;
                    ends.ahead_off = y_off;
                    ends.calls = ends_here ? least(steps, height * lines_of(pitch)) : 0;
                    if (calls_ahead && o - o0 < vecs) { /* a vector of each row of the next pixels */
                        ends.ahead = image + c0 * x[1] + (tile_at(tile, &c, t + 1) + (o - o0) * tile->lanes) * size;
                        ends.ahead_off = x_off;
                        ends.calls = steps;
                    }
                    if (packs) {
                        const char *const rows = packs + (oc * igc + c0 * height) * size;
                        const int64_t *const off = w_off + (height - low) * high;
                        if (c.tiles == 1) { /* weights pass once: the next ones are called in */
                            ends.ahead = rows + height * steps * size;
                            ends.ahead_off = off;
                            ends.calls = steps;
                        }
                        run[height](steps, rows, size, off, pixels, x_off, &ends);
                    } else
                        run[height](steps, weight + oc * w[0] + c0 * w[1], w[0], w_off, pixels, x_off, &ends);
                }
            }
            if (!direct) {
                const int64_t skip = begin - first, oc = part(o0, c.oc_tiles, ocg) - oc0;
                store(plan, operands, result + oc * y[1], begin, count - skip, part(o1, c.oc_tiles, ocg) - oc0 - oc,
                      bias ? bias + oc * operands->bias_stride : NULL, sums + oc * pitch + skip * size);
            }
        }
    }
}

const fc_algorithm fc_algorithm_pointwise = {
    .name = "pointwise",
    .family = "direct",
    .can = FC_CAN_STRIDE | FC_CAN_DILATE | FC_CAN_GROUP | FC_CAN_BIAS | FC_CAN_F64 | FC_CAN_I64,
    .reject = reject,
    .cost = cost,
    .prepare = prepare,
    .run_task = run_task,
    .pack = pack,
};
