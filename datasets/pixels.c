#include "datasets/pixels.h"

#include <math.h>
#include <string.h>

enum { PART = 1024 };

/* The integer types by their size and sign, whatever their names in this version of GDAL. */
static bool is_integer(GDALDataType type, int size, bool is_signed)
{
    return GDALDataTypeIsInteger(type) && GDALGetDataTypeSizeBytes(type) == size &&
           (GDALDataTypeIsSigned(type) != 0) == is_signed;
}

static long double smallest(GDALDataType type)
{
    return GDALDataTypeIsSigned(type) ? -ldexpl(1, GDALGetDataTypeSizeBits(type) - 1) : 0;
}

static long double largest(GDALDataType type)
{
    const int bits = GDALGetDataTypeSizeBits(type) - (GDALDataTypeIsSigned(type) ? 1 : 0);
    return ldexpl(1, bits) - 1;
}

bool sgc_nodata_fits(sgc_nodata nodata, GDALDataType type)
{
    if (!nodata.exists || GDALDataTypeIsFloating(type))
        return nodata.exists;
    return nodata.value >= smallest(type) && nodata.value <= largest(type) &&
           nodata.value == floorl(nodata.value);
}

#define MARK_INTEGERS(T)                            \
    do {                                            \
        const T bad = (T)nodata.value, *p = pixels; \
        for (size_t i = 0; i < count; i++)          \
            valid[i] = p[i] != bad;                 \
    } while (0)

#define MARK_FLOATS(T)                                           \
    do {                                                         \
        const T bad = nodata.exists ? (T)nodata.value : (T)NAN;  \
        const T *p = pixels;                                     \
        for (size_t i = 0; i < count; i++)                       \
            valid[i] = (uint8_t) !(p[i] == bad || p[i] != p[i]); \
    } while (0)

static void mark_others(GDALDataType type, const char *pixels, size_t count, sgc_nodata nodata,
                        uint8_t *valid)
{
    const int size = GDALGetDataTypeSizeBytes(type);
    for (size_t i = 0; i < count; i++) {
        double value;
        GDALCopyWords(pixels + i * (size_t)size, type, 0, &value, GDT_Float64, 0, 1);
        valid[i] = !isnan(value) && !(nodata.exists && value == (double)nodata.value);
    }
}

void sgc_pixels_mark(GDALDataType type, const void *pixels, size_t count, sgc_nodata nodata,
                     uint8_t *valid)
{
    if (type == GDT_Float32)
        MARK_FLOATS(float);
    else if (type == GDT_Float64)
        MARK_FLOATS(double);
    else if (GDALDataTypeIsInteger(type) && !sgc_nodata_fits(nodata, type))
        memset(valid, 1, count);
    else if (is_integer(type, 1, false))
        MARK_INTEGERS(uint8_t);
    else if (is_integer(type, 1, true))
        MARK_INTEGERS(int8_t);
    else if (is_integer(type, 2, false))
        MARK_INTEGERS(uint16_t);
    else if (is_integer(type, 2, true))
        MARK_INTEGERS(int16_t);
    else if (is_integer(type, 4, false))
        MARK_INTEGERS(uint32_t);
    else if (is_integer(type, 4, true))
        MARK_INTEGERS(int32_t);
    else if (is_integer(type, 8, false))
        MARK_INTEGERS(uint64_t);
    else if (is_integer(type, 8, true))
        MARK_INTEGERS(int64_t);
    else
        mark_others(type, pixels, count, nodata, valid);
}

void sgc_pixels_clamp(GDALDataType type, void *pixels, size_t count, GDALDataType range,
                      sgc_nodata except)
{
    const double ends[] = {(double)smallest(range), (double)largest(range)};
    const int size = GDALGetDataTypeSizeBytes(type);
    for (size_t i = 0; i < count; i++) {
        double value;
        char *pixel = (char *)pixels + i * (size_t)size;
        GDALCopyWords(pixel, type, 0, &value, GDT_Float64, 0, 1);
        if ((value < ends[0] || value > ends[1]) && !(except.exists && value == except.value))
            GDALCopyWords(&ends[value > ends[1]], GDT_Float64, 0, pixel, type, 0, 1);
    }
}

/* True when all valid values of a part arrived well. */
static bool check_part(GDALDataType from_type, const void *from, GDALDataType to_type,
                       const void *to, int count, const uint8_t *valid, double tolerance,
                       double *bad)
{
    double before[PART], after[PART];
    GDALCopyWords(from, from_type, GDALGetDataTypeSizeBytes(from_type), before, GDT_Float64,
                  sizeof *before, count);
    GDALCopyWords(to, to_type, GDALGetDataTypeSizeBytes(to_type), after, GDT_Float64, sizeof *after,
                  count);
    for (int i = 0; i < count; i++) {
        if (valid[i] && fabs(before[i] - after[i]) > tolerance) {
            *bad = before[i];
            return false;
        }
    }
    return true;
}

bool sgc_pixels_convert(GDALDataType from_type, const void *from, GDALDataType to_type, void *to,
                        size_t count, const uint8_t *valid, double tolerance, double *bad)
{
    const int from_size = GDALGetDataTypeSizeBytes(from_type);
    const int to_size = GDALGetDataTypeSizeBytes(to_type);
    const bool always_fits =
        GDALDataTypeIsFloating(to_type) || GDALDataTypeUnion(from_type, to_type) == to_type;
    for (size_t done = 0; done < count; done += PART) {
        const int n = (int)(count - done < PART ? count - done : PART);
        const char *part = (const char *)from + done * (size_t)from_size;
        char *result = (char *)to + done * (size_t)to_size;
        GDALCopyWords(part, from_type, from_size, result, to_type, to_size, n);
        if (!always_fits &&
            !check_part(from_type, part, to_type, result, n, valid + done, tolerance, bad))
            return false;
    }
    return true;
}
