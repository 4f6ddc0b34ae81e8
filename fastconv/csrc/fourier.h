/* fourier.h: Fourier transforms of an axis. */
#ifndef FC_FOURIER_H
#define FC_FOURIER_H

#include "fastconv.h"

enum {
    FC_FFT_POINTS = 256, /* most of an axis */
    FC_FFT_PASSES = 5,
};

/* An axis of so many points, and the radix of each pass. */
typedef struct {
    int64_t points;
    int passes, radix[FC_FFT_PASSES];
    int turned; /* whether what leaves it at the end comes back times i */
} fc_axis;

/* An axis of points that are a multiple of 16 and have no prime factors but 2 and 3. */
fc_axis fc_axis_of(int64_t points, int eight, int turned);

/* Bytes of an axis' twiddles, and they themselves. */
int64_t fc_twiddle_bytes(const fc_axis *axis, fc_dtype dtype);
void fc_twiddle(const fc_axis *axis, fc_dtype dtype, char *to);

/* Vectors of lines to transform. Steps in bytes; `slab` is dense, a row's vectors side by side, and a vector of imaginary parts
 * behind each of real ones. `from` and `to` may be in it or the same, but for that each line takes another place. */
typedef struct {
    const char *from;
    int64_t from_im, from_row, from_vector;
    char *to;
    int64_t to_im, to_row, to_vector;
    int64_t vectors;
    char *slab;
    const char *twiddles;
} fc_lines_run;

/* Transform with exp(-2 pi i / points): numbers to frequencies in an order of their own, or, `back`, from that order. With
 * imaginary and real parts exchanged on both sides it is exp(+2 pi i / points). */
void fc_transform(const fc_plan *plan, const fc_axis *axis, const fc_lines_run *lines, int back);

/* The same without the outer pass, the first of all or, `back`, the last. */
void fc_transform_inner(const fc_plan *plan, const fc_axis *axis, const fc_lines_run *lines, int back);

/* Transform, multiply by the spectrum of a kernel, and back, with imaginary and real parts exchanged, so that `to_im` is as
 * they are then. Steps of `w` are of spectra in memory. */
void fc_convolve(const fc_plan *plan, const fc_axis *axis, const fc_lines_run *lines, const char *w, int64_t w_row, int64_t w_vector);

/* Most by which a transform errs, of a tile of these pixels and outputs; adds to the sum what twice the way there and once that back
 * come to. */
fc_levels fc_axis_error(const fc_axis *axis, fc_dtype dtype, int64_t pixels, int64_t step, double *sum);

#endif
