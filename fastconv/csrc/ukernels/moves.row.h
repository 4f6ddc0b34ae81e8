/* One instruction set's row of the moves, in the order of fc_dtype. */

{&FC_PASTE3(moves, f32, FC_ISA), &FC_PASTE3(moves, f64, FC_ISA), &FC_PASTE3(moves, f64, FC_ISA)},
