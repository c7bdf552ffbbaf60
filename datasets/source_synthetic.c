/* An analytic terrain, for trying things out and for tests: fractal value noise on integer lattices.
 *
 * All arithmetic is exact or in IEEE doubles in a fixed order, so that every machine, and a second writing
 * of the formula in another language, gets the same bits. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/source.h"

enum {
    OCTAVES = 12,
    CONTINENT_OCTAVES = 3,
    LONGEST_WAVE = 32768, /* pixels; halves with each octave */
    PATCHES = 40,         /* along each side of the grid */
    PITCH = 2500,         /* pixels from patch to patch */
    MARGIN = 100,         /* by which a patch reaches beyond its pitch on each side */
};

const char *const sgc_source_synthetic_keys[] = {"kind", NULL};

static double lattice_value(uint32_t x, uint32_t y, uint32_t octave)
{
    uint32_t h = x * 0x8da6b343u ^ y * 0xd8163841u ^ octave * 0xcb1ab31fu;
    h ^= h >> 16;
    h *= 0x7feb352du;
    h ^= h >> 15;
    h *= 0x846ca68bu;
    h ^= h >> 16;
    return h * 0x1p-31 - 1.0;
}

static double smooth(double t)
{
    return t * t * t * (t * (t * 6 - 15) + 10);
}

static double lerp(double a, double b, double s)
{
    return a + s * (b - a);
}

/* Where `position`, in pixels, falls between the lattice points of an octave. */
static void locate(double position, int octave, uint32_t *cell, double *weight)
{
    const double u = position / (LONGEST_WAVE >> octave);
    *cell = (uint32_t)floor(u);
    *weight = smooth(u - floor(u));
}

/* The columns of a window, located once for all its rows. */
typedef struct columns {
    size_t count;
    uint32_t *cells; /* OCTAVES x count */
    double *weights; /* OCTAVES x count */
} columns;

static void noise_row(const columns *c, double y, int octave, double *out)
{
    const uint32_t *cells = c->cells + (size_t)octave * c->count;
    const double *weights = c->weights + (size_t)octave * c->count;
    uint32_t row;
    double weight;
    locate(y, octave, &row, &weight);
    for (size_t i = 0; i < c->count;) {
        const uint32_t cell = cells[i], o = (uint32_t)octave;
        const double top_left = lattice_value(cell, row, o);
        const double top_right = lattice_value(cell + 1, row, o);
        const double bottom_left = lattice_value(cell, row + 1, o);
        const double bottom_right = lattice_value(cell + 1, row + 1, o);
        for (; i < c->count && cells[i] == cell; i++)
            out[i] = lerp(lerp(top_left, top_right, weights[i]),
                          lerp(bottom_left, bottom_right, weights[i]), weight);
    }
}

static double height(double base, double mountains)
{
    const double m = fmin(fmax(base + 0.25, 0), 1);
    const double h = base * 700 + m * m * (mountains * 2000) - 150;
    return floor(fmax(h, 0) * 128 + 0.5) / 128;
}

/* One row of terrain; `scratch` has room for 3 rows. */
static void terrain_row(const columns *c, double y, double *scratch, double *out)
{
    double *noise = scratch, *base = scratch + c->count, *mountains = scratch + 2 * c->count;
    for (size_t i = 0; i < c->count; i++)
        base[i] = mountains[i] = 0;
    for (int octave = 0; octave < OCTAVES; octave++) {
        noise_row(c, y, octave, noise);
        if (octave < CONTINENT_OCTAVES) {
            const double weight = ldexp(1, -octave);
            for (size_t i = 0; i < c->count; i++)
                base[i] += weight * noise[i];
        } else {
            const double weight = ldexp(1, CONTINENT_OCTAVES - octave);
            for (size_t i = 0; i < c->count; i++) {
                const double ridge = 1 - fabs(noise[i]);
                mountains[i] += weight * ridge * ridge;
            }
        }
    }
    for (size_t i = 0; i < c->count; i++)
        out[i] = height(base[i], mountains[i]);
}

/* ---- patches ---- */

/* The sea has no patches. */
static bool patch_exists(int row, int column)
{
    double base = 0;
    for (int octave = 0; octave < CONTINENT_OCTAVES; octave++) {
        uint32_t x, y;
        double wx, wy;
        locate(PITCH * column + PITCH / 2, octave, &x, &wx);
        locate(PITCH * row + PITCH / 2, octave, &y, &wy);
        const uint32_t o = (uint32_t)octave;
        base += ldexp(1, -octave) *
                lerp(lerp(lattice_value(x, y, o), lattice_value(x + 1, y, o), wx),
                     lerp(lattice_value(x, y + 1, o), lattice_value(x + 1, y + 1, o), wx), wy);
    }
    return base >= -0.45;
}

/* Tells overlapping patches apart. */
static double patch_tag(int row, int column)
{
    return (7 * row + 3 * column) % 8 / 8.0;
}

static int clamp_patch(int64_t index)
{
    return (int)(index < 0 ? 0 : index >= PATCHES ? PATCHES - 1 : index);
}

