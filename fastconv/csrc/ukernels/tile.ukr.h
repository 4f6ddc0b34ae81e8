/* The register tile of one instruction set and one arithmetic, for 1 to V(ROWS) rows by 1 to V(VECS) vectors, up to V(TALL)
 * rows by fewer vectors, and one row by up to V(WIDE). Contract: fc_tile_fn.
 *
 * The loops over the tile must be unrolled by pragma: left to itself GCC 12 keeps the accumulators in memory (31 stack
 * accesses a step for avx2, 79 for avx512). The loop over steps goes by two: 6 x 4 vectors take 12.6 cycles a step on Granite
 * Rapids where one at a time takes 13.9, if columns come from the second-level cache, and 0 to 2 % less if from the first. By
 * four it only grows the code. Steps that call nothing into the cache have a loop of their own: a prefetch in each step costs 3 to
 * 7 % there, whatever it finds. */

#define FC_NAME FC_PASTE3(tile, FC_T, FC_ISA)
#define FC_ELEMENT V(ELEMENT)

/* Vector j of row i. */
static inline __attribute__((always_inline)) FC_ELEMENT *FC_PASTE2(FC_NAME, at)(void *base, int64_t step, int i, int j)
{
    return (FC_ELEMENT *)((char *)base + i * step) + j * V(LANES);
}

/* Step s of the chains; what else begins it, and what else each row has. */
#define FC_STEP(BEGIN, EACH)                                                                                           \
    const char *rows_at = a + aoff[s];                                                                                 \
    const FC_ELEMENT *columns_at = (const FC_ELEMENT *)(b + boff[s]);                                                  \
    V(VEC) p[V(VECS)];                                                                                                 \
    FC_UNROLL                                                                                                          \
    for (int j = 0; j < vecs; j++)                                                                                     \
        p[j] = V(LOAD)(columns_at + j * V(LANES));                                                                     \
    BEGIN                                                                                                              \
    FC_UNROLL                                                                                                          \
    for (int i = 0; i < rows; i++) {                                                                                   \
        const V(VEC) w = V(SPLAT)((const FC_ELEMENT *)(rows_at + i * as));                                             \
        FC_UNROLL                                                                                                      \
        for (int j = 0; j < vecs; j++)                                                                                 \
            acc[i][j] = V(FMA)(w, p[j], acc[i][j]);                                                                    \
        EACH                                                                                                           \
    }

static inline __attribute__((always_inline)) void FC_PASTE2(FC_NAME, body)(
    const int rows, const int vecs, int64_t steps, const char *a, int64_t as, const int64_t *aoff, const char *b,
    const int64_t *boff, const fc_tile_ends *ends)
{
    V(VEC) acc[V(TALL)][V(VECS)];
    FC_UNROLL
    for (int i = 0; i < rows; i++)
        FC_UNROLL
        for (int j = 0; j < vecs; j++)
            acc[i][j] = V(ZERO)();
    if (ends->from)
        FC_UNROLL
        for (int i = 0; i < rows; i++)
            FC_UNROLL
            for (int j = 0; j < vecs; j++)
                acc[i][j] = V(LOAD)(FC_PASTE2(FC_NAME, at)((void *)ends->from, ends->from_step, i, j));

    const char *ahead = ends->ahead;
    const int64_t *ahead_off = ends->ahead_off;
    int64_t s = 0;
    FC_PAIRED
    for (const int64_t calls = ends->calls; s < calls; s++) {
        __builtin_prefetch(ahead + ahead_off[s], 0, 2);
        FC_STEP(, )
    }
    FC_PAIRED
    for (; s < steps; s++) {
        FC_STEP(, )
    }

    const FC_ELEMENT one = 1;
    if (ends->row_bias) /* 1 * sum + bias is the sum, rounded once */
        FC_UNROLL
        for (int i = 0; i < rows; i++) {
            const V(VEC) bias = V(SPLAT)((const FC_ELEMENT *)((const char *)ends->row_bias + i * ends->row_bias_step));
            FC_UNROLL
            for (int j = 0; j < vecs; j++)
                acc[i][j] = V(FMA)(V(SPLAT)(&one), acc[i][j], bias);
        }
    if (ends->column_bias)
        FC_UNROLL
        for (int j = 0; j < vecs; j++) {
            const V(VEC) bias = V(LOAD)((const FC_ELEMENT *)ends->column_bias + j * V(LANES));
            FC_UNROLL
            for (int i = 0; i < rows; i++)
                acc[i][j] = V(FMA)(V(SPLAT)(&one), acc[i][j], bias);
        }
    FC_UNROLL
    for (int i = 0; i < rows; i++)
        FC_UNROLL
        for (int j = 0; j < vecs; j++)
            V(STORE)(FC_PASTE2(FC_NAME, at)(ends->to, ends->to_step, i, j), acc[i][j]);
}

