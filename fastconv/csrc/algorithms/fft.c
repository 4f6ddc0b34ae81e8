/* fft: tiles of outputs by products of spectra, for large kernels.
 *
 * A tile of the image and the kernel, taken as periodic, are transformed to frequencies, where a convolution is one product
 * of complex numbers for each, summed over input channels. Those of its outputs whose windows do not wrap around are whole
 * (overlap-save). The lower half of a tile is the imaginary part of the upper one: rows that leave a half at its end come back
 * times i, which is what leaving the upper half for the lower one means. So real numbers are transformed as half as many complex
 * ones, nothing is computed twice, and no half of a spectrum is treated apart. Which sizes, and the error, are in
 * docs/design/0008-fft.md.
 *
 * A vector holds columns of a tile while it is transformed down, and rows of its frequencies while it is transformed across;
 * in between it is transposed. The outer pass down reads rows of the image, and on the way back writes rows of the result, as far
 * as the tile is wide. Of all others a few lines at a time pass the butterflies of an axis in the first-level cache. Frequencies
 * are left in the order that the passes give, and the way back takes that order.
 *
 * Values that are not finite, or so large that a sum on the way might not be, would spread over a tile. So the sum of squares
 * of its pixels, and of each output channel's weights, is taken; where the two together exceed a limit, those outputs are
 * computed again by `direct`.
 *
 * Loops of a task: blocks of input channels > tiles > input channels; then frequencies > output channels; and back, tiles >
 * output channels. */

#include "algorithms/common.h"
#include "spectra.h"

enum {
    SLAB_BYTES = 16 << 10, /* of lines that are transformed at a time */
    GROWTH = 1 << 18, /* of sums: all of 256 x 256 frequencies, whose sum is divided at the end, times 2 for complex products */
};

static const char *reject(const fc_problem *p)
{
    if (p->kh > FC_FFT_POINTS / 2 + FC_FFT_POINTS / 4 || p->kw > FC_FFT_POINTS / 2 + FC_FFT_POINTS / 4)
        return "it needs a kernel of at most 192 rows and columns";
    if (p->kh * p->kw < 25)
        return "it gains nothing with kernels of fewer than 25 taps";
    return NULL;
}

static double cost(const fc_problem *p, const fc_tile *tile)
{
    double cycles;
    fc_cheapest_spectrum(p, tile, &cycles);
    return cycles * (double)p->n;
}

/* The cut that `prepare` chose. */
static fc_spectrum spectrum_of(const fc_plan *plan)
{
    const int eight = fc_fft_of(plan->isa, plan->problem.dtype)->eight;
    return fc_spectrum_of(&plan->problem, plan->tile, eight, plan->c_block / 1024, plan->c_block % 1024 / 2 * 2);
}

/* Where the parts of a thread's scratch memory begin, in bytes from the tile at 0; and what lies between things in them. A tile is
 * blocks of a vector of columns each, one after the other: as rows, the upper half's vector and then the lower half's of each;
 * transformed down it is columns, real parts and then imaginary ones, in the same place. */
typedef struct {
    int64_t slab, rows, pixels, results, squares, box, bytes;
    int64_t column, block, im;                       /* bytes of a column, of a vector of them, and to imaginary parts of one */
    int64_t vectors_down, vectors_across;            /* vectors of lines in a slab */
    int alone;                                       /* whether a task is one tile, input channel and output channel */
    int64_t tiles, kernels, channels;                /* at most in a task, and input channels at a time */
    int64_t of_pixels, of_results;                   /* from a vector of frequencies to the next */
} parts;

static parts parts_of(const fc_plan *plan, const fc_spectrum *s)
{
    const fc_problem *p = &plan->problem;
    const int64_t size = element_size(p), pixel = plan->tile->lanes * size, igc = p->ic / p->groups;
    parts at;
    at.im = s->down.points * size;
    at.column = 2 * at.im + 64; /* or all those of a row would share a few sets of the cache */
    at.block = plan->tile->lanes * at.column;
    at.vectors_down = most(SLAB_BYTES / (s->down.points * 2 * pixel), 1);
    at.vectors_across = most(SLAB_BYTES / (s->across.points * 2 * pixel), 1);
    at.tiles = ceil_div(s->tiles, s->tile_blocks);
    at.kernels = ceil_div(s->held, s->oc_blocks);
    at.channels = ceil_div(igc, s->ic_blocks);
    at.alone = igc == 1 && at.tiles * at.kernels == 1;
    at.of_pixels = fc_vector_bytes(plan, at.tiles * at.channels);
    at.of_results = fc_vector_bytes(plan, at.tiles * at.kernels);
    at.slab = ceil_div(s->across.points * at.column, 64) * 64;
    at.rows = at.slab + most(s->down.points * at.vectors_down, s->across.points * at.vectors_across) * 2 * pixel;
    at.pixels = at.rows + 2 * s->down.points * pixel + (FC_FFT_ROWS + 1) * s->across.points * size;
    at.results = ceil_div(at.pixels + (at.alone ? 0 : s->vectors * at.of_pixels), 64) * 64;
    at.squares = at.results + (at.alone ? 0 : s->vectors * at.of_results);
    at.box = ceil_div(at.squares + at.tiles * pixel, 64) * 64;
    at.bytes = at.box + fc_box_scratch(plan, at.kernels, s->tall, s->wide);
    at.bytes = ceil_div(at.bytes, 128) * 128; /* threads share no cache line, nor a pair of them */
    return at;
}

