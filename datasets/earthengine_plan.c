#include <math.h>
#include <stdlib.h>

#include "datasets/earthengine.h"

enum {
    MOST_PIXELS = 32768, /* of one request, along a side */
    MOST_BANDS = 1024,   /* of one request */
};

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t pieces(int64_t length, int64_t most)
{
    return (length + most - 1) / most;
}

/* Appends parts of at most these sides, of equal height but for the last row. */
static sgc_status add_parts(sgc_ee_plan *plan, const sgc_ee_part *whole, int64_t most_width,
                            int64_t most_height, sgc_error *err)
{
    const sgc_rect rect = whole->rect;
    const int64_t columns = pieces(rect.width, most_width), rows = pieces(rect.height, most_height);
    const int64_t width = pieces(rect.width, columns), height = pieces(rect.height, rows);
    const size_t most = plan->count + (size_t)columns * (size_t)rows;
    sgc_ee_part *parts = realloc(plan->parts, most * sizeof *parts);
    if (parts == NULL)
        return sgc_fail_memory(err, most * sizeof *parts, "requests");
    plan->parts = parts;
    for (int64_t y = 0; y < rect.height; y += height)
        for (int64_t x = 0; x < rect.width; x += width) {
            sgc_ee_part *part = &parts[plan->count++];
            *part = *whole;
            part->rect = (sgc_rect){rect.x + x, rect.y + y, smaller(width, rect.width - x),
                                    smaller(height, rect.height - y)};
        }
    return SGC_OK;
}

sgc_status sgc_ee_plan_parts(sgc_rect rect, size_t bands, const sgc_ee_sample *sample,
                             uint64_t max_bytes, sgc_ee_plan *plan, sgc_error *err)
{
    *plan = (sgc_ee_plan){0};
    for (size_t b = 0; b < bands; b += MOST_BANDS) {
        const size_t count = bands - b < MOST_BANDS ? bands - b : MOST_BANDS;
        const sgc_ee_part whole = {rect, b, count};
        const uint64_t cost = (uint64_t)count * (sample->size + 1); /* a mask byte each */
        const int64_t pixels = max_bytes > cost ? (int64_t)(max_bytes / cost) : 1;
        const int64_t most_width = smaller(smaller(pixels, MOST_PIXELS), rect.width);
        SGC_TRY(
            add_parts(plan, &whole, most_width, smaller(pixels / most_width, MOST_PIXELS), err));
    }
    return SGC_OK;
}

bool sgc_ee_halve(const sgc_ee_part *part, sgc_ee_part halves[2])
{
    halves[0] = halves[1] = *part;
    const bool by_rows = part->rect.height > 1;
    int64_t *const first = by_rows ? &halves[0].rect.height : &halves[0].rect.width;
    int64_t *const second = by_rows ? &halves[1].rect.height : &halves[1].rect.width;
    int64_t *const start = by_rows ? &halves[1].rect.y : &halves[1].rect.x;
    *first /= 2;
    *second -= *first;
    *start += *first;
    return *first > 0;
}

/* Drops the pixels at both ends whose centres lie beyond ±limit. */
static void clamp_axis(double origin, double step, double limit, int64_t *start, int64_t *length)
{
    int64_t end = *start + *length;
    while (*start < end && fabs(origin + ((double)*start + 0.5) * step) > limit)
        ++*start;
    while (*start < end && fabs(origin + ((double)end - 0.5) * step) > limit)
        end--;
    *length = end - *start;
}

sgc_rect sgc_ee_clamp_to_earth(const sgc_grid *grid, sgc_rect rect)
{
    clamp_axis(grid->transform[0], grid->transform[1], 180, &rect.x, &rect.width);
    clamp_axis(grid->transform[3], grid->transform[5], 90, &rect.y, &rect.height);
    return rect;
}

void sgc_ee_place(const sgc_grid *grid, sgc_rect patch, sgc_rect rect, sgc_ee_window *window)
{
    const double *t = grid->transform;
    const double x = t[0] + (double)patch.x * t[1], y = t[3] + (double)patch.y * t[5];
    window->width = rect.width;
    window->height = rect.height;
    window->x = x + (double)(rect.x - patch.x) * t[1];
    window->y = y + (double)(rect.y - patch.y) * t[5];
    window->x_step = t[1];
    window->y_step = t[5];
}
