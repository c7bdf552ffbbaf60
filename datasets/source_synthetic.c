/* An analytic terrain, for trying things out and for tests: ridged gradient noise on integer
 * lattices. Each time step lies 16 m above the one before, each band 1 m above the one before.
 *
 * For tests of definitions with "levels": "offset" is added to all heights, and with "levels":
 * false only full resolution can be read.
 *
 * All arithmetic is in IEEE doubles in a fixed order, so that every machine, and a second writing
 * of the formula in another language, gets the same bits. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/source.h"

enum {
    OCTAVES = 11,
    CONTINENT_OCTAVES = 3,
    LONGEST_WAVE = 32768, /* pixels; halves with each octave */
    PATCHES = 40,         /* along each side of the grid */
    PITCH = 2500,         /* pixels from patch to patch */
    SIDE = PATCHES * PITCH,
    MARGIN = 100, /* by which a patch reaches beyond its pitch on each side */
};

static const double step_height = 16, band_height = 1;

typedef struct synthetic {
    sgc_source base;
    bool is_temporal;
    double offset;
} synthetic;

/* The gradient of the noise at a lattice point. */
typedef struct gradient {
    double x, y;
} gradient;

static gradient gradient_at(uint32_t x, uint32_t y, uint32_t octave)
{
    static const gradient choices[] = {{1, .375},   {.375, 1},   {-.375, 1}, {-1, .375},
                                       {-1, -.375}, {-.375, -1}, {.375, -1}, {1, -.375}};
    uint32_t h = x * 0x8da6b343u ^ y * 0xd8163841u ^ octave * 0xcb1ab31fu;
    h ^= h >> 16;
    h *= 0x7feb352du;
    h ^= h >> 15;
    h *= 0x846ca68bu;
    h ^= h >> 16;
    return choices[h >> 29];
}

/* A lattice cell with its four gradients, kept from pixel to pixel. */
typedef struct cell {
    double x, y; /* of its corner; NaN before the first use */
    gradient top_left, top_right, bottom_left, bottom_right;
} cell;

static void enter_cell(cell *c, double x, double y, uint32_t octave)
{
    const uint32_t ix = (uint32_t)(int64_t)x, iy = (uint32_t)(int64_t)y;
    c->x = x;
    c->y = y;
    c->top_left = gradient_at(ix, iy, octave);
    c->top_right = gradient_at(ix + 1, iy, octave);
    c->bottom_left = gradient_at(ix, iy + 1, octave);
    c->bottom_right = gradient_at(ix + 1, iy + 1, octave);
}

/* floor() for what fits 64 bits, without a call into the mathematical library. */
static double round_down(double value)
{
    const double whole = (double)(int64_t)value;
    return whole > value ? whole - 1 : whole;
}

static double clamp(double value, double smallest, double largest)
{
    return value < smallest ? smallest : value > largest ? largest : value;
}

static double ease(double t)
{
    return t * t * t * (t * (t * 6 - 15) + 10);
}

static double lerp(double a, double b, double s)
{
    return a + s * (b - a);
}

static double dot(gradient g, double x, double y)
{
    return g.x * x + g.y * y;
}

/* The noise of one octave at a position in pixels. */
static double noise(cell *c, double x, double y, int octave)
{
    const double u = x / (LONGEST_WAVE >> octave), v = y / (LONGEST_WAVE >> octave);
    const double left = round_down(u), top = round_down(v);
    if (!(c->x == left && c->y == top))
        enter_cell(c, left, top, (uint32_t)octave);
    const double tx = u - left, ty = v - top, sx = ease(tx);
    return lerp(lerp(dot(c->top_left, tx, ty), dot(c->top_right, tx - 1, ty), sx),
                lerp(dot(c->bottom_left, tx, ty - 1), dot(c->bottom_right, tx - 1, ty - 1), sx),
                ease(ty));
}

/* Where the continents are: positive on land. */
static double continents(cell *cells, double x, double y)
{
    return (noise(&cells[0], x, y, 0) + 0.5 * noise(&cells[1], x, y, 1) +
            0.25 * noise(&cells[2], x, y, 2)) *
           1.5;
}

static double mountains(cell *cells, double x, double y)
{
    double total = 0, weight = 1;
    for (int octave = CONTINENT_OCTAVES; octave < OCTAVES; octave++) {
        /* No two octaves share their axes. */
        const double turned = (0.8 * x - 0.6 * y) + 100000;
        y = 0.6 * x + 0.8 * y;
        x = turned;
        double ridge = clamp(1 - fabs(noise(&cells[octave], x, y, octave)) * 1.6, 0, 1);
        ridge = ridge * ridge * weight;
        weight = clamp(ridge * 1.8, 0, 1);
        total = total + ridge / (1 << (octave - CONTINENT_OCTAVES));
    }
    return total;
}

static double terrain(cell *cells, double x, double y)
{
    const double base = continents(cells, x, y);
    const double m = clamp(base + 0.25, 0, 1);
    const double h = base * 900 + m * m * (mountains(cells, x, y) * 2200) - 150;
    return round_down((h > 0 ? h : 0) * 128 + 0.5) / 128;
}

static void init_cells(cell cells[OCTAVES])
{
    for (int octave = 0; octave < OCTAVES; octave++)
        cells[octave].x = NAN;
}

/* ---- patches ---- */

/* The deep sea has no patches. */
static bool patch_exists(int row, int column)
{
    cell cells[OCTAVES];
    init_cells(cells);
    return continents(cells, (column + 0.5) * PITCH, (row + 0.5) * PITCH) >= -0.45;
}

/* Tells overlapping patches apart. */
static double patch_tag(int row, int column)
{
    return (7 * row + 3 * column) % 8 / 8.0;
}

