/* What compilers are told about loops.
 *
 * How far they are unrolled: before one over a register tile, before one over a chain, before one that goes by two, and before
 * one that is of three steps if short. For GCC that is all. For Clang, which otherwise keeps vectors on the stack:
 *
 *   FC_RUN_KERNEL(NAME, RUN)  begins the kernel NAME of a RUN, which unrolls loops whose bounds depend on an outer loop's
 *                             counter. Clang unrolls inner loops first, and Clang 14 makes registers of arrays only once, before
 *                             their indices are constants: it is to go through the kernel, inline that in another function, and
 *                             go through that.
 *   FC_SETTLE(v)              v is in a register now.
 *   FC_ANEW(p, q)             what p and q point to is loaded anew, not held from before.
 *   FC_AFTER(p, v)            nothing is loaded from p before v is there. */
#ifndef FC_LOOPS_H
#define FC_LOOPS_H

#ifdef __clang__
#define FC_UNROLL _Pragma("clang loop unroll(full)")
#define FC_ROLLED _Pragma("clang loop unroll(disable)")
#define FC_PAIRED _Pragma("clang loop unroll_count(2)")
#define FC_FEW
#define FC_RUN_KERNEL_(NAME, RUN)                                                                                      \
    static void NAME##_inside(const RUN *run);                                                                         \
    static void NAME(const RUN *run)                                                                                   \
    {                                                                                                                  \
        NAME##_inside(run);                                                                                            \
    }                                                                                                                  \
    static void NAME##_inside(const RUN *run)
#define FC_RUN_KERNEL(NAME, RUN) FC_RUN_KERNEL_(NAME, RUN)
#define FC_SETTLE(v) FC_KEEP(v)
#define FC_ANEW(p, q) __asm__("" : "+r"(p), "+r"(q))
#define FC_AFTER(p, v) __asm__("" : "+r"(p) : "X"(v))
#else
#define FC_UNROLL _Pragma("GCC unroll 16")
#define FC_ROLLED _Pragma("GCC unroll 1")
#define FC_PAIRED _Pragma("GCC unroll 2")
#define FC_FEW _Pragma("GCC unroll 3")
#define FC_RUN_KERNEL(NAME, RUN) static void NAME(const RUN *run)
#define FC_SETTLE(v) (void)0
#define FC_ANEW(p, q) (void)0
#define FC_AFTER(p, v) (void)0
#endif

#endif
