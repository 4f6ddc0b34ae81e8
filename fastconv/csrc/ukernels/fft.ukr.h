/* Passes of Fourier transforms and products of spectra, for one instruction set and one arithmetic. Contracts: fc_fft_run,
 * fc_fft_outer_run and fc_spectra_run.
 *
 * A vector holds lines that are transformed alike, so nothing is shuffled; a butterfly of `radix` complex numbers is 2 * radix
 * registers. Twiddles are read where they are used: as operands that the loads beside 16 or more additions have time for. */

#define FC_NAME FC_PASTE3(fft, FC_T, FC_ISA)
#define FC_ELEMENT V(ELEMENT)
#define FC_INLINE static inline __attribute__((always_inline))
#define FC_MANY (V(ROWS) * V(VECS) >= 16) /* registers: 32 */

/* In memory, or they would go there by way of the stack. */
static const FC_ELEMENT FC_PASTE2(FC_NAME, numbers)[] = {
    (FC_ELEMENT)-0.5, (FC_ELEMENT)0.86602540378443864676, (FC_ELEMENT)0.70710678118654752440, (FC_ELEMENT)-0.70710678118654752440};
#define MINUS_HALF V(SPLAT)(FC_PASTE2(FC_NAME, numbers))
#define SINE_60 V(SPLAT)(FC_PASTE2(FC_NAME, numbers) + 1)
#define ROOT_HALF V(SPLAT)(FC_PASTE2(FC_NAME, numbers) + 2)
#define MINUS_ROOT_HALF V(SPLAT)(FC_PASTE2(FC_NAME, numbers) + 3)

/* (re, im) times (cosine, sine). */
FC_INLINE void FC_PASTE2(FC_NAME, turn)(V(VEC) *re, V(VEC) *im, const V(VEC) cosine, const V(VEC) sine)
{
    const V(VEC) r = *re;
    *re = V(FMA)(cosine, r, -(sine * *im));
    *im = V(FMA)(cosine, *im, sine * r);
}

/* Discrete Fourier transforms with exp(-2 pi i / radix), in place. */
FC_INLINE void FC_PASTE2(FC_NAME, two)(V(VEC) *re, V(VEC) *im, const int a, const int b)
{
    const V(VEC) r = re[a] - re[b], i = im[a] - im[b];
    re[a] = re[a] + re[b];
    im[a] = im[a] + im[b];
    re[b] = r;
    im[b] = i;
}

FC_INLINE void FC_PASTE2(FC_NAME, three)(V(VEC) *re, V(VEC) *im)
{
    FC_PASTE2(FC_NAME, two)(re, im, 1, 2);
    const V(VEC) r = V(FMA)(MINUS_HALF, re[1], re[0]), i = V(FMA)(MINUS_HALF, im[1], im[0]);
    const V(VEC) dr = SINE_60 * re[2], di = SINE_60 * im[2];
    re[0] = re[0] + re[1];
    im[0] = im[0] + im[1];
    re[1] = r + di;
    im[1] = i - dr;
    re[2] = r - di;
    im[2] = i + dr;
}

/* Of the numbers at a, a + step, a + 2 * step and a + 3 * step. */
FC_INLINE void FC_PASTE2(FC_NAME, four)(V(VEC) *re, V(VEC) *im, const int a, const int step)
{
    const int b = a + step, c = b + step, d = c + step;
    FC_PASTE2(FC_NAME, two)(re, im, a, c);
    FC_PASTE2(FC_NAME, two)(re, im, b, d);
    FC_PASTE2(FC_NAME, two)(re, im, a, b);
    const V(VEC) r = re[c], i = im[c], dr = re[d], di = im[d]; /* the second differences: c is x0 - x2, d is x1 - x3 */
    const V(VEC) third_r = re[b], third_i = im[b];
    re[b] = r + di;
    im[b] = i - dr;
    re[d] = r - di;
    im[d] = i + dr;
    re[c] = third_r;
    im[c] = third_i;
}

