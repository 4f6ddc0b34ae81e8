/* portable: plain C, for every machine and as a check on the others. One element is one vector: the C library's fma is
 * exact with or without hardware for it, so the bits are those of every other row. (x86-64 without -mfma calls it for
 * each element, which is slow and right.) */
#include <math.h>

#define FC_RUNS_HERE 1
#define FC_MASKS 0
#define FC_KEEP(v) (void)(v)
#define FC_VEC_i64 fc_u64x2

#define FC_ROWS_f32 4
#define FC_TALL_f32 4
#define FC_VECS_f32 4
#define FC_WIDE_f32 4
#define FC_HELD_f32 0
#define FC_LANES_f32 1
#define FC_VEC_f32 float
#define FC_ZERO_f32() 0.0f
#define FC_LOAD_f32(p) (*(p))
#define FC_STORE_f32(p, v) (*(p) = (v))
#define FC_STORE_FIRST_f32(p, v, n) FC_STORE_FIRST(f32, p, v, n)
#define FC_SPLAT_f32(p) (*(p))
#define FC_FMA_f32(a, b, c) fmaf(a, b, c)

#define FC_ROWS_f64 4
#define FC_TALL_f64 4
#define FC_VECS_f64 4
#define FC_WIDE_f64 4
#define FC_HELD_f64 0
#define FC_LANES_f64 1
#define FC_VEC_f64 double
#define FC_ZERO_f64() 0.0
#define FC_LOAD_f64(p) (*(p))
#define FC_STORE_f64(p, v) (*(p) = (v))
#define FC_STORE_FIRST_f64(p, v, n) FC_STORE_FIRST(f64, p, v, n)
#define FC_SPLAT_f64(p) (*(p))
#define FC_FMA_f64(a, b, c) fma(a, b, c)
