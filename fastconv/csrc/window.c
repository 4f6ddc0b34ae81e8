/* The part of an image that a block of outputs needs, as a padded copy; and outputs on their way back. */

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

void fc_copy_window(const fc_problem *p, const fc_operands *operands, const fc_window *w, const char *image, int64_t row0,
                    int64_t column0, int64_t channels, char *to, int interleaved)
{
    const int64_t size = element_size(p), plane = w->rows * w->columns * size;
    if (interleaved)
        copy_rows(p, operands, w, image, row0, column0, channels, to, channels * size, size);
    else /* plane by plane, since rows of one lie in few pages, and of all in as many as there are channels */
        for (int64_t c = 0; c < channels; c++)
            copy_rows(p, operands, w, image + c * operands->x.stride[1], row0, column0, 1, to + c * plane, size, plane);
}

/* Pixels [begin, end) of a row of the window, one at a time: what lies outside the image, or in no order of use. */
static void copy_lanes(const fc_plan *plan, const fc_operands *operands, const char *row, int64_t column0, int64_t begin,
                       int64_t end, int64_t channels, char *to)
{
    const fc_problem *p = &plan->problem;
    const int64_t *x = operands->x.stride, size = element_size(p), lanes = plan->tile->lanes;
    for (int64_t j = begin; j < end; j++) {
        const int64_t column = row ? fc_extend(p->padding_mode, column0 + j, p->iw) : -1;
        for (int64_t c = 0; c < (column < 0 ? lanes : channels); c++)
            copy_one(to + (j * lanes + c) * size,
                     column < 0 ? (const char *)&operands->fill : row + column * x[3] + c * x[1], size);
    }
}

void fc_copy_lanes(const fc_plan *plan, const fc_operands *operands, const char *image, int64_t row0, int64_t column0,
                   int64_t rows, int64_t columns, int64_t channels, char *to, int64_t *at)
{
    const fc_problem *p = &plan->problem;
    const int64_t *x = operands->x.stride, size = element_size(p), pixel = plan->tile->lanes * size;
    const int64_t top = row0 - p->pt, left = column0 - p->pl;
    const int64_t first = least(most(-top, 0), rows), last = most(least(p->ih - top, rows), first);
    const int64_t lo = least(most(-left, 0), columns), hi = most(least(p->iw - left, columns), lo);
    const int beside = x[1] == size || channels == 1;
    /* Rows that are whole and follow one another are one run of pixels, so that few are left over where maps are small. */
    const int run = !beside && x[3] == size && x[2] == p->iw * size && hi - lo == p->iw;
    if (channels < plan->tile->lanes)
        memset(to, 0, (size_t)(rows * columns * pixel));
    if (run && first < last) {
        for (int64_t r = first, i = 0; r < last; r++)
            for (int64_t j = lo; j < hi; j++)
                at[i++] = (r * columns + j) * pixel;
        plan->transpose(to, at, 0, image + (top + first) * x[2], x[1], channels, (last - first) * p->iw);
    }
    for (int64_t r = 0; r < rows; r++, to += columns * pixel) {
        const int64_t y = top + r >= 0 && top + r < p->ih ? top + r : fc_extend(p->padding_mode, top + r, p->ih);
        const char *row = y < 0 ? NULL : image + y * x[2];
        const int64_t begin = row ? lo : columns, end = row ? hi : columns;
        copy_lanes(plan, operands, row, left, 0, begin, channels, to);
        copy_lanes(plan, operands, row, left, end, columns, channels, to);
        if (begin == end || (run && r >= first && r < last))
            continue;
        const char *from = row + (left + begin) * x[3];
        if (beside)
            for (int64_t j = begin; j < end; j++, from += x[3])
                copy_run(to + j * pixel, from, channels * size);
        else if (x[3] == size)
            plan->transpose(to + begin * pixel, NULL, pixel, from, x[1], channels, end - begin);
        else
            copy_lanes(plan, operands, row, left, begin, end, channels, to);
    }
}

void fc_store_lanes(const fc_plan *plan, const fc_operands *operands, char *to, const char *from, int64_t rows, int64_t columns,
                    int64_t pitch, int64_t channels)
{
    const fc_array *y = &operands->y;
    const int64_t size = element_size(&plan->problem), pixel = plan->tile->lanes * size;
    const int one = pitch == columns && y->stride[3] == size && y->stride[2] == columns * size; /* run of pixels */
    for (int64_t r = 0; r < (one ? 1 : rows); r++, to += y->stride[2], from += pitch * pixel) {
        if (y->stride[1] == size)
            for (int64_t j = 0; j < columns; j++)
                copy_run(to + j * y->stride[3], from + j * pixel, channels * size);
        else
            store_pixels(plan, y, to, from, pixel, one ? rows * columns : columns, channels);
    }
}
