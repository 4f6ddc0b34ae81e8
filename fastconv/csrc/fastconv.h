/* fastconv.h: every contract between the parts of the compiled core; those of its leaf loops are in ukernels.h.
 *
 * A call goes problem -> plan -> tasks. The problem is one convolution in numbers, already validated; the plan is one
 * decision, plain data, a pure function of the problem and the instruction set; a task is a piece of the output that
 * depends on nothing but the plan, so any thread may run any task in any order with the same result.
 *
 * The C core knows no Python, no threads, no environment, and allocates nothing.
 */
#ifndef FASTCONV_H
#define FASTCONV_H

#include "errors.h"
#include "ukernels.h"

#include <stddef.h>
#include <stdint.h>

typedef enum { FC_CONSTANT, FC_REFLECT, FC_SYMMETRIC, FC_EDGE, FC_WRAP } fc_padding_mode;

/* The sizes, in the names and the order of fastconv._problem.Problem; every one fits int64 and so does every product
 * that names a number of bytes. n >= 1 and oc >= 1: empty results never reach C. */
typedef struct {
    int64_t n, groups, ic, ih, iw, oc, kh, kw, oh, ow;
    int64_t sh, sw, dh, dw;
    int64_t pt, pb, pl, pr;
    fc_padding_mode padding_mode;
    fc_dtype dtype;
    int bias;
    int channels_last; /* C stands last in x and the result: for the choice alone, since strides tell the truth */
    int prepared;      /* the weights are packed beforehand: for the choice alone, which need not count it */
    int alone;         /* one thread runs all tasks: of a plan that fc_plan_alone made */
    int from_bytes;    /* x holds unsigned bytes; of a plan only where its row converts them itself: otherwise the caller has to */
} fc_problem;

/* What a problem may ask beyond a plain dense convolution. A row of the algorithm table states which of these it can
 * do, and the planner refuses it any problem that needs more: a new bit is off in every old row. */
enum {
    FC_CAN_STRIDE = 1 << 0,
    FC_CAN_DILATE = 1 << 1,
    FC_CAN_GROUP = 1 << 2,
    FC_CAN_PAD = 1 << 3,      /* constant padding, any width, any value */
    FC_CAN_PAD_EDGE = 1 << 4, /* the other padding modes */
    FC_CAN_BIAS = 1 << 5,
    FC_CAN_F64 = 1 << 6,
    FC_CAN_I64 = 1 << 7,
    FC_CAN_BYTES = 1 << 8,    /* x of unsigned bytes; no problem needs it, since callers convert what a row can't */
};

/* One row of the instruction set table (simd/foreach.h). */
typedef struct {
    const char *name;
    int (*runs_here)(void);
    int matrix; /* whether it has tiles of numbers: see usplit.h */
} fc_isa;

extern const fc_isa fc_isas[]; /* best first, ended by a row without a name; the last real one runs everywhere */
int fc_isa_count(void);

/* An array in the canonical order of its axes (n, c, h, w; weight: o, i, h, w), with strides in bytes. */
typedef struct {
    char *data;
    int64_t stride[4];
} fc_array;

/* The operands of one run. Elements are those of the problem's arithmetic, aligned to their own size; but see from_bytes. */
typedef struct {
    fc_array x, weight, y;
    const char *bias; /* NULL without one */
    int64_t bias_stride;
    char *packed; /* what the algorithm made of the weights, aligned to 64; or NULL: see fc_plan.packs_apart */
    union {
        float f32;
        double f64;
        int64_t i64;
    } fill;
} fc_operands;

typedef struct fc_algorithm fc_algorithm;

typedef struct {
    fc_problem problem;
    const fc_algorithm *algorithm;
    int isa;
    const fc_tile *tile;
    fc_transpose_fn transpose;
    int64_t oc_block, px_block, c_block, per_task; /* how it is cut: each algorithm says what it counts in them */
    int64_t n_tasks;
    double task_macs;      /* multiply-accumulates of one task, at most; a double, since a product may pass 2^63 */
    int64_t scratch_bytes; /* of one thread, aligned to 64 */
    int64_t packed_bytes;  /* of the weights as the algorithm wants them; 0 where it reads them as they lie */
    int64_t packing;       /* which of its ways to pack them this is, where an algorithm has several; else 0 */
    int64_t n_packs;       /* independent parts of packing them */
    int packs_apart;       /* 0 where tasks can do without; else the rounds in which a call packs as many parts, one before all */
                           /* its tasks, or each before its share of both, in the place of the last round's */
} fc_plan;