FC_INLINE void FC_PASTE2(FC_NAME, eight)(V(VEC) *re, V(VEC) *im)
{
    FC_PASTE2(FC_NAME, four)(re, im, 0, 2);
    FC_PASTE2(FC_NAME, four)(re, im, 1, 2);
    /* Those of even numbers are at 0, 2, 4, 6, of odd ones behind each; the latter are turned by 0, 45, 90 and 135 degrees. */
    const V(VEC) sum1 = re[3] + im[3], difference1 = im[3] - re[3], sum3 = re[7] + im[7], difference3 = im[7] - re[7];
    V(VEC) r[8], i[8];
    r[0] = re[0] + re[1];
    i[0] = im[0] + im[1];
    r[4] = re[0] - re[1];
    i[4] = im[0] - im[1];
    r[1] = V(FMA)(ROOT_HALF, sum1, re[2]);
    i[1] = V(FMA)(ROOT_HALF, difference1, im[2]);
    r[5] = V(FMA)(MINUS_ROOT_HALF, sum1, re[2]);
    i[5] = V(FMA)(MINUS_ROOT_HALF, difference1, im[2]);
    r[2] = re[4] + im[5];
    i[2] = im[4] - re[5];
    r[6] = re[4] - im[5];
    i[6] = im[4] + re[5];
    r[3] = V(FMA)(ROOT_HALF, difference3, re[6]);
    i[3] = V(FMA)(MINUS_ROOT_HALF, sum3, im[6]);
    r[7] = V(FMA)(MINUS_ROOT_HALF, difference3, re[6]);
    i[7] = V(FMA)(ROOT_HALF, sum3, im[6]);
    FC_UNROLL
    for (int k = 0; k < 8; k++) {
        re[k] = r[k];
        im[k] = i[k];
    }
}

FC_INLINE void FC_PASTE2(FC_NAME, any)(const int radix, V(VEC) *re, V(VEC) *im)
{
    if (radix == 2)
        FC_PASTE2(FC_NAME, two)(re, im, 0, 1);
    else if (radix == 3)
        FC_PASTE2(FC_NAME, three)(re, im);
    else if (radix == 4)
        FC_PASTE2(FC_NAME, four)(re, im, 0, 1);
    else
        FC_PASTE2(FC_NAME, eight)(re, im);
}

/* One butterfly; `turned`: 0 without twiddles, 1 with them after it, -1 before it. */
FC_INLINE void FC_PASTE2(FC_NAME, butterfly)(const int radix, const int turned, const char *from, int64_t from_im, int64_t from_step,
                                             char *to, int64_t to_im, int64_t to_step, const FC_ELEMENT *twiddles)
{
    V(VEC) re[8], im[8];
    FC_UNROLL
    for (int k = 0; k < radix; k++) {
        re[k] = V(LOAD)((const FC_ELEMENT *)(from + k * from_step));
        im[k] = V(LOAD)((const FC_ELEMENT *)(from + k * from_step + from_im));
        if (turned < 0 && k)
            FC_PASTE2(FC_NAME, turn)(re + k, im + k, V(SPLAT)(twiddles + 2 * k - 2), V(SPLAT)(twiddles + 2 * k - 1));
    }
    FC_PASTE2(FC_NAME, any)(radix, re, im);
    FC_UNROLL
    for (int k = 0; k < radix; k++) {
        if (turned > 0 && k)
            FC_PASTE2(FC_NAME, turn)(re + k, im + k, V(SPLAT)(twiddles + 2 * k - 2), V(SPLAT)(twiddles + 2 * k - 1));
        V(STORE)((FC_ELEMENT *)(to + k * to_step), re[k]);
        V(STORE)((FC_ELEMENT *)(to + k * to_step + to_im), im[k]);
    }
}

#define FC_PASS(RADIX, NAME, TURNED)                                                                                   \
    static void FC_PASTE3(FC_NAME, NAME, RADIX)(const fc_fft_run *run)                                                 \
    {                                                                                                                  \
        const FC_ELEMENT *twiddles = run->twiddles;                                                                    \
        for (int64_t b = 0; b < run->blocks; b++, twiddles += 2 * (RADIX - 1))                                         \
            for (int64_t k = 0; k < run->span; k++) {                                                                  \
                const char *from = run->from + (b * RADIX * run->span + k) * run->from_row;                            \
                char *to = run->to + (b * RADIX * run->span + k) * run->to_row;                                        \
                FC_ROLLED                                                                                              \
                for (int64_t v = 0; v < run->vectors; v++, from += run->from_vector, to += run->to_vector)             \
                    FC_PASTE2(FC_NAME, butterfly)(RADIX, TURNED, from, run->from_im, run->span * run->from_row, to,    \
                                                  run->to_im, run->span * run->to_row, twiddles);                      \
            }                                                                                                          \
    }

