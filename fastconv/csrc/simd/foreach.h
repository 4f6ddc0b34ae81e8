/* THE INSTRUCTION SET TABLE, best first: one stanza and one header each.
 *
 * An includer names a file in FC_EACH, which is then included once for every instruction set of this architecture, with
 * FC_ISA (its name) and FC_ISA_HEADER (its verbs) defined. So kernels and tables are written once and are complete for
 * every row. The last row, portable, runs on every machine. Compilers need no flags: see begin.h. */

#if defined(__x86_64__)

/* It has the kernels of avx512, and those in tiles besides. */
#if !defined(FC_EACH_OWN) && defined(__linux__) && (defined(__clang__) ? __clang_major__ >= 12 : __GNUC__ >= 11)
#define FC_ISA_HEADER "amx.h"
#ifdef FC_EACH_ROW
#define FC_ISA avx512
#else
#define FC_ISA amx
#endif
#include FC_EACH
#undef FC_ISA
#undef FC_ISA_HEADER
#endif

#define FC_ISA avx512
#define FC_ISA_HEADER "avx512.h"
#include FC_EACH
#undef FC_ISA
#undef FC_ISA_HEADER

#define FC_ISA avx2
#define FC_ISA_HEADER "avx2.h"
#include FC_EACH
#undef FC_ISA
#undef FC_ISA_HEADER

#endif

#if defined(__aarch64__)

#define FC_ISA neon
#define FC_ISA_HEADER "neon.h"
#include FC_EACH
#undef FC_ISA
#undef FC_ISA_HEADER

#endif

#define FC_ISA portable
#define FC_ISA_HEADER "portable.h"
#include FC_EACH
#undef FC_ISA
#undef FC_ISA_HEADER
