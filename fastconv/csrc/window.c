/* The part of an image that a block of outputs needs, as a padded copy. */

#include "algorithms/common.h"

fc_window fc_window_of(const fc_problem *p, int64_t out_rows, int64_t out_columns)
{
    fc_window w = {.step_h = p->kh == 1 ? p->sh : 1, .step_w = p->kw == 1 ? p->sw : 1};
    w.rows = ((out_rows - 1) * p->sh + (p->kh - 1) * p->dh) / w.step_h + 1;
    w.columns = ((out_columns - 1) * p->sw + (p->kw - 1) * p->dw) / w.step_w + 1;
    return w;
}

/* Pixels j in [begin, end) of a strip's row, of `channels` channels each: what padding puts there. */
static void pad_pixels(const fc_problem *p, const fc_operands *operands, char *to, int64_t pixel, int64_t channel,
                       const char *row, int64_t first, int64_t step, int64_t begin, int64_t end, int64_t channels)
{
    const int64_t *x = operands->x.stride, size = element_size(p);
    for (int64_t j = begin; j < end; j++) {
        const int64_t column = row ? fc_extend(p->padding_mode, first + j * step, p->iw) : -1;
        for (int64_t c = 0; c < channels; c++)
            copy_one(to + j * pixel + c * channel,
                   column < 0 ? (const char *)&operands->fill : row + column * x[3] + c * x[1], size);
    }
}

/* Some channels of the window: all, or one at a time where each has a plane of its own. */
static inline void copy_rows(const fc_problem *p, const fc_operands *operands, const fc_window *w, const char *image,
                             int64_t row0, int64_t column0, int64_t channels, char *to, int64_t pixel, int64_t channel)
{
    const int64_t *x = operands->x.stride, size = element_size(p), first = column0 - p->pl;
    /* Columns lo to hi lie inside the image. */
    const int64_t hi = p->iw <= first ? 0 : least(ceil_div(p->iw - first, w->step_w), w->columns);
    const int64_t lo = first >= 0 ? 0 : least(ceil_div(-first, w->step_w), hi);
    const int64_t step = hi - lo > 1 ? w->step_w * x[3] : pixel;
    for (int64_t r = 0; r < w->rows; r++, to += w->columns * pixel) {
        const int64_t y = row0 + r * w->step_h - p->pt, at = y >= 0 && y < p->ih ? y : fc_extend(p->padding_mode, y, p->ih);
        const char *row = at < 0 ? NULL : image + at * x[2];
        const int64_t begin = row ? lo : w->columns, end = row ? hi : w->columns;
        if (begin > 0)
            pad_pixels(p, operands, to, pixel, channel, row, first, w->step_w, 0, begin, channels);
        if (end < w->columns)
            pad_pixels(p, operands, to, pixel, channel, row, first, w->step_w, end, w->columns, channels);
        if (begin >= end)
            continue;
        const char *from = row + (first + lo * w->step_w) * x[3];
        if (step == pixel)
            copy_run(to + lo * pixel, from, (hi - lo) * pixel);
        else if (channels == 1)
            fc_pick(to + lo * pixel, from, step, hi - lo, size);
        else
            for (int64_t j = lo; j < hi; j++, from += step)
                copy_run(to + j * pixel, from, pixel);
    }
}

/* Planes whose rows inside the image are moved as vectors, and padded by a constant. What lies between two rows, the right end
 * of one and the left end of the next, is filled at once. Or 0, where nothing was done. */
static inline __attribute__((always_inline)) int move_planes(const fc_plan *plan, const fc_operands *operands,
                                                             const fc_window *w, const char *image, int64_t row0,
                                                             int64_t column0, int64_t channels, char *to, int64_t size)
{
    const fc_problem *p = &plan->problem;
    const fc_moves *moves = fc_moves_of(plan->isa, p->dtype);
    const int64_t *x = operands->x.stride, top = row0 - p->pt, left = column0 - p->pl;
    const int64_t last = strides_in(most(p->ih - top, 0), w->step_h), end = strides_in(most(p->iw - left, 0), w->step_w);
    const int64_t out = least(last, w->rows), in = least(top < 0 ? strides_in(-top, w->step_h) : 0, out);
    const int64_t hi = least(end, w->columns), lo = least(left < 0 ? strides_in(-left, w->step_w) : 0, hi);
    if (p->padding_mode != FC_CONSTANT || x[3] != size || w->step_w > 2 || hi - lo < moves->least || in == out)
        return 0;
    const int64_t pixels = w->rows * w->columns, between = w->columns - hi + lo, row = out - in > 1 ? w->step_h * x[2] : 0;
    const char *from = image + (top + in * w->step_h) * x[2] + (left + lo * w->step_w) * size;
    for (int64_t c = 0; c < channels; c++, from += x[1], to += pixels * size) {
        moves->copy[w->step_w](to + (in * w->columns + lo) * size, w->columns * size, from, row, out - in, hi - lo);
        if (between == 0 && out - in == w->rows)
            continue;
        for (int64_t r = in, j = 0, next = in * w->columns + lo; r <= out; r++) {
            for (; j < next; j++)
                copy_one(to + j * size, (const char *)&operands->fill, size);
            j = r * w->columns + hi;
            next = r + 1 < out ? j + between : pixels;
        }
    }
    return 1;
}

void fc_copy_window(const fc_plan *plan, const fc_operands *operands, const fc_window *w, const char *image, int64_t row0,
                    int64_t column0, int64_t channels, char *to, int interleaved)
{
    const fc_problem *p = &plan->problem;
    const int64_t size = element_size(p), plane = w->rows * w->columns * size;
    if (interleaved)
        copy_rows(p, operands, w, image, row0, column0, channels, to, channels * size, size);
    else if (!(size == 4 ? move_planes(plan, operands, w, image, row0, column0, channels, to, 4)
                         : move_planes(plan, operands, w, image, row0, column0, channels, to, 8)))
        /* plane by plane, since rows of one lie in few pages, and of all in as many as there are channels */
        for (int64_t c = 0; c < channels; c++)
            copy_rows(p, operands, w, image + c * operands->x.stride[1], row0, column0, 1, to + c * plane, size, plane);
}
