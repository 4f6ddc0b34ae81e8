/* Independent chains of fused multiply-adds, all held in registers, for one instruction set and one arithmetic.
 * Contract: fc_peak_fn. There are as many chains as the register tile has accumulators, 12 to 24: latency 4 times 2 a
 * cycle needs 8. They start from different memory, since compilers make one of chains that they can see are equal. */

#define FC_NAME FC_PASTE3(peak, FC_T, FC_ISA)

_Static_assert(V(ROWS) * V(VECS) >= 12, "too few chains to keep the multipliers busy");
_Static_assert(V(ROWS) * V(VECS) * V(LANES) <= FC_PEAK_MAX_SUMS, "make room for this many sums");

static void FC_PASTE2(FC_NAME, run)(int64_t steps, const void *factors, void *sums)
{
    const V(ELEMENT) *in = factors;
    V(ELEMENT) *out = sums;
    const V(VEC) a = V(SPLAT)(in), b = V(SPLAT)(in + 1);
    V(VEC) acc[V(ROWS)][V(VECS)];
    FC_UNROLL
    for (int i = 0; i < V(ROWS); i++)
        FC_UNROLL
        for (int j = 0; j < V(VECS); j++)
            acc[i][j] = V(LOAD)(out + (i * V(VECS) + j) * V(LANES));

    FC_ROLLED
    for (int64_t s = 0; s < steps; s++)
        FC_UNROLL
        for (int i = 0; i < V(ROWS); i++)
            FC_UNROLL
            for (int j = 0; j < V(VECS); j++)
                acc[i][j] = V(FMA)(a, b, acc[i][j]);

    FC_UNROLL
    for (int i = 0; i < V(ROWS); i++)
        FC_UNROLL
        for (int j = 0; j < V(VECS); j++)
            V(STORE)(out + (i * V(VECS) + j) * V(LANES), acc[i][j]);
}

static const fc_peak FC_NAME = {.sums = V(ROWS) * V(VECS) * V(LANES), .run = FC_PASTE2(FC_NAME, run)};

#undef FC_NAME