#if V(TAIL)
#define FC_TAIL_STEP                                                                                                   \
    FC_STEP(const V(TAIL_VEC) q = V(TAIL_LOAD)(columns_at + vecs * V(LANES), some);,                                   \
            last[i] = V(TAIL_FMA)(V(TAIL_OF)(w), q, last[i]);)

/* The same for whole vectors and some columns more, in half a vector. */
static inline __attribute__((always_inline)) void FC_PASTE2(FC_NAME, tail)(
    const int rows, const int vecs, int64_t steps, const char *a, int64_t as, const int64_t *aoff, const char *b,
    const int64_t *boff, const fc_tile_ends *ends)
{
    V(VEC) acc[V(ROWS)][V(VECS)];
    V(TAIL_VEC) last[V(ROWS)];
    V(TAIL_MASK) some = (V(TAIL_MASK))((1u << ends->tail) - 1);
    FC_KEEP_MASK(some);
    FC_UNROLL
    for (int i = 0; i < rows; i++) {
        FC_UNROLL
        for (int j = 0; j < vecs; j++)
            acc[i][j] = V(ZERO)();
        last[i] = V(TAIL_OF)(V(ZERO)());
    }
    if (ends->from)
        FC_UNROLL
        for (int i = 0; i < rows; i++) {
            FC_UNROLL
            for (int j = 0; j < vecs; j++)
                acc[i][j] = V(LOAD)(FC_PASTE2(FC_NAME, at)((void *)ends->from, ends->from_step, i, j));
            last[i] = V(TAIL_LOAD)(FC_PASTE2(FC_NAME, at)((void *)ends->from, ends->from_step, i, vecs), some);
        }

    const char *ahead = ends->ahead;
    const int64_t *ahead_off = ends->ahead_off;
    int64_t s = 0;
    FC_PAIRED
    for (const int64_t calls = ends->calls; s < calls; s++) {
        __builtin_prefetch(ahead + ahead_off[s], 0, 2);
        FC_TAIL_STEP
    }
    FC_PAIRED
    for (; s < steps; s++) {
        FC_TAIL_STEP
    }

    const FC_ELEMENT one = 1;
    if (ends->row_bias)
        FC_UNROLL
        for (int i = 0; i < rows; i++) {
            const V(VEC) bias = V(SPLAT)((const FC_ELEMENT *)((const char *)ends->row_bias + i * ends->row_bias_step));
            FC_UNROLL
            for (int j = 0; j < vecs; j++)
                acc[i][j] = V(FMA)(V(SPLAT)(&one), acc[i][j], bias);
            last[i] = V(TAIL_FMA)(V(TAIL_OF)(V(SPLAT)(&one)), last[i], V(TAIL_OF)(bias));
        }
    if (ends->column_bias) {
        const FC_ELEMENT *columns = ends->column_bias;
        FC_UNROLL
        for (int i = 0; i < rows; i++) {
            FC_UNROLL
            for (int j = 0; j < vecs; j++)
                acc[i][j] = V(FMA)(V(SPLAT)(&one), acc[i][j], V(LOAD)(columns + j * V(LANES)));
            last[i] = V(TAIL_FMA)(V(TAIL_OF)(V(SPLAT)(&one)), last[i], V(TAIL_LOAD)(columns + vecs * V(LANES), some));
        }
    }
    FC_UNROLL
    for (int i = 0; i < rows; i++) {
        FC_UNROLL
        for (int j = 0; j < vecs; j++)
            V(STORE)(FC_PASTE2(FC_NAME, at)(ends->to, ends->to_step, i, j), acc[i][j]);
        V(TAIL_STORE)(FC_PASTE2(FC_NAME, at)(ends->to, ends->to_step, i, vecs), last[i], some);
    }
}
#endif

