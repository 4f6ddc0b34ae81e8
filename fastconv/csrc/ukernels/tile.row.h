/* One instruction set's row of the tiles, in the order of fc_dtype. */

{&FC_PASTE3(tile, f32, FC_ISA), &FC_PASTE3(tile, f64, FC_ISA), &FC_PASTE3(tile, i64, FC_ISA)},
