/* ukernels.h: the contracts of the microkernels, the leaf loops under ukernels/: no call, no allocation, no branch on data. */
#ifndef FC_UKERNELS_H
#define FC_UKERNELS_H

#include "usplit.h"
#include "utransforms.h"

#include <stdint.h>

/* The arithmetic of a kernel. I64 serves signed and unsigned alike: sums and products modulo 2^64 have the same bits. */
typedef enum { FC_F32, FC_F64, FC_I64, FC_DTYPES } fc_dtype;

/* Where the sums of a register tile come from and go to, and what is read next. The vectors of a row lie side by side;
 * steps from row to row in bytes. */
typedef struct {
    const void *from; /* sums to go on with, or NULL to begin at +0 */
    int64_t from_step;
    void *to; /* may be `from` */
    int64_t to_step;
    const void *row_bias; /* one element a row, added to all of it at the end, or NULL; */
    int64_t row_bias_step;
    const void *column_bias; /* one element a column, likewise; not both */
    const char *ahead;       /* steps s < calls of more than one row call the line at ahead + ahead_off[s] into the cache */
    const int64_t *ahead_off;
    int64_t calls; /* at most all steps */
    int64_t tail; /* columns of `tail` beyond its whole vectors */
} fc_tile_ends;

/* A microkernel of the register tile: `rows` by `columns` outputs.
 *
 *   to[i][j] = from[i][j] + sum over s < steps of a[i * as + aoff[s]] * b[boff[s] + j], + bias
 *
 * for i < rows and j < columns. `a` and `b` are byte pointers, all strides and offsets are in bytes, so weights and pixels
 * are read where they lie; the offsets say how. Columns are pixels where `a` is the weights, and output channels where it
 * is the pixels. Each output is one chain of fused multiply-adds in the order of s. Leaf: no call, no allocation, no
 * branch on data. */
typedef void (*fc_tile_fn)(int64_t steps, const char *a, int64_t as, const int64_t *aoff, const char *b,
                           const int64_t *boff, const fc_tile_ends *ends);

/* to[j] = from[j] + *bias, or from[j] where bias is NULL, for j < count: finished sums to a row of the result. */
typedef void (*fc_store_fn)(void *to, const void *from, int64_t count, const void *bias);

/* Copy `rows` rows of some vectors; steps in bytes. */
typedef void (*fc_copy_fn)(char *to, int64_t to_step, const char *from, int64_t from_step, int64_t rows);

enum { FC_TILE_MAX_ROWS = 8, FC_TILE_MAX_VECS = 16, FC_TILE_MAX_COLUMNS = 64 };

typedef struct {
    int rows;    /* most rows in a tile */
    int tall;    /* and in one of fewer vectors than that */
    int vecs;    /* most vectors in a row */
    int lanes;   /* elements in a vector */
    int columns; /* vecs * lanes */
    int wide;    /* most vectors in a tile of one row */
    int masks;   /* whether some lanes alone can be read */
    fc_tile_fn run[FC_TILE_MAX_VECS + 1][FC_TILE_MAX_ROWS + 1]; /* by vectors and rows, both from 1 */
    /* With up to `tails` columns more than whole vectors, in half the time of another one; nothing beyond those is touched. By
     * whole vectors, from 1 to `vecs` - 1, and rows up to `rows`; NULL, and `tails` 0, where that gains nothing. */
    int tails;
    fc_tile_fn tail[4][FC_TILE_MAX_ROWS + 1];
    fc_store_fn store;
    fc_copy_fn copy[5]; /* by vectors, 1 to `vecs` */
} fc_tile;

/* A microkernel for depthwise kernels, a vector of channels:
 *
 *   y[i * y_step][j] = from[i * y_step][j] + sum over s < steps of x[i * x_step + xoff[s]][j] * w[s][j], + bias[j]
 *
 * for i < pixels and j < lanes; steps and offsets in bytes. `w` and `bias` are dense; `from`, which may be y, and `bias` may be
 * NULL. Each output is one chain in the order of s. Leaf. */
typedef void (*fc_channels_fn)(int64_t steps, const char *x, int64_t x_step, const int64_t *xoff, const void *w, const void *from,
                               const void *bias, char *y, int64_t y_step);

/* The same for a kernel of `kh` rows, `x_row` apart, of a width and for a horizontal stride of its own, without dilation,
 * and FC_PIXELS pixels: y[i * y_step][j] = sum of x[ky * x_row + (i * stride + kx) * x_step][j] * w[ky][kx][j], + bias[j]. */
typedef void (*fc_slide_fn)(int64_t kh, const char *x, int64_t x_row, int64_t x_step, const void *w, const void *bias,
                            char *y, int64_t y_step);

enum { FC_PIXELS = 7 };
typedef struct {
    int lanes;
    fc_channels_fn run[FC_PIXELS + 1]; /* by pixels, from 1 */
    fc_slide_fn slide[8][3];           /* by width and stride; NULL where there is none */
} fc_channels;

/* A microkernel for few channels where pixels lie side by side: some rows of outputs, in vectors of pixels.
 *   y[i][j] = sum over k < kh and t < taps of w[k][t] * x[i * stride + k][xoff[t] + j], + *bias
 * for i < rows and j < vectors * lanes, the last vector's first `last` lanes alone; `*_row` and `xoff` in bytes. `w` is dense;
 * `bias` may be NULL. Each output is one chain in the order of k, then t. All lanes of all vectors are read. Leaf. */
