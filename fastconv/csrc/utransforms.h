/* utransforms.h: the contracts of the microkernels of Winograd's and Fourier's algorithms; a part of ukernels.h. */
#ifndef FC_UTRANSFORMS_H
#define FC_UTRANSFORMS_H

#include "schemes.h"

#include <stdint.h>

/* What is transformed: pixels to points, taps to points, points to outputs, to which a bias is added. */
typedef enum { FC_INPUT, FC_WEIGHT, FC_OUTPUT } fc_winograd_kind;

/* A transform of some tiles, with a vector of channels at each place. Steps in bytes: from a tile's row, column or from tile
 * to tile. The last tile is done first, so that what it writes too much may lie where another one's results go. */
typedef struct {
    const char *from;
    int64_t from_row, from_column, from_tile;
    char *to;
    int64_t to_row, to_column, to_tile;
    int64_t tiles;
    const void *bias;
} fc_winograd_run;

typedef void (*fc_winograd_fn)(const fc_winograd_run *run);

typedef struct {
    struct {
        fc_winograd_fn input, weight, output;
    } of[FC_SCHEMES][FC_SCHEMES]; /* down and across; NULL where there is none */
} fc_winograd;

/* sums[j] += sum over i < vectors of from[i * step][j]^2, step in bytes: not finite where an element is not, or is huge. */
typedef void (*fc_squares_fn)(void *sums, const char *from, int64_t step, int64_t vectors);

/* One pass of Fourier transforms, with exp(-2 pi i / n), of vectors of numbers whose imaginary parts lie apart: butterflies of
 * `radix` numbers `span` rows apart in `blocks` blocks of radix * span rows. Number k of each butterfly of block b is multiplied by
 * the twiddle [b][k - 1], a cosine and a sine, beforehand or afterwards. Steps in bytes; `to` may be `from`. Leaf.
 * Around a kernel, span 1: turned, transformed, times vectors of its spectrum `w`, and back, real and imaginary parts exchanged. */
typedef struct {
    const char *from;
    int64_t from_im, from_row, from_vector;
    char *to;
    int64_t to_im, to_row, to_vector;
    int64_t span, blocks, vectors;
    const void *twiddles, *w;
    int64_t w_row, w_vector;
} fc_fft_run;
typedef void (*fc_fft_fn)(const fc_fft_run *run);

/* The outer pass down, with one butterfly for each of `vectors` vectors of columns: from rows of pixels, `radix` of them real parts
 * and as many more imaginary ones, to numbers `step` apart, imaginary parts behind real ones. Turned beforehand. Adds squares as an
 * fc_squares_fn, and calls in what lies `ahead` of each row. Or back, to rows: exchanged, turned afterwards, times *scale, + *bias. */
enum { FC_FFT_ROWS = 8 };

typedef struct {
    union {
        const char *from[FC_FFT_ROWS];
        char *to[FC_FFT_ROWS];
    };
    char *numbers;
    int64_t step, vector, vectors, ahead;
    const void *twiddles, *scale, *bias; /* no bias where NULL */
    void *squares;
} fc_fft_outer_run;

/* Products of spectra, `vectors` of each: y[tile][kernel] = sum over s < steps of x[tile][s] * w[kernel][s], + y where `resume`.
 * A vector of imaginary parts lies behind one of real parts, and the next of the sum behind those. Steps in bytes. Leaf. */
typedef struct {
    const char *x, *w;
    char *y;
    int64_t x_tile, x_vector, w_kernel, w_vector, y_tile, y_kernel, y_vector;
    int64_t vectors, steps;
    int resume;
} fc_spectra_run;

typedef void (*fc_spectra_fn)(const fc_spectra_run *run);

enum { FC_PLAIN, FC_TURN_AFTER, FC_TURN_BEFORE, FC_AROUND };

typedef struct {
    int eight;              /* whether there are butterflies of 8 */
    int kernels;            /* most of a product, for 1 or 2 tiles */
    fc_fft_fn pass[9][4];   /* by radix, 2, 3, 4 or 8, and by when they are turned by twiddles */
    fc_spectra_fn multiply[3][5]; /* by tiles and kernels, both from 1 */
    void (*begin[5])(const fc_fft_outer_run *run), (*finish[5])(const fc_fft_outer_run *run);
} fc_fft;

#endif
