/* One instruction set's row of the sums of squares, in the order of fc_dtype; integers have none. */

{FC_PASTE3(squares, f32, FC_ISA), FC_PASTE3(squares, f64, FC_ISA), NULL},