/* One row of many vectors: those of `b` are used once, so as memory operands they need no register. */
static inline __attribute__((always_inline)) void FC_PASTE2(FC_NAME, row)(const int vecs, int64_t steps, const char *a,
                                                                          const int64_t *aoff, const char *b,
                                                                          const int64_t *boff, const fc_tile_ends *ends)
{
    V(VEC) acc[V(WIDE)];
    FC_UNROLL
    for (int j = 0; j < vecs; j++)
        acc[j] = V(ZERO)();
    if (ends->from)
        FC_UNROLL
        for (int j = 0; j < vecs; j++)
            acc[j] = V(LOAD)((const FC_ELEMENT *)ends->from + j * V(LANES));

    FC_ROLLED
    for (int64_t s = 0; s < steps; s++) {
        const V(VEC) w = V(SPLAT)((const FC_ELEMENT *)(a + aoff[s]));
        const FC_ELEMENT *columns_at = (const FC_ELEMENT *)(b + boff[s]);
        FC_UNROLL
        for (int j = 0; j < vecs; j++)
            acc[j] = V(FMA)(w, V(LOAD)(columns_at + j * V(LANES)), acc[j]);
    }

    const FC_ELEMENT one = 1;
    if (ends->row_bias)
        FC_UNROLL
        for (int j = 0; j < vecs; j++)
            acc[j] = V(FMA)(V(SPLAT)(&one), acc[j], V(SPLAT)((const FC_ELEMENT *)ends->row_bias));
    if (ends->column_bias)
        FC_UNROLL
        for (int j = 0; j < vecs; j++)
            acc[j] = V(FMA)(V(SPLAT)(&one), acc[j], V(LOAD)((const FC_ELEMENT *)ends->column_bias + j * V(LANES)));
    FC_UNROLL
    for (int j = 0; j < vecs; j++)
        V(STORE)((FC_ELEMENT *)ends->to + j * V(LANES), acc[j]);
}

static void FC_PASTE2(FC_NAME, store)(void *to, const void *from, int64_t count, const void *bias)
{
    const FC_ELEMENT one = 1, *sums = from, *b = bias;
    FC_ELEMENT *y = to;
    int64_t j = 0;
    if (!b) {
        for (; j + V(LANES) <= count; j += V(LANES))
            V(STORE)(y + j, V(LOAD)(sums + j));
        memcpy(y + j, sums + j, (size_t)(count - j) * sizeof(FC_ELEMENT));
        return;
    }
    for (; j + V(LANES) <= count; j += V(LANES)) /* 1 * sum + bias is the sum, rounded once */
        V(STORE)(y + j, V(FMA)(V(SPLAT)(&one), V(LOAD)(sums + j), V(SPLAT)(b)));
    for (; j < count; j++)
        y[j] = sums[j] + *b;
}

/* Rows are often a plane apart, which the processor does not foresee. */
static inline __attribute__((always_inline)) void FC_PASTE2(FC_NAME, rows)(const int vecs, char *to, int64_t to_step,
                                                                           const char *from, int64_t from_step, int64_t rows)
{
    FC_ROLLED
    for (int64_t r = 0; r < rows; r++) {
        FC_UNROLL
        for (int j = 0; j < vecs; j++) {
            __builtin_prefetch(from + 16 * from_step + j * (int64_t)(V(LANES) * sizeof(FC_ELEMENT)), 0, 3);
            V(STORE)((FC_ELEMENT *)to + j * V(LANES), V(LOAD)((const FC_ELEMENT *)from + j * V(LANES)));
        }
        to += to_step;
        from += from_step;
    }
}

