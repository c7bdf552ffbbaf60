#include <cpl_conv.h>
#include <math.h>
#include <string.h>
#include <time.h>

#include "datasets/earthengine.h"
#include "datasets/number_text.h"

/* ---- samples ---- */

static const sgc_ee_sample samples[] = {
    {"Image.toUint8", "|u1", GDT_Byte, 1, 0, 255, false},
    {"Image.toInt16", "<i2", GDT_Int16, 2, -32768, 32767, false},
    {"Image.toUint16", "<u2", GDT_UInt16, 2, 0, 65535, false},
    {"Image.toInt32", "<i4", GDT_Int32, 4, -2147483648.0, 2147483647, false},
    {"Image.toUint32", "<u4", GDT_UInt32, 4, 0, 4294967295.0, false},
    {"Image.toFloat", "<f4", GDT_Float32, 4, -16777216, 16777216, true}, /* of integers */
    {"Image.toDouble", "<f8", GDT_Float64, 8, -9007199254740992.0, 9007199254740992.0, true},
};

static bool holds(const sgc_ee_sample *sample, GDALDataType type)
{
    if (GDALDataTypeIsFloating(type))
        return sample->is_float && sample->size >= (size_t)GDALGetDataTypeSizeBytes(type);
    const int bits = GDALGetDataTypeSizeBits(type);
    const bool is_signed = GDALDataTypeIsSigned(type);
    const double largest = ldexp(1, is_signed ? bits - 1 : bits) - 1;
    return sample->smallest <= (is_signed ? -largest - 1 : 0) && sample->largest >= largest;
}

static bool holds_number(const sgc_ee_sample *sample, double number)
{
    if (sample->type == GDT_Float32)
        return (double)(float)number == number;
    return sample->is_float ||
           (number == floor(number) && number >= sample->smallest && number <= sample->largest);
}

sgc_status sgc_ee_find_sample(const sgc_ee_product *product, const size_t *bands, size_t count,
                              const sgc_ee_sample **sample, sgc_error *err)
{
    const sgc_definition *d = product->definition;
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        size_t b = 0;
        while (b < count && holds(&samples[i], d->bands[bands[b]].type))
            b++;
        if (b == count && holds_number(&samples[i], product->sentinel)) {
            *sample = &samples[i];
            return SGC_OK;
        }
    }
    return sgc_fail(err, SGC_UNSUPPORTED,
                    "Earth Engine has no pixels that hold %s and the sentinel %.17g",
                    d->bands[bands[0]].data_type, product->sentinel);
}

/* ---- expressions ---- */

/* One argument of a function; the value is taken. */
typedef struct argument {
    const char *name;
    cJSON *value;
} argument;

static bool add(cJSON *object, const char *key, cJSON *value)
{
    const bool added = object != NULL && value != NULL && cJSON_AddItemToObject(object, key, value);
    if (!added)
        cJSON_Delete(value);
    return added;
}

/* {"key": value}, of which NULL is made when value is. */
static cJSON *wrap(const char *key, cJSON *value)
{
    cJSON *object = cJSON_CreateObject();
    if (add(object, key, value))
        return object;
    cJSON_Delete(object);
    return NULL;
}

static cJSON *number(double value)
{
    char text[SGC_NUMBER_TEXT_SIZE];
    sgc_number_print(value, text);
    return cJSON_CreateRaw(text);
}

static cJSON *constant_text(const char *text)
{
    return wrap("constantValue", cJSON_CreateString(text));
}

/* NULL, with all values freed, when there is no memory. */
static cJSON *invoke(const char *function, size_t count, const argument *arguments)
{
    cJSON *call = cJSON_CreateObject(), *named = cJSON_CreateObject();
    bool good = add(call, "functionName", cJSON_CreateString(function));
    for (size_t i = 0; i < count; i++)
        good &= add(named, arguments[i].name, arguments[i].value);
    good &= add(call, "arguments", named);
    if (good)
        return wrap("functionInvocationValue", call);
    cJSON_Delete(call);
    return NULL;
}

#define INVOKE(function, ...)                                              \
    invoke(function, sizeof((argument[]){__VA_ARGS__}) / sizeof(argument), \
           (argument[]){__VA_ARGS__})

static cJSON *date(int64_t seconds)
{
    const time_t when = (time_t)seconds;
    struct tm utc;
    char text[64];
    if (gmtime_r(&when, &utc) == NULL)
        return NULL;
    strftime(text, sizeof text, seconds % 86400 == 0 ? "%Y-%m-%d" : "%Y-%m-%dT%H:%M:%S", &utc);
    return constant_text(text);
}

