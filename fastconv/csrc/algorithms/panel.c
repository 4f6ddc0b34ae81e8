/* panel: the direct algorithm with output channels side by side in a vector, and pixels broadcast.
 *
 * The weights are packed into panels, a few vectors of output channels wide, with a row for each product of the chain. A
 * register tile is some pixels of one row of outputs by the channels of a panel; its pixels are read one at a time, so any
 * stride, dilation and width of the image leaves no lane idle. The panel streams from the second-level cache (256 bytes
 * in the 24 cycles of a step on Zen 4, which grants 32 a cycle), and serves every pixel of a task.
 *
 * The input rows of a task are copied, padded, into a strip, with channels where the image has them; images that need no
 * padding are read in place, whatever their strides.
 *
 * Loops of a task: channel groups that fit the strip > panels > chunks of the chain that fit the cache > rows > tiles.
 *
 * Cost: a fused multiply-add for each product, in vectors of output channels; the weights are moved once, and each input
 * element once for every block of rows, columns and panels. */

#include "algorithms/common.h"

enum {
    STRIP_BYTES = 1 << 20,   /* of which a chunk's channels are read at a time */
    CHUNK_BYTES = 192 << 10, /* of a panel, a fifth of Zen 4's L2, that are worked through at a time */
    FAR_BYTES = 512 << 10,   /* of packed weights, beyond which they come back from far memory */
    GAP = 64,                /* after the rows of a tap: see fc_pack */
    MOST_COLUMNS = 256,      /* of outputs in a task: 64 KiB of sums a row */
    MOST_PIXELS = 1024,      /* of outputs in a task */
    MOST_BLOCKS = 64,        /* of panels that are tried */
    TABLE_STEPS = 1 << 14,   /* most taps of a block of channels: 6 tables of 128 KiB */
    COPY_VECTOR = 4,         /* estimated cycles to copy a vector, */
    COPY_ROW = 8,            /* to begin a row, */
    READ_LINE = 6,           /* or to read a line in place, */
    PACK_LANES = 2,          /* to pack so many weights takes one, */
    FAR_VECTOR = 20,         /* to write a vector to far memory and back so many, */
    READ_FAR = 3,            /* to read it from there again, */
    TILE = 20,               /* to begin and end a tile, */
    STORE_LANE = 3,          /* to store four elements of a transposed result, */
    TASK = 1000,             /* and for a task */
};

static inline int64_t row_at(int64_t row, int64_t bytes)
{
    return row * bytes + row / FC_CHANNEL_BLOCK * GAP;
}

/* How a problem is cut. */
typedef struct {
    int64_t vecs, panels; /* of output channels in a group, */
    int64_t wide, high;   /* vectors of a panel and pixels of a tile, at most */
    int64_t oc_blocks;    /* of panels, */
    int64_t row_blocks, col_blocks;
    int64_t rows, columns; /* most output rows and columns in a task, */
    int64_t channels;      /* input channels in a strip, */
    int64_t chunk;         /* and in a chunk */
} cut;

/* Bytes of one channel of the strip; a double, since strides and dilations may be huge. */
static double channel_bytes(const fc_problem *p, int64_t out_rows, int64_t out_columns)
{
    const double down = (double)(out_rows - 1) * (double)p->sh + (double)(p->kh - 1) * (double)p->dh + 1;
    const double across = (double)(out_columns - 1) * (double)p->sw + (double)(p->kw - 1) * (double)p->dw + 1;
    const double rows = p->kh == 1 ? (double)out_rows : down, columns = p->kw == 1 ? (double)out_columns : across;
    return rows * columns * (double)element_size(p);
}

static const char *reject(const fc_problem *p)
{
    const int64_t igc = p->ic / p->groups, channels = least(FC_CHANNEL_BLOCK, igc);
    if ((double)p->kh * (double)p->kw * (double)channels > TABLE_STEPS)
        return "the kernel has too many taps for its table";
    if (channel_bytes(p, 1, least(p->ow, MOST_COLUMNS)) * (double)channels > STRIP_BYTES)
        return "one row of outputs needs a larger strip than there is";
    return NULL;
}

