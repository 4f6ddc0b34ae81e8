/* 64-bit integers in the compiler's own vectors: the same text for every instruction set, and unsigned, so that
 * products and sums wrap modulo 2^64 as NumPy's do. */

#define FC_LANES_i64 ((int)(sizeof(FC_VEC_i64) / sizeof(uint64_t)))
#define FC_ZERO_i64() ((FC_VEC_i64){0})
#define FC_LOAD_i64(p) (*(const FC_VEC_i64 *)(p))
#define FC_STORE_i64(p, v) (*(FC_VEC_i64 *)(p) = (v))
#define FC_STORE_FIRST_i64(p, v, n) FC_STORE_FIRST(i64, p, v, n)
#define FC_SPLAT_i64(p) (*(p) + (FC_VEC_i64){0})
#define FC_FMA_i64(a, b, c) ((a) * (b) + (c))
#define FC_ROWS_i64 4
#define FC_TALL_i64 4
#define FC_VECS_i64 2
#define FC_WIDE_i64 4
#define FC_HELD_i64 0
