/* The floating-point control state of the calling thread: IEEE default while a task runs, then the caller's again.
 * Worker threads do not follow their caller's state, and a library built with -ffast-math sets flush-to-zero for
 * whichever thread loads it, so neither may decide the bits of a result. A few nanoseconds a task. */
#ifndef FC_FPSTATE_H
#define FC_FPSTATE_H

#include <stdint.h>

#if defined(__x86_64__)

#include <xmmintrin.h>
typedef unsigned fc_fpstate;
enum { FC_MXCSR_DEFAULT = 0x1f80 }; /* round to nearest, subnormals kept, every exception masked */
static inline fc_fpstate fc_fpstate_enter(void)
{
    const fc_fpstate callers = _mm_getcsr();
    _mm_setcsr(FC_MXCSR_DEFAULT);
    return callers;
}
static inline void fc_fpstate_leave(fc_fpstate callers)
{
    _mm_setcsr(callers);
}

#elif defined(__aarch64__)

typedef uint64_t fc_fpstate;
static inline fc_fpstate fc_fpstate_enter(void)
{
    fc_fpstate callers;
    __asm__ volatile("mrs %0, fpcr" : "=r"(callers)::"memory");
    __asm__ volatile("msr fpcr, %0" ::"r"((fc_fpstate)0) : "memory");
    return callers;
}
static inline void fc_fpstate_leave(fc_fpstate callers)
{
    __asm__ volatile("msr fpcr, %0" ::"r"(callers) : "memory");
}

#else

typedef int fc_fpstate;
static inline fc_fpstate fc_fpstate_enter(void)
{
    return 0;
}
static inline void fc_fpstate_leave(fc_fpstate callers)
{
    (void)callers;
}

#endif
#endif