static void prepare(fc_plan *plan)
{
    const fc_problem *p = &plan->problem;
    double cycles;
    const fc_spectrum s = fc_cheapest_spectrum(p, plan->tile, &cycles);
    /* All that spectrum_of needs; and the radices, so that plans of the same number give the same bits. */
    plan->c_block = s.down.points * 1024 + s.across.points + fc_fft_of(plan->isa, p->dtype)->eight;
    const parts at = parts_of(plan, &s);
    plan->n_tasks = s.rounds * p->n * s.groups * s.tile_blocks * s.oc_blocks;
    plan->task_macs = cycles * (double)p->n * plan->tile->lanes / (double)plan->n_tasks;
    plan->scratch_bytes = at.bytes;
    plan->n_packs = s.rounds * least(s.groups * s.held, FC_KERNEL_PACKS);
    plan->packed_bytes = fc_packing_of(plan, &s).bytes;
    plan->packing = plan->c_block; /* the points of both axes */
    plan->packs_apart = (int)s.rounds;
}

static void pack(const fc_plan *plan, const fc_operands *operands, int64_t task)
{
    const fc_spectrum s = spectrum_of(plan);
    fc_pack_spectra(plan, &s, operands, task, GROWTH);
}

/* What a task works on. */
typedef struct {
    const fc_plan *plan;
    const fc_operands *operands;
    const fc_spectrum *s;
    const parts *at;
    const fc_packing *packed;
    char *scratch;
    int64_t n, group, first, tiles, oc, kernels; /* the first tile and output channel of the group, and how many */
    const char *spectra;                        /* of these kernels */
} job;

/* The outputs of a tile. */
static fc_box box_of(const job *j, int64_t index)
{
    const fc_problem *p = &j->plan->problem;
    const fc_spectrum *s = j->s;
    const int64_t row = index % s->tile_rows * s->tall, column = index / s->tile_rows * s->wide;
    return (fc_box){j->n, j->group, j->oc, j->kernels, row, least(s->tall, p->oh - row), column, least(s->wide, p->ow - column)};
}

/* The outer pass down, of the pixels that a tile's outputs read and zeros behind them. Read column by column, those of an image whose
 * rows are 4096 or 8192 bytes long would all fall into a few sets of the cache. */
static void begin_down(const job *j, const char *image, const fc_box *box, void *squares)
{
    const fc_problem *p = &j->plan->problem;
    const int64_t *x = j->operands->x.stride, lanes = j->plan->tile->lanes, size = element_size(p), step = 2 * lanes * size;
    const int64_t points = j->s->down.points, width = j->s->across.points, radix = j->s->down.radix[0], span = points / radix;
    const int64_t rows = box->rows + p->kh - 1, columns = box->columns + p->kw - 1;
    char *const zeros = j->scratch + j->at->rows;
    memset(zeros, 0, (size_t)(width * size));
    fc_fft_outer_run run = {.numbers = j->scratch, .step = span * step, .vector = j->at->block, .vectors = width / lanes,
                            .ahead = x[3] == size ? x[2] : 0, .twiddles = j->operands->packed, .squares = squares};
    for (int64_t k = 0; k < span; k++, run.numbers += step) {
        for (int64_t i = 0; i < 2 * radix; i++) {
            const int64_t row = k + i % radix * span + i / radix * points;
            run.from[i] = zeros;
            if (row < rows)
                run.from[i] = fc_pixels(p, j->operands, image, box->row + row, box->column, columns, width, zeros + (i + 1) * width * size);
        }
        fc_fft_of(j->plan->isa, p->dtype)->begin[radix](&run);
    }
}

