/* neon: AArch64, 32 registers of 128 bits, FMA always there. The tile takes 4 x 4 accumulators, 4 pixel vectors and 1
 * weight: 21 registers. (GCC spills tiles of 24 accumulators here; see ggml's pull request 1602.) */
#include <arm_neon.h>

#define FC_RUNS_HERE 1
#define FC_MASKS 0
#define FC_KEEP(v) __asm__("" : "+w"(v))
#define FC_VEC_i64 fc_u64x2

#define FC_ROWS_f32 4
#define FC_TALL_f32 4
#define FC_VECS_f32 4
#define FC_WIDE_f32 12
#define FC_HELD_f32 0
#define FC_LANES_f32 4
#define FC_VEC_f32 float32x4_t
#define FC_ZERO_f32() vdupq_n_f32(0)
#define FC_LOAD_f32(p) vld1q_f32(p)
#define FC_STORE_f32(p, v) vst1q_f32(p, v)
#define FC_STORE_FIRST_f32(p, v, n) FC_STORE_FIRST(f32, p, v, n)
#define FC_SPLAT_f32(p) vld1q_dup_f32(p)
#define FC_FMA_f32(a, b, c) vfmaq_f32(c, a, b)

#define FC_ROWS_f64 4
#define FC_TALL_f64 4
#define FC_VECS_f64 4
#define FC_WIDE_f64 12
#define FC_HELD_f64 0
#define FC_LANES_f64 2
#define FC_VEC_f64 float64x2_t
#define FC_ZERO_f64() vdupq_n_f64(0)
#define FC_LOAD_f64(p) vld1q_f64(p)
#define FC_STORE_f64(p, v) vst1q_f64(p, v)
#define FC_STORE_FIRST_f64(p, v, n) FC_STORE_FIRST(f64, p, v, n)
#define FC_SPLAT_f64(p) vld1q_dup_f64(p)
#define FC_FMA_f64(a, b, c) vfmaq_f64(c, a, b)