static int reads_in_place(const fc_problem *p)
{
    return !(p->pt | p->pb | p->pl | p->pr); /* any strides will do */
}

static cut cut_into(const fc_problem *p, const fc_tile *tile, int64_t row_blocks, int64_t oc_blocks)
{
    const int64_t igc = p->ic / p->groups, taps = p->kh * p->kw;
    cut c = {.vecs = ceil_div(p->oc / p->groups, tile->lanes), .oc_blocks = oc_blocks, .row_blocks = row_blocks};
    c.col_blocks = ceil_div(p->ow, MOST_COLUMNS);
    c.rows = ceil_div(p->oh, row_blocks);
    c.columns = ceil_div(p->ow, c.col_blocks);
    /* The shape of fewest tiles. An odd number of panels would leave one of two threads idle at the end. */
    const int64_t wide = ceil_div(c.vecs, tile->vecs), narrow = ceil_div(c.vecs, tile->vecs - 1);
    const int tall = ceil_div(c.columns, tile->tall) * narrow < ceil_div(c.columns, tile->rows) * wide;
    c.high = tall ? tile->tall : tile->rows;
    c.panels = tall ? narrow : wide;
    c.panels += c.panels > 2 && c.panels % 2;
    c.wide = ceil_div(c.vecs, c.panels);
    const double channels = STRIP_BYTES / channel_bytes(p, c.rows, c.columns);
    c.channels = channels >= (double)igc ? igc : (int64_t)channels / FC_CHANNEL_BLOCK * FC_CHANNEL_BLOCK;
    const int64_t block_bytes = FC_CHANNEL_BLOCK * taps * c.wide * tile->lanes * element_size(p);
    c.chunk = FC_CHANNEL_BLOCK * most(least(CHUNK_BYTES / block_bytes, TABLE_STEPS / (FC_CHANNEL_BLOCK * taps)), 1);
    return c;
}

static double pixel_blocks(const fc_problem *p, const cut *c)
{
    return (double)p->n * (double)c->row_blocks * (double)c->col_blocks;
}

/* Before the tasks begin, where many would pack the same. A task packs a chunk at a time, which stays in its cache. */
static int packs_apart(const fc_problem *p, const fc_tile *tile, const cut *c)
{
    const double bytes = (double)(p->groups * c->vecs * tile->lanes) * (double)chain_length(p) * (double)element_size(p);
    return pixel_blocks(p, c) > (bytes > FAR_BYTES ? 1 + FAR_VECTOR * PACK_LANES / tile->lanes : 1);
}

/* Estimated cycles of one thread, of all but the multiplications, which no cut changes. */
static double overhead(const fc_problem *p, const fc_tile *tile, const cut *c)
{
    const fc_window w = fc_window_of(p, c->rows, c->columns);
    const double igc = (double)(p->ic / p->groups), blocks = pixel_blocks(p, c) * (double)p->groups;
    const double across = (double)w.columns * (double)w.step_w * (double)element_size(p) / 64, down = (double)w.rows;
    const double lines = down * across + (w.step_w == 1 && w.columns == p->iw ? 1 : down); /* of a channel, in place */
    const double row = p->channels_last ? (double)w.columns * (igc / tile->lanes + 1) * COPY_VECTOR
                                        : igc * ((double)ceil_div(w.columns, tile->lanes) * COPY_VECTOR + COPY_ROW);
    const double pixels = reads_in_place(p) ? igc * lines * READ_LINE : down * row;
    const double weights = (double)(p->groups * c->vecs) * (double)chain_length(p);
    const int far = weights * tile->lanes * (double)element_size(p) > FAR_BYTES;
    const double pack = (double)tile->lanes / PACK_LANES, read = p->prepared * far * READ_FAR;
    const double apart = pack + far * (FAR_VECTOR + shared_line(p));
    const double packing = p->prepared ? 0 : packs_apart(p, tile, c) ? apart : pixel_blocks(p, c) * pack;
    const double tiles = blocks * (double)(c->rows * ceil_div(c->columns, c->high) * c->panels);
    return blocks * (double)c->oc_blocks * (pixels + TASK) + weights * (packing + pixel_blocks(p, c) * read) +
           tiles * (double)ceil_div(p->ic / p->groups, c->chunk) * TILE;
}