/* A tile's pixels of one input channel, transformed down and turned over. */
static void forward_down(const job *j, int64_t index, int64_t channel)
{
    const fc_plan *plan = j->plan;
    const fc_problem *p = &plan->problem;
    const fc_spectrum *s = j->s;
    const parts *at = j->at;
    const int64_t *x = j->operands->x.stride, lanes = plan->tile->lanes, half = lanes * element_size(p);
    const fc_box box = box_of(j, index);
    char *tile = j->scratch, *const slab = tile + at->slab;
    begin_down(j, j->operands->x.data + j->n * x[0] + (j->group * (p->ic / p->groups) + channel) * x[1], &box,
               tile + at->squares + (index - j->first) * half);
    for (int64_t v = 0, count; v < s->across.points / lanes; v += count, tile += count * at->block) {
        count = least(at->vectors_down, s->across.points / lanes - v);
        const fc_lines_run lines = {tile, half, 2 * half, at->block, slab, half, count * 2 * half, 2 * half, count, slab,
                                    j->operands->packed};
        fc_transform_inner(plan, &s->down, &lines, 0);
        for (int64_t i = 0; i < 2 * count; i++)
            plan->transpose(tile + i / 2 * at->block + i % 2 * at->im, NULL, at->column, slab + i * half, count * 2 * half, s->down.points,
                            lanes);
    }
}

/* Vectors `b` to `b + count` of what is turned over, transformed across to vectors that are `row` bytes apart. */
static void forward_across(const job *j, int64_t b, int64_t count, char *to, int64_t row)
{
    const int64_t half = j->plan->tile->lanes * element_size(&j->plan->problem);
    const fc_lines_run lines = {j->scratch + b * half, j->at->im, j->at->column, half, to, half, row, j->s->across.points * row, count,
                                j->scratch + j->at->slab, j->operands->packed + j->packed->across};
    fc_transform(j->plan, &j->s->across, &lines, 0);
}

/* Sums over `channels` input channels from `channel` on, for all tiles and output channels of the task. */
static void multiply(const job *j, int64_t channel, int64_t channels)
{
    const fc_plan *plan = j->plan;
    const fc_problem *p = &plan->problem;
    const fc_spectrum *s = j->s;
    const parts *at = j->at;
    const fc_fft *kernels = fc_fft_of(plan->isa, p->dtype);
    const int64_t size = element_size(p), number = 2 * plan->tile->lanes * size, igc = p->ic / p->groups;
    fc_spectra_run run = {.x_tile = channels * number, .x_vector = at->of_pixels, .w_kernel = igc * number,
                          .w_vector = j->packed->of_vector, .y_tile = j->kernels * number, .y_kernel = number,
                          .y_vector = at->of_results, .steps = channels, .resume = channel > 0};
    const char *w = j->spectra + channel * number;
    const int64_t together = channels < 8 ? s->vectors : 1;
    for (int64_t v = 0; v < s->vectors; v += run.vectors) {
        run.vectors = least(together, s->vectors - v);
        for (int64_t o = 0, count; o < j->kernels; o += count) {
            count = least(kernels->kernels, j->kernels - o);
            run.w = w + v * run.w_vector + o * run.w_kernel;
            for (int64_t t = 0, tiles; t < j->tiles; t += tiles) {
                tiles = least(2, j->tiles - t);
                run.x = j->scratch + at->pixels + v * run.x_vector + t * run.x_tile;
                run.y = j->scratch + at->results + v * run.y_vector + t * run.y_tile + o * number;
                kernels->multiply[tiles][count](&run);
            }
        }
    }
}

/* Vectors `b` to `b + count` of a spectrum of results, transformed across to where those of pixels were. */
static void backward_across(const job *j, int64_t b, int64_t count, const char *from, int64_t row)
{
    const int64_t half = j->plan->tile->lanes * element_size(&j->plan->problem);
    char *const slab = j->scratch + j->at->slab;
    const fc_lines_run lines = {from + half, -half, row, j->s->across.points * row, j->scratch + j->at->im + b * half, -j->at->im,
                                j->at->column, half, count, slab, j->operands->packed + j->packed->across};
    fc_transform(j->plan, &j->s->across, &lines, 1);
}

