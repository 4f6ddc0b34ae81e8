/* Runs the C core by itself: random problems on every instruction set of the architecture, by every row of the algorithm
 * table that can compute them. A result of the family `direct` is compared with the contract's chain, computed here one output
 * at a time with the C library's fma; one of another family with that of the instruction set `portable`, to the bit, and
 * with the chain, to a part in 10^4. For architectures that are emulated (tests/emulated/run.py), where there is no Python to test
 * with. Every other problem leaves subnormals in scratch memory, and no lane may compute with them: an Intel processor takes
 * 150 cycles for each that it multiplies. Prints the instruction sets and the problems passed. */

#include "fastconv.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t state = 88172645463325252u;

static uint64_t draw(uint64_t below) /* xorshift64 */
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state % below;
}

static double value(void)
{
    return ((double)draw(2000001) - 1000000) / 1e6;
}

static void random_problem(fc_problem *p, fc_dtype dtype)
{
    const int image = draw(4) == 0; /* or one of few channels, which may be bytes and stand last */
    const int dense = draw(6) == 0; /* one for the fast algorithms */
    const int64_t igc = (int64_t)(dense ? 16 + draw(30) : draw(8) ? 1 + draw(6) : 1 + draw(70)), ocg = (int64_t)(1 + draw(14));
    memset(p, 0, sizeof *p);
    p->dtype = dtype;
    p->n = (int64_t)(1 + draw(2));
    p->groups = (int64_t)(1 + draw(3));
    p->ic = p->groups * igc;
    p->oc = p->groups * ocg;
    p->kh = (int64_t)(1 + draw(4));
    p->kw = (int64_t)(1 + draw(4));
    p->sh = (int64_t)(1 + draw(3));
    p->sw = (int64_t)(1 + draw(3));
    p->dh = (int64_t)(1 + draw(2));
    p->dw = (int64_t)(1 + draw(2));
    if (dense) {
        p->kh = p->kw = 3 + 2 * (int64_t)draw(2);
        p->sh = p->sw = 1 + (int64_t)draw(2);
        p->dh = p->dw = 1;
    } else if (image) {
        p->groups = p->ic = p->oc = (int64_t)(1 + draw(4));
        p->sw = 1;
        p->channels_last = (int)draw(2);
        p->from_bytes = dtype != FC_I64 && draw(2);
    }
    p->pt = (int64_t)draw(5);
    p->pb = (int64_t)draw(5);
    p->pl = (int64_t)draw(5);
    p->pr = (int64_t)draw(5);
    p->padding_mode = (fc_padding_mode)draw(5);
    p->bias = (int)draw(2);
    p->ih = (p->kh - 1) * p->dh + 1 + (int64_t)draw(9);
    p->iw = (p->kw - 1) * p->dw + 1 + (int64_t)draw(draw(6) ? 9 : 80);
    p->oh = (p->ih + p->pt + p->pb - (p->kh - 1) * p->dh - 1) / p->sh + 1;
    p->ow = (p->iw + p->pl + p->pr - (p->kw - 1) * p->dw - 1) / p->sw + 1;
}

static void *filled(int64_t count, fc_dtype dtype)
{
    void *data = malloc((size_t)count * 8);
    for (int64_t i = 0; i < count; i++)
        if (dtype == FC_F32)
            ((float *)data)[i] = (float)value();
        else if (dtype == FC_F64)
            ((double *)data)[i] = value();
        else
            ((uint64_t *)data)[i] = draw(UINT64_MAX);
    return data;
}

static fc_array laid_out(const fc_problem *p, void *data, int64_t c, int64_t h, int64_t w, int64_t size)
{
    if (p->channels_last)
        return (fc_array){data, {c * h * w * size, size, w * c * size, c * size}};
    return (fc_array){data, {c * h * w * size, h * w * size, w * size, size}};
}

/* The strides of an array of as many bytes. */
static void narrow(fc_array *x, void *bytes, int64_t size)
{
    x->data = bytes;
    for (int axis = 0; axis < 4; axis++)
        x->stride[axis] /= size;
}

