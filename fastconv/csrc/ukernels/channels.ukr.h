/* Depthwise products of one instruction set and one arithmetic, a vector of channels. Contracts: fc_channels_fn, fc_slide_fn. */

#define FC_NAME FC_PASTE3(channels, FC_T, FC_ISA)
#define FC_ELEMENT V(ELEMENT)

static inline __attribute__((always_inline)) void FC_PASTE2(FC_NAME, store)(V(VEC) *acc, const int pixels, const void *bias,
                                                                            char *y, int64_t y_step)
{
    const FC_ELEMENT one = 1;
    if (bias) /* 1 * sum + bias is the sum, rounded once */
        FC_UNROLL
        for (int i = 0; i < pixels; i++)
            acc[i] = V(FMA)(V(SPLAT)(&one), acc[i], V(LOAD)((const FC_ELEMENT *)bias));
    FC_UNROLL
    for (int i = 0; i < pixels; i++)
        V(STORE)((FC_ELEMENT *)(y + i * y_step), acc[i]);
}

/* Any taps, 1 to 7 pixels: each weight is loaded once for all, pixels are memory operands. */
static inline __attribute__((always_inline)) void FC_PASTE2(FC_NAME, any)(const int pixels, int64_t steps, const char *x,
                                                                          int64_t x_step, const int64_t *xoff, const void *w,
                                                                          const void *from, const void *bias, char *y,
                                                                          int64_t y_step)
{
    const FC_ELEMENT *weights = w;
    V(VEC) acc[FC_PIXELS];
    FC_UNROLL
    for (int i = 0; i < pixels; i++)
        acc[i] = V(ZERO)();
    if (from)
        FC_UNROLL
        for (int i = 0; i < pixels; i++)
            acc[i] = V(LOAD)((const FC_ELEMENT *)((const char *)from + i * y_step));
    FC_ROLLED
    for (int64_t s = 0; s < steps; s++, weights += V(LANES)) {
        const V(VEC) v = V(LOAD)(weights);
        FC_UNROLL
        for (int i = 0; i < pixels; i++)
            acc[i] = V(FMA)(v, V(LOAD)((const FC_ELEMENT *)(x + xoff[s] + i * x_step)), acc[i]);
    }
    FC_PASTE2(FC_NAME, store)(acc, pixels, bias, y, y_step);
}

/* Seven pixels of a kernel `kw` wide, which share the image's: each of those is loaded once for all its taps, so that for
 * 3 x 3 there are 36 loads for 63 multiplications. Seven accumulators and kw weights and a pixel: 15 registers at most.
 * Maps of 7, 14, 28, 56 and 112 pixels are whole. */
static inline __attribute__((always_inline)) void FC_PASTE2(FC_NAME, slide)(const int kw, const int stride, int64_t kh,
                                                                            const char *x, int64_t x_row, int64_t x_step,
                                                                            const void *w, const void *bias, char *y,
                                                                            int64_t y_step)
{
    const FC_ELEMENT *weights = w;
    V(VEC) acc[FC_PIXELS];
    FC_UNROLL
    for (int i = 0; i < FC_PIXELS; i++)
        acc[i] = V(ZERO)();
    FC_ROLLED
    for (int64_t ky = 0; ky < kh; ky++, weights += kw * V(LANES), x += x_row) {
        V(VEC) taps[7];
        FC_UNROLL
        for (int t = 0; t < kw; t++)
            taps[t] = V(LOAD)(weights + t * V(LANES));
        FC_UNROLL
        for (int c = 0; c < (FC_PIXELS - 1) * stride + kw; c++) {
            const V(VEC) pixel = V(LOAD)((const FC_ELEMENT *)(x + c * x_step));
            FC_UNROLL
            for (int i = 0; i < FC_PIXELS; i++)
                if (c >= i * stride && c < i * stride + kw)
                    acc[i] = V(FMA)(taps[c - i * stride], pixel, acc[i]);
        }
    }
    FC_PASTE2(FC_NAME, store)(acc, FC_PIXELS, bias, y, y_step);
}

#define FC_ANY(PIXELS)                                                                                                 \
    static void FC_PASTE2(FC_NAME, PIXELS)(int64_t steps, const char *x, int64_t x_step, const int64_t *xoff,          \
                                           const void *w, const void *from, const void *bias, char *y, int64_t y_step) \
    {                                                                                                                  \
        FC_PASTE2(FC_NAME, any)(PIXELS, steps, x, x_step, xoff, w, from, bias, y, y_step);                             \
    }
#define FC_SLIDE(KW, STRIDE)                                                                                           \
    static void FC_PASTE3(FC_NAME, KW, STRIDE)(int64_t kh, const char *x, int64_t x_row, int64_t x_step,               \
                                               const void *w, const void *bias, char *y, int64_t y_step)               \
    {                                                                                                                  \
        FC_PASTE2(FC_NAME, slide)(KW, STRIDE, kh, x, x_row, x_step, w, bias, y, y_step);                               \
    }
FC_ANY(1)
FC_ANY(2)
FC_ANY(3)
FC_ANY(4)
FC_ANY(5)
FC_ANY(6)
FC_ANY(7)
FC_SLIDE(3, 1)
FC_SLIDE(3, 2)
FC_SLIDE(5, 1)
FC_SLIDE(5, 2)
FC_SLIDE(7, 1)
#undef FC_ANY
#undef FC_SLIDE

static const fc_channels FC_NAME = {
    .lanes = V(LANES),
    .run = {NULL, FC_PASTE2(FC_NAME, 1), FC_PASTE2(FC_NAME, 2), FC_PASTE2(FC_NAME, 3), FC_PASTE2(FC_NAME, 4),
            FC_PASTE2(FC_NAME, 5), FC_PASTE2(FC_NAME, 6), FC_PASTE2(FC_NAME, 7)},
    .slide = {[3] = {NULL, FC_PASTE3(FC_NAME, 3, 1), FC_PASTE3(FC_NAME, 3, 2)},
              [5] = {NULL, FC_PASTE3(FC_NAME, 5, 1), FC_PASTE3(FC_NAME, 5, 2)},
              [7] = {NULL, FC_PASTE3(FC_NAME, 7, 1)}},
};

#undef FC_ELEMENT
#undef FC_NAME
