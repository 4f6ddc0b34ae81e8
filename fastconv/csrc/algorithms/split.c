/* split: float32 numbers as sums of three of bfloat16, whose products matrix tiles sum.
 *
 * Processors with tiles of numbers multiply those of bfloat16 16 times as fast as float32. The parts of a number carry all of its 24
 * bits, and six of the nine products of two numbers' parts tell theirs to 2^-23: so a sum is as exact as one of float32, and 2.6 times as
 * fast. (G. Henry, P. T. P. Tang, A. Heinecke, Leveraging the bfloat16 artificial intelligence datatype for higher-precision computations,
 * 2019, arXiv 1904.06376.) Its errors are in docs/design/0014-split.md.
 *
 * Pixels are split once for all output channels of a task, into a strip: what some rows of outputs read, padded and taken apart by
 * stride, so that every tap finds its pixels in the same order, through row ends: tiles are full whatever the width of the map. Where
 * channels lie apart, tiles have output channels down and pixels across, and pairs are of channels; where they lie side by side, the
 * other way. Weights are split by each task for itself, a pair of tiles at a time, or all beforehand.
 *
 * Results are not finite where a number is not, or a part or a sum on the way became too large; and products of tiles make 0 of what is
 * below the smallest normal number, which would tell where all pixels or weights are tiny. Rows of results where that may be are
 * computed again by `direct`, all channels of a pair of tiles.
 *
 * Loops of a task: channels > rows; then pairs of tiles of output channels > chunks of the sum > pairs of tiles of pixels.
 *
 * Cost: six products of tiles for 16 x 16 x 32 products; each pixel and weight is split once for a task. */

#include "algorithms/common.h"
#include "parts.h"

#include <float.h>
#include <math.h>

enum {
    LEAST_CHANNELS = 8, /* of a group: a step of fewer would be mostly zeros */
    MOST_STEPS = 4096,  /* of a sum, and often less by what stays near */
    CHUNK = 4,          /* steps whose weights, 24 KiB, stay in the first-level cache while pixels pass */
    PRODUCTS = 6,       /* of parts that count */
};

static const char *reject(const fc_problem *p)
{
    const int64_t igc = p->ic / p->groups;
    if (igc < LEAST_CHANNELS)
        return "it gains nothing with fewer than 8 input channels a group";
    if (p->kh > FC_SPLIT_TAPS || p->kw > FC_SPLIT_TAPS || p->kh * p->kw > FC_SPLIT_TAPS)
        return "it needs kernels of at most 49 taps";
    if (igc > MOST_STEPS * FC_MATRIX_STEP || ceil_div(igc, FC_MATRIX_STEP) * p->kh * p->kw > MOST_STEPS)
        return "a group has too many input channels for its tiles";
    double cycles;
    if ((double)p->ow * (double)p->sw + (double)p->kw * (double)p->dw + (double)p->kh * (double)p->dh > 1e6 ||
        fc_split_choose(p, &cycles).rows == 0)
        return "what a row of outputs reads is too much to stay near";
    return NULL;
}

static double cost(const fc_problem *p, const fc_tile *tile)
{
    double cycles;
    (void)tile; /* of matrices it is the same for all */
    fc_split_choose(p, &cycles);
    return cycles;
}

static fc_split_cut cut_of(const fc_plan *plan)
{
    return fc_split_cut_into(&plan->problem, plan->px_block, plan->oc_block);
}

