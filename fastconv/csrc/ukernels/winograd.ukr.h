/* Winograd's transforms of one instruction set and one arithmetic, a vector of channels. Contract: fc_winograd_fn.
 *
 * F(4, 3) and F(2, 5) evaluate at the points 0, +-1/sqrt(2), +-sqrt(2) and infinity, F(2, 3) at 0, +-1 and infinity. Points
 * +p and -p share an even and an odd part, so a line is transformed in pairs of outputs. A tile is transformed down, two
 * rows of results at a time, and those across: 12 vectors wait in between, none in memory. Where there are 16 registers,
 * it is one row at a time.
 *
 * Sums and differences are not fused with the product before: Zen 4 adds in pipes of their own beside the multipliers. */

#define FC_NAME FC_PASTE3(winograd, FC_T, FC_ISA)
#define FC_ELEMENT V(ELEMENT)
#define FC_INLINE static inline __attribute__((always_inline))

static const FC_ELEMENT FC_PASTE2(FC_NAME, factors)[] = {FC_FACTORS(FC_ELEMENT)};

/* A factor times v; and a sum plus that, rounded once. */
FC_INLINE V(VEC) FC_PASTE2(FC_NAME, times)(const int factor, V(VEC) v)
{
    return V(SPLAT)(FC_PASTE2(FC_NAME, factors) + factor) * v;
}

FC_INLINE V(VEC) FC_PASTE2(FC_NAME, plus)(V(VEC) sum, const int factor, V(VEC) v)
{
    return V(FMA)(V(SPLAT)(FC_PASTE2(FC_NAME, factors) + factor), v, sum);
}

#define TIMES FC_PASTE2(FC_NAME, times)
#define PLUS FC_PASTE2(FC_NAME, plus)

/* Pixels to points: the pair of results that fc_winograd_result names. */
FC_INLINE void FC_PASTE2(FC_NAME, input)(const fc_scheme scheme, const int pair, const V(VEC) *d, V(VEC) out[2])
{
    if (scheme == FC_F11)
        out[0] = d[0];
    else if (scheme == FC_F23) {
        out[0] = pair == 0 ? d[0] - d[2] : d[2] + d[1];
        out[1] = pair == 0 ? d[3] - d[1] : d[2] - d[1];
    } else if (pair == 0) {
        out[0] = PLUS(d[4], MINUS_FIVE_HALVES, d[2]) + d[0];
        out[1] = PLUS(d[5], MINUS_FIVE_HALVES, d[3]) + d[1];
    } else {
        const int square = pair == 1 ? MINUS_TWO : MINUS_HALF;
        const V(VEC) even = PLUS(d[4], square, d[2]), odd = TIMES(pair == 1 ? NEAR : FAR, PLUS(d[3], square, d[1]));
        out[0] = even + odd;
        out[1] = even - odd;
    }
}

/* Taps to points. */
FC_INLINE void FC_PASTE2(FC_NAME, weight)(const fc_scheme scheme, const int pair, const V(VEC) *g, V(VEC) out[2])
{
    if (pair == 0) { /* the points 0 and infinity */
        out[0] = g[0];
        out[1] = g[fc_winograd_taps(scheme) - 1];
        return;
    }
    const int square = scheme == FC_F23 ? ONE : pair == 1 ? HALF : TWO; /* of the point */
    const int point = scheme == FC_F23 ? ONE : pair == 1 ? NEAR : FAR;
    const int scale = scheme == FC_F23 ? HALF : pair == 1 ? NEAR_SCALE : FAR_SCALE;
    V(VEC) even = g[2], odd = g[1];
    if (scheme == FC_F25) {
        even = PLUS(g[2], square, g[4]);
        odd = PLUS(g[1], square, g[3]);
    }
    even = PLUS(g[0], square, even);
    odd = TIMES(point, odd);
    out[0] = TIMES(scale, even + odd);
    out[1] = TIMES(scale, even - odd);
}

/* Points to outputs. */
FC_INLINE void FC_PASTE2(FC_NAME, output)(const fc_scheme scheme, const int pair, const V(VEC) *m, V(VEC) out[2])
{
    if (scheme == FC_F11)
        out[0] = m[0];
    else if (scheme == FC_F23) {
        out[0] = m[0] + (m[1] + m[2]);
        out[1] = (m[1] - m[2]) + m[3];
    } else if (scheme == FC_F25) {
        out[0] = m[0] + ((m[1] + m[2]) + (m[3] + m[4]));
        out[1] = PLUS(PLUS(m[5], NEAR, m[1] - m[2]), FAR, m[3] - m[4]);
    } else if (pair == 0) {
        const V(VEC) near = m[1] + m[2], far = m[3] + m[4];
        out[0] = m[0] + (near + far);
        out[1] = PLUS(TIMES(HALF, near), TWO, far);
    } else {
        const V(VEC) near = m[1] - m[2], far = m[3] - m[4];
        out[0] = PLUS(TIMES(NEAR, near), FAR, far);
        out[1] = PLUS(PLUS(m[5], NEAR_CUBE, near), FAR_CUBE, far);
    }
}

/* The results of one line come in pairs; which they are: the points that have no partner first. */
FC_INLINE int FC_PASTE2(FC_NAME, result)(const fc_winograd_kind kind, const fc_scheme scheme, const int i)
{
    if (kind == FC_OUTPUT)
        return scheme == FC_F43 ? i % 2 * 2 + i / 2 : i;
    return i < 2 ? i * (fc_winograd_points(scheme) - 1) : i - 1;
}

