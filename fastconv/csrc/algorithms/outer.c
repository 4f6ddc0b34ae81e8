/* outer: the direct algorithm for kernels of more taps than there are outputs, as a sum of outer products.
 *
 * Gradients of kernels are such problems: the taps are all pixels of a map, the outputs those few of a kernel, and the
 * images are its input channels. Every tap adds the product of a column of pixels, one of each image, with a row of
 * weights, one of each output channel. The taps are worked through in strips: weights of a strip are packed into panels, or
 * read where they lie; pixels are broadcast from where they lie, or from a padded copy. The sums of a task wait in memory
 * while it goes from strip to strip. Where there is one output, pixels and weights may change places, so that what is less
 * is packed.
 *
 * Loops of a task: blocks of channels > strips of the kernel > panels > outputs > images > the chain.
 *
 * Cost: a fused multiply-add for each product, in vectors of what is packed. */

#include "strips.h"

/* Rows of weights a multiple of this apart share few sets of the first cache: 320 rows of 128 bytes, 512 apart, have 16 of 64. */
enum { ALIAS_BYTES = 512 };

/* Sums, results or pixels: where they are and what lies between those of images (or of output channels, where these have changed
 * places), and of rows and columns of outputs. Steps in bytes. */
typedef struct {
    char *data;
    int64_t deep, row, column;
} grid;

/* One task: what lies side by side in its vectors and what is broadcast, as arrays by element, channel of the chain, row and
 * column of the kernel. */
typedef struct {
    const fc_plan *plan;
    const fc_operands *operands;
    fc_strips c;
    fc_array wide, deep;
    int64_t vectors, wide_count, deep_count, row0, rows; /* rows of outputs from row0 on */
    int64_t panels, high;                                /* panels of vectors, most rows of a tile */
    int in_place;                                        /* whether vectors are read where they lie */
    char *panel, *window;
    int64_t *tables[TABLES];
    grid sums;
} job;

/* A part of the kernel, all of whose products are added at a time. */
typedef struct {
    int64_t c0, channels, ky, rows, kx, columns, steps;
} strip;

typedef struct {
    const char *weights; /* where they lie */
    grid pixels;         /* for the strip's first step */
    int64_t weights_on, pixels_on; /* bytes from there to the next strip's; 0 where there is none, or it is a copy */
} source;

static double cost(const fc_problem *p, const fc_tile *tile)
{
    double cycles = 0;
    fc_strips_choose(p, tile, &cycles);
    return 0.85 * cycles; /* others do not count what so long a chain costs them: `panel` takes 1.1 to 1.3 times its estimate */
}

static void prepare(fc_plan *plan)
{
    const fc_problem *p = &plan->problem;
    double cycles;
    const fc_strips c = fc_strips_choose(p, plan->tile, &cycles);
    plan->oc_block = c.wide_parts; /* and with the next three all that fc_strips_into needs */
    plan->px_block = c.deep_parts;
    plan->c_block = c.row_parts;
    plan->per_task = c.turned;
    plan->n_tasks = p->groups * c.wide_parts * c.deep_parts * c.row_parts;
    plan->task_macs = (double)(ceil_div(c.vectors, c.wide_parts) * plan->tile->lanes * ceil_div(c.deep, c.deep_parts)) *
                      (double)(ceil_div(p->oh, c.row_parts) * p->ow) * (double)chain_length(p);
    plan->scratch_bytes = fc_strips_room(p, plan->tile, &c).end;
}


/* Where the steps of a strip find their operand, by what lies between its channels, rows and columns. */
static void tabulate(const strip *s, int64_t channel, int64_t row, int64_t column, int64_t *off)
{
    for (int64_t i = 0; i < s->rows; i++)
        for (int64_t j = 0; j < s->columns; j++)
            for (int64_t c = 0; c < s->channels; c++)
                *off++ = i * row + j * column + c * channel;
}

/* Lines of a tile's sums, one for each step, then from the first again: they are called into the cache meanwhile. */
static void tabulate_sums(int64_t rows, int64_t step, int64_t bytes, int64_t steps, int64_t *off)
{
    for (int64_t s = 0; s < steps;)
        for (int64_t i = 0; i < rows; i++)
            for (int64_t line = 0; line < bytes && s < steps; line += 64)
                off[s++] = i * step + line;
}

