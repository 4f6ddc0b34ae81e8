/* avx512: 32 registers of 512 bits. The tile takes 6 x 4 accumulators, 4 pixel vectors and 1 weight: 29 registers, and
 * 24 independent chains where latency 4 times 1 or 2 a cycle needs 8. Measured on Zen 4: 99 to 100 % of the FMA peak
 * from L1. 8 x 3 takes 28. (7 x 4 spills with GCC 12; 14 x 2 reaches 96 %.) A single row takes 16
 * accumulators and 1 weight, and pixels as memory operands. Of vectors of 256 bits Zen 4 multiplies two a cycle, so half a
 * vector costs half: 6 x 3.5 accumulators, 4 of pixels and 1 weight are 29 registers again. */
#include <immintrin.h>

#define FC_TARGET "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma"
#define FC_RUNS_HERE                                                                                                   \
    (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") &&  \
     __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("fma"))
#define FC_MASKS 1
#define FC_MASK_f32 __mmask16
#define FC_MASK_f64 __mmask8
#define FC_KEEP_MASK(m) __asm__("" : "+Yk"(m))
#define FC_KEEP(v) __asm__("" : "+v"(v))
#define FC_VEC_i64 fc_u64x8

#define FC_ROWS_f32 6
#define FC_TALL_f32 8
#define FC_VECS_f32 4
#define FC_WIDE_f32 16
#define FC_HELD_f32 9
#define FC_LANES_f32 16
#define FC_VEC_f32 __m512
#define FC_ZERO_f32() _mm512_setzero_ps()
#define FC_LOAD_f32(p) _mm512_loadu_ps(p)
#define FC_STORE_f32(p, v) _mm512_storeu_ps(p, v)
#define FC_LOAD_FIRST_f32(p, n) _mm512_maskz_loadu_ps((__mmask16)((1u << (n)) - 1), p)
#define FC_LOAD_SOME_f32(p, m) _mm512_maskz_loadu_ps(m, p)
#define FC_STORE_SOME_f32(p, v, m) _mm512_mask_storeu_ps(p, m, v)
#define FC_STORE_FIRST_f32(p, v, n) _mm512_mask_storeu_ps(p, (__mmask16)((1u << (n)) - 1), v)
#define FC_SPLAT_f32(p) _mm512_set1_ps(*(p))
#define FC_FMA_f32(a, b, c) _mm512_fmadd_ps(a, b, c)
#define FC_TAIL_f32 8
#define FC_TAIL_VEC_f32 __m256
#define FC_TAIL_MASK_f32 __mmask8
#define FC_TAIL_LOAD_f32(p, m) _mm256_maskz_loadu_ps(m, p)
#define FC_TAIL_STORE_f32(p, v, m) _mm256_mask_storeu_ps(p, m, v)
#define FC_TAIL_OF_f32(v) _mm512_castps512_ps256(v)
#define FC_TAIL_FMA_f32(a, b, c) _mm256_fmadd_ps(a, b, c)

#define FC_ROWS_f64 6
#define FC_TALL_f64 8
#define FC_VECS_f64 4
#define FC_WIDE_f64 16
#define FC_HELD_f64 9
#define FC_LANES_f64 8
#define FC_VEC_f64 __m512d
#define FC_ZERO_f64() _mm512_setzero_pd()
#define FC_LOAD_f64(p) _mm512_loadu_pd(p)
#define FC_STORE_f64(p, v) _mm512_storeu_pd(p, v)
#define FC_LOAD_FIRST_f64(p, n) _mm512_maskz_loadu_pd((__mmask8)((1u << (n)) - 1), p)
#define FC_LOAD_SOME_f64(p, m) _mm512_maskz_loadu_pd(m, p)
#define FC_STORE_SOME_f64(p, v, m) _mm512_mask_storeu_pd(p, m, v)
#define FC_STORE_FIRST_f64(p, v, n) _mm512_mask_storeu_pd(p, (__mmask8)((1u << (n)) - 1), v)
#define FC_SPLAT_f64(p) _mm512_set1_pd(*(p))
#define FC_FMA_f64(a, b, c) _mm512_fmadd_pd(a, b, c)
#define FC_TAIL_f64 4
#define FC_TAIL_VEC_f64 __m256d
#define FC_TAIL_MASK_f64 __mmask8
#define FC_TAIL_LOAD_f64(p, m) _mm256_maskz_loadu_pd(m, p)
#define FC_TAIL_STORE_f64(p, v, m) _mm256_mask_storeu_pd(p, m, v)
#define FC_TAIL_OF_f64(v) _mm512_castpd512_pd256(v)
#define FC_TAIL_FMA_f64(a, b, c) _mm256_fmadd_pd(a, b, c)