/* One row of the algorithm table (algorithms/table.h). */
struct fc_algorithm {
    const char *name;                                                          /* of this row */
    const char *family;                                                        /* whose numerical promise it keeps */
    unsigned can;                                                              /* mask of FC_CAN_* */
    int matrix;                                                                /* made for tiles of numbers */
    const char *(*reject)(const fc_problem *problem);                          /* NULL, or why it cannot */
    double (*cost)(const fc_problem *problem, const fc_tile *tile);            /* estimated FMA cycles of one thread */
    void (*prepare)(fc_plan *plan);                                            /* fills in tasks and scratch */
    void (*run_task)(const fc_plan *plan, const fc_operands *operands, int64_t task, void *scratch);
    void (*pack)(const fc_plan *plan, const fc_operands *operands, int64_t part); /* NULL where plans have packed_bytes 0 */
    fc_error (*error)(const fc_plan *plan); /* NULL: that of a sum in any order */
};

extern const fc_algorithm *const fc_algorithms[]; /* in the order of the table, ended by NULL */

/* Why `algorithm` is not able to compute `problem`, or NULL. */
const char *fc_why_not(const fc_algorithm *algorithm, const fc_problem *problem);

/* Its estimated cost; without the tiles that it is made for, it is there to compare with. */
double fc_cost_of(const fc_algorithm *algorithm, const fc_problem *problem, int isa);

/* Choose: of the algorithms that can compute the problem the one of least cost; only rows of the name or the family
 * `wanted` where that is not NULL. Returns NULL and a complete plan, or the reason why there is none. Pure: the same
 * arguments give the same plan on every machine, whether or not the instruction set runs there. */
const char *fc_plan_make(fc_plan *plan, const fc_problem *problem, int isa, const char *wanted);

/* The same plan for a single thread, for which it is cut into as few tasks as are cheapest: same bits, same packed weights. */
fc_plan fc_plan_alone(const fc_plan *plan);

/* The bound that the plan's algorithm states, or that of a sum of as many products and a bias in any order. */
fc_error fc_error_of(const fc_plan *plan);

/* Run one task, or pack one of plan->n_packs parts of the weights, with the IEEE default floating-point state (round to nearest,
 * subnormals kept, no traps), and put the caller's back. `scratch` holds plan->scratch_bytes and is aligned to 64 bytes. */
void fc_run_task(const fc_plan *plan, const fc_operands *operands, int64_t task, void *scratch);
void fc_run_pack(const fc_plan *plan, const fc_operands *operands, int64_t part);

/* Where padded coordinate i of an axis of `size` pixels finds its value: a pixel, or -1 for the fill value. */
int64_t fc_extend(fc_padding_mode mode, int64_t i, int64_t size);

/* to[j] = the element at from + j * step, for j < count. */
void fc_pick(char *to, const char *from, int64_t step, int64_t count, int64_t size);

/* The part of the image that a block of outputs needs: where the kernel is one pixel high or wide, not what strides skip. */
typedef struct {
    int64_t step_h, step_w; /* image rows and columns from one of the window to the next */
    int64_t rows, columns;
} fc_window;

fc_window fc_window_of(const fc_problem *p, int64_t out_rows, int64_t out_columns);

/* Copy the window that begins at padded row and column `row0`, `column0`: `channels` channels of it from `image` on, which
 * is the first one's first pixel. To planes, one after the other, or to pixels with all channels side by side. */
void fc_copy_window(const fc_plan *plan, const fc_operands *operands, const fc_window *w, const char *image, int64_t row0,
                    int64_t column0, int64_t channels, char *to, int interleaved);

/* Copy the `rows` by `columns` pixels of the padded image from row `row0` and column `column0` on to pixels with a whole
 * vector of channels side by side: `channels` of them from `image` on, and whatever beyond. `at` has room for an offset for
 * each pixel. */
void fc_copy_lanes(const fc_plan *plan, const fc_operands *operands, const char *image, int64_t row0, int64_t column0,
                   int64_t rows, int64_t columns, int64_t channels, char *to, int64_t *at);

/* The other way: outputs with a vector of channels side by side, rows of `pitch`, to `rows` by `columns` of the result from
 * `to` on, `channels` of each. */
void fc_store_lanes(const fc_plan *plan, const fc_operands *operands, char *to, const char *from, int64_t rows, int64_t columns,
                    int64_t pitch, int64_t channels);

/* Weights of `channels` kernels from `from` on, of `rows` rows and `columns` columns of their taps, to a vector for each tap, one
 * after the other; what no kernel fills is 0. */
void fc_weight_lanes(const fc_plan *plan, const fc_array *weight, const char *from, int64_t channels, int64_t rows, int64_t columns,
                     char *to);

/* `columns` pixels of one channel of the padded image, from row `row` and column `column` on, side by side, and zeros behind them
 * until there are `width`: where they are, or in `to`. `image` is the channel's first pixel. */