/* Lines of the pixels that a tile of `rows` reads in place in the next strip, so many bytes apart. */
static void tabulate_pixels(const strip *s, int64_t rows, int64_t step, int64_t channel, int64_t size, int64_t *off)
{
    const int64_t *const end = off + s->steps;
    for (int64_t c = 0; c < s->channels; c++)
        for (int64_t i = 0; i < rows; i++)
            for (int64_t line = 0; line < s->rows * s->columns * size && off < end; line += 64)
                *off++ = c * channel + i * step + line;
    while (off < end)
        *off++ = 0;
}

/* Products of a strip to sums that begin with it, or go on. */
static void multiply(const job *j, const strip *s, const source *from, int resume)
{
    const fc_tile *tile = j->plan->tile;
    const int64_t vector = tile->lanes * element_size(&j->plan->problem), columns = j->plan->problem.ow;
    const int across = j->c.across;
    const int64_t count = across ? columns : j->deep_count, tiles = ceil_div(count, j->high);
    const int64_t outer = across ? j->deep_count : j->rows, inner = across ? j->rows : columns;
    const grid *sums = &j->sums, *x = &from->pixels;
    const int64_t step = across ? x->column : x->deep;
    fc_tile_ends ends = {.from_step = across ? sums->column : sums->deep};
    ends.to_step = ends.from_step;
    ends.calls = s->steps;
    int64_t turn = 0; /* takes turns with what is called into the cache */
    for (int64_t panel = 0; panel < j->panels; panel++) {
        const int64_t first = part(panel, j->panels, j->vectors), vecs = part(panel + 1, j->panels, j->vectors) - first;
        const int narrow = vecs != ceil_div(j->vectors, j->panels);
        const char *const weights = j->in_place ? from->weights + first * vector : j->panel + first * vector * s->steps;
        const int64_t *const w_off = j->in_place ? j->tables[W_OFF] : j->tables[W_OFF + narrow];
        for (int64_t i = 0; i < outer * inner; i++) {
            const int64_t a = i / inner, b = i % inner;
            const char *pixels = x->data + (across ? a * x->deep + b * x->row : a * x->row + b * x->column);
            char *to = sums->data + first * vector + (across ? a * sums->deep + b * sums->row : a * sums->row + b * sums->column);
            for (int64_t t = 0; t < tiles; t++) {
                const int64_t at = part(t, tiles, count), height = part(t + 1, tiles, count) - at;
                ends.to = to + at * ends.to_step;
                ends.from = resume ? ends.to : NULL;
                ends.ahead = ends.to;
                ends.ahead_off = j->tables[Y_AHEAD + narrow];
                turn++;
                if (from->pixels_on && turn % 2) {
                    ends.ahead = pixels + at * step + from->pixels_on;
                    ends.ahead_off = j->tables[X_AHEAD];
                } else if (from->weights_on) {
                    ends.ahead = weights + from->weights_on + turn / 2 % vecs * vector;
                    ends.ahead_off = w_off;
                }
                tile->run[vecs][height](s->steps, pixels + at * step, step, j->tables[X_OFF], weights, w_off, &ends);
            }
        }
    }
}

/* Finished sums to the result, whatever its layout: `y` is the grid of outputs there, `wide` bytes between vectors' elements. */
static void store(const job *j, const grid *y, int64_t wide)
{
    const int64_t size = element_size(&j->plan->problem), columns = j->plan->problem.ow, outputs = j->rows * columns;
    int64_t run = columns == 1 || y->column == size ? columns : 1; /* that follow one another there too */
    if (run == columns && (j->rows == 1 || y->row == columns * size))
        run = outputs;
    if (run == outputs && (j->deep_count == 1 || y->deep == outputs * size))
        run = outputs * j->deep_count;
    for (int64_t i = 0; i < j->deep_count * outputs; i += run) {
        char *to = y->data + i / outputs * y->deep + i / columns % j->rows * y->row + i % columns * y->column;
        const char *from = j->sums.data + i * j->sums.column;
        if (wide == size)
            for (int64_t r = 0; r < run; r++)
                memcpy(to + r * size, from + r * j->sums.column, (size_t)(j->wide_count * size));
        else
            j->plan->transpose(to, NULL, wide, from, j->sums.column, run, j->wide_count);
    }
}

