/* One instruction set's row of the peaks, in the order of fc_dtype; integers have no fused multiply-add. */

{&FC_PASTE3(peak, f32, FC_ISA), &FC_PASTE3(peak, f64, FC_ISA), NULL},
