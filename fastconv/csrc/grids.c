/* A dilated problem as several that are not. */

#include "algorithms/common.h"

/* Where the kernel has one tap there is nothing to dilate. */
static int64_t step_of(int64_t dilation, int64_t taps)
{
    return taps == 1 ? 1 : dilation;
}

int64_t fc_grids(const fc_problem *p)
{
    return least(step_of(p->dh, p->kh), p->oh) * least(step_of(p->dw, p->kw), p->ow);
}

/* Along one axis: the outputs first, first + step, ...; how many they and the pixels are that they may read, which is the first
 * of those, and the padding before it, which may be less than none. Returns that pixel. */
static int64_t enter(int64_t first, int64_t step, int64_t *outputs, int64_t *pixels, int64_t *padding)
{
    const int64_t at = first - *padding, padded = at < 0 ? ceil_div(-at, step) : -(at / step), pixel = at + padded * step;
    *padding = padded;
    *outputs = ceil_div(*outputs - first, step);
    *pixels = pixel < *pixels ? ceil_div(*pixels - pixel, step) : 0;
    return pixel;
}

fc_grid fc_grid_of(const fc_problem *p, int64_t index)
{
    const int64_t dh = step_of(p->dh, p->kh), dw = step_of(p->dw, p->kw), across = least(dw, p->ow);
    fc_grid of = {.problem = *p, .y_row = index / across, .y_column = index % across, .row_step = dh, .column_step = dw};
    of.x_row = enter(of.y_row, dh, &of.problem.oh, &of.problem.ih, &of.problem.pt);
    of.x_column = enter(of.y_column, dw, &of.problem.ow, &of.problem.iw, &of.problem.pl);
    of.problem.dh = of.problem.dw = 1;
    if (dh == 1) { /* it keeps its coordinates, whatever the padding mode */
        of.problem.pt = p->pt;
        of.problem.ih = p->ih;
        of.x_row = 0;
    }
    if (dw == 1) {
        of.problem.pl = p->pl;
        of.problem.iw = p->iw;
        of.x_column = 0;
    }
    return of;
}

fc_operands fc_grid_operands(const fc_grid *grid, const fc_operands *operands)
{
    fc_operands of = *operands;
    of.x.data += grid->x_row * of.x.stride[2] + grid->x_column * of.x.stride[3];
    of.y.data += grid->y_row * of.y.stride[2] + grid->y_column * of.y.stride[3];
    of.x.stride[2] *= grid->row_step;
    of.x.stride[3] *= grid->column_step;
    of.y.stride[2] *= grid->row_step;
    of.y.stride[3] *= grid->column_step;
    return of;
}
