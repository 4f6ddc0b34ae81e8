/* Transposition with one instruction set, of elements of one size. Contract: fc_transpose_fn. */

#define FC_NAME FC_PASTE3(transpose, FC_T, FC_ISA)
#define FC_SIDE ((int)(16 / sizeof(V(ELEMENT))))

static void FC_NAME(char *to, const int64_t *to_at, int64_t to_step, const char *from, int64_t from_step, int64_t rows,
                    int64_t columns)
{
    const int64_t size = sizeof(V(ELEMENT));
    if (rows < FC_SIDE || columns < FC_SIDE)
        FC_MOVE_BLOCKS(1, 1, FC_PASTE2(transpose_1, FC_T));
    else if (V(LANES) >= 2 * FC_SIDE && rows >= 2 * FC_SIDE)
        FC_MOVE_BLOCKS(2 * FC_SIDE, FC_SIDE, FC_PASTE3(transpose_pair, FC_T, FC_ISA));
    else
        FC_MOVE_BLOCKS(FC_SIDE, FC_SIDE, FC_PASTE2(transpose_square, FC_T));
}

#undef FC_SIDE
#undef FC_NAME