#define FC_COPY(VECS)                                                                                                  \
    static void FC_PASTE3(FC_NAME, copy, VECS)(char *to, int64_t to_step, const char *from, int64_t from_step,         \
                                               int64_t rows)                                                           \
    {                                                                                                                  \
        FC_PASTE2(FC_NAME, rows)(VECS, to, to_step, from, from_step, rows);                                            \
    }
FC_COPY(1)
FC_COPY(2)
#if V(VECS) > 2
FC_COPY(3)
FC_COPY(4)
#endif

#define FC_KERNEL(VECS, ROWS)                                                                                          \
    static void FC_PASTE3(FC_NAME, VECS, ROWS)(int64_t steps, const char *a, int64_t as, const int64_t *aoff,          \
                                               const char *b, const int64_t *boff, const fc_tile_ends *ends)           \
    {                                                                                                                  \
        FC_PASTE2(FC_NAME, body)(ROWS, VECS, steps, a, as, aoff, b, boff, ends);                                       \
    }
#define FC_ROW(VECS)                                                                                                   \
    static void FC_PASTE3(FC_NAME, VECS, 1)(int64_t steps, const char *a, int64_t as, const int64_t *aoff,             \
                                            const char *b, const int64_t *boff, const fc_tile_ends *ends)              \
    {                                                                                                                  \
        (void)as;                                                                                                      \
        FC_PASTE2(FC_NAME, row)(VECS, steps, a, aoff, b, boff, ends);                                                  \
    }
#define FC_TAIL_NAME(VECS, ROWS) FC_PASTE3(FC_NAME, FC_PASTE2(tail, VECS), ROWS)
#define FC_TAILED(VECS, ROWS)                                                                                          \
    static void FC_TAIL_NAME(VECS, ROWS)(int64_t steps, const char *a, int64_t as, const int64_t *aoff, const char *b, \
                                         const int64_t *boff, const fc_tile_ends *ends)                               \
    {                                                                                                                  \
        FC_PASTE2(FC_NAME, tail)(ROWS, VECS, steps, a, as, aoff, b, boff, ends);                                       \
    }
#if V(ROWS) == 6
#define FC_KERNELS(VECS)                                                                                               \
    FC_ROW(VECS)                                                                                                       \
    FC_KERNEL(VECS, 2) FC_KERNEL(VECS, 3) FC_KERNEL(VECS, 4) FC_KERNEL(VECS, 5) FC_KERNEL(VECS, 6)
#define FC_LIST(VECS, ...)                                                                                                  \
    {NULL, FC_PASTE3(FC_NAME, VECS, 1), FC_PASTE3(FC_NAME, VECS, 2), FC_PASTE3(FC_NAME, VECS, 3),                      \
     FC_PASTE3(FC_NAME, VECS, 4), FC_PASTE3(FC_NAME, VECS, 5), FC_PASTE3(FC_NAME, VECS, 6), __VA_ARGS__}
#elif V(ROWS) == 4
#define FC_KERNELS(VECS) FC_ROW(VECS) FC_KERNEL(VECS, 2) FC_KERNEL(VECS, 3) FC_KERNEL(VECS, 4)
#define FC_LIST(VECS, ...)                                                                                                  \
    {NULL, FC_PASTE3(FC_NAME, VECS, 1), FC_PASTE3(FC_NAME, VECS, 2), FC_PASTE3(FC_NAME, VECS, 3),                      \
     FC_PASTE3(FC_NAME, VECS, 4), __VA_ARGS__}
#else
#error "write the list of kernels for this many rows"
#endif
#define FC_ONE(VECS) {NULL, FC_PASTE3(FC_NAME, VECS, 1)}

