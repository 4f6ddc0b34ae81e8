/* Numbers of f32 as parts of bfloat16, and products of those in matrix tiles, with one instruction set. Contract: usplit.h.
 *
 * Vectors are of 16 numbers whatever the instruction set, since a tile's edge is: compilers make several of them where they must. */

#define FC_NAME FC_PASTE2(split, FC_ISA)

enum { FC_PASTE2(FC_NAME, HIGH) = -0x10000, FC_PASTE2(FC_NAME, HALF) = 0x8000 }; /* of a number: its leading part, half its last place */

/* The first n of 16 numbers, and zeros. */
static inline __attribute__((always_inline)) void FC_PASTE2(FC_NAME, load)(fc_f32x16 *v, const char *from, int64_t n)
{
    if (n >= FC_MATRIX_EDGE) {
        *v = *(const fc_f32x16 *)from;
        return;
    }
    *v = (fc_f32x16){0};
#if FC_MASKS && V(LANES) == 16
    if (n > 0)
        *v = (fc_f32x16)V(LOAD_FIRST)((const float *)from, n);
#else
    for (int64_t j = 0; j < n; j++)
        memcpy((char *)v + 4 * j, from + 4 * j, 4);
#endif
}

/* The parts of 16 numbers, each in the upper half of 4 bytes; what is below it in the last one is of a number that is not normal. */
static inline __attribute__((always_inline)) void FC_PASTE2(FC_NAME, parts)(const fc_f32x16 *from, fc_u32x16 parts[FC_PARTS])
{
    fc_f32x16 v = *from;
    FC_UNROLL
    for (int k = 0; k < FC_PARTS - 1; k++) {
        parts[k] = ((fc_u32x16)v + FC_PASTE2(FC_NAME, HALF)) & (uint32_t)FC_PASTE2(FC_NAME, HIGH);
        v -= (fc_f32x16)parts[k];
    }
    parts[FC_PARTS - 1] = (fc_u32x16)v & (uint32_t)FC_PASTE2(FC_NAME, HIGH);
}

static inline __attribute__((always_inline)) void FC_PASTE2(FC_NAME, move_pairs)(const fc_split_move m, const int squared)
{
    for (int64_t r = 0; r < m.rows; r++) {
        const char *from = m.from + r * m.from_step, *odd = m.odd ? m.odd + r * m.from_step : NULL;
        char *to = m.to + r * m.to_step;
        for (int64_t left = m.count; left > 0; left -= FC_MATRIX_EDGE, from += 64, to += 64) {
            fc_f32x16 a, b;
            fc_u32x16 low[FC_PARTS], high[FC_PARTS];
            FC_PASTE2(FC_NAME, load)(&a, from, left);
            FC_PASTE2(FC_NAME, load)(&b, odd, odd ? left : 0);
            __builtin_prefetch(from + m.ahead, 0, 3);
            if (odd) {
                __builtin_prefetch(odd + m.ahead, 0, 3);
                odd += 64;
            }
            if (squared)
                *(fc_f32x16 *)(m.squares + r * m.squares_step) += a * a + b * b;
            FC_PASTE2(FC_NAME, parts)(&a, low);
            FC_PASTE2(FC_NAME, parts)(&b, high);
            FC_UNROLL
            for (int k = 0; k < FC_PARTS; k++)
                *(fc_u32x16 *)(to + k * m.part) = high[k] | low[k] >> 16;
        }
    }
}