/* Of the ways to cut a problem, by rows and by panels, the cheapest. */
static cut choose(const fc_problem *p, const fc_tile *tile)
{
    const int64_t channels = least(p->ic / p->groups, FC_CHANNEL_BLOCK);
    cut best = cut_into(p, tile, p->oh, 1);
    double least_cost = 0;
    for (int64_t panels = ceil_div(best.panels, MOST_BLOCKS); panels < 2 * best.panels; panels *= 2)
        for (int64_t rows = least(p->oh, MOST_PIXELS); rows >= 1; rows = ceil_div(p->oh, ceil_div(p->oh, rows)) - 1) {
            const cut c = cut_into(p, tile, ceil_div(p->oh, rows), ceil_div(best.panels, panels));
            if (rows > 1 && (rows * c.columns > MOST_PIXELS ||
                             channel_bytes(p, rows, c.columns) * (double)channels > STRIP_BYTES))
                continue;
            const double task = (double)(c.rows * c.columns * ceil_div(c.panels, c.oc_blocks) * c.wide) * (double)chain_length(p);
            const double cycles = overhead(p, tile, &c) + task * waits(p, c.row_blocks * c.col_blocks * c.oc_blocks);
            if (least_cost == 0 || cycles < least_cost) {
                best = c;
                least_cost = cycles;
            }
        }
    return best;
}

static double cost(const fc_problem *p, const fc_tile *tile)
{
    const cut c = choose(p, tile);
    const double pixels = (double)p->n * (double)p->groups * (double)p->oh * (double)p->ow;
    /* Vectors that a step of a tile loads are its rows and the panel's: more than it multiplies, if either is one. */
    const double height = (double)least(p->ow, c.high), width = (double)c.vecs / (double)c.panels;
    const double loads = (height + width) / (height * width);
    const double store = p->channels_last ? 2 : STORE_LANE * tile->lanes / 4.0;
    return pixels * (double)c.vecs * ((double)chain_length(p) * (loads > 1 ? loads : 1) + store) + overhead(p, tile, &c);
}

static int goes_at_once(const fc_problem *p, const cut *c) /* through its chain, a tile */
{
    const int64_t igc = p->ic / p->groups;
    return igc <= FC_CHANNEL_BLOCK || (igc % FC_CHANNEL_BLOCK == 0 && igc <= least(c->chunk, c->channels));
}

/* Where the parts of a thread's scratch memory begin, in bytes from the strip at 0. */
typedef struct {
    int64_t sums, bias, chunk, tables, end;
    int64_t steps; /* of a table */
} parts;

static parts parts_of(const fc_problem *p, const fc_tile *tile, const cut *c)
{
    const int64_t size = element_size(p), igc = p->ic / p->groups, wide = c->wide * tile->lanes;
    const fc_window w = fc_window_of(p, c->rows, c->columns);
    const int64_t rows = goes_at_once(p, c) ? 1 : c->rows;
    const int64_t panels = c->channels < igc ? ceil_div(c->panels, c->oc_blocks) : 1;
    parts at;
    at.sums = ceil_div(w.rows * w.columns * c->channels * size, 64) * 64;
    at.bias = at.sums + rows * c->columns * panels * wide * size;
    at.chunk = ceil_div(at.bias + wide * size, 64) * 64;
    at.steps = p->kh * p->kw * least(c->chunk, ceil_div(igc, FC_CHANNEL_BLOCK) * FC_CHANNEL_BLOCK);
    at.tables = ceil_div(at.chunk + row_at(at.steps, wide * size), 64) * 64;
    at.end = ceil_div(at.tables + 6 * at.steps * (int64_t)sizeof(int64_t), 128) * 128;
    return at;
}

