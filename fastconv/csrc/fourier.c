/* Fourier transforms of an axis, as passes of butterflies. */

#include "fourier.h"

#include "algorithms/common.h"

#include <math.h>

fc_axis fc_axis_of(int64_t points, int eight, int turned)
{
    fc_axis a = {.points = points, .turned = turned};
    int twos = 0;
    for (; points % 3 == 0; points /= 3)
        a.radix[a.passes++] = 3;
    for (; points > 1; points /= 2)
        twos++;
    if (turned && eight && !a.passes && twos % 3 == 0) { /* the outer pass has two rows of the image for each of its radix, which may lie pages apart */
        a.radix[a.passes++] = 2;
        twos--;
    }
    for (; twos > 0; twos -= a.radix[a.passes - 1] == 8 ? 3 : a.radix[a.passes - 1] == 4 ? 2 : 1)
        a.radix[a.passes++] = eight ? (twos % 3 == 0 ? 8 : 4) : twos % 2 ? 2 : 4;
    return a;
}

/* Twiddles of the passes before `pass`. */
static int64_t twiddles_before(const fc_axis *axis, int pass)
{
    int64_t count = 0, blocks = 1;
    for (int i = 0; i < pass; blocks *= axis->radix[i++])
        count += blocks * (axis->radix[i] - 1);
    return count;
}

int64_t fc_twiddle_bytes(const fc_axis *axis, fc_dtype dtype)
{
    return ceil_div(twiddles_before(axis, axis->passes) * 2 * (dtype == FC_F32 ? 4 : 8), 64) * 64;
}

/* exp(2 pi i k / points), from an angle of at most 45 degrees; points are a multiple of 8. */
static void root(int64_t k, int64_t points, double *cosine, double *sine)
{
    k = (k % points + points) % points;
    const int64_t quarter = (8 * k / points + 1) / 2; /* the nearest axis, and the angle from there */
    const double angle = 6.28318530717958647693 * (double)(k - quarter * (points / 4)) / (double)points;
    const double c = cos(angle), s = sin(angle);
    *cosine = quarter % 4 == 0 ? c : quarter % 4 == 1 ? -s : quarter % 4 == 2 ? -c : s;
    *sine = quarter % 4 == 0 ? s : quarter % 4 == 1 ? c : quarter % 4 == 2 ? -s : -c;
}

void fc_twiddle(const fc_axis *axis, fc_dtype dtype, char *to)
{
    const int64_t size = dtype == FC_F32 ? 4 : 8, whole = 4 * axis->points;
    int64_t angles[FC_FFT_POINTS] = {axis->turned ? axis->points : 0}, blocks = 1; /* of the blocks' roots, in parts of a whole turn */
    for (int i = 0; i < axis->passes; blocks *= axis->radix[i++])
        for (int64_t b = blocks - 1, radix = axis->radix[i]; b >= 0; b--) {
            for (int64_t k = 1; k < radix; k++) {
                double cosine, sine;
                root(angles[b] / radix * k, whole, &cosine, &sine);
                fc_write(to + (b * (radix - 1) + k - 1) * 2 * size, cosine, dtype);
                fc_write(to + ((b * (radix - 1) + k - 1) * 2 + 1) * size, sine, dtype);
            }
            for (int64_t k = radix - 1, angle = angles[b]; k >= 0; k--)
                angles[b * radix + k] = (angle - k * whole) / radix;
            if (!b)
                to += blocks * (radix - 1) * 2 * size;
        }
}

/* Passes `begin` to `end` of a transform, in the order of their work. */
static void run_passes(const fc_plan *plan, const fc_axis *axis, const fc_lines_run *lines, int back, int begin, int end)
{
    const fc_fft *kernels = fc_fft_of(plan->isa, plan->problem.dtype);
    const int64_t size = element_size(&plan->problem), half = plan->tile->lanes * size, row = lines->vectors * 2 * half;
    const char *twiddles = lines->twiddles;
    int64_t span = axis->points;
    fc_fft_run runs[FC_FFT_PASSES];
    const int exchanged = lines->from_im < 0;
    for (int i = 0; i < axis->passes; i++) {
        const int radix = axis->radix[i];
        span /= radix;
        runs[i] = (fc_fft_run){.span = span, .blocks = axis->points / span / radix, .vectors = lines->vectors, .twiddles = twiddles};
        twiddles += runs[i].blocks * (radix - 1) * 2 * size;
    }
    for (int i = begin; i < end; i++) {
        const int pass = back ? axis->passes - 1 - i : i, plain = !pass && !axis->turned;
        fc_fft_run *run = runs + pass;
        const int first = i == begin, done = i == end - 1;
        run->from = first ? lines->from : lines->slab + (exchanged ? half : 0);
        run->from_im = first ? lines->from_im : exchanged ? -half : half;
        run->from_row = first ? lines->from_row : row;
        run->from_vector = first ? lines->from_vector : 2 * half;
        run->to = done ? lines->to : lines->slab + (exchanged ? half : 0);
        run->to_im = done ? lines->to_im : exchanged ? -half : half;
        run->to_row = done ? lines->to_row : row;
        run->to_vector = done ? lines->to_vector : 2 * half;
        kernels->pass[axis->radix[pass]][plain ? FC_PLAIN : back ? FC_TURN_AFTER : FC_TURN_BEFORE](run);
    }
}

void fc_transform(const fc_plan *plan, const fc_axis *axis, const fc_lines_run *lines, int back)
{
    run_passes(plan, axis, lines, back, 0, axis->passes);
}

void fc_transform_inner(const fc_plan *plan, const fc_axis *axis, const fc_lines_run *lines, int back)
{
    run_passes(plan, axis, lines, back, !back, axis->passes - !!back);
}

void fc_convolve(const fc_plan *plan, const fc_axis *axis, const fc_lines_run *lines, const char *w, int64_t w_row, int64_t w_vector)
{
    const int last = axis->passes - 1, radix = axis->radix[last];
    const int64_t half = plan->tile->lanes * element_size(&plan->problem), row = lines->vectors * 2 * half;
    const fc_fft_run run = {.from = lines->slab, .from_im = half, .from_row = row, .from_vector = 2 * half,
                            .to = lines->slab, .to_im = half, .to_row = row, .to_vector = 2 * half, .span = 1,
                            .blocks = axis->points / radix, .vectors = lines->vectors,
                            .twiddles = lines->twiddles + twiddles_before(axis, last) * 2 * element_size(&plan->problem),
                            .w = w, .w_row = w_row, .w_vector = w_vector};
    const fc_lines_run there = {lines->from, lines->from_im, lines->from_row, lines->from_vector, lines->slab, half, row, 2 * half,
                                lines->vectors, lines->slab, lines->twiddles};
    run_passes(plan, axis, &there, 0, 0, last);
    fc_fft_of(plan->isa, plan->problem.dtype)->pass[radix][FC_AROUND](&run);
    const fc_lines_run back = {lines->slab + half, -half, row, 2 * half, lines->to, lines->to_im, lines->to_row, lines->to_vector,
                               lines->vectors, lines->slab, lines->twiddles};
    run_passes(plan, axis, &back, 1, 1, last + 1);
}