static inline __attribute__((always_inline)) void FC_PASTE2(FC_NAME, move_side_by_side)(const fc_split_move m, const int squared)
{
    for (int64_t r = 0; r < m.rows; r++) {
        const char *from = m.from + r * m.from_step;
        char *to = m.to + r * m.to_step;
        for (int64_t left = m.count; left > 0; left -= FC_MATRIX_STEP, from += 128, to += 64) {
            fc_u32x16 low[FC_PARTS], high[FC_PARTS];
            fc_f32x16 a, b;
            FC_PASTE2(FC_NAME, load)(&a, from, left);
            FC_PASTE2(FC_NAME, load)(&b, from + 64, left - FC_MATRIX_EDGE);
            __builtin_prefetch(from + m.ahead, 0, 3);
            __builtin_prefetch(from + m.ahead + 64, 0, 3);
            if (squared)
                *(fc_f32x16 *)(m.squares + r * m.squares_step) += a * a + b * b;
            FC_PASTE2(FC_NAME, parts)(&a, low);
            FC_PASTE2(FC_NAME, parts)(&b, high);
            FC_UNROLL
            for (int k = 0; k < FC_PARTS; k++)
                *(fc_u16x32 *)(to + k * m.part) = FC_UPPER_HALVES(low[k], high[k]);
        }
    }
}

#define FC_MOVE(NAME)                                                                                                  \
    static void FC_PASTE2(FC_NAME, NAME)(const fc_split_move *move)                                                    \
    {                                                                                                                  \
        if (move->squares)                                                                                             \
            FC_PASTE3(FC_NAME, move, NAME)(*move, 1);                                                                  \
        else                                                                                                           \
            FC_PASTE3(FC_NAME, move, NAME)(*move, 0);                                                                  \
    }
FC_MOVE(pairs)
FC_MOVE(side_by_side)

static void FC_PASTE2(FC_NAME, store)(const fc_split_ends *ends)
{
    for (int64_t r = 0; r < ends->rows; r++) {
        const char *from = ends->from + r * ends->from_step, *bias = ends->bias;
        char *to = ends->to + r * ends->to_step, *const sums = ends->squares + r * ends->squares_step;
        fc_f32x16 squares = *(const fc_f32x16 *)sums, added = {0};
        if (bias && !ends->biases)
            added += *(const float *)bias;
        for (int64_t left = ends->count; left > 0; left -= FC_MATRIX_EDGE, from += 64, to += 64) {
            fc_f32x16 v;
            FC_PASTE2(FC_NAME, load)(&v, from, left);
            if (bias && ends->biases) {
                FC_PASTE2(FC_NAME, load)(&added, bias, left);
                bias += 64;
            }
            squares += v * v;
            v += added;
            if (left >= FC_MATRIX_EDGE) {
                *(fc_f32x16 *)to = v;
                continue;
            }
#if FC_MASKS && V(LANES) == 16
            V(STORE_FIRST)((float *)to, (V(VEC))v, left);
#else
            for (int64_t j = 0; j < left; j++)
                memcpy(to + 4 * j, (char *)&v + 4 * j, 4);
#endif
        }
        *(fc_f32x16 *)sums = squares;
    }
}

/* Which products of parts count, in an order in which one of the factors mostly stays. The least come first and the largest last: at the
 * end of a step sums are then of whole products, on which the error bound counts. */
#define FC_EACH_PRODUCT(DO) DO(2, 0) DO(1, 0) DO(1, 1) DO(0, 1) DO(0, 2) DO(0, 0)

#if FC_MATRIX

/* 8 tiles: up to 4 of sums, 2 of rows and 2 of columns. In static memory, since compilers think that but 8 bytes of it are read. */
static const struct {
    uint8_t palette, start, reserved[14];
    uint16_t bytes[16];
    uint8_t rows[16];
} FC_PASTE2(FC_NAME, shapes) = {1, 0, {0}, {64, 64, 64, 64, 64, 64, 64, 64}, {16, 16, 16, 16, 16, 16, 16, 16}};

