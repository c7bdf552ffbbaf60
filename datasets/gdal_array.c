#include "datasets/gdal_array.h"

#include <cpl_conv.h>
#include <cpl_error.h>
#include <cpl_string.h>
#include <math.h>
#include <ogr_api.h>
#include <ogr_core.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MOST_DIMENSIONS = 8, LARGEST_AXIS = 50 * 1000 * 1000 };

/* ---- coordinates of time ---- */

/* When coordinates are zero, and how many seconds one of them is. */
typedef struct time_units {
    int64_t origin;
    double seconds;
    bool are_years; /* numbers of years, instead */
} time_units;

static bool parse_date(const char *text, int64_t *seconds)
{
    OGRField field;
    if (!OGRParseDate(text, &field, 0))
        return false;
    struct tm calendar = {.tm_year = field.Date.Year - 1900,
                          .tm_mon = field.Date.Month - 1,
                          .tm_mday = field.Date.Day,
                          .tm_hour = field.Date.Hour,
                          .tm_min = field.Date.Minute,
                          .tm_sec = (int)field.Date.Second};
    *seconds = timegm(&calendar);
    return true;
}

/* "days since 1970-01-01 00:00:00". */
static bool parse_units(const char *text, time_units *units)
{
    static const struct {
        const char *name;
        double seconds;
    } known[] = {{"second", 1}, {"minute", 60}, {"hour", 3600}, {"day", 86400}};
    if (text == NULL || *text == '\0') {
        *units = (time_units){.are_years = true};
        return true;
    }
    const char *since = strstr(text, " since ");
    for (size_t i = 0; since != NULL && i < sizeof known / sizeof *known; i++) {
        const size_t size = strlen(known[i].name);
        if (!EQUALN(text, known[i].name, size) || !(text + size == since || text[size] == 's'))
            continue;
        *units = (time_units){.seconds = known[i].seconds};
        return parse_date(since + strlen(" since "), &units->origin);
    }
    return false;
}

static double seconds_of(const time_units *units, double coordinate)
{
    if (!units->are_years)
        return (double)units->origin + coordinate * units->seconds;
    struct tm calendar = {.tm_year = (int)fmax(fmin(coordinate, 9999), 0) - 1900, .tm_mday = 1};
    return (double)timegm(&calendar);
}

static bool has_our_calendar(GDALMDArrayH variable)
{
    static const char *const ours[] = {"standard", "gregorian", "proleptic_gregorian", NULL};
    GDALAttributeH attribute = GDALMDArrayGetAttribute(variable, "calendar");
    if (attribute == NULL)
        return true;
    const char *name = GDALAttributeReadAsString(attribute);
    const bool found = name != NULL && CSLFindString((CSLConstList)ours, name) >= 0;
    GDALAttributeRelease(attribute);
    return found;
}

static bool read_coordinates(GDALMDArrayH variable, size_t count, double *out)
{
    const GUInt64 start = 0;
    GDALExtendedDataTypeH type = GDALExtendedDataTypeCreate(GDT_Float64);
    const bool good =
        GDALMDArrayRead(variable, &start, &count, NULL, NULL, type, out, out, count * sizeof *out);
    GDALExtendedDataTypeRelease(type);
    return good;
}

static sgc_status find_coordinate(GDALMDArrayH variable, size_t count, int64_t time, size_t *index,
                                  sgc_error *err)
{
    time_units units;
    if (!has_our_calendar(variable))
        return sgc_fail(err, SGC_UNSUPPORTED, "its times are kept in another calendar");
    if (!parse_units(GDALMDArrayGetUnit(variable), &units))
        return sgc_fail(err, SGC_UNSUPPORTED, "its times have the unit \"%.64s\"",
                        GDALMDArrayGetUnit(variable));
    double *coordinates = malloc(count * sizeof *coordinates);
    if (coordinates == NULL)
        return sgc_fail_memory(err, count * sizeof *coordinates, "times");
    const bool good = read_coordinates(variable, count, coordinates);
    size_t i = 0;
    while (good && i < count && !(fabs(seconds_of(&units, coordinates[i]) - (double)time) <= 0.5))
        i++;
    free(coordinates);
    *index = i;
    if (!good)
        return sgc_fail(err, SGC_IO, "its times cannot be read: %s", CPLGetLastErrorMsg());
    return i < count ? SGC_OK : sgc_fail(err, SGC_NOT_FOUND, "it has no such time step");
}

