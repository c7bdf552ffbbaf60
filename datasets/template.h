/* Texts with places to fill in: the URLs of tiles and items (datasets guide 6.4).
 *
 * A place is {field} or {field|format}. Fields:
 *
 *   x_min x_max y_min y_max   edges of the tile, which must be integers
 *   col row                   numbers of the tile
 *   t_year t_month t_day      of the first moment of the time step
 *   t_end_year                of the first moment after it
 *   id, asset                 texts: of the patch, of the band. They take no format
 *
 * Formats of numbers: 03 pads with zeros to three characters; NS and EW stand for the sign, before
 * or behind the digits and only for y and x: NS02 (N53), 02NS (53N), EW003 (W115), 003EW (115W),
 * 0EW (unpadded).
 *
 * {config:NAME} stands for the value of GDAL's configuration option NAME. It is a secret: it is
 * kept as it stands, also by sgc_template_expand(), until sgc_config_expand() is called right
 * before use, and in a URL it may only stand in the query, which messages never show. */
#ifndef SGC_TEMPLATE_H
#define SGC_TEMPLATE_H

#include <stdint.h>

#include "store/error.h"

SGC_BEGIN_C

/* Sets of fields. */
enum {
    SGC_FIELD_X_MIN = 1 << 0,
    SGC_FIELD_X_MAX = 1 << 1,
    SGC_FIELD_Y_MIN = 1 << 2,
    SGC_FIELD_Y_MAX = 1 << 3,
    SGC_FIELD_COL = 1 << 4,
    SGC_FIELD_ROW = 1 << 5,
    SGC_FIELD_T_YEAR = 1 << 6,
    SGC_FIELD_T_MONTH = 1 << 7,
    SGC_FIELD_T_DAY = 1 << 8,
    SGC_FIELD_T_END_YEAR = 1 << 9,
    SGC_FIELD_ID = 1 << 10,
    SGC_FIELD_ASSET = 1 << 11,

    /* One of each is needed to tell tiles apart. */
    SGC_FIELDS_X = SGC_FIELD_X_MIN | SGC_FIELD_X_MAX | SGC_FIELD_COL,
    SGC_FIELDS_Y = SGC_FIELD_Y_MIN | SGC_FIELD_Y_MAX | SGC_FIELD_ROW,
    SGC_FIELDS_TIME = SGC_FIELD_T_YEAR | SGC_FIELD_T_MONTH | SGC_FIELD_T_DAY | SGC_FIELD_T_END_YEAR,
};

typedef struct sgc_template_values {
    double x_min, x_max, y_min, y_max;
    int64_t col, row;
    int64_t t_start, t_end; /* seconds since 1970, UTC */
    const char *id, *asset;
} sgc_template_values;

typedef struct sgc_template sgc_template;

/* Gives the template that `text` is. SGC_INVALID, with the position, for an unknown field or format
 * and for braces without partner. Templates are immutable and may be used by many threads. */
SGC_CHECKED sgc_status sgc_template_new(const char *text, sgc_template **out, sgc_error *err);
void sgc_template_free(sgc_template *self);

/* The set of the fields that occur. */
unsigned sgc_template_fields(const sgc_template *self);

/* Checks `text` as sgc_template_new() does, and tells which fields occur. */
SGC_CHECKED sgc_status sgc_template_check(const char *text, unsigned *fields_used, sgc_error *err);

/* Gives (free with free()) the text with all fields filled in; only the values of fields that occur
 * are looked at. SGC_INVALID when an edge is no integer or lies beyond 10^15. */
SGC_CHECKED sgc_status sgc_template_expand(const sgc_template *self,
                                           const sgc_template_values *values, char **out,
                                           sgc_error *err);

/* Gives (free with free()) a copy of `text` in which each {config:NAME} is the value of that
 * configuration option, as the calling thread has it. SGC_INVALID, naming it, when it is not set.
 */
SGC_CHECKED sgc_status sgc_config_expand(const char *text, char **out, sgc_error *err);

SGC_END_C

#endif
