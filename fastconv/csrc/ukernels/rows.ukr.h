/* Rows of outputs by 1 to V(VECS) vectors, for one instruction set and one arithmetic. Contract: fc_rows_run.
 *
 * A row of the image is read once for all the rows of outputs that it is part of, and the image's rows come in order, so that
 * each output's products do. For kernels of any shape, `any`: up to four rows of outputs, 18 loads of pixels for 36
 * multiplications with 3 x 3. Which of them a row of the image is part of changes from row to row, and registers have no
 * index: each range has a loop of its own. For a few shapes, `down`: all rows, of which as many are worked on as the kernel is
 * high; one is finished with each row of the image, or with every other one where the stride is 2, and the others move up:
 * 3 loads for 9 multiplications. */

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

static inline __attribute__((always_inline)) void FC_PASTE2(FC_NAME, store)(const V(VEC) *acc, const int vecs, const int64_t last,
                                                                            const void *bias, char *to)
{
    const FC_ELEMENT one = 1;
    FC_ELEMENT *y = (FC_ELEMENT *)to;
    FC_UNROLL
    for (int j = 0; j < vecs; j++) {
        V(VEC) sum = acc[j];
        if (bias) /* 1 * sum + bias is the sum, rounded once */
            sum = V(FMA)(V(SPLAT)(&one), sum, V(SPLAT)((const FC_ELEMENT *)bias));
        if (j < vecs - 1)
            V(STORE)(y + j * V(LANES), sum);
        else
            V(STORE_FIRST)(y + j * V(LANES), sum, last);
    }
}

static inline __attribute__((always_inline)) void FC_PASTE2(FC_NAME, any)(const int vecs, const int masked,
                                                                          const fc_rows_run *run)
{
    V(VEC) acc[4][V(VECS)];
    FC_UNROLL
    for (int i = 0; i < 4; i++)
        FC_UNROLL
        for (int j = 0; j < vecs; j++)
            acc[i][j] = V(ZERO)();
    FC_ROLLED
    for (int64_t r = 0; r < (run->rows - 1) * run->stride + run->kh; r++)
        FC_PASTE2(FC_NAME, step)(acc, vecs, masked, run, run->rows, run->kh, run->taps, run->stride, r, run->xoff, run->masks);
    FC_UNROLL
    for (int i = 0; i < 4; i++) {
        if (i == run->rows)
            return;
        FC_PASTE2(FC_NAME, store)(acc[i], vecs, run->last, run->bias, run->y + i * run->y_row);
    }
}

#if V(HELD) >= 9
#if FC_MASKS
#if V(LANES) == 16
#define FC_EVEN(a, b) __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30)
#define FC_ODD(a, b) __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31)
#elif V(LANES) == 8
#define FC_EVEN(a, b) __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14)
#define FC_ODD(a, b) __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15)
#endif
#endif

/* What goes down a column of tiles: the sums of outputs that are not finished, `live` rows of each segment, and where the
 * image and the result are. */
typedef struct {
    V(VEC) acc[7][4];
    V(VEC) held[9];
    uint16_t masks[12];
    const char *x[2];
    uint64_t at[2]; /* the image's row, from the first that is there */
    char *y[2];
} FC_PASTE2(FC_NAME, state);

/* The pixels of tap t, and of the one after it where every other pixel is taken: both are in the same two vectors. */
static inline __attribute__((always_inline)) void FC_PASTE2(FC_NAME, pixels)(V(VEC) *p, V(VEC) *next, const int vecs,
                                                                             const int masked, const int across,
                                                                             const char *x, const uint16_t *masks)
{
    const FC_ELEMENT *from = (const FC_ELEMENT *)x;
    FC_UNROLL
    for (int j = 0; j < vecs; j++) {
        V(VEC) part[2];
        FC_UNROLL
        for (int k = 0; k < across; k++) {
            const FC_ELEMENT *at = from + (j * across + k) * V(LANES);
#if FC_MASKS
            if (masked && (j == vecs - 1 || (j == 0 && k == 0)))
                part[k] = V(LOAD_SOME)(at, (V(MASK))masks[j == vecs - 1 ? across + k : k]);
            else
#endif
                part[k] = V(LOAD)(at);
            FC_KEEP(part[k]);
        }
#if FC_MASKS
        if (across == 2) {
            p[j] = FC_EVEN(part[0], part[1]);
            next[j] = FC_ODD(part[0], part[1]);
            continue;
        }
#endif
        p[j] = part[0];
    }
    (void)masks, (void)next;
}

