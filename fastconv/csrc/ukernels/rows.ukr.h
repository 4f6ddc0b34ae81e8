/* Up to four rows of outputs by 1 to V(VECS) vectors, for one instruction set and one arithmetic. Contract: fc_rows_run.
 *
 * A row of the image is read once for all the rows of outputs that it is part of: for a 3 x 3 kernel 18 loads of pixels for
 * 36 multiplications. Which of them those are changes from row to row, and registers have no index: each range of rows has
 * a loop of its own. The image's rows come in order, and so do each output's products. */

#define FC_NAME FC_PASTE3(rows, FC_T, FC_ISA)
#define FC_ELEMENT V(ELEMENT)

/* The pixels of one tap, a row of them. Where they are masked, the first and the last vector may reach outside. */
static inline __attribute__((always_inline)) void FC_PASTE2(FC_NAME, load)(V(VEC) *p, const int vecs, const int masked,
                                                                           const char *x, const int64_t *xoff,
                                                                           const uint16_t *masks, int64_t t)
{
    const FC_ELEMENT *pixels = (const FC_ELEMENT *)(x + xoff[t]);
    FC_UNROLL
    for (int j = 0; j < vecs; j++) {
#if V(HELD) >= 9 && FC_MASKS
        if (masked && (j == 0 || j == vecs - 1)) {
            p[j] = V(LOAD_SOME)(pixels + j * V(LANES), (V(MASK))masks[2 * t + (j > 0)]);
            continue;
        }
#endif
        p[j] = V(LOAD)(pixels + j * V(LANES));
    }
    FC_UNROLL
    for (int j = 0; j < vecs; j++) /* or GCC loads them again for each product, across lines */
        FC_KEEP(p[j]);
    (void)masked, (void)masks;
}

/* The products of one row of the image: `w` is the kernel's row for output row `first`, earlier ones for those after. */
static inline __attribute__((always_inline)) void FC_PASTE2(FC_NAME, range)(V(VEC) acc[4][V(VECS)], const int vecs,
                                                                            const int masked, const int64_t taps,
                                                                            const int first, const int last,
                                                                            const int64_t *xoff, const uint16_t *masks,
                                                                            const char *x, const FC_ELEMENT *w, int64_t w_row)
{
    FC_FEW
    for (int64_t t = 0; t < taps; t++) {
        V(VEC) p[V(VECS)];
        FC_PASTE2(FC_NAME, load)(p, vecs, masked, x, xoff, masks, t);
        FC_UNROLL
        for (int i = first; i <= last; i++) {
            const V(VEC) weight = V(SPLAT)(w + t - (i - first) * w_row);
            FC_UNROLL
            for (int j = 0; j < vecs; j++)
                acc[i][j] = V(FMA)(weight, p[j], acc[i][j]);
        }
    }
}