#define CHAIN(T, FMA, FILL)                                                                                             \
    static T chain_##T(const fc_problem *p, const fc_operands *a, int64_t n, int64_t o, int64_t i, int64_t j)           \
    {                                                                                                                   \
        const int64_t igc = p->ic / p->groups, group = o / (p->oc / p->groups);                                         \
        T sum = 0;                                                                                                      \
        for (int64_t block = 0; block < igc; block += FC_CHANNEL_BLOCK)                                                 \
            for (int64_t ky = 0; ky < p->kh; ky++)                                                                      \
                for (int64_t kx = 0; kx < p->kw; kx++)                                                                  \
                    for (int64_t c = block; c < block + FC_CHANNEL_BLOCK && c < igc; c++) {                             \
                        const int64_t y = fc_extend(p->padding_mode, i * p->sh + ky * p->dh - p->pt, p->ih);            \
                        const int64_t x = fc_extend(p->padding_mode, j * p->sw + kx * p->dw - p->pl, p->iw);            \
                        const char *pixel = a->x.data + n * a->x.stride[0] + (group * igc + c) * a->x.stride[1] +       \
                                            y * a->x.stride[2] + x * a->x.stride[3];                                    \
                        const char *w = a->weight.data + o * a->weight.stride[0] + c * a->weight.stride[1] +            \
                                        ky * a->weight.stride[2] + kx * a->weight.stride[3];                            \
                        sum = FMA(*(const T *)w, y < 0 || x < 0 ? (T)a->fill.FILL : *(const T *)pixel, sum);            \
                    }                                                                                                   \
        return a->bias ? sum + *(const T *)(a->bias + o * a->bias_stride) : sum;                                        \
    }

#define MULTIPLY_ADD(a, b, c) ((a) * (b) + (c))
CHAIN(float, fmaf, f32)
CHAIN(double, fma, f64)
CHAIN(uint64_t, MULTIPLY_ADD, i64)

static const char *output(const fc_operands *a, int64_t n, int64_t o, int64_t i, int64_t j)
{
    return a->y.data + n * a->y.stride[0] + o * a->y.stride[1] + i * a->y.stride[2] + j * a->y.stride[3];
}

static int agrees(const fc_problem *p, const fc_operands *a, int64_t size)
{
    for (int64_t n = 0; n < p->n; n++)
        for (int64_t o = 0; o < p->oc; o++)
            for (int64_t i = 0; i < p->oh; i++)
                for (int64_t j = 0; j < p->ow; j++) {
                    union {
                        float f32;
                        double f64;
                        uint64_t i64;
                    } want;
                    if (p->dtype == FC_F32)
                        want.f32 = chain_float(p, a, n, o, i, j);
                    else if (p->dtype == FC_F64)
                        want.f64 = chain_double(p, a, n, o, i, j);
                    else
                        want.i64 = chain_uint64_t(p, a, n, o, i, j);
                    if (memcmp(&want, output(a, n, o, i, j), (size_t)size))
                        return 0;
                }
    return 1;
}

static int near(const fc_problem *p, const fc_operands *a)
{
    for (int64_t n = 0; n < p->n; n++)
        for (int64_t o = 0; o < p->oc; o++)
            for (int64_t i = 0; i < p->oh; i++)
                for (int64_t j = 0; j < p->ow; j++) {
                    const double want = p->dtype == FC_F32 ? chain_float(p, a, n, o, i, j) : chain_double(p, a, n, o, i, j);
                    if (!(fabs(want - fc_read(output(a, n, o, i, j), p->dtype)) <= 1e-4 * (1 + fabs(want))))
                        return 0;
                }
    return 1;
}

static void *memory(int64_t bytes)
{
    void *data = aligned_alloc(64, (size_t)(bytes + 63) / 64 * 64 + 64);
    memset(data, 0xff, (size_t)bytes); /* NaN, for what is read before it is written */
    return data;
}

/* Subnormals of either size, for what is read before it is written by a lane whose result counts for nothing. */
static void *subnormals(int64_t bytes)
{
    uint16_t *data = memory(bytes);
    for (int64_t i = 0; i < bytes / 2; i++)
        data[i] = 1;
    return data;
}

#if defined(__x86_64__)
#include <xmmintrin.h>
#define FORGET_SUBNORMALS() _mm_setcsr(_mm_getcsr() & ~(unsigned)_MM_EXCEPT_DENORM)
#define MET_SUBNORMALS() ((_mm_getcsr() & _MM_EXCEPT_DENORM) != 0)
#else
#define FORGET_SUBNORMALS() ((void)0)
#define MET_SUBNORMALS() 0
#endif

/* Compute problem `i` by one row of the table, or by the one that is chosen (row -1); the weights are packed beforehand
 * every other time, and where the tasks cannot do without; half of the plans are cut for one thread. Returns why not, or NULL, the plan and whether subnormals were met. */
