/* Depthwise products of one instruction set and one arithmetic: 1 to 4 pixels by V(VECS) vectors of channels. Contract:
 * fc_channels_fn. Each weight vector is loaded once for all pixels; pixels are memory operands. */

#define FC_NAME FC_PASTE3(channels, FC_T, FC_ISA)
#define FC_ELEMENT V(ELEMENT)

static inline __attribute__((always_inline)) void FC_PASTE2(FC_NAME, body)(
    const int pixels, int64_t steps, const char *x, int64_t x_step, const int64_t *xoff, const void *w, const void *bias,
    char *y, int64_t y_step)
{
    const FC_ELEMENT one = 1, *weights = w, *b = bias;
    V(VEC) acc[4][V(VECS)];
    FC_UNROLL
    for (int i = 0; i < pixels; i++)
        FC_UNROLL
        for (int j = 0; j < V(VECS); j++)
            acc[i][j] = V(ZERO)();

    FC_ROLLED
    for (int64_t s = 0; s < steps; s++, weights += V(VECS) * V(LANES)) {
        FC_UNROLL
        for (int j = 0; j < V(VECS); j++) {
            const V(VEC) v = V(LOAD)(weights + j * V(LANES));
            FC_UNROLL
            for (int i = 0; i < pixels; i++)
                acc[i][j] = V(FMA)(v, V(LOAD)((const FC_ELEMENT *)(x + xoff[s] + i * x_step) + j * V(LANES)), acc[i][j]);
        }
    }

    FC_UNROLL
    for (int i = 0; i < pixels; i++)
        FC_UNROLL
        for (int j = 0; j < V(VECS); j++) {
            FC_ELEMENT *to = (FC_ELEMENT *)(y + i * y_step) + j * V(LANES);
            if (b) /* 1 * sum + bias is the sum, rounded once */
                V(STORE)(to, V(FMA)(V(SPLAT)(&one), acc[i][j], V(LOAD)(b + j * V(LANES))));
            else
                V(STORE)(to, acc[i][j]);
        }
}

#define FC_PIXELS(PIXELS)                                                                                              \
    static void FC_PASTE2(FC_NAME, PIXELS)(int64_t steps, const char *x, int64_t x_step, const int64_t *xoff,          \
                                           const void *w, const void *bias, char *y, int64_t y_step)                   \
    {                                                                                                                  \
        FC_PASTE2(FC_NAME, body)(PIXELS, steps, x, x_step, xoff, w, bias, y, y_step);                                  \
    }
FC_PIXELS(1)
FC_PIXELS(2)
FC_PIXELS(3)
FC_PIXELS(4)
#undef FC_PIXELS

static const fc_channels FC_NAME = {
    .channels = V(VECS) * V(LANES),
    .run = {NULL, FC_PASTE2(FC_NAME, 1), FC_PASTE2(FC_NAME, 2), FC_PASTE2(FC_NAME, 3), FC_PASTE2(FC_NAME, 4)},
};

#undef FC_ELEMENT
#undef FC_NAME