static int64_t clamp_patch(int64_t index)
{
    return index < 0 ? 0 : index >= PATCHES ? PATCHES - 1 : index;
}

/* Gives (free with free()) "row_column", after the time step where there are several. */
static char *patch_id(const synthetic *s, size_t step, int row, int column)
{
    char *id = NULL;
    const int length = s->is_temporal ? asprintf(&id, "%zu-%02d_%02d", step, row, column)
                                      : asprintf(&id, "%02d_%02d", row, column);
    return length >= 0 ? id : NULL;
}

static sgc_status synthetic_find(sgc_source *self, sgc_rect rect, size_t step,
                                 const sgc_cancel *cancel, sgc_patch_list *out, sgc_error *err)
{
    const synthetic *s = (const synthetic *)self;
    (void)cancel;
    const sgc_rect whole = {0, 0, SIDE, SIDE};
    const int64_t r0 = clamp_patch((rect.y - MARGIN) / PITCH - 1);
    const int64_t r1 = clamp_patch((rect.y + rect.height + MARGIN) / PITCH);
    const int64_t c0 = clamp_patch((rect.x - MARGIN) / PITCH - 1);
    const int64_t c1 = clamp_patch((rect.x + rect.width + MARGIN) / PITCH);
    const size_t most = (size_t)((r1 - r0 + 1) * (c1 - c0 + 1));
    sgc_patch_list list = {.patches = calloc(most, sizeof *list.patches), .band_count = 1};
    if (list.patches == NULL)
        return sgc_fail_memory(err, most * sizeof *list.patches, "patches");
    for (int64_t r = r0; r <= r1; r++) {
        for (int64_t c = c0; c <= c1; c++) {
            const sgc_rect extent =
                sgc_rect_intersect(whole, (sgc_rect){PITCH * c - MARGIN, PITCH * r - MARGIN,
                                                     PITCH + 2 * MARGIN, PITCH + 2 * MARGIN});
            if (sgc_rect_is_empty(sgc_rect_intersect(extent, rect)) ||
                !patch_exists((int)r, (int)c))
                continue;
            sgc_patch *patch = &list.patches[list.count];
            patch->rect = extent;
            patch->step = step;
            patch->id = patch_id(s, step, (int)r, (int)c);
            if (patch->id == NULL) {
                sgc_patch_list_free(&list);
                return sgc_fail_memory(err, 6, "a patch");
            }
            list.count++;
        }
    }
    *out = list;
    return SGC_OK;
}

/* Writes the heights of one band. */
static sgc_status fill_window(float *out, int64_t factor, sgc_rect rect, double above,
                              const sgc_cancel *cancel, sgc_error *err)
{
    const double f = (double)factor;
    cell cells[OCTAVES];
    init_cells(cells);
    for (int64_t j = 0; j < rect.height; j++) {
        if (sgc_cancel_requested(cancel))
            return sgc_fail(err, SGC_CANCELLED, "cancelled");
        const double y = ((double)(rect.y + j) + 0.5) * f;
        for (int64_t i = 0; i < rect.width; i++)
            *out++ = (float)(terrain(cells, ((double)(rect.x + i) + 0.5) * f, y) + above);
    }
    return SGC_OK;
}

static sgc_status synthetic_read(sgc_source *self, const sgc_patch *patch, const size_t *bands,
                                 size_t count, int64_t factor, sgc_rect rect, void *const *pixels,
                                 uint8_t *const *valid, sgc_fetch *fetch, const sgc_cancel *cancel,
                                 sgc_error *err)
{
    const synthetic *s = (const synthetic *)self;
    const char *id = s->is_temporal ? strchr(patch->id, '-') : patch->id;
    int row, column;
    if (id == NULL || sscanf(id + s->is_temporal, "%d_%d", &row, &column) != 2)
        return sgc_fail(err, SGC_INVALID, "\"%s\" is no patch of this source", patch->id);
    for (size_t b = 0; b < count; b++) {
        const double above = patch_tag(row, column) + s->offset +
                             step_height * (double)patch->step + band_height * (double)bands[b];
        SGC_TRY(fill_window(pixels[b], factor, rect, above, cancel, err));
        memset(valid[b], 1, (size_t)(rect.width * rect.height));
    }
    *fetch = (sgc_fetch){0};
    return SGC_OK;
}

static void synthetic_free(sgc_source *self)
{
    free(self);
}

sgc_status sgc_source_synthetic_new(const sgc_definition *definition, const cJSON *json,
                                    const sgc_source_options *options, sgc_source **out,
                                    sgc_error *err)
{
    (void)options;
    bool fits = definition->grid.width <= SIDE && definition->grid.height <= SIDE;
    for (size_t b = 0; b < definition->band_count; b++)
        fits = fits && definition->bands[b].type == GDT_Float32;
    if (!fits)
        return sgc_fail(err, SGC_INVALID,
                        "%s: the synthetic source has float32 bands of at most %d x %d pixels",
                        definition->id, SIDE, SIDE);
    const cJSON *offset = cJSON_GetObjectItemCaseSensitive(json, "offset");
    const cJSON *levels = cJSON_GetObjectItemCaseSensitive(json, "levels");
    synthetic *source = calloc(1, sizeof *source);
    if (source == NULL)
        return sgc_fail_memory(err, sizeof *source, "a source");
    *source = (synthetic){
        .base = {.find = synthetic_find,
                 .read = synthetic_read,
                 .free = synthetic_free,
                 .has_levels = !cJSON_IsFalse(levels),
                 .reads_together = true,
                 .finds_alone = true,
                 .max_requests = 4},
        .is_temporal = definition->time.count > 0,
        .offset = cJSON_IsNumber(offset) ? offset->valuedouble : 0,
    };
    *out = &source->base;
    return SGC_OK;
}
