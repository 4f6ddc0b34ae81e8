/* Winograd's transforms of one instruction set and one arithmetic, a vector of channels. Contract: fc_winograd_fn.
 *
 * F(4, 3) and F(2, 5) evaluate at the points 0, +-1/sqrt(2), +-sqrt(2) and infinity, F(2, 3) at 0, +-1 and infinity, F(4, 2) at
 * +-7/16, +-5/4 and infinity, F(2, 2) at 0, 1 and infinity. Points +p and -p share an even and an odd part, so a
 * line is transformed in pairs of results. A tile is transformed down, two rows of results at a time, and those across: 12
 * vectors wait in between, 18 with a stride, none in memory. Where there are 16 registers, it is one row at a time.
 *
 * Sums and differences are not fused with the product before: Zen 4 adds in pipes of their own beside the multipliers. */

#define FC_NAME FC_PASTE3(winograd, FC_T, FC_ISA)
#define FC_ELEMENT V(ELEMENT)
#define FC_INLINE static inline __attribute__((always_inline))

static const FC_ELEMENT FC_PASTE2(FC_NAME, factors)[] = {FC_FACTORS(FC_ELEMENT)};

/* A factor times v; and a sum plus that, rounded once. */
FC_INLINE V(VEC) FC_PASTE2(FC_NAME, times)(const FC_ELEMENT *factors, const int factor, V(VEC) v)
{
    return V(SPLAT)(factors + factor) * v;
}

FC_INLINE V(VEC) FC_PASTE2(FC_NAME, plus)(const FC_ELEMENT *factors, V(VEC) sum, const int factor, V(VEC) v)
{
    return V(FMA)(V(SPLAT)(factors + factor), v, sum);
}

#define TIMES(...) FC_PASTE2(FC_NAME, times)(factors, __VA_ARGS__)
#define PLUS(...) FC_PASTE2(FC_NAME, plus)(factors, __VA_ARGS__)

/* Results of a line come in pairs; which they are, or -1 for none: the points that have no partner first. */
FC_INLINE int FC_PASTE2(FC_NAME, of_one)(const fc_winograd_kind kind, const int scheme, const int i)
{
    const int points = fc_winograd_points(scheme), outputs = fc_winograd_outputs(scheme);
    if (kind == FC_OUTPUT)
        return outputs == 4 ? i % 2 * 2 + i / 2 : i < outputs ? i : -1;
    if (points == 5) /* infinity has no partner */
        return i == 1 ? -1 : i - (i > 1);
    return i >= points ? -1 : i < 2 ? i * (points - 1) : i - 1;
}

FC_INLINE int FC_PASTE2(FC_NAME, pairs)(const fc_winograd_kind kind, const int scheme)
{
    return ((kind == FC_OUTPUT ? fc_winograd_outputs(scheme) : fc_winograd_points(scheme)) + 1) / 2;
}