static void prepare(fc_plan *plan)
{
    const fc_problem *p = &plan->problem;
    double cycles;
    const fc_split_cut c = fc_split_choose(p, &cycles);
    plan->px_block = c.rows; /* and with oc_block all that cut_of needs */
    plan->oc_block = c.oc_blocks;
    plan->n_tasks = p->n * p->groups * c.row_blocks * c.oc_blocks;
    plan->task_macs = (double)(c.rows * p->ow * ceil_div(c.oc_pairs, c.oc_blocks) * FC_SPLIT_WIDE) * (double)chain_length(p);
    plan->packs_apart = !p->prepared && c.row_blocks * p->n > 1;
    plan->scratch_bytes = fc_split_scratch_of(p, &c, p->prepared || plan->packs_apart).box + fc_box_scratch(plan, FC_SPLIT_WIDE, 1, p->ow);
    plan->scratch_bytes = ceil_div(plan->scratch_bytes, 128) * 128; /* threads share no cache line, nor a pair of them */
    plan->n_packs = p->groups * c.tiles;
    plan->packed_bytes = plan->n_packs * fc_split_tile_bytes(&c);
    plan->packing = p->channels_last;
}

static void pack(const fc_plan *plan, const fc_operands *operands, int64_t task)
{
    const fc_split_cut c = cut_of(plan);
    char staged[(FC_SPLIT_TAPS + 1) * FC_MATRIX_STEP * FC_MATRIX_EDGE * 4] __attribute__((aligned(64)));
    fc_split_weights(plan, operands, &c, task / c.tiles, task % c.tiles, operands->packed + task * fc_split_tile_bytes(&c), staged);
}

/* What a task works on. */
typedef struct {
    const fc_plan *plan;
    const fc_operands *operands;
    const fc_split *kernels;
    const fc_split_cut *cut;
    const fc_split_scratch *at;
    char *scratch;
    int64_t n, group, row, rows;    /* the first row of outputs, and how many */
    int64_t oc, channels, tiles;    /* output channels of a group: a pair of tiles, or one */
    const char *weights, *next;     /* of those, and of the next ones, or NULL */
} job;

/* The sums of all pixels; meanwhile the next weights are called in, with each product as many lines. */
static void multiply(const job *j)
{
    const fc_problem *p = &j->plan->problem;
    const fc_split_cut *c = j->cut;
    const int64_t pixels = fc_split_pixels_of(p, c, j->rows), tile = fc_split_tile_bytes(c), row = j->at->sums_row;
    const int64_t *const of_pixels = (const int64_t *)(j->scratch + j->at->tables), *const of_weights = of_pixels + c->steps;
    const int64_t products = PRODUCTS * c->steps * ceil_div(pixels, FC_SPLIT_WIDE);
    const int64_t lines = j->next ? ceil_div(j->tiles * tile, 64 * products) : 0;
    fc_split_run run = {.to_row = row, .ahead = j->next ? j->next : j->weights, .lines = lines};
    if (p->channels_last) {
        run.a_part = c->part;
        run.a_tile = FC_MATRIX_EDGE * c->pixel;
        run.a_row = c->pixel;
        run.b = j->weights;
        run.b_part = FC_MATRIX_BYTES;
        run.b_tile = tile;
        run.b_row = FC_MATRIX_EDGE * 4;
    } else {
        run.a = j->weights;
        run.a_part = FC_MATRIX_BYTES;
        run.a_tile = tile;
        run.a_row = FC_MATRIX_STEP * 2;
        run.b_part = c->part;
        run.b_tile = FC_MATRIX_EDGE * 4;
        run.b_row = c->plane * 4;
    }
    for (int64_t s = 0; s < c->steps; s += CHUNK) {
        run.steps = least(CHUNK, c->steps - s);
        run.resumes = s > 0;
        run.a_off = (p->channels_last ? of_pixels : of_weights) + s;
        run.b_off = (p->channels_last ? of_weights : of_pixels) + s;
        for (int64_t first = 0; first < pixels; first += FC_SPLIT_WIDE) {
            const int64_t across = least(2, ceil_div(pixels - first, FC_MATRIX_EDGE));
            *(p->channels_last ? &run.a : &run.b) = j->scratch + first * c->pixel;
            run.to = j->scratch + j->at->sums + first * (p->channels_last ? row : 4);
            (p->channels_last ? j->kernels->run[across][j->tiles] : j->kernels->run[j->tiles][across])(&run);
            run.ahead += 64 * PRODUCTS * run.steps * lines;
        }
    }
}