/* The outer pass back, to a tile's outputs; those that do not fill a vector, and rows that are none, by way of other memory. */
static void finish_down(const job *j, const fc_box *box, int64_t channel)
{
    const fc_plan *plan = j->plan;
    const fc_problem *p = &plan->problem;
    const int64_t *y = j->operands->y.stride, lanes = plan->tile->lanes, size = element_size(p), step = 2 * lanes * size;
    const int64_t points = j->s->down.points, radix = j->s->down.radix[0], span = points / radix;
    const int there = y[3] == size || box->columns == 1;
    const int64_t vectors = there ? box->columns / lanes : 0, done = vectors * lanes, rest = box->columns - done;
    char *const image = j->operands->y.data + j->n * y[0] + channel * y[1] + box->row * y[2] + box->column * y[3];
    char *const others = j->scratch + j->at->rows, scale[8];
    fc_write(scale, 1 / (double)(points * j->s->across.points), p->dtype);
    fc_fft_outer_run run = {.step = span * step, .vector = j->at->block, .twiddles = j->operands->packed, .scale = scale,
                            .bias = j->operands->bias ? j->operands->bias + channel * j->operands->bias_stride : NULL};
    for (int64_t k = 0; there && rest && k < span; k++) {
        for (int64_t i = 0; i < 2 * radix; i++)
            run.to[i] = others + (k + i % radix * span + i / radix * points) * lanes * size;
        run.numbers = j->scratch + k * step + vectors * run.vector;
        run.vectors = 1;
        fc_fft_of(plan->isa, p->dtype)->finish[radix](&run);
    }
    for (int64_t k = 0; k < span; k++) {
        char *rows[FC_FFT_ROWS], *const none = others + 2 * points * lanes * size;
        for (int64_t i = 0; i < 2 * radix; i++) {
            const int64_t row = k + i % radix * span + i / radix * points;
            rows[i] = row < box->rows ? image + row * y[2] : NULL;
            run.to[i] = rows[i] && there ? rows[i] : none + i * j->s->across.points * size;
        }
        run.numbers = j->scratch + k * step;
        run.vectors = there ? vectors : ceil_div(rest, lanes);
        fc_fft_of(plan->isa, p->dtype)->finish[radix](&run);
        for (int64_t i = 0; i < 2 * radix && !there; i++)
            if (rows[i])
                scatter(plan, rows[i], 0, y[3], run.to[i], 0, 1, rest);
    }
    for (int64_t row = 0; there && rest && row < box->rows; row++)
        memcpy(image + row * y[2] + done * size, others + row * lanes * size, (size_t)(rest * size));
}

/* Turned over and transformed down, to a tile's outputs of one channel. */
static void backward_down(const job *j, int64_t index, int64_t oc)
{
    const fc_plan *plan = j->plan;
    const fc_spectrum *s = j->s;
    const parts *at = j->at;
    const int64_t lanes = plan->tile->lanes, half = lanes * element_size(&plan->problem);
    const fc_box box = box_of(j, index);
    char *tile = j->scratch, *const slab = tile + at->slab;
    for (int64_t v = 0, count; v < ceil_div(box.columns, lanes); v += count, tile += count * at->block) {
        count = least(at->vectors_down, ceil_div(box.columns, lanes) - v);
        for (int64_t i = 0; i < 2 * count; i++)
            plan->transpose(slab + i * half, NULL, count * 2 * half, tile + i / 2 * at->block + i % 2 * at->im, at->column, lanes,
                            s->down.points);
        const fc_lines_run lines = {slab + half, -half, count * 2 * half, 2 * half, tile + half, -half, 2 * half, at->block, count, slab,
                                    j->operands->packed};
        fc_transform_inner(plan, &s->down, &lines, 1);
    }
    finish_down(j, &box, j->group * (plan->problem.oc / plan->problem.groups) + oc);
}

/* A single tile, input channel and output channel: a few lines at a time go across, are multiplied and go back, in the slab. */
static void convolve(const job *j)
{
    const fc_plan *plan = j->plan;
    const int64_t half = plan->tile->lanes * element_size(&plan->problem), blocks = j->s->down.points / plan->tile->lanes;
    const int64_t points = j->s->across.points, im = j->at->im, column = j->at->column, w_row = j->packed->of_vector;
    char *const slab = j->scratch + j->at->slab;
    forward_down(j, j->first, 0);
    for (int64_t b = 0, count; b < blocks; b += count) {
        char *const tile = j->scratch + b * half;
        count = least(j->at->vectors_across, blocks - b);
        const fc_lines_run lines = {tile, im, column, half, tile + im, -im, column, half, count, slab,
                                    j->operands->packed + j->packed->across};
        fc_convolve(plan, &j->s->across, &lines, j->spectra + b * points * w_row, w_row, points * w_row);
    }
    backward_down(j, j->first, j->oc);
}

