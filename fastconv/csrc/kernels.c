/* Spectra of kernels. */

#include "algorithms/common.h"
#include "spectra.h"

/* What it takes to transform kernels: 2 x 32 KiB for lines and rows, twiddles, and the sum of squares of what was transformed. */
enum { KERNEL_BYTES = FC_FFT_POINTS * 128 };

typedef struct {
    char slab[KERNEL_BYTES] __attribute__((aligned(64)));
    char rows[KERNEL_BYTES] __attribute__((aligned(64)));
    char down[FC_FFT_POINTS * 16] __attribute__((aligned(64)));
    char across[FC_FFT_POINTS * 16] __attribute__((aligned(64)));
    char squares[64] __attribute__((aligned(64)));
} workplace;

/* Down, from the few columns that there are to rows that are a kernel's width. */
static void transform_down(const fc_plan *plan, const fc_spectrum *s, const fc_array *weight, const char *from, workplace *work,
                           char *rows, int64_t row, int64_t block)
{
    const fc_problem *p = &plan->problem;
    const int64_t lanes = plan->tile->lanes, size = element_size(p), half = lanes * size, *w = weight->stride;
    char *const slab = work->slab;
    for (int64_t column = 0; column < p->kw; column += lanes) {
        const int64_t columns = least(lanes, p->kw - column);
        memset(slab, 0, (size_t)(s->down.points * 2 * half));
        for (int64_t r = 0; r < p->kh; r++)
            fc_pick(slab + r * 2 * half, from + r * w[2] + column * w[3], w[3], columns, size);
        fc_squares_of(plan->isa, p->dtype)(work->squares, slab, 2 * half, p->kh);
        const fc_lines_run lines = {slab + half, -half, 2 * half, 0, slab + half, -half, 2 * half, 0, 1, slab, work->down};
        fc_transform(plan, &s->down, &lines, 0);
        for (int64_t b = 0; b < s->down.points / lanes; b++)
            for (int64_t plane = 0; plane < 2; plane++)
                plan->transpose(rows + column * row + b * block + plane * half, NULL, row, slab + b * lanes * 2 * half + plane * half,
                                2 * half, lanes, columns);
    }
}

/* The spectrum of one kernel, conjugate, to vectors that are `step` apart: exchanged real and imaginary parts make a transform its
 * own conjugate. Rows in between lie near if there are few. Vectors of other kernels lie between those of this one, and none
 * of them would be called in without being asked for. */
static void transform_kernel(const fc_plan *plan, const fc_spectrum *s, const fc_array *weight, int64_t oc, int64_t channel,
                             workplace *work, char *to, int64_t step)
{
    const fc_problem *p = &plan->problem;
    const int64_t number = 2 * plan->tile->lanes * element_size(p), half = number / 2, blocks = s->down.points / plan->tile->lanes;
    const int near = p->kw * blocks * number <= KERNEL_BYTES;
    char *rows = near ? work->rows : to, *const slab = work->slab;
    const int64_t row = near ? number : step, rows_block = (near ? p->kw : s->across.points) * row;
    for (int64_t v = 0; step > number && v < s->vectors; v++)
        for (int64_t line = 0; line < number; line += 64)
            __builtin_prefetch(to + v * step + line, 1);
    transform_down(plan, s, weight, weight->data + oc * weight->stride[0] + channel * weight->stride[1], work, rows, row, rows_block);
    for (int64_t b = 0; b < blocks; b++, to += s->across.points * step, rows += rows_block) {
        for (int64_t r = 0; r < p->kw; r++)
            memcpy(slab + r * number, rows + r * row, (size_t)number);
        memset(slab + p->kw * number, 0, (size_t)((s->across.points - p->kw) * number));
        const fc_lines_run lines = {slab + half, -half, number, 0, to + half, -half, step, 0, 1, slab, work->across};
        fc_transform(plan, &s->across, &lines, 0);
    }
}

fc_packing fc_packing_of(const fc_plan *plan, const fc_spectrum *s)
{
    const fc_problem *p = &plan->problem;
    fc_packing at = {.across = fc_twiddle_bytes(&s->down, p->dtype)};
    at.limits = at.across + fc_twiddle_bytes(&s->across, p->dtype);
    at.spectra = at.limits + ceil_div(p->oc * element_size(p), 64) * 64;
    at.of_vector = fc_vector_bytes(plan, s->held * (p->ic / p->groups));
    at.of_group = s->vectors * at.of_vector;
    at.bytes = at.spectra + s->groups * at.of_group;
    return at;
}

/* The kernel of output channel `oc`, to `to`, and its limit. */
static void pack_kernel(const fc_plan *plan, const fc_spectrum *s, const fc_packing *at, const fc_operands *operands, int64_t oc,
                        workplace *work, char *to, double growth)
{
    const fc_problem *p = &plan->problem;
    const int64_t size = element_size(p), lanes = plan->tile->lanes;
    memset(work->squares, 0, sizeof work->squares);
    for (int64_t c = 0; c < p->ic / p->groups; c++)
        transform_kernel(plan, s, &operands->weight, oc, c, work, to + c * 2 * lanes * size, at->of_vector);
    double sum = 0;
    for (int64_t i = 0; i < lanes; i++)
        sum += fc_read(work->squares + i * size, p->dtype);
    fc_write(operands->packed + at->limits + oc * size, fc_limit(p, sum, growth), p->dtype);
}

void fc_pack_spectra(const fc_plan *plan, const fc_spectrum *s, const fc_operands *operands, int64_t task, double growth)
{
    const fc_problem *p = &plan->problem;
    const fc_packing at = fc_packing_of(plan, s);
    const int64_t igc = p->ic / p->groups, ocg = p->oc / p->groups, kernel = igc * 2 * plan->tile->lanes * element_size(p);
    const int64_t parts = plan->n_packs / s->rounds, round = task / parts, index = task % parts;
    const int64_t begin = fc_round_begin(p, s, round), count = fc_round_end(p, s, round) - begin;
    char *const across = operands->packed + at.across;
    workplace work;
    if (round) {
        memcpy(work.down, operands->packed, (size_t)at.across);
        memcpy(work.across, across, (size_t)fc_twiddle_bytes(&s->across, p->dtype));
    } else {
        fc_twiddle(&s->down, p->dtype, work.down);
        fc_twiddle(&s->across, p->dtype, work.across);
    }
    if (task == 0) {
        memcpy(operands->packed, work.down, (size_t)at.across);
        memcpy(across, work.across, (size_t)fc_twiddle_bytes(&s->across, p->dtype));
    }
    for (int64_t k = part(index, parts, s->groups * count); k < part(index + 1, parts, s->groups * count); k++) {
        const int64_t group = round / s->oc_rounds * s->groups + k / count;
        if (group < p->groups)
            pack_kernel(plan, s, &at, operands, group * ocg + begin + k % count, &work,
                        operands->packed + at.spectra + k / count * at.of_group + k % count * kernel, growth);
    }
}
