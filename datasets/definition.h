/* The description of a dataset: a JSON document (datasets guide 6), checked. */
#ifndef SGC_DEFINITION_H
#define SGC_DEFINITION_H

#include <cjson/cJSON.h>
#include <gdal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "datasets/grid.h"
#include "datasets/nearest_word.h"
#include "store/error.h"

SGC_BEGIN_C

typedef enum sgc_composite {
    SGC_COMPOSITE_FIRST, /* among valid pixels, in the order of patch ids */
    SGC_COMPOSITE_LAST,
    SGC_COMPOSITE_MIN,
    SGC_COMPOSITE_MAX,
} sgc_composite;

/* How pixels of one grid become pixels of another. */
typedef enum sgc_resampling {
    SGC_RESAMPLE_NEAREST,
    SGC_RESAMPLE_BILINEAR,
    SGC_RESAMPLE_CUBIC,
    SGC_RESAMPLE_AVERAGE,
    SGC_RESAMPLE_MODE,
} sgc_resampling;

/* A value of a band that stands for something. */
typedef struct sgc_category {
    int64_t value;
    char *name; /* NULL: has a colour only */
    bool has_color;
    uint8_t color[3]; /* red, green, blue */
} sgc_category;

typedef struct sgc_band {
    char *name;        /* of the array in the cube */
    char *data_type;   /* Zarr's name */
    GDALDataType type; /* of pixels in memory; Byte for bool */
    bool is_bool;
    double nodata;            /* NaN, or a value of the type; of bool: 0; of 64 bits: the nearest */
    uint64_t nodata_bits;     /* of int64 and uint64: the very value, in two's complement */
    char *unit, *description; /* NULL when absent */
    bool has_scale;
    double scale, offset;
    char *asset;     /* key of the item's asset */
    int source_band; /* 1-based */
    bool has_source_nodata;
    double source_nodata;
    char *attributes; /* JSON object: "zarr:attributes", or NULL */
    bool has_statistics;
    double minimum, maximum, mean, stddev;
    sgc_resampling resampling; /* how levels are made of it */
    size_t category_count;
    sgc_category *categories; /* by value, each once */
    char *flag_meanings;      /* CF's: a word for each category that has a name, or NULL */
} sgc_band;

/* The time axis. Times are seconds since 1970, UTC. */
typedef struct sgc_time_axis {
    size_t count;    /* 0: the cube is static */
    int64_t *starts; /* increasing */
    int64_t *ends;   /* of the half-open intervals; an instant ends where it starts */
    bool is_instant;
    bool is_growable;
} sgc_time_axis;

/* Another source for levels of a factor and coarser. */
typedef struct sgc_level_source {
    int64_t from;
    const cJSON *source; /* borrows from the definition */
} sgc_level_source;

typedef struct sgc_definition {
    char *name; /* what messages about it begin with: its file, or the cube that it was kept in */
    char *id;
    char *title, *license, *attribution; /* NULL when absent */
    char *crs;
    sgc_grid grid; /* grid.crs is `crs` */
    int64_t chunk_width, chunk_height;
    size_t band_count;
    sgc_band *bands;
    sgc_composite composite;
    sgc_resampling resampling; /* where source and cube grids differ */
    bool fill_channels;        /* each channel of a chunk position is loaded alone */
    sgc_time_axis time;
    size_t level_count;
    sgc_level_source *levels; /* by factor */
    double bytes_per_pixel;   /* estimated download per pixel of one band; 0: 0.4 x item size */
    const cJSON *source;      /* the member "source"; borrows from `json` */
    char **parameters;        /* NAME=VALUE of each, NULL-terminated; NULL when there are none */
    char *directory;          /* of its file, or NULL: it is none, or was kept in a cube */
    char *warning;            /* what its author should know, or NULL */
    cJSON *json;              /* the whole document, with the values of the parameters filled in */
    char *text;               /* the same as it is kept in a cube: one line, every digit as it was
                                 written, each parameter with its value as the only one allowed */
} sgc_definition;

/* Gives the definition in `text`; free with sgc_definition_free(). `name` begins the message of any
 * error: one line with the JSON pointer of the offending member. `parameters` is a NULL-terminated
 * list of NAME=VALUE, or NULL; names and listed values in any case. SGC_UNSUPPORTED for what the
 * format has and this build cannot do. */
SGC_CHECKED sgc_status sgc_definition_parse(const char *text, const char *name,
                                            char *const *parameters, sgc_definition **out,
                                            sgc_error *err);
void sgc_definition_free(sgc_definition *definition);

/* SGC_INVALID, with the JSON pointer of the difference, when loading with `mine` would mix two
 * products in a cube that was made with `theirs` (architecture 6.16). Texts, endpoints, limits,
 * retries and how patches are found may differ; `mine` may have further time steps, when the axis
 * of `theirs` is growable, and further sources of levels, but none for the levels of the
 * `begun_count` factors that the cube has `begun`. */
SGC_CHECKED sgc_status sgc_definition_check_same(const sgc_definition *theirs,
                                                 const sgc_definition *mine, const int64_t *begun,
                                                 size_t begun_count, sgc_error *err);

/* The same for one level that the cube has begun, or that `mine` begins with the source of full
 * resolution: sources of other levels may differ, and `mine` may lack the time steps that a later
 * definition has added. */
SGC_CHECKED sgc_status sgc_definition_check_level(const sgc_definition *theirs,
                                                  const sgc_definition *mine, int64_t factor,
                                                  sgc_error *err);

/* Estimated bytes to download for one pixel of `count` bands. */
double sgc_definition_bytes_per_pixel(const sgc_definition *definition, size_t first, size_t count);

/* Writes the band's nodata value into `count` items of its type. */
void sgc_band_fill_nodata(const sgc_band *band, void *items, size_t count);

SGC_END_C

#endif
