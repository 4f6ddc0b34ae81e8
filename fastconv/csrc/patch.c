/* Patches of one channel, padded, with zeros behind them. */

#include "algorithms/common.h"

/* Rows that are called in before their turn: they are short, and the processor calls in no row before it has begun. */
enum { AHEAD = 6 };

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

void fc_copy_patch(const fc_problem *p, const fc_operands *operands, const char *image, const fc_patch *patch, char *to)
{
    const int64_t *x = operands->x.stride, size = element_size(p), first = patch->column - p->pl;
    const int64_t low = least(most(-first, 0), patch->columns), high = most(least(p->iw - first, patch->columns), low);
    for (int64_t r = 0; r < patch->rows; r++, to += patch->pitch) {
        const int64_t y = fc_extend(p->padding_mode, patch->row - p->pt + r, p->ih);
        const int64_t next = patch->row - p->pt + r + AHEAD;
        if (next >= 0 && next < p->ih && x[3] == size)
            for (int64_t at = (first + low) * size; at < (first + high) * size; at += 64)
                __builtin_prefetch(image + next * x[2] + at);
        const char *row = y < 0 ? NULL : image + y * x[2];
        const int64_t begin = row ? low : patch->columns, end = row ? high : patch->columns;
        pad(p, operands, to, row, first, 0, begin, size);
        if (begin < end)
            fc_pick(to + begin * size, row + (first + begin) * x[3], x[3], end - begin, size);
        pad(p, operands, to, row, first, end, patch->columns, size);
        memset(to + patch->columns * size, 0, (size_t)((patch->width - patch->columns) * size));
    }
    for (int64_t r = patch->rows; r < patch->height; r++, to += patch->pitch)
        memset(to, 0, (size_t)(patch->width * size));
}
