/* One instruction set's row of the transpositions, in the order of fc_dtype; integers are moved as 64-bit floats are. */

{FC_PASTE3(transpose, f32, FC_ISA), FC_PASTE3(transpose, f64, FC_ISA), FC_PASTE3(transpose, f64, FC_ISA)},