static const char *compute(const fc_problem *p, fc_operands a, char *bytes, int isa, int row, int i, fc_plan *plan,
                           int *met)
{
    const int64_t size = p->dtype == FC_F32 ? 4 : 8;
    const char *why_not = fc_plan_make(plan, p, isa, row < 0 ? NULL : fc_algorithms[row]->name);
    if (why_not)
        return why_not;
    if (i / 2 % 2)
        *plan = fc_plan_alone(plan);
    void *(*const room)(int64_t) = i % 2 ? memory : subnormals;
    char *scratch = room(plan->scratch_bytes), *weights = room(plan->packed_bytes);
    const int packed = plan->packed_bytes && (plan->packs_apart || (i + row) % 2);
    const int64_t rounds = plan->packs_apart ? plan->packs_apart : 1, packs = plan->n_packs / rounds, tasks = plan->n_tasks / rounds;
    a.packed = packed ? weights : NULL;
    if (plan->problem.from_bytes)
        narrow(&a.x, bytes, size);
    memset(a.y.data, 0xff, (size_t)(p->n * p->oc * p->oh * p->ow * size));
    FORGET_SUBNORMALS();
    for (int64_t round = 0; round < rounds; round++) {
        for (int64_t part = 0; packed && part < packs; part++)
            plan->algorithm->pack(plan, &a, round * packs + part);
        for (int64_t task = 0; task < tasks; task++)
            if (i % 2)
                fc_run_task(plan, &a, round * tasks + task, scratch);
            else /* without the caller's floating-point state, or the flags of a task would go with its own */
                plan->algorithm->run_task(plan, &a, round * tasks + task, scratch);
    }
    free(scratch), free(weights);
    *met = MET_SUBNORMALS();
    return NULL;
}

static const char *passes(const fc_problem *p, fc_operands a, char *bytes, int isa, int row, int i)
{
    const int64_t size = p->dtype == FC_F32 ? 4 : 8, results = p->n * p->oc * p->oh * p->ow * size;
    fc_plan plan, other;
    int met;
    const char *wrong = compute(p, a, bytes, isa, row, i, &plan, &met);
    if (wrong)
        return row < 0 ? wrong : NULL;
    if (met)
        return "computes with what nobody wrote";
    if (!strcmp(plan.algorithm->family, "direct"))
        return agrees(p, &a, size) ? NULL : "is wrong";
    if (!near(p, &a))
        return "is far from the chain";
    if (row < 0) /* another instruction set may choose another */
        return NULL;
    fc_operands b = a;
    b.y.data = memory(results);
    wrong = compute(p, b, bytes, fc_isa_count() - 1, row, i + 1, &other, &met);
    if (!wrong && plan.packing == other.packing && memcmp(a.y.data, b.y.data, (size_t)results)) /* tiles of one size */
        wrong = "has other bits than portable";
    free(b.y.data);
    return wrong;
}

int main(int argc, char **argv)
{
    const int count = argc > 1 ? atoi(argv[1]) : 300;
    for (int isa = 0; isa < fc_isa_count(); isa++) {
        if (!fc_isas[isa].runs_here()) {
            printf("%s: not on this processor\n", fc_isas[isa].name);
            continue;
        }
        for (int i = 0; i < count; i++) {
            fc_problem p;
            random_problem(&p, (fc_dtype)(i % FC_DTYPES));
            const int64_t size = p.dtype == FC_F32 ? 4 : 8, igc = p.ic / p.groups;
            void *x = filled(p.n * p.ic * p.ih * p.iw, p.dtype), *w = filled(p.oc * igc * p.kh * p.kw, p.dtype);
            char *bytes = memory(p.n * p.ic * p.ih * p.iw);
            for (int64_t k = 0; k < p.n * p.ic * p.ih * p.iw && p.from_bytes; k++) {
                bytes[k] = (char)draw(256);
                fc_write((char *)x + k * size, (unsigned char)bytes[k], p.dtype);
            }
            void *bias = filled(p.oc, p.dtype), *y = memory(p.n * p.oc * p.oh * p.ow * size);
            fc_operands a = {.x = laid_out(&p, x, p.ic, p.ih, p.iw, size),
                             .weight = {w, {igc * p.kh * p.kw * size, p.kh * p.kw * size, p.kw * size, size}},
                             .y = laid_out(&p, y, p.oc, p.oh, p.ow, size),
                             .bias = p.bias ? bias : NULL,
                             .bias_stride = size};
            if (p.dtype == FC_F32)
                a.fill.f32 = 2;
            else if (p.dtype == FC_F64)
                a.fill.f64 = 2;
            else
                a.fill.i64 = 2;
            for (int row = -1; row < 0 || fc_algorithms[row]; row++) {
                const char *wrong = passes(&p, a, bytes, isa, row, i);
                if (wrong) {
                    printf("%s, %s: problem %d %s\n", fc_isas[isa].name, row < 0 ? "auto" : fc_algorithms[row]->name, i,
                           wrong);
                    return 1;
                }
            }
            free(x), free(w), free(bias), free(y), free(bytes);
        }
        printf("%s: %d passed\n", fc_isas[isa].name, count);
    }
    return 0;
}