static sgc_status synthetic_find(sgc_source *self, sgc_rect rect, const sgc_cancel *cancel,
                                 sgc_patch_list *out, sgc_error *err)
{
    (void)self;
    (void)cancel;
    const int r0 = clamp_patch((rect.y - MARGIN) / PITCH - 1);
    const int r1 = clamp_patch((rect.y + rect.height + MARGIN) / PITCH);
    const int c0 = clamp_patch((rect.x - MARGIN) / PITCH - 1);
    const int c1 = clamp_patch((rect.x + rect.width + MARGIN) / PITCH);
    const size_t most = (size_t)((r1 - r0 + 1) * (c1 - c0 + 1));
    sgc_patch_list list = {.patches = calloc(most, sizeof *list.patches), .band_count = 1};
    if (list.patches == NULL)
        return sgc_fail_memory(err, most * sizeof *list.patches, "patches");
    for (int r = r0; r <= r1; r++) {
        for (int c = c0; c <= c1; c++) {
            const sgc_rect extent = {PITCH * c - MARGIN, PITCH * r - MARGIN, PITCH + 2 * MARGIN,
                                     PITCH + 2 * MARGIN};
            if (sgc_rect_is_empty(sgc_rect_intersect(extent, rect)) || !patch_exists(r, c))
                continue;
            sgc_patch *patch = &list.patches[list.count];
            patch->rect = extent;
            if (asprintf(&patch->id, "%02d_%02d", r, c) < 0) {
                patch->id = NULL;
                sgc_patch_list_free(&list);
                return sgc_fail_memory(err, 6, "a patch");
            }
            list.count++;
        }
    }
    *out = list;
    return SGC_OK;
}

static sgc_status locate_columns(sgc_rect rect, int64_t factor, columns *c, sgc_error *err)
{
    c->count = (size_t)rect.width;
    c->cells = malloc(OCTAVES * c->count * sizeof *c->cells);
    c->weights = malloc(OCTAVES * c->count * sizeof *c->weights);
    if (c->cells == NULL || c->weights == NULL)
        return sgc_fail_memory(err, OCTAVES * c->count * sizeof *c->weights, "terrain");
    for (int octave = 0; octave < OCTAVES; octave++)
        for (size_t i = 0; i < c->count; i++) {
            const size_t at = (size_t)octave * c->count + i;
            const double x = ((double)(rect.x + (int64_t)i) + 0.5) * (double)factor;
            locate(x, octave, &c->cells[at], &c->weights[at]);
        }
    return SGC_OK;
}

static sgc_status draw(const sgc_patch *patch, int64_t factor, sgc_rect rect, const columns *c,
                       float *pixels, const sgc_cancel *cancel, sgc_error *err)
{
    int row, column;
    if (sscanf(patch->id, "%d_%d", &row, &column) != 2)
        return sgc_fail(err, SGC_INVALID, "\"%s\" is no patch of this source", patch->id);
    const double tag = patch_tag(row, column);
    double *buffer = malloc(4 * c->count * sizeof *buffer);
    if (buffer == NULL)
        return sgc_fail_memory(err, 4 * c->count * sizeof *buffer, "terrain");
    double *values = buffer + 3 * c->count;
    sgc_status status = SGC_OK;
    for (int64_t j = 0; j < rect.height; j++) {
        if (sgc_cancel_requested(cancel)) {
            status = sgc_fail(err, SGC_CANCELLED, "cancelled");
            break;
        }
        terrain_row(c, ((double)(rect.y + j) + 0.5) * (double)factor, buffer, values);
        for (size_t i = 0; i < c->count; i++)
            pixels[(size_t)j * c->count + i] = (float)(values[i] + tag);
    }
    free(buffer);
    return status;
}

static sgc_status synthetic_read(sgc_source *self, const sgc_patch *patch, size_t band,
                                 int64_t factor, sgc_rect rect, void *pixels, uint8_t *valid,
                                 const sgc_cancel *cancel, sgc_error *err)
{
    (void)self;
    (void)band;
    columns c = {0};
    sgc_status status = locate_columns(rect, factor, &c, err);
    if (status == SGC_OK)
        status = draw(patch, factor, rect, &c, pixels, cancel, err);
    if (status == SGC_OK)
        memset(valid, 1, (size_t)(rect.width * rect.height));
    free(c.cells);
    free(c.weights);
    return status;
}

static sgc_http_counters synthetic_counters(sgc_source *self)
{
    (void)self;
    return (sgc_http_counters){0};
}

static void synthetic_free(sgc_source *self)
{
    free(self);
}

sgc_status sgc_source_synthetic_new(const sgc_definition *definition, sgc_source **out,
                                    sgc_error *err)
{
    if (definition->band_count != 1 || definition->bands[0].type != GDT_Float32 ||
        definition->grid.width > PATCHES * PITCH || definition->grid.height > PATCHES * PITCH)
        return sgc_fail(err, SGC_INVALID,
                        "%s: the synthetic source has one float32 band of at most %d x %d pixels",
                        definition->id, PATCHES * PITCH, PATCHES * PITCH);
    sgc_source *source = calloc(1, sizeof *source);
    if (source == NULL)
        return sgc_fail_memory(err, sizeof *source, "a source");
    *source = (sgc_source){
        .find = synthetic_find,
        .read = synthetic_read,
        .counters = synthetic_counters,
        .free = synthetic_free,
        .has_levels = true,
        .max_requests = 4,
    };
    *out = source;
    return SGC_OK;
}