const char *fc_pixels(const fc_problem *p, const fc_operands *operands, const char *image, int64_t row, int64_t column, int64_t columns,
                      int64_t width, char *to);

/* One grid of a dilated problem: outputs that are a multiple of the dilation apart read pixels that are, and are a problem of
 * their own, without dilation. Only where nothing but a constant lies outside the image. Grid 0 has the most outputs. */
typedef struct {
    fc_problem problem;
    int64_t x_row, x_column, y_row, y_column; /* its first pixel and its first output */
    int64_t row_step, column_step;            /* from one of either to the next */
} fc_grid;

int64_t fc_grids(const fc_problem *p);
fc_grid fc_grid_of(const fc_problem *p, int64_t index);
fc_operands fc_grid_operands(const fc_grid *grid, const fc_operands *operands);

/* Fast algorithms mix the values of a neighbourhood, so one that is not finite would spread, and a sum on the way could
 * overflow where none of `direct` does. They take the sum of squares of the pixels that a box of outputs reads, and of each
 * output channel's weights; where the pixels' is above the limit that fc_limit makes of the weights', the outputs are
 * computed again by `direct`, to its bits. `growth` times the most that a sum of `direct` can be bounds every sum on the way;
 * -1, below any sum of squares, is the limit where weights are not finite themselves. */
double fc_limit(const fc_problem *p, double squares, double growth);

/* A box of outputs of one image and one group. */
typedef struct {
    int64_t n, group, oc, channels, row, rows, column, columns;
} fc_box;

/* Compute again what of a box needs it; `limits` of its channels as elements side by side, since each decides for itself.
 * `scratch` holds fc_box_scratch bytes for a box as large, and is aligned to 64. */
void fc_mend(const fc_plan *plan, const fc_operands *operands, const fc_box *box, double squares, const char *limits,
             void *scratch);
int64_t fc_box_scratch(const fc_plan *plan, int64_t channels, int64_t rows, int64_t columns);

/* An element of the arithmetic, f32 or f64. */
double fc_read(const char *from, fc_dtype dtype);
void fc_write(char *to, double value, fc_dtype dtype);
/* An image in planes, one for each horizontal phase of each channel: padded, and taken apart by stride, so that every tap of
 * the kernel finds the pixels of neighbouring outputs side by side. Taps k and k + period share a phase. */
typedef struct {
    int64_t period, phases;
    int64_t lead;        /* elements before a row, so that those copied from the image begin a cache line */
    int64_t rows, pitch; /* of a plane: all rows of the window, and elements from one to the next */
    int64_t plane;       /* bytes */
} fc_phases;

fc_phases fc_phases_of(const fc_problem *p, int64_t lanes, int64_t out_rows, int64_t out_columns);

/* Where column kx of the kernel finds the first output's pixel, in bytes from the planes of its channel. */
int64_t fc_phase_offset(const fc_problem *p, const fc_phases *l, int64_t kx);

/* Copy what `out_rows` by `out_columns` outputs need of `channels` channels, of which `image` is the first one's first pixel,
 * from padded row and column `row0`, `column0` on. Columns of a constant's border are the same for all rows, as are those
 * beyond it, which are 0: they are written where `borders` is set. */
void fc_copy_phases(const fc_plan *plan, const fc_operands *operands, const fc_phases *l, const char *image, int64_t channels,
                    int64_t row0, int64_t out_rows, int64_t column0, int64_t out_columns, char *to, int borders);

/* The chain of one output runs through blocks of this many input channels and, inside a block, through ky, kx and the
 * channel. It is part of the numerical contract: the bits of every result depend on it, and on nothing else. */
enum { FC_CHANNEL_BLOCK = 32 };

/* The rows of a panel for input channels `c` to `c + count` of a group, in the order of the chain: each the weights of
 * `columns` output channels from `oc` on, 0 where there are no more. `c` begins a block of channels, or all are of one. After
 * as many rows as a block has channels `gap` bytes are left free: the taps of one channel are packed together, and would lie
 * pages apart and share a set of the cache. */
void fc_pack(const fc_plan *plan, const fc_array *weight, int64_t group, int64_t oc, int64_t columns, int64_t c,
             int64_t count, int64_t gap, char *to);

/* Lines of memory that are called into the cache while something else is worked on: those at off[0], off[1], ... by one
 * tile, then the same `step` bytes further on, `tiles` times. */
typedef struct {
    const int64_t *off;
    int64_t step, tiles;
} fc_lines;

/* The lines of the weights of `count` channels: packed into rows of `row` bytes, or as they lie. A line is 64 bytes. `off`
 * has room for an offset for each product of the chain. */
fc_lines fc_lines_of(const fc_problem *p, const fc_operands *operands, int64_t count, int64_t row, int64_t *off);

#endif
