/* Transposition with one instruction set, of elements of one size. Contract: fc_transpose_fn.
 *
 * Squares of whole vectors stay in registers: each cache line is read once and written once, whatever the steps, so none
 * has to be kept where steps are multiples of a page and all lines would fall into one set of the cache. Vectors are
 * interleaved in halves, log2(lanes) times: 64 shuffles for 16 x 16 elements. The last square of a row or column is moved
 * back inside, and moves some elements twice. */

#define FC_NAME FC_PASTE3(transpose, FC_T, FC_ISA)
#define FC_ELEMENT V(ELEMENT)

#if V(LANES) == 16
#define FC_ZIP_LOW 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define FC_ZIP_HIGH 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#elif V(LANES) == 8
#define FC_ZIP_LOW 0, 8, 1, 9, 2, 10, 3, 11
#define FC_ZIP_HIGH 4, 12, 5, 13, 6, 14, 7, 15
#elif V(LANES) == 4
#define FC_ZIP_LOW 0, 4, 1, 5
#define FC_ZIP_HIGH 2, 6, 3, 7
#elif V(LANES) == 2
#define FC_ZIP_LOW 0, 2
#define FC_ZIP_HIGH 1, 3
#endif

#ifdef FC_ZIP_LOW
static void FC_PASTE2(FC_NAME, square)(char *to, const int64_t *to_at, int64_t to_step, const char *from, int64_t from_step)
{
    V(VEC) rows[V(LANES)], zipped[V(LANES)];
    FC_UNROLL
    for (int i = 0; i < V(LANES); i++)
        rows[i] = V(LOAD)((const FC_ELEMENT *)(from + i * from_step));
    FC_UNROLL
    for (int span = 1; span < V(LANES); span *= 2) {
        FC_UNROLL
        for (int i = 0; i < V(LANES) / 2; i++) {
            zipped[2 * i] = __builtin_shufflevector(rows[i], rows[i + V(LANES) / 2], FC_ZIP_LOW);
            zipped[2 * i + 1] = __builtin_shufflevector(rows[i], rows[i + V(LANES) / 2], FC_ZIP_HIGH);
        }
        FC_UNROLL
        for (int i = 0; i < V(LANES); i++)
            rows[i] = zipped[i];
    }
    FC_UNROLL
    for (int j = 0; j < V(LANES); j++)
        V(STORE)((FC_ELEMENT *)(to + (to_at ? to_at[j] : j * to_step)), rows[j]);
}
#endif

static void FC_NAME(char *to, const int64_t *to_at, int64_t to_step, const char *from, int64_t from_step, int64_t rows,
                    int64_t columns)
{
    const int64_t size = sizeof(FC_ELEMENT);
    int64_t side = 1;
    void (*move)(char *, const int64_t *, int64_t, const char *, int64_t) = FC_PASTE2(transpose_1, FC_T);
    if (rows >= 16 / size && columns >= 16 / size) {
        side = 16 / size;
        move = FC_PASTE2(transpose_16_bytes, FC_T);
    }
#ifdef FC_ZIP_LOW
    if (rows >= V(LANES) && columns >= V(LANES)) {
        side = V(LANES);
        move = FC_PASTE2(FC_NAME, square);
    }
#endif
    for (int64_t j = 0; j < columns; j += side)
        for (int64_t i = 0; i < rows; i += side) {
            const int64_t row = i + side <= rows ? i : rows - side, column = j + side <= columns ? j : columns - side;
            move(to + row * size + (to_at ? 0 : column * to_step), to_at ? to_at + column : NULL, to_step,
                 from + row * from_step + column * size, from_step);
        }
}

#undef FC_ZIP_LOW
#undef FC_ZIP_HIGH
#undef FC_ELEMENT
#undef FC_NAME