FC_INLINE void FC_PASTE2(FC_NAME, line)(const fc_winograd_kind kind, const fc_scheme scheme, const int pair, const V(VEC) *d,
                                        V(VEC) out[2])
{
    if (kind == FC_INPUT)
        FC_PASTE2(FC_NAME, input)(scheme, pair, d, out);
    else if (kind == FC_WEIGHT)
        FC_PASTE2(FC_NAME, weight)(scheme, pair, d, out);
    else
        FC_PASTE2(FC_NAME, output)(scheme, pair, d, out);
}

FC_INLINE void FC_PASTE2(FC_NAME, tile)(const fc_winograd_kind kind, const fc_scheme down, const fc_scheme across,
                                        const fc_winograd_run *run, const char *from, char *to)
{
    const int together = V(ROWS) * V(VECS) >= 16 ? 2 : 1; /* rows of results */
    const int rows = kind == FC_OUTPUT ? fc_winograd_outputs(down) : fc_winograd_points(down);
    const int columns = kind == FC_OUTPUT ? fc_winograd_outputs(across) : fc_winograd_points(across);
    const int height = kind == FC_WEIGHT ? fc_winograd_taps(down) : fc_winograd_points(down);
    const int width = kind == FC_WEIGHT ? fc_winograd_taps(across) : fc_winograd_points(across);
    FC_UNROLL
    for (int row = 0; row < rows; row += together) {
        V(VEC) lines[2][FC_WINOGRAD_POINTS];
        FC_UNROLL
        for (int j = 0; j < width; j++) {
            V(VEC) d[FC_WINOGRAD_POINTS], out[2];
            FC_UNROLL
            for (int i = 0; i < height; i++)
                d[i] = V(LOAD)((const FC_ELEMENT *)(from + i * run->from_row + j * run->from_column));
            FC_PASTE2(FC_NAME, line)(kind, down, row / 2, d, out);
            for (int k = 0; k < together && row + k < rows; k++)
                lines[k][j] = out[(row + k) % 2];
        }
        for (int k = 0; k < together && row + k < rows; k++) {
            char *const line = to + FC_PASTE2(FC_NAME, result)(kind, down, row + k) * run->to_row;
            FC_UNROLL
            for (int column = 0; column < columns; column += 2) {
                V(VEC) out[2];
                FC_PASTE2(FC_NAME, line)(kind, across, column / 2, lines[k], out);
                for (int i = 0; i < 2 && column + i < columns; i++) {
                    if (kind == FC_OUTPUT)
                        out[i] = out[i] + V(LOAD)((const FC_ELEMENT *)run->bias);
                    V(STORE)((FC_ELEMENT *)(line + FC_PASTE2(FC_NAME, result)(kind, across, column + i) * run->to_column), out[i]);
                }
            }
        }
    }
}

#define FC_TRANSFORM(NAME, KIND, DOWN, ACROSS)                                                                           \
    static void FC_PASTE3(FC_NAME, NAME, FC_PASTE2(DOWN, ACROSS))(const fc_winograd_run *run)                          \
    {                                                                                                                  \
        FC_ROLLED                                                                                                      \
        for (int64_t t = run->tiles - 1; t >= 0; t--)                                                                  \
            FC_PASTE2(FC_NAME, tile)(KIND, FC_##DOWN, FC_##ACROSS, run, run->from + t * run->from_tile,                \
                                     run->to + t * run->to_tile);                                                      \
    }
#define FC_SCHEME(DOWN, ACROSS)                                                                                        \
    FC_TRANSFORM(input, FC_INPUT, DOWN, ACROSS)                                                                        \
    FC_TRANSFORM(weight, FC_WEIGHT, DOWN, ACROSS)                                                                      \
    FC_TRANSFORM(output, FC_OUTPUT, DOWN, ACROSS)
#define FC_LIST(DOWN, ACROSS)                                                                                          \
    [FC_##DOWN][FC_##ACROSS] = {FC_PASTE3(FC_NAME, input, FC_PASTE2(DOWN, ACROSS)),                                    \
                                FC_PASTE3(FC_NAME, weight, FC_PASTE2(DOWN, ACROSS)),                                   \
                                FC_PASTE3(FC_NAME, output, FC_PASTE2(DOWN, ACROSS))}

FC_SCHEME(F43, F43)
FC_SCHEME(F23, F23)
FC_SCHEME(F25, F25)
FC_SCHEME(F43, F11)
FC_SCHEME(F11, F43)
FC_SCHEME(F25, F11)
FC_SCHEME(F11, F25)

/* Four chains: one alone would wait for each addition. */
static void FC_PASTE2(FC_NAME, squares)(void *sums, const char *from, int64_t step, int64_t vectors)
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

static const fc_winograd FC_NAME = {
    .squares = FC_PASTE2(FC_NAME, squares),
    .of = {FC_LIST(F43, F43), FC_LIST(F23, F23), FC_LIST(F25, F25), FC_LIST(F43, F11), FC_LIST(F11, F43), FC_LIST(F25, F11),
           FC_LIST(F11, F25)},
};

#undef FC_LIST
#undef FC_SCHEME
#undef FC_TRANSFORM
#undef PLUS
#undef TIMES
#undef FC_INLINE
#undef FC_ELEMENT
#undef FC_NAME