/* Pixels to points: the pair of results that are named so. */
FC_INLINE void FC_PASTE2(FC_NAME, input)(const FC_ELEMENT *factors, const int scheme, const int pair, const V(VEC) *d,
                                         V(VEC) out[2])
{
    if (fc_winograd_taps(scheme) == 1) {
        out[0] = d[pair];
        out[1] = d[fc_winograd_points(scheme) - 1 - pair];
    } else if (scheme == FC_F22) {
        out[0] = d[1];
        out[1] = d[2] - d[1];
        if (pair == 0)
            out[0] = d[0] - d[1];
    } else if (scheme == FC_F23) {
        out[0] = pair == 0 ? d[0] - d[2] : d[2] + d[1];
        out[1] = pair == 0 ? d[3] - d[1] : d[2] - d[1];
    } else if (scheme == FC_F42) {
        if (pair == 0) {
            out[0] = out[1] = PLUS(PLUS(d[4], MINUS_SUM_OF_SQUARES, d[2]), PRODUCT_OF_SQUARES, d[0]);
            return;
        }
        const int square = pair == 1 ? MINUS_OUTER_SQUARE : MINUS_INNER_SQUARE;
        const V(VEC) even = TIMES(pair == 1 ? INNER : OUTER, PLUS(d[2], square, d[0])), odd = PLUS(d[3], square, d[1]);
        out[0] = even + odd;
        out[1] = even - odd;
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
FC_INLINE void FC_PASTE2(FC_NAME, weight)(const FC_ELEMENT *factors, const int scheme, const int pair, const V(VEC) *g,
                                          V(VEC) out[2])
{
    const int taps = fc_winograd_taps(scheme);
    if (taps == 1 || pair == 0) { /* the points 0 and infinity, or the latter alone */
        out[0] = g[scheme == FC_F42 ? taps - 1 : 0];
        out[1] = g[taps - 1];
        return;
    }
    if (scheme == FC_F22) {
        out[0] = out[1] = g[0] + g[1];
        return;
    }
    const int point = pairs_of[scheme][pair].point, square = pairs_of[scheme][pair].square;
    const int scale = pairs_of[scheme][pair].scale;
    V(VEC) even = g[0], odd = g[1];
    if (taps == 5)
        even = PLUS(even, square, PLUS(g[2], square, g[4]));
    else if (taps == 3)
        even = PLUS(even, square, g[2]);
    if (taps == 5)
        odd = PLUS(odd, square, g[3]);
    odd = TIMES(point, odd);
    out[0] = TIMES(scale, even + odd);
    out[1] = TIMES(scale, even - odd);
}

/* Points to outputs. */
FC_INLINE void FC_PASTE2(FC_NAME, output)(const FC_ELEMENT *factors, const int scheme, const int pair, const V(VEC) *m,
                                          V(VEC) out[2])
{
    if (fc_winograd_taps(scheme) == 1) {
        out[0] = m[pair];
        out[1] = m[fc_winograd_outputs(scheme) == 4 ? pair + 2 : fc_winograd_outputs(scheme) - 1];
    } else if (scheme == FC_F22) {
        out[0] = m[0] + m[1];
        out[1] = m[1] + m[2];
    } else if (scheme == FC_F23) {
        out[0] = m[0] + (m[1] + m[2]);
        out[1] = (m[1] - m[2]) + m[3];
    } else if (scheme == FC_F25) {
        out[0] = m[0] + ((m[1] + m[2]) + (m[3] + m[4]));
        out[1] = PLUS(PLUS(m[5], NEAR, m[1] - m[2]), FAR, m[3] - m[4]);
    } else if (pair == 0) {
        const V(VEC) near = m[1] + m[2], far = m[3] + m[4];
        out[0] = scheme == FC_F42 ? near + far : m[0] + (near + far);
        out[1] = scheme == FC_F42 ? PLUS(TIMES(INNER_SQUARE, near), OUTER_SQUARE, far) : PLUS(TIMES(HALF, near), TWO, far);
    } else if (scheme == FC_F42) {
        const V(VEC) inner = TIMES(INNER, m[1] - m[2]), outer = TIMES(OUTER, m[3] - m[4]);
        out[0] = inner + outer;
        out[1] = PLUS(PLUS(m[0], INNER_SQUARE, inner), OUTER_SQUARE, outer);
    } else {
        const V(VEC) near = m[1] - m[2], far = m[3] - m[4];
        out[0] = PLUS(TIMES(NEAR, near), FAR, far);
        out[1] = PLUS(PLUS(m[5], NEAR_CUBE, near), FAR_CUBE, far);
    }
}

FC_INLINE void FC_PASTE2(FC_NAME, one)(const FC_ELEMENT *factors, const fc_winograd_kind kind, const int scheme,
                                       const int pair, const V(VEC) *d, V(VEC) out[2])
{
    if (kind == FC_INPUT)
        FC_PASTE2(FC_NAME, input)(factors, scheme, pair, d, out);
    else if (kind == FC_WEIGHT)
        FC_PASTE2(FC_NAME, weight)(factors, scheme, pair, d, out);
    else
        FC_PASTE2(FC_NAME, output)(factors, scheme, pair, d, out);
}

/* With a stride, points of the even taps stand before those of the odd ones. */
FC_INLINE int FC_PASTE2(FC_NAME, result)(const fc_winograd_kind kind, const int scheme, const int i)
{
    const int even = fc_schemes[scheme].even, odd = fc_schemes[scheme].odd;
    if (fc_schemes[scheme].stride == 1 || kind == FC_OUTPUT)
        return FC_PASTE2(FC_NAME, of_one)(kind, scheme, i);
    const int first = 2 * FC_PASTE2(FC_NAME, pairs)(kind, even);
    if (i < first)
        return FC_PASTE2(FC_NAME, of_one)(kind, even, i);
    const int at = FC_PASTE2(FC_NAME, of_one)(kind, odd, i - first);
    return at < 0 ? at : fc_winograd_points(even) + at;
}

FC_INLINE void FC_PASTE2(FC_NAME, line)(const FC_ELEMENT *factors, const fc_winograd_kind kind, const int scheme,
                                        const int pair, const V(VEC) *d, V(VEC) out[2])
{
    const int even = fc_schemes[scheme].even, odd = fc_schemes[scheme].odd;
    if (fc_schemes[scheme].stride == 1) {
        FC_PASTE2(FC_NAME, one)(factors, kind, scheme, pair, d, out);
        return;
    }
    V(VEC) part[FC_WINOGRAD_POINTS];
    if (kind == FC_OUTPUT) {
        FC_PASTE2(FC_NAME, one)(factors, kind, even, pair, d, out);
        FC_PASTE2(FC_NAME, one)(factors, kind, odd, pair, d + fc_winograd_points(even), part);
        out[0] = out[0] + part[0];
        out[1] = out[1] + part[1];
        return;
    }
    const int count = kind == FC_WEIGHT ? fc_winograd_taps(scheme) : fc_winograd_points(scheme);
    const int evens = FC_PASTE2(FC_NAME, pairs)(kind, even), phase = pair >= evens;
    FC_UNROLL
    for (int i = 0; 2 * i + phase < count; i++)
        part[i] = d[2 * i + phase];
    FC_PASTE2(FC_NAME, one)(factors, kind, phase ? odd : even, phase ? pair - evens : pair, part, out);
}

/* Pairs of a line. */
FC_INLINE int FC_PASTE2(FC_NAME, all_pairs)(const fc_winograd_kind kind, const int scheme)
{
    if (fc_schemes[scheme].stride == 1 || kind == FC_OUTPUT)
        return FC_PASTE2(FC_NAME, pairs)(kind, scheme);
    return FC_PASTE2(FC_NAME, pairs)(kind, fc_schemes[scheme].even) + FC_PASTE2(FC_NAME, pairs)(kind, fc_schemes[scheme].odd);
}

FC_INLINE void FC_PASTE2(FC_NAME, tile)(const fc_winograd_kind kind, const fc_scheme down, const fc_scheme across,
                                        const fc_winograd_run *run, const char *from, char *to)
{
    const int together = V(ROWS) * V(VECS) >= 16 ? 2 : 1; /* rows of results */
    const int height = kind == FC_WEIGHT ? fc_winograd_taps(down) : fc_winograd_points(down);
    const int width = kind == FC_WEIGHT ? fc_winograd_taps(across) : fc_winograd_points(across);
    const FC_ELEMENT *factors = FC_PASTE2(FC_NAME, factors);
    FC_UNROLL
    for (int row = 0; row < 2 * FC_PASTE2(FC_NAME, all_pairs)(kind, down); row += together) {
        V(VEC) lines[2][FC_WINOGRAD_POINTS];
        FC_ANEW(from, factors); /* or Clang 16 holds terms of sums for the next rows, and 16 registers do not hold all factors */
        FC_UNROLL
        for (int j = 0; j < width; j++) {
            V(VEC) d[FC_WINOGRAD_POINTS], out[2];
            FC_UNROLL
            for (int i = 0; i < height; i++)
                d[i] = V(LOAD)((const FC_ELEMENT *)(from + i * run->from_row + j * run->from_column));
            FC_PASTE2(FC_NAME, line)(factors, kind, down, row / 2, d, out);
            for (int k = 0; k < together; k++) {
                lines[k][j] = out[(row + k) % 2];
                if (together == 1 && FC_PASTE2(FC_NAME, result)(kind, down, row + k) >= 0)
                    FC_AFTER(from, lines[k][j]); /* or Clang begins all columns at once, and 12 to 16 terms wait on the stack */
                if (kind == FC_OUTPUT && fc_schemes[down].stride == 2) /* GCC 12 would hold the terms of sums instead */
                    FC_KEEP(lines[k][j]);
            }
        }
        for (int k = 0; k < together; k++) {
            const int at = FC_PASTE2(FC_NAME, result)(kind, down, row + k);
            if (at < 0)
                continue;
            char *const line = to + at * run->to_row;
            FC_UNROLL
            for (int pair = 0; pair < FC_PASTE2(FC_NAME, all_pairs)(kind, across); pair++) {
                V(VEC) out[2];
                FC_PASTE2(FC_NAME, line)(factors, kind, across, pair, lines[k], out);
                for (int i = 0; i < 2; i++) {
                    const int column = FC_PASTE2(FC_NAME, result)(kind, across, 2 * pair + i);
                    if (column < 0)
                        continue;
                    if (kind == FC_OUTPUT)
                        out[i] = out[i] + V(LOAD)((const FC_ELEMENT *)run->bias);
                    V(STORE)((FC_ELEMENT *)(line + column * run->to_column), out[i]);
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
FC_SCHEME(F43S2, F43S2)
FC_SCHEME(F23S2, F23S2)
FC_SCHEME(F25S2, F25S2)

static const fc_winograd FC_NAME = {
    .of = {FC_LIST(F43, F43), FC_LIST(F23, F23), FC_LIST(F25, F25), FC_LIST(F43, F11), FC_LIST(F11, F43), FC_LIST(F25, F11),
           FC_LIST(F11, F25), FC_LIST(F43S2, F43S2), FC_LIST(F23S2, F23S2), FC_LIST(F25S2, F25S2)},
};

#undef FC_LIST
#undef FC_SCHEME
#undef FC_TRANSFORM
#undef PLUS
#undef TIMES
#undef FC_INLINE
#undef FC_ELEMENT
#undef FC_NAME