/* From one butterfly to the next without leaving the registers. */
FC_INLINE void FC_PASTE2(FC_NAME, around)(const int radix, const fc_fft_run *run, const char *from, char *to, const char *w,
                                          const FC_ELEMENT *twiddles)
{
    V(VEC) re[8], im[8];
    FC_UNROLL
    for (int k = 0; k < radix; k++) {
        re[k] = V(LOAD)((const FC_ELEMENT *)(from + k * run->from_row));
        im[k] = V(LOAD)((const FC_ELEMENT *)(from + k * run->from_row + run->from_im));
        if (k)
            FC_PASTE2(FC_NAME, turn)(re + k, im + k, V(SPLAT)(twiddles + 2 * k - 2), V(SPLAT)(twiddles + 2 * k - 1));
    }
    FC_PASTE2(FC_NAME, any)(radix, re, im);
    FC_UNROLL
    for (int k = 0; k < radix; k++) {
        const FC_ELEMENT *of = (const FC_ELEMENT *)(w + k * run->w_row);
        FC_PASTE2(FC_NAME, turn)(re + k, im + k, V(LOAD)(of), V(LOAD)(of + V(LANES)));
    }
    FC_PASTE2(FC_NAME, any)(radix, im, re);
    FC_UNROLL
    for (int k = 0; k < radix; k++) {
        if (k)
            FC_PASTE2(FC_NAME, turn)(im + k, re + k, V(SPLAT)(twiddles + 2 * k - 2), V(SPLAT)(twiddles + 2 * k - 1));
        V(STORE)((FC_ELEMENT *)(to + k * run->to_row), re[k]);
        V(STORE)((FC_ELEMENT *)(to + k * run->to_row + run->to_im), im[k]);
    }
}

#define FC_PASS_AROUND(RADIX)                                                                                          \
    static void FC_PASTE3(FC_NAME, around, RADIX)(const fc_fft_run *run)                                               \
    {                                                                                                                  \
        const FC_ELEMENT *twiddles = run->twiddles;                                                                    \
        for (int64_t b = 0; b < run->blocks * RADIX; b += RADIX, twiddles += 2 * (RADIX - 1)) {                        \
            const char *from = run->from + b * run->from_row, *w = (const char *)run->w + b * run->w_row;              \
            char *to = run->to + b * run->to_row;                                                                      \
            FC_ROLLED                                                                                                  \
            for (int64_t v = 0; v < run->vectors; v++) {                                                               \
                FC_PASTE2(FC_NAME, around)(RADIX, run, from, to, w, twiddles);                                         \
                from += run->from_vector;                                                                              \
                to += run->to_vector;                                                                                  \
                w += run->w_vector;                                                                                    \
            }                                                                                                          \
        }                                                                                                              \
    }
/* The outer pass down, from rows of pixels; the next of them are called in. */
FC_INLINE void FC_PASTE2(FC_NAME, begin)(const int radix, const fc_fft_outer_run *run)
{
    const FC_ELEMENT *twiddles = run->twiddles;
    const int64_t half = V(LANES) * (int64_t)sizeof(FC_ELEMENT);
    V(VEC) upper = V(LOAD)((const FC_ELEMENT *)run->squares), lower = V(ZERO)();
    char *to = run->numbers;
    FC_ROLLED
    for (int64_t at = 0; at < run->vectors * half; at += half, to += run->vector) {
        V(VEC) re[4], im[4];
        FC_UNROLL
        for (int k = 0; k < radix; k++) {
            __builtin_prefetch(run->from[k] + at + run->ahead);
            __builtin_prefetch(run->from[radix + k] + at + run->ahead);
            re[k] = V(LOAD)((const FC_ELEMENT *)(run->from[k] + at));
            im[k] = V(LOAD)((const FC_ELEMENT *)(run->from[radix + k] + at));
            upper = V(FMA)(re[k], re[k], upper);
            lower = V(FMA)(im[k], im[k], lower);
            if (k)
                FC_PASTE2(FC_NAME, turn)(re + k, im + k, V(SPLAT)(twiddles + 2 * k - 2), V(SPLAT)(twiddles + 2 * k - 1));
        }
        FC_PASTE2(FC_NAME, any)(radix, re, im);
        FC_UNROLL
        for (int k = 0; k < radix; k++) {
            V(STORE)((FC_ELEMENT *)(to + k * run->step), re[k]);
            V(STORE)((FC_ELEMENT *)(to + k * run->step + half), im[k]);
        }
    }
    V(STORE)((FC_ELEMENT *)run->squares, upper + lower);
}