static int64_t panel_at(const fc_plan *plan, const cut *c, int64_t group, int64_t panel) /* from the packed weights on */
{
    const fc_problem *p = &plan->problem;
    const int64_t vecs = group * c->vecs + part(panel, c->panels, c->vecs), before = group * c->panels + panel;
    return vecs * plan->tile->lanes * chain_length(p) * element_size(p) + before * row_at(chain_length(p), 0);
}

static void prepare(fc_plan *plan)
{
    const fc_problem *p = &plan->problem;
    const fc_tile *tile = plan->tile;
    const cut c = choose(p, tile);
    plan->px_block = c.row_blocks; /* and with oc_block all that cut_into needs */
    plan->oc_block = c.oc_blocks;
    plan->n_tasks = p->n * p->groups * c.row_blocks * c.col_blocks * c.oc_blocks;
    const int64_t channels = ceil_div(c.panels, c.oc_blocks) * c.wide * tile->lanes;
    plan->task_macs = (double)(c.rows * c.columns * channels) * (double)chain_length(p);
    plan->scratch_bytes = parts_of(p, tile, &c).end;
    plan->n_packs = p->groups * c.panels;
    plan->packing = c.panels;
    plan->packed_bytes = panel_at(plan, &c, p->groups, 0);
    plan->packs_apart = packs_apart(p, tile, &c);
}

static void pack(const fc_plan *plan, const fc_operands *operands, int64_t task)
{
    const fc_problem *p = &plan->problem;
    const cut c = cut_into(p, plan->tile, plan->px_block, plan->oc_block);
    const int64_t group = task / c.panels, panel = task % c.panels, lanes = plan->tile->lanes, igc = p->ic / p->groups;
    const int64_t first = part(panel, c.panels, c.vecs), end = part(panel + 1, c.panels, c.vecs);
    fc_pack(plan, &operands->weight, group, first * lanes, (end - first) * lanes, 0, igc, GAP,
              operands->packed + panel_at(plan, &c, group, panel));
}

/* What a task reads: the image, or a strip of it. Steps in bytes. */
typedef struct {
    const char *data;              /* the first output's first pixel */
    int64_t channel, tap_h, tap_w; /* to the next channel, and to the next tap down and right */
    int64_t row, pixel;            /* to the next output's, down and right */
} source;

/* Offsets of pixels along the chain of `channels` channels, in bytes. */
static void tabulate(const fc_problem *p, const source *from, int64_t channels, int64_t *offsets)
{
    for (int64_t c0 = 0; c0 < channels; c0 += FC_CHANNEL_BLOCK)
        for (int64_t ky = 0; ky < p->kh; ky++)
            for (int64_t kx = 0; kx < p->kw; kx++) {
                const int64_t *const end = offsets + least(FC_CHANNEL_BLOCK, channels - c0), channel = from->channel;
                for (int64_t at = c0 * channel + ky * from->tap_h + kx * from->tap_w; offsets < end; at += channel)
                    *offsets++ = at;
            }
}

/* The outputs of one panel in a task, and how far their chains go: the channels that the source holds. */
typedef struct {
    const char *packed;  /* the panel, from the first of those channels on; or NULL, and */
    const char *weights; /* where they lie, */
    char *chunk;         /* and room to pack a chunk of them */
    int64_t group, oc, c;
    int more; /* whether another panel follows */
    int64_t vecs, real; /* its width, and the output channels that there are */
    int64_t rows, columns, high; /* of outputs, and pixels of a tile at most */
    char *y;       /* the first output of its first channel */
    char *sums;    /* where sums wait for the rest of their chain, or for their place in the result; */
    int keep;      /* those of all rows, or of one at a time */
    int resume;    /* the chains go on */
    const char *bias; /* where the chains end: of the panel's channels, or NULL, */
    int finish;
} outputs;

/* The tables of a chunk of channels. */
typedef struct {
    const int64_t *pixels, *rows; /* offsets along the chain: of pixels, and of the rows of a panel */
    fc_lines ahead;                  /* of the next chunk's weights */
} tables;

