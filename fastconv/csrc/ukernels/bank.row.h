/* One instruction set's row of the bank kernels, in the order of fc_dtype. */

{&FC_PASTE3(bank, f32, FC_ISA), &FC_PASTE3(bank, f64, FC_ISA), &FC_PASTE3(bank, i64, FC_ISA)},
