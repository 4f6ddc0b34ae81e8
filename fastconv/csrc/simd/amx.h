/* amx: avx512, and beside it 8 tiles of 16 rows of 64 bytes. One instruction multiplies 16 x 32 numbers of bfloat16 by 32 x 16, in 16
 * cycles whatever part of the tiles is wanted: 512 products a cycle where two units of avx512 do 32 of f32. Loads of tiles are hidden
 * behind that, from the second-level cache too. Measured on Granite Rapids: 3020 GFLOP/s, 196 to 208 of f32.
 * The tiles are a thread's own, and are shaped before they are used; their products know no rounding mode and no subnormals.
 * FC_MATRIX tells that there are the verbs named after it, for kernels that usplit.h describes. */
#include "simd/avx512.h"
#undef FC_TARGET
#undef FC_RUNS_HERE

#define FC_TARGET "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma,amx-tile,amx-bf16"
#define FC_RUNS_HERE                                                                                                   \
    (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") &&  \
     __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("fma") && fc_tiles_granted())
#define FC_MATRIX 1
#define FC_MATRIX_OPEN(shapes) _tile_loadconfig(shapes)
#define FC_MATRIX_CLOSE() _tile_release()
#define FC_MATRIX_ZERO(t) _tile_zero(t)
#define FC_MATRIX_LOAD(t, p, step) _tile_loadd(t, p, step)
#define FC_MATRIX_STORE(t, p, step) _tile_stored(t, p, step)
#define FC_MATRIX_DOT(c, a, b) _tile_dpbf16ps(c, a, b)
