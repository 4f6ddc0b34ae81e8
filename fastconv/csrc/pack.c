/* Weights into panels: output channels side by side, a row for each product of the chain. */

#include "algorithms/common.h"

enum { TABLE_TAPS = 32 }; /* most taps of a channel that are packed by a table, 8 KiB on the stack */

/* How the taps of a channel lie: one after the other in memory, forwards (1) or backwards (-1), or not (0). */
static int tap_order(const fc_problem *p, const int64_t *w)
{
    const int64_t tap = p->kw > 1 ? w[3] : w[2], size = element_size(p);
    if (p->kh > 1 && p->kw > 1 && w[2] != p->kw * w[3])
        return 0;
    return p->kh * p->kw == 1 || tap == size ? 1 : tap == -size ? -1 : 0;
}

void fc_pack(const fc_plan *plan, const fc_array *weight, int64_t group, int64_t oc, int64_t columns, int64_t c,
             int64_t count, char *to)
{
    const fc_problem *p = &plan->problem;
    const int64_t *w = weight->stride, size = element_size(p), row = columns * size, taps = p->kh * p->kw;
    const int64_t ocg = p->oc / p->groups, real = least(columns, ocg - oc), last = (p->kh - 1) * w[2] + (p->kw - 1) * w[3];
    const int order = real > 1 && w[0] != size ? tap_order(p, w) : 0;
    const char *from = weight->data + (group * ocg + oc) * w[0] + c * w[1];

    for (int64_t s = 0; real < columns && s < count * taps; s++)
        memset(to + s * row + real * size, 0, (size_t)(row - real * size));
    for (int64_t block; count > 0; count -= block, from += block * w[1], to += block * taps * row) {
        block = least(count, FC_CHANNEL_BLOCK);
        int64_t at[FC_CHANNEL_BLOCK * TABLE_TAPS];
        if (order && taps <= TABLE_TAPS && (block == 1 || w[1] == taps * size)) {
            for (int64_t i = 0; i < block; i++)
                for (int64_t t = 0; t < taps; t++)
                    at[i * taps + (order > 0 ? t : taps - 1 - t)] = (t * block + i) * row;
            plan->transpose(to, at, 0, order > 0 ? from : from + last, w[0], real, block * taps);
        } else if (order)
            for (int64_t i = 0; i < block; i++)
                plan->transpose(to + (order > 0 ? i : (taps - 1) * block + i) * row, NULL, order * block * row,
                                from + i * w[1] + (order > 0 ? 0 : last), w[0], real, taps);
        else
            for (int64_t t = 0; t < taps; t++)
                for (int64_t i = 0; i < block; i++)
                    fc_pick(to + (t * block + i) * row, from + i * w[1] + t / p->kw * w[2] + t % p->kw * w[3], w[0], real, size);
    }
}

fc_lines fc_lines_of(const fc_problem *p, const fc_operands *operands, int64_t count, int64_t row, int64_t *off)
{
    const int64_t *w = operands->weight.stride, size = element_size(p), taps = p->kh * p->kw, steps = count * taps;
    if (operands->packed) {
        for (int64_t s = 0; s < steps; s++)
            off[s] = 64 * s;
        return (fc_lines){off, 64 * steps, ceil_div(row, 64)};
    }
    if (w[0] == size) { /* output channels lie side by side: one line of each product, then the next */
        for (int64_t s = 0; s < steps; s++)
            off[s] = s % count * w[1] + s / count / p->kw * w[2] + s / count % p->kw * w[3];
        return (fc_lines){off, 64, ceil_div(row, 64)};
    }
    const int64_t in_a_row = ceil_div(steps * size, 64), rows = steps / in_a_row;
    for (int64_t s = 0; s < steps; s++)
        off[s] = least(s / in_a_row, rows - 1) * w[0] + s % in_a_row * 64;
    return (fc_lines){off, rows * w[0], ceil_div(row / size, rows)};
}