static void run_task(const fc_plan *plan, const fc_operands *operands, int64_t task, void *scratch)
{
    const fc_problem *p = &plan->problem;
    const fc_spectrum s = spectrum_of(plan);
    const parts at = parts_of(plan, &s);
    const fc_packing packed = fc_packing_of(plan, &s);
    const int64_t igc = p->ic / p->groups, ocg = p->oc / p->groups, size = element_size(p), lanes = plan->tile->lanes;
    const int64_t number = 2 * lanes * size, blocks = s.down.points / lanes;
    job j = {.plan = plan, .operands = operands, .s = &s, .at = &at, .packed = &packed, .scratch = scratch};
    const int64_t tile_block = task % s.tile_blocks, oc_block = task / s.tile_blocks % s.oc_blocks;
    task /= s.tile_blocks * s.oc_blocks;
    const int64_t group = task % s.groups, round = task / s.groups / p->n, begin = fc_round_begin(p, &s, round);
    const int64_t kernels = fc_round_end(p, &s, round) - begin;
    j.group = round / s.oc_rounds * s.groups + group;
    j.n = task / s.groups % p->n;
    j.first = part(tile_block, s.tile_blocks, s.tiles);
    j.tiles = part(tile_block + 1, s.tile_blocks, s.tiles) - j.first;
    j.oc = begin + part(oc_block, s.oc_blocks, kernels);
    j.kernels = begin + part(oc_block + 1, s.oc_blocks, kernels) - j.oc;
    if (j.group >= p->groups || !j.kernels) /* the first rounds have the most */
        return;
    j.spectra = operands->packed + packed.spectra + group * packed.of_group + (j.oc - begin) * igc * number;
    char *const squares = (char *)scratch + at.squares;
    memset(squares, 0, (size_t)(j.tiles * lanes * size));
    if (at.alone)
        convolve(&j);
    for (int64_t b = 0; b < s.ic_blocks && !at.alone; b++) {
        const int64_t channel = part(b, s.ic_blocks, igc), channels = part(b + 1, s.ic_blocks, igc) - channel;
        for (int64_t i = 0; i < j.tiles * channels; i++) {
            forward_down(&j, j.first + i / channels, channel + i % channels);
            for (int64_t v = 0, count; v < blocks; v += count) {
                count = least(at.vectors_across, blocks - v);
                forward_across(&j, v, count, (char *)scratch + at.pixels + v * s.across.points * at.of_pixels + i * number, at.of_pixels);
            }
        }
        multiply(&j, channel, channels);
    }
    for (int64_t t = 0; t < j.tiles; t++) {
        for (int64_t o = 0; o < j.kernels && !at.alone; o++) {
            const char *from = (const char *)scratch + at.results + (t * j.kernels + o) * number;
            for (int64_t v = 0, count; v < blocks; v += count) {
                count = least(at.vectors_across, blocks - v);
                backward_across(&j, v, count, from + v * s.across.points * at.of_results, at.of_results);
            }
            backward_down(&j, j.first + t, j.oc + o);
        }
        double sum = 0;
        for (int64_t i = 0; i < lanes; i++)
            sum += fc_read(squares + (t * lanes + i) * size, p->dtype);
        const fc_box box = box_of(&j, j.first + t);
        fc_mend(plan, operands, &box, sum, operands->packed + packed.limits + (j.group * ocg + j.oc) * size, (char *)scratch + at.box);
    }
}

/* Errors of the spectra of x and w, of products and their sums, of the way back, and at the end of 1 / points and of the result. */
static fc_error error(const fc_plan *plan)
{
    const fc_problem *p = &plan->problem;
    const fc_spectrum s = spectrum_of(plan);
    fc_error found = {2 * (double)(p->ic / p->groups) + (double)s.ic_blocks + 2, .blocks = s.ic_blocks};
    found.levels[0] = fc_axis_error(&s.down, p->dtype, 2 * s.down.points, s.tall, &found.constant);
    found.levels[1] = fc_axis_error(&s.across, p->dtype, s.across.points, s.wide, &found.constant);
    return found;
}

const fc_algorithm fc_algorithm_fft = {
    .name = "fft",
    .family = "fft",
    .can = FC_CAN_GROUP | FC_CAN_PAD | FC_CAN_PAD_EDGE | FC_CAN_BIAS | FC_CAN_F64,
    .reject = reject,
    .cost = cost,
    .prepare = prepare,
    .run_task = run_task,
    .pack = pack,
    .error = error,
};