#if V(TALL) == 8
#define FC_TALL_KERNELS(VECS) FC_KERNEL(VECS, 7) FC_KERNEL(VECS, 8)
#define FC_TALL_LIST(VECS) FC_PASTE3(FC_NAME, VECS, 7), FC_PASTE3(FC_NAME, VECS, 8)
#else
#define FC_TALL_KERNELS(VECS)
#define FC_TALL_LIST(VECS) NULL
#endif

FC_KERNELS(1)
FC_KERNELS(2)
FC_TALL_KERNELS(1)
FC_TALL_KERNELS(2)
#if V(VECS) > 2
FC_KERNELS(3)
FC_KERNELS(4)
FC_TALL_KERNELS(3)
#else
FC_ROW(3)
FC_ROW(4)
#endif
#if V(WIDE) > 4
FC_ROW(5)
FC_ROW(6)
FC_ROW(7)
FC_ROW(8)
FC_ROW(9)
FC_ROW(10)
FC_ROW(11)
FC_ROW(12)
#endif
#if V(WIDE) > 12
FC_ROW(13)
FC_ROW(14)
FC_ROW(15)
FC_ROW(16)
#endif

#if V(TAIL)
#define FC_TAILS(VECS)                                                                                                 \
    FC_TAILED(VECS, 1) FC_TAILED(VECS, 2) FC_TAILED(VECS, 3) FC_TAILED(VECS, 4) FC_TAILED(VECS, 5) FC_TAILED(VECS, 6)
#define FC_TAIL_LIST(VECS)                                                                                             \
    {NULL, FC_TAIL_NAME(VECS, 1), FC_TAIL_NAME(VECS, 2), FC_TAIL_NAME(VECS, 3),                                        \
     FC_TAIL_NAME(VECS, 4), FC_TAIL_NAME(VECS, 5), FC_TAIL_NAME(VECS, 6)}
FC_TAILS(1)
FC_TAILS(2)
FC_TAILS(3)
#endif

static const fc_tile FC_NAME = {
    .rows = V(ROWS),
    .tall = V(TALL),
    .vecs = V(VECS),
    .lanes = V(LANES),
    .columns = V(VECS) * V(LANES),
    .wide = V(WIDE),
    .masks = FC_MASKS && V(HELD) >= 9,
    .run = {{NULL}, FC_LIST(1, FC_TALL_LIST(1)), FC_LIST(2, FC_TALL_LIST(2)),
#if V(VECS) > 2
            FC_LIST(3, FC_TALL_LIST(3)), FC_LIST(4, NULL),
#else
            FC_ONE(3), FC_ONE(4),
#endif
#if V(WIDE) > 4
            FC_ONE(5), FC_ONE(6), FC_ONE(7), FC_ONE(8), FC_ONE(9), FC_ONE(10), FC_ONE(11), FC_ONE(12),
#endif
#if V(WIDE) > 12
            FC_ONE(13), FC_ONE(14), FC_ONE(15), FC_ONE(16),
#endif
    },
#if V(TAIL)
    .tails = V(TAIL),
    .tail = {{NULL}, FC_TAIL_LIST(1), FC_TAIL_LIST(2), FC_TAIL_LIST(3)},
#endif
    .store = FC_PASTE2(FC_NAME, store),
    .copy = {NULL, FC_PASTE3(FC_NAME, copy, 1), FC_PASTE3(FC_NAME, copy, 2),
#if V(VECS) > 2
             FC_PASTE3(FC_NAME, copy, 3), FC_PASTE3(FC_NAME, copy, 4),
#endif
    },
};

#undef FC_ONE
#undef FC_STEP
#undef FC_TAIL_STEP
#undef FC_TAIL_LIST
#undef FC_TAILS
#undef FC_TAILED
#undef FC_TAIL_NAME
#undef FC_TALL_LIST
#undef FC_TALL_KERNELS
#undef FC_LIST
#undef FC_KERNELS
#undef FC_ROW
#undef FC_KERNEL
#undef FC_COPY
#undef FC_ELEMENT
#undef FC_NAME