/* The sums to the result, with the bias, and the squares of each row of results. */
static void store(const job *j)
{
    const fc_problem *p = &j->plan->problem;
    const int64_t *y = j->operands->y.stride, oc = j->group * (p->oc / p->groups) + j->oc, pitch = j->cut->pitch;
    const int64_t row = j->at->sums_row, step = j->operands->bias_stride;
    char *const to = j->operands->y.data + j->n * y[0] + oc * y[1] + j->row * y[2], *const sums = j->scratch + j->at->sums;
    const char *const bias = j->operands->bias ? j->operands->bias + oc * step : NULL;
    char *const squares = j->scratch + j->at->squares;
    memset(squares, 0, (size_t)j->rows * 64);
    if (p->channels_last) {
        char biases[FC_SPLIT_WIDE * 4];
        if (bias)
            fc_pick(biases, bias, step, j->channels, 4);
        for (int64_t r = 0; r < j->rows; r++) {
            char *const from = sums + r * pitch * row;
            fc_split_ends ends = {from, row, to + r * y[2], y[3], p->ow, j->channels, bias ? biases : NULL, 1, squares + r * 64, 0};
            if (y[1] != 4) {
                ends.to = from;
                ends.to_step = row;
            }
            j->kernels->store(&ends);
            if (y[1] != 4)
                store_pixels(j->plan, &j->operands->y, to + r * y[2], from, row, p->ow, j->channels);
        }
        return;
    }
    for (int64_t o = 0; o < j->channels; o++) {
        char *const from = sums + o * row, *const at = to + o * y[1];
        fc_split_ends ends = {from, pitch * 4, at, y[2], j->rows, p->ow, bias ? bias + o * step : NULL, 0, squares, 64};
        if (y[3] != 4) {
            ends.to = from;
            ends.to_step = pitch * 4;
        }
        j->kernels->store(&ends);
        if (y[3] != 4)
            spread_rows(j->plan, at, y[2], y[3], from, pitch * 4, j->rows, p->ow);
    }
}

/* Whether a row of results is sure to be right. What was made 0 in a product is below 2^-126, and at most 2^-126 of the other factor, 12
 * times a step's 32: less than a rounding of the largest pixel times the largest weight, if that is above 2^-84 and neither is below
 * 2^-100. A result of some size tells that pixels are; else they are looked at. */
static int holds(const job *j, int64_t r, const fc_split_scale *scale)
{
    const fc_problem *p = &j->plan->problem;
    const float *const lanes = (const float *)(j->scratch + j->at->squares + r * 64);
    double squares = 0;
    for (int i = 0; i < FC_MATRIX_EDGE; i++)
        squares += (double)lanes[i];
    if (!(squares <= (double)FLT_MAX))
        return 0;
    const double least_pixel = fmax(0x1p-100, 0x1p-84 / (double)scale->low);
    const double products = (double)scale->high * (double)chain_length(p) * least_pixel;
    if (squares / (double)(FC_SPLIT_WIDE * p->ow) >= products * products)
        return scale->low >= 0x1p-100f;
    double *const largest = (double *)(j->scratch + j->at->largest) + r;
    if (*largest < 0) {
        *largest = fc_split_largest(p, j->cut, j->scratch, r);
        if (*largest == 0 && fc_split_is_zero(j->plan, j->operands, j->n, j->group, j->row + r))
            *largest = HUGE_VAL; /* nothing can be lost of it */
    }
    return *largest >= least_pixel && scale->low >= 0x1p-100f;
}

