/* Small arithmetic that every algorithm needs. */
#ifndef FC_COMMON_H
#define FC_COMMON_H

#include "fastconv.h"

#include <string.h>

static inline int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static inline int64_t most(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static inline int64_t ceil_div(int64_t a, int64_t b)
{
    return a / b + (a % b != 0);
}

/* a / b rounded up, quickly for the strides that are usual. */
static inline int64_t strides_in(int64_t a, int64_t b)
{
    return b == 1 ? a : b == 2 ? (a >> 1) + (a & 1) : ceil_div(a, b);
}

static inline int64_t gcd(int64_t a, int64_t b)
{
    while (b) {
        const int64_t r = a % b;
        a = b;
        b = r;
    }
    return a;
}

/* Where part i of `count` things begins that are divided into `parts` as equal as can be. */
static inline int64_t part(int64_t i, int64_t parts, int64_t count)
{
    return count / parts * i + least(i, count % parts);
}

/* The share of a task's time that a thread waits for others at the end, with so many tasks for each image and group: half of it,
 * and all where their number is odd and that of threads is not. Alone it waits for none, but signals are looked for between
 * tasks. */
static inline double waits(const fc_problem *p, int64_t tasks)
{
    const int odd = p->n % 2 && p->groups % 2 && tasks % 2;
    return p->alone ? 1e-3 : odd ? 1 : 0.5;
}

enum { FC_SHARED_LINE = 15 }; /* estimated cycles to write a line of weights that another processor may have read */

static inline double shared_line(const fc_problem *p)
{
    return p->alone ? 0 : FC_SHARED_LINE;
}

static inline int64_t element_size(const fc_problem *p)
{
    return p->dtype == FC_F32 ? 4 : 8;
}

static inline void copy_one(char *to, const char *from, int64_t size)
{
    if (size == 4)
        memcpy(to, from, 4);
    else
        memcpy(to, from, 8);
}

static inline int64_t pixel_size(const fc_problem *p) /* of an element of x, in bytes */
{
    return p->from_bytes ? 1 : element_size(p);
}

/* An element of x, which may have to be converted. */
static inline void copy_element(const fc_problem *p, char *to, const char *from, int64_t size)
{
    const uint8_t byte = *(const uint8_t *)from;
    if (!p->from_bytes)
        copy_one(to, from, size);
    else if (size == 4)
        *(float *)to = byte;
    else
        *(double *)to = byte;
}

/* memcpy for rows that are mostly short: 14 pixels of a small map take four moves, and no call. */
static inline void copy_run(char *to, const char *from, int64_t bytes)
{
    if (bytes < 16 || bytes > 256) {
        memcpy(to, from, (size_t)bytes);
        return;
    }
    for (int64_t i = 0; i + 16 <= bytes; i += 16)
        memcpy(to + i, from + i, 16);
    memcpy(to + bytes - 16, from + bytes - 16, 16); /* the rest, and some of it twice */
}

/* What padding puts into elements begin to end of a strip's row, one channel of it. Element j is column first + j * sw of
 * the image's row `row`, which is NULL where the row is padding too. */
static inline __attribute__((always_inline)) void copy_border(const fc_problem *p, const fc_operands *operands, char *to,
                                                              const char *row, int64_t first, int64_t begin, int64_t end,
                                                              int64_t size)
{
    for (int64_t j = begin; j < end; j++) {
        const int64_t column = row ? fc_extend(p->padding_mode, first + j * p->sw, p->iw) : -1;
        if (column < 0)
            copy_one(to + j * size, (const char *)&operands->fill, size);
        else
            copy_element(p, to + j * size, row + column * operands->x.stride[3], size);
    }
}

/* Elements one by one. Their size is asked for once: asked for each time, it took twice as long. */
static inline void spread(char *to, int64_t to_step, const char *from, int64_t from_step, int64_t count, int64_t size)
{
    if (size == 4)
        for (int64_t j = 0; j < count; j++)
            memcpy(to + j * to_step, from + j * from_step, 4);
    else
        for (int64_t j = 0; j < count; j++)
            memcpy(to + j * to_step, from + j * from_step, 8);
}

/* Some rows of elements that lie side by side to rows where they do not: all pixels of one phase of a stride. */
static inline void spread_rows(const fc_plan *plan, char *to, int64_t to_row, int64_t to_step, const char *from, int64_t from_row,
                               int64_t rows, int64_t count)
{
    const int64_t size = element_size(&plan->problem);
    const fc_moves *moves = fc_moves_of(plan->isa, plan->problem.dtype);
    if (to_step == 2 * size && moves->spread)
        moves->spread(to, to_row, from, from_row, rows, count);
    else
        for (int64_t r = 0; r < rows; r++)
            spread(to + r * to_row, to_step, from + r * from_row, size, count, size);
}

/* Finished sums, a row for each channel, to pixels that do not lie side by side. */
static inline void scatter(const fc_plan *plan, char *to, int64_t channel_step, int64_t pixel_step, const char *from,
                           int64_t from_step, int64_t channels, int64_t count)
{
    const int64_t size = element_size(&plan->problem);
    if (channel_step == size && channels > 1) {
        plan->transpose(to, NULL, pixel_step, from, from_step, channels, count);
        return;
    }
    spread_rows(plan, to, channel_step, pixel_step, from, from_step, channels, count);
}

/* Finished sums, a row for each pixel, to pixels of the array `y` from `to` on that follow one another. */
static inline void store_pixels(const fc_plan *plan, const fc_array *y, char *to, const char *from, int64_t from_step,
                                int64_t pixels, int64_t channels)
{
    const int64_t size = element_size(&plan->problem), channel_step = y->stride[1], pixel_step = y->stride[3];
    if (pixel_step == size || pixels == 1) {
        plan->transpose(to, NULL, channel_step, from, from_step, pixels, channels);
        return;
    }
    if (channel_step == size) {
        for (int64_t j = 0; j < pixels; j++)
            copy_run(to + j * pixel_step, from + j * from_step, channels * size);
        return;
    }
    enum { CHANNELS = 16, PIXELS = 64 }; /* 8 KiB at most */
    _Alignas(64) char turned[CHANNELS * PIXELS * 8];
    const int64_t row = PIXELS * size;
    for (int64_t c = 0; c < channels; c += CHANNELS)
        for (int64_t j = 0; j < pixels; j += PIXELS) {
            const int64_t high = least(CHANNELS, channels - c), wide = least(PIXELS, pixels - j);
            plan->transpose(turned, NULL, row, from + j * from_step + c * size, from_step, wide, high);
            spread_rows(plan, to + c * channel_step + j * pixel_step, channel_step, pixel_step, turned, row, high, wide);
        }
}

static inline int64_t chain_length(const fc_problem *p)
{
    return p->ic / p->groups * p->kh * p->kw;
}

#endif
