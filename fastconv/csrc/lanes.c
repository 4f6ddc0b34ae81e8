/* Pixels with a vector of channels side by side: a padded copy of an image, and outputs on their way back. */

#include "algorithms/common.h"

static inline void copy_vector(char *to, const char *from, int64_t bytes)
{
    if (bytes == 64)
        memcpy(to, from, 64);
    else
        copy_run(to, from, bytes);
}

/* Pixels [begin, end) of a row of the window, one at a time: what lies outside the image, or in no order of use. */
static void copy_lanes(const fc_plan *plan, const fc_operands *operands, const char *row, int64_t column0, int64_t begin,
                       int64_t end, int64_t channels, char *to)
{
    const fc_problem *p = &plan->problem;
    const int64_t *x = operands->x.stride, size = element_size(p), lanes = plan->tile->lanes;
    const char *filled = NULL; /* a vector of the constant, once there is one: small maps have more of a border than pixels */
    for (int64_t j = begin; j < end; j++) {
        const int64_t column = row ? fc_extend(p->padding_mode, column0 + j, p->iw) : -1;
        if (column < 0 && filled) {
            copy_vector(to + j * lanes * size, filled, lanes * size);
            continue;
        }
        filled = column < 0 ? to + j * lanes * size : filled;
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
                copy_vector(to + j * pixel, from, channels * size);
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
    const int64_t count = one ? rows * columns : columns;
    for (int64_t r = 0; r < (one ? 1 : rows); r++, to += y->stride[2], from += pitch * pixel) {
        if (y->stride[1] == size)
            for (int64_t j = 0; j < count; j++)
                copy_run(to + j * y->stride[3], from + j * pixel, channels * size);
        else
            store_pixels(plan, y, to, from, pixel, count, channels);
    }
}

void fc_weight_lanes(const fc_plan *plan, const fc_array *weight, const char *from, int64_t channels, int64_t rows,
                     int64_t columns, char *to)
{
    const int64_t *w = weight->stride, size = element_size(&plan->problem), vector = plan->tile->lanes * size;
    if (channels < plan->tile->lanes)
        memset(to, 0, (size_t)(rows * columns * vector));
    const int one = w[3] == size && (rows == 1 || w[2] == columns * size); /* run of taps */
    for (int64_t i = 0; i < (one ? 1 : rows); i++, to += columns * vector, from += w[2]) {
        if (w[0] != size && (w[3] == size || columns == 1))
            plan->transpose(to, NULL, vector, from, w[0], channels, one ? rows * columns : columns);
        else
            for (int64_t j = 0; j < (one ? rows * columns : columns); j++)
                if (w[0] == size && channels * size == 64)
                    memcpy(to + j * vector, from + j * w[3], 64);
                else
                    fc_pick(to + j * vector, from + j * w[3], w[0], channels, size);
    }
}
