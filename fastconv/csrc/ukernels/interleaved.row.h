/* One instruction set's row of the kernels for alternating weights, in the order of fc_dtype; integers have none. */

{&FC_PASTE3(interleaved, f32, FC_ISA), &FC_PASTE3(interleaved, f64, FC_ISA), NULL},
