/* Closes the region that begin.h opened. */

#ifdef FC_TARGET
#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif

#include "simd/undef.h"