/* The outer pass back, to rows of the result. */
FC_INLINE void FC_PASTE2(FC_NAME, finish)(const int radix, const fc_fft_outer_run *run)
{
    const FC_ELEMENT *twiddles = run->twiddles;
    const int64_t half = V(LANES) * (int64_t)sizeof(FC_ELEMENT);
    const V(VEC) scale = V(SPLAT)((const FC_ELEMENT *)run->scale);
    const V(VEC) bias = run->bias ? V(SPLAT)((const FC_ELEMENT *)run->bias) : V(ZERO)();
    const char *from = run->numbers;
    FC_ROLLED
    for (int64_t at = 0; at < run->vectors * half; at += half, from += run->vector) {
        V(VEC) re[4], im[4];
        FC_UNROLL
        for (int k = 0; k < radix; k++) {
            im[k] = V(LOAD)((const FC_ELEMENT *)(from + k * run->step));
            re[k] = V(LOAD)((const FC_ELEMENT *)(from + k * run->step + half));
        }
        FC_PASTE2(FC_NAME, any)(radix, re, im);
        FC_UNROLL
        for (int k = 0; k < radix; k++) {
            if (k)
                FC_PASTE2(FC_NAME, turn)(re + k, im + k, V(SPLAT)(twiddles + 2 * k - 2), V(SPLAT)(twiddles + 2 * k - 1));
            V(STORE)((FC_ELEMENT *)(run->to[k] + at), V(FMA)(im[k], scale, bias));
            V(STORE)((FC_ELEMENT *)(run->to[radix + k] + at), V(FMA)(re[k], scale, bias));
        }
    }
}

#define FC_PASS_OUTER(RADIX)                                                                                           \
    static void FC_PASTE3(FC_NAME, begin, RADIX)(const fc_fft_outer_run *run)                                          \
    {                                                                                                                  \
        FC_PASTE2(FC_NAME, begin)(RADIX, run);                                                                         \
    }                                                                                                                  \
    static void FC_PASTE3(FC_NAME, finish, RADIX)(const fc_fft_outer_run *run)                                        \
    {                                                                                                                  \
        FC_PASTE2(FC_NAME, finish)(RADIX, run);                                                                        \
    }

#define FC_RADIX(RADIX)                                                                                                \
    FC_PASS(RADIX, plain, 0)                                                                                           \
    FC_PASS(RADIX, after, 1)                                                                                           \
    FC_PASS(RADIX, before, -1)                                                                                         \
    FC_PASS_AROUND(RADIX)
#define FC_LIST(RADIX)                                                                                                 \
    [RADIX] = {FC_PASTE3(FC_NAME, plain, RADIX), FC_PASTE3(FC_NAME, after, RADIX), FC_PASTE3(FC_NAME, before, RADIX),     \
               FC_PASTE3(FC_NAME, around, RADIX)}
#define FC_OUTER(NAME, RADIX) [RADIX] = FC_PASTE3(FC_NAME, NAME, RADIX)

FC_RADIX(2)
FC_RADIX(3)
FC_RADIX(4)
FC_PASS_OUTER(2)
FC_PASS_OUTER(3)
FC_PASS_OUTER(4)
#if FC_MANY
FC_RADIX(8)
#endif

