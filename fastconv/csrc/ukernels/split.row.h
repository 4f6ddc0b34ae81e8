/* One instruction set's products of split numbers. */

&FC_PASTE2(split, FC_ISA),