static sgc_status find_step(GDALDimensionH dimension, int64_t time, size_t *index, sgc_error *err)
{
    const GUInt64 count = GDALDimensionGetSize(dimension);
    GDALMDArrayH variable = GDALDimensionGetIndexingVariable(dimension);
    if (variable == NULL || count > LARGEST_AXIS || GDALMDArrayGetDimensionCount(variable) != 1) {
        GDALMDArrayRelease(variable);
        return sgc_fail(err, SGC_INVALID, "its dimension \"%.64s\" has no coordinates",
                        GDALDimensionGetName(dimension));
    }
    const sgc_status status = find_coordinate(variable, (size_t)count, time, index, err);
    GDALMDArrayRelease(variable);
    return status;
}

/* ---- slices ---- */

/* The dimension of that type, else `otherwise`. */
static size_t find_axis(GDALDimensionH *dimensions, size_t count, const char *type,
                        size_t otherwise)
{
    for (size_t i = 0; i < count; i++)
        if (EQUAL(GDALDimensionGetType(dimensions[i]), type))
            return i;
    return otherwise;
}

/* Names, quoted. */
typedef struct name_list {
    char text[300];
} name_list;

typedef struct slice_view {
    char expression[32 * MOST_DIMENSIONS];
    size_t x, y; /* dimensions of the view */
} slice_view;

static sgc_status index_along(GDALDimensionH dimension, const sgc_gdal_slice *slice, size_t *index,
                              sgc_error *err)
{
    if (strcmp(GDALDimensionGetName(dimension), slice->time_dimension) == 0)
        return find_step(dimension, slice->time, index, err);
    const GUInt64 size = GDALDimensionGetSize(dimension);
    *index = size == 1 ? 0 : (size_t)slice->band - 1;
    return *index < size ? SGC_OK
                         : sgc_fail(err, SGC_INVALID, "its dimension \"%.64s\" has no band %d",
                                    GDALDimensionGetName(dimension), slice->band);
}

static void append(name_list *list, const char *name)
{
    const size_t length = strlen(list->text);
    if (length + strlen(name) + strlen(", \"\"") < sizeof list->text)
        snprintf(list->text + length, sizeof list->text - length, "%s\"%s\"",
                 length > 0 ? ", " : "", name);
}

static sgc_status fail_dimension(GDALDimensionH *dimensions, size_t count,
                                 const sgc_gdal_slice *slice, sgc_error *err)
{
    name_list names = {""};
    for (size_t i = 0; i < count; i++)
        append(&names, GDALDimensionGetName(dimensions[i]));
    return sgc_fail(err, SGC_INVALID, "its array \"%.64s\" has no dimension \"%.64s\" (it has %s)",
                    slice->array, slice->time_dimension, names.text);
}

/* Writes how GDAL names the slice: "[3,0,:,:]". */
static sgc_status describe(GDALDimensionH *dimensions, size_t count, const sgc_gdal_slice *slice,
                           slice_view *view, sgc_error *err)
{
    const size_t x = find_axis(dimensions, count, "HORIZONTAL_X", count - 1);
    const size_t y = find_axis(dimensions, count, "HORIZONTAL_Y", count - 2);
    size_t used = 0;
    bool has_time = false;
    for (size_t i = 0; i < count; i++) {
        char *end = view->expression + used;
        const size_t room = sizeof view->expression - used;
        size_t index = 0;
        if (i == x || i == y) {
            used += (size_t)snprintf(end, room, "%s:", i == 0 ? "[" : ",");
            continue;
        }
        SGC_TRY(index_along(dimensions[i], slice, &index, err));
        has_time |= strcmp(GDALDimensionGetName(dimensions[i]), slice->time_dimension) == 0;
        used += (size_t)snprintf(end, room, "%s%zu", i == 0 ? "[" : ",", index);
    }
    snprintf(view->expression + used, sizeof view->expression - used, "]");
    view->x = x > y;
    view->y = y > x;
    return has_time ? SGC_OK : fail_dimension(dimensions, count, slice, err);
}

