/* Rows of outputs by a few vectors whose weights alternate along the row, for one instruction set and one arithmetic.
 * Contract: fc_interleaved.
 *
 * Up to four rows of outputs share the rows of the image, as in rows.ukr.h. A vector of weights is loaded for all vectors of
 * a row that it fits: with 4 rows by 6 vectors and a period of 3 there are 12 such loads, and 6 of pixels, most of them
 * across lines, for 24 multiplications, as many cycles on Zen 4. Where a weight is that of all lanes it is an element that is
 * broadcast: vectors of it would be 14 KiB of the first-level cache for 15 x 15. */

#define FC_NAME FC_PASTE3(interleaved, FC_T, FC_ISA)
#define FC_ELEMENT V(ELEMENT)

/* Registers for 4 x 6 sums, or for 4 x 3 (16 registers, or GCC spills). */
#if V(ROWS) * V(VECS) >= 24
#define FC_WIDEST 6
#else
#define FC_WIDEST 4
#endif

/* The products of `count` rows of the image, which are all in the same rows of outputs: `w` is the kernel's row for output row
 * `first`, earlier ones for those after, with `w_step` from one tap to the next. */
static inline __attribute__((always_inline)) void FC_PASTE2(FC_NAME, range)(V(VEC) acc[4][FC_WIDEST], const int period,
                                                                            const int vecs, const int first, const int last,
                                                                            const fc_rows_run *run, int64_t count, const char *x,
                                                                            const FC_ELEMENT *w, int64_t w_row)
{
    const int together = period ? period : 1; /* vectors after which weights fit again */
    const int64_t taps = run->taps, x_row = run->x_row, *const xoff = run->xoff;
    const FC_ELEMENT *at[4];
    FC_UNROLL
    for (int i = first; i <= last; i++) {
        at[i] = w - (i - first) * w_row;
        FC_KEEP_POINTER(at[i]); /* or GCC keeps one for each row and vector, and runs out of registers */
    }
    FC_ROLLED
    for (; count > 0; count--, x += x_row) {
        FC_ROLLED
        for (int64_t t = 0; t < taps; t++) {
            const FC_ELEMENT *pixels = (const FC_ELEMENT *)(x + xoff[t]);
            FC_UNROLL
            for (int q = 0; q < together; q++) {
                V(VEC) p[FC_WIDEST];
                FC_UNROLL
                for (int j = q; j < vecs; j += together) {
                    p[j] = V(LOAD)(pixels + j * V(LANES));
                    FC_KEEP(p[j]); /* or GCC loads it again for each product */
                }
                FC_UNROLL
                for (int i = first; i <= last; i++) {
                    V(VEC) weight = period ? V(LOAD)(at[i] + (t * period + q) * V(LANES)) : V(SPLAT)(at[i] + t);
                    if (vecs > together)
                        FC_KEEP(weight);
                    FC_UNROLL
                    for (int j = q; j < vecs; j += together)
                        acc[i][j] = V(FMA)(weight, p[j], acc[i][j]);
                }
            }
        }
        FC_UNROLL
        for (int i = first; i <= last; i++)
            at[i] += period ? taps * period * V(LANES) : taps;
    }
}

static inline __attribute__((always_inline)) void FC_PASTE2(FC_NAME, store)(V(VEC) *acc, const int period, const int vecs,
                                                                            const int64_t count, const void *bias, char *to)
{
    const FC_ELEMENT one = 1;
    FC_ELEMENT *y = (FC_ELEMENT *)to;
    if (bias) /* 1 * sum + bias is the sum, rounded once */
        FC_UNROLL
        for (int j = 0; j < vecs; j++)
            acc[j] = V(FMA)(V(SPLAT)(&one), acc[j],
                            period ? V(LOAD)((const FC_ELEMENT *)bias + j % (period ? period : 1) * V(LANES))
                                   : V(SPLAT)((const FC_ELEMENT *)bias));
    FC_UNROLL
    for (int j = 0; j < vecs; j++) {
        const int64_t left = count - j * V(LANES);
        if (left >= V(LANES))
            V(STORE)(y + j * V(LANES), acc[j]);
        else if (left > 0)
            V(STORE_FIRST)(y + j * V(LANES), acc[j], left);
    }
}

