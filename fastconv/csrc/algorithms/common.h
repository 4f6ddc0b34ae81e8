/* Small arithmetic that every algorithm needs. */
#ifndef FC_COMMON_H
#define FC_COMMON_H

#include "fastconv.h"

static inline int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static inline int64_t most(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static inline int64_t ceil_div(int64_t a, int64_t b)
{
    return a / b + (a % b != 0);
}

static inline int64_t element_size(const fc_problem *p)
{
    return p->dtype == FC_F32 ? 4 : 8;
}

static inline int64_t chain_length(const fc_problem *p)
{
    return p->ic / p->groups * p->kh * p->kw;
}

#endif
