/* Several output channels by several vectors of pixels that lie anywhere, for one instruction set and one arithmetic.
 * Contract: fc_bank_run.
 *
 * The tile of tile.ukr.h with a pointer for each vector: rows of a small map lie side by side in a tile. All of the chain is
 * done at once, so that sums go from the registers to the result. Its lines are not called into the cache beforehand, and not
 * written past it: both were slower. Steps go by two as there: 1 to 7 % less. */

#define FC_NAME FC_PASTE3(bank, FC_T, FC_ISA)
#define FC_ELEMENT V(ELEMENT)

static inline __attribute__((always_inline)) void FC_PASTE2(FC_NAME, body)(const int rows, const int vecs, const fc_bank_run *run)
{
    V(VEC) acc[V(ROWS)][V(VECS)];
    const char *x[V(VECS)];
    FC_UNROLL
    for (int j = 0; j < vecs; j++)
        x[j] = run->x[j];
    FC_UNROLL
    for (int i = 0; i < rows; i++)
        FC_UNROLL
        for (int j = 0; j < vecs; j++)
            acc[i][j] = V(ZERO)();

    const char *w = run->w;
    const int64_t w_step = run->w_step, *off = run->off, *const end = off + 2 * run->steps;
    FC_PAIRED
    for (; off < end; off += 2) {
        V(VEC) p[V(VECS)];
        FC_UNROLL
        for (int j = 0; j < vecs; j++)
            p[j] = V(LOAD)((const FC_ELEMENT *)(x[j] + off[0]));
        FC_UNROLL
        for (int i = 0; i < rows; i++) {
            const V(VEC) weight = V(SPLAT)((const FC_ELEMENT *)(w + off[1] + i * w_step));
            FC_UNROLL
            for (int j = 0; j < vecs; j++)
                acc[i][j] = V(FMA)(weight, p[j], acc[i][j]);
        }
    }

    const FC_ELEMENT one = 1;
    if (run->bias) /* 1 * sum + bias is the sum, rounded once */
        FC_UNROLL
        for (int i = 0; i < rows; i++) {
            const V(VEC) bias = V(SPLAT)((const FC_ELEMENT *)(run->bias + i * run->bias_step));
            FC_UNROLL
            for (int j = 0; j < vecs; j++)
                acc[i][j] = V(FMA)(V(SPLAT)(&one), acc[i][j], bias);
        }
    if (run->count == V(LANES))
        FC_UNROLL
        for (int j = 0; j < vecs; j++) {
            char *y = run->y[j];
            FC_UNROLL
            for (int i = 0; i < rows; i++)
                V(STORE)((FC_ELEMENT *)(y + i * run->y_step), acc[i][j]);
        }
    else
        FC_UNROLL
        for (int j = 0; j < vecs; j++) {
            char *y = run->y[j];
            FC_UNROLL
            for (int i = 0; i < rows; i++)
                V(STORE_FIRST)((FC_ELEMENT *)(y + i * run->y_step), acc[i][j], run->count);
        }
}

#define FC_KERNEL(VECS, ROWS)                                                                                          \
    static void FC_PASTE3(FC_NAME, VECS, ROWS)(const fc_bank_run *run)                                                 \
    {                                                                                                                  \
        FC_PASTE2(FC_NAME, body)(ROWS, VECS, run);                                                                     \
    }
#if V(ROWS) == 6
#define FC_KERNELS(VECS)                                                                                               \
    FC_KERNEL(VECS, 1)                                                                                                 \
    FC_KERNEL(VECS, 2) FC_KERNEL(VECS, 3) FC_KERNEL(VECS, 4) FC_KERNEL(VECS, 5) FC_KERNEL(VECS, 6)
#define FC_LIST(VECS)                                                                                                  \
    {NULL, FC_PASTE3(FC_NAME, VECS, 1), FC_PASTE3(FC_NAME, VECS, 2), FC_PASTE3(FC_NAME, VECS, 3),                      \
     FC_PASTE3(FC_NAME, VECS, 4), FC_PASTE3(FC_NAME, VECS, 5), FC_PASTE3(FC_NAME, VECS, 6)}
#elif V(ROWS) == 4
#define FC_KERNELS(VECS) FC_KERNEL(VECS, 1) FC_KERNEL(VECS, 2) FC_KERNEL(VECS, 3) FC_KERNEL(VECS, 4)
#define FC_LIST(VECS)                                                                                                  \
    {NULL, FC_PASTE3(FC_NAME, VECS, 1), FC_PASTE3(FC_NAME, VECS, 2), FC_PASTE3(FC_NAME, VECS, 3),                      \
     FC_PASTE3(FC_NAME, VECS, 4)}
#else
#error "write the list of kernels for this many rows"
#endif

FC_KERNELS(1)
FC_KERNELS(2)
#if V(VECS) > 2
FC_KERNELS(3)
FC_KERNELS(4)
#endif

static const fc_bank FC_NAME = {
    .rows = V(ROWS),
    .vecs = V(VECS),
    .lanes = V(LANES),
    .run = {{NULL}, FC_LIST(1), FC_LIST(2),
#if V(VECS) > 2
            FC_LIST(3), FC_LIST(4),
#endif
    },
};

#undef FC_LIST
#undef FC_KERNELS
#undef FC_KERNEL
#undef FC_ELEMENT
#undef FC_NAME