/* Some tiles by some kernels: 2 x 4 are 16 accumulators, 4 + 2 registers of pixels and 2 of weights. */
FC_INLINE void FC_PASTE2(FC_NAME, spectra)(const int tiles, const int kernels, const fc_spectra_run *run)
{
    const char *x = run->x, *w = run->w;
    char *y = run->y;
    const int64_t half = V(LANES) * (int64_t)sizeof(FC_ELEMENT);
    for (int64_t v = 0; v < run->vectors; v++, x += run->x_vector, w += run->w_vector, y += run->y_vector) {
        V(VEC) re[2][4], im[2][4];
        FC_UNROLL
        for (int t = 0; t < tiles; t++)
            FC_UNROLL
            for (int o = 0; o < kernels; o++)
                re[t][o] = im[t][o] = V(ZERO)();
        FC_ROLLED
        for (int64_t s = 0; s < run->steps; s++) {
            V(VEC) xr[2], xi[2], minus[2];
            FC_UNROLL
            for (int t = 0; t < tiles; t++) {
                const char *at = x + t * run->x_tile + s * 2 * half;
                xr[t] = V(LOAD)((const FC_ELEMENT *)at);
                xi[t] = V(LOAD)((const FC_ELEMENT *)(at + half));
                minus[t] = -xi[t];
            }
            FC_UNROLL
            for (int o = 0; o < kernels; o++) {
                const char *at = w + o * run->w_kernel + s * 2 * half;
                const V(VEC) wr = V(LOAD)((const FC_ELEMENT *)at), wi = V(LOAD)((const FC_ELEMENT *)(at + half));
                FC_UNROLL
                for (int t = 0; t < tiles; t++) {
                    re[t][o] = V(FMA)(xr[t], wr, re[t][o]);
                    im[t][o] = V(FMA)(xr[t], wi, im[t][o]);
                    re[t][o] = V(FMA)(minus[t], wi, re[t][o]);
                    im[t][o] = V(FMA)(xi[t], wr, im[t][o]);
                }
            }
        }
        FC_UNROLL
        for (int t = 0; t < tiles; t++)
            FC_UNROLL
            for (int o = 0; o < kernels; o++) {
                FC_ELEMENT *const to = (FC_ELEMENT *)(y + t * run->y_tile + o * run->y_kernel);
                if (run->resume) {
                    re[t][o] = re[t][o] + V(LOAD)(to);
                    im[t][o] = im[t][o] + V(LOAD)(to + V(LANES));
                }
                V(STORE)(to, re[t][o]);
                V(STORE)(to + V(LANES), im[t][o]);
            }
    }
}

#define FC_SPECTRA(TILES, KERNELS)                                                                                     \
    static void FC_PASTE3(FC_NAME, TILES, KERNELS)(const fc_spectra_run *run)                                          \
    {                                                                                                                  \
        FC_PASTE2(FC_NAME, spectra)(TILES, KERNELS, run);                                                              \
    }
FC_SPECTRA(1, 1)
FC_SPECTRA(1, 2)
FC_SPECTRA(2, 1)
FC_SPECTRA(2, 2)
#if FC_MANY
FC_SPECTRA(1, 3)
FC_SPECTRA(1, 4)
FC_SPECTRA(2, 3)
FC_SPECTRA(2, 4)
#endif

static const fc_fft FC_NAME = {
    .begin = {FC_OUTER(begin, 2), FC_OUTER(begin, 3), FC_OUTER(begin, 4)},
    .finish = {FC_OUTER(finish, 2), FC_OUTER(finish, 3), FC_OUTER(finish, 4)},
#if FC_MANY
    .eight = 1,
    .kernels = 4,
    .pass = {FC_LIST(2), FC_LIST(3), FC_LIST(4), FC_LIST(8)},
    .multiply = {[1] = {NULL, FC_PASTE3(FC_NAME, 1, 1), FC_PASTE3(FC_NAME, 1, 2), FC_PASTE3(FC_NAME, 1, 3), FC_PASTE3(FC_NAME, 1, 4)},
                 [2] = {NULL, FC_PASTE3(FC_NAME, 2, 1), FC_PASTE3(FC_NAME, 2, 2), FC_PASTE3(FC_NAME, 2, 3), FC_PASTE3(FC_NAME, 2, 4)}},
#else
    .kernels = 2,
    .pass = {FC_LIST(2), FC_LIST(3), FC_LIST(4)},
    .multiply = {[1] = {NULL, FC_PASTE3(FC_NAME, 1, 1), FC_PASTE3(FC_NAME, 1, 2)},
                 [2] = {NULL, FC_PASTE3(FC_NAME, 2, 1), FC_PASTE3(FC_NAME, 2, 2)}},
#endif
};

#undef FC_SPECTRA
#undef FC_OUTER
#undef FC_LIST
#undef FC_RADIX
#undef FC_PASS_OUTER
#undef FC_PASS_AROUND
#undef FC_PASS
#undef MINUS_ROOT_HALF
#undef ROOT_HALF
#undef SINE_60
#undef MINUS_HALF
#undef FC_MANY
#undef FC_INLINE
#undef FC_ELEMENT
#undef FC_NAME
