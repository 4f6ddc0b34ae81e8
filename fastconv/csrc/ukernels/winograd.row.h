/* One instruction set's row of Winograd's transforms, in the order of fc_dtype; integers have none. */

{&FC_PASTE3(winograd, f32, FC_ISA), &FC_PASTE3(winograd, f64, FC_ISA), NULL},
