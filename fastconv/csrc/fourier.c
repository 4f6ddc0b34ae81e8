/* Fourier transforms of an axis, as passes of butterflies. */

#include "fourier.h"

#include "algorithms/common.h"

#include <math.h>

fc_axis fc_axis_of(int64_t points, int eight)
{
    fc_axis a = {.points = points};
    int twos = 0;
    for (; points % 3 == 0; points /= 3)
        a.radix[a.passes++] = 3;
    for (; points > 1; points /= 2)
        twos++;
    for (; twos > 0; twos -= a.radix[a.passes - 1] == 8 ? 3 : a.radix[a.passes - 1] == 4 ? 2 : 1)
        a.radix[a.passes++] = eight ? (twos % 3 == 0 ? 8 : 4) : twos % 2 ? 2 : 4;
    return a;
}

int64_t fc_twiddle_bytes(const fc_axis *axis, fc_dtype dtype)
{
    int64_t count = 0, span = axis->points;
    for (int i = 0; i < axis->passes - 1; i++) {
        span /= axis->radix[i];
        count += span * (axis->radix[i] - 1);
    }
    return ceil_div(count * 2 * (dtype == FC_F32 ? 4 : 8), 64) * 64;
}

/* exp(-2 pi i k / points), from an angle of at most 45 degrees. */
static void root(int64_t k, int64_t points, double *cosine, double *sine)
{
    const int64_t eighth = 8 * k / points; /* points are a multiple of 8 */
    const int64_t off = eighth % 2 ? (eighth + 1) / 2 * (points / 4) - k : k - eighth / 2 * (points / 4);
    const double angle = 6.28318530717958647693 * (double)off / (double)points;
    const double c = cos(angle), s = eighth % 2 ? -sin(angle) : sin(angle);
    const int64_t quarter = (eighth + 1) / 2 % 4; /* the nearest axis, and the angle from there */
    *cosine = quarter == 0 ? c : quarter == 1 ? -s : quarter == 2 ? -c : s;
    *sine = -(quarter == 0 ? s : quarter == 1 ? c : quarter == 2 ? -s : -c);
}

void fc_twiddle(const fc_axis *axis, fc_dtype dtype, char *to)
{
    const int64_t size = dtype == FC_F32 ? 4 : 8, points = axis->points;
    double cosines[FC_FFT_POINTS], sines[FC_FFT_POINTS];
    for (int64_t k = 0; k < points; k++)
        root(k, points, cosines + k, sines + k);
    int64_t span = points;
    for (int i = 0; i < axis->passes - 1; i++) {
        const int64_t step = points / span;
        span /= axis->radix[i];
        for (int64_t j = 0; j < span; j++)
            for (int64_t k = 1; k < axis->radix[i]; k++, to += 2 * size) {
                fc_write(to, cosines[j * k * step], dtype);
                fc_write(to + size, sines[j * k * step], dtype);
            }
    }
}

void fc_transform(const fc_plan *plan, const fc_axis *axis, const fc_lines_run *lines, int back)
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
        twiddles += span * (radix - 1) * 2 * size;
    }
    for (int i = 0; i < axis->passes; i++) {
        const int pass = back ? axis->passes - 1 - i : i, last = pass == axis->passes - 1;
        fc_fft_run *run = runs + pass;
        run->from = i ? lines->slab + (exchanged ? half : 0) : lines->from;
        run->from_im = i ? (exchanged ? -half : half) : lines->from_im;
        run->from_row = i ? row : lines->from_row;
        run->from_vector = i ? 2 * half : lines->from_vector;
        const int end = i == axis->passes - 1;
        run->to = end ? lines->to : lines->slab + (exchanged ? half : 0);
        run->to_im = end ? lines->to_im : exchanged ? -half : half;
        run->to_row = end ? lines->to_row : row;
        run->to_vector = end ? lines->to_vector : 2 * half;
        kernels->pass[axis->radix[pass]][last ? FC_PLAIN : back ? FC_TURN_BEFORE : FC_TURN_AFTER](run);
    }
}

/* A butterfly's additions err by 1 for each factor of 2, by 3 more for the roots of a half in one of 8, and one of 3 by less
 * than 5. Multiplication by a twiddle errs by 2, and the twiddle by up to 4: 1 in the table, and what cos and sin err by. */
double fc_axis_error(const fc_axis *axis)
{
    static const double butterfly[9] = {[2] = 1, [3] = 5, [4] = 2, [8] = 6};
    double sum = 0;
    for (int i = 0; i < axis->passes; i++)
        sum += butterfly[axis->radix[i]] + (i < axis->passes - 1 ? 6 : 0);
    return sum;
}
