/* One instruction set's row of the channels kernels, in the order of fc_dtype. */

{&FC_PASTE3(channels, f32, FC_ISA), &FC_PASTE3(channels, f64, FC_ISA), &FC_PASTE3(channels, i64, FC_ISA)},
