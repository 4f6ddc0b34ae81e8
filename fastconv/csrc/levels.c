/* Errors of Fourier transforms. */

#include "fourier.h"

/* An addition errs by 1. So do the two sums that are turned by the root of a half in a butterfly of 8, before its last additions, and the
 * root by 0.7072. In one of 3 the first additions err by 1, and what is added last by 1 and by the sine, 0.578, of the norm of all three.
 * A twiddle c + is of f32 is off by half an ulp of c and of s, and to multiply by it errs by 1 + |s|: together 1.8661 + 0.7072 at most
 * where |c| >= 1/2, else 2 + 0.5591. In f64 it is off by what cos, sin and the angle err by, less than 4. */
fc_levels fc_axis_error(const fc_axis *axis, fc_dtype dtype, int64_t pixels, int64_t step, double *sum)
{
    fc_levels found = {.pixels = pixels, .step = step, .three = 2.58};
    for (int i = 0; i < axis->passes; i++) {
        const int radix = axis->radix[i], first = found.levels, turned = i || axis->turned;
        for (int rest = radix; rest > 1; rest /= found.radix[found.levels++])
            found.radix[found.levels] = rest == 3 ? 3 : 2;
        for (int level = first; level < found.levels; level++) {
            found.there[level + 1] += 1;
            found.back[level] += 1;
        }
        if (radix == 8) {
            found.there[found.levels - 1] += 1.7072;
            found.back[first + 1] += 1.7072;
        }
        const double turns = !turned ? 0 : dtype == FC_F32 ? 2.58 : 6;
        found.there[first] += turns;
        found.back[first] += turns;
        *sum += radix == 3 ? 3 * found.three : 0;
    }
    for (int level = 0; level <= found.levels; level++)
        *sum += 2 * found.there[level] + found.back[level];
    return found;
}
