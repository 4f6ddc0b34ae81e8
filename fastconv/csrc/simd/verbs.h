/* The vocabulary that microkernels are written in. Each instruction set's header defines, for T = f32 and f64:
 *
 *   FC_VEC_T, FC_LANES_T       a vector, and how many elements it holds
 *   FC_ZERO_T()                all lanes +0
 *   FC_LOAD_T(p)               the lanes at p, which need be aligned to an element only
 *   FC_STORE_T(p, v)           likewise
 *   FC_STORE_FIRST_T(p, v, n)  the first n lanes, and nothing beyond them
 *   FC_SPLAT_T(p)              the element at p in every lane
 *   FC_FMA_T(a, b, c)          a * b + c in each lane, rounded once
 *   FC_ROWS_T, FC_VECS_T       the register tile: rows of outputs by vectors of outputs
 *   FC_TALL_T                  rows of a tile of a vector less: FC_ROWS_T, or 8
 *   FC_WIDE_T                  vectors of a tile of one row: 4, 12 or 16
 *   FC_HELD_T                  weights that compilers hold in registers beside four rows of FC_VECS_T vectors: 9, or 0
 *
 * and besides them FC_TARGET (the compiler's name of the features; not defined where none are needed), FC_RUNS_HERE (a
 * test of the running processor), FC_VEC_i64 (a vector of integers, from which i64.h makes the verbs for T = i64),
 * FC_KEEP(v) (v is in a register now, and not loaded again) and FC_MASKS: 1 where one instruction loads or stores some lanes alone,
 * and FC_LOAD_FIRST_T(p, n) loads the first n, FC_LOAD_SOME_T(p, m) those of the bits of m, an FC_MASK_T, with 0 in the
 * others, FC_STORE_SOME_T(p, v, m) stores them and touches no other, and FC_KEEP_MASK is there; else 0.
 * Where half a vector takes half the time of one, FC_TAIL_T is how many lanes it has, and there are FC_TAIL_VEC_T,
 * FC_TAIL_OF_T(v), the first of a whole vector's, FC_TAIL_FMA_T(a, b, c), and FC_TAIL_LOAD_T(p, m) and FC_TAIL_STORE_T(p, v, m),
 * which touch the lanes in m, an FC_TAIL_MASK_T, alone.
 * A kernel says V(FMA)(a, b, c), with FC_T defined as the type's name. */
#ifndef FC_VERBS_H
#define FC_VERBS_H

#include "loops.h"

#include <stdint.h>

#define FC_PASTE2_(a, b) a##_##b
#define FC_PASTE2(a, b) FC_PASTE2_(a, b)
#define FC_PASTE3(a, b, c) FC_PASTE2(FC_PASTE2(a, b), c)
#define FC_STRING_(a) #a
#define FC_STRING(a) FC_STRING_(a)

#define V(verb) FC_PASTE3(FC, verb, FC_T)

/* p is in a register now, and not worked out again. */
#define FC_KEEP_POINTER(p) __asm__("" : "+r"(p))

/* The first n lanes by way of memory, where no instruction does it well. */
#define FC_STORE_FIRST(T, p, v, n)                                                                                     \
    do {                                                                                                               \
        FC_ELEMENT_##T lanes_[FC_LANES_##T];                                                                           \
        FC_STORE_##T(lanes_, v);                                                                                       \
        for (int64_t lane_ = 0; lane_ < (n); lane_++)                                                                  \
            (p)[lane_] = lanes_[lane_];                                                                                \
    } while (0)

/* The C type of an element. */
typedef float FC_ELEMENT_f32;
typedef double FC_ELEMENT_f64;
typedef uint64_t FC_ELEMENT_i64;

/* Vectors that may lie at any element. */
typedef uint64_t fc_u64x2 __attribute__((vector_size(16), aligned(8), may_alias));
typedef uint64_t fc_u64x4 __attribute__((vector_size(32), aligned(8), may_alias));
typedef uint64_t fc_u64x8 __attribute__((vector_size(64), aligned(8), may_alias));

#endif
