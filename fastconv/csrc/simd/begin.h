/* Opens the region in which one instruction set may be used: between begin.h and end.h functions are compiled for
 * FC_TARGET whatever the compiler's flags, so one object file holds them all and none leaks out of its region. */

#include "simd/verbs.h"

#include FC_ISA_HEADER
#include "simd/i64.h"

#ifndef FC_MATRIX
#define FC_MATRIX 0
#endif

#ifdef FC_TARGET
#define FC_PRAGMA_(text) _Pragma(#text)
#define FC_PRAGMA(text) FC_PRAGMA_(text)
#ifdef __clang__
FC_PRAGMA(clang attribute push(__attribute__((target(FC_TARGET))), apply_to = function))
#else
#pragma GCC push_options
FC_PRAGMA(GCC target(FC_TARGET))
#endif
#undef FC_PRAGMA
#undef FC_PRAGMA_
#endif
