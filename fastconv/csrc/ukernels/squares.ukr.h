/* Sums of squares of vectors, with one instruction set and one arithmetic. Contract: fc_squares_fn. */

#define FC_NAME FC_PASTE3(squares, FC_T, FC_ISA)
#define FC_ELEMENT V(ELEMENT)

/* Four chains: one alone would wait for each addition. */
static void FC_NAME(void *sums, const char *from, int64_t step, int64_t vectors)
{
    V(VEC) acc[4] = {V(LOAD)((const FC_ELEMENT *)sums), V(ZERO)(), V(ZERO)(), V(ZERO)()};
    FC_ROLLED
    for (; vectors >= 4; vectors -= 4, from += 4 * step)
        FC_UNROLL
        for (int k = 0; k < 4; k++) {
            const V(VEC) v = V(LOAD)((const FC_ELEMENT *)(from + k * step));
            acc[k] = V(FMA)(v, v, acc[k]);
        }
    FC_ROLLED
    for (; vectors > 0; vectors--, from += step) {
        const V(VEC) v = V(LOAD)((const FC_ELEMENT *)from);
        acc[0] = V(FMA)(v, v, acc[0]);
    }
    V(STORE)((FC_ELEMENT *)sums, (acc[0] + acc[1]) + (acc[2] + acc[3]));
}

#undef FC_ELEMENT
#undef FC_NAME
