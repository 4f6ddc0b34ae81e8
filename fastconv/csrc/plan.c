/* Choose: a pure function of the problem, the instruction set and, if forced, the algorithm. */

#include "fastconv.h"
#include "fpstate.h"

#include <string.h>

#define FC_ALGORITHM(NAME) extern const fc_algorithm fc_algorithm_##NAME;
#include "algorithms/table.h"
#undef FC_ALGORITHM

const fc_algorithm *const fc_algorithms[] = {
#define FC_ALGORITHM(NAME) &fc_algorithm_##NAME,
#include "algorithms/table.h"
#undef FC_ALGORITHM
    NULL,
};

/* What the planner says of each ability that a row lacks, in the order of the bits. */
static const struct {
    unsigned bit;
    const char *reason;
} abilities[] = {
    {FC_CAN_STRIDE, "it needs stride 1"},
    {FC_CAN_DILATE, "it needs dilation 1"},
    {FC_CAN_GROUP, "it needs groups=1"},
    {FC_CAN_PAD, "it needs padding 0"},
    {FC_CAN_PAD_EDGE, "it needs padding_mode='constant'"},
    {FC_CAN_BIAS, "it has no bias"},
    {FC_CAN_F64, "it has no 64-bit floats"},
    {FC_CAN_I64, "it has no integers"},
};

static unsigned needs(const fc_problem *p)
{
    const int padded = p->pt || p->pb || p->pl || p->pr;
    unsigned mask = 0;
    if (p->sh != 1 || p->sw != 1)
        mask |= FC_CAN_STRIDE;
    if (p->dh != 1 || p->dw != 1)
        mask |= FC_CAN_DILATE;
    if (p->groups != 1)
        mask |= FC_CAN_GROUP;
    if (padded)
        mask |= p->padding_mode == FC_CONSTANT ? FC_CAN_PAD : FC_CAN_PAD_EDGE;
    if (p->bias)
        mask |= FC_CAN_BIAS;
    if (p->dtype == FC_F64)
        mask |= FC_CAN_F64;
    if (p->dtype == FC_I64)
        mask |= FC_CAN_I64;
    return mask;
}

const char *fc_why_not(const fc_algorithm *algorithm, const fc_problem *problem)
{
    const unsigned lacking = needs(problem) & ~algorithm->can;
    for (size_t i = 0; i < sizeof abilities / sizeof abilities[0]; i++)
        if (lacking & abilities[i].bit)
            return abilities[i].reason;
    return algorithm->reject(problem);
}

double fc_cost_of(const fc_algorithm *algorithm, const fc_problem *problem, int isa)
{
    const double cost = algorithm->cost(problem, fc_tile_of(isa, problem->dtype));
    return algorithm->matrix && !fc_isas[isa].matrix ? cost * 1e3 : cost;
}

/* Of the rows of the name or the family `wanted`, or of all, the one of least cost; NULL and why if there is none. */
static const fc_algorithm *cheapest(const fc_problem *problem, int isa, const char *wanted, const char **reason)
{
    const fc_algorithm *best = NULL;
    double least = 0;
    *reason = "no algorithm can compute this problem";
    for (const fc_algorithm *const *row = fc_algorithms; *row; row++) {
        if (wanted && strcmp(wanted, (*row)->name) && strcmp(wanted, (*row)->family))
            continue;
        const char *why_not = fc_why_not(*row, problem);
        if (why_not) {
            *reason = wanted ? why_not : *reason;
            continue;
        }
        const double cost = fc_cost_of(*row, problem, isa);
        if (!best || cost < least) {
            best = *row;
            least = cost;
        }
    }
    return best;
}

const char *fc_plan_make(fc_plan *plan, const fc_problem *problem, int isa, const char *wanted)
{
    const char *reason;
    const fc_algorithm *best;
    if (!wanted) { /* the family decides the bits, so one image decides the family */
        fc_problem one = *problem;
        one.n = 1;
        best = cheapest(&one, isa, NULL, &reason);
        wanted = best ? best->family : NULL;
    }
    best = cheapest(problem, isa, wanted, &reason);
    if (!best)
        return reason;
    *plan = (fc_plan){.problem = *problem, .algorithm = best, .isa = isa, .tile = fc_tile_of(isa, problem->dtype)};
    plan->problem.from_bytes = problem->from_bytes && best->can & FC_CAN_BYTES;
    plan->transpose = fc_transpose_of(isa, problem->dtype);
    best->prepare(plan);
    return NULL;
}

fc_plan fc_plan_alone(const fc_plan *plan)
{
    fc_plan alone = {.problem = plan->problem, .algorithm = plan->algorithm, .isa = plan->isa, .tile = plan->tile, .transpose = plan->transpose};
    alone.problem.alone = 1;
    alone.algorithm->prepare(&alone);
    return alone;
}

/* gamma_{n+1} (N. J. Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., section 3.1). */
fc_error fc_error_of(const fc_plan *plan)
{
    const fc_problem *p = &plan->problem;
    if (plan->algorithm->error)
        return plan->algorithm->error(plan);
    return (fc_error){(double)(p->ic / p->groups) * (double)p->kh * (double)p->kw + 1, .blocks = 0};
}

void fc_run_task(const fc_plan *plan, const fc_operands *operands, int64_t task, void *scratch)
{
    const fc_fpstate callers = fc_fpstate_enter();
    plan->algorithm->run_task(plan, operands, task, scratch);
    fc_fpstate_leave(callers);
}

void fc_run_pack(const fc_plan *plan, const fc_operands *operands, int64_t part)
{
    const fc_fpstate callers = fc_fpstate_enter();
    plan->algorithm->pack(plan, operands, part);
    fc_fpstate_leave(callers);
}