/* `of` are those of a chunk of whole blocks of channels, and those of the last block if it is shorter. */
static void run_panel(const fc_plan *plan, const fc_operands *operands, const source *from, const outputs *to,
                      int64_t channels, int64_t chunk, const tables of[2])
{
    const fc_problem *p = &plan->problem;
    const fc_tile *tile = plan->tile;
    const fc_array *y = &operands->y, *weight = &operands->weight;
    const int64_t size = element_size(p), step = to->vecs * tile->lanes * size, taps = p->kh * p->kw;
    const int64_t tiles = ceil_div(to->columns, to->high);
    const int direct = y->stride[1] == size && to->real == to->vecs * tile->lanes;
    for (int64_t c = 0, count; c < channels; c += count) {
        const int64_t whole = (channels - c) / FC_CHANNEL_BLOCK * FC_CHANNEL_BLOCK;
        count = whole ? least(whole, chunk) : channels - c;
        const tables *table = whole ? &of[0] : &of[1];
        const int finish = to->finish && c + count == channels;
        const char *weights = to->packed ? to->packed + row_at(c * taps, step) : to->chunk;
        const char *ahead = weights + row_at(count * taps, step);
        if (!to->packed) {
            fc_pack(plan, weight, to->group, to->oc, to->vecs * tile->lanes, to->c + c, count, GAP, to->chunk);
            ahead = to->weights + (c + count < channels ? (c + count) * weight->stride[1] : to->real * weight->stride[0]);
        }
        int64_t to_call = c + count < channels || to->more ? table->ahead.tiles : 0;
        fc_tile_ends ends = {.column_bias = finish ? to->bias : NULL};
        ends.from_step = ends.to_step = direct ? y->stride[3] : step;
        for (int64_t r = 0; r < to->rows; r++) {
            const char *pixels = from->data + c * from->channel + r * from->row;
            char *const row = to->y + r * y->stride[2], *const sums = to->sums + (to->keep ? r * to->columns * step : 0);
            char *at = direct ? row : sums;
            for (int64_t t = 0; t < tiles; t++) {
                const int64_t height = to->columns / tiles + (t < to->columns % tiles);
                ends.to = at;
                ends.from = c || to->resume ? at : NULL;
                ends.ahead = ahead;
                ends.ahead_off = table->ahead.off;
                ends.calls = to_call ? count * taps : 0;
                tile->run[to->vecs][height](count * taps, pixels, from->pixel, table->pixels, weights, table->rows, &ends);
                at += height * ends.to_step;
                pixels += height * from->pixel;
                ahead += table->ahead.step;
                to_call -= to_call > 0;
            }
            if (finish && !direct)
                store_pixels(plan, y, row, sums, step, to->columns, to->real);
        }
    }
}

