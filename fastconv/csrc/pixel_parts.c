/* Pixels, split into parts for products in matrix tiles. */

#include "parts.h"

#include "algorithms/common.h"

/* The first row of a window that phase `down` of the stride holds, and how many of `rows` rows of outputs it does. */
static int64_t first_row(const fc_problem *p, int64_t down)
{
    return p->kh == 1 ? 0 : down * p->dh % p->sh;
}

static int64_t rows_of(const fc_problem *p, int64_t down, int64_t rows)
{
    return ceil_div((rows - 1) * p->sh + (p->kh - 1) * p->dh + 1 - first_row(p, down), p->sh);
}

/* In planes, in pairs of channels. Where nothing is padded and no tap but one, they are split where they lie; and if they follow one
 * another through row ends, as one row. */
static void split_planes(const fc_plan *plan, const fc_operands *operands, const fc_split_cut *c, const char *image, int64_t row,
                         int64_t rows, char *strip, char *staged)
{
    const fc_problem *p = &plan->problem;
    const int64_t *x = operands->x.stride, igc = p->ic / p->groups, plane = c->plane * 4, to_row = c->pitch * 4;
    const int in_place = c->taps == 1 && !(p->pt | p->pb | p->pl | p->pr) && x[3] == 4 && p->sw == 1;
    const int whole = in_place && p->sh * x[2] == p->ow * 4;
    const fc_phases l = fc_phases_of(p, FC_MATRIX_EDGE, rows, p->ow);
    for (int64_t channel = 0; channel < igc; channel += FC_SPLIT_STAGED) {
        const int64_t count = least(FC_SPLIT_STAGED, igc - channel);
        const char *from = image + channel * x[1] + row * p->sh * x[2];
        int64_t from_plane = x[1], from_phase = 0, from_row = x[2];
        if (!in_place) {
            fc_copy_phases(plan, operands, &l, image + channel * x[1], count, row * p->sh, rows, 0, p->ow, staged, channel == 0);
            from = staged + l.lead * 4;
            from_phase = l.plane;
            from_plane = l.phases * l.plane;
            from_row = l.pitch * 4;
        }
        for (int64_t i = 0; i < count; i += 2, from += 2 * from_plane)
            for (int64_t k = 0; k < c->across * c->down; k++) {
                const int64_t down = k % c->down, high = rows_of(p, down, rows);
                const char *const at = from + k / c->down * from_phase + first_row(p, down) * from_row;
                const fc_split_move move = {at, i + 1 < count ? at + from_plane : NULL, from_row * p->sh,
                                            strip + (channel + i) / 2 * plane + k * c->high * to_row, to_row, c->part,
                                            whole ? 1 : high, whole ? high * c->pitch : c->pitch, in_place ? 2 * from_plane : 0, NULL, 0};
                fc_split_of(plan->isa)->pairs(&move);
            }
    }
    for (int64_t pair = ceil_div(igc, 2); pair < c->blocks * FC_MATRIX_STEP / 2; pair++)
        for (int k = 0; k < FC_PARTS; k++)
            memset(strip + k * c->part + pair * plane, 0, (size_t)plane);
}

/* With channels side by side. */
static void split_side_by_side(const fc_plan *plan, const fc_operands *operands, const fc_split_cut *c, const char *image, int64_t row,
                               int64_t rows, char *strip, char *staged)
{
    const fc_problem *p = &plan->problem;
    const int64_t *x = operands->x.stride, igc = p->ic / p->groups;
    const int in_place = !(p->pt | p->pb | p->pl | p->pr) && x[1] == 4;
    fc_window w = fc_window_of(p, 1, p->ow);
    w.rows = 1;
    char *const planes = staged + w.columns * igc * 4;
    for (int64_t down = 0; down < c->down; down++)
        for (int64_t r = 0; r < rows_of(p, down, rows); r++) {
            const int64_t y = (row + r) * p->sh + first_row(p, down);
            if (!in_place)
                fc_copy_window(plan, operands, &w, image, y, 0, igc, x[1] == 4 ? staged : planes, x[1] == 4);
            if (x[1] != 4)
                plan->transpose(staged, NULL, igc * 4, planes, w.columns * 4, igc, w.columns);
            for (int64_t across = 0; across < c->across; across++) {
                const int64_t first = p->kw == 1 ? 0 : across * p->dw % p->sw;
                const int64_t count = least(c->pitch, ceil_div((p->ow - 1) * p->sw + (p->kw - 1) * p->dw + 1 - first, p->sw));
                char *const to = strip + ((across * c->down + down) * c->high + r) * c->pitch * c->pixel;
                fc_split_move move = {staged + first * igc * 4, NULL, p->sw / w.step_w * igc * 4, to, c->pixel, c->part, count, igc, 0, NULL, 0};
                if (in_place) {
                    move.from = image + y * x[2] + first * x[3];
                    move.from_step = p->sw * x[3];
                }
                fc_split_of(plan->isa)->side_by_side(&move);
                for (int k = 0; k < FC_PARTS; k++)
                    memset(to + k * c->part + count * c->pixel, 0, (size_t)((c->pitch - count) * c->pixel));
            }
        }
}

void fc_split_pixels(const fc_plan *plan, const fc_operands *operands, const fc_split_cut *c, int64_t n, int64_t group, int64_t row,
                     int64_t rows, char *strip, char *staged)
{
    const fc_problem *p = &plan->problem;
    const char *image = operands->x.data + n * operands->x.stride[0] + group * (p->ic / p->groups) * operands->x.stride[1];
    (p->channels_last ? split_side_by_side : split_planes)(plan, operands, c, image, row, rows, strip, staged);
}

double fc_split_largest(const fc_problem *p, const fc_split_cut *c, const char *strip, int64_t row)
{
    const int64_t planes = p->channels_last ? 1 : c->blocks * FC_MATRIX_STEP / 2, step = c->plane * 4;
    uint16_t high = 0;
    for (int64_t ky = 0; ky < p->kh; ky++)
        for (int64_t kx = 0; kx < c->across; kx++)
            for (int64_t i = 0; i < planes; i++) {
                const int64_t first = ((kx * c->down + ky % c->down) * c->high + row + ky * p->dh / p->sh) * c->pitch;
                const char *const from = strip + i * step + first * c->pixel;
                for (int64_t j = 0; j < c->pitch * c->pixel; j += c->pixel)
                    for (int64_t k = 0; k < (p->channels_last ? c->blocks * FC_MATRIX_STEP * 2 : 4); k += 2) {
                        const uint16_t bits = *(const uint16_t *)(from + j + k) & 0x7fff;
                        high = bits > high ? bits : high;
                    }
            }
    const uint32_t all = (uint32_t)high << 16;
    float largest;
    memcpy(&largest, &all, 4);
    return (double)largest;
}

int fc_split_is_zero(const fc_plan *plan, const fc_operands *operands, int64_t n, int64_t group, int64_t row)
{
    const fc_problem *p = &plan->problem;
    const int64_t *x = operands->x.stride, igc = p->ic / p->groups;
    const char *const image = operands->x.data + n * x[0] + group * igc * x[1];
    uint32_t bits = 0;
    memcpy(&bits, &operands->fill, 4);
    for (int64_t c = 0; c < igc; c++)
        for (int64_t ky = 0; ky < p->kh; ky++) {
            const int64_t y = fc_extend(p->padding_mode, row * p->sh + ky * p->dh - p->pt, p->ih);
            for (int64_t j = 0; y >= 0 && j < p->iw; j++)
                bits |= *(const uint32_t *)(image + c * x[1] + y * x[2] + j * x[3]);
        }
    return bits << 1 == 0;
}
