/* An image in planes for vectors of pixels, as fc_phases describes them. */

#include "algorithms/common.h"

fc_phases fc_phases_of(const fc_problem *p, int64_t lanes, int64_t out_rows, int64_t out_columns)
{
    fc_phases l;
    l.period = p->sw / gcd(p->sw, p->dw);
    l.phases = least(l.period, p->kw);
    l.rows = (out_rows - 1) * p->sh + (p->kh - 1) * p->dh + 1;
    l.lead = (lanes - strides_in(p->pl, p->sw) % lanes) % lanes;
    l.pitch = ceil_div(l.lead + ceil_div(out_columns, lanes) * lanes + (p->kw - 1) * p->dw / p->sw, lanes) * lanes;
    if (l.pitch * element_size(p) % 2048 == 0) /* rows at such a distance share a few sets of the cache */
        l.pitch += lanes;
    l.plane = l.rows * l.pitch * element_size(p);
    return l;
}

int64_t fc_phase_offset(const fc_problem *p, const fc_phases *l, int64_t kx)
{
    return kx % l->period * l->plane + (l->lead + kx * p->dw / p->sw) * element_size(p);
}

/* The borders of one row inside the image: elements 0 to lo, and hi to width. */
static inline __attribute__((always_inline)) void copy_borders(const fc_problem *p, const fc_operands *operands, char *out,
                                                               const char *row, int64_t first, int64_t lo, int64_t hi,
                                                               int64_t width, int64_t size)
{
    if (p->padding_mode != FC_CONSTANT) {
        copy_border(p, operands, out, row, first, 0, lo, size);
        copy_border(p, operands, out, row, first, hi, width, size);
        return;
    }
    for (int64_t j = 0; j < lo; j++)
        copy_one(out + j * size, (const char *)&operands->fill, size);
    for (int64_t j = hi; j < width; j++)
        copy_one(out + j * size, (const char *)&operands->fill, size);
}

/* One row of a phase: column j is column first + j * sw of the image's row `row`, inside it from lo to hi. */
static inline __attribute__((always_inline)) void copy_row(const fc_problem *p, const fc_operands *operands, const char *row,
                                                           int64_t first, int64_t lo, int64_t hi, int64_t width,
                                                           int borders, char *out, int64_t size)
{
    const int64_t pixel = operands->x.stride[3];
    lo = row ? lo : width;
    hi = row ? hi : width;
    if (borders || !row)
        copy_borders(p, operands, out, row, first, lo, hi, width, size);
    const int64_t step = hi - lo > 1 ? p->sw * pixel : size;
    if (lo >= hi)
        return;
    if (p->from_bytes)
        for (int64_t j = lo; j < hi; j++)
            copy_element(p, out + j * size, row + (first + j * p->sw) * pixel, size);
    else if (step == size)
        copy_run(out + lo * size, row + (first + lo * p->sw) * pixel, (hi - lo) * size);
    else
        fc_pick(out + lo * size, row + (first + lo * p->sw) * pixel, step, hi - lo, size);
}

static inline __attribute__((always_inline)) void copy_phases(const fc_plan *plan, const fc_operands *operands,
                                                              const fc_phases *l, const char *image, int64_t channels,
                                                              int64_t row0, int64_t out_rows, int64_t column0,
                                                              int64_t out_columns, char *to, int borders, int64_t size)
{
    const fc_problem *p = &plan->problem;
    const fc_moves *moves = fc_moves_of(plan->isa, p->dtype);
    const int64_t *x = operands->x.stride, pitch = l->pitch * size;
    const int64_t rows = (out_rows - 1) * p->sh + (p->kh - 1) * p->dh + 1;
    const int64_t width = out_columns + (p->kw == 1 ? 0 : (p->kw - 1) * p->dw / p->sw);
    const int64_t top = row0 - p->pt; /* the image's row that row 0 is; rows `in` to `out` lie inside the image */
    const int64_t in = top < 0 ? least(-top, rows) : 0, out = most(least(p->ih - top, rows), in);
    const int quick = x[3] == pixel_size(p) && p->sw <= (p->from_bytes ? 1 : 2) && out > in;
    /* Vectors read beyond the last pixel. What an earlier task left there may be numbers so small that a multiply-add with one
     * takes Intel's processors 150 cycles: 64 groups of 3 channels of 28 x 28 took 1.8 ms instead of 0.1. */
    const int64_t lanes = plan->tile->lanes, beyond = (ceil_div(out_columns, lanes) * lanes - out_columns) * size;
    for (int64_t r = 0; borders && beyond && r < channels * l->phases * l->rows; r++)
        memset(to + r * pitch + (l->lead + width) * size, 0, (size_t)beyond);
    borders |= p->padding_mode != FC_CONSTANT;
    for (int64_t c = 0; c < channels; c++, image += x[1])
        for (int64_t phase = 0; phase < l->phases; phase++, to += l->plane) {
            const int64_t first = (phase ? phase * p->dw % p->sw : 0) + column0 - p->pl;
            const int64_t hi = p->iw <= first ? 0 : least(strides_in(p->iw - first, p->sw), width);
            const int64_t lo = first >= 0 ? 0 : least(strides_in(-first, p->sw), hi);
            const int whole = quick && hi - lo >= moves->least; /* rows inside are moved as vectors */
            char *const begin = to + l->lead * size;
            if (whole) {
                (p->from_bytes ? moves->widen : moves->copy[p->sw])(
                    begin + in * pitch + lo * size, pitch, image + (top + in) * x[2] + (first + lo * p->sw) * x[3], x[2], out - in,
                    hi - lo);
                for (int64_t r = in; r < out && borders && (lo > 0 || hi < width); r++)
                    copy_borders(p, operands, begin + r * pitch, image + (top + r) * x[2], first, lo, hi, width, size);
            }
            for (int64_t r = whole && in == 0 ? out : 0; r < rows; r = whole && r + 1 == in ? out : r + 1) {
                const int64_t at = fc_extend(p->padding_mode, top + r, p->ih);
                const char *row = at < 0 ? NULL : image + at * x[2];
                copy_row(p, operands, row, first, lo, hi, width, borders, begin + r * pitch, size);
            }
        }
}

void fc_copy_phases(const fc_plan *plan, const fc_operands *operands, const fc_phases *l, const char *image, int64_t channels,
                    int64_t row0, int64_t out_rows, int64_t column0, int64_t out_columns, char *to, int borders)
{
    if (element_size(&plan->problem) == 4)
        copy_phases(plan, operands, l, image, channels, row0, out_rows, column0, out_columns, to, borders, 4);
    else
        copy_phases(plan, operands, l, image, channels, row0, out_rows, column0, out_columns, to, borders, 8);
}
