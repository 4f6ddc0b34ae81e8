/* One instruction set's row of fc_isas. */

{FC_STRING(FC_ISA), FC_PASTE2(fc_runs_here, FC_ISA), FC_PASTE2(fc_matrix, FC_ISA)},