static inline __attribute__((always_inline)) void FC_PASTE2(FC_NAME, body)(const int rows, const int columns, const fc_split_run *run)
{
    if (run->resumes) {
        FC_MATRIX_LOAD(0, run->to, run->to_row);
        if (columns > 1)
            FC_MATRIX_LOAD(1, run->to + 64, run->to_row);
        if (rows > 1)
            FC_MATRIX_LOAD(2, run->to + FC_MATRIX_EDGE * run->to_row, run->to_row);
        if (rows > 1 && columns > 1)
            FC_MATRIX_LOAD(3, run->to + FC_MATRIX_EDGE * run->to_row + 64, run->to_row);
    } else {
        FC_MATRIX_ZERO(0);
        FC_MATRIX_ZERO(1);
        FC_MATRIX_ZERO(2);
        FC_MATRIX_ZERO(3);
    }
    const char *ahead = run->ahead;
    FC_ROLLED
    for (int64_t s = 0; s < run->steps; s++) {
        const char *const a = run->a + run->a_off[s], *const b = run->b + run->b_off[s];
#define FC_LOAD_ROWS(k)                                                                                                \
    FC_MATRIX_LOAD(4, a + k * run->a_part, run->a_row);                                                                \
    if (rows > 1)                                                                                                      \
        FC_MATRIX_LOAD(5, a + run->a_tile + k * run->a_part, run->a_row);
#define FC_LOAD_COLUMNS(k)                                                                                             \
    FC_MATRIX_LOAD(6, b + k * run->b_part, run->b_row);                                                                \
    if (columns > 1)                                                                                                   \
        FC_MATRIX_LOAD(7, b + run->b_tile + k * run->b_part, run->b_row);
#define FC_MULTIPLY                                                                                                    \
    FC_MATRIX_DOT(0, 4, 6);                                                                                            \
    if (columns > 1)                                                                                                   \
        FC_MATRIX_DOT(1, 4, 7);                                                                                        \
    if (rows > 1)                                                                                                      \
        FC_MATRIX_DOT(2, 5, 6);                                                                                        \
    if (rows > 1 && columns > 1)                                                                                       \
        FC_MATRIX_DOT(3, 5, 7);                                                                                        \
    FC_ROLLED                                                                                                          \
    for (int64_t line = 0; line < run->lines; line++, ahead += 64)                                                     \
        __builtin_prefetch(ahead, 0, 2);
        FC_LOAD_COLUMNS(0)
        FC_LOAD_ROWS(2)
        FC_MULTIPLY
        FC_LOAD_ROWS(1)
        FC_MULTIPLY
        FC_LOAD_COLUMNS(1)
        FC_MULTIPLY
        FC_LOAD_ROWS(0)
        FC_MULTIPLY
        FC_LOAD_COLUMNS(2)
        FC_MULTIPLY
        FC_LOAD_COLUMNS(0)
        FC_MULTIPLY
#undef FC_LOAD_ROWS
#undef FC_LOAD_COLUMNS
#undef FC_MULTIPLY
    }
    FC_MATRIX_STORE(0, run->to, run->to_row);
    if (columns > 1)
        FC_MATRIX_STORE(1, run->to + 64, run->to_row);
    if (rows > 1)
        FC_MATRIX_STORE(2, run->to + FC_MATRIX_EDGE * run->to_row, run->to_row);
    if (rows > 1 && columns > 1)
        FC_MATRIX_STORE(3, run->to + FC_MATRIX_EDGE * run->to_row + 64, run->to_row);
}

#else

/* The tiles' instructions in vectors: to their bits, on every processor, and for comparison alone. */
static inline __attribute__((always_inline)) float FC_PASTE2(FC_NAME, normal)(float v)
{
    return fabsf(v) < 0x1p-126f ? 0 : v;
}

static inline __attribute__((always_inline)) float FC_PASTE2(FC_NAME, wide)(const char *from, int64_t i)
{
    uint16_t bits;
    memcpy(&bits, from + 2 * i, 2);
    const uint32_t all = bits & 0x7f80 ? (uint32_t)bits << 16 : 0;
    float v;
    memcpy(&v, &all, 4);
    return v;
}

