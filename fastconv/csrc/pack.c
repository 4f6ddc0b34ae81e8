/* Weights into panels: output channels side by side, a row for each product of the chain. */

#include "algorithms/common.h"

enum {
    TABLE_TAPS = 32, /* most taps of a channel that are packed by a table, 8 KiB on the stack */
    ROWS = 16,       /* of weights that are transposed at a time, */
    COLUMNS = 64,    /* and elements of each: */
    AHEAD = 256,     /* meanwhile those so many bytes further on are called into the cache */
};

static inline int64_t row_at(int64_t r, int64_t bytes, int64_t gap)
{
    return r * bytes + r / FC_CHANNEL_BLOCK * gap;
}

/* Transpose rows of weights to rows of a panel. Rows lie as far apart as the chain is long, often pages, so few are read at
 * a time, and the processor does not foresee them: with cold caches it takes 0.8 to 1.1 cycles of Zen 4 an element, and 2.5
 * where nothing is called ahead. */
static void turn(const fc_plan *plan, char *to, const int64_t *to_at, const char *from, int64_t from_step, int64_t rows,
                 int64_t columns)
{
    const int64_t size = element_size(&plan->problem), height = least(rows, ROWS);
    for (int64_t j = 0, width; j < columns; j += width) {
        width = columns - j < COLUMNS + COLUMNS / 4 ? columns - j : COLUMNS;
        for (int64_t i = 0; i < rows; i += ROWS) {
            const int64_t row = least(i, rows - height); /* the last rows are moved back, and some moved twice */
            const char *block = from + row * from_step + j * size;
            for (int64_t r = 0; r < height; r++)
                for (int64_t line = 0; line < width * size; line += 64)
                    __builtin_prefetch(block + r * from_step + line + AHEAD, 0, 2);
            plan->transpose(to + row * size, to_at + j, 0, block, from_step, height, width);
        }
    }
}

/* How the taps of a channel lie: one after the other in memory, forwards (1) or backwards (-1), or not (0). */
static int tap_order(const fc_problem *p, const int64_t *w)
{
    const int64_t tap = p->kw > 1 ? w[3] : w[2], size = element_size(p);
    if (p->kh > 1 && p->kw > 1 && w[2] != p->kw * w[3])
        return 0;
    return p->kh * p->kw == 1 || tap == size ? 1 : tap == -size ? -1 : 0;
}

void fc_pack(const fc_plan *plan, const fc_array *weight, int64_t group, int64_t oc, int64_t columns, int64_t c,
             int64_t count, int64_t gap, char *to)
{
    const fc_problem *p = &plan->problem;
    const int64_t *w = weight->stride, size = element_size(p), row = columns * size, taps = p->kh * p->kw;
    const int64_t ocg = p->oc / p->groups, real = least(columns, ocg - oc), last = (p->kh - 1) * w[2] + (p->kw - 1) * w[3];
    const int order = real > 1 && w[0] != size ? tap_order(p, w) : 0;
    const char *from = weight->data + (group * ocg + oc) * w[0] + c * w[1];

    for (int64_t s = 0; real < columns && s < count * taps; s++)
        memset(to + row_at(s, row, gap) + real * size, 0, (size_t)(row - real * size));
    for (int64_t block; count > 0; count -= block, from += block * w[1], to += row_at(block * taps, row, gap)) {
        block = least(count, FC_CHANNEL_BLOCK);
        int64_t at[FC_CHANNEL_BLOCK * TABLE_TAPS];
        if (real > 1 && w[0] != size && (w[1] == size || block == 1) && (taps == 1 || !order))
            for (int64_t t = 0; t < taps; t++) {
                for (int64_t i = 0; i < block; i++)
                    at[i] = row_at(t * block + i, row, gap);
                turn(plan, to, at, from + t / p->kw * w[2] + t % p->kw * w[3], w[0], real, block);
            }
        else if (order && taps <= TABLE_TAPS && (block == 1 || w[1] == taps * size)) {
            for (int64_t i = 0; i < block; i++)
                for (int64_t t = 0; t < taps; t++)
                    at[i * taps + (order > 0 ? t : taps - 1 - t)] = row_at(t * block + i, row, gap);
            turn(plan, to, at, order > 0 ? from : from + last, w[0], real, block * taps);
        } else if (order)
            for (int64_t i = 0; i < block; i++)
                for (int64_t first = 0; first < taps; first += TABLE_TAPS) {
                    const int64_t some = least(taps - first, TABLE_TAPS);
                    for (int64_t t = 0; t < some; t++)
                        at[t] = row_at((order > 0 ? first + t : taps - 1 - first - t) * block + i, row, gap);
                    turn(plan, to, at, from + i * w[1] + (order > 0 ? 0 : last) + first * size, w[0], real, some);
                }
        else if (w[0] == size && real == columns && columns <= plan->tile->columns && block == FC_CHANNEL_BLOCK)
            for (int64_t t = 0; t < taps; t++)
                plan->tile->copy[columns / plan->tile->lanes](to + row_at(t * block, row, gap), row,
                                                              from + t / p->kw * w[2] + t % p->kw * w[3], w[1], block);
        else
            for (int64_t t = 0; t < taps; t++)
                for (int64_t i = 0; i < block; i++)
                    fc_pick(to + row_at(t * block + i, row, gap), from + i * w[1] + t / p->kw * w[2] + t % p->kw * w[3], w[0],
                            real, size);
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
    int64_t s = 0; /* by counting: a division takes as long as a step of the chain */
    if (w[0] == size) { /* output channels lie side by side: one line of each product, then the next */
        for (int64_t ky = 0; ky < p->kh; ky++)
            for (int64_t kx = 0; kx < p->kw; kx++)
                for (int64_t c = 0; c < count; c++)
                    off[s++] = c * w[1] + ky * w[2] + kx * w[3];
        return (fc_lines){off, 64, ceil_div(row, 64)};
    }
    const int64_t in_a_row = ceil_div(steps * size, 64), rows = steps / in_a_row;
    for (int64_t i = 0; i < rows; i++)
        for (int64_t line = 0; line < in_a_row; line++)
            off[s++] = i * w[0] + line * 64;
    for (; s < steps; s++)
        off[s] = off[s - in_a_row];
    return (fc_lines){off, rows * w[0], ceil_div(row / size, rows)};
}
