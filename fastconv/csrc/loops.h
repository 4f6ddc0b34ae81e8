/* How far loops are unrolled: before one over a register tile, before one over a chain, before one that goes by two, and before
 * one that is of three steps if short. */
#ifndef FC_LOOPS_H
#define FC_LOOPS_H

#ifdef __clang__
#define FC_UNROLL _Pragma("clang loop unroll(full)")
#define FC_ROLLED _Pragma("clang loop unroll(disable)")
#define FC_PAIRED _Pragma("clang loop unroll_count(2)")
#define FC_FEW
#else
#define FC_UNROLL _Pragma("GCC unroll 16")
#define FC_ROLLED _Pragma("GCC unroll 1")
#define FC_PAIRED _Pragma("GCC unroll 2")
#define FC_FEW _Pragma("GCC unroll 3")
#endif

#endif
