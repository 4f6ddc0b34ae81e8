/* avx2: 16 registers of 256 bits. The tile takes 6 x 2 accumulators, 2 pixel vectors and 1 weight: 15 registers, and 12
 * chains where latency 4 times 2 a cycle needs 8. Zen 4 runs two such FMA a cycle, so its peak is that of avx512. A
 * single row takes 12 accumulators and 1 weight, and pixels as memory operands. */
#include <immintrin.h>

#define FC_TARGET "avx2,fma"
#define FC_RUNS_HERE (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
#define FC_MASKS 0
#define FC_KEEP(v) __asm__("" : "+x"(v))
#define FC_VEC_i64 fc_u64x4

#define FC_ROWS_f32 6
#define FC_TALL_f32 6
#define FC_VECS_f32 2
#define FC_WIDE_f32 12
#define FC_HELD_f32 0
#define FC_LANES_f32 8
#define FC_VEC_f32 __m256
#define FC_ZERO_f32() _mm256_setzero_ps()
#define FC_LOAD_f32(p) _mm256_loadu_ps(p)
#define FC_STORE_f32(p, v) _mm256_storeu_ps(p, v)
#define FC_STORE_FIRST_f32(p, v, n) FC_STORE_FIRST(f32, p, v, n)
#define FC_SPLAT_f32(p) _mm256_broadcast_ss(p)
#define FC_FMA_f32(a, b, c) _mm256_fmadd_ps(a, b, c)

#define FC_ROWS_f64 6
#define FC_TALL_f64 6
#define FC_VECS_f64 2
#define FC_WIDE_f64 12
#define FC_HELD_f64 0
#define FC_LANES_f64 4
#define FC_VEC_f64 __m256d
#define FC_ZERO_f64() _mm256_setzero_pd()
#define FC_LOAD_f64(p) _mm256_loadu_pd(p)
#define FC_STORE_f64(p, v) _mm256_storeu_pd(p, v)
#define FC_STORE_FIRST_f64(p, v, n) FC_STORE_FIRST(f64, p, v, n)
#define FC_SPLAT_f64(p) _mm256_broadcast_sd(p)
#define FC_FMA_f64(a, b, c) _mm256_fmadd_pd(a, b, c)