static void run_task(const fc_plan *plan, const fc_operands *operands, int64_t task, void *scratch)
{
    const fc_problem *p = &plan->problem;
    const fc_tile *tile = plan->tile;
    const cut c = cut_into(p, tile, plan->px_block, plan->oc_block);
    const int64_t size = element_size(p), igc = p->ic / p->groups, ocg = p->oc / p->groups, taps = p->kh * p->kw;
    const int64_t *x = operands->x.stride, *y = operands->y.stride;
    const int64_t row_block = task % c.row_blocks, col_block = task / c.row_blocks % c.col_blocks;
    task /= c.row_blocks * c.col_blocks;
    const int64_t oc_block = task % c.oc_blocks, group = task / c.oc_blocks % p->groups, n = task / c.oc_blocks / p->groups;
    const int64_t row0 = part(row_block, c.row_blocks, p->oh), rows = part(row_block + 1, c.row_blocks, p->oh) - row0;
    const int64_t col0 = part(col_block, c.col_blocks, p->ow), columns = part(col_block + 1, c.col_blocks, p->ow) - col0;
    const int64_t panel0 = part(oc_block, c.oc_blocks, c.panels), panel1 = part(oc_block + 1, c.oc_blocks, c.panels);
    const char *image = operands->x.data + n * x[0] + group * igc * x[1], *packed = operands->packed;
    char *result = operands->y.data + n * y[0] + group * ocg * y[1] + row0 * y[2] + col0 * y[3];

    const parts at = parts_of(p, tile, &c);
    char *strip = scratch, *bias = strip + at.bias;
    const fc_window w = fc_window_of(p, rows, columns);
    const int interleaved = x[1] == size && igc > 1, in_place = reads_in_place(p);
    memset(bias, 0, (size_t)(c.wide * tile->lanes * size)); /* see fc_copy_phases */
    for (int64_t c0 = 0; c0 < igc; c0 += c.channels) {
        const int64_t channels = least(c.channels, igc - c0);
        const int64_t pixel = interleaved ? channels * size : size, row = w.columns * pixel;
        source from = {strip, interleaved ? size : w.rows * row, p->dh * row, p->dw * pixel, p->sh / w.step_h * row,
                       p->sw / w.step_w * pixel};
        if (in_place)
            from = (source){image + c0 * x[1] + row0 * p->sh * x[2] + col0 * p->sw * x[3], x[1], p->dh * x[2], p->dw * x[3],
                            p->sh * x[2], p->sw * x[3]};
        else
            fc_copy_window(plan, operands, &w, image + c0 * x[1], row0 * p->sh, col0 * p->sw, channels, strip, interleaved);

        int64_t tabulated = 0;
        tables of[2];
        char *sums = strip + at.sums;
        for (int64_t panel = panel0; panel < panel1; panel++) {
            const int64_t first = part(panel, c.panels, c.vecs), vecs = part(panel + 1, c.panels, c.vecs) - first;
            const int64_t oc = first * tile->lanes, real = least(vecs * tile->lanes, ocg - oc), step = vecs * tile->lanes * size;
            for (int i = 0; i < 2 && vecs != tabulated; i++) {
                const int64_t whole = channels / FC_CHANNEL_BLOCK * FC_CHANNEL_BLOCK;
                const int64_t count = i ? channels - whole : least(c.chunk, whole);
                int64_t *table = (int64_t *)(strip + at.tables) + 3 * i * at.steps;
                of[i] = (tables){table, table + at.steps, {0}};
                tabulate(p, &from, count, table);
                for (int64_t s = 0, at_row = 0; s < count * taps; s++, at_row += step + (s % FC_CHANNEL_BLOCK ? 0 : GAP))
                    table[at.steps + s] = at_row;
                if (packed) /* a line of each row, then the next: no table of their own, whose writing takes as long again */
                    of[i].ahead = (fc_lines){table + at.steps, 64, ceil_div(step, 64)};
                else if (count)
                    of[i].ahead = fc_lines_of(p, operands, count, step, table + 2 * at.steps);
            }
            tabulated = vecs;
            if (operands->bias)
                fc_pick(bias, operands->bias + (group * ocg + oc) * operands->bias_stride, operands->bias_stride, real, size);
            const outputs to = {
                .packed = packed ? packed + panel_at(plan, &c, group, panel) + row_at(c0 * taps, step) : NULL,
                .weights = operands->weight.data + (group * ocg + oc) * operands->weight.stride[0] + c0 * operands->weight.stride[1],
                .chunk = strip + at.chunk,
                .group = group, .oc = oc, .c = c0,
                .more = panel + 1 < panel1,
                .vecs = vecs, .real = real, .rows = rows, .columns = columns, .high = c.high,
                .y = result + oc * y[1],
                .sums = sums,
                .keep = !goes_at_once(p, &c),
                .resume = c0 > 0,
                .bias = operands->bias ? bias : NULL,
                .finish = c0 + channels == igc,
            };
            run_panel(plan, operands, &from, &to, channels, c.chunk, of);
            if (c.channels < igc)
                sums += rows * columns * step;
        }
    }
}

const fc_algorithm fc_algorithm_panel = {
    .name = "panel",
    .family = "direct",
    .can = FC_CAN_STRIDE | FC_CAN_DILATE | FC_CAN_GROUP | FC_CAN_PAD | FC_CAN_PAD_EDGE | FC_CAN_BIAS | FC_CAN_F64 |
           FC_CAN_I64,
    .reject = reject,
    .cost = cost,
    .prepare = prepare,
    .run_task = run_task,
    .pack = pack,
};
