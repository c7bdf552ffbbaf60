/* The parts of a conversation with Earth Engine (datasets guide 4): what is wanted
 * (earthengine_product.c), how it is asked for (earthengine_plan.c, earthengine_request.c), what is
 * answered (earthengine_answer.c). Only source_earthengine.c talks.
 *
 * All functions are thread-safe. */
#ifndef SGC_EARTHENGINE_H
#define SGC_EARTHENGINE_H

#include <cjson/cJSON.h>
#include <gdal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "datasets/definition.h"

#include "store/error.h"

SGC_BEGIN_C

/* What a definition's "source" says. */
typedef struct sgc_ee_product {
    const sgc_definition *definition;
    const char *asset;         /* borrows, like all texts here but `crs_wkt` */
    const char *reducer;       /* the function that makes one image of a collection; NULL: the asset
                                  is an image */
    const char *date_property; /* of the collection's images */
    double sentinel;           /* stands for masked pixels */
    uint64_t max_bytes;        /* of one request, as the service accounts them */
    const char *url;           /* another endpoint, or NULL */
    char *crs_wkt;             /* NULL when the definition's CRS is an EPSG code */
    bool is_geographic;
} sgc_ee_product;

/* Reads `json`, a definition's "source" or that of one of its "levels"; borrows both. Clear it in
 * any case. Errors name the JSON pointer. */
SGC_CHECKED sgc_status sgc_ee_product_init(sgc_ee_product *product,
                                           const sgc_definition *definition, const cJSON *json,
                                           sgc_error *err);
void sgc_ee_product_clear(sgc_ee_product *product);

/* True for an http or https URL without user and query. */
bool sgc_ee_is_endpoint(const char *url);

/* ---- earthengine_request.c ---- */

/* What the pixels of an answer are. */
typedef struct sgc_ee_sample {
    const char *cast;  /* the function that makes it */
    const char *numpy; /* NumPy's name */
    GDALDataType type;
    size_t size; /* bytes */
    double smallest, largest;
    bool is_float;
} sgc_ee_sample;

/* Gives the smallest type that holds all values of such bands and the sentinel. SGC_UNSUPPORTED
 * when Earth Engine has none. */
SGC_CHECKED sgc_status sgc_ee_find_sample(const sgc_ee_product *product, const size_t *bands,
                                          size_t count, const sgc_ee_sample **sample,
                                          sgc_error *err);

/* What one request asks for. */
typedef struct sgc_ee_window {
    const size_t *bands;
    size_t count;
    size_t step; /* of the time axis; 0 when the cube is static */
    int64_t width, height;
    double x, y;           /* of the first pixel's outer corner */
    double x_step, y_step; /* from pixel to pixel; y_step is negative */
    const sgc_ee_sample *sample;
} sgc_ee_window;

/* Gives (free with cJSON_free()) the body of a computePixels request; NULL: no memory. */
char *sgc_ee_print_request(const sgc_ee_product *product, const sgc_ee_window *window);

/* Gives (free with cJSON_free()) the body of a value:compute request for the number of images in
 * the collection at a time step; NULL: no memory. */
char *sgc_ee_print_count_request(const sgc_ee_product *product, size_t step);

/* ---- earthengine_plan.c ---- */

/* What one request of a read asks for. */
typedef struct sgc_ee_part {
    sgc_rect rect;                 /* pixels of the level's grid */
    size_t first_band, band_count; /* of the read's bands */
} sgc_ee_part;

typedef struct sgc_ee_plan {
    sgc_ee_part *parts; /* free with free() */
    size_t count;
} sgc_ee_plan;

/* Cuts a read, not empty, into requests that the service accepts: by bands, by columns where a row
 * is too long, by rows. The plan's parts must be freed in any case. */
SGC_CHECKED sgc_status sgc_ee_plan_parts(sgc_rect rect, size_t bands, const sgc_ee_sample *sample,
                                         uint64_t max_bytes, sgc_ee_plan *plan, sgc_error *err);

/* Halves a part, by rows as long as it has several. False when it is one pixel. */
bool sgc_ee_halve(const sgc_ee_part *part, sgc_ee_part halves[2]);

/* The part of `rect` whose pixels' centres lie within ±180 and ±90 degrees; maybe empty. */
sgc_rect sgc_ee_clamp_to_earth(const sgc_grid *grid, sgc_rect rect);

/* Sets the size and place of a window to `rect`, counted from the corner of its patch, as the
 * Python package counts (4.4). Both are pixels of `grid`. */
void sgc_ee_place(const sgc_grid *grid, sgc_rect patch, sgc_rect rect, sgc_ee_window *window);

/* ---- earthengine_answer.c ---- */

/* Where the pixels of an answer go: the part of each band's array that begins at pixel `offset` and
 * has rows of `stride` pixels. */
typedef struct sgc_ee_target {
    void *const *pixels; /* one array per band of the window, of its type */
    uint8_t *const *valid;
    size_t offset, stride;
} sgc_ee_target;

/* Writes the pixels of an answer, of the bands' types, and for each 1 where it has a value, else 0.
 * SGC_CORRUPT when it is not what was asked for, or has values that
 * a band's type does not. Keeps nothing of `data`. */
SGC_CHECKED sgc_status sgc_ee_decode(const sgc_ee_product *product, const sgc_ee_window *window,
                                     unsigned char *data, size_t size, const sgc_ee_target *target,
                                     sgc_error *err);

SGC_END_C

#endif