/* The products of one tap. Image row q of the window of the first output that is not finished is row q - d * stride of that of
 * the d-th after it. */
static inline __attribute__((always_inline)) void FC_PASTE2(FC_NAME, products)(FC_PASTE2(FC_NAME, state) *s, const V(VEC) *p,
                                                                               const int n, const int kh, const int stride,
                                                                               const int q, const int limit,
                                                                               const FC_ELEMENT *w, const int64_t t)
{
    FC_UNROLL
    for (int d = 0; d < limit; d++)
        if (q >= d * stride) {
            const V(VEC) weight = kh == 3 ? s->held[(q - d * stride) * 3 + t] : V(SPLAT)(w + (q - d * stride) * kh);
            FC_UNROLL
            for (int j = 0; j < n; j++)
                s->acc[d][j] = V(FMA)(weight, p[j], s->acc[d][j]);
        }
}

/* The products of one row of the image. */
static inline __attribute__((always_inline)) void FC_PASTE2(FC_NAME, row)(FC_PASTE2(FC_NAME, state) *s, const int vecs,
                                                                          const int segments, const int masked, const int kh,
                                                                          const int stride, const int q, const int limit,
                                                                          const fc_rows_run *run)
{
    const int across = masked ? stride : 1, n = vecs * segments;
    const FC_ELEMENT *w = run->w;
    const char *x[2];
    FC_UNROLL
    for (int k = 0; k < segments; k++) {
        x[k] = s->x[k];
        if (masked) { /* without a branch, which would be foreseen badly */
            const uint64_t inside = s->at[k] < (uint64_t)(run->end - run->begin);
            x[k] = run->outside + (((uintptr_t)x[k] - (uintptr_t)run->outside) & -inside);
        }
        s->x[k] += run->x_row;
        s->at[k]++;
    }
    V(VEC) p[4], next[4];
    if (kh == 3) {
        FC_UNROLL
        for (int t = 0; t < 3; t += across) {
            FC_UNROLL
            for (int k = 0; k < segments; k++)
                FC_PASTE2(FC_NAME, pixels)(p + k * vecs, next + k * vecs, vecs, masked, across, x[k] + run->xoff[t],
                                           s->masks + 2 * t);
            FC_PASTE2(FC_NAME, products)(s, p, n, kh, stride, q, limit, w, t);
            if (across == 2 && t == 0)
                FC_PASTE2(FC_NAME, products)(s, next, n, kh, stride, q, limit, w, 1);
        }
        return;
    }
    const int64_t *xoff = run->xoff;
    const uint16_t *masks = run->masks;
    FC_ROLLED
    for (int t = 0; t < kh; t += across, w += across, xoff += across, masks += 2 * across * across) {
        FC_UNROLL
        for (int k = 0; k < segments; k++)
            FC_PASTE2(FC_NAME, pixels)(p + k * vecs, next + k * vecs, vecs, masked, across, x[k] + *xoff, masks);
        FC_PASTE2(FC_NAME, products)(s, p, n, kh, stride, q, limit, w, 0);
        if (across == 2 && t + 1 < kh)
            FC_PASTE2(FC_NAME, products)(s, next, n, kh, stride, q, limit, w + 1, 0);
    }
}