/* Compute again the rows that may not be. */
static void mend(const job *j)
{
    const fc_problem *p = &j->plan->problem;
    fc_split_scale scale = *fc_split_scale_of(j->cut, j->weights);
    if (j->tiles > 1) {
        const fc_split_scale other = *fc_split_scale_of(j->cut, j->weights + fc_split_tile_bytes(j->cut));
        scale = (fc_split_scale){fmaxf(scale.high, other.high), fminf(scale.low, other.low)};
    }
    float none[FC_SPLIT_WIDE];
    for (int i = 0; i < FC_SPLIT_WIDE; i++)
        none[i] = -1;
    for (int64_t r = 0; r < j->rows; r++)
        if (!holds(j, r, &scale)) {
            const fc_box box = {j->n, j->group, j->oc, j->channels, j->row + r, 1, 0, p->ow};
            fc_mend(j->plan, j->operands, &box, 0, (const char *)none, j->scratch + j->at->box);
        }
}

static void run_task(const fc_plan *plan, const fc_operands *operands, int64_t task, void *scratch)
{
    const fc_problem *p = &plan->problem;
    const fc_split_cut c = cut_of(plan);
    const int64_t row_block = task % c.row_blocks, oc_block = task / c.row_blocks % c.oc_blocks;
    const int64_t image = task / c.row_blocks / c.oc_blocks, ocg = p->oc / p->groups;
    const fc_split_scratch at = fc_split_scratch_of(p, &c, operands->packed != NULL);
    job j = {.plan = plan, .operands = operands, .kernels = fc_split_of(plan->isa), .cut = &c, .at = &at, .scratch = scratch};
    j.group = image % p->groups;
    j.n = image / p->groups;
    j.row = row_block * c.rows;
    j.rows = least(c.rows, p->oh - j.row);
    fc_split_pixels(plan, operands, &c, j.n, j.group, j.row, j.rows, j.scratch, j.scratch + at.staged);
    int64_t *const of_pixels = (int64_t *)(j.scratch + at.tables), *const of_weights = of_pixels + c.steps;
    const int64_t block = FC_MATRIX_STEP / 2 * (p->channels_last ? 4 : c.plane * 4);
    for (int64_t s = 0; s < c.steps; s++) {
        const int64_t t = s % c.taps;
        of_pixels[s] = s / c.taps * block + fc_split_tap(p, &c, t / p->kw, t % p->kw) * c.pixel;
        of_weights[s] = s * FC_PARTS * FC_MATRIX_BYTES;
    }
    for (int64_t r = 0; r < j.rows; r++)
        ((double *)(j.scratch + at.largest))[r] = -1; /* not looked for yet */
    const int64_t tile = fc_split_tile_bytes(&c), end = part(oc_block + 1, c.oc_blocks, c.oc_pairs);
    j.kernels->open();
    for (int64_t pair = part(oc_block, c.oc_blocks, c.oc_pairs); pair < end; pair++) {
        j.oc = pair * FC_SPLIT_WIDE;
        j.channels = least(FC_SPLIT_WIDE, ocg - j.oc);
        j.tiles = ceil_div(j.channels, FC_MATRIX_EDGE);
        j.weights = j.scratch + at.weights;
        if (operands->packed) {
            j.weights = operands->packed + (j.group * c.tiles + 2 * pair) * tile;
            j.next = pair + 1 < end ? j.weights + 2 * tile : NULL;
        } else
            for (int64_t i = 0; i < j.tiles; i++)
                fc_split_weights(plan, operands, &c, j.group, 2 * pair + i, j.scratch + at.weights + i * tile, j.scratch + at.staged);
        multiply(&j);
        store(&j);
        mend(&j);
    }
    j.kernels->close();
}

static fc_error error(const fc_plan *plan)
{
    const double steps = (double)cut_of(plan).steps;
    return (fc_error){.constant = PRODUCTS * steps + 24, .flushed = 2 * PRODUCTS * FC_MATRIX_STEP * steps};
}

const fc_algorithm fc_algorithm_split = {
    .name = "split",
    .family = "split",
    .can = FC_CAN_STRIDE | FC_CAN_DILATE | FC_CAN_GROUP | FC_CAN_PAD | FC_CAN_PAD_EDGE | FC_CAN_BIAS,
    .matrix = 1,
    .reject = reject,
    .cost = cost,
    .prepare = prepare,
    .run_task = run_task,
    .pack = pack,
    .error = error,
};