static sgc_status open_slice(GDALMDArrayH array, const sgc_gdal_slice *slice, GDALDatasetH *raster,
                             sgc_error *err)
{
    size_t count = 0;
    slice_view view = {0};
    GDALDimensionH *dimensions = GDALMDArrayGetDimensions(array, &count);
    sgc_status status = count >= 3 && count <= MOST_DIMENSIONS
                            ? describe(dimensions, count, slice, &view, err)
                            : sgc_fail(err, SGC_INVALID, "its array \"%.64s\" has %zu dimensions",
                                       slice->array, count);
    GDALReleaseDimensions(dimensions, count);
    SGC_TRY(status);
    GDALMDArrayH part = GDALMDArrayGetView(array, view.expression);
    *raster = part != NULL ? GDALMDArrayAsClassicDataset(part, view.x, view.y) : NULL;
    GDALMDArrayRelease(part);
    return *raster != NULL ? SGC_OK
                           : sgc_fail(err, SGC_IO, "its array \"%.64s\" cannot be read: %s",
                                      slice->array, CPLGetLastErrorMsg());
}

static sgc_status fail_array(GDALGroupH root, const char *array, sgc_error *err)
{
    name_list names = {""};
    char **list = root != NULL ? GDALGroupGetMDArrayNames(root, NULL) : NULL;
    for (int i = 0; i < CSLCount(list); i++)
        append(&names, list[i]);
    CSLDestroy(list);
    return sgc_fail(err, SGC_INVALID,
                    "its dataset has no array \"%.64s\" (it has %s): name one with \"asset\" of "
                    "the band",
                    array, names.text[0] != '\0' ? names.text : "none");
}

sgc_status sgc_gdal_array_open(GDALDatasetH file, const sgc_gdal_slice *slice, GDALDatasetH *raster,
                               sgc_error *err)
{
    GDALGroupH root = GDALDatasetGetRootGroup(file);
    GDALMDArrayH array =
        root != NULL ? GDALGroupResolveMDArray(root, slice->array, "", NULL) : NULL;
    const sgc_status status =
        array != NULL ? open_slice(array, slice, raster, err) : fail_array(root, slice->array, err);
    GDALMDArrayRelease(array);
    GDALGroupRelease(root);
    return status;
}

/* ---- degrees ---- */

/* "degrees_north", and how else CF writes it; `initial` is that of the direction. */
static bool is_degrees(const char *unit, char initial)
{
    const char *word = initial == 'N' ? "north" : "east";
    if (unit == NULL || !EQUALN(unit, "degree", 6))
        return false;
    unit += unit[6] == 's' ? 7 : 6;
    unit += *unit == '_';
    return strcmp(unit, word) == 0 || (unit[0] == initial && unit[1] == '\0');
}

static bool has_degrees(GDALDimensionH dimension, char initial)
{
    GDALMDArrayH variable = GDALDimensionGetIndexingVariable(dimension);
    const bool found = variable != NULL && is_degrees(GDALMDArrayGetUnit(variable), initial);
    GDALMDArrayRelease(variable);
    return found;
}

bool sgc_gdal_array_in_degrees(GDALDatasetH file, const char *name)
{
    GDALGroupH root = GDALDatasetGetRootGroup(file);
    GDALMDArrayH array = root != NULL ? GDALGroupResolveMDArray(root, name, "", NULL) : NULL;
    size_t count = 0;
    GDALDimensionH *dimensions = array != NULL ? GDALMDArrayGetDimensions(array, &count) : NULL;
    const bool found =
        count >= 2 &&
        has_degrees(dimensions[find_axis(dimensions, count, "HORIZONTAL_X", count - 1)], 'E') &&
        has_degrees(dimensions[find_axis(dimensions, count, "HORIZONTAL_Y", count - 2)], 'N');
    GDALReleaseDimensions(dimensions, count);
    GDALMDArrayRelease(array);
    GDALGroupRelease(root);
    return found;
}

bool sgc_gdal_raster_in_degrees(GDALDatasetH raster)
{
    static const char suffix[] = "#units";
    bool has_x = false, has_y = false;
    for (char **item = GDALGetMetadata(raster, NULL); item != NULL && *item != NULL; item++) {
        const char *value = strchr(*item, '=');
        const size_t size = sizeof suffix - 1;
        if (value == NULL || (size_t)(value - *item) < size ||
            strncmp(value - size, suffix, size) != 0)
            continue;
        has_x |= is_degrees(value + 1, 'E');
        has_y |= is_degrees(value + 1, 'N');
    }
    return has_x && has_y;
}
