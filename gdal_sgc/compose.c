#include "gdal_sgc/compose.h"

#include <string.h>

static uint8_t *valid_row(const sgc_canvas *canvas, sgc_rect window, int64_t row)
{
    return canvas->valid + (window.y + row - canvas->rect.y) * canvas->rect.width +
           (window.x - canvas->rect.x);
}

static unsigned char *pixel_row(const sgc_canvas *canvas, sgc_rect window, int64_t row)
{
    const int64_t item =
        (window.y + row - canvas->rect.y) * canvas->stride + (window.x - canvas->rect.x);
    return canvas->pixels + item * GDALGetDataTypeSizeBytes(canvas->type);
}

bool sgc_canvas_is_full(const sgc_canvas *canvas, sgc_rect window)
{
    if (canvas->rule != SGC_COMPOSITE_FIRST)
        return false;
    for (int64_t row = 0; row < window.height; row++)
        if (memchr(valid_row(canvas, window, row), 0, (size_t)window.width) != NULL)
            return false;
    return true;
}

static double value_of(const unsigned char *pixel, GDALDataType type)
{
    double value;
    GDALCopyWords(pixel, type, 0, &value, GDT_Float64, 0, 1);
    return value;
}

/* Whether a valid pixel takes the place of a valid one. */
static bool replaces(const sgc_canvas *canvas, const unsigned char *old, const unsigned char *new)
{
    switch (canvas->rule) {
    case SGC_COMPOSITE_FIRST:
        return false;
    case SGC_COMPOSITE_LAST:
        return true;
    case SGC_COMPOSITE_MIN:
        return value_of(new, canvas->type) < value_of(old, canvas->type);
    case SGC_COMPOSITE_MAX:
        return value_of(new, canvas->type) > value_of(old, canvas->type);
    }
    return false;
}

void sgc_canvas_apply(sgc_canvas *canvas, sgc_rect window, const void *pixels, const uint8_t *valid)
{
    const size_t size = (size_t)GDALGetDataTypeSizeBytes(canvas->type);
    const unsigned char *in = pixels;
    for (int64_t row = 0; row < window.height; row++) {
        unsigned char *out = pixel_row(canvas, window, row);
        uint8_t *seen = valid_row(canvas, window, row);
        for (int64_t i = 0; i < window.width; i++, in += size, out += size, valid++) {
            if (!*valid || seen[i] == SGC_PIXEL_FIXED || (seen[i] && !replaces(canvas, out, in)))
                continue;
            memcpy(out, in, size);
            seen[i] = 1;
        }
    }
}