/* An output is finished: to the result, and the others move up. Processors rename registers for that. */
static inline __attribute__((always_inline)) void FC_PASTE2(FC_NAME, finish)(FC_PASTE2(FC_NAME, state) *s, const int vecs,
                                                                             const int segments, const int live,
                                                                             const fc_rows_run *run)
{
    FC_UNROLL
    for (int j = 0; j < vecs * segments; j++) /* or Clang 14 moves the second segment's products behind the first one's store */
        FC_SETTLE(s->acc[0][j]);
    FC_UNROLL
    for (int k = 0; k < segments; k++) {
        FC_PASTE2(FC_NAME, store)(s->acc[0] + k * vecs, vecs, run->last, run->bias, s->y[k]);
        s->y[k] += run->y_row;
    }
    FC_UNROLL
    for (int d = 0; d < live; d++)
        FC_UNROLL
        for (int j = 0; j < vecs * segments; j++)
            s->acc[d][j] = d + 1 < live ? s->acc[d + 1][j] : V(ZERO)();
}

static inline __attribute__((always_inline)) void FC_PASTE2(FC_NAME, down)(const int kh, const int stride, const int masked,
                                                                           const int vecs, const fc_rows_run *run)
{
    const int live = (kh - 1) / stride + 1, across = masked ? stride : 1;
    /* Narrow maps go down in two halves, which share the weights. (GCC 12 spills 7 high without masks.) */
    const int segments = vecs <= (kh < 7 ? 2 : masked) ? 2 : 1;
    const int64_t rows = segments == 1 ? run->rows : (run->rows + 1) / 2, apart = run->rows - rows;
    FC_PASTE2(FC_NAME, state) s;
    FC_UNROLL
    for (int d = 0; d < live; d++)
        FC_UNROLL
        for (int j = 0; j < vecs * segments; j++)
            s.acc[d][j] = V(ZERO)();
    if (kh == 3)
        FC_UNROLL
        for (int i = 0; i < 9; i++)
            s.held[i] = V(SPLAT)((const FC_ELEMENT *)run->w + i);
#if FC_MASKS
    if (kh == 3 && masked)
        FC_UNROLL
        for (int i = 0; i < 2 * across * (4 - across); i++) {
            if (across == 2 && i % 4 == 1) /* the first vector's second half, which is inside, or its last one's too */
                continue;
            V(MASK) mask = (V(MASK))run->masks[i / 4 * 4 * across + i % 4];
            FC_KEEP_MASK(mask);
            s.masks[i] = mask;
        }
#endif
    FC_UNROLL
    for (int k = 0; k < segments; k++) {
        s.x[k] = run->x + k * apart * stride * run->x_row;
        s.at[k] = (uint64_t)(k * apart * stride - run->begin);
        s.y[k] = run->y + k * apart * run->y_row;
    }

    FC_UNROLL
    for (int q = 0; q < kh - stride; q++)
        FC_PASTE2(FC_NAME, row)(&s, vecs, segments, masked, kh, stride, q, live, run);
    FC_ROLLED
    for (int64_t left = rows - live; left >= 0; left--) {
        FC_UNROLL
        for (int q = kh - stride; q < kh; q++)
            FC_PASTE2(FC_NAME, row)(&s, vecs, segments, masked, kh, stride, q, live, run);
        FC_PASTE2(FC_NAME, finish)(&s, vecs, segments, live, run);
    }
    FC_UNROLL
    for (int left = live - 1; left > 0; left--) { /* the last outputs, with none after them */
        if (left > rows)
            continue;
        FC_UNROLL
        for (int q = kh - stride; q < kh; q++)
            FC_PASTE2(FC_NAME, row)(&s, vecs, segments, masked, kh, stride, q, left, run);
        FC_PASTE2(FC_NAME, finish)(&s, vecs, segments, left, run);
    }
}
#endif

#define FC_ANY(MASKED, VECS)                                                                                           \
    static void FC_PASTE3(FC_NAME, MASKED, VECS)(const fc_rows_run *run)                                               \
    {                                                                                                                  \
        FC_PASTE2(FC_NAME, any)(VECS, MASKED, run);                                                                    \
    }
