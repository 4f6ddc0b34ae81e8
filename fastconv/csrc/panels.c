/* Weights of Winograd's tiles: transformed, in panels of output channels with a matrix for each point. */

#include "tiles.h"

#include "algorithms/common.h"

enum {
    TAPS = 72,     /* of weights that are packed at a time: 18 KiB on the stack */
    GROWTH = 1024, /* of sums, at the most: 69 for F(4 x 4, 3 x 3), as the absolute values of its transforms tell */
};

int64_t fc_point_bytes(const fc_plan *plan, int64_t vecs, int64_t channels)
{
    return channels * vecs * plan->tile->lanes * element_size(&plan->problem) + 64;
}

int64_t fc_panel_at(const fc_plan *plan, const fc_cut *c, int64_t group, int64_t panel)
{
    const fc_problem *p = &plan->problem;
    const int64_t vectors = group * c->vecs + part(panel, c->panels, c->vecs);
    return c->points * ((group * c->panels + panel) * 64 + fc_point_bytes(plan, vectors, p->ic / p->groups) - 64) +
           vectors * plan->tile->lanes * element_size(p);
}

int64_t fc_panel_of(const fc_cut *c, int64_t vector)
{
    int64_t panel = 0;
    while (part(panel + 1, c->panels, c->vecs) <= vector)
        panel++;
    return panel;
}

int64_t fc_panel_vecs(const fc_cut *c, int64_t panel)
{
    return part(panel + 1, c->panels, c->vecs) - part(panel, c->panels, c->vecs);
}

void fc_transform_weights(const fc_plan *plan, const fc_operands *operands, const fc_cut *c, int64_t group, int64_t panel,
                          int64_t vec0, int64_t vec1, int64_t channel, int64_t channels, char *to, char *squares)
{
    const fc_problem *p = &plan->problem;
    const fc_winograd *kernels = fc_winograd_of(plan->isa, p->dtype);
    const int64_t first = part(panel, c->panels, c->vecs), vecs = fc_panel_vecs(c, panel);
    const int64_t lanes = plan->tile->lanes, pixel = lanes * element_size(p), row = vecs * pixel, taps = p->kh * p->kw;
    const int64_t point = fc_point_bytes(plan, vecs, channels), some = (vec1 - vec0) * pixel;
    char packed[TAPS * FC_TILE_MAX_COLUMNS * 4] __attribute__((aligned(64)));
    if (!channel)
        memset(squares + vec0 * pixel, 0, (size_t)some);
    for (int64_t i = 0, count; i < channels; i += count, to += count * row) {
        count = least(TAPS / taps, channels - i);
        fc_pack(plan, &operands->weight, group, (first + vec0) * lanes, (vec1 - vec0) * lanes, channel + i, count, 0, packed);
        for (int64_t v = vec0; v < vec1; v++) {
            const char *const from = packed + (v - vec0) * pixel;
            const fc_winograd_run run = {from, p->kw * count * some, count * some, some, to + v * pixel,
                                         fc_winograd_points(c->across) * point, point, row, count, NULL};
            kernels->of[c->down][c->across].weight(&run);
            fc_squares_of(plan->isa, p->dtype)(squares + v * pixel, from, some, count * taps);
        }
    }
}

void fc_set_limits(const fc_problem *p, char *squares, int64_t count)
{
    for (int64_t i = 0; i < count; i++, squares += element_size(p))
        fc_write(squares, fc_limit(p, fc_read(squares, p->dtype), GROWTH), p->dtype);
}
