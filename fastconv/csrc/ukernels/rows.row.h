/* One instruction set's row of the rows kernels, in the order of fc_dtype. */

{&FC_PASTE3(rows, f32, FC_ISA), &FC_PASTE3(rows, f64, FC_ISA), &FC_PASTE3(rows, i64, FC_ISA)},