/* The collection's images of a time step: those of the half-open interval, or of one second. */
static cJSON *images(const sgc_ee_product *product, size_t step)
{
    const sgc_time_axis *time = &product->definition->time;
    cJSON *all = INVOKE("ImageCollection.load", {"id", constant_text(product->asset)});
    if (time->count == 0)
        return all;
    const int64_t start = time->starts[step], end = time->ends[step];
    cJSON *range =
        INVOKE("DateRange", {"start", date(start)}, {"end", date(end > start ? end : start + 1)});
    return INVOKE("Collection.filter", {"collection", all},
                  {"filter", INVOKE("Filter.dateRangeContains", {"leftValue", range},
                                    {"rightField", constant_text(product->date_property)})});
}

static cJSON *image(const sgc_ee_product *product, size_t step)
{
    if (product->reducer == NULL)
        return INVOKE("Image.load", {"id", constant_text(product->asset)});
    return INVOKE(product->reducer, {"collection", images(product, step)});
}

/* Masked pixels are not marked in answers, so they get a value of their own. */
static cJSON *unmasked(const sgc_ee_product *product, const sgc_ee_window *window)
{
    cJSON *sentinel =
        INVOKE("Image.constant", {"value", wrap("constantValue", number(product->sentinel))});
    cJSON *filled =
        INVOKE("Image.unmask", {"input", image(product, window->step)}, {"value", sentinel},
               {"sameFootprint", wrap("constantValue", cJSON_CreateFalse())});
    return INVOKE(window->sample->cast, {"value", filled});
}

/* {"expression": …}: one nested value is enough. */
static cJSON *request(cJSON *value)
{
    cJSON *expression = wrap("values", wrap("0", value));
    if (!add(expression, "result", cJSON_CreateString("0"))) {
        cJSON_Delete(expression);
        return NULL;
    }
    return wrap("expression", expression);
}

/* ---- requests ---- */

static bool add_grid(cJSON *body, const sgc_ee_product *product, const sgc_ee_window *w)
{
    cJSON *grid = cJSON_AddObjectToObject(body, "grid");
    cJSON *dimensions = cJSON_AddObjectToObject(grid, "dimensions");
    cJSON *transform = cJSON_AddObjectToObject(grid, "affineTransform");
    return add(dimensions, "width", number((double)w->width)) &&
           add(dimensions, "height", number((double)w->height)) &&
           add(transform, "scaleX", number(w->x_step)) && add(transform, "shearX", number(0)) &&
           add(transform, "translateX", number(w->x)) && add(transform, "shearY", number(0)) &&
           add(transform, "scaleY", number(w->y_step)) &&
           add(transform, "translateY", number(w->y)) &&
           (product->crs_wkt != NULL
                ? add(grid, "crsWkt", cJSON_CreateString(product->crs_wkt))
                : add(grid, "crsCode", cJSON_CreateString(product->definition->crs)));
}

static bool add_bands(cJSON *body, const sgc_ee_product *product, const sgc_ee_window *w)
{
    const char **names = CPLMalloc(w->count * sizeof *names);
    for (size_t i = 0; i < w->count; i++)
        names[i] = product->definition->bands[w->bands[i]].asset;
    const bool added =
        add(body, "bandIds", cJSON_CreateStringArray((const char *const *)names, (int)w->count));
    CPLFree(names);
    return added;
}

/* GeoTIFFs are compressed, which makes integers small; floats hardly, and an NPY needs no decoder.
 */
static const char *format_of(const sgc_ee_sample *sample)
{
    return sample->is_float ? "NPY" : "GEO_TIFF";
}

static char *print(cJSON *body, bool is_whole)
{
    char *text = is_whole ? cJSON_PrintUnformatted(body) : NULL;
    cJSON_Delete(body);
    return text;
}

char *sgc_ee_print_request(const sgc_ee_product *product, const sgc_ee_window *window)
{
    cJSON *body = request(unmasked(product, window));
    return print(body, add(body, "fileFormat", cJSON_CreateString(format_of(window->sample))) &&
                           add_bands(body, product, window) && add_grid(body, product, window));
}

char *sgc_ee_print_count_request(const sgc_ee_product *product, size_t step)
{
    cJSON *body = request(INVOKE("Collection.size", {"collection", images(product, step)}));
    return print(body, body != NULL);
}
