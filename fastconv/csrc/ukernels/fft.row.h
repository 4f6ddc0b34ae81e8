/* One instruction set's row of Fourier transforms, in the order of fc_dtype; integers have none. */

{&FC_PASTE3(fft, f32, FC_ISA), &FC_PASTE3(fft, f64, FC_ISA), NULL},
