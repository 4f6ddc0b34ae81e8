/* What fast algorithms do where a sum may not stay finite: a box of outputs is a problem of its own, for `direct`. */

#include "algorithms/common.h"

#include <float.h>
#include <math.h>

double fc_read(const char *from, fc_dtype dtype)
{
    return dtype == FC_F32 ? *(const float *)from : *(const double *)from;
}

void fc_write(char *to, double value, fc_dtype dtype)
{
    if (dtype == FC_F32)
        *(float *)to = (float)value;
    else
        *(double *)to = value;
}

static double largest(fc_dtype dtype)
{
    return dtype == FC_F32 ? (double)FLT_MAX : DBL_MAX;
}

/* Each pixel is at most the root of its squares' sum, each weight of theirs, and no sum of `direct` exceeds the product of
 * the two times the length of the chain. */
double fc_limit(const fc_problem *p, double squares, double growth)
{
    const double most = largest(p->dtype);
    if (!(squares <= most))
        return -1;
    const double root = most / growth / (double)chain_length(p) / sqrt(squares);
    return root < sqrt(most) ? root * root : most;
}

/* gather takes any problem, and where a box begins is for it a padding, which may be less than none. */
static void prepare_box(fc_plan *box, const fc_plan *plan, int64_t channels, int64_t rows, int64_t columns)
{
    fc_problem p = plan->problem;
    p.n = p.groups = 1;
    p.ic = plan->problem.ic / plan->problem.groups;
    p.oc = channels;
    p.oh = rows;
    p.ow = columns;
    fc_plan_make(box, &p, plan->isa, "gather");
}

int64_t fc_box_scratch(const fc_plan *plan, int64_t channels, int64_t rows, int64_t columns)
{
    fc_plan box;
    prepare_box(&box, plan, channels, rows, columns);
    return box.scratch_bytes;
}

static void run_box(const fc_plan *plan, const fc_operands *operands, const fc_box *at, void *scratch)
{
    const fc_problem *p = &plan->problem;
    const int64_t oc = at->group * (p->oc / p->groups) + at->oc, *x = operands->x.stride, *y = operands->y.stride;
    fc_plan box;
    prepare_box(&box, plan, at->channels, at->rows, at->columns);
    box.problem.pt -= at->row * p->sh;
    box.problem.pl -= at->column * p->sw;
    fc_operands part = *operands;
    part.x.data += at->n * x[0] + at->group * (p->ic / p->groups) * x[1];
    part.weight.data += oc * operands->weight.stride[0];
    part.y.data += at->n * y[0] + oc * y[1] + at->row * y[2] + at->column * y[3];
    part.bias = operands->bias ? operands->bias + oc * operands->bias_stride : NULL;
    part.packed = NULL;
    for (int64_t task = 0; task < box.n_tasks; task++)
        box.algorithm->run_task(&box, &part, task, scratch);
}

/* A bias may be infinite or NaN, since it is added last; but not so large that it decides whether the sum overflows. */
static int holds(const fc_plan *plan, const fc_operands *operands, int64_t oc, double squares, double limit)
{
    const fc_dtype dtype = plan->problem.dtype;
    const double bias = operands->bias ? fabs(fc_read(operands->bias + oc * operands->bias_stride, dtype)) : 0;
    return squares <= limit && !(bias > largest(dtype) / 4 && bias <= largest(dtype));
}

void fc_mend(const fc_plan *plan, const fc_operands *operands, const fc_box *at, double squares, const char *limits,
             void *scratch)
{
    const fc_problem *p = &plan->problem;
    const int64_t first = at->group * (p->oc / p->groups) + at->oc, size = element_size(p);
    fc_box box = *at;
    for (int64_t i = 0; i < at->channels; i += box.channels + 1) {
        box.oc = at->oc + i;
        box.channels = 0;
        for (int64_t k = i; k < at->channels; k++, box.channels++)
            if (holds(plan, operands, first + k, squares, fc_read(limits + k * size, p->dtype)))
                break;
        if (box.channels)
            run_box(plan, operands, &box, scratch);
    }
}