typedef struct {
    int64_t rows, kh, taps, stride, last;
    const char *x;
    int64_t x_row;
    const int64_t *xoff;
    const void *w, *bias;
    char *y;
    int64_t y_row;
    /* With masks: which lanes of the first and of the last vector are in the image, for each tap. The others are 0, and so
     * are the image's rows before `begin` and from `end` on, which `outside` is read for. */
    const uint16_t *masks;
    int64_t begin, end;
    const char *outside;
} fc_rows_run;

enum { FC_ROWS_MAX = 4 };
typedef void (*fc_rows_fn)(const fc_rows_run *run);

/* By vectors, from 1; [0] without masks and [1] with them; NULL where there is none. `any` is for up to FC_ROWS_MAX rows. `down`
 * is for any number, for as many taps as the kernel is high, 3, 5 or 7, by (kh - 3) / 2 and stride - 1. With masks and stride 2
 * it takes every other pixel too, x[i * stride + k][xoff[t] + 2 * j], of taps that lie one pixel apart, and there are masks
 * for the two halves of each vector. */
typedef struct {
    int vecs, lanes;
    fc_rows_fn any[2][5], down[2][3][2][5];
} fc_rows;

/* The same for up to FC_ROWS_MAX rows and without masks where weights alternate along a row, with a period of some vectors: weight
 * w[k][t][j % (period * lanes)], likewise the bias, and `last` elements of a row are stored. By period and vectors; NULL where
 * there is none. Period 0 is where all lanes have the same weights: w[k][t], and one element of a bias. */
typedef struct {
    int lanes;
    fc_rows_fn run[5][7];
} fc_interleaved;

/* A microkernel for few channels and several filters where pixels lie side by side: `rows` output channels by up to
 * `vecs` vectors of pixels, each of them anywhere.
 *
 *   y[j][i * y_step + l] = sum over s < steps of w[i * w_step + off[2 * s + 1]] * x[j][off[2 * s] + l], + bias[i * bias_step]
 *
 * for i < rows, vectors j and l < count; steps and offsets in bytes. `bias` may be NULL. Each output is one chain in the
 * order of s. All lanes of all vectors are read. Leaf. */
typedef struct {
    int64_t steps, count;
    const char *x[FC_TILE_MAX_VECS];
    const int64_t *off;
    const char *w;
    int64_t w_step;
    const char *bias;
    int64_t bias_step;
    char *y[FC_TILE_MAX_VECS];
    int64_t y_step;
} fc_bank_run;

typedef struct {
    int rows, vecs, lanes;
    void (*run[5][FC_TILE_MAX_ROWS + 1])(const fc_bank_run *run); /* by vectors and rows, both from 1 */
} fc_bank;

/* Rows of an image to where kernels read them: of each row `count` elements that lie `stride` apart. Steps in bytes. */
typedef struct {
    int64_t least; /* elements that a row must have, */
    void (*copy[3])(char *to, int64_t to_row, const char *from, int64_t from_row, int64_t rows, int64_t count); /* by stride */
    void (*widen)(char *to, int64_t to_row, const char *from, int64_t from_row, int64_t rows, int64_t count); /* from bytes */
    void (*spread)(char *to, int64_t to_row, const char *from, int64_t from_row, int64_t rows, int64_t count); /* to every other */
                                                               /* element, however few, the rest untouched; or NULL */
} fc_moves;

/* to[j][i] = from[i][j] for i < rows and j < columns: elements that lie one after the other in a row. Row j of `to` lies
 * to_at[j] bytes from it, or j * to_step where to_at is NULL; from_step in bytes. */
typedef void (*fc_transpose_fn)(char *to, const int64_t *to_at, int64_t to_step, const char *from, int64_t from_step,
                                int64_t rows, int64_t columns);

/* The register tiles of one instruction set (an index into fc_isas) and one arithmetic. */
const fc_tile *fc_tile_of(int isa, fc_dtype dtype);

/* The processor's own speed, to measure kernels by: sums[i] = factors[0] * factors[1] + sums[i], `steps` times. All
 * sums stay in registers and the loop touches no memory. Leaf. */
typedef void (*fc_peak_fn)(int64_t steps, const void *factors, void *sums);

enum { FC_PEAK_MAX_SUMS = 512 };

typedef struct {
    int sums; /* how many, that is multiply-adds of one step */
    fc_peak_fn run;
} fc_peak;

/* The peak loop of one instruction set and one arithmetic; NULL for integers. */
const fc_peak *fc_peak_of(int isa, fc_dtype dtype);

const fc_channels *fc_channels_of(int isa, fc_dtype dtype);
const fc_bank *fc_bank_of(int isa, fc_dtype dtype);
const fc_rows *fc_rows_of(int isa, fc_dtype dtype);
const fc_interleaved *fc_interleaved_of(int isa, fc_dtype dtype); /* NULL for integers */
const fc_winograd *fc_winograd_of(int isa, fc_dtype dtype); /* NULL for integers */
const fc_moves *fc_moves_of(int isa, fc_dtype dtype);
const fc_fft *fc_fft_of(int isa, fc_dtype dtype);           /* NULL for integers */
fc_squares_fn fc_squares_of(int isa, fc_dtype dtype);       /* NULL for integers */
fc_transpose_fn fc_transpose_of(int isa, fc_dtype dtype);

#endif