/* The products of image row r. Output row i has the kernel's row r - i * stride there, if there is one. */
static inline __attribute__((always_inline)) void FC_PASTE2(FC_NAME, step)(
    V(VEC) acc[4][V(VECS)], const int vecs, const int masked, const fc_rows_run *run, const int64_t rows, const int64_t kh,
    const int64_t taps, const int64_t stride, const int64_t r, const int64_t *xoff, const uint16_t *masks)
{
    const int64_t first = r < kh ? 0 : (r - kh) / stride + 1, last = r / stride < rows ? r / stride : rows - 1;
    const char *x = run->x + r * run->x_row;
    if (masked) { /* without a branch, which would be foreseen badly */
        const uint64_t inside = (uint64_t)(r - run->begin) < (uint64_t)(run->end - run->begin);
        x = run->outside + (((uintptr_t)x - (uintptr_t)run->outside) & -inside);
    }
    const FC_ELEMENT *w = (const FC_ELEMENT *)run->w + (r - first * stride) * taps;
    switch (first * 4 + last) {
#define FC_RANGE(FIRST, LAST)                                                                                          \
    case FIRST * 4 + LAST:                                                                                             \
        FC_PASTE2(FC_NAME, range)(acc, vecs, masked, taps, FIRST, LAST, xoff, masks, x, w, stride * taps);              \
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
}

/* `stride` 0 is for any run; 1 and 2 are for that stride, a kernel of 3 x 3 and four rows of outputs, unrolled. */
static inline __attribute__((always_inline)) void FC_PASTE2(FC_NAME, body)(const int vecs, const int stride, const int masked,
                                                                           const fc_rows_run *run)
{
    V(VEC) acc[4][V(VECS)];
    FC_UNROLL
    for (int i = 0; i < 4; i++)
        FC_UNROLL
        for (int j = 0; j < vecs; j++)
            acc[i][j] = V(ZERO)();

    if (stride) {
        const int64_t xoff[3] = {run->xoff[0], run->xoff[1], run->xoff[2]};
        uint16_t masks[6] = {0};
#if V(HELD) >= 9 && FC_MASKS
        if (masked)
            FC_UNROLL
            for (int i = 0; i < 6; i++) {
                V(MASK) mask = (V(MASK))run->masks[i];
                FC_KEEP_MASK(mask);
                masks[i] = mask;
            }
#endif
        FC_UNROLL
        for (int r = 0; r < 3 * stride + 3; r++)
            FC_PASTE2(FC_NAME, step)(acc, vecs, masked, run, 4, 3, 3, stride, r, xoff, masks);
    } else {
        FC_ROLLED
        for (int64_t r = 0; r < (run->rows - 1) * run->stride + run->kh; r++)
            FC_PASTE2(FC_NAME, step)(acc, vecs, masked, run, run->rows, run->kh, run->taps, run->stride, r, run->xoff, run->masks);
    }

    const FC_ELEMENT one = 1;
    FC_UNROLL
    for (int i = 0; i < 4; i++) {
        if (!stride && i == run->rows)
            return;
        FC_ELEMENT *y = (FC_ELEMENT *)(run->y + i * run->y_row);
        FC_UNROLL
        for (int j = 0; j < vecs; j++) {
            if (run->bias) /* 1 * sum + bias is the sum, rounded once */
                acc[i][j] = V(FMA)(V(SPLAT)(&one), acc[i][j], V(SPLAT)((const FC_ELEMENT *)run->bias));
            if (j < vecs - 1)
                V(STORE)(y + j * V(LANES), acc[i][j]);
            else
                V(STORE_FIRST)(y + j * V(LANES), acc[i][j], run->last);
        }
    }
}

/* Which: 0 to 2 as `stride` of the body, 3 and 4 as 0 and 1 with masks. */
#define FC_KERNEL(WHICH, VECS)                                                                                         \
    static void FC_PASTE3(FC_NAME, WHICH, VECS)(const fc_rows_run *run)                                                \
    {                                                                                                                  \
        FC_PASTE2(FC_NAME, body)(VECS, WHICH % 3, WHICH / 3, run);                                                     \
    }
#if V(VECS) > 2
#define FC_KERNELS(WHICH) FC_KERNEL(WHICH, 1) FC_KERNEL(WHICH, 2) FC_KERNEL(WHICH, 3) FC_KERNEL(WHICH, 4)
#define FC_LIST(WHICH)                                                                                                 \
    {NULL, FC_PASTE3(FC_NAME, WHICH, 1), FC_PASTE3(FC_NAME, WHICH, 2), FC_PASTE3(FC_NAME, WHICH, 3),                   \
     FC_PASTE3(FC_NAME, WHICH, 4)}
#else
#define FC_KERNELS(WHICH) FC_KERNEL(WHICH, 1) FC_KERNEL(WHICH, 2)
#define FC_LIST(WHICH) {NULL, FC_PASTE3(FC_NAME, WHICH, 1), FC_PASTE3(FC_NAME, WHICH, 2)}
#endif
FC_KERNELS(0)
#if V(HELD) >= 9 /* GCC 12 spills as many vectors as it multiplies where they are not (neon), or some (avx2) */
FC_KERNELS(1)
FC_KERNELS(2)
#endif
#if V(HELD) >= 9 && FC_MASKS
FC_KERNELS(3)
FC_KERNELS(4)
#endif
static const fc_rows FC_NAME = {.vecs = V(VECS), .lanes = V(LANES), .run = {
    FC_LIST(0),
#if V(HELD) >= 9
    FC_LIST(1), FC_LIST(2),
#endif
#if V(HELD) >= 9 && FC_MASKS
    FC_LIST(3), FC_LIST(4),
#endif
}};

#undef FC_LIST
#undef FC_KERNELS
#undef FC_KERNEL
#undef FC_ELEMENT
#undef FC_NAME
