/* Rows of an image to where kernels read them, with one instruction set, of elements of one size. Contract: fc_moves. */

#define FC_NAME FC_PASTE3(moves, FC_T, FC_ISA)
#define FC_ELEMENT V(ELEMENT)

/* The last vector of a row ends where the row does, and moves some elements twice; rows that are shorter go by masks. */
static void FC_PASTE2(FC_NAME, copy)(char *to, int64_t to_row, const char *from, int64_t from_row, int64_t rows, int64_t count)
{
    for (; rows > 0; rows--, to += to_row, from += from_row) {
        const FC_ELEMENT *x = (const FC_ELEMENT *)from;
        FC_ELEMENT *y = (FC_ELEMENT *)to;
#if FC_MASKS
        if (count < V(LANES)) {
            V(STORE_FIRST)(y, V(LOAD_FIRST)(x, count), count);
            continue;
        }
#endif
        for (int64_t j = 0; j < count - V(LANES); j += V(LANES))
            V(STORE)(y + j, V(LOAD)(x + j));
        V(STORE)(y + count - V(LANES), V(LOAD)(x + count - V(LANES)));
    }
}

#if V(LANES) == 16
#define FC_EVERY_OTHER 0, 2, 4, 6, 8, 10, 12, 14, 17, 19, 21, 23, 25, 27, 29, 31
#elif V(LANES) == 8
#define FC_EVERY_OTHER 0, 2, 4, 6, 9, 11, 13, 15
#elif V(LANES) == 4
#define FC_EVERY_OTHER 0, 2, 5, 7
#elif V(LANES) == 2
#define FC_EVERY_OTHER 0, 3
#endif

#ifdef FC_EVERY_OTHER
#define FC_PICK(a, b) __builtin_shufflevector(a, b, FC_EVERY_OTHER)
#else
#define FC_PICK(a, b) ((void)(b), (a))
#endif

/* The second of two vectors begins one element early, so that none is read beyond the last that is wanted. */
static void FC_PASTE2(FC_NAME, pick)(char *to, int64_t to_row, const char *from, int64_t from_row, int64_t rows, int64_t count)
{
    for (; rows > 0; rows--, to += to_row, from += from_row) {
#if FC_MASKS
        if (count < V(LANES)) {
            const int64_t all = 2 * count - 1, first = all < V(LANES) ? all : V(LANES), second = all > first ? all - first + 1 : 0;
            const FC_ELEMENT *x = (const FC_ELEMENT *)from;
            const V(VEC) a = V(LOAD_FIRST)(x, first), b = V(LOAD_FIRST)(x + V(LANES) - 1, second);
            V(STORE_FIRST)((FC_ELEMENT *)to, FC_PICK(a, b), count);
            continue;
        }
#endif
        for (int64_t j = 0; j < count; j += V(LANES)) {
            const int64_t at = j < count - V(LANES) ? j : count - V(LANES);
            const FC_ELEMENT *x = (const FC_ELEMENT *)from + 2 * at;
            V(STORE)((FC_ELEMENT *)to + at, FC_PICK(V(LOAD)(x), V(LOAD)(x + V(LANES) - 1)));
        }
    }
}

#if FC_MASKS
#if V(LANES) == 16
#define FC_LOW 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7
#define FC_HIGH 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13, 14, 14, 15, 15
#else
#define FC_LOW 0, 0, 1, 1, 2, 2, 3, 3
#define FC_HIGH 4, 4, 5, 5, 6, 6, 7, 7
#endif

/* Each half of a vector is stored with every element twice, and every other lane left out. */
static void FC_PASTE2(FC_NAME, spread)(char *to, int64_t to_row, const char *from, int64_t from_row, int64_t rows, int64_t count)
{
    const V(MASK) others = (V(MASK))0x5555;
    for (; rows > 0; rows--, to += to_row, from += from_row) {
        const FC_ELEMENT *x = (const FC_ELEMENT *)from;
        FC_ELEMENT *y = (FC_ELEMENT *)to;
        int64_t j = 0;
        for (; j + V(LANES) <= count; j += V(LANES)) {
            const V(VEC) v = V(LOAD)(x + j);
            V(STORE_SOME)(y + 2 * j, __builtin_shufflevector(v, v, FC_LOW), others);
            V(STORE_SOME)(y + 2 * j + V(LANES), __builtin_shufflevector(v, v, FC_HIGH), others);
        }
        if (j < count) {
            const V(VEC) v = V(LOAD_FIRST)(x + j, count - j);
            const uint32_t some = 0x55555555u & (uint32_t)((1ull << 2 * (count - j)) - 1);
            V(STORE_SOME)(y + 2 * j, __builtin_shufflevector(v, v, FC_LOW), (V(MASK))some);
            if (2 * (count - j) > V(LANES))
                V(STORE_SOME)(y + 2 * j + V(LANES), __builtin_shufflevector(v, v, FC_HIGH), (V(MASK))(some >> V(LANES)));
        }
    }
}

#undef FC_LOW
#undef FC_HIGH
#endif

/* Compilers make vectors of it. */
static void FC_PASTE2(FC_NAME, widen)(char *to, int64_t to_row, const char *from, int64_t from_row, int64_t rows, int64_t count)
{
    for (; rows > 0; rows--, to += to_row, from += from_row) {
        const uint8_t *restrict x = (const uint8_t *)from;
        FC_ELEMENT *restrict y = (FC_ELEMENT *)to;
        for (int64_t j = 0; j < count; j++)
            y[j] = x[j];
    }
}

static const fc_moves FC_NAME = {
    .least = FC_MASKS ? 1 : V(LANES),
    .copy = {NULL, FC_PASTE2(FC_NAME, copy), FC_PASTE2(FC_NAME, pick)},
    .widen = FC_PASTE2(FC_NAME, widen),
#if FC_MASKS
    .spread = FC_PASTE2(FC_NAME, spread),
#endif
};

#undef FC_PICK
#undef FC_EVERY_OTHER
#undef FC_ELEMENT
#undef FC_NAME