#define FC_DOWN(KH, STRIDE, MASKED, VECS)                                                                              \
    FC_RUN_KERNEL(FC_PASTE3(FC_NAME, KH##STRIDE##MASKED, VECS), fc_rows_run)                                           \
    {                                                                                                                  \
        FC_PASTE2(FC_NAME, down)(KH, STRIDE, MASKED, VECS, run);                                                       \
    }
#if V(VECS) > 2
#define FC_ALL(MASKED) FC_ANY(MASKED, 1) FC_ANY(MASKED, 2) FC_ANY(MASKED, 3) FC_ANY(MASKED, 4)
#define FC_LIST(NAME)                                                                                                  \
    {NULL, FC_PASTE3(FC_NAME, NAME, 1), FC_PASTE3(FC_NAME, NAME, 2), FC_PASTE3(FC_NAME, NAME, 3),                      \
     FC_PASTE3(FC_NAME, NAME, 4)}
#else
#define FC_ALL(MASKED) FC_ANY(MASKED, 1) FC_ANY(MASKED, 2)
#define FC_LIST(NAME) {NULL, FC_PASTE3(FC_NAME, NAME, 1), FC_PASTE3(FC_NAME, NAME, 2)}
#endif
#define FC_THREE(NAME) {NULL, FC_PASTE3(FC_NAME, NAME, 1), FC_PASTE3(FC_NAME, NAME, 2), FC_PASTE3(FC_NAME, NAME, 3)}
#define FC_DOWNS(KH, STRIDE, MASKED) FC_DOWN(KH, STRIDE, MASKED, 1) FC_DOWN(KH, STRIDE, MASKED, 2) FC_DOWN(KH, STRIDE, MASKED, 3)

FC_ALL(0)
#if V(HELD) >= 9 /* GCC 12 spills as many vectors as it multiplies where they are not (neon), or some (avx2) */
#define FC_EACH_DOWN(MASKED)                                                                                           \
    FC_DOWNS(3, 1, MASKED)                                                                                             \
    FC_DOWNS(3, 2, MASKED)                                                                                             \
    FC_DOWNS(5, 1, MASKED)                                                                                             \
    FC_DOWNS(5, 2, MASKED)                                                                                             \
    FC_DOWNS(7, 1, MASKED)                                                                                             \
    FC_DOWNS(7, 2, MASKED)                                                                                             \
    FC_DOWN(3, 1, MASKED, 4) FC_DOWN(3, 2, MASKED, 4) FC_DOWN(5, 1, MASKED, 4) FC_DOWN(5, 2, MASKED, 4)
#define FC_DOWN_LIST(MASKED)                                                                                           \
    {{FC_LIST(31##MASKED), FC_LIST(32##MASKED)}, {FC_LIST(51##MASKED), FC_LIST(52##MASKED)},                           \
     {FC_THREE(71##MASKED), FC_THREE(72##MASKED)}}
FC_EACH_DOWN(0)
#if FC_MASKS
FC_ALL(1)
FC_EACH_DOWN(1)
#endif
#endif

static const fc_rows FC_NAME = {
    .vecs = V(VECS),
    .lanes = V(LANES),
#if V(HELD) >= 9 && FC_MASKS
    .any = {FC_LIST(0), FC_LIST(1)},
    .down = {FC_DOWN_LIST(0), FC_DOWN_LIST(1)},
#elif V(HELD) >= 9
    .any = {FC_LIST(0)},
    .down = {FC_DOWN_LIST(0)},
#else
    .any = {FC_LIST(0)},
#endif
};

#undef FC_EVEN
#undef FC_ODD
#undef FC_ANY
#undef FC_DOWN
#undef FC_ALL
#undef FC_THREE
#undef FC_DOWNS
#undef FC_EACH_DOWN
#undef FC_DOWN_LIST
#undef FC_LIST
#undef FC_ELEMENT
#undef FC_NAME