static void pack(const job *j, const strip *s, const fc_problem *part_of_kernel)
{
    const int64_t size = element_size(part_of_kernel), lanes = j->plan->tile->lanes;
    fc_plan plan = *j->plan;
    plan.problem = *part_of_kernel;
    plan.problem.groups = 1;
    plan.problem.oc = j->wide_count;
    fc_array wide = j->wide;
    wide.data += s->ky * wide.stride[2] + s->kx * wide.stride[3];
    for (int64_t panel = 0; panel < j->panels; panel++) {
        const int64_t first = part(panel, j->panels, j->vectors), vecs = part(panel + 1, j->panels, j->vectors) - first;
        fc_pack(&plan, &wide, 0, first * lanes, vecs * lanes, s->c0, s->channels, 0,
                j->panel + first * lanes * size * s->steps);
    }
}

/* What a strip reads of the images, padded: a plane of each, or all side by side where they are in memory. */
static source copy_window(const job *j, const strip *s, const fc_problem *part_of_kernel, int64_t steps[4])
{
    const fc_problem *p = &j->plan->problem;
    const int64_t size = element_size(p), images = j->deep_count;
    fc_plan plan = *j->plan;
    plan.problem = *part_of_kernel;
    fc_operands operands = *j->operands;
    if (j->c.turned) { /* the weights are the image */
        plan.problem.ih = p->kh;
        plan.problem.iw = p->kw;
        plan.problem.dh = plan.problem.dw = 1;
        operands.x.stride[2] = operands.weight.stride[2];
        operands.x.stride[3] = operands.weight.stride[3];
    }
    operands.x.stride[1] = j->deep.stride[0]; /* in place of channels */
    const int beside = j->deep.stride[0] == size && images > 1;
    const int64_t dh = plan.problem.dh, dw = plan.problem.dw;
    const fc_window w = fc_window_of(&plan.problem, j->rows, p->ow);
    const int64_t plane = w.rows * w.columns * size, pixel = beside ? images * size : size;
    for (int64_t c = 0; c < s->channels; c++)
        fc_copy_window(&plan, &operands, &w, j->deep.data + (s->c0 + c) * j->deep.stride[1], j->row0 * p->sh + s->ky * dh,
                       s->kx * dw, images, j->window + c * images * plane, beside);
    steps[1] = images * plane;
    steps[2] = dh / w.step_h * w.columns * pixel;
    steps[3] = dw / w.step_w * pixel;
    return (source){.pixels = {j->window, beside ? size : plane, p->sh / w.step_h * w.columns * pixel, p->sw / w.step_w * pixel}};
}