static inline __attribute__((always_inline)) void FC_PASTE2(FC_NAME, run)(const int period, const int vecs,
                                                                          const fc_rows_run *run)
{
    const int64_t kh = run->kh, stride = run->stride, rows = run->rows, w_row = run->taps * (period ? period * V(LANES) : 1);
    V(VEC) acc[4][FC_WIDEST];
    FC_UNROLL
    for (int i = 0; i < 4; i++)
        FC_UNROLL
        for (int j = 0; j < vecs; j++)
            acc[i][j] = V(ZERO)();
    /* Output row i has the kernel's row r - i * stride at row r of the image, if there is one. Rows of the image that are in the
     * same rows of outputs are done together. */
    int64_t first = 0, last = 0, r = 0;
    FC_ROLLED
    while (first < rows) {
        const int64_t out = kh + first * stride, in = last + 1 < rows ? (last + 1) * stride : out, end = in < out ? in : out;
        const char *x = run->x + r * run->x_row;
        const FC_ELEMENT *w = (const FC_ELEMENT *)run->w + (r - first * stride) * w_row;
        switch (first * 4 + last) {
#define FC_RANGE(FIRST, LAST)                                                                                          \
    case FIRST * 4 + LAST:                                                                                             \
        FC_PASTE2(FC_NAME, range)(acc, period, vecs, FIRST, LAST, run, end - r, x, w, stride * w_row);                  \
        break;
            FC_RANGE(0, 0)
            FC_RANGE(0, 1)
            FC_RANGE(0, 2)
            FC_RANGE(0, 3)
            FC_RANGE(1, 1)
            FC_RANGE(1, 2)
            FC_RANGE(1, 3)
            FC_RANGE(2, 2)
            FC_RANGE(2, 3)
            FC_RANGE(3, 3)
#undef FC_RANGE
        }
        FC_UNROLL
        for (int i = 0; i < 4; i++)
            FC_UNROLL
            for (int j = 0; j < vecs; j++)
                FC_SETTLE(acc[i][j]); /* or Clang 14 has several copies of a sum, and with 16 registers keeps one on the stack */
        r = end;
        first += end == out;
        last += end == in && last + 1 < rows;
    }
    FC_UNROLL
    for (int i = 0; i < 4; i++) {
        if (i == rows)
            return;
        FC_PASTE2(FC_NAME, store)(acc[i], period, vecs, run->last, run->bias, run->y + i * run->y_row);
    }
}

#define FC_WOVEN(PERIOD, VECS)                                                                                         \
    FC_RUN_KERNEL(FC_PASTE3(FC_NAME, PERIOD, VECS), fc_rows_run)                                                       \
    {                                                                                                                  \
        FC_PASTE2(FC_NAME, run)(PERIOD, VECS, run);                                                                    \
    }
FC_WOVEN(0, 1)
FC_WOVEN(0, 2)
FC_WOVEN(0, 3)
FC_WOVEN(1, 1)
FC_WOVEN(1, 2)
FC_WOVEN(1, 3)
FC_WOVEN(2, 2)
FC_WOVEN(3, 3)
#if V(LANES) == 1
FC_WOVEN(4, 4)
#endif
#if FC_WIDEST == 6
FC_WOVEN(0, 6)
FC_WOVEN(1, 6)
FC_WOVEN(3, 6)
#endif
#undef FC_WOVEN

static const fc_interleaved FC_NAME = {
    .lanes = V(LANES),
    .run = {[0] = {NULL, FC_PASTE3(FC_NAME, 0, 1), FC_PASTE3(FC_NAME, 0, 2), FC_PASTE3(FC_NAME, 0, 3)},
            [1] = {NULL, FC_PASTE3(FC_NAME, 1, 1), FC_PASTE3(FC_NAME, 1, 2), FC_PASTE3(FC_NAME, 1, 3)},
            [2] = {[2] = FC_PASTE3(FC_NAME, 2, 2)},
            [3] = {[3] = FC_PASTE3(FC_NAME, 3, 3)},
#if V(LANES) == 1
            [4] = {[4] = FC_PASTE3(FC_NAME, 4, 4)},
#endif
#if FC_WIDEST == 6
            [0][6] = FC_PASTE3(FC_NAME, 0, 6),
            [1][6] = FC_PASTE3(FC_NAME, 1, 6),
            [3][6] = FC_PASTE3(FC_NAME, 3, 6),
#endif
    },
};

#undef FC_WIDEST
#undef FC_ELEMENT
#undef FC_NAME
