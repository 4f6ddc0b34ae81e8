/* The register tile of one instruction set and one arithmetic, for 1 to V(ROWS) rows. Contract: fc_tile_fn.
 *
 * The loops over the tile must be unrolled by pragma: left to itself GCC 12 keeps the accumulators in memory (31 stack
 * accesses a step for avx2, 79 for avx512). The loop over steps must not be: it only grows the code. */

#define FC_NAME FC_PASTE3(tile, FC_T, FC_ISA)
#define FC_ELEMENT V(ELEMENT)

static inline __attribute__((always_inline)) void FC_PASTE2(FC_NAME, body)(
    const int rows, int64_t steps, const char *a, int64_t as, const int64_t *aoff, const char *b, const int64_t *boff,
    void *c, int resume)
{
    FC_ELEMENT *out = c;
    V(VEC) acc[V(ROWS)][V(VECS)];
    FC_UNROLL
    for (int i = 0; i < rows; i++)
        FC_UNROLL
        for (int j = 0; j < V(VECS); j++)
            acc[i][j] = resume ? V(LOAD)(out + (i * V(VECS) + j) * V(LANES)) : V(ZERO)();

    FC_ROLLED
    for (int64_t s = 0; s < steps; s++) {
        const char *weights = a + aoff[s];
        const FC_ELEMENT *pixels = (const FC_ELEMENT *)(b + boff[s]);
        V(VEC) p[V(VECS)];
        FC_UNROLL
        for (int j = 0; j < V(VECS); j++)
            p[j] = V(LOAD)(pixels + j * V(LANES));
        FC_UNROLL
        for (int i = 0; i < rows; i++) {
            const V(VEC) w = V(SPLAT)((const FC_ELEMENT *)(weights + i * as));
            FC_UNROLL
            for (int j = 0; j < V(VECS); j++)
                acc[i][j] = V(FMA)(w, p[j], acc[i][j]);
        }
    }

    FC_UNROLL
    for (int i = 0; i < rows; i++)
        FC_UNROLL
        for (int j = 0; j < V(VECS); j++)
            V(STORE)(out + (i * V(VECS) + j) * V(LANES), acc[i][j]);
}

#define FC_ROWS_KERNEL(ROWS)                                                                                           \
    static void FC_PASTE2(FC_NAME, ROWS)(int64_t steps, const char *a, int64_t as, const int64_t *aoff, const char *b, \
                                         const int64_t *boff, void *c, int resume)                                     \
    {                                                                                                                  \
        FC_PASTE2(FC_NAME, body)(ROWS, steps, a, as, aoff, b, boff, c, resume);                                        \
    }
FC_ROWS_KERNEL(1)
FC_ROWS_KERNEL(2)
FC_ROWS_KERNEL(3)
FC_ROWS_KERNEL(4)
#if V(ROWS) > 4
FC_ROWS_KERNEL(5)
FC_ROWS_KERNEL(6)
#endif
#undef FC_ROWS_KERNEL

static const fc_tile FC_NAME = {
    .rows = V(ROWS),
    .columns = V(VECS) * V(LANES),
    .run = {NULL, FC_PASTE2(FC_NAME, 1), FC_PASTE2(FC_NAME, 2), FC_PASTE2(FC_NAME, 3), FC_PASTE2(FC_NAME, 4),
#if V(ROWS) > 4
            FC_PASTE2(FC_NAME, 5), FC_PASTE2(FC_NAME, 6),
#endif
    },
};

#undef FC_ELEMENT
#undef FC_NAME
