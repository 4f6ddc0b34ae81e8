/* Whether a processor has tiles of numbers, and the system lets this process use them: Linux grants each process the 8 KiB a thread
 * that they need where they are asked for (Documentation/arch/x86/xstate.rst of the kernel, from 5.16 on). */
#if defined(__x86_64__) && defined(__linux__)

#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18, EDX_AMX_BF16 = 1 << 22, EDX_AMX_TILE = 1 << 24 };

static int fc_tiles_granted(void)
{
    const unsigned wanted = EDX_AMX_BF16 | EDX_AMX_TILE;
    unsigned eax, ebx, ecx, edx;
    return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) && (edx & wanted) == wanted &&
           syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0;
}

#endif
