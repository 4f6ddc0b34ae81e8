/* THE ALGORITHM TABLE: one row and one file each. A row's file defines `const fc_algorithm fc_algorithm_NAME`.
 * Of equal costs the earlier row wins. */

FC_ALGORITHM(depthwise)
FC_ALGORITHM(inner)
FC_ALGORITHM(outer)
FC_ALGORITHM(panel)
FC_ALGORITHM(planes)
FC_ALGORITHM(interleaved)
FC_ALGORITHM(bank)
FC_ALGORITHM(pointwise)
FC_ALGORITHM(strip)
FC_ALGORITHM(gather)
FC_ALGORITHM(split)
FC_ALGORITHM(winograd)
FC_ALGORITHM(fft)
