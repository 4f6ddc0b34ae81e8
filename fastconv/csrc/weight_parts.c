/* Weights, split into parts for products in matrix tiles. */

#include "parts.h"

#include "algorithms/common.h"

#include <math.h>

enum {
    AHEAD = 512, /* bytes of weights that are called in, beyond those that are split */
};

/* The scale of weights of a tile from sums of squares of its output channels; of a channel whose squares are too small to be told, or are
 * not finite, its own weights tell. */
static fc_split_scale scale_of(const fc_problem *p, const fc_array *weight, int64_t oc, int64_t channels, const float *squares)
{
    const int64_t *w = weight->stride;
    fc_split_scale scale = {0, INFINITY};
    float largest = 0, smallest = INFINITY; /* squares that do tell */
    for (int64_t o = 0; o < channels; o++) {
        if (squares[o] >= 0x1p-100f && squares[o] < 0x1p100f) {
            largest = fmaxf(largest, squares[o]);
            smallest = fminf(smallest, squares[o]);
            continue;
        }
        float high = 0;
        for (int64_t i = 0; i < chain_length(p); i++) {
            const int64_t c = i / p->kw / p->kh, ky = i / p->kw % p->kh, kx = i % p->kw;
            high = fmaxf(high, fabsf(*(const float *)(weight->data + (oc + o) * w[0] + c * w[1] + ky * w[2] + kx * w[3])));
        }
        scale.high = fmaxf(scale.high, high);
        if (high > 0)
            scale.low = fminf(scale.low, high);
    }
    if (largest > 0) {
        scale.high = fmaxf(scale.high, sqrtf(largest));
        scale.low = fminf(scale.low, sqrtf(smallest / (float)chain_length(p)));
    }
    return scale;
}

/* Weights of one tap that lie side by side are split where they lie. */
static void split_rows(const fc_plan *plan, const fc_operands *operands, const fc_split_cut *c, int64_t first, int64_t channels, char *to,
                       char *squares)
{
    const int64_t *w = operands->weight.stride, igc = plan->problem.ic / plan->problem.groups;
    const char *const from = operands->weight.data + first * w[0];
    if (channels < FC_MATRIX_EDGE)
        memset(to, 0, (size_t)(c->steps * FC_PARTS * FC_MATRIX_BYTES));
    for (int64_t s = 0; s < c->steps; s++) {
        const fc_split_move move = {from + s * FC_MATRIX_STEP * 4, NULL, w[0], to + s * FC_PARTS * FC_MATRIX_BYTES, FC_MATRIX_STEP * 2,
                                    FC_MATRIX_BYTES, channels, least(FC_MATRIX_STEP, igc - s * FC_MATRIX_STEP), AHEAD, squares, 64};
        fc_split_of(plan->isa)->side_by_side(&move);
    }
}

/* Others are brought into order first, a block of input channels at a time. */
static void split_block(const fc_plan *plan, const fc_split_cut *c, const char *staged, int64_t count, char *to, char *turned, char *squares)
{
    const fc_split *kernels = fc_split_of(plan->isa);
    const int64_t edge = FC_MATRIX_EDGE, row = edge * 4;
    for (int64_t t = 0; t < c->taps; t++, to += FC_PARTS * FC_MATRIX_BYTES, staged += count * row) {
        if (plan->problem.channels_last) {
            const fc_split_move pairs = {staged, staged + row, 2 * row, to, row, FC_MATRIX_BYTES, count / 2, edge, 0, squares, 0};
            const fc_split_move single = {staged + (count - 1) * row, NULL, 0, to + count / 2 * row, 0, FC_MATRIX_BYTES,
                                          count % 2, edge, 0, squares, 0};
            if (count < FC_MATRIX_STEP)
                memset(to, 0, FC_PARTS * FC_MATRIX_BYTES);
            kernels->pairs(&pairs);
            kernels->pairs(&single);
        } else {
            const fc_split_move move = {turned, NULL, FC_MATRIX_STEP * 4, to, row, FC_MATRIX_BYTES, edge, count, 0, squares, 64};
            plan->transpose(turned, NULL, FC_MATRIX_STEP * 4, staged, row, count, edge);
            kernels->side_by_side(&move);
        }
    }
}

void fc_split_weights(const fc_plan *plan, const fc_operands *operands, const fc_split_cut *c, int64_t group, int64_t tile, char *to,
                      char *staged)
{
    const fc_problem *p = &plan->problem;
    const int64_t igc = p->ic / p->groups, ocg = p->oc / p->groups, edge = FC_MATRIX_EDGE, oc = tile * edge;
    const int64_t channels = least(edge, ocg - oc);
    const int64_t block = c->taps * FC_PARTS * FC_MATRIX_BYTES;
    char *const turned = staged + FC_MATRIX_STEP * c->taps * edge * 4;
    float squares[FC_MATRIX_EDGE][FC_MATRIX_EDGE] __attribute__((aligned(64))) = {{0}}; /* of a channel: a row, or a lane of the first */
    const int in_place = c->taps == 1 && !p->channels_last && operands->weight.stride[1] == 4;
    if (in_place)
        split_rows(plan, operands, c, group * ocg + oc, channels, to, (char *)squares);
    for (int64_t channel = 0; !in_place && channel < igc; channel += FC_MATRIX_STEP) {
        const int64_t count = least(FC_MATRIX_STEP, igc - channel);
        fc_pack(plan, &operands->weight, group, oc, edge, channel, count, 0, staged);
        split_block(plan, c, staged, count, to + channel / FC_MATRIX_STEP * block, turned, (char *)squares);
    }
    for (int64_t o = 0; !p->channels_last && o < edge; o++) {
        float *const row = squares[o];
        for (int64_t half = edge / 2; half > 0; half /= 2)
            for (int64_t i = 0; i < half; i++)
                row[i] += row[i + half];
        squares[0][o] = row[0];
    }
    *(fc_split_scale *)(to + c->blocks * block) = scale_of(p, &operands->weight, group * ocg + oc, channels, squares[0]);
}
