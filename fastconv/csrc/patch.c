/* Pixels of one row and channel, padded. */

#include "algorithms/common.h"

/* What padding puts into elements begin to end of a row: mostly the fill value, and then without a call for each. */
static void pad(const fc_problem *p, const fc_operands *operands, char *to, const char *row, int64_t first, int64_t begin,
                int64_t end, int64_t size)
{
    if (row && p->padding_mode != FC_CONSTANT)
        copy_border(p, operands, to, row, first, begin, end, size);
    else if (size == 4)
        for (int64_t j = begin; j < end; j++)
            memcpy(to + j * 4, &operands->fill, 4);
    else
        for (int64_t j = begin; j < end; j++)
            memcpy(to + j * 8, &operands->fill, 8);
}

const char *fc_pixels(const fc_problem *p, const fc_operands *operands, const char *image, int64_t row, int64_t column, int64_t columns,
                      int64_t width, char *to)
{
    const int64_t *x = operands->x.stride, size = element_size(p), first = column - p->pl;
    const int64_t low = least(most(-first, 0), columns), high = most(least(p->iw - first, columns), low);
    const int64_t y = fc_extend(p->padding_mode, row - p->pt, p->ih);
    const char *from = y < 0 ? NULL : image + y * x[2];
    const int64_t begin = from ? low : columns, end = from ? high : columns;
    if (begin == 0 && end == width && x[3] == size)
        return from + first * size;
    pad(p, operands, to, from, first, 0, begin, size);
    if (begin < end)
        fc_pick(to + begin * size, from + (first + begin) * x[3], x[3], end - begin, size);
    pad(p, operands, to, from, first, end, columns, size);
    memset(to + columns * size, 0, (size_t)((width - columns) * size));
    return to;
}
