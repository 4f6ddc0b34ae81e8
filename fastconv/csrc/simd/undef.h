/* Forgets one instruction set, so that the next one's header can be read. */

#undef FC_TARGET
#undef FC_RUNS_HERE
#undef FC_MASKS
#undef FC_MASK_f32
#undef FC_MASK_f64
#undef FC_KEEP_MASK
#undef FC_KEEP

#undef FC_ROWS_f32
#undef FC_TALL_f32
#undef FC_VECS_f32
#undef FC_WIDE_f32
#undef FC_HELD_f32
#undef FC_LANES_f32
#undef FC_VEC_f32
#undef FC_ZERO_f32
#undef FC_LOAD_f32
#undef FC_STORE_f32
#undef FC_LOAD_FIRST_f32
#undef FC_LOAD_SOME_f32
#undef FC_STORE_FIRST_f32
#undef FC_SPLAT_f32
#undef FC_FMA_f32

#undef FC_ROWS_f64
#undef FC_TALL_f64
#undef FC_VECS_f64
#undef FC_WIDE_f64
#undef FC_HELD_f64
#undef FC_LANES_f64
#undef FC_VEC_f64
#undef FC_ZERO_f64
#undef FC_LOAD_f64
#undef FC_STORE_f64
#undef FC_LOAD_FIRST_f64
#undef FC_LOAD_SOME_f64
#undef FC_STORE_FIRST_f64
#undef FC_SPLAT_f64
#undef FC_FMA_f64

#undef FC_ROWS_i64
#undef FC_TALL_i64
#undef FC_VECS_i64
#undef FC_WIDE_i64
#undef FC_HELD_i64
#undef FC_LANES_i64
#undef FC_VEC_i64
#undef FC_ZERO_i64
#undef FC_LOAD_i64
#undef FC_STORE_i64
#undef FC_STORE_FIRST_i64
#undef FC_SPLAT_i64
#undef FC_FMA_i64