static void run_task(const fc_plan *plan, const fc_operands *operands, int64_t task, void *scratch)
{
    const fc_problem *p = &plan->problem;
    const fc_strips c = fc_strips_into(p, plan->tile, (int)plan->per_task, plan->oc_block, plan->px_block, plan->c_block);
    const int64_t size = element_size(p), lanes = plan->tile->lanes, igc = p->ic / p->groups, ocg = p->oc / p->groups;
    const int64_t wide_part = task % c.wide_parts, deep_part = task / c.wide_parts % c.deep_parts;
    const int64_t row_part = task / c.wide_parts / c.deep_parts % c.row_parts;
    const int64_t group = task / c.wide_parts / c.deep_parts / c.row_parts;
    const int64_t vector0 = part(wide_part, c.wide_parts, c.vectors), deep0 = part(deep_part, c.deep_parts, c.deep);
    job j = {.plan = plan, .operands = operands, .c = c};
    j.vectors = part(wide_part + 1, c.wide_parts, c.vectors) - vector0;
    j.wide_count = least(j.vectors * lanes, c.wide - vector0 * lanes);
    j.deep_count = part(deep_part + 1, c.deep_parts, c.deep) - deep0;
    j.row0 = part(row_part, c.row_parts, p->oh);
    j.rows = part(row_part + 1, c.row_parts, p->oh) - j.row0;
    j.panels = fc_strips_panels(plan->tile, j.vectors, c.across ? p->ow : j.deep_count, &j.high);

    const int64_t *x = operands->x.stride, *w = operands->weight.stride, *y = operands->y.stride;
    const fc_array images = {operands->x.data + group * igc * x[1], {x[0], x[1], p->dh * x[2], p->dw * x[3]}};
    fc_array weights = operands->weight;
    weights.data += group * ocg * w[0];
    j.wide = c.turned ? images : weights;
    j.deep = c.turned ? weights : images;
    j.wide.data += vector0 * lanes * j.wide.stride[0];
    j.deep.data += deep0 * j.deep.stride[0];
    const int64_t y_wide = y[!c.turned], y_deep = y[c.turned];
    const grid result = {operands->y.data + group * ocg * y[1] + vector0 * lanes * y_wide + deep0 * y_deep + j.row0 * y[2],
                         y_deep, y[2], y[3]};

    const fc_strips_parts at = fc_strips_room(p, plan->tile, &c);
    const int whole = j.wide_count == j.vectors * lanes, direct = whole && y_wide == size;
    const int64_t pitch = j.vectors * lanes * size, most_steps = c.rows * c.columns * c.channels;
    j.panel = scratch;
    j.window = j.panel + at.window;
    j.sums = direct ? result : (grid){j.panel + at.sums, j.rows * p->ow * pitch, p->ow * pitch, pitch};
    j.in_place = whole && j.wide.stride[0] == size && igc == 1 && j.wide.stride[3] % ALIAS_BYTES != 0;
    for (int i = 0; i < TABLES; i++)
        j.tables[i] = (int64_t *)(j.panel + at.tables) + i * most_steps;
    for (int narrow = 0; narrow < 2; narrow++) {
        const int64_t bytes = most(ceil_div(j.vectors, j.panels) - narrow, 1) * lanes * size;
        tabulate_sums(j.high, c.across ? j.sums.column : j.sums.deep, bytes, most_steps, j.tables[Y_AHEAD + narrow]);
        for (int64_t s = 0; s < most_steps; s++)
            j.tables[W_OFF + narrow][s] = s * bytes;
    }

    strip s = {0};
    int64_t tabulated[2] = {0, 0}; /* columns and channels, on which tables depend */
    for (s.c0 = 0; s.c0 < igc; s.c0 += c.channels)
        for (s.ky = 0; s.ky < p->kh; s.ky += c.rows)
            for (s.kx = 0; s.kx < p->kw; s.kx += c.columns) {
                s.channels = least(c.channels, igc - s.c0);
                s.rows = least(c.rows, p->kh - s.ky);
                s.columns = least(c.columns, p->kw - s.kx);
                s.steps = s.rows * s.columns * s.channels;
                const fc_problem part_of_kernel = fc_strip_of(p, s.rows, s.columns);
                const int64_t *v = j.wide.stride;
                int64_t steps[4] = {0, j.deep.stride[1], j.deep.stride[2], j.deep.stride[3]};
                source from;
                if (fc_strips_copy(p))
                    from = copy_window(&j, &s, &part_of_kernel, steps);
                else
                    from = (source){.pixels = {j.deep.data + s.c0 * steps[1] + s.ky * steps[2] + s.kx * steps[3] + j.row0 * p->sh * x[2],
                                               j.deep.stride[0], p->sh * x[2], p->sw * x[3]}};
                from.weights = j.wide.data + s.c0 * v[1] + s.ky * v[2] + s.kx * v[3];
                const int across = s.kx + s.columns < p->kw;
                if (across || s.ky + s.rows < p->kh) {
                    from.weights_on = j.in_place ? across ? s.columns * v[3] : s.rows * v[2] - s.kx * v[3] : 0;
                    from.pixels_on = fc_strips_copy(p) ? 0 : across ? s.columns * steps[3] : s.rows * steps[2] - s.kx * steps[3];
                }
                if (!j.in_place)
                    pack(&j, &s, &part_of_kernel);
                if (s.columns != tabulated[0] || s.channels != tabulated[1] || fc_strips_copy(p)) {
                    tabulate(&s, steps[1], steps[2], steps[3], j.tables[X_OFF]);
                    if (j.in_place)
                        tabulate(&s, v[1], v[2], v[3], j.tables[W_OFF]);
                    if (steps[3] == size)
                        tabulate_pixels(&s, j.high, c.across ? from.pixels.column : from.pixels.deep, steps[1], size, j.tables[X_AHEAD]);
                    else
                        tabulate(&s, steps[1], steps[2], steps[3], j.tables[X_AHEAD]);
                    tabulated[0] = s.columns;
                    tabulated[1] = s.channels;
                }
                multiply(&j, &s, &from, s.c0 || s.ky || s.kx);
            }
    if (!direct)
        store(&j, &result, y_wide);
}

const fc_algorithm fc_algorithm_outer = {
    .name = "outer",
    .family = "direct",
    .can = FC_CAN_STRIDE | FC_CAN_DILATE | FC_CAN_GROUP | FC_CAN_PAD | FC_CAN_PAD_EDGE | FC_CAN_F64 | FC_CAN_I64,
    .reject = fc_strips_reject,
    .cost = cost,
    .prepare = prepare,
    .run_task = run_task,
};