static void FC_PASTE2(FC_NAME, dot)(char *to, int64_t to_row, const char *a, int64_t a_row, const char *b, int64_t b_row)
{
    float columns[2][FC_MATRIX_EDGE][FC_MATRIX_EDGE];
    for (int k = 0; k < FC_MATRIX_STEP; k++)
        for (int j = 0; j < FC_MATRIX_EDGE; j++)
            columns[k % 2][k / 2][j] = FC_PASTE2(FC_NAME, wide)(b + k / 2 * b_row, 2 * j + k % 2);
    for (int i = 0; i < FC_MATRIX_EDGE; i++, a += a_row, to += to_row) {
        float sums[2][FC_MATRIX_EDGE] = {{0}};
        for (int k = 0; k < FC_MATRIX_STEP; k++) {
            const float factor = FC_PASTE2(FC_NAME, wide)(a, k);
            for (int j = 0; j < FC_MATRIX_EDGE; j++)
                sums[k % 2][j] = FC_PASTE2(FC_NAME, normal)(fmaf(factor, columns[k % 2][k / 2][j], sums[k % 2][j]));
        }
        for (int j = 0; j < FC_MATRIX_EDGE; j++) {
            float *const sum = (float *)to + j;
            *sum = FC_PASTE2(FC_NAME, normal)(*sum + FC_PASTE2(FC_NAME, normal)(sums[0][j] + sums[1][j]));
        }
    }
}

static inline __attribute__((always_inline)) void FC_PASTE2(FC_NAME, body)(const int rows, const int columns, const fc_split_run *run)
{
    for (int i = 0; !run->resumes && i < rows * FC_MATRIX_EDGE; i++)
        memset(run->to + i * run->to_row, 0, (size_t)columns * 64);
    for (int64_t s = 0; s < run->steps; s++)
        for (int i = 0; i < rows; i++)
            for (int j = 0; j < columns; j++) {
                const char *const a = run->a + run->a_off[s] + i * run->a_tile, *const b = run->b + run->b_off[s] + j * run->b_tile;
                char *const to = run->to + i * FC_MATRIX_EDGE * run->to_row + j * 64;
#define FC_DOT(K, L) FC_PASTE2(FC_NAME, dot)(to, run->to_row, a + K * run->a_part, run->a_row, b + L * run->b_part, run->b_row);
                FC_EACH_PRODUCT(FC_DOT)
#undef FC_DOT
            }
}

#endif

static void FC_PASTE2(FC_NAME, open)(void)
{
#if FC_MATRIX
    FC_MATRIX_OPEN(&FC_PASTE2(FC_NAME, shapes));
#endif
}

static void FC_PASTE2(FC_NAME, close)(void)
{
#if FC_MATRIX
    FC_MATRIX_CLOSE();
#endif
}

#define FC_BLOCK(ROWS, COLUMNS)                                                                                        \
    static void FC_PASTE3(FC_NAME, ROWS, COLUMNS)(const fc_split_run *run)                                             \
    {                                                                                                                  \
        FC_PASTE2(FC_NAME, body)(ROWS, COLUMNS, run);                                                                  \
    }
FC_BLOCK(1, 1)
FC_BLOCK(1, 2)
FC_BLOCK(2, 1)
FC_BLOCK(2, 2)

static const fc_split FC_NAME = {
    .open = FC_PASTE2(FC_NAME, open),
    .close = FC_PASTE2(FC_NAME, close),
    .pairs = FC_PASTE2(FC_NAME, pairs),
    .side_by_side = FC_PASTE2(FC_NAME, side_by_side),
    .store = FC_PASTE2(FC_NAME, store),
    .run = {{NULL}, {NULL, FC_PASTE3(FC_NAME, 1, 1), FC_PASTE3(FC_NAME, 1, 2)}, {NULL, FC_PASTE3(FC_NAME, 2, 1), FC_PASTE3(FC_NAME, 2, 2)}},
};

#undef FC_EACH_PRODUCT
#undef FC_BLOCK
#undef FC_MOVE
#undef FC_NAME
